import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from languages import SENTENCES, any_text, natural_text, texts
from teichaku.core import text


@given(texts)
def test_sentences_joined_are_the_text(value: str) -> None:
    assert "".join(text.sentences(value)) == value


@given(texts)
def test_normalising_twice_changes_nothing(value: str) -> None:
    # Folding can expose what NFKC changes again in a handful of rare letters, so three are two.
    once = text.comparable(text.comparable(value))
    assert text.comparable(once) == once


@given(any_text)
def test_width_and_case_do_not_count(value: str) -> None:
    assert text.comparable(unicodedata.normalize("NFKC", value)) == text.comparable(value)


@given(natural_text)
def test_content_terms_stand_in_the_normalised_text(value: str) -> None:
    folded = text.normalise(value)
    assert all(term in folded for term in text.content_terms(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("１，８００円", "1800円"),
        ("1–4人", "1-4人"),
        ("1～4人", "1-4人"),
        ("14人", "14人"),
        ("3.5 kg", "3.5kg"),
        ("BLUFF！", "bluff"),
        ("ﾌﾟﾚｲ時間", "プレイ時間"),
        ("……", ""),
    ],
)
def test_comparable_forms(value: str, expected: str) -> None:
    assert text.comparable(value) == expected


def test_numbers_are_normalised() -> None:
    assert text.numbers("１，８００円、05枚、3.5kg、2021-11-20") == [
        "1800",
        "5",
        "3.5",
        "2021",
        "11",
        "20",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("拠点防衛TRPGゾンビラインは120分です", ["拠点防衛", "trpg", "ゾンビライン", "120分"]),
        ("What is 3D printing?", ["what", "is", "3d", "printing"]),
        ("Café au lait", ["café", "au", "lait"]),
    ],
)
def test_content_terms_are_what_carries_meaning(value: str, expected: list[str]) -> None:
    assert text.content_terms(value) == expected


def test_japanese_and_latin_sentences_end_at_their_marks() -> None:
    found = list(text.sentences("重さは3.5kg。「軽い！」と言う。It is light. Yes!"))
    assert found == ["重さは3.5kg。", "「軽い！」", "と言う。", "It is light. ", "Yes!"]


digits = st.text(st.characters(categories=["Nd"]), min_size=1, max_size=3)


@given(natural_text, digits, digits, natural_text)
def test_a_period_between_digits_of_any_script_ends_no_sentence(
    before: str, whole: str, part: str, after: str
) -> None:
    found = text.sentences(f"{before}{whole}．{part}{after}")
    assert list(map(len, found)) == list(map(len, text.sentences(f"{before}{whole}-{part}{after}")))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("料金は１．５倍。次は２倍。", ["料金は１．５倍。", "次は２倍。"]),
        ("其数为３．１４。其次为２。", ["其数为３．１４。", "其次为２。"]),
        ("อัตรา ๑．๕ เท่า", ["อัตรา ๑．๕ เท่า"]),
        ("It is １．５ times. Not ２!", ["It is １．５ times. ", "Not ２!"]),
        ("版は１．２．３です．", ["版は１．２．３です．"]),
        ("答えは１．次は２．", ["答えは１．", "次は２．"]),
        ("１．はじめに", ["１．", "はじめに"]),
        ("全部で３．\n１２人が乗る．", ["全部で３．\n", "１２人が乗る．"]),
        ("（数は８．）９が続く", ["（数は８．）", "９が続く"]),
    ],
)
def test_a_full_width_period_ends_a_sentence_but_for_a_decimal_point(
    value: str, expected: list[str]
) -> None:
    assert list(text.sentences(value)) == expected


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_each_language_is_told_from_the_others(language: str) -> None:
    for other, sentences in SENTENCES.items():
        whole = "".join(sentences)
        assert text.is_language(whole, language) == (other == language), other


def test_short_japanese_without_kana_and_bare_numbers_pass() -> None:
    assert text.is_language("任天堂", "ja")
    assert text.is_language("1,800", "ja")
    assert not text.is_language("How long does it take?", "ja")


@given(texts)
def test_ngrams_stand_in_the_text_and_have_their_size(value: str) -> None:
    grams = text.character_ngrams(value, 5)
    assert all(gram in value for gram in grams)
    assert len(value) < 5 or all(len(gram) == 5 for gram in grams)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1/12", "11/2"),
        ("1/2", "12"),
        ("12:30", "1230"),
        ("10, 20", "1020"),
        ("2024/1/15", "2024/11/5"),
        ("-5℃", "5℃"),
        ("残高－300円", "残高300円"),
        ("損益▲3%", "損益3%"),
        ("-$5", "$5"),
        ("C++", "C#"),
        ("$100", "100%"),
        ("2e-5", "2e5"),
        ("学習率は１ｅ−４です", "学習率は1e4です"),
        ("1.5e-4", "1.5e4"),
        ("x-1", "x1"),
        ("2x − 1", "2x1"),
        ("ค่า x-1", "ค่า x1"),
        ("がくせい", "かくせい"),
        ("ガイド", "カイト"),
        ("ﾊﾟｽ", "ﾊﾞｽ"),
        ("ぱん", "はん"),
        ("か\u3099", "か"),
    ],
)
def test_marks_that_change_a_meaning_stay(one: str, other: str) -> None:
    assert text.comparable(one) != text.comparable(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("8 * 10 * 2 cm", "８×１０×２cm"),
        ("¥2,300", "2300円"),
        ("10、20", "10, 20"),
        ("2〜6人", "2–6人"),
        ("図-3", "図3"),
        ("GPT-4", "GPT4"),
        ("model-7b", "model 7b"),
        ("PX-20A-3", "PX-20A3"),
        ("Ｔ-シャツ", "Tシャツ"),
        ("1e-4", "1e−4"),
        ("x - 1", "x-1"),
        ("5度-10度", "5度〜10度"),
        ("葛\U000e0100城市", "葛城市"),
        ("❤\ufe0f", ""),
        ("か\u3099くせい", "がくせい"),
        ("ｶﾞｲﾄﾞ", "ガイド"),
    ],
)
def test_marks_that_are_only_written_otherwise_do_not_count(one: str, other: str) -> None:
    assert text.comparable(one) == text.comparable(other)


@given(
    st.sampled_from(sorted(SENTENCES)),
    st.data(),
    st.sampled_from(["1e", "2.5E", "x", "n", "θ", "2x"]),
    st.sampled_from("-−–"),
    st.integers(0, 999),
)
def test_a_minus_behind_a_letter_stays_in_every_language(
    language: str, data: st.DataObject, letter: str, minus: str, number: int
) -> None:
    sentence = data.draw(st.sampled_from(SENTENCES[language]))
    with_minus, without = f"{letter}{minus}{number}", f"{letter}{number}"
    one, other = (text.comparable(f"{sentence} {value}") for value in (with_minus, without))
    assert one != other
    assert one.replace("-", "") == other.replace("-", "")


@pytest.mark.parametrize(
    ("whole", "part", "expected"),
    [
        ("定員：48人", "48", True),
        ("定員：48人", "8人", False),
        ("13.2kg", "3.2kg", False),
        ("気温は-5℃", "5℃", False),
        ("10、20、30", "20", True),
        ("発売は2022-04-23", "2022", True),
        ("1/2", "2", True),
        ("I do not know.", "no", False),
        ("Well, no.", "No", True),
        ("They are designed.", "red", False),
        ("60 min", "60min", True),
        ("名称：DRESS LIFE、ドレスライフ", "dress life", True),
        ("서울은 수도이다", "서울", True),
        ("C++を使う", "C", False),
        ("何でも", "", False),
    ],
)
def test_a_part_stands_alone(whole: str, part: str, expected: bool) -> None:
    assert text.contains(whole, part) is expected


@given(natural_text)
def test_every_text_contains_itself(value: str) -> None:
    assert text.contains(value, value) or not text.comparable(value)


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("The History of the Harbour Act", ["The History of the Harbour Act"]),
        ("DRESS LIFE ドレスライフ", ["DRESS LIFE ドレスライフ", "DRESS LIFE", "ドレスライフ"]),
        ("abalone/アバロン", ["abalone/アバロン", "abalone", "アバロン"]),
        ("真贋（しんがん）", ["真贋（しんがん）", "真贋", "しんがん"]),
        ("…", []),
    ],
)
def test_the_names_in_a_title(title: str, names: list[str]) -> None:
    assert text.title_names(title) == names


@pytest.mark.parametrize(
    ("value", "language", "expected"),
    [
        ("Скільки коштує квиток?", "uk", True),
        ("बस कितने बजे आती है?", "mr", True),
        ("বাস কখন আসে?", "bn", True),
        ("বাস কখন আসে?", "en", False),
        ("قیمت بلیط چند است؟", "fa", True),
        ("How much?", "uk", False),
        ("何円？", "tlh", True),
    ],
)
def test_a_language_is_known_by_its_scripts(value: str, language: str, expected: bool) -> None:
    assert text.is_language(value, language) is expected


@given(texts)
def test_words_apart_without_their_spaces_are_the_comparable_form(value: str) -> None:
    assert text.words_apart(value).replace(" ", "") == text.comparable(value)


@given(natural_text, natural_text)
def test_a_text_that_was_read_before_is_searched_as_the_text_itself(whole: str, part: str) -> None:
    read = text.stands_in(text.words_apart(whole), text.words_apart(part))
    assert read == text.contains(whole, part)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("答えは○です", ["○"]),
        ("答えは◯です", ["○"]),
        ("3×4", ["×"]),
        ("3 * 4", ["×"]),
        ("2∼6人、2021−11−20", []),
        ("残高▲300円", []),
        ("△か▲か", ["△", "▲"]),
        ("評価はA-です。T-shirt", ["-"]),
        ("■ 一つ\n■ 二つ", []),
        ("x ≤ 5 → 👍", ["≤", "→", "👍"]),
        ("「本当か？」…、。・", []),
    ],
)
def test_symbols_are_what_tells_texts_of_the_same_letters_apart(
    value: str, found: list[str]
) -> None:
    assert text.symbols(value) == found


@pytest.mark.parametrize(
    ("value", "said"),
    [("○。", "○"), ("％", "%"), ("＋", "+"), ("❤\ufe0f", "❤"), ("……！？", ""), ("€", "€")],
)
def test_a_text_of_symbols_alone_says_something(value: str, said: str) -> None:
    assert text.comparable(value) == ""
    assert text.marks(value) == said


@pytest.mark.parametrize(
    ("value", "runs"),
    [
        ("評価は★★★☆", ["★★★", "☆"]),
        ("○と◯", ["○", "○"]),
        ("👨\u200d👩\u200d👧と👨", ["👨\u200d👩\u200d👧", "👨"]),
        ("👍🏻👍", ["👍🏻", "👍"]),
        ("🇯🇵🇯🇵🇺🇸", ["🇯🇵🇯🇵", "🇺🇸"]),
        ("本当か。", []),
    ],
)
def test_runs_are_of_whole_symbols(value: str, runs: list[str]) -> None:
    assert text.symbol_runs(value) == runs


@given(texts)
def test_the_runs_hold_all_marks(value: str) -> None:
    folded = text.normalise(value)
    if "*" not in folded:
        assert "".join(text.symbol_runs(value)).replace("\u200d", "") == text.marks(value)


@given(texts)
def test_signed_words_of_a_text_without_signs_are_its_words(value: str) -> None:
    if not text.is_signed(value):
        assert text.signed_words(value) == text.words_apart(value)


@given(texts)
@example("\U0001f774")  # Unicode 15
def test_a_text_without_marks_has_no_symbols(value: str) -> None:
    assert text.marks(value) or "-" in text.symbols(value) or not text.symbols(value)
