"""The bench of growth runs through all steps on few records; what it says of time is for many."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "growth.py"


def test_the_bench_loses_no_record_and_draws_its_figure(tmp_path: Path) -> None:
    figure = tmp_path / "growth.svg"
    command = [sys.executable, str(BENCH), "--records", "300", "600", "--figure", str(figure)]
    ran = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=False
    )
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert {"name", "value", "target", "ok"} <= summary.keys()
    assert [one["records"] for one in summary["sizes"]] == [300, 600]
    for one in summary["sizes"]:
        assert one["lost"] == one["not_done"] == 0
        assert one["peak_mib"] > one["anonymous_mib"] > 10
        # Every step finds what was planted for it.
        fell = {"duplicate", "near_duplicate", "semantic_duplicate", "near_prototype"}
        assert fell <= one["reasons"].keys()
        assert one["in"] == one["out"] + sum(one["reasons"].values())
    assert figure.read_text("utf-8").startswith("<svg")
    assert ran.returncode in (0, 1)
