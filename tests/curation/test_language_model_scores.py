"""Each published score is held to its definition, on a model whose probabilities are given."""

import zlib
from math import e, exp, log
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.core.models import TokenScores
from teichaku.curation.instruction_following_difficulty import (
    keep_most_difficult,
    loss_ratio,
    mean_loss,
    perplexity_ratio,
)
from teichaku.curation.minimum_k import (
    mean_log_probability,
    minimum_k,
    minimum_k_plus_plus,
    zlib_ratio,
)
from teichaku.curation.perplexity import (
    Band,
    bits_per_byte,
    keep_band,
    nats_per_character,
    perplexity_per_character,
)

EMPTY = TokenScores(np.zeros(0, np.float32))
BANDS: list[Band] = ["top", "middle", "bottom"]


def tokens(*probabilities: float, start: int = 0, end: int = 0) -> TokenScores:
    return TokenScores(np.log(np.array(probabilities, np.float32)), start=start, end=end)


def moments(values: list[float], means: list[float], deviations: list[float]) -> TokenScores:
    logs, mean, deviation = np.array([values, means, deviations], np.float32)
    return TokenScores(logs, mean, deviation)


class TestPerplexity:
    def test_it_is_counted_by_the_character_however_many_tokens_there_are(self) -> None:
        text = "遊覧船"
        for scores in (
            tokens(1 / 27, end=3),
            tokens(1 / 9, 1 / 3, end=3),
            tokens(*[1 / 3] * 3, end=3),
        ):
            assert perplexity_per_character(scores) == pytest.approx(3)
            assert nats_per_character(scores) == pytest.approx(log(3))
            # 9 bytes of UTF-8.
            assert bits_per_byte(scores, text) == pytest.approx(3 * np.log2(3) / 9)

    def test_only_what_was_scored_counts(self) -> None:
        scores = tokens(1 / 16, start=1, end=3)
        assert perplexity_per_character(scores) == pytest.approx(4)
        assert bits_per_byte(scores, "xあaいい") == pytest.approx(4 / 4)

    def test_without_a_token_or_beyond_all_numbers_there_is_none(self) -> None:
        assert perplexity_per_character(EMPTY) is None
        assert bits_per_byte(EMPTY, "船") is None
        far = TokenScores(np.array([-2000], np.float32), end=1)
        assert perplexity_per_character(far) is None
        assert nats_per_character(far) == 2000


class TestBand:
    SCORES: ClassVar[dict[str, float | None]] = {f"{at}": float(at) for at in range(10)}

    @pytest.mark.parametrize(
        ("band", "kept"),
        [("top", "987"), ("bottom", "012"), ("middle", "435")],
    )
    def test_a_band_is_a_share_of_the_ranks(self, band: Band, kept: str) -> None:
        found = keep_band(self.SCORES, 0.3, band)
        assert found.kept == tuple(kept)
        assert found.dropped.keys() == self.SCORES.keys() - set(kept)
        reason, evidence = found.dropped["6" if band != "top" else "5"]
        assert reason == "outside_band"
        assert "of 10" in evidence

    def test_the_middle_half_lies_between_the_quartiles(self) -> None:
        scores = {f"{at:02}": float(at) for at in range(20)}
        assert sorted(keep_band(scores, 0.5, "middle").kept) == [f"{at:02}" for at in range(5, 15)]

    def test_equal_scores_go_by_id(self) -> None:
        scores: dict[str, float | None] = dict.fromkeys("dcba", 1.0)
        assert keep_band(scores, 0.5, "bottom").kept == ("a", "b")
        assert keep_band(dict(reversed(scores.items())), 0.5, "bottom").kept == ("a", "b")

    @given(
        st.dictionaries(st.text(max_size=3), st.none() | st.floats(), max_size=30),
        st.floats(0.01, 1),
        st.sampled_from(BANDS),
        st.booleans(),
    )
    def test_every_id_is_kept_or_dropped_with_its_reason(
        self, scores: dict[str, float | None], share: float, band: Band, keeps: bool
    ) -> None:
        found = keep_band(scores, share, band, keeps)
        assert {*found.kept} | found.dropped.keys() == scores.keys()
        assert len(found.kept) + len(found.dropped) == len(scores)
        assert all(reason and evidence for reason, evidence in found.dropped.values())
        assert found == keep_band(dict(reversed(scores.items())), share, band, keeps)
        assert (found.without_score <= {*found.kept}) == (keeps or not found.without_score)


class TestInstructionFollowingDifficulty:
    AFTER, ALONE = tokens(0.5, 0.125), tokens(0.25, 0.0625)

    def test_cherry_divides_the_mean_losses_of_a_token(self) -> None:
        # log 2 and 3 log 2 after the question, 2 log 2 and 4 log 2 without it.
        assert loss_ratio(self.AFTER, self.ALONE) == pytest.approx(2 / 3)

    def test_superfiltering_divides_the_perplexities(self) -> None:
        # exp of the mean loss: 4 after the question, 8 without it.
        assert perplexity_ratio(self.AFTER, self.ALONE) == pytest.approx(4 / 8)
        losses = mean_loss(self.AFTER), mean_loss(self.ALONE)
        assert losses == pytest.approx((2 * log(2), 3 * log(2)))
        assert exp(losses[0] or 0) / exp(losses[1] or 0) == pytest.approx(0.5)

    @given(
        st.lists(st.floats(0.01, 0.99), min_size=1, max_size=9),
        st.lists(st.floats(0.01, 0.99), min_size=1, max_size=9),
    )
    def test_both_forms_agree_on_which_pair_is_misaligned(
        self, one: list[float], other: list[float]
    ) -> None:
        cherry = loss_ratio(tokens(*one), tokens(*other))
        filtering = perplexity_ratio(tokens(*one), tokens(*other))
        assert cherry is not None
        assert filtering is not None
        if abs(cherry - 1) > 1e-6:
            assert (cherry >= 1) == (filtering >= 1)

    def test_without_tokens_or_loss_there_is_none(self) -> None:
        assert loss_ratio(EMPTY, self.ALONE) is None
        assert loss_ratio(self.AFTER, EMPTY) is None
        assert loss_ratio(self.AFTER, tokens(1.0)) is None
        assert perplexity_ratio(self.AFTER, EMPTY) is None

    def test_one_and_above_falls_and_the_highest_of_the_others_stay(self) -> None:
        scores = {"a": 0.2, "b": 1.0, "c": 0.9, "d": 1.7, "e": 0.6, "f": None}
        found = keep_most_difficult(scores, 0.4)
        assert found.kept == ("c", "e", "f")
        assert {i: reason for i, (reason, _) in found.dropped.items()} == {
            "b": "misaligned",
            "d": "misaligned",
            "a": "not_difficult",
        }
        assert "0.2 is rank 3 of 3 below 1" in found.dropped["a"][1]
        assert found.without_score == {"f"}
        assert keep_most_difficult(scores, 0.4, keep_without_score=False).kept == ("c", "e")

    def test_a_share_is_of_all_that_have_a_score(self) -> None:
        scores: dict[str, float | None] = {"a": 2.0, "b": 3.0, "c": 0.9, "d": 0.8}
        assert keep_most_difficult(scores, 0.75).kept == ("c", "d")
        assert keep_most_difficult(scores, 0.25).kept == ("c",)
        assert keep_most_difficult({"a": 2.0}, 0.5).kept == ()


class TestMinimumK:
    def test_it_is_the_mean_of_the_least_likely_share(self) -> None:
        values = [-5.0, -0.1, -3.0, -0.2, -0.3, -0.1, -0.1, -0.1, -0.1, -0.1]
        scores = TokenScores(np.array(values, np.float32))
        assert minimum_k(scores) == pytest.approx(-4)
        assert minimum_k(scores, 0.1) == pytest.approx(-5)
        assert minimum_k(scores, 1.0) == pytest.approx(sum(values) / 10)
        assert mean_log_probability(scores) == pytest.approx(sum(values) / 10)

    @pytest.mark.parametrize(("length", "counted"), [(1, 1), (4, 1), (5, 1), (6, 2), (15, 3)])
    def test_a_short_text_has_one_token_at_least(self, length: int, counted: int) -> None:
        values = -np.arange(length, 0, -1, dtype=np.float32)
        expected = float(values[:counted].mean())
        assert minimum_k(TokenScores(values)) == pytest.approx(expected)

    def test_plus_plus_standardises_by_the_model_s_own_distribution(self) -> None:
        scores = moments([-4.0, -1.0, -2.0], [-2.0, -1.5, -2.0], [1.0, 0.5, 2.0])
        # (-4 + 2) / 1, (-1 + 1.5) / 0.5, (-2 + 2) / 2.
        assert minimum_k_plus_plus(scores) == pytest.approx(-2)
        assert minimum_k_plus_plus(scores, 2 / 3) == pytest.approx(-1)
        assert minimum_k_plus_plus(scores, 1.0) == pytest.approx(-1 / 3)

    def test_plus_plus_follows_from_a_distribution(self) -> None:
        distribution = np.array([0.7, 0.2, 0.1])
        logs = np.log(distribution)
        mean = (distribution * logs).sum()
        deviation = np.sqrt((distribution * logs**2).sum() - mean**2)
        scores = moments([logs[2]], [mean], [deviation])
        assert minimum_k_plus_plus(scores) == pytest.approx((logs[2] - mean) / deviation, rel=1e-5)

    def test_where_all_tokens_are_equally_likely_the_token_is_an_average_one(self) -> None:
        scores = moments([-1.0, -1.0], [-1.0, -2.0], [0.0, 1.0])
        assert minimum_k_plus_plus(scores, 1.0) == pytest.approx(0.5)

    def test_zlib_divides_by_the_compressed_bytes_of_what_was_scored(self) -> None:
        text = "船は檜。船は檜。船は檜。"
        scores = tokens(1 / e, 1 / e, start=4, end=12)
        assert zlib_ratio(scores, text) == pytest.approx(
            -1 / len(zlib.compress(text[4:].encode())), rel=1e-5
        )

    def test_without_tokens_or_moments_there_is_none(self) -> None:
        assert minimum_k(EMPTY) is None
        assert mean_log_probability(EMPTY) is None
        assert zlib_ratio(EMPTY, "") is None
        assert minimum_k_plus_plus(tokens(0.5)) is None

    @pytest.mark.parametrize("k", [0, 1.5, -1])
    def test_a_share_that_is_none_is_refused(self, k: float) -> None:
        with pytest.raises(ValueError, match="k is"):
            minimum_k(tokens(0.5), k)
