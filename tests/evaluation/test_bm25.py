"""The index against the formula, and in several languages."""

from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import SENTENCES, texts
from teichaku.core.text import comparable
from teichaku.evaluation.bm25 import K1, B, CharacterIndex

JAPANESE = ["定員は48人", "料金は1,800円", "船の料金と船の定員", "", "あ"]


def terms(text: str) -> Counter[str]:
    """The terms of a text in scripts without spaces."""
    letters = comparable(text)
    if len(letters) == 1:
        return Counter([letters])
    return Counter(letters[i : i + n] for n in (2, 3) for i in range(len(letters) - n + 1))


def by_formula(query: str, corpus: list[str], k1: float, b: float) -> list[float]:
    found = [terms(text) for text in corpus]
    mean = sum(sum(each.values()) for each in found) / len(corpus)
    scores = []
    for each in found:
        score = 0.0
        for term, times in terms(query).items():
            having = sum(term in other for other in found)
            rarity = log(1 + (len(corpus) - having + 0.5) / (having + 0.5))
            held_back = k1 * (1 - b + b * sum(each.values()) / mean)
            if each[term]:
                score += times * rarity * each[term] / (each[term] + held_back)
        scores.append(score)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(K1, B), (0.9, 0.4), (2.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("query", ["定員は何人か", "料金の料金の料金", "あ", "", "石油"])
def test_the_score_is_that_of_the_formula(query: str, k1: float, b: float) -> None:
    (found,) = CharacterIndex(JAPANESE, k1, b).scores([query])
    assert found == pytest.approx(by_formula(query, JAPANESE, k1, b))


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_a_sentence_finds_itself_first_in_every_language(language: str) -> None:
    corpus = [sentence for group in SENTENCES.values() for sentence in group]
    index = CharacterIndex(corpus)
    for sentence in SENTENCES[language]:
        (scores,) = index.scores([sentence])
        assert corpus[int(np.argmax(scores))] == sentence


@given(st.lists(texts, max_size=6), texts)
def test_scores_are_finite_never_negative_and_one_for_each_text(
    corpus: list[str], query: str
) -> None:
    found = CharacterIndex(corpus).scores([query])
    assert found.shape == (1, len(corpus))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    for score, text in zip(found[0], corpus, strict=True):
        if comparable(text) == comparable(query) and len(comparable(query)) > 1:
            assert score > 0


@given(st.lists(texts, min_size=1, max_size=6))
def test_a_query_scores_the_same_alone_and_among_others(queries: list[str]) -> None:
    index = CharacterIndex([*JAPANESE, *SENTENCES["en"]])
    together = index.scores(queries)
    alone = [index.scores([query])[0] for query in queries]
    assert (together == np.array(alone)).all()


def test_width_case_and_punctuation_make_no_difference() -> None:
    index = CharacterIndex(["Ferry ＡＯＢＡ, 48人", "旅館"])
    scores = index.scores(["ferry aoba 48人", "FERRY「AOBA」４８人"])
    assert scores[0, 0] > 0
    assert (scores[0] == scores[1]).all()


def test_two_letters_of_an_alphabet_are_no_term() -> None:
    # "th" stands in both; a word of two letters is all that there is of itself.
    scores = CharacterIndex(["the path", "no"]).scores(["thrush", "no"])
    assert scores[0, 0] == 0
    assert scores[1, 1] > 0


@given(st.lists(texts, max_size=5), texts)
def test_no_text_that_contains_a_part_is_left_out(many: list[str], part: str) -> None:
    index = CharacterIndex(many)
    parts = [part, *(text[place : place + 4] for text in many for place in (0, len(text) // 2))]
    for wanted in parts:
        having = [i for i, text in enumerate(many) if comparable(wanted) in comparable(text)]
        places = index.may_contain(wanted).tolist()
        assert set(having) <= set(places)
        assert places == sorted(set(places))


def test_only_texts_with_the_rarest_term_may_contain_a_name() -> None:
    index = CharacterIndex(["遊覧船あおば丸の定員", "遊覧船みなと丸の定員", "遊覧船"])
    assert index.may_contain("遊覧船みなと丸").tolist() == [1]
    assert index.may_contain("遊覧船").tolist() == [0, 1, 2]
    assert index.may_contain("貨物船").tolist() == []
