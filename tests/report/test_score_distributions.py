"""Histograms of the scores that curation leaves, against values worked out by hand."""

from pathlib import Path
from typing import Any

import pytest

from report_run import Plan, gain, write_run
from teichaku.core.records import Dropped, Example, ExampleScore
from teichaku.core.run_folder import RunFolder
from teichaku.curation.judge_screen import JudgeScreening
from teichaku.curation.magpie_screen import Screening
from teichaku.curation.survivors import SimilarPair
from teichaku.report.build import build_report
from teichaku.report.score_distributions import distribution_figures
from teichaku.report.wording import Wording

#: A score for each of the 12 examples that stay in the run, and for the 4 that fell.
FALLEN = [f"x{number}" for number in range(4)]


def scored_run(folder: Path, **notes: Any) -> RunFolder:
    """A run whose curation left scores: of a judge (one failed), of a selection, and of pairs."""
    run = write_run(folder, Plan(gain))
    stage = run.stage("curation/qa")
    kept = [example.id for example in stage.read("examples", Example)]
    judged = [(name, 4.0, 4.5) for name in kept] + [(name, 2.0, None) for name in FALLEN[:3]]
    said = [JudgeScreening(name, "j", score, mean, "") for name, score, mean in judged]
    said.append(JudgeScreening(FALLEN[3], "j", None, None, "", error="timed out"))
    stage.write("judge_screening", JudgeScreening, said)
    perplexity = {name: 2.0 ** (place + 1) for place, name in enumerate([*kept, *FALLEN])}
    rows = [ExampleScore(name, "perplexity", value) for name, value in perplexity.items()]
    stage.write("scores", ExampleScore, rows)
    fell = [Dropped(name, "Example", "curation", "outside_band", "", "", "{}") for name in FALLEN]
    stage.write("dropped", Dropped, fell)
    pairs = [
        SimilarPair("a", "b", "pair", "near", 0.7),
        SimilarPair("a", "c", "pair", "near", 0.9),
        SimilarPair("a", "d", "pair", "near", 0.92, "48 / 49"),
        SimilarPair("a", "b", "question", "near", 0.95),
    ]
    run.stage("similarities/qa").write("near_duplicates.pairs", SimilarPair, pairs)
    summary = stage.summary() or {}
    curation = [{"name": "judge_screen", "threshold": 3.5}, {"name": "near_duplicates"}]
    step = {"filter": "near_duplicates", "level": "pair", "threshold": 0.8, "compared": 12,
            "fall": [], "approximate": False}  # fmt: skip
    changed = {"arguments": {"curation": curation}, "notes": {"thresholds": [step], **notes}}
    run.write_json("curation/qa/stage.json", {**summary, **changed})
    return run


def counted(row: dict[str, Any]) -> dict[str, int]:
    """How many are on each side."""
    found: dict[str, int] = {}
    for bar in row["bars"]:
        found[bar["side"]] = found.get(bar["side"], 0) + bar["count"]
    return found


def test_each_score_has_its_values_and_its_cut(tmp_path: Path) -> None:
    (arm,) = build_report(scored_run(tmp_path / "drinks"), "en")["curation"]
    judge, perplexity, pairs = arm["distributions"]
    assert (judge["score"], judge["n"], judge["without"]) == ("judge_screen", 15, 1)
    assert judge["cuts"] == [3.5]
    # The score that the judge expected counts where there is one.
    assert counted(judge) == {"kept": 12, "fell": 3}
    assert max(bar["most"] for bar in judge["bars"]) == 4.5
    assert min(bar["least"] for bar in judge["bars"]) == 2.0
    assert counted(perplexity) == {"kept": 12, "fell": 4}
    # The highest that stays; nothing fell below the lowest.
    assert perplexity["cuts"] == [2.0**12]
    assert perplexity["is_logarithmic"]
    assert (pairs["score"], pairs["level"], pairs["cuts"]) == ("near_duplicates", "pair", [0.8])
    assert counted(pairs) == {"alike": 2, "told_apart": 1}


def test_every_value_is_in_the_bar_that_holds_it(tmp_path: Path) -> None:
    (arm,) = build_report(scored_run(tmp_path / "drinks"), "en")["curation"]
    bars = arm["distributions"][1]["bars"]
    values = [2.0 ** (place + 1) for place in range(16)]
    for bar in bars:
        # Edges are rounded.
        inside = [v for v in values if bar["least"] - 1e-6 <= v <= bar["most"] + 1e-6]
        assert len(inside) >= bar["count"] > 0
    assert sum(bar["count"] for bar in bars) == len(values)


def test_a_run_without_scores_has_no_histogram(tmp_path: Path) -> None:
    report = build_report(write_run(tmp_path / "drinks", Plan(gain)), "en")
    assert report["curation"][0]["distributions"] == []
    assert distribution_figures(report, Wording("en")) == []


def test_the_pairs_of_a_filter_that_the_recipe_has_no_more_are_not_shown(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "drinks", thresholds=[])
    (arm,) = build_report(run, "en")["curation"]
    assert [row["score"] for row in arm["distributions"]] == ["judge_screen", "perplexity"]


def test_scores_of_instructions_have_theirs_and_one_value_is_one_bar(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    stage = run.stage("curation/qa")
    said = [
        Screening(example.id, "j", "easy", "good", 8.0, "", ())
        for example in stage.read("examples", Example)
    ]
    stage.write("screening", Screening, said)
    (arm,) = build_report(run, "en")["curation"]
    (row,) = arm["distributions"]
    assert (row["score"], row["cuts"]) == ("magpie_screen", [])
    (bar,) = row["bars"]
    assert (bar["least"], bar["most"], bar["count"]) == (7.5, 8.5, 12)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_tells_arm_number_and_sides_of_each(tmp_path: Path, language: str) -> None:
    run, words = scored_run(tmp_path / "drinks"), Wording(language)
    report = build_report(run, language)
    titles = [figure.title for figure in distribution_figures(report, words)]
    assert len(titles) == 3
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert all("qa" in title and title.partition("n = ")[2] in page for title in titles)
    assert words("score_distributions.without", count="1") in titles[0]
    assert words("score_distributions.note") in page
    legends = [figure.legend for figure in distribution_figures(report, words)]
    assert list(legends[2]) == [
        words("score_distributions.alike"), words("score_distributions.told_apart")
    ]  # fmt: skip
