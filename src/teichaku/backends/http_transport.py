"""How bytes reach a server: what the engine expects, and the way through aiohttp.

aiohttp knows proxies, certificates and ``.netrc``. Where none of these is in the way, the
leaner :mod:`teichaku.backends.http_plain` is taken, at a third of the processor time.
"""

import asyncio
import netrc
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    pass

CONNECT_SECONDS = 20.0
_IDLE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered; ``retry_after`` is the header as it came."""

    status: int
    body: bytes
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing came back; ``connected`` tells whether there was a server at all."""

    said: str
    connected: bool


Done = Callable[[Response | Trouble], None]


class Transport(Protocol):
    """A way to one address. All methods are called in the event loop."""

    def send(self, body: bytes, key: str, done: Done) -> Callable[[], None]:
        """Post ``body`` with ``key`` as bearer token (none if empty). ``done`` is called once,
        later, with what came of it, unless the function that is returned is called before: it
        breaks the request off. Raises ``ValueError`` where ``key`` cannot be sent.
        """
        ...

    async def close(self) -> None:
        """Break off what is on its way and close all connections."""
        ...


def open_transport(url: str, connect_seconds: float, most: int) -> Transport:
    """The leanest transport to ``url``, for up to ``most`` requests at once."""
    if _needs_nothing_special(url):
        from teichaku.backends.http_plain import PlainTransport

        return PlainTransport(url, connect_seconds)
    return AiohttpTransport(url, connect_seconds, most)


def checked_key(key: str) -> str:
    """``key``. Raises ``ValueError`` for one that would break out of its header."""
    if not key.isprintable():
        raise ValueError("the key holds a line break or another control character")
    return key


class AiohttpTransport:
    """The way through aiohttp; see :class:`Transport`."""

    def __init__(self, url: str, connect_seconds: float, most: int) -> None:
        import aiohttp

        self._url = url
        self._connect_seconds = connect_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=most, ttl_dns_cache=300, keepalive_timeout=_IDLE_SECONDS
            ),
            # The engine keeps the time of the whole.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            trust_env=True,
        )

    def send(self, body: bytes, key: str, done: Done) -> Callable[[], None]:
        """See :class:`Transport`."""
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {checked_key(key)}"
        task = asyncio.get_running_loop().create_task(self._post(body, headers, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(raise_defect)

        def call_off() -> None:
            task.cancel()

        return call_off

    async def close(self) -> None:
        """See :class:`Transport`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _post(self, body: bytes, headers: dict[str, str], done: Done) -> None:
        import aiohttp

        outcome: Response | Trouble
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                received = await response.read()
                asked = response.headers.get("Retry-After", "")
                outcome = Response(response.status, received, asked)
        except aiohttp.ConnectionTimeoutError:
            outcome = no_connection(self._connect_seconds)
        except (aiohttp.ClientError, OSError) as error:
            connected = not isinstance(error, aiohttp.ClientConnectorError)
            outcome = Trouble(str(error) or type(error).__name__, connected)
        done(outcome)


def no_connection(seconds: float) -> Trouble:
    """The trouble of a server that does not even take a call."""
    return Trouble(f"no connection in {seconds:g} s", connected=False)


def raise_defect(task: "asyncio.Task[None]") -> None:
    """Raise in the loop what a task raised, which nobody waits for."""
    if not task.cancelled():
        task.result()


def _needs_nothing_special(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    proxied = bool(proxies.get("http") or proxies.get("all"))
    if parts.scheme != "http" or not (url.isascii() and url.isprintable()):
        return False
    if proxied and not urllib.request.proxy_bypass(host):
        return False
    return not _has_password(host)


def _has_password(host: str) -> bool:
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
