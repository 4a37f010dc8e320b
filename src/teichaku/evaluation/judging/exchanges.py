"""What judges are shown: questions with their answers, alone or in pairs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from teichaku.core.records import Answer, Passage, Question, Reply
from teichaku.evaluation.benchmarks.rows import Item


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, which is to be judged.

    ``before`` is the turn of the conversation that went before, ``criteria`` what the benchmark
    says about marking this question, ``passage`` the text that the question is about.
    """

    question: Question
    answer: Answer
    passage: str = ""
    criteria: str = ""
    before: "Exchange | None" = None

    @property
    def text(self) -> str:
        """The answer that is to be judged."""
        return self.answer.text

    @property
    def turns(self) -> int:
        """How many turns the conversation has; two at most are shown to a judge."""
        return 1 + (self.before.turns if self.before else 0)

    @property
    def failed(self) -> bool:
        """Whether there is nothing to judge, because a request of the conversation failed."""
        return bool(self.answer.error) or (self.before is not None and self.before.failed)

    def __post_init__(self) -> None:
        if self.turns > 2:
            raise ValueError(f"a conversation of {self.turns} turns; judges are shown two")

    def shown_reference(self, categories: frozenset[str] | None) -> str:
        """The reference, where the judge is shown those of the question's category."""
        is_shown = categories is None or self.question.category in categories
        return self.question.reference if is_shown else ""


def exchanges_of(
    answers: Iterable[Answer], questions: Mapping[str, Question], passages: Mapping[str, Passage]
) -> list[Exchange]:
    """Single-turn exchanges with the passages that the questions are about."""
    found = []
    for answer in answers:
        question = questions[answer.question_id]
        passage = passages[question.passage_id].text if question.passage_id else ""
        found.append(Exchange(question, answer, passage))
    return found


def benchmark_exchanges(answers: Iterable[Answer], items: Iterable[Item]) -> list[Exchange]:
    """The exchanges of a benchmark's items with their criteria; a later turn comes with the one
    before it of the same arm. Raises ``KeyError`` where that turn has no answer.
    """
    of = {item.question.id: item for item in items}
    places = {(item.conversation, item.turn): item.question.id for item in of.values()}
    given = {_asked(answer): answer for answer in answers}

    def exchange(answer: Answer) -> Exchange:
        item = of[answer.question_id]
        before = None
        if item.turn:
            earlier = places[item.conversation, item.turn - 1]
            before = exchange(given[_asked(replace(answer, question_id=earlier))])
        return Exchange(item.question, answer, criteria=item.criteria, before=before)

    return [exchange(answer) for answer in given.values()]


def _asked(answer: Answer) -> tuple[str, str, str, str]:
    return answer.question_id, answer.arm, answer.checkpoint, answer.condition


@dataclass(frozen=True)
class Pair:
    """Two answers to one question; ``one`` is shown first in the first order."""

    one: Exchange
    other: Exchange

    def __post_init__(self) -> None:
        if self.one.answer.id == self.other.answer.id:
            raise ValueError(f"the answer {self.one.answer.id} cannot be compared with itself")
        if self.one.question.id != self.other.question.id:
            raise ValueError(
                f"answers to different questions, {self.one.question.id} and "
                f"{self.other.question.id}, cannot be compared"
            )

    @property
    def question(self) -> Question:
        """The question of both."""
        return self.one.question


def pair_up(
    one: Iterable[Exchange], other: Iterable[Exchange]
) -> tuple[list[Pair], dict[str, str]]:
    """The answers of two models, question by question, and the questions that were left out
    with the reason: ``answer_failed`` or ``not_answered`` by one of the two.

    Raises ``ValueError`` where a model has two answers to a question.
    """
    ones, others = _by_question(one), _by_question(other)
    pairs, left_out = [], {}
    for question_id in sorted(ones.keys() | others.keys()):
        if question_id not in ones or question_id not in others:
            left_out[question_id] = "not_answered"
        elif ones[question_id].failed or others[question_id].failed:
            left_out[question_id] = "answer_failed"
        else:
            pairs.append(Pair(ones[question_id], others[question_id]))
    return pairs, left_out


def _by_question(exchanges: Iterable[Exchange]) -> dict[str, Exchange]:
    found: dict[str, Exchange] = {}
    for exchange in exchanges:
        if exchange.question.id in found:
            raise ValueError(f"two answers to the question {exchange.question.id}")
        found[exchange.question.id] = exchange
    return found


def failure(reply: Reply, evidence: str) -> str:
    """Why a reply gave no mark, as ``REASON: evidence``; :func:`reason_of` reads it."""
    if reply.error:
        reason = "request_failed"
    elif reply.finish_reason == "length":
        # Where a server keeps the thinking to itself, nothing else is left of such a reply.
        reason = "cut_reply"
    else:
        reason = "unparseable_reply" if reply.text.strip() else "empty_reply"
    return f"{reason}: {evidence}"


def reason_of(error: str) -> str:
    """The reason that an ``error`` of a judgement or a comparison begins with."""
    return error.partition(":")[0]
