"""A model of ``evaluation.models``, whose failure is its own alone."""

from collections.abc import Callable, Iterable, Iterator

from teichaku.core.errors import UserError
from teichaku.core.models import ChatModel
from teichaku.core.records import Reply, Request
from teichaku.recipes.budget import BudgetSpentError


def own_failure(error: Exception) -> str:
    """What is written of a model that failed with ``error``: the record of a ``UserError``, of any
    other its type and text. Raises a :class:`BudgetSpentError`, which is no model's failure.
    """
    if isinstance(error, BudgetSpentError):
        raise error
    return error.record if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


class FurtherModel:
    """The model that ``build`` gives. Where it cannot be had, or goes in the middle, what it has
    not answered comes back with ``error``, and ``tell`` is given the reason, once.

    It stands behind the cache, so that what is known of a model is there also where it has gone.
    ``identity`` is empty where it cannot be had at all. Only a spent budget is raised, and what
    the requests themselves raise.
    """

    def __init__(self, build: Callable[[], ChatModel], tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._error = ""
        self._model: ChatModel | None = None
        self.identity = ""
        #: See ``CachedModel``: replies among the requests go through.
        self.hands_on_replies = False
        try:
            self._model = build()
            self.identity = self._model.identity
            self.hands_on_replies = bool(getattr(self._model, "hands_on_replies", False))
        except Exception as error:  # noqa: BLE001 - see own_failure
            self._fail(error)

    def generate(self, requests: Iterable[Request | Reply | None]) -> Iterator[Reply]:
        """The model's replies, and a failed one for every request that it did not answer."""
        pulled, waiting = iter(requests), dict[int, Request | Reply]()
        yield from self._answered(pulled, waiting)
        if not self._error:
            return
        for one in waiting.values():
            yield self._lost(one)
        for late in pulled:
            if late is None:
                # A reply is handed on at once, so none is on its way.
                return
            yield self._lost(late)

    def _answered(
        self, pulled: Iterator[Request | Reply | None], waiting: dict[int, Request | Reply]
    ) -> Iterator[Reply]:
        """What the model answers; ``waiting`` keeps what it was given and did not answer."""
        raised: list[Exception] = []

        def watched() -> Iterator[Request | Reply | None]:
            try:
                for one in pulled:
                    if one is not None:
                        waiting[id(one.request if isinstance(one, Reply) else one)] = one
                    yield one
            except Exception as error:
                raised.append(error)
                raise

        if self._model is None or self._error:
            return
        try:
            # The contract of the model, widened where it hands on replies.
            for reply in self._model.generate(watched()):  # type: ignore[arg-type]
                waiting.pop(id(reply.request), None)
                yield reply
        except Exception as error:
            if raised:
                raise
            self._fail(error)

    def _lost(self, one: Request | Reply) -> Reply:
        return one if isinstance(one, Reply) else Reply(one, "", error=self._error)

    def _fail(self, error: Exception) -> None:
        self._error = own_failure(error)
        self._tell(str(error) if isinstance(error, UserError) else self._error)
