"""A run is a folder. Stages meet only through finished files in it.

A stage writes its Parquet files aside and renames them; ``stage.json`` comes last and marks
the stage as finished. It holds the fingerprint of all that the stage was made from, so a
stage that is finished is not run again, and a stage whose inputs changed is.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from teichaku.core.errors import UserError
from teichaku.core.records import Dropped

Record = TypeVar("Record")

_PARQUET_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    tuple[str, ...]: pa.list_(pa.string()),
}


def fingerprint(value: Any) -> str:
    """A SHA-256 of a JSON value in canonical form."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def write_aside(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step: a reader sees the old file or the whole new one.

    Raises ``UserError`` where the disk is full or may not be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Make room on the disk, or check who may write there; then run again: "
            "what is finished is kept.",
        ) from error


def write_records(path: Path, kind: type[Any], records: Iterable[Any]) -> int:
    """Write dataclass records of class ``kind`` as Parquet; the number of rows."""
    rows = list(records)
    columns = {
        field.name: [getattr(row, field.name) for row in rows] for field in dataclasses.fields(kind)
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=_schema(kind)), sink, compression="zstd")
    write_aside(path, sink.getvalue().to_pybytes())
    return len(rows)


def read_records(path: Path, kind: type[Record]) -> Iterator[Record]:
    """The records of class ``kind`` in the Parquet file at ``path``, streaming."""
    tuples = [name for name, hint in typing.get_type_hints(kind).items() if hint == tuple[str, ...]]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                for name in tuples:
                    row[name] = tuple(row[name])
                yield kind(**row)


def _schema(kind: type[Any]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, _parquet_type(hint)) for name, hint in typing.get_type_hints(kind).items()]
    )


def _parquet_type(hint: Any) -> pa.DataType:
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        hint = str
    return _PARQUET_TYPES[hint]


def record_as_json(record: Any) -> str:
    """A dataclass record as JSON, for :attr:`Dropped.record`."""
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False, sort_keys=True)


def dropped(record: Any, stage: str, reason: str, evidence: str = "", raw: str = "") -> Dropped:
    """``record`` as a :class:`Dropped` row of ``stage``."""
    return Dropped(
        record.id, type(record).__name__, stage, reason, evidence, record_as_json(record), raw
    )


class StageFolder:
    """The folder of one stage; :meth:`finish` marks it as done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def marker(self) -> Path:
        """The file that marks the stage as finished."""
        return self.path / "stage.json"

    def summary(self) -> dict[str, Any] | None:
        """What ``stage.json`` says, or None where the stage is not finished."""
        if not self.marker.is_file():
            return None
        loaded: dict[str, Any] = json.loads(self.marker.read_text(encoding="utf-8"))
        return loaded

    def is_finished(self, made_from: str) -> bool:
        """Whether the stage is finished and was made from just this."""
        summary = self.summary()
        return summary is not None and summary.get("fingerprint") == made_from

    def begin(self, made_from: str) -> None:
        """Make ready: work begun from something else is removed, work from the same is kept."""
        mark = self.path / "begun"
        if mark.is_file() and mark.read_text(encoding="utf-8") == made_from:
            self.marker.unlink(missing_ok=True)
            return
        if self.path.exists():
            shutil.rmtree(self.path)
        write_aside(mark, made_from.encode())

    def write(self, name: str, kind: type[Any], records: Iterable[Any]) -> int:
        """Write records as ``NAME.parquet``; the number of rows."""
        return write_records(self.path / f"{name}.parquet", kind, records)

    def read(self, name: str, kind: type[Record]) -> Iterator[Record]:
        """The records of ``NAME.parquet``; none where the stage wrote no such file."""
        path = self.path / f"{name}.parquet"
        if path.is_file():
            yield from read_records(path, kind)

    def finish(self, made_from: str, summary: Mapping[str, Any]) -> None:
        """Mark the stage as finished."""
        content = {"fingerprint": made_from, **summary}
        write_aside(self.marker, json_bytes(content))


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run, named by its folder. Raises ``UserError`` where there is none."""
        for candidate in (path, Path("runs") / path):
            if (candidate / "run.json").is_file():
                return cls(candidate)
        known = sorted(found.parent.name for found in Path("runs").glob("*/run.json"))
        hint = f"Runs here: {', '.join(known)}." if known else "Start one: teichaku run RECIPE"
        raise UserError(f"There is no run at {path}.", hint)

    def remove_leftovers(self) -> None:
        """Remove the unfinished files of a run that was killed while it wrote."""
        for part in self.path.rglob(".*.part"):
            part.unlink(missing_ok=True)

    def stage(self, name: str) -> StageFolder:
        """The folder of the stage ``name`` (``synthesis/qa``)."""
        return StageFolder(self.path / name)

    def stages(self) -> dict[str, dict[str, Any]]:
        """The summaries of all finished stages by name, in the order of their ``position``."""
        found = {
            str(marker.parent.relative_to(self.path)): json.loads(marker.read_text("utf-8"))
            for marker in self.path.rglob("stage.json")
        }
        return dict(sorted(found.items(), key=lambda item: (item[1].get("position", 0), item[0])))

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object of the run."""
        loaded: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        return loaded

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON object of the run."""
        write_aside(self.path / name, json_bytes(content))


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """``content`` as JSON that people can read too."""
    return (json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n").encode("utf-8")
