"""Vectors of texts from a server: OpenAI's ``/embeddings``, which vLLM, TEI, llama.cpp, Infinity
and most services speak.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
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
from teichaku.core.errors import ModelUnavailableError, UserError

_RETRIED = frozenset({408, 409, 425, 429})
_SHOWN_CHARACTERS = 40


class HttpEmbedder:
    """The embedder ``model`` at ``base_url`` (``http://localhost:8000/v1``).

    ``prefix`` is put before every text: E5 and Ruri want one, and for comparing texts with each
    other all need the same. ``batch_size`` texts go out in a request, ``max_concurrency`` requests
    at a time. ``api_key_env`` names the environment variable with the key. Connection errors,
    timeouts, the statuses 408, 409, 425, 429 and 5xx are tried again up to ``max_retries`` times,
    after ``delays``. ``extra`` fields (``dimensions``, ``truncate_prompt_tokens``) go into every
    body. Raises ``UserError`` for a ``base_url`` that is none.
    """

    def __init__(  # noqa: PLR0913 - these are the fields of a recipe's embedder
        self,
        base_url: str,
        model: str,
        *,
        prefix: str = "",
        api_key_env: str = "",
        batch_size: int = 64,
        max_concurrency: int = 8,
        timeout_seconds: float = 600,
        max_retries: int = 6,
        extra: Mapping[str, Any] | None = None,
        delays: RetryDelays | None = None,
    ) -> None:
        self._url = _embeddings_url(base_url)
        self._shown = self._url.partition("?")[0]
        self.identity = f"{http_identity(base_url, model, extra or {})}#{prefix}"
        self._model, self._prefix, self._extra = model, prefix, dict(extra or {})
        self._key_name = api_key_env
        self._key = os.environ.get(api_key_env, "").strip() if api_key_env else ""
        self._batch_size, self._concurrency = batch_size, max_concurrency
        self._seconds, self._retries = timeout_seconds, max_retries
        self._delays = delays or RetryDelays()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """An (n, d) float32 array of unit-length rows. Raises ``ModelUnavailableError`` where
        the server gives none, or rows of different lengths.
        """
        starts = range(0, len(texts), self._batch_size)
        batches = [texts[start : start + self._batch_size] for start in starts]
        if not batches:
            return np.zeros((0, 0), np.float32)
        with loop_on_a_thread("http-embedder") as loop:
            parts = loop.run(self._all(batches))
        if len({part.shape[1] for part in parts}) > 1:
            raise ModelUnavailableError(
                f"{self._shown} gives vectors of different lengths.",
                "Several models seem to answer behind this address; name one of them.",
            )
        return np.concatenate(parts)

    async def _all(self, batches: Sequence[Sequence[str]]) -> list[np.ndarray]:
        seconds = min(CONNECT_SECONDS, self._seconds)
        transport = open_transport(self._url, seconds, self._concurrency)
        places = asyncio.Semaphore(self._concurrency)

        async def one(batch: Sequence[str]) -> np.ndarray:
            async with places:
                return await self._batch(transport, batch)

        tasks = [asyncio.create_task(one(batch)) for batch in batches]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await transport.close()

    async def _batch(self, transport: Transport, batch: Sequence[str]) -> np.ndarray:
        body = self._body(batch)
        said = ""
        for number in range(1 + self._retries):
            outcome = await self._post(transport, body)
            wait = self._delays.before(number, body)
            if isinstance(outcome, Trouble):
                said = f"{self._shown} cannot be reached: {outcome.said}"
            elif outcome.status == 200:
                return read_vectors(outcome.body, len(batch), self._shown)
            else:
                said = f"HTTP {outcome.status}: {server_message(outcome.body)}"
                if outcome.status not in _RETRIED and outcome.status < 500:
                    raise self._refused(outcome.status, said, batch)
                asked = min(retry_after(outcome.retry_after) or 0.0, self._delays.longest_asked)
                wait = max(wait, asked)
            if number < self._retries:
                await asyncio.sleep(wait)
        raise ModelUnavailableError(
            f"{self._shown} gave no vectors (tries: {1 + self._retries}): "
            f"{without_key(said, self._key)}",
            "Run the same command again once it answers.",
        )

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

    def _body(self, batch: Sequence[str]) -> bytes:
        # Half a surrogate pair is no text, and no server takes it; nor an empty one, often.
        given = [
            (self._prefix + text).encode("utf-8", "replace").decode("utf-8") or " "
            for text in batch
        ]
        return orjson.dumps({"model": self._model, "input": given, **self._extra})

    def _refused(self, status: int, said: str, batch: Sequence[str]) -> ModelUnavailableError:
        hint = f"The texts begin with: {batch[0][:_SHOWN_CHARACTERS]}. Is one of them too long?"
        if status in (401, 403):
            hint = f"Put a valid key into {self._key_name or 'a variable named by api_key_env'}."
        elif status == 404:
            hint = f"Is '{self._model}' an embedder there, and does base_url end in /v1?"
        return ModelUnavailableError(f"{self._shown} refuses: {without_key(said, self._key)}", hint)


def read_vectors(body: bytes, count: int, shown: str) -> np.ndarray:
    """The ``count`` vectors in a response, by their ``index``, of unit length. Raises
    ``ModelUnavailableError`` where it holds others.
    """
    try:
        entries = orjson.loads(body)["data"]
        rows = {int(entry["index"]): entry["embedding"] for entry in entries}
        vectors = np.array([rows[number] for number in range(count)], np.float32)
        is_good = len(rows) == count and vectors.ndim == 2 and np.isfinite(vectors).all()
    except (KeyError, TypeError, ValueError):
        is_good = False
    if not is_good:
        raise ModelUnavailableError(
            f"{shown} answers, but not with a vector of numbers for each of {count} texts.",
            "An address of OpenAI's /embeddings is wanted.",
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))


def _embeddings_url(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.password:
        raise UserError(
            "The embedder's base_url is no web address, or holds a password.",
            "Such as: http://localhost:8000/v1; name the variable with the key in api_key_env.",
        )
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/embeddings"))
