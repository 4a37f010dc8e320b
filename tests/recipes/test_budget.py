"""A run never spends more than it may, and goes on where it stopped."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from studies import final_files, run_study, write_study
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.records import Message, Reply, Request, Sampling
from teichaku.recipes.budget import BudgetedModel, BudgetSpentError, Spending, price_of
from teichaku.recipes.schema import Budget, Price

PRICE = Price(input=1.0, output=4.0)


def asked(number: int) -> Request:
    return Request((Message("user", "定" * 100),), Sampling(max_tokens=50), sample_index=number)


def spending(folder: Path, **limit: float) -> Spending:
    return Spending(Budget.model_validate(limit), folder / "spending.json")


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
