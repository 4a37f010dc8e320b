"""The filters that look at an example beside its passage, in whole recipes."""

import json
from pathlib import Path
from typing import Any

import pytest

from studies import final_files, run_study, write_data_study
from teichaku.backends import scripted
from teichaku.core.errors import RecipeError, UserError
from teichaku.core.records import Dropped, Example, Request
from teichaku.core.run_folder import RunFolder
from teichaku.curation.judge_screen import JudgeScreening
from teichaku.curation.magpie_screen import QUALITIES, Screening
from teichaku.recipes.load import load_recipe
from teichaku.report.wording import Wording

TEACHER = scripted.scripted_teacher
ARMS = {
    "qa": {
        "examples": [
            {"method": "document_qa", "per_passage": 5},
            {"method": "verbatim"},
        ]
    }
}


def study(folder: Path, *filters: Any) -> RunFolder:
    return run_study(write_data_study(folder, arms=ARMS, curation=list(filters)))


def fallen(run: RunFolder) -> dict[str, set[str]]:
    """The ids of what fell in curation, by reason."""
    reasons: dict[str, set[str]] = {}
    for record in run.stage("curation/qa").read("dropped", Dropped):
        reasons.setdefault(record.reason, set()).add(record.record_id)
    return reasons


def test_a_judge_screens_every_example_and_writes_down_what_it_says(tmp_path: Path) -> None:
    run = study(tmp_path, {"name": "judge_screen", "threshold": 3.6})
    stage = run.stage("curation/qa")
    made = {e.id for e in run.stage("synthesis/qa").read("examples", Example)}
    screened = {row.example_id: row for row in stage.read("judge_screening", JudgeScreening)}
    assert screened.keys() == made
    for row in screened.values():
        assert row.score is not None
        assert row.expected is not None
        # The scripted judge gives 0.7 to what it writes and 0.15 to each neighbour; 6 is none.
        mean = row.score if row.score < 5 else (0.7 * 5 + 0.15 * 4) / 0.85
        assert row.expected == pytest.approx(mean, abs=1e-6)
        assert row.request_key
    low = {name for name, row in screened.items() if (row.value or 0) < 3.6}
    assert fallen(run) == {"low_score": low}
    assert low
    assert {e.id for e in stage.read("examples", Example)} == made - low


def test_the_written_score_counts_where_the_recipe_wants_no_probabilities(tmp_path: Path) -> None:
    run = study(tmp_path, {"name": "judge_screen", "threshold": 5, "expected": "never"})
    rows = list(run.stage("curation/qa").read("judge_screening", JudgeScreening))
    assert {row.expected for row in rows} == {None}
    assert fallen(run)["low_score"] == {row.example_id for row in rows if (row.score or 0) < 5}


def test_what_a_killed_run_was_told_it_is_not_told_again(tmp_path: Path) -> None:
    recipe = write_data_study(tmp_path, arms=ARMS, curation=[{"name": "judge_screen"}])
    first = final_files(run_study(recipe))
    (tmp_path / "runs").rename(tmp_path / "before")
    run = run_study(recipe)
    assert final_files(run) == first
    assert run.read_json("curation/qa/timing.json")["requests"] == 0


def wrong(request: Request) -> str:
    """The teacher, but one of its numbers is another one, and one of its answers has a name. As
    a judge it objects to the name alone.
    """
    if "faithful_judge" in request.prompt:
        answer = request.subject.answer
        objection = {"sentence": answer, "passage": "鋼", "explanation": "材料が違う。"}
        found = [objection] if answer == "ジュラルミン" else []
        return json.dumps({"contradictions": found, "additions": []})
    reply = TEACHER(request)
    return reply.replace("48人", "84人").replace("鋼", "ジュラルミン")


def test_numbers_and_names_that_the_documents_do_not_have_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "scripted_teacher", wrong)
    run = study(tmp_path, {"name": "faithful"})
    made = {e.id: e.answer for e in run.stage("synthesis/qa").read("examples", Example)}
    answers = {reason: {made[name] for name in ids} for reason, ids in fallen(run).items()}
    assert answers == {"unsupported_number": {"84人"}, "unsupported_name": {"ジュラルミン"}}


def test_with_a_judge_it_decides_what_letters_cannot_settle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "scripted_teacher", wrong)
    run = study(tmp_path, {"name": "faithful", "judge": True})
    told = {r.reason: r.evidence for r in run.stage("curation/qa").read("dropped", Dropped)}
    assert told.keys() == {"unsupported_number", "contradicts_passage"}
    evidence = "contradicts: 'ジュラルミン' (the passage: '鋼'): 材料が違う。"
    assert told["contradicts_passage"] == evidence
    assert run.read_json("curation/qa/timing.json")["requests"] == 1, "a number needs no judge"


def test_what_the_teacher_says_truly_stays(tmp_path: Path) -> None:
    run = study(tmp_path, {"name": "faithful"})
    assert fallen(run) == {}


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"name": "judge_screen", "threshold": 7}, "threshold"),
        ({"name": "judge_screen", "expected": "always"}, "expected"),
        ({"name": "faithful", "threshold": 0.1}, "threshold"),
        ({"name": "faithful", "judged": True}, "judged"),
    ],
)
def test_a_mistake_in_a_section_is_told(tmp_path: Path, section: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        load_recipe(write_data_study(tmp_path, curation=[section]))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_reason_has_its_words(language: str) -> None:
    reasons = ("contradicts_passage", "adds_facts", "unsupported_name", "unsupported_number",
               "low_score", "judge_failed", "request_failed")  # fmt: skip
    words = Wording(language)
    assert all(words.label("reasons", reason) != reason for reason in reasons)


def test_the_recipe_says_which_difficulties_and_qualities_stay(tmp_path: Path) -> None:
    def screened(name: str, **keys: Any) -> dict[str, Screening]:
        (tmp_path / name).mkdir()
        screen = {"name": "magpie_screen", "threshold": 1, "min_distance": 0, **keys}
        stage = study(tmp_path / name, screen).stage("curation/qa")
        noted = {row.example_id: row for row in stage.read("screening", Screening)}
        return {e.id: noted[e.id] for e in stage.read("examples", Example)}

    everything = screened("all", qualities=list(QUALITIES))
    good = {name for name, row in everything.items() if row.quality in ("good", "excellent")}
    medium = {name for name, row in everything.items() if row.difficulty == "medium"}
    assert everything.keys() > good | medium
    assert screened("good").keys() == good
    assert screened("both", difficulties=["medium"]).keys() == good & medium
    with pytest.raises(RecipeError, match="difficulties"):
        screened("none", difficulties=["impossible"])
