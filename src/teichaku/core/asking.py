"""Asking a model and reading its replies, in one stream.

A reply may give rise to further requests, which go out before new ones, so that what belongs
together is asked together; nothing waits for a batch or for a step to end. A reply that is of
no use is asked for once more, with what was wrong with it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt, problem_texts
from teichaku.core.records import Message, Reply, Request

Record = TypeVar("Record")

#: A reply that is shown to the model again may have run on for long.
_LONGEST_SHOWN = 1500


class UnusableReplyError(Exception):
    """A reply does not hold what was asked for.

    ``problem`` says what is missing in it, with places in braces for ``values``: the model is
    told in the language of its prompts (``prompts/LANGUAGE/problems.yaml``). ``beside`` is what
    else is wrong.
    """

    def __init__(self, problem: str, *beside: "UnusableReplyError", **values: object) -> None:
        own = problem.format(**values) if values else problem
        super().__init__(" ".join([own, *map(str, beside)]))
        self.problem = problem
        self.beside = beside
        self.values = values

    @classmethod
    def of_all(cls, mistakes: Sequence["UnusableReplyError"]) -> "UnusableReplyError":
        """One error that tells all of ``mistakes``, of which there is one at least."""
        first, *rest = mistakes
        return cls(first.problem, *first.beside, *rest, **first.values)

    def told_in(self, language: str) -> str:
        """The problem in ``language``; in English where the pack has no words for it."""
        text = problem_texts(language).get(self.problem, self.problem)
        own = text.format(**self.values) if self.values else text
        return " ".join([own, *(other.told_in(language) for other in self.beside)])


_CUT = UnusableReplyError("The reply ran into the token limit.")


def ask(
    model: ChatModel,
    requests: Iterable[Request],
    read: Callable[[Reply], Iterable[Record | Request]],
    lost: Callable[[Reply, str, str], Record],
    again: Prompt | None = None,
    expecting: Callable[[int], None] = lambda requests: None,
) -> Iterator[Record]:
    """What ``read`` finds in the replies to ``requests``, and in those to the requests that it
    finds there, as they come.

    Where ``read`` raises :class:`UnusableReplyError`, the request goes out once more, with the
    reply and, by the prompt ``again``, what was wrong with it. What stays of no use becomes
    ``lost(reply, reason, evidence)``, with the reason ``request_failed`` or
    ``unparseable_reply``. ``expecting`` is told of how many requests there are beyond
    ``requests``.
    """
    waiting: deque[Request] = deque()
    fresh = iter(requests)
    on_the_way = 0

    def outgoing() -> Iterator[Request | None]:
        nonlocal on_the_way
        while True:
            request = waiting.popleft() if waiting else next(fresh, None)
            if request is not None:
                on_the_way += 1
                yield request
            elif on_the_way:
                yield None
            else:
                return

    while True:
        for reply in model.generate(outgoing()):
            on_the_way -= 1
            found = list(_outcome(reply, read, lost, again))
            further = [record for record in found if isinstance(record, Request)]
            expecting(len(further))
            waiting.extend(further)
            yield from (record for record in found if not isinstance(record, Request))
        if not waiting:
            return


def _outcome(
    reply: Reply,
    read: Callable[[Reply], Iterable[Record | Request]],
    lost: Callable[[Reply, str, str], Record],
    again: Prompt | None,
) -> Iterator[Record | Request]:
    if reply.error:
        yield lost(reply, "request_failed", reply.error)
        return
    try:
        found = list(read(reply))
    except UnusableReplyError as unusable:
        if again is not None and reply.request.attempt == 0:
            yield _once_more(reply, unusable, again)
        else:
            what = [str(unusable), *([str(_CUT)] if reply.finish_reason == "length" else [])]
            yield lost(reply, "unparseable_reply", " ".join(what))
        return
    yield from found


def _once_more(reply: Reply, unusable: UnusableReplyError, again: Prompt) -> Request:
    request, shown = reply.request, reply.text[:_LONGEST_SHOWN].strip()
    problems = [unusable, *([_CUT] if reply.finish_reason == "length" else [])]
    asked = again.text(problem=" ".join(p.told_in(again.language) for p in problems))
    if shown:
        messages = (*request.messages, Message("assistant", shown), Message("user", asked))
    else:
        # Templates refuse an empty turn, and two turns of the user in a row.
        *before, last = request.messages
        messages = (*before, replace(last, content=f"{last.content}\n\n{asked}"))
    return replace(request, messages=messages, attempt=1)
