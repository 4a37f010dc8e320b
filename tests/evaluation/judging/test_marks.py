"""Marks of several repeats, judges and people."""

import csv
from pathlib import Path

import pytest

from teichaku.core.agreement import krippendorffs_alpha
from teichaku.core.records import Judgement
from teichaku.evaluation.judging.marks import align, calibrate, judges_agreement, marks_by_answer


def mark(answer: str, score: float | None, judge: str = "j", repeat: int = 0) -> Judgement:
    return Judgement(f"{judge}{answer}{repeat}", answer, judge, "p", score, "")


def test_the_median_of_the_repeats_that_succeeded_counts() -> None:
    rows = [mark("a", score, repeat=i) for i, score in enumerate([2, None, 9, 8])]
    rows += [mark("b", None)]
    assert marks_by_answer(rows) == {("j", "p"): {"a": 8, "b": None}}


def test_judges_stand_side_by_side_and_gaps_stay_gaps() -> None:
    rows = [mark("a", 3), mark("b", 4), mark("b", 5, "k"), mark("c", 1, "k"), mark("a", None, "k")]
    table = align({**marks_by_answer(rows), ("a person", ""): {"c": 2.0}})
    assert table.judges == (("a person", ""), ("j", "p"), ("k", "p"))
    assert table.answers == ("a", "b", "c")
    assert table.rows == ((None, 3, None), (None, 4, 5), (2.0, None, 1))


def test_the_agreement_of_judges_is_that_of_the_answers_both_marked() -> None:
    rows = [mark(name, score) for name, score in zip("abcd", (1, 2, 4, 5), strict=True)]
    rows += [mark(name, score, "k") for name, score in zip("abc", (2, 3, 5), strict=True)]
    table = align(marks_by_answer(rows))
    found = judges_agreement(table, {name: f"d{name}" for name in "abcd"})
    (both,) = found.pairs.values()
    assert both.n == 3
    assert both.shift is not None
    assert both.spearman is not None
    assert (both.shift.value, both.spearman.value) == (1, 1)
    assert found.alpha is not None
    assert 0 < found.alpha.value < 1


def test_judges_that_marked_nothing_in_common_have_no_agreement() -> None:
    table = align(marks_by_answer([mark("a", 3), mark("b", 4, "k")]))
    found = judges_agreement(table, {"a": "d", "b": "e"})
    (both,) = found.pairs.values()
    assert (found.alpha, both.n, both.kappa) == (None, 0, None)


def test_a_judge_is_calibrated_on_what_both_marked() -> None:
    right = {"a": 3.0, "b": 4.0, "c": 5.0, "d": 1.0}
    clusters = {name: name for name in "abcde"}
    found = calibrate({"a": 3.0, "b": 5.0, "c": 2.0, "d": None, "e": 9.0}, right, clusters)
    assert (found.agreement.n, found.unmarked) == (3, 1)
    assert found.agreement.exact is not None
    assert found.agreement.within_one is not None
    assert found.agreement.shift is not None
    assert found.agreement.exact.value == pytest.approx(1 / 3)
    assert found.agreement.within_one.value == pytest.approx(2 / 3)
    assert found.agreement.shift.value == pytest.approx((0 + 1 - 3) / 3)
    assert calibrate({}, right, clusters).agreement.exact is None


def test_four_judges_agree_on_saved_marks_as_docs_say() -> None:
    """Krippendorff's alpha is .763 of marks as numbers and .480 of marks as names."""
    path = Path(__file__).parent / "data" / "elyza_marks_of_four_judges.csv"
    with path.open(encoding="utf-8", newline="") as file:
        saved = list(csv.DictReader(file))
    assert len(saved) == 498
    judges = sorted(saved[0].keys() - {"model", "task"})
    given = [
        Judgement(f"{judge}-{row}", f"{marks['model']}-{marks['task']}", judge, "p",
                  float(marks[judge]), "")
        for row, marks in enumerate(saved)
        for judge in judges
    ]  # fmt: skip
    table = align(marks_by_answer(given))
    tasks = {answer: answer.partition("-")[2] for answer in table.answers}
    found = judges_agreement(table, tasks)
    assert len(found.pairs) == 6
    assert found.alpha is not None
    assert round(found.alpha.value, 3) == 0.763
    nominal = krippendorffs_alpha(table.rows, "nominal", [tasks[a] for a in table.answers])
    assert nominal is not None
    assert round(nominal.value, 3) == 0.480
