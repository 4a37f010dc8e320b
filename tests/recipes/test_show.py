"""What fell is told with its reason, its evidence, and the document that it came from."""

from pathlib import Path

import pytest

from made import example, passage, question
from studies import run_study, write_data_study, write_study
from teichaku.core.errors import UserError
from teichaku.core.records import Document, Dropped, Fact
from teichaku.core.run_folder import RunFolder, dropped, record_as_json
from teichaku.recipes.show import stage_rows
from teichaku.recipes.study import require

BOAT = passage()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with one document and nothing else."""
    run = RunFolder(tmp_path / "boats")
    document = Document(BOAT.document_id, "docs/あおば丸.md", "あおば丸", BOAT.text)
    run.stage("documents").write("documents", Document, [document])
    return run


def fallen(run: RunFolder, stage: str, row: Dropped) -> dict[str, str]:
    run.stage(stage).write("dropped", Dropped, [row])
    total, (shown,) = stage_rows(run, stage, dropped=True, limit=20)
    assert total == 1
    return shown


def test_a_dropped_example_is_told_in_its_own_words_with_its_source(run: RunFolder) -> None:
    made = example("定員は？", "480人", BOAT)
    shown = fallen(run, "curation/qa", dropped(made, "curation", "not_grounded", "480人"))
    assert shown == {
        "record": f"Example {made.id}",
        "reason": "not_grounded",
        "why": "not supported by the passage",
        "evidence": "480人",
        "question": "定員は？",
        "answer": "480人",
        "source": "docs/あおば丸.md",
    }


def test_why_something_fell_is_told_in_the_language_of_the_system(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_LANG", "ja")
    made = example("定員は？", "480人", BOAT)
    shown = fallen(run, "curation/qa", dropped(made, "curation", "not_grounded", "480人"))
    assert (shown["reason"], shown["why"]) == ("not_grounded", "文書の裏付けがない")
    unknown = dropped(made, "curation", "a_rule_of_mine", "480人")
    assert "why" not in fallen(run, "curation/qa", unknown)


def test_a_refused_wording_is_told_apart_from_the_question_that_it_was_for(run: RunFolder) -> None:
    asked = question("あおば丸の定員は？", "48人", BOAT)
    reply = '{"question": "あおば丸の定員は何人？"}'
    row = dropped(asked, "questions", "wording_seen_in_training", "の定員は", reply)
    shown = fallen(run, "questions", row)
    assert shown["refused_wording"] == "あおば丸の定員は何人？"
    assert shown["of_question"] == "あおば丸の定員は？"
    assert shown["source"] == "docs/あおば丸.md"
    assert "question" not in shown
    assert "reply" not in shown


def test_a_reply_that_cannot_be_read_is_shown_as_it_came(run: RunFolder) -> None:
    asked = question("あおば丸の定員は？", "48人", BOAT)
    shown = fallen(run, "questions", dropped(asked, "questions", "unparseable", "", "I cannot."))
    assert shown["reply"] == "I cannot."
    lost = Dropped("r1", "Example", "synthesis", "truncated", "docs/あおば丸.md: cut", raw="[")
    assert fallen(run, "synthesis/qa", lost)["reply"] == "["


def test_a_document_that_fell_names_its_file(run: RunFolder) -> None:
    record = record_as_json(Document("d1", "docs/空.txt", "", ""))
    row = Dropped("d1", "Document", "documents", "empty", "It holds no text.", record)
    assert fallen(run, "documents", row)["source"] == "docs/空.txt"


def test_facts_of_an_arm_can_be_shown(run: RunFolder) -> None:
    fact = Fact("f1", BOAT.document_id, BOAT.id, 0, "あおば丸の定員は48人である。")
    run.stage("synthesis/qa").write("facts", Fact, [fact])
    assert stage_rows(run, "facts", dropped=False, limit=1)[1][0]["statement"] == fact.statement


def test_every_stage_of_a_run_can_be_shown(tmp_path: Path) -> None:
    run = run_study(write_study(tmp_path))
    for name in run.stages():
        total, rows = stage_rows(run, name, dropped=False, limit=1)
        assert bool(total) == bool(rows)
        assert total or not run.stages()[name]["counts"]["out"]
        stage_rows(run, name, dropped=True, limit=1)


def test_the_data_set_that_a_run_ends_with_can_be_shown(tmp_path: Path) -> None:
    run = run_study(write_data_study(tmp_path))
    for name in ("dataset/qa", "dataset"):
        total, (row,) = stage_rows(run, name, dropped=False, limit=1)
        assert total == 15
        assert row["question"]
    left = dropped(example("定員は？", "480人", BOAT), "export", "same_fact_as_unseen", "48人")
    run.stage("dataset/qa").write("left_out", Dropped, [left])
    total, (fallen_row,) = stage_rows(run, "dataset/qa", dropped=True, limit=1)
    assert (total, fallen_row["reason"]) == (1, "same_fact_as_unseen")


def test_a_hint_names_the_run(run: RunFolder) -> None:
    with pytest.raises(UserError, match="not begun") as caught:
        stage_rows(run, "curation/qa", dropped=False, limit=1)
    assert caught.value.hint == f"See: teichaku status {run.path}"
    with pytest.raises(UserError, match="no example left") as caught:
        require(run, [], "curation/qa", "example", {})
    assert f"teichaku show {run.path} curation/qa --dropped" in caught.value.hint
