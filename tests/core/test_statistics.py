import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from teichaku.core.statistics import Interval, clustered_mean, paired_difference

Values = npt.NDArray[np.float64]


def bounds(found: Interval | None) -> tuple[float, float]:
    assert found is not None and found.low is not None and found.high is not None
    return found.low, found.high


def names(documents: int, questions: int) -> list[str]:
    return [str(number // questions) for number in range(documents * questions)]


def test_the_order_of_rows_does_not_count() -> None:
    values, clusters = [1.0, 0.0, 1.0, 1.0, 0.0], ["b", "a", "b", "c", "a"]
    shuffled = [4, 2, 0, 3, 1]
    assert clustered_mean(values, clusters) == clustered_mean(
        [values[i] for i in shuffled], [clusters[i] for i in shuffled]
    )


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 12, 80])
def test_one_value_a_cluster_gives_scipys_interval_of_student(count: int) -> None:
    values = np.random.default_rng(count).random(count)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = clustered_mean(list(values), [str(i) for i in range(count)])
    assert bounds(found) == pytest.approx((theirs.low, theirs.high), abs=1e-3)


def test_questions_of_one_document_widen_the_interval() -> None:
    values = [float(i // 5 % 2) for i in range(50)]
    apart = bounds(clustered_mean(values, names(50, 1)))
    together = bounds(clustered_mean(values, names(10, 5)))
    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


def share(draws: np.random.Generator, documents: int) -> tuple[Values, Values]:
    """Each document has a difficulty of its own; the truth is a share of 0.5."""
    return np.zeros(documents), draws.beta(2, 2, documents)


def no_gain(draws: np.random.Generator, documents: int) -> tuple[Values, Values]:
    """Each document changes by chance, up or down; the truth is 0."""
    return draws.beta(2, 2, documents), draws.beta(2, 2, documents)


def gain(draws: np.random.Generator, documents: int) -> tuple[Values, Values]:
    """Documents gain unequally; the truth is 0.3."""
    return draws.beta(1, 9, documents), draws.beta(4, 6, documents)


@pytest.mark.parametrize("documents", [5, 6, 10, 40])
@pytest.mark.parametrize(("study", "truth"), [(share, 0.5), (no_gain, 0.0), (gain, 0.3)])
def test_intervals_cover_the_truth(study: object, truth: float, documents: int) -> None:
    """Binary questions that share their document's difficulty, 8 a document."""
    assert callable(study)
    draws, covered, rounds = np.random.default_rng(3), 0, 1_000
    for _ in range(rounds):
        asked = (draws.random((documents, 8)) < side[:, None] for side in study(draws, documents))
        before, after = (list(answers.astype(float).ravel()) for answers in asked)
        clusters = names(documents, 8)
        if study is share:
            low, high = bounds(clustered_mean(after, clusters, (0, 1)))
        else:
            low, high = bounds(paired_difference(before, after, clusters, (0, 1)))
        covered += low <= truth <= high
    assert 0.92 <= covered / rounds <= 0.98


def test_unequal_documents_are_covered_too() -> None:
    draws, covered, rounds = np.random.default_rng(4), 0, 1_000
    for _ in range(rounds):
        sizes = draws.integers(2, 15, 6)
        difficulty = np.repeat(draws.beta(2, 2, 6), sizes)
        answers = (draws.random(sizes.sum()) < difficulty).astype(float)
        clusters = [str(document) for document in np.repeat(np.arange(6), sizes)]
        low, high = bounds(clustered_mean(list(answers), clusters, (0, 1)))
        covered += low <= 0.5 <= high
    assert 0.92 <= covered / rounds <= 0.98


def test_five_documents_that_gain_a_little_are_no_proof() -> None:
    gains = [0.02, 0.3, 0.04, 0.2, 0.01]
    low, _ = bounds(paired_difference([0.0] * 5, gains, list("abcde")))
    assert low < 0


def test_six_documents_that_all_gain_much_are_proof() -> None:
    low, high = bounds(paired_difference([0.0] * 12, [1.0] * 12, names(6, 2), (0, 1)))
    assert 0.4 < low < 0.7
    assert high == 1


def test_answers_that_are_all_alike_leave_room_for_others() -> None:
    low, high = bounds(clustered_mean([0.0] * 12, names(6, 2), (0, 1)))
    # Twelve independent answers would leave 26 % (Clopper and Pearson).
    assert low == 0
    assert high == pytest.approx(0.26, abs=0.06)
    low, high = bounds(clustered_mean([0.0] * 400, names(40, 10), (0, 1)))
    assert high < 0.01


@pytest.mark.parametrize("value", [1.0, 10.0])
def test_an_interval_stays_on_the_scale_and_around_its_mean(value: float) -> None:
    found = clustered_mean([value] * 12 + [5.0], [*names(6, 2), "6"], (1, 10))
    low, high = bounds(found)
    assert found is not None
    assert 1 <= low <= found.value <= high <= 10


def test_one_document_has_no_interval_and_no_value_no_mean() -> None:
    single = clustered_mean([1.0, 0.0], ["a", "a"])
    assert single is not None
    assert (single.value, single.low, single.n) == (0.5, None, 2)
    assert clustered_mean([], []) is None


def test_without_a_scale_a_constant_gain_has_an_interval_without_width() -> None:
    gain = paired_difference([0.0, 0.5, 0.2], [0.5, 1.0, 0.7], ["a", "b", "c"])
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.5, 0.5, 0.5))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 values but 1"):
        clustered_mean([1.0, 2.0], ["a"])
