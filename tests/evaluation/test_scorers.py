from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import SENTENCES, natural_text, texts
from made import question
from teichaku.core.records import Answer, Judgement
from teichaku.core.text import comparable, contains, symbols
from teichaku.evaluation.scorers import (
    SCORERS,
    character_f1,
    containment,
    exact,
    llmjp_char_f1,
    score_answers,
)

signs = st.sampled_from(
    ["○", "×", "△", "✓", "+", "±", "→", "≠", "♂", "♀", "😀", "😢", "👍", "★", "%"]
)
numbers = st.sampled_from(["5", "31", "3.1", "3-1", "1.5", "15", "-5", "2024", "1/2", "12"])


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("○", "×"),
        ("+", "-"),
        ("😀", "😢"),
        ("3-1", "31"),
        ("-5", "5"),
        ("1.5", "15"),
        ("A+", "A"),
        ("A-", "A"),
        ("2e-5", "2e5"),
        ("x-1", "x1"),
        ("Rh−です", "Rhです"),
        ("答えは○です", "答えは×です"),
        ("評価：★★", "評価：★★★"),
        ("±3", "3"),
        ("x≠y", "x=y"),
        ("C♯", "C"),
        ("東京→大阪", "大阪→東京"),
        ("？", "！"),
        ("%", "‰"),
        ("ถูก ✓", "ถูก ✗"),
        ("对：√", "对：×"),
        ("", "……"),
    ],
)
def test_answers_that_differ_in_a_sign_are_not_the_same(one: str, other: str) -> None:
    assert exact(one, other) == exact(other, one) == 0
    assert exact(one, one) == exact(other, other) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("○", "◯"),
        ("○", "〇"),
        ("正解は〇です。", "正解は○です"),
        ("×", "✕。"),
        ("+5℃", "5℃"),
        ("▲3%", "-3%"),
        ("−5", "-5"),
        ("2∼6人", "2～6人"),
        ("8 * 10", "８×１０"),
        ("2021−11−20", "2021-11-20"),
        ("Ｔ−シャツ", "Tシャツ"),
        ("1,800円", "¥1800"),
        ("❤️", "❤"),
        ("・カード", "カード"),
        ("■ カード", "カード"),
        ("…", "..."),
        ("二〇二〇年", "二〇二〇年。"),
    ],
)
def test_signs_that_are_only_written_otherwise_are_the_same(one: str, other: str) -> None:
    assert exact(one, other) == exact(other, one) == 1


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("○", "正解は○です。", 1),
        ("○", "正解は〇です。", 1),
        ("○", "正解は×です。", 0),
        ("○×", "○か×か", 1),
        ("答えは○", "答えは×です", 0),
        ("★★", "評価は★★★です", 0),
        ("★★★", "評価は★★★です", 1),
        ("評価は★★", "評価は★★★です", 0),
        ("○", "○○", 0),
        ("👨", "家族は👨\u200d👩\u200d👧です", 0),
        ("👨\u200d👩\u200d👧", "家族は👨\u200d👩\u200d👧です", 1),
        ("👍", "👍🏻です", 0),
        ("C♯", "Cです", 0),
        ("二", "二〇二〇年", 1),
        ("😀", "とても嬉しい😀！", 1),
        ("%", "単位は%です", 1),
        ("-", "3-1", 0),
    ],
)
def test_a_reference_of_symbols_is_looked_for(reference: str, answer: str, expected: float) -> None:
    assert containment(reference, answer) == expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("A", "評価はA-です", 0),
        ("A-", "評価はA-です", 1),
        ("5", "±5", 0),
        ("±5", "誤差は±5です", 1),
        ("5", "値は≥5です", 0),
        ("5", "値は ≧ 5です", 0),
        ("5", "x<5", 0),
        ("5", "x＜5かつy＞3", 0),
        ("C", "C♯です", 0),
        ("C♯", "C♯です", 1),
        ("x=1", "x≠1です", 0),
        ("x≠1", "答えはx≠1です", 1),
        # What only stands beside a text takes nothing from it.
        ("5", "> 5", 1),
        ("5", "答えは<5>です", 1),
        ("5", "3->5", 1),
        ("48人", "「48人」♪", 1),
        ("48人", "▲ 48人\n■ 2時間", 1),
        ("pre", "pre- and post-war", 1),
        ("気温", "気温-5℃", 1),
        ("3", "3±1", 1),
    ],
)
def test_a_sign_that_changes_what_it_touches_is_a_part_of_it(
    reference: str, answer: str, expected: float
) -> None:
    assert containment(reference, answer) == expected


@given(st.sampled_from(sorted(SENTENCES)), st.sampled_from("±≥≤≠<"), st.integers(0, 999))
def test_a_number_is_not_the_same_number_with_a_sign_in_every_language(
    language: str, sign: str, number: int
) -> None:
    # A sentence with an end, so that what follows it is not in a list with its numbers.
    sentence = SENTENCES[language][2]
    assert containment(f"{number}", f"{sentence} {sign}{number}") == 0
    assert containment(f"{sign}{number}", f"{sentence} {sign}{number}") == 1


@given(natural_text, signs, signs, natural_text)
def test_another_symbol_is_another_answer_in_every_language(
    before: str, one: str, other: str, after: str
) -> None:
    left, right = (f"{before} {sign} {after}" for sign in (one, other))
    if one == other or {one, other} <= {"+", "%"}:
        assert exact(left, left) == 1
        return
    known = [
        sign for sign in (one, other) if symbols(f"あ{sign}あ") or not comparable(before + after)
    ]
    assert exact(left, right) == float(not known)
    assert exact(one, other) == 0


@given(st.sampled_from(sorted(SENTENCES)), st.data(), numbers, numbers)
def test_another_number_is_another_answer_in_every_language(
    language: str, data: st.DataObject, one: str, other: str
) -> None:
    unit = {"ja": "点です。", "en": " points.", "zh": "分。", "th": " คะแนน"}[language]
    left, right = (f"{number}{unit}" for number in (one, other))
    assert exact(left, right) == float(one == other)
    sentence = data.draw(st.sampled_from(SENTENCES[language]))
    assert exact(f"{sentence} {left}", f"{sentence} {right}") == float(one == other)


@given(texts, texts)
def test_texts_without_symbols_are_compared_by_their_letters_alone(a: str, b: str) -> None:
    if symbols(a) or symbols(b) or "〇" in a + b or not comparable(a):
        return
    assert exact(a, b) == float(comparable(a) == comparable(b))
    assert containment(a, b) == float(contains(b, a) or comparable(a) == comparable(b))


@given(texts)
def test_an_answer_is_itself_under_every_scorer(value: str) -> None:
    assert all(scorer(value, value) == 1 for scorer in (exact, containment, character_f1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AT&T", "ATT"),
        ("U.S.", "US"),
        ("O'Neil", "ONeil"),
        ("f(x)", "fx"),
        ("A/B", "AB"),
        ("。", "。"),
        ("", ""),
        (" ", ""),
        ("๕ บาท", "5 บาท"),
        ("১২", "12"),
    ],
)
def test_what_is_exactly_the_same_is_so_for_all_scorers(one: str, other: str) -> None:
    for scorer in (exact, containment, character_f1):
        assert scorer(one, other) == scorer(other, one) == 1


@given(texts, texts)
def test_exact_implies_containment_and_f1_is_symmetric(a: str, b: str) -> None:
    if exact(a, b):
        assert containment(a, b) == character_f1(a, b) == 1
    assert character_f1(a, b) == character_f1(b, a)
    assert 0 <= character_f1(a, b) <= 1


def test_character_f1_counts_the_multiset() -> None:
    # 京京都 and 京都都: two of three characters are shared.
    assert character_f1("京京都", "京都都") == pytest.approx(2 / 3)
    assert character_f1("京都", "大阪") == 0
    assert (character_f1("○", "×"), character_f1("○", "○。")) == (0, 1)
    assert character_f1("答え○", "答え×") == pytest.approx(2 / 3)
    # The order of characters does not count, unlike llm-jp-eval's token sort ratio.
    assert character_f1("大阪", "阪大") == 1
    wanted, given_ = Counter("あおば丸"), Counter("あおい丸")
    shared = sum((wanted & given_).values())
    assert character_f1("あおば丸", "あおい丸") == pytest.approx(2 * shared / 8)


def test_llm_jp_evals_char_f1_is_no_f1_of_characters() -> None:
    assert llmjp_char_f1("大阪 京都", "京都　大阪") == 1
    assert llmjp_char_f1("大阪", "阪大") == 0.5


@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_scores_of_many_are_those_of_each(pairs: list[tuple[str, str]]) -> None:
    asked = {
        f"q{place}": question("？", one, id=f"q{place}") for place, (one, _) in enumerate(pairs)
    }
    answers = [
        Answer(f"{place}-{arm}", f"q{place}", arm, "base", "closed_book", text)
        for place, (_, text) in enumerate(pairs)
        for arm in ("a", "b")
    ]
    found = {
        (row.answer_id, row.scorer): row.value for row in score_answers(answers, asked, SCORERS)
    }
    assert len(found) == len(SCORERS) * len(answers)
    for answer in answers:
        for name, scorer in SCORERS.items():
            wanted = asked[answer.question_id].reference
            assert found[answer.id, name] == scorer(wanted, answer.text)


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


def test_marks_of_several_judges_have_names_of_their_own() -> None:
    asked, answer = (
        question("定員は？", "48人", id="q"),
        Answer("1", "q", "a", "base", "closed_book", "x"),
    )
    found = [Judgement(f"m{j}", "1", j, "p", mark, "") for j, mark in (("one", 3.0), ("two", 8.0))]
    rows = score_answers([answer], {"q": asked}, [], found, {"two": "judge:second"})
    assert [(row.scorer, row.value) for row in rows] == [("judge", 3.0), ("judge:second", 8.0)]
