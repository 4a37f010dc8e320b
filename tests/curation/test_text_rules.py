"""Every rule on text has texts that fall by it, and near misses in four languages that stay."""

import unicodedata
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import SENTENCES, any_text, natural_text, sentence, texts
from made import example
from rule_proofs import RULES, proofs
from teichaku.core.records import Example
from teichaku.curation.chain import by_rule, curate
from teichaku.curation.rules.characters import broken_character
from teichaku.curation.rules.length import BANDS, Band, length, width
from teichaku.curation.rules.markup import leftover_markup
from teichaku.curation.rules.mixture import unnatural_mixture
from teichaku.curation.rules.parts import Part, without_asides, without_quotes
from teichaku.curation.rules.phrases import model_talk, phrases
from teichaku.curation.rules.repetition import repeats_itself, repetition

LANGUAGES = ("ja", "en", "zh", "th")
FALLS = [(r, lang, t) for r, p in proofs().items() for lang, ts in p.falls.items() for t in ts]
STAYS = [(r, lang, t) for r, p in proofs().items() for lang, ts in p.stays.items() for t in ts]
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def made(part: Part, text: str, language: str = "ja") -> Example:
    if part == "text":
        return example("", text, language=language)
    values: dict[str, Any] = {
        "question": "遊覧船あおば丸について教えてください。",
        "answer": "48人です。",
    }
    return example(**{**values, part: text}, language=language)


def verdict(reason: str, language: str, text: str) -> str:
    found = RULES[reason](language)(made(proofs()[reason].part, text, language))
    return found[0] if found else ""


@pytest.mark.parametrize(("reason", "language", "text"), FALLS)
def test_what_must_fall_falls_with_its_reason_and_evidence(
    reason: str, language: str, text: str
) -> None:
    assert verdict(reason, language, text) == reason
    found = RULES[reason](language)(made(proofs()[reason].part, text, language))
    assert found and found[1].strip()
    found[1].encode("utf-8")


@pytest.mark.parametrize(("reason", "language", "text"), STAYS)
def test_near_misses_stay(reason: str, language: str, text: str) -> None:
    assert verdict(reason, language, text) == ""


@pytest.mark.parametrize("reason", RULES)
def test_every_rule_has_near_misses_in_four_languages(reason: str) -> None:
    missing = set(LANGUAGES) - proofs()[reason].stays.keys()
    # A text of Chinese is no different from one of Japanese where only length counts.
    assert not missing or reason == "too_long"
    assert proofs()[reason].falls


#: Mojibake and code are made of the very characters.
WIDENED = [
    case
    for case in [*FALLS, *STAYS]
    if case[0] not in ("broken_characters", "open_code") and "`" not in case[2]
]


@pytest.mark.parametrize(("reason", "language", "text"), WIDENED)
def test_full_width_letters_and_digits_change_no_verdict(
    reason: str, language: str, text: str
) -> None:
    letters = {code: wide for code, wide in FULL_WIDTH.items() if chr(code).isalnum()}
    assert verdict(reason, language, text.translate(letters)) == verdict(reason, language, text)


@given(texts, st.sampled_from(sorted(RULES)), st.sampled_from(LANGUAGES))
def test_any_text_is_judged_and_comes_out_once(text: str, reason: str, language: str) -> None:
    rule = RULES[reason](language)
    for part in get_args(Part):
        one = made(part, text, language)
        found = rule(one)
        assert found is None or (found[0] and found[1])
        (record,) = curate([one], [by_rule(rule)])
        assert getattr(record, "record_id", one.id) == one.id


@given(st.text(max_size=60))
def test_halves_of_surrogates_are_found_and_break_nothing(text: str) -> None:
    for rule in RULES.values():
        rule("ja")(made("answer", text + "\ud83d"))
    assert broken_character(text + "\ud83d") is not None


@settings(max_examples=50)
@given(st.lists(st.sampled_from(SENTENCES["ja"]), min_size=1, max_size=4, unique=True))
def test_natural_text_stands(chosen: list[str]) -> None:
    text = "\n".join(chosen)
    for reason, rule in RULES.items():
        if reason != "too_short":
            assert rule("ja")(made("answer", text)) is None, reason


@given(st.sampled_from(STAYS), natural_text, st.data())
def test_a_near_miss_among_other_sentences_stays(
    near: tuple[str, str, str], more: str, data: st.DataObject
) -> None:
    reason, language, text = near
    if reason == "mixed_languages":
        own = st.lists(st.sampled_from(SENTENCES[language]), min_size=1).map("\n".join)
        before, after = data.draw(own), data.draw(own)
        one = made("answer", f"{before}\n{text}\n{after}", language)
        assert RULES[reason](language)(one) is None
    if reason in ("refusal", "meta_talk", "preamble", "broken_characters", "template_token"):
        rule = RULES[reason](language)
        assert rule(made("answer", f"遊覧船の話です。\n{text}\n{more}", language)) is None


def test_halves_of_width_make_one_band_for_two_languages() -> None:
    assert width("ﾃｽﾄ") == width("テスト") == 3
    assert width("ＡＢ") == width("ab") == 1
    assert width("a   b") == 1.5
    assert width("한국") == 2
    assert width("あb", half=0.25) == 1.25


def test_bands_are_by_part_and_name_the_limit() -> None:
    rule = length({"answer": Band(2, 4)})
    assert rule(example("定員は？", "48人です。")) is not None
    assert rule(example("定員は？" * 50, "48人")) is None
    found = length(BANDS)(example("？", "48人"))
    assert found and found[0] == "too_short" and "limit 3" in found[1] and "question" in found[1]


@given(any_text)
def test_a_text_that_is_told_twice_repeats_more(text: str) -> None:
    once, twice = repetition(text), repetition(f"{text}\n{text}")
    assert 0 <= once.ngrams <= 1 and 0 <= once.sentences <= 1
    assert twice.ngrams >= once.ngrams - 1e-9 or twice.ngrams > 0.4


@pytest.mark.parametrize(
    ("unit", "times"), [("ab", 40), ("とても", 30), ("มาก", 40), ("料金は千円です", 9)]
)
def test_a_loop_at_the_end_of_a_long_text_is_found(unit: str, times: int) -> None:
    start = "".join(f"第{n}便は{n}時に出て、{n + 1}時に着きます。" for n in range(1, 40))
    found = repeats_itself()(example("時刻は？", start + unit * times))
    assert found and unit[-1] in found[1] and "in a row" in found[1]


@given(
    st.lists(st.text(alphabet="船檜料金ab12", min_size=1, max_size=6), min_size=2, max_size=6),
    st.integers(1, 300), st.booleans(), st.sampled_from(["-", ":-", ":-:"]),
)  # fmt: skip
def test_the_separator_of_a_table_is_no_run_however_wide_its_cells(
    names: list[str], width: int, is_open: bool, mark: str
) -> None:
    cell = mark.replace("-", "-" * width)
    lines = [" | ".join(names), "|".join([cell] * len(names)), " | ".join(names[::-1])]
    table = "\n".join(lines if is_open else [f"| {line} |" for line in lines])
    assert repetition(f"{table}\n定員は48人です。").symbols <= len(names) + 3


@given(
    st.sampled_from(["😀", "…", "-=", "|---", "❤️", "🎉\n", "๛ "]),
    st.lists(sentence, max_size=8).map("".join),
)
def test_symbols_in_a_row_are_counted_without_white_space(unit: str, before: str) -> None:
    found = repetition(f"{before}終わり{unit * 300}")
    bare = unit.strip()
    assert found.symbols >= 300 * len(bare) - len(bare)
    assert repetition(f"{before}終わり{unit * 10}").symbols <= 50


TITLES = [
    "iPhone 15 Pro", "Attention Is All You Need", "Is This It. Let It Be.",
    "Gone with the Wind. The Lord of the Rings. Beauty and the Beast.",
    "J. R. R. Tolkien. C. S. Lewis.", "Dr. Strange in the Multiverse of Madness",
    "U.S. Steel Co., Ltd. of Pittsburgh.", "E = m c. x = a b. p and q. p or q.",
    "`it was built. it is old.`", "『It was built in 1987. It has two decks.』",
    "Vaswani et al. Attention is all you need. In Advances in Neural Information Processing.",
    "OK. Yes. No.", "Ver. 2.0. Rev. B.", "It was built in 1987.",
]  # fmt: skip
ENGLISH = [
    "It was built in 1987. It has two decks.", "Yes. It is made of cypress.",
    "Is it old? It was built in 1987!", "The ferry leaves at nine.\nTickets are at the pier.",
    "It was built in 1987. It has two decks (二つの甲板、ดาดฟ้าสองชั้น、두 갑판).",
]  # fmt: skip


@pytest.mark.parametrize("language", ["ja", "zh", "th", "ko"])
@pytest.mark.parametrize("part", ["answer", "text"])
def test_short_english_sentences_are_no_answer_in_another_language_but_titles_are(
    language: str, part: Part
) -> None:
    rule = unnatural_mixture(language)
    for text in TITLES:
        assert rule(made(part, text, language)) is None, text
    for text in ENGLISH:
        found = rule(made(part, text, language))
        assert found and found[0] == "mixed_languages", text
        assert unnatural_mixture("en")(made(part, text, "en")) is None
    asked = example("次の文を英語に翻訳してください。", ENGLISH[0], language=language)
    assert rule(asked) is None
    # Beside the language of the set, short sentences are quotations, names and examples.
    own = SENTENCES.get(language, ["이 배는 천구백팔십칠년에 만들어졌다."])[0]
    assert rule(made(part, f"{own}\nIt has two decks. It is old.", language)) is None


def test_what_the_question_asks_for_is_natural() -> None:
    english = "The boat was built in 1987 and it is made of cypress wood from the mountains."
    rule = unnatural_mixture("ja")
    assert rule(example("次の文を英語に翻訳してください。", english)) is None
    assert rule(example("この船について説明してください。", english)) is not None
    letter = "［氏名］様\nお世話になっております。"
    assert leftover_markup(example("お礼状のひな型を書いてください。", letter)) is None
    assert leftover_markup(example("お礼を書いてください。", letter)) is not None
    talk = "ユーザー：料金は？\nアシスタント：1,800円です。"
    assert leftover_markup(example("受付との会話を書いてください。", talk)) is None
    assert leftover_markup(example("料金は？", talk)) is not None


def test_labels_count_in_questions_too_and_not_in_running_text() -> None:
    assert leftover_markup(example("質問：定員は何人ですか。", "48人"))
    assert leftover_markup(example("", "質問：定員は何人ですか。\n回答：48人です。")) is None


def test_a_question_may_hold_out_a_refusal_but_hands_over_no_work() -> None:
    assert model_talk(example("AIとして、私はどう答えるべきですか。", "48人")) is None
    found = model_talk(example("以下に作成しました。定員は何人ですか。", "48人"))
    assert found and found[0] == "preamble"


@given(natural_text)
def test_what_stands_in_quotation_marks_is_left_out(text: str) -> None:
    assert "AIとして" not in without_quotes(f"{text}「彼は『AIとして』と言った」")
    assert "習近平" not in without_asides(f"中国の主席（習近平［しゅう］）{text}")


def test_phrases_are_compared_as_they_are_normalised() -> None:
    for language, found in phrases().items():
        for key, pattern in found.patterns.items():
            assert pattern.pattern == unicodedata.normalize("NFKC", pattern.pattern), (
                language,
                key,
            )
        assert {"start", "sentence"} <= {place for _, place in found.patterns}
        assert all(word for some in found.words.values() for word in some)
    assert set(LANGUAGES) == phrases().keys()
