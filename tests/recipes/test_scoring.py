"""Scores are made of files alone, and the run stays what it was."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies import final_files, run_study, write_data_study, write_study
from teichaku.backends import scripted
from teichaku.core.errors import UserError
from teichaku.core.records import Answer, Score
from teichaku.core.run_folder import RunFolder
from teichaku.recipes import scoring
from teichaku.recipes.scoring import score_run

ALL = ["exact", "containment", "character_f1", "llmjp_char_f1", "judge_absolute"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    run_study(write_study(folder))
    return folder


@pytest.fixture
def run(study: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(study, tmp_path / "study")
    return RunFolder(tmp_path / "study" / "runs" / "boats")


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model is asked")

    for kind in (scripted.ScriptedModel, scripted.ScriptedStudent):
        monkeypatch.setattr(kind, "generate", refuse)


def scores(run: RunFolder) -> list[Score]:
    return list(run.stage("evaluation").read("scores", Score))


def rewrite(run: RunFolder, change: Callable[[pa.Table], pa.Table], name: str = "answers") -> None:
    path = run.path / "evaluation" / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def test_the_scorers_of_the_recipe_give_the_bytes_that_the_evaluation_wrote(
    run: RunFolder, no_models: None
) -> None:
    before = final_files(run)
    page = run.path / "report" / "index.html"
    page.unlink()
    (run.path / "evaluation" / "scores.parquet").unlink()
    found = [row for row in score_run(run) if row.stage == "evaluation"]
    assert final_files(run) == before
    assert page.is_file()
    assert {row.scorer for row in found} == {"containment", "exact", "character_f1", "judge"}
    assert {row.changed for row in found} == {None}
    assert {row.changed for row in score_run(run)} == {0}
    assert final_files(run) == before


def test_other_scorers_are_stated_and_the_run_is_as_finished_as_it_was(
    run: RunFolder, no_models: None
) -> None:
    original = final_files(run)
    found = {row.scorer: row for row in score_run(run, ALL) if row.stage == "evaluation"}
    assert set(found) == {"exact", "containment", "character_f1", "llmjp_char_f1", "judge"}
    assert found["llmjp_char_f1"].changed is None
    assert found["exact"].changed == found["judge"].changed == 0
    answers = list(run.stage("evaluation").read("answers", Answer))
    assert found["exact"].scores == len(answers) > found["judge"].scores
    stated = run.stages()["evaluation"]["notes"]["scorers"]
    assert stated == ["containment", "exact", "character_f1", "judge_absolute", "llmjp_char_f1"]
    once = final_files(run)
    score_run(run, ALL)
    assert final_files(run) == once
    score_run(run)
    assert final_files(run) == original


def test_a_run_goes_on_after_scoring_without_evaluating_again(run: RunFolder) -> None:
    score_run(run, ["llmjp_char_f1"])
    with_another = final_files(run)
    run_study(run.path.parents[1] / "recipe.yaml")
    assert final_files(run) == with_another
    report = json.loads((run.path / "report" / "report.json").read_text("utf-8"))
    asked = [row for row in report["scores"] if row["question_kind"] != "control"]
    assert "llmjp_char_f1" in {row["scorer"] for row in asked}


def test_scorers_that_are_named_take_nothing_out_of_the_report(run: RunFolder) -> None:
    original = final_files(run)
    before = json.loads((run.path / "report" / "report.json").read_text("utf-8"))
    score_run(run, ["exact", "character_f1"])
    assert final_files(run) == original
    score_run(run, ["llmjp_char_f1"])
    score_run(run, ["exact"])
    assert "llmjp_char_f1" in {row.scorer for row in scores(run)}
    after = json.loads((run.path / "report" / "report.json").read_text("utf-8"))
    assert after["headline"] == before["headline"]
    assert [row for row in after["scores"] if row["scorer"] != "llmjp_char_f1"] == before["scores"]


def test_a_changed_answer_changes_its_own_scores_alone(run: RunFolder) -> None:
    before = {(row.answer_id, row.scorer): row.value for row in scores(run)}
    folder = run.stage("evaluation")
    answers = list(folder.read("answers", Answer))
    place = next(place for place, one in enumerate(answers) if before[one.id, "containment"] == 0)
    questions = {row.answer_id: row.question_id for row in scores(run)}
    references = pq.read_table(run.path / "questions" / "questions.parquet").to_pylist()
    (right,) = [q["reference"] for q in references if q["id"] == questions[answers[place].id]]
    answers[place] = replace(answers[place], text=right)
    folder.write("answers", Answer, answers)
    rows = [row for row in score_run(run) if row.stage == "evaluation"]
    changed = {row.scorer: row.changed for row in rows}
    assert changed == {"containment": 1, "exact": 1, "character_f1": 1, "judge": 0}
    after = {(row.answer_id, row.scorer): row.value for row in scores(run)}
    different = {
        answer for answer, scorer in before if before[answer, scorer] != after[answer, scorer]
    }
    assert different == {answers[place].id}


def test_a_failed_answer_has_null_scores(run: RunFolder) -> None:
    folder = run.stage("evaluation")
    answers = list(folder.read("answers", Answer))
    folder.write("answers", Answer, [replace(one, text="", error="down") for one in answers])
    rows = [row for row in score_run(run, ["llmjp_char_f1"]) if row.stage == "evaluation"]
    by_characters = [row for row in rows if row.scorer != "judge"]
    assert [(row.failed, row.scores) for row in by_characters] == [(len(answers),) * 2] * 4


def cut(stage: str, name: str, rows: int = 1) -> Callable[[RunFolder], None]:
    def change(run: RunFolder) -> None:
        path = run.path / stage / f"{name}.parquet"
        table = pq.read_table(path)
        pq.write_table(table.slice(rows), path)

    return change


def holding(name: str, content: str) -> Callable[[RunFolder], None]:
    def change(run: RunFolder) -> None:
        path = run.path / name
        assert path.is_file()
        path.write_text(content, "utf-8")

    return change


def truncated(run: RunFolder) -> None:
    path = run.path / "evaluation" / "answers.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def unfinished(run: RunFolder) -> None:
    (run.path / "evaluation" / "stage.json").unlink()


def no_questions(run: RunFolder) -> None:
    (run.path / "questions" / "questions.parquet").unlink()


def other_questions(run: RunFolder) -> None:
    path = run.path / "questions" / "questions.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (unfinished, "is not finished"),
        (truncated, "answers.parquet is damaged: it cannot be read"),
        (no_questions, "questions.parquet is damaged: it is not there"),
        (other_questions, "which the run does not ask"),
        (lambda run: rewrite(run, lambda rows: rows.slice(1)), "its stage says"),
        (
            lambda run: rewrite(run, lambda rows: rows.slice(1), "judgements"),
            "judgements.parquet is damaged",
        ),
        (
            lambda run: rewrite(run, lambda rows: rows.drop_columns(["text"])),
            "another version of Teichaku: there is no column 'text'",
        ),
        (
            lambda run: rewrite(run, lambda rows: rows.append_column("mood", rows["text"])),
            "the column 'mood' is not known",
        ),
        (cut("controls", "answers", 5), "controls/answers.parquet is damaged: it has"),
        (cut("controls", "items", 3), "controls/items.parquet is damaged: it has"),
        (cut("controls", "questions"), "controls/questions.parquet is damaged: it has"),
        (holding("controls/sets.json", "{}"), "sets.json is damaged"),
        (holding("controls/sets.json", "[]"), "sets.json is damaged"),
        (holding("controls/stage.json", "x"), "controls/stage.json is damaged"),
        (holding("evaluation/stage.json", "{}"), "evaluation/stage.json is damaged"),
        (holding("evaluation/protocols.json", "{}"), "protocols.json is damaged"),
        (holding("evaluation/protocols.json", "x"), "protocols.json is damaged"),
        (holding("signals/signals.parquet", ""), "signals.parquet is damaged"),
        (holding("run.json", "{}"), "run.json is damaged"),
        (holding("run.json", ""), "run.json is damaged"),
        (holding("stages.json", "["), "stages.json is damaged"),
    ],
)
def test_files_that_cannot_be_scored_are_named_and_nothing_changes(
    run: RunFolder, damage: Callable[[RunFolder], None], told: str
) -> None:
    damage(run)
    before = final_files(run)
    with pytest.raises(UserError, match=told) as refused:
        score_run(run)
    assert refused.value.hint
    assert final_files(run) == before


def test_a_report_that_cannot_be_made_leaves_the_scores_as_they_were(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: RunFolder) -> None:
        raise KeyError("passages")

    before = final_files(run)
    monkeypatch.setattr(scoring, "make_report", fail)
    with pytest.raises(UserError, match="cannot be made: KeyError"):
        score_run(run, ["exact"])
    assert final_files(run) == before


def test_scorers_that_are_not_known_or_have_nothing_to_go_by_are_refused(run: RunFolder) -> None:
    before = final_files(run)
    with pytest.raises(UserError, match="did you mean 'exact'") as refused:
        score_run(run, ["containment", "exakt"])
    assert all(name in (refused.value.hint or "") for name in ALL)
    folder = run.stage("evaluation")
    summary = folder.summary() or {}
    rewrite(run, lambda rows: rows.slice(0, 0), "judgements")
    notes = {**summary["notes"], "judgements": 0}
    folder.finish(summary["fingerprint"], {**summary, "notes": notes})
    with pytest.raises(UserError, match="marks need a model"):
        score_run(run, ["judge_absolute"])
    assert scores(run)
    assert final_files(run)["evaluation/scores.parquet"] == before["evaluation/scores.parquet"]


def test_a_run_that_asks_nobody_has_nothing_to_score(tmp_path: Path) -> None:
    run = run_study(write_data_study(tmp_path))
    with pytest.raises(UserError, match="ends with the data set"):
        score_run(run)
