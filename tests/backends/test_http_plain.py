"""The leaner way to a server, against servers that answer byte by byte."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from teichaku.backends import http_transport
from teichaku.backends.http import HttpModel, RetryDelays
from teichaku.backends.http_plain import PlainTransport
from teichaku.backends.http_transport import AiohttpTransport, open_transport
from teichaku.backends.loop_thread import loop_on_a_thread
from teichaku.core.records import Message, Request

BODY = '{"choices":[{"message":{"content":"はい"},"finish_reason":"stop"}]}'.encode()
NO_WAIT = RetryDelays(first=0.001, longest=0.002)
#: What a server sends at its n-th connection to the m-th request; None hangs up.
Script = Callable[[int, int], bytes | None]


def ask(text: str = "問い") -> Request:
    return Request((Message("user", text),))


def response(body: bytes = BODY, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def chunked(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


@contextmanager
def server(script: Script) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers whole requests by a script; its address and what came."""
    received: list[bytes] = []
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connection, count = connections, 0
        connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                received.append(head + await reader.readexactly(length))
                answer = script(connection, count)
                count += 1
                if answer is None:
                    break
                for start in range(0, len(answer), 7):
                    writer.write(answer[start : start + 7])
                    await asyncio.sleep(0)
                if b"Content-Length" not in answer and b"chunked" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    with loop_on_a_thread("script") as loop:
        listening = loop.run(asyncio.start_server(handle, "127.0.0.1", 0))
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", received
        listening.close()
        loop.run(asyncio.sleep(0.01))


@pytest.mark.parametrize(
    "written",
    [
        response(),
        response(head=b"Connection: close\r\n"),
        chunked(BODY[:5], BODY[5:9], BODY[9:]),
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.1 200\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\n" + response(),
    ],
)
def test_a_reply_is_read_however_it_is_framed(written: bytes) -> None:
    with server(lambda connection, count: written) as (address, received):
        replies = list(HttpModel(address, "tiny", delays=NO_WAIT).generate([ask()] * 20))
    assert [reply.text for reply in replies] == ["はい"] * 20
    assert len(received) == 20


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        (response()[:-3], "broken JSON"),
        (b"HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        (None, "closed the connection"),
    ],
)
def test_an_answer_that_is_none_becomes_an_error(written: bytes | None, told: str) -> None:
    if told == "broken JSON":
        written = b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:-9]
    with server(lambda connection, count: written) as (address, _):
        (reply,) = HttpModel(address, "tiny", max_retries=1, delays=NO_WAIT).generate([ask()])
    assert told in reply.error


def test_a_body_that_is_cut_off_is_asked_for_again() -> None:
    def script(connection: int, _: int) -> bytes:
        cut = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY[:-9]
        return cut if connection == 0 else response()

    with server(script) as (address, received):
        (reply,) = HttpModel(address, "tiny", delays=NO_WAIT).generate([ask()])
    assert (reply.text, len(received)) == ("はい", 2)


def test_a_connection_that_the_server_ends_when_idle_costs_no_try() -> None:
    """It answers the first request and hangs up at the second, as if the two had crossed."""
    script: Script = lambda _, count: response() if count == 0 else None  # noqa: E731
    with server(script) as (address, received):
        model = HttpModel(address, "tiny", max_retries=0, max_concurrency=1)
        replies = list(model.generate(ask(str(n)) for n in range(5)))
    assert [reply.error for reply in replies] == [""] * 5
    assert len(received) == 5 + 4


def test_a_name_is_looked_up() -> None:
    with server(lambda *_: response()) as (address, _):
        named = address.replace("127.0.0.1", "localhost")
        (reply,) = HttpModel(named, "tiny").generate([ask()])
    assert reply.text == "はい"


def test_connections_are_used_again() -> None:
    connections = set()

    def script(connection: int, _: int) -> bytes:
        connections.add(connection)
        return response()

    with server(script) as (address, received):
        model = HttpModel(address, "tiny", max_concurrency=3)
        list(model.generate(ask(str(n)) for n in range(60)))
    assert len(received) == 60
    assert len(connections) <= 3


def test_a_query_in_the_address_goes_along_and_is_not_shown() -> None:
    with server(lambda *_: b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n") as (address, received):
        model = HttpModel(f"{address}?token=geheim", "tiny", max_retries=0)
        (reply,) = model.generate([ask()])
    assert received[0].startswith(b"POST /v1/chat/completions?token=geheim HTTP/1.1\r\n")
    assert "geheim" not in reply.error + model.identity


@pytest.mark.parametrize("key", ["two\nlines", "re\rturn"])
def test_a_key_that_would_break_out_of_its_header_is_not_sent(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", key)
    with server(lambda *_: response()) as (address, received):
        (reply,) = HttpModel(address, "tiny", api_key_env="TINY_KEY").generate([ask()])
    assert "line break" in reply.error
    assert key not in reply.error
    assert received == []


def test_what_needs_more_than_plain_connections_goes_through_aiohttp(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    async def kind(url: str) -> type:
        transport = open_transport(url, 1.0, 2)
        await transport.close()
        return type(transport)

    with loop_on_a_thread("choice") as loop:
        assert loop.run(kind("http://host:8000/v1/chat/completions")) is PlainTransport
        assert loop.run(kind("https://host/v1/chat/completions")) is AiohttpTransport
        assert loop.run(kind("http://ホスト/v1/chat/completions")) is AiohttpTransport
        monkeypatch.setenv("http_proxy", "http://proxy:3128")
        assert loop.run(kind("http://host/v1/chat/completions")) is AiohttpTransport
        monkeypatch.setenv("no_proxy", "host")
        assert loop.run(kind("http://host/v1/chat/completions")) is PlainTransport
        monkeypatch.setattr(http_transport, "_has_password", lambda host: True)
        assert loop.run(kind("http://host/v1/chat/completions")) is AiohttpTransport


def test_a_proxy_is_asked_where_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with server(lambda *_: response()) as (address, received):
        monkeypatch.setenv("http_proxy", address.removesuffix("/v1"))
        (reply,) = HttpModel("http://far.example/v1", "tiny").generate([ask()])
    assert reply.text == "はい"
    assert received[0].startswith(b"POST http://far.example/v1/chat/completions ")
