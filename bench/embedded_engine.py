"""The embedded engine against llama.cpp's own server, and what each of its settings gives.

    python bench/embedded_engine.py [--repeats N] [--passages N]

What is compared. The same requests as in a run, question-answer pairs under a JSON schema and
rewritings of the same passages, at temperature 0, with the packaged teacher. ``server`` is
llama.cpp's own server, driven directly over its HTTP port: one slot, the same context, batch and
threads, one request after the other in the order in which they come. ``ours`` is LlamaCppModel
as a recipe has it. Both generate the same tokens; tokens a second are generated tokens by wall
time, reading the prompts included. Each side runs in a process of its own, the sides in turn,
and medians are compared.

Then what each possibility gives against ``ours`` in the order of a run: the requests of all
passages mixed up (``mixed``: the server as they come, ours puts prompts that begin alike one
after another), more slots (``slots_2``, ``slots_4``), n-gram speculation (``ngram``), which drafts
what stands in the prompt already, and no prompt cache (``uncached``): each prompt is read from
its first token on. All other sides keep the prefix that a slot has read and, in memory, the
prompts of before. What that gives is ``ours`` by ``uncached``.

The last line is one JSON object; the exit code is 1 where ``ours`` is more than 5 % slower.
``prompt_cache_gives`` in it is null where one of the two sides was not measured.
"""

import argparse
import http.client
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teichaku.backends.chat_completions import request_fields
from teichaku.backends.llama_cpp import LlamaCppModel
from teichaku.backends.registry import ResolvedModel, resolve
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Message, Request, Sampling
from teichaku.synthesis.document_qa import pairs_schema

MODEL = "qwen2.5-coder-1.5b-instruct"
DATA = Path(__file__).parent / "data" / "passages-ja.jsonl"
CONTEXT, TARGET = 4096, 0.95
SIDES = {
    "server": "llama.cpp's own server, requests as they come",
    "ours": "as a recipe has it, one slot",
    "server_mixed": "llama.cpp's own server, passages mixed up",
    "ours_mixed": "one slot, passages mixed up",
    "slots_2": "two slots",
    "slots_4": "four slots",
    "ngram": "one slot, n-gram speculation",
    "uncached": "one slot, no prefix and no prompt kept",
}


class Uncached(LlamaCppModel):
    """The engine without its prompt cache: no prefix stays in a slot, no prompt in memory."""

    def settings(self) -> Any:
        """Those of a recipe, with the caches off."""
        settings = super().settings()
        settings.cache_prompt = settings.cache_idle_slots = False
        settings.cache_ram_mib = 0
        return settings


def requests_of(passages: int, *, mixed: bool) -> list[Request]:
    """Two rewritings and a request for pairs of each passage, the passage's own together."""
    prompts = PromptPack("ja")
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()][:passages]
    found = []
    for row in rows:
        values = {"passage": row["text"], "title": row["title"]}
        for name in ("paraphrase_medium", "paraphrase_easy"):
            messages = prompts.load(name).messages(**values)
            found.append(Request(messages, Sampling(max_tokens=64), prompt=name))
        messages = prompts.load("document_qa").messages(**values, count=4)
        found.append(Request(messages, Sampling(max_tokens=96), pairs_schema(4)))
    if mixed:
        random.Random(0).shuffle(found)
    return found


def run_side(name: str, passages: int) -> dict[str, Any]:
    """Tokens generated and seconds of one side, in this process; loading is not timed."""
    requests = requests_of(passages, mixed=name.endswith("mixed"))
    warm = Request((Message("user", "1"),), Sampling(max_tokens=1))
    if name.startswith("server"):
        connection, key = started_server()
        ask_server(connection, key, warm)
        start = time.monotonic()
        tokens = sum(ask_server(connection, key, request) for request in requests)
        return {"tokens": tokens, "seconds": time.monotonic() - start}
    model = engine_of(name, resolve(MODEL, lambda done, total: None, role="chat"))
    list(model.generate([warm]))
    start = time.monotonic()
    replies = list(model.generate(requests))
    seconds = time.monotonic() - start
    if any(reply.error for reply in replies):
        raise RuntimeError(next(reply.error for reply in replies if reply.error))
    return {"tokens": sum(reply.completion_tokens for reply in replies), "seconds": seconds}


def engine_of(name: str, found: ResolvedModel) -> LlamaCppModel:
    """The engine of a side that is not ``server``; nothing is loaded yet."""
    slots = int(name.removeprefix("slots_")) if name.startswith("slots") else 1
    engine = Uncached if name == "uncached" else LlamaCppModel
    return engine(
        found.path, name=found.name, sha256=found.sha256, slots=slots, context_tokens=CONTEXT,
        speculate=name == "ngram",
    )  # fmt: skip


def started_server() -> tuple[http.client.HTTPConnection, str]:
    """llama.cpp's own server on a port of this machine, and the key that it wants."""
    found = resolve(MODEL, lambda done, total: None, role="chat")
    model = LlamaCppModel(
        found.path, name=found.name, sha256=found.sha256, slots=1, context_tokens=CONTEXT
    )
    settings = model.settings()
    import xllamacpp

    key = "bench"
    settings.api_keys = [key]
    server = xllamacpp.Server(settings)
    started_server.kept = server  # type: ignore[attr-defined]
    host = server.listening_address.removeprefix("http://")
    return http.client.HTTPConnection(host, timeout=600), key


def ask_server(connection: http.client.HTTPConnection, key: str, request: Request) -> int:
    """The number of tokens that the server generates."""
    body = json.dumps(request_fields(request), ensure_ascii=False).encode("utf-8")
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    response = connection.getresponse()
    content = json.loads(response.read())
    if response.status != 200:
        raise RuntimeError(str(content))
    return int(content["usage"]["completion_tokens"])


def measure(name: str, passages: int) -> dict[str, Any]:
    """One run of a side, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", name, "--passages", str(passages)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--passages", type=int, default=4)
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        print(json.dumps(run_side(options.side, options.passages)))
        return 0
    speeds: dict[str, list[float]] = {name: [] for name in options.sides}
    for number in range(options.repeats):
        for name in options.sides:
            found = measure(name, options.passages)
            speeds[name].append(found["tokens"] / found["seconds"])
            told = f"{found['tokens']} tokens in {found['seconds']:.1f} s"
            print(
                f"round {number + 1}, {name}: {told}, {speeds[name][-1]:.2f} tokens/s", flush=True
            )
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, value in medians.items():
        against = f", {value / medians['ours']:.2f} times ours" if "ours" in medians else ""
        print(f"{name:13} {value:6.2f} tokens/s{against}   {SIDES[name]}")
    share = medians.get("ours", 0.0) / medians["server"] if "server" in medians else 0.0
    gives = None
    if {"ours", "uncached"} <= medians.keys():
        gives = round(medians["ours"] / medians["uncached"], 3)
        print(f"the prompt cache gives {gives:.2f} times the tokens/s")
    line = {
        "name": "embedded_engine",
        "value": round(share, 3),
        "target": TARGET,
        "ok": share >= TARGET,
        "prompt_cache_gives": gives,
        "tokens_per_second": {name: round(value, 2) for name, value in medians.items()},
    }
    print(json.dumps(line))
    return 0 if line["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
