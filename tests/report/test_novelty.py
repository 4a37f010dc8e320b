"""The report tells what the student knew, how far that can be trusted, and what leaked."""

from pathlib import Path
from typing import Any, get_args

import pytest

from report_run import Plan, gain, write_run
from teichaku.core.run_folder import RunFolder
from teichaku.curation.novelty import NoveltyMethod
from teichaku.curation.novelty_evidence import Baseline, Finding, Label
from teichaku.recipes.leaks_schema import Leaks
from teichaku.report.build import build_report
from teichaku.report.wording import Wording, languages


def separation(score: str, **values: Any) -> dict[str, Any]:
    return {
        "label": "date", "score": score, "is_baseline": False, "n": 40, "documents": 10, "new": 12,
        "value": 0.61, "low": 0.44, "high": 0.78, "against": "length", "difference": 0.05,
        "difference_low": -0.1, "difference_high": 0.2, "finding": "nothing", **values,
    }  # fmt: skip


LEAKS = {
    "action": "drop", "files": ["bench.jsonl"], "threshold": 0.65, "items": 1200, "texts": 90,
    "leaking_items": 2, "leaking_examples": 3,
    "shown": [{"source": "bench.jsonl, line 4", "item": "<b>問い</b>", "part": "question",
               "ratio": 0.83, "piece": "問い", "example_id": "e"}],
}  # fmt: skip


def with_notes(folder: Path, separations: list[dict[str, Any]]) -> RunFolder:
    run = write_run(folder / "drinks", Plan(gain))
    stage = run.stage("novelty")
    stage.path.mkdir()
    notes = {
        "passages": 40, "method": "min_k", "scored": {"min_k": 39}, "released": "2024-06-30",
        "threshold": 0.8, "separations": separations,
    }  # fmt: skip
    counts = {"in": 40, "out": 40, "dropped": 0, "reasons": {}}
    stage.finish("made-from", {"counts": counts, "notes": notes})
    run.add_stage("novelty", "made-from")
    synthesis = run.stage("synthesis/qa")
    summary = dict(synthesis.summary() or {})
    counts = {"in": 18, "out": 16, "dropped": 2, "reasons": {"already_known": 2}}
    synthesis.finish("made-from", {**summary, "counts": counts})
    curation = run.stage("curation/qa")
    curation.finish("made-from", {**(curation.summary() or {}), "notes": {"leaks": LEAKS}})
    return run


def page_of(run: RunFolder) -> str:
    return (run.path / "report" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", languages())
def test_scores_stand_beside_what_is_told_blind_with_what_they_mean(
    tmp_path: Path, language: str
) -> None:
    baseline = separation("length", is_baseline=True, against="", difference=None, finding="")
    run = with_notes(tmp_path, [baseline, separation("min_k")])
    report = build_report(run, language)
    words, page = Wording(language), page_of(run)
    told = report["novelty"]
    assert [row["score"] for row in told["rows"]] == ["length", "min_k"]
    assert told["rows"][1]["meaning"] == words("novelty.findings.nothing")
    assert told["left_out"] == [{"stage": "synthesis/qa", "count": 2}]
    for text in (words("sections.novelty"), words("novelty.findings.nothing"), "0.44 – 0.78"):
        assert text in page
    assert "+0.05" in page
    assert words("novelty.of", new=12, n=40, documents=10) in page


def test_without_a_label_the_page_says_so(tmp_path: Path) -> None:
    run = with_notes(tmp_path, [])
    build_report(run, "en")
    assert "no score can be judged" in page_of(run)


def test_leaks_are_listed_and_what_they_say_is_escaped(tmp_path: Path) -> None:
    run = with_notes(tmp_path, [])
    (row,) = build_report(run, "en")["leaks"]
    assert (row["arm"], row["leaking_items"]) == ("qa", 2)
    page = page_of(run)
    assert "2 of 1,200 items of bench.jsonl stand in 3 of 90 training texts." in page
    assert "&lt;b&gt;問い" in page
    assert "<b>問い" not in page


def test_a_run_that_asked_for_neither_has_neither_section(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    report = build_report(run, "en")
    assert (report["novelty"], report["leaks"]) == (None, [])
    assert 'id="novelty"' not in page_of(run)
    assert 'href="#leaks"' not in page_of(run)


@pytest.mark.parametrize("language", languages())
def test_every_method_label_finding_and_action_has_words(language: str) -> None:
    words = Wording(language)
    assert words.names("novelty_scores") == {*get_args(NoveltyMethod), *get_args(Baseline)}
    assert words.names("novelty_labels") == set(get_args(Label))
    for finding in (*get_args(Finding), "baseline"):
        assert words(f"novelty.findings.{finding}", against="x")
    for action in get_args(Leaks.model_fields["action"].annotation):
        assert words(f"leaks.{action}")
