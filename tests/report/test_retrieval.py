"""The table of how well retrieval found the right passage."""

from pathlib import Path
from typing import Any

import pytest

from report_run import Plan, gain, write_run
from teichaku.core.run_folder import RunFolder, json_bytes, write_aside
from teichaku.report.build import build_report

_SHARE = {"value": 0.75, "low": 0.5, "high": 0.9, "n": 12}


def quality(**changes: Any) -> dict[str, Any]:
    row = {
        "recall": {"1": _SHARE, "10": {**_SHARE, "value": 0.8125}},
        "shown": _SHARE,
        "reciprocal_rank": {**_SHARE, "value": 0.6667},
        "questions": 12,
        "documents": 6,
        "depth": 20,
        "cut": 3,
        "without": 1,
    }
    return {**row, **changes}


def with_quality(run: RunFolder, searches: list[str], kinds: dict[str, Any]) -> RunFolder:
    content = {
        "searches": searches,
        "passages": 1200,
        "to_show": 2,
        "room": 2000,
        "kinds": kinds,
    }
    folder = run.stage("retrieval")
    write_aside(folder.path / "quality.json", json_bytes(content))
    counts = {"in": 12, "out": 12, "dropped": 0, "reasons": {}}
    folder.finish("made-from", {"stage": "retrieval", "position": 5, "counts": counts})
    run.add_stage("retrieval", "made-from")
    return run


def test_every_share_has_its_interval_and_what_it_rests_on(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    kinds = {"held_out": quality(), "all": quality()}
    found = build_report(with_quality(run, ["characters"], kinds), "en")["retrieval"]
    assert [row["question_kind"] for row in found["rows"]] == ["held_out", "all"]
    assert found["cutoffs"] == [1, 10]
    row = found["rows"][0]
    for figure in (*row["recall"], row["shown"], row["reciprocal_rank"]):
        assert (figure["low"], figure["high"], figure["n"], figure["documents"]) == (
            0.5,
            0.9,
            12,
            6,
        )
    page = (run.path / "report" / "index.html").read_text("utf-8")
    for told in ("Recall at 10", "1,200 passages", "0.67", "81%", "Search by characters (BM25)."):
        assert told in page


@pytest.mark.parametrize(
    ("searches", "told"),
    [
        (["characters"], "文字による検索（BM25）です。"),
        (["characters", "meaning"], "意味による検索"),
    ],
)
def test_it_is_told_what_was_searched_by(tmp_path: Path, searches: list[str], told: str) -> None:
    run = with_quality(write_run(tmp_path / "drinks", Plan(gain)), searches, {"all": quality()})
    build_report(run, "ja")
    assert told in (run.path / "report" / "index.html").read_text("utf-8")


def test_questions_without_a_passage_of_their_own_have_no_recall(tmp_path: Path) -> None:
    bare = quality(recall={}, shown=None, reciprocal_rank=None, questions=0, documents=0)
    run = write_run(tmp_path / "drinks", Plan(gain))
    found = build_report(with_quality(run, ["characters"], {"all": bare}), "en")["retrieval"]
    assert (found["cutoffs"], found["rows"][0]["shown"]) == ([], None)


def test_without_retrieval_there_is_no_such_part(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    assert build_report(run, "en")["retrieval"] == {}
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert 'id="retrieval"' not in page and 'href="#retrieval"' not in page


@pytest.mark.parametrize("language", ["ja", "en"])
def test_retrieval_that_showed_nothing_is_told_and_not_weighed(
    tmp_path: Path, language: str
) -> None:
    plan = Plan(gain, conditions=("closed_book", "open_book", "retrieval"))
    found = {}
    for without in (1, 2):
        run = write_run(tmp_path / str(without), plan)
        with_quality(run, ["characters"], {"all": quality(without=without)})
        found[without] = build_report(run, language)["headline"]
    told = [len(found[without]["caveats"]) for without in (1, 2)]
    assert told[1] == told[0] + 1
    assert any("evaluation.retrieval.characters" in one for one in found[2]["caveats"])
    assert found[1]["diagnosis"]["against"]["instead"] is not None
    assert found[2]["diagnosis"]["against"]["instead"] is None
