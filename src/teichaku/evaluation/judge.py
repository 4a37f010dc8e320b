"""S1's absolute judge: passage, reference and answer in, an explanation and a mark 1-10 out."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    Answer,
    Judgement,
    Passage,
    Question,
    Reply,
    Request,
    Sampling,
    content_id,
)
from teichaku.core.replies import json_objects, text_value, without_thinking

_SCHEMA = {
    "type": "object",
    "properties": {
        "judgement": {"type": "string", "maxLength": 160},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
    },
    "required": ["judgement", "score"],
}
_SCORE = re.compile(r"\"?score\"?\s*[:：=]\s*\"?(\d+(?:\.\d+)?)", re.IGNORECASE)


@dataclass(frozen=True)
class AbsoluteJudge:
    """Marks answers one at a time. ``name`` is the judge model's identity."""

    prompt: Prompt
    name: str
    sampling: Sampling = Sampling(max_tokens=320)
    again: Prompt | None = None

    def judge(
        self,
        answers: Iterable[Answer],
        questions: Mapping[str, Question],
        passages: Mapping[str, Passage],
        model: ChatModel,
    ) -> Iterator[Judgement]:
        """One judgement an answer; answers that failed are not marked.

        A reply without a score is asked for once more, by the prompt ``again``.
        """
        requests = self.requests(answers, questions, passages)
        yield from ask(model, requests, self._read, self._lost, self.again)

    def requests(
        self,
        answers: Iterable[Answer],
        questions: Mapping[str, Question],
        passages: Mapping[str, Passage],
    ) -> list[Request]:
        """What the judge is asked; answers to one question follow one another, so that a server
        can reuse the passage and the reference.
        """
        given = sorted(
            (answer for answer in answers if not answer.error),
            key=lambda answer: (answer.question_id, answer.id),
        )
        return [self._request(a, questions[a.question_id], passages) for a in given]

    def _request(
        self, answer: Answer, question: Question, passages: Mapping[str, Passage]
    ) -> Request:
        messages = self.prompt.messages(
            passage=passages[question.passage_id].text,
            question=question.question,
            reference=question.reference,
            answer=answer.text,
        )
        return Request(messages, self.sampling, _SCHEMA, 0, self.prompt.name, answer)

    def _read(self, reply: Reply) -> Iterator[Judgement | Request]:
        score, explanation = parse_judgement(reply.text)
        if score is None:
            raise UnusableReplyError("no valid score in the reply.")
        yield self._judgement(reply, score, explanation)

    def _lost(self, reply: Reply, reason: str, evidence: str) -> Judgement:
        return self._judgement(reply, None, "", evidence)

    def _judgement(
        self, reply: Reply, score: float | None, explanation: str, error: str = ""
    ) -> Judgement:
        answer: Answer = reply.request.subject
        return Judgement(
            content_id("judge_absolute", answer.id, self.name),
            answer.id,
            self.name,
            self.prompt.name,
            score,
            explanation,
            reply.text,
            error,
            reply.key,
        )


def parse_judgement(text: str) -> tuple[float | None, str]:
    """The last valid score from 1 to 10 in ``text``, with its explanation; None where there is
    none. The last one counts, because a judge may name other scores on its way.
    """
    for found in reversed(list(json_objects(text))):
        score = _valid(text_value(found.get("score")))
        if score is not None:
            return score, text_value(found.get("judgement"))
    bare = without_thinking(text)
    for match in reversed(list(_SCORE.finditer(bare))):
        score = _valid(match.group(1))
        if score is not None:
            return score, bare[: match.start()].strip(' {\n",')
    return None, ""


def _valid(text: str) -> float | None:
    try:
        score = float(text)
    except ValueError:
        return None
    return score if 1 <= score <= 10 else None
