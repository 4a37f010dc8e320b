"""The seed of a training as a factor of the study."""

from pathlib import Path
from typing import Any

import yaml

from studies import run_study, write_study
from teichaku.core.records import TrainingLoss
from teichaku.recipes.arms import expand_arms
from teichaku.recipes.load import load_recipe


def write(folder: Path, arm: dict[str, Any], **training: Any) -> Path:
    recipe = write_study(folder)
    whole = yaml.safe_load(recipe.read_text("utf-8"))
    whole["arms"] = {"qa": {"examples": [{"method": "document_qa", "per_passage": 5}], **arm}}
    whole["training"] = {**whole["training"], **training}
    whole["evaluation"] = {"controls": [], "unanswerable": None, "signals": None}
    recipe.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    return recipe


def test_an_arm_may_have_its_own_seed_else_the_trainings(tmp_path: Path) -> None:
    arms = expand_arms(load_recipe(write(tmp_path / "a", {"training": {"seed": 5}}, seed=3)))
    assert [arm.training.seed for arm in arms] == [5]
    arms = expand_arms(load_recipe(write(tmp_path / "b", {}, seed=3)))
    assert [arm.training.seed for arm in arms] == [3]


def test_a_matrix_of_seeds_trains_and_reports_them_together(tmp_path: Path) -> None:
    run = run_study(write(tmp_path, {"matrix": {"training.seed": [0, 1, 2]}}))
    losses = [
        list(run.stage(f"training/qa@seed={seed}").read("losses", TrainingLoss))
        for seed in (0, 1, 2)
    ]
    # Another seed is another order of the examples, so steps have other lengths.
    assert losses[0] != losses[1] != losses[2]
    report = run.read_json("report/report.json")
    assert {tuple(row["seeds"]) for row in report["statistics"]["seeds"]} == {(0, 1, 2)}
    assert not report["statistics"]["single_seeds"]


def test_without_one_the_recipes_seed_counts(tmp_path: Path) -> None:
    plain = run_study(write(tmp_path / "plain", {}))
    stated = run_study(write(tmp_path / "stated", {}, seed=0))
    other = run_study(write(tmp_path / "other", {}, seed=7))
    losses = [
        list(run.stage("training/qa").read("losses", TrainingLoss))
        for run in (plain, stated, other)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
