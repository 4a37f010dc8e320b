import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from teichaku.core.statistics import (
    Interval,
    Scale,
    clustered_mean,
    paired_difference,
    seeded_mean,
    share_interval,
    stratified_mean,
    student_quantile,
)
from teichaku.core.statistics.clusters import cluster_sums
from teichaku.core.statistics.means import jackknife_bounds

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
    assert bounds(found) == pytest.approx((theirs.low, theirs.high))


def test_questions_of_one_document_widen_the_interval() -> None:
    values = [float(i // 5 % 2) for i in range(50)]
    apart = bounds(clustered_mean(values, names(50, 1)))
    together = bounds(clustered_mean(values, names(10, 5)))
    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


def answers(
    draws: np.random.Generator, truth: float, alike: float, sizes: npt.NDArray[np.int64]
) -> Values:
    """Right answers by document, (studies, documents): each document has a difficulty of its own,
    ``alike`` the correlation of two answers about the same one.
    """
    spread = 1 / alike - 1
    difficulty = draws.beta(truth * spread, (1 - truth) * spread, sizes.shape)
    return draws.binomial(sizes, difficulty).astype(np.float64)


def studies(draws: np.random.Generator, documents: int, unequal: bool) -> npt.NDArray[np.int64]:
    """Questions by document in 10,000 studies: 8, or 2 to 15."""
    shape = (10_000, documents)
    return draws.integers(2, 16, shape) if unequal else np.full(shape, 8)


def coverage(sums: Values, sizes: npt.NDArray[np.int64], truth: float, scale: Scale) -> float:
    low, high = jackknife_bounds(np.stack([sums, sizes], axis=-1).astype(np.float64), scale)
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("documents", [8, 20, 50])
@pytest.mark.parametrize(("truth", "alike"), [(0.5, 0.2), (0.8, 0.05), (0.2, 0.05)])
def test_intervals_of_a_share_cover_the_truth(
    truth: float, alike: float, documents: int, unequal: bool
) -> None:
    draws = np.random.default_rng(3)
    sizes = studies(draws, documents, unequal)
    sums = answers(draws, truth, alike, sizes)
    assert 0.93 <= coverage(sums, sizes, truth, (0, 1)) <= 0.97


@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("documents", [8, 20, 50])
@pytest.mark.parametrize(("old", "new"), [(0.5, 0.5), (0.2, 0.5), (0.3, 0.35)])
def test_intervals_of_a_paired_difference_cover_the_truth(
    old: float, new: float, documents: int, unequal: bool
) -> None:
    """Documents gain unequally: how hard one is before and after has nothing in common."""
    draws = np.random.default_rng(4)
    sizes = studies(draws, documents, unequal)
    change = answers(draws, new, 0.15, sizes) - answers(draws, old, 0.15, sizes)
    assert 0.93 <= coverage(change, sizes, new - old, (-1, 1)) <= 0.97


@pytest.mark.parametrize(
    ("truth", "alike", "documents", "least"),
    [
        (0.05, 0.05, 8, 0.93),  # too wide, up to 0.999: the safe side
        (0.05, 0.05, 50, 0.93),
        (0.95, 0.2, 20, 0.88),  # few documents hold all the wrong answers
        (0.95, 0.2, 200, 0.93),
        (0.2, 0.2, 8, 0.91),
        (0.2, 0.4, 8, 0.88),
    ],
)
def test_the_limits_of_coverage_are_those_that_the_documentation_says(
    truth: float, alike: float, documents: int, least: float
) -> None:
    draws = np.random.default_rng(5)
    sizes = studies(draws, documents, unequal=True)
    assert coverage(answers(draws, truth, alike, sizes), sizes, truth, (0, 1)) >= least


@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abcd")), min_size=2, max_size=30),
)
def test_many_studies_at_once_are_each_study_alone(rows: list[tuple[int, str]]) -> None:
    values, clusters = [float(value) for value, _ in rows], [name for _, name in rows]
    found = clustered_mean(values, clusters, (0, 1))
    assert found is not None
    if found.low is None or found.high is None:
        assert len(set(clusters)) == 1
        return
    sums = cluster_sums([values, np.ones(len(values))], clusters)
    low, high = jackknife_bounds(np.stack([sums, sums]), (0, 1))
    assert found.low == pytest.approx(min(low[1], found.value))
    assert found.high == pytest.approx(max(high[1], found.value))


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abc")), min_size=1)
)
def test_swapping_before_and_after_turns_the_difference_round(
    rows: list[tuple[int, int, str]],
) -> None:
    before, after = [float(row[0]) for row in rows], [float(row[1]) for row in rows]
    clusters = [row[2] for row in rows]
    there = paired_difference(before, after, clusters, (0, 1))
    back = paired_difference(after, before, clusters, (0, 1))
    assert there is not None and back is not None
    assert there.value == pytest.approx(-back.value)
    if there.low is not None and back.high is not None:
        assert there.low == pytest.approx(-back.high)


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


def test_quantiles_are_scipys() -> None:
    assert student_quantile(7) == pytest.approx(stats.t.ppf(0.975, 7))
    assert student_quantile(2.5, 0.9) == pytest.approx(stats.t.ppf(0.9, 2.5))


@pytest.mark.parametrize(("hits", "n"), [(0, 12), (12, 12), (1, 7), (60, 100), (500, 501)])
def test_shares_of_independent_items_have_scipys_intervals(hits: int, n: int) -> None:
    for exact, method in ((False, "wilson"), (True, "exact")):
        theirs = stats.binomtest(hits, n).proportion_ci(0.95, method)
        assert bounds(share_interval(hits, n, exact)) == pytest.approx(
            (theirs.low, theirs.high), abs=1e-12
        )


def test_shares_of_nothing_and_of_too_much() -> None:
    assert share_interval(0, 0) is None
    with pytest.raises(ValueError, match="3 hits of 2"):
        share_interval(3, 2)


def seeded(
    draws: np.random.Generator, seeds: int, documents: int, apart: float
) -> list[list[float]]:
    """Eight questions a document; seeds are ``apart``, documents differ, and so do seeds on each
    document. The truth is 0.5.
    """
    chance = 0.5 + apart * draws.normal(size=(seeds, 1)) + draws.uniform(-0.3, 0.3, documents)
    chance = np.clip(chance + 0.05 * draws.normal(size=(seeds, documents)), 0, 1)
    asked = draws.random((seeds, documents, 8)) < chance[:, :, None]
    found: list[list[float]] = asked.reshape(seeds, -1).astype(float).tolist()
    return found


@pytest.mark.parametrize(("seeds", "apart"), [(3, 0.0), (3, 0.1), (5, 0.1), (10, 0.05)])
def test_intervals_over_seeds_and_documents_cover_the_truth(seeds: int, apart: float) -> None:
    draws, covered, rounds, clusters = np.random.default_rng(8), 0, 1_000, names(20, 8)
    for _ in range(rounds):
        found = seeded_mean(seeded(draws, seeds, 20, apart), clusters, (0, 1))
        assert found is not None
        low, high = bounds(found.interval)
        covered += low <= 0.5 <= high
    assert 0.925 <= covered / rounds <= 0.98


def test_seeds_that_differ_are_seen_to_and_widen_the_interval() -> None:
    draws, clusters = np.random.default_rng(9), names(200, 8)
    values = seeded(draws, 8, 200, 0.15)
    both = seeded_mean(values, clusters, (0, 1))
    alone = clustered_mean(np.mean(values, axis=0).tolist(), clusters, (0, 1))
    assert both is not None and both.between_seeds is not None
    assert both.between_documents is not None
    assert both.between_seeds == pytest.approx(0.15, rel=0.5)
    assert both.between_documents == pytest.approx(0.6 / 12**0.5, rel=0.2)
    (low, high), (inner_low, inner_high) = bounds(both.interval), bounds(alone)
    assert high - low > 3 * (inner_high - inner_low)


def test_one_seed_and_seeds_that_agree_give_the_interval_of_documents() -> None:
    values, clusters = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0], list("aabbcc")
    alone = bounds(clustered_mean(values, clusters, (0, 1)))
    single = seeded_mean([values], clusters, (0, 1))
    same = seeded_mean([values, values, values], clusters, (0, 1))
    assert single is not None and same is not None
    assert bounds(single.interval) == pytest.approx(alone)
    assert bounds(same.interval) == pytest.approx(alone)
    assert (single.between_seeds, same.between_seeds) == (None, 0)


def test_a_balanced_table_has_the_mean_squares_of_the_analysis_of_variance() -> None:
    """Two-way without repetition, by hand: rows are seeds, columns documents."""
    table = np.array([[1.0, 4.0, 7.0, 2.0], [3.0, 5.0, 11.0, 3.0], [2.0, 9.0, 9.0, 6.0]])
    seeds, documents = table.shape
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - rows[:, None] - columns + mean
    error = (rest**2).sum() / ((seeds - 1) * (documents - 1))
    of_rows = documents * ((rows - mean) ** 2).sum() / (seeds - 1)
    of_columns = seeds * ((columns - mean) ** 2).sum() / (documents - 1)
    found = seeded_mean(table.tolist(), list("abcd"))
    assert found is not None
    assert found.between_seeds == pytest.approx(max(0, (of_rows - error) / documents) ** 0.5)
    assert found.between_documents == pytest.approx(((of_columns - error) / seeds) ** 0.5)
    variance = (of_rows + of_columns - error) / (seeds * documents)
    degrees = (seeds * documents * variance) ** 2 / (
        of_rows**2 / (seeds - 1)
        + of_columns**2 / (documents - 1)
        + error**2 / ((seeds - 1) * (documents - 1))
    )
    low, high = bounds(found.interval)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, degrees) * variance**0.5)


def test_seeds_must_have_answered_the_same_questions() -> None:
    with pytest.raises(ValueError, match="1 values but 2"):
        seeded_mean([[1.0, 2.0], [1.0]], ["a", "b"])
    assert seeded_mean([], []) is None
    assert seeded_mean([[]], []) is None
    one = seeded_mean([[1.0, 0.0], [0.0, 0.0]], ["a", "a"])
    assert one is not None
    assert (one.interval.value, one.interval.low) == (0.25, None)


def test_one_stratum_has_the_interval_of_its_own_mean() -> None:
    values, clusters = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0], list("aabbcd")
    for scale in (None, (0.0, 1.0)):
        own = clustered_mean(values, clusters, scale)
        found = stratified_mean([(values, clusters)], [3.0], scale)
        assert found is not None and own is not None
        assert found.n == own.n
        assert found.value == pytest.approx(own.value)
        assert bounds(found) == pytest.approx(bounds(own))


def test_strata_count_by_their_weights_and_their_variances_add_up() -> None:
    draws = np.random.default_rng(1)
    small, large = list(draws.random(8)), list(draws.random(40))
    strata = [(one, [str(place) for place in range(len(one))]) for one in (small, large)]
    found = stratified_mean(strata, [1, 3])
    assert found is not None
    assert found.value == pytest.approx(0.25 * np.mean(small) + 0.75 * np.mean(large))
    squares = [(share * stats.sem(one)) ** 2 for share, one in ((0.25, small), (0.75, large))]
    degrees = sum(squares) ** 2 / (squares[0] ** 2 / 7 + squares[1] ** 2 / 39)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(sum(squares))
    assert bounds(found) == pytest.approx((found.value - half, found.value + half))


def test_the_interval_of_strata_covers_the_truth() -> None:
    draws, covered, studies = np.random.default_rng(3), 0, 400
    shares, sizes = (0.9, 0.3, 0.6), (10, 25, 50)
    for _ in range(studies):
        strata = [
            ((draws.random(size) < share).astype(float).tolist(), [str(n) for n in range(size)])
            for share, size in zip(shares, sizes, strict=True)
        ]
        low, high = bounds(stratified_mean(strata, [1, 1, 1], (0.0, 1.0)))
        covered += low <= 0.6 <= high
    assert covered / studies > 0.93


def test_strata_without_values_or_of_one_document_have_no_interval() -> None:
    one, several = ([1.0, 0.0], ["a", "a"]), ([1.0, 0.0], ["a", "b"])
    found = stratified_mean([one, several], [1, 1], (0.0, 1.0))
    assert found is not None
    assert (found.value, found.low, found.n) == (0.5, None, 4)
    assert stratified_mean([several, ([], [])], [1, 1]) is None
    assert stratified_mean([], []) is None
    with pytest.raises(ValueError, match="1 weights of 2 strata"):
        stratified_mean([one, several], [1])
    with pytest.raises(ValueError, match="add up to 0"):
        stratified_mean([several], [0])
