"""Asking a model the questions under a condition."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    Answer,
    Condition,
    Passage,
    Question,
    QuestionRequest,
    Reply,
    Request,
    Sampling,
    content_id,
)
from teichaku.core.replies import without_thinking

#: Why an answer failed: its limit ended before it began. A model that reasons thinks within it.
ANSWER_CUT = "answer_cut"
#: Why any other one did.
REQUEST_FAILED = "request_failed"


@dataclass(frozen=True)
class Conditions:
    """How a question is put: alone (``closed_book``), with the right passage (``open_book``), or
    with those that were found for it (``retrieval``). ``max_tokens`` bounds an answer.

    ``retrieved`` are the ids of the passages to show by question id (see
    :func:`~teichaku.evaluation.retrieval.shown_passages`). ``top_log_probabilities`` asks for
    the log-probabilities of an answer's first tokens, where the model gives them.
    """

    closed_book: Prompt
    open_book: Prompt
    passages: Mapping[str, Passage]
    max_tokens: int = 128
    retrieval: Prompt | None = None
    retrieved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    top_log_probabilities: int = 0

    def request(self, question: Question, condition: Condition) -> Request:
        """The question under the condition, decoded greedily.

        Raises ``ValueError`` where there is no prompt for retrieval, ``KeyError`` where nothing
        was retrieved for the question.
        """
        values: dict[str, object] = {"question": question.question}
        prompt = self.closed_book
        if condition == "open_book":
            prompt = self.open_book
            values["passage"] = self.passages[question.passage_id].text
        elif condition == "retrieval":
            if self.retrieval is None:
                raise ValueError("the condition retrieval needs its prompt")
            prompt = self.retrieval
            values["passages"] = [self.passages[i] for i in self.retrieved[question.id]]
        return Request(
            prompt.messages(**values),
            Sampling(max_tokens=self.max_tokens),
            prompt=prompt.name,
            subject=question,
            top_log_probabilities=self.top_log_probabilities,
        )

    def record(self, question: Question, condition: Condition) -> QuestionRequest:
        """:meth:`request` as a row of a file, the same for every model."""
        request = self.request(question, condition)
        return QuestionRequest(
            content_id(question.id, condition),
            question.id,
            condition,
            request.prompt,
            _json([asdict(message) for message in request.messages]),
            _json(asdict(request.sampling)),
        )


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


@dataclass(frozen=True)
class Asked:
    """Who is asked, at which checkpoint, and how."""

    arm: str
    checkpoint: str
    condition: Condition


def answer_questions(
    questions: Iterable[Question], model: ChatModel, asked: Asked, conditions: Conditions
) -> Iterator[Answer]:
    """One answer a question; a failed request has its ``error`` and no text.

    The model may be any: the student, or one behind a server, as one more row. What a reasoning
    model thinks aloud before its answer is no part of it; see :func:`said_in` for one that is cut
    off before it answers.
    """
    for answer, _ in answers_with_replies(questions, model, asked, conditions):
        yield answer


def answers_with_replies(
    questions: Iterable[Question], model: ChatModel, asked: Asked, conditions: Conditions
) -> Iterator[tuple[Answer, Reply]]:
    """:func:`answer_questions`, each with the reply that it was read from."""
    yield from _answers(((question, asked) for question in questions), model, conditions)


def answer_rounds(
    questions: Sequence[Question], model: ChatModel, rounds: Sequence[Asked], conditions: Conditions
) -> Iterator[Answer]:
    """:func:`answer_questions` of several ``rounds`` in one call of the model, one round after the
    other: a server is busy throughout, and a model in batch files has one job.
    """
    pairs = ((question, asked) for asked in rounds for question in questions)
    for answer, _ in _answers(pairs, model, conditions):
        yield answer


def _answers(
    pairs: Iterable[tuple[Question, Asked]], model: ChatModel, conditions: Conditions
) -> Iterator[tuple[Answer, Reply]]:
    requests = (_request(conditions, question, asked) for question, asked in pairs)
    for reply in model.generate(requests):
        yield _answer(reply), reply


def _request(conditions: Conditions, question: Question, asked: Asked) -> Request:
    # Replies come in any order, and the round of each is told by its request.
    return replace(conditions.request(question, asked.condition), subject=(question, asked))


def sampled_answers(
    questions: Iterable[Question],
    model: ChatModel,
    asked: Asked,
    conditions: Conditions,
    count: int = 5,
    temperature: float = 0.7,
    seed: int = 0,
) -> Iterator[Answer]:
    """``count`` answers a question, drawn at ``temperature``, for self-consistency; ids differ from
    that of the greedy answer.
    """

    def requests() -> Iterator[Request]:
        for question in questions:
            request = _request(conditions, question, asked)
            for index in range(count):
                drawn = int(content_id(seed, "sampled", question.id, index), 16) % 2**31
                sampling = replace(request.sampling, temperature=temperature, seed=drawn)
                yield replace(request, sampling=sampling, sample_index=index)

    for reply in model.generate(requests()):
        answer = _answer(reply)
        index, drawn = reply.request.sample_index, reply.request.sampling.seed
        yield replace(answer, id=content_id(answer.id, "sampled", index, drawn))


def said_in(reply: Reply) -> tuple[str, str]:
    """The answer in a reply without the thinking before it, and why there is none: the reply's own
    error, or :data:`ANSWER_CUT` where the limit came before the first word of the answer.

    A reply of nothing but white space is an empty answer, which is the model's own and no failure;
    so is that of a model in process that wrote no text (:data:`~teichaku.core.replies.NO_TEXT`).
    """
    text = without_thinking(reply.text).strip()
    is_blank = bool(reply.text) and not reply.text.strip()
    if reply.error or text or is_blank or reply.finish_reason != "length":
        return text, reply.error
    limit = reply.request.sampling.max_tokens
    return "", f"{ANSWER_CUT}: {limit} tokens were over before an answer began (thinking counts)"


def failure_of(answer: Answer) -> str:
    """Why an answer with an error failed: :data:`ANSWER_CUT` or :data:`REQUEST_FAILED`."""
    is_cut = answer.error.partition(":")[0] == ANSWER_CUT
    return ANSWER_CUT if is_cut else REQUEST_FAILED


def _answer(reply: Reply) -> Answer:
    asked: Asked
    question: Question
    question, asked = reply.request.subject
    text, error = said_in(reply)
    return Answer(
        content_id(question.id, asked.arm, asked.checkpoint, asked.condition),
        question.id,
        asked.arm,
        asked.checkpoint,
        asked.condition,
        text,
        reply.finish_reason,
        reply.prompt_tokens,
        reply.completion_tokens,
        reply.key,
        error,
    )
