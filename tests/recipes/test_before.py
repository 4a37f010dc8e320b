"""What can be known to fail is told before anything is spent."""

from pathlib import Path
from typing import Any

import pytest

from studies import run_study, write_data_study, write_study
from teichaku import cli
from teichaku.core.errors import ModelUnavailableError, RecipeError, UserError
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
     ModelUnavailableError, "no model"),
    (f"{KNOWN}\nlanguage_model: {{backend: http, model: m, base_url: nourl",
     UserError, "base_url is no web address"),
    (f"{KNOWN}\nlanguage_model: {{backend: http, model: m, base_url: 'http://localhost:9/v1', "
     "api_key_env: TEICHAKU_NO_SUCH_KEY", RecipeError, "TEICHAKU_NO_SUCH_KEY"),
    (f"{KNOWN}\nlanguage_model: {{backend: transformers, model: gemma-3-270mm",
     ModelUnavailableError, "gemma-3-270mm"),
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
         ModelUnavailableError, "gemma-3-270mm"),
        ("teacher: {backend: scripted, seconds: 0.0}",
         "teacher: {backend: llama_cpp, model: ./none.gguf}", ModelUnavailableError, "no model at"),
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
