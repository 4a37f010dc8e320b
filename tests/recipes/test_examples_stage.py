"""What the making of examples tells and keeps."""

import io
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from studies import run_study, write_data_study
from teichaku.backends import scripted
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Request
from teichaku.recipes.examples_stage import Collected
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Plain, Silent
from teichaku.recipes.run import Options, run_recipe
from teichaku.recipes.workshop import Workshop

TEACHER = scripted.scripted_teacher


def fallen(reason: str, kind: str = "Example", raw: str = "答") -> Dropped:
    return Dropped("one", kind, "synthesis", reason, "why", raw=raw)


def test_two_falls_of_one_place_both_stand_in_an_order_of_their_own() -> None:
    falls = [fallen("too_similar"), fallen("truncated"), fallen("truncated", raw="別"),
             fallen("truncated")]  # fmt: skip
    orders = []
    for order in permutations(falls):
        made = Collected()
        made.take(order)
        orders.append(made.all_fallen())
    assert len(orders[0]) == 4
    assert all(order == orders[0] for order in orders)


def test_a_list_of_facts_that_two_methods_asked_for_falls_once() -> None:
    made = Collected()
    made.take([fallen("duplicate_fact", "Fact"), fallen("duplicate_fact", "Fact")])
    made.take([fallen("duplicate_fact", "Fact", raw="別"), fallen("cut_off", "Fact")])
    assert sorted((d.reason, d.raw) for d in made.all_fallen()) == [
        ("cut_off", "答"), ("duplicate_fact", "別"), ("duplicate_fact", "答"),
    ]  # fmt: skip


def test_methods_that_share_a_list_of_facts_lose_its_faults_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def teacher(request: Request) -> str:
        reply = TEACHER(request)
        return f"{reply}\n9. 月まで999日かかる。" if "fact_listing" in request.prompt else reply

    monkeypatch.setattr(scripted, "scripted_teacher", teacher)
    arm = {"examples": [{"method": "facts"}, {"method": "reverse"}]}
    run = run_study(write_data_study(tmp_path, arms={"a": arm}))
    rows = list(run.stage("synthesis/a").read("dropped", Dropped))
    assert sum(row.reason == "fact_not_supported" for row in rows) == 3


def told_by(recipe: Path) -> list[str]:
    """The lines of a run's progress that begin a stage."""
    out, folder = io.StringIO(), recipe.parent
    options = Options(folder / "runs", folder / "cache.sqlite")
    run_recipe(load_recipe(recipe), folder, Plain(out, every_seconds=0), options)
    return out.getvalue().splitlines()


SEED_METHODS: list[tuple[dict[str, Any], int]] = [
    ({"method": "domain_spread", "per_seed": 4}, 2 * 4),
    ({"method": "domain_spread", "per_seed": None, "limit": 1}, 42),
    ({"method": "evol_instruct", "rounds": 2}, 2 * 2 * 3),
    ({"method": "self_instruct", "instructions": 15}, 3 + 15 + 15),
]


@pytest.mark.parametrize(("method", "requests"), SEED_METHODS)
def test_a_method_over_instructions_tells_about_how_much_it_will_ask(
    tmp_path: Path, method: dict[str, Any], requests: int
) -> None:
    recipe = write_data_study(
        tmp_path,
        arms={"a": {"examples": [method]}},
        documents=None,
        seeds={"path": "seeds.jsonl"},
    )
    (begun,) = (line for line in told_by(recipe) if line.startswith("▶ synthesis/a"))
    assert f"{method['method']}: {requests} requests (about {requests} requests" in begun


def test_judging_is_reckoned_from_the_examples_and_the_judged_filters(tmp_path: Path) -> None:
    def told(curation: list[Any]) -> tuple[int | None, str]:
        recipe = load_recipe(write_data_study(tmp_path, curation=curation))
        workshop = Workshop(recipe, PromptPack("ja"), Silent(), tmp_path / "cache.sqlite")
        try:
            workshop.cache.record_speed("scripted:scripted", 700, 0, 10.0)
            return workshop.judging_estimate(50)
        finally:
            workshop.close()

    assert told(["duplicates", "grounded"]) == (None, "")
    screened = told(["duplicates", {"name": "magpie_screen"}])
    assert screened == (50, "at most 50 requests, about 50 s at 70 tokens/s")
    assert told([{"name": "magpie_screen"}, {"name": "grounded", "judge": True}])[0] == 100
