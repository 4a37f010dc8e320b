"""A selection keeps what its scores say, and brings its controls, arms of the same size."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from studies import final_files, run_study, write_study
from teichaku.core.errors import RecipeError
from teichaku.core.records import Dropped, Example, ExampleScore
from teichaku.core.run_folder import RunFolder
from teichaku.curation.amount import characters
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
