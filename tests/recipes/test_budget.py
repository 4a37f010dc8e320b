"""A run never spends more than it may, and goes on where it stopped."""

import random
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from studies import final_files, run_study, write_study
from teichaku.backends import scripted
from teichaku.backends.cache import CachedModel, RequestCache
from teichaku.backends.scripted import ScriptedModel
from teichaku.cli import app
from teichaku.core.errors import UserError
from teichaku.core.records import Message, Reply, Request, Sampling
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.budget import BudgetedModel, BudgetSpentError, Spending, price_of
from teichaku.recipes.fictional import write_fictional
from teichaku.recipes.forecast import forecast
from teichaku.recipes.load import load_recipe
from teichaku.recipes.model_schema import Price
from teichaku.recipes.progress import Silent
from teichaku.recipes.run import Options, run_recipe
from teichaku.recipes.schema import Budget

PRICE = Price(input=1.0, output=4.0)


def asked(number: int) -> Request:
    return Request((Message("user", "定" * 100),), Sampling(max_tokens=50), sample_index=number)


def spending(folder: Path, **limit: float) -> Spending:
    cache = RequestCache(folder / "requests.sqlite")
    return Spending(Budget.model_validate(limit), cache, folder / "run")


class Parallel:
    """Keeps eight requests on their way; every reply has 100 tokens of prompt and 20 beyond."""

    identity = "parallel"

    def __init__(self) -> None:
        self.most = 0

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        on_the_way: list[Request] = []
        for request in requests:
            if request is not None:
                on_the_way.append(request)
                self.most = max(self.most, len(on_the_way))
            elif not on_the_way:
                return
            if on_the_way and (request is None or len(on_the_way) == 8):
                yield Reply(on_the_way.pop(0), "答", "stop", 100, 20)
        yield from (Reply(request, "答", "stop", 100, 20) for request in on_the_way)


@pytest.mark.parametrize(
    "limit", [{"tokens": 1000}, {"price": 0.0017}, {"tokens": 10**6, "price": 0.0017}]
)
def test_no_request_is_sent_that_could_go_beyond_the_budget(
    tmp_path: Path, limit: dict[str, float]
) -> None:
    spent = spending(tmp_path, **limit)
    replies = []
    with pytest.raises(BudgetSpentError, match="spent"):
        for reply in BudgetedModel(Parallel(), PRICE, spent).generate(map(asked, range(100))):
            replies.append(reply)
    assert spent.tokens == 120 * len(replies)
    assert spent.price == pytest.approx(len(replies) * price_of(PRICE, 100, 20))
    assert spent.tokens <= limit.get("tokens", 10**6)
    assert spent.price <= limit.get("price", 1)
    assert len(replies) >= 5


@pytest.mark.parametrize("limit", [{"tokens": 1000}, {"price": 0.0017}])
def test_a_server_that_tells_no_usage_is_charged_the_most_that_its_replies_can_cost(
    tmp_path: Path, limit: dict[str, float]
) -> None:
    class Silent(Parallel):
        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            for reply in super().generate(requests):
                yield replace(reply, prompt_tokens=0, completion_tokens=0)

    spent = spending(tmp_path, **limit)
    with RequestCache(tmp_path / "requests.sqlite") as cache:
        model = BudgetedModel(Silent(), PRICE, spent)
        kept = CachedModel(model, cache, lambda reply: spent.charge(PRICE, reply))
        with pytest.raises(BudgetSpentError):
            for _ in kept.generate(map(asked, range(100))):
                pass
        cache.flush()
        # 100 characters of prompt, and 50 tokens at most.
        assert spent.tokens % 150 == 0
        assert 0 < spent.tokens <= 1000
        assert cache.spent(str((tmp_path / "run").resolve()))[0] == spent.tokens
    failed = Reply(asked(0), "", error="400")
    assert spent.charge(PRICE, failed).tokens == 0


def test_without_a_limit_nothing_is_held_back(tmp_path: Path) -> None:
    model = Parallel()
    replies = list(BudgetedModel(model, PRICE, spending(tmp_path)).generate(map(asked, range(40))))
    assert len(replies) == 40
    assert model.most == 8


def test_a_request_that_waits_for_a_reply_still_waits(tmp_path: Path) -> None:
    spent = spending(tmp_path, tokens=10_000)
    model = BudgetedModel(ScriptedModel(lambda _: "答"), PRICE, spent)
    assert len(list(model.generate([asked(0), None, asked(1)]))) == 1


def test_a_run_stops_at_its_budget_and_goes_on_to_the_same_files(tmp_path: Path) -> None:
    whole = write_study(tmp_path / "whole")
    expected = final_files(run_study(whole))
    recipe = write_study(tmp_path / "halted")
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(f"{text}budget: {{tokens: 3500}}\n", encoding="utf-8")
    with pytest.raises(BudgetSpentError):
        run_study(recipe)
    recipe.write_text(f"{text}budget: {{tokens: 3600}}\n", encoding="utf-8")
    with pytest.raises(BudgetSpentError, match="of 3,600 tokens"):
        run_study(recipe)
    recipe.write_text(text, encoding="utf-8")
    found = final_files(run_study(recipe))
    assert {n: h for n, h in found.items() if n != "recipe.yaml"} == {
        n: h for n, h in expected.items() if n != "recipe.yaml"
    }


def test_replies_in_any_order_free_what_was_held_for_them_and_no_more(tmp_path: Path) -> None:
    draws = random.Random(0)

    class AnyOrder(Parallel):
        def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            on_the_way: list[Request] = []
            for request in requests:
                if request is not None:
                    on_the_way.append(request)
                    self.most = max(self.most, len(on_the_way))
                elif not on_the_way:
                    return
                while on_the_way and (request is None or len(on_the_way) > draws.randrange(16)):
                    place = draws.randrange(len(on_the_way))
                    yield Reply(on_the_way.pop(place), "答", "stop", 100, draws.randrange(50))
                    request = on_the_way[0] if on_the_way else None
            yield from (Reply(request, "答", "stop", 100, 20) for request in on_the_way)

    model, spent = AnyOrder(), spending(tmp_path, tokens=30_000, price=1.0)
    replies = []
    with pytest.raises(BudgetSpentError):
        for reply in BudgetedModel(model, PRICE, spent).generate(map(asked, range(1000))):
            replies.append(reply)
    assert 30_000 - 200 < spent.tokens <= 30_000
    assert spent.tokens == sum(r.prompt_tokens + r.completion_tokens for r in replies)
    assert model.most > 8


def test_a_run_without_a_limit_has_nothing_between_it_and_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BudgetedModel, "generate", None)
    run = run_study(write_study(tmp_path))
    # What it spent is known all the same: a limit may come later.
    assert run.read_json("spending.json")["tokens"] > 0


def test_what_was_spent_goes_with_a_reply_into_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    with RequestCache(path) as cache:
        spent = Spending(Budget(), cache, tmp_path / "run")
        model = CachedModel(Parallel(), cache, lambda reply: spent.charge(PRICE, reply))
        replies = model.generate(map(asked, range(20)))
        # The process ends here, without a word to the account.
        assert len([next(replies) for _ in range(7)]) == 7
    with RequestCache(path) as cache:
        again = Spending(Budget(), cache, tmp_path / "run")
        assert again.tokens == 7 * 120
        assert again.price == pytest.approx(7 * price_of(PRICE, 100, 20))
        assert Spending(Budget(), cache, tmp_path / "another").tokens == 0


def test_a_moved_run_takes_along_what_it_spent(tmp_path: Path) -> None:
    recipe = write_study(tmp_path / "here")
    before = run_study(recipe).read_json("spending.json")["tokens"]
    shutil.move(tmp_path / "here", tmp_path / "there")
    recipe = tmp_path / "there" / "recipe.yaml"
    for _ in range(2):
        assert run_study(recipe).read_json("spending.json")["tokens"] == before
    text = recipe.read_text(encoding="utf-8")
    (recipe.parent / "docs" / "new.md").write_text(
        "---\ntitle: 白鷺\n---\n定員：30人\n料金：400円\n"
    )
    recipe.write_text(f"{text}budget: {{tokens: {before}}}\n", encoding="utf-8")
    with pytest.raises(BudgetSpentError, match=f"{before:,} of {before:,} tokens"):
        run_study(recipe)


def limited(folder: Path, tokens: int) -> Path:
    recipe = write_study(folder)
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(f"{text}budget: {{tokens: {tokens}}}\n", encoding="utf-8")
    return recipe


def test_a_forecast_spends_the_budget_of_its_run(tmp_path: Path) -> None:
    recipe, cache = load_recipe(limited(tmp_path, 4000)), tmp_path / "cache.sqlite"
    runs = tmp_path / "runs"
    with pytest.raises(BudgetSpentError, match="boats"):
        forecast(load_recipe(limited(tmp_path, 1000)), tmp_path, Silent(), (1, 2), cache, runs)
    forecast(recipe, tmp_path, Silent(), (1, 2), cache, runs)
    with RequestCache(cache) as opened:
        spent = opened.spent(str((runs / "boats").resolve()))[0]
    assert 0 < spent <= 4000
    with pytest.raises(BudgetSpentError, match="of 4,000"):
        run_recipe(recipe, tmp_path, Silent(), Options(runs, cache))
    assert spent < RunFolder(runs / "boats").read_json("spending.json")["tokens"] <= 4000


def test_a_run_that_is_refused_charges_nothing(tmp_path: Path) -> None:
    recipe = write_study(tmp_path / "here")
    run_study(recipe)
    shutil.move(tmp_path / "here", tmp_path / "there")
    recipe, moved = tmp_path / "there" / "recipe.yaml", tmp_path / "there" / "runs" / "boats"
    with RunFolder(moved).working(), pytest.raises(UserError, match="Another run"):
        run_study(recipe)
    with RequestCache(tmp_path / "there" / "cache" / "requests.sqlite") as cache:
        assert cache.spent(str(moved.resolve())) == (0, 0.0)


def test_who_begins_a_run_anew_is_told_why_it_does_not_begin_at_zero(tmp_path: Path) -> None:
    recipe = limited(tmp_path, 3500)
    with pytest.raises(BudgetSpentError):
        run_study(recipe)
    shutil.rmtree(tmp_path / "runs")
    with pytest.raises(BudgetSpentError) as caught:
        run_study(recipe)
    assert "another 'name' begins at zero" in caught.value.hint


def test_nobody_else_spends_a_limited_budget_meanwhile(tmp_path: Path) -> None:
    recipe, runs = load_recipe(limited(tmp_path, 9000)), tmp_path / "runs"
    with RunFolder(runs / "boats").working(), pytest.raises(UserError, match="Another run"):
        forecast(recipe, tmp_path, Silent(), (1, 2), tmp_path / "cache.sqlite", runs)


def test_fictional_documents_spend_in_the_folder_of_runs_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    recipe = limited(tmp_path, 10**6)
    arguments = ["--documents", "5", "--teacher", str(recipe), "--runs", str(tmp_path / "all")]
    told = CliRunner().invoke(app, ["fictional", "study", *arguments])
    assert told.exit_code == 0, told.output
    assert not (tmp_path / "work" / "runs").exists()
    with RequestCache(tmp_path / "home" / "requests.sqlite") as cache:
        assert cache.spent(str((tmp_path / "all" / "boats").resolve()))[0] > 0


def test_fictional_documents_of_a_teacher_spend_the_budget_of_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(request: Request) -> str:
        sent.append(request)
        return "分かりません。"

    sent: list[Any] = []
    monkeypatch.setenv("TEICHAKU_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(scripted, "scripted_teacher", script)
    recipe = limited(tmp_path, 4000)
    with pytest.raises(BudgetSpentError, match="boats"):
        write_fictional(
            tmp_path / "study", 20, teacher=str(recipe), progress=Silent(), runs=tmp_path / "runs"
        )
    assert len(sent) < 20
