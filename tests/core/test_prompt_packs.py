"""The prompts and categories that ship: same in every language, complete, and by S1's rules."""

import json
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml

import teichaku
from made import passage
from teichaku.core.prompts import Prompt, PromptPack, parse_prompt
from teichaku.core.text import is_language, numbers
from teichaku.recipes.methods import builtin_angles

PROMPTS = Path(teichaku.__file__).parent / "prompts"
LANGUAGES = ("en", "ja")

#: The kinds of text that ask one after another about the same passage: it comes first.
PASSAGE_FIRST = (
    "active_reading_apply",
    "active_reading_strategies",
    "active_reading_task_strategies",
    "diverse_prompts_case_study",
    "diverse_prompts_critical_thinking_qa",
    "diverse_prompts_discussion",
    "diverse_prompts_implications",
    "diverse_prompts_key_concepts",
    "diverse_prompts_mind_map",
    "diverse_prompts_teacher_style",
    "focal_rewrite",
    "paraphrase_easy",
    "paraphrase_hard",
    "paraphrase_medium",
    "paraphrase_qa",
)
WITH_TITLE = (
    "category_qa",
    "document_qa",
    "held_out_wording",
    "entity_list",
    "entity_relation",
    "fact_listing",
    "fact_questions",
    "fact_text",
    "key_sentences",
    "masked_sentence",
    "reverse",
    *PASSAGE_FIRST,
)
PLACEHOLDERS = {
    **{name: {"passage", "title"} for name in PASSAGE_FIRST},
    "active_reading_apply": {"passage", "title", "strategy"},
    "active_reading_strategies": {"passage", "title", "count"},
    "active_reading_task_strategies": {"passage", "title", "count", "task"},
    "focal_rewrite": {"passage", "title", "question"},
    "entity_list": {"document", "title"},
    "entity_relation": {"document", "title", "entities", "angle"},
    "fact_listing": {"passage", "title"},
    "fact_questions": {"fact", "title", "count", "avoid"},
    "fact_text": {"facts", "title"},
    "reverse": {"fact", "title"},
    "as_json": {"schema"},
    "ask_again": {"problem"},
    "category_qa": {"categories", "examples", "passage", "title"},
    "closed_book": {"question"},
    "document_qa": {"passage", "title", "count"},
    "fictional_fill": {"category", "slots", "template"},
    "grounded_judge": {"passage", "question", "answer"},
    "faithful_judge": {"passage", "question", "answer", "unsupported"},
    "judge_screen": {"passage", "question", "answer"},
    "key_sentences": {"passage", "title", "count"},
    "masked_sentence": {"passage", "title", "kind", "place_holder"},
    "held_out_wording": {"title", "question", "answer", "avoid"},
    "judge_absolute": {"passage", "question", "reference", "answer"},
    "judge_criteria": {"question", "reference", "criteria", "answer", "score_first"},
    "judge_pairwise": {
        *("question", "reference", "criteria", "answer_a", "answer_b"),
        *("earlier_question", "earlier_reference", "earlier_answer_a", "earlier_answer_b"),
    },
    "judge_turn": {
        *("question", "reference", "answer"),
        *("earlier_question", "earlier_reference", "earlier_answer"),
    },
    "open_book": {"passage", "question"},
    "plain_template": {"question"},
    "retrieval": {"passages", "question"},
    "abstention_judge": {"question", "answer"},
    "unanswerable_check": {"passages", "question"},
    "domain_spread": {"instruction", "input", "output", "domain", "description"},
    "evol_equal": {"instruction", "input", "evolved_instruction", "evolved_input"},
    "evol_in_breadth": {"instruction", "input"},
    "evol_in_depth": {"instruction", "input", "operator"},
    "instruction_answer": {"instruction", "input"},
    "magpie_screen": {"references", "instruction", "input", "output"},
    "self_instruct": {"instructions", "first", "last"},
    "self_instruct_classify": {"instruction"},
    "self_instruct_input_first": {"instruction", "count"},
    "self_instruct_output_first": {"instruction", "count"},
}
HARDLY_A_WORD = {"closed_book", "plain_template"}
TEXT_VALUES = {
    "passage": "«passage»",
    "title": "«title»",
    "question": "«question»",
    "answer": "«answer»",
    "reference": "«reference»",
    "avoid": ["«avoid»"],
    "count": 8731,
    "problem": "«problem»",
    "schema": "«schema»",
    "document": "«document»",
    "entities": ["«entity»", "«other»"],
    "angle": "«angle»",
    "fact": "«fact»",
    "facts": ["«fact»"],
    "strategy": "«strategy»",
    "place_holder": "«place holder»",
    "unsupported": ["«unsupported»"],
    "task": "«task»",
    "category": "«category»",
    "template": "«template»",
    "instruction": "«instruction»",
    "input": "«input»",
    "output": "«output»",
    "evolved_instruction": "«evolved instruction»",
    "evolved_input": "«evolved input»",
    "domain": "«domain»",
    "description": "«description»",
    "instructions": ["«one»", "«two»"],
    "criteria": "«criteria»",
    "answer_a": "«answer A»",
    "answer_b": "«answer B»",
    "earlier_question": "«earlier question»",
    "earlier_reference": "«earlier reference»",
    "earlier_answer": "«earlier answer»",
    "earlier_answer_a": "«earlier answer A»",
    "earlier_answer_b": "«earlier answer B»",
    "first": 8732,
    "last": 8733,
}

SIX_CATEGORIES = [
    "goal_orientation",
    "instrumental",
    "causal_antecedent",
    "causal_consequent",
    "quantification",
    "verification",
]
POINTING_WORDS = {
    "ja": ("この", "その", "本研究", "本論文", "本稿", "提案手法", "上記", "要旨"),
    "en": ("this", "these", "our", "we", "above", "abstract", "paper", "proposed"),
}
YES_OR_NO = {"ja": ("はい", "いいえ"), "en": ("Yes", "No")}
#: A passage is an abstract cut short: six of them have to fit a small teacher's prompt.
PASSAGE_CHARACTERS = {"ja": (150, 260), "en": (350, 700)}

each_language = pytest.mark.parametrize("language", LANGUAGES)
each_prompt = pytest.mark.parametrize("name", sorted(PLACEHOLDERS))


def shipped_prompt(language: str, name: str) -> Prompt:
    source = (PROMPTS / language / f"{name}.txt").read_text(encoding="utf-8")
    return parse_prompt(source, f"{language}/{name}")


def academic(language: str) -> dict[str, Any]:
    path = PROMPTS / language / "categories" / "academic.yaml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def category_values(language: str, example_set: str = "all") -> dict[str, Any]:
    pack = academic(language)
    names = pack["example_sets"][example_set]
    shown = [category for category in pack["categories"] if category["name"] in names]
    examples = [{"category": category["name"], **category["example"]} for category in shown]
    return {"categories": shown, "examples": examples}


def rendered(prompt: Prompt, **values: object) -> str:
    return "\n".join(message.content for message in prompt.messages(**values))


def values_for(language: str, name: str) -> dict[str, Any]:
    slots = [{"name": "«slot»", "about": "«about»"}]
    reference = {"instruction": "«model»", "input": "«its input»", "output": "«its output»"}
    values = {**TEXT_VALUES, **category_values(language), "slots": slots}
    values |= {"references": [reference], "operator": "deepen", "score_first": True}
    values |= {"kind": "summary", "passages": [passage("«text»", "«title»")]}
    return {key: values[key] for key in PLACEHOLDERS[name]}


def words(text: str, language: str) -> str:
    """Where words stand apart, ``text`` as words between single spaces; else as it is."""
    if language == "ja":
        return text
    return " " + " ".join("".join(c if c.isalpha() else " " for c in text.lower()).split()) + " "


def test_every_language_ships_the_same_prompts() -> None:
    assert sorted(path.name for path in PROMPTS.iterdir()) == list(LANGUAGES)
    for language in LANGUAGES:
        assert sorted(path.stem for path in (PROMPTS / language).glob("*.txt")) == sorted(
            PLACEHOLDERS
        )


@each_language
@each_prompt
def test_a_prompt_needs_the_same_values_in_every_language(language: str, name: str) -> None:
    assert shipped_prompt(language, name).placeholders == PLACEHOLDERS[name]


@each_language
@each_prompt
def test_a_prompt_shows_every_value_that_it_is_given(language: str, name: str) -> None:
    prompt = PromptPack(language).load(name)
    text = rendered(prompt, **values_for(language, name))
    for key in PLACEHOLDERS[name] & TEXT_VALUES.keys():
        value = TEXT_VALUES[key]
        shown = value[0] if isinstance(value, list) else str(value)
        assert shown in text, f"{prompt.name} does not show {key}"


@each_language
@pytest.mark.parametrize("name", sorted(PLACEHOLDERS.keys() - HARDLY_A_WORD))
def test_a_prompt_is_written_in_its_own_language(language: str, name: str) -> None:
    source = (PROMPTS / language / f"{name}.txt").read_text(encoding="utf-8")
    assert is_language(source, language)


@each_language
@pytest.mark.parametrize("name", ["document_qa", "category_qa", "fact_listing"])
def test_passages_share_a_prefix_that_servers_can_keep(language: str, name: str) -> None:
    prompt = shipped_prompt(language, name)
    values = values_for(language, name)
    other = {**values, "passage": "別の文書", "title": "別の名前"}
    other = {key: value for key, value in other.items() if key in values}
    first, second = rendered(prompt, **values), rendered(prompt, **other)
    same = list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    assert len(same) > 0.7 * min(len(first), len(second))


@each_language
def test_all_texts_about_one_passage_are_asked_for_with_the_same_beginning(language: str) -> None:
    beginnings = {
        rendered(prompt, **values_for(language, name)).partition("«passage»")[0]
        for name in PASSAGE_FIRST
        for prompt in [shipped_prompt(language, name)]
    }
    (beginning,) = beginnings
    assert "«title»" in beginning
    assert len(beginning) < 300


@each_language
def test_a_document_goes_before_all_that_is_asked_about_it(language: str) -> None:
    listing, relation = (
        rendered(shipped_prompt(language, name), **values_for(language, name))
        for name in ("entity_list", "entity_relation")
    )
    beginning, _, asked = relation.partition("«document»")
    assert listing.startswith(f"{beginning}«document»")
    assert "«angle»" in asked
    assert "«other»" in asked.splitlines()[-1]


@each_language
def test_there_are_several_angles_in_the_language(language: str) -> None:
    angles = builtin_angles(language)
    assert len(set(angles)) == len(angles) == 6
    assert all(is_language(angle, language) for angle in angles)


@each_language
@pytest.mark.parametrize("name", PASSAGE_FIRST)
def test_the_request_for_a_text_ends_with_what_is_wanted_of_which_document(
    language: str, name: str
) -> None:
    prompt, values = shipped_prompt(language, name), values_for(language, name)
    for title in ("«title»", ""):
        text = rendered(prompt, **{**values, "title": title})
        last = text.splitlines()[-1]
        assert ("«title»" in last) == bool(title)
        assert all(str(values[key]) in last for key in ("strategy", "question") if key in values)


@each_language
def test_the_answer_to_be_judged_comes_after_all_that_answers_share(language: str) -> None:
    screens = ("abstention_judge", "grounded_judge", "faithful_judge", "judge_screen")
    for name in ("judge_absolute", "judge_criteria", "judge_turn", *screens):
        text = rendered(shipped_prompt(language, name), **values_for(language, name))
        assert text.endswith("«answer»")


@each_language
def test_what_a_judge_is_not_given_leaves_no_trace(language: str) -> None:
    headings = {
        "ja": ("採点の観点：", "正解", "一回目", "――Aの一回目"),
        "en": ("Criteria:", "olution", "irst question", "first answer"),
    }[language]
    for name in ("judge_criteria", "judge_turn", "judge_pairwise"):
        values = values_for(language, name)
        optional = {
            key: ""
            for key in values
            if key == "criteria" or key.startswith(("reference", "earlier"))
        }
        text = rendered(shipped_prompt(language, name), **{**values, **optional})
        asked = text.splitlines()[-8:]
        assert not [line for line in asked for heading in headings if heading in line]
        assert "«question»" in text


@each_language
def test_the_second_turn_shows_the_first_and_asks_for_the_second(language: str) -> None:
    for name, answer in (("judge_turn", "«answer»"), ("judge_pairwise", "«answer A»")):
        text = rendered(shipped_prompt(language, name), **values_for(language, name))
        shown = ["«earlier question»", "«earlier reference»", "«question»", "«reference»", answer]
        assert [text.count(part) for part in shown] == [1] * len(shown)
        assert sorted(shown, key=text.index) == shown


@each_language
def test_a_score_comes_first_where_the_reply_is_to_begin_with_it(language: str) -> None:
    prompt, values = (
        shipped_prompt(language, "judge_criteria"),
        values_for(language, "judge_criteria"),
    )
    first = rendered(prompt, **{**values, "score_first": True})
    last = rendered(prompt, **{**values, "score_first": False})
    assert ('{"score": 3, ' in first, '{"judgement": ' in first) == (True, False)
    assert ('{"score": 3, ' in last, '{"judgement": ' in last) == (False, True)


@each_language
@pytest.mark.parametrize("name", WITH_TITLE)
def test_a_document_without_title_leaves_no_trace_of_one(language: str, name: str) -> None:
    prompt = shipped_prompt(language, name)
    values = values_for(language, name)
    with_title = rendered(prompt, **values)
    without = rendered(prompt, **{**values, "title": "", "avoid": []})
    removed = [line for line in with_title.splitlines() if line not in without.splitlines()]
    assert any("«title»" in line for line in removed)
    assert "«title»" not in without
    assert "«avoid»" not in without


@each_language
@pytest.mark.parametrize("name", PASSAGE_FIRST)
def test_a_document_without_title_is_called_the_first_one(language: str, name: str) -> None:
    prompt, values = shipped_prompt(language, name), values_for(language, name)
    last = rendered(prompt, **{**values, "title": ""}).splitlines()[-1].lower()
    word, called = {"ja": ("文書", "はじめの文書"), "en": ("document", "the first document")}[
        language
    ]
    assert called in last
    assert last.count(word) == 1


@each_language
@pytest.mark.parametrize("name", ["paraphrase_easy", "paraphrase_medium", "fact_text"])
def test_the_example_of_a_text_has_no_label_before_it(language: str, name: str) -> None:
    text = rendered(shipped_prompt(language, name), **values_for(language, name))
    answer = {"ja": "この例では、次の文章だけを書きます。\n", "en": "only the following text.\n"}
    line = text.partition(answer[language])[2].splitlines()[0]
    assert is_language(line, language)
    assert "：" not in line
    assert ":" not in line


@each_language
@pytest.mark.parametrize("name", ["closed_book", "open_book", "plain_template", "retrieval"])
def test_what_the_student_is_asked_is_one_message_of_the_user(language: str, name: str) -> None:
    messages = shipped_prompt(language, name).messages(**values_for(language, name))
    assert [message.role for message in messages] == ["user"]


@each_language
@pytest.mark.parametrize("name", ["retrieval", "unanswerable_check"])
def test_retrieved_passages_stand_in_order_each_with_its_number_and_title(
    language: str, name: str
) -> None:
    found = [passage("«one»", "«boat»"), passage("«two»", "")]
    text = rendered(shipped_prompt(language, name), passages=found, question="«question»")
    word, colon = {"ja": ("文書", "："), "en": ("Document ", ": ")}[language]
    in_order = [f"{word}1{colon}«boat»\n\n«one»\n\n{word}2\n\n«two»\n\n", "«question»"]
    assert [text.count(part) for part in in_order] == [1, 1]
    assert text.endswith("«question»")


@each_language
def test_the_words_that_ask_for_json_end_with_the_schema(language: str) -> None:
    prompt = shipped_prompt(language, "as_json")
    text = prompt.text(schema='{"type": "object"}')
    assert text.endswith('{"type": "object"}')
    before, _, reply = text.partition("```json\n")
    assert "```json" in before
    example = json.loads(reply.partition("\n```")[0])
    assert all(f'"{key}": {{' in before for key in example)


@each_language
def test_a_category_prompt_shows_only_the_categories_of_its_example_set(language: str) -> None:
    prompt = shipped_prompt(language, "category_qa")
    values = category_values(language, "without_goal_orientation")
    text = rendered(prompt, passage="«passage»", title="", **values)
    assert "goal_orientation" not in text
    assert all(name in text for name in SIX_CATEGORIES[1:])


@each_language
def test_examples_stand_in_the_prompt_as_readable_json(language: str) -> None:
    text = rendered(shipped_prompt(language, "category_qa"), **values_for(language, "category_qa"))
    replies = [yaml.safe_load(line) for line in text.splitlines() if line.startswith('{"category')]
    examples = category_values(language)["examples"]
    assert replies == [
        {key: example[key] for key in ("category", "question", "answer")} for example in examples
    ]


@each_language
def test_the_academic_categories_are_the_six_in_order(language: str) -> None:
    pack = academic(language)
    assert (pack["version"], pack["licence"]) == (1, "CC0-1.0")
    assert [category["name"] for category in pack["categories"]] == SIX_CATEGORIES
    short = {c["name"] for c in pack["categories"] if c["answer_length"] == "short"}
    assert short == {"quantification", "verification"}
    assert all(category["answer_length"] in ("short", "long") for category in pack["categories"])


@each_language
def test_the_example_sets_are_all_six_and_the_two_without_one_over_picked(language: str) -> None:
    assert academic(language)["example_sets"] == {
        "all": SIX_CATEGORIES,
        "without_goal_orientation": [n for n in SIX_CATEGORIES if n != "goal_orientation"],
        "without_causal_antecedent": [n for n in SIX_CATEGORIES if n != "causal_antecedent"],
    }


@each_language
@pytest.mark.parametrize("position", range(6), ids=SIX_CATEGORIES)
def test_an_example_can_be_copied_by_a_teacher_without_harm(language: str, position: int) -> None:
    category = academic(language)["categories"][position]
    example = category["example"]
    shortest, longest = PASSAGE_CHARACTERS[language]
    assert shortest <= len(example["passage"]) <= longest
    assert all(text and '"' not in text and "\\" not in text for text in example.values())
    assert is_language(example["question"], language)
    question = words(example["question"], language)
    for word in POINTING_WORDS[language]:
        assert words(word, language) not in question, f"the question points with '{word}'"
    stated = numbers(example["passage"])
    assert all(number in stated for number in numbers(example["question"] + example["answer"]))


@each_language
def test_the_example_of_a_quantity_answers_with_a_figure_of_its_passage(language: str) -> None:
    (example,) = (
        category["example"]
        for category in academic(language)["categories"]
        if category["name"] == "quantification"
    )
    assert numbers(example["answer"])
    assert example["answer"] in example["passage"]


@each_language
def test_the_example_of_a_verification_says_yes_or_no(language: str) -> None:
    (example,) = (
        category["example"]
        for category in academic(language)["categories"]
        if category["name"] == "verification"
    )
    assert example["answer"].startswith(YES_OR_NO[language])
