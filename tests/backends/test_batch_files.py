import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from teichaku.backends import batch_files
from teichaku.backends.batch_files import BatchFileModel, BatchStatus
from teichaku.backends.batch_server import HttpBatchService
from teichaku.backends.cache import CachedModel, RequestCache, request_key
from teichaku.backends.http import HttpModel
from teichaku.backends.http_limits import RetryDelays
from teichaku.backends.loop_thread import loop_on_a_thread
from teichaku.core.errors import UserError
from teichaku.core.records import Message, Reply, Request, Sampling

URL = "http://localhost:8000/v1"


def ask(text: str, **fields: Any) -> Request:
    return Request((Message("user", text),), Sampling(seed=3), **fields)


def model(folder: Path, **settings: Any) -> BatchFileModel:
    return BatchFileModel(folder, URL, "tiny", poll_seconds=0, **settings)


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def completion(line: dict[str, Any]) -> dict[str, Any]:
    """What a batch service makes of a request that says what it is asked."""
    said = line["body"]["messages"][-1]["content"]
    if said.startswith("bad"):
        failed = {"error": {"message": f"too long: {said}"}}
        return {"custom_id": line["custom_id"], "response": {"status_code": 400, "body": failed}}
    choice = {"message": {"content": f"re: {said}"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    whole: dict[str, Any] = {"choices": [choice], "usage": usage}
    return {
        "custom_id": line["custom_id"],
        "response": {"status_code": 200, "body": whole},
        "error": None,
    }


def answer(path: Path, output: Path, made: Callable[[Any], Any] = completion) -> None:
    output.write_bytes(b"\n".join(orjson.dumps(made(line)) for line in lines(path)) + b"\n")


def generate(model: BatchFileModel, texts: list[str]) -> dict[str, Reply]:
    replies = list(model.generate(ask(text, subject=text) for text in texts))
    return {reply.request.subject: reply for reply in replies}


def test_requests_are_written_and_the_same_command_goes_on_with_the_outputs(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=r"3 requests wait .*requests-001\.jsonl") as told:
        generate(model(tmp_path), ["a", "b", "c"])
    assert "run the same command again" in told.value.hint
    written = lines(tmp_path / "requests-001.jsonl")
    keys = [request_key(model(tmp_path).identity, ask(text)) for text in "abc"]
    assert [line["custom_id"] for line in written] == keys
    assert {(line["method"], line["url"]) for line in written} == {("POST", "/v1/chat/completions")}
    assert written[0]["body"]["model"] == "tiny"
    assert written[0]["body"]["seed"] == 3
    answer(tmp_path / "requests-001.jsonl", tmp_path / "downloaded.jsonl")
    replies = generate(model(tmp_path), ["a", "b", "c"])
    assert {name: reply.text for name, reply in replies.items()} == {
        name: f"re: {name}" for name in "abc"
    }
    assert (replies["a"].prompt_tokens, replies["a"].finish_reason) == (5, "stop")


def test_what_was_asked_for_is_not_written_twice(tmp_path: Path) -> None:
    for texts in (["a"], ["a", "b"], ["b", "a", "a"]):
        with pytest.raises(UserError):
            generate(model(tmp_path), texts)
    assert len(lines(tmp_path / "requests-001.jsonl")) == 1
    assert len(lines(tmp_path / "requests-002.jsonl")) == 1
    assert not (tmp_path / "requests-003.jsonl").exists()


def test_what_is_answered_already_is_handed_on_before_the_rest_is_asked_for(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError):
        generate(model(tmp_path), ["a"])
    answer(tmp_path / "requests-001.jsonl", tmp_path / "out.jsonl")
    replies = model(tmp_path).generate([ask("a"), ask("b")])
    assert next(replies).text == "re: a"
    with pytest.raises(UserError, match=r"1 requests wait .*: requests-002\.jsonl\.\n"):
        next(replies)


def test_a_failed_line_becomes_a_failed_reply_and_is_asked_for_again(tmp_path: Path) -> None:
    texts = ["good", "bad", "also good"]
    with pytest.raises(UserError):
        generate(model(tmp_path), texts)
    answer(tmp_path / "requests-001.jsonl", tmp_path / "out.jsonl")
    replies = generate(model(tmp_path), texts)
    assert replies["bad"].error == "batch: HTTP 400: too long: bad"
    assert replies["good"].text == "re: good"
    with pytest.raises(UserError, match="1 requests wait"):
        generate(model(tmp_path), texts)
    assert [line["body"]["messages"][0]["content"] for line in lines(tmp_path / "requests-002.jsonl")] == ["bad"]  # fmt: skip
    mended = lambda line: {**completion({**line, "body": {"messages": [{"content": "now"}]}})}  # noqa: E731
    answer(tmp_path / "requests-002.jsonl", tmp_path / "out-2.jsonl", mended)
    assert generate(model(tmp_path), texts)["bad"].text == "re: now"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ({"error": {"code": "batch_expired", "message": "too late"}}, "too late"),
        ({"response": {"status_code": 500, "body": "oops"}}, "HTTP 500: oops"),
        ({"response": {"status_code": 200, "body": {"choices": []}}}, "no chat completion"),
        ({"response": {"status_code": 200, "body": "oops"}}, "no chat completion"),
        ({"response": "oops"}, "no object: 'oops'"),
        ({"response": ["oops"]}, "no object"),
        ({"response": "oops", "error": "too late"}, "too late"),
        ({"response": {"status_code": [400], "body": None}}, "batch: "),
    ],
)
def test_whatever_a_line_holds_instead_of_a_reply_is_told(
    tmp_path: Path, output: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError):
        generate(model(tmp_path), ["a"])
    made = lambda line: {"custom_id": line["custom_id"], **output}  # noqa: E731
    answer(tmp_path / "requests-001.jsonl", tmp_path / "out.jsonl", made)
    assert told in generate(model(tmp_path), ["a"])["a"].error


def test_an_output_file_that_is_still_being_copied_is_taken_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError):
        generate(model(tmp_path), ["a", "b"])
    answer(tmp_path / "requests-001.jsonl", tmp_path / "out.jsonl")
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").write_bytes(whole[:-30])
    replies = model(tmp_path).generate([ask("a"), ask("b")])
    assert next(replies).text == "re: a"
    with pytest.raises(UserError, match="1 requests wait"):
        next(replies)


def test_files_are_split_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "MOST_REQUESTS", 3)
    with pytest.raises(UserError):
        generate(model(tmp_path / "count"), [str(n) for n in range(7)])
    assert [len(lines(p)) for p in sorted((tmp_path / "count").glob("*.jsonl"))] == [3, 3, 1]
    monkeypatch.setattr(batch_files, "MOST_BYTES", 2000)
    with pytest.raises(UserError):
        generate(
            model(tmp_path / "bytes"), ["文" * 200 for _ in range(1)] + ["文" * 300, "文" * 301]
        )
    sizes = [path.stat().st_size for path in (tmp_path / "bytes").glob("*.jsonl")]
    assert len(sizes) == 2
    assert max(sizes) <= 2000


def test_replies_are_shared_with_the_server_itself_through_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    assert model(folder).identity == HttpModel(URL, "tiny").identity
    with RequestCache(tmp_path / "requests.sqlite") as cache:
        cached = CachedModel(model(folder), cache)
        with pytest.raises(UserError):
            list(cached.generate([ask("a")]))
        answer(folder / "requests-001.jsonl", folder / "out.jsonl")
        (first,) = cached.generate([ask("a")])
        (folder / "out.jsonl").unlink()
        (second,) = cached.generate([ask("a")])
    assert (first.text, first.cached) == (second.text, not second.cached) == ("re: a", False)


def test_all_requests_are_written_though_thousands_are_in_the_cache(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    with RequestCache(tmp_path / "requests.sqlite") as cache:
        identity = model(folder).identity
        for number in range(3000):
            request = ask(str(number))
            cache.put(request_key(identity, request), identity, Reply(request, "known"))
        cached = CachedModel(model(folder), cache)
        known: list[Reply] = []
        with pytest.raises(UserError, match="2 requests wait"):
            known.extend(cached.generate([ask("x"), *(ask(str(n)) for n in range(3000)), ask("y")]))
    assert len(lines(folder / "requests-001.jsonl")) == 2


def test_text_that_is_no_unicode_is_a_failed_reply(tmp_path: Path) -> None:
    (reply,) = model(tmp_path).generate([ask("\ud800")])
    assert reply.error


class Service:
    """A batch service in the same process; ``states`` are what it says one after another."""

    def __init__(self, *states: str) -> None:
        self.submitted: list[str] = []
        self._states = itertools.chain(states, itertools.repeat("completed"))
        self._paths: dict[str, Path] = {}

    def submit(self, path: Path) -> str:
        self.submitted.append(path.name)
        self._paths[f"batch-{path.stem}"] = path
        return f"batch-{path.stem}"

    def status(self, batch_id: str) -> BatchStatus:
        state = next(self._states)
        if state == "failed":
            return BatchStatus(state, message="line 1: unknown model")
        done = state in ("completed", "expired")
        return BatchStatus(state, 2, 2 * done, 0, (batch_id,) if done else ())

    def download(self, file_id: str, path: Path) -> None:
        answer(self._paths[file_id], path)


def test_with_a_service_files_are_handed_in_waited_for_and_fetched(tmp_path: Path) -> None:
    service, seen = Service("validating", "in_progress"), []
    asked = model(
        tmp_path, service=service, on_progress=lambda name, status: seen.append(status.state)
    )
    replies = generate(asked, ["a", "bad"])
    assert replies["a"].text == "re: a"
    assert "too long" in replies["bad"].error
    assert seen == ["validating", "in_progress", "completed"]
    # Only what failed is handed in again.
    assert "too long" in generate(model(tmp_path, service=service), ["a", "bad"])["bad"].error
    assert service.submitted == ["requests-001.jsonl", "requests-002.jsonl"]


def test_what_was_handed_in_by_a_run_that_was_killed_is_not_handed_in_again(
    tmp_path: Path,
) -> None:
    class Killed(Service):
        def status(self, batch_id: str) -> BatchStatus:
            raise KeyboardInterrupt

    killed = Killed()
    with pytest.raises(KeyboardInterrupt):
        generate(model(tmp_path, service=killed), ["a"])
    service = Service()
    service._paths = killed._paths
    assert generate(model(tmp_path, service=service), ["a"])["a"].text == "re: a"
    assert service.submitted == []


@pytest.mark.parametrize("content", ["[]", '{"ids": []}', '{"ended": {"a": 1}}', '"x"', "{"])
def test_a_list_of_batches_that_is_none_is_named_with_what_to_do(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "batches.json").write_text(content)
    with pytest.raises(UserError, match=r"batches\.json cannot be read") as told:
        generate(model(tmp_path, service=Service()), ["a"])
    assert "Delete it" in told.value.hint


def test_requests_that_depend_on_replies_go_out_in_waves(tmp_path: Path) -> None:
    service = Service()
    seen: list[str] = []

    def requests() -> Iterator[Request | None]:
        yield ask("a")
        yield ask("b")
        yield None
        yield ask(seen[0])

    for reply in model(tmp_path, service=service).generate(requests()):
        seen.append(reply.text)
    assert seen == ["re: a", "re: b", "re: re: a"]
    assert len(service.submitted) == 2


def test_a_batch_that_expired_fails_what_it_did_not_get_to(tmp_path: Path) -> None:
    class Half(Service):
        def download(self, file_id: str, path: Path) -> None:
            super().download(file_id, path)
            path.write_bytes(path.read_bytes().splitlines()[0] + b"\n")

    replies = generate(model(tmp_path, service=Half("expired")), ["a", "b"])
    assert replies["a"].text == "re: a"
    assert "ended without a reply" in replies["b"].error
    assert generate(model(tmp_path, service=Service()), ["a", "b"])["b"].text == "re: b"


def test_a_file_that_the_service_refuses_is_named_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"refuses .*requests-001\.jsonl: line 1: unknown model"):
        generate(model(tmp_path, service=Service("failed")), ["a"])


class BatchServer:
    """/v1/files and /v1/batches; fails the first call of each kind where told so."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.orders: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.trouble: list[int] = []
        self.looks = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files", self.upload),
            web.post("/v1/batches", self.create),
            web.get("/v1/batches/{id}", self.look),
            web.get("/v1/files/{id}/content", self.content),
        ]

    def met(self, request: web.Request) -> None:
        key = request.headers.get("Authorization", "")
        self.keys.add(key)
        if self.trouble:
            kind = {401: web.HTTPUnauthorized, 503: web.HTTPServiceUnavailable}
            raise kind[self.trouble.pop()](text=f"no: {key}")

    async def upload(self, request: web.Request) -> web.Response:
        self.met(request)
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        self.files["in"] = file.file.read()
        return web.json_response({"id": "in"})

    async def create(self, request: web.Request) -> web.Response:
        self.met(request)
        self.orders.append(await request.json())
        return web.json_response({"id": "b1", "status": "validating"})

    async def look(self, request: web.Request) -> web.Response:
        self.met(request)
        self.looks += 1
        if self.looks < 3:
            return web.json_response({"id": "b1", "status": "in_progress", "request_counts": {}})
        made = [completion(orjson.loads(line)) for line in self.files["in"].splitlines()]
        good = [line for line in made if line["response"]["status_code"] == 200]
        bad = [line for line in made if line not in good]
        self.files |= {
            name: b"\n".join(map(orjson.dumps, part)) for name, part in (("o", good), ("e", bad))
        }
        counts = {"total": len(made), "completed": len(good), "failed": len(bad)}
        found = {"output_file_id": "o", "error_file_id": "e" if bad else None}
        return web.json_response({"status": "completed", "request_counts": counts, **found})

    async def content(self, request: web.Request) -> web.Response:
        self.met(request)
        return web.Response(body=self.files[request.match_info["id"]])


@pytest.fixture
def served() -> Iterator[tuple[str, BatchServer]]:
    batches = BatchServer()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.add_routes(batches.routes())
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    with loop_on_a_thread("batch-server") as loop:
        runner = loop.run(start())
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", batches
        loop.run(runner.cleanup())


def test_a_service_behind_http_takes_a_file_and_gives_outputs_and_errors(
    tmp_path: Path, served: tuple[str, BatchServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, batches = served
    monkeypatch.setenv("BATCH_KEY", "sk-0123456789abcdef")
    service = HttpBatchService(address, api_key_env="BATCH_KEY")
    seen: list[BatchStatus] = []
    asked = model(tmp_path, service=service, on_progress=lambda _, status: seen.append(status))
    replies = generate(asked, ["a", "b", "bad"])
    assert {name: reply.text for name, reply in replies.items()} == {
        "a": "re: a",
        "b": "re: b",
        "bad": "",
    }
    assert "too long" in replies["bad"].error
    assert batches.orders == [
        {
            "input_file_id": "in",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
    ]
    assert (seen[-1].total, seen[-1].completed, seen[-1].failed) == (3, 2, 1)
    assert batches.keys == {"Bearer sk-0123456789abcdef"}


def test_looking_is_tried_again_and_handing_in_is_not(
    tmp_path: Path, served: tuple[str, BatchServer]
) -> None:
    address, batches = served
    service = HttpBatchService(address, delays=RetryDelays(0, 0))
    batches.trouble = [503]
    with pytest.raises(UserError, match=r"HTTP 503"):
        generate(model(tmp_path, service=service), ["a"])
    assert batches.orders == []
    path = tmp_path / "requests-001.jsonl"
    batch = service.submit(path)
    batches.trouble = [503, 503]
    assert service.status(batch).state == "in_progress"


def test_a_refusal_is_told_without_the_key(
    tmp_path: Path, served: tuple[str, BatchServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, batches = served
    monkeypatch.setenv("BATCH_KEY", "sk-0123456789abcdef")
    batches.trouble = [401]
    with pytest.raises(UserError, match="HTTP 401") as told:
        generate(model(tmp_path, service=HttpBatchService(address, api_key_env="BATCH_KEY")), ["a"])
    assert "sk-0123" not in str(told.value)
    assert "BATCH_KEY" in told.value.hint


def test_a_service_that_is_away_is_told(tmp_path: Path) -> None:
    service = HttpBatchService("http://127.0.0.1:1/v1", delays=RetryDelays(0, 0))
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1/v1 did not do it"):
        service.status("b")


def test_a_line_that_says_that_a_prompt_does_not_fit_is_not_asked_for_again(tmp_path: Path) -> None:
    def too_long(line: dict[str, Any]) -> dict[str, Any]:
        said = "This model's maximum context length is 8 tokens."
        response = {"status_code": 400, "body": {"error": {"message": said}}}
        return {"custom_id": line["custom_id"], "response": response}

    with pytest.raises(UserError):
        generate(model(tmp_path), ["long"])
    answer(tmp_path / "requests-001.jsonl", tmp_path / "out.jsonl", too_long)
    for _ in range(3):
        reply = generate(model(tmp_path), ["long"])["long"]
        assert "maximum context length" in reply.error and reply.final
