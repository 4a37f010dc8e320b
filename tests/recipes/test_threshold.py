"""What another threshold would change is told from what the run keeps, and how to make it so."""

from pathlib import Path
from typing import Any

import pytest

from alike import NEAR, SEMANTIC, write_alike_study
from studies import run_study
from teichaku.core.errors import UserError
from teichaku.core.records import Dropped
from teichaku.core.run_folder import RunFolder
from teichaku.recipes import data_stages
from teichaku.recipes.load import load_recipe
from teichaku.recipes.threshold import move_threshold, threshold_curves

GUARDED = {**NEAR, "guard": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_study(write_alike_study(tmp_path_factory.mktemp("threshold"), GUARDED, SEMANTIC))


def fallen(run: RunFolder) -> set[str]:
    rows = run.stage("curation/qa").read("dropped", Dropped)
    return {row.record_id for row in rows if "near" in row.reason}


def test_curves_count_what_falls_and_name_the_recipes_threshold(run: RunFolder) -> None:
    near, semantic = threshold_curves(run)
    assert (near.arm, near.filter, near.level) == ("qa", "near_duplicates", "pair")
    assert (near.threshold, near.compared) == (0.8, 23)
    falls = dict(near.fall)
    assert (falls[0.7], falls[0.75], falls[0.8], falls[0.85], falls[1.0]) == (3, 3, 1, 0, 0)
    assert (semantic.threshold, semantic.compared) == (0.6, 22)
    assert threshold_curves(run, "qa", "near_duplicates") == [near]


def test_a_lower_threshold_tells_what_falls_too_and_beside_what(run: RunFolder) -> None:
    move = move_threshold(run, 0.7, filter_name="near_duplicates")
    (moved,) = move.arms
    assert (moved.came_in, moved.fell, moved.falls) == (23, 1, 3)
    assert [round(one.similarity, 2) for one in moved.more] == [0.76, 0.79]
    assert "料金は？\n1,800円" in moved.more[0].text
    assert "料金は？\n1,800円" in moved.more[0].like
    assert moved.back == ()
    falling = {one.example_id for one in moved.more} | fallen(run)
    assert not {one.like_id for one in moved.more} & falling
    # They walk five minutes to one boat, and straight on to the other.
    (protected,) = moved.protected
    assert (protected.differs, round(protected.similarity, 2)) == (" / 5", 0.7)
    assert move_threshold(run, 0.75, filter_name="near_duplicates").arms[0].protected == ()


def test_a_higher_threshold_tells_what_comes_back(run: RunFolder) -> None:
    (moved,) = move_threshold(run, 0.9, filter_name="near_duplicates").arms
    assert (moved.fell, moved.falls, moved.more) == (1, 0, ())
    (back,) = moved.back
    assert "魚の" in back.text
    assert {back.example_id} == fallen(run)


def test_what_is_told_is_what_comes_true_where_the_edit_is_made(tmp_path: Path) -> None:
    recipe = write_alike_study(tmp_path, "language", GUARDED)
    run = run_study(recipe)
    before = fallen(run)
    move = move_threshold(run, 0.7)
    (edit,) = move.edits
    assert (edit.write, edit.instead) == ("threshold: 0.7", "threshold: 0.8")
    lines = recipe.read_text("utf-8").splitlines()
    line = int(edit.place.rpartition(":")[2]) - 1
    assert edit.instead in lines[line]
    lines[line] = lines[line].replace(edit.instead, edit.write)
    recipe.write_text("\n".join(lines), "utf-8")
    again = run_study(recipe)
    assert fallen(again) == before | {one.example_id for one in move.arms[0].more}
    assert dict(threshold_curves(again)[0].fall)[0.7] == len(fallen(again)) == move.arms[0].falls


def edits_of(folder: Path, section: Any, at: float, level: str = "") -> tuple[list[str], Path]:
    recipe = write_alike_study(folder, "language", section)
    move = move_threshold(run_study(recipe), at, level=level)
    assert move.command.startswith("teichaku run ")
    return [edit.write for edit in move.edits], recipe


@pytest.mark.parametrize(
    ("section", "level", "expected"),
    [
        ("near_duplicates", "", ["{name: near_duplicates, threshold: 0.9}"]),
        ("near_duplicates", "text", ["{name: near_duplicates, thresholds: {text: 0.9}}"]),
        ({**NEAR, "thresholds": {"pair": 0.7}}, "", ["threshold: 0.9", "pair: 0.9"]),
        ({**NEAR, "thresholds": {"pair": 0.7}}, "pair", ["pair: 0.9"]),
        ({"name": "semantic_duplicates", "share": 0.8}, "", ["threshold: 0.9"]),
    ],
)
def test_the_edit_fits_what_the_recipe_says(
    tmp_path: Path, section: Any, level: str, expected: list[str]
) -> None:
    told, recipe = edits_of(tmp_path, section, 0.9, level)
    assert told == expected
    if told[0].startswith("{"):
        curation = f"curation: [language, {told[0]}]\n"
        rest = recipe.read_text("utf-8").partition("documents:")
        recipe.write_text(rest[0].partition("curation:")[0] + curation + "".join(rest[1:]), "utf-8")
        config = load_recipe(recipe).curation[1]
        assert 0.9 in (
            config.model_dump()["threshold"],
            *config.model_dump()["thresholds"].values(),
        )


def test_the_edit_has_every_digit_of_the_threshold(run: RunFolder) -> None:
    move = move_threshold(run, 0.9512345678, filter_name="near_duplicates")
    assert move.edits[0].write == "threshold: 0.9512345678"


def test_a_profile_is_edited_where_it_says_so(tmp_path: Path) -> None:
    changes = {"profiles": {"small": {"curation": [{**GUARDED}]}}, "profile": "small"}
    recipe = write_alike_study(tmp_path, "language", GUARDED, **changes)
    run = run_study(recipe)
    # As the command line writes it.
    run.write_json("run.json", {**run.read_json("run.json"), "profile": "small"})
    (edit,) = move_threshold(run, 0.9).edits
    line = int(edit.place.rpartition(":")[2])
    assert line > recipe.read_text("utf-8").splitlines().index("profiles:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arm": "qb"}, "has no arm 'qb'"),
        ({"filter_name": "near_duplicate"}, "did you mean 'near_duplicates'"),
        ({}, "several filters"),
        ({"filter_name": "near_duplicates", "at": 0.65}, "known from 0.7 on"),
        ({"filter_name": "near_duplicates", "level": "pairs"}, "did you mean 'pair'"),
        ({"filter_name": "semantic_duplicates", "level": "pair"}, "one threshold for all"),
        ({"filter_name": "near_duplicates", "at": 0.4}, "does not take 0.4: .* equal to 0.5"),
    ],
)
def test_a_mistake_is_told_in_plain_words(
    run: RunFolder, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        move_threshold(run, **{"at": 0.9, **arguments})


def test_a_threshold_below_what_is_known_says_what_to_do(run: RunFolder) -> None:
    with pytest.raises(UserError) as told:
        move_threshold(run, 0.5, filter_name="semantic_duplicates")
    assert "known from 0.55 on" in told.value.message
    assert "threshold: 0.5 (" in told.value.hint
    assert "compared once more" in told.value.hint


def test_a_run_without_such_filters_says_so(tmp_path: Path) -> None:
    run = run_study(write_alike_study(tmp_path, "duplicates"))
    with pytest.raises(UserError, match="no filter whose threshold can be moved") as told:
        threshold_curves(run)
    assert "\n      - near_duplicates\n" in told.value.hint


def test_a_curation_that_is_not_finished_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_alike_study(tmp_path, GUARDED)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data_stages, "write_notes", stop)
    with pytest.raises(KeyboardInterrupt):
        run_study(recipe)
    with pytest.raises(UserError, match="curation of 'qa' is not finished"):
        threshold_curves(RunFolder(tmp_path / "runs" / "boats"))


def test_similarities_that_are_gone_can_be_had_again(tmp_path: Path) -> None:
    recipe = write_alike_study(tmp_path, GUARDED)
    run = run_study(recipe)
    for path in (run.path / "similarities" / "qa").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="is not there any more") as told:
        move_threshold(run, 0.9)
    assert "remove the folder" in told.value.hint
    for path in (run.path / "curation" / "qa").iterdir():
        path.unlink()
    (run.path / "curation" / "qa").rmdir()
    assert move_threshold(run_study(recipe), 0.9).arms[0].fell == 1
