"""Files of rows, in Parquet or JSON lines, cut into pieces that tasks read one by one."""

import codecs
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from teichaku.core.errors import UserError
from teichaku.core.executor import TaskError
from teichaku.documents.content import LoadingError
from teichaku.documents.encodings import decode
from teichaku.documents.files import find_files, name_from, printable
from teichaku.recipes.row_forms import Form, find_form
from teichaku.recipes.row_vectors import unfit, vector_column, vector_of

_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet",)
#: A file of lines is cut after so many bytes, at the next end of a line.
_PIECE_BYTES = 16 << 20
_HEAD_BYTES = 1 << 20
_BATCH_ROWS = 2048
_READ_BYTES = 4 << 20
_BOM = b"\xef\xbb\xbf"
#: Files of these cannot be cut at the byte of a line's end.
_UNCUT = ("utf-16", "utf-32", "iso2022")
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONVERT = "save it as UTF-8: iconv -f ENCODING -t UTF-8 FILE"
#: So many vectors say how many coordinates all have.
_MEASURED = 1000


@dataclass(frozen=True)
class Piece:
    """A part of a file that one task reads: a group of rows in Parquet, some bytes of lines.

    ``name`` is the file as people are told of it, ``number`` counts its pieces from 0, ``first``
    is the number of its first row or line, from 1. ``start`` and ``end`` are bytes; in Parquet
    ``number`` says all. ``whole`` is that it is all there is of the file; else lines are in the
    ``encoding``. ``dimensions`` is how many coordinates the vectors of all pieces have, 0 where
    none are asked for.
    """

    path: str
    name: str
    number: int
    first: int
    rows: int
    start: int = 0
    end: int = 0
    whole: bool = False
    is_parquet: bool = False
    encoding: str = "utf-8"
    dimensions: int = 0

    @property
    def told(self) -> str:
        """The piece for people: the file, and from which row on."""
        return self.name if self.whole else f"{self.name}, from row {self.first}"

    def content_hash(self) -> str:
        """The SHA-256 of what the piece holds. Raises ``TaskError`` where it cannot be read."""
        try:
            if self.is_parquet:
                return _row_group_hash(Path(self.path), self.number)
            return hashlib.sha256(self._bytes()).hexdigest()
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.told, error) from error

    def table_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of a piece in Parquet, with all columns or some; times that Python has no form
        for are text. Raises ``TaskError`` where they cannot be read.
        """
        try:
            with _parquet(Path(self.path)) as file:
                groups = [self.number]
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns):
                    readable = [_readable(column) for column in batch.columns]
                    yield pa.RecordBatch.from_arrays(readable, batch.schema.names)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.told, error) from error

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not blank, with their numbers. Raises ``TaskError`` where it is no
        text.
        """
        try:
            data = self._bytes()
            # Of a large file the head has told; one that is read whole tells more surely.
            text = decode(data)[0] if self.whole else data.removeprefix(_BOM).decode(self.encoding)
        except UnicodeDecodeError as error:
            raise TaskError(
                f"{self.told} cannot be read: the file begins in {self.encoding}, but does not go "
                f"on in it; {_CONVERT}"
            ) from error
        except (OSError, LoadingError) as error:
            raise unreadable(self.told, error) from error
        for number, line in enumerate(io.StringIO(text, newline="\n"), self.first):
            if line.strip():
                yield number, line

    def vectors(self, column: str) -> Iterator[np.ndarray | None]:
        """The vectors of its rows, None where one has none. Raises ``TaskError``."""
        if self.is_parquet:
            for batch in self.table_batches([column]):
                yield from vector_column(batch.column(0))
            return
        for _, line in self.lines():
            try:
                value = parse_line(line)
            except ValueError:
                continue
            yield vector_of(value.get(column)) if isinstance(value, dict) else None

    def _bytes(self) -> bytes:
        with Path(self.path).open("rb") as file:
            file.seek(self.start)
            return file.read(self.end - self.start)


def unreadable(told: str, error: Exception) -> TaskError:
    """What to say of a file that cannot be read."""
    why = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    return TaskError(f"{told} cannot be read: {' '.join(str(why).split())}")


def parse_line(line: str) -> Any:
    """The value of a line of JSON; numbers keep their spelling. Raises ``ValueError``."""
    try:
        return json.loads(line, parse_float=Decimal)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@dataclass(frozen=True)
class Plan:
    """What is to be read: the pieces of all files in the order of their names, the form of
    their rows, the files that cannot be read (name and reason), and those of other kinds.
    """

    pieces: Sequence[Piece]
    form: Form | None
    faults: Sequence[tuple[str, str]]
    others: Sequence[str]


def plan_input(
    inputs: Sequence[Path],
    without: Path,
    vectors: str = "",
    form: Form | None = None,
    score: str = "",
) -> Plan:
    """Which pieces the files and folders ``inputs`` hold; what is in the folder ``without`` is
    passed over. ``vectors`` and ``score`` are the columns with a vector and a number of each row,
    if they are asked for; ``form`` that of the rows, where it is known.

    Raises ``UserError`` where there is no such file, folder or column, no file to read in them,
    or where the rows have no form that is known, or several.
    """
    named, others = _named_files(inputs, without)
    pieces: list[Piece] = []
    faults: list[tuple[str, str]] = []
    forms: dict[str, Form] = {}
    for name, path in named.items():
        try:
            found, columns = _cut(path, name)
        except TaskError as error:
            faults.append((name, str(error)))
            continue
        pieces += found
        if not columns:
            continue
        found_form = form or find_form(columns)
        if found_form is None:
            raise _no_form(name, columns)
        if vectors and vectors not in columns:
            raise _no_vectors(f"{name} has no column '{vectors}', but {', '.join(columns)}")
        if score and score not in columns:
            raise UserError(
                f"score: {name} has no column '{score}', but {', '.join(columns)}.",
                "Name the column that has a number for each row: score: COLUMN",
            )
        forms[name] = found_form
    if not forms and not faults:
        told = ", ".join(printable(str(path)) for path in inputs)
        raise UserError(f"There is no row in {told}.", "Name files that have some.")
    if vectors and forms:
        dimensions = _dimensions(pieces, vectors)
        pieces = [replace(piece, dimensions=dimensions) for piece in pieces]
    return Plan(pieces, _one_form(forms), faults, others)


def _dimensions(pieces: Sequence[Piece], column: str) -> int:
    """How many coordinates most of the first vectors have. Raises ``UserError`` where no row has
    one.
    """
    counted: Counter[int] = Counter()
    for piece in pieces:
        found = (len(one) for one in piece.vectors(column) if one is not None and not unfit(one, 0))
        with suppress(TaskError):  # Its own task says so.
            counted.update(islice(found, _MEASURED - counted.total()))
        if counted.total() == _MEASURED:
            break
    if not counted:
        raise _no_vectors(f"No row has a list of numbers in the column '{column}'")
    return counted.most_common(1)[0][0]


def _no_vectors(why: str) -> UserError:
    return UserError(
        f"vectors: {why}.", "Name the column that has a vector of each row: vectors: COLUMN"
    )


def _named_files(inputs: Sequence[Path], without: Path) -> tuple[dict[str, Path], list[str]]:
    """The files to read by name, sorted, each once, and the names of others that lie beside them.

    Links have the name that they have there, as in the cache of a hub.
    """
    named: dict[str, Path] = {}
    others: list[str] = []
    seen: set[Path] = set()
    for given in inputs:
        told = printable(str(given))
        files, missing = find_files([str(given)], Path())
        if missing and not given.is_dir():
            raise UserError(f"There is no file or folder {told}.", "Mend the path.")
        for path in files:
            itself = path.resolve()
            if without.resolve() in itself.parents or itself in seen:
                continue
            seen.add(itself)
            root = (
                Path(os.path.normpath(given.absolute())).parent if given.is_dir() else path.parent
            )
            name = name_from(path, root)
            if path.suffix.lower() not in (*_LINES, *_PARQUET):
                others.append(name)
            elif named.setdefault(name, path) != path:
                both = " and ".join(printable(str(one)) for one in (named[name], path))
                raise UserError(
                    f"Two files have the name {name}: {both}.",
                    "Rename one, for the name tells their rows apart; or name a folder above both.",
                )
    if not named:
        beside = f" (there are {len(others)} others, such as {others[0]})" if others else ""
        told = ", ".join(printable(str(path)) for path in inputs)
        raise UserError(
            f"There is no Parquet or JSON lines file in {told}{beside}.",
            "Rows are read from files that end in .parquet, .jsonl or .ndjson.",
        )
    return dict(sorted(named.items())), sorted(others)


def _cut(path: Path, name: str) -> tuple[list[Piece], list[str]]:
    """The pieces of a file that have rows, and the names of its columns, none where it has no
    row. Raises ``TaskError``.
    """
    try:
        if path.suffix.lower() in _PARQUET:
            return _cut_parquet(path, name)
        columns, encoding = _first_keys(path, name)
        return _cut_lines(path, name, encoding), columns
    except (OSError, pa.ArrowException, LoadingError) as error:
        raise unreadable(name, error) from error


def _cut_parquet(path: Path, name: str) -> tuple[list[Piece], list[str]]:
    with _parquet(path) as file:
        columns, groups, first = file.schema_arrow.names, file.num_row_groups, 1
        if len(set(columns)) < len(columns):
            raise TaskError(f"{name} cannot be read: two of its columns have one name")
        pieces: list[Piece] = []
        for number in range(groups):
            rows = file.metadata.row_group(number).num_rows
            whole = groups == 1
            piece = Piece(str(path), name, number, first, rows, whole=whole, is_parquet=True)
            pieces += [piece] if rows else []
            first += rows
    return pieces, columns if pieces else []


def _parquet(path: Path) -> pq.ParquetFile:
    # By the bytes of its path, which may be no UTF-8; buffered, so that not all of a column lies
    # in memory.
    return pq.ParquetFile(pa.OSFile(os.fsencode(path)), buffer_size=_READ_BYTES)


def _readable(column: pa.Array) -> pa.Array:
    """``column`` with text for nanoseconds, of which Python's times have none."""
    kind = _readable_type(column.type)
    return column if kind == column.type else column.cast(kind)


def _readable_type(kind: pa.DataType) -> pa.DataType:
    if getattr(kind, "unit", "") == "ns":
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_readable_type(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_readable_type(kind.value_type)))
    return kind


def _cut_lines(path: Path, name: str, encoding: str) -> list[Piece]:
    pieces: list[Piece] = []
    size, start, first = path.stat().st_size, 0, 1
    with path.open("rb") as file:
        while start < size:
            block = file.read(_PIECE_BYTES)
            block += file.readline()
            end, rows = start + len(block), block.count(b"\n") + (not block.endswith(b"\n"))
            whole = start == 0 and end == size
            if not whole and encoding.startswith(_UNCUT):
                raise TaskError(
                    f"{name} cannot be read: it is in {encoding} and larger than "
                    f"{_PIECE_BYTES >> 20} MiB; {_CONVERT}"
                )
            span = (start, end, whole)
            pieces.append(
                Piece(str(path), name, len(pieces), first, rows, *span, encoding=encoding)
            )
            start, first = end, first + rows
    return pieces


def _first_keys(path: Path, name: str) -> tuple[list[str], str]:
    """The keys of the objects at the head of a file of lines, for a key may be left out where it
    is empty, and the encoding of the head. Raises ``TaskError`` where there is no object.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        # No more of a file that is one line than would be read of it as a piece.
        head += file.readline(_PIECE_BYTES)
    if head.startswith(_WIDE_MARKS):  # The byte of a line's end may be half a character.
        head = head[: len(head) // 4 * 4]
    if not head.strip():
        return [], "utf-8"
    text, encoding = decode(head)
    keys: dict[str, None] = {}
    for line in text.split("\n"):
        try:
            value = parse_line(line)
        except ValueError:
            continue
        keys.update(dict.fromkeys(value if isinstance(value, dict) else ()))
    if not keys:
        raise TaskError(f"{name} cannot be read: its first lines hold no JSON object")
    return list(keys), encoding


def _row_group_hash(path: Path, number: int) -> str:
    """Of the columns' names and types, and of the bytes of the group."""
    with _parquet(path) as file:
        digest = hashlib.sha256(str(file.schema_arrow.remove_metadata()).encode())
        group = file.metadata.row_group(number)
        spans = [_span(group.column(place)) for place in range(group.num_columns)]
    with path.open("rb") as data:
        for start, length in sorted(spans):
            data.seek(start)
            for done in range(0, length, _READ_BYTES):
                digest.update(data.read(min(_READ_BYTES, length - done)))
    return digest.hexdigest()


def _span(column: Any) -> tuple[int, int]:
    start = column.dictionary_page_offset if column.has_dictionary_page else None
    return column.data_page_offset if start is None else start, column.total_compressed_size


def _no_form(name: str, columns: Sequence[str]) -> UserError:
    return UserError(
        f"The columns of {name} are of no form that is known: {', '.join(columns)}.",
        "Known: 'messages' (chat), 'conversations' (ShareGPT), 'instruction' and 'output' or "
        "'question' and 'answer' (an 'input' beside them), 'text', and examples.parquet.",
    )


def _one_form(forms: dict[str, Form]) -> Form | None:
    """The form of all files. Raises ``UserError`` where they have several."""
    full = {form for form in forms.values() if all(form.keys)}
    # A file in which no row has an input is of the same form as one in which some have.
    whole: dict[tuple[str, ...], Form] = {
        (one.keys[0], "", one.keys[-1]): one for one in full if one.name == "pairs"
    }
    forms = {name: whole.get(form.keys, form) for name, form in forms.items()}
    counts = Counter(forms.values())
    if len(counts) > 1:
        listed = []
        for form, count in counts.most_common():
            such = next(name for name, one in forms.items() if one == form)
            columns = f" ({', '.join(filter(None, form.keys))})" if form.keys else ""
            listed.append(f"{form.name}{columns}: {count} files, such as {such}")
        raise UserError(
            f"The files have rows of several forms. {'; '.join(listed)}.",
            "Curate each form apart, with an --out of its own: name its files or folder.",
        )
    return next(iter(counts), None)
