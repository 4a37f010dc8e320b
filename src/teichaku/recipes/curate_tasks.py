"""What is done to one shard: read it, filter it, sketch it, apply a decision, write it out.

Each function is given a task that names files, and leaves finished files with their marker.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from teichaku.core.records import Dropped, Example, Passage
from teichaku.core.run_folder import (
    fingerprint,
    record_as_json,
    write_aside,
    write_records,
)
from teichaku.curation.chain import Filter, curate
from teichaku.curation.leak_probes import BenchmarkItem
from teichaku.curation.leaks import LeakIndex, drop_leaks
from teichaku.curation.personal_data.masking import PersonalDatum
from teichaku.curation.shards import Decision, FanIn, Sketch, Texts, fallen, label
from teichaku.recipes.row_forms import GIVEN, JSON_LINES, Form, without_turns
from teichaku.recipes.row_reading import piece_rows
from teichaku.recipes.shard_files import (
    TEXT_FILES,
    Made,
    Row,
    Shard,
    finished,
    once,
    read_array,
    read_dropped,
    read_rows,
    read_table,
    read_texts,
    rows_of,
    with_dropped,
    write_array,
    write_rows,
    write_sketch,
    write_table,
)
from teichaku.recipes.shard_input import Piece

VECTORS = ".vectors.npy"
#: What the filter ``personal_data`` found in a shard.
FOUND = ".personal_data.parquet"
#: The files of a decision, in the folder of its step.
DECISION = "decision"
_LABEL = "label"
#: Of the texts of a sketch, those that are looked up after the decision, too.
LABELS = tuple(f"{_LABEL}{ending}" for ending in TEXT_FILES)


@dataclass(frozen=True)
class ReadTask:
    """Cut a piece of the input into shards of rows, in ``folder``."""

    name: str
    piece: Piece
    form: Form
    folder: str
    settings: str
    language: str
    shard_rows: int
    vectors: str
    score: str

    @property
    def told(self) -> str:
        """The piece for people."""
        return self.piece.told

    @property
    def rows(self) -> int:
        """How many rows it expects."""
        return self.piece.rows

    @property
    def marker(self) -> str:
        """The name of its marker in the folder."""
        return self.name


@dataclass(frozen=True)
class ShardTask:
    """What is done to one shard of the folder ``source``, with results in ``folder``. ``told``
    is its part of the input for people, ``files`` are the hashes of its files by name.
    """

    name: str
    told: str
    rows: int
    files: Mapping[str, str]
    source: str
    folder: str
    settings: str

    @property
    def made_from(self) -> str:
        """Changes where its input does."""
        return fingerprint(self.files)

    @property
    def marker(self) -> str:
        """The name of its marker in the folder."""
        return self.name


@dataclass(frozen=True)
class FilterTask(ShardTask):
    """Let the rules of ``sections`` go over a shard, one after another, and then the check for
    the benchmark items in the file ``items``, if any; ``least`` is the share of one that leaks.
    """

    sections: tuple[Any, ...]
    language: str
    items: str = ""
    least: float = 0.0


@dataclass(frozen=True)
class SketchTask(ShardTask):
    """Sketch a shard; ``vectors`` is the folder of its vectors, or empty, and ``read`` the hashes
    of its files there.
    """

    step: FanIn
    vectors: str
    read: Mapping[str, str]

    @property
    def made_from(self) -> str:
        """The rows, and their vectors."""
        return fingerprint([self.files, self.read if self.vectors else {}])


@dataclass(frozen=True)
class ApplyTask(ShardTask):
    """Do what the decision in ``folder`` says of the rows of a shard, which begin at ``start``."""

    decision_key: str
    start: int

    @property
    def made_from(self) -> str:
        """The rows, and what is to be done to them."""
        return fingerprint([self.files, self.decision_key])


@dataclass(frozen=True)
class WriteTask(ShardTask):
    """Write a shard's rows to ``folder``, that of the result, and what fell of it in ``steps``.
    The marker is in ``markers``, a folder below it; ``history`` are the hashes of the
    shard's files in all steps.
    """

    form: Form
    markers: str
    steps: tuple[str, ...]
    history: tuple[Mapping[str, str], ...]

    @property
    def made_from(self) -> str:
        """All that any step made of it."""
        return fingerprint(self.history)

    @property
    def marker(self) -> str:
        """The name of its marker from the folder on."""
        return f"{self.markers}/{self.name}"


AnyTask = TypeVar("AnyTask", bound=ShardTask)


def read_piece(task: ReadTask) -> Made:
    """A piece of the input as shards. Rows without an example in them fall as ``bad_row``."""
    folder, piece = Path(task.folder), task.piece
    made_from = fingerprint([piece.content_hash(), piece.encoding, piece.dimensions])
    return once(folder, task.name, made_from, task.settings, partial(_read, task, folder))


def _read(task: ReadTask, folder: Path) -> list[Shard]:
    shards: list[Shard] = []
    cut = _Cut(task, folder)
    taken = 0
    for found in piece_rows(task.piece, task.form, task.language, task.vectors, task.score):
        taken += 1
        cut.add(found)
        if len(cut.rows) == task.shard_rows:
            shards.append(cut.write(len(shards)))
            cut = _Cut(task, folder)
    if cut.rows or cut.bad or not shards:
        shards.append(cut.write(len(shards)))
    _require_all(task.told, taken, shards)
    return shards


@dataclass
class _Cut:
    """A shard that is being filled."""

    task: ReadTask
    folder: Path
    rows: list[Row] = field(default_factory=list)
    bad: list[Dropped] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)

    def add(self, found: tuple[Row, np.ndarray | None] | Dropped) -> None:
        if isinstance(found, Dropped):
            self.bad.append(found)
            return
        row, vector = found
        # Its place is that of its vector, too.
        self.rows.append(replace(row, position=len(self.rows)))
        if vector is not None:
            self.vectors.append(vector)

    def write(self, number: int) -> Shard:
        name = f"{self.task.name}-{number:04d}"
        shard = write_rows(self.folder, name, self.rows, self.bad)
        if not self.task.vectors:
            return shard
        # Steps go by how many coordinates there are, where there is no row, too.
        none = np.zeros((0, self.task.piece.dimensions), np.float32)
        stacked = np.stack(self.vectors) if self.vectors else none
        write_array(self.folder / f"{name}{VECTORS}", stacked)
        return finished(self.folder, name, shard.rows, [*shard.files, f"{name}{VECTORS}"], self.bad)


def filter_shard(task: FilterTask) -> Made:
    """A shard without the rows that some filter lets fall."""
    return _once(task, _filter)


def _filter(task: FilterTask, folder: Path) -> list[Shard]:
    rows = read_rows(Path(task.source), task.name, task.files)
    given = {row.position: row for row in rows}
    kept: list[Row] = []
    dropped: list[Dropped] = []
    found: list[PersonalDatum] = []
    for record in curate(rows, _rules(task, found)):
        if isinstance(record, Dropped):
            row = Row(**json.loads(record.record))
            told = record_as_json(_without_old_text(row, given))
            dropped.append(replace(record, record=told))
        else:
            kept.append(_without_old_text(cast(Row, record), given))
    shard = write_rows(folder, task.name, kept, dropped)
    if found:
        file = f"{task.name}{FOUND}"
        ordered = sorted(found, key=lambda datum: (datum.example_id, datum.field, datum.start))
        write_records(folder / file, PersonalDatum, ordered)
        shard = finished(folder, task.name, len(kept), [*shard.files, file], dropped)
    _require_all(task.told, len(rows), [shard])
    return [shard]


def _without_old_text(row: Row, given: Mapping[int, Row]) -> Row:
    """``row`` without the turns it came with, where a filter changed what they say."""
    old = given[row.position]
    if (row.question, row.input, row.answer) == (old.question, old.input, old.answer):
        return row
    return replace(row, rest=without_turns(row.rest))


@dataclass(frozen=True)
class _Language:
    """All that rules ask of a recipe."""

    language: str


@dataclass(frozen=True)
class _NoStudy:
    """What rules are built from where there is no study."""

    recipe: _Language
    passages: Mapping[str, Passage] = field(default_factory=dict)


def _rules(task: FilterTask, found: list[PersonalDatum]) -> list[Filter]:
    """The filters of a task, of which one may add to ``found``."""
    # Late, because it brings all of a study along.
    from teichaku.recipes.filters import Noted, build_filter
    from teichaku.recipes.study import Study

    apart = cast(Study, _NoStudy(_Language(task.language)))
    noted = Noted(cast(list[Any], found))
    rules = [build_filter(apart, section, noted) for section in task.sections]
    return (
        [*rules, drop_leaks(_index(task.items, task.settings, task.least))] if task.items else rules
    )


@lru_cache(maxsize=1)
def _index(file: str, settings: str, least: float) -> LeakIndex:
    """The benchmark items in a file, made once for all shards that a worker gets; ``settings``
    change where they do.
    """
    rows = json.loads(Path(file).read_text(encoding="utf-8"))["items"]
    items = (BenchmarkItem(**{**row, "choices": tuple(row["choices"])}) for row in rows)
    return LeakIndex(items, least)


def sketch_shard(task: SketchTask) -> Made:
    """The sketch of a shard, and how each of its rows is named in evidence."""
    return _once(task, _sketch)


def _sketch(task: SketchTask, folder: Path) -> list[Shard]:
    rows = read_rows(Path(task.source), task.name, task.files)
    labels = Texts.of([label(row, row.source) for row in rows])
    rows = [replace(row, id=_in_order(row)) if row.method == GIVEN else row for row in rows]
    vectors = None
    if task.vectors:
        positions = [row.position for row in rows]
        vectors = read_array(Path(task.vectors) / f"{task.name}{VECTORS}", task.read)[positions]
    sketch = task.step.sketch(rows, vectors)
    texts = {**sketch.texts, _LABEL: labels}
    files = write_sketch(folder, task.name, Sketch(sketch.arrays, texts))
    return [finished(folder, task.name, len(rows), files)]


def _in_order(row: Row) -> str:
    """An id for a step to go by where all else is equal: the first of a file is the least."""
    name, _, number = row.source.rpartition("#")
    return f"{name}#{int(number):012d}"


def write_decision(folder: Path, decision: Decision) -> list[str]:
    """Write what a fan-in step decided; the names of the files."""
    told = {
        "keep": decision.keep,
        "reason": decision.reason,
        "witness": decision.witness,
        "similarity": decision.similarity,
    }
    for name, array in told.items():
        write_array(folder / f"{DECISION}.{name}.npy", array)
    reasons = f"{DECISION}.reasons.json"
    write_aside(folder / reasons, json.dumps(decision.reasons).encode())
    return [reasons, *(f"{DECISION}.{name}.npy" for name in told)]


def apply_shard(task: ApplyTask) -> Made:
    """A shard without the rows that a decision lets fall."""
    return _once(task, _apply)


def _apply(task: ApplyTask, folder: Path) -> list[Shard]:
    source = Path(task.source)
    table = read_table(source, task.name, task.files)
    names = ("keep", "reason", "witness", "similarity")
    arrays = {name: read_array(folder / f"{DECISION}.{name}.npy") for name in names}
    reasons = json.loads((folder / f"{DECISION}.reasons.json").read_text(encoding="utf-8"))
    decision = Decision(**arrays, reasons=tuple(reasons))
    keep = np.asarray(decision.keep[task.start : task.start + table.num_rows])
    gone = rows_of(table.filter(pa.array(~keep)))
    numbers = (np.flatnonzero(~keep) + task.start).tolist()
    labels = read_texts(folder, _LABEL)
    dropped = list(fallen(zip(numbers, gone, strict=True), decision, labels))
    write_table(folder, task.name, table.filter(pa.array(keep)))
    shards = [with_dropped(folder, task.name, int(keep.sum()), dropped)]
    _require_all(task.told, table.num_rows, shards)
    return shards


def write_shard(task: WriteTask) -> Made:
    """A shard as the result has it: examples, what fell of it, and its rows in their own form.

    Files are named from the folder of the result, where the marker of the task is, too.
    """
    return _once(task, _write)


def _write(task: WriteTask, folder: Path) -> list[Shard]:
    rows = read_rows(Path(task.source), task.name, task.files)
    files = [f"examples/{task.name}.parquet", f"dropped/{task.name}.parquet"]
    write_records(folder / files[0], Example, rows)
    gone = (
        record
        for step, files in zip(task.steps, task.history, strict=True)
        for record in read_dropped(Path(step), task.name, files)
    )
    write_records(folder / files[1], Dropped, gone)
    if task.form.name in JSON_LINES:
        files.append(f"{task.form.name}/{task.name}.jsonl")
        lines = (task.form.line(row, row.rest) for row in rows)
        write_aside(folder / files[2], "".join(lines).encode("utf-8", "replace"))
    return [finished(folder, task.name, len(rows), files)]


def _once(task: AnyTask, work: Callable[[AnyTask, Path], list[Shard]]) -> Made:
    folder = Path(task.folder)
    return once(folder, task.marker, task.made_from, task.settings, partial(work, task, folder))


def _require_all(told: str, taken: int, shards: list[Shard]) -> None:
    """Raise ``AssertionError`` where a row is neither among those that stay nor that fell."""
    found = sum(shard.taken for shard in shards)
    if found != taken:
        raise AssertionError(f"{told}: {taken} rows came in, {found} came out or fell")
