"""Several judges mark the same answers; none marks its own unsaid, and none makes up a mark."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from judged_studies import ARM, PAIRWISE, judged_study, run_judged
from studies import run_study, write_study
from teichaku.backends import scripted
from teichaku.core.errors import RecipeError
from teichaku.core.records import Answer, Comparison, Judgement, Question, Score
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.before import check_before
from teichaku.recipes.load import load_recipe
from teichaku.report.build import build_report

THREE = {name: {"backend": "scripted", "model": name} for name in ("first", "prose")}
SERVER = {"backend": "http", "base_url": "http://localhost:8000/v1", "model": "Qwen/Qwen3-32B"}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("judged")
        return run_judged(folder, patched, judges=THREE, pairwise=PAIRWISE)


def test_marks_of_all_judges_are_kept_apart(judged: RunFolder) -> None:
    stage = judged.stage("evaluation")
    marks = {(m.answer_id, m.judge): m.score for m in stage.read("judgements", Judgement)}
    scores = [row for row in stage.read("scores", Score) if row.scorer.startswith("judge")]
    assert len(marks) == len(scores)
    judges = {"judge": "scripted", "judge:first": "first", "judge:prose": "prose"}
    assert {row.scorer for row in scores} == set(judges)
    for row in scores:
        assert row.value == marks[row.answer_id, f"scripted:{judges[row.scorer]}"]


def test_prose_is_no_mark_and_its_reason_is_kept(judged: RunFolder) -> None:
    rows = list(judged.stage("evaluation").read("judgements", Judgement))
    prose = [row for row in rows if row.judge == "scripted:prose"]
    assert prose
    assert all(row.score is None and row.error.startswith("unparseable_reply") for row in prose)
    assert all("興味深い" in row.raw for row in prose)
    assert all(row.score is not None for row in rows if row.judge != "scripted:prose")


def test_the_scripted_judge_marks_by_the_reference(judged: RunFolder) -> None:
    stage = judged.stage("evaluation")
    answers = {row.id: row for row in stage.read("answers", Answer)}
    questions = {q.id: q for q in judged.stage("questions").read("questions", Question)}
    marks = {
        row.answer_id: row.score
        for row in stage.read("judgements", Judgement)
        if row.judge == "scripted:scripted"
    }
    right = [
        m
        for a, m in marks.items()
        if questions[answers[a].question_id].reference == answers[a].text
    ]
    wrong = [m for a, m in marks.items() if answers[a].text == "分かりません。"]
    assert set(right) == {10}
    assert set(wrong) == {1}


def test_protocols_say_who_marked_and_by_what(judged: RunFolder) -> None:
    for stage, kind in (("evaluation", "absolute"), ("comparisons", "pairwise")):
        told = judged.read_json(f"{stage}/protocols.json")
        assert [judge["name"] for judge in told["judges"]] == ["", "first", "prose"]
        assert [judge["is_teacher"] for judge in told["judges"]] == [True, False, False]
        assert not any(judge["itself"] for judge in told["judges"])
        assert {protocol["kind"] for protocol in told["protocols"]} == {kind}
        assert {"base", ARM} <= set(told["models"])


def test_a_judge_that_goes_by_the_place_gives_ties_alone(judged: RunFolder) -> None:
    stage = judged.stage("comparisons")
    rows = [r for r in stage.read("comparisons", Comparison) if r.judge == "scripted:first"]
    assert {row.winner for row in rows} == {"first"}
    assert len(rows) == 2 * 8
    report = judged.read_json("report/report.json")
    (table,) = report["pairwise"]["groups"][0]["tables"]
    assert (table["arm"], table["against"]) == (ARM, "base")
    counts = {
        row["name"]: (row["wins"], row["ties"], row["losses"], row["failed"], row["flips"])
        for row in table["rows"]
        if not row["category"]
    }
    assert counts["first"] == (0, 8, 0, 0, 8)
    assert counts["prose"] == (0, 0, 0, 8, 0)
    assert counts[""][0] > 0
    assert counts[""][2:] == (0, 0, 0)


def test_the_report_counts_marks_that_contradict_the_reference(
    judged: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(judged.path, tmp_path / "run"))
    stage = run.stage("evaluation")
    scores = list(stage.read("scores", Score))
    same = [replace(row, scorer="exact") for row in scores if row.scorer == "containment"]
    stage.write("scores", Score, [row for row in scores if row.scorer != "exact"] + same)
    told = {row["name"]: row for row in build_report(run, "ja")["judges"]["against_reference"]}
    # The scripted judge marks by the reference, and one of the others gives no mark at all.
    assert set(told) == {"", "first"}
    assert told[""]["same"] and told[""]["without"]
    assert told[""]["same_marked_low"] == told[""]["without_marked_high"] == 0
    rows = list(stage.read("judgements", Judgement))
    turned = [row if row.score is None else replace(row, score=11 - row.score) for row in rows]
    stage.write("judgements", Judgement, turned)
    own = build_report(run, "ja")["judges"]["against_reference"][0]
    assert own["same_marked_low"] == own["same"]
    assert own["without_marked_high"] == own["without"]
    page = (run.path / "report" / "index.html").read_text("utf-8")
    count = own["same"]
    assert f"回答 {count} 件のうち、5 点以下を付けたもの：{count} 件" in page


def test_the_report_warns_of_judges_that_cannot_be_believed(judged: RunFolder) -> None:
    report = judged.read_json("report/report.json")
    said = {(r["name"], r["kind"]): r["warnings"] for r in report["judges"]["judges"]}
    assert "unlike" in said["first", "pairwise"]
    assert said["prose", "absolute"] == said["prose", "pairwise"] == ["unread"]
    assert said["", "absolute"] == ["teacher"]
    orders = {r["name"]: r["orders"] for r in report["judges"]["judges"] if r["orders"]}
    assert (orders[""]["agreeing"], orders["first"]["agreeing"]) == (8, 0)
    assert orders["first"]["first_won"]["value"] == 1
    (agreement,) = report["judges"]["agreement"]
    (pair,) = agreement["pairs"]
    assert pair["exact"]["value"] == 1
    page = (judged.path / "report" / "index.html").read_text("utf-8")
    assert 'id="pairwise"' in page
    assert 'id="judges"' in page
    assert "順序を変えると判定がよく変わります" in page
    shown = [answer for group in ("good", "bad", "sample") for question in
             report["side_by_side"][group] for answer in question["answers"]]  # fmt: skip
    marked = [answer["judges"] for answer in shown if answer["judges"]]
    assert marked
    assert all([row["name"] for row in rows] == ["", "first", "prose"] for rows in marked)
    assert "first（scripted:first）" in page or "first（first）" in page


def _recipe(folder: Path, **changes: Any) -> Path:
    recipe = write_study(folder)
    whole = {**yaml.safe_load(recipe.read_text("utf-8")), **changes}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"judge": SERVER, "evaluation": {"models": {"big": SERVER}}}, "big (same_model)"),
        (
            {
                "judge": SERVER,
                "evaluation": {"models": {"big": {**SERVER, "base_url": "http://other:1/v1"}}},
            },
            "big (same_name)",
        ),
        (
            {
                "evaluation": {
                    "models": {"big": SERVER},
                    "judges": {"second": {**SERVER, "extra": {"seed": 1}}},
                }
            },
            "evaluation.judges.second is a model whose answers it would mark: big (same_model)",
        ),
        (
            {
                "judge": SERVER,
                "student": {"backend": "transformers", "model": SERVER["model"]},
            },
            "base (same_name), qa@learning_rate=0.0001 (same_name)",
        ),
    ],
)
def test_a_judge_of_itself_is_refused_before_anything_is_spent(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as raised:
        check_before(load_recipe(_recipe(tmp_path, **changes)), tmp_path)
    assert told in str(raised.value)
    assert "itself: true" in str(raised.value)
    allowed = {
        **changes,
        "evaluation": {**changes.get("evaluation", {}), "judge": {"itself": True}},
    }
    check_before(load_recipe(_recipe(tmp_path, **allowed)), tmp_path)


def test_one_model_is_not_two_judges(tmp_path: Path) -> None:
    changes = {"evaluation": {"judges": {"second": {"backend": "scripted"}}}}
    with pytest.raises(RecipeError, match=r"judges.second is the same model as the judge of the"):
        check_before(load_recipe(_recipe(tmp_path, **changes)), tmp_path)


class _SameModel(scripted.ScriptedStudent):
    """A student whose weights are the judge's, which no recipe can tell."""

    def __init__(self, name: str = "scripted", exposures: int = 2, seconds: float = 0.0) -> None:
        super().__init__(name, exposures, seconds)
        self.identity = "scripted:scripted"


def test_what_only_identities_tell_is_refused_before_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "ScriptedStudent", _SameModel)
    recipe = judged_study(tmp_path, monkeypatch, {})
    with pytest.raises(RecipeError, match=r"base \(same_model\)"):
        run_study(recipe)
    assert not (tmp_path / "runs" / "boats" / "synthesis").exists(), "nothing was spent"
    run = run_study(judged_study(tmp_path, monkeypatch, {"judge": {"itself": True}}))
    report = run.read_json("report/report.json")
    assert any("自分自身の回答も採点しています" in said for said in report["headline"]["caveats"])
    (judge,) = report["judges"]["judges"]
    assert judge["warnings"] == ["itself", "teacher"]
    assert judge["itself"]["base"] == "same_model"
    assert judge["itself"][ARM] == "same_base"
