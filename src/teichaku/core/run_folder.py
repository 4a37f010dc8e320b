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
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.records import Dropped

Record = TypeVar("Record")

#: Which stages belong to the run as its recipe is now, with their fingerprints.
_STAGES = "stages.json"
_LOCK = ".lock"
_SECONDS_OF_A_LOOK = 0.2
#: Who holds the lock: a file of its own, for the lock's may be emptied by whoever tries it.
_WORKER = ".worker"
#: Rows of a Parquet file that are written together, as a row group.
_ROWS_AT_ONCE = 4096

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
    with _aside(path) as file, _writing(path):
        file.write(data)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` in one step at the end, once it is on the disk. What
    is raised meanwhile leaves the old file, and nothing of the new one.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = aside.open("wb")
        try:
            yield file
            with _writing(path):
                file.flush()
                os.fsync(file.fileno())
        finally:
            # All of it is on the disk, or none of it is wanted.
            with contextlib.suppress(OSError):
                file.close()
        with _writing(path):
            aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the disk says meanwhile is told as :func:`unwritable`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file at ``path``. Raises ``UserError`` where it holds none."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, "it cannot be read as JSON") from error
    if not isinstance(loaded, dict):
        raise damaged(path, "it holds no JSON object")
    return loaded


def damaged(path: Path, what: str) -> UserError:
    """What to tell a person whose run has a file that cannot be what was written."""
    return UserError(
        f"{path} is damaged: {what}.",
        "Copy it from where the run was made; or remove the folder of a stage, and the same "
        "command makes that stage anew.",
    )


def unwritable(path: Path, error: Exception) -> UserError:
    """What to tell a person whose disk refused a file."""
    return UserError.told(
        "{path} cannot be written: {why}.",
        translate(
            "Make room on the disk, or check who may write there; then run again: what is "
            "finished is kept."
        ),
        path=path,
        why=getattr(error, "strerror", None) or error,
    )


def write_records(path: Path, kind: type[Any], records: Iterable[Any]) -> int:
    """Write dataclass records of class ``kind`` as Parquet, as :func:`write_aside` writes bytes;
    the number of rows. Some thousands of them are in memory at a time, and the same records make
    the same bytes.
    """
    schema, pulled, count = _schema(kind), iter(records), 0
    with _aside(path) as file:
        with _writing(path):
            writer = pq.ParquetWriter(file, schema, compression="zstd")
        try:
            while rows := list(islice(pulled, _ROWS_AT_ONCE)):
                table = pa.table(
                    [_column([*map(attrgetter(field.name), rows)], field.type) for field in schema],
                    schema=schema,
                )
                with _writing(path):
                    writer.write_table(table)
                count += len(rows)
            with _writing(path):
                writer.close()
        finally:
            with contextlib.suppress(OSError, pa.ArrowException):
                writer.close()
            # A writer that a full disk kept from its end tries again when it is freed.
            writer.is_open = False
    return count


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """``values``; text with half a surrogate pair in it, which no file can hold, mended."""
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_mended(value) for value in values], kind)


def _mended(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def read_records(path: Path, kind: type[Record]) -> Iterator[Record]:
    """The records of class ``kind`` in the Parquet file at ``path``, streaming.

    A field that an older version did not write has its default; a column that ``kind`` has no
    field for is not read.
    """
    tuples = {name for name, hint in typing.get_type_hints(kind).items() if hint == tuple[str, ...]}
    fields = [field.name for field in dataclasses.fields(cast(Any, kind))]
    with pq.ParquetFile(path) as file:
        wanted = [name for name in file.schema_arrow.names if name in fields]
        for batch in file.iter_batches(columns=wanted or None):
            names = batch.schema.names
            columns = [column.to_pylist() for column in batch.columns]
            for place, name in enumerate(names):
                if name in tuples:
                    columns[place] = list(map(tuple, columns[place]))
            for values in zip(*columns, strict=True):
                yield (
                    kind(*values)
                    if names == fields
                    else kind(**dict(zip(names, values, strict=True)))
                )


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
        return read_object(self.marker)

    def is_finished(self, made_from: str) -> bool:
        """Whether the stage is finished and was made from just this."""
        summary = self.summary()
        return summary is not None and summary.get("fingerprint") == made_from

    def begin(self, made_from: str) -> None:
        """Make ready: work begun from something else is removed, work from the same is kept."""
        mark = self.path / "begun"
        if self.is_begun(made_from):
            self.marker.unlink(missing_ok=True)
            return
        if self.path.exists():
            if not mark.is_file() and any(self.path.iterdir()):
                raise UserError(
                    translate("{path} holds files that no run wrote.").format(path=self.path),
                    translate(
                        "Move them away, or write the run elsewhere: teichaku run ... --runs FOLDER"
                    ),
                )
            # Aside first: a kill in the middle must not leave a folder without its mark.
            aside = self.path.with_name(f".{self.path.name}.part")
            shutil.rmtree(aside, ignore_errors=True)
            self.path.rename(aside)
            shutil.rmtree(aside)
        self.mark(made_from)

    def is_begun(self, made_from: str) -> bool:
        """Whether the work that is here was begun from just this."""
        mark = self.path / "begun"
        return mark.is_file() and mark.read_text(encoding="utf-8") == made_from

    def mark(self, made_from: str) -> None:
        """Say what the work that is here is made from, without removing any of it."""
        write_aside(self.path / "begun", made_from.encode())

    def write(self, name: str, kind: type[Any], records: Iterable[Any]) -> int:
        """Write records as ``NAME.parquet``; the number of rows."""
        return write_records(self.path / f"{name}.parquet", kind, records)

    def read(self, name: str, kind: type[Record]) -> Iterator[Record]:
        """The records of ``NAME.parquet``; none where the stage wrote no such file."""
        path = self.path / f"{name}.parquet"
        if path.is_file():
            yield from read_records(path, kind)

    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each file of records."""
        return {path.name: _hash_of(path) for path in sorted(self.path.glob("*.parquet"))}

    def finish(self, made_from: str, summary: Mapping[str, Any]) -> None:
        """Mark the stage as finished."""
        content = {"fingerprint": made_from, **summary}
        write_aside(self.marker, json_bytes(content))


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(path.name not in (_LOCK, _WORKER) for path in folder.iterdir())


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Keep other processes from working in this folder meanwhile.

        Raises ``UserError`` where one does, or where the folder is not a run's.
        """
        if not (self.path / "run.json").is_file() and _holds_files(self.path):
            raise UserError(
                translate("{path} holds files that no run wrote.").format(path=self.path),
                translate("Write the run elsewhere: teichaku run ... --runs FOLDER"),
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Whoever looks whether somebody works here holds the lock for a moment.
            with FileLock(self.path / _LOCK, timeout=_SECONDS_OF_A_LOOK):
                (self.path / _WORKER).write_text(str(os.getpid()))
                try:
                    yield
                finally:
                    (self.path / _WORKER).unlink(missing_ok=True)
        except Timeout:
            number = self._noted_worker() or "?"
            raise UserError(
                translate("Another run is working in {path} (process {number}).").format(
                    path=self.path, number=number
                ),
                translate("Wait until it ends, or stop it."),
            ) from None
        except OSError as error:
            raise unwritable(self.path, error) from error

    def worker(self) -> str:
        """The number of the process that works in this folder; empty where none does."""
        number = self._noted_worker()
        if not number:
            return ""
        try:
            # What was killed has left its number, and no lock.
            with FileLock(self.path / _LOCK, timeout=0):
                return ""
        except (Timeout, PermissionError):
            return number
        except OSError:
            return ""

    def _noted_worker(self) -> str:
        try:
            return (self.path / _WORKER).read_text().strip()
        except OSError:
            return ""

    @classmethod
    def names(cls, runs: Path) -> list[str]:
        """The names of the runs in the folder ``runs``."""
        return sorted(found.parent.name for found in runs.glob("*/run.json"))

    @classmethod
    def open(cls, path: Path, runs: Path = Path("runs")) -> "RunFolder":
        """An existing run: its folder, or its name in ``runs``. Raises ``UserError`` where there
        is none.
        """
        for candidate in (path, runs / path):
            if (candidate / "run.json").is_file():
                return cls(candidate)
        known = ", ".join(cls.names(runs))
        hint = translate("Runs there: {names}. --runs DIR names another folder.")
        if not known:
            hint = translate("Start one: teichaku run RECIPE. --runs DIR names another folder.")
        told = translate("There is no run {path} in the folder {runs}.")
        raise UserError(told.format(path=path, runs=runs.resolve()), hint.format(names=known))

    def remove_leftovers(self) -> None:
        """Remove the unfinished files of a run that was killed while it wrote."""
        for part in list(self.path.rglob(".*.part")):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)

    def begin_stages(self) -> None:
        """Forget which stages belong to the run, and the report that showed them."""
        shutil.rmtree(self.path / "report", ignore_errors=True)
        self.write_json(_STAGES, {})

    def add_stage(self, name: str, made_from: str) -> None:
        """The finished stage ``name`` belongs to the run as its recipe is now."""
        self.write_json(_STAGES, {**self.read_json(_STAGES), name: made_from})

    def stage(self, name: str) -> StageFolder:
        """The folder of the stage ``name`` (``synthesis/qa``)."""
        return StageFolder(self.path / name)

    def stages(self) -> dict[str, dict[str, Any]]:
        """The summaries of the finished stages by name, in their order.

        What a recipe had before it changed is not among them.
        """
        if not (self.path / _STAGES).is_file():
            return {}
        listed = self.read_json(_STAGES)
        found = {name: self.stage(name).summary() for name in listed}
        for name, summary in found.items():
            if summary is not None and "fingerprint" not in summary:
                raise damaged(self.stage(name).marker, "it has no 'fingerprint'")
        return {
            name: summary
            for name, summary in found.items()
            if summary is not None and summary["fingerprint"] == listed[name]
        }

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object of the run."""
        return read_object(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON object of the run."""
        write_aside(self.path / name, json_bytes(content))


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """``content`` as JSON that people can read too."""
    return (json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n").encode("utf-8")
