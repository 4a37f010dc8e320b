import errno
import gc
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from teichaku.core import run_folder
from teichaku.core.errors import UserError
from teichaku.core.records import Dropped, Example, Judgement, Passage
from teichaku.core.run_folder import (
    RunFolder,
    StageFolder,
    dropped,
    fingerprint,
    read_records,
    write_aside,
    write_records,
)


def example(number: int) -> Example:
    return Example(f"{number:016x}", "d", "p", "m", f"問{number}？", "答え", fact_ids=("f1", "f2"))


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s")
    records = [example(1), example(2)]
    assert folder.write("examples", Example, records) == 2
    assert list(folder.read("examples", Example)) == records


def test_null_scores_stay_null(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path)
    marks = [Judgement("1", "a", "j", "p", None, ""), Judgement("2", "a", "j", "p", 7.0, "良い")]
    folder.write("judgements", Judgement, marks)
    assert [mark.score for mark in folder.read("judgements", Judgement)] == [None, 7.0]


def test_an_empty_file_has_its_columns(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path)
    folder.write("passages", Passage, [])
    assert list(folder.read("passages", Passage)) == []
    assert (tmp_path / "passages.parquet").is_file()


def test_a_stage_is_finished_only_for_what_it_was_made_from(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s")
    folder.begin("a")
    assert not folder.is_finished("a")
    folder.finish("a", {"counts": {}})
    assert folder.is_finished("a")
    assert not folder.is_finished("b")


def test_beginning_from_something_else_removes_old_work_and_keeps_the_same(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "s")
    folder.begin("a")
    write_aside(folder.path / "half.bin", b"work")
    folder.begin("a")
    assert (folder.path / "half.bin").is_file()
    folder.begin("b")
    assert not (folder.path / "half.bin").exists()


def test_writing_where_nothing_may_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_aside(tmp_path / "file" / "below.json", b"{}")


def test_writing_leaves_no_part_behind(tmp_path: Path) -> None:
    write_aside(tmp_path / "a.json", b"1")
    write_aside(tmp_path / "a.json", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"2"


def test_a_dropped_record_keeps_what_it_was() -> None:
    fallen = dropped(example(3), "curation", "duplicate", "0 stays")
    assert isinstance(fallen, Dropped)
    assert (fallen.kind, fallen.reason, fallen.record_id) == ("Example", "duplicate", example(3).id)
    assert "問3？" in fallen.record


def test_the_fingerprint_knows_values_and_not_their_order() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_run_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    RunFolder(Path("runs/other")).write_json("run.json", {})
    with pytest.raises(UserError, match="no run nothing in the folder /") as caught:
        RunFolder.open(Path("nothing"))
    assert "other" in caught.value.hint
    assert RunFolder.open(Path("other")).path == Path("runs/other")


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_aside(tmp_path / "questions" / "questions.parquet", b"whole")
    half = tmp_path / "questions" / ".answers.parquet.77.part"
    half.write_bytes(b"ha")
    adapter = tmp_path / "training" / "qa" / ".checkpoint-50.part" / "adapter.safetensors"
    write_aside(adapter, b"ha")
    run.remove_leftovers()
    assert [path.name for path in tmp_path.rglob("*.p*")] == ["questions.parquet"]


def test_files_that_no_run_wrote_are_never_removed(tmp_path: Path) -> None:
    write_aside(tmp_path / "mine" / "documents" / "a.md", b"paid for")
    with pytest.raises(UserError, match="no run wrote"):
        RunFolder(tmp_path / "mine").stage("documents").begin("made from")
    with pytest.raises(UserError, match="no run wrote"), RunFolder(tmp_path / "mine").working():
        raise AssertionError("the folder was taken")
    assert (tmp_path / "mine" / "documents" / "a.md").read_bytes() == b"paid for"


def test_two_processes_cannot_work_in_one_run(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with first.working(), pytest.raises(UserError, match="Another run"), second.working():
        raise AssertionError("both work")
    with second.working():
        pass


def test_a_run_tells_who_works_in_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert run.worker() == ""
    with run.working():
        assert run.worker() == str(os.getpid())
        told = pytest.raises(UserError, match=rf"process {os.getpid()}")
        with told, RunFolder(tmp_path / "run").working():
            raise AssertionError("both work")
    assert run.worker() == ""
    # As a process leaves it that is killed.
    (tmp_path / "run" / ".worker").write_text("12345")
    assert run.worker() == ""


def test_a_stage_that_the_recipe_no_longer_has_is_not_the_runs(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.begin_stages()
    for name in ("documents", "training/old"):
        run.stage(name).begin(name)
        run.stage(name).finish(name, {})
        run.add_stage(name, name)
    write_aside(tmp_path / "report" / "report.json", b"{}")
    run.begin_stages()
    run.add_stage("documents", "documents")
    assert list(run.stages()) == ["documents"]
    assert not (tmp_path / "report").exists()


def test_text_that_no_file_can_hold_is_mended(tmp_path: Path) -> None:
    odd = Dropped("1", "Example", "synthesis", "unparseable_reply", "\ud83d 船", raw="\udc8e")
    write_records(tmp_path / "dropped.parquet", Dropped, [odd])
    (kept,) = read_records(tmp_path / "dropped.parquet", Dropped)
    assert (kept.evidence, kept.raw) == ("? 船", "?")


def many(count: int, alive: "weakref.WeakSet[Any] | None" = None) -> Iterator[Any]:
    for number in range(count):
        made = Noted(f"{number:08}", f"問い{number}", float(number) if number % 3 else None)
        if alive is not None:
            alive.add(made)
        yield made


@dataclass(frozen=True)
class Noted:
    """A record that can be watched."""

    id: str
    text: str
    value: float | None


def test_of_many_records_a_few_are_in_memory_and_all_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "_ROWS_AT_ONCE", 100)
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def watched() -> Iterator[Any]:
        nonlocal most
        for record in many(1_050, alive):
            yield record
            most = max(most, len(alive))

    path = tmp_path / "n.parquet"
    assert write_records(path, Noted, watched()) == 1_050
    assert most <= 202
    assert list(read_records(path, Noted)) == list(many(1_050))
    assert write_records(tmp_path / "again.parquet", Noted, list(many(1_050))) == 1_050
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_a_file_may_be_made_from_itself(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path)
    folder.write("n", Noted, many(9))
    folder.write("n", Noted, (row for row in folder.read("n", Noted) if row.value is not None))
    assert [row.id[-1] for row in folder.read("n", Noted)] == list("124578")


def test_what_fails_while_records_are_made_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    write_records(path, Noted, many(3))

    def failing() -> Iterator[Any]:
        yield from many(2)
        raise ConnectionError("not the disk's fault")

    with pytest.raises(ConnectionError):
        write_records(path, Noted, failing())
    assert [found.name for found in tmp_path.iterdir()] == ["n.parquet"]
    assert list(read_records(path, Noted)) == list(many(3))


@pytest.mark.filterwarnings("error")
def test_a_full_disk_is_told_and_nothing_half_written_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "_ROWS_AT_ONCE", 2)
    write_table = pq.ParquetWriter.write_table
    written = 0

    def full(self: Any, table: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_table(self, table)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(UserError, match="No space left"):
        write_records(tmp_path / "n.parquet", Noted, many(9))
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_disk_that_takes_no_byte_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *how, **more: opened(
            Path("/dev/full") if self.suffix == ".part" else self, *how, **more
        ),
    )
    for write in (
        lambda: write_records(tmp_path / "n.parquet", Noted, many(9)),
        lambda: write_records(tmp_path / "n.parquet", Noted, many(20_000)),
        lambda: write_aside(tmp_path / "a.json", b"1"),
    ):
        with pytest.raises(UserError, match="No space left"):
            write()
    gc.collect()
    assert list(tmp_path.iterdir()) == []
