"""Files of rows, in Parquet or JSON lines, cut into pieces that tasks read one by one."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from teichaku.core.errors import UserError
from teichaku.core.executor import TaskError
from teichaku.documents.content import LoadingError
from teichaku.documents.encodings import decode
from teichaku.documents.files import find_files
from teichaku.recipes.row_forms import Form, find_form

_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet",)
#: A file of lines is cut after so many bytes, at the next end of a line.
_PIECE_BYTES = 16 << 20
_HEAD_BYTES = 1 << 20
_BATCH_ROWS = 2048
_READ_BYTES = 4 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Piece:
    """A part of a file that one task reads: a group of rows in Parquet, some bytes of lines.

    ``name`` is the file as people are told of it, ``number`` counts its pieces from 0, ``first``
    is the number of its first row or line, from 1. ``start`` and ``end`` are bytes; in Parquet
    ``number`` says all. ``whole`` is that it is all there is of the file.
    """

    path: str
    name: str
    number: int
    first: int
    rows: int
    start: int = 0
    end: int = 0
    whole: bool = False

    @property
    def told(self) -> str:
        """The piece for people: the file, and from which row on."""
        return self.name if self.whole else f"{self.name}, from row {self.first}"

    @property
    def is_parquet(self) -> bool:
        """Whether it is a group of rows in Parquet."""
        return Path(self.path).suffix.lower() in _PARQUET

    def content_hash(self) -> str:
        """The SHA-256 of what the piece holds. Raises ``TaskError`` where it cannot be read."""
        try:
            if self.is_parquet:
                return _row_group_hash(Path(self.path), self.number)
            return hashlib.sha256(self._bytes()).hexdigest()
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.told, error) from error

    def table_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of a piece in Parquet. Raises ``TaskError`` where they cannot be read."""
        try:
            # Buffered, so that not all of a column lies in memory.
            with pq.ParquetFile(self.path, buffer_size=_READ_BYTES) as file:
                yield from file.iter_batches(_BATCH_ROWS, row_groups=[self.number])
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self.told, error) from error

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not blank, with their numbers. Raises ``TaskError`` where it is no
        text.
        """
        try:
            data = self._bytes()
            # What is not in UTF-8 can be found out from a whole file alone.
            text = decode(data)[0] if self.whole else data.removeprefix(_BOM).decode("utf-8")
        except (OSError, UnicodeDecodeError, LoadingError) as error:
            raise unreadable(self.told, error) from error
        for number, line in enumerate(io.StringIO(text, newline="\n"), self.first):
            if line.strip():
                yield number, line

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


def plan_input(inputs: Sequence[Path], without: Path) -> Plan:
    """Which pieces the files and folders ``inputs`` hold; what is in the folder ``without`` is
    passed over.

    Raises ``UserError`` where there is no such file or folder, no file to read in them, or where
    the rows have no form that is known, or several.
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
        if columns:
            form = find_form(columns)
            if form is None:
                raise _no_form(name, columns)
            forms[name] = form
    if not forms and not faults:
        raise UserError(
            f"There is no row in {', '.join(map(str, inputs))}.", "Name files that have some."
        )
    return Plan(pieces, _one_form(forms), faults, others)


def _named_files(inputs: Sequence[Path], without: Path) -> tuple[dict[str, Path], list[str]]:
    """The files to read by name, sorted, and the names of others that lie beside them."""
    named: dict[str, Path] = {}
    others: list[str] = []
    for given in inputs:
        files, missing = find_files([str(given)], Path())
        if missing and not given.is_dir():
            raise UserError(f"There is no file or folder {given}.", "Mend the path.")
        base = given.resolve()
        for path in files:
            if without.resolve() in path.resolve().parents:
                continue
            below = path.resolve().relative_to(base.parent) if given.is_dir() else path.name
            name = str(below)
            if path.suffix.lower() not in (*_LINES, *_PARQUET):
                others.append(name)
            elif named.setdefault(name, path.resolve()) != path.resolve():
                raise UserError(
                    f"Two files have the name {name}: {named[name]} and {path.resolve()}.",
                    "Rename one, for the name tells their rows apart; or name a folder above both.",
                )
    if not named:
        beside = f" (there are {len(others)} others, such as {others[0]})" if others else ""
        raise UserError(
            f"There is no Parquet or JSON lines file in {', '.join(map(str, inputs))}{beside}.",
            "Rows are read from files that end in .parquet, .jsonl or .ndjson.",
        )
    return dict(sorted(named.items())), sorted(others)


def _cut(path: Path, name: str) -> tuple[list[Piece], list[str]]:
    """The pieces of a file and the names of its columns. Raises ``TaskError``."""
    try:
        if path.suffix.lower() in _PARQUET:
            return _cut_parquet(path, name)
        return _cut_lines(path, name), _first_keys(path)
    except (OSError, pa.ArrowException, LoadingError) as error:
        raise unreadable(name, error) from error


def _cut_parquet(path: Path, name: str) -> tuple[list[Piece], list[str]]:
    with pq.ParquetFile(path) as file:
        columns, groups, first = file.schema_arrow.names, file.num_row_groups, 1
        pieces: list[Piece] = []
        for number in range(groups):
            rows = file.metadata.row_group(number).num_rows
            pieces.append(Piece(str(path), name, number, first, rows, whole=groups == 1))
            first += rows
    return pieces, columns


def _cut_lines(path: Path, name: str) -> list[Piece]:
    pieces: list[Piece] = []
    size, start, first = path.stat().st_size, 0, 1
    with path.open("rb") as file:
        while start < size:
            block = file.read(_PIECE_BYTES)
            block += file.readline()
            end, rows = start + len(block), block.count(b"\n") + (not block.endswith(b"\n"))
            whole = start == 0 and end == size
            pieces.append(Piece(str(path), name, len(pieces), first, rows, start, end, whole))
            start, first = end, first + rows
    return pieces


def _first_keys(path: Path) -> list[str]:
    """The keys of the objects at the head of a file of lines, for a key may be left out where it
    is empty. Raises ``TaskError`` where there is no object.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES) + file.readline()
    if not head.strip():
        return []
    keys: dict[str, None] = {}
    for line in decode(head)[0].split("\n"):
        try:
            value = parse_line(line)
        except ValueError:
            continue
        keys.update(dict.fromkeys(value if isinstance(value, dict) else ()))
    if not keys:
        raise TaskError(f"{path.name} cannot be read: its first lines hold no JSON object")
    return list(keys)


def _row_group_hash(path: Path, number: int) -> str:
    """Of the columns' names and types, and of the bytes of the group."""
    with pq.ParquetFile(path) as file:
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
