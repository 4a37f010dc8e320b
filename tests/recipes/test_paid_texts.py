"""Vectors and log-probabilities of a server are paid once, whatever ends the run, and counted."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from studies import final_files, run_study, write_data_study
from teichaku.backends.cache import RequestCache
from teichaku.core.errors import ModelUnavailableError, UserError
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.budget import BudgetSpentError, Spending, TextPurse
from teichaku.recipes.model_schema import Price
from teichaku.recipes.schema import Budget

CHILD = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from studies import run_study
run_study(Path({recipe!r}))
"""


def vector(text: str) -> list[float]:
    """Depends on the text alone, whatever batch it comes in."""
    found = [0.5] * 16
    for left, right in pairwise(text):
        found[(31 * ord(left) + ord(right)) % 16] += 1.0
    return found


def echo(prompt: str) -> dict[str, Any]:
    values = [None, *(-1.0 - ord(letter) % 7 for letter in prompt[1:]), -9.0]
    return {"logprobs": {"tokens": [*prompt, "次"], "token_logprobs": values}}


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A caller who is killed is no news."""


class Server:
    """Embeddings and completions. It answers ``allowed`` requests and lets others wait; ``paid``
    are the texts that it answered, ``tells`` whether it says what they cost.
    """

    def __init__(self) -> None:
        self.allowed = 10**9
        self.waiting = self.callers = 0
        self.refuses: set[str] = set()
        self.tells = True
        self.paid: list[str] = []
        self.tokens = 0
        self.changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                data = orjson.dumps(outer.answer(self.path, body))
                self.send_response(503 if self.path in outer.refuses else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path in self.refuses:
            return {"error": "later"}
        given = body["input"] if path == "/v1/embeddings" else [body["prompt"]]
        with self.changed:
            callers = self.callers
            self.waiting += 1
            self.changed.wait_for(lambda: self.allowed > 0 or callers < self.callers)
            self.waiting -= 1
            self.changed.notify_all()
            if callers < self.callers:
                return {"error": "whoever asked is gone"}
            self.allowed -= 1
            self.paid.extend(f"{path} {text}" for text in given)
            tokens = sum(map(len, given))
            self.tokens += tokens
        usage = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if self.tells else {}
        if path == "/v1/completions":
            return {"choices": [echo(given[0])], **usage}
        data = [{"index": at, "embedding": vector(text)} for at, text in enumerate(given)]
        return {"data": data, **usage}

    def allow(self, requests: int) -> None:
        """Answer so many requests of the next caller; those of the last are forgotten."""
        with self.changed:
            self.callers += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.waiting)
            self.allowed = requests
            self.changed.notify_all()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    thread = threading.Thread(target=started.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield started
    started.allow(10**9)
    started.http.shutdown()
    thread.join()
    started.http.server_close()


def study(folder: Path, server: Server, price: float = 0.0, **changes: Any) -> Path:
    """A recipe that asks the server for vectors of all examples, then for their perplexity."""
    served = {
        "backend": "http", "model": "m", "base_url": server.url, "max_concurrency": 2,
        "max_retries": 0, "price": {"input": price},
    }  # fmt: skip
    whole: dict[str, Any] = {
        "embedder": {**served, "batch_size": 2},
        "language_model": served,
        "curation": [{"name": "semantic_duplicates", "share": 0.9}],
        "arms": {
            "qa": {
                "examples": [{"method": "document_qa", "per_passage": 5}],
                "select": {"method": "perplexity", "share": 0.5},
            }
        },
        **changes,
    }
    return write_data_study(folder, **whole)


def kept(folder: Path) -> int:
    with sqlite3.connect(folder / "cache" / "requests.sqlite") as connection:
        (found,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
    return int(found)


def timing(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = run.read_json("curation/qa/timing.json")
    return found


def kill_when_it_waits(recipe: Path, server: Server) -> None:
    """Run the study in a process of its own, and kill it when all that came is on the disk and
    more is on its way.
    """
    code = CHILD.format(tests=str(Path(__file__).parents[1]), recipe=str(recipe))
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    for _ in range(6_000):
        if server.waiting and not server.allowed and kept(recipe.parent) == len(server.paid):
            break
        assert child.poll() is None, (child.communicate(), "ended without being killed")
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def test_kills_end_in_the_same_files_and_no_vector_or_score_is_paid_for_twice(
    tmp_path: Path, server: Server
) -> None:
    calm = run_study(study(tmp_path / "calm", server))
    undisturbed, sent = final_files(calm), Counter(server.paid)
    assert {text.partition(" ")[0] for text in sent} == {"/v1/embeddings", "/v1/completions"}
    assert timing(calm)["requests"] == len(server.paid) == kept(tmp_path / "calm")
    tokens = calm.read_json("spending.json")["tokens"]

    server.paid.clear()
    recipe = study(tmp_path / "killed", server)
    for allowed in (1, 3, 5, 4):
        server.allow(allowed)
        kill_when_it_waits(recipe, server)
    # Both kinds were met by a kill.
    assert any(text.startswith("/v1/completions") for text in server.paid)
    assert len(server.paid) < sent.total()
    server.allow(10**9)
    run = run_study(recipe)
    assert Counter(server.paid) == sent
    assert final_files(run) == undisturbed
    assert run.read_json("spending.json")["tokens"] == tokens


def test_a_server_that_was_down_is_asked_for_the_rest_alone(tmp_path: Path, server: Server) -> None:
    undisturbed = final_files(run_study(study(tmp_path / "calm", server)))
    sent = Counter(server.paid)
    server.paid.clear()
    server.refuses = {"/v1/completions"}
    recipe = study(tmp_path / "again", server)
    with pytest.raises(UserError, match="has a score"):
        run_study(recipe)
    assert server.paid
    server.refuses = set()
    assert final_files(run_study(recipe)) == undisturbed
    assert Counter(server.paid) == sent


def test_a_run_stops_before_its_texts_cost_more_than_it_may_and_goes_on_to_the_same_files(
    tmp_path: Path, server: Server
) -> None:
    whole = run_study(study(tmp_path / "whole", server))
    undisturbed, sent = final_files(whole), Counter(server.paid)
    needed = whole.read_json("spending.json")["tokens"]
    written = needed - server.tokens
    server.paid.clear()
    server.refuses = {"/v1/embeddings"}
    with pytest.raises(ModelUnavailableError, match="later"):
        run_study(study(tmp_path / "halted", server))
    server.refuses = set()
    # The examples are written; what follows has room for a part of its texts.
    for limit in (written + 60, needed - 40):
        recipe = study(tmp_path / "halted", server, budget={"tokens": limit})
        with pytest.raises(BudgetSpentError, match=f"of {limit:,} tokens"):
            run_study(recipe)
        with RequestCache(tmp_path / "halted" / "cache" / "requests.sqlite") as cache:
            spent = cache.spent(str((tmp_path / "halted" / "runs" / "boats").resolve()))[0]
        assert written < spent <= limit
    run_study(study(tmp_path / "halted", server, budget={"tokens": needed + 60}))
    # The recipe itself, with its budget, goes along with the data.
    assert final_files(run_study(study(tmp_path / "halted", server))) == undisturbed
    assert Counter(server.paid) == sent


def test_what_texts_cost_is_in_the_account_of_the_run(tmp_path: Path, server: Server) -> None:
    run = run_study(study(tmp_path, server, price=1000.0))
    told = timing(run)
    assert told["prompt_tokens"] == server.tokens
    assert told["price"] == pytest.approx(server.tokens / 1000)
    assert run.read_json("spending.json")["price"] == pytest.approx(server.tokens / 1000)


def test_another_price_makes_nothing_anew_and_is_written_down(
    tmp_path: Path, server: Server
) -> None:
    run = run_study(study(tmp_path, server))
    stamps = {p: p.stat().st_mtime_ns for p in run.path.glob("curation/*/*")}
    run = run_study(study(tmp_path, server, price=3.5))
    assert {p: p.stat().st_mtime_ns for p in run.path.glob("curation/*/*")} == stamps
    assert "input: 3.5" in (run.path / "recipe.yaml").read_text("utf-8")


def test_another_run_finds_the_vectors_and_scores_and_pays_nothing(
    tmp_path: Path, server: Server
) -> None:
    run_study(study(tmp_path, server))
    asked = len(server.paid)
    recipe = study(tmp_path, server, name="later")
    run = run_study(recipe)
    assert len(server.paid) == asked
    told = timing(run)
    assert (told["requests"], told["cached_requests"], told["prompt_tokens"]) == (0, asked, 0)
    assert not (run.path / "spending.json").exists()


def test_where_the_server_tells_no_usage_a_character_is_a_token(
    tmp_path: Path, server: Server
) -> None:
    server.tells = False
    run = run_study(study(tmp_path, server))
    # Two more for each text, which is marked at both ends.
    assert timing(run)["prompt_tokens"] == server.tokens + 2 * len(server.paid)


def purse(folder: Path, cache: RequestCache, **limit: float) -> tuple[TextPurse, Spending]:
    spending = Spending(Budget.model_validate(limit), cache, folder / "run")
    return TextPurse(Price(input=1.0), spending, lambda *_: None), spending


@pytest.mark.parametrize("limit", [{"tokens": 100}, {"price": 1e-4}])
def test_a_text_waits_for_room_until_nothing_is_on_its_way(
    tmp_path: Path, limit: dict[str, float]
) -> None:
    with RequestCache(tmp_path / "requests.sqlite") as cache:
        own, spending = purse(tmp_path, cache, **limit)
        own.reserve(60)
        passed = threading.Event()

        def wait() -> None:
            own.reserve(60)
            passed.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not passed.wait(0.05)
        charge = own.pay(1, 60, 30)
        own.release(60)
        assert passed.wait(10)
        thread.join()
        assert charge is not None
        assert (charge.tokens, spending.tokens) == (30, 30)
        own.pay(1, 60, 60)
        own.release(60)
        with pytest.raises(BudgetSpentError):
            own.reserve(11)
        # What costs nothing is never held back.
        own.reserve(0)


def test_what_a_server_told_says_how_many_tokens_a_text_may_be(tmp_path: Path) -> None:
    with RequestCache(tmp_path / "requests.sqlite") as cache:
        own, _ = purse(tmp_path, cache, tokens=1000)
        with pytest.raises(BudgetSpentError):
            own.reserve(2000)
        for _ in range(8):
            own.reserve(100)
            own.pay(1, 100, 25)
            own.release(100)
        # 800 are left, and with a fifth for error 2,000 characters are 600.
        own.reserve(2000)
