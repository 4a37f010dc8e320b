"""A selection keeps what its scores say, and brings its controls, arms of the same size."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from studies import final_files, run_study, write_data_study, write_study
from teichaku.backends.http_log_probabilities import HttpLanguageModel
from teichaku.core.errors import RecipeError, UserError
from teichaku.core.models import ScoredText, TokenScores
from teichaku.core.records import Document, Dropped, Example, ExampleScore, Question
from teichaku.core.run_folder import RunFolder
from teichaku.curation.amount import characters
from teichaku.curation.importance_resampling import importance_resampling
from teichaku.curation.judge_screen import JudgeScreening
from teichaku.documents.loading import load_documents
from teichaku.recipes.before import check_before
from teichaku.recipes.load import load_recipe

SELECTORS: dict[str, dict[str, Any]] = {
    "perplexity": {"band": "bottom"},
    "d4": {"dedup_share": 0.8},
    "facility_location": {},
    "unlike": {"most": 1.0},
    "importance_resampling": {},
}


def selecting(folder: Path, select: dict[str, Any], **changes: Any) -> Path:
    """A study whose one arm selects; a control of it is asked the same questions."""
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["arms"]["qa"] |= {"select": select, "matrix": {}}
    whole["training"]["epochs"] = 1
    whole["questions"] = {"per_document": 3}
    whole["evaluation"] = {"judge": {"questions": 0}}
    recipe.write_text(yaml.safe_dump({**whole, **changes}, allow_unicode=True), "utf-8")
    return recipe


def kept(run: RunFolder, data: str) -> list[Example]:
    return list(run.stage(f"curation/{data}").read("examples", Example))


@pytest.mark.parametrize("method", SELECTORS)
def test_every_selector_keeps_half_and_its_controls_as_many_characters(
    tmp_path: Path, method: str
) -> None:
    run = run_study(selecting(tmp_path, {"method": method, "share": 0.5, **SELECTORS[method]}))
    pool = {example.id for example in run.stage("curation/qa").read("pool", Example)}
    chosen = kept(run, "qa")
    assert {example.id for example in chosen} < pool
    assert len(chosen) <= (len(pool) + 1) // 2 + 1
    size = characters(chosen)
    for control in ("qa+random", "qa+length"):
        beside = kept(run, control)
        assert {example.id for example in beside} <= pool
        longest = max(characters([example]) for example in beside)
        assert size - longest <= characters(beside) <= size
        counts = (run.stage(f"curation/{control}").summary() or {})["counts"]
        assert (counts["in"], counts["out"]) == (len(pool), len(beside))
    arms = [arm["name"] for arm in run.read_json("run.json")["arms"]]
    assert arms == ["qa", "qa+random", "qa+length"]


def test_what_is_not_selected_falls_with_its_rank_and_scores_are_kept(tmp_path: Path) -> None:
    run = run_study(selecting(tmp_path, {"method": "perplexity", "share": 0.5, "band": "bottom"}))
    stage = run.stage("curation/qa")
    scores = {row.example_id: row.value for row in stage.read("scores", ExampleScore)}
    fallen = {
        row.record_id for row in stage.read("dropped", Dropped) if row.reason == "outside_band"
    }
    standing = {example.id for example in kept(run, "qa")}
    assert standing | fallen == set(scores)
    assert max(scores[name] or 0 for name in standing) <= min(scores[name] or 0 for name in fallen)


def test_unlike_ones_go_by_a_judges_score_where_a_filter_before_gave_one(tmp_path: Path) -> None:
    select = {"method": "unlike", "most": 1.0, "share": 0.5, "controls": ["length"]}
    screened = {"curation": [{"name": "judge_screen", "threshold": 1}, "duplicates"]}
    run = run_study(selecting(tmp_path / "judged", select, **screened))
    stage = run.stage("curation/qa")
    score = {
        row.example_id: row.value or 0 for row in stage.read("judge_screening", JudgeScreening)
    }
    pool = {example.id for example in stage.read("pool", Example)}
    best = {example.id for example in kept(run, "qa")}
    assert best < pool
    assert min(score[name] for name in best) >= max(score[name] for name in pool - best)
    assert len({score[name] for name in pool}) > 1
    assert best != {example.id for example in kept(run, "qa+length")}
    # Nobody judged: the longest.
    run = run_study(selecting(tmp_path / "unjudged", select))
    size = {e.id: characters([e]) for e in run.stage("curation/qa").read("pool", Example)}
    best = {example.id for example in kept(run, "qa")}
    assert min(size[name] for name in best) >= max(size[name] for name in size.keys() - best)


TARGET = "港の遊覧船は四十八人を乗せ、檜の船体は毎年の春に塗り直される。"


def drawn(folder: Path, *target: str) -> RunFolder:
    select: dict[str, Any] = {"method": "importance_resampling", "share": 0.5}
    arm = {"examples": [{"method": "document_qa", "per_passage": 5}], "select": select}
    if target:
        select["target"] = list(target)
    return run_study(write_data_study(folder, arms={"qa": arm}))


def write_target(folder: Path, name: str, *rows: dict[str, str] | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / name).write_text("\n".join(lines), "utf-8")


def test_a_target_of_files_is_what_is_drawn_towards(tmp_path: Path) -> None:
    write_target(tmp_path, "text.md", TARGET)
    write_target(tmp_path, "rows.jsonl", {"text": TARGET}, {"text": TARGET}, {"text": ""})
    asked = {"question": "何人乗れますか。", "answer": "48人です。"}
    write_target(tmp_path / "wanted", "pairs.json", json.dumps([asked]))
    # Of no form of rows: a table as documents are read.
    write_target(tmp_path / "wanted", "shops.csv", "店名,住所", "港の食堂,港町1-2")
    run = drawn(tmp_path, "text.md", "rows.jsonl", "wanted")
    stage = run.stage("curation/qa")
    pool = list(stage.read("pool", Example))
    ids, texts = [e.id for e in pool], [e.whole for e in pool]
    read = load_documents(["wanted/shops.csv"], tmp_path)
    (shop,) = (document.text for document in read if isinstance(document, Document))
    assert "港の食堂" in shop
    target = [TARGET, TARGET, "何人乗れますか。\n48人です。", shop]
    limit = about(run, "curation/qa")["notes"]["selection"]["wanted"]
    expected = set(importance_resampling(ids, texts, target, limit, seed=0).kept)
    assert {example.id for example in kept(run, "qa")} == expected
    assert about(run, "curation/qa")["notes"]["selection"]["target"] == {
        "files": 4, "texts": 4, "passed_over": {"bad_row": 1, "repeated_row": 1},
    }  # fmt: skip


def test_another_target_draws_anew_and_the_same_one_does_not(tmp_path: Path) -> None:
    def fingerprint(*target: str) -> str:
        return str(about(drawn(tmp_path, *target), "curation/qa")["fingerprint"])

    write_target(tmp_path, "wanted.txt", TARGET)
    first = fingerprint("wanted.txt")
    (tmp_path / "wanted.txt").touch()
    assert fingerprint("wanted.txt") == first
    write_target(tmp_path, "wanted.txt", f"{TARGET}料金は千八百円。")
    changed = fingerprint("wanted.txt")
    assert len({first, changed, fingerprint()}) == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.txt", None, "absent.txt, and nothing is there"),
        ("empty.txt", "", "It is empty"),
        ("rows.jsonl", '{"text": 3', "rows.jsonl cannot be read"),
        ("rows.csv", "text\n", "no text to read"),
        ("photo.png", "x", "Files of the kind '.png' are not read"),
    ],
)
def test_a_target_that_cannot_be_read_is_told_before_anything_is_made(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(UserError) as refused:
        drawn(tmp_path, name)
    assert said in str(refused.value)
    assert "arms.qa.select.target: " in str(refused.value)
    assert not (tmp_path / "runs" / "boats" / "synthesis").exists()


def test_the_report_sets_the_selection_against_its_controls(tmp_path: Path) -> None:
    run = run_study(selecting(tmp_path, {"method": "perplexity"}))
    report = json.loads((run.path / "report" / "report.json").read_text("utf-8"))
    assert [(row["arm"], row["control"]) for row in report["selections"]] == [
        ("qa", "qa+random"),
        ("qa", "qa+length"),
    ]
    assert {row["data"] for row in report["curation"]} == {"qa"}


def test_controls_can_be_left_out_and_the_files_do_not_depend_on_the_run(tmp_path: Path) -> None:
    select = {"method": "d4", "controls": []}
    first = run_study(selecting(tmp_path / "a", select))
    second = run_study(selecting(tmp_path / "b", select))
    assert [arm["name"] for arm in first.read_json("run.json")["arms"]] == ["qa"]
    assert final_files(first) == final_files(second)


def test_difficulty_needs_a_model_that_reads_the_question(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe(selecting(tmp_path, {"method": "instruction_following_difficulty"}))
    assert "language_model with weights" in str(refused.value)


def test_a_selector_that_is_none_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe(selecting(tmp_path, {"method": "perplexities"}))
    assert "perplexity" in str(refused.value)
    with pytest.raises(RecipeError) as refused:
        load_recipe(selecting(tmp_path, {"method": "perplexity", "share": 0}))
    assert "share" in str(refused.value)


SERVED = {"backend": "http", "model": "m", "base_url": "http://localhost:1/v1", "max_retries": 0}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the server of the language model was asked; it fails for the next of ``FAILING``."""
    texts: list[str] = []

    def scores(
        self: HttpLanguageModel, given: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        for number, one in enumerate(given):
            texts.append(one.text)
            if number < FAILING[0]:
                yield TokenScores(np.zeros(0, np.float32), error="HTTP 503")
            else:
                value = np.full(3, -float(len(one.text)), np.float32)
                yield TokenScores(value, end=len(one.text))

    monkeypatch.setattr(HttpLanguageModel, "token_log_probabilities", scores)
    FAILING[0] = 0
    return texts


FAILING = [0]


def about(run: RunFolder, stage: str) -> dict[str, Any]:
    return run.stage(stage).summary() or {}


def test_a_band_that_is_moved_asks_the_language_model_nothing_again(
    tmp_path: Path, asked: list[str]
) -> None:
    by_length = {"method": "perplexity", "band": "bottom"}
    changes: dict[str, Any] = {"language_model": SERVED}
    first = kept(run_study(selecting(tmp_path, by_length, **changes)), "qa")
    assert asked
    asked.clear()
    top = {**by_length, "band": "top", "share": 0.4}
    run = run_study(selecting(tmp_path, top, **changes))
    assert asked == []
    assert {e.id for e in kept(run, "qa")}.isdisjoint(e.id for e in first)
    # Another model knows nothing of these.
    run_study(selecting(tmp_path, top, language_model={**SERVED, "model": "other"}))
    assert asked


def test_scores_that_failed_are_told_and_asked_for_again(tmp_path: Path, asked: list[str]) -> None:
    FAILING[0] = 4
    recipe = selecting(tmp_path / "a", {"method": "perplexity"}, language_model=SERVED)
    stage = about(run_study(recipe), "curation/qa")
    assert stage["failed_requests"] == 4
    assert stage["notes"]["selection"]["without_score"] == {"HTTP 503": 4}
    asked.clear()
    FAILING[0] = 0
    run = run_study(recipe)
    assert len(asked) == 4
    stage = about(run, "curation/qa")
    assert stage["failed_requests"] == 0
    assert stage["notes"]["selection"]["without_score"] == {}
    undisturbed = selecting(tmp_path / "b", {"method": "perplexity"}, language_model=SERVED)
    assert kept(run, "qa") == kept(run_study(undisturbed), "qa")


def test_where_nothing_can_be_scored_nothing_is_selected(tmp_path: Path) -> None:
    recipe = selecting(tmp_path, {"method": "perplexity"}, language_model=SERVED)
    with pytest.raises(UserError, match=r"none of 1\d examples has a score"):
        run_study(recipe)
    assert not (tmp_path / "runs" / "boats" / "curation" / "qa" / "stage.json").exists()


def test_questions_are_drawn_from_what_was_selected_from(tmp_path: Path) -> None:
    select = {"method": "perplexity", "share": 0.3, "controls": ["random"]}
    held_out = {"questions": {"per_document": 9}}
    run = run_study(selecting(tmp_path, select, **held_out))
    taught = {data: {e.id for e in kept(run, data)} for data in ("qa", "qa+random")}
    pool = {example.id for example in run.stage("curation/qa").read("pool", Example)}
    questions = list(run.stage("questions").read("questions", Question))
    ids = {
        kind: {q.example_id for q in questions if q.kind == kind}
        for kind in ("trained", "trained_by_some", "held_out")
    }
    learnt = set.union(*taught.values())
    assert ids["held_out"] <= pool
    assert ids["held_out"] - learnt
    assert ids["trained"] | ids["trained_by_some"] <= learnt
    stated = about(run, "questions")["notes"]["stated"]
    for data, own in taught.items():
        assert len(ids["held_out"] & own) <= stated[data]["held_out"] < len(ids["held_out"])
        assert stated[data]["characters"] == characters(kept(run, data))
    report = json.loads((run.path / "report" / "report.json").read_text("utf-8"))
    (row,) = report["selections"]
    assert row["stated"] == [stated["qa+random"]["held_out"], stated["qa"]["held_out"]]


def test_an_arm_of_so_many_characters_selects_first_and_its_controls_have_its_size(
    tmp_path: Path,
) -> None:
    recipe = selecting(tmp_path, {"method": "unlike", "most": 1.0, "share": 0.6})
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["arms"]["qa"]["characters"] = 90
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    run = run_study(recipe)
    sizes = {data: characters(kept(run, data)) for data in ("qa", "qa+random", "qa+length")}
    assert all(60 < size <= 90 for size in sizes.values())
    assert sizes["qa+random"] <= sizes["qa"] >= sizes["qa+length"]


def test_without_a_student_there_is_no_control(tmp_path: Path) -> None:
    arms = {
        "qa": {
            "examples": [{"method": "document_qa", "per_passage": 5}],
            "select": {"method": "perplexity"},
        }
    }
    run = run_study(write_data_study(tmp_path, arms=arms))
    assert [name for name in run.stages() if name.startswith(("curation", "dataset"))] == [
        "curation/qa",
        "dataset/qa",
    ]
    assert 0 < len(kept(run, "qa")) < len(list(run.stage("curation/qa").read("pool", Example)))


def test_a_new_price_is_written_into_what_was_selected_from(tmp_path: Path) -> None:
    def priced(output: float) -> RunFolder:
        teacher = {"backend": "scripted", "price": {"output": output}}
        return run_study(selecting(tmp_path, {"method": "perplexity"}, teacher=teacher))

    assert all(e.price == 0 for e in priced(0).stage("curation/qa").read("pool", Example))
    run = priced(1e6)
    pool = {e.id: e.price for e in run.stage("curation/qa").read("pool", Example)}
    assert all(price > 0 for price in pool.values())
    assert all(pool[e.id] == e.price for e in kept(run, "qa"))


def refused(recipe: Path) -> str:
    with pytest.raises(RecipeError) as error:
        load_recipe(recipe)
    return str(error.value)


WEIGHTS = {"backend": "transformers", "model": "gemma-3-270m"}


def test_a_selection_that_could_choose_nothing_is_refused(tmp_path: Path) -> None:
    ifd = {"method": "instruction_following_difficulty"}
    texts = {"a": {"examples": [{"method": "active_reading"}], "select": ifd}}
    model = {"language_model": WEIGHTS}
    assert "running text has none" in refused(write_data_study(tmp_path, arms=texts, **model))
    texts["a"]["examples"].append({"method": "document_qa"})  # type: ignore[attr-defined]
    load_recipe(write_data_study(tmp_path, arms=texts, **model))
    grown = {
        "a": {
            "examples": [{"method": "evol_instruct"}],
            "select": {"method": "importance_resampling"},
        }
    }
    seeds = {"path": "seeds.jsonl"}
    said = refused(write_data_study(tmp_path, arms=grown, seeds=seeds, documents=None))
    assert "reads like the documents" in said
    grown["a"]["select"] = {"method": "importance_resampling", "target": ["seeds.jsonl"]}
    recipe = load_recipe(write_data_study(tmp_path, arms=grown, seeds=seeds, documents=None))
    assert check_before(recipe, tmp_path) == {}


def test_a_selection_is_written_with_its_method_and_each_control_once(tmp_path: Path) -> None:
    assert "say {method: d4}" in refused(selecting(tmp_path, "d4"))  # type: ignore[arg-type]
    twice = {"method": "d4", "controls": ["random", "random"]}
    assert "random stands twice" in refused(selecting(tmp_path, twice))


def test_what_the_student_knows_selects_for_no_other_student(tmp_path: Path) -> None:
    def matrix(select: dict[str, Any], **changes: Any) -> Path:
        recipe = selecting(tmp_path, select, student=WEIGHTS, **changes)
        whole = yaml.safe_load(recipe.read_text("utf-8"))
        whole["arms"]["qa"]["matrix"] = {"student.model": ["gemma-3-270m", "other/model"]}
        recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
        return recipe

    assert "a recipe of each student" in refused(matrix({"method": "perplexity"}))
    assert "novelty goes by" in refused(matrix({"method": "d4"}, novelty={"action": "drop"}))
    load_recipe(matrix({"method": "perplexity"}, language_model={"backend": "ngram"}))
    load_recipe(matrix({"method": "d4"}, novelty={"action": "report"}))
