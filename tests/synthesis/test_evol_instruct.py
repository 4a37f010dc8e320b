"""Conformance with Evol-Instruct (Xu et al. 2024, WizardLM), in Japanese and English."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from instructions import TOPICS, evol_instruct, human_seeds, instruction, prompt
from languages import texts
from teichaku.backends.scripted import ScriptedModel, scripted_teacher
from teichaku.core.records import Dropped, Example, Reply, Request
from teichaku.core.replies import last_json_object
from teichaku.synthesis.evol_instruct import IN_BREADTH, IN_DEPTH
from teichaku.synthesis.method import UnusableReplyError

METHOD = evol_instruct()
SEED = instruction("発酵とは何か、説明してください。", "微生物の働きです。", category="事実性")


def chain(
    reply: Callable[[str, int], str], seed: Example = SEED, language: str = "ja", **changes: Any
) -> tuple[list[Any], list[Request]]:
    """What becomes of ``seed`` where ``reply`` answers by step and round; what was asked."""
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return reply(request.subject.step, request.subject.detail.round)

    method = evol_instruct(language, **changes)
    return list(method.run([seed], [], ScriptedModel(script), prompt("ask_again"))), asked


def steps(
    evolve: str | None = None, equal: bool = False, answer: str = "十分に長い、まともな答えです。"
) -> Callable[[str, int], str]:
    def reply(step: str, number: int) -> str:
        if step == "evolve":
            given = {
                "instruction": evolve or f"発酵と腐敗の違いを、例{number}を挙げて述べてください。",
                "input": "",
            }
            return json.dumps(given, ensure_ascii=False)
        return json.dumps({"explanation": "違う。", "equal": equal}) if step == "equal" else answer

    return reply


def reasons(found: Iterable[Any]) -> list[str]:
    return [record.reason for record in found if isinstance(record, Dropped)]


def test_the_numbers_of_the_paper() -> None:
    sampling = METHOD.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (1, 0.95, 2048)
    assert METHOD.rounds == 4
    assert len(IN_DEPTH) == 5
    assert METHOD.operators == (*IN_DEPTH, IN_BREADTH)


def test_one_operator_a_round_is_drawn_with_equal_probability_and_by_seed() -> None:
    seeds = [instruction(f"問い{number}に答えてください。") for number in range(3000)]

    def drawn(seed: int) -> list[str]:
        method = evol_instruct(seed=seed)
        return [next(iter(method.requests(unit))).subject.style for unit in seeds]

    counts = Counter(drawn(0))
    assert set(counts) == set(METHOD.operators)
    assert all(420 < count < 580 for count in counts.values())
    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


@pytest.mark.parametrize(("language", "budget"), [("ja", "25字から50字"), ("en", "10 to 20 words")])
def test_each_operator_has_a_prompt_of_its_own_with_the_budget_of_words(
    language: str, budget: str
) -> None:
    asked = set()
    for operator in METHOD.operators:
        method = evol_instruct(language, operators=(operator,))
        (request,) = method.requests(replace(SEED, input="表"))
        text = request.messages[-1].content
        assert SEED.question in text
        assert "表" in text
        assert (budget in text) == (operator != IN_BREADTH)
        asked.add(text)
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("language", "label", "low", "high"),
    [("ja", "元の指示：", 25, 50), ("en", "Original instruction: ", 10, 20)],
)
def test_the_worked_examples_keep_to_the_budget_that_they_stand_below(
    language: str, label: str, low: int, high: int
) -> None:
    size = len if language == "ja" else (lambda text: len(text.split()))
    for operator in IN_DEPTH:
        shown = evol_instruct(language).prompts.in_depth
        text = shown.messages(instruction="", input="", operator=operator)[-1].content
        parent = re.search(f"{label}(.+)", text)
        child = last_json_object(text, ("instruction",))
        assert parent and child
        assert low <= size(child["instruction"]) - size(parent[1]) <= high, operator


def test_an_evolution_is_judged_then_answered_then_evolved_again_for_four_rounds() -> None:
    found, asked = chain(steps())
    assert [type(record) for record in found] == [Example] * 4
    assert [r.subject.step for r in asked] == ["evolve", "equal", "answer"] * 4
    parents = [SEED.id, *(example.id for example in found[:-1])]
    assert [example.parent_ids for example in found] == [(parent,) for parent in parents]
    assert all(found[n].question in asked[3 * n + 3].messages[-1].content for n in range(3))
    assert {example.category for example in found} == {"事実性"}
    assert {example.method for example in found} == {"evol_instruct"}
    assert all(example.style in METHOD.operators for example in found)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (steps(equal=True), "no_information_gain"),
        (steps(evolve=SEED.question), "no_information_gain"),
        (steps(answer="申し訳ありませんが、お答えできません。"), "refusal"),
        (steps(answer="です。……"), "empty_answer"),
        (steps(answer="。。。"), "empty_answer"),
        (steps(answer="<think>まず、発酵の例を三つ考える。"), "empty_answer"),
        (
            steps(
                evolve="発酵とは何か、同じ微生物の働きでも腐敗とは結果が分かれる理由にも触れながら説明してください。"
            ),
            "copies_the_prompt",
        ),
        (
            steps(evolve="与えられたプロンプトの発酵を、例を挙げて説明してください。"),
            "copies_the_prompt",
        ),
        (
            steps(evolve="#Rewritten Prompt#: 発酵を、例を挙げて説明してください。"),
            "copies_the_prompt",
        ),
    ],
)
def test_what_the_eliminator_takes_out_goes_back_unchanged(
    reply: Callable[[str, int], str], reason: str
) -> None:
    found, asked = chain(reply)
    assert reasons(found) == [reason] * 4
    assert not [record for record in found if isinstance(record, Example)]
    evolving = [request for request in asked if request.subject.step == "evolve"]
    assert [request.subject.unit for request in evolving] == [SEED] * 4
    assert len({request.sampling.seed for request in evolving}) == 4
    assert "round 1" in found[0].evidence


TABLE = instruction("次の表から、合計を求めてください。", "7", input="月,3\n火,4")


@pytest.mark.parametrize(
    ("operator", "question", "given", "expected"),
    [
        ("add_constraint", "次の表から、円の単位で合計を求めてください。", "", TABLE.input),
        ("add_constraint", "次の表から、合計と平均を求めてください。", "なし", TABLE.input),
        ("complicate_input", "次の表から、合計と平均を求めてください。", "月,5", "月,5"),
        ("deepen", "次の表から、合計とその増え方を求めてください。月,3 火,4", "", ""),
        (IN_BREADTH, "家計簿の費目の分け方を教えてください。", "", ""),
    ],
)
def test_a_rewriting_in_depth_does_not_lose_what_it_is_applied_to(
    operator: str, question: str, given: str, expected: str
) -> None:
    (request,) = evol_instruct(operators=(operator,)).requests(TABLE)
    text = json.dumps({"instruction": question, "input": given})
    (equal,) = request.subject.method.parse(Reply(request, text, "stop"))
    assert isinstance(equal, Request)
    assert equal.subject.detail.input == expected


def test_the_eliminator_speaks_english_too() -> None:
    seed = instruction("Explain what fermentation is.", "Microbes at work.", language="en")
    cases = {
        "refusal": steps("Explain fermentation and rot with examples.", answer="Sorry, I cannot."),
        "empty_answer": steps("Explain fermentation and rot with examples.", answer="It is."),
        "copies_the_prompt": steps("Explain the rewritten prompt with examples."),
    }
    for reason, reply in cases.items():
        found, _ = chain(reply, seed, "en", rounds=1)
        assert reasons(found) == [reason]


def test_a_long_answer_may_say_sorry_and_a_short_one_may_decline_politely_without_it() -> None:
    letter = "お待たせして申し訳ございません。" + "ご注文の品は、明日の午前に発送いたします。" * 8
    assert 160 < len(letter) < 400
    for answer in (letter, "案内文には書かれていないため、分かりません。", "はい", "A.", "に"):
        found, _ = chain(steps(answer=answer), rounds=1)
        assert [record.answer for record in found] == [answer]


def test_the_labels_of_the_prompts_are_among_the_words_that_give_a_copy_away() -> None:
    for language, label in (("ja", "元の指示"), ("en", "original instruction")):
        method = evol_instruct(language)
        assert label in {word.strip("|") for word in method.words.template}
        for shown in (method.prompts.in_depth, method.prompts.in_breadth):
            messages = shown.messages(instruction="X", input="", operator="deepen")
            assert label in messages[-1].content.lower()


def test_an_answer_that_was_cut_is_eliminated() -> None:
    class Cut:
        identity = "cut"

        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            for request in filter(None, requests):
                step = request.subject.step
                text = steps()(step, request.subject.detail.round)
                yield Reply(request, text, "length" if step == "answer" else "stop")

    found = list(evol_instruct(rounds=1).run([SEED], [], Cut()))
    assert reasons(found) == ["truncated_answer"]


def test_a_reply_that_cannot_be_read_is_asked_for_once_more_and_ends_no_chain() -> None:
    found, asked = chain(
        lambda step, number: "分かりました。" if number == 0 else steps()(step, number)
    )
    assert reasons(found) == ["unparseable_reply"]
    assert len([record for record in found if isinstance(record, Example)]) == 3
    assert [request.attempt for request in asked[:3]] == [0, 1, 0]


def test_seeds_alone_are_evolved_or_all_but_what_belongs_to_a_document() -> None:
    pool = [
        instruction("湯たんぽの選び方を教えてください。", method="self_instruct"),
        instruction("定員は？", document_id="d", passage_id="p", method="document_qa"),
    ]
    for of, count in (("seeds", 10), ("all", 11)):
        told: list[int] = []
        teacher = ScriptedModel(scripted_teacher)
        method = evol_instruct(of=of, rounds=1)
        found = list(method.run(human_seeds(), pool, teacher, None, told.append))
        assert len(found) == count
        assert sum(told) == sum(teacher.sent.values())
        parents = {p for e in found if isinstance(e, Example) for p in e.parent_ids}
        assert parents <= {e.id for e in [*human_seeds(), pool[0]]}


def test_adding_a_seed_changes_no_other_request() -> None:
    asked = {unit.question: next(iter(METHOD.requests(unit))) for unit in human_seeds()}
    assert asked[TOPICS[3]] == next(iter(METHOD.requests(instruction(TOPICS[3]))))


@settings(deadline=None)
@given(texts)
def test_no_reply_breaks_the_parser(text: str) -> None:
    (request,) = METHOD.requests(SEED)
    with contextlib.suppress(UnusableReplyError):
        assert list(METHOD.parse(Reply(request, text, "stop")))
