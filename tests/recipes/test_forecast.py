"""What a recipe will cost, against what it then costs."""

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from studies import write_data_study, write_study
from teichaku.backends import scripted
from teichaku.backends.cache import RequestCache
from teichaku.backends.scripted import scripted_teacher
from teichaku.cli import app
from teichaku.core.errors import UserError
from teichaku.core.records import Request
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.forecast import (
    Cost,
    Forecast,
    Pace,
    Part,
    expected_seconds,
    forecast,
    requests_at_once,
)
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Plain, Silent
from teichaku.recipes.run import Options, run_recipe

PRICED = "teacher: {backend: scripted, seconds: 0.0, price: {input: 2.0, output: 10.0}}"
SPREAD = {"method": "domain_spread", "per_seed": 3}
EVOLVED = {"method": "evol_instruct", "rounds": 2}
MULTIPLIED = {"method": "self_instruct", "instructions": 40}
#: The instructions that ship with the built-in recipe.
SHIPPED = Path(__file__).parents[2] / "src/teichaku/recipes/builtin/instruction-set/seeds.jsonl"


def boats(folder: Path, count: int, lines: int = 2) -> None:
    """So many documents more, alike but for a name and a number."""
    for number in range(count):
        text = "".join(f"第{line}区の定員：{10 + number}{line:02}人\n" for line in range(lines))
        (folder / "docs" / f"{number}号艇.md").write_text(
            f"---\ntitle: {number:02}号艇\n---\n{text}", encoding="utf-8"
        )


def priced(folder: Path) -> Path:
    recipe = write_study(folder)
    text = recipe.read_text(encoding="utf-8")
    text = text.replace("teacher: {backend: scripted, seconds: 0.0}", PRICED)
    recipe.write_text(text, encoding="utf-8")
    boats(folder, 12)
    return recipe


def seeds_alone(folder: Path, examples: list[dict[str, Any]], **changes: Any) -> Path:
    recipe = write_data_study(
        folder,
        arms={"a": {"examples": examples}},
        documents=None,
        seeds={"path": "seeds.jsonl"},
        **changes,
    )
    (folder / "seeds.jsonl").write_text(SHIPPED.read_text("utf-8"), "utf-8")
    return recipe


def forecast_and_run(recipe: Path, sizes: tuple[int, int] = (2, 6)) -> tuple[Forecast, RunFolder]:
    folder, loaded = recipe.parent, load_recipe(recipe)
    cache, runs = folder / "cache.sqlite", folder / "runs"
    (found,) = forecast(loaded, folder, Silent(), sizes, cache, runs)
    return found, run_recipe(loaded, folder, Silent(), Options(runs, cache))


def only_part(found: Forecast) -> Part:
    (part,) = found.parts
    return part


def test_the_line_through_two_samples_meets_what_the_run_takes(tmp_path: Path) -> None:
    found, run = forecast_and_run(priced(tmp_path))
    part = only_part(found)
    assert [cost.units for cost in (*part.samples, part.whole)] == [2, 6, 15]
    stage = run.stages()["synthesis/qa"]
    assert found.whole.requests == stage["notes"]["requests"] == 15
    timing = run.read_json("synthesis/qa/timing.json")
    assert timing["requests"] == 15 - 6
    assert timing["cached_requests"] == 6
    assert 0 < part.samples[0].price < part.samples[1].price < part.whole.price


@pytest.mark.parametrize(
    "arm",
    [
        {"examples": [{"method": "entity_graph", "max_entities": 3}]},
        {"examples": [{"method": "document_qa", "per_passage": 2}], "facts": True},
        {
            "examples": [{"method": "document_qa", "per_passage": 1}],
            "until": {"statements_per_fact": 3},
        },
        {"examples": [{"method": "verbatim"}]},
    ],
)
def test_whole_documents_are_sampled_with_all_that_the_stage_asks(
    tmp_path: Path, arm: dict[str, Any]
) -> None:
    passages = {"paths": ["docs"], "passage_characters": 50}
    recipe = write_data_study(tmp_path, arms={"a": arm}, documents=passages)
    for path in (tmp_path / "docs").iterdir():
        path.unlink()
    boats(tmp_path, 12, lines=6)
    found, run = forecast_and_run(recipe)
    notes = run.stages()["synthesis/a"]["notes"]
    assert notes["passages"] > 12
    assert found.whole.requests == pytest.approx(notes["requests"], rel=0.1)
    made = run.stages()["synthesis/a"]["counts"]["out"]
    assert found.whole.examples == pytest.approx(made, rel=0.1)
    # What the samples asked, the run did not ask again.
    cached = run.read_json("synthesis/a/timing.json")["cached_requests"]
    assert cached == only_part(found).samples[1].requests


@pytest.mark.parametrize("method", [SPREAD, EVOLVED, MULTIPLIED])
def test_seeds_are_sampled_where_there_are_no_documents(
    tmp_path: Path, method: dict[str, Any]
) -> None:
    found, run = forecast_and_run(seeds_alone(tmp_path, [method]), (1, 3))
    part = only_part(found)
    assert part.name == method["method"]
    units = {"domain_spread": [1, 3, 40], "evol_instruct": [1, 3, 40], "self_instruct": [7, 21, 40]}
    assert [c.units for c in (*part.samples, part.whole)] == units[part.name]
    stage = run.stages()["synthesis/a"]
    assert part.whole.requests == pytest.approx(stage["notes"]["requests"], rel=0.25)
    assert run.read_json("synthesis/a/timing.json")["cached_requests"] > 0


def test_a_method_that_takes_what_was_made_before_is_reckoned_with_that(tmp_path: Path) -> None:
    both = [SPREAD, {**EVOLVED, "rounds": 1, "of": "all"}]
    found, run = forecast_and_run(seeds_alone(tmp_path, both))
    spread, evolved = found.parts
    assert evolved.whole.units == 40 + round(spread.whole.examples)
    assert found.whole.requests == spread.whole.requests + evolved.whole.requests
    asked = run.stages()["synthesis/a"]["notes"]["requests"]
    assert found.whole.requests == pytest.approx(asked, rel=0.25)
    capped = [SPREAD, {**EVOLVED, "rounds": 1, "of": "all", "limit": 50}]
    found, _ = forecast_and_run(seeds_alone(tmp_path / "capped", capped))
    assert found.parts[1].whole.units == 50


def test_documents_and_seeds_of_one_arm_are_drawn_out_apart(tmp_path: Path) -> None:
    arm = {"examples": [{"method": "document_qa"}, SPREAD]}
    recipe = write_data_study(tmp_path, arms={"a": arm}, seeds={"path": "seeds.jsonl"})
    found, run = forecast_and_run(recipe, (1, 2))
    assert [part.unit for part in found.parts] == ["documents", "instructions"]
    assert found.whole.requests == run.stages()["synthesis/a"]["notes"]["requests"]


def test_the_built_in_instruction_set_has_a_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEICHAKU_LANG", "en")
    monkeypatch.setenv("COLUMNS", "200")
    swap = ["--set", "teacher={backend: scripted}", "--runs", str(tmp_path / "runs")]
    told = CliRunner().invoke(app, ["forecast", "instruction-set", *swap, "--sizes", "1", "2"])
    assert told.exit_code == 0, told.output
    for text in ("domain_spread: 12 instructions", "self_instruct: 12 new", "all", "the judge"):
        assert text in told.output


def test_tokens_times_their_price_are_the_price(tmp_path: Path) -> None:
    recipe = load_recipe(priced(tmp_path))
    (found,) = forecast(recipe, tmp_path, Silent(), (1, 3), tmp_path / "cache.sqlite")
    part = only_part(found)
    for cost in (*part.samples, part.whole, found.whole):
        expected = (2.0 * cost.prompt_tokens + 10.0 * cost.completion_tokens) / 1e6
        assert cost.price == pytest.approx(expected)


def test_samples_that_are_in_the_cache_tell_the_time_by_what_the_cache_knows(
    tmp_path: Path,
) -> None:
    recipe, cache = load_recipe(priced(tmp_path)), tmp_path / "cache.sqlite"
    (first,) = forecast(recipe, tmp_path, Silent(), (2, 4), cache)
    (second,) = forecast(recipe, tmp_path, Silent(), (2, 4), cache)
    assert second.whole.requests == first.whole.requests
    with RequestCache(cache) as opened:
        speed = opened.speed("scripted:scripted")
    assert speed is not None and second.whole.seconds is not None
    for seconds in second.whole.seconds:
        assert seconds == pytest.approx(second.whole.completion_tokens / speed)


def test_a_small_sample_does_not_promise_what_only_many_requests_at_once_could_hold() -> None:
    whole = Cost(1000, 1000.0, 0.0, 100_000.0, 0.0, 0.0)
    sample = Pace(tokens=60.0, at_once=6.0)
    fewest, most = expected_seconds(whole, sample, None, room=256.0) or (0.0, 0.0)
    assert most == pytest.approx(100_000 / 60)
    assert fewest == pytest.approx(most * 6 / 256)
    # What was seen before the sample counts, whichever way.
    assert expected_seconds(whole, sample, 10.0, 6.0) == pytest.approx((100_000 / 60, 10_000))
    assert expected_seconds(whole, sample, 500.0, 6.0) == pytest.approx((200, 100_000 / 60))
    assert expected_seconds(whole, None, 500.0, 256.0) == pytest.approx((200, 200))
    assert expected_seconds(whole, None, None, 256.0) is None
    # One request at a time is one, however many wait.
    assert expected_seconds(whole, sample, None, 1.0) == pytest.approx((100_000 / 60,) * 2)


def test_every_server_has_room_for_its_own_requests(tmp_path: Path) -> None:
    server = "{backend: http, model: m, max_concurrency: 8, base_url: [http://a/v1, http://b/v1]}"
    recipe = write_data_study(tmp_path)
    assert requests_at_once(load_recipe(recipe, None, [f"teacher={server}"])) == 16
    assert requests_at_once(load_recipe(recipe)) == 1


@pytest.mark.parametrize("sizes", [(6, 2), (0, 0), (-1, 3), (0, 4), (3, 3)])
def test_sizes_that_do_not_grow_from_one_are_refused(
    tmp_path: Path, sizes: tuple[int, int]
) -> None:
    recipe = load_recipe(write_study(tmp_path))
    with pytest.raises(UserError, match=f"samples of {sizes[0]} and {sizes[1]}"):
        forecast(recipe, tmp_path, Silent(), sizes, tmp_path / "cache.sqlite")


def test_more_documents_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    recipe = load_recipe(write_study(tmp_path))
    (found,) = forecast(recipe, tmp_path, Silent(), (50, 60), tmp_path / "cache.sqlite")
    assert (only_part(found).whole.units, found.whole.requests) == (3, 3)


def test_a_forecast_leaves_nothing_where_the_run_will_be(tmp_path: Path) -> None:
    recipe, runs = load_recipe(write_study(tmp_path)), tmp_path / "runs"
    forecast(recipe, tmp_path, Silent(), (1, 2), tmp_path / "cache.sqlite", runs)
    assert not runs.exists()


def test_what_a_sample_will_ask_is_told_before_it_begins(tmp_path: Path) -> None:
    out, recipe = io.StringIO(), load_recipe(seeds_alone(tmp_path, [SPREAD]))
    forecast(recipe, tmp_path, Plain(out), (1, 2), tmp_path / "cache.sqlite")
    assert "▶ forecast/a: domain_spread, 2 instructions: 6 requests (about 6 " in out.getvalue()


def failing(share: int) -> Any:
    """A teacher of which every so many-th request fails."""
    asked = itertools.count(1)

    def script(request: Request) -> str:
        if next(asked) % share == 0:
            raise scripted.ScriptedError("404: there is no model 'teacher'")
        return scripted_teacher(request)

    return script


def test_a_forecast_of_nothing_but_failures_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "scripted_teacher", failing(1))
    recipe = load_recipe(write_study(tmp_path))
    with pytest.raises(UserError, match="404: there is no model"):
        forecast(recipe, tmp_path, Silent(), (1, 2), tmp_path / "cache.sqlite")


def test_failed_requests_are_told_beside_what_is_drawn_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEICHAKU_LANG", "en")
    monkeypatch.setattr(scripted, "scripted_teacher", failing(2))
    shown = CliRunner().invoke(app, ["forecast", str(priced(tmp_path)), "--sizes", "2", "6"])
    assert shown.exit_code == 0
    assert "failed for good (404: there is no model 'teacher')" in shown.output
    assert "requests of the samples failed" in shown.output


def test_what_will_be_asked_and_what_fell_is_told_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    recipe, out = load_recipe(priced(tmp_path)), io.StringIO()
    (tmp_path / "docs" / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    forecast(recipe, tmp_path, Plain(out), (2, 6), tmp_path / "cache.sqlite")
    lines = out.getvalue().splitlines()
    read = next(place for place, line in enumerate(lines) if line.startswith("✔ documents: 16"))
    assert "15 out, 1 dropped (" in lines[read]
    assert lines[read + 1].startswith(
        "  forecast/qa, 6 of 15 documents: 6 requests to send, 0 from the cache"
    )
    assert lines[read + 2].startswith("▶ forecast/qa: 2 documents")


def test_a_price_is_shown_with_its_currency_or_not_at_all(tmp_path: Path) -> None:
    def told(recipe: Path) -> str:
        shown = CliRunner().invoke(app, ["forecast", str(recipe), "--sizes", "1", "2"])
        assert shown.exit_code == 0, shown.output
        assert "training, evaluation" in shown.output
        return shown.output

    assert "price (USD)" in told(priced(tmp_path / "priced"))
    boats_alone = write_study(tmp_path / "free")
    assert "No price is stated for the teacher, so none is shown." in told(boats_alone)


def test_an_arm_of_seeds_beside_documents_is_sampled_by_its_seeds_alone(tmp_path: Path) -> None:
    arms = {"a": {"examples": [SPREAD]}}
    recipe = load_recipe(write_data_study(tmp_path, arms=arms, seeds={"path": "seeds.jsonl"}))
    out = io.StringIO()
    forecast(recipe, tmp_path, Plain(out), (1, 2), tmp_path / "cache.sqlite")
    assert "documents: 0 requests" not in out.getvalue()
    assert out.getvalue().count("✔ forecast/a: ") == 2
