"""Rows of a small table that a recipe names: seeds, questions."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from teichaku.core.errors import UserError
from teichaku.core.replies import text_value
from teichaku.core.text import normalise
from teichaku.documents.content import LoadingError, clean
from teichaku.documents.encodings import decode
from teichaku.documents.tables import find_delimiter
from teichaku.recipes.load import repeated_keys

_SHOWN_MISTAKES = 10
#: Characters of a value that is shown with a mistake.
_SHOWN_VALUE = 40


@dataclass(frozen=True)
class Row:
    """A row as the file has it, by names that are normalised; ``place`` is for people.
    ``fault`` says what is wrong with the row where it cannot be taken as it stands.
    """

    place: str
    values: Mapping[str, Any]
    fault: str = ""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL, JSON, YAML, CSV or TSV file, in any encoding.

    Raises ``UserError`` where it cannot be read.
    """
    readers = {
        **dict.fromkeys((".jsonl", ".ndjson"), _json_lines),
        **dict.fromkeys((".csv", ".tsv"), _table),
        **dict.fromkeys((".yaml", ".yml"), _yaml),
        ".json": _json,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: rows are not read from files of the kind '{path.suffix}'.",
            f"Make it one of {', '.join(readers)}.",
        )
    try:
        text, _ = decode(path.read_bytes())
        for place, values in reader(text):
            if isinstance(values, dict):
                yield _row(place, values)
            else:
                fault = values.message if isinstance(values, _Fault) else _NO_OBJECT
                yield Row(place, {}, fault)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}.",
            "Mend the path in the recipe; it is relative to the recipe.",
        ) from error
    except (LoadingError, _BrokenFileError) as error:
        raise UserError(f"{path}: {error}", "Mend the file there, or export it again.") from error


def _row(place: str, values: Mapping[Any, Any]) -> Row:
    named: dict[str, Any] = {}
    for key, value in values.items():
        if normalise(str(key)) in named:
            return Row(place, {}, f"'{key}' is there twice, spelled in two ways")
        named[normalise(str(key))] = value
    return Row(place, named)


class _BrokenFileError(Exception):
    """A file is not of its format; the message says where and why."""


@dataclass(frozen=True)
class _Fault:
    """What stands in place of a row that cannot be taken as it stands."""

    message: str


_NO_OBJECT = "it is no object with names and values"


class _AsSpelled(yaml.SafeLoader):
    """Reads every plain scalar as the text that it is (``12:30``, ``0123``, ``1.10``), but for
    null, true and false.
    """


_RESOLVED = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "merge"))
_AsSpelled.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag in _RESOLVED]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _json_lines(text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _json_value(line, number)


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which Python would silently take the last value of a key."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            values = " and ".join(
                json.dumps(one, ensure_ascii=False)[:_SHOWN_VALUE] for one in (found[key], value)
            )
            raise _BrokenFileError(f"'{key}' stands twice in one object: {values}.")
        found[key] = value
    return found


def _json_value(text: str, first_line: int) -> Any:
    """The value of a JSON text; numbers keep their spelling."""
    try:
        return json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise _BrokenFileError(f"line {line}: it is no JSON: {error.msg}.") from error
    except RecursionError as error:
        raise _BrokenFileError(f"line {first_line}: it is nested too deeply.") from error
    except _BrokenFileError as error:
        # Of an object in the file the line is not known, but of one in JSON lines.
        raise _BrokenFileError(f"from line {first_line} on: {error}") from error


def _json(text: str) -> Iterator[tuple[str, Any]]:
    value = _json_value(text, 1)
    for number, item in enumerate(_listed(value), 1):
        yield f"row {number}", item


def _listed(value: Any) -> list[Any]:
    """The list in ``value``: itself, or the only one in an object that wraps it."""
    lists = [value] if isinstance(value, list) else []
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
    if len(lists) != 1:
        raise _BrokenFileError("it is no list of rows, and no object with one list in it.")
    return lists[0]


def _yaml(text: str) -> Iterator[tuple[str, Any]]:
    try:
        root, value = yaml.compose(text, _AsSpelled), yaml.load(text, _AsSpelled)
        for place, fault in repeated_keys(root):
            raise _BrokenFileError(f"line {place}: {fault}.")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise _BrokenFileError(f"{line}it is no YAML: {what}.") from error
    nodes = root
    if isinstance(root, yaml.MappingNode):
        nodes = next((n for _, n in root.value if isinstance(n, yaml.SequenceNode)), None)
    for node, item in zip(nodes.value if nodes else [], _listed(value), strict=True):
        yield f"line {node.start_mark.line + 1}", item


def _table(text: str) -> Iterator[tuple[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=find_delimiter(text), strict=True)
    try:
        heading = _heading(next(reader, []))
        start = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"line {start}", _cells(heading, cells, reader.dialect.delimiter)
            start = reader.line_num + 1
    except csv.Error as error:
        raise _BrokenFileError(f"line {reader.line_num}: it is no table: {error}.") from error


def _heading(cells: Sequence[str]) -> list[str]:
    """The names of the columns; what is empty at the end names none."""
    names = [normalise(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    twice = next((name for name in names if name and names.count(name) > 1), "")
    if twice:
        raise _BrokenFileError(f"line 1: the heading '{twice}' stands twice.")
    return names


def _cells(heading: Sequence[str], cells: Sequence[str], delimiter: str) -> Any:
    """A row by the names of its columns. What stands beyond them is most often the rest of a
    text that has the delimiter in it, and must not be lost.
    """
    beyond = [cell for cell in cells[len(heading) :] if cell.strip()]
    if beyond:
        rest = delimiter.join(cells[max(len(heading) - 1, 0) :]).replace('"', '""')
        return _Fault(
            f"it has {len(cells)} cells under {len(heading)} headings; put the cell into quotes: "
            f'"{rest}"'
        )
    return dict(zip(heading, cells, strict=False))


def first_filled(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """What stands under the first of ``names`` that is filled."""
    filled = (values[name] for name in map(normalise, names) if values.get(name) not in (None, ""))
    return next(filled, None)


def texts_of(
    row: Row, known: Mapping[str, tuple[str, ...]], needed: Sequence[str]
) -> dict[str, str] | str:
    """The text in ``row`` under the names that ``known`` lists for each part, empty where there
    is none; or what is wrong with the row, as where one of ``needed`` is empty.
    """
    if row.fault:
        return row.fault
    texts = {}
    for part, names in known.items():
        value = first_filled(row.values, names)
        if isinstance(value, bool):
            return f"'{part}' is {value}: write the text in quotes"
        if value is not None and not isinstance(value, str | int | float):
            return f"'{part}' is no text"
        texts[part] = clean(text_value(value)).strip()
    missing = [part for part in needed if not texts[part]]
    if missing:
        has = ", ".join(row.values) or "nothing"
        return f"it has no {' and no '.join(missing)} (it has: {has})"
    return texts


def refuse(path: Path, what: str, mistakes: Sequence[str], hint: str) -> None:
    """Raise ``UserError`` with the first of ``mistakes`` in ``what``, where there are any."""
    if mistakes:
        more = len(mistakes) - _SHOWN_MISTAKES
        shown = [*mistakes[:_SHOWN_MISTAKES], *([f"... and {more} more"] if more > 0 else [])]
        listed = "".join(f"\n  {mistake}" for mistake in shown)
        raise UserError(f"{path}: {len(mistakes)} mistake(s) in the {what}:{listed}", hint)
