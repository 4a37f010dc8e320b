"""What a run that is not finished, and one of benchmarks alone, says of itself."""

from pathlib import Path

import pytest

from report_run import Plan, gain, write_run
from teichaku.report import build
from teichaku.report.build import build_report
from teichaku.report.forgetting import Replies
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate


def test_every_stage_of_the_recipe_that_is_not_finished_is_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(gain))
    about = run.read_json("run.json")
    later = ["controls", "unanswerable", "signals", "comparisons", "calibration"]
    run.write_json("run.json", {**about, "stages": [*about["stages"], *later]})
    caveats = build_report(run, "en")["headline"]["caveats"]
    assert any(f"nothing of them is shown: {', '.join(later)}." in told for told in caveats)


def test_benchmarks_that_are_not_finished_are_no_finding(tmp_path: Path) -> None:
    plan = Plan(gain, unfinished=("questions", "evaluation"))
    run = write_run(tmp_path / "run", plan)
    about = {**run.read_json("run.json"), "asks_questions": False}
    run.write_json("run.json", {**about, "stages": ["controls"]})
    assert build_report(run, "ja")["headline"]["outcome"] == "unfinished"
    run.write_json("run.json", {**about, "stages": []})
    headline = build_report(run, "ja")["headline"]
    assert (headline["outcome"], headline["decision"]) == ("no_questions", "benchmarks")


def lost(*_: object) -> Cell:
    level = Estimate(0.6, 0.5, 0.7, 50, 50, 0)
    return Cell(
        "control", "closed_book", "controls", level, level, Estimate(-0.2, -0.3, -0.1, 50, 50, 0)
    )


def readable(*_: object) -> Replies:
    """All of them, so that what was lost is an ability."""
    same = Estimate(0.0, -0.01, 0.01, 50, 50, 0)
    worse = Estimate(-0.2, -0.3, -0.1, 50, 50, 0)
    unread = Cell("control", "closed_book", "unread", same, same, same)
    return Replies(0.2, unread, same, worse, 50, 1.0)


@pytest.mark.parametrize(("language", "badge", "told"), [
    ("ja", "ベンチマークのみ", "能力が失われています"),
    ("en", "Benchmarks only", "What is lost is an ability"),
])  # fmt: skip
def test_where_benchmarks_alone_are_asked_what_was_forgotten_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, badge: str, told: str
) -> None:
    monkeypatch.setattr(build, "control_cell", lost)
    monkeypatch.setattr(build, "control_replies", readable)
    run = write_run(tmp_path / "run", Plan(gain, unfinished=("questions", "evaluation")))
    about = {**run.read_json("run.json"), "asks_questions": False, "stages": []}
    run.write_json("run.json", about)
    diagnosis = build_report(run, language)["headline"]["diagnosis"]
    assert (diagnosis["ability"], diagnosis["remedies"]) == ("forgets", ["replay"])
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert f'<p class="badge">{badge}</p>' in page
    assert told in page
    two = Plan(gain, arms=(("a", 0.1), ("b", 0.1)), unfinished=("questions", "evaluation"))
    several = write_run(tmp_path / "several", two)
    several.write_json(
        "run.json", {**several.read_json("run.json"), "asks_questions": False, "stages": []}
    )
    assert build_report(several, language)["headline"]["diagnosis"] is None
