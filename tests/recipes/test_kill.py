"""kill -9 at any moment loses nothing and pays for nothing twice."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from studies import final_files, write_study
from teichaku.core.run_folder import RunFolder

#: Runs the study in a process of its own and writes a line for each request that is sent.
CHILD = """
import os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from teichaku.backends import scripted
from teichaku.backends.cache import request_key
from studies import run_study

log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
generate = scripted.ScriptedModel.generate

def logged(self, requests):
    def told():
        for request in requests:
            if request is not None:
                os.write(log, (request_key(self.identity, request) + chr(10)).encode())
            yield request
    return generate(self, told())

scripted.ScriptedModel.generate = logged
print("ready", flush=True)
run_study(Path({recipe!r}))
"""


def start(recipe: Path, log: Path) -> subprocess.Popen[bytes]:
    code = CHILD.format(paths=[str(Path(__file__).parents[1])], log=str(log), recipe=str(recipe))
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    # What comes after this line is the study itself: kills shall not fall on imports.
    child.stdout.readline()
    return child


def cached_keys(folder: Path) -> set[str]:
    """The requests whose replies are durable."""
    path = folder / "cache" / "requests.sqlite"
    if not path.is_file():
        return set()
    with sqlite3.connect(path) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master")}
        if "replies" not in tables:
            return set()
        return {key for (key,) in connection.execute("select key from replies")}


def paid_tokens(folder: Path) -> int:
    """The tokens of all replies of the teacher, each of which was paid for once."""
    with sqlite3.connect(folder / "cache" / "requests.sqlite") as connection:
        query = "select sum(prompt_tokens + completion_tokens) from replies where identity = ?"
        (found,) = connection.execute(query, ("scripted:scripted",)).fetchone()
    return int(found)


def sent(log: Path) -> list[str]:
    return log.read_text().split() if log.is_file() else []


def test_twenty_kills_end_in_the_same_files_and_send_no_finished_request_again(
    tmp_path: Path,
) -> None:
    # Timed in a process like those that are killed, with all that it imports on its way.
    child = start(write_study(tmp_path / "calm", 0.01), tmp_path / "calm" / "log")
    begun = time.monotonic()
    child.communicate()
    whole_run = time.monotonic() - begun
    undisturbed = final_files(RunFolder(tmp_path / "calm" / "runs" / "boats"))
    draws, kills, finished, hit = random.Random(0), 0, 0, set()
    while kills < 20 or not finished:
        folder = tmp_path / f"killed-{finished}"
        recipe, log = write_study(folder, 0.01), folder / "log"
        done = False
        while not done:
            durable, before = cached_keys(folder), len(sent(log))
            child = start(recipe, log)
            try:
                child.wait(None if kills >= 20 else draws.uniform(0, whole_run))
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
                hit.add(last_stage(RunFolder(folder / "runs" / "boats")))
            _, errors = child.communicate()
            again = Counter(sent(log)[before:]) & Counter(durable)
            assert not again, f"sent although finished before: {again}"
            assert b"Traceback" not in errors, errors.decode()
            done = child.returncode == 0
        finished += 1
        run = RunFolder(folder / "runs" / "boats")
        assert final_files(run) == undisturbed
        assert run.read_json("spending.json")["tokens"] == paid_tokens(folder)
    assert len(hit) >= 3, f"the kills fell only after {hit}"


def last_stage(run: RunFolder) -> str:
    """The last stage that was finished when the kill fell."""
    return list(run.stages())[-1] if run.path.is_dir() and run.stages() else ""
