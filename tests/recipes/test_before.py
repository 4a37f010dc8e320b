"""What can be known to fail is told before anything is spent."""

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from studies import run_study, write_data_study, write_study
from teichaku import cli
from teichaku.backends.scripted import ScriptedStudent
from teichaku.core.errors import (
    ModelUnavailableError,
    RecipeError,
    UserError,
)
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.before import check_before
from teichaku.recipes.load import load_recipe
from teichaku.recipes.methods import _BUILDERS
from teichaku.recipes.seed_methods import SEED_BUILDERS

COMPARING = "curation: [{name: semantic_duplicates, share: 0.8}]"
KNOWN = "novelty: {method: min_k, action: report}"
#: Sections of models that score, where something goes by them, and what is wrong with them.
UNUSABLE = [
    (f"{COMPARING}\nembedder: {{backend: http, model: m, base_url: nourl",
     UserError, "base_url is no web address"),
    (f"{COMPARING}\nembedder: {{backend: http, model: m, base_url: 'http://localhost:9/v1', "
     "api_key_env: TEICHAKU_NO_SUCH_KEY", RecipeError, "TEICHAKU_NO_SUCH_KEY"),
    (f"{COMPARING}\nembedder: {{backend: sentence_transformers, model: 'no model'",
     RecipeError, "no model"),
    (f"{KNOWN}\nlanguage_model: {{backend: http, model: m, base_url: nourl",
     UserError, "base_url is no web address"),
    (f"{KNOWN}\nlanguage_model: {{backend: http, model: m, base_url: 'http://localhost:9/v1', "
     "api_key_env: TEICHAKU_NO_SUCH_KEY", RecipeError, "TEICHAKU_NO_SUCH_KEY"),
    (f"{KNOWN}\nlanguage_model: {{backend: transformers, model: gemma-3-270mm",
     RecipeError, "gemma-3-270mm"),
]  # fmt: skip


def changed(tmp_path: Path, old: str, new: str) -> Path:
    recipe = write_study(tmp_path)
    text = recipe.read_text("utf-8")
    assert old in text
    recipe.write_text(text.replace(old, new, 1), "utf-8")
    return recipe


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ("student: {backend: scripted, seconds: 0.0}",
         "student: {backend: transformers, model: gemma-3-270mm}",
         RecipeError, "gemma-3-270mm"),
        ("teacher: {backend: scripted, seconds: 0.0}",
         "teacher: {backend: llama_cpp, model: ./none.gguf}", RecipeError, "no model at"),
        ("teacher: {backend: scripted, seconds: 0.0}",
         "teacher: {backend: http, model: m, base_url: 'http://localhost:9/v1', "
         "api_key_env: TEICHAKU_NO_SUCH_KEY}", RecipeError, "TEICHAKU_NO_SUCH_KEY"),
        *(
            ("paths: [docs]", f"paths: [docs]}}\n{section}", error, words)
            for section, error, words in UNUSABLE
        ),
        ("paths: [docs]", "paths: [dosc]", RecipeError, "No file found at dosc"),
        ("language: ja", "language: jp", RecipeError, "did you mean 'ja'"),
        ("language: ja", "language: japanese", RecipeError, "ISO 639-1"),
    ],
)  # fmt: skip
def test_a_study_that_must_fail_writes_nothing(
    old: str, new: str, error: type[UserError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        run_study(changed(tmp_path, old, new))
    assert not (tmp_path / "runs").exists()


IN_PROCESS = "{backend: transformers, model: gemma-3-270m}"
GGUF = "{backend: llama_cpp, model: gemma-3-270m}"
TEACHER = "teacher: {backend: scripted, seconds: 0.0}"
STUDENT = "student: {backend: scripted, seconds: 0.0}"
ASKED = "evaluation: {"


@pytest.mark.parametrize(
    ("old", "new", "package", "extra"),
    [
        *((STUDENT, f"student: {IN_PROCESS}", package, "train")
          for package in ("torch", "transformers", "peft", "gguf")),
        (ASKED, f"{ASKED}models: {{more: {IN_PROCESS}}}, ", "peft", "train"),
        (ASKED, f"{ASKED}models: {{more: {GGUF}}}, ", "xllamacpp", "embedded"),
        (ASKED, f"{ASKED}judges: {{more: {GGUF}}}, ", "xllamacpp", "embedded"),
        (TEACHER, f"teacher: {GGUF}", "xllamacpp", "embedded"),
        (TEACHER, f"{TEACHER}\njudge: {GGUF}", "xllamacpp", "embedded"),
    ],
)  # fmt: skip
def test_an_extra_that_a_model_needs_is_named_before_anything_is_written(
    old: str, new: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same model can be had; it is asked for by its name alone.
    monkeypatch.setattr("teichaku.backends.registry.check", lambda name: None)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a)
    )
    with pytest.raises(RecipeError, match=f"extra '{extra}'"):
        run_study(changed(tmp_path, old, new))
    assert not (tmp_path / "runs").exists()


def test_an_extra_that_no_model_needs_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, heavy = importlib.util.find_spec, ("torch", "transformers", "peft", "gguf", "xllamacpp")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in heavy else find(name, *a)
    )
    check_before(load_recipe(write_study(tmp_path)), tmp_path)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (ModelUnavailableError("there is no tokenizer in it"), "no tokenizer in it"),
        (TemplateError("unexpected 'endif'"), "chat template of scripted .* unexpected 'endif'"),
    ],
)
def test_a_student_that_cannot_read_a_prompt_shows_before_the_first_stage(
    fault: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ScriptedStudent, *_: Any) -> None:
        raise fault

    recipe = write_study(tmp_path)
    run = RunFolder(tmp_path / "runs" / "boats")
    with monkeypatch.context() as patched:
        patched.setattr(ScriptedStudent, "rendered", broken)
        with pytest.raises(UserError, match=words):
            run_study(recipe)
    assert run.stages() == {}
    run_study(recipe)
    assert "evaluation" in run.stages()


def test_a_student_whose_training_is_finished_is_not_shown_a_prompt_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_study(tmp_path)
    run_study(recipe)
    shown, rendered = [], ScriptedStudent.rendered

    def counted(self: ScriptedStudent, *given: Any) -> Any:
        shown.append(self.name)
        return rendered(self, *given)

    monkeypatch.setattr(ScriptedStudent, "rendered", counted)
    run_study(recipe)
    assert not shown
    other = recipe.read_text("utf-8").replace(
        "student: {backend: scripted", "student: {backend: scripted, model: other"
    )
    recipe.write_text(other, "utf-8")
    run_study(recipe)
    assert shown[0] == "other"


def test_a_locale_is_its_language(tmp_path: Path) -> None:
    run = run_study(changed(tmp_path, "language: ja", "language: ja-JP"))
    assert run.read_json("run.json")["language"] == "ja"


@pytest.mark.parametrize(
    ("method", "seeds", "words"),
    [
        ({"method": "document_qa"}, "none.jsonl", "none.jsonl cannot be read"),
        ({"method": "document_qa"}, "docs/あおば丸.md", "not read from files of the kind"),
        ({"method": "category_qa", "categories": "mine.yaml"}, "seeds.jsonl", "categories 'mine"),
        ({"method": "domain_spread", "domains": "d.yaml"}, "seeds.jsonl", "d.yaml cannot be read"),
        ({"method": "evol_instruct", "words": "w.yaml"}, "seeds.jsonl", "w.yaml cannot be read"),
    ],
)
def test_every_file_that_a_recipe_names_is_read_before_the_first_stage(
    tmp_path: Path, method: dict[str, Any], seeds: str, words: str
) -> None:
    first = {"method": "document_qa"} if method["method"] != "document_qa" else {"method": "facts"}
    arms = {"one": {"examples": [first]}, "two": {"examples": [method]}}
    recipe = write_data_study(tmp_path, arms=arms, seeds={"path": seeds})
    with pytest.raises(UserError, match=words):
        run_study(recipe)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UserError, match=words):
        cli.check(str(recipe))


def test_to_check_a_recipe_loads_no_model_and_reads_no_passages(tmp_path: Path) -> None:
    examples = [{"method": name} for name in (*_BUILDERS, *SEED_BUILDERS)]
    recipe = write_data_study(
        tmp_path, arms={"all": {"examples": examples, "facts": True}},
        seeds={"path": "seeds.jsonl"}, teacher={"backend": "http", "model": "m", "base_url": "x"},
    )  # fmt: skip
    check_before(load_recipe(recipe), tmp_path)


def test_what_has_no_effect_without_a_student_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_LANG", "en")
    arms = {
        "qa": {"examples": [{"method": "document_qa"}], "training": {"epochs": 2}},
        "few": {"examples": [{"method": "document_qa", "per_passage": 1}]},
    }
    given: dict[str, Any] = {
        "arms": arms,
        "judge": {"backend": "scripted"},
        "evaluation": {"max_tokens": 9},
    }
    cli.check(str(write_data_study(tmp_path, **given)))
    told = capsys.readouterr().out
    assert "Without a student these have no effect: judge, evaluation, arms.qa.training\n" in told
    assert "is right. Arms: qa, few\n" in told
    judged = ["duplicates", {"name": "grounded", "judge": True}]
    cli.check(str(write_data_study(tmp_path, **given, curation=judged)))
    assert "no effect: evaluation, arms.qa.training\n" in capsys.readouterr().out
    cli.check(str(write_data_study(tmp_path, **given, student={"backend": "scripted"})))
    assert "no effect" not in capsys.readouterr().out


def test_what_nothing_goes_by_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_LANG", "en")
    idle: dict[str, Any] = {
        "embedder": {"backend": "ngram"},
        "language_model": {"backend": "ngram"},
    }
    cli.check(str(write_data_study(tmp_path, **idle)))
    assert "Nothing in the recipe goes by these: embedder, language_model\n" in (
        capsys.readouterr().out
    )
    select = {"method": "perplexity", "controls": ["random"]}
    arms = {"qa": {"examples": [{"method": "document_qa"}], "select": select}}
    filters = [{"name": "semantic_duplicates", "share": 0.8}]
    cli.check(str(write_data_study(tmp_path, **idle, arms=arms, curation=filters)))
    told = capsys.readouterr().out
    assert "goes by these" not in told
    assert "no effect: arms.qa.select.controls\n" in told
    grown: dict[str, Any] = {
        "arms": {"a": {"examples": [{"method": "evol_instruct"}]}},
        "seeds": {"path": "seeds.jsonl"},
        "documents": None,
        "curation": ["faithful", "duplicates", "judge_screen"],
    }
    cli.check(str(write_data_study(tmp_path, **grown)))
    told = capsys.readouterr().out
    assert "goes by these: curation.faithful, curation.judge_screen\n" in told


MANY = """\
name: boats
documents: {paths: [dosc]}
teacher:
  backend: http
  model: gpt-4o
  base_url: https://api.openai.com/v1
  api_key_env: TEICHAKU_NO_SUCH_KEY
student:
  backend: transformers
  model: gemma-3-270mm
profiles:
  other: {teacher: {model: o1}}
leaks: {files: [one.jsonl, two.jsonl]}
arms:
  qa:
    examples:
      - method: category_qa
        categories: none.yaml
"""


def test_all_that_will_fail_is_told_at_once_with_lines_by_check_and_by_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(MANY, "utf-8")
    expected = {
        "recipe.yaml:2": "No file found at dosc",
        "recipe.yaml:5": "teacher.model: The terms of the teacher gpt-4o",
        "recipe.yaml:7": "TEICHAKU_NO_SUCH_KEY",
        "recipe.yaml:10": "student.model: There is no packaged model",
        "recipe.yaml:13": "leaks.files[",
        "recipe.yaml:15": "The categories 'none.yaml'",
    }
    told = []
    for call in (cli.check, partial(cli.run, runs=tmp_path / "runs", quiet=True)):
        with pytest.raises(RecipeError) as caught:
            call(str(path))
        told.append(caught.value.message)
    assert told[0] == told[1]
    assert not (tmp_path / "runs").exists()
    lines = [line.strip() for line in told[0].splitlines() if line.startswith("  recipe.yaml:")]
    assert len(lines) == 7  # both files of leaks
    for place, words in expected.items():
        assert [line for line in lines if line.startswith(f"{place}: ") and words in line], place
    assert "    export TEICHAKU_NO_SUCH_KEY=..." in told[0]


def test_a_mistake_of_a_profile_or_a_setting_is_told_there(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(MANY.replace("o1", "gpt-4"), "utf-8")
    with pytest.raises(RecipeError, match=r"recipe\.yaml:12: teacher\.model: The terms"):
        cli.check(str(path), "other")
    with pytest.raises(RecipeError, match=r"--set student\.model: There is no packaged"):
        cli.check(str(path), settings=["student.model=qwenn"])


def test_check_tells_of_documents_what_shows_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_LANG", "en")
    recipe = write_study(tmp_path)
    docs = tmp_path / "docs"
    before = len([file for file in docs.rglob("*") if file.is_file()])
    (docs / "a.csv").write_text("ID,名称,緯度\n1,東公園,35.1\n", "utf-8")
    (docs / "b.csv").write_text("ID,名称,緯度\n1,西公園,35.2\n", "utf-8")
    (docs / "c.xyz").write_text("?", "utf-8")
    cli.check(str(recipe))
    told = capsys.readouterr().out
    assert "rows of docs/a.csv and 1 like it: columns ID, 名称, 緯度; to take some" in told
    assert "! docs/c.xyz: Files of the kind '.xyz' are not read." in told
    assert told.endswith(
        f"Files of documents: {before + 3}. `teichaku run` reads their contents.\n"
    )
    cli.check(str(recipe), settings=["documents.columns={text: [本文]}"])
    told = capsys.readouterr().out
    assert "! docs/a.csv: It has no column 本文. Its columns are: ID, 名称, 緯度." in told
    assert "rows of" not in told
    with pytest.raises(RecipeError, match="None of its 1 file"):
        cli.check(str(recipe), settings=["documents.paths=[docs/c.xyz]"])
