"""One command makes a folder that is a study: documents, questions with answers, a recipe."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from studies import run_study
from teichaku.backends import scripted
from teichaku.cli import app
from teichaku.core.errors import RecipeError, UserError
from teichaku.core.records import Document, Passage, Question, Request
from teichaku.core.text import contains
from teichaku.documents.loading import load_documents
from teichaku.documents.passages import split_passages
from teichaku.recipes.before import check_before
from teichaku.recipes.fictional import write_fictional
from teichaku.recipes.load import load_recipe

each_language = pytest.mark.parametrize("language", ["ja", "en"])


def documents_in(folder: Path) -> list[Document]:
    found = list(load_documents(["docs"], folder))
    assert all(isinstance(record, Document) for record in found)
    return [record for record in found if isinstance(record, Document)]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def example_fill(request: Request) -> str:
    """Each blank filled with the example in its note, or with a real name."""
    values = {}
    for number, (name, slot) in enumerate(request.subject.category.slots.items()):
        shown = re.search(r"（例：(.+)）", slot.about)
        values[name] = shown[1] if shown else f"トヨタ{number}"
    return json.dumps(values, ensure_ascii=False)


def teacher_recipe(folder: Path, teacher: str = "{backend: scripted}") -> Path:
    path = folder / "teacher.yaml"
    path.write_text(
        f"name: t\ndocuments: {{paths: [docs]}}\nteacher: {teacher}\nstudent: {{backend: scripted}}\n"
        "arms: {qa: {examples: [{method: document_qa}]}}\n",
        encoding="utf-8",
    )
    return path


@each_language
def test_the_folder_holds_fifty_documents_that_load_as_one_passage_each(
    tmp_path: Path, language: str
) -> None:
    written = write_fictional(tmp_path / "study", language=language)
    found = documents_in(tmp_path / "study")
    assert len(found) == len(written.documents) == 50
    assert {document.licence for document in found} == {"CC0-1.0"}
    assert {(document.title, document.text) for document in found} == {
        (document.title, document.text) for document in written.documents
    }
    assert all(len(list(split_passages([document], 800))) == 1 for document in found)


@each_language
def test_every_question_names_a_document_that_holds_its_answer(
    tmp_path: Path, language: str
) -> None:
    write_fictional(tmp_path / "study", language=language)
    by_title = {document.title: document.text for document in documents_in(tmp_path / "study")}
    asked = rows(tmp_path / "study" / "questions.jsonl")
    assert len(asked) == 400
    for row in asked:
        assert list(row) == ["document", "category", "kind", "question", "answer"]
        assert row["answer"] in by_title[row["document"]]
        holders = [title for title, text in by_title.items() if contains(text, row["document"])]
        assert holders == [row["document"]]


@each_language
def test_the_recipe_is_right_and_takes_the_name_of_the_folder(
    tmp_path: Path, language: str
) -> None:
    written = write_fictional(tmp_path / "My 架空", 5, language)
    recipe = load_recipe(written.recipe)
    assert (recipe.name, recipe.language) == ("My-架空", language)
    assert list(recipe.arms) == ["qa"]
    stated = yaml.safe_load(written.recipe.read_text(encoding="utf-8"))
    assert stated["questions"] == {"file": "questions.jsonl", "kinds": ["independent"]}
    assert check_before(recipe, written.recipe.parent)


def test_the_study_runs_and_asks_the_questions_of_the_file(tmp_path: Path) -> None:
    written = write_fictional(tmp_path / "study", 5)
    text = written.recipe.read_text(encoding="utf-8")
    text = re.sub(r"^teacher: .*$", "teacher: {backend: scripted}", text, flags=re.MULTILINE)
    text = re.sub(r"^student: .*$", "student: {backend: scripted}", text, flags=re.MULTILINE)
    written.recipe.write_text(text, encoding="utf-8")
    run = run_study(written.recipe)
    asked = list(run.stage("questions").read("questions", Question))
    passages = {p.id: p.text for p in run.stage("documents").read("passages", Passage)}
    assert len(asked) == 40
    assert {question.kind for question in asked} == {"independent"}
    assert all(contains(passages[q.passage_id], q.reference) for q in asked)


def test_the_same_command_writes_the_same_bytes(tmp_path: Path) -> None:
    for place in ("a", "b"):
        write_fictional(tmp_path / place / "study", 12)
    first = contents(tmp_path / "a" / "study")
    assert len(first) == 14
    assert first == contents(tmp_path / "b" / "study")
    write_fictional(tmp_path / "c" / "study", 20)
    more = contents(tmp_path / "c" / "study")
    assert {name: more[name] for name in first if name.startswith("docs")} == {
        name: data for name, data in first.items() if name.startswith("docs")
    }
    assert more["questions.jsonl"].startswith(first["questions.jsonl"])


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="has files in it already"):
        write_fictional(tmp_path / "mine", 5)
    with pytest.raises(UserError, match="is no folder"):
        write_fictional(tmp_path / "mine" / "note.txt", 5)
    assert contents(tmp_path / "mine") == {"note.txt": b"x"}
    (tmp_path / "empty").mkdir()
    assert write_fictional(tmp_path / "empty", 5).recipe.is_file()


@pytest.mark.parametrize("language", ["th", "jp", "", "日本語"])
def test_a_language_without_templates_is_told_with_those_that_have_some(
    tmp_path: Path, language: str
) -> None:
    with pytest.raises(UserError) as caught:
        write_fictional(tmp_path / "study", 5, language)
    assert "en, ja" in caught.value.hint
    assert not (tmp_path / "study").exists()


def test_the_teacher_of_a_recipe_fills_the_templates_and_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Request] = []

    def script(request: Request) -> str:
        sent.append(request)
        return example_fill(request)

    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(scripted, "scripted_teacher", script)
    recipe = teacher_recipe(tmp_path)
    first = write_fictional(tmp_path / "a", 10, teacher=str(recipe))
    again = write_fictional(tmp_path / "b", 10, teacher=str(recipe))
    assert len(sent) == 10
    assert [document.text for document in first.documents] == [
        document.text for document in again.documents
    ]
    told = "".join(document.text for document in first.documents)
    assert "茶葉の乾燥" in told
    assert not contains(told, "トヨタ")
    assert {document.fill.teacher for document in first.documents} == {"scripted:scripted"}


def test_what_a_teacher_cannot_fill_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(request: Request) -> str:
        return "分かりません。" if request.subject.number in (2, 4) else example_fill(request)

    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(scripted, "scripted_teacher", script)
    recipe = teacher_recipe(tmp_path)
    written = write_fictional(tmp_path / "study", 10, teacher=str(recipe))
    assert (len(written.documents), len(written.dropped), written.questions) == (8, 2, 64)
    assert len(documents_in(tmp_path / "study")) == 8
    lost = rows(tmp_path / "study" / "dropped.jsonl")
    assert [row["reason"] for row in lost] == ["unparseable_reply"] * 2
    assert [row["raw"] for row in lost] == ["分かりません。"] * 2
    monkeypatch.setattr(scripted, "scripted_teacher", lambda request: "分かりません、と。")
    other = teacher_recipe(tmp_path, "{backend: scripted, model: other}")
    with pytest.raises(UserError, match="None of 5 documents"):
        write_fictional(tmp_path / "none", 5, teacher=str(other))
    assert not (tmp_path / "none").exists()


def test_a_teacher_whose_terms_forbid_it_writes_nothing(tmp_path: Path) -> None:
    server = "{backend: http, model: gpt-4o, base_url: 'https://api.openai.com/v1'}"
    with pytest.raises(RecipeError, match="gpt-4o"):
        write_fictional(tmp_path / "study", 5, teacher=str(teacher_recipe(tmp_path, server)))
    assert not (tmp_path / "study").exists()


def test_the_command_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_LANG", "en")
    folder = tmp_path / "study"
    told = CliRunner().invoke(app, ["fictional", str(folder), "--documents", "5"])
    assert told.exit_code == 0
    assert f"5 documents and 40 questions are in {folder}" in told.output
    assert f"teichaku run {folder / 'recipe.yaml'}" in told.output
    assert CliRunner().invoke(app, ["fictional", str(folder), "--documents", "0"]).exit_code == 2
