"""How likely a model behind a server finds the tokens of texts.

Servers of the OpenAI format with ``echo`` and ``logprobs`` in ``/completions`` tell: vLLM and
SGLang do; llama.cpp and most services that charge by the token do not. Written from the
documentation of vLLM and its source, and tested against a local server only: it has not been run
against a real one.
"""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import orjson

from teichaku.backends.http import http_identity
from teichaku.backends.http_answers import retry_after, server_message, without_key
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
from teichaku.core.models import ScoredText, TokenScores

_RETRIED = frozenset({408, 409, 425, 429})
_REPLACEMENT = "\ufffd"
_NO_TOKENS = np.zeros(0, np.float32)


class NoScoresError(ValueError):
    """What came back holds no log-probabilities of the text; the message says why."""


class HttpLanguageModel:
    """The model ``model`` at ``base_url`` (``http://localhost:8000/v1``).

    ``api_key_env`` names the environment variable with the key. At most ``max_concurrency``
    texts are on their way. Connection errors, timeouts, the statuses 408, 409, 425, 429 and 5xx
    are tried again up to ``max_retries`` times, after ``delays``; once a text has been given up
    because nobody takes the call, the next ones are tried once. ``extra`` fields go into every
    body. Raises ``UserError`` for a ``base_url`` that is none.

    Servers do not cut: a text that is too long comes back with ``error``. They give no moments.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str = "",
        max_concurrency: int = 64,
        timeout_seconds: float = 600,
        max_retries: int = 6,
        extra: Mapping[str, Any] | None = None,
        delays: RetryDelays | None = None,
    ) -> None:
        self._url = _completions_url(base_url)
        self._shown = self._url.partition("?")[0]
        self.identity = http_identity(base_url, model, extra or {})
        self._model, self._extra = model, dict(extra or {})
        self._key = os.environ.get(api_key_env, "").strip() if api_key_env else ""
        self._concurrency = max_concurrency
        self._seconds, self._retries = timeout_seconds, max_retries
        self._delays = delays or RetryDelays()
        self._dead = False

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        """See :class:`teichaku.core.models.LanguageModel`."""
        waiting: deque[Future[TokenScores]] = deque()
        with loop_on_a_thread("http-language-model") as loop:
            errands = loop.run(self._open())
            try:
                for one in texts:
                    into: Future[TokenScores] = Future()
                    waiting.append(into)
                    loop.call(partial(errands.begin, self._scored, one, into))
                    if len(waiting) >= self._concurrency:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                loop.run(errands.end())

    async def _open(self) -> "_Errands":
        seconds = min(CONNECT_SECONDS, self._seconds)
        return _Errands(open_transport(self._url, seconds, self._concurrency))

    async def _scored(self, transport: Transport, one: ScoredText) -> TokenScores:
        if not one.text:
            return TokenScores(_NO_TOKENS)
        whole = one.context + one.text
        body = self._body(whole)
        said = ""
        tries = 1 if self._dead else 1 + self._retries
        for number in range(tries):
            outcome = await self._post(transport, body)
            connected = not isinstance(outcome, Trouble) or outcome.connected
            self._dead &= not connected
            wait = self._delays.before(number, whole.encode("utf-8", "replace"))
            if isinstance(outcome, Response):
                try:
                    return read_scores(outcome, one)
                except NoScoresError as error:
                    said = f"{self._shown}: {error}"
                if outcome.status not in _RETRIED and outcome.status < 500:
                    break
                asked = min(retry_after(outcome.retry_after) or 0.0, self._delays.longest_asked)
                wait = max(wait, asked)
            else:
                said = f"{self._shown} cannot be reached: {outcome.said}"
            if number + 1 < tries:
                await asyncio.sleep(wait)
            else:
                self._dead = not connected
        return TokenScores(_NO_TOKENS, error=without_key(said, self._key))

    async def _post(self, transport: Transport, body: bytes) -> Response | Trouble:
        done: asyncio.Future[Response | Trouble] = asyncio.get_running_loop().create_future()

        def finish(outcome: Response | Trouble) -> None:
            if not done.done():
                done.set_result(outcome)

        try:
            call_off = transport.send(body, self._key, finish)
        except ValueError as error:
            return Trouble(str(error), connected=True)
        try:
            async with asyncio.timeout(self._seconds):
                return await done
        except TimeoutError:
            call_off()
            return Trouble(f"no answer in {self._seconds:g} s", connected=True)

    def _body(self, whole: str) -> bytes:
        fields = {
            "model": self._model,
            "prompt": whole.encode("utf-8", "replace").decode("utf-8"),
            # Older servers refuse to generate nothing; the one token is left out again.
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        return orjson.dumps({**fields, **self._extra})


class _Errands:
    """The texts on their way over ``transport``; all methods are called in the loop."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self,
        score: Callable[[Transport, ScoredText], Awaitable[TokenScores]],
        one: ScoredText,
        into: Future[TokenScores],
    ) -> None:
        """Begin with a text; ``into`` takes what comes of it."""

        async def run() -> None:
            try:
                into.set_result(await score(self._transport, one))
            except Exception as error:  # noqa: BLE001 - it is raised where the result is taken
                into.set_exception(error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Break off what is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.close()


def read_scores(response: Response, one: ScoredText) -> TokenScores:
    """The scores in a response. Raises :class:`NoScoresError` where there are none."""
    if response.status != 200:
        raise NoScoresError(f"HTTP {response.status}: {server_message(response.body)}")
    try:
        content = orjson.loads(response.body)
        choice = content["choices"][0]["logprobs"]
        pieces, values = list(choice["tokens"]), list(choice["token_logprobs"])
        written = content.get("usage", {}).get("completion_tokens", 1)
    except (AttributeError, IndexError, KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise NoScoresError(
            "the server gives no log-probabilities of a prompt (echo, logprobs)"
        ) from error
    count = len(pieces) - written
    if count < 1 or len(values) != len(pieces):
        raise NoScoresError("the server gives log-probabilities of what it wrote, not of the text")
    return scores_of(pieces[:count], values[:count], one)


def scores_of(
    pieces: Sequence[str], values: Sequence[float | None], one: ScoredText
) -> TokenScores:
    """The scores of the tokens of ``one.text`` among the tokens of context and text, which are
    decoded one by one in ``pieces``. Raises :class:`NoScoresError` where they do not make up
    context and text, or where one has no value that should have one.
    """
    whole = (one.context + one.text).encode("utf-8", "replace").decode("utf-8")
    spans = places(pieces, whole)
    border = len(one.context)
    own = next((at for at, span in enumerate(spans) if span[1] > border), len(spans))
    first = max(own, 1)
    found = values[first:]
    if any(value is None for value in found):
        raise NoScoresError("the server left log-probabilities out; turn its prefix cache off")
    if not found:
        return TokenScores(_NO_TOKENS)
    start = spans[first][0] - border if first > own else 0
    return TokenScores(np.array(found, np.float32), start=start, end=len(one.text))


def places(pieces: Sequence[str], whole: str) -> list[tuple[int, int]]:
    """Where in ``whole`` each token begins and ends. Raises :class:`NoScoresError` where the
    tokens do not make it up.

    The first may be one that every text begins with. White space before a token may be missing
    in it. Tokens that are a part of a character are empty or hold U+FFFD: they end with the next
    whole one, or, where that stands apart, all cover what lies between.
    """
    spans: list[tuple[int, int]] = []
    broken: list[str] = []
    at = 0
    for number, piece in enumerate(pieces):
        if not piece or _REPLACEMENT in piece:
            broken.append(piece)
            continue
        begin = _find(whole, piece, at, broken)
        if begin is None and number == 0:
            spans.append((0, 0))
            continue
        if begin is None:
            raise NoScoresError(f"the server's token {number}, {piece!r}, is not in the text there")
        end = begin + len(piece)
        between = (at, begin if any(broken) else end)
        spans += [between] * len(broken)
        # White space that is missing in a token is its own.
        spans.append((begin if any(broken) else at, end))
        broken, at = [], end
    spans += [(at, len(whole))] * len(broken)
    if not broken and whole[at:].strip():
        raise NoScoresError("the server's tokens end before the text does")
    return spans


def _find(whole: str, piece: str, at: int, broken: Sequence[str]) -> int | None:
    """Where ``piece`` begins at ``at`` or behind the ``broken`` tokens before it."""
    if any(broken):
        begin = whole.find(piece, at + 1)
        # A token is a byte at least.
        while begin >= 0 and len(whole[at:begin].encode("utf-8")) < len(broken):
            begin = whole.find(piece, begin + 1)
        return begin if begin >= 0 else None
    if whole.startswith(piece, at):
        return at
    while whole[at : at + 1].isspace():
        at += 1
    return at if whole.startswith(piece, at) else None


def _completions_url(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.password:
        raise UserError(
            "base_url is no web address, or holds a password.",
            "Such as: http://localhost:8000/v1; name the variable with the key in api_key_env.",
        )
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/completions"))
