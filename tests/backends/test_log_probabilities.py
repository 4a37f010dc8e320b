"""Log-probabilities of the first tokens: the same through every backend, kept as they came."""

import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from teichaku.backends.batch_files import BatchFileModel
from teichaku.backends.cache import CachedModel, RequestCache, request_key
from teichaku.backends.chat_completions import read_replies, request_body
from teichaku.backends.http import HttpModel, RetryDelays
from teichaku.backends.llama_cpp import LlamaCppModel
from teichaku.backends.loop_thread import loop_on_a_thread
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.errors import UserError
from teichaku.core.records import TOKENS_WITH_LOG_PROBABILITIES, Message, Reply, Request

TEXT = '{"score":4}'
#: The places of TEXT as servers give them: a list may leave the chosen token out.
GIVEN: list[dict[str, Any]] = [
    {"token": '{"', "logprob": 0, "top_logprobs": [{"token": '{"', "logprob": 0}]},
    {"token": "score", "logprob": -0.5, "top_logprobs": [{"token": "note", "logprob": -1.5}]},
    {"token": '":', "logprob": -0.1, "top_logprobs": None},
    {
        "token": "4",
        "logprob": -0.25,
        "top_logprobs": [
            {"token": "5", "logprob": -1.75},
            {"token": "4", "logprob": -0.25},
            {"token": "\ufffd", "logprob": math.log(0.01)},
            {"token": "\ufffd", "logprob": math.log(0.02)},
        ],
    },
    {"token": "}", "logprob": -0.0, "top_logprobs": []},
]
READ = (
    {'{"': 0.0},
    {"score": -0.5, "note": -1.5},
    {'":': -0.1},
    {"4": -0.25, "5": -1.75, "\ufffd": pytest.approx(math.log(0.03))},
    {"}": -0.0},
)


def ask(text: str = "点数は？", **fields: Any) -> Request:
    return Request((Message("user", text),), **{"top_log_probabilities": 20, **fields})


def body(given: object = GIVEN, text: str = TEXT) -> dict[str, Any]:
    choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": given}
    if isinstance(given, list):
        choice["logprobs"] = {"content": given}
    return {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}}


def read(given: object, request: Request | None = None) -> tuple[Any, ...]:
    (reply,) = read_replies([request or ask()], orjson.dumps(body(given)))
    assert reply.text == TEXT
    return reply.log_probabilities


def test_they_are_asked_for_where_the_request_wants_them() -> None:
    asked = json.loads(request_body("tiny", ask(), {}))
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 20)
    assert (
        not {"logprobs", "top_logprobs"}
        & json.loads(request_body("tiny", ask(top_log_probabilities=0), {})).keys()
    )
    refused = json.loads(request_body("tiny", ask(), {}, log_probabilities=False))
    assert not {"logprobs", "top_logprobs"} & refused.keys()


def test_the_chosen_token_comes_first_and_tokens_written_alike_count_together() -> None:
    found = read(GIVEN)
    assert found == READ
    assert "".join(next(iter(tokens)) for tokens in found) == TEXT


def test_only_the_first_tokens_are_kept() -> None:
    found = read([GIVEN[2]] * 100)
    assert len(found) == TOKENS_WITH_LOG_PROBABILITIES


def test_what_was_not_asked_for_is_not_kept() -> None:
    assert read(GIVEN, ask(top_log_probabilities=0)) == ()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, 0),
        ([], 0),
        ("none", 0),
        ({"content": None}, 0),
        ([*GIVEN[:2], {"token": 7}, *GIVEN[3:]], 2),
        ([*GIVEN[:2], {"token": "4", "logprob": None}, *GIVEN[3:]], 2),
        ([*GIVEN[:2], None], 2),
        ([{**GIVEN[0], "top_logprobs": [None, {"token": None}, {"token": "x"}]}], 1),
    ],
)
def test_what_is_broken_ends_them_and_harms_no_reply(given: object, kept: int) -> None:
    assert read(given) == READ[:kept]


def test_samples_that_come_at_once_have_their_own() -> None:
    first, second = body()["choices"][0], body(GIVEN[3:4], "4")["choices"][0]
    requests = [ask(), ask(sample_index=1)]
    replies = read_replies(requests, orjson.dumps({"choices": [first, second]}))
    assert [reply.log_probabilities for reply in replies] == [READ, READ[3:4]]


class Server:
    """Answers with log-probabilities, or refuses to."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.refuses = False

    async def handle(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.bodies.append(asked)
        if self.refuses and "logprobs" in asked:
            said = {"error": {"message": "top_logprobs is not supported by this model"}}
            return web.json_response(said, status=400)
        return web.json_response(body(GIVEN if "logprobs" in asked else None))


@pytest.fixture
def server() -> Iterator[tuple[Server, HttpModel]]:
    async def start() -> tuple[web.AppRunner, Server]:
        made, app = Server(), web.Application()
        app.router.add_post("/v1/chat/completions", made.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, made

    with loop_on_a_thread("server") as loop:
        runner, made = loop.run(start())
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        delays = RetryDelays(first=0.001, longest=0.002)
        yield made, HttpModel(address, "tiny", delays=delays, max_retries=0, max_concurrency=1)
        loop.run(runner.cleanup())


def test_they_come_over_http(server: tuple[Server, HttpModel]) -> None:
    (reply,) = server[1].generate([ask()])
    assert reply.log_probabilities == READ


def test_a_server_that_refuses_them_is_asked_without_from_then_on(
    server: tuple[Server, HttpModel],
) -> None:
    server[0].refuses = True
    replies = list(server[1].generate(ask(str(n)) for n in range(5)))
    assert [(reply.text, reply.error, reply.log_probabilities) for reply in replies] == [
        (TEXT, "", ())
    ] * 5
    assert ["logprobs" in asked for asked in server[0].bodies] == [True] + [False] * 5


def test_they_come_out_of_batch_files(tmp_path: Path) -> None:
    def model() -> BatchFileModel:
        return BatchFileModel(tmp_path, "http://localhost:8000/v1", "tiny")

    with pytest.raises(UserError, match="1 requests wait"):
        list(model().generate([ask()]))
    (line,) = map(orjson.loads, (tmp_path / "requests-001.jsonl").read_bytes().splitlines())
    assert line["body"]["top_logprobs"] == 20
    response = {"status_code": 200, "body": body()}
    output = {"custom_id": line["custom_id"], "response": response, "error": None}
    (tmp_path / "out.jsonl").write_bytes(orjson.dumps(output) + b"\n")
    (reply,) = model().generate([ask()])
    assert reply.log_probabilities == READ


@pytest.mark.parametrize("drafted", [5, 3, 0])
def test_they_come_out_of_the_chunks_of_llama_cpp_up_to_a_drafted_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drafted: int
) -> None:
    class Engine:
        def handle_chat_completions(self, fields: dict[str, Any], take: Any) -> None:
            assert (fields["logprobs"], fields["top_logprobs"]) == (True, 20)
            take({"choices": [{"delta": {"role": "assistant", "content": None}}]})
            for number, place in enumerate(GIVEN):
                chunk: dict[str, Any] = {"delta": {"content": place["token"]}}
                if number != drafted:
                    chunk["logprobs"] = {"content": [place]}
                take({"choices": [chunk]})
            take({"choices": [{"delta": {}, "finish_reason": "stop"}]})

    monkeypatch.setattr(LlamaCppModel, "_load", lambda self: Engine())
    (reply,) = LlamaCppModel(tmp_path, name="tiny", sha256="abc").generate([ask()])
    assert (reply.text, reply.log_probabilities) == (TEXT, READ[:drafted])


def test_the_scripted_model_spells_its_reply_and_is_unsure_of_digits() -> None:
    (reply,) = ScriptedModel(lambda request: TEXT + "x" * 99).generate([ask()])
    spelled = "".join(next(iter(tokens)) for tokens in reply.log_probabilities)
    assert spelled == (TEXT + "x" * 99)[:TOKENS_WITH_LOG_PROBABILITIES]
    for tokens in reply.log_probabilities:
        assert sum(map(math.exp, tokens.values())) == pytest.approx(1)
    assert {len(tokens) for tokens in reply.log_probabilities} == {1, 3}
    (without,) = ScriptedModel(lambda request: TEXT).generate([ask(top_log_probabilities=0)])
    assert without.log_probabilities == ()


class Fixed:
    """Always gives the same log-probabilities."""

    identity = "fixed"

    def __init__(self, given: tuple[dict[str, float], ...]) -> None:
        self.given = given

    def generate(self, requests: Any) -> Iterator[Reply]:
        for request in requests:
            yield Reply(request, TEXT, "stop", 1, 1, log_probabilities=self.given)


ODD: tuple[dict[str, float], ...] = (
    {"４": math.log(1 / 3), " 4": -1e-300, "\ud800": -math.pi, "": -9999.0},
    {"\ufffd": -0.1 - 0.2},
    {},
    {"\x00\n\u2028": 5e-324},
)


def test_the_cache_gives_them_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    with RequestCache(path) as cache:
        model = CachedModel(Fixed(ODD), cache)
        (fresh,), (waiting,) = list(model.generate([ask()])), list(model.generate([ask()]))
        cache.flush()
        (written,) = model.generate([ask()])
    with RequestCache(path) as cache:
        (stored,) = CachedModel(Fixed(()), cache).generate([ask()])
    for reply in (fresh, waiting, written, stored):
        assert reply.log_probabilities == ODD
        assert [list(tokens) for tokens in reply.log_probabilities] == [list(t) for t in ODD]
    assert (fresh.cached, stored.cached) == (False, True)


def test_they_are_part_of_the_key_only_where_they_are_asked_for() -> None:
    plain = ask(top_log_probabilities=0)
    keys = {request_key("m", replace(plain, top_log_probabilities=n)) for n in (0, 5, 20)}
    assert len(keys) == 3
    assert request_key("m", Request(plain.messages)) == request_key("m", plain)


def test_replies_of_an_older_cache_have_none(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE replies (key TEXT PRIMARY KEY, identity TEXT NOT NULL, text TEXT NOT NULL, "
        "finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, "
        "completion_tokens INTEGER NOT NULL, created REAL NOT NULL) STRICT"
    )
    key = request_key("fixed", ask())
    connection.execute("INSERT INTO replies VALUES (?, 'fixed', '3', 'stop', 1, 1, 0.0)", (key,))
    connection.commit()
    connection.close()
    with RequestCache(path) as cache:
        (reply,) = CachedModel(Fixed(ODD), cache).generate([ask()])
        assert (reply.text, reply.cached, reply.log_probabilities) == ("3", True, ())
        # Those of another reply are not put to the one that stays.
        cache.put(key, "fixed", Reply(ask(), TEXT, log_probabilities=ODD))
        cache.flush()
        kept = cache.get(key)
    assert kept is not None
    assert (kept.text, kept.log_probabilities) == ("3", ())
