import random
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from teichaku.core.auroc import auroc, auroc_difference, clustered_auroc
from teichaku.core.statistics import Interval

scored = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=30)


def bounds(found: Interval | None) -> tuple[float, float]:
    assert found is not None and found.low is not None and found.high is not None
    return found.low, found.high


@given(scored)
def test_it_is_mann_and_whitneys_statistic_over_the_pairs(rows: list[tuple[int, bool]]) -> None:
    scores, classes = [float(score) for score, _ in rows], [is_one for _, is_one in rows]
    ours = auroc(scores, classes)
    above = [s for s, is_one in zip(scores, classes, strict=True) if is_one]
    below = [s for s, is_one in zip(scores, classes, strict=True) if not is_one]
    if not above or not below:
        assert ours is None
        return
    theirs = stats.mannwhitneyu(above, below).statistic / (len(above) * len(below))
    assert ours == pytest.approx(theirs)


def test_known_values() -> None:
    classes = [True, True, False, False]
    assert auroc([3, 2, 1, 0], classes) == 1
    assert auroc([0, 1, 2, 3], classes) == 0
    assert auroc([1, 1, 1, 1], classes) == 0.5
    assert auroc([2, 0, 1, -1], classes) == 0.75
    assert auroc([float("inf"), 0, 1, float("-inf")], classes) == 0.75


@given(scored, st.randoms())
def test_neither_order_nor_scale_counts(
    rows: list[tuple[int, bool]], shuffling: random.Random
) -> None:
    named = [(float(s), is_one, str(place % 4)) for place, (s, is_one) in enumerate(rows)]
    before = clustered_auroc(*(list(part) for part in zip(*named, strict=True)))
    shuffling.shuffle(named)
    scores, classes, clusters = (list(part) for part in zip(*named, strict=True))
    after = clustered_auroc([float(np.exp(s)) for s in scores], classes, clusters)
    if before is None or before.low is None:
        assert after == before
    else:
        assert bounds(after) == pytest.approx(bounds(before))


@given(scored)
def test_leaving_out_in_one_go_is_leaving_out_one_by_one(rows: list[tuple[int, bool]]) -> None:
    """The interval, from its definition: each cluster left out, all else counted anew."""
    scores = [float(score) for score, _ in rows]
    classes = [is_one for _, is_one in rows]
    clusters = [str(place % 3) for place in range(len(rows))]
    found = clustered_auroc(scores, classes, clusters)
    if found is None or found.low is None or found.high is None:
        return
    ends = [max(scores) + 1, min(scores) - 1]
    scores, classes = [*scores, *ends, *ends], [*classes, True, True, False, False]
    clusters += ["+1", "-1", "+0", "-0"]
    middle = auroc(scores, classes) or 0.0
    total = 0.0
    for name in set(clusters):
        kept = [place for place, cluster in enumerate(clusters) if cluster != name]
        rest = auroc([scores[k] for k in kept], [classes[k] for k in kept])
        assert rest is not None
        total += (rest - middle) ** 2
    count = len(set(clusters))
    half = stats.t.ppf(0.975, count - 5) * (total * (count - 1) / count) ** 0.5
    assert found.low == pytest.approx(max(0, min(middle - half, found.value)), abs=1e-3)
    assert found.high == pytest.approx(min(1, max(middle + half, found.value)), abs=1e-3)


Draw = tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], list[str]]


def passages(draws: np.random.Generator, documents: int, shift: float, by_document: bool) -> Draw:
    """Six passages a document, half of whose variance is the document's own."""
    owner = np.repeat(np.arange(documents), 6)
    own = draws.normal(size=documents)[owner] + draws.normal(size=len(owner))
    is_new = owner % 2 == 0 if by_document else draws.random(len(owner)) < 0.5
    return own / np.sqrt(2) + shift * is_new, is_new, [str(name) for name in owner]


@pytest.mark.parametrize("documents", [6, 12, 40])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("by_document", [True, False])
def test_intervals_cover_the_truth(documents: int, shift: float, by_document: bool) -> None:
    draws, covered, rounds = np.random.default_rng(5), 0, 200
    truth = NormalDist().cdf(shift / 2**0.5)
    for _ in range(rounds):
        scores, is_new, names = passages(draws, documents, shift, by_document)
        low, high = bounds(clustered_auroc(list(scores), list(is_new), names))
        covered += low <= truth <= high
    assert covered / rounds >= 0.9


def test_differences_of_scores_that_tell_alike_cover_zero() -> None:
    draws, covered, rounds = np.random.default_rng(6), 0, 200
    for _ in range(rounds):
        scores, is_new, names = passages(draws, 12, 1.0, True)
        others = scores + draws.normal(size=len(scores)) - 0.5 * is_new
        scores = scores + draws.normal(size=len(scores)) - 0.5 * is_new
        low, high = bounds(auroc_difference(list(scores), list(others), list(is_new), names))
        covered += low <= 0 <= high
    assert covered / rounds >= 0.92


def test_a_score_that_is_much_better_is_seen_to_be() -> None:
    draws = np.random.default_rng(7)
    scores, is_new, names = passages(draws, 30, 3.0, True)
    noise = list(draws.normal(size=len(scores)))
    low, _ = bounds(auroc_difference(list(scores), noise, list(is_new), names))
    assert low > 0.2
    same = auroc_difference(list(scores), list(scores), list(is_new), names)
    assert same is not None
    assert same.value == 0


def test_a_few_documents_told_apart_without_a_fault_are_no_proof() -> None:
    classes = [True] * 3 + [False] * 3
    low, high = bounds(clustered_auroc([3, 4, 5, 0, 1, 2], classes, list("abcdef")))
    assert low < 0.6
    assert high == 1


def test_one_document_of_a_class_has_no_interval_and_one_class_no_value() -> None:
    found = clustered_auroc([1, 2, 3], [True, False, False], ["a", "b", "c"])
    assert found is not None
    assert (found.value, found.low, found.n) == (0.0, None, 3)
    assert clustered_auroc([1, 2], [True, True], ["a", "b"]) is None
    assert auroc_difference([1, 2], [2, 1], [True, True], ["a", "b"]) is None


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="2 scores but 1"):
        auroc([1, 2], [True])
    with pytest.raises(ValueError, match="no number"):
        auroc([1, float("nan")], [True, False])
    with pytest.raises(ValueError, match="2 scores but 1 cluster"):
        clustered_auroc([1, 2], [True, False], ["a"])
