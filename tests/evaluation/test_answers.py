import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages import texts
from made import passage, question
from teichaku.backends.scripted import ScriptedError, ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Condition, Message, Reply, Request, Sampling
from teichaku.core.replies import without_thinking
from teichaku.evaluation.answers import (
    ANSWER_CUT,
    REQUEST_FAILED,
    Asked,
    Conditions,
    answer_questions,
    answer_rounds,
    answers_with_replies,
    failure_of,
    sampled_answers,
)
from teichaku.evaluation.retrieval import PassageIndex, retrieve, shown_passages
from teichaku.evaluation.scorers import score_answers

PACK = PromptPack("ja")
BOAT, INN = passage(), passage("部屋：12室", "旅館しらさぎ")
CAPACITY = question("あおば丸の定員は？", "48人")
FOUND = retrieve(PassageIndex([BOAT, INN]), [CAPACITY], 2, 1000)
CONDITIONS = Conditions(
    PACK.load("closed_book"),
    PACK.load("open_book"),
    {BOAT.id: BOAT, INN.id: INN},
    64,
    PACK.load("retrieval"),
    shown_passages(FOUND),
)


def asked(condition: Condition, arm: str = "base") -> Asked:
    return Asked(arm, "base", condition)


@pytest.mark.parametrize("condition", ["closed_book", "open_book", "retrieval"])
@pytest.mark.parametrize("text", ["The answer is:\n48", "\n48"])
def test_an_answer_may_have_several_lines(condition: Condition, text: str) -> None:
    model = ScriptedModel(lambda request: "" if request.sampling.stop else text)
    (answer,) = answer_questions([CAPACITY], model, asked(condition), CONDITIONS)
    assert answer.text == text.strip()


def test_the_passage_is_shown_open_book_only() -> None:
    shown = {
        condition: CONDITIONS.request(CAPACITY, condition).messages[-1].content
        for condition in ("closed_book", "open_book")
    }
    assert passage().text in shown["open_book"]
    assert passage().text not in shown["closed_book"]
    assert CONDITIONS.request(CAPACITY, "closed_book").sampling.max_tokens == 64


def test_with_retrieval_those_passages_are_shown_that_were_found_and_fitted() -> None:
    request = CONDITIONS.request(CAPACITY, "retrieval")
    assert request.prompt == "ja/retrieval@1"
    assert BOAT.text in request.messages[-1].content
    other = Conditions(
        CONDITIONS.closed_book, CONDITIONS.open_book, CONDITIONS.passages, 64,
        CONDITIONS.retrieval, {CAPACITY.id: [INN.id, BOAT.id]},
    )  # fmt: skip
    text = other.request(CAPACITY, "retrieval").messages[-1].content
    assert 0 < text.index(INN.text) < text.index(BOAT.text) < text.index(CAPACITY.question)


def test_retrieval_without_its_prompt_or_its_passages_is_a_mistake() -> None:
    bare = Conditions(CONDITIONS.closed_book, CONDITIONS.open_book, CONDITIONS.passages)
    with pytest.raises(ValueError, match="needs its prompt"):
        bare.request(CAPACITY, "retrieval")
    with pytest.raises(KeyError):
        CONDITIONS.request(question("部屋は？", "12室", INN), "retrieval")


@pytest.mark.parametrize("condition", ["closed_book", "open_book", "retrieval"])
def test_any_model_can_be_one_more_row(condition: Condition) -> None:
    def answering(request: Request) -> str:
        if "定員" not in request.messages[-1].content:
            raise ScriptedError("refused")
        return "<think>48か60か。</think>\n48人です。"

    other = ScriptedModel(answering, "api")
    lost = question("料金は？", "1,800円", BOAT)
    conditions = Conditions(
        CONDITIONS.closed_book, CONDITIONS.open_book, {BOAT.id: INN, INN.id: INN}, 64,
        CONDITIONS.retrieval, {CAPACITY.id: [INN.id], lost.id: [INN.id]},
    )  # fmt: skip
    found = answer_questions([CAPACITY, lost], other, asked(condition, "gpt"), conditions)
    told, failed = sorted(found, key=lambda answer: answer.error)
    assert (told.text, told.arm, told.condition, told.error) == ("48人です。", "gpt", condition, "")
    assert (failed.text, failed.error) == ("", "refused")


class _Backwards:
    """Answers each request with what stands in it, the last first."""

    identity = "backwards"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        given = [request for request in requests if request is not None]
        self.calls.append([request.prompt for request in given])
        for request in reversed(given):
            yield Reply(request, request.messages[-1].content)


def test_one_call_answers_all_rounds_each_under_its_own_condition() -> None:
    model = _Backwards()
    price = question("料金は？", "1,800円", BOAT)
    put = replace(CONDITIONS, retrieved={CAPACITY.id: [INN.id], price.id: [INN.id]})
    rounds = [asked("closed_book"), asked("open_book"), asked("retrieval")]
    found = {answer.id: answer for answer in answer_rounds([CAPACITY, price], model, rounds, put)}
    # Round after round, so that none waits for the one before it.
    (call,) = model.calls
    names = ("closed_book", "open_book", "retrieval")
    assert call == [f"ja/{name}@1" for name in names for _ in range(2)]
    alone = [
        answer
        for one in rounds
        for answer in answer_questions([CAPACITY, price], _Backwards(), one, put)
    ]
    assert len(alone) == 6
    assert found == {answer.id: answer for answer in alone}


class _Ending:
    """Replies ``text``, and ends for ``reason``."""

    identity = "ending"

    def __init__(self, text: str, reason: str) -> None:
        self._text, self._reason = text, reason

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for request in requests:
            if request is not None:
                yield Reply(request, self._text, self._reason)


@pytest.mark.parametrize(
    ("text", "reason", "is_cut"),
    [
        ("<think>定員は48人かもしれない", "length", True),
        ("<think>定員は48人。</think>\n", "length", True),
        # A server that keeps the thinking to itself leaves nothing.
        ("", "length", True),
        ("<think>定員は</think>48", "length", False),
        ("48", "length", False),
        # The model's own: it said nothing, or nothing but blank lines.
        ("\n\n\n", "length", False),
        ("", "stop", False),
        ("<think>定員は48人。</think>", "stop", False),
    ],
)
def test_an_answer_that_the_limit_ended_before_it_began_failed(
    text: str, reason: str, is_cut: bool
) -> None:
    model = _Ending(text, reason)
    (answer,) = answer_questions([CAPACITY], model, asked("closed_book"), CONDITIONS)
    assert bool(answer.error) is is_cut
    assert answer.text == without_thinking(text).strip()
    if is_cut:
        assert failure_of(answer) == ANSWER_CUT
        assert "64 tokens" in answer.error
    (value,) = {row.value for row in score_answers([answer], {CAPACITY.id: CAPACITY}, ["exact"])}
    assert (value is None) is is_cut


def test_a_request_that_failed_was_not_cut() -> None:
    def down(request: Request) -> str:
        raise ScriptedError("down")

    (answer,) = answer_questions([CAPACITY], ScriptedModel(down), asked("closed_book"), CONDITIONS)
    assert (answer.error, failure_of(answer)) == ("down", REQUEST_FAILED)


def test_log_probabilities_come_with_the_reply_where_they_are_asked_for() -> None:
    model = ScriptedModel(lambda request: "48人")
    wanting = Conditions(
        CONDITIONS.closed_book, CONDITIONS.open_book, CONDITIONS.passages, top_log_probabilities=1
    )
    ((answer, reply),) = answers_with_replies([CAPACITY], model, asked("closed_book"), wanting)
    assert answer.text == "48人"
    assert [next(iter(token)) for token in reply.log_probabilities] == ["4", "8", "人"]


def test_samples_are_drawn_apart_and_told_apart() -> None:
    seen: list[Request] = []

    def answering(request: Request) -> str:
        seen.append(request)
        return str(request.sample_index)

    model = ScriptedModel(answering)
    drawn = list(sampled_answers([CAPACITY], model, asked("closed_book"), CONDITIONS, 3, 0.5))
    assert [answer.text for answer in drawn] == ["0", "1", "2"]
    assert len({answer.id for answer in drawn}) == 3
    assert {request.sampling.temperature for request in seen} == {0.5}
    assert len({request.sampling.seed for request in seen}) == 3
    (greedy,) = answer_questions([CAPACITY], model, asked("closed_book"), CONDITIONS)
    assert greedy.id not in {answer.id for answer in drawn}
    again = list(sampled_answers([CAPACITY], model, asked("closed_book"), CONDITIONS, 3, 0.5))
    assert [answer.id for answer in again] == [answer.id for answer in drawn]
    others = sampled_answers([CAPACITY], model, asked("closed_book"), CONDITIONS, 3, 0.5, seed=1)
    assert {answer.id for answer in others}.isdisjoint(answer.id for answer in drawn)


@given(texts, st.sampled_from(["closed_book", "open_book", "retrieval"]))
def test_the_record_of_a_request_holds_all_that_a_model_is_sent(
    text: str, condition: Condition
) -> None:
    asked_for = replace(CAPACITY, question=text)
    request, record = (
        CONDITIONS.request(asked_for, condition),
        CONDITIONS.record(asked_for, condition),
    )
    assert tuple(Message(**turn) for turn in json.loads(record.messages)) == request.messages
    sampling = json.loads(record.sampling)
    assert Sampling(**{**sampling, "stop": tuple(sampling["stop"])}) == request.sampling
    assert (record.prompt, record.question_id) == (request.prompt, CAPACITY.id)
