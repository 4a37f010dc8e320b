"""A study does not train on what its teacher's terms keep from training, unless told to."""

from pathlib import Path

import pytest

from studies import run_study, write_study
from teichaku.core.errors import RecipeError
from teichaku.core.records import Example
from teichaku.recipes.load import load_recipe
from teichaku.recipes.terms import notice, teacher_terms

SERVER = "{backend: http, model: gpt-4o, base_url: 'https://api.openai.com/v1'}"


def recipe_with(tmp_path: Path, teacher: str, more: str = "") -> Path:
    recipe = write_study(tmp_path)
    text = recipe.read_text("utf-8").replace("{backend: scripted, seconds: 0.0}", teacher, 1)
    recipe.write_text(text + more, "utf-8")
    return recipe


def test_forbidding_terms_stop_the_study_before_anything_is_written(tmp_path: Path) -> None:
    recipe = recipe_with(tmp_path, SERVER)
    with pytest.raises(RecipeError, match="gpt-4o") as caught:
        run_study(recipe)
    assert "accept_terms: [" in caught.value.message
    assert not (tmp_path / "runs").exists()


def test_terms_are_accepted_by_name_alone(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_with(tmp_path, SERVER))
    with pytest.raises(RecipeError) as caught:
        teacher_terms(recipe, tmp_path)
    name = caught.value.hint.partition("accept_terms: [")[2].partition("]")[0]
    accepted = load_recipe(recipe_with(tmp_path, SERVER, f"accept_terms: [{name}]\n"))
    assert teacher_terms(accepted, tmp_path).name == name
    other = load_recipe(recipe_with(tmp_path, SERVER, "accept_terms: [another]\n"))
    with pytest.raises(RecipeError):
        teacher_terms(other, tmp_path)


def test_the_strictest_terms_of_all_servers_count(tmp_path: Path) -> None:
    hosts = "['http://localhost/v1', 'https://api.openai.com/v1', 'https://api.anthropic.com/v1']"
    several = f"{{backend: http, model: mine, licence: MIT, base_url: {hosts}}}"
    with pytest.raises(RecipeError, match="OpenAI"):
        teacher_terms(load_recipe(recipe_with(tmp_path, several)), tmp_path)
    one = load_recipe(recipe_with(tmp_path, several, "accept_terms: [openai-api]\n"))
    with pytest.raises(RecipeError, match="Anthropic"):
        teacher_terms(one, tmp_path)
    both = recipe_with(tmp_path, several, "accept_terms: [openai-api, anthropic-api]\n")
    assert teacher_terms(load_recipe(both), tmp_path).licence_class == "forbids_competing"


def test_conditions_and_unknown_terms_are_told(tmp_path: Path) -> None:
    def told(model: str) -> str:
        teacher = f"{{backend: http, model: {model}, base_url: 'http://localhost/v1'}}"
        recipe = load_recipe(recipe_with(tmp_path, teacher))
        return notice(teacher_terms(recipe, tmp_path), model)

    assert "Llama" in told("meta-llama/Llama-3.1-8B-Instruct")
    assert "not known" in told("somebody/something")
    assert "product terms" in told("qwen3-max")
    assert told("Qwen/Qwen3-32B") == ""


def test_every_example_and_the_run_carry_the_class(tmp_path: Path) -> None:
    run = run_study(write_study(tmp_path))
    examples = run.stage("synthesis/qa").read("examples", Example)
    assert {example.licence_class for example in examples} == {"permissive"}
    (teacher,) = (m for m in run.read_json("run.json")["models"] if m["role"] == "teacher")
    assert teacher["terms"]["licence_class"] == "permissive"
