"""Answers to a benchmark's items as judges are shown them."""

import pytest

from made import question
from teichaku.core.records import Answer, Reply, Request
from teichaku.evaluation.benchmarks.rows import Item, items_of
from teichaku.evaluation.judging.exchanges import (
    Exchange,
    benchmark_exchanges,
    failure,
    reason_of,
)


def item(name: str, conversation: str = "", turn: int = 0, criteria: str = "") -> Item:
    asked = question(f"{name}？", "", id=name, kind="control", passage_id="")
    return Item(asked, ("",), conversation=conversation, turn=turn, criteria=criteria)


def answer(of: str, arm: str = "base", error: str = "") -> Answer:
    return Answer(f"{arm}-{of}", of, arm, "base", "closed_book", f"{arm}の{of}", error=error)


ITEMS = [item("q1", "c"), item("q2", "c", 1), item("alone", criteria="- 一点減点")]


def test_a_later_turn_comes_with_the_one_before_of_the_same_arm() -> None:
    answers = [answer(name, arm) for name in ("q1", "q2", "alone") for arm in ("base", "tuned")]
    found = {e.answer.id: e for e in benchmark_exchanges(answers, ITEMS)}
    assert len(found) == 6
    second = found["tuned-q2"]
    assert second.before is not None
    assert (second.before.answer.id, second.turns) == ("tuned-q1", 2)
    assert (found["base-alone"].criteria, found["base-alone"].before) == ("- 一点減点", None)


def test_what_followed_a_failed_turn_has_failed() -> None:
    found = benchmark_exchanges([answer("q1", error="down"), answer("q2")], ITEMS)
    assert [exchange.failed for exchange in found] == [True, True]


def test_a_turn_whose_first_is_missing_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        benchmark_exchanges([answer("q2")], ITEMS)


def test_conversations_of_three_turns_are_refused() -> None:
    first = Exchange(ITEMS[0].question, answer("q1"))
    second = Exchange(ITEMS[1].question, answer("q2"), before=first)
    with pytest.raises(ValueError, match="3 turns"):
        Exchange(ITEMS[1].question, answer("q2"), before=second)


@pytest.mark.parametrize("name", ["mt_bench_ja", "mt_bench_en"])
def test_every_conversation_of_mt_bench_has_two_turns(name: str) -> None:
    items = items_of(name)
    found = benchmark_exchanges([answer(item.question.id) for item in items], items)
    assert sorted(exchange.turns for exchange in found) == [1] * 80 + [2] * 80


@pytest.mark.parametrize(
    ("text", "ended", "error", "reason"),
    [
        ("", "stop", "down", "request_failed"),
        # A server that keeps the thinking to itself leaves nothing of it.
        ("", "length", "", "cut_reply"),
        ("<think>点は", "length", "", "cut_reply"),
        (" ", "stop", "", "empty_reply"),
        ("よい回答です。", "stop", "", "unparseable_reply"),
    ],
)
def test_a_reply_without_a_mark_says_why(text: str, ended: str, error: str, reason: str) -> None:
    reply = Reply(Request(()), text, ended, error=error)
    assert reason_of(failure(reply, "no valid score")) == reason
