"""A model that thinks before it answers is given room, and is not called wrong where it had none."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from studies import run_study, write_study
from teichaku.backends import scripted
from teichaku.core.records import Answer, Dropped, Judgement, Reply, Request, Score
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.load import builtin_recipes, load_recipe
from teichaku.recipes.model_schema import Http
from teichaku.recipes.scoring import score_run

THOUGHTS = 500


class Thinking(scripted.ScriptedStudent):
    """As the scripted student; one that is called ``thinker`` thinks for so many tokens first."""

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for reply in super().generate(requests):
            room = reply.request.sampling.max_tokens
            if self.name == "thinker" and room <= THOUGHTS:
                yield Reply(reply.request, "<think>まず、", "length", 9, room)
            else:
                yield reply


def asked(folder: Path, patched: pytest.MonkeyPatch, more: str = "") -> RunFolder:
    """A study that asks a thinker what the student is asked."""
    patched.setattr(scripted, "ScriptedStudent", Thinking)
    models = f"models: {{thinker: {{backend: scripted, model: thinker{more}}}}}"
    sets = "controls: [{name: jcommonsenseqa, items: 6}]"
    return run_study(
        write_study(folder, evaluation=f"{{unanswerable: {{per_document: 1}}, {sets}, {models}}}")
    )


def test_an_answer_that_was_not_reached_is_missing_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asked(tmp_path, monkeypatch)
    for stage in ("evaluation", "controls"):
        folder, counts = run.stage(stage), run.stages()[stage]["counts"]
        answers = list(folder.read("answers", Answer))
        cut = {row.id for row in answers if row.arm == "thinker"}
        assert cut == {row.id for row in answers if row.error}
        assert counts["reasons"] == {"answer_cut": len(cut)}
        assert counts["in"] == counts["out"] + len(cut)
        assert {row.record_id for row in folder.read("dropped", Dropped)} == cut
        values = {row.value for row in folder.read("scores", Score) if row.answer_id in cut}
        assert values == {None}
    judged = run.stage("evaluation").read("judgements", Judgement)
    assert not cut & {row.answer_id for row in judged}
    caveats = run.read_json("report/report.json")["headline"]["caveats"]
    (told,) = [caveat for caveat in caveats if "答え始める前に" in caveat]
    assert told.startswith("thinker ")
    assert not any("件の回答は得られませんでした" in caveat for caveat in caveats)
    assert not any(row.changed for row in score_run(run))


def test_a_model_with_room_of_its_own_answers_and_the_others_are_asked_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asked(tmp_path, monkeypatch)
    known = {
        row.id: row.request_key
        for row in before.stage("evaluation").read("answers", Answer)
        if row.arm != "thinker"
    }
    run = asked(tmp_path, monkeypatch, f", max_tokens: {THOUGHTS + 1}")
    for stage in ("evaluation", "controls", "unanswerable"):
        answers = list(run.stage(stage).read("answers", Answer))
        assert not [row.error for row in answers if row.error]
    found = Counter(row.arm for row in run.stage("evaluation").read("answers", Answer))
    assert found["thinker"] == found["base"]
    assert known == {
        row.id: row.request_key
        for row in run.stage("evaluation").read("answers", Answer)
        if row.arm != "thinker"
    }
    caveats = run.read_json("report/report.json")["headline"]["caveats"]
    assert not any("答え始める前に" in caveat for caveat in caveats)


def test_the_recipes_that_name_a_thinking_model_switch_its_thinking_off() -> None:
    found = []
    for name, path in builtin_recipes().items():
        recipe = load_recipe(path, profile="full")
        for config in (recipe.teacher, recipe.judge, *recipe.evaluation.judges.values()):
            if isinstance(config, Http) and "Qwen3" in config.model:
                assert config.extra == {"chat_template_kwargs": {"enable_thinking": False}}, name
                found.append(name)
    assert {"academic-qa", "pairwise-instruction", "llm-jp", "leaderboard"} <= set(found)
