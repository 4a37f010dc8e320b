"""The bench of scoring makes the run that it describes, and sees a wrong score."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import rescoring  # noqa: E402
from studies import final_files  # noqa: E402
from teichaku.core.records import Answer, Question, Score  # noqa: E402
from teichaku.core.run_folder import RunFolder  # noqa: E402


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return rescoring.make_run(tmp_path / "facilities", 4)


def test_the_run_is_as_described_and_the_same_for_the_same_seed(
    run: RunFolder, tmp_path: Path
) -> None:
    questions = list(run.stage("questions").read("questions", Question))
    answers = list(run.stage("evaluation").read("answers", Answer))
    assert len(questions) == 4 / 2 * rescoring.PER_TWO_DOCUMENTS
    assert len(answers) == len({one.id for one in answers}) == 8 * len(questions)
    assert {one.kind for one in questions} == set(rescoring.KINDS)
    again = rescoring.make_run(tmp_path / "again", 4)
    assert final_files(again) == final_files(run)
    other = rescoring.make_run(tmp_path / "other", 4, seed=1)
    assert final_files(other) != final_files(run)


def test_a_wrong_a_missing_and_a_filled_in_score_are_mismatches(run: RunFolder) -> None:
    rescoring.measure(run)
    stage = run.stage("evaluation")
    scores = list(stage.read("scores", Score))
    assert rescoring.mismatches(run) == 0
    stage.write("scores", Score, scores[1:])
    assert rescoring.mismatches(run) == 1
    stage.write("scores", Score, [replace(one, value=0.5) for one in scores])
    assert rescoring.mismatches(run) > 400


def test_the_bench_runs_and_ends_with_one_object() -> None:
    command = [sys.executable, str(BENCH / "rescoring.py"), "--quick"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert (found["name"], found["target"], found["ok"]) == ("rescoring", 60, True)
    assert (found["answers"], found["mismatches"], found["tests"]) == (1000, 0, 30)
    shares = found["right"]
    assert shares["base"] < shares["qa@learning_rate=0.0001"] < shares["qa@learning_rate=0.001"]
