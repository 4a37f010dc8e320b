from collections import Counter

import pytest
from hypothesis import given

from languages import texts
from made import question
from teichaku.core.records import Answer, Judgement
from teichaku.core.text import comparable
from teichaku.evaluation.scorers import character_f1, containment, exact, score_answers


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("60分", "プレイ時間は６０分です。", 1),
        ("60分", "160分", 0),
        ("1,800円", "1800円", 1),
        ("48", "48.5", 0),
        ("1-4人", "14人", 0),
        ("檜", "ヒノキ", 0),
        ("BLUFF", "bluff!", 1),
        ("。", "何でも", 0),
    ],
)
def test_containment(reference: str, answer: str, expected: float) -> None:
    assert containment(reference, answer) == expected


@given(texts)
def test_an_answer_is_itself_under_every_scorer(value: str) -> None:
    assert exact(value, value) == 1
    if comparable(value):
        assert containment(value, value) == 1
        assert character_f1(value, value) == 1


@given(texts, texts)
def test_exact_implies_containment_and_f1_is_symmetric(a: str, b: str) -> None:
    if comparable(a) and exact(a, b):
        assert containment(a, b) == 1
    assert character_f1(a, b) == character_f1(b, a)
    assert 0 <= character_f1(a, b) <= 1


def test_character_f1_counts_the_multiset() -> None:
    # 京京都 and 京都都: two of three characters are shared.
    assert character_f1("京京都", "京都都") == pytest.approx(2 / 3)
    assert character_f1("京都", "大阪") == 0
    # The order of characters does not count, unlike llm-jp-eval's token sort ratio.
    assert character_f1("大阪", "阪大") == 1
    wanted, given_ = Counter("あおば丸"), Counter("あおい丸")
    shared = sum((wanted & given_).values())
    assert character_f1("あおば丸", "あおい丸") == pytest.approx(2 * shared / 8)


def test_a_failed_answer_or_judgement_is_null_and_never_wrong() -> None:
    asked = question("定員は？", "48人", id="q")
    right = Answer("1", "q", "base", "base", "closed_book", "48人")
    failed = Answer("2", "q", "base", "base", "open_book", "", error="down")
    mark = Judgement("m", "1", "judge", "p", None, "", error="no valid score in the reply")
    scores = list(score_answers([right, failed], {"q": asked}, ["exact", "containment"], [mark]))
    assert [(s.answer_id, s.scorer, s.value) for s in scores] == [
        ("1", "exact", 1.0),
        ("1", "containment", 1.0),
        ("1", "judge", None),
        ("2", "exact", None),
        ("2", "containment", None),
    ]
