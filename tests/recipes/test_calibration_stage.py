"""Judges are held against what is known, from a file or from a copy of a benchmark."""

import json
from pathlib import Path
from typing import Any

import pytest

from judged_studies import KNOWN, judged_study, run_judged, write_known
from studies import final_files
from teichaku.core.errors import UserError
from teichaku.recipes.before import check_before
from teichaku.recipes.load import load_recipe

PROSE = {"prose": {"backend": "scripted", "model": "prose"}}


def rows_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in report["judges"]["calibration"]["rows"]}


def test_marks_of_a_file_are_held_against_every_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_known(tmp_path / "known.jsonl")
    run = run_judged(tmp_path, monkeypatch, judges=PROSE, calibration={"file": "known.jsonl"})
    assert run.stages()["calibration"]["counts"]["in"] == len(KNOWN)
    report = run.read_json("report/report.json")
    rows = rows_of(report)
    assert (rows[""]["n"], rows[""]["unmarked"]) == (3, 0)
    assert rows[""]["spearman"]["value"] > 0.8
    assert (rows["prose"]["n"], rows["prose"]["unmarked"]) == (0, 3)
    assert "known.jsonl" in (run.path / "report" / "index.html").read_text("utf-8")


def test_verdicts_of_a_file_too_and_the_rest_of_the_run_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = final_files(run_judged(tmp_path, monkeypatch))
    pairs = [
        {"question": "水は何度で沸きますか。", "reference": "100度", "answer_a": "100度", "answer_b": "50度", "better": "A"},
        {"question": "1足す1は？", "reference": "2", "answer_a": "3", "answer_b": "2", "better": "B"},
        {"question": "空の色は？", "reference": "青", "answer_a": "青", "answer_b": "青色", "better": "b"},
    ]  # fmt: skip
    text = "\n".join(json.dumps(pair, ensure_ascii=False) for pair in pairs)
    (tmp_path / "pairs.jsonl").write_text(text, "utf-8")
    run = run_judged(tmp_path, monkeypatch, calibration={"file": "pairs.jsonl", "items": 3})
    after = final_files(run)
    changed = {name.split("/")[0] for name in before if after.get(name) != before[name]}
    assert changed == {"recipe.yaml", "stages.json"}
    row = rows_of(run.read_json("report/report.json"))[""]
    assert (row["pairs"], row["agreeing"], row["decided"], row["agreeing_decided"]) == (3, 2, 2, 2)


def test_a_judge_is_held_against_everybody_who_marked_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**row, "by": by} for row in KNOWN for by in ("佐藤", "林")]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "known.jsonl").write_text(text, "utf-8")
    run = run_judged(tmp_path, monkeypatch, calibration={"file": "known.jsonl"})
    calibrated = run.read_json("report/report.json")["judges"]["calibration"]["rows"]
    assert [(row["by"], row["n"]) for row in calibrated] == [("佐藤", 3), ("林", 3)]
    assert "林 の評価に対して" in (run.path / "report" / "index.html").read_text("utf-8")


def test_a_sample_says_what_was_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_known(tmp_path / "known.jsonl")
    run = run_judged(tmp_path, monkeypatch, calibration={"file": "known.jsonl", "items": 2})
    counts = run.stages()["calibration"]["counts"]
    assert (counts["in"], counts["out"], counts["reasons"]) == (3, 2, {"not_drawn": 1})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"items": 3}, "needs one source"),
        ({"file": "nowhere.jsonl"}, "cannot be read"),
        ({"ja_vicuna_qa": "nowhere"}, "git clone https://github.com/ku-nlp/ja-vicuna-qa-benchmark"),
    ],
)
def test_what_cannot_be_used_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], told: str
) -> None:
    recipe = judged_study(tmp_path, monkeypatch, {"calibration": settings})
    with pytest.raises(UserError) as raised:
        check_before(load_recipe(recipe), tmp_path)
    assert told in str(raised.value)
