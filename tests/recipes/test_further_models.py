"""Further models answer as rows of their own, and fail alone."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from made import question
from studies import run_study, write_study
from teichaku.backends import registry, scripted
from teichaku.backends.cache import CachedModel, RequestCache
from teichaku.core.errors import ModelUnavailableError, RecipeError
from teichaku.core.models import ChatModel
from teichaku.core.records import (
    Answer,
    Dropped,
    Message,
    Question,
    QuestionRequest,
    Reply,
    Request,
    Score,
)
from teichaku.core.run_folder import RunFolder
from teichaku.recipes import evaluated
from teichaku.recipes.before import check_before
from teichaku.recipes.budget import BudgetSpentError
from teichaku.recipes.further_model import FurtherModel
from teichaku.recipes.load import load_recipe

SMALL = "controls: [], unanswerable: null, signals: null"
SCRIPTED = "api: {backend: scripted, model: large, price: {input: 5, output: 10}}"


def with_models(folder: Path, models: str, more: str = "") -> Path:
    """A study that asks further models."""
    recipe = write_study(folder, evaluation=f"{{{SMALL}, models: {{{models}}}}}")
    recipe.write_text(recipe.read_text("utf-8") + more, "utf-8")
    return recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("study")
    # A file that is no model: it can be found, and not loaded.
    (folder / "broken.gguf").write_bytes(b"no model")
    broken = f"gone: {{backend: llama_cpp, model: {folder / 'broken.gguf'}}}"
    return run_study(with_models(folder, f"{SCRIPTED}, {broken}"))


def answers(run: RunFolder) -> list[Answer]:
    return list(run.stage("evaluation").read("answers", Answer))


def test_a_further_model_answers_the_same_requests_as_a_row_of_its_own(
    finished: RunFolder,
) -> None:
    asked = list(finished.stage("evaluation").read("requests", QuestionRequest))
    by_model: dict[str, set[tuple[str, str]]] = {}
    for answer in answers(finished):
        by_model.setdefault(answer.arm, set()).add((answer.question_id, answer.condition))
    wanted = {(request.question_id, request.condition) for request in asked}
    assert by_model["api"] == by_model["base"] == wanted
    assert {a.checkpoint for a in answers(finished) if a.arm in ("api", "gone")} == {"base"}
    assert any(score.arm == "api" for score in finished.stage("evaluation").read("scores", Score))


def test_a_model_that_cannot_be_had_loses_only_its_own_answers(finished: RunFolder) -> None:
    lost = [answer for answer in answers(finished) if answer.error]
    assert {answer.arm for answer in lost} == {"gone"}
    assert all("cannot load" in answer.error and not answer.text for answer in lost)
    counts = finished.stages()["evaluation"]["counts"]
    assert counts["reasons"] == {"request_failed": len(lost)}
    values = {
        s.value for s in finished.stage("evaluation").read("scores", Score) if s.arm == "gone"
    }
    assert values == {None}
    # The same command asks it again.
    assert finished.stages()["evaluation"]["failed_requests"] == len(lost)


def test_further_models_are_named_apart_and_have_their_cards(finished: RunFolder) -> None:
    described = finished.read_json("run.json")
    assert described["base_arms"] == ["base"]
    assert described["further_models"] == ["api", "gone"]
    cards = {(card["role"], card["name"]) for card in described["models"]}
    assert ("evaluated", "large") in cards


def test_further_models_are_never_the_base_of_a_report(finished: RunFolder) -> None:
    report = finished.read_json("report/report.json")
    assert report["headline"]["base_arm"] == "base"
    assert report["headline"]["best_arm"].startswith("qa@")
    assert {row["arm"] for row in report["progress"]} == {row["arm"] for row in report["training"]}
    means = report["side_by_side"]["means"]
    assert [row["role"] for row in means] == ["base", "tuned", "tuned", "further", "further"]
    gone = means[-1]["cells"]["closed_book"]
    assert (gone["value"], gone["n"]) == (None, 0) and gone["failed"]
    assert any(caveat.startswith("gone ") for caveat in report["headline"]["caveats"])


def test_what_a_further_model_costs_counts_against_the_budget(tmp_path: Path) -> None:
    free = run_study(with_models(tmp_path / "free", ""))
    priced = run_study(with_models(tmp_path / "priced", SCRIPTED, "budget: {price: 100}\n"))
    paid = priced.read_json("spending.json")
    assert paid["price"] > 0 == free.read_json("spending.json")["price"]
    api = [answer for answer in answers(priced) if answer.arm == "api"]
    # Equal requests are sent once, and those of the conditions differ.
    sent = {answer.request_key: answer for answer in api}.values()
    cost = sum(5 * a.prompt_tokens + 10 * a.completion_tokens for a in sent) / 1e6
    assert paid["price"] == pytest.approx(cost, abs=1e-6)


def test_a_spent_budget_ends_the_run_and_not_only_the_model(tmp_path: Path) -> None:
    recipe = with_models(tmp_path, SCRIPTED, "budget: {price: 0.001}\n")
    with pytest.raises(BudgetSpentError):
        run_study(recipe)


@pytest.mark.parametrize(
    ("models", "more", "told"),
    [
        ("qa: {backend: scripted}", "", "evaluation.models.qa: an arm is called so"),
        ("base: {backend: scripted}", "", "'base' is the untuned model"),
        ("'a@x=1': {backend: scripted}", "", "A name is made of letters"),
        (
            "gpt: {backend: http, model: m, base_url: u}",
            "budget: {price: 5}\n",
            "evaluation.models.gpt.price: budget.price limits what this model costs",
        ),
        (
            "gpt: {backend: scripted, price: {input: 1, currency: JPY}}",
            "judge: {backend: scripted, price: {input: 1}}\n",
            "the gpt's prices are in JPY, the judge's in USD",
        ),
    ],
)
def test_a_further_model_that_cannot_be_told_apart_or_paid_is_refused(
    tmp_path: Path, models: str, more: str, told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(with_models(tmp_path, models, more))
    assert told in str(caught.value)


def test_the_key_of_a_further_model_is_looked_for_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    server = "{backend: http, model: m, base_url: http://localhost/v1, api_key_env: NO_SUCH_KEY}"
    recipe = with_models(tmp_path, f"gpt: {server}")
    with pytest.raises(RecipeError, match="NO_SUCH_KEY"):
        check_before(load_recipe(recipe), tmp_path)


QUESTIONS = [question(f"{number}番は？", str(number)) for number in range(5)]
REQUESTS = [Request((), subject=one) for one in QUESTIONS]


class _GoesAway:
    """Answers two requests, having pulled three, and then is gone."""

    identity = "fragile"

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        pulled = list(islice(requests, 3))
        for request in pulled[:2]:
            assert request is not None
            yield Reply(request, "はい")
        raise ModelUnavailableError("The engine is gone.", "Start it again.")


def test_what_a_model_answered_before_it_went_is_kept_and_the_rest_fails() -> None:
    told: list[str] = []
    model = FurtherModel(lambda: _GoesAway(), told.append)
    for expected in (2, 0):
        replies = list(model.generate(iter(REQUESTS)))
        assert Counter(r.request.subject.id for r in replies) == Counter(q.id for q in QUESTIONS)
        assert [bool(reply.error) for reply in replies].count(False) == expected
        assert {reply.error for reply in replies if reply.error} == {"The engine is gone."}
    assert told == ["The engine is gone.\nStart it again."]


def test_a_model_that_cannot_be_built_answers_nothing_and_has_no_identity() -> None:
    def build() -> ChatModel:
        raise ModelUnavailableError("No such model.")

    model = FurtherModel(build, lambda why: None)
    assert model.identity == ""
    # None: the next request depends on a reply, and each was handed on at once.
    given = [REQUESTS[0], None, REQUESTS[1]]
    assert [reply.error for reply in model.generate(given)] == ["No such model."]


def test_what_is_written_of_a_failure_is_in_no_interfaces_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> ChatModel:
        registry.resolve(str(tmp_path))
        raise AssertionError("an empty folder is no model")

    written, told = [], list[str]()
    for language in ("en", "ja"):
        monkeypatch.setenv("TEICHAKU_LANG", language)
        model = FurtherModel(build, told.append)
        written.append([reply.error for reply in model.generate(iter(REQUESTS))])
    assert written[0] == written[1]
    assert all(f"{tmp_path} is no model." == error for error in written[0])
    assert told[0].startswith(written[0][0])
    assert told[1].startswith(f"{tmp_path} はモデルではありません")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (ImportError("No module named 'kernels'"), "ImportError: No module named 'kernels'"),
        (KeyError("qwen9"), "KeyError: 'qwen9'"),
    ],
)
def test_any_failure_of_a_model_is_its_own_with_type_and_text(error: Exception, told: str) -> None:
    class Fails:
        identity = "fails"

        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            yield Reply(next(iter(requests)) or REQUESTS[0], "はい")
            raise error

    def build() -> ChatModel:
        raise error

    said: list[str] = []
    begun = list(FurtherModel(Fails, said.append).generate(iter(REQUESTS)))
    assert [reply.error for reply in begun] == ["", *[told] * 4]
    never = list(FurtherModel(build, said.append).generate(iter(REQUESTS)))
    assert [reply.error for reply in never] == [told] * 5
    assert said == [told, told]


@pytest.mark.parametrize("error", [BudgetSpentError("spent"), KeyboardInterrupt()])
def test_a_spent_budget_and_an_interruption_are_no_models_failure(error: BaseException) -> None:
    class Stops:
        identity = "stops"

        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            raise error

    with pytest.raises(type(error)):
        list(FurtherModel(Stops, lambda why: None).generate(iter(REQUESTS)))


def test_what_the_requests_raise_is_not_said_of_the_model() -> None:
    def requests() -> Iterator[Request]:
        yield REQUESTS[0]
        raise LookupError("no such passage")

    sound, told = scripted.ScriptedModel(lambda request: "はい"), list[str]()
    with pytest.raises(LookupError):
        list(FurtherModel(lambda: sound, told.append).generate(requests()))
    assert told == []


@pytest.mark.parametrize("hands_on", [True, False])
def test_what_a_model_answered_in_another_run_is_there_after_it_went(
    tmp_path: Path, hands_on: bool
) -> None:
    class Gone:
        identity = "scripted:one"
        hands_on_replies = hands_on

        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            next(iter(requests))
            raise RuntimeError("gone")

    cache = RequestCache(tmp_path / "cache.sqlite")
    asked = [Request((Message("user", str(number)),), subject=number) for number in range(6)]
    sound = scripted.ScriptedModel(lambda request: request.messages[0].content, "one")
    list(CachedModel(FurtherModel(lambda: sound, lambda why: None), cache).generate(asked[::2]))
    model = CachedModel(FurtherModel(Gone, lambda why: None), cache)
    replies = {reply.request.subject: reply for reply in model.generate(asked)}
    assert {number: reply.text for number, reply in replies.items()} == {
        0: "0", 1: "", 2: "2", 3: "", 4: "4", 5: ""
    }  # fmt: skip
    assert [replies[number].error for number in (1, 3, 5)] == ["RuntimeError: gone"] * 3
    # What failed is not kept: another try may have it.
    assert all(not reply.error for reply in CachedModel(sound, cache).generate(asked))


def test_a_run_has_what_was_paid_for_after_the_model_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = with_models(tmp_path, SCRIPTED, "budget: {price: 100}\n")
    before = {a.id: a for a in answers(run_study(recipe)) if a.arm == "api"}
    generate = scripted.ScriptedStudent.generate

    def gone(self: scripted.ScriptedStudent, requests: Iterable[Request | None]) -> Any:
        if self.name != "large":
            yield from generate(self, requests)
            return
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(scripted.ScriptedStudent, "generate", gone)
    # Retrieval shows one passage: other requests, and those of the other conditions are known.
    text = recipe.read_text("utf-8").replace(
        "signals: null", "signals: null, retrieval: {passages: 1}"
    )
    recipe.write_text(text, "utf-8")
    after = [a for a in answers(run_study(recipe)) if a.arm == "api"]
    assert {a.id for a in after} == set(before)
    for answer in after:
        if answer.condition == "retrieval":
            assert answer.error in ("", "RuntimeError: CUDA out of memory")
        else:
            assert answer == before[answer.id]
    assert any(answer.error for answer in after)


def test_a_model_that_cannot_be_loaded_loses_its_answers_in_every_stage(tmp_path: Path) -> None:
    # A folder that can be found, and holds neither weights nor a tokenizer.
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}", "utf-8")
    lost = f"lost: {{backend: transformers, model: {tmp_path / 'empty'}}}"
    recipe = with_models(tmp_path, lost)
    text = recipe.read_text("utf-8").replace(
        SMALL, "controls: [{name: jnli, items: 3}], unanswerable: null, signals: {questions: 4}"
    )
    recipe.write_text(text, "utf-8")
    run = run_study(recipe)
    for stage in ("evaluation", "controls"):
        given = list(run.stage(stage).read("answers", Answer))
        assert {answer.arm for answer in given if answer.error} == {"lost"}
        assert all(answer.error for answer in given if answer.arm == "lost")
        (shown,) = [
            one for one in run.read_json(f"{stage}/prompt.json")["prompts"] if one["arm"] == "lost"
        ]
        assert "no model that can be loaded" in shown["error"]
    way = run.read_json("controls/models.json")["models"]["lost"]
    assert way["unseen"] and not way["is_served"]
    reasons = {row.reason for row in run.stage("signals").read("dropped", Dropped)}
    assert "request_failed" in reasons
    caveats = run.read_json("report/report.json")["headline"]["caveats"]
    assert sum(caveat.startswith("lost ") for caveat in caveats) == 1


def test_answers_whose_likelihood_cannot_be_had_stay_without_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def context(self: scripted.ScriptedStudent, messages: Any) -> str:
        return ""

    def gone(self: scripted.ScriptedStudent) -> Any:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(scripted.ScriptedStudent, "context", context, raising=False)
    monkeypatch.setattr(scripted.ScriptedStudent, "answer_model", gone, raising=False)
    monkeypatch.setattr(evaluated, "_weights", lambda model: model if is_further(model) else None)

    def is_further(model: Any) -> bool:
        return getattr(model, "name", "") == "large"

    recipe = with_models(tmp_path, SCRIPTED)
    text = recipe.read_text("utf-8").replace("signals: null", "signals: {questions: 4}")
    recipe.write_text(text, "utf-8")
    run = run_study(recipe)
    dropped = list(run.stage("signals").read("dropped", Dropped))
    assert [(row.reason, row.evidence) for row in dropped] == [
        ("no_likelihood", "RuntimeError: CUDA out of memory")
    ] * 4


def test_a_sound_model_answers_through_it() -> None:
    sound = scripted.ScriptedModel(lambda request: "はい")
    replies = list(FurtherModel(lambda: sound, lambda why: None).generate(iter(REQUESTS)))
    assert [reply.text for reply in replies] == ["はい"] * len(REQUESTS)


def test_a_further_model_is_asked_anew_where_another_takes_its_name(tmp_path: Path) -> None:
    recipe = with_models(tmp_path, SCRIPTED)
    before = {a.request_key for a in answers(run_study(recipe)) if a.arm == "api"}
    recipe.write_text(recipe.read_text("utf-8").replace("model: large", "model: larger"), "utf-8")
    run = run_study(recipe)
    after = {a.request_key for a in answers(run) if a.arm == "api"}
    assert len(before) == len(after) and not before & after
    questions = list(run.stage("questions").read("questions", Question))
    assert len([a for a in answers(run) if a.arm == "api"]) == 3 * len(questions)


def test_a_server_that_is_down_loses_only_its_own_answers(tmp_path: Path) -> None:
    # Nothing listens on this port, and nobody is asked twice.
    server = "{backend: http, model: m, base_url: 'http://127.0.0.1:9/v1', max_retries: 0}"
    run = run_study(with_models(tmp_path, f"down: {server}"))
    lost = {answer.arm for answer in answers(run) if answer.error}
    assert lost == {"down"}
    prompt = run.read_json("evaluation/prompt.json")
    assert [one["arm"] for one in prompt["by_servers"]] == ["down"]
    assert run.read_json("report/report.json")["headline"]["outcome"] != "no_scores"


def test_a_model_that_is_asked_through_files_has_one_job(tmp_path: Path) -> None:
    server = "{backend: http, model: m, base_url: 'http://127.0.0.1:9/v1', batch: {}}"
    run = run_study(with_models(tmp_path, f"files: {server}"))
    (job,) = (run.path / "batches").glob("requests-*.jsonl")
    # Whatever the condition; of equal requests one is enough.
    asked = list(run.stage("evaluation").read("requests", QuestionRequest))
    assert {row.condition for row in asked} == {"closed_book", "open_book", "retrieval"}
    sent = [json.loads(line)["body"]["messages"] for line in job.read_text("utf-8").splitlines()]
    assert len(sent) == len({row.messages for row in asked})
    told = {json.dumps(messages, ensure_ascii=False) for messages in sent}
    assert told == {row.messages for row in asked}
