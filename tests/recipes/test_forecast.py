"""What a recipe will cost, against what it then costs."""

from pathlib import Path

import pytest

from studies import write_study
from teichaku.recipes.forecast import forecast
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Silent
from teichaku.recipes.run import Options, run_recipe

PRICED = "teacher: {backend: scripted, seconds: 0.0, price: {input: 2.0, output: 10.0}}"


def priced(folder: Path) -> Path:
    recipe = write_study(folder)
    text = recipe.read_text(encoding="utf-8")
    text = text.replace("teacher: {backend: scripted, seconds: 0.0}", PRICED)
    recipe.write_text(text, encoding="utf-8")
    for number in range(12):
        (folder / "docs" / f"{number}号艇.md").write_text(
            f"---\ntitle: {number}号艇\n---\n種別：救命艇\n定員：{number + 10}人\n",
            encoding="utf-8",
        )
    return recipe


def test_the_line_through_two_samples_meets_what_the_run_takes(tmp_path: Path) -> None:
    recipe, cache = priced(tmp_path), tmp_path / "cache.sqlite"
    loaded = load_recipe(recipe)
    (found,) = forecast(loaded, tmp_path, Silent(), (2, 6), cache)
    assert [cost.passages for cost in (*found.samples, found.whole)] == [2, 6, 15]
    run = run_recipe(loaded, tmp_path, Silent(), Options(tmp_path / "runs", cache))
    stage = run.stages()["synthesis/qa"]
    assert found.whole.requests == stage["notes"]["requests"] == 15
    timing = run.read_json("synthesis/qa/timing.json")
    assert timing["requests"] == 15 - 6
    assert timing["cached_requests"] == 6
    assert 0 < found.samples[0].price < found.samples[1].price < found.whole.price


def test_tokens_times_their_price_are_the_price(tmp_path: Path) -> None:
    recipe = load_recipe(priced(tmp_path))
    (found,) = forecast(recipe, tmp_path, Silent(), (1, 3), tmp_path / "cache.sqlite")
    for cost in (*found.samples, found.whole):
        expected = (2.0 * cost.prompt_tokens + 10.0 * cost.completion_tokens) / 1e6
        assert cost.price == pytest.approx(expected)


def test_samples_that_are_in_the_cache_count_and_tell_no_time(tmp_path: Path) -> None:
    recipe, cache = load_recipe(priced(tmp_path)), tmp_path / "cache.sqlite"
    (first,) = forecast(recipe, tmp_path, Silent(), (2, 4), cache)
    (second,) = forecast(recipe, tmp_path, Silent(), (2, 4), cache)
    assert second.whole.requests == first.whole.requests
    assert second.samples[1].seconds is None


def test_more_passages_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    recipe = load_recipe(write_study(tmp_path))
    (found,) = forecast(recipe, tmp_path, Silent(), (50, 60), tmp_path / "cache.sqlite")
    assert (found.whole.passages, found.whole.requests) == (3, 3)
