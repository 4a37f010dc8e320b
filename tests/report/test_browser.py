"""The page in a real browser: the charts are drawn, offline, and hostile text stays text."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from report_run import Plan, gain, write_run
from teichaku.core.records import Example, ExampleScore
from teichaku.core.run_folder import RunFolder
from teichaku.curation.judge_screen import JudgeScreening
from teichaku.curation.survivors import SimilarPair
from teichaku.report.build import build_report

pytestmark = pytest.mark.browser

_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=10000",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    for name in ("chromium", "chromium-browser"):
        found = shutil.which(name)
        if found:
            return found
    pytest.fail("Chromium is missing. Install it: apt-get update && apt-get install -y chromium")


def rendered(chromium: str, page: Path, profile: Path) -> str:
    """The page's DOM after its scripts have run."""
    command = [chromium, *_FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode("utf-8")


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_chart_is_drawn(chromium: str, tmp_path: Path, language: str) -> None:
    evil = "</script><script>document.title='owned'</script>"
    run = write_run(tmp_path / "drinks", Plan(gain, passage=evil))
    _write_scores(run)
    build_report(run, language)
    whole = rendered(chromium, run.path / "report" / "index.html", tmp_path / "profile")
    dom = re.sub(r"<script.*?</script>", "", whole, flags=re.DOTALL)
    charts = re.findall(r'data-chart="([^"]+)"', dom)
    # Score by epoch and by category (3 scorers each), wording (3 scorers, 2 conditions), loss,
    # lengths of questions and answers, scores of a judge, perplexities and similarities.
    assert len(charts) == 3 + 3 + 6 + 1 + 2 + 3
    assert dom.count("<svg") == len(charts)
    assert "chart-failed" not in re.sub(r"<style.*?</style>", "", dom, flags=re.DOTALL)
    assert len(re.findall(r"<svg.*?<path", dom, flags=re.DOTALL)) == len(charts)
    assert "<title>owned" not in dom


def _write_scores(run: RunFolder) -> None:
    """What curation leaves of scores, all with a cut."""
    stage = run.stage("curation/qa")
    examples = list(stage.read("examples", Example))
    said = [JudgeScreening(e.id, "j", 1.0 + n % 5, None, "") for n, e in enumerate(examples)]
    stage.write("judge_screening", JudgeScreening, said)
    rows = [ExampleScore(e.id, "perplexity", 1.5 + n**4) for n, e in enumerate(examples)]
    stage.write("scores", ExampleScore, rows)
    pairs = [SimilarPair("a", str(n), "pair", "near", 0.7 + n / 50) for n in range(9)]
    run.stage("similarities/qa").write("near_duplicates.pairs", SimilarPair, pairs)
    step = {"filter": "near_duplicates", "level": "pair", "threshold": 0.8, "compared": 9,
            "fall": [], "approximate": False}  # fmt: skip
    judge = {"name": "judge_screen", "threshold": 3.5}
    changed = {"arguments": {"curation": [judge]}, "notes": {"thresholds": [step]}}
    run.write_json("curation/qa/stage.json", {**(stage.summary() or {}), **changed})
