"""HTTP/1.1 without encryption over asyncio and httptools: one protocol object a connection, and
no task, future or timer a request.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import httptools

from teichaku.backends.http_transport import (
    Done,
    Response,
    Trouble,
    checked_key,
    no_connection,
    raise_defect,
)

#: uvicorn and llama.cpp hang up after 5 idle seconds; a request must not cross with that.
_IDLE_SECONDS = 4.0
_SECOND_ADDRESS_SECONDS = 0.25


class PlainTransport:
    """The way to ``url`` over connections of our own; see ``Transport``."""

    def __init__(self, url: str, connect_seconds: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._connect_seconds = connect_seconds
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n"
            "Accept-Encoding: identity\r\nContent-Type: application/json\r\n"
        ).encode("ascii")
        self._loop = asyncio.get_running_loop()
        self._idle: dict[_Connection, None] = {}
        self._all: set[_Connection] = set()
        self._calls: set[asyncio.Task[None]] = set()
        #: All connections read into one buffer: what is in it is used up at once.
        self.buffer = memoryview(bytearray(65536))

    def send(self, body: bytes, key: str, done: Done) -> Callable[[], None]:
        """See ``Transport``."""
        bearer = f"Authorization: Bearer {checked_key(key)}\r\n".encode() if key else b""
        message = b"%s%sContent-Length: %d\r\n\r\n%s" % (self._head, bearer, len(body), body)
        errand = _Errand(message, done)
        self._dispatch(errand)
        return errand.call_off

    async def close(self) -> None:
        """See ``Transport``."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for connection in list(self._all):
            connection.abort()
        await asyncio.sleep(0)  # in which the loop closes them

    def opened(self, connection: "_Connection") -> None:
        """A connection was made."""
        self._all.add(connection)

    def closed(self, connection: "_Connection") -> None:
        """A connection is gone."""
        self._all.discard(connection)
        self._idle.pop(connection, None)

    def free(self, connection: "_Connection") -> None:
        """A connection can take another request."""
        self._idle[connection] = None

    def again(self, errand: "_Errand") -> None:
        """Send once more what met a connection that was being closed, over a new one."""
        self._call(errand)

    def _dispatch(self, errand: "_Errand") -> None:
        oldest = self._loop.time() - _IDLE_SECONDS
        while self._idle:
            # The one that was used last: its server has not grown tired of it.
            connection, _ = self._idle.popitem()
            if connection.usable(oldest):
                connection.take(errand)
                return
            connection.abort()
        self._call(errand)

    def _call(self, errand: "_Errand") -> None:
        call = self._loop.create_task(self._connect(errand))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        call.add_done_callback(raise_defect)
        errand.stop = call.cancel

    async def _connect(self, errand: "_Errand") -> None:
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self),
                    self._host,
                    self._port,
                    happy_eyeballs_delay=_SECOND_ADDRESS_SECONDS,
                )
        except TimeoutError:
            errand.done(no_connection(self._connect_seconds))
        except OSError as error:
            errand.done(Trouble(str(error) or type(error).__name__, connected=False))
        else:
            connection.take(errand)


class _Errand:
    """A request on its way; ``stop`` ends whatever is being done about it."""

    __slots__ = ("done", "message", "stop")

    def __init__(self, message: bytes, done: Done) -> None:
        self.message = message
        self.done = done
        self.stop: Callable[[], object]

    def call_off(self) -> None:
        """Nobody waits for the response any more."""
        self.stop()


class _Connection(asyncio.BufferedProtocol):
    """One connection, which is kept for further requests; also what its parser calls."""

    def __init__(self, owner: PlainTransport) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._errand: _Errand | None = None
        self._used = self._answering = False
        self._idle_since = 0.0
        self._complete: Response | None = None
        self._kept = False
        self._forget()

    def take(self, errand: _Errand) -> None:
        """Send a request and hand its response to it."""
        if self._transport is None:
            # The server hung up between the call and this moment.
            errand.done(Trouble("the server closed the connection", connected=True))
            return
        self._errand = errand
        errand.stop = self.abort
        self._transport.write(errand.message)

    def usable(self, oldest: float) -> bool:
        """Whether the connection is open and was in use since ``oldest``."""
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and self._idle_since >= oldest
        )

    def abort(self) -> None:
        """Close the connection; nobody hears of the request on it."""
        self._errand = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._owner.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._owner.closed(self)
        errand, self._errand = self._errand, None
        if errand is None:
            return
        if self._until_end and error is None:
            errand.done(self._response())
        elif self._used and not self._answering:
            # It crossed with the server's hanging up on an idle connection.
            self._owner.again(errand)
        else:
            said = str(error or "") or "the server closed the connection"
            errand.done(Trouble(said, connected=True))

    def get_buffer(self, _: int) -> memoryview:
        return self._owner.buffer

    def buffer_updated(self, count: int) -> None:
        self._answering = True
        outcome: Response | Trouble | None
        try:
            self._parser.feed_data(self._owner.buffer[:count])
            outcome, self._complete = self._complete, None
        except httptools.HttpParserError as error:
            outcome = Trouble(f"the answer is no HTTP: {error}", connected=True)
        if outcome is None:
            return
        errand, self._errand = self._errand, None
        # A response that nobody asked for belongs to no request.
        if errand is None or isinstance(outcome, Trouble) or not self._kept:
            self.abort()
        else:
            self._used, self._answering = True, False
            self._idle_since = self._loop.time()
            self._owner.free(self)
        if errand is not None:
            errand.done(outcome)

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"retry-after":
                self._retry_after = value.decode("latin-1")
            case b"content-length" | b"transfer-encoding":
                self._framed = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._until_end = not self._framed and self._status >= 200 and self._status != 204

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status >= 200:  # others say "go on", before the response itself
            self._complete, self._kept = self._response(), self._parser.should_keep_alive()
        self._forget()

    def _response(self) -> Response:
        return Response(self._status, b"".join(self._body), self._retry_after)

    def _forget(self) -> None:
        self._status, self._retry_after = 0, ""
        self._body: list[bytes] = []
        self._framed = self._until_end = False
