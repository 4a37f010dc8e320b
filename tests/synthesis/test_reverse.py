"""``reverse`` tells and asks each fact from its other end, and drops what does not."""

import contextlib
import json
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damaged import damaged, json_values
from made import passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Fact, content_id
from teichaku.core.text import comparable, contains
from teichaku.synthesis.fact_listing import FactListing
from teichaku.synthesis.method import Subject, UnusableReplyError, synthesize
from teichaku.synthesis.reverse import Reverse

PROMPTS = PromptPack("ja")
METHOD = Reverse(
    FactListing(PROMPTS.load("fact_listing"), "ja"), PROMPTS.load("reverse"), "ja", seed=1
)
GOOD = {
    "subject": "あおば丸",
    "value": "1987年",
    "statement": "1987年に建造された船は、あおば丸である。",
    "question": "1987年に建造された船の名前は何ですか。",
}


def about(statement: str = "あおば丸は1987年に建造された。") -> Subject:
    unit = passage()
    fact = Fact(content_id(unit.id, statement), unit.document_id, unit.id, 0, statement)
    return Subject(unit, METHOD, "reverse", facts=(fact,))


def outcome(asked: Subject | None = None, /, **parts: str) -> list[str]:
    """For statement and question: the reason why it fell, or nothing."""
    found = METHOD.parse(reply(json.dumps({**GOOD, **parts}), asked or about()))
    return [record.reason if isinstance(record, Dropped) else "" for record in found]


def test_a_fact_becomes_a_statement_and_a_question_from_its_value_to_its_subject() -> None:
    statement, pair = METHOD.parse(reply(json.dumps(GOOD), about()))
    assert isinstance(statement, Example)
    assert isinstance(pair, Example)
    assert (statement.question, statement.answer) == ("", GOOD["statement"])
    assert (pair.question, pair.answer) == (GOOD["question"], "あおば丸")
    assert {e.fact_ids for e in (statement, pair)} == {tuple(f.id for f in about().facts)}
    assert (statement.style, pair.style) == ("statement", "question")


@pytest.mark.parametrize("names", [tuple(GOOD), ("名前", "値", "文", "質問")])
def test_lines_that_name_the_four_parts_are_read(names: tuple[str, ...]) -> None:
    lines = [f"{name}：{text}" for name, text in zip(names, GOOD.values(), strict=True)]
    from_json = list(METHOD.parse(reply(json.dumps(GOOD), about())))
    assert list(METHOD.parse(reply("\n".join(lines), about()))) == from_json
    with pytest.raises(UnusableReplyError):
        list(METHOD.parse(reply("\n".join(lines[:3]), about())))


@pytest.mark.parametrize(
    ("fact", "parts"),
    [
        (
            "The owner of Cafe Juniper is Violet Northwood.",
            ("Cafe Juniper", "Violet Northwood", "Violet Northwood is the owner of Cafe Juniper.",
             "Which cafe does Violet Northwood own?"),
        ),
        (
            "晨光号的船长是李明。",
            ("晨光号", "李明", "李明担任船长的船是晨光号。", "李明是哪艘船的船长？"),
        ),
        (
            "กัปตันของเรืออรุณคือสมชาย",
            ("เรืออรุณ", "สมชาย", "สมชายเป็นกัปตันของเรืออรุณ", "สมชายเป็นกัปตันของเรือลำใด"),
        ),
    ],
)  # fmt: skip
def test_it_holds_in_other_languages(fact: str, parts: tuple[str, ...]) -> None:
    assert outcome(about(fact), **dict(zip(GOOD, parts, strict=True))) == ["", ""]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"subject": "みさき号"}, ["answer_not_in_fact"] * 2),
        ({"value": "1988年"}, ["value_not_in_fact"] * 2),
        ({"value": "987"}, ["value_not_in_fact"] * 2),
        ({"subject": "", "value": "", "statement": "", "question": ""}, ["not_reversible"] * 2),
        ({"value": "あおば丸"}, ["not_reversible"] * 2),
        ({"question": "いつ建造されましたか。"}, ["", "value_not_in_question"]),
        ({"question": "1987年に建造された、あおば丸の名前は？"}, ["", "answer_in_question"]),
        ({"question": "1987年に3番目に建造された船は？"}, ["", "question_not_supported"]),
        ({"statement": "あおば丸は1987年に建造された。"}, ["statement_not_reversed", ""]),
        ({"statement": "1987年に建造された。"}, ["end_not_in_statement", ""]),
        (
            {"statement": "1987年に定員48人で建造された船が、あおば丸である。"},
            ["statement_not_supported", ""],
        ),
    ],
)
def test_what_is_not_turned_round_falls_with_its_reason(
    parts: dict[str, str], expected: list[str]
) -> None:
    assert outcome(**parts) == expected


def test_a_reply_without_all_parts_is_of_no_use() -> None:
    with pytest.raises(UnusableReplyError):
        list(METHOD.parse(reply('{"subject": "あおば丸"}', about())))


def test_every_fact_is_asked_for_once_a_sample() -> None:
    (first,) = METHOD.requests(passage())
    (fact,) = about().facts
    twice = Reverse(METHOD.listing, METHOD.prompt, "ja", seed=1, samples=2)
    assert len(list(first.subject.detail(passage(), (fact,)))) == 1
    (again,) = twice.requests(passage())
    requests = list(again.subject.detail(passage(), (fact,)))
    assert [request.sample_index for request in requests] == [0, 1]
    assert all(fact.statement in request.messages[-1].content for request in requests)


def test_one_stream_gives_both_directions_of_every_fact() -> None:
    found = list(synthesize([passage()], [METHOD], ScriptedModel(scripted_teacher)))
    facts = {record.id for record in found if isinstance(record, Fact)}
    pairs = [e for e in found if isinstance(e, Example) and not e.is_text]
    assert {fact_id for pair in pairs for fact_id in pair.fact_ids} <= facts
    assert len(pairs) == 3, "of five facts, one names the boat alone and one has no two ends"
    assert {pair.answer for pair in pairs} == {"遊覧船あおば丸"}


NAMES = ["あおば丸", "Ferry Larkspur", "晨光号", "เรืออรุณ", ""]
VALUES = ["1987年", "1987", "48", "檜", "oak", "Violet Northwood", "李明", "สมชาย", ""]
FRAMES = {
    "fact": ["{name}の値は{value}である。", "The value of {name} is {value}.", "{name} {value}"],
    "statement": ["{value}である物は、{name}である。", "{value} is the value of {name}.", "{name} {value}"],
    "question": ["{value}である物は何ですか。", "{value} is the value of what?", "{name} {value}?"],
}  # fmt: skip


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A fact and what a teacher makes of it, in which nothing or little is wrong."""
    ends = {"name": draw(st.sampled_from(NAMES)), "value": draw(st.sampled_from(VALUES))}
    form = draw(st.integers(0, 2))
    kept = st.integers(0, 3).map(bool)
    wordings = {}
    for part, frames in FRAMES.items():
        own = {
            end: value if draw(kept) else draw(st.sampled_from(NAMES + VALUES))
            for end, value in ends.items()
        }
        wordings[part] = frames[form if draw(kept) else draw(st.integers(0, 2))].format(**own)
    fact = wordings.pop("fact")
    return fact, {"subject": ends["name"], "value": ends["value"], **wordings}


def test_whatever_comes_through_leads_from_the_value_to_the_subject() -> None:
    outcomes: Counter[str] = Counter()

    @given(nearly_right())
    def holds(case: tuple[str, dict[str, str]]) -> None:
        fact, parts = case
        found = list(METHOD.parse(reply(json.dumps(parts), about(fact))))
        assert len(found) == 2
        for record in found:
            if isinstance(record, Dropped):
                outcomes[record.reason] += 1
            elif isinstance(record, Example) and record.is_text:
                outcomes["statement"] += 1
                whole, value = comparable(record.answer), comparable(parts["value"])
                assert contains(fact, parts["value"])
                assert 0 <= whole.find(value) < whole.find(comparable(parts["subject"]))
            elif isinstance(record, Example):
                outcomes["question"] += 1
                assert contains(fact, record.answer)
                assert contains(record.question, parts["value"])
                assert not contains(record.question, record.answer)

    holds()
    assert outcomes.keys() >= {"statement", "question", "answer_not_in_fact", "not_reversible"}


@given(damaged(json.dumps(GOOD, ensure_ascii=False)))
def test_no_reply_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(UnusableReplyError):
        assert len(list(METHOD.parse(reply(text, about())))) == 2


@given(st.fixed_dictionaries({part: st.just(good) | json_values for part, good in GOOD.items()}))
def test_no_part_of_a_reply_breaks_the_parser(made: dict[str, Any]) -> None:
    assert len(list(METHOD.parse(reply(json.dumps(made), about())))) == 2


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_worked_example_of_the_prompt_passes_its_own_check(language: str) -> None:
    prompt = PromptPack(language).load("reverse")
    method = Reverse(METHOD.listing, prompt, language)
    shown = prompt.messages(fact="", title="")[-1].content
    worked = re.findall(r"^(?:事実：|Fact: )(.+)\n(\{.+\})$", shown, re.MULTILINE)
    assert len(worked) == 3
    for fact, replied in worked:
        found = list(method.parse(reply(replied, about(fact))))
        assert [type(record) for record in found] == [Example, Example], found
