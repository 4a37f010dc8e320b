"""A model behind any OpenAI-compatible server, on aiohttp and orjson.

The event loop runs on a thread of its own. The caller's thread pulls requests and takes
replies; at most twice ``max_concurrency`` requests are pulled and not yet handed back, so
memory does not grow with the number of requests and no request waits for a whole batch.
"""

import asyncio
import logging
import os
import re
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import orjson

from teichaku.backends.chat_completions import NoCompletionError, read_reply, request_body
from teichaku.backends.loop_thread import loop_on_a_thread
from teichaku.core.errors import UserError
from teichaku.core.records import Reply, Request

if TYPE_CHECKING:
    import aiohttp

_LOG = logging.getLogger(__name__)
_RETRIED = frozenset({408, 409, 425, 429})
_SCHEMA_STATUS = frozenset({400, 404, 422, 500, 501})
_SCHEMA_WORDS = re.compile(rb"response_format|json_schema|schema|grammar|structured|guided", re.I)
#: A server that hangs costs a whole timeout a try, so it is not asked as often.
_MAX_TIMEOUTS = 2
_CONNECT_SECONDS = 20.0
#: With fewer requests at once than this, as many must find the server silent before it is dead.
_FEWEST_UNANSWERED = 3
_SPARE_FILES = 64
_LONGEST_ERROR = 500
#: In a reply, shorter keys ("none", "ollama") are words, which must stay as they are.
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """Seconds between tries: ``first`` doubles up to ``longest``. What a server asks for in
    Retry-After is kept up to ``longest_asked``.
    """

    first: float = 0.5
    longest: float = 30.0
    longest_asked: float = 120.0

    def before(self, retry: int, salt: bytes) -> float:
        """The delay before the retry (0 is the first); ``salt`` spreads it, always alike."""
        spread = zlib.crc32(salt + bytes([retry % 256])) / 2**32
        return min(self.longest, self.first * 2.0**retry) * (0.5 + spread / 2)


@dataclass
class _Stream:
    """What all requests of one call of generate share."""

    session: "aiohttp.ClientSession"
    slots: asyncio.Semaphore
    schema_as_prompt: bool
    not_before: float = 0.0
    replies: int = 0
    #: Requests in a row that spent all their tries without a word from the server.
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """A try without a reply: why, and whether and when another may help."""

    error: str
    retry: bool = False
    retry_after: float | None = None
    schema_refused: bool = False
    reached: bool = True
    timed_out: bool = False
    too_many: bool = False


class HttpModel:
    """The model ``model`` at ``base_url`` (``http://localhost:8000/v1``).

    ``api_key_env`` names the environment variable with the key, which is read when a request
    is sent and goes nowhere but into its header. Connection errors, timeouts, the statuses
    408, 409, 425, 429 and 5xx, and bodies that are no completion are tried again up to
    ``max_retries`` times (after a timeout, twice). ``structured``: ``json_schema`` sends a
    request's schema as ``response_format``, ``prompt`` as an instruction; ``auto`` begins
    with the first and goes over to the second where the server refuses it. ``extra`` fields
    go into every body. Raises ``UserError`` for a ``base_url`` that is none.
    """

    def __init__(  # noqa: PLR0913 - these are the fields of a recipe's teacher
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str = "",
        max_concurrency: int = 32,
        timeout_seconds: float = 600,
        max_retries: int = 6,
        structured: Literal["auto", "json_schema", "prompt"] = "auto",
        extra: Mapping[str, Any] | None = None,
        delays: RetryDelays | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._url = _completions_url(self._base_url)
        #: Without the query, which may hold what is nobody else's business.
        self._shown = self._url.partition("?")[0]
        self._model = model
        self._api_key_env = api_key_env
        self._max_concurrency = max_concurrency
        self._timeout_seconds = timeout_seconds
        self._connect_seconds = min(_CONNECT_SECONDS, timeout_seconds)
        self._max_retries = max_retries
        self._structured = structured
        self._extra = dict(extra or {})
        self._delays = delays or RetryDelays()

    @property
    def identity(self) -> str:
        """The endpoint, the model's name there, and what else shapes replies where it is set: the
        extra fields (in their order, which steers decoding in a schema) and ``structured``.
        """
        base_url = self._base_url.partition("?")[0]
        extra = orjson.dumps(self._extra).decode("utf-8") if self._extra else ""
        structured = f"#{self._structured}" if self._structured != "auto" else ""
        return f"http:{base_url}#{self._model}{extra}{structured}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request once, as the server finishes; see ``ChatModel``."""
        concurrency = _with_enough_files(self._max_concurrency)
        ready: SimpleQueue[Future[Reply]] = SimpleQueue()
        pending, pull = 0, iter(requests)
        more = True
        with loop_on_a_thread("http-model") as loop:
            stream = loop.run(self._open(concurrency))
            try:
                while more or pending:
                    if more and pending < 2 * concurrency and ready.empty():
                        request = next(pull, None)
                        more = request is not None
                        if request is not None:
                            loop.start(self._answer(stream, request), ready)
                            pending += 1
                        continue
                    pending -= 1
                    yield ready.get().result()
            finally:
                loop.cancel_all()
                loop.run(stream.session.close())

    async def _open(self, concurrency: int) -> _Stream:
        import aiohttp

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(
                total=self._timeout_seconds,
                sock_connect=self._connect_seconds,
            ),
            trust_env=True,
        )
        slots = asyncio.Semaphore(concurrency)
        return _Stream(session, slots, schema_as_prompt=self._structured == "prompt")

    async def _answer(self, stream: _Stream, request: Request) -> Reply:
        """The reply to a request, after as many tries as it may take."""
        tries = counted = timeouts = 0
        async with stream.slots:
            while True:
                replies_before = stream.replies
                outcome = await self._try(stream, request)
                if isinstance(outcome, Reply):
                    stream.replies += 1
                    stream.unanswered = 0
                    return outcome
                if outcome.schema_refused:
                    continue
                tries += 1
                timeouts += outcome.timed_out
                # While others get replies, "too many requests" only means to wait one's turn.
                counted += not (outcome.too_many and stream.replies > replies_before)
                spent = counted > self._max_retries or timeouts > _MAX_TIMEOUTS
                if self._gives_up(stream, outcome, spent=spent):
                    # The key goes out first: cut through, it would be known no more.
                    said = self._without_key(outcome.error)[:_LONGEST_ERROR]
                    return Reply(request, "", error=f"{said} (tries: {tries})")
                await self._wait(stream, request, outcome, tries)

    def _gives_up(self, stream: _Stream, failure: _Failure, *, spent: bool) -> bool:
        """Whether ``failure`` is final. Every request has its own patience, until as many in a
        row as go out at once have spent theirs without a word from the server: the next ones do
        not wait through all of their tries while it stays away.
        """
        if failure.reached:
            stream.unanswered = 0
        elif spent:
            stream.unanswered += 1
        dead = stream.unanswered >= max(self._max_concurrency, _FEWEST_UNANSWERED)
        return spent or not failure.retry or (dead and not failure.reached)

    async def _wait(self, stream: _Stream, request: Request, failure: _Failure, tries: int) -> None:
        if failure.retry_after is not None:
            asked = min(failure.retry_after, self._delays.longest_asked)
            # All requests of the stream keep away for as long as the server asks.
            stream.not_before = max(stream.not_before, time.monotonic() + asked)
        last = request.messages[-1].content if request.messages else ""
        salt = f"{request.sample_index}\n{last}".encode("utf-8", "surrogatepass")
        await asyncio.sleep(self._delays.before(tries - 1, salt))

    async def _try(self, stream: _Stream, request: Request) -> "Reply | _Failure":
        """Send the request once."""
        import aiohttp

        as_prompt = stream.schema_as_prompt
        await asyncio.sleep(max(0.0, stream.not_before - time.monotonic()))
        try:
            body = request_body(self._model, request, self._extra, schema_as_prompt=as_prompt)
            async with stream.session.post(
                self._url, data=body, headers=self._headers(), allow_redirects=False
            ) as response:
                received = await response.read()
                status, headers = response.status, response.headers
        except aiohttp.ConnectionTimeoutError:
            said = f"no connection in {self._connect_seconds:g} s"
            return _Failure(f"{self._shown} cannot be reached: {said}", True, reached=False)
        except TimeoutError:
            seconds = f"{self._timeout_seconds:g} s"
            said = f"{self._shown} did not answer in {seconds}"
            return _Failure(said, True, reached=False, timed_out=True)
        except (aiohttp.ClientError, OSError) as error:
            said = str(error) or type(error).__name__
            return _Failure(f"{self._shown} cannot be reached: {said}", True, reached=False)
        except ValueError as error:
            return _Failure(str(error), reached=False)
        if status == 200:
            return self._completed(request, received)
        failure = self._refused(status, headers, received)
        if self._complains_about_schema(request, status, received) and not as_prompt:
            stream.schema_as_prompt = True
            return replace(failure, schema_refused=True)
        return failure

    def _completed(self, request: Request, body: bytes) -> "Reply | _Failure":
        try:
            return read_reply(request, self._without_secret(body))
        except NoCompletionError as error:
            return _Failure(f"{self._shown}: {error}", retry=True)

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> _Failure:
        said = _server_message(body)
        if status in (401, 403):
            named = self._api_key_env or "of your choice, named as api_key_env"
            text = (
                f"the server does not accept the key: put a valid one into the environment "
                f"variable {named}"
            )
        elif status == 404:
            text = f"there is no model '{self._model}' or no such address"
        else:
            text = "the server says"
        return _Failure(
            f"HTTP {status} from {self._shown}: {text}: {said}",
            retry=status in _RETRIED or status >= 500,
            retry_after=_retry_after(headers.get("Retry-After", "")),
            too_many=status == 429,
        )

    def _complains_about_schema(self, request: Request, status: int, body: bytes) -> bool:
        return (
            self._structured == "auto"
            and request.schema is not None
            and status in _SCHEMA_STATUS
            and _SCHEMA_WORDS.search(body) is not None
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        key = self._key()
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return headers

    def _key(self) -> str:
        return os.environ.get(self._api_key_env, "").strip() if self._api_key_env else ""

    def _without_key(self, text: str) -> str:
        """``text`` for people, without the key, which careless servers echo."""
        key = self._key()
        for form in {key, orjson.dumps(key).decode("utf-8")[1:-1]} - {""}:
            text = text.replace(form, "***")
        return text

    def _without_secret(self, body: bytes) -> bytes:
        key = self._key().encode("utf-8")
        return body.replace(key, b"***") if len(key) >= _SHORTEST_SECRET else body


def _completions_url(base_url: str) -> str:
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
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/chat/completions"))


def _server_message(body: bytes) -> str:
    """What an error body says, in a line."""
    try:
        content: Any = orjson.loads(body)
        error = content.get("error", content)
        said = error.get("message", error) if isinstance(error, dict) else error
    except (AttributeError, orjson.JSONDecodeError):
        said = body.decode("utf-8", "replace")
    return " ".join(str(said).split()) or "nothing"


def _retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date; None where it is neither."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    except (OverflowError, ValueError):  # also for a time zone that lies beyond all others
        return None


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
