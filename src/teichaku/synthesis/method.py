"""What a synthesis method is, and the one driver that runs any of them.

A method is two pure functions on a frozen dataclass of its settings: ``requests`` says what to
ask the teacher about a passage (or about a seed instruction), ``parse`` what is in a reply. It
never meets a model. Steps that build on one another (entities, then their relations) are
requests that ``parse`` finds in a reply; the driver sends them at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    Dropped,
    Example,
    Fact,
    Passage,
    Reply,
    Request,
    Sampling,
    content_id,
)

Made = Example | Fact | Dropped

__all__ = ["Made", "Method", "Subject", "UnusableReplyError", "ask_about", "incomplete", "made"]


class Method(Protocol):
    """A way to turn a unit, a passage or a seed instruction, into examples."""

    @property
    def name(self) -> str:
        """The method's name in recipes and in :attr:`Example.method`."""
        ...

    def requests(self, unit: Any) -> Iterator[Request | Made]:
        """What to ask the teacher first about ``unit``, each request with a :class:`Subject`;
        examples that need no teacher are given as they are.
        """
        ...

    def parse(self, reply: Reply) -> Iterator[Made | Request]:
        """What is in a reply: examples, facts, further requests; single items that cannot be
        used come out as dropped. Raises :class:`UnusableReplyError` where the reply as a whole
        does not hold what was asked for.
        """
        ...


class SeedMethod(Protocol):
    """A way to make instructions from those that people wrote, and from those made before."""

    @property
    def name(self) -> str:
        """The method's name in recipes and in :attr:`Example.method`."""
        ...

    def run(
        self,
        seeds: Sequence[Example],
        pool: Sequence[Example],
        teacher: ChatModel,
        again: Prompt | None = None,
        expecting: Callable[[int], None] = lambda requests: None,
    ) -> Iterator[Made]:
        """What is made from ``seeds`` and from ``pool``, the instructions that methods before
        this one made; the order of neither matters.

        ``again`` is as in :func:`synthesize`. ``expecting`` is told of all requests, the first
        ones too, because a method that goes in rounds does not know them beforehand.
        """
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request of a method is about.

    ``step`` tells apart the requests of a method that asks in several steps, ``style`` is the
    variant that is asked for, ``facts`` are those that the reply shall state, ``detail`` is what
    else ``parse`` has to know.
    """

    unit: Passage | Example
    method: Method
    step: str = ""
    style: str = ""
    facts: tuple[Fact, ...] = ()
    detail: Any = None

    @property
    def source(self) -> str:
        """Where the unit comes from, for people."""
        unit = self.unit
        return unit.source if isinstance(unit, Passage) else f"'{unit.question[:60]}'"


def synthesize(
    units: Iterable[Any],
    methods: Sequence[Method],
    teacher: ChatModel,
    again: Prompt | None = None,
    expecting: Callable[[int], None] = lambda requests: None,
) -> Iterator[Made]:
    """Run ``methods`` over ``units`` in one stream, the requests about one unit together; what
    is made and what falls comes in the order of the replies.

    ``again`` asks once more where a reply cannot be read. ``expecting`` is told of requests
    that come in addition to the first ones of each method.
    """
    ready: list[Made] = []

    def first_requests() -> Iterator[Request]:
        for unit in units:
            for method in methods:
                for found in method.requests(unit):
                    if isinstance(found, Request):
                        yield found
                    else:
                        ready.append(found)

    records: Iterator[Made] = ask(teacher, first_requests(), _read, _lost, again, expecting)
    for record in records:
        yield from ready
        ready.clear()
        yield record
    yield from ready


def ask_about(
    subject: Subject,
    prompt: Prompt,
    sampling: Sampling,
    seed: int,
    sample_index: int = 0,
    schema: Mapping[str, Any] | None = None,
    **values: object,
) -> Request:
    """The request about ``subject`` by ``prompt`` with ``values``.

    Its seed depends on what is asked and on nothing else, so that adding or re-ordering
    documents changes no other request.
    """
    drawn = int(content_id(seed, subject.method.name, subject.unit.id, sample_index), 16) % 2**31
    messages = prompt.messages(**values)
    return Request(
        messages, replace(sampling, seed=drawn), schema, sample_index, prompt.name, subject
    )


def made(
    reply: Reply, language: str, position: int, question: str, answer: str, **more: Any
) -> Example:
    """The example at ``position`` of a reply, with its origin; ``more`` are further fields."""
    request, subject = reply.request, reply.request.subject
    unit, style = subject.unit, more.pop("style", subject.style)
    of_passage = isinstance(unit, Passage)
    named = (style,) if style else ()
    index = request.sample_index
    return Example(
        content_id(subject.method.name, unit.id, *named, index, position, question, answer),
        unit.document_id,
        unit.id if of_passage else unit.passage_id,
        subject.method.name,
        question,
        answer,
        style=style,
        sample_index=index,
        fact_ids=tuple(fact.id for fact in subject.facts),
        language=language,
        prompt=request.prompt,
        request_key=reply.key,
        parent_ids=() if of_passage else (unit.id,),
        **more,
    )


def without_teacher(
    subject: Subject, language: str, index: int, question: str, answer: str
) -> Example:
    """The example at ``index`` of those about a unit that need no teacher."""
    unit = subject.unit
    return Example(
        content_id(subject.method.name, unit.id, index, question, answer),
        unit.document_id,
        unit.id if isinstance(unit, Passage) else unit.passage_id,
        subject.method.name,
        question,
        answer,
        style=subject.style,
        sample_index=index,
        fact_ids=tuple(fact.id for fact in subject.facts),
        language=language,
    )


def incomplete(reply: Reply, position: int, reason: str, evidence: str, raw: str) -> Dropped:
    """The place of the item at ``position`` of a reply, which cannot be used."""
    subject: Subject = reply.request.subject
    return Dropped(
        content_id("item", *_asked(reply), position),
        "Example",
        "synthesis",
        reason,
        f"{subject.source}: {evidence}",
        raw=raw,
    )


def _read(reply: Reply) -> Iterator[Made | Request]:
    """What the method finds in the reply; its examples share the reply's tokens with the
    places of those that fell, not with facts or entities that fell.
    """
    found = list(reply.request.subject.method.parse(reply))
    items = sum(isinstance(record, Example) or _is_lost_example(record) for record in found)
    for record in found:
        if isinstance(record, Example):
            yield replace(
                record,
                prompt_tokens=reply.prompt_tokens / items,
                completion_tokens=reply.completion_tokens / items,
            )
        else:
            yield record


def _is_lost_example(record: Made | Request) -> bool:
    return isinstance(record, Dropped) and record.kind == "Example"


def _lost(reply: Reply, reason: str, evidence: str) -> Dropped:
    """The place of the examples that a request which failed would have given."""
    subject: Subject = reply.request.subject
    kind = "Fact" if subject.step == "facts" else "Example"
    return Dropped(
        content_id("reply", *_asked(reply)),
        kind,
        "synthesis",
        reason,
        f"{subject.source}: {evidence}",
        raw=reply.text,
    )


def _asked(reply: Reply) -> tuple[str | int, ...]:
    """What tells a request apart from all others of the run."""
    request, subject = reply.request, reply.request.subject
    asked = [message.content for message in request.messages]
    return (subject.method.name, subject.unit.id, request.sample_index, *asked)
