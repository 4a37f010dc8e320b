"""The filter ``near_duplicates`` as a section of a recipe."""

from pathlib import Path
from typing import Any

import pytest

from studies import run_study, write_data_study
from teichaku.core.errors import RecipeError
from teichaku.core.records import Dropped, Example
from teichaku.recipes.load import load_recipe


def study(folder: Path, section: Any) -> Path:
    """Each passage twice as running text."""
    arms = {"qa": {"examples": [{"method": "verbatim", "copies": 2}]}}
    return write_data_study(folder, curation=[section], arms=arms)


def test_what_falls_names_what_stays(tmp_path: Path) -> None:
    section = {"name": "near_duplicates", "threshold": 0.7, "keep": "first"}
    stage = run_study(study(tmp_path, section)).stage("curation/qa")
    kept = {example.id for example in stage.read("examples", Example)}
    fallen = list(stage.read("dropped", Dropped))
    assert {row.reason for row in fallen} == {"duplicate"}
    assert all(row.evidence.split()[2] in kept for row in fallen)
    assert len(kept) == len(fallen) == len(list((tmp_path / "docs").iterdir()))


def test_a_threshold_for_a_level_that_is_not_compared_is_refused(tmp_path: Path) -> None:
    section = {"name": "near_duplicates", "levels": ["pair"], "thresholds": {"question": 0.9}}
    with pytest.raises(RecipeError, match="question, which is not in 'levels'"):
        load_recipe(study(tmp_path, section))


def test_the_name_alone_is_enough(tmp_path: Path) -> None:
    recipe = load_recipe(study(tmp_path, "near_duplicates"))
    assert [config.name for config in recipe.curation] == ["near_duplicates"]
