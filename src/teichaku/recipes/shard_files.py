"""The files of a step: shards of rows, sketches, and the marker that a task is finished.

A task writes its files aside, renames them, and then writes its marker, which holds what the
files were made from, the hash of each, and its own. So a task that was killed is done again, one
that is finished is not, and a file that was damaged since is noticed. Who reads a file compares it
with the hash that its task was told: a worker of an earlier call, on a machine that was out of
reach, may have come back and put its own in that place.
"""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from teichaku.core.executor import TaskError
from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import (
    fingerprint,
    json_bytes,
    unwritable,
    write_aside,
    write_records,
)
from teichaku.curation.shards import Sketch, Texts
from teichaku.recipes.shard_input import unreadable

KEPT, DROPPED = ".parquet", ".dropped.parquet"
MARKER = ".done"
_OWN_HASH = "sha256"
_ARRAY, _DATA, _ENDS = ".npy", ".texts", ".ends.npy"
#: How the files of texts end.
TEXT_FILES = (_DATA, _ENDS)
#: The hashes of files by name, where they are known.
Hashes: TypeAlias = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Row(Example):
    """An example on its way through the shards.

    ``source`` is its file and the number of its row or line there, ``rest`` what else that row
    held, as JSON, ``position`` its place among the rows of its shard as they were read, and
    ``score`` the number that it came with, where one is asked for.
    """

    source: str = ""
    rest: str = ""
    position: int = 0
    score: float | None = None


def given_score(example: Example) -> float | None:
    """A rank by which the row with the best score that rows came with stays."""
    return example.score if isinstance(example, Row) else None


_COLUMNS = tuple(field.name for field in fields(Row))
_TUPLES = tuple(_COLUMNS.index(name) for name in ("fact_ids", "parent_ids", "history"))


@dataclass(frozen=True)
class Shard:
    """The files of one shard in the folder of a step, with their hashes; how many rows stay in
    it, and how many fell in this step by reason.
    """

    name: str
    rows: int
    files: Mapping[str, str]
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """How many rows came in."""
        return self.rows + sum(self.reasons.values())

    @property
    def key(self) -> str:
        """Changes where a file of the shard does."""
        return fingerprint(dict(self.files))


@dataclass(frozen=True)
class Made:
    """The shards that a task made; ``before`` is that they were found finished."""

    shards: Sequence[Shard]
    before: bool = False


def once(
    folder: Path, name: str, made_from: str, settings: str, work: Callable[[], Sequence[Shard]]
) -> Made:
    """The shards that ``work`` makes, unless they are there: made from just this, with just these
    settings, and as they were written.
    """
    marker = folder / f"{name}{MARKER}"
    about = {"input": made_from, "settings": settings}
    found = _read_marker(marker, about)
    if found and _is_intact(folder, found):
        return Made(found, before=True)
    remove(marker)
    shards = work()
    content = {**about, "shards": [asdict(shard) for shard in shards]}
    write_aside(marker, json_bytes({**content, _OWN_HASH: fingerprint(content)}))
    return Made(shards)


def _read_marker(marker: Path, about: Mapping[str, str]) -> list[Shard]:
    """The shards of a marker; none where it is of something else, or not as it was written."""
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
        stated = content.pop(_OWN_HASH)
        if stated != fingerprint(content) or about != {key: content[key] for key in about}:
            return []
        return [Shard(**shard) for shard in content["shards"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def remove(path: Path) -> None:
    """Remove a file, which may be gone. Raises ``UserError`` where that is not allowed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def _is_intact(folder: Path, shards: Sequence[Shard]) -> bool:
    try:
        return all(
            _file_hash(folder / name) == stated
            for shard in shards
            for name, stated in shard.files.items()
        )
    except OSError:
        return False


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finished(
    folder: Path, name: str, rows: int, files: Iterable[str], fallen: Iterable[Dropped] = ()
) -> Shard:
    """The shard ``name`` of these files, which were just written. Raises ``TaskError`` where one
    cannot be read.
    """
    hashes = {}
    for file in sorted(files):
        try:
            hashes[file] = _file_hash(folder / file)
        except OSError as error:
            raise unreadable(str(folder / file), error) from error
    return Shard(name, rows, hashes, dict(sorted(Counter(r.reason for r in fallen).items())))


def write_rows(folder: Path, name: str, kept: Sequence[Row], fallen: Sequence[Dropped]) -> Shard:
    """Write a shard: the rows that stay and those that fell, each in its order."""
    write_records(folder / f"{name}{KEPT}", Row, sorted(kept, key=lambda row: row.position))
    return with_dropped(folder, name, len(kept), fallen)


def with_dropped(folder: Path, name: str, rows: int, fallen: Sequence[Dropped]) -> Shard:
    """Write what fell beside the rows of a shard, which are written."""
    ordered = sorted(fallen, key=lambda record: (record.record_id, record.reason, record.record))
    write_records(folder / f"{name}{DROPPED}", Dropped, ordered)
    return finished(folder, name, rows, [f"{name}{KEPT}", f"{name}{DROPPED}"], fallen)


def read_rows(folder: Path, name: str, files: Hashes = None) -> list[Row]:
    """The rows of a shard. ``files`` are the hashes of its files, by :attr:`Shard.files`: raises
    ``TaskError`` where the file is lost, damaged or another one.
    """
    return rows_of(read_table(folder, name, files))


def read_table(folder: Path, name: str, files: Hashes = None) -> pa.Table:
    """The rows of a shard as they lie in the file. Raises ``TaskError`` as :func:`read_rows`."""
    return _table(folder / f"{name}{KEPT}", files)


def read_dropped(folder: Path, name: str, files: Hashes = None) -> Iterator[Dropped]:
    """What fell of a shard. Raises ``TaskError`` as :func:`read_rows`."""
    for row in _table(folder / f"{name}{DROPPED}", files).to_pylist():
        yield Dropped(**row)


def _table(path: Path, files: Hashes) -> pa.Table:
    try:
        with pq.ParquetFile(pa.BufferReader(_bytes(path, files))) as file:
            return file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(str(path), error) from error


def _bytes(path: Path, files: Hashes) -> bytes:
    """A file, read once, so that what is compared with its hash is what is used."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(str(path), error) from error
    if files is not None and hashlib.sha256(data).hexdigest() != files.get(path.name):
        raise TaskError(f"{path} is not as it was written")
    return data


def rows_of(table: pa.Table) -> list[Row]:
    """The rows of a table that :func:`read_table` gave."""
    columns = [table.column(name).to_pylist() for name in _COLUMNS]
    for place in _TUPLES:
        columns[place] = list(map(tuple, columns[place]))
    return [Row(*values) for values in zip(*columns, strict=True)]


def write_table(folder: Path, name: str, table: pa.Table) -> None:
    """Write rows of a shard just as :func:`write_rows` does."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_aside(folder / f"{name}{KEPT}", sink.getvalue().to_pybytes())


def write_sketch(folder: Path, name: str, sketch: Sketch) -> list[str]:
    """Write the arrays and texts of a shard's sketch; the names of the files."""
    files = [f"{name}.{key}{_ARRAY}" for key in sketch.arrays]
    for file, array in zip(files, sketch.arrays.values(), strict=True):
        write_array(folder / file, array)
    for key, stored in sketch.texts.items():
        size = int(stored.ends[-1]) if len(stored) else 0
        write_aside(folder / f"{name}.{key}{_DATA}", stored.data[0:size])
        write_array(folder / f"{name}.{key}{_ENDS}", stored.ends)
        files += [f"{name}.{key}{_DATA}", f"{name}.{key}{_ENDS}"]
    return files


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array in one step."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    write_aside(path, sink.getvalue())


def read_array(path: Path, files: Hashes = None) -> np.ndarray:
    """An array in a file: memory-mapped, but where it is compared with its hash in ``files``.
    Raises ``TaskError`` where it is lost, damaged or another one.
    """
    try:
        if files is None:
            found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            found = np.load(io.BytesIO(_bytes(path, files)), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise unreadable(str(path), error) from error
    return found


class _FileBytes:
    """The bytes of a file, read where they are asked for. Those of a mapped file would count as
    memory of the process, all that it ever looked at.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def __getitem__(self, part: slice) -> bytes:
        return os.pread(self._file.fileno(), part.stop - part.start, part.start)


def read_texts(folder: Path, key: str) -> Texts:
    """Texts that :func:`gather` put together. Raises ``TaskError`` where they are lost."""
    try:
        return Texts(_FileBytes(folder / f"{key}{_DATA}"), read_array(folder / f"{key}{_ENDS}"))
    except OSError as error:
        raise unreadable(str(folder / f"{key}{_DATA}"), error) from error


def gather(folder: Path, shards: Sequence[Shard], out: Path) -> Sketch:
    """The sketches of all shards as one, in files of ``out`` that are memory-mapped.

    They are written a piece at a time, for to write into a mapped file on a full disk would kill
    the process. Raises ``UserError`` where the disk is full, ``TaskError`` where a file of a
    shard is lost, damaged or another one.
    """
    first = shards[0]
    names = [file.removeprefix(f"{first.name}.") for file in first.files]
    keys = [name.removesuffix(_DATA) for name in names if name.endswith(_DATA)]
    arrays = [name for name in names if name.endswith(_ARRAY) and not name.endswith(_ENDS)]
    for key in keys:
        parts = _parts(folder, shards, f"{key}{_DATA}")
        _join(out / f"{key}{_DATA}", (_bytes(path, files) for path, files in parts))
        ends, before = [], 0
        for path, files in _parts(folder, shards, f"{key}{_ENDS}"):
            ends.append(read_array(path, files) + before)
            before = int(ends[-1][-1]) if len(ends[-1]) else before
        write_array(out / f"{key}{_ENDS}", np.concatenate(ends))
    for name in arrays:
        _join(out / name, _joined_arrays(_parts(folder, shards, name)))
    return Sketch(
        {name.removesuffix(_ARRAY): read_array(out / name) for name in arrays},
        {key: read_texts(out, key) for key in keys},
    )


def _parts(folder: Path, shards: Sequence[Shard], name: str) -> list[tuple[Path, Hashes]]:
    """A file of each shard, with the hashes of its files."""
    return [(folder / f"{shard.name}.{name}", shard.files) for shard in shards]


def _joined_arrays(parts: Sequence[tuple[Path, Hashes]]) -> Iterator[bytes]:
    """The arrays as one, a piece at a time."""
    heads = [(array.dtype, array.shape) for array in map(read_array, (path for path, _ in parts))]
    # Of no rows, an array need not know how wide they are.
    dtype, shape = next((head for head in heads if head[1][0]), heads[0])
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
    rows = sum(shape[0] for _, shape in heads)
    sink = io.BytesIO()
    np.lib.format.write_array_header_1_0(sink, {**header, "shape": (rows, *shape[1:])})
    yield sink.getvalue()
    for path, files in parts:
        array = read_array(path, files)
        if len(array) and (array.dtype != dtype or array.shape[1:] != shape[1:]):
            raise TaskError(f"{path} has another shape than others")
        yield array.tobytes()


def _join(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``parts`` end to end. Raises ``UserError`` where the disk is full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for part in parts:
                file.write(part)
    except OSError as error:
        raise unwritable(path, error) from error


def added(tallies: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counts by name."""
    total: dict[str, int] = {}
    for tally in tallies:
        for name, count in tally.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))
