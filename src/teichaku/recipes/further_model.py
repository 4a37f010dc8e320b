"""A model of ``evaluation.models``, whose failure is its own alone."""

from collections.abc import Callable, Iterable, Iterator

from teichaku.core.errors import UserError
from teichaku.core.models import ChatModel
from teichaku.core.records import Reply, Request
from teichaku.recipes.budget import BudgetSpentError


class FurtherModel:
    """The model that ``build`` gives. Where it cannot be had, or goes in the middle, what it has
    not answered comes back with ``error``, and ``tell`` is given the reason, once.

    ``identity`` is empty where it cannot be had at all. Only a spent budget is raised.
    """

    def __init__(self, build: Callable[[], ChatModel], tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._error = ""
        self._model: ChatModel | None = None
        self.identity = ""
        try:
            self._model = build()
            self.identity = self._model.identity
        except UserError as error:
            self._fail(error)

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """The model's replies, and a failed one for every request that it did not answer."""
        pulled, waiting = iter(requests), dict[int, Request]()
        yield from self._answered(pulled, waiting)
        if not self._error:
            return
        for request in waiting.values():
            yield Reply(request, "", error=self._error)
        for late in pulled:
            if late is None:
                # A reply is handed on at once, so none is on its way.
                return
            yield Reply(late, "", error=self._error)

    def _answered(
        self, pulled: Iterator[Request | None], waiting: dict[int, Request]
    ) -> Iterator[Reply]:
        """What the model answers; ``waiting`` keeps what it was given and did not answer."""

        def watched() -> Iterator[Request | None]:
            for request in pulled:
                if request is not None:
                    waiting[id(request)] = request
                yield request

        if self._model is None or self._error:
            return
        try:
            for reply in self._model.generate(watched()):
                waiting.pop(id(reply.request), None)
                yield reply
        except BudgetSpentError:
            raise
        except UserError as error:
            self._fail(error)

    def _fail(self, error: UserError) -> None:
        self._error = error.message
        self._tell(str(error))
