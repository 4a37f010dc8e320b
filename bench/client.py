"""What the generation client costs and what it withstands, measured against a mock server.

    python bench/client.py [--rows N] [--quick]

What is measured is the way that a run takes: passages, prompts, the driver of the synthesis
methods, the request cache (a new file each time) and ``HttpModel``; ``document_qa`` reads every
reply. bench/mock_server.py answers in a process of its own, with 700 Japanese characters to
prompts of about 2,700. Each measurement is a process of its own as well.

``processor``   processor time a request of the whole process, at 1,024 in flight.
``rate``        requests a second with replies after 0.5 s and 256 in flight, against a loop of
                256 workers on bare aiohttp that does nothing but post and parse JSON, before
                and after it (the mean of both); and the growth of the peak memory from a
                quarter of the rows to all.
``faults``      2 % 429, 2 % 500, 1 % half bodies, and three requests that never get a reply,
                with a time-out of 60 s (a recipe's default is 600 s; the watchdog is as there):
                all rows accounted for, requests beyond those that the faults force, and the
                time against the faultless one.
``resume``      requests sent for one more document after a run over 1,000.

The last line is one JSON object; the exit code is 1 where a target is missed. ``--quick`` takes
few rows and judges counts alone, since times of so few say nothing.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from mock_server import SENTENCE, Behaviour, running
from teichaku.backends.cache import CachedModel, RequestCache
from teichaku.backends.http import HttpModel
from teichaku.core.models import ChatModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Passage, Reply, Request, content_id
from teichaku.synthesis.document_qa import DocumentQA
from teichaku.synthesis.method import synthesize

TEXT = SENTENCE * 56
TIMEOUT_SECONDS = 60.0
TARGETS = {
    "processor_ms": 0.5,
    "share_of_bare_rate": 0.9,
    "memory_growth": 0.1,
    "unaccounted": 0,
    "requests_beyond_needed": 0.01,
    "resume_requests": 1,
}
Part = dict[str, Any]


def passages(rows: int, first: int = 0) -> Iterator[Passage]:
    for row in range(first, first + rows):
        text = f"第{row}号。{TEXT}"
        document = content_id("document", row)
        yield Passage(content_id(document, text), document, 0, f"記録{row}", text, "")


class Counting:
    """A model whose requests and replies are counted by row, so that none can get lost."""

    def __init__(self, model: ChatModel, rows: int) -> None:
        self.identity = model.identity
        self.replies = bytearray(rows)
        self.failed: list[str] = []
        self._model = model

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """The model's replies."""
        for reply in self._model.generate(requests):
            self.replies[int(reply.request.subject.unit.title[2:])] += 1
            if reply.error:
                self.failed.append(reply.error)
            yield reply


def generate(
    address: str, rows: int, concurrency: int, cache: str = "", timeout: float = TIMEOUT_SECONDS
) -> Part:
    """Run ``document_qa`` over ``rows`` documents; what it took and what came out."""
    method = DocumentQA(PromptPack("ja").load("document_qa"), "ja", per_passage=2)
    with tempfile.TemporaryDirectory() as folder:
        with RequestCache(Path(cache or folder) / "requests.sqlite") as replies:
            http = HttpModel(address, "mock", max_concurrency=concurrency, timeout_seconds=timeout)
            model = Counting(CachedModel(http, replies), rows)
            began, processor = time.perf_counter(), time.process_time()
            made = sum(1 for _ in synthesize(passages(rows), [method], model))
        return {
            "seconds": time.perf_counter() - began,
            "processor": time.process_time() - processor,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "records": made,
            "rows_answered_once": sum(replies == 1 for replies in model.replies),
            "failed": model.failed,
        }


def bare_loop(address: str, rows: int, concurrency: int) -> Part:
    """Post as many requests of the same size from workers on aiohttp, and parse the JSON."""
    import aiohttp

    numbers = count()

    async def work(session: aiohttp.ClientSession) -> None:
        while (row := next(numbers)) < rows:
            body = {"model": "mock", "messages": [{"role": "user", "content": f"{row}{TEXT}"}]}
            async with session.post(
                f"{address}/chat/completions",
                data=orjson.dumps(body),
                headers={"Content-Type": "application/json"},
            ) as response:
                orjson.loads(await response.read())

    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=concurrency)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(work(session) for _ in range(concurrency)))

    began, processor = time.perf_counter(), time.process_time()
    asyncio.run(run())
    return {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - processor,
    }


def apart(measure: Callable[..., Part], *arguments: Any) -> Part:
    """The measurement in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def part(name: str, value: float, target: float, ok: bool, **more: Any) -> Part:
    found = {"name": name, "value": value, "target": target, "ok": ok, **more}
    print(json.dumps(found, ensure_ascii=False), flush=True)
    return found


def latency(timed: bool) -> float:
    return 0.5 if timed else 0.05


def measure_processor(rows: int, concurrency: int, timed: bool) -> list[Part]:
    with running(Behaviour(latency(timed))) as server:
        found = apart(generate, server.base_url, rows, concurrency)
        at_once = server.stats()["at_once"]
    each = 1000 * found["processor"] / rows
    target = TARGETS["processor_ms"]
    ok = found["rows_answered_once"] == rows and (each <= target or not timed)
    return [
        part(
            f"processor ms/request, {concurrency} in flight",
            round(each, 3),
            target,
            ok,
            most_at_once=at_once,
        )
    ]


def measure_rate(rows: int, concurrency: int, timed: bool) -> tuple[list[Part], float]:
    """The two parts, and the seconds that all rows took."""
    with running(Behaviour(latency(timed))) as server:
        address = server.base_url
        small = apart(generate, address, rows // 4, concurrency)
        bare = [apart(bare_loop, address, rows, concurrency)]
        ours = apart(generate, address, rows, concurrency)
        bare.append(apart(bare_loop, address, rows, concurrency))
    bare_seconds = sum(each["seconds"] for each in bare) / 2
    share = bare_seconds / ours["seconds"]
    growth = ours["peak_bytes"] / small["peak_bytes"] - 1
    whole = ours["rows_answered_once"] == rows
    rate = part(
        f"share of the bare rate, {concurrency} in flight",
        round(share, 3),
        TARGETS["share_of_bare_rate"],
        whole and (share >= TARGETS["share_of_bare_rate"] or not timed),
        requests_per_second=round(rows / ours["seconds"], 1),
        bare=[round(rows / each["seconds"], 1) for each in bare],
        processor_ms=round(1000 * ours["processor"] / rows, 3),
        bare_processor_ms=[round(1000 * each["processor"] / rows, 3) for each in bare],
    )
    memory = part(
        f"growth of memory from {rows // 4} to {rows} rows",
        round(growth, 4),
        TARGETS["memory_growth"],
        growth <= TARGETS["memory_growth"] or not timed,
        peak_mib=round(ours["peak_bytes"] / 2**20, 1),
    )
    return [rate, memory], ours["seconds"]


def measure_faults(rows: int, concurrency: int, faultless: float, timed: bool) -> list[Part]:
    hanging = tuple(f"第{row}号。" for row in (rows // 4, rows // 2, 3 * rows // 4))
    behaviour = Behaviour(latency(timed), refused=0.02, failed=0.02, broken=0.01, hanging=hanging)
    timeout = TIMEOUT_SECONDS if timed else 1.0
    with running(behaviour) as server:
        found = apart(generate, server.base_url, rows, concurrency, "", timeout)
        stats = server.stats()
    unaccounted = rows - found["rows_answered_once"]
    forced = sum(stats.get(name, 0) for name in ("refused", "failed", "broken")) + len(hanging)
    beyond = stats["requests"] / (rows + forced) - 1
    allowed = 1.3 * faultless + timeout
    return [
        part(
            "rows unaccounted for under faults",
            unaccounted,
            TARGETS["unaccounted"],
            unaccounted == 0 and len(found["failed"]) == len(hanging),
            failed=found["failed"],
            server=stats,
        ),
        part(
            "requests beyond those needed",
            round(beyond, 4),
            TARGETS["requests_beyond_needed"],
            beyond <= TARGETS["requests_beyond_needed"] or not timed,
            sent=stats["requests"],
            needed=rows + forced,
        ),
        part(
            "seconds under faults",
            round(found["seconds"], 1),
            round(allowed, 1),
            found["seconds"] <= allowed or not timed,
            faultless=round(faultless, 1),
            timeout=timeout,
        ),
    ]


def measure_resume(rows: int, concurrency: int) -> list[Part]:
    with tempfile.TemporaryDirectory() as cache, running(Behaviour(latency=0.05)) as server:
        address = server.base_url
        apart(generate, address, rows, concurrency, cache)
        before = server.stats()["requests"]
        found = apart(generate, address, rows + 1, concurrency, cache)
        sent = server.stats()["requests"] - before
    return [
        part(
            f"requests for one document more than {rows}",
            sent,
            TARGETS["resume_requests"],
            before == rows and sent == 1 and found["rows_answered_once"] == rows + 1,
        )
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    timed = not arguments.quick
    rows, many, some = (arguments.rows, 1024, 256) if timed else (200, 64, 32)
    print(f"{os.cpu_count()} cores, {platform.machine()}, {platform.platform()}, "
          f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    parts = measure_processor(rows // 2, many, timed)
    found, seconds = measure_rate(rows, some, timed)
    parts += found
    parts += measure_faults(rows, some, seconds, timed)
    parts += measure_resume(1000 if timed else 50, some)
    first, ok = parts[0], all(each["ok"] for each in parts)
    print(json.dumps({**first, "ok": ok, "parts": parts}, ensure_ascii=False))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
