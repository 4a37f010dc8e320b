"""The controls of a selection over shards: rows of as many characters as it keeps, drawn by chance
or the longest, as :mod:`teichaku.curation.selection` has them for a study.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from teichaku.core.records import Example, content_id
from teichaku.core.run_folder import fingerprint, write_records
from teichaku.curation.amount import characters
from teichaku.curation.shards import Sketch
from teichaku.recipes.curate_tasks import ShardTask
from teichaku.recipes.select_schema import Control
from teichaku.recipes.shard_files import (
    Made,
    Shard,
    finished,
    once,
    read_array,
    read_rows,
    read_table,
    rows_of,
    write_sketch,
)

#: The folder of each control beside the result.
FOLDERS: Mapping[Control, str] = {"random": "random", "length": "longest"}


@dataclass(frozen=True)
class MeasureTask(ShardTask):
    """Measure the rows of a shard, and draw a number for each by ``seed`` and its id."""

    seed: int


@dataclass(frozen=True)
class ControlTask(ShardTask):
    """Write the rows of a shard, which begin at ``start``, that are in a control. Which those are
    stands in the array ``chosen``, whose hash is ``key``; the marker is in ``markers``, a folder
    below that of the result.
    """

    control: Control
    chosen: str
    key: str
    start: int
    markers: str

    @property
    def made_from(self) -> str:
        """The rows, and which of them are chosen."""
        return fingerprint([self.files, self.key])

    @property
    def marker(self) -> str:
        """The name of its marker from the folder of the result on."""
        return f"{self.markers}/{self.control}-{self.name}"


def measure_shard(task: MeasureTask) -> Made:
    """The characters and the drawn number of each row of a shard."""
    folder = Path(task.folder)
    return once(folder, task.marker, task.made_from, task.settings, partial(_measure, task, folder))


def _measure(task: MeasureTask, folder: Path) -> list[Shard]:
    rows = read_rows(Path(task.source), task.name, task.files)
    drawn = [int(content_id("random", task.seed, row.id), 16) for row in rows]
    arrays = {
        "size": np.array([characters([row]) for row in rows], np.int64),
        "drawn": np.array(drawn, np.uint64),
    }
    return [
        finished(folder, task.name, len(rows), write_sketch(folder, task.name, Sketch(arrays, {})))
    ]


def chosen_rows(control: Control, sizes: np.ndarray, drawn: np.ndarray, limit: int) -> np.ndarray:
    """Which rows (bool) are in the ``control`` of a selection of ``limit`` characters: in the
    order of ``drawn``, or the longest by ``sizes`` first and then in that order, each that still
    fits.
    """
    order = np.lexsort((drawn, -sizes) if control == "length" else (drawn,))
    chosen, room = np.zeros(len(sizes), bool), limit
    for row, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= room:
            chosen[row] = True
            room -= size
    return chosen


def write_control(task: ControlTask) -> Made:
    """The rows of a shard that are in a control, as examples in its folder."""
    folder = Path(task.folder)
    return once(folder, task.marker, task.made_from, task.settings, partial(_write, task, folder))


def _write(task: ControlTask, folder: Path) -> list[Shard]:
    table = read_table(Path(task.source), task.name, task.files)
    chosen = np.asarray(read_array(Path(task.chosen))[task.start : task.start + table.num_rows])
    rows = rows_of(table.filter(pa.array(chosen)))
    file = f"{FOLDERS[task.control]}/{task.name}.parquet"
    write_records(folder / file, Example, rows)
    return [finished(folder, task.name, len(rows), [file])]
