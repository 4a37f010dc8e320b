"""Sheets of a run go out to people and come back whole, or with every mistake and no change."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from judged_studies import ARM, run_judged
from studies import run_study
from teichaku import cli
from teichaku.backends import scripted
from teichaku.core.errors import UserError
from teichaku.core.records import Answer, Judgement, Question
from teichaku.core.run_folder import RunFolder, read_records
from teichaku.recipes.people import SheetOptions, Taken, read_run_sheet, write_run_sheet
from teichaku.recipes.reporting import make_report

ELYZA, MT_BENCH = "elyza_tasks_100", "mt_bench_ja"

#: What a spreadsheet would run: half of the scripted student's answers begin like this.
FORMULA = "=1+1、「分かりません」\n次の行"


class Formulas(scripted.ScriptedStudent):
    """A student that, where it knows nothing, writes what a spreadsheet might run."""

    def _model(self, known: Any, version: str) -> scripted.ScriptedModel:
        plain = super()._model(known, version)
        script = plain._script
        return scripted.ScriptedModel(
            lambda request: script(request).replace("分かりません。", FORMULA), plain.identity[9:]
        )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(scripted, "ScriptedStudent", Formulas)
    return run_judged(tmp_path, monkeypatch)


def fill(path: Path, column: int, mark: Callable[[list[str]], str]) -> None:
    """Fill a column of the sheet as a spreadsheet does."""
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    for row in rows[1:]:
        row[column] = mark(row)
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows(rows)
    path.write_text(sink.getvalue(), "utf-8-sig", newline="")


def marks_of(run: RunFolder, name: str) -> dict[str, float | None]:
    path = run.path / "people" / name / "marks.parquet"
    return {row.answer_id: row.score for row in read_records(path, Judgement)}


def test_marks_come_back_with_japanese_formulas_and_a_missing_mark(
    run: RunFolder, tmp_path: Path
) -> None:
    sheet = tmp_path / "採点.csv"
    written = write_run_sheet(run, sheet, SheetOptions(questions=6, passages=True))
    assert written.rows == 6 * 3
    assert written.key == tmp_path / "採点.key.json"
    text = sheet.read_text("utf-8-sig")
    assert "'=1+1、「分かりません」" in text
    assert ARM not in text
    left: list[str] = []

    def mark(row: list[str]) -> str:
        if not left:
            left.append(row[0])
            return ""
        return "1" if "1+1" in row[4] else "１０点"

    fill(sheet, 5, mark)
    before = (run.path / "report" / "report.json").read_bytes()
    taken = read_run_sheet(run, sheet, "佐藤")
    assert (taken.rows, taken.unmarked) == (18, 1)
    answers = {a.id: a for a in run.stage("evaluation").read("answers", Answer)}
    questions = {q.id: q for q in run.stage("questions").read("questions", Question)}
    found = marks_of(run, "佐藤")
    assert len(found) == 18
    for answer_id, score in found.items():
        answer = answers[answer_id]
        right = answer.text == questions[answer.question_id].reference
        assert score is None or score == (10 if right else 1)
    report = json.loads((run.path / "report" / "report.json").read_bytes())
    assert json.dumps(report).encode() != before
    person = next(row for row in report["judges"]["judges"] if row["role"] == "people")
    assert (person["name"], person["rows"], person["reasons"]) == ("佐藤", 18, {"not_marked": 1})
    (agreement,) = report["judges"]["agreement"]
    (pair,) = agreement["pairs"]
    assert pair["n"] == 17
    assert pair["kappa"]["value"] > 0.5
    powered = {row["arm"]: row for row in report["judges"]["powered"]}
    assert set(powered) == {"base", ARM, "qa@learning_rate=0.0001"}
    assert powered["base"]["answers"] == 26
    assert 5 <= powered["base"]["powered"]["n"] <= 6
    assert powered["base"]["powered"]["value"] < powered[ARM]["powered"]["value"]
    assert "佐藤（人）" in (run.path / "report" / "index.html").read_text("utf-8")


def test_pairs_come_back_as_verdicts_of_one_order(run: RunFolder, tmp_path: Path) -> None:
    sheet = tmp_path / "pairs.csv"
    written = write_run_sheet(run, sheet, SheetOptions(("base", ARM), questions=5))
    assert written.rows == 5
    fill(sheet, 5, lambda row: "B" if "1+1" in row[3] and "1+1" not in row[4] else
         "A" if "1+1" in row[4] and "1+1" not in row[3] else "同じ")  # fmt: skip
    read_run_sheet(run, sheet, "suzuki")
    report = run.read_json("report/report.json")
    (table,) = report["pairwise"]["groups"][0]["tables"]
    whole = next(row for row in table["rows"] if not row["category"])
    assert (table["arm"], table["against"], whole["name"]) == (ARM, "base", "suzuki")
    assert (whole["wins"] + whole["ties"], whole["losses"], whole["failed"]) == (5, 0, 0)
    assert whole["wins"] > 0


def test_reading_again_replaces_and_another_person_stands_beside(
    run: RunFolder, tmp_path: Path
) -> None:
    sheet = tmp_path / "s.csv"
    write_run_sheet(run, sheet, SheetOptions(questions=2, arms=["base", ARM]))
    fill(sheet, 4, lambda row: "3")
    read_run_sheet(run, sheet, "sato")
    fill(sheet, 4, lambda row: "8")
    read_run_sheet(run, sheet, "sato")
    read_run_sheet(run, sheet, "suzuki")
    assert set(marks_of(run, "sato").values()) == {8.0}
    assert sorted(path.name for path in (run.path / "people").iterdir()) == ["sato", "suzuki"]


def test_a_second_sheet_stands_beside_the_first_and_replaces_what_is_marked_again(
    run: RunFolder, tmp_path: Path
) -> None:
    base, arm, both = (tmp_path / f"{name}.csv" for name in ("base", "arm", "both"))
    write_run_sheet(run, base, SheetOptions(questions=2, arms=["base"]))
    write_run_sheet(run, arm, SheetOptions(questions=2, arms=[ARM]))
    write_run_sheet(run, both, SheetOptions(questions=2, arms=["base", ARM]))
    fill(base, 4, lambda row: "3")
    fill(arm, 4, lambda row: "8")
    assert read_run_sheet(run, base, "sato") == Taken(2, 0, 2, 0)
    assert read_run_sheet(run, arm, "sato") == Taken(2, 0, 2, 0)
    assert sorted(str(mark) for mark in marks_of(run, "sato").values()) == ["3.0"] * 2 + ["8.0"] * 2
    places = iter(["5", "", "", ""])
    fill(both, 4, lambda row: next(places))
    assert read_run_sheet(run, both, "sato") == Taken(4, 3, 0, 1)
    marks = sorted(str(mark) for mark in marks_of(run, "sato").values())
    assert marks in (["3.0", "5.0", "8.0", "8.0"], ["3.0", "3.0", "5.0", "8.0"])
    # With the passage in sight they are other marks.
    seen = tmp_path / "seen.csv"
    write_run_sheet(run, seen, SheetOptions(questions=2, arms=["base"], passages=True))
    fill(seen, 5, lambda row: "1")
    assert read_run_sheet(run, seen, "sato") == Taken(2, 0, 2, 0)
    assert len(marks_of(run, "sato")) == 4
    report = run.read_json("report/report.json")
    rows = [row["rows"] for row in report["judges"]["judges"] if row["role"] == "people"]
    assert sorted(rows) == [2, 4]


def test_a_damaged_key_and_a_lost_folder_are_refused(run: RunFolder, tmp_path: Path) -> None:
    sheet, odd = tmp_path / "s.csv", tmp_path / "odd.json"
    written = write_run_sheet(run, sheet, SheetOptions(questions=2))
    fill(sheet, 4, lambda row: "3")
    key = json.loads(written.key.read_text("utf-8"))
    changes: list[dict[str, Any]] = [
        {"form": "pairs"}, {"form": "other"}, {"form": 3}, {"items": {}},
        {"columns": ["id"]}, {"scale": ["a", "b"]},
    ]  # fmt: skip
    for change in changes:
        odd.write_text(json.dumps({**key, **change}), "utf-8")
        with pytest.raises(UserError, match="is no key of a sheet"):
            read_run_sheet(run, sheet, "sato", odd)
    shutil.rmtree(run.path / "documents")
    with pytest.raises(UserError, match="documents lacks what the answers are about"):
        write_run_sheet(run, tmp_path / "t.csv", SheetOptions())
    with pytest.raises(UserError, match="documents lacks what the answers are about"):
        read_run_sheet(run, sheet, "sato")


def test_answers_to_benchmarks_are_marked_on_their_scale_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_judged(
        tmp_path,
        monkeypatch,
        controls=[{"name": name, "items": 4} for name in (ELYZA, MT_BENCH)]
        + [{"name": "jcommonsenseqa", "items": 4}],
    )
    marks, pairs = tmp_path / "m.csv", tmp_path / "p.csv"
    written = write_run_sheet(run, marks, SheetOptions(controls=[ELYZA], questions=2))
    assert written.rows == 2 * 3
    header = next(csv.reader(io.StringIO(marks.read_text("utf-8-sig"), newline="")))
    assert header[3:6] == ["採点基準", "回答", "点数 (1-5)"]
    fill(marks, 5, lambda row: "4")
    read_run_sheet(run, marks, "sato")
    options = SheetOptions(("base", ARM), controls=[MT_BENCH], questions=1)
    assert write_run_sheet(run, pairs, options).rows == 2
    assert "(2)" in pairs.read_text("utf-8-sig")
    fill(pairs, 5, lambda row: "A")
    read_run_sheet(run, pairs, "sato")
    own = tmp_path / "own.csv"
    write_run_sheet(run, own, SheetOptions(("base", ARM), questions=3))
    fill(own, 5, lambda row: "same")
    read_run_sheet(run, own, "sato")
    report = run.read_json("report/report.json")
    assert report["judges"]["stale"] == 0
    person = [row for row in report["judges"]["judges"] if row["role"] == "people"]
    assert [(row["kind"], row["rows"], bool(row["of"])) for row in person] == [
        ("absolute", 6, True), ("pairwise", 3, False), ("pairwise", 2, True),
    ]  # fmt: skip
    assert person[0]["of"].startswith("ja/judge_criteria")
    powered = report["judges"]["powered"]
    assert {(row["of"], row["arm"]) for row in powered} == {
        (ELYZA, arm) for arm in ("base", ARM, "qa@learning_rate=0.0001")
    }
    for row in powered:
        assert (row["answers"], row["powered"]["n"]) == (4, 2)
        # The scale of the set ends at 5.
        assert 1 <= row["powered"]["low"] <= row["powered"]["value"] <= row["powered"]["high"] <= 5
        assert row["marked_only"]["value"] == 4
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert f'<span class="help">{ELYZA}</span>' in page
    of_run, of_benchmark = report["pairwise"]["groups"]
    assert [of_run["benchmarks"], of_benchmark["benchmarks"]] == [[], [MT_BENCH]]
    assert [of_run["questions"], of_benchmark["questions"]] == [3, 2]
    assert of_run["ratings"] == of_benchmark["ratings"] == []
    for controls, told in (
        (["jcommonsenseqa"], "are right or wrong"),
        (["mgsm"], "has no answers to mgsm"),
        ([ELYZA, MT_BENCH], "marked on different scales"),
    ):
        with pytest.raises(UserError, match=told):
            write_run_sheet(run, tmp_path / "n.csv", SheetOptions(controls=controls))


def test_a_run_of_benchmarks_alone_says_how_to_name_them(tmp_path: Path) -> None:
    recipe = {
        "name": "alone",
        "judge": {"backend": "scripted"},
        "evaluation": {
            "controls": [{"name": MT_BENCH, "items": 2}],
            "models": {"other": {"backend": "scripted", "model": "other"}},
        },
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    run, sheet = run_study(tmp_path / "recipe.yaml"), tmp_path / "s.csv"
    with pytest.raises(UserError, match="has no questions of its own") as raised:
        write_run_sheet(run, sheet, SheetOptions())
    assert f"--controls {MT_BENCH}" in raised.value.hint
    assert write_run_sheet(run, sheet, SheetOptions(controls=[MT_BENCH])).rows > 0
    fill(sheet, 4, lambda row: "6")
    assert read_run_sheet(run, sheet, "sato").unmarked == 0


def test_a_report_without_its_questions_can_still_be_made(run: RunFolder) -> None:
    shutil.rmtree(run.path / "questions")
    make_report(run)
    assert (run.path / "report" / "report.json").is_file()


def test_a_wrong_sheet_is_refused_with_all_mistakes_and_changes_nothing(
    run: RunFolder, tmp_path: Path
) -> None:
    sheet = tmp_path / "s.csv"
    write_run_sheet(run, sheet, SheetOptions(questions=2, arms=["base", ARM]))
    fill(sheet, 4, lambda row: "5")
    read_run_sheet(run, sheet, "sato")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    places = iter(["11", "よい", "5", "5"])
    fill(sheet, 4, lambda row: next(places))
    fill(sheet, 3, lambda row: row[3] + "。" if row[4] == "5" else row[3])
    with pytest.raises(UserError, match=r"4 mistake\(s\)") as raised:
        read_run_sheet(run, sheet, "sato")
    assert "'11' is not a whole number from 1 to 10" in raised.value.message
    assert "'よい' is not" in raised.value.message
    assert "the texts are not those that were written" in raised.value.message
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_a_sheet_without_any_mark_or_with_an_unusable_name_is_refused(
    run: RunFolder, tmp_path: Path
) -> None:
    sheet = tmp_path / "s.csv"
    write_run_sheet(run, sheet, SheetOptions(questions=2))
    with pytest.raises(UserError, match="no mark at all"):
        read_run_sheet(run, sheet, "sato")
    for name in ("", "../sato", ".sato", "sa to"):
        with pytest.raises(UserError, match="cannot be a name"):
            read_run_sheet(run, sheet, name)
    with pytest.raises(UserError, match="is no key of a sheet"):
        read_run_sheet(run, tmp_path / "s.csv", "sato", tmp_path / "other.json")
    assert not (run.path / "people").exists()


def test_marks_somebody_may_have_made_are_not_written_over(run: RunFolder, tmp_path: Path) -> None:
    sheet = tmp_path / "s.csv"
    write_run_sheet(run, sheet, SheetOptions(questions=2))
    with pytest.raises(UserError, match="is there already"):
        write_run_sheet(run, sheet, SheetOptions(questions=2))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (SheetOptions(("base", "nobody")), "No model called nobody answered"),
        (SheetOptions(("base", "base")), "compared with itself"),
        (SheetOptions(arms=["nobody"]), "No model called nobody answered"),
    ],
)
def test_a_sheet_of_nothing_is_refused(
    run: RunFolder, tmp_path: Path, options: SheetOptions, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        write_run_sheet(run, tmp_path / "s.csv", options)
    assert not (tmp_path / "s.csv").exists()


def test_answers_that_nobody_gave_make_no_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_judged(tmp_path, monkeypatch, conditions=["closed_book"])
    with pytest.raises(UserError, match=r"There is no answer of .* \(open_book\)"):
        write_run_sheet(run, tmp_path / "s.csv", SheetOptions(condition="open_book"))


def test_marks_on_answers_that_changed_since_are_left_out_and_counted(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = tmp_path / "s.csv"
    write_run_sheet(run, sheet, SheetOptions(questions=4, arms=["base", ARM]))
    fill(sheet, 4, lambda row: "7")
    read_run_sheet(run, sheet, "sato")
    monkeypatch.setattr(sys.modules[__name__], "FORMULA", "知りません。")
    changed = run_judged(tmp_path, monkeypatch, max_tokens=50)
    report = changed.read_json("report/report.json")
    assert 0 < report["judges"]["stale"] < 8
    person = next(row for row in report["judges"]["judges"] if row["role"] == "people")
    assert person["rows"] == 8 - report["judges"]["stale"]
    with pytest.raises(
        UserError, match=r"of 8 answers 0 are not there, and [1-7] items have other"
    ):
        read_run_sheet(changed, sheet, "sato")


def test_the_command_line_writes_and_reads(run: RunFolder, tmp_path: Path) -> None:
    runner, sheet = CliRunner(), tmp_path / "s.csv"
    wrote = runner.invoke(
        cli.app,
        ["sheet", "write", str(run.path), str(sheet), "--questions", "3", "--pairs", "base", ARM],
        env={"TEICHAKU_LANG": "en"},
    )
    assert wrote.exit_code == 0, wrote.output
    assert f"teichaku sheet read {run.path} {sheet} --name NAME" in wrote.output
    fill(sheet, 5, lambda row: "A")
    read = runner.invoke(cli.app, ["sheet", "read", str(run.path), str(sheet), "--name", "sato"])
    assert read.exit_code == 0, read.output
    assert (run.path / "people" / "sato" / "pairs.parquet").is_file()
