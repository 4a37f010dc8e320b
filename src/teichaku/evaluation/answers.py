"""Asking a model the questions under a condition."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    Answer,
    Condition,
    Passage,
    Question,
    Request,
    Sampling,
    content_id,
)


@dataclass(frozen=True)
class Conditions:
    """How a question is put: alone (``closed_book``) or with the right passage
    (``open_book``). ``max_tokens`` bounds an answer.
    """

    closed_book: Prompt
    open_book: Prompt
    passages: Mapping[str, Passage]
    max_tokens: int = 128

    def request(self, question: Question, condition: Condition) -> Request:
        """The question under the condition, decoded greedily."""
        values: dict[str, object] = {"question": question.question}
        prompt = self.closed_book
        if condition == "open_book":
            prompt = self.open_book
            values["passage"] = self.passages[question.passage_id].text
        sampling = Sampling(max_tokens=self.max_tokens)
        return Request(prompt.messages(**values), sampling, prompt=prompt.name, subject=question)


@dataclass(frozen=True)
class Asked:
    """Who is asked, at which checkpoint, and how."""

    arm: str
    checkpoint: str
    condition: Condition


def answer_questions(
    questions: Iterable[Question], model: ChatModel, asked: Asked, conditions: Conditions
) -> Iterator[Answer]:
    """One answer a question; a failed request has its ``error`` and no text."""
    requests = (conditions.request(question, asked.condition) for question in questions)
    for reply in model.generate(requests):
        question: Question = reply.request.subject
        yield Answer(
            content_id(question.id, asked.arm, asked.checkpoint, asked.condition),
            question.id,
            asked.arm,
            asked.checkpoint,
            asked.condition,
            reply.text.strip(),
            reply.finish_reason,
            reply.prompt_tokens,
            reply.completion_tokens,
            reply.key,
            reply.error,
        )
