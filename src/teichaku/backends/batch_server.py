"""A batch service behind OpenAI's interface: ``/v1/files`` and ``/v1/batches``, on aiohttp."""

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from teichaku.backends.batch_files import ENDPOINT, BatchStatus
from teichaku.backends.http_answers import server_message, without_key
from teichaku.backends.http_limits import RetryDelays
from teichaku.backends.http_transport import CONNECT_SECONDS, checked_key
from teichaku.backends.loop_thread import loop_on_a_thread
from teichaku.core.errors import ModelUnavailableError
from teichaku.core.run_folder import unwritable

if TYPE_CHECKING:
    import aiohttp

Result = TypeVar("Result")

_TRIES = 5
_QUIET_SECONDS = 300.0
_PIECE = 1 << 20


class _PassingTroubleError(Exception):
    """Trouble that another try may not meet; the message says which."""


class HttpBatchService:
    """The service at ``base_url`` (``https://api.openai.com/v1``); see ``BatchService``.

    ``api_key_env`` names the environment variable with the key. ``window`` is the time in which
    the service promises to be done. Calls that only read are tried again, with ``delays``; a
    batch is handed in once, so that nothing is paid for twice.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key_env: str = "",
        window: str = "24h",
        delays: RetryDelays | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key_env = api_key_env
        self._window = window
        self._delays = delays or RetryDelays()

    def submit(self, path: Path) -> str:
        """See ``BatchService``."""

        async def work(session: "aiohttp.ClientSession") -> str:
            import aiohttp

            with path.open("rb") as file:
                form = aiohttp.FormData()
                form.add_field("purpose", "batch")
                form.add_field("file", file, filename=path.name, content_type="application/jsonl")
                uploaded = await self._json(session.post(f"{self._base_url}/files", data=form))
            order = {
                "input_file_id": uploaded.get("id"),
                "endpoint": ENDPOINT,
                "completion_window": self._window,
            }
            created = await self._json(session.post(f"{self._base_url}/batches", json=order))
            return str(created.get("id"))

        return self._run(work, tries=1)

    def status(self, batch_id: str) -> BatchStatus:
        """See ``BatchService``."""

        async def work(session: "aiohttp.ClientSession") -> BatchStatus:
            return _status(await self._json(session.get(f"{self._base_url}/batches/{batch_id}")))

        return self._run(work)

    def download(self, file_id: str, path: Path) -> None:
        """See ``BatchService``."""
        aside = path.with_name(f".{path.name}.part")

        async def work(session: "aiohttp.ClientSession") -> None:
            async with session.get(f"{self._base_url}/files/{file_id}/content") as response:
                await self._check(response)
                with aside.open("wb") as file:
                    async for piece in response.content.iter_chunked(_PIECE):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())

        self._run(work)
        try:
            aside.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error

    def _run(
        self,
        work: Callable[["aiohttp.ClientSession"], Awaitable[Result]],
        tries: int = _TRIES,
    ) -> Result:
        """What ``work`` gives, in an event loop of its own."""
        said = ""
        with loop_on_a_thread("batch-service") as loop:
            for retry in range(tries):
                try:
                    return loop.run(self._once(work))
                except _PassingTroubleError as trouble:
                    said = without_key(str(trouble), self._key())
                if retry + 1 < tries:
                    time.sleep(self._delays.before(retry, b"batch"))
        raise ModelUnavailableError(
            f"The batch service at {self._shown} did not do it (tries: {tries}): {said}",
            "Run the same command again once it answers: what was handed in is not lost.",
        )

    async def _once(self, work: Callable[["aiohttp.ClientSession"], Awaitable[Result]]) -> Result:
        import aiohttp

        key = self._key()
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=_QUIET_SECONDS
        )
        headers = {"Authorization": f"Bearer {checked_key(key)}"} if key else {}
        try:
            async with aiohttp.ClientSession(
                headers=headers, timeout=timeout, trust_env=True
            ) as session:
                return await work(session)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _PassingTroubleError(str(error) or type(error).__name__) from error

    async def _json(self, call: "AbstractAsyncContextManager[aiohttp.ClientResponse]") -> Any:
        async with call as response:
            await self._check(response)
            try:
                return orjson.loads(await response.read())
            except orjson.JSONDecodeError as error:
                raise _PassingTroubleError(f"the answer is no JSON: {error}") from error

    async def _check(self, response: "aiohttp.ClientResponse") -> None:
        """Raise where the service refuses."""
        if response.status < 300:
            return
        said = f"HTTP {response.status}: {server_message(await response.read())}"
        if response.status in (408, 429) or response.status >= 500:
            raise _PassingTroubleError(said)
        hint = "Check base_url; not every server has a batch service."
        if response.status in (401, 403):
            hint = f"Put a valid key into {self._api_key_env or 'a variable named by api_key_env'}."
        raise ModelUnavailableError(
            f"The batch service at {self._shown} refuses: {without_key(said, self._key())}", hint
        )

    @property
    def _shown(self) -> str:
        return self._base_url.partition("?")[0]

    def _key(self) -> str:
        return os.environ.get(self._api_key_env, "").strip() if self._api_key_env else ""


def _status(content: Any) -> BatchStatus:
    fields = content if isinstance(content, dict) else {}
    counts = fields.get("request_counts") or {}
    errors = (fields.get("errors") or {}).get("data") or []
    found = (fields.get(name) for name in ("output_file_id", "error_file_id"))
    total, completed, failed = (
        int(counts.get(name) or 0) for name in ("total", "completed", "failed")
    )
    return BatchStatus(
        str(fields.get("status")),
        total,
        completed,
        failed,
        tuple(file_id for file_id in found if file_id),
        "; ".join(str(error.get("message")) for error in errors[:3]),
    )
