"""An OpenAI-compatible server without a model, for measuring and testing clients.

    python bench/mock_server.py [--port N] [--latency SECONDS] [--characters N]
                                [--refused SHARE] [--failed SHARE] [--broken SHARE]
                                [--hanging TEXT ...]

The first line it prints is its address. ``POST /v1/chat/completions`` (with ``n``) is answered
after ``--latency`` with question-answer pairs in Japanese as JSON, ``--characters`` in all.
What it does depends on the content of a request alone: the shares of the contents whose first
try meets 429, 500 or half a body, and the contents (those that hold TEXT) that never get a
reply, however often they are tried. ``GET /stats`` gives its counters as JSON.

It is one asyncio.Protocol, so that on a shared machine the client is what is measured.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

SENTENCE = "この湖の遊覧船は春の終わりから秋の初めまで毎日運航し、乗船券は桟橋の窓口で求められる。"
USAGE = {"prompt_tokens": 1800, "completion_tokens": 420}


@dataclass(frozen=True)
class Behaviour:
    """Seconds before a reply, its length, the shares of first tries that fail, and what a
    request holds that never gets a reply.
    """

    latency: float = 0.5
    characters: int = 700
    refused: float = 0.0
    failed: float = 0.0
    broken: float = 0.0
    hanging: tuple[str, ...] = ()


def reply_text(name: str, characters: int) -> str:
    """Two pairs of ``characters`` in all, different for each ``name``."""
    length = max(1, characters // 2 - len(name) - 20)
    answer = (SENTENCE * (length // len(SENTENCE) + 1))[:length]
    pairs = [{"question": f"{name}の{n}は何か。", "answer": answer} for n in (1, 2)]
    return json.dumps({"pairs": pairs}, ensure_ascii=False)


class Server:
    """What all connections share."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.counts: Counter[str] = Counter()
        self.at_once = 0
        self._seen: set[bytes] = set()
        self._before, self._after = _reply_parts(behaviour.characters)

    def answer(self, body: bytes) -> tuple[float | None, int, bytes]:
        """Seconds to wait (None: for ever), status and body of the response."""
        fields = orjson.loads(body)
        self.counts["requests"] += 1
        content = fields["messages"][-1]["content"]
        if any(text in content for text in self.behaviour.hanging):
            self.counts["hanging"] += 1
            return None, 0, b""
        name = blake2b(f"{content}\n{fields.get('seed')}".encode(), digest_size=8).digest()
        trouble = self._trouble(name)
        if trouble is not None:
            self.counts[trouble[0]] += 1
            return trouble[1:]
        self.counts["replies"] += 1
        return self.behaviour.latency, 200, self._completion(name.hex(), int(fields.get("n") or 1))

    def stats(self) -> dict[str, int]:
        """The counters."""
        return {**self.counts, "at_once": self.at_once}

    def _trouble(self, name: bytes) -> tuple[str, float, int, bytes] | None:
        """What the first try of this content meets, if anything."""
        behaviour, drawn = self.behaviour, int.from_bytes(name, "big") / 2**64
        if drawn >= behaviour.refused + behaviour.failed + behaviour.broken or name in self._seen:
            return None
        self._seen.add(name)
        if drawn < behaviour.refused:
            return "refused", 0.0, 429, b'{"error": {"message": "too many requests"}}'
        if drawn < behaviour.refused + behaviour.failed:
            return "failed", behaviour.latency, 500, b'{"error": {"message": "out of order"}}'
        whole = self._completion(name.hex(), 1)
        return "broken", behaviour.latency, 200, whole[: len(whole) // 2]

    def _completion(self, name: str, count: int) -> bytes:
        choices = b",".join(
            b'{"index":%d,"finish_reason":"stop","message":{"role":"assistant","content":"%s"}}'
            % (index, self._before + f"{name}-{index}".encode() + self._after)
            for index in range(count)
        )
        usage = {
            key: value * (count if key != "prompt_tokens" else 1) for key, value in USAGE.items()
        }
        return b'{"object":"chat.completion","choices":[%s],"usage":%s}' % (
            choices,
            orjson.dumps(usage),
        )


def _reply_parts(characters: int) -> tuple[bytes, bytes]:
    """The reply as the inside of a JSON string, before and after the name that it bears."""
    mark = "-" * 18
    text = reply_text(mark, characters)
    before, _, after = text.partition(mark)
    return orjson.dumps(before)[1:-1], orjson.dumps(after.replace(mark, "同じ問い"))[1:-1]


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another, kept alive."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client called."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.counts["connections"] += 1

    def connection_lost(self, _: Exception | None) -> None:
        """It hung up."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """It sent something."""
        self._received += data
        while True:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            length = _content_length(head)
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._request(head, rest[:length])

    def _request(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /stats"):
            self._respond(200, orjson.dumps(self._server.stats()), sent=False)
            return
        server = self._server
        seconds, status, content = server.answer(body)
        server.counts["in_flight"] += 1
        server.at_once = max(server.at_once, server.counts["in_flight"])
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self._respond, status, content)

    def _respond(self, status: int, content: bytes, sent: bool = True) -> None:
        self._server.counts["in_flight"] -= sent
        if self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nServer: mock\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (status, len(content), content)
            )


def _content_length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    return int(after.partition(b"\r\n")[0]) if found else 0


@dataclass(frozen=True)
class Running:
    """A mock server in a process of its own."""

    base_url: str

    def stats(self) -> dict[str, int]:
        """Its counters so far."""
        address = self.base_url.removesuffix("/v1") + "/stats"
        with urllib.request.urlopen(address) as response:
            counts: dict[str, int] = json.load(response)
            return counts


@contextlib.contextmanager
def running(behaviour: Behaviour) -> Iterator[Running]:
    """A server with ``behaviour``, until the end of the block."""
    command = [sys.executable, str(Path(__file__)), "--latency", str(behaviour.latency)]
    command += ["--characters", str(behaviour.characters)]
    for name in ("refused", "failed", "broken"):
        command += [f"--{name}", str(getattr(behaviour, name))]
    for text in behaviour.hanging:
        command += ["--hanging", text]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Running(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait()


async def serve(port: int, behaviour: Behaviour) -> None:
    """Answer at ``port`` (0: any free one) until the process is ended."""
    server = Server(behaviour)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: Connection(server), "127.0.0.1", port, backlog=4096
    )
    address: Any = listening.sockets[0].getsockname()
    print(f"http://127.0.0.1:{address[1]}/v1", flush=True)
    await listening.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--characters", type=int, default=700)
    for name in ("refused", "failed", "broken"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--hanging", action="append", default=[])
    given = vars(parser.parse_args())
    port, hanging = given.pop("port"), tuple(given.pop("hanging"))
    # Whoever ends the server needs no traceback.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(port, Behaviour(**given, hanging=hanging)))


if __name__ == "__main__":
    main()
