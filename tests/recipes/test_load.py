from pathlib import Path

import pytest
import yaml

from teichaku.core.errors import RecipeError, UserError
from teichaku.recipes.arms import base_arms, expand_arms
from teichaku.recipes.load import builtin_recipes, find_recipe, load_recipe
from teichaku.recipes.schema import Recipe
from teichaku.recipes.template import write_template

GOOD = """\
name: study
documents: {paths: [docs]}
teacher: {backend: scripted}
student: {backend: scripted}
arms:
  qa:
    examples: [{method: document_qa}]
"""
BAD = """\
name: my study
langage: ja
documents:
  paths: [docs]
  passage_charcters: 10
teacher: {backend: llama_ccp, model: q}
student:
  backend: transformers
  modl: gemma
arms:
  qa:
    examples:
      - method: document_qa
        per_pasage: 3
      - method: categry_qa
curation: [grounded, {name: groundd}]
training:
  learning_rate: -1e-4
  adapter: {rank: zero}
seed: 1
seed: 2
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_mistakes_are_told_at_once_with_lines_and_the_nearest_key(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path, BAD))
    lines = caught.value.message.splitlines()[1:]
    told = {line.split(":")[1]: line for line in lines}
    expected = {
        "1": "name",
        "2": "did you mean 'language'",
        "5": "did you mean 'passage_characters'",
        "6": "did you mean 'llama_cpp'",
        "7": "student.model: missing",
        "9": "did you mean 'model'",
        "14": "did you mean 'per_passage'",
        "15": "did you mean 'category_qa'",
        "16": "did you mean 'grounded'",
        "18": "given: -0.0001",
        "19": "rank",
        "21": "stands twice (first in line 20)",
    }
    assert len(lines) == len(expected)
    for line, text in expected.items():
        assert text in told[line]


def test_a_key_in_a_recipe_is_refused_and_its_variable_named(tmp_path: Path) -> None:
    text = GOOD.replace(
        "teacher: {backend: scripted}",
        "teacher: {backend: http, model: m, base_url: http://x, api_key: sk-secret}",
    )
    with pytest.raises(RecipeError, match="api_key_env") as caught:
        load_recipe(written(tmp_path, text))
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a list", "name: [unclosed", "name: \tx"])
def test_what_is_no_recipe_is_told_plainly(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(written(tmp_path, text))


def test_settings_profiles_and_numbers(tmp_path: Path) -> None:
    text = GOOD + "profile: small\nprofiles: {small: {training: {epochs: 2}}}\n"
    text += "training: {epochs: 9, learning_rate: 1e-3}\n"
    path = written(tmp_path, text)
    assert load_recipe(path).training.epochs == 2
    assert load_recipe(path, "full").training.epochs == 9
    assert load_recipe(path, None, ["training.epochs=4"]).training.epochs == 4
    assert load_recipe(path).training.learning_rate == 0.001
    with pytest.raises(RecipeError, match="no profile 'large'"):
        load_recipe(path, "large")
    with pytest.raises(UserError, match="sets nothing"):
        load_recipe(path, None, ["training.epochs"])


def test_a_profile_with_another_backend_replaces_the_model(tmp_path: Path) -> None:
    text = GOOD.replace(
        "teacher: {backend: scripted}", "teacher: {backend: http, model: m, base_url: http://x}"
    )
    text += "profiles: {small: {teacher: {backend: scripted}}}\n"
    assert load_recipe(written(tmp_path, text), "small").teacher.backend == "scripted"


def test_a_matrix_makes_an_arm_of_every_combination(tmp_path: Path) -> None:
    text = GOOD + ("    matrix: {training.learning_rate: [1e-4, 1e-3], student.model: [a, b]}\n")
    arms = expand_arms(load_recipe(written(tmp_path, text)))
    assert [(a.training.learning_rate, a.student.model) for a in arms] == [
        (0.0001, "a"), (0.0001, "b"), (0.001, "a"), (0.001, "b"),
    ]  # fmt: skip
    assert len({arm.name for arm in arms}) == 4
    assert {arm.data for arm in arms} == {"qa"}
    assert sorted(base_arms(arms)) == ["base:a", "base:b"]


@pytest.mark.parametrize(
    "matrix",
    ["{training.learning_rat: [1]}", "{documents.paths: [a]}", "{training.epochs: [zero]}"],
)
def test_a_matrix_that_cannot_be_is_refused(tmp_path: Path, matrix: str) -> None:
    recipe = load_recipe(written(tmp_path, GOOD + f"    matrix: {matrix}\n"))
    with pytest.raises(RecipeError, match="matrix"):
        expand_arms(recipe)


def test_an_unknown_recipe_names_the_built_in_ones() -> None:
    with pytest.raises(UserError) as caught:
        find_recipe("nothing")
    assert "academic-qa" in caught.value.hint


def test_every_recipe_that_ships_is_right() -> None:
    root = Path(__file__).parents[2]
    paths = [*builtin_recipes().values(), *root.glob("examples/*/recipe.yaml")]
    assert len(paths) == 2
    for path in paths:
        profiles = yaml.safe_load(path.read_text(encoding="utf-8")).get("profiles", {})
        for profile in [None, "full", *profiles]:
            assert expand_arms(load_recipe(path, profile))


def test_academic_qa_has_the_parameters_of_s1() -> None:
    recipe = load_recipe(builtin_recipes()["academic-qa"], "full")
    adapter = recipe.training.adapter
    assert (adapter.rank, adapter.alpha, adapter.dropout) == (8, 32, 0.05)
    rates = [arm.training.learning_rate for arm in expand_arms(recipe)]
    assert rates == [1e-5, 2e-4, 3e-4, 4e-4]
    assert recipe.questions.hold_out.per_category == 10
    assert recipe.evaluation.judge.epochs


@pytest.mark.parametrize("language", ["ja", "en", "th"])
def test_a_new_study_has_a_right_recipe_in_its_language(tmp_path: Path, language: str) -> None:
    path = write_template(tmp_path / "my study", language)
    recipe = load_recipe(path)
    assert (recipe.name, recipe.language) == ("my-study", language)
    assert (tmp_path / "my study" / "docs").is_dir()
    with pytest.raises(UserError, match="exists already"):
        write_template(tmp_path / "my study", language)


def test_every_key_has_a_meaning() -> None:
    schema = Recipe.model_json_schema()
    assert "passage_characters" in schema["$defs"]["Documents"]["properties"]
    assert "description" in schema["$defs"]["Training"]["properties"]["learning_rate"]
