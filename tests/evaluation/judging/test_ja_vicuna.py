"""The 480 verdicts that ship with the Japanese Vicuna QA Benchmark, counted as it counts them,
and its two known bugs beside what is right.
"""

from collections import Counter
from statistics import fmean
from typing import Any

import pytest

from made import question
from teichaku.core.records import Comparison, Judgement, Question
from teichaku.evaluation.benchmarks.catalogue import benchmark, read_rows
from teichaku.evaluation.judging.marks import marks_by_answer
from teichaku.evaluation.judging.trust import length_preference, order_consistency
from teichaku.evaluation.judging.verdicts import PairSummary, summarise_pairs, verdicts

SHIPPED: list[dict[str, Any]] = read_rows(benchmark("ja_vicuna_qa"), "verdicts")
BASELINE = "openai--text-davinci-003"
#: Wins, losses and ties of each model by the benchmark's own rule.
COUNTS = {
    "cyberagent--calm2-7b-chat": (56, 12, 12),
    "llm-jp--llm-jp-13b-instruct-full-jaster-dolly-oasst-v1.0": (8, 66, 6),
    "llm-jp--llm-jp-13b-instruct-lora-jaster-dolly-oasst-v1.0": (22, 48, 10),
    "rinna--japanese-gpt-neox-3.6b-instruction-ppo": (11, 60, 9),
    "rinna--japanese-gpt-neox-3.6b-instruction-sft-v2": (7, 65, 8),
    "tokyotech-llm--Swallow-70b-instruct-hf": (37, 34, 9),
}


def answer_id(model: str, row: dict[str, Any]) -> str:
    """Each model was asked each question once; the baseline's answers are told apart by pair."""
    other = row["model_1"] if model == row["model_2"] else row["model_2"]
    return f"{model} to {row['question_id']} beside {other}"


def comparisons(row: dict[str, Any]) -> list[Comparison]:
    """A shipped row as the two comparisons that it was: model_1 is shown first in game 1."""
    one, other = (answer_id(row[side], row) for side in ("model_1", "model_2"))
    made = []
    for game, (first, second) in (("g1", (one, other)), ("g2", (other, one))):
        named = row[f"{game}_winner"]
        places = {"model_1": one, "model_2": other}
        winner = {first: "first", second: "second"}.get(places.get(named, ""), named)
        error = "" if winner != "error" else "unparseable_reply: neither [[A]], [[B]] nor [[C]]"
        made.append(
            Comparison(
                f"{one} {game}",
                str(row["question_id"]),
                first,
                second,
                row["judge_model"],
                row["judge_prompt"],
                None if error else winner,
                "",
                error=error,
            )
        )
    return made


def unified(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One protocol: the prompt for questions with a reference is part of it."""
    return [{**row, "judge_prompt": "pair"} for row in rows]


ROWS = [comparison for row in unified(SHIPPED) for comparison in comparisons(row)]
VERDICTS = verdicts(ROWS)
MODELS = {answer_id(row[s], row): row[s] for row in SHIPPED for s in ("model_1", "model_2")}
LENGTHS = {answer_id(r[f"model_{s}"], r): r[f"len_{s}"] for r in SHIPPED for s in (1, 2)}
QUESTIONS: dict[str, Question] = {
    str(n): question(f"問{n}", "", id=str(n), document_id=str(n)) for n in range(1, 81)
}


def summary(model: str) -> PairSummary:
    (found,) = summarise_pairs(VERDICTS, MODELS, QUESTIONS, model, BASELINE)
    return found


def published_counts(rows: list[dict[str, Any]], model: str) -> tuple[int, int, int]:
    """Wins, losses and ties as ``show_result.py`` counts them, its bug 3 included: two replies
    that could not be parsed are equal, not a tie and not ``model_1``, so ``model_2`` wins.
    """
    counts: Counter[str] = Counter()
    for row in rows:
        if model not in (row["model_1"], row["model_2"]):
            continue
        if row["g1_winner"] == "tie" or row["g1_winner"] != row["g2_winner"]:
            counts["tie"] += 1
        else:
            winner = row["model_1"] if row["g1_winner"] == "model_1" else row["model_2"]
            counts["win" if winner == model else "loss"] += 1
    return counts["win"], counts["loss"], counts["tie"]


@pytest.mark.parametrize("model", sorted(COUNTS))
def test_the_shipped_win_rates_come_out(model: str) -> None:
    found = summary(model)
    assert (found.wins, found.losses, found.ties) == COUNTS[model]
    assert published_counts(SHIPPED, model) == COUNTS[model]
    wins, losses, ties = COUNTS[model]
    assert (found.pairs, found.failed) == (80, 0)
    assert found.win_rate == wins / 80
    assert found.loss_rate == losses / 80
    assert found.adjusted is not None
    assert found.adjusted.value == pytest.approx((wins + ties / 2) / 80)
    assert found.adjusted.low is not None
    assert found.adjusted.high is not None
    assert found.adjusted.low < found.adjusted.value < found.adjusted.high


def test_a_rate_that_the_benchmark_published_is_the_same() -> None:
    """Its README of 2023 gives 0.2750, 0.6000 and 0.33750 for llm-jp's LoRA model."""
    found = summary("llm-jp--llm-jp-13b-instruct-lora-jaster-dolly-oasst-v1.0")
    assert found.adjusted is not None
    assert (found.win_rate, found.loss_rate) == (0.275, 0.6)
    assert found.adjusted.value == pytest.approx(0.3375)


def test_the_orders_agree_as_measured() -> None:
    found = order_consistency(VERDICTS, QUESTIONS)
    assert found is not None
    assert (found.pairs, found.agreeing) == (480, 432)
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0.81, abs=0.005)
    assert found.kappa.low is not None
    assert 0.7 < found.kappa.low < found.kappa.value
    assert (found.flips_to_first, found.flips_to_second) == (4, 23)
    assert found.first_won is not None
    assert found.first_won.high is not None
    assert found.first_won.value < 0.5, "this judge favours the second place"
    flips = sum(summary(model).flips for model in COUNTS)
    assert (flips, sum(summary(model).disagreements for model in COUNTS)) == (27, 48)


def test_the_longer_answer_won_as_often_as_measured() -> None:
    found = length_preference(VERDICTS, LENGTHS, QUESTIONS)
    assert (found.decisions, found.longer_won, found.same_length) == (425, 340, 1)
    assert found.share is not None
    assert found.share.value == 0.8
    assert found.share.low is not None
    assert found.share.low > 0.5


def test_bug_two_errors_make_the_second_model_win_and_here_nobody() -> None:
    row = {**SHIPPED[0], "g1_winner": "error", "g2_winner": "error"}
    model, other = row["model_1"], row["model_2"]
    assert published_counts([row], model) == (0, 1, 0)
    assert published_counts([row], other) == (1, 0, 0)
    (verdict,) = verdicts(comparisons(row))
    assert (verdict.winner, verdict.error) == (None, "unparseable_reply")
    (found,) = summarise_pairs([verdict], MODELS, QUESTIONS, other, model)
    assert (found.wins, found.ties, found.losses, found.failed) == (0, 0, 0, 1)


def test_bug_one_error_makes_a_tie_and_here_no_verdict() -> None:
    row = {**SHIPPED[0], "g1_winner": "model_1", "g2_winner": "error"}
    assert published_counts([row], row["model_1"]) == (0, 0, 1)
    (verdict,) = verdicts(comparisons(row))
    assert verdict.winner is None


def test_bug_a_mark_that_was_not_read_counts_as_minus_one_and_here_as_none() -> None:
    marks = [8, -1, 7]
    assert fmean(marks) == pytest.approx(14 / 3), "what the benchmark's single mode prints"
    rows = [
        Judgement(str(i), str(i), "gpt-4", "single", None if mark == -1 else mark, "")
        for i, mark in enumerate(marks)
    ]
    (given,) = marks_by_answer(rows).values()
    assert fmean(mark for mark in given.values() if mark is not None) == 7.5
    assert list(given.values()).count(None) == 1
