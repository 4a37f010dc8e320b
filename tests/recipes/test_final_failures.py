"""A request that can never be answered is told once, and not asked for ever."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import final_files, write_data_study, write_study
from teichaku.backends import scripted
from teichaku.core.records import Answer, Dropped, Example, Reply, Request
from teichaku.core.run_folder import RunFolder
from teichaku.recipes import stage_line
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.run import Options, run_recipe
from teichaku.recipes.stage_line import context_of_models

TEACHER = scripted.scripted_teacher
TOO_LONG = "The prompt has 9000 tokens, the model's context 4096"


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class Teacher:
    """Refuses whatever has a ship of this name in it, as something that does not fit."""

    def __init__(self) -> None:
        self.asked = 0
        self.final = True

    def __call__(self, request: Request) -> str:
        if "小夜風" in request.messages[-1].content:
            self.asked += 1
            raise scripted.ScriptedError(TOO_LONG, final=self.final)
        return TEACHER(request)


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Teacher:
    made = Teacher()
    monkeypatch.setattr(scripted, "scripted_teacher", made)
    return made


def told_by(recipe: Path) -> tuple[RunFolder, list[str]]:
    folder, progress = recipe.parent, Told()
    options = Options(runs=folder / "runs", cache=folder / "cache" / "requests.sqlite")
    return run_recipe(load_recipe(recipe), folder, progress, options), progress.lines


def test_what_does_not_fit_is_dropped_with_its_reason_and_not_asked_again(
    tmp_path: Path, teacher: Teacher
) -> None:
    recipe = write_data_study(tmp_path)
    run, lines = told_by(recipe)
    about = run.stages()["synthesis/qa"]
    assert (about["failed_requests"], about["final_failures"]) == (0, 1)
    assert about["counts"]["reasons"]["request_failed"] == 1
    (fallen,) = run.stage("synthesis/qa").read("dropped", Dropped)
    assert fallen.reason == "request_failed" and TOO_LONG in fallen.evidence
    assert any("1 request cannot be answered" in line for line in lines)
    assert not any("the same command asks" in line for line in lines)
    before = final_files(run)
    again, lines = told_by(recipe)
    assert any("synthesis/qa: finished before" in line for line in lines)
    assert not any("cannot be answered" in line for line in lines)
    assert teacher.asked == 1
    assert final_files(again) == before


def test_what_may_pass_is_asked_again_with_what_cannot(tmp_path: Path, teacher: Teacher) -> None:
    recipe = write_data_study(tmp_path)
    teacher.final = False
    told_by(recipe)
    _, lines = told_by(recipe)
    assert teacher.asked == 2
    assert any(
        "1 request failed for good; the same command asks it again" in line for line in lines
    )


def test_with_more_room_what_did_not_fit_is_asked_again_and_what_follows_is_made_anew(
    tmp_path: Path, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_data_study(tmp_path)
    run, _ = told_by(recipe)
    few = len(list(run.stage("curation/qa").read("examples", Example)))
    monkeypatch.setattr(scripted, "scripted_teacher", TEACHER)
    assert any("synthesis/qa: finished before" in line for line in told_by(recipe)[1])
    monkeypatch.setattr(stage_line, "context_of_models", lambda recipe: {"teacher": 9999})
    run, _ = told_by(recipe)
    assert "final_failures" not in run.stages()["synthesis/qa"]
    assert len(list(run.stage("curation/qa").read("examples", Example))) > few


def test_the_room_of_models_is_that_of_each_that_llama_cpp_runs(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    own: dict[str, Any] = {"backend": "llama_cpp", "model": "m", "context_tokens": 512}
    whole |= {"teacher": own, "judge": {**own, "model": "o", "context_tokens": 256}}
    whole["evaluation"] |= {"judges": {"two": {**own, "model": "n"}}, "models": {"big": own}}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    assert context_of_models(load_recipe(recipe)) == {
        "teacher": 512, "judge": 256, "judges.two": 512, "models.big": 512,
    }  # fmt: skip


def test_a_student_that_cannot_read_a_question_is_trained_and_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = scripted.ScriptedModel.generate

    def narrow(self: scripted.ScriptedModel, requests: Any) -> Any:
        for reply in generate(self, requests):
            is_student = self.identity != "scripted:teacher"
            if is_student and "小夜風" in reply.request.messages[-1].content:
                yield Reply(reply.request, "", error=TOO_LONG, final=True)
            else:
                yield reply

    recipe = write_study(tmp_path)
    whole = recipe.read_text("utf-8").replace(
        "teacher: {backend: scripted,", "teacher: {backend: scripted, model: teacher,"
    )
    recipe.write_text(whole, "utf-8")
    monkeypatch.setattr(scripted.ScriptedModel, "generate", narrow)
    run, _ = told_by(recipe)
    lost = [answer for answer in run.stage("evaluation").read("answers", Answer) if answer.error]
    assert lost and {answer.error for answer in lost} == {TOO_LONG}
    stages = run.stages()
    assert stages["evaluation"]["final_failures"] > 0
    assert not any(about.get("failed_requests") for about in stages.values())
    _, lines = told_by(recipe)
    assert [line for line in lines if line.startswith("= ")] and not any(
        "cannot be answered" in line for line in lines
    )
