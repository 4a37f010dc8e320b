"""DSIR: weights as published, draws by seed, and Japanese that is told from Japanese."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import texts
from teichaku.curation.importance_resampling import (
    BUCKETS,
    NgramCounts,
    count_ngrams,
    importance_resampling,
    log_ratio,
    resample,
    weights,
)

BOATS = [f"遊覧船あおば丸の定員は{number}人で、船体は檜でできている。" for number in range(40)]
TAXES = [f"所得税の確定申告書は{number}番の窓口に提出してください。" for number in range(40)]


def counted(**by_bucket: int) -> NgramCounts:
    counts = np.zeros(BUCKETS, np.int64)
    for name, number in by_bucket.items():
        counts[int(name[1:])] = number
    return NgramCounts(counts, 1)


def test_the_log_ratio_is_that_of_the_shares() -> None:
    # Target: 3 of 4 in bucket 0. Raw: 1 of 4.
    target, raw = counted(b0=3, b1=1), counted(b0=1, b1=3)
    ratio = log_ratio(target, raw, 1e-8, "uniform")
    assert ratio[0] == pytest.approx(np.log(3), abs=1e-3)
    assert ratio[1] == pytest.approx(-np.log(3), abs=1e-3)
    smoothed = log_ratio(target, raw, 1.0, "uniform")
    assert smoothed[0] == pytest.approx(np.log(4 / 2))
    assert smoothed[2] == 0


def test_a_small_target_does_not_make_frequent_ngrams_foreign() -> None:
    # Raw: one bucket has half of all. The target of three n-grams lacks it by chance.
    raw = counted(b0=100_000, **{f"b{n}": 10 for n in range(1, BUCKETS)})
    target = counted(b1=3)
    # By hand: 3 n-grams of the target's own among 10,000 added by the shares of raw.
    expected = np.log(BUCKETS / (BUCKETS + 3))
    ratio = log_ratio(target, raw)
    assert ratio[0] == pytest.approx(expected)
    assert ratio[2] == pytest.approx(expected)
    assert ratio[1] > 1
    assert log_ratio(target, raw, 1.0, "uniform")[0] < -7


def test_a_weight_is_the_sum_over_all_ngrams_or_their_mean() -> None:
    # 「ああ」: あ twice, ああ once; 「ああああ」: 4, 3 and two of あああ.
    ratio = np.ones(BUCKETS)
    (sums,) = weights(["ああ", "ああああ", "、"], ratio)
    assert sums[:2].tolist() == [3.0, 9.0]
    assert np.isnan(sums[2])
    (means,) = weights(["ああ", "ああああ"], ratio, length=5.0)
    assert means.tolist() == [5.0, 5.0]


@given(st.lists(texts, max_size=8), st.integers(0, 8))
def test_counts_of_parts_add_up(given_texts: list[str], cut: int) -> None:
    whole = count_ngrams(given_texts)
    parts = count_ngrams(given_texts[:cut]) + count_ngrams(given_texts[cut:])
    np.testing.assert_array_equal(whole.counts, parts.counts)
    assert whole.texts == parts.texts == len(given_texts)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 50), st.lists(st.floats(-20, 20), max_size=40))
def test_all_are_drawn_or_dropped_and_order_changes_nothing(
    seed: int, limit: int, given_weights: list[float]
) -> None:
    ids = [f"{row:03}" for row in range(len(given_weights))]
    log_weights = np.array(given_weights, float)
    found = resample(ids, log_weights, limit, seed=seed)
    assert sorted([*found.kept, *found.dropped]) == ids
    assert len(found.kept) == min(limit, len(ids))
    order = np.random.default_rng(seed).permutation(len(ids))
    again = resample([ids[row] for row in order], log_weights[order], limit, seed=seed)
    assert again.kept == found.kept


def test_a_draw_of_one_follows_the_weights() -> None:
    # Gumbel: the one that comes first is drawn with probability proportional to its weight.
    log_weights = np.log([0.6, 0.3, 0.1])
    firsts = [
        int(resample(["a", "b", "c"], log_weights, 1, seed=s).kept == ("a",)) for s in range(2000)
    ]
    assert np.mean(firsts) == pytest.approx(0.6, abs=0.035)


def test_one_without_a_weight_is_taken_last_and_told() -> None:
    found = resample(["a", "b"], np.array([np.nan, -50.0]), 1)
    assert found.kept == ("b",)
    assert found.dropped["a"][0] == "not_drawn"
    assert found.without_score == {"a"}


@pytest.mark.parametrize("language", ["ja", "th"])
def test_what_reads_like_the_target_is_drawn(language: str) -> None:
    boats, taxes = BOATS, TAXES
    if language == "th":
        boats = [f"เรือท่องเที่ยวลำนี้จุผู้โดยสารได้ {n} คน" for n in range(40)]
        taxes = [f"ยื่นแบบแสดงรายการภาษีเงินได้ที่ช่อง {n}" for n in range(40)]
    ids = [f"b{n:02}" for n in range(30)] + [f"t{n:02}" for n in range(30)]
    found = importance_resampling(ids, boats[:30] + taxes[:30], boats[30:], 30)
    assert sum(name.startswith("b") for name in found.kept) >= 29


def test_the_limit_counts_characters_where_sizes_are_given() -> None:
    ids, sizes = [f"{n}" for n in range(10)], np.arange(1, 11) * 10
    found = resample(ids, np.zeros(10), 100, sizes=sizes)
    taken = sum(int(sizes[int(name)]) for name in found.kept)
    assert taken <= 100
    assert all(int(sizes[int(name)]) > 100 - taken for name in found.dropped)
