from itertools import product
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import SENTENCES, texts
from teichaku.backends.ngram_language_model import NgramLanguageModel
from teichaku.core.errors import UserError
from teichaku.core.models import ScoredText, TokenScores

UNICODE = 0x110000 - 0x800
EVERY = [sentence for group in SENTENCES.values() for sentence in group]


def score(
    model: NgramLanguageModel, text: str, context: str = "", moments: bool = False
) -> TokenScores:
    (found,) = model.token_log_probabilities([ScoredText(text, context)], moments)
    return found


def probabilities(model: NgramLanguageModel, text: str, context: str = "") -> list[float]:
    values: list[float] = np.exp(
        score(model, text, context).log_probabilities.astype(float)
    ).tolist()
    return values


def test_single_characters_are_mixed_with_all_of_unicode() -> None:
    model = NgramLanguageModel(["あああい"], order=1)
    # 4 characters of 2 kinds were seen: (C + T / |Unicode|) / (N + T).
    expected = [(3 + 2 / UNICODE) / 6, (1 + 2 / UNICODE) / 6, (2 / UNICODE) / 6]
    assert probabilities(model, "あい🍜") == pytest.approx(expected, rel=1e-6)


def test_a_longer_history_is_mixed_with_the_shorter_one() -> None:
    model = NgramLanguageModel(["abac"], order=2)
    a, b, c = ((count + 3 / UNICODE) / 7 for count in (2, 1, 1))
    # After "a" came "b" and "c", once each: C = 1 of 2, T = 2.
    assert probabilities(model, "bc", "a")[0] == pytest.approx((1 + 2 * b) / 4, rel=1e-6)
    # Nothing came after "c", so it tells nothing.
    assert probabilities(model, "a", "c") == pytest.approx([a], rel=1e-6)
    # The text began with "a", once: C = 1 of 1, T = 1.
    assert probabilities(model, "ac") == pytest.approx([(1 + a) / 2, (1 + 2 * c) / 4], rel=1e-6)


def every_next(model: NgramLanguageModel, context: str, alphabet: set[str]) -> np.ndarray:
    """The probabilities of all of Unicode after a context, through the front door."""
    known = [probabilities(model, character, context)[0] for character in sorted(alphabet)]
    (unknown,) = probabilities(model, "\U0010fffd", context)
    return np.array(known + [unknown] * (UNICODE - len(alphabet)))


@pytest.mark.parametrize("context", ["", "船", "この遊覧船は", "The boat", "เรือ", "真的", "🍜"])
def test_all_of_unicode_shares_one_probability_and_the_moments_are_its_own(context: str) -> None:
    model = NgramLanguageModel(EVERY, order=4)
    distribution = every_next(model, context, set("".join(EVERY)))
    assert distribution.sum() == pytest.approx(1, abs=1e-4)
    found = score(model, "x", context, moments=True)
    mean = (distribution * np.log(distribution)).sum()
    deviation = np.sqrt((distribution * (np.log(distribution) - mean) ** 2).sum())
    assert found.means == pytest.approx([mean], rel=1e-3)
    assert found.deviations == pytest.approx([deviation], rel=1e-3)


@given(texts, texts)
def test_every_character_of_any_text_is_scored(context: str, text: str) -> None:
    model = NgramLanguageModel(EVERY[:3], order=3)
    found = score(model, text, context, moments=True)
    assert found.log_probabilities.dtype == np.float32
    assert len(found.log_probabilities) == len(text)
    assert (found.start, found.end, found.cut) == (0, len(text), 0)
    assert np.isfinite(found.log_probabilities).all()
    assert (found.log_probabilities <= 0).all()
    assert found.means is not None
    assert (found.means < 0).all()


@given(texts, st.integers(0, 120))
def test_a_text_after_its_context_is_the_end_of_the_whole(whole: str, at: int) -> None:
    model = NgramLanguageModel(EVERY, order=5)
    after = score(model, whole[at:], whole[:at]).log_probabilities
    np.testing.assert_array_equal(after, score(model, whole).log_probabilities[at:])


def test_what_reads_like_the_texts_is_likelier() -> None:
    model = NgramLanguageModel(SENTENCES["ja"])
    known, strange = "この遊覧船は造られた。", "这艘船建于1987年。xx"
    assert score(model, known).log_probabilities.mean() > log(0.1)
    assert score(model, strange).log_probabilities.mean() < log(0.001)


def test_the_order_of_the_texts_changes_nothing() -> None:
    one, other = NgramLanguageModel(EVERY), NgramLanguageModel(EVERY[::-1])
    assert one.identity == other.identity
    assert probabilities(one, "船は36枚") == probabilities(other, "船は36枚")
    assert NgramLanguageModel(EVERY[1:]).identity != one.identity
    assert NgramLanguageModel(EVERY, order=2).identity != one.identity


@pytest.mark.parametrize(("text", "order"), list(product(["a", "ab"], [1, 2, 3, 9])))
def test_texts_shorter_than_the_order_are_enough(text: str, order: int) -> None:
    model = NgramLanguageModel([text, ""], order)
    found = score(model, "abz", moments=True)
    assert np.isfinite(found.log_probabilities).all()


def test_without_a_text_there_is_no_model() -> None:
    with pytest.raises(UserError, match="no text"):
        NgramLanguageModel(["", ""])
    with pytest.raises(ValueError, match="order"):
        NgramLanguageModel(["a"], order=0)
