"""A hard limit to what a run may spend on its teacher, its judge, and servers that read texts.

A request goes out only where the budget has room for the longest reply that it may get, so
nothing is begun that could go beyond it. Cached replies cost nothing: the budget stands behind
the cache.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from teichaku.backends.cache import Charge, RequestCache
from teichaku.backends.http_numbers import Purse
from teichaku.core.errors import UserError
from teichaku.core.models import ChatModel
from teichaku.core.records import Reply, Request
from teichaku.core.run_folder import RunFolder, json_bytes, write_aside
from teichaku.recipes.model_schema import Price
from teichaku.recipes.schema import Budget

_MILLION = 1_000_000
#: Until a model has answered, a character of its prompts counts as a token.
_REPLIES_TO_MEASURE = 8
_ROOM_FOR_ERROR = 1.2
_NOTE = "spending.json"


class BudgetSpentError(UserError):
    """The budget has no room for a further request."""


def price_of(price: Price, prompt_tokens: float, completion_tokens: float) -> float:
    """What so many tokens cost, in the currency of ``price``."""
    return (prompt_tokens * price.input + completion_tokens * price.output) / _MILLION


class Spending:
    """What the run in ``folder`` has spent, and may spend.

    The request cache keeps it by the folder's path, each reply with what it cost, so nothing is
    forgotten whenever a run is killed, forecast, or deleted. ``spending.json`` in the folder takes
    it along where the folder, or the cache, is moved.
    """

    def __init__(self, limit: Budget, cache: RequestCache, folder: Path) -> None:
        self.limit = limit
        self._cache = cache
        self._folder = folder
        self._account = str(folder.resolve())
        self._take_along()
        self.tokens, self.price = cache.spent(self._account)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.limit.tokens is not None or self.limit.price is not None

    def charge(self, price: Price, reply: Reply) -> Charge:
        """What ``reply`` cost, on the account of the run: the most that it can have cost where
        the server does not tell.
        """
        asked, answered = reply.prompt_tokens, reply.completion_tokens
        if not (asked or reply.error):
            request = reply.request
            asked, answered = _characters(request), answered or request.sampling.max_tokens
        return self.cost(price, asked, answered)

    def cost(self, price: Price, asked: int, answered: int = 0) -> Charge:
        """What so many tokens cost, on the account of the run."""
        return Charge(self._account, asked + answered, price_of(price, asked, answered))

    def add(self, charge: Charge) -> None:
        """Count a reply that was paid for."""
        self.tokens += charge.tokens
        self.price += charge.price

    def has_room(self, tokens: float, price: float) -> bool:
        """Whether so much more stays within the budget."""
        limit = self.limit
        return (limit.tokens is None or self.tokens + tokens <= limit.tokens) and (
            limit.price is None or self.price + price <= limit.price
        )

    def note(self) -> None:
        """Write into the run's folder what was spent; a forecast may come before there is one."""
        tokens, price = self._cache.spent(self._account)
        if tokens and (self._folder / "run.json").is_file():
            content = {"tokens": tokens, "price": round(price, 6)}
            write_aside(self._folder / _NOTE, json_bytes(content))

    def _take_along(self) -> None:
        file = self._folder / _NOTE
        noted = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        tokens, price = self._cache.spent(self._account)
        missing = noted.get("tokens", 0) - tokens
        if missing > 0:
            more = max(0.0, noted.get("price", 0.0) - price)
            self._cache.charge(Charge(self._account, missing, more))

    def spent(self) -> BudgetSpentError:
        """The error that ends the run."""
        limits = []
        if self.limit.tokens is not None:
            limits.append(f"{self.tokens:,} of {self.limit.tokens:,} tokens")
        if self.limit.price is not None:
            limits.append(f"{self.price:.4f} of {self.limit.price:g} (price)")
        return BudgetSpentError(
            f"The budget has no room for a further request: {' and '.join(limits)} are spent "
            f"by the run {self._folder}.",
            "Every reply that was paid for is kept. Raise 'budget' in the recipe, and the same "
            "command goes on where it stopped; or take fewer documents (--limit). Forecasts of "
            "that run count, and so do runs that were in this folder before; a run of another "
            "'name' begins at zero.",
        )


class _TokensOf:
    """How many tokens so many characters may be, by what a server told so far."""

    def __init__(self) -> None:
        self._characters = self._tokens = self._replies = 0

    def most(self, characters: int) -> float:
        """The most tokens that so many characters are likely to be."""
        known = self._replies >= _REPLIES_TO_MEASURE and self._characters
        return characters * (_ROOM_FOR_ERROR * self._tokens / self._characters if known else 1.0)

    def learn(self, characters: int, tokens: int) -> None:
        """Note what a server told."""
        self._replies += 1
        self._tokens += tokens
        self._characters += characters


class BudgetedModel:
    """``model``, asked only as long as ``spending`` has room."""

    def __init__(self, model: ChatModel, price: Price, spending: Spending) -> None:
        self.identity = model.identity
        #: See ``CachedModel``: replies among the requests go through.
        self.hands_on_replies = bool(getattr(model, "hands_on_replies", False))
        self._model = model
        self._price = price
        self._spending = spending
        self._tokens_of = _TokensOf()

    def generate(self, requests: Iterable[Request | Reply | None]) -> Iterator[Reply]:
        """The model's replies. Raises :class:`BudgetSpentError` where a request does not fit
        and every earlier one is answered.
        """
        reserved = _Reserved()

        def within() -> Iterator[Request | Reply | None]:
            for request in requests:
                if not isinstance(request, Request):
                    yield request
                    continue
                needed = self._most(request)
                while not self._spending.has_room(
                    reserved.tokens + needed[0], reserved.price + needed[1]
                ):
                    if not reserved.each:
                        raise self._spending.spent()
                    yield None
                reserved.add(request, *needed)
                yield request

        # The contract of the model, widened where it hands on replies.
        for reply in self._model.generate(within()):  # type: ignore[arg-type]
            if not reply.cached:
                reserved.free(reply.request)
                self._count(reply)
            yield reply

    def _most(self, request: Request) -> tuple[float, float]:
        """The most tokens that ``request`` can cost, and their price."""
        asked = self._tokens_of.most(_characters(request))
        answered = request.sampling.max_tokens
        return asked + answered, price_of(self._price, asked, answered)

    def _count(self, reply: Reply) -> None:
        self._spending.add(self._spending.charge(self._price, reply))
        if reply.prompt_tokens:
            self._tokens_of.learn(_characters(reply.request), reply.prompt_tokens)


class TextPurse(Purse):
    """Pays for the texts that an embedder or a language model reads on a server.

    Where ``spending`` has a limit, a text goes out only while there is room for the most that it
    can cost, besides those on their way. Without a run there is none, and only ``count`` is told:
    of texts that were sent, of those that were in the cache, of tokens and their price.
    """

    def __init__(
        self,
        price: Price,
        spending: Spending | None,
        count: Callable[[int, int, int, float], None],
    ) -> None:
        self._price = price
        self._spending = spending
        self._count = count
        self._tokens_of = _TokensOf()
        self._reserved = 0
        #: Guards what is reserved and counted: replies come in a thread of their own.
        self._released = threading.Condition()

    def reserve(self, characters: int) -> None:
        """See :class:`Purse`. Raises :class:`BudgetSpentError`."""
        with self._released:
            spending = self._spending
            while characters and spending is not None and not self._has_room(spending, characters):
                if not self._reserved:
                    raise spending.spent()
                self._released.wait()
            self._reserved += characters

    def pay(self, texts: int, characters: int, tokens: int | None) -> Charge | None:
        """See :class:`Purse`. Where the server does not tell, a character counts as a token."""
        with self._released:
            if tokens is not None:
                self._tokens_of.learn(characters, tokens)
            paid = characters if tokens is None else tokens
            self._count(texts, 0, paid, price_of(self._price, paid, 0))
            if self._spending is None:
                return None
            charge = self._spending.cost(self._price, paid)
            self._spending.add(charge)
            return charge

    def release(self, characters: int) -> None:
        """See :class:`Purse`."""
        with self._released:
            self._reserved -= characters
            self._released.notify_all()

    def found(self, texts: int) -> None:
        """See :class:`Purse`."""
        with self._released:
            self._count(0, texts, 0, 0.0)

    def _has_room(self, spending: Spending, characters: int) -> bool:
        tokens = self._tokens_of.most(self._reserved + characters)
        return spending.has_room(tokens, price_of(self._price, tokens, 0))


def _characters(request: Request) -> int:
    return sum(len(message.content) for message in request.messages)


class _Reserved:
    """What the requests on their way may cost at most: each, by its identity, and in sum."""

    def __init__(self) -> None:
        self.each: dict[int, tuple[float, float]] = {}
        self.tokens = self.price = 0.0

    def add(self, request: Request, tokens: float, price: float) -> None:
        self.each[id(request)] = (tokens, price)
        self.tokens += tokens
        self.price += price

    def free(self, request: Request) -> None:
        tokens, price = self.each.pop(id(request), (0.0, 0.0))
        # Nothing on its way is nothing, and not what rounding left.
        self.tokens = self.tokens - tokens if self.each else 0.0
        self.price = self.price - price if self.each else 0.0


def alone(budget: Budget, run: RunFolder) -> AbstractContextManager[None]:
    """Meanwhile nobody else spends what ``run`` may; without a limit everybody may.

    Raises ``UserError`` where another process works in the run.
    """
    return nullcontext() if budget == Budget() else run.working()
