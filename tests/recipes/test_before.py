"""What can be known to fail is told before anything is spent."""

from pathlib import Path

import pytest

from studies import run_study, write_study
from teichaku.core.errors import ModelUnavailableError, RecipeError, UserError


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
