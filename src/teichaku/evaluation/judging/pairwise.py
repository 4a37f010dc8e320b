"""The pairwise judge: two answers to one question in, the better one out, in both orders.

S2's comparison, and that of MT-Bench (Zheng et al. 2023) and of the Japanese Vicuna QA Benchmark
(Sun et al. 2024). Judges favour a place, so a verdict on one order is none on the pair.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from teichaku.core.asking import ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import Comparison, Reply, Request, Sampling, content_id
from teichaku.core.run_folder import fingerprint
from teichaku.evaluation.judging.exchanges import Exchange, Pair, failure
from teichaku.evaluation.judging.forms import JSON_VERDICT, Form, Winner
from teichaku.evaluation.judging.protocol import (
    JudgeProtocol,
    hashed,
    reference_rule,
    require_turns,
)


@dataclass(frozen=True)
class _Shown:
    """A pair in the order in which the judge sees it."""

    first: Exchange
    second: Exchange


@dataclass(frozen=True)
class PairwiseJudge:
    """Compares answers two by two. ``name`` is the judge model's identity.

    Each pair is shown in both orders, each order ``repeats`` times; ``orders`` 1 shows the first
    one alone, which is half the price and hides how far the judge favours a place. The rest is
    as in :class:`~teichaku.evaluation.judging.absolute.AbsoluteJudge`.

    The prompt may use ``question``, ``reference``, ``criteria``, ``answer_a`` and ``answer_b``, and
    of the turn before ``earlier_question``, ``earlier_reference``, ``earlier_answer_a`` and
    ``earlier_answer_b``.
    """

    prompt: Prompt
    name: str
    sampling: Sampling = Sampling(max_tokens=512)
    again: Prompt | None = None
    form: Form[Winner] = JSON_VERDICT
    orders: int = 2
    repeats: int = 1
    reference_for: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.orders not in (1, 2):
            raise ValueError(f"orders is {self.orders}, and there are 1 or 2")
        if self.repeats < 1:
            raise ValueError(f"repeats is {self.repeats}, and at least 1 is needed")

    @cached_property
    def protocol(self) -> JudgeProtocol:
        """All that decides the verdicts of this judge."""
        return JudgeProtocol(
            "pairwise",
            self.name,
            hashed((self.prompt, self.again)),
            self.form.name,
            fingerprint(self.form.schema) if self.form.schema else "",
            reference_rule(self.prompt, self.reference_for),
            self.orders,
            self.repeats,
            int(self.again is not None),
            self.sampling,
        )

    def compare(self, pairs: Iterable[Pair], model: ChatModel) -> Iterator[Comparison]:
        """``orders`` times ``repeats`` comparisons a pair."""
        yield from ask(model, self.requests(pairs), self._read, self._lost, self.again)

    def requests(self, pairs: Iterable[Pair]) -> list[Request]:
        """What the judge is asked; what is about one question follows one another."""
        shown = [
            order
            for pair in pairs
            for order in (_Shown(pair.one, pair.other), _Shown(pair.other, pair.one))[: self.orders]
        ]
        shown.sort(key=lambda s: (s.first.question.id, s.first.answer.id, s.second.answer.id))
        return [self._request(order, repeat) for order in shown for repeat in range(self.repeats)]

    def _request(self, shown: _Shown, repeat: int) -> Request:
        first, second = shown.first, shown.second
        require_turns(self.prompt, max(first.turns, second.turns))
        messages = self.prompt.messages(
            question=first.question.question,
            reference=first.shown_reference(self.reference_for),
            answer_a=first.answer.text,
            answer_b=second.answer.text,
            criteria=first.criteria.strip(),
            earlier_question=first.before.question.question if first.before else "",
            earlier_reference=(
                first.before.shown_reference(self.reference_for) if first.before else ""
            ),
            earlier_answer_a=first.before.answer.text if first.before else "",
            earlier_answer_b=second.before.answer.text if second.before else "",
        )
        return Request(messages, self.sampling, self.form.schema, repeat, self.prompt.name, shown)

    def _read(self, reply: Reply) -> Iterator[Comparison | Request]:
        winner, explanation = self.form.read(reply.text)
        if winner is None:
            raise self.form.missing()
        yield self._comparison(reply, winner, explanation, "")

    def _lost(self, reply: Reply, reason: str, evidence: str) -> Comparison:
        return self._comparison(reply, None, "", failure(reply, evidence))

    def _comparison(
        self, reply: Reply, winner: Winner | None, explanation: str, error: str
    ) -> Comparison:
        shown: _Shown = reply.request.subject
        first, second = shown.first.answer.id, shown.second.answer.id
        repeat = reply.request.sample_index
        return Comparison(
            content_id("comparison", self.protocol.fingerprint, first, second, repeat),
            shown.first.question.id,
            first,
            second,
            self.name,
            self.protocol.label,
            winner,
            explanation,
            repeat,
            reply.text,
            error,
            reply.key,
        )
