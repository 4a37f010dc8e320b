import numpy as np
import pytest
from scipy import stats

from teichaku.core.statistics import clustered_mean, paired_difference


def test_the_order_of_rows_does_not_count() -> None:
    values, clusters = [1.0, 0.0, 1.0, 1.0, 0.0], ["b", "a", "b", "c", "a"]
    shuffled = [4, 2, 0, 3, 1]
    assert clustered_mean(values, clusters) == clustered_mean(
        [values[i] for i in shuffled], [clusters[i] for i in shuffled]
    )


def test_without_clusters_of_several_the_interval_is_scipys_bootstrap() -> None:
    values = np.random.default_rng(1).random(80)
    ours = clustered_mean(list(values), [str(i) for i in range(80)])
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=5_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours is not None
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_questions_of_one_document_widen_the_interval() -> None:
    values = [float(i // 5 % 2) for i in range(50)]
    apart = clustered_mean(values, [str(i) for i in range(50)])
    together = clustered_mean(values, [str(i // 5) for i in range(50)])
    assert apart is not None and together is not None
    assert apart.low is not None and apart.high is not None
    assert together.low is not None and together.high is not None
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_clustered_intervals_cover_the_truth() -> None:
    """40 documents of 5 questions that share their document's difficulty: 95 % within noise."""
    draws, covered = np.random.default_rng(3), 0
    clusters = [str(i // 5) for i in range(200)]
    for round_ in range(200):
        difficulty = np.repeat(draws.beta(2, 2, 40), 5)
        found = clustered_mean(
            list((draws.random(200) < difficulty).astype(float)), clusters, round_
        )
        assert found is not None and found.low is not None and found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 200 <= 0.99


def test_one_document_has_no_interval_and_no_value_no_mean() -> None:
    single = clustered_mean([1.0, 0.0], ["a", "a"])
    assert single is not None
    assert (single.value, single.low, single.n) == (0.5, None, 2)
    assert clustered_mean([], []) is None


def test_a_constant_gain_has_an_interval_without_width() -> None:
    gain = paired_difference([0.0, 0.5, 0.2], [0.5, 1.0, 0.7], ["a", "b", "c"])
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.5, 0.5, 0.5))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 values but 1"):
        clustered_mean([1.0, 2.0], ["a"])
