"""What might tell right answers from wrong ones, measured on a study."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from studies import run_study, write_study
from teichaku.backends.scripted import ScriptedModel, ScriptedStudent
from teichaku.core.models import LanguageModel, ScoredText, TokenScores
from teichaku.core.records import Answer, Dropped, Message, Reply, Request
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.signals import (
    AGREEMENT,
    FIRST_LEAST,
    FIRST_MEAN,
    LEAST,
    MEAN,
    SAME,
    SHORTNESS,
    AnswerSignal,
)
from teichaku.recipes.progress import Silent


def write(folder: Path, **evaluation: Any) -> Path:
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["arms"]["qa"].pop("matrix")
    whole["evaluation"] = {"controls": [], "unanswerable": None, **evaluation}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def signals(run: RunFolder) -> list[AnswerSignal]:
    return list(run.stage("signals").read("signals", AnswerSignal))


def final(run: RunFolder) -> dict[str, Answer]:
    """The closed-book answers of the base and of the arm at its checkpoint."""
    notes = run.stages()["evaluation"]["notes"]
    return {
        answer.id: answer
        for answer in run.stage("evaluation").read("answers", Answer)
        if answer.condition == "closed_book"
        and answer.checkpoint == notes["selected_checkpoints"].get(answer.arm, "base")
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_study(write(tmp_path_factory.mktemp("study"), signals={"samples": 2}))


def test_a_model_without_weights_is_asked_for_its_first_tokens(finished: RunFolder) -> None:
    answers = final(finished)
    rows = signals(finished)
    assert {row.answer_id for row in rows} == set(answers)
    assert {row.signal for row in rows} == {FIRST_MEAN, FIRST_LEAST, AGREEMENT, SAME, SHORTNESS}
    by = {(row.answer_id, row.signal): row.value for row in rows}
    for answer in answers.values():
        # The scripted models are sure of all but digits.
        least = by[answer.id, FIRST_LEAST]
        assert least is not None
        assert (least < 0) == any(letter in "0123456789" for letter in answer.text)
        assert by[answer.id, SHORTNESS] is not None
        assert by[answer.id, SAME] == 1.0
    counts = finished.stages()["signals"]["counts"]
    assert counts["in"] == counts["out"] == len(answers)


def test_a_sample_of_the_questions_is_enough(tmp_path: Path) -> None:
    run = run_study(write(tmp_path, signals={"questions": 5}))
    assert len({row.answer_id for row in signals(run)}) == 2 * 5
    assert AGREEMENT not in {row.signal for row in signals(run)}


def test_answers_without_a_passage_are_needed(tmp_path: Path) -> None:
    run = run_study(write(tmp_path, conditions=["open_book"]))
    assert "signals" not in run.stages()
    assert run.read_json("report/report.json")["signals"] is None


class _Weighing:
    """Says how likely a text is by its length, and notes what it was given."""

    identity = "weighing"

    def __init__(self, seen: list[ScoredText]) -> None:
        self._seen = seen

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        for one in texts:
            self._seen.append(one)
            yield TokenScores(np.array([-1.0, -len(one.text)], np.float32), end=len(one.text))


def _with_weights(model: ScriptedModel, seen: list[ScoredText]) -> ScriptedModel:
    class WithWeights:
        identity = model.identity

        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            return model.generate(requests)

        def context(self, messages: Sequence[Message]) -> str:
            return f"<user>{messages[-1].content}<model>"

        def answer_model(self) -> LanguageModel:
            return _Weighing(seen)

    return WithWeights()  # type: ignore[return-value]


def test_a_model_with_weights_finds_its_answers_likely_behind_its_own_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ScoredText] = []
    plain = ScriptedStudent.with_adapter

    def with_adapter(student: ScriptedStudent, folder: Path) -> Any:
        return _with_weights(plain(student, folder), seen)  # type: ignore[arg-type]

    monkeypatch.setattr(ScriptedStudent, "with_adapter", with_adapter)
    run = run_study(write(tmp_path))
    answers = {key: answer for key, answer in final(run).items() if answer.arm == "qa"}
    rows = [row for row in signals(run) if row.answer_id in answers]
    values = {row.answer_id: row.value for row in rows if row.signal == LEAST}
    assert values == {key: -len(answer.text) for key, answer in answers.items()}
    assert {row.signal for row in rows} == {MEAN, LEAST, SHORTNESS}
    assert {one.text for one in seen} == {answer.text for answer in answers.values()}
    assert all(one.context.startswith("<user>") for one in seen)
    assert all(one.context.endswith("<model>") for one in seen)


def test_another_model_in_the_recipe_costs_its_own_signals_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ScoredText] = []
    plain = ScriptedStudent.with_adapter

    def with_adapter(student: ScriptedStudent, folder: Path) -> Any:
        return _with_weights(plain(student, folder), seen)  # type: ignore[arg-type]

    monkeypatch.setattr(ScriptedStudent, "with_adapter", with_adapter)
    before, scored = signals(run_study(write(tmp_path))), len(seen)
    assert scored
    models = {"api": {"backend": "scripted", "model": "large"}}
    after = signals(run_study(write(tmp_path, models=models)))
    assert len(seen) == scored
    assert set(before) < set(after)
    # Another sample is scored as a whole.
    run_study(write(tmp_path, models=models, signals={"questions": 5}))
    assert len(seen) == scored + 5


def test_what_gives_no_likelihood_is_counted_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ScriptedModel.generate

    def silent(model: ScriptedModel, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for reply in plain(model, requests):
            yield Reply(reply.request, reply.text, reply.finish_reason)

    monkeypatch.setattr(ScriptedModel, "generate", silent)
    run = run_study(write(tmp_path))
    dropped = list(run.stage("signals").read("dropped", Dropped))
    assert {(row.reason, row.evidence) for row in dropped} == {("no_likelihood", "not given")}
    assert len(dropped) == len(final(run))
    found = run.read_json("report/report.json")["signals"]
    assert found["without"] == ["base", "qa"]


def _cut(monkeypatch: pytest.MonkeyPatch, beginning: str = "") -> list[Request]:
    """Replies that are asked for their first tokens are cut off after one character."""
    plain, seen = ScriptedModel.generate, []

    def short(model: ScriptedModel, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for reply in plain(model, requests):
            if not reply.request.top_log_probabilities:
                yield reply
                continue
            seen.append(reply.request)
            yield Reply(
                reply.request, beginning or f"{reply.text[:1]}\ufffd", "length",
                log_probabilities=reply.log_probabilities[:1],
            )  # fmt: skip

    monkeypatch.setattr(ScriptedModel, "generate", short)
    return seen


def test_the_beginning_of_an_answer_is_enough_for_its_first_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _cut(monkeypatch)
    run = run_study(write(tmp_path))
    assert {request.sampling.max_tokens for request in seen} == {16}
    assert {row.error for row in signals(run)} == {""}


def test_another_beginning_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cut(monkeypatch, "<think>")
    run = run_study(write(tmp_path))
    errors = {row.error for row in signals(run) if row.signal == FIRST_MEAN}
    assert errors == {"answered otherwise when asked for it"}


def test_the_progress_knows_of_the_second_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[str, int | None] = {}
    done: Counter[str] = Counter()

    def begin(told: Silent, stage: str, total: int | None, estimate: str = "", *_: Any) -> None:
        begun[stage] = total
        done["now"] = 0

    def advance(told: Silent, records: int = 1, tokens: int = 0) -> None:
        done["now"] += records
        done[list(begun)[-1]] = done["now"]

    monkeypatch.setattr(Silent, "begin", begin)
    monkeypatch.setattr(Silent, "advance", advance)
    run_study(write(tmp_path, signals={"samples": 2}))
    assert begun["signals"] == done["signals"] > 0


def test_an_answer_that_comes_out_otherwise_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ScriptedModel.generate

    def moody(model: ScriptedModel, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for reply in plain(model, requests):
            asked = reply.request.top_log_probabilities
            text = f"{reply.text}。" if asked else reply.text
            yield Reply(
                reply.request, text, reply.finish_reason, log_probabilities=reply.log_probabilities
            )

    monkeypatch.setattr(ScriptedModel, "generate", moody)
    run = run_study(write(tmp_path))
    errors = {row.error for row in signals(run) if row.signal == FIRST_MEAN}
    assert errors == {"answered otherwise when asked for it"}
