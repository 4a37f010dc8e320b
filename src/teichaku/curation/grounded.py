"""``grounded``: the answer is supported by the passage that it was made from.

First by containment, after normalising numbers and widths: every number of the answer stands
in the passage, and nearly all of its content terms do. What containment cannot settle goes to
a judge, where one is given.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.run_folder import dropped
from teichaku.core.support import Support, support
from teichaku.curation.sources import Sources, without_item_numbers

_SCHEMA = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "supported": {"type": "boolean"}},
    "required": ["explanation", "supported"],
}


@dataclass(frozen=True)
class GroundingJudge:
    """Who settles what containment cannot, by ``prompt``; ``again`` asks once more where the
    reply has no verdict.
    """

    model: ChatModel
    prompt: Prompt
    again: Prompt | None = None


@dataclass(frozen=True)
class Grounded:
    """The filter. ``threshold`` is the least share of supported content of an answer,
    ``text_threshold`` that of running text, which says more in words of its own; without a
    ``judge`` what stays below falls, with one the judge decides. Instructions without a passage
    pass.
    """

    passages: Mapping[str, Passage]
    threshold: float = 0.8
    judge: GroundingJudge | None = None
    text_threshold: float = 0.5

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, or its place as dropped; judged ones come last."""
        doubtful = []
        for example in examples:
            ground = self._sources.ground(example)
            if ground is None:
                yield example
                continue
            claim = without_item_numbers(example.answer) if example.is_text else example.answer
            found = support(claim, ground)
            threshold = self.text_threshold if example.is_text else self.threshold
            if found.share >= threshold and not found.missing_numbers:
                yield example
            elif self.judge is None or found.missing_numbers:
                yield dropped(example, "curation", "not_grounded", _evidence(found))
            else:
                doubtful.append(example)
        if self.judge is not None:
            judge = self.judge
            requests = (self._request(example, judge.prompt) for example in doubtful)
            yield from ask(judge.model, requests, _judged, _lost, judge.again)

    @cached_property
    def _sources(self) -> Sources:
        return Sources(self.passages)

    def _request(self, example: Example, prompt: Prompt) -> Request:
        messages = prompt.messages(
            passage=self._sources.ground(example),
            question=example.question,
            answer=example.answer,
        )
        return Request(messages, Sampling(max_tokens=256), _SCHEMA, 0, prompt.name, example)


def _judged(reply: Reply) -> Iterator[Example | Dropped | Request]:
    example: Example = reply.request.subject
    found = last_json_object(reply.text, ("supported",))
    if found is None or not isinstance(found["supported"], bool):
        raise UnusableReplyError("no verdict in the reply: 'supported' is true or false.")
    if found["supported"]:
        yield example
    else:
        why = text_value(found.get("explanation"))
        yield dropped(example, "curation", "not_grounded", why, reply.text)


def _lost(reply: Reply, reason: str, evidence: str) -> Example | Dropped:
    reason = "judge_failed" if reason == "unparseable_reply" else reason
    return dropped(reply.request.subject, "curation", reason, evidence, reply.text)


def _evidence(found: Support) -> str:
    if found.missing_numbers:
        return f"numbers not in the passage: {', '.join(found.missing_numbers)}"
    missing = ", ".join(found.missing_terms[:8])
    return f"{found.share:.0%} of the answer's content is in the passage; not there: {missing}"
