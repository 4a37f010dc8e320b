"""Further models answer as rows of their own, and fail alone."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from made import question
from studies import run_study, write_study
from teichaku.backends import scripted
from teichaku.core.errors import ModelUnavailableError, RecipeError
from teichaku.core.models import ChatModel
from teichaku.core.records import Answer, Question, QuestionRequest, Reply, Request, Score
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.before import check_before
from teichaku.recipes.budget import BudgetSpentError
from teichaku.recipes.further_model import FurtherModel
from teichaku.recipes.load import load_recipe

SMALL = "controls: [], unanswerable: null, signals: null"
SCRIPTED = "api: {backend: scripted, model: large, price: {input: 5, output: 10}}"


def with_models(folder: Path, models: str, more: str = "") -> Path:
    """A study that asks further models."""
    recipe = write_study(folder)
    evaluation = f"{{{SMALL}, models: {{{models}}}}}"
    text = recipe.read_text("utf-8").replace("{judge: {epochs: true}}", evaluation)
    recipe.write_text(text + more, "utf-8")
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
