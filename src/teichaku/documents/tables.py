"""Tables: CSV, TSV, JSON and JSON Lines. One row is one document."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import PurePath
from typing import Any, Literal

from teichaku.documents.content import (
    Columns,
    Content,
    LoadingError,
    clean,
    clean_line,
    names_in,
)
from teichaku.documents.encodings import decode

#: Where a recipe names no title column, the first of these that a table has. Japanese open
#: data calls it 名称, catalogues 商品名 or 品名, shop lists 店名.
TITLE_COLUMNS = (
    *("title", "name", "題名", "タイトル", "名称", "件名", "表題", "見出し", "名前"),
    *("商品名", "製品名", "品名", "店名", "施設名", "事業者名", "公園名", "heading", "subject"),
)
#: The same for the column that says whom to name, unless the recipe gives it another meaning.
ATTRIBUTION_COLUMNS = (
    *("attribution", "credit", "credits", "クレジット", "帰属", "出典表示"),
    *("authors", "author", "authors.name", "author.name", "著者", "著者名", "執筆者", "出典"),
)
_DELIMITERS = ",\t;|"
_SAMPLE_ROWS = 50
#: A line after the last, of a noncharacter: it comes out alone unless a quote is open there.
_END = "\U0010ffff"
#: An object is more than the wrapping of a list where it has one of these keys, or where a
#: value of its own is longer than a note.
_TEXT_KEYS = frozenset({"text", "body", "content", "本文", "内容"})
_LONGEST_NOTE = 80
#: The names of lists that hold all there is, even where a file has a title too (GeoJSON).
_WHOLE_LISTS = frozenset({"data", "entries", "features", "items", "records", "results", "rows"})

#: The texts of an object by dotted keys: its own, then those of each object in its lists.
Groups = Sequence[Sequence[tuple[str, str]]]


def read_delimited(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The rows of a CSV or TSV file whose first row names the columns.

    Rows are numbered from 1 after the heading; rows without any cell filled are no records.
    Raises ``LoadingError`` where it is no table or lacks a named column.
    """
    text, encoding = decode(data)
    file_format = PurePath(name).suffix.lower().lstrip(".")
    records = _delimited(text, file_format)
    if not records:
        return
    names = _column_names(records[0], max(map(len, records)))
    _require(columns, names)
    columns = _with_guesses(columns, names)
    for number, cells in enumerate(records[1:], 1):
        row = {key: clean(cell) for key, cell in zip(names, cells, strict=False)}
        if any(cell.strip() for cell in row.values()):
            yield _as_content([list(row.items())], number, columns, (file_format, encoding))


def read_json(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The objects of a JSON file: a list of objects, an object that only wraps one such list
    or whose values are all objects, or else the object itself as one document.

    Raises ``LoadingError`` where it is no JSON or lacks a named key.
    """
    text, encoding = decode(data)
    items = list(enumerate(_objects(_whole(text), columns), 1))
    yield from _read_objects(items, columns, ("json", encoding))


def read_json_lines(data: bytes, name: str, columns: Columns) -> Iterator[Content | LoadingError]:
    """The objects of a JSON Lines file, numbered by line; a bad line is told and passed over.

    Raises ``LoadingError`` where the objects lack a named key.
    """
    text, encoding = decode(data)
    items: list[tuple[int, Any]] = []
    for number, line in _lines(text):
        if isinstance(line, LoadingError):
            yield line
        else:
            items.append((number, line))
    yield from _read_objects(items, columns, ("jsonl", encoding))


def column_names(data: bytes, name: str, columns: Columns) -> list[str]:
    """The columns that make the text of each row of a table, or of each object of a JSON file:
    those that ``columns`` names, else all; none where there are no rows.

    Raises ``LoadingError`` where a reader would raise it.
    """
    text, _ = decode(data)
    suffix = PurePath(name).suffix.lower()
    if suffix in (".csv", ".tsv"):
        heading, *rows = _delimited(text, suffix.lstrip(".")) or [[]]
        names = _column_names(heading, max(map(len, (heading, *rows)))) if rows else []
    else:
        objects = (
            _objects(_whole(text), columns) if suffix == ".json" else dict(_lines(text)).values()
        )
        groups = [group for one in objects if isinstance(one, dict) for group in _groups(one)]
        names = list(dict.fromkeys(key for group in groups for key, _ in group))
    if not names:
        return []
    _require(columns, names)
    return list(columns.text) or names


def find_delimiter(text: str) -> str:
    """The delimiter that gives the first rows the most columns, half of them equal in number.

    ``csv.Sniffer`` takes any character that is frequent for a delimiter, which Japanese text
    with quoted line breaks leads astray.
    """

    def columns(delimiter: str) -> int:
        rows: list[int] = []
        with suppress(csv.Error):  # what came before the fault stays
            rows.extend(len(row) for row in islice(_records(text, delimiter), _SAMPLE_ROWS))
        even = sum(width == rows[0] for width in rows) if rows else 0
        return rows[0] if rows and even >= 0.5 * len(rows) else 0

    return max(_DELIMITERS, key=columns)  # the comma where none divides the rows


def _delimited(text: str, file_format: str) -> list[list[str]]:
    """All records of a file. Raises ``LoadingError``."""
    delimiter = "\t" if file_format == "tsv" else find_delimiter(text)
    try:
        return _table(text, delimiter)
    except csv.Error as error:
        raise LoadingError(
            "broken_file", f"It is no well-formed table: {error}.", "Export it again as CSV."
        ) from error


def _whole(text: str) -> Any:
    """What a JSON file holds. Raises ``LoadingError``."""
    try:
        return _parse(text)
    except (ValueError, RecursionError) as error:
        raise LoadingError(
            "broken_file", f"It is no well-formed JSON: {error}.", "Export it again as JSON."
        ) from error


def _lines(text: str) -> Iterator[tuple[int, Any]]:
    """What each line of JSON Lines holds, by its number; a ``LoadingError`` where it is none."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, _parse(line)
        except (ValueError, RecursionError) as error:
            yield (
                number,
                LoadingError(
                    "bad_row", f"Line {number} is no JSON: {error}.", "Mend that line.", number
                ),
            )


def _table(text: str, delimiter: str) -> list[list[str]]:
    """All records. Tabs may part cells in which quotes are but characters: so it is where each
    line has as many cells as the first and quotes would make fewer records of them.
    """
    lines = list(_records(text, delimiter, csv.QUOTE_NONE)) if delimiter == "\t" else []
    widths = {len(line) for line in lines}
    is_even = len(widths) == 1 and widths != {1}
    try:
        records = list(_records(text, delimiter))
    except csv.Error:
        if is_even:
            return lines
        raise
    return lines if is_even and len(lines) > len(records) else records


def _records(
    text: str, delimiter: str, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> Iterator[list[str]]:
    """The records of a table, without empty lines; cells may be of any length.

    Raises ``csv.Error`` where a quote is never closed, for all lines after it are in its cell.
    """
    limit = csv.field_size_limit(sys.maxsize)
    try:
        lines = chain(io.StringIO(text.lstrip("\ufeff"), newline=""), ("\n", _END))
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
        start = 1
        for record in reader:
            if record == [_END]:
                return
            if record and record[-1].endswith(_END):
                raise csv.Error(f"a quote in the row that begins in line {start} is never closed")
            if record:
                yield record
            start = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


def _column_names(heading: list[str], width: int) -> list[str]:
    """Names of ``width`` columns: those without one are numbered, those of the same name too."""
    names: list[str] = []
    for position in range(width):
        given = clean_line(heading[position]) if position < len(heading) else ""
        name = given or f"column {position + 1}"
        names.append(f"{name} ({position + 1})" if name in names else name)
    return names


def _parse(text: str) -> Any:
    """JSON in which numbers keep the spelling that they have in the file; NaN is null."""
    return json.loads(
        text,
        parse_float=str,
        parse_int=str,
        parse_constant=lambda constant: None if constant == "NaN" else constant,
    )


def _objects(value: Any, columns: Columns) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        lists = [key for key, item in value.items() if _is_list_of_objects(item)]
        if len(lists) == 1 and _wraps(value, lists[0], columns):
            return list(value[lists[0]])
        if len(value) > 1 and all(isinstance(item, dict) for item in value.values()):
            return list(value.values())
    return [value]


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, dict) for i in value)


def _wraps(value: Mapping[str, Any], key: str, columns: Columns) -> bool:
    """Whether an object is only the wrapping of the list under ``key``: it lacks a column that
    is named or, where none is, says nothing but short notes such as a version.
    """
    if columns.named():
        return not flatten(value).keys() >= set(columns.named())
    notes = flatten({name: item for name, item in value.items() if name != key})
    says_more = _TEXT_KEYS.intersection(map(str.lower, notes)) or any(
        len(note) > _LONGEST_NOTE for note in notes.values()
    )
    return not says_more and (key.lower() in _WHOLE_LISTS or not _guess_title(list(notes)))


def _read_objects(
    items: list[tuple[int, Any]], columns: Columns, origin: tuple[str, str]
) -> Iterator[Content | LoadingError]:
    rows: list[tuple[int, Groups]] = []
    for number, item in items:
        if isinstance(item, dict):
            rows.append((number, _groups(item)))
        else:
            yield LoadingError(
                "bad_row", f"Row {number} is no JSON object.", "Give each row as {...}.", number
            )
    names = list(dict.fromkeys(key for _, row in rows for group in row for key, _ in group))
    if rows:
        _require(columns, names)
    columns = _with_guesses(columns, names)
    for number, row in rows:
        yield _as_content(row, number, columns, origin)


def flatten(value: Mapping[str, Any]) -> dict[str, str]:
    """The texts in a JSON object by dotted keys; texts under one key are joined by lines.

    Lists of plain values become one text with commas; null is empty.
    """
    return _joined(_groups(value))


def _joined(groups: Groups) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for key, text in chain.from_iterable(groups):
        found.setdefault(key, []).append(text)
    return {key: "\n".join(filter(None, texts)) for key, texts in found.items()}


def _groups(value: Any, key: str = "") -> list[list[tuple[str, str]]]:
    own: list[tuple[str, str]] = []
    below: list[list[tuple[str, str]]] = []

    def collect(key: str, item: Any) -> None:
        if isinstance(item, dict):
            for name, inner in item.items():
                collect(f"{key}.{name}" if key else name, inner)
        elif isinstance(item, list) and any(isinstance(inner, dict | list) for inner in item):
            for inner in item:
                below.extend(_groups(inner, key))
        else:
            own.append((key, clean(_plain(item))))

    collect(key, value)
    return [own, *below]


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _require(columns: Columns, names: list[str]) -> None:
    missing = [name for name in columns.named() if name not in names]
    if missing:
        raise LoadingError(
            "no_such_column",
            f"It has no column {', '.join(missing)}. Its columns are: {', '.join(names)}.",
            "Name columns that it has, or leave the file out of the recipe's paths.",
        )


def _with_guesses(columns: Columns, names: Sequence[str]) -> Columns:
    """``columns`` with those of title and attribution that ``names`` let guess."""
    lowered = {name.lower(): name for name in reversed(names)}
    taken = columns.named()
    named = (lowered[name] for name in ATTRIBUTION_COLUMNS if name in lowered)
    attribution = next((name for name in named if name not in taken), "")
    return replace(
        columns,
        title=columns.title or _guess_title(names),
        attribution=columns.attribution or attribution,
    )


def _guess_title(names: Sequence[str]) -> str:
    lowered = {name.lower(): name for name in reversed(names)}
    named = [lowered[name] for name in TITLE_COLUMNS if name in lowered]
    # 「指定暑熱避難施設の名称」
    return next(iter([*named, *(name for name in names if name.endswith("の名称"))]), "")


def _as_content(groups: Groups, number: int, columns: Columns, origin: tuple[str, str]) -> Content:
    """A row as a text: one named text column as it is, several or all as ``name: value``."""
    row = _joined(groups)
    one = columns.text[0] if len(columns.text) == 1 else ""
    return Content(
        text=row.get(one, "") if one else _written(groups, columns.text),
        title=clean_line(row.get(columns.title, "")),
        source=clean_line(row.get(columns.source, "")),
        licence=clean_line(row.get(columns.licence, "")),
        date=clean_line(row.get(columns.date, "")),
        format=origin[0],
        encoding=origin[1],
        row=number,
        attribution=names_in(row.get(columns.attribution, "")),
    )


def _written(groups: Groups, keys: Sequence[str]) -> str:
    """The texts under ``keys``, in their order, or all; each group apart from the others, for
    put together by key they would tell of facts that the file does not hold.
    """
    places = {key: place for place, key in enumerate(keys)}
    chosen = [
        sorted(
            ((key, text) for key, text in group if text.strip() and (not keys or key in places)),
            key=lambda item: places.get(item[0], 0),
        )
        for group in groups
    ]
    chosen = sorted(filter(None, chosen), key=lambda group: places.get(group[0][0], 0))
    return "\n\n".join("\n".join(f"{key}: {text}" for key, text in group) for group in chosen)
