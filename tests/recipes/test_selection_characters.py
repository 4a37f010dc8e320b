"""A selection may be told how many characters it keeps, in place of a share."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made import example
from studies import run_study, write_data_study
from teichaku.core.errors import RecipeError
from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import RunFolder
from teichaku.curation.amount import characters
from teichaku.curation.clusters import on_grid
from teichaku.curation.facility_location import unlike_in_order
from teichaku.curation.selection import Selection, up_to_characters
from teichaku.recipes.load import dump_recipe, load_recipe

LIMIT = 90


def selecting(folder: Path, **select: Any) -> Path:
    arm = {"examples": [{"method": "document_qa", "per_passage": 5}], "select": select}
    return write_data_study(folder, arms={"qa": arm})


def read(run: RunFolder, name: str) -> list[Example]:
    return list(run.stage("curation/qa").read(name, Example))


@pytest.mark.parametrize(
    "select",
    [
        {"method": "perplexity", "band": "top"},
        {"method": "perplexity", "band": "middle"},
        {"method": "facility_location"},
        {"method": "unlike", "most": 1.0},
        {"method": "importance_resampling"},
    ],
)
def test_every_selector_keeps_so_many_characters(tmp_path: Path, select: dict[str, Any]) -> None:
    run = run_study(selecting(tmp_path, characters=LIMIT, **select))
    kept, pool = read(run, "examples"), read(run, "pool")
    assert characters(pool) > 2 * LIMIT
    longest = max(characters([one]) for one in pool)
    assert LIMIT - longest < characters(kept) <= LIMIT
    fallen = {record.record_id for record in run.stage("curation/qa").read("dropped", Dropped)}
    assert {one.id for one in pool} == {one.id for one in kept} | (
        fallen & {one.id for one in pool}
    )
    notes = (run.stage("curation/qa").summary() or {})["notes"]["selection"]
    assert (notes["wanted"], notes["unit"], notes["reached"]) == (
        LIMIT, "characters", characters(kept),
    )  # fmt: skip


def test_the_best_of_a_band_are_taken_first(tmp_path: Path) -> None:
    select = {"method": "perplexity", "band": "bottom"}
    few = read(run_study(selecting(tmp_path / "a", characters=60, **select)), "examples")
    more = read(run_study(selecting(tmp_path / "b", share=1.0, **select)), "examples")
    assert 0 < len(few) < len(more)
    run = run_study(selecting(tmp_path / "c", characters=10**6, **select))
    assert {one.id for one in read(run, "examples")} == {one.id for one in more}


def test_share_or_characters_is_said_and_half_where_neither_is(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="say share or characters, one of the two"):
        load_recipe(selecting(tmp_path, method="unlike", share=0.5, characters=90))
    with pytest.raises(RecipeError, match="characters: unknown key"):
        load_recipe(selecting(tmp_path, method="d4", characters=90))
    for said, share in ({}, 0.5), ({"characters": 90}, None):
        recipe = load_recipe(selecting(tmp_path, method="unlike", **said))
        select = recipe.arms["qa"].select
        assert select is not None
        assert select.share == share
        # A recipe that a run wrote can be run.
        (tmp_path / "again.yaml").write_text(dump_recipe(recipe), "utf-8")
        assert load_recipe(tmp_path / "again.yaml").arms["qa"].select == select


def test_what_does_not_fit_is_passed_over_for_the_next_that_does() -> None:
    rows = [example("問", "あ" * size) for size in (30, 50, 10)]
    names = [row.id for row in rows]
    found = up_to_characters(Selection(tuple(names), {}), rows, 45)
    assert found.kept == (names[0], names[2])
    assert found.dropped == {
        names[1]: ("over_budget", "51 characters; 31 of 45 were taken before it")
    }


def test_what_is_passed_over_for_its_size_bars_nobody_that_is_like_it() -> None:
    vectors = on_grid(np.array([[1.0, 0.0], [0.0, 1.0], [0.01, 1.0]], np.float32))
    scores, sizes = np.array([3.0, 2.0, 1.0]), np.array([5, 50, 6])
    found = unlike_in_order(["a", "b", "c"], vectors, scores, 20, sizes=sizes)
    assert found.kept == ("a", "c")
    assert found.dropped["b"] == ("over_budget", "5 of 20 were taken by those that score better")
