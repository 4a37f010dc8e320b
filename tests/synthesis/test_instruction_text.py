"""Likeness, length and words of instructions, in Japanese, English, Chinese and Thai."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import SENTENCES, natural_text, texts
from teichaku.core.text import comparable, normalise
from teichaku.recipes.seed_methods import read_words
from teichaku.synthesis.instruction_text import (
    SimilarityIndex,
    begins_with,
    begins_with_punctuation,
    estimated_words,
    mentioned,
    own_input,
    says_nothing,
    similarity,
    units,
    without_quotes,
)

JAPANESE, ENGLISH = (read_words(language, Path()) for language in ("ja", "en"))


def rouge_l(first: list[str], second: list[str]) -> float:
    """F1 of ROUGE-L from its definition, with the longest common subsequence by the table."""
    row = [0] * (len(second) + 1)
    for one in first:
        before = 0
        for place, other in enumerate(second, 1):
            longest = before + 1 if one == other else max(row[place], row[place - 1])
            before, row[place] = row[place], longest
    if not row[-1]:
        return float(first == second)
    precision, recall = row[-1] / len(first), row[-1] / len(second)
    return 2 * precision * recall / (precision + recall)


@settings(deadline=None)
@given(natural_text, natural_text)
def test_similarity_is_rouge_l_over_words_or_characters(first: str, second: str) -> None:
    expected = rouge_l(units(first), units(second))
    assert similarity(first, second) == pytest.approx(expected)
    assert similarity(first, second) == pytest.approx(similarity(second, first))


@settings(deadline=None)
@given(texts)
def test_a_text_is_wholly_like_itself_in_any_width_and_case(text: str) -> None:
    assert similarity(text, text) == 1
    assert similarity(text, normalise(text)) == 1


@settings(deadline=None)
@given(st.lists(natural_text, min_size=1, max_size=8), natural_text)
def test_the_index_finds_the_most_similar_text(known: list[str], text: str) -> None:
    found = SimilarityIndex(known).nearest(text, 0.3)
    best = max(similarity(text, other) for other in known)
    if best > 0.3:
        assert found is not None
        assert found[1] == pytest.approx(best)
        assert similarity(text, found[0]) == pytest.approx(best)
    else:
        assert found is None


@settings(deadline=None)
@given(
    st.lists(natural_text, max_size=8),
    st.lists(natural_text, max_size=6),
    st.integers(1, 20),
)
def test_many_are_looked_for_as_one_by_one(known: list[str], wanted: list[str], cells: int) -> None:
    index = SimilarityIndex(known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("teichaku.synthesis.instruction_text._CELLS", cells)
        found = index.nearest_each(wanted, 0.3)
    assert found == [index.nearest(text, 0.3) for text in wanted]


def test_what_was_looked_through_before_is_left_out() -> None:
    index = SimilarityIndex(["春の海を詠んでください。", "秋の山を詠んでください。"])
    assert index.nearest("春の海を詠んでください。", 0.9) is not None
    assert index.nearest("春の海を詠んでください。", 0.9, since=1) is None
    assert index.nearest("秋の山を詠んでください。", 0.9, since=1) == (
        "秋の山を詠んでください。",
        1,
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("第12条を要約してください。", "第13条を要約してください。"),
        ("Summarise Article 12.", "Summarise Article 13."),
        ("请总结第12条。", "请总结第13条。"),
        ("สรุปมาตรา 12", "สรุปมาตรา 13"),
    ],
)
def test_numbers_tell_texts_apart(first: str, second: str) -> None:
    assert 0.5 < similarity(first, second) < 1


def test_texts_of_different_matter_are_unlike_in_every_language() -> None:
    for sentences in SENTENCES.values():
        assert similarity(sentences[0], sentences[1]) <= 0.7
    assert similarity(SENTENCES["ja"][0], SENTENCES["en"][0]) == 0


def test_exactly_the_threshold_is_not_above_it() -> None:
    index = SimilarityIndex(["a b c d e f g x y z"])
    assert similarity("a b c d e f g h i j", "a b c d e f g x y z") == pytest.approx(0.7)
    assert index.nearest("a b c d e f g h i j", 0.7) is None
    assert index.nearest("a b c d e f g h y j", 0.7) is not None


def test_a_sentence_without_spaces_is_more_than_one_word() -> None:
    lengths = {
        "次の文章を百字以内で要約し、題名を付けてください。": (10, 13),
        "Summarise the following text in a hundred words and add a title.": (12, 12),
        "请用一百字总结下面的文章，并加上标题。": (10, 13),
        "สรุปข้อความต่อไปนี้ให้เหลือไม่เกินหนึ่งร้อยคำ": (9, 13),
    }
    for text, (low, high) in lengths.items():
        assert low <= estimated_words(text) <= high, text


@settings(deadline=None)
@given(texts)
def test_a_text_with_letters_has_a_length(text: str) -> None:
    assert (estimated_words(text) > 0) == bool(units(text))
    assert bool(units(text)) or not comparable(text)


def test_words_are_found_alone_and_not_inside_longer_ones() -> None:
    words = JAPANESE.beyond_text
    assert mentioned("次の棒グラフから読み取れることを述べてください。", words) == "グラフ"
    assert mentioned("次の画像を説明してください。", words) == "画像"
    for harmless in (
        "最初のパラグラフを書き直してください。",
        "図書館の意図を説明してください。",
        "プロファイルとは何ですか。",
        "次の図書館のお知らせを要約してください。",
        "この図鑑の紹介文を書いてください。",
        "会の合図に示された順に並べてください。",
    ):
        assert not mentioned(harmless, words), harmless
    for pointing in ("次の図を見て答えてください。", "数値はこの図1のとおりです。", "図に示した順"):
        assert mentioned(pointing, words), pointing
    assert not mentioned("地元の指示に従う手順を説明してください。", JAPANESE.template)
    assert mentioned("この元の指示文を直してください。", JAPANESE.template) == "元の指示"
    assert mentioned("Describe the MAP.", ENGLISH.beyond_text) == "map"
    assert not mentioned("Explain data mapping and graphite.", ENGLISH.beyond_text)


@pytest.mark.parametrize("text", ["。はい", "- one", "#1", "・項目", "?", "：次の"])
def test_a_mark_at_the_beginning_is_seen(text: str) -> None:
    assert begins_with_punctuation(text)


@pytest.mark.parametrize(
    "text",
    ["「雨」の読みは？", "日本", "ไทย", "“Yes” or no?", "3つ", "", "¿Qué es la marea?", "¡Cuenta!",
     "（例）のように直してください。", "(a) or (b)?", "$5 is how many yen?", "€5", "￥500で買える物は？"],
)  # fmt: skip
def test_letters_digits_opening_marks_and_currency_are_no_marks(text: str) -> None:
    assert not begins_with_punctuation(text)


def test_punctuation_and_empty_words_say_nothing() -> None:
    for text in ("", "。。。", "です。", "… は。も", "—"):
        assert says_nothing(text, JAPANESE.empty), text
    for text in ("はい", "もも", "○", "3", "みかんです。", "是", "に", "A."):
        assert not says_nothing(text, JAPANESE.empty), text
    assert says_nothing("It is.", ENGLISH.empty)
    for text in ("It is Rome.", "A", "A.", "(I)", "On", "May", "US"):
        assert not says_nothing(text, ENGLISH.empty), text


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but no.", True),
        ("I can’t help with that.", True),
        ("I cannot provide legal advice.", True),
        ("As an AI, I have no taste.", True),
        ("I can't wait to see you on Saturday!", False),
        ("I am unable to come on Friday, so let us meet on Monday.", False),
    ],
)
def test_a_refusal_is_told_from_a_friendly_letter(text: str, is_refusal: bool) -> None:
    assert bool(mentioned(text, ENGLISH.refusals)) == is_refusal


def test_what_stands_for_no_input_or_repeats_the_instruction_is_none() -> None:
    asked, words = "果物の名前を挙げてください。", JAPANESE.no_input
    for text in (
        "",
        "なし",
        "（なし）",
        "特になし。",
        "（空）",
        "N/A",
        "null",
        "-",
        "果物の名前を挙げてください",
    ):
        assert own_input(text, asked, words) == "", text
    for text in ("梨", "なしの礫", "0", "「はい」", "果物", "空", "「空」"):
        assert own_input(text, asked, words) == text
    assert own_input("<no input>", "Name a tree.", ENGLISH.no_input) == ""
    for text in ("Na", "empty"):
        assert own_input(text, "Name the opposite, or the element.", ENGLISH.no_input) == text


def test_quotes_around_the_whole_are_taken_off_and_no_others() -> None:
    assert without_quotes("「次の文を直してください。」") == "次の文を直してください。"
    assert without_quotes('"Name a tree."') == "Name a tree."
    for text in ("「雨」と「雪」", "「雨」を読んでください。", "「", "", '"A" or "B"'):
        assert without_quotes(text) == text


@pytest.mark.parametrize("empty", ["", "|", " ", "　|"])
def test_an_empty_entry_of_a_list_hides_none_behind_it(empty: str) -> None:
    words = [empty, "Write a program", "プログラムを"]
    assert begins_with("Write a program that sorts.", words) == "Write a program"
    assert begins_with("プログラムを書いてください。", words) == "プログラムを"
    assert begins_with("写一首诗。", words) == ""
