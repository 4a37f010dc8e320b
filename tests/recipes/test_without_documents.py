"""Studies whose examples others wrote, and those that only compare models."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from studies import final_files, run_study, write_study
from teichaku.core.errors import RecipeError, UserError
from teichaku.core.prompts import parse_prompt
from teichaku.core.records import MIX, Answer, Dropped, Example, Message, Question
from teichaku.core.run_folder import RunFolder, write_records
from teichaku.recipes.before import unused
from teichaku.recipes.export import Options, export_run
from teichaku.recipes.forecast import forecast
from teichaku.recipes.load import dump_recipe, limited, load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.schema import Training
from teichaku.recipes.training_stage import _encode

JAPANESE = [
    {"instruction": "日本でいちばん高い山は？", "output": "富士山です。"},
    {"instruction": "次の語を漢字で書いてください。", "input": "さくら", "output": "桜"},
    {"instruction": "海が青く見えるのはなぜですか。", "output": "水が赤い光を吸うからです。"},
]
ENGLISH = [
    {"messages": [
        {"role": "user", "content": "Name a river in France."},
        {"role": "assistant", "content": "The Loire."},
        {"role": "user", "content": "And one in Italy?"},
        {"role": "assistant", "content": "The Po."},
    ]}
]  # fmt: skip
CONTROLS = {"controls": [{"name": "jcommonsenseqa", "items": 4, "shots": 1}]}
MIXTURE: dict[str, Any] = {
    "sources": [
        {"name": "ja", "path": "ja.jsonl", "licence": "CC0-1.0", "attribution": "the library"},
        {"name": "en", "path": "en.jsonl", "language": "en", "licence": "CC BY-ND 4.0"},
    ]
}


def written(folder: Path, **changes: Any) -> Path:
    """A recipe with a mixture and no documents; ``changes`` are its keys, None for one to go."""
    for name, rows in (("ja", JAPANESE), ("en", ENGLISH)):
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    whole = {
        "name": "mixed",
        "student": {"backend": "scripted"},
        "curation": ["language", "duplicates"],
        "arms": {"mixture": {"mix": MIXTURE}},
        "training": {"epochs": 2},
        "evaluation": CONTROLS,
        **changes,
    }
    kept = {key: value for key, value in whole.items() if value is not None}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(kept, allow_unicode=True, sort_keys=False), "utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_study(written(tmp_path_factory.mktemp("mixed")))


def test_a_student_without_documents_learns_a_mixture_and_is_asked_the_controls(
    finished: RunFolder,
) -> None:
    assert list(finished.stages()) == [
        "synthesis/mixture",
        "curation/mixture",
        "training/mixture",
        "controls",
    ]
    for name, summary in finished.stages().items():
        counts = summary["counts"]
        assert counts["in"] == counts["out"] + counts["dropped"], name
    asked = {(a.arm, a.checkpoint) for a in finished.stage("controls").read("answers", Answer)}
    assert asked == {("base", "base"), ("mixture", "epoch-2")}


def test_each_source_is_curated_by_its_own_language(finished: RunFolder) -> None:
    kept = list(finished.stage("curation/mixture").read("examples", Example))
    assert {(e.category, e.language) for e in kept} == {("ja", "ja"), ("en", "en")}
    assert len(kept) == 5


def test_a_later_turn_is_trained_behind_what_was_said_before(finished: RunFolder) -> None:
    folder = finished.path / "training" / "mixture" / "epoch-2"
    known = json.loads((folder / "adapter.json").read_text("utf-8"))
    assert known["And one in Italy?"] == [2, "The Po."]
    made = {e.question: e for e in finished.stage("synthesis/mixture").read("examples", Example)}
    assert made["And one in Italy?"].history == ("Name a river in France.", "The Loire.")


def test_a_system_message_of_the_prompt_goes_before_earlier_turns() -> None:
    system = "version: 1\n[system]\n短く。\n[user]\n{{ question }}\n"
    study = SimpleNamespace(
        prompts=SimpleNamespace(load=lambda name: parse_prompt(system, f"ja/{name}"))
    )
    seen: list[tuple[Message, ...]] = []
    student = SimpleNamespace(encode=lambda *given: seen.append(given[1]))
    example = Example("e", "", "", MIX, "西は？", "左。", history=("東は？", "右。"))
    _encode(study, student, example, Training())  # type: ignore[arg-type]
    assert [(m.role, m.content) for m in seen[0]] == [
        ("system", "短く。"),
        ("user", "東は？"),
        ("assistant", "右。"),
        ("user", "西は？"),
    ]


def test_report_and_run_name_the_sources_with_their_licences(finished: RunFolder) -> None:
    told = finished.read_json("run.json")["mixtures"]["mixture"]
    assert [(row["name"], row["licence"], row["attribution"]) for row in told] == [
        ("ja", "CC0-1.0", "the library"),
        ("en", "CC BY-ND 4.0", ""),
    ]
    report = finished.read_json("report/report.json")
    assert report["headline"]["outcome"] == "no_questions"
    assert not report["headline"]["caveats"]
    (arm,) = report["mixtures"]
    assert [(row["taken"], row["kept"], row["later_turns"]) for row in arm["sources"]] == [
        (3, 3, 0),
        (2, 2, 1),
    ]
    page = (finished.path / "report" / "index.html").read_text("utf-8")
    assert "the library" in page
    assert 'id="mixtures"' in page


def test_the_same_recipe_again_runs_nothing_again(tmp_path: Path) -> None:
    recipe = written(tmp_path)
    before = final_files(run_study(recipe))
    assert final_files(run_study(recipe)) == before
    (tmp_path / "ja.jsonl").write_text(json.dumps(JAPANESE[0]), "utf-8")
    assert final_files(run_study(recipe)) != before


def test_an_arm_may_have_both_its_own_examples_and_data_of_others(tmp_path: Path) -> None:
    recipe = write_study(tmp_path)
    (tmp_path / "ja.jsonl").write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in JAPANESE), "utf-8"
    )
    data = yaml.safe_load(recipe.read_text("utf-8"))
    own = {"examples": [{"method": "document_qa", "per_passage": 5}]}
    mix = {"mix": [{"name": "general", "path": "ja.jsonl"}]}
    data["arms"] = {"own": own, "both": {**own, **mix}, "general": mix}
    data["questions"] = {"per_document": 4}
    data["evaluation"] = {**CONTROLS, "unanswerable": None, "signals": None}
    recipe.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    run = run_study(recipe)
    methods = {
        name: {e.method for e in run.stage(f"curation/{name}").read("examples", Example)}
        for name in data["arms"]
    }
    assert methods == {"own": {"document_qa"}, "both": {"document_qa", MIX}, "general": {MIX}}
    asked = list(run.stage("questions").read("questions", Question))
    assert asked
    assert all(question.document_id for question in asked)
    assert run.stages()["synthesis/general"]["notes"]["requests"] == 0
    assert {score["arm"] for score in run.read_json("report/report.json")["scores"]} >= {"both"}


def test_filters_let_be_what_is_not_to_be_curated(tmp_path: Path) -> None:
    sources = [{**MIXTURE["sources"][1], "language": "ja", "curate": False}, MIXTURE["sources"][0]]
    run = run_study(written(tmp_path, arms={"mixture": {"mix": sources}}))
    kept = {e.category for e in run.stage("curation/mixture").read("examples", Example)}
    assert kept == {"en", "ja"}
    curated = [{**source, "curate": True} for source in sources]
    run = run_study(written(tmp_path, arms={"mixture": {"mix": curated}}))
    fallen = list(run.stage("curation/mixture").read("dropped", Dropped))
    assert [d.reason for d in fallen] == ["wrong_language", "wrong_language"]


@pytest.mark.parametrize("curate", [True, False])
def test_benchmark_items_in_data_of_others_are_found(tmp_path: Path, curate: bool) -> None:
    item = {"question": "海が青く見えるのはなぜですか。", "answer": "水が赤い光を吸うからです。"}
    (tmp_path / "bench.jsonl").write_text(json.dumps(item, ensure_ascii=False), "utf-8")
    sources = [{**MIXTURE["sources"][0], "curate": curate}]
    leaks = {"files": ["bench.jsonl"]}
    run = run_study(written(tmp_path, arms={"mixture": {"mix": sources}}, leaks=leaks))
    fallen = [d.reason for d in run.stage("curation/mixture").read("dropped", Dropped)]
    assert fallen == ["leaks_benchmark"]


def test_a_source_that_may_be_absent_is_left_out_and_told(tmp_path: Path) -> None:
    gone = {"name": "gone", "path": "gone.jsonl", "optional": True}
    mix = {"mix": [*MIXTURE["sources"], gone]}
    run = run_study(written(tmp_path, arms={"mixture": mix}))
    (_, _, row) = run.read_json("report/report.json")["mixtures"][0]["sources"]
    assert (row["name"], row["absent"], row["taken"]) == ("gone", True, 0)


def test_models_are_compared_without_any_arm(tmp_path: Path) -> None:
    models = {name: {"backend": "scripted", "model": name} for name in ("one", "two")}
    changes = {"student": None, "arms": None, "curation": None, "training": None}
    recipe = written(tmp_path, **changes, evaluation={**CONTROLS, "models": models})
    run = run_study(recipe)
    assert list(run.stages()) == ["controls"]
    asked = [answer.arm for answer in run.stage("controls").read("answers", Answer)]
    assert {name: asked.count(name) for name in models} == {"one": 4, "two": 4}
    assert run.read_json("report/report.json")["headline"]["outcome"] == "no_questions"
    loaded = load_recipe(recipe)
    assert load_recipe(_saved(tmp_path, dump_recipe(loaded))) == loaded


def _saved(folder: Path, text: str) -> Path:
    path = folder / "dumped.yaml"
    path.write_text(text, "utf-8")
    return path


def test_a_data_set_of_data_of_others_has_their_licences_on_its_card(tmp_path: Path) -> None:
    only = {"mix": MIXTURE["sources"][:1]}
    recipe = written(tmp_path, student=None, arms={"a": only}, training=None, evaluation=None)
    run = run_study(recipe)
    card = (run.path / "dataset" / "a" / "README.md").read_text("utf-8")
    assert "license: cc0-1.0" in card
    assert "| ja | 3 | CC0-1.0 | 文言は禁じていない | the library |" in card
    both = {"a": {"mix": MIXTURE["sources"]}}
    run = run_study(
        written(tmp_path, name="both", student=None, arms=both, training=None, evaluation=None)
    )
    with pytest.raises(UserError, match=r"CC BY-ND 4\.0"):
        export_run(run, tmp_path / "out", "a", Options())
    (done,) = export_run(run, tmp_path / "out", "a", Options(private=True))
    rows = (done.folder / "chat.jsonl").read_text("utf-8").splitlines()
    turns = [json.loads(row)["messages"] for row in rows]
    longest = max(turns, key=len)
    assert [turn["role"] for turn in longest] == ["user", "assistant"] * 2
    assert longest[-1]["content"] == "The Po."


def test_terms_in_words_keep_a_set_from_being_published(tmp_path: Path) -> None:
    mix = {"mix": [{**MIXTURE["sources"][0], "terms": "it may not be passed on"}]}
    changes = {"student": None, "arms": {"a": mix}, "training": None, "evaluation": None}
    run = run_study(written(tmp_path, **changes))
    with pytest.raises(UserError, match="it may not be passed on"):
        export_run(run, tmp_path / "out", "a", Options())
    (done,) = export_run(run, tmp_path / "out", "a", Options(private=True))
    card = (done.folder / "README.md").read_text("utf-8")
    assert "| ja | 3 | CC0-1.0 | 文言が禁じている |" in card


@pytest.mark.parametrize(
    ("licence_class", "licence"),
    [
        ("permissive", "license: cc0-1.0"),
        ("", "license: cc0-1.0"),
        ("CC0 1.0", "license: cc0-1.0"),
        ("conditions", ""),
        ("forbids_competing", ""),
        ("CC BY 4.0", ""),
    ],
)
def test_a_set_heeds_what_rows_of_an_earlier_export_carry(
    tmp_path: Path, licence_class: str, licence: str
) -> None:
    mix = {"mix": [{**MIXTURE["sources"][0], "path": "own.parquet"}]}
    changes = {"student": None, "arms": {"a": mix}, "training": None, "evaluation": None}
    made = Example("e", "d", "p", "seed", "高い山は？", "富士山です。", licence_class=licence_class)
    write_records(tmp_path / "own.parquet", Example, [made])
    run = run_study(written(tmp_path, **changes))
    card = (run.path / "dataset" / "a" / "README.md").read_text("utf-8")
    front = card.split("---")[1].splitlines()
    assert [line for line in front if line.startswith("license")] == ([licence] if licence else [])


def test_a_mixture_that_is_smaller_than_asked_is_in_the_headline_and_its_section(
    tmp_path: Path,
) -> None:
    arms = {"mixture": {"mix": {**MIXTURE, "total": 1000}}}
    run = run_study(written(tmp_path, arms=arms))
    report = run.read_json("report/report.json")
    (caveat,) = report["headline"]["caveats"]
    assert "mixture の取り入れたデータは 5 例で、指定した 1,000 例に足りません" in caveat
    assert report["mixtures"][0]["size"]["reached"] == 5
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert "指定した数は 1,000 例、実際の数は 5 例です。" in page


def test_a_limit_takes_so_many_of_each_source(tmp_path: Path) -> None:
    recipe = limited(load_recipe(written(tmp_path)), 2)
    mix = recipe.arms["mixture"].mix
    assert mix is not None
    assert [source.limit for source in mix.sources] == [2, 2]


def test_nothing_is_forecast_where_no_model_writes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to forecast"):
        forecast(load_recipe(written(tmp_path)), tmp_path, Silent(), cache=tmp_path / "c.sqlite")


def test_keys_for_questions_about_documents_are_told_to_be_idle(tmp_path: Path) -> None:
    evaluation = {**CONTROLS, "conditions": ["closed_book"]}
    recipe = load_recipe(written(tmp_path, questions={"per_document": 2}, evaluation=evaluation))
    assert unused(recipe) == ["questions", "evaluation.conditions"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"evaluation": None}, "student: it is asked about documents, or benchmarks"),
        ({"evaluation": {"controls": []}}, "student: it is asked about documents, or benchmarks"),
        ({"arms": {"mixture": {}}}, "arms.mixture: say what it is trained on"),
        ({"arms": None}, "arms: missing; or name models to compare as they are"),
        ({"arms": {"a": {"examples": [{"method": "self_instruct"}]}}, "seeds": {"path": "s"}},
         "teacher: missing"),
        ({"arms": {"a": {"mix": [*MIXTURE["sources"], MIXTURE["sources"][0]]}}},
         "arms.a.mix.sources: ja names two sources"),
        ({"arms": {"a": {"mix": {**MIXTURE, "total": 3, "characters": 9}}}},
         "arms.a.mix: say 'total' or 'characters'"),
        ({"arms": {"a": {"mix": [{"name": "x", "path": "x.jsonl", "weigth": 2}]}}},
         "weigth: unknown key; did you mean 'weight'?"),
        ({"arms": {"a": {"mix": [{"name": "x", "path": "x.jsonl", "language": "jp"}]}}},
         "did you mean 'ja'?"),
        ({"arms": {"a": {"mix": MIXTURE, "facts": True}}}, "arms.a.facts: it goes by what methods make"),
        ({"evaluation": {"controls": ["mt_bench_ja"]}},
         "judge: name one, for there is no teacher to be it, and it marks the answers to"),
        ({"curation": ["magpie_screen"]}, "judge: name one"),
        ({"arms": None, "student": None, "evaluation": {"models": {"m": {"backend": "scripted"}}}},
         "evaluation: without arms, models are asked benchmarks"),
        ({"arms": None, "evaluation": {**CONTROLS, "models": {"m": {"backend": "scripted"}}}},
         "student: nothing goes by it without an arm"),
    ],
)  # fmt: skip
def test_what_does_not_hold_together_is_told_with_its_line(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path, **changes))
    assert what in caught.value.message
    assert "recipe.yaml:" in caught.value.message
