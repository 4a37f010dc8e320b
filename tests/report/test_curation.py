"""What the report tells of curation, against values worked out by hand."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import made
from report_run import Plan, gain, write_run
from teichaku.core.records import QuestionKind, Score
from teichaku.core.run_folder import RunFolder
from teichaku.report import tables
from teichaku.report.build import build_report
from teichaku.report.curation import curation, lengths, selections, survivors
from teichaku.report.evidence import Arm, Evidence, Finished
from teichaku.report.wording import Wording

SELECTED = Arm("facts", "base", "epoch-2", "pupil", "facts")
CONTROL = Arm("facts+random", "base", "epoch-2", "pupil", "facts+random", control_of="facts")
KINDS: tuple[QuestionKind, ...] = ("held_out", "trained")
NOTHING = Evidence(
    {}, {}, {}, [], [], [], {}, {}, {}, {}, "", {}, Finished(RunFolder(Path("none")))
)


def score(arm: Arm, document: str, kind: QuestionKind, value: float) -> Score:
    question, checkpoint = f"{document}/{kind}", "epoch-2"
    answer = f"{question}/{arm.name}"
    return Score(
        answer, question, arm.name, checkpoint, "closed_book", kind, "", document, "containment",
        value,
    )  # fmt: skip


def found(selected: list[float], control: list[float], *arms: Arm) -> list[dict[str, Any]]:
    rows = [
        score(arm, document, kind, value)
        for arm, values in ((SELECTED, selected), (CONTROL, control))
        for document, value in zip("abcdef", values, strict=True)
        for kind in KINDS
    ]
    cells = tables.cells(rows)
    return selections(NOTHING, cells, arms or (SELECTED, CONTROL), "containment", Wording("en"))


def test_survivors_are_counted_by_method_and_category_those_that_all_fell_too() -> None:
    fact = made.example("定員は？", "48人", category="数")
    price = made.example("料金は？", "1,800円", category="値段")
    style = made.example("", "檜でできた船です。", method="paraphrase", style="easy")
    rows = survivors([fact, price, style], [fact, style])
    assert [(row["method"], row["category"], row["made"], row["kept"]) for row in rows] == [
        ("document_qa", "値段", 1, 0),
        ("document_qa", "数", 1, 1),
        ("paraphrase", "easy", 1, 1),
    ]


def test_lengths_are_shares_of_each_part_in_classes_that_double() -> None:
    short = made.example("何人？", "48")
    long = made.example("定員は何人ですか", "48")
    rows = lengths([short, long], "before")
    assert [(r["part"], r["least"], r["most"], r["share"]) for r in rows] == [
        ("answer", 2, 3, 1.0),
        ("question", 2, 3, 0.5),
        ("question", 8, 15, 0.5),
    ]


def test_a_selection_that_its_control_equals_has_made_no_difference() -> None:
    (row,) = found([1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0])
    assert (row["arm"], row["control"]) == ("facts", "facts+random")
    assert row["difference"]["value"] == 0
    assert row["meaning"] == Wording("en")("curation.findings.same")


def test_a_selection_that_is_right_where_its_control_is_wrong_did_better_and_the_reverse() -> None:
    words = Wording("en")
    (better,) = found([1] * 6, [0] * 6)
    (worse,) = found([0] * 6, [1] * 6)
    assert better["meaning"] == words("curation.findings.better")
    assert worse["meaning"] == words("curation.findings.worse")


def test_only_arms_of_the_same_settings_are_compared() -> None:
    other = replace(CONTROL, name="facts+random@learning_rate=0.1")
    assert found([1] * 6, [0] * 6, SELECTED, other) == []
    assert found([1] * 6, [0] * 6, SELECTED, replace(CONTROL, control_of="pairs")) == []


def fall(level: str, own: float, approximate: bool = False, **counts: int) -> dict[str, Any]:
    steps = [{"threshold": int(key[1:]) / 100, "count": count} for key, count in counts.items()]
    told = {"filter": "near_duplicates", "level": level, "compared": 1200, "threshold": own}
    return {**told, "fall": steps, "approximate": approximate}


def test_what_falls_at_which_threshold_is_a_table_of_all_levels(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    rows = [
        fall("question", 0.8, _70=91, _80=40, _100=2),
        fall("pair", 0.75, approximate=True, _70=8, _75=7, _80=6, _100=1),
    ]
    summary = run.stage("curation/qa").summary() or {}
    summary["notes"] = {**summary.get("notes", {}), "thresholds": rows}
    run.write_json("curation/qa/stage.json", summary)
    build_report(run, "en")
    page = (run.path / "report" / "index.html").read_text("utf-8")
    table = page.partition(">near_duplicates: ")[2].partition("</table>")[0]
    cells = [cell.partition("</t")[0] for cell in table.split('class="number')[1:]]
    assert cells == [
        *('">examples', '">0.7', '">0.75', '">0.8', '">1'),
        *('">1,200', '">91', '">', ' strong">40', '">2'),
        *('">1,200', '">≈ 8', ' strong">7', '">≈ 6', '">≈ 1'),
    ]
    assert "questions with answers</th>" in table


def noted(run: RunFolder, **notes: object) -> str:
    """The page of ``run``, with ``notes`` of its curation."""
    summary = run.stage("curation/qa").summary() or {}
    run.write_json("curation/qa/stage.json", {**summary, "notes": notes})
    build_report(run, "en")
    return (run.path / "report" / "index.html").read_text("utf-8")


def cells_of(page: str, heading: str) -> list[list[str]]:
    """The texts of the table's rows under ``heading``."""
    table = page.partition(f">{heading}</th>")[2].partition("</table>")[0]
    cell = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>")
    return [cell.findall(row) for row in table.split("<tr>")[1:]]


def test_what_was_looked_for_is_told_with_how_much_and_what_became_of_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    personal = [
        {"kind": "email", "action": "mask", "data": 1200, "examples": 3},
        {"kind": "phone", "action": "report", "data": 1, "examples": 1},
    ]
    leaks = {"files": ["a.jsonl", "b.csv"], "items": 40, "leaking_items": 2, "texts": 90,
             "leaking_examples": 5, "action": "drop", "threshold": 0.65, "shown": []}  # fmt: skip
    page = noted(run, personal_data=personal, leaks=leaks)
    assert cells_of(page, "What became of it") == [
        [
            "Personal data: e-mail addresses",
            "1,200 in 3 examples",
            "a label stands in their place",
        ],
        ["Personal data: telephone numbers", "1 in 1 examples", "left as they are"],
        [
            "Benchmark items",
            "2 of 40 items of a.jsonl, b.csv, in 5 examples",
            "the examples were dropped",
        ],
    ]
    page = noted(run, personal_data=[], leaks={**leaks, "leaking_items": 0, "leaking_examples": 0})
    assert cells_of(page, "What became of it") == [
        ["Personal data", "nothing", "–"],
        ["Benchmark items", "0 of 40 items of a.jsonl, b.csv, in 0 examples", "–"],
    ]


def test_what_nobody_looked_for_is_said_to_be_so_and_what_is_not_recorded_is_not_told(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "drinks", Plan(gain))
    nowhere = ["Benchmark items", "not looked for", "–"]
    told = cells_of(noted(run, personal_data=None), "What became of it")
    assert told == [["Personal data", "not looked for", "–"], nowhere]
    assert cells_of(noted(run), "What became of it") == [nowhere]


def test_what_curation_does_not_want_shown_is_not_shown() -> None:
    rows = [made.example(f"{n}番の船は？", "檜") for n in range(6)]
    stages = {"curation/qa": {"notes": {"shown_before": [rows[3].id]}}}
    examples = {"synthesis/qa": rows, "curation/qa": rows}
    (found,) = curation(replace(NOTHING, stages=stages, examples=examples))
    assert [sample["question"] for sample in found["samples"]["before"]] == ["3番の船は？"]
    assert len(found["samples"]["after"]) == 4
    (found,) = curation(replace(NOTHING, stages={"curation/qa": {}}, examples=examples))
    assert len(found["samples"]["before"]) == 4
