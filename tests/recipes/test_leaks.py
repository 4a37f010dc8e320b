"""The gate before training: what leaks falls, stops the run, or is listed, as the recipe says."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import run_study, write_data_study, write_study
from teichaku.core.errors import RecipeError, UserError
from teichaku.core.records import SEED, Dropped, Example, Question
from teichaku.core.run_folder import RunFolder
from teichaku.curation.leak_probes import BenchmarkItem
from teichaku.curation.leaks import Leak
from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.evaluation.benchmarks.rows import items_of
from teichaku.recipes.before import unused
from teichaku.recipes.control_sets import prepared_sets
from teichaku.recipes.leaks_schema import LeakColumns, Leaks
from teichaku.recipes.leaks_stage import item_of_set, named_items, read_items
from teichaku.recipes.load import load_recipe


def benchmark(folder: Path, *rows: object, name: str = "bench.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def checking(recipe: Path, rows: list[object], **leaks: Any) -> Path:
    """``recipe`` with a benchmark of ``rows``."""
    benchmark(recipe.parent, *rows)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["leaks"] = {"files": ["bench.jsonl"], **leaks}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def leaking(folder: Path) -> list[object]:
    """A benchmark with a question and answer that the teacher will write, and two that not."""
    run = run_study(write_data_study(folder / "first"))
    examples = list(run.stage("curation/qa").read("examples", Example))
    (first,) = (e for e in examples if e.question.startswith("あおば丸") and "1987" in e.answer)
    return [
        {"question": first.question, "answer": first.answer},
        {"question": "富士山の高さは何メートルですか。", "answer": "3776"},
        {"question": "水星が太陽を一周する日数は。", "answer": "88日"},
    ]


def curated(run: RunFolder) -> list[Example]:
    return list(run.stage("curation/qa").read("examples", Example))


def test_what_leaks_falls_before_anything_is_trained_on_it(tmp_path: Path) -> None:
    rows = leaking(tmp_path)
    run = run_study(checking(write_data_study(tmp_path), rows))
    fallen = list(run.stage("curation/qa").read("dropped", Dropped))
    (one,) = (row for row in fallen if row.reason == "leaks_benchmark")
    assert one.evidence.startswith("bench.jsonl, line 1: あおば丸")
    assert one.record_id not in {example.id for example in curated(run)}
    (leak,) = run.stage("curation/qa").read("leaks", Leak)
    assert (leak.example_id, leak.source) == (one.record_id, "bench.jsonl, line 1")
    notes = run.stages()["curation/qa"]["notes"]["leaks"]
    assert (notes["items"], notes["leaking_items"], notes["leaking_examples"]) == (3, 1, 1)
    assert notes["shown"][0]["item"] == leak.item


def test_report_only_lists(tmp_path: Path) -> None:
    rows = leaking(tmp_path)
    run = run_study(checking(write_data_study(tmp_path), rows, action="report"))
    (leak,) = run.stage("curation/qa").read("leaks", Leak)
    assert leak.example_id in {example.id for example in curated(run)}


def test_stop_stops_before_training_and_names_the_list(tmp_path: Path) -> None:
    recipe = checking(write_data_study(tmp_path), leaking(tmp_path), action="stop")
    with pytest.raises(UserError, match="1 of 3 benchmark items stand in 1 example") as caught:
        run_study(recipe)
    assert "bench.jsonl, line 1" in caught.value.message
    listed = tmp_path / "runs" / "boats" / "curation" / "qa" / "leaks.parquet"
    assert str(listed) in caught.value.hint
    assert listed.is_file()
    # The same recipe goes on where it stopped, once the benchmark is another one.
    benchmark(tmp_path, {"question": "富士山の高さは何メートルですか。", "answer": "3776"})
    assert "dataset/qa" in run_study(recipe).stages()


def test_seeds_that_leak_fall_too(tmp_path: Path) -> None:
    recipe = write_data_study(
        tmp_path,
        seeds={"path": "seeds.jsonl"},
        arms={"qa": {"examples": [{"method": "document_qa"}]}},
    )
    row = {"question": "次の文を敬語に直してください。\n明日行く。", "answer": "明日伺います。"}
    kept = curated(run_study(checking(recipe, [row])))
    assert [example.answer for example in kept if example.method == SEED] == ["9"]


def test_a_changed_benchmark_is_checked_anew(tmp_path: Path) -> None:
    rows = leaking(tmp_path)
    recipe = checking(write_data_study(tmp_path), rows[1:])
    before = len(curated(run_study(recipe)))
    benchmark(tmp_path, *rows)
    assert len(curated(run_study(recipe))) == before - 1


def test_questions_that_are_asked_as_they_stand_are_told_and_not_dropped(tmp_path: Path) -> None:
    (row, *_) = leaking(tmp_path)
    assert isinstance(row, dict)
    recipe = write_study(tmp_path)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["questions"] = {"kinds": ["trained", "independent"], "file": "mine.jsonl"}
    whole["evaluation"] = {"judge": {"questions": 0}}
    whole["leaks"] = {}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    other = {"question": "あおば丸を造った船大工の名前を答えよ。", "answer": "不明"}
    benchmark(
        tmp_path, *({"document": "あおば丸", **one} for one in (row, other)), name="mine.jsonl"
    )
    run = run_study(recipe)
    asked = {q.id: q for q in run.stage("questions").read("questions", Question)}
    (leak,) = run.stage("questions").read("leaks", Leak)
    assert asked[leak.item_id].question == row["question"]
    assert leak.example_id in {example.id for example in curated(run)}
    check = run.stages()["questions"]["notes"]["leak_check"]
    assert (check["listed"], check["independent"]) == (1, 2)


def changed(recipe: Path, **keys: Any) -> Path:
    """``recipe`` with other values of these keys, dots between them."""
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    for place, value in keys.items():
        *outer, last = place.split("__")
        section = whole
        for key in outer:
            section = section[key]
        section[last] = value
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def with_seed_of_a_control(folder: Path) -> tuple[Path, str]:
    """A study one of whose seeds is an item of a control set that its student is asked, and the
    question of that item.
    """
    recipe = write_study(folder)
    (item, *_) = prepared_sets(load_recipe(recipe), folder)["jcommonsenseqa"].items
    asked = item_of_set(item, "jcommonsenseqa")
    seeds = [
        {"instruction": asked.question, "output": asked.answer},
        {"instruction": "3の2乗はいくつですか。", "output": "9"},
    ]
    benchmark(folder, *seeds, name="seeds.jsonl")
    changed(recipe, seeds={"path": "seeds.jsonl"}, training__epochs=1, arms__qa__matrix={})
    return recipe, asked.question


def test_the_run_looks_for_its_own_control_sets_without_being_told(tmp_path: Path) -> None:
    recipe, question = with_seed_of_a_control(tmp_path)
    run = run_study(recipe)
    assert [e.answer for e in curated(run) if e.method == SEED] == ["9"]
    (leak,) = run.stage("curation/qa").read("leaks", Leak)
    assert (leak.source, leak.item) == ("jcommonsenseqa", question)
    notes = run.stages()["curation/qa"]["notes"]["leaks"]
    assert (notes["files"], notes["items"]) == (["jcommonsenseqa", "jnli"], 9)
    # Unless it is told not to.
    run = run_study(changed(recipe, leaks={"controls": False}))
    assert question in [e.question for e in curated(run)]
    assert "leaks" not in run.stages()["curation/qa"]["notes"]


def test_other_controls_of_which_nothing_leaks_train_nothing_again(tmp_path: Path) -> None:
    def made(recipe: Path) -> dict[str, str]:
        stages = run_study(recipe).stages()
        return {name: about["fingerprint"] for name, about in stages.items()}

    recipe = changed(write_study(tmp_path), training__epochs=1, arms__qa__matrix={})
    before = made(recipe)
    sets = [{"name": "jcommonsenseqa", "items": 7}, {"name": "jnli", "items": 3}]
    after = made(changed(recipe, evaluation__controls=sets))
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"curation/qa", "controls"}


def test_sets_that_ship_are_looked_for_by_their_names(tmp_path: Path) -> None:
    (item, *_) = items_of("jcommonsenseqa")
    asked = item_of_set(item, "jcommonsenseqa")
    recipe = write_data_study(
        tmp_path, seeds={"path": "seeds.jsonl"}, leaks={"sets": [item.question.benchmark]}
    )
    seed = {"instruction": f"{asked.question}", "output": asked.answer}
    benchmark(tmp_path, seed, name="seeds.jsonl")
    run = run_study(recipe)
    assert [e for e in curated(run) if e.method == SEED] == []
    notes = run.stages()["curation/qa"]["notes"]["leaks"]
    assert (notes["files"], notes["leaking_items"]) == (["jcommonsenseqa"], 1)
    assert notes["items"] > 100
    with pytest.raises(RecipeError, match="no set that ships is called 'jcommonsense'"):
        load_recipe(write_data_study(tmp_path, leaks={"sets": ["jcommonsense"]}))


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_set_that_ships_can_be_looked_for(tmp_path: Path, name: str) -> None:
    items = named_items(Leaks(sets=[name], controls=False), tmp_path)
    assert items
    assert all(item.question for item in items)


def test_controls_that_nobody_is_asked_are_looked_for_in_vain(tmp_path: Path) -> None:
    assert unused(load_recipe(write_data_study(tmp_path, leaks={"controls": True}))) == [
        "leaks.controls"
    ]


@pytest.mark.parametrize("name", ["jcommonsenseqa", "jnli"])
def test_an_item_is_looked_for_as_it_may_stand_anywhere(name: str) -> None:
    (item, *_) = items_of(name)
    found = item_of_set(item, name)
    assert "選択肢" not in found.question
    assert "質問：" not in found.question
    assert found.question in item.question.question
    if item.choices:
        assert found.answer == item.choices[item.labels.index(item.references[0])]
    else:
        # A label says nothing of its own.
        assert found.answer == ""


@pytest.mark.parametrize(
    ("row", "item"),
    [
        ({"question": "問1", "answer": "東京"}, ("問1", "東京", ())),
        ({"問題": "問1", "正解": "東京", "選択肢": ["東京", "大阪"]}, ("問1", "東京", ("東京", "大阪"))),
        ({"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answer": "B"}, ("q", "y", ("x", "y"))),
        ({"question": "q", "A": "x", "B": "y", "answer": "a"}, ("q", "x", ("x", "y"))),
        ({"question": "q", "choice0": "x", "choice1": "y", "label": 1}, ("q", "", ("x", "y"))),
        ({"question": "q", "choices": [1, 2], "answer": 2}, ("q", "2", ("1", "2"))),
        ({"question": "q", "answers": ["x"]}, ("q", "", ())),
        ({"question": "q", "answer": {"text": ["x", "z"]}}, ("q", "x", ())),
        ({"prompt": "q", "target": 4}, ("q", "4", ())),
    ],
)  # fmt: skip
def test_the_usual_forms_of_benchmarks_are_read(
    tmp_path: Path, row: object, item: tuple[str, str, tuple[str, ...]]
) -> None:
    (found,) = read_items(benchmark(tmp_path, row), "bench.jsonl", LeakColumns())
    assert (found.question, found.answer, found.choices) == item
    assert found.source == "bench.jsonl, line 1"


def test_columns_are_taken_as_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bench.csv"
    path.write_text("お題,こたえ,question\n定員は？,48人,別のもの\n", "utf-8")
    (found,) = read_items(path, "bench.csv", LeakColumns(question="お題", answer="こたえ"))
    assert isinstance(found, BenchmarkItem)
    assert (found.question, found.answer) == ("定員は？", "48人")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "1 mistake(s) in the benchmark:\n      it has no items"),
        ('{"お題": "何か"}\n{"question": ""}', "line 1: it has no question (it has: お題)"),
        ("[1]", "line 1: it is no object"),
        ("{", "line 1: it is no JSON"),
    ],
)
def test_a_benchmark_that_cannot_be_used_is_told_before_anything_is_spent(
    tmp_path: Path, content: str, told: str
) -> None:
    recipe = checking(write_data_study(tmp_path), [])
    (tmp_path / "bench.jsonl").write_text(content, "utf-8")
    with pytest.raises(UserError) as caught:
        run_study(recipe)
    assert told in str(caught.value)
    assert not (tmp_path / "runs" / "boats" / "documents").exists()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    recipe = checking(write_data_study(tmp_path), [], files=["none.jsonl"])
    with pytest.raises(UserError, match=r"none\.jsonl cannot be read"):
        run_study(recipe)
