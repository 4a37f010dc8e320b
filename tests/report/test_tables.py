"""The numbers of the report, against values worked out by hand."""

from teichaku.core.records import Score
from teichaku.report import study, tables
from teichaku.report.evidence import Arm

ARM = Arm("tuned", "base", "epoch-2", "pupil", "qa", 0.001)


def score(
    question: str,
    value: float | None,
    arm: str = "base",
    checkpoint: str = "base",
    condition: str = "closed_book",
    kind: str = "held_out",
    category: str = "",
    scorer: str = "containment",
) -> Score:
    document = question[0]
    return Score(
        f"{question}/{arm}/{checkpoint}",
        question,
        arm,
        checkpoint,
        condition,  # type: ignore[arg-type]
        kind,  # type: ignore[arg-type]
        category,
        document,
        scorer,
        value,
    )


def test_null_scores_are_left_out_of_the_mean_and_counted() -> None:
    found = tables.estimate([score("a1", 1.0), score("a2", 0.0), score("b1", None)])
    assert (found.value, found.n, found.failed, found.documents) == (0.5, 2, 1, 1)


def test_one_document_has_a_mean_but_no_interval() -> None:
    found = tables.estimate([score("a1", 1.0), score("a2", 0.0)])
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_all_null_scores_give_no_value() -> None:
    found = tables.estimate([score("a1", None), score("b1", None)])
    assert (found.value, found.n, found.failed) == (None, 0, 2)


def test_the_interval_is_drawn_over_documents() -> None:
    rows = [score(f"{document}{n}", float(document == "a")) for document in "ab" for n in range(50)]
    found = tables.estimate(rows)
    # Two documents, one all right and one all wrong: a resample may hold one of them twice.
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_a_difference_is_taken_on_questions_that_both_answered() -> None:
    before = [score("a1", 0.0), score("b1", 1.0), score("c1", None), score("d1", 1.0)]
    after = [score("a1", 1.0), score("b1", 1.0), score("c1", 1.0), score("e1", 0.0)]
    found = tables.compare(before, after)
    assert (found.before.value, found.after.value, found.difference.value) == (0.5, 1.0, 0.5)
    assert (found.difference.n, found.difference.failed) == (2, 1)


def test_the_score_table_has_each_kind_and_all_of_them_together() -> None:
    rows = [score("a1", 1.0, kind="trained"), score("a2", 0.0), score("b1", 0.0)]
    table = tables.score_table(rows)
    assert [(row["question_kind"], row["value"], row["n"]) for row in table] == [
        ("trained", 1.0, 1),
        ("held_out", 0.0, 2),
        ("all", 0.333333, 3),
    ]


def test_the_score_table_does_not_depend_on_the_order_of_rows() -> None:
    rows = [
        score(question, float(n % 2), arm=arm, checkpoint=checkpoint)
        for n, question in enumerate(["a1", "b1", "c1"])
        for arm, checkpoint in (("base", "base"), ("tuned", "epoch-2"), ("tuned", "epoch-10"))
    ]
    assert tables.score_table(rows) == tables.score_table(rows[::-1])
    found = [row["checkpoint"] for row in tables.score_table(rows)]
    assert found == ["base"] * 2 + ["epoch-2"] * 2 + ["epoch-10"] * 2


def test_categories_show_the_base_and_the_chosen_checkpoint_only() -> None:
    rows = [
        score("a1", 0.0, category="値段"),
        score("a1", 0.5, "tuned", "epoch-1", category="値段"),
        score("a1", 1.0, "tuned", "epoch-2", category="値段"),
        score("a2", 1.0, "tuned", "epoch-2"),
    ]
    table = [row for row in tables.category_table(rows, [ARM]) if row["question_kind"] == "all"]
    assert [(row["category"], row["checkpoint"], row["value"]) for row in table] == [
        ("値段", "base", 0.0),
        ("値段", "epoch-2", 1.0),
    ]


def test_the_curve_stays_on_the_questions_that_every_probe_asked() -> None:
    rows = [
        *(score(question, 0.0) for question in ("a1", "b1", "c1")),
        *(score(question, 1.0, "tuned", "epoch-1") for question in ("a1", "b1")),
        score("a1", 1.0, "tuned", "epoch-2"),
        score("b1", 1.0, "tuned", "epoch-2"),
        score("c1", 0.0, "tuned", "epoch-2"),
    ]
    points = study.progress(tables.cells(rows), [ARM])
    assert [(row["epoch"], row["value"], row["n"]) for row in points] == [
        (0, 0.0, 2),
        (1, 1.0, 2),
        (2, 1.0, 2),
    ]


def test_the_best_arm_has_the_highest_closed_book_mean() -> None:
    other = Arm("other", "base", "epoch-1")
    rows = [
        score("a1", 0.0, "tuned", "epoch-2"),
        score("a1", 0.9, "other", "epoch-1"),
        score("a1", 1.0, "tuned", "epoch-2", condition="open_book"),
        score("a1", 1.0, "tuned", "epoch-1"),
    ]
    assert study.best_arm(tables.cells(rows), [ARM, other], "containment") == other


def test_the_open_book_reference_uses_the_questions_of_the_curve() -> None:
    rows = [
        score("a1", 0.0),
        score("a1", 1.0, "tuned", "epoch-1"),
        score("a1", 1.0, condition="open_book"),
        score("b1", 0.0, condition="open_book"),
    ]
    found = study.open_book_reference(tables.cells(rows), [ARM])
    assert found == {"pupil": {"containment": 1.0}}
