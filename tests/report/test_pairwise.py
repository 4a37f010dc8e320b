"""Ratings are shown where they say more than win rates, and with no more certainty than these."""

from itertools import pairwise

import pytest

from made import passage, question
from teichaku.core.records import Answer, Question
from teichaku.evaluation.judging.verdicts import PairVerdict
from teichaku.report.judging import Compared
from teichaku.report.pairwise import _ratings


def played(documents: int, arms: str) -> tuple[list[PairVerdict], Compared]:
    """The first of every two arms wins two of three questions about each document."""
    rows: list[PairVerdict] = []
    answers: dict[str, Answer] = {}
    questions: dict[str, Question] = {}
    for number in range(documents):
        for turn in range(3):
            of = question(f"{number}-{turn}？", "はい", passage(document=f"d{number}"))
            questions[of.id] = of
            own = [
                Answer(f"{of.id}{arm}", of.id, arm, "base", "closed_book", arm * (turn + 1))
                for arm in arms
            ]
            answers |= {answer.id: answer for answer in own}
            for one, other in pairwise(own):
                winner = (one if turn else other).id
                pair = (min(one.id, other.id), max(one.id, other.id))
                rows.append(PairVerdict(of.id, "judge", "p", pair, winner, (winner,), ""))
    return rows, Compared([], [], answers, questions)


@pytest.mark.parametrize(("documents", "has_ends"), [(4, False), (5, True)])
def test_few_documents_give_ratings_no_intervals(documents: int, has_ends: bool) -> None:
    rows, found = played(documents, "abc")
    arms = {answer.id: answer.arm for answer in found.answers.values()}
    rated = _ratings(rows, found, arms)
    assert rated is not None
    assert (rated["documents"], rated["few_documents"]) == (documents, not has_ends)
    figures = [player[name] for player in rated["players"] for name in ("rating", "controlled")]
    figures.append(rated["length_effect"])
    assert [figure["low"] is not None for figure in figures] == [has_ends] * 7
    assert [figure["high"] is not None for figure in figures] == [has_ends] * 7


def test_two_arms_are_not_rated() -> None:
    rows, found = played(6, "ab")
    assert _ratings(rows, found, {a.id: a.arm for a in found.answers.values()}) is None
