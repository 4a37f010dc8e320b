"""kill -9 of a worker, or of all, at any moment: nothing is lost, and nothing is done twice that
was finished.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from row_files import all_files, write_boats
from teichaku.core.executor import Serial
from teichaku.recipes.curate import run_curation
from teichaku.recipes.curate_schema import Curation
from teichaku.recipes.progress import Silent

#: Many small shards, so that kills fall between and within them.
SMALL = {"curation": ["question_is_answer", "duplicates"], "shard_rows": 25}
ENGINES = ("serial", "processes")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_boats(tmp_path_factory.mktemp("kill") / "data", files=4, rows=100)


@pytest.fixture(scope="module")
def undisturbed(data: Path) -> Path:
    out = data.parent / "undisturbed"
    run_curation([data], Curation.model_validate(SMALL), out, Serial(), Silent())
    return out


def start(data: Path, out: Path, engine: str) -> "subprocess.Popen[str]":
    config = data.parent / "curation.yaml"
    config.write_text("curation: [question_is_answer, duplicates]\nshard_rows: 25\n")
    code = "from teichaku.cli import main; main()"
    options = ["--config", str(config), "--out", str(out), "--engine", engine, "--workers", "2"]
    return subprocess.Popen(
        [sys.executable, "-c", code, "curate", str(data), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TEICHAKU_LANG": "en"}, start_new_session=True,
    )  # fmt: skip


def markers(out: Path) -> dict[Path, int]:
    """The shards that are finished, and when they were."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("*.done")}


def wait_for(out: Path, shards: int, program: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while len(markers(out)) < shards and time.monotonic() < deadline:
        assert program.poll() is None, program.communicate()
        time.sleep(0.002)


def workers(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in listed
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_killed_workers_are_replaced_and_nothing_is_lost(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    program = start(data, tmp_path / "out", "processes")
    killed: set[int] = set()
    for shards in (3, 15, 30, 50):
        wait_for(tmp_path / "out", shards, program)
        victim = next(iter(set(workers(program.pid)) - killed))
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
    told, errors = program.communicate(timeout=120)
    assert program.returncode == 0, errors
    assert "400 rows in = " in told
    assert len(killed) == 4
    assert all_files(tmp_path / "out") == all_files(undisturbed)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_curation_goes_on_with_what_is_not_finished(
    data: Path, undisturbed: Path, tmp_path: Path, engine: str
) -> None:
    out, draws, kills = tmp_path / "out", random.Random(0), 0
    finished: dict[Path, int] = {}
    done = False
    while not done:
        program = start(data, out, engine)
        if kills < 4:
            wait_for(out, min(len(finished) + draws.randint(1, 25), 70), program)
            os.killpg(program.pid, signal.SIGKILL)
            kills += 1
        _, errors = program.communicate(timeout=120)
        assert "Traceback" not in errors
        now = markers(out)
        assert {path: now.get(path) for path in finished} == finished
        finished, done = now, program.returncode == 0
    assert kills == 4
    assert "finished before" in errors
    assert all_files(out) == all_files(undisturbed)


def test_ctrl_c_says_how_to_go_on_and_leaves_no_worker(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = start(data, out, "processes")
    wait_for(out, 20, program)
    left = workers(program.pid)
    assert left
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "The same command goes on where it stopped" in errors
    assert "Traceback" not in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)
    program = start(data, out, "processes")
    program.communicate(timeout=120)
    assert program.returncode == 0
    assert all_files(out) == all_files(undisturbed)


def test_an_unreadable_file_ends_with_1_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "data"
    write_boats(bad)
    (bad / "boats-1.parquet").write_bytes(b"PAR1")
    program = start(bad, tmp_path / "out", "processes")
    told, errors = program.communicate(timeout=120)
    assert program.returncode == 1
    assert "240 rows in = " in told
    assert "✘ data/boats-1.parquet: data/boats-1.parquet cannot be read: " in errors
    assert "Parts that are not done: 1. Nothing of them is lost" in errors
    assert "Traceback" not in errors
