"""The bench of the client runs, and its counts are right, however slow the machine is."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "client.py"


def test_the_bench_accounts_for_every_row_and_ends_with_one_object() -> None:
    command = [sys.executable, str(BENCH), "--quick"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert {"name", "value", "target", "ok"} <= summary.keys()
    parts = {part["name"]: part for part in summary["parts"]}
    assert len(parts) == 7
    assert all(part["ok"] for part in parts.values())
    assert parts["rows unaccounted for under faults"]["value"] == 0
    assert len(parts["rows unaccounted for under faults"]["failed"]) == 3
    assert parts["requests for one document more than 50"]["value"] == 1
