"""Figures of diversity: known values, in several languages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import SENTENCES, texts
from teichaku.curation.clusters import on_grid
from teichaku.curation.diversity import (
    distinct_ngrams,
    diversity,
    mean_distance,
    self_overlap,
    vendi_score,
)


def test_the_vendi_score_counts_what_is_different() -> None:
    axes = on_grid(np.eye(8))
    assert vendi_score(axes) == pytest.approx(8)
    assert vendi_score(np.repeat(axes, 5, axis=0)) == pytest.approx(8)
    assert vendi_score(np.repeat(axes[:1], 50, axis=0)) == pytest.approx(1)
    assert vendi_score(axes[:0]) is None
    assert vendi_score(np.zeros((3, 4))) is None


def test_the_vendi_score_is_the_same_by_rows_and_by_dimensions() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 6))
    wide = np.concatenate([rows, np.zeros((20, 30))], axis=1)
    assert vendi_score(wide) == pytest.approx(vendi_score(rows))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 60))
def test_linear_forms_agree_with_their_definitions(seed: int, rows: int) -> None:
    made = np.random.default_rng(seed).normal(size=(rows, 12))
    units = made / np.linalg.norm(made, axis=1, keepdims=True)
    kernel = units @ units.T
    values = np.linalg.eigvalsh(kernel / rows)
    values = values[values > 1e-12]
    assert vendi_score(made) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-4)
    upper = kernel[np.triu_indices(rows, 1)]
    assert mean_distance(made) == pytest.approx(1 - upper.mean(), abs=1e-5)


def test_distances_of_known_rows() -> None:
    assert mean_distance(np.eye(3)) == pytest.approx(1)
    assert mean_distance(np.ones((4, 3))) == pytest.approx(0)
    assert mean_distance(np.array([[1.0, 0], [-1, 0]])) == pytest.approx(2)
    assert mean_distance(np.eye(1)) is None


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_the_same_said_twice_is_less_varied(language: str) -> None:
    whole = SENTENCES[language]
    once, twice = distinct_ngrams(whole), distinct_ngrams([*whole, *whole])
    assert once is not None
    assert twice == pytest.approx(once / 2)
    assert self_overlap([*whole, *whole]) == 1
    alone = self_overlap(whole)
    assert alone is not None
    assert alone < 0.5


def test_ngrams_are_counted_by_hand() -> None:
    # ああああ has one 2-gram three times; あい has another once, which no other text has.
    assert distinct_ngrams(["ああああ", "あい"], 2) == 2 / 4
    assert self_overlap(["ああああ", "ああ", "いう"], 2) == pytest.approx(2 / 3)
    assert distinct_ngrams(["あ"], 2) is None
    assert self_overlap(["あい", "！"], 2) is None


@given(st.lists(texts, max_size=10), st.randoms())
def test_figures_are_shares_and_order_changes_nothing(
    given_texts: list[str], random: object
) -> None:
    ids = [str(place) for place in range(len(given_texts))]
    found = diversity(ids, given_texts)
    for share in (found.distinct_ngrams, found.self_overlap):
        assert share is None or 0 <= share <= 1
    assert (found.mean_distance, found.vendi_score) == (None, None)
    assert found.texts == len(given_texts)
    again = diversity(ids[::-1], given_texts[::-1])
    assert again.distinct_ngrams == found.distinct_ngrams
    if found.self_overlap is not None:
        assert again.self_overlap == pytest.approx(found.self_overlap)


def test_a_sample_is_drawn_by_id() -> None:
    ids = [str(place) for place in range(100)]
    vectors = np.random.default_rng(0).normal(size=(100, 8))
    whole = [f"文章の{place}番" for place in range(100)]
    one = diversity(ids, whole, vectors, sample=10)
    again = diversity(ids[::-1], whole[::-1], vectors[::-1], sample=10)
    assert one.texts == 10
    assert one.vendi_score == pytest.approx(again.vendi_score)
    assert one.mean_distance == pytest.approx(again.mean_distance)
    assert one != diversity(ids, whole, vectors, sample=10, seed=1)
