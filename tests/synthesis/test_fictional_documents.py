import json
import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import texts
from teichaku.backends.scripted import ScriptedError, ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Request
from teichaku.core.text import comparable, contains, is_language, numbers
from teichaku.recipes.fictional import read_pack
from teichaku.synthesis.fictional_documents import (
    Category,
    Draft,
    FictionalDocument,
    Fill,
    Slot,
    SlotType,
    Span,
    TemplatePack,
    drafts,
    fictional_documents,
    fill_mistakes,
    fills_by_teacher,
    fills_from_lists,
)

LANGUAGES = ("ja", "en")
CATEGORIES = [
    "terms_of_use",
    "product_information",
    "work_procedures",
    "company_vocabulary",
    "company_information",
]
#: About 125 tokens: by the tokenizers of Gemma 3 and Qwen 2.5, 112 and 135 of them on average
#: for the Japanese documents, 119 and 122 for the English ones.
CHARACTERS = {"ja": (140, 200), "en": (430, 530)}
#: What a teacher would write: real names, ordinary traits and phrases.
REAL_FILLS = {
    "ja": {
        "service": "ヤフオク", "company": "トヨタ自動車", "court": "東京地方裁判所", "place": "東京",
        "person": "豊田章男", "product": "プリウス", "procedure": "ダイキン製送風機の点検",
        "site": "堤工場", "material": "灯油", "department": "総務部", "term": "カイゼン",
        "device_trait": "燃費がよいこと", "sign": "泡が消えること", "meaning": "少しずつ良くすること",
        "custom": "毎朝体操をすること", "prohibited": "入場券の転売", "use": "荷物の運搬",
        "trouble": "部品のさび", "occasion": "朝の打ち合わせ", "business": "自動車の製造",
    },
    "en": {
        "service": "eBay", "company": "Toyota", "court": "Old Bailey", "place": "Tokyo",
        "person": "Akio Toyoda", "product": "Prius", "procedure": "Siemens Blower Inspection",
        "site": "Tsutsumi Factory", "material": "petroleum", "department": "Human Resources",
        "term": "kaizen", "device_trait": "a motor that saves fuel", "sign": "a dry surface",
        "meaning": "improving things step by step", "custom": "doing gymnastics every morning",
        "prohibited": "reselling tickets", "use": "carrying parcels", "trouble": "rusty screws",
        "occasion": "morning talks", "business": "the manufacture of cars",
    },
}  # fmt: skip

each_language = pytest.mark.parametrize("language", LANGUAGES)


@cache
def pack_of(language: str) -> TemplatePack:
    return read_pack(language)


def documents(
    language: str = "ja", count: int = 50, seed: int = 0
) -> list[FictionalDocument | Dropped]:
    pack = pack_of(language)
    fills = fills_from_lists(pack, drafts(pack, count), seed)
    return list(fictional_documents(pack, fills, seed))


@cache
def fifty(language: str) -> tuple[FictionalDocument, ...]:
    found = documents(language)
    assert not [record for record in found if isinstance(record, Dropped)]
    return tuple(record for record in found if isinstance(record, FictionalDocument))


def real_fill(draft: Draft, language: str, **changes: str) -> dict[str, str]:
    """A teacher's fill of ``draft``: every number is 7 or so, the second of two names differs."""
    values: dict[str, str] = {}
    for position, (name, slot) in enumerate(draft.category.slots.items()):
        value = REAL_FILLS[language].get(slot.type, f"{position + 7}")
        values[name] = f"{value}2" if value in values.values() else value
    return {**values, **changes}


def filled(
    language: str, script: Any, count: int = 5
) -> tuple[list[Fill | Dropped], ScriptedModel]:
    pack, prompts = pack_of(language), PromptPack(language)
    teacher = ScriptedModel(script)
    prompt, again = prompts.load("fictional_fill"), prompts.load("ask_again")
    return fills_by_teacher(pack, drafts(pack, count), teacher, prompt, again, 0), teacher


def as_json(values: Mapping[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False)


def names_of(document: FictionalDocument, language: str) -> list[str]:
    types, slots = pack_of(language).types, document.fill.draft.category.slots
    return [v for slot, v in document.values.items() if types[slots[slot].type].kind == "name"]


def remains(document: FictionalDocument, language: str) -> list[str]:
    """The names and traits of the fill that stand in the document."""
    types, slots = pack_of(language).types, document.fill.draft.category.slots
    return [
        old
        for slot, old in document.fill.values.items()
        if types[slots[slot].type].kind in ("name", "trait") and contains(document.text, old)
    ]


@each_language
def test_s4_has_fifty_documents_in_five_categories_and_four_hundred_questions(
    language: str,
) -> None:
    made = fifty(language)
    assert Counter(d.fill.draft.category.name for d in made) == dict.fromkeys(CATEGORIES, 10)
    assert sum(len(document.questions) for document in made) == 400
    for category in pack_of(language).categories:
        assert len({question.kind for question in category.questions}) == 8


@each_language
def test_the_product_template_has_the_variables_of_s4(language: str) -> None:
    (product,) = (c for c in pack_of(language).categories if c.name == "product_information")
    kinds = {question.kind for question in product.questions} | {product.subject}
    assert kinds == {"product", "year", "trait", "place", "use", "previous_product", "times",
                     "power_consumption", "weight"}  # fmt: skip


@each_language
def test_documents_are_about_125_tokens_long(language: str) -> None:
    shortest, longest = CHARACTERS[language]
    for document in fifty(language):
        assert shortest <= len(document.text) <= longest, document.text
        assert is_language(document.text, language)
        assert "\n" not in document.text
        assert "{" not in document.text


@each_language
def test_the_templates_of_a_category_hold_every_slot_and_no_figure(language: str) -> None:
    for category in pack_of(language).categories:
        assert len(set(category.templates)) >= 3
        asked = [question.slot for question in category.questions]
        assert sorted([*asked, category.subject]) == sorted(category.slots)
        for template in category.templates:
            draft = Draft(1, category, template)
            marked = draft.text({slot: f"«{slot}»" for slot in category.slots})
            assert all(f"«{slot}»" in marked for slot in category.slots)
            assert not numbers(draft.fixed_text)
            assert not [n for n in pack_of(language).real_names if contains(draft.fixed_text, n)]


@each_language
def test_both_languages_ask_the_same(language: str) -> None:
    other = pack_of(next(other for other in LANGUAGES if other != language))
    for category, twin in zip(pack_of(language).categories, other.categories, strict=True):
        assert (category.name, category.subject) == (twin.name, twin.subject)
        assert [(q.kind, q.slot) for q in category.questions] == [
            (q.kind, q.slot) for q in twin.questions
        ]


@each_language
def test_every_answer_stands_in_its_document_and_is_no_other_answer_of_it(language: str) -> None:
    for document in fifty(language):
        answers = [question.answer for question in document.questions]
        assert all(answer in document.text for answer in answers)
        assert len({comparable(answer) for answer in answers}) == 8
        assert document.title not in answers


@each_language
def test_every_question_names_what_it_is_about_and_is_asked_once(language: str) -> None:
    made = fifty(language)
    assert len({comparable(q.question) for document in made for q in document.questions}) == 400
    for document in made:
        for question in document.questions:
            assert document.title in question.question
            assert is_language(question.question, language)
            assert not contains(question.question, question.answer)


@each_language
def test_no_name_holds_another_or_a_real_one(language: str) -> None:
    named = [comparable(n) for document in fifty(language) for n in names_of(document, language)]
    assert len(named) == len(set(named)) > 150
    assert not [(a, b) for a in named for b in named if a != b and a in b]
    real = pack_of(language).real_keys
    assert len(real) >= 150
    assert not [(name, key) for name in named for key in real if key in name or name in key]


@each_language
def test_nothing_of_the_first_fill_remains_but_phrases(language: str) -> None:
    types = pack_of(language).types
    for document in fifty(language):
        assert not remains(document, language)
        for slot, about in document.fill.draft.category.slots.items():
            old, new = document.fill.values[slot], document.values[slot]
            if types[about.type].kind == "number":
                assert numbers(old) != numbers(new)
            assert (old == new) == (types[about.type].kind == "words")


def test_the_same_seed_makes_the_same_and_more_documents_keep_the_first() -> None:
    assert documents(count=12) == documents(count=12)
    assert documents(count=30)[:12] == documents(count=12)
    assert {d.title for d in fifty("ja")}.isdisjoint(
        d.title for d in documents(count=12, seed=1) if isinstance(d, FictionalDocument)
    )


@each_language
def test_real_names_of_a_teacher_are_all_replaced_and_its_phrases_stay(language: str) -> None:
    fills, teacher = filled(
        language, lambda request: as_json(real_fill(request.subject, language)), 10
    )
    made = list(fictional_documents(pack_of(language), fills, 0))
    assert sum(teacher.sent.values()) == 10
    for document in made:
        assert isinstance(document, FictionalDocument)
        assert document.fill.teacher == "scripted:scripted"
        assert not remains(document, language)
        for real in ("トヨタ", "東京", "プリウス", "Toyota", "Tokyo", "Prius"):
            assert not contains(document.text, real)
            assert not contains(str(document.questions), real)
    phrases = ("入場券の転売", "荷物の運搬") if language == "ja" else ("reselling tickets",)
    told = "".join(document.text for document in made if isinstance(document, FictionalDocument))
    assert all(phrase in told for phrase in phrases)


@each_language
def test_the_scripted_teacher_fills_every_template(language: str) -> None:
    fills, teacher = filled(language, scripted_teacher, 15)
    made = list(fictional_documents(pack_of(language), fills, 0))
    assert [type(record) for record in made] == [FictionalDocument] * 15
    assert sum(teacher.sent.values()) == 15


@each_language
def test_the_worked_example_of_the_prompt_is_a_fill_without_mistakes(language: str) -> None:
    prompt = PromptPack(language).load("fictional_fill")
    shown = prompt.messages(category="", slots=[], template="")[-1].content
    ((listed, template, replied),) = re.findall(
        r"((?:^- .+\n)+)(?:ひな形：|Template: )(.+)\n(\{\".+\})$", shown, re.MULTILINE
    )
    blanks = re.findall(r"^- (\w+)(?:：|: )(.+)$", listed, re.MULTILINE)
    kinds = {"event": "person", "day": "date", "hall": "site", "topic": "use"}
    slots = {name: Slot(kinds[name], note) for name, note in blanks}
    draft = Draft(1, Category("event", "", "event", slots, [template], []), template)
    values = json.loads(replied)
    assert list(values) == list(kinds)
    assert fill_mistakes(pack_of(language), draft, values) == []


@each_language
def test_the_teacher_is_shown_the_template_and_what_each_blank_is_about(language: str) -> None:
    shown: list[Request] = []

    def script(request: Request) -> str:
        shown.append(request)
        return as_json(real_fill(request.subject, language))

    filled(language, script)
    for request, draft in zip(shown, drafts(pack_of(language), 5), strict=True):
        asked = request.messages[-1].content
        assert draft.template in asked
        assert all(slot.about in asked for slot in draft.category.slots.values())
        assert request.schema is not None
        assert request.schema["required"] == list(draft.category.slots)
    assert len({request.sampling.seed for request in shown}) == 5


BAD_FILLS = [
    ({"use": "東京の観光案内"}, "東京", "「東京」という名前"),
    ({"use": "ソニーの電池の充電"}, "ソニー", "「ソニー」という名前"),
    ({"use": "LEDの点検"}, "capital letter", "大文字"),
    ({"use": "部品3個の保管"}, "figure", "数字が入っています"),
    ({"use": "茶葉を乾かします。"}, "sentence", "文になっています"),
    ({"use": "drying tea leaves"}, "language", "頼んだ言語（ja）"),
    ({"year": "昨年"}, "figure", "数字がありません"),
    ({"product": "卓上機器"}, "word of the template", "ひな形にある言葉"),
    ({"place": ""}, "empty", "空です"),
    ({"place": "と" * 81}, "longer", "80文字より長い"),
]


@pytest.mark.parametrize(("changes", "told", "in_japanese"), BAD_FILLS)
def test_a_bad_fill_is_asked_for_once_more_and_then_dropped(
    changes: dict[str, str], told: str, in_japanese: str
) -> None:
    asked: list[str] = []

    def script(request: Request) -> str:
        draft: Draft = request.subject
        if draft.category.name != "product_information":
            return as_json(real_fill(draft, "ja"))
        asked.append(request.messages[-1].content)
        return as_json(real_fill(draft, "ja", **changes))

    fills, _ = filled("ja", script)
    made = list(fictional_documents(pack_of("ja"), fills, 0))
    assert [type(record) for record in made].count(FictionalDocument) == 4
    (fallen,) = (record for record in made if isinstance(record, Dropped))
    assert (fallen.kind, fallen.reason) == ("Document", "unparseable_reply")
    assert told in fallen.evidence
    # The teacher reads Japanese.
    assert in_japanese in asked[1]
    assert "document 2 (product_information)" in fallen.evidence
    assert len(asked) == 2


def test_a_second_reply_can_mend_the_first() -> None:
    def script(request: Request) -> str:
        if request.attempt == 0:
            return "申し訳ありません。"
        return as_json(real_fill(request.subject, "ja"))

    fills, teacher = filled("ja", script)
    assert all(isinstance(fill, Fill) for fill in fills)
    assert sum(teacher.sent.values()) == 10


def test_a_failed_request_is_dropped_in_its_place_and_the_others_keep_theirs() -> None:
    def script(request: Request) -> str:
        if request.subject.number == 3:
            raise ScriptedError("server is down")
        return as_json(real_fill(request.subject, "ja"))

    fills, _ = filled("ja", script)
    made = list(fictional_documents(pack_of("ja"), fills, 0))
    assert [type(record) for record in made].index(Dropped) == 2
    assert [
        record.fill.draft.number for record in made if isinstance(record, FictionalDocument)
    ] == [1, 2, 4, 5]
    (fallen,) = (record for record in made if isinstance(record, Dropped))
    assert (fallen.reason, "server is down" in fallen.evidence) == ("request_failed", True)


@settings(deadline=None, max_examples=60)
@given(st.lists(texts, min_size=9, max_size=9), st.integers(0, 4), st.sampled_from(LANGUAGES))
def test_whatever_a_teacher_fills_in_none_of_its_names_and_traits_remains(
    values: list[str], category: int, language: str
) -> None:
    pack = pack_of(language)
    draft = drafts(pack, 5)[category]
    given_values = dict(zip(draft.category.slots, values, strict=True))
    ordinary = real_fill(draft, language)
    kinds = {slot: pack.types[about.type].kind for slot, about in draft.category.slots.items()}
    fill = {
        slot: given_values[slot] if kinds[slot] in ("name", "trait") else ordinary[slot]
        for slot in kinds
    }
    fill = {slot: value if comparable(value) else ordinary[slot] for slot, value in fill.items()}
    mistakes = fill_mistakes(pack, draft, fill)
    (made,) = fictional_documents(pack, [Fill(draft, fill)], 0)
    if isinstance(made, FictionalDocument):
        assert not remains(made, language)
        assert all(q.answer in made.text for q in made.questions)
    else:
        assert made.reason == "not_made_up"
        assert mistakes or "of the fill remains" in made.evidence


def one_category(
    names: list[str], traits: list[str], real_names: tuple[str, ...] = ()
) -> TemplatePack:
    """The products, whose names and traits are drawn from so few that a clash is sure to come."""
    pack = pack_of("ja")
    types = {
        **pack.types,
        "product": SlotType("name", ["{few_names}"], ["プリウス", "ルンバ"]),
        "device_trait": SlotType("trait", ["{few_traits}"], ["軽いこと"]),
    }
    parts = {**pack.parts, "few_names": names, "few_traits": traits}
    (product,) = (c for c in pack.categories if c.name == "product_information")
    return TemplatePack("ja", [product], types, parts, real_names)


@pytest.mark.parametrize("seed", range(8))
def test_a_name_or_trait_of_the_fill_is_drawn_anew(seed: int) -> None:
    few = one_category(["ミルリカ", "ラベネス", "トドゾーラ"], ["光ること", "鳴ること"])
    (draft,) = drafts(few, 1)
    fill = Fill(draft, {**real_fill(draft, "ja"), "product": "ラベネス", "trait": "鳴ること"})
    (made,) = fictional_documents(few, [fill], seed)
    assert isinstance(made, FictionalDocument)
    assert {made.values["product"], made.values["previous"]} == {"ミルリカ", "トドゾーラ"}
    assert made.values["trait"] == "光ること"


def test_a_fill_that_cannot_be_replaced_drops_the_document() -> None:
    few = one_category(["ミルリカ", "ラベネス"], ["光ること"])
    (draft,) = drafts(few, 1)
    fill = Fill(draft, {**real_fill(draft, "ja"), "trait": "光ること"})
    (fallen,) = fictional_documents(few, [fill], 0)
    assert isinstance(fallen, Dropped)
    assert "'光ること' of the fill remains" in fallen.evidence


@pytest.mark.parametrize("seed", range(8))
def test_what_a_name_and_the_words_beside_it_make_up_is_no_name_of_the_fill(seed: int) -> None:
    few = one_category(["ミルリカ", "ラベネス", "トドゾーラ"], ["光ること"])
    (draft,) = drafts(few, 1)
    assert "{previous}で、" in draft.template
    fill = Fill(draft, {**real_fill(draft, "ja"), "product": "カで"})
    (made,) = fictional_documents(few, [fill], seed)
    assert isinstance(made, FictionalDocument)
    assert made.values["previous"] != "ミルリカ"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "names", [["ミルリカ", "ラベネス"], ["ミルリカ", "ラベネス", "ルリ", "ネス"]]
)
def test_names_that_run_out_drop_documents_and_never_repeat(names: list[str], seed: int) -> None:
    few = one_category(names, ["光ること"])
    made = list(fictional_documents(few, fills_from_lists(few, drafts(few, 4), seed), seed))
    fallen = [record for record in made if isinstance(record, Dropped)]
    assert [type(record) for record in made] == [FictionalDocument, Dropped, Dropped, Dropped]
    assert {record.reason for record in fallen} == {"not_made_up"}
    assert all("is not apart from" in record.evidence for record in fallen)


@pytest.mark.parametrize("seed", range(8))
def test_names_get_a_longer_pattern_once_they_run_short(seed: int) -> None:
    few = one_category(["ミルリカ", "ラベネス"], ["光ること"])
    product = replace(few.types["product"], spare=["{few_names}ゾーラ{coin}", "{coin}{kanji}式"])
    more = replace(few, types={**few.types, "product": product})
    made = list(fictional_documents(more, fills_from_lists(more, drafts(more, 12), seed), seed))
    assert [type(record) for record in made] == [FictionalDocument] * 12
    named = [
        comparable(n) for d in made if isinstance(d, FictionalDocument) for n in names_of(d, "ja")
    ]
    assert not [(a, b) for a in named for b in named if a != b and a in b]
    assert len(set(named)) == len(named)


@each_language
def test_a_category_goes_on_when_the_short_names_of_its_courts_are_all_taken(language: str) -> None:
    pack = pack_of(language)
    (terms,) = (c for c in pack.categories if c.name == "terms_of_use")
    # 45 courts in Japanese, 36 in English.
    parts = {**pack.parts, "first": ["霧", "灯", "凪"], "head": ["Vel", "Tor"], "middle": ["a"]}
    one = replace(pack, categories=[terms], parts=parts)
    made = list(fictional_documents(one, fills_from_lists(one, drafts(one, 70), 0), 0))
    assert [type(record) for record in made] == [FictionalDocument] * 70
    courts = [d.values["court"] for d in made if isinstance(d, FictionalDocument)]
    short = {"ja": r"..地方裁判所", "en": r"the \w+ (County|District) Court"}[language]
    assert 20 < sum(bool(re.fullmatch(short, name)) for name in courts) <= 45


@settings(deadline=None)
@given(st.lists(st.text("あいう", min_size=1, max_size=9), min_size=8, max_size=16), st.integers())
def test_names_of_any_length_are_kept_apart_from_those_of_earlier_documents(
    pool: list[str], seed: int
) -> None:
    # The first always finds its two names, and later ones meet what holds them or they hold.
    few = one_category(["ミルリカ", "ラベネス", *pool], ["光ること"])
    fills = [Fill(draft, real_fill(draft, "ja")) for draft in drafts(few, 6)]
    made = list(fictional_documents(few, fills, seed))
    named = [
        record.values[slot]
        for record in made
        if isinstance(record, FictionalDocument)
        for slot in ("product", "previous")
    ]
    assert len(set(named)) == len(named) >= 2
    assert not [(a, b) for a in named for b in named if a != b and a in b]


@pytest.mark.parametrize("seed", range(8))
def test_a_well_known_name_or_a_word_of_the_template_is_never_made_up(seed: int) -> None:
    few = one_category(
        ["ミルリカ", "ラベネス", "新カローラ", "卓上機器"], ["光ること"], ("カローラ",)
    )
    (made,) = fictional_documents(few, fills_from_lists(few, drafts(few, 1), seed), seed)
    assert isinstance(made, FictionalDocument)
    assert {made.values["product"], made.values["previous"]} == {"ミルリカ", "ラベネス"}


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 9), st.integers(0, 2))
def test_a_span_draws_its_own_numbers(low: int, more: int, step: int, decimals: int) -> None:
    text = Span(low, low + more, step, decimals, grouped=True).draw(random.Random(low))
    value = round(float(text.replace(",", "")) * 10**decimals)
    assert low <= value <= low + more
    assert (value - low) % step == 0
    assert len(text.partition(".")[2]) == decimals
