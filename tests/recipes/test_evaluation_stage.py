"""The three files of an evaluation, and how it goes on after a stop."""

import gc
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studies import final_files, run_study, write_study
from teichaku.backends import scripted
from teichaku.backends.cache import request_key
from teichaku.backends.scripted import ScriptedModel, ScriptedStudent
from teichaku.core.errors import ModelUnavailableError
from teichaku.core.models import ChatModel
from teichaku.core.records import (
    Answer,
    Message,
    Question,
    QuestionRequest,
    Reply,
    Request,
    Sampling,
    Score,
)
from teichaku.core.run_folder import RunFolder
from teichaku.evaluation.answers import answer_rounds
from teichaku.recipes import evaluation_stage
from teichaku.recipes.progress import Silent
from teichaku.recipes.workshop import Workshop

CONDITIONS = ("closed_book", "open_book", "retrieval")
SMALL = "{judge: {questions: 0}, controls: [], unanswerable: null, signals: null}"


def small_study(folder: Path) -> Path:
    return write_study(folder, evaluation=SMALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_study(small_study(tmp_path_factory.mktemp("study")))


def requests(run: RunFolder) -> dict[tuple[str, str], QuestionRequest]:
    found = run.stage("evaluation").read("requests", QuestionRequest)
    return {(row.question_id, row.condition): row for row in found}


def test_requests_have_one_row_a_question_and_condition(finished: RunFolder) -> None:
    rows = list(finished.stage("evaluation").read("requests", QuestionRequest))
    questions = [q.id for q in finished.stage("questions").read("questions", Question)]
    wanted = {(question, condition) for question in questions for condition in CONDITIONS}
    assert {(row.question_id, row.condition) for row in rows} == wanted
    assert len({row.id for row in rows}) == len(rows) == len(wanted)
    assert {row.prompt for row in rows} == {f"ja/{name}@1" for name in CONDITIONS}


def test_an_answer_is_found_in_the_cache_by_what_the_files_say(finished: RunFolder) -> None:
    """Weights, adapter, messages and sampling make the key, and nothing else does."""
    student, asked = ScriptedStudent(), requests(finished)
    found = list(finished.stage("evaluation").read("answers", Answer))
    assert {answer.condition for answer in found} == set(CONDITIONS)
    for answer in found:
        row = asked[answer.question_id, answer.condition]
        request = Request(
            tuple(Message(**turn) for turn in json.loads(row.messages)),
            Sampling(**{**json.loads(row.sampling), "stop": ()}),
        )
        identity = student.identity
        if answer.checkpoint != "base":
            folder = finished.path / "training" / answer.arm / answer.checkpoint
            identity = student.with_adapter(folder).identity
        assert answer.request_key == request_key(identity, request)


def test_scores_follow_from_the_answers_alone(finished: RunFolder) -> None:
    answers = {a.id: a for a in finished.stage("evaluation").read("answers", Answer)}
    scores = list(finished.stage("evaluation").read("scores", Score))
    assert {score.answer_id for score in scores} == set(answers)
    assert {score.condition for score in scores} == set(CONDITIONS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("max_tokens: 96", "max_tokens: 95"),
        ("prompts: null", "prompts: mine"),
    ],
    ids=["parameters", "prompt"],
)
def test_other_parameters_and_other_prompts_are_other_requests(
    tmp_path: Path, one: str, other: str
) -> None:
    recipe = small_study(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir(parents=True)
    (folder / "closed_book.txt").write_text("version: 2\n[user]\n短く：{{ question }}\n", "utf-8")

    def keys(setting: str) -> dict[tuple[str, str], str]:
        key, _, value = setting.partition(": ")
        text = small_study(tmp_path).read_text("utf-8")
        if key == "max_tokens":
            text = text.replace("evaluation: {", f"evaluation: {{max_tokens: {value}, ")
        else:
            text += f"{setting}\n"
        recipe.write_text(text, "utf-8")
        found = run_study(recipe).stage("evaluation").read("answers", Answer)
        return {
            (a.arm, a.question_id): a.request_key for a in found if a.condition == CONDITIONS[0]
        }

    before, after = keys(one), keys(other)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


class _Log:
    """What students are sent; it interrupts the run after ``most`` requests of an evaluation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int | None) -> None:
        self.keys: list[str] = []
        self._most, self._is_evaluation = most, False
        self._generate = scripted.ScriptedModel.generate
        log = self

        def generate(model: ScriptedModel, asked: Iterable[Request | None]) -> Iterator[Reply]:
            return log._logged(model, asked)

        def begin(
            progress: Silent, stage: str, total: int | None, estimate: str = "", *_: Any
        ) -> None:
            log._is_evaluation = stage == "evaluation"
            if log._is_evaluation:
                log.estimate = estimate

        monkeypatch.setattr(scripted.ScriptedModel, "generate", generate)
        monkeypatch.setattr(Silent, "begin", begin)
        self.estimate = ""

    def _logged(self, model: ScriptedModel, asked: Iterable[Request | None]) -> Iterator[Reply]:
        for reply in self._generate(model, asked):
            if self._is_evaluation:
                if self._most is not None and len(self.keys) == self._most:
                    raise KeyboardInterrupt
                self.keys.append(request_key(model.identity, reply.request))
            yield reply


def test_a_run_stopped_in_the_middle_of_the_evaluation_asks_only_what_is_lacking(
    tmp_path: Path,
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        whole = _Log(patched, None)
        undisturbed = run_study(small_study(tmp_path / "calm"))
    recipe = small_study(tmp_path / "stopped")
    most = len(whole.keys) // 2
    with pytest.MonkeyPatch.context() as patched:
        first = _Log(patched, most)
        with pytest.raises(KeyboardInterrupt):
            run_study(recipe)
    with pytest.MonkeyPatch.context() as patched:
        second = _Log(patched, None)
        run = run_study(recipe)
    assert len(first.keys) == most > 0
    assert sorted(first.keys + second.keys) == sorted(whole.keys)
    assert f": {len(second.keys)} requests to send" in second.estimate
    assert final_files(run) == final_files(undisturbed)


def test_what_is_to_be_sent_is_told_before(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        log = _Log(patched, None)
        run = run_study(small_study(tmp_path))
    questions = len(list(run.stage("questions").read("questions", Question)))
    assert log.estimate.startswith(f"{questions} questions, 3 models, 3 conditions: ")
    assert f": {len(log.keys)} requests to send" in log.estimate


def test_nothing_is_to_be_sent_to_a_model_that_cannot_be_had(tmp_path: Path) -> None:
    def build(*_: object) -> ChatModel:
        raise ModelUnavailableError("it cannot be had", "have it")

    gone = "{gone: {backend: scripted, model: gone}}"
    with pytest.MonkeyPatch.context() as patched:
        log = _Log(patched, None)
        patched.setattr(Workshop, "_build_evaluated", build)
        run = run_study(write_study(tmp_path, evaluation=f"{SMALL[:-1]}, models: {gone}}}"))
    failed = [one for one in run.stage("evaluation").read("answers", Answer) if one.error]
    assert {one.arm for one in failed} == {"gone"}
    assert ", 4 models, 3 conditions: " in log.estimate
    # It has nothing in the cache, either: the three others do.
    cached = 3 * len(requests(run)) - len(log.keys)
    assert f": {len(log.keys)} requests to send, {cached} from the cache" in log.estimate


def test_no_request_of_the_file_is_kept_while_models_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[int] = []

    def ask(*given: object) -> Iterator[Answer]:
        gc.collect()
        alive.append(sum(isinstance(one, QuestionRequest) for one in gc.get_objects()))
        return answer_rounds(*given)  # type: ignore[arg-type]

    before = sum(isinstance(one, QuestionRequest) for one in gc.get_objects())
    monkeypatch.setattr(evaluation_stage, "answer_rounds", ask)
    run = run_study(small_study(tmp_path))
    assert requests(run)
    assert set(alive) == {before}


def test_the_estimate_holds_one_request_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    plain = Workshop.expect

    def expect(
        workshop: Workshop, model: ChatModel, asked: Iterable[Request], like: ChatModel
    ) -> tuple[int, float]:
        given.append(asked)
        return plain(workshop, model, asked, like)

    monkeypatch.setattr(Workshop, "expect", expect)
    run_study(small_study(tmp_path))
    assert given
    assert all(isinstance(one, Iterator) for one in given)


def test_all_that_is_asked_of_a_student_comes_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its weights are loaded once."""
    recipe = small_study(tmp_path)
    matrix = "matrix: {training.learning_rate: [1e-3, 1e-4], student.model: [small, large]}"
    before = "matrix: {training.learning_rate: [1e-3, 1e-4]}"
    recipe.write_text(recipe.read_text("utf-8").replace(before, matrix), "utf-8")
    asked: list[str] = []

    def ask(questions: Any, model: ChatModel, rounds: Any, put: Any) -> Iterator[Answer]:
        asked.append(rounds[0].arm)
        return answer_rounds(questions, model, rounds, put)

    monkeypatch.setattr(evaluation_stage, "answer_rounds", ask)
    run = run_study(recipe)
    arms = [f"qa@learning_rate={rate},model={{}}" for rate in ("0.001", "0.0001")]
    own = {name: [arm.format(name) for arm in arms] for name in ("small", "large")}
    assert asked == ["base:small", *own["small"], "base:large", *own["large"]]
    stages = [name.partition("/") for name in run.stages()]
    trained = [arm for stage, _, arm in stages if stage == "training"]
    assert trained == [*own["small"], *own["large"]]
    # The report keeps the order of the recipe.
    told = [arm["name"] for arm in run.read_json("run.json")["arms"]]
    assert told == [name for pair in zip(*own.values(), strict=True) for name in pair]
