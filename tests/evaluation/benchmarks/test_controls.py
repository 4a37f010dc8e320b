"""Figures of control sets follow from what was asked, and no value goes by another's name."""

from typing import Any

from teichaku.core.records import Answer, Question
from teichaku.evaluation.benchmarks.controls import (
    ControlInfo,
    Controls,
    control_results,
    control_scores,
)
from teichaku.evaluation.benchmarks.rows import Item


def info(name: str, metric: str, category: str) -> ControlInfo:
    return ControlInfo(
        f"{name}@published", name, name, category, "text", metric, "1", (0.0, 1.0), "other",
        is_published=True, items=2, shots=0, max_tokens=8, instruction="", frame="1.3",
    )  # fmt: skip


def answered(*sets: ControlInfo) -> dict[str, Any]:
    """The results of one model that answers all items of the sets right."""
    items = [
        Item(
            Question(f"{one.key}-{n}", "control", f"{n}", "", "", "？", f"答え{n}",
                     benchmark=one.key),
            (f"答え{n}",),
        )
        for one in sets
        for n in range(2)
    ]  # fmt: skip
    answers = [
        Answer(item.question.id, item.question.id, "base", "base", "closed_book",
               item.references[0])
        for item in items
    ]  # fmt: skip
    by_id = {item.question.id: item for item in items}
    of = Controls({one.key: one for one in sets}, by_id, answers, [], {})
    return control_results(of, control_scores(of))


def test_a_value_by_another_metric_is_none_of_a_published_list() -> None:
    marked = info("chabsa", "set_f1", "EL")
    found = answered(marked, info("alt-e-to-j", "char_rouge2", "MT"))
    assert {row["benchmark"]: row["strict"]["value"] for row in found["results"]} == {
        "chabsa@published": 1.0,
        "alt-e-to-j@published": 1.0,
    }
    for row in found["averages"]:
        assert row["not_computed"]["alt-e-to-j"] == "comet_wmt22"
        assert "value" not in row
        assert "chabsa" not in row["missing"]
        assert row["beyond"] == ()
