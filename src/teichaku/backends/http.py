"""A model behind one or several OpenAI-compatible servers.

The caller's thread pulls requests and takes replies; an event loop on a thread of its own sends
them (:mod:`teichaku.backends.http_engine`). Both hand over in groups. At most twice as many
requests are pulled and not yet handed back as may be in flight, so memory does not grow with
the number of requests, and no request waits for a whole batch.
"""

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import Any, Literal

import orjson

from teichaku.backends.http_engine import Engine, Learnt, Rules, name_stuck
from teichaku.backends.http_json import endpoint, key_in
from teichaku.backends.http_limits import RetryDelays, Watchdog
from teichaku.backends.http_transport import CONNECT_SECONDS, open_transport
from teichaku.backends.loop_thread import LoopThread, loop_on_a_thread
from teichaku.core.errors import UserError
from teichaku.core.prompts import Prompt
from teichaku.core.records import Reply, Request, content_id

__all__ = ["HttpModel", "RetryDelays", "Watchdog"]

_LOG = logging.getLogger(__name__)
_SPARE_FILES = 64


class HttpModel:
    """The model ``model`` at ``base_url`` (``http://localhost:8000/v1``), or at several.

    ``api_key_env`` names the environment variable with the key, which is read when a request
    is sent and goes nowhere but into its header. Connection errors, timeouts, the statuses
    408, 409, 425, 429 and 5xx, and bodies that are no completion are tried again up to
    ``max_retries`` times (after a timeout, twice), after ``delays``. ``structured``:
    ``json_schema`` sends a request's schema as ``response_format``, ``prompt`` as an
    instruction in the words of ``as_json`` (the prompt of that name in a pack); ``auto`` begins
    with the first and goes over to the second where the server refuses it, if it has those
    words. ``extra`` fields go into every body.

    At most ``max_concurrency`` requests are in flight to each server, fewer while it has too
    much to do (``AdaptiveLimit``), and at most about ``max_tokens_in_flight`` tokens of prompts
    and replies (0: any number). Of several servers the least loaded is sent the next request;
    one that is away is left alone for a while and its requests go to the others.
    Requests that come one after another and differ in their sample index or seed alone go out
    as one with ``n``, up to ``samples_per_request`` of them. A request that takes far longer
    than all others (``watchdog``) is named by ``on_stuck`` and tried once more, for about twice
    as long while others are answered, and in any case until ``timeout_seconds`` after it first
    went out; any other try has as long for itself.

    Raises ``UserError`` for a ``base_url`` that is none, and for ``prompt`` without words.
    """

    #: See ``CachedModel``: what is known already does not wait for what is on its way.
    hands_on_replies = True

    def __init__(  # noqa: PLR0913 - these are the fields of a recipe's teacher
        self,
        base_url: str | Sequence[str],
        model: str,
        *,
        api_key_env: str = "",
        max_concurrency: int = 256,
        max_tokens_in_flight: int = 0,
        samples_per_request: int = 1,
        timeout_seconds: float = 600,
        max_retries: int = 6,
        structured: Literal["auto", "json_schema", "prompt"] = "auto",
        as_json: Prompt | None = None,
        extra: Mapping[str, Any] | None = None,
        delays: RetryDelays | None = None,
        watchdog: Watchdog | None = None,
        on_stuck: Callable[[Request, float], None] = name_stuck,
    ) -> None:
        named = [base_url] if isinstance(base_url, str) else list(base_url)
        if not named:
            raise UserError("There is no base_url.", "Such as: http://localhost:8000/v1")
        in_words = words_for_schema(structured, as_json)
        self._first = named[0].rstrip("/")
        self._urls = list(dict.fromkeys(endpoint(url, "chat/completions") for url in named))
        self._samples = samples_per_request
        self._structured, self._in_words = structured, in_words
        self._rules = Rules(
            model=model,
            extra=dict(extra or {}),
            key=partial(key_in, api_key_env),
            key_name=api_key_env,
            max_concurrency=max_concurrency,
            max_tokens_in_flight=max_tokens_in_flight,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            may_drop_schema=structured == "auto" and as_json is not None,
            as_json=as_json,
            delays=delays or RetryDelays(),
            watchdog=watchdog or Watchdog(),
            on_stuck=on_stuck,
        )
        self._learnt = Learnt(schema_as_prompt=structured == "prompt")

    @property
    def identity(self) -> str:
        """The endpoint, the model's name there, and what else shapes replies where it is set: the
        extra fields (in their order, which steers decoding in a schema) and ``structured``, with
        its words where they are always used.

        Of several servers the first stands for all: others may be added, go, and change places
        behind it, and replies that are in the cache stay there.
        """
        how = self._in_words or self._structured
        return http_identity(self._first, self._rules.model, self._rules.extra, how)

    def generate(self, requests: Iterable[Request | Reply | None]) -> Iterator[Reply]:
        """Answer every request once, as the servers finish; see ``ChatModel``. A reply among
        the requests is handed on at once.
        """
        rules = replace(self._rules, max_concurrency=self._allowed_by_files())
        most = 2 * rules.max_concurrency * len(self._urls)
        ready: deque[Reply] = deque()
        pending, pull = 0, iter(requests)
        more, waits_for_reply = True, False
        with self._exchange(rules) as exchange:
            while True:
                if more and not waits_for_reply and pending < most and not ready:
                    try:
                        request = next(pull)
                    except StopIteration:
                        more = False
                        continue
                    waits_for_reply = request is None
                    if isinstance(request, Reply):
                        yield request
                    elif request is not None:
                        exchange.put(request)
                        pending += 1
                elif ready:
                    pending -= 1
                    waits_for_reply = False
                    yield ready.popleft()
                elif pending:
                    ready.extend(exchange.take())
                else:
                    return

    @contextmanager
    def _exchange(self, rules: Rules) -> Iterator["_Exchange"]:
        """The engine on its thread, both gone at the end."""
        with loop_on_a_thread("http-model") as loop:
            exchange = _Exchange(loop, self._learnt, self._samples)
            loop.run(exchange.open(rules, self._urls))
            try:
                yield exchange
            finally:
                loop.run(exchange.close())

    def _allowed_by_files(self) -> int:
        """``max_concurrency``, or less where the system lets a process open too few connections."""
        wanted = self._rules.max_concurrency * len(self._urls)
        return max(1, _with_enough_files(wanted) // len(self._urls))


def words_for_schema(structured: str, as_json: Prompt | None) -> str:
    """``prompt`` with the version and the fingerprint of ``as_json``, for an identity, where
    schemas are always put into words; else empty. Raises ``UserError`` without the words.
    """
    if structured != "prompt":
        return ""
    if as_json is None:
        raise UserError(
            "structured: prompt needs the words that ask for JSON.",
            "Hand them in: as_json=PromptPack('ja').load('as_json').",
        )
    said = content_id(*(text for _, text in as_json.sections))
    return f"prompt:{as_json.name}:{said}"


def http_identity(
    base_url: str, model: str, extra: Mapping[str, Any], structured: str = "auto"
) -> str:
    """The identity of a model at an address; see :attr:`HttpModel.identity`."""
    address = base_url.rstrip("/").partition("?")[0]
    fields = orjson.dumps(dict(extra)).decode("utf-8") if extra else ""
    return f"http:{address}#{model}{fields}{f'#{structured}' if structured != 'auto' else ''}"


class _Exchange:
    """Where the two threads hand over: requests one way, replies the other, in groups."""

    def __init__(self, loop: LoopThread, learnt: Learnt, samples: int) -> None:
        self._loop = loop
        self._learnt = learnt
        self._samples = samples
        self._group: list[Request] = []
        self._outgoing: deque[list[Request]] = deque()
        self._called = False
        self._ready: SimpleQueue[list[Reply] | BaseException] = SimpleQueue()
        self._engine: Engine | None = None

    async def open(self, rules: Rules, urls: Sequence[str]) -> None:
        """Make the engine; in the loop, as :meth:`close`."""
        seconds = min(CONNECT_SECONDS, rules.timeout_seconds)
        transports = {url: open_transport(url, seconds, rules.max_concurrency) for url in urls}
        self._engine = Engine(rules, self._learnt, transports, self._ready.put)
        self._loop.on_defect(self._ready.put)

    async def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            await self._engine.close()

    def put(self, request: Request) -> None:
        """Send a request, together with those before it that differ as samples alone."""
        alike = self._group and _alike(self._group[0], request)
        if not alike or len(self._group) >= self._samples or not self._learnt.several_samples:
            self._send_group()
        self._group.append(request)
        if self._samples < 2:
            self._send_group()

    def take(self) -> list[Reply]:
        """Wait for replies, one at least. Raises what went wrong in the engine itself."""
        self._send_group()
        replies = self._ready.get()
        if isinstance(replies, BaseException):
            raise replies
        return replies

    def _send_group(self) -> None:
        if not self._group:
            return
        self._outgoing.append(self._group)
        self._group = []
        if not self._called:
            # The loop is woken once, however many come before it looks.
            self._called = True
            self._loop.call(self._take_in)

    def _take_in(self) -> None:
        self._called = False
        assert self._engine is not None
        groups = []
        while self._outgoing:
            groups.append(self._outgoing.popleft())
        self._engine.add(groups)


def _alike(one: Request, other: Request) -> bool:
    """Whether two requests ask for samples of the same."""
    if one.messages is not other.messages and one.messages != other.messages:
        return False
    if one.top_log_probabilities != other.top_log_probabilities:
        return False
    seed = one.sampling.seed
    return one.schema == other.schema and one.sampling == replace(other.sampling, seed=seed)


def _with_enough_files(concurrency: int) -> int:
    """``concurrency``, or less where the system lets a process open too few connections."""
    if sys.platform == "win32":
        return concurrency
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = concurrency + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return concurrency
    allowed = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        _LOG.warning(
            "max_concurrency is %d instead of %d: the system allows %d open files (ulimit -n)",
            max(1, allowed - _SPARE_FILES),
            concurrency,
            allowed,
        )
    return min(concurrency, max(1, allowed - _SPARE_FILES))
