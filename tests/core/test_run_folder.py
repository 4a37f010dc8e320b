from pathlib import Path

import pytest

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
    with pytest.raises(UserError, match="no run at nothing") as caught:
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
