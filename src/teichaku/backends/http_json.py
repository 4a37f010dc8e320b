"""JSON posted to one address of a server: several posts at a time, their answers in order."""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

import orjson

from teichaku.backends.http_answers import (
    is_final,
    may_pass,
    retry_after,
    server_message,
    without_key,
)
from teichaku.backends.http_limits import RetryDelays
from teichaku.backends.http_transport import (
    CONNECT_SECONDS,
    Response,
    Transport,
    Trouble,
    open_transport,
)
from teichaku.backends.loop_thread import loop_on_a_thread
from teichaku.core.errors import UserError

Item = TypeVar("Item")
Value = TypeVar("Value")

#: Sends a body; the content of the answer, None where that is no JSON. Raises NoAnswerError.
Post = Callable[[bytes], Awaitable[Any]]


class NoAnswerError(Exception):
    """A post without an answer; the message says why, to people. ``status`` is that of a refusal,
    0 where each of ``tries`` failed; ``final`` as in ``Reply``.
    """

    def __init__(self, said: str, tries: int, status: int = 0, final: bool = False) -> None:
        super().__init__(said)
        self.tries = tries
        self.status = status
        self.final = final


class Watch(Generic[Item, Value]):
    """Who keeps and pays for what is asked; this one does neither."""

    def before(self, item: Item) -> None:
        """``item`` is about to be asked. May wait, or raise what ends all."""

    def arrived(self, item: Item, value: Value, tokens: int | None) -> None:
        """``value`` came for ``tokens`` (None: the server does not tell); in the loop's thread."""

    def after(self, item: Item) -> None:
        """``item`` is no longer on its way, whatever came of it; in the loop's thread."""


class JsonPosts:
    """What is posted to ``path`` below ``base_url``, at most ``max_concurrency`` at a time.

    ``api_key_env`` names the environment variable with the key. Connection errors, timeouts, the
    statuses 408, 409, 425, 429 and 5xx are tried again up to ``max_retries`` times, after
    ``delays``; once a post has been given up because nobody takes the call, the next ones are
    tried once. Raises ``UserError`` for a ``base_url`` that is none.
    """

    def __init__(
        self,
        base_url: str,
        path: str,
        *,
        api_key_env: str,
        max_concurrency: int,
        timeout_seconds: float,
        max_retries: int,
        delays: RetryDelays | None,
    ) -> None:
        self._url = endpoint(base_url, path)
        #: The address without what may be secret in it.
        self.shown = self._url.partition("?")[0]
        self.key_name = api_key_env
        self._concurrency = max_concurrency
        self._seconds, self._retries = timeout_seconds, max_retries
        self._delays = delays or RetryDelays()
        self._dead = False

    def in_order(
        self,
        items: Iterable[Item],
        ask: Callable[[Post, Item], Awaitable[Value]],
        watch: Watch[Item, Any],
    ) -> Iterator[Value]:
        """What ``ask`` makes of each of ``items``, which are pulled as they can be sent. What it
        raises ends all that is on its way, and so does whoever takes no more.
        """
        waiting: deque[Future[Value]] = deque()
        with loop_on_a_thread("http-json") as loop:
            errands = loop.run(self._open(ask, watch))
            try:
                for item in items:
                    watch.before(item)
                    into: Future[Value] = Future()
                    waiting.append(into)
                    loop.call(partial(errands.begin, item, into))
                    if len(waiting) >= self._concurrency:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                loop.run(errands.end())

    async def _open(
        self, ask: Callable[[Post, Item], Awaitable[Value]], watch: Watch[Item, Any]
    ) -> "_Errands[Item, Value]":
        seconds = min(CONNECT_SECONDS, self._seconds)
        transport = open_transport(self._url, seconds, self._concurrency)
        return _Errands(transport, partial(ask, partial(self._post, transport)), watch)

    async def _post(self, transport: Transport, body: bytes) -> Any:
        key = key_in(self.key_name)
        tries = 1 if self._dead else 1 + self._retries
        said, connected = "", True
        for number in range(tries):
            outcome = await self._try(transport, body, key)
            connected = not isinstance(outcome, Trouble) or outcome.connected
            self._dead &= not connected
            wait = self._delays.before(number, body)
            if isinstance(outcome, Trouble):
                said = f"it cannot be reached: {outcome.said}"
            elif outcome.status == 200:
                return _content(outcome.body)
            else:
                reason = server_message(outcome.body)
                said = f"HTTP {outcome.status}: {reason}"
                if not may_pass(outcome.status):
                    final = is_final(outcome.status, reason)
                    raise NoAnswerError(without_key(said, key), number + 1, outcome.status, final)
                asked = min(retry_after(outcome.retry_after) or 0.0, self._delays.longest_asked)
                wait = max(wait, asked)
            if number + 1 < tries:
                await asyncio.sleep(wait)
        self._dead = not connected
        raise NoAnswerError(without_key(said, key), tries)

    async def _try(self, transport: Transport, body: bytes, key: str) -> Response | Trouble:
        done: asyncio.Future[Response | Trouble] = asyncio.get_running_loop().create_future()

        def finish(outcome: Response | Trouble) -> None:
            if not done.done():
                done.set_result(outcome)

        try:
            call_off = transport.send(body, key, finish)
        except ValueError as error:
            return Trouble(str(error), connected=True)
        try:
            async with asyncio.timeout(self._seconds):
                return await done
        except TimeoutError:
            call_off()
            return Trouble(f"no answer in {self._seconds:g} s", connected=True)


class _Errands(Generic[Item, Value]):
    """The items on their way over ``transport``; all methods are called in the loop."""

    def __init__(
        self,
        transport: Transport,
        ask: Callable[[Item], Awaitable[Value]],
        watch: Watch[Item, Any],
    ) -> None:
        self._transport = transport
        self._ask = ask
        self._watch = watch
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, item: Item, into: Future[Value]) -> None:
        """Ask ``item``; ``into`` takes what comes of it."""

        async def run() -> None:
            try:
                into.set_result(await self._ask(item))
            except Exception as error:  # noqa: BLE001 - it is raised where the result is taken
                into.set_exception(error)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            # Also of a task that was broken off before it began.
            self._watch.after(item)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(ended)

    async def end(self) -> None:
        """Break off what is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.close()


def endpoint(base_url: str, path: str) -> str:
    """``path`` below ``base_url``. Raises ``UserError`` for one that is no web address, or that
    holds a password.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(
            f"base_url is no web address: '{base_url}'.", "Such as: http://localhost:8000/v1"
        )
    if parts.username or parts.password:
        raise UserError(
            f"base_url holds a name or a password for {parts.hostname}.",
            "Put the key into an environment variable and name that in api_key_env.",
        )
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}"))


def key_in(variable: str) -> str:
    """The key in an environment variable; empty where none is named, or it is not set."""
    return os.environ.get(variable, "").strip() if variable else ""


def sendable(text: str) -> str:
    """``text`` with a question mark for each half of a surrogate pair, which no server takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def tokens_told(content: Any) -> int | None:
    """The tokens, read and written, that an answer says it took; None where it does not."""
    usage = content.get("usage") if isinstance(content, dict) else None
    if not isinstance(usage, dict):
        return None
    counts = [usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens")]
    told = usage.get("total_tokens") or sum(count for count in counts if isinstance(count, int))
    return told if isinstance(told, int) and told > 0 else None


def _content(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
