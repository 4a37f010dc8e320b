"""What a synthesis method is, and the one driver that runs any of them.

A method is two pure functions on a frozen dataclass of its settings: ``requests(passage)``
and ``parse(reply)``. It never meets a model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from teichaku.core.models import ChatModel
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling, content_id


class Method(Protocol):
    """A way to turn a passage into examples."""

    @property
    def name(self) -> str:
        """The method's name in recipes and in :attr:`Example.method`."""
        ...

    def requests(self, passage: Passage) -> Iterator[Request]:
        """What to ask the teacher about ``passage``; each request's subject is the passage."""
        ...

    def parse(self, reply: Reply) -> Iterator[Example | Dropped]:
        """The examples in a reply; what cannot be used comes out as dropped, with its text."""
        ...


def synthesize(
    passages: Iterable[Passage], method: Method, teacher: ChatModel
) -> Iterator[Example | Dropped]:
    """Run ``method`` over ``passages``; examples and drops come in the order of the replies."""
    requests = (request for passage in passages for request in method.requests(passage))
    for reply in teacher.generate(requests):
        if reply.error:
            yield failed_request(reply, method.name)
        else:
            yield from method.parse(reply)


def failed_request(reply: Reply, method: str) -> Dropped:
    """The place of the examples that a request which failed for good would have given."""
    passage: Passage = reply.request.subject
    return Dropped(
        content_id("request", method, passage.id, reply.request.sample_index),
        "Example",
        "synthesis",
        "request_failed",
        f"{passage.source}: {reply.error}",
    )


def unparseable(reply: Reply, method: str, what: str) -> Dropped:
    """The place of the examples of a reply that does not hold what was asked for."""
    passage: Passage = reply.request.subject
    cut = " The reply ran into the token limit." if reply.finish_reason == "length" else ""
    return Dropped(
        content_id("reply", method, passage.id, reply.request.sample_index),
        "Example",
        "synthesis",
        "unparseable_reply",
        f"{passage.source}: {what}{cut}",
        raw=reply.text,
    )


def request_sampling(
    sampling: Sampling, seed: int, method: str, passage: Passage, sample_index: int
) -> Sampling:
    """``sampling`` with a seed that depends on what is asked and on nothing else, so that
    adding or re-ordering documents changes no other request.
    """
    drawn = int(content_id(seed, method, passage.id, sample_index), 16) % 2**31
    return replace(sampling, seed=drawn)
