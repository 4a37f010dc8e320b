"""The arms of a study: what they inherit, what they are called, what is refused."""

from pathlib import Path

import pytest

from teichaku.core.errors import RecipeError
from teichaku.recipes.arms import by_weights, expand_arms
from teichaku.recipes.load import load_recipe
from teichaku.recipes.method_schema import CategoryQA

RECIPE = """\
name: study
documents: {{paths: [docs]}}
teacher: {{backend: scripted}}
student: {{backend: transformers, model: m}}
training:
  epochs: 7
  adapter: {{rank: 16, alpha: 128, dropout: 0.1, quantization: 4bit}}
arms:
{arms}
"""
QA = "{examples: [{method: document_qa}]"


def written(folder: Path, *arms: str) -> Path:
    path = folder / "recipe.yaml"
    text = RECIPE.format(arms="\n".join(f"  {arm}" for arm in arms))
    path.write_text(text, encoding="utf-8")
    return path


def told(path: Path) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_what_an_arm_does_not_say_is_as_the_recipe_says(tmp_path: Path) -> None:
    path = written(tmp_path, f"qa: {QA}, training: {{epochs: null, adapter: {{rank: 64}}}}}}")
    (arm,) = expand_arms(load_recipe(path))
    adapter = arm.training.adapter
    assert (adapter.rank, adapter.alpha, adapter.dropout) == (64, 128, 0.1)
    assert (adapter.quantization, arm.training.epochs) == ("4bit", 7)


def test_an_arm_can_take_back_what_the_recipe_says(tmp_path: Path) -> None:
    path = written(tmp_path, f"qa: {QA}, training: {{adapter: {{quantization: '', dropout: 0}}}}}}")
    (arm,) = expand_arms(load_recipe(path))
    assert (arm.training.adapter.quantization, arm.training.adapter.dropout) == ("", 0)


def test_a_value_of_the_matrix_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    path = written(
        tmp_path, f"qa: {QA}, matrix: {{training.adapter: [{{rank: 8}}, {{rank: 9}}]}}}}"
    )
    adapters = [arm.training.adapter for arm in expand_arms(load_recipe(path))]
    assert [(a.rank, a.alpha, a.quantization) for a in adapters] == [
        (8, 128, "4bit"), (9, 128, "4bit"),
    ]  # fmt: skip


def test_a_method_keeps_its_own_defaults_for_what_generation_does_not_say(tmp_path: Path) -> None:
    path = written(
        tmp_path, "qa: {examples: [{method: category_qa, generation: {temperature: 0.8}}]}"
    )
    (method,) = load_recipe(path).arms["qa"].examples
    assert isinstance(method, CategoryQA)
    assert (method.generation.temperature, method.generation.max_tokens) == (0.8, 512)


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", '""', "a b", "a@b", "base", '"base:m"'])
def test_a_name_that_cannot_be_a_folder_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    (line,) = told(written(tmp_path, f"{name}: {QA}}}"))
    assert line.startswith(f"recipe.yaml:9: arms.{name.strip(chr(34))}: ")
    assert "[key]" not in line


@pytest.mark.parametrize("name", ["質問_1", "ก็ดี", "été-2.x", "baseline", "-"])
def test_letters_of_any_script_name_an_arm(tmp_path: Path, name: str) -> None:
    (arm,) = expand_arms(load_recipe(written(tmp_path, f"{name}: {QA}}}")))
    assert arm.name == name


def test_all_mistakes_of_all_matrices_are_told_at_once(tmp_path: Path) -> None:
    lines = told(
        written(
            tmp_path,
            f"a: {QA}, matrix: {{training.learning_rat: [1, 2], student.model: [x]}}}}",
            f"b: {QA}, matrix: {{learning_rate: [1]}}}}",
            f"c: {QA}, matrix: {{documents.paths: [a]}}}}",
            f"d: {QA}, matrix: {{training.epochs: [1, zero], training.adapter: [{{rnk: 2}}]}}}}",
            f"e: {QA}, matrix: {{training.epochs: [1, 2, 1]}}}}",
            f"f: {QA}, matrix: {{student.model: [a/b, a-b]}}}}",
            f"g: {QA}, matrix: {{student.backend: [nothing]}}}}",
        )
    )
    expected = [
        "9: arms.a.matrix.training.learning_rat: unknown key; did you mean 'learning_rate'?",
        "10: arms.b.matrix.learning_rate: cannot be varied; did you mean 'training.learning_rate'?",
        "11: arms.c.matrix.documents.paths: cannot be varied; vary keys of training or student",
        "12: arms.d.matrix.training.adapter[0].rnk: unknown key; did you mean 'rank'?",
        "12: arms.d.matrix.training.epochs[1]: must be a whole number",
        "13: arms.e.matrix: two arms would be called e@epochs=1",
        "14: arms.f.matrix: two arms would be called f@model=a-b",
        "15: arms.g.matrix: student: 'nothing' is no backend; known: transformers, scripted",
    ]
    assert len(lines) == len(expected)
    for line, text in zip(lines, expected, strict=True):
        assert line.startswith(f"recipe.yaml:{text}")


def test_mistakes_of_a_matrix_stand_beside_those_of_other_sections(tmp_path: Path) -> None:
    path = written(tmp_path, f"qa: {QA}, matrix: {{training.epochs: [0]}}}}", "", "")
    path.write_text(path.read_text("utf-8") + "evaluation: {max_tokens: 0}\n", "utf-8")
    assert [line.split()[1] for line in told(path)] == [
        "arms.qa.matrix.training.epochs[0]:", "evaluation.max_tokens:",
    ]  # fmt: skip


def test_an_empty_list_would_make_the_arm_disappear_and_is_refused(tmp_path: Path) -> None:
    (line,) = told(written(tmp_path, f"qa: {QA}, matrix: {{training.epochs: []}}}}"))
    assert line.startswith("recipe.yaml:9: arms.qa.matrix.training.epochs: ")


def test_keys_that_end_alike_stand_in_full_in_the_names(tmp_path: Path) -> None:
    matrix = "{training.batch_size: [2, 4], student.batch_size: [8], training.epochs: [1]}"
    arms = expand_arms(load_recipe(written(tmp_path, f"qa: {QA}, matrix: {matrix}}}")))
    assert [arm.name for arm in arms] == [
        "qa@training.batch_size=2,student.batch_size=8,epochs=1",
        "qa@training.batch_size=4,student.batch_size=8,epochs=1",
    ]
    assert arms[1].settings["training.batch_size"] == 4
    assert arms[1].settings["student.batch_size"] == 8


def test_values_that_no_folder_may_hold_do_not_stand_in_names(tmp_path: Path) -> None:
    matrix = "{student.model: [google/gemma, ../m], training.adapter.targets: [[q, v]]}"
    arms = expand_arms(load_recipe(written(tmp_path, f"qa: {QA}, matrix: {matrix}}}")))
    assert [arm.name for arm in arms] == [
        "qa@model=google-gemma,targets=q-v",
        "qa@model=..-m,targets=q-v",
    ]
    assert arms[0].student.model == "google/gemma"


def test_a_backend_and_its_keys_can_be_varied_together(tmp_path: Path) -> None:
    matrix = "{student.backend: [scripted], student.seconds: [0, 1]}"
    arms = expand_arms(load_recipe(written(tmp_path, f"qa: {QA}, matrix: {matrix}}}")))
    assert [arm.student.model_dump()["seconds"] for arm in arms] == [0, 1]


def test_arms_on_the_same_weights_follow_one_another(tmp_path: Path) -> None:
    matrix = "{student.model: [n, m], training.epochs: [1, 2], training.adapter.quantization: "
    arms = (f"a: {QA}, matrix: {matrix}[4bit, '']}}}}", f"b: {QA}}}")
    ordered = by_weights(expand_arms(load_recipe(written(tmp_path, *arms))))
    weights = [
        (arm.student.model, arm.training.adapter.quantization, arm.data, arm.training.epochs)
        for arm in ordered
    ]
    # The untuned student's weights are those without quantization.
    assert weights == [
        *(("n", "", "a", epochs) for epochs in (1, 2)),
        *(("n", "4bit", "a", epochs) for epochs in (1, 2)),
        *(("m", "", "a", epochs) for epochs in (1, 2)),
        *(("m", "4bit", "a", epochs) for epochs in (1, 2)),
        ("m", "4bit", "b", 7),
    ]
