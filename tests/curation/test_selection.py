from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made import example
from teichaku.core.records import Dropped, Example
from teichaku.curation.amount import characters
from teichaku.curation.selection import (
    Selection,
    by_score,
    count_of,
    length_control,
    random_control,
    selected,
)

EXAMPLES = [example(f"問{at}？", "答" * (1 + at * 7 % 23)) for at in range(40)]
SIZES = {one.id: characters([one]) for one in EXAMPLES}


def shuffled(examples: list[Example]) -> list[Example]:
    return Random(3).sample(examples, len(examples))


def size(selection: Selection) -> int:
    return sum(SIZES[example_id] for example_id in selection.kept)


def test_a_selection_gives_every_example_or_its_place_as_dropped() -> None:
    kept, lost = EXAMPLES[:2], EXAMPLES[2:4]
    selection = Selection(
        tuple(one.id for one in kept), {one.id: ("outside_band", "rank 9") for one in lost}
    )
    found = list(selection([lost[0], *kept, lost[1]]))
    assert found[1:3] == kept
    for one, record in zip(lost, (found[0], found[3]), strict=True):
        assert isinstance(record, Dropped)
        assert (record.record_id, record.stage) == (one.id, "curation")
        assert (record.reason, record.evidence) == ("outside_band", "rank 9")
    with pytest.raises(KeyError):
        list(selection([EXAMPLES[9]]))


@pytest.mark.parametrize("limit", [0, 5, 100, 333, 10**6])
def test_a_control_comes_as_near_to_its_size_as_whole_examples_do(limit: int) -> None:
    for selection in (random_control(EXAMPLES, limit), length_control(EXAMPLES, limit)):
        assert {*selection.kept, *selection.dropped} == SIZES.keys()
        assert len(selection.kept) + len(selection.dropped) == len(SIZES)
        assert size(selection) <= limit
        # Nothing that fell would have fitted.
        assert all(size(selection) + SIZES[i] > limit for i in selection.dropped)


def test_the_order_of_the_examples_changes_no_control() -> None:
    assert random_control(shuffled(EXAMPLES), 200, 4) == random_control(EXAMPLES, 200, 4)
    assert length_control(shuffled(EXAMPLES), 200) == length_control(EXAMPLES, 200)


def test_another_seed_draws_others_and_length_plays_no_part_in_the_draw() -> None:
    draws = [random_control(EXAMPLES, 200, seed) for seed in range(400)]
    assert len({draw.kept for draw in draws}) > 390
    first = [SIZES[draw.kept[0]] for draw in draws]
    assert sum(first) / len(first) == pytest.approx(sum(SIZES.values()) / len(SIZES), rel=0.1)


def test_the_length_control_keeps_the_longest() -> None:
    longest = sorted(SIZES, key=lambda i: (-SIZES[i], i))
    selection = length_control(EXAMPLES, sum(SIZES[i] for i in longest[:6]))
    assert list(selection.kept) == longest[:6]
    assert {reason for reason, _ in selection.dropped.values()} == {"length_control"}


def test_scores_are_ranked_by_value_then_by_id_and_a_missing_one_has_no_rank() -> None:
    scores = {"b": 1.0, "a": 1.0, "c": 0.5, "d": None, "e": float("nan")}
    assert by_score(scores) == [("c", 0.5), ("a", 1.0), ("b", 1.0)]


@pytest.mark.parametrize("keeps", [True, False])
def test_what_has_no_score_is_counted_and_kept_or_dropped(keeps: bool) -> None:
    scores = {"a": 1.0, "b": None, "c": 2.0, "d": None}
    found = selected(["a"], {"c": ("outside_band", "")}, scores, keeps)
    assert found.without_score == {"b", "d"}
    assert found.kept == (("a", "b", "d") if keeps else ("a",))
    assert {*found.kept, *found.dropped} == scores.keys()
    if not keeps:
        assert found.dropped["b"][0] == "no_score"


@given(st.floats(0.001, 1), st.integers(0, 500))
def test_a_share_is_the_nearest_number_and_never_none(share: float, total: int) -> None:
    count = count_of(share, total)
    assert abs(count - share * total) <= 0.5 or count == 1
    assert (count > 0) == (total > 0)


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        count_of(share, 10)
