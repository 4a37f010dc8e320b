import asyncio
import gc
import json
import logging
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from aiohttp import web

from teichaku.backends import http, http_engine, http_transport
from teichaku.backends.chat_completions import NoCompletionError, read_replies, request_body
from teichaku.backends.http import HttpModel, RetryDelays, Watchdog
from teichaku.backends.http_answers import retry_after
from teichaku.backends.loop_thread import loop_on_a_thread
from teichaku.core.errors import UserError
from teichaku.core.prompts import PromptPack, parse_prompt
from teichaku.core.records import Message, Reply, Request, Sampling
from teichaku.core.text import is_language

NO_WAIT = RetryDelays(first=0.001, longest=0.002, longest_asked=0.05)
AS_JSON = PromptPack("ja").load("as_json")
SCHEMA = {"type": "object", "properties": {"答え": {"type": "string"}}, "required": ["答え"]}
Behaviour = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def ask(text: str = "問い", **fields: Any) -> Request:
    return Request((Message("user", text),), **fields)


def answer(text: str = "答え") -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }


def as_body(content: object) -> bytes:
    return orjson.dumps(content)


class ScriptedServer:
    """An OpenAI-compatible server; ``behaviour`` answers, ``bodies`` are what it was sent."""

    def __init__(self, address: str) -> None:
        self.base_url = address
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.behaviour: Behaviour = good

    @property
    def asked(self) -> Counter[str]:
        return Counter(body["messages"][-1]["content"] for body in self.bodies)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        return await self.behaviour(request, body)

    def model(self, **settings: Any) -> HttpModel:
        given = {"delays": NO_WAIT, "as_json": AS_JSON, **settings}
        return HttpModel(self.base_url, "tiny", **given)


async def good(request: web.Request, body: dict[str, Any]) -> web.Response:
    return web.json_response(answer(f"re: {body['messages'][-1]['content']}"))


def first_then_good(*first: Callable[[], web.Response]) -> Behaviour:
    """Each of ``first`` once, then good answers."""
    waiting = list(first)

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        return waiting.pop(0)() if waiting else await good(request, body)

    return behave


def always(response: Callable[[], web.Response]) -> Behaviour:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        return response()

    return behave


@contextmanager
def serving() -> Iterator[ScriptedServer]:
    async def start() -> tuple[web.AppRunner, ScriptedServer]:
        scripted = ScriptedServer("")
        app = web.Application()
        app.router.add_post("/v1/chat/completions", scripted.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        scripted.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner, scripted

    with loop_on_a_thread("scripted-server") as loop:
        runner, scripted = loop.run(start())
        yield scripted
        loop.run(runner.cleanup())


@pytest.fixture(params=["plain", "aiohttp"])
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedServer]:
    """A server that is reached over our own connections, and over aiohttp's."""
    if request.param == "aiohttp":
        monkeypatch.setattr(http_transport, "_needs_nothing_special", lambda url: False)
    with serving() as scripted:
        yield scripted


def test_a_request_becomes_a_body_with_all_its_sampling() -> None:
    request = Request(
        (Message("system", "短く。"), Message("user", "都は？")),
        Sampling(temperature=0.7, top_p=0.9, max_tokens=33, seed=5, stop=("。",)),
        schema=SCHEMA,
    )
    assert json.loads(request_body("tiny", request, {"top_k": 3, "seed": None})) == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "短く。"},
            {"role": "user", "content": "都は？"},
        ],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 33,
        "stop": ["。"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": SCHEMA},
        },
        "top_k": 3,
    }


def test_japanese_is_sent_as_utf_8_not_as_escapes() -> None:
    assert "問い".encode() in request_body("tiny", ask(), {})


def test_a_schema_can_be_asked_for_in_words() -> None:
    body = json.loads(request_body("tiny", ask(schema=SCHEMA), {}, as_json=AS_JSON))
    asked = body["messages"][-1]["content"]
    assert asked.startswith("問い\n\n")
    assert "```json" in asked
    assert is_language(asked.partition("```json")[0], "ja")
    assert json.loads(asked.splitlines()[-1]) == SCHEMA
    assert "response_format" not in body


def test_a_schema_is_asked_for_in_the_words_that_were_handed_in(server: ScriptedServer) -> None:
    own = parse_prompt("version: 7\n[user]\nกรุณาตอบเป็น JSON: {{ schema }}\n", "th/as_json")
    model = server.model(structured="prompt", as_json=own)
    list(model.generate([ask(schema=SCHEMA)]))
    (asked,) = server.asked
    assert asked.startswith("問い\n\nกรุณาตอบเป็น JSON: {")
    assert "#prompt:th/as_json@7:" in model.identity
    other = parse_prompt("version: 7\n[user]\nตอบเป็น JSON: {{ schema }}\n", "th/as_json")
    assert server.model(structured="prompt", as_json=other).identity != model.identity
    assert server.model(as_json=own).identity == server.model(as_json=other).identity


def test_without_words_no_schema_is_put_into_them(server: ScriptedServer) -> None:
    server.behaviour = refuse_schema
    (reply,) = server.model(as_json=None).generate([ask(schema=SCHEMA)])
    assert "json_schema is not supported" in reply.error
    with pytest.raises(UserError, match="needs the words"):
        server.model(structured="prompt", as_json=None)


def test_samples_of_one_request_have_seeds_of_their_own() -> None:
    def seed(**fields: Any) -> int:
        value = json.loads(request_body("tiny", ask(**fields), {}))["seed"]
        assert isinstance(value, int)
        return value

    assert seed(sampling=Sampling(seed=5)) == 5
    several = {seed(sampling=Sampling(seed=s), sample_index=n) for s in range(3) for n in range(3)}
    assert len(several) == 9
    assert all(0 <= number < 2**31 for number in several)


def test_a_body_becomes_a_reply_with_reason_and_usage() -> None:
    content = answer("はい")
    content["choices"][0]["finish_reason"] = "length"
    assert read_replies([ask()], as_body(content)) == [Reply(ask(), "はい", "length", 11, 7)]


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": None}, {"prompt_tokens": "11"}])
def test_usage_that_is_missing_or_odd_counts_as_nothing(usage: object) -> None:
    (reply,) = read_replies([ask()], as_body({**answer(), "usage": usage}))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("答え", 0, 0)


def test_content_in_parts_is_joined_and_null_is_empty() -> None:
    parts = answer()
    parts["choices"][0]["message"]["content"] = [{"type": "text", "text": "は"}, {"text": "い"}]
    assert read_replies([ask()], as_body(parts))[0].text == "はい"
    parts["choices"][0]["message"]["content"] = None
    assert read_replies([ask()], as_body(parts))[0].text == ""


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"<html>", b"[]", b"null", b'{"choices": []}', b'{"error": "x"}']
)
def test_a_body_that_is_no_completion_is_refused(body: bytes) -> None:
    with pytest.raises(NoCompletionError):
        read_replies([ask()], body)


@pytest.mark.parametrize(
    ("written", "text"),
    [("<think>…</think>答え", "答え"), ("<Think>cut off by", "<Think>cut off by")],
)
def test_a_reply_is_without_thinking_unless_nothing_else_came(written: str, text: str) -> None:
    assert read_replies([ask()], as_body(answer(written)))[0].text == text


@pytest.mark.parametrize(
    "choice",
    [
        {"error": {"code": 502, "message": "away"}, "finish_reason": "error", "message": {}},
        {"error": {"code": 502, "message": "away"}},
        {"finish_reason": "error", "message": {"content": "away"}},
    ],
)
def test_a_reply_that_broke_off_behind_a_gateway_is_none(choice: dict[str, object]) -> None:
    with pytest.raises(NoCompletionError, match=r"broke off.*away"):
        read_replies([ask()], as_body({"choices": [choice]}))


def test_every_request_is_answered_once_with_its_subject(server: ScriptedServer) -> None:
    replies = list(server.model().generate(ask(f"問{n}", subject=n) for n in range(300)))
    assert sorted(reply.request.subject for reply in replies) == list(range(300))
    assert all(reply.text == f"re: 問{reply.request.subject}" for reply in replies)
    assert (replies[0].finish_reason, replies[0].prompt_tokens) == ("stop", 11)
    assert set(server.asked.values()) == {1}


def test_no_requests_give_no_replies(server: ScriptedServer) -> None:
    assert list(server.model().generate([])) == []


def test_requests_go_out_together_but_not_more_than_allowed(server: ScriptedServer) -> None:
    together = most = 0
    full = asyncio.Event()

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        nonlocal together, most
        together += 1
        most = max(most, together)
        if together == 5:
            full.set()
        await full.wait()
        together -= 1
        return await good(request, body)

    server.behaviour = behave
    assert len(list(server.model(max_concurrency=5).generate(ask(str(n)) for n in range(50)))) == 50
    assert most == 5


def test_requests_are_pulled_as_they_are_needed(server: ScriptedServer) -> None:
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for number in range(10_000):
            pulled += 1
            yield ask(str(number))

    replies = server.model(max_concurrency=4).generate(requests())
    for taken in range(1, 20):
        next(replies)
        assert pulled <= taken + 8
    replies.close()  # type: ignore[attr-defined]
    assert pulled <= 20 + 8


def test_stopping_early_cancels_what_is_in_flight(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        if body["messages"][-1]["content"] != "0":
            await asyncio.sleep(3600)
        return await good(request, body)

    server.behaviour = behave
    replies = server.model(max_concurrency=4).generate(ask(str(n)) for n in range(100))
    assert next(replies).text == "re: 0"
    replies.close()  # type: ignore[attr-defined]
    gc.collect()
    assert caplog.records == []
    assert "http-model" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError])
def test_what_the_requests_raise_reaches_the_caller(
    server: ScriptedServer, failure: type[BaseException]
) -> None:
    def requests() -> Iterator[Request]:
        yield ask()
        raise failure

    with pytest.raises(failure):
        list(server.model().generate(requests()))
    assert "http-model" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: web.Response(status=500, text="oops"),
        lambda: web.Response(status=503),
        lambda: web.Response(status=408),
        lambda: web.Response(status=409),
        lambda: web.Response(status=429, headers={"Retry-After": "0.01"}),
        lambda: web.Response(status=429, headers={"Retry-After": "soon"}),
        lambda: web.Response(status=200, body=b""),
        lambda: web.Response(status=200, body=b'{"choices": [{"mess'),
        lambda: web.Response(status=200, body=b"<html>busy</html>"),
        lambda: web.json_response({"choices": [{"error": {}, "finish_reason": "error"}]}),
    ],
)
def test_trouble_that_may_pass_is_tried_again(
    server: ScriptedServer, trouble: Callable[[], web.Response]
) -> None:
    server.behaviour = first_then_good(trouble, trouble)
    (reply,) = server.model(max_retries=2).generate([ask()])
    assert reply.text == "re: 問い"
    assert server.asked == {"問い": 3}


def test_trouble_that_does_not_pass_becomes_an_error_after_the_limit(
    server: ScriptedServer,
) -> None:
    server.behaviour = always(lambda: web.json_response({"error": {"message": "全"}}, status=500))
    (reply,) = server.model(max_retries=3).generate([ask(subject="s")])
    assert (reply.text, reply.request.subject) == ("", "s")
    assert "HTTP 500" in reply.error
    assert "全" in reply.error
    assert server.asked == {"問い": 4}


def test_one_bad_request_does_not_harm_the_others(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        if body["messages"][-1]["content"] in ("3", "5"):
            return web.Response(status=500)
        return await good(request, body)

    server.behaviour = behave
    replies = list(server.model(max_retries=1).generate(ask(str(n)) for n in range(20)))
    failed = {reply.request.messages[-1].content for reply in replies if reply.error}
    assert (len(replies), failed) == (20, {"3", "5"})


@pytest.mark.parametrize(
    ("status", "told"),
    [(400, "too long"), (401, "TINY_KEY"), (403, "TINY_KEY"), (404, "no model 'tiny'")],
)
def test_what_cannot_pass_is_not_tried_again(
    server: ScriptedServer, status: int, told: str
) -> None:
    server.behaviour = always(lambda: web.Response(status=status, text="too long"))
    (reply,) = server.model(api_key_env="TINY_KEY").generate([ask()])
    assert f"HTTP {status}" in reply.error
    assert told in reply.error
    assert server.asked == {"問い": 1}


@pytest.mark.parametrize(
    ("status", "said", "final"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested", True),
        (400, "the request exceeds the available context size, try increasing it", True),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", True),
        (400, "The input token count (9000) exceeds the maximum number of tokens allowed", True),
        (400, "The response was filtered by the content management policy.", True),
        (413, "Payload Too Large", True),
        (422, "Input validation error: `inputs` must have less than 1024 tokens.", True),
        (400, "Unrecognized request argument supplied: logit_biass", False),
        (400, "Your credit balance is too low.", False),
        (401, "no context length for this key", False),
        (404, "no such model", False),
    ],
)  # fmt: skip
def test_a_refusal_of_the_prompt_itself_is_final_and_other_failures_are_not(
    server: ScriptedServer, status: int, said: str, final: bool
) -> None:
    error = {"error": {"message": said}}
    server.behaviour = always(lambda: web.json_response(error, status=status))
    (reply,) = server.model().generate([ask()])
    assert (said in reply.error, reply.final) == (True, final)
    assert server.asked == {"問い": 1}


def test_a_key_that_no_header_holds_is_not_final(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", "\ufeffsk-1")
    (reply,) = server.model(api_key_env="TINY_KEY").generate([ask()])
    assert (bool(reply.error), reply.final) == (True, False)
    assert not server.headers


def test_what_no_server_can_be_sent_is_final(server: ScriptedServer) -> None:
    plain = replace(ask("問い"), plain=True)
    assert [reply.final for reply in server.model().generate([plain, ask("\ud83d")])] == [True] * 2


def test_retry_after_holds_back_the_whole_stream(server: ScriptedServer) -> None:
    holding = False
    too_early = 0

    def release() -> None:
        nonlocal holding
        holding = False

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        nonlocal holding, too_early
        too_early += holding
        if len(server.bodies) == 10:
            holding = True
            asyncio.get_running_loop().call_later(0.2, release)
            return web.Response(status=429, headers={"Retry-After": "0.4"})
        return await good(request, body)

    server.behaviour = behave
    model = server.model(max_concurrency=2, delays=RetryDelays(0.001, 0.002, 60))
    replies = list(model.generate(ask(str(n)) for n in range(100)))
    assert [reply.error for reply in replies] == [""] * 100
    # Those that were on their way when the server said so.
    assert too_early <= 4


def test_an_http_date_in_retry_after_is_understood() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for written in (
        format_datetime(tomorrow, usegmt=True),
        tomorrow.strftime("%a, %d %b %Y %H:%M:%S"),
    ):
        assert retry_after(written) == pytest.approx(86_400, abs=60)
    assert retry_after(format_datetime(tomorrow - timedelta(days=2), usegmt=True)) == 0.0
    assert retry_after("1.5") == 1.5


@pytest.mark.parametrize(
    "written", ["", "soon", *(f"Wed, 21 Oct 2099 07:28:00 +{'9' * n}" for n in range(4, 30))]
)
def test_a_retry_after_that_is_neither_is_none(written: str) -> None:
    assert retry_after(written) is None


def test_too_long_a_wait_is_cut(server: ScriptedServer) -> None:
    server.behaviour = first_then_good(
        lambda: web.Response(status=429, headers={"Retry-After": "86400"}),
    )
    (reply,) = server.model().generate([ask()])
    assert reply.text == "re: 問い"


def test_too_many_requests_is_no_failure_while_others_get_through(server: ScriptedServer) -> None:
    arrivals = asyncio.Condition()
    refused = 0

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        nonlocal refused
        seen = len(server.bodies)
        async with arrivals:
            arrivals.notify_all()
            if body["messages"][-1]["content"] == "patient" and refused < 5:
                refused += 1
                # The other place in flight is free again only when its reply was taken.
                await arrivals.wait_for(lambda: len(server.bodies) >= seen + 2)
                return web.Response(status=429)
        return await good(request, body)

    server.behaviour = behave
    requests = [ask("patient"), *(ask(str(n)) for n in range(1000))]
    replies = list(server.model(max_retries=0, max_concurrency=8).generate(requests))
    assert refused == 5
    assert [reply.error for reply in replies if reply.error] == []


def test_a_server_that_hangs_is_given_up_after_few_tries(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    server.behaviour = behave
    (reply,) = server.model(timeout_seconds=0.1, max_retries=6).generate([ask()])
    assert "did not answer in 0.1 s" in reply.error
    assert server.asked == {"問い": 3}


def test_a_server_that_hangs_is_not_waited_for_by_each_request(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    server.behaviour = behave
    model = server.model(timeout_seconds=0.1, max_concurrency=1)
    replies = list(model.generate(ask(str(n)) for n in range(6)))
    assert [reply.error[-10:] for reply in replies[:2]] == ["(tries: 3)"] * 2
    assert all("did not answer in 0.1 s" in reply.error for reply in replies)
    assert len(server.bodies) <= 9 + 3


def test_each_request_has_its_own_patience(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        name = body["messages"][-1]["content"]
        if name == "endless" or server.asked[name] <= 2:
            await asyncio.sleep(3600)
        return await good(request, body)

    server.behaviour = behave
    model = server.model(timeout_seconds=0.3, max_concurrency=1)
    replies = list(model.generate([ask("endless"), ask("slow"), ask("slow too")]))
    assert [bool(reply.error) for reply in replies] == [True, False, False]


def test_a_server_that_is_down_makes_errors_and_is_not_waited_for_each_time() -> None:
    waits: list[int] = []

    class Counted(RetryDelays):
        def before(self, retry: int, salt: bytes) -> float:
            waits.append(retry)
            return 0.0

    model = HttpModel(
        "http://127.0.0.1:1/v1", "tiny", max_concurrency=4, max_retries=3, delays=Counted()
    )
    replies = list(model.generate(ask(str(n)) for n in range(50)))
    assert len(replies) == 50
    assert all("cannot be reached" in reply.error for reply in replies)
    # Three waits of the four in flight, and those of the one request that keeps knocking.
    assert 3 <= len(waits) <= 12


@pytest.mark.skipif(sys.platform != "linux", reason="fills a queue as Linux does")
def test_a_connection_that_cannot_be_made_is_no_late_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.2)
    with socket.socket() as deaf, socket.socket() as first:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        first.connect(deaf.getsockname())
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        (reply,) = HttpModel(address, "tiny", max_retries=1, delays=NO_WAIT).generate([ask()])
    assert "cannot be reached: no connection in 0.2 s (tries: 2)" in reply.error


def test_a_connection_that_breaks_off_is_tried_again(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        if len(server.bodies) == 1:
            assert request.transport is not None
            request.transport.abort()
        return await good(request, body)

    server.behaviour = behave
    (reply,) = server.model().generate([ask()])
    assert reply.text == "re: 問い"


def refuse_schema(request: web.Request, body: dict[str, Any]) -> Awaitable[web.StreamResponse]:
    async def refuse() -> web.Response:
        error = {"error": {"message": "response_format.type json_schema is not supported"}}
        return web.json_response(error, status=400)

    return refuse() if "response_format" in body else good(request, body)


def test_a_refused_schema_is_asked_for_in_words_from_then_on(server: ScriptedServer) -> None:
    server.behaviour = refuse_schema
    requests = [ask(str(n), schema=SCHEMA) for n in range(10)]
    replies = list(server.model(max_concurrency=1, max_retries=0).generate(requests))
    assert [reply.error for reply in replies] == [""] * 10
    assert all("```json" in reply.text for reply in replies)
    assert ["response_format" in body for body in server.bodies] == [True] + [False] * 10


def test_a_schema_that_must_be_native_is_an_error_where_it_is_refused(
    server: ScriptedServer,
) -> None:
    server.behaviour = refuse_schema
    (reply,) = server.model(structured="json_schema").generate([ask(schema=SCHEMA)])
    assert "json_schema is not supported" in reply.error
    assert len(server.bodies) == 1


def test_structured_by_prompt_never_sends_a_schema(server: ScriptedServer) -> None:
    list(server.model(structured="prompt").generate([ask(schema=SCHEMA)]))
    assert "response_format" not in server.bodies[0]


def test_the_key_goes_into_the_header_and_nowhere_else(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = "sk-tiny-0123456789"
    monkeypatch.setenv("TINY_KEY", key)

    async def echo(request: web.Request, body: dict[str, Any]) -> web.Response:
        header = request.headers["Authorization"]
        name = body["messages"][-1]["content"]
        if name == "good":
            return web.json_response(answer(f"you sent {header}"))
        if name == "broken":
            return web.Response(status=200, text=f"broken {header}")
        if name == "json":
            return web.json_response({"error": {"message": f"bad key {header}"}}, status=401)
        return web.Response(status=500, text=f"oops {header} {key[:60]}", reason=header)

    server.behaviour = echo
    model = server.model(api_key_env="TINY_KEY", max_retries=1)
    caplog.set_level(logging.DEBUG)
    names = ["good", "broken", "json", "text"]
    replies = list(model.generate(ask(name) for name in names))
    assert all(headers["Authorization"] == f"Bearer {key}" for headers in server.headers)
    shown = [repr(replies), repr(model), model.identity, caplog.text, repr(vars(model))]
    assert all(key not in text for text in shown)
    assert sum("***" in reply.error + reply.text for reply in replies) == 4


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("written", ["{}", '{{"error": {{"message": "{}"}}}}', '{{"said": "{}"}}'])
def test_a_key_is_taken_out_before_an_error_is_cut(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, status: int, written: str
) -> None:
    key = "k-0123456789"
    monkeypatch.setenv("TINY_KEY", key)
    # Blanks are joined afterwards, so an early cut could show its border.
    bodies = [written.format("x" * n + " " * 100 + key) for n in range(0, 600, 3)]
    bodies += [written.format(" " * n + key) for n in range(1900, 2000, 3)]

    async def echo(request: web.Request, body: dict[str, Any]) -> web.Response:
        return web.Response(status=status, text=bodies[int(body["messages"][-1]["content"])])

    server.behaviour = echo
    model = server.model(api_key_env="TINY_KEY", max_retries=0)
    errors = [reply.error for reply in model.generate(ask(str(n)) for n in range(len(bodies)))]
    assert len(errors) == len(bodies)
    assert [error for error in errors if key[:4] in error] == []
    assert max(map(len, errors)) < 600


def test_the_key_is_read_when_a_request_is_sent(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = server.model(api_key_env="TINY_KEY")
    for key in ("first", "second"):
        monkeypatch.setenv("TINY_KEY", key)
        list(model.generate([ask(key)]))
    assert [headers["Authorization"] for headers in server.headers] == [
        "Bearer first",
        "Bearer second",
    ]


def test_without_a_key_no_header_is_sent(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINY_KEY", raising=False)
    list(server.model(api_key_env="TINY_KEY").generate([ask()]))
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize("address", ["localhost:8000/v1", "", "ftp://host/v1", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="no web address"):
        HttpModel(address, "tiny")


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError) as caught:
        HttpModel("http://me:hunter2@host/v1", "tiny")
    assert "hunter2" not in str(caught.value)


def test_identity_names_endpoint_model_and_all_that_shapes_replies() -> None:
    def identity(**settings: Any) -> str:
        return HttpModel("http://host/v1/", "org/tiny", as_json=AS_JSON, **settings).identity

    assert identity() == identity(structured="auto") == "http:http://host/v1#org/tiny"
    assert identity(extra={"top_k": 1}) == 'http:http://host/v1#org/tiny{"top_k":1}'
    different = {
        identity(structured="prompt"),
        identity(structured="json_schema"),
        identity(extra={"guided_json": {"properties": {"a": {}, "b": {}}}}),
        identity(extra={"guided_json": {"properties": {"b": {}, "a": {}}}}),
    }
    assert len(different | {identity()}) == 5


def test_a_message_that_is_no_unicode_becomes_an_error(server: ScriptedServer) -> None:
    replies = list(server.model().generate([ask("\ud800"), ask("good")]))
    assert sorted(bool(reply.error) for reply in replies) == [False, True]


def test_the_limit_of_open_files_is_raised_for_many_connections(server: ScriptedServer) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        (reply,) = server.model(max_concurrency=1000).generate([ask()])
        assert reply.text == "re: 問い"
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_delays_grow_to_a_limit_and_are_always_the_same() -> None:
    delays = RetryDelays(first=1.0, longest=8.0)
    waited = [delays.before(retry, b"salt") for retry in range(10)]
    assert waited == [delays.before(retry, b"salt") for retry in range(10)]
    assert all(2**retry / 2 <= waited[retry] <= 2**retry for retry in range(3))
    assert max(waited) <= 8.0
    assert delays.before(0, b"salt") != delays.before(0, b"pepper")


def test_after_none_a_reply_is_handed_on_before_the_next_request_is_pulled(
    server: ScriptedServer,
) -> None:
    seen: list[str] = []

    def requests() -> Iterator[Request | None]:
        yield ask("first")
        while len(seen) < 5:
            known = len(seen)
            yield None
            assert len(seen) == known + 1
            yield ask(f"{seen[-1]}!")

    for reply in server.model().generate(requests()):
        seen.append(reply.text)
    assert len(seen) == 6
    assert seen[2] == "re: re: re: first!!"


def test_at_none_with_nothing_on_its_way_the_stream_ends(server: ScriptedServer) -> None:
    pulled: list[Request | None] = []

    def requests() -> Iterator[Request | None]:
        for request in (ask("one"), None, None, ask("never")):
            pulled.append(request)
            yield request

    replies = server.model().generate(requests())
    assert [reply.text for reply in replies] == ["re: one"]
    assert pulled == [ask("one"), None, None]


def test_a_reply_among_the_requests_is_handed_on_though_others_hang(
    server: ScriptedServer,
) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    server.behaviour = behave
    known = Reply(ask("known"), "of old", cached=True)
    replies = server.model().generate([ask("slow"), known, ask("slow too")])
    assert next(replies) is known
    replies.close()  # type: ignore[attr-defined]


def test_a_retry_that_waits_takes_up_no_place_in_flight(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        name = body["messages"][-1]["content"]
        if name == "ill" and len(server.bodies) < 20:
            return web.Response(status=500)
        return await good(request, body)

    server.behaviour = behave
    model = server.model(max_concurrency=1, delays=RetryDelays(0.2, 0.2))
    replies = list(model.generate([ask("ill"), *(ask(str(n)) for n in range(19))]))
    assert replies[-1].request == ask("ill")
    assert [reply.error for reply in replies] == [""] * 20
    assert server.asked["ill"] == 2


def test_a_server_that_never_answered_is_not_asked_by_thousands() -> None:
    calls = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.transport.abort()

    with loop_on_a_thread("rude-server") as loop:
        rude = loop.run(asyncio.start_server(hang_up, "127.0.0.1", 0))
        address = f"http://127.0.0.1:{rude.sockets[0].getsockname()[1]}/v1"
        model = HttpModel(address, "tiny", max_retries=3, delays=RetryDelays(0.001, 0.002))
        replies = list(model.generate(ask(str(n)) for n in range(3000)))
        rude.close()
    assert len(replies) == 3000
    assert all("cannot be reached" in reply.error for reply in replies)
    assert calls < 150


def test_a_server_that_comes_back_is_found_again(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if 10 < len(server.bodies) < 20:
            assert request.transport is not None
            request.transport.abort()
        return await good(request, body)

    server.behaviour = behave
    model = server.model(max_concurrency=4, max_retries=12)
    replies = list(model.generate(ask(str(n)) for n in range(100)))
    assert [reply.error for reply in replies] == [""] * 100


def test_a_server_with_too_much_to_do_is_sent_fewer_at_once(server: ScriptedServer) -> None:
    together, most_taken = 0, 0

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        nonlocal together, most_taken
        if together >= 4:
            return web.Response(status=429)
        together += 1
        most_taken = max(most_taken, together)
        await asyncio.sleep(0.002)
        together -= 1
        return await good(request, body)

    server.behaviour = behave
    replies = list(server.model(max_concurrency=64).generate(ask(str(n)) for n in range(600)))
    assert [reply.error for reply in replies] == [""] * 600
    assert most_taken == 4
    assert len(server.bodies) < 2 * 600


def test_tokens_in_flight_are_limited(server: ScriptedServer) -> None:
    together = most = 0

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0.001)
        together -= 1
        return await good(request, body)

    server.behaviour = behave
    model = server.model(max_tokens_in_flight=1000)
    # About 100 tokens of prompt and 200 of reply each; one that is too large goes alone.
    small = [ask("問" * 100, sampling=Sampling(max_tokens=200, seed=n)) for n in range(50)]
    large = [ask("大", sampling=Sampling(max_tokens=5000))]
    replies = list(model.generate([*small[:25], *large, *small[25:]]))
    assert [reply.error for reply in replies] == [""] * 51
    assert most == 3


def test_several_servers_share_the_requests_and_the_least_loaded_is_next() -> None:
    with serving() as one, serving() as other:
        held = asyncio.Event()

        async def slow(request: web.Request, body: dict[str, Any]) -> web.Response:
            await held.wait()
            return await good(request, body)

        one.behaviour = slow
        model = HttpModel([one.base_url, other.base_url], "tiny", max_concurrency=4)
        replies = model.generate(ask(str(n)) for n in range(100))
        texts = {next(replies).text for _ in range(90)}
        held_there = len(one.bodies)
        replies.close()  # type: ignore[attr-defined]
    assert held_there == 4
    assert len(texts) == 90


def test_a_server_that_is_away_is_rested_and_its_requests_go_to_the_others() -> None:
    with serving() as alive:
        model = HttpModel(
            ["http://127.0.0.1:1/v1", alive.base_url],
            "tiny",
            max_retries=0,
            delays=RetryDelays(30, 30),
        )
        replies = list(model.generate(ask(str(n)) for n in range(100)))
    assert [reply.error for reply in replies] == [""] * 100
    assert set(alive.asked.values()) == {1}


def test_a_server_that_does_not_know_the_model_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving() as other, serving() as right:
        other.behaviour = always(lambda: web.Response(status=404, text="unknown"))
        model = HttpModel([other.base_url, right.base_url], "tiny", max_concurrency=2)
        replies = list(model.generate(ask(str(n)) for n in range(50)))
        assert [reply.error for reply in replies] == [""] * 50
        assert len(other.bodies) <= 2
    assert "is asked no more" in caplog.text


def test_identity_is_that_of_the_first_server() -> None:
    one, two, three = (f"http://host{n}/v1" for n in range(3))
    alone = HttpModel(one, "tiny").identity
    assert {HttpModel(urls, "tiny").identity for urls in ([one, two], [one, three, two])} == {alone}
    assert HttpModel([two, one], "tiny").identity != alone


def test_a_request_that_hangs_alone_is_named_tried_once_more_and_given_up(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        name = body["messages"][-1]["content"]
        if name == "never" or (name == "once" and server.asked[name] == 1):
            await asyncio.sleep(3600)
        return await good(request, body)

    server.behaviour = behave
    named: list[str] = []
    model = server.model(
        timeout_seconds=3600,
        max_concurrency=8,
        watchdog=Watchdog(factor=4, floor_seconds=0.2),
        on_stuck=lambda request, seconds: named.append(request.messages[-1].content),
    )
    requests = [ask("never"), ask("once"), *(ask(str(n)) for n in range(300))]
    replies = {r.request.messages[-1].content: r for r in model.generate(requests)}
    assert sorted(named) == ["never", "once"]
    assert replies["once"].text == "re: once"
    # By the time of the others: a whole time-out is an hour.
    assert re.search(r"did not answer in [\d.]+ s \(tries: 2\)$", replies["never"].error)
    assert (len(replies), server.asked["never"], server.asked["once"]) == (302, 2, 2)
    given_up = [record.getMessage() for record in caplog.records if "given up" in record.message]
    assert len(given_up) == 1
    assert "'never…', sample 0; given up" in given_up[0]


def test_a_server_that_becomes_slow_for_all_is_waited_for(server: ScriptedServer) -> None:
    awake = asyncio.Event()

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        name = body["messages"][-1]["content"]
        if name.startswith("slow"):
            if server.asked[name] > 1:
                asyncio.get_running_loop().call_later(1.5, awake.set)
            await awake.wait()
        return await good(request, body)

    server.behaviour = behave
    model = server.model(
        timeout_seconds=3600,
        max_concurrency=8,
        watchdog=Watchdog(factor=4, floor_seconds=0.1),
        on_stuck=lambda request, seconds: None,
    )
    slow = [f"slow {n}" for n in range(8)]
    requests = [*(ask(str(n)) for n in range(300)), *map(ask, slow)]
    assert [reply.error for reply in model.generate(requests) if reply.error] == []
    assert [server.asked[name] for name in slow] == [2] * 8


def test_while_few_have_been_answered_the_time_out_alone_counts(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        if body["messages"][-1]["content"] == "slow":
            await asyncio.sleep(0.5)
        return await good(request, body)

    server.behaviour = behave
    model = server.model(timeout_seconds=3600, watchdog=Watchdog(factor=1, floor_seconds=0.01))
    replies = list(model.generate([ask("slow"), *(ask(str(n)) for n in range(50))]))
    assert [reply.error for reply in replies] == [""] * 51
    assert server.asked["slow"] == 1


async def several(request: web.Request, body: dict[str, Any]) -> web.Response:
    content = answer()
    (choice,) = content["choices"]
    content["choices"] = [
        {**choice, "message": {"content": f"re: {body['messages'][-1]['content']} {index}"}}
        for index in range(body.get("n", 1))
    ]
    return web.json_response(content)


def samples(count: int, text: str = "問い") -> list[Request]:
    return [ask(text, sample_index=n, sampling=Sampling(0.7, seed=n)) for n in range(count)]


def test_samples_that_follow_one_another_go_out_as_one(server: ScriptedServer) -> None:
    server.behaviour = several
    requests = [*samples(5, "a"), *samples(2, "b"), ask("c"), *samples(4, "a")]
    replies = list(server.model(samples_per_request=4).generate(requests))
    assert sorted(body.get("n", 1) for body in server.bodies) == [1, 1, 2, 4, 4]
    answered = Counter((r.request.messages, r.request.sampling) for r in replies)
    assert answered == Counter((request.messages, request.sampling) for request in requests)
    assert len({reply.text for reply in replies if "a" in reply.text}) == 4
    four = [r for r in replies if r.request in samples(4, "a")]
    assert sum(r.prompt_tokens for r in four) == 2 * 11
    assert sum(r.completion_tokens for r in four) == 2 * 7


def test_samples_are_sent_one_by_one_unless_asked_otherwise(server: ScriptedServer) -> None:
    server.behaviour = several
    list(server.model().generate(samples(5)))
    assert [body.get("n") for body in server.bodies] == [None] * 5


def test_samples_that_did_not_come_are_asked_for_again(server: ScriptedServer) -> None:
    server.behaviour = good
    replies = list(server.model(samples_per_request=8).generate(samples(24)))
    assert sorted(reply.request.sample_index for reply in replies) == list(range(24))
    assert [reply.error for reply in replies] == [""] * 24
    assert len(server.bodies) == 24


def test_a_server_that_refuses_n_is_asked_one_by_one(server: ScriptedServer) -> None:
    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        if "n" in body:
            return web.Response(status=400, text="n must be 1")
        return await good(request, body)

    server.behaviour = behave
    model = server.model(samples_per_request=4)
    replies = list(model.generate(samples(20)))
    assert [reply.error for reply in replies] == [""] * 20
    list(model.generate(samples(8)))
    assert sum("n" in body for body in server.bodies) <= 5


def test_a_failed_group_of_samples_fails_each_of_them(server: ScriptedServer) -> None:
    server.behaviour = always(lambda: web.Response(status=500))
    replies = list(server.model(samples_per_request=4, max_retries=1).generate(samples(4)))
    assert sorted(reply.request.sample_index for reply in replies) == [0, 1, 2, 3]
    assert all("HTTP 500" in reply.error for reply in replies)
    assert len(server.bodies) == 2


INTERRUPTED = """
import sys
from teichaku.backends.http import HttpModel
from teichaku.core.interrupts import hear_every_interrupt
from teichaku.core.records import Message, Request
hear_every_interrupt()
requests = (Request((Message("user", str(number)),)) for number in range(1000))
print("began", flush=True)
try:
    for reply in HttpModel(sys.argv[1], "tiny").generate(requests):
        print("reply", flush=True)
except KeyboardInterrupt:
    print("ended", flush=True)
"""


def test_an_interrupt_ends_everything_though_all_requests_hang(server: ScriptedServer) -> None:
    arrived = threading.Event()

    async def behave(request: web.Request, body: dict[str, Any]) -> web.Response:
        arrived.set()
        await asyncio.sleep(3600)
        return web.Response()

    server.behaviour = behave
    command = [sys.executable, "-c", INTERRUPTED, server.base_url]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert arrived.wait(30)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=30)
    assert said.split() == ["began", "ended"]
    assert errors == ""


def test_a_defect_of_the_engine_is_raised_and_not_waited_for(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(http_engine, "read_response", defect)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        list(server.model().generate([ask()]))
    assert "http-model" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.models
def test_a_real_server_answers_in_json_in_words_and_with_plain_errors() -> None:
    xllamacpp = pytest.importorskip("xllamacpp")
    from teichaku.backends.registry import pull

    settings = xllamacpp.CommonParams()
    settings.model.path = str(pull("smollm2-135m-instruct"))
    settings.n_ctx, settings.n_parallel, settings.verbosity = 1024, 2, -1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.warmup = False
    engine = xllamacpp.Server(settings)
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string", "maxLength": 12}},
        "required": ["capital"],
        "additionalProperties": False,
    }
    question = "What is the capital of France?"
    requests = [
        ask(question, schema=schema, sampling=Sampling(max_tokens=40)),
        ask(question, sampling=Sampling(max_tokens=5)),
        ask("much " * 2000),
    ]
    model = HttpModel(f"{engine.listening_address}/v1", "smol", delays=NO_WAIT)
    replies = sorted(model.generate(requests), key=lambda reply: requests.index(reply.request))
    assert list(json.loads(replies[0].text)) == ["capital"]
    assert (replies[1].finish_reason, replies[1].completion_tokens) == ("length", 5)
    assert "context" in replies[2].error
