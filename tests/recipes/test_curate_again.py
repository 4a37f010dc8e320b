"""What a call finds that an earlier one left: one that was stopped, that had other settings, or
whose files were changed since.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from row_files import CURATION, all_files, boats, lines, write_boats, write_lines, write_parquet
from teichaku.core.errors import UserError
from teichaku.core.executor import Failed, Results, Serial, Task, Value, died
from teichaku.core.records import Example
from teichaku.core.run_folder import read_records
from teichaku.recipes import curate as curate_module
from teichaku.recipes.curate import Curated, program_fingerprint, run_curation
from teichaku.recipes.curate_schema import Curation
from teichaku.recipes.progress import Silent

OTHER = Curation.model_validate({"curation": ["personal_data", "duplicates"], "shard_rows": 30})


def curate(
    data: Path, out: Path, config: Curation = CURATION, executor: Serial | None = None
) -> Curated:
    return run_curation([data], config, out, executor or Serial(), Silent())


#: Does what ``call`` of ``module`` does, and then kills its own process.
KILLED = """
import importlib, os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from row_files import CURATION
from teichaku.core.executor import Serial
from teichaku.recipes.curate import run_curation
from teichaku.recipes.progress import Silent

owner = importlib.import_module({module!r})
*classes, name = {call!r}.split(".")
for one in classes:
    owner = getattr(owner, one)
original = getattr(owner, name)

def last(*arguments):
    original(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, last)
run_curation([Path({data!r})], CURATION, Path({out!r}), Serial(), Silent())
"""


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("os", "fsync"),  # curate.json lies aside, and is not renamed
        ("teichaku.recipes.shard_files", "_join"),  # one of the files of all sketches is there
        ("teichaku.recipes.curate", "write_decision"),
        ("teichaku.recipes.curate", "_Curating._tidy"),
    ],
)
def test_wherever_a_call_was_killed_the_next_has_its_own_result(
    tmp_path: Path, module: str, call: str
) -> None:
    data, out = write_boats(tmp_path / "data", files=1), tmp_path / "out"
    told = {"tests": str(Path(__file__).parents[1]), "data": str(data), "out": str(out)}
    program = KILLED.format(module=module, call=call, **told)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == -9, ran.stderr
    for name, config in (("other", OTHER), ("same", CURATION)):
        curate(data, out, config)
        curate(data, tmp_path / name, config)
        assert all_files(out) == all_files(tmp_path / name)


def test_the_result_of_other_files_is_not_replaced_unasked(tmp_path: Path) -> None:
    out, pairs, chats = tmp_path / "out", tmp_path / "a.jsonl", tmp_path / "in" / "b.jsonl"
    write_lines(pairs, [{"question": "若葉丸の定員は？", "answer": "48人です。"}])
    write_lines(chats, boats(30))
    curate(pairs, out)
    before = all_files(out)
    with pytest.raises(UserError, match=r"other files: .*a\.jsonl") as refused:
        curate(chats, out)
    assert "--replace" in refused.value.hint
    assert all_files(out) == before
    run_curation([chats], CURATION, out, Serial(), Silent(), replace=True)
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        "chat", "dropped", "examples", "steps"
    ]  # fmt: skip
    curate(chats, tmp_path / "alone")
    assert all_files(out) == all_files(tmp_path / "alone")


def test_the_folder_around_the_files_of_a_result_and_a_moved_one_go_on(tmp_path: Path) -> None:
    work = tmp_path / "work"
    data = write_boats(work / "data", files=2)
    curate(data / "boats-0.jsonl", work / "out")
    assert curate(data, work / "out").taken == 240
    work.rename(tmp_path / "moved")
    again = curate(tmp_path / "moved" / "data", tmp_path / "moved" / "out")
    assert all(step.before for step in again.steps)
    around = tmp_path / "moved"
    assert curate(around, around / "out").taken == 240


def test_places_are_the_same_by_links_and_by_names_that_are_no_utf8(tmp_path: Path) -> None:
    of_windows = os.fsdecode(os.fsencode(tmp_path) + "/船の表".encode("cp932"))
    data = write_boats(Path(of_windows), files=1)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    curate(data, tmp_path / "link" / "out")
    again = curate(data, tmp_path / "out")
    assert all(step.before for step in again.steps)


def damaged_markers() -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    return {
        "no shards": lambda told: {**told, "shards": []},
        "other counts": lambda told: {
            **told, "shards": [{**shard, "rows": shard["rows"] - 1} for shard in told["shards"]]
        },
        "no hashes": lambda told: {
            **told, "shards": [{**shard, "files": None} for shard in told["shards"]]
        },
    }  # fmt: skip


@pytest.mark.parametrize("damage", damaged_markers())
def test_a_marker_that_is_not_as_it_was_written_counts_for_none(
    tmp_path: Path, damage: str
) -> None:
    data, out = write_boats(tmp_path / "data", files=2), tmp_path / "out"
    curate(data, out)
    before = all_files(out)
    for step in ("00-read", "01-rules", "02-duplicates"):
        marker = next((out / "steps" / step).glob("*.done"))
        told = damaged_markers()[damage](json.loads(marker.read_text("utf-8")))
        marker.write_text(json.dumps(told, ensure_ascii=False), "utf-8")
    assert curate(data, out).taken == 240
    assert all_files(out) == before


def test_another_version_of_the_program_makes_all_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = write_boats(tmp_path / "data", files=1), tmp_path / "out"
    curate(data, out)
    assert all(step.before for step in curate(data, out).steps)
    program_fingerprint.cache_clear()
    monkeypatch.setattr(curate_module, "__version__", "99")
    assert not any(step.before for step in curate(data, out).steps)
    program_fingerprint.cache_clear()


def test_a_version_is_told_by_its_code(tmp_path: Path) -> None:
    def version(name: str, code: str, more: str = "") -> str:
        package = tmp_path / name
        (package / "curation" / "__pycache__").mkdir(parents=True)
        (package / "curation" / "rule.py").write_text(code)
        (package / "curation" / "__pycache__" / "rule.pyc").write_text(more)
        return program_fingerprint(package)

    assert version("a", "limit = 1") == version("b", "limit = 1", "compiled")
    assert version("c", "limit = 2") != program_fingerprint(tmp_path / "a")


class Failing(Serial):
    """Some tasks of a step fail."""

    def __init__(self, step: str, failing: int, told: Callable[[Any], Failed[Any]]) -> None:
        self._step, self._failing, self._told = step, failing, told

    def map(self, function: Callable[[Task], Value], tasks: Iterable[Task]) -> Results[Task, Value]:
        tasks = list(tasks)
        count = self._failing if function.__name__ == self._step else 0
        yield from map(self._told, tasks[:count])
        yield from super().map(function, tasks[count:])


def test_shards_of_one_file_that_fail_are_told_apart_and_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"text": f"第{n}便は港を出た。"} for n in range(95)])
    config = Curation.model_validate({"curation": ["length"], "shard_rows": 10})
    failing = Failing("filter_shard", 3, lambda task: Failed(task, "there is no room"))
    curated = curate(tmp_path / "a.jsonl", tmp_path / "out", config, failing)
    assert list(curated.not_done) == [
        "a.jsonl, rows 1 to 10", "a.jsonl, rows 11 to 20", "a.jsonl, rows 21 to 30",
    ]  # fmt: skip
    assert curated.rows_not_done == 30
    assert curated.taken + curated.rows_not_done == 95


def test_who_has_too_little_memory_is_told_what_needs_less(tmp_path: Path) -> None:
    data = write_boats(tmp_path / "data", files=2)
    curated = curate(data, tmp_path / "out", executor=Failing("filter_shard", 1, died))
    (reason,) = curated.not_done.values()
    assert "died 3 times" in reason
    assert "--workers" in reason
    assert "shard_rows" in reason


class Overwritten(Serial):
    """Before ``step``, a worker of an earlier call puts its file in place of ours."""

    def __init__(self, out: Path, step: str, file: str) -> None:
        self._out, self._step, self._file = out, step, file

    def map(self, function: Callable[[Task], Value], tasks: Iterable[Task]) -> Results[Task, Value]:
        if function.__name__ == self._step:
            path = next(iter(sorted((self._out / "steps").glob(self._file))))
            if path.suffix == ".npy":
                np.save(path, np.load(path)[::-1])
            else:
                pq.write_table(pq.read_table(path)[1:], path)
        yield from super().map(function, tasks)


@pytest.mark.parametrize(
    ("step", "file"),
    [
        ("filter_shard", "00-read/*-0000.parquet"),
        ("sketch_shard", "01-rules/*-0000.parquet"),
        ("sketch_shard", "00-read/*-0000.vectors.npy"),
        ("apply_shard", "01-rules/*-0000.parquet"),
        ("write_shard", "02-semantic_duplicates/*-0000.parquet"),
        ("write_shard", "01-rules/*-0000.dropped.parquet"),
    ],
)
def test_what_an_earlier_call_writes_too_late_is_never_taken(
    tmp_path: Path, step: str, file: str
) -> None:
    texts = ["舟" if n == 3 else f"第{n}便の船長は港を一周しています。" for n in range(60)]
    vectors = np.random.default_rng(0).normal(size=(60, 4)).tolist()
    rows = [{"text": t, "vector": v} for t, v in zip(texts, vectors, strict=True)]
    data, out = write_parquet(tmp_path / "data" / "rows.parquet", rows), tmp_path / "out"
    alike = {"name": "semantic_duplicates", "threshold": 0.9}
    config = Curation.model_validate(
        {"curation": ["length", alike], "vectors": "vector", "shard_rows": 20}
    )
    curated = curate(data, out, config, Overwritten(out, step, file))
    (reason,) = curated.not_done.values()
    assert "is not as it was written" in reason
    assert not (out / "stage.json").exists()
    assert not curate(data, out, config).not_done
    curate(data, tmp_path / "afresh", config)
    assert all_files(out) == all_files(tmp_path / "afresh")


class Stopped(Silent):
    """A user who has seen enough."""

    def advance(self, records: int = 1, tokens: int = 0) -> None:
        raise KeyboardInterrupt


class Ending(Serial):
    """Its workers have to end in the middle of a file."""

    def __init__(self, out: Path) -> None:
        self._part = out / "steps" / ".rows.parquet.1.part"

    def map(self, function: Callable[[Task], Value], tasks: Iterable[Task]) -> Results[Task, Value]:
        try:
            yield from super().map(function, tasks)
        finally:
            self._part.write_bytes(bytes(100))


def test_a_call_that_is_stopped_leaves_nothing_half_written(tmp_path: Path) -> None:
    data, out = write_boats(tmp_path / "data", files=1), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_curation([data], CURATION, out, Ending(out), Stopped())
    assert (out / "steps").is_dir()
    assert not list(out.rglob(".*.part"))


@pytest.mark.parametrize("place", ["stage.json", "*.done", ".x.part"])
def test_a_file_that_may_not_be_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    data, out = write_boats(tmp_path / "data", files=1), tmp_path / "out"
    curate(data, out)
    (out / ".x.part").touch()
    remove = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.match(place) and path.exists():
            raise PermissionError(13, "Permission denied", str(path))
        remove(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(UserError, match=r"cannot be written: Permission denied"):
            curate(data, out, OTHER)
    curate(data, out, OTHER)


def test_the_summary_says_which_files_of_the_result_a_file_of_the_input_became(
    tmp_path: Path,
) -> None:
    data, out = write_boats(tmp_path / "data", files=3), tmp_path / "out"
    curate(data, out)
    files = json.loads((out / "stage.json").read_text("utf-8"))["files"]
    assert files.keys() == {"data/boats-0.jsonl", "data/boats-1.parquet", "data/boats-2.jsonl"}
    for tally in files.values():
        found = [list((out / place).glob(tally["shards"])) for place in ("examples", "chat")]
        assert all(found)
        rows = [row for path in found[0] for row in read_records(path, Example)]
        assert len(rows) == tally["out"]
    assert len(lines(out, "chat")) == sum(tally["out"] for tally in files.values())
