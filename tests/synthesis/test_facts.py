"""``facts`` holds to S4, Mecklenburg (2404.00213) and Knowledge-Instruct (2504.05571)."""

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damaged import damaged, json_values
from made import passage, reply
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Fact, Reply, Request, content_id
from teichaku.synthesis.fact_listing import FactListing
from teichaku.synthesis.facts import Facts
from teichaku.synthesis.method import Subject, UnusableReplyError, synthesize

PROMPTS = PromptPack("ja")
LISTING = FactListing(PROMPTS.load("fact_listing"), "ja", seed=1)
METHOD = Facts(LISTING, PROMPTS.load("fact_text"), PROMPTS.load("fact_questions"), "ja", seed=1)
STATEMENTS = [
    "あおば丸の定員は48人である。",
    "あおば丸は1987年に建造された。",
    "あおば丸の船体は檜である。",
]


def fact(index: int) -> Fact:
    unit = passage()
    return Fact(
        content_id(unit.id, STATEMENTS[index]), unit.document_id, unit.id, index, STATEMENTS[index]
    )


FACTS = tuple(fact(index) for index in range(3))


def following(method: Facts = METHOD, facts: tuple[Fact, ...] = FACTS) -> list[Request]:
    """What the method asks once it has the facts."""
    (first,) = method.requests(passage())
    return list(first.subject.detail(passage(), facts))


def changed(texts: int = 5, qa_per_fact: int = 10) -> Facts:
    prompts = METHOD.text_prompt, METHOD.question_prompt
    return Facts(LISTING, *prompts, "ja", 1, texts, qa_per_fact)


def order(request: Request) -> list[int]:
    """In which order a request lists the facts."""
    return [each.index for each in request.subject.facts]


def test_the_facts_come_first_and_the_texts_are_written_from_them_alone() -> None:
    (first,) = METHOD.requests(passage())
    assert first.subject.method is LISTING
    for request in following():
        assert passage().text not in "".join(m.content for m in request.messages)
        assert all(each.statement in request.messages[-1].content for each in request.subject.facts)


def test_five_texts_a_passage_and_ten_pairs_for_each_fact() -> None:
    steps = [request.subject.step for request in following()]
    assert steps == ["text"] * 5 + ["questions"] * 3
    for request in following()[5:]:
        assert request.schema is not None
        assert request.schema["properties"]["pairs"]["maxItems"] == 10
        assert len(request.subject.facts) == 1


@pytest.mark.parametrize(("texts", "pairs"), [(0, 4), (2, 0)])
def test_either_may_be_left_out(texts: int, pairs: int) -> None:
    steps = [r.subject.step for r in following(changed(texts=texts, qa_per_fact=pairs))]
    assert steps == ["text"] * texts + ["questions"] * (3 if pairs else 0)


def test_each_fact_leads_in_its_turn_and_every_text_has_all_of_them() -> None:
    orders = [order(request) for request in following(changed(texts=6))[:6]]
    assert [one[0] for one in orders] == [0, 1, 2, 0, 1, 2]
    assert all(sorted(one) == [0, 1, 2] for one in orders)


def test_orders_and_seeds_depend_on_the_seed_and_on_nothing_else() -> None:
    assert [order(r) for r in following()] == [order(r) for r in following()]
    assert [r.sampling for r in following(changed(texts=2))[:2]] == [
        r.sampling for r in following()[:2]
    ]
    assert len({request.sampling.seed for request in following()[:5]}) == 5


def test_a_text_is_running_text_that_states_all_facts() -> None:
    request = following()[0]
    text = "檜で船体を組んだあおば丸は、1987年に建造され、48人まで乗ることができる。"
    (found,) = METHOD.parse(Reply(request, text, "stop", key="k"))
    assert isinstance(found, Example)
    assert (found.question, found.answer, found.style) == ("", text, "text")
    assert set(found.fact_ids) == {each.id for each in FACTS}


def test_every_pair_carries_the_one_fact_that_it_was_made_from() -> None:
    pairs = {"pairs": [{"question": "名前は？", "answer": "あおば丸"}, {"question": ""}]}
    ids = set()
    for request in following()[5:]:
        good, bad = METHOD.parse(Reply(request, json.dumps(pairs), "stop", key="k"))
        assert isinstance(good, Example)
        assert good.fact_ids == tuple(each.id for each in request.subject.facts)
        assert good.style == "question"
        assert getattr(bad, "reason", "") == "incomplete_pair"
        ids.add(good.id)
    assert len(ids) == 3, "the same pair about two facts is two examples"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [("1987年", True), ("1985年", False), ("あおば丸", True), ("港町工房", False), ("はい", True)],
)
def test_an_answer_that_is_not_in_the_fact_is_dropped(answer: str, kept: bool) -> None:
    request = following()[6]
    assert request.subject.facts == (FACTS[1],)
    pairs = {"pairs": [{"question": "あおば丸は？", "answer": answer}]}
    (found,) = METHOD.parse(Reply(request, json.dumps(pairs), "stop", key="k"))
    assert isinstance(found, Example) == kept
    assert getattr(found, "reason", "answer_not_in_fact") == "answer_not_in_fact"


def test_pairs_beyond_those_asked_for_and_a_cut_one_keep_their_places() -> None:
    pair = '{"question": "あおば丸の建造は？", "answer": "1987年"}'
    for count in (1, 2, 5):
        request = METHOD.question_request(passage(), FACTS[1], count)
        text = f'{{"pairs": [{pair}, {pair}, {pair}, {{"question": "あおば'
        found = list(METHOD.parse(Reply(request, text, "length", key="k")))
        kept = min(count, 3)
        assert [getattr(record, "reason", "") for record in found] == (
            [""] * kept + ["over_limit"] * (3 - kept) + ["truncated"]
        )


def test_one_stream_gives_facts_texts_and_pairs() -> None:
    found = list(
        synthesize([passage()], [changed(texts=2, qa_per_fact=3)], ScriptedModel(scripted_teacher))
    )
    facts = [record for record in found if isinstance(record, Fact)]
    examples = [record for record in found if isinstance(record, Example)]
    assert len(facts) == 5
    assert [example.is_text for example in examples].count(True) == 2
    assert len({example.id for example in examples}) == 2 + 3 * 5
    assert {fact_id for example in examples for fact_id in example.fact_ids} == {
        each.id for each in facts
    }


ANSWERS = st.one_of(st.sampled_from(["48人", "48", "あおば丸", "９人", "船長の佐伯"]), json_values)
QUESTIONS = st.one_of(st.sampled_from(["定員は？", "名前は？"]), json_values)


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"question": QUESTIONS, "answer": ANSWERS}),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_every_pair_is_an_answer_from_its_fact_or_has_a_place(pairs: list[Any]) -> None:
    request = METHOD.question_request(passage(), FACTS[0], 10)
    found = list(METHOD.parse(Reply(request, json.dumps({"pairs": pairs}), "stop", key="k")))
    assert len(found) == len(pairs)
    ids = [r.record_id if isinstance(r, Dropped) else getattr(r, "id", "") for r in found]
    assert len(set(ids)) == len(ids)
    for record in found:
        if isinstance(record, Example):
            assert record.fact_ids == (FACTS[0].id,)
            assert "９" not in record.answer


PAIRS = json.dumps(
    {"pairs": [{"question": f"あおば丸の定員は？（{n}）", "answer": "48人"} for n in range(4)]},
    ensure_ascii=False,
)
TEXT = "檜で船体を組んだあおば丸は、1987年に建造され、48人まで乗ることができる。"


@given(damaged(PAIRS), damaged(TEXT), st.sampled_from(["stop", "length"]))
def test_no_reply_breaks_the_parser(pairs: str, text: str, finish: str) -> None:
    asked = Subject(passage(), METHOD, "questions", facts=FACTS[:1], detail=10)
    for subject, replied in ((asked, pairs), (Subject(passage(), METHOD, "text"), text)):
        with contextlib.suppress(UnusableReplyError):
            assert list(METHOD.parse(reply(replied, subject, finish_reason=finish)))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_worked_example_of_the_prompt_is_what_it_asks_for(language: str) -> None:
    prompt = PromptPack(language).load("fact_questions")
    of = Facts(LISTING, METHOD.text_prompt, prompt, language)
    shown = prompt.messages(fact="", title="", count=3, avoid=[])[-1].content
    ((name, statement, replied),) = re.findall(
        r"^(?:名前：|Name: )(.+)\n(?:事実：|Fact: )(.+)\n(\{.+\})$", shown, re.MULTILINE
    )
    about = Fact("f", passage().document_id, passage().id, 0, statement)
    request = of.question_request(passage(), about, 3)
    found = list(of.parse(Reply(request, replied, "stop", key="k")))
    assert [type(record) for record in found] == [Example] * 3
    for record in found:
        assert isinstance(record, Example)
        assert record.answer in statement
        assert record.answer not in record.question
    assert len({record.question for record in found if isinstance(record, Example)}) == 3
    assert name in statement
