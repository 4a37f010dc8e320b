"""A hard limit to what a run may spend on its teacher and its judge.

A request goes out only where the budget has room for the longest reply that it may get, so
nothing is begun that could go beyond it. Cached replies cost nothing: the budget stands behind
the cache.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from teichaku.core.errors import UserError
from teichaku.core.models import ChatModel
from teichaku.core.records import Reply, Request
from teichaku.core.run_folder import json_bytes, write_aside
from teichaku.recipes.schema import Budget, Price

_MILLION = 1_000_000
#: Until a model has answered, a character of its prompts counts as a token.
_REPLIES_TO_MEASURE = 8
_ROOM_FOR_ERROR = 1.2
_SECONDS_BETWEEN_NOTES = 2.0


class BudgetSpentError(UserError):
    """The budget has no room for a further request."""


def price_of(price: Price, prompt_tokens: float, completion_tokens: float) -> float:
    """What so many tokens cost, in the currency of ``price``."""
    return (prompt_tokens * price.input + completion_tokens * price.output) / _MILLION


@dataclass
class Spending:
    """What a run has spent, and may spend. ``file`` keeps it from one attempt to the next."""

    limit: Budget
    file: Path
    tokens: int = 0
    price: float = 0.0
    _noted: float = 0.0

    def add(self, tokens: int, price: float) -> None:
        """Count a reply that was paid for."""
        self.tokens += tokens
        self.price += price
        if time.monotonic() - self._noted >= _SECONDS_BETWEEN_NOTES:
            self.note()

    def has_room(self, tokens: float, price: float) -> bool:
        """Whether so much more stays within the budget."""
        limit = self.limit
        return (limit.tokens is None or self.tokens + tokens <= limit.tokens) and (
            limit.price is None or self.price + price <= limit.price
        )

    def note(self) -> None:
        """Write down what was spent."""
        if self.tokens:
            self._noted = time.monotonic()
            content = {"tokens": self.tokens, "price": round(self.price, 6)}
            write_aside(self.file, json_bytes(content))

    def spent(self) -> BudgetSpentError:
        """The error that ends the run."""
        limits = []
        if self.limit.tokens is not None:
            limits.append(f"{self.tokens:,} of {self.limit.tokens:,} tokens")
        if self.limit.price is not None:
            limits.append(f"{self.price:.4f} of {self.limit.price:g} (price)")
        return BudgetSpentError(
            f"The budget has no room for a further request: {' and '.join(limits)} are spent.",
            "Every reply that was paid for is kept. Raise 'budget' in the recipe, and the same "
            "command goes on where it stopped; or take fewer documents (--limit).",
        )


class BudgetedModel:
    """``model``, asked only as long as ``spending`` has room."""

    def __init__(self, model: ChatModel, price: Price, spending: Spending) -> None:
        self.identity = model.identity
        #: See ``CachedModel``: replies among the requests go through.
        self.hands_on_replies = bool(getattr(model, "hands_on_replies", False))
        self._model = model
        self._price = price
        self._spending = spending
        self._characters = self._tokens = self._replies = 0

    def generate(self, requests: Iterable[Request | Reply | None]) -> Iterator[Reply]:
        """The model's replies. Raises :class:`BudgetSpentError` where a request does not fit
        and every earlier one is answered.
        """
        reserved: dict[int, tuple[float, float]] = {}

        def within() -> Iterator[Request | Reply | None]:
            for request in requests:
                if not isinstance(request, Request):
                    yield request
                    continue
                needed = self._most(request)
                while not self._has_room(needed, reserved):
                    if not reserved:
                        raise self._spending.spent()
                    yield None
                reserved[id(request)] = needed
                yield request

        # The contract of the model, widened where it hands on replies.
        for reply in self._model.generate(within()):  # type: ignore[arg-type]
            if not reply.cached:
                reserved.pop(id(reply.request), None)
                self._count(reply)
            yield reply

    def _has_room(
        self, needed: tuple[float, float], reserved: dict[int, tuple[float, float]]
    ) -> bool:
        waiting = [needed, *reserved.values()]
        return self._spending.has_room(sum(t for t, _ in waiting), sum(p for _, p in waiting))

    def _most(self, request: Request) -> tuple[float, float]:
        """The most tokens that ``request`` can cost, and their price."""
        characters = sum(len(message.content) for message in request.messages)
        known = self._replies >= _REPLIES_TO_MEASURE and self._characters
        share = _ROOM_FOR_ERROR * self._tokens / self._characters if known else 1.0
        asked, answered = characters * share, request.sampling.max_tokens
        return asked + answered, price_of(self._price, asked, answered)

    def _count(self, reply: Reply) -> None:
        asked, answered = reply.prompt_tokens, reply.completion_tokens
        self._spending.add(asked + answered, price_of(self._price, asked, answered))
        if asked:
            self._replies += 1
            self._tokens += asked
            self._characters += sum(len(message.content) for message in reply.request.messages)
