"""What is asked of the epochs of a training, and what makes it train again."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import final_files, run_study, write_study
from teichaku.backends.scripted import (
    ScriptedError,
    ScriptedModel,
    ScriptedStudent,
    ScriptedTrainer,
)
from teichaku.core import run_folder
from teichaku.core.records import Answer, Dropped, Question, Request
from teichaku.core.run_folder import RunFolder
from teichaku.report.evidence import read_evidence

ARM, PROBES = "training/qa", "probes/qa"
BUILT = ScriptedStudent._model
STEP = ScriptedTrainer.step


def small(folder: Path, **changes: Any) -> Path:
    """A study of one arm that is asked in few ways; ``changes`` are sections of the recipe."""
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["arms"] = {"qa": {"examples": [{"method": "document_qa", "per_passage": 5}]}}
    whole["evaluation"] = {
        "judge": {"questions": 0}, "controls": [], "unanswerable": None, "signals": None,
    }  # fmt: skip
    recipe.write_text(yaml.safe_dump({**whole, **changes}, allow_unicode=True), "utf-8")
    return recipe


def edited(recipe: Path, section: str, **changes: Any) -> Path:
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole[section] |= changes
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def failing_on(word: str) -> Callable[..., ScriptedModel]:
    """A student whose requests fail where ``word`` stands in them."""

    def build(self: ScriptedStudent, *given: Any) -> ScriptedModel:
        model = BUILT(self, *given)
        answer = model._script

        def script(request: Request) -> str:
            if word in request.messages[-1].content:
                raise ScriptedError("503")
            return answer(request)

        model._script = script
        return model

    return build


def probes(run: RunFolder) -> Iterator[Answer]:
    for epoch in range(4):
        yield from run.stage(PROBES).read(f"probe-{epoch}", Answer)


def failures(run: RunFolder) -> int:
    summary = run.stages()[PROBES]
    fallen = list(run.stage(PROBES).read("dropped", Dropped))
    assert summary["counts"]["dropped"] == len(fallen) == summary["failed_requests"]
    return len(fallen)


def test_probes_that_failed_are_asked_again_until_they_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(tmp_path / "disturbed")
    with monkeypatch.context() as patched:
        patched.setattr(ScriptedStudent, "_model", failing_on("小夜風"))
        run = run_study(recipe)
        lost = sum(bool(answer.error) for answer in probes(run))
        # Before training and after each of three epochs.
        assert lost > 0 and lost % 4 == 0
        assert failures(run) == lost
        assert "failed_requests" in run.stages()[ARM] and not run.stages()[ARM]["failed_requests"]
        trained = written_at(run)
        # They fail again, and are not forgotten for it.
        run = run_study(recipe)
        assert failures(run) == lost == sum(bool(answer.error) for answer in probes(run))
    run = run_study(recipe)
    assert failures(run) == 0
    assert written_at(run) == trained
    assert not any(answer.error for answer in probes(run))
    assert final_files(run) == final_files(run_study(small(tmp_path / "calm")))


def test_what_was_asked_while_training_is_not_sent_again(tmp_path: Path) -> None:
    run = run_study(small(tmp_path))
    asked = len(list(probes(run)))
    assert asked == run.stages()[PROBES]["counts"]["out"] > 0
    timing = run.read_json(f"{PROBES}/timing.json")
    assert (timing["requests"], timing["cached_requests"]) == (0, asked)


def test_a_probe_that_failed_before_a_kill_is_asked_again_by_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(tmp_path / "killed")
    run = RunFolder(tmp_path / "killed" / "runs" / "boats")

    def killed(self: ScriptedTrainer, *given: Any) -> float:
        if (run.stage(ARM).path / "epoch-1").is_dir():
            raise KeyboardInterrupt
        return STEP(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedStudent, "_model", failing_on("小夜風"))
        patched.setattr(ScriptedTrainer, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(recipe)
    run = run_study(recipe)
    assert failures(run) == 0
    assert final_files(run) == final_files(run_study(small(tmp_path / "calm")))


def test_questions_and_probes_are_read_once_for_all_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    original = run_folder.read_records

    def counted(path: Path, kind: type[Any]) -> Iterator[Any]:
        read["/".join(path.parts[-2:])] += 1
        return original(path, kind)

    recipe = write_study(tmp_path)
    monkeypatch.setattr("teichaku.recipes.run._report", lambda study: None)
    monkeypatch.setattr(run_folder, "read_records", counted)
    run_study(recipe)
    # Once for the study, and by each of two arms for what it must not train on.
    assert read["questions/questions.parquet"] == 1 + 2
    # To choose the checkpoint, and for the report's curve.
    found = {name: count for name, count in read.items() if "probe-" in name}
    assert len(found) == 6 and set(found.values()) == {2}


FURTHER = ("controls", "unanswerable", "signals")


def test_what_leaves_the_selected_checkpoints_as_they_were_makes_no_further_stage_anew(
    tmp_path: Path,
) -> None:
    recipe = write_study(tmp_path)
    run = run_study(recipe)
    before = run.stages()
    chosen = before["evaluation"]["notes"]["selected_checkpoints"]
    scorers = ["character_f1", "containment", "exact"]
    for change in ({"scorers": scorers}, {"scorers": ["exact", "containment"], "select": "last"}):
        run = run_study(edited(recipe, "evaluation", **change))
        after = run.stages()
        assert after["evaluation"]["notes"]["selected_checkpoints"] == chosen
        assert after["evaluation"]["fingerprint"] != before["evaluation"]["fingerprint"]
        assert {name: after[name] for name in FURTHER} == {name: before[name] for name in FURTHER}


def test_another_checkpoint_is_asked_further_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_study(tmp_path)
    before = run_study(recipe).stages()
    monkeypatch.setattr("teichaku.recipes.study.best_epoch", lambda *_: 2)
    after = run_study(recipe).stages()
    assert set(after["evaluation"]["notes"]["selected_checkpoints"].values()) == {"epoch-2"}
    for name in FURTHER:
        assert after[name]["fingerprint"] != before[name]["fingerprint"]


def with_own_questions(folder: Path) -> Path:
    """A study that is asked the questions of a file alone."""
    rows = [
        {"文書": "あおば丸", "質問": "定員は何人か。", "答え": "48人"},
        {"文書": "小夜風", "質問": "船体の材は何か。", "答え": "杉"},
    ]
    questions = {
        "kinds": ["independent"], "file": "mine.jsonl", "hold_out": {"per_category": 0},
    }  # fmt: skip
    recipe = small(folder, questions=questions)
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "mine.jsonl").write_text("\n".join(lines), "utf-8")
    return recipe


def written_at(run: RunFolder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in run.stage(ARM).path.glob("*")}


def test_an_arm_that_changes_no_question_trains_no_other_arm_again(tmp_path: Path) -> None:
    recipe = with_own_questions(tmp_path)
    run = run_study(recipe)
    kept, asked = written_at(run), list(run.stage("questions").read("questions", Question))
    examples = [{"method": "document_qa", "per_passage": 2}]
    run = run_study(edited(recipe, "arms", few={"examples": examples}))
    assert list(run.stage("questions").read("questions", Question)) == asked
    assert "training/few" in run.stages()
    assert written_at(run) == kept
    assert any(a.arm == "few" for a in run.stage("evaluation").read("answers", Answer))


def test_other_questions_are_probed_anew(tmp_path: Path) -> None:
    recipe = with_own_questions(tmp_path)
    run = run_study(recipe)
    trained = written_at(run)
    file = tmp_path / "mine.jsonl"
    file.write_text(file.read_text("utf-8").splitlines()[0], "utf-8")
    run = run_study(recipe)
    assert len({answer.question_id for answer in probes(run)}) == 1
    assert written_at(run) == trained


def test_another_length_of_answers_is_probed_anew_and_nothing_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(tmp_path)
    run = run_study(recipe)
    trained, before = written_at(run), {answer.id: answer for answer in probes(run)}
    monkeypatch.delattr(ScriptedTrainer, "step")
    run = run_study(edited(recipe, "evaluation", max_tokens=50))
    after = {answer.id: answer for answer in probes(run)}
    assert written_at(run) == trained
    assert before.keys() == after.keys()
    for name, answer in after.items():
        assert answer.text == before[name].text
        assert answer.request_key != before[name].request_key
    chosen = run.stages()["evaluation"]["notes"]["selected_checkpoints"]["qa"]
    final = {
        a.request_key
        for a in run.stage("evaluation").read("answers", Answer)
        if (a.checkpoint, a.condition) == (chosen, "closed_book")
    }
    assert {a.request_key for a in after.values() if a.checkpoint == chosen} <= final


def test_fewer_probes_train_nothing_again_and_without_any_the_last_epoch_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teichaku.recipes.study.best_epoch", lambda *_: 1)
    recipe = small(tmp_path)
    run = run_study(recipe)
    trained = written_at(run)

    def chosen() -> dict[str, str]:
        return dict(run.stages()["evaluation"]["notes"]["selected_checkpoints"])

    assert chosen() == {"qa": "epoch-1"}
    run = run_study(edited(recipe, "training", probe={"questions": 2}))
    assert len(list(probes(run))) == 2 * 4
    run = run_study(edited(recipe, "training", probe={"questions": 0}))
    # What lies there of an earlier recipe is not read.
    assert PROBES not in run.stages() and list(probes(run))
    assert chosen() == {"qa": "epoch-3"}
    assert run.stages()["evaluation"]["notes"]["probe_answers"] == 0
    assert read_evidence(run).unfinished == []
    assert written_at(run) == trained


def test_what_other_questions_hold_out_is_not_trained_on(tmp_path: Path) -> None:
    recipe = small(tmp_path, questions={"per_document": 4, "hold_out": {"per_category": 0}})
    before = run_study(recipe).stages()[ARM]
    run = run_study(edited(recipe, "questions", hold_out={"per_category": 2}))
    after = run.stages()[ARM]
    assert after["counts"]["out"] < before["counts"]["out"]
    assert after["counts"]["reasons"]["kept_for_evaluation"] > 0
