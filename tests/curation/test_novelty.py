"""What a method says of a passage, what counts as known, and what is done about it."""

import random
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made import example, passage
from teichaku.core.records import Dropped, Example
from teichaku.curation.novelty import KnownRule, PassageNovelty, later_than, weigh

RELEASED = date(2024, 6, 30)


def row(name: str = "p", **values: Any) -> PassageNovelty:
    return PassageNovelty(name, "d", 100, **values)


@pytest.mark.parametrize(
    ("written", "later"),
    [
        ("2024-07-01", True), ("2024年7月", True), ("2025", True), ("令和7年1月", True),
        ("2024-06-30", False), ("2024年6月", False), ("2023", False),
        ("2024", None), ("", None), ("昨日", None),
    ],
)  # fmt: skip
def test_only_what_is_certain_is_said_of_a_date(written: str, later: bool | None) -> None:
    assert later_than(written, RELEASED) is later


def test_a_date_within_the_month_of_the_release_tells_only_where_its_day_does() -> None:
    assert later_than("2024-06", date(2024, 6, 15)) is None
    assert later_than("2024-06-16", date(2024, 6, 15)) is True


def test_more_of_every_score_means_newer_and_what_is_missing_is_none() -> None:
    known, new = row(asked=4, right=4, min_k=-1.0), row(asked=4, right=1, min_k=-9.0)
    for method in ("probing", "min_k"):
        low, high = known.newness(method), new.newness(method)
        assert low is not None and high is not None
        assert low < high
    assert [row().newness(m) for m in ("probing", "min_k", "min_k_plus_plus", "date")] == [None] * 4
    assert row(is_later=False).newness("date") == 0.0


def test_a_passage_is_known_from_the_threshold_on() -> None:
    rows = [row(str(right), asked=4, right=right) for right in range(5)] + [row("unasked")]
    known = KnownRule("probing", threshold=0.75).known(rows)
    assert sorted(known) == ["3", "4"]
    assert known["3"] == "the student answers 3 of 4 questions on it before training"


def test_only_what_is_certainly_not_later_is_known_by_its_date() -> None:
    rows = [
        row("a", date="2024", is_later=None),
        row("b", date="2023", is_later=False),
        row("c", date="2025", is_later=True),
    ]
    known = KnownRule("date", released=RELEASED).known(rows)
    assert known == {"b": "dated 2023, not after the student's release on 2024-06-30"}


def test_the_likeliest_share_is_known_and_no_more() -> None:
    rows = [row(str(n), min_k=-float(n)) for n in range(10)] + [row("x", error="no token")]
    random.Random(1).shuffle(rows)
    known = KnownRule("min_k", share=0.25).known(rows)
    assert sorted(known) == ["0", "1"]
    assert known["1"] == "min_k -1.0000, of the 25% that score highest"
    assert KnownRule("min_k_plus_plus", share=0.25).known(rows) == {}
    assert len(KnownRule("min_k", share=0.2).known([row(n, min_k=-1.0) for n in "abcd"])) == 1
    many = [row(str(n), min_k=-float(n)) for n in range(100)]
    assert len(KnownRule("min_k", share=0.29).known(many)) == 29


@given(st.integers(0, 12), st.floats(0.01, 0.99), st.randoms())
def test_weighing_keeps_a_share_rounded_up_and_leaves_the_rest_alone(
    count: int, least: float, shuffling: random.Random
) -> None:
    other = passage(title="みさき号")
    examples = [example(f"問{n}", "答") for n in range(count)]
    examples += [example(f"別{n}", "答", other) for n in range(3)]
    known = {passage().id: "the student answers all"}
    once = list(weigh(examples, known, least))
    kept = [e for e in once if isinstance(e, Example)]
    stay = [e for e in kept if e.passage_id == passage().id]
    assert len(once) == len(examples)
    assert len(stay) - 1 < least * count + 1e-6 and len(stay) >= least * count - 1e-6
    assert len(kept) - len(stay) == 3
    assert {d.reason for d in once if isinstance(d, Dropped)} <= {"already_known"}
    shuffling.shuffle(examples)
    again = {e.id for e in weigh(examples, known, least) if isinstance(e, Example)}
    assert again == {e.id for e in kept}
