"""What may be said, and what must not be said, in each situation."""

import pytest

from teichaku.report.sentences import sentences
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate
from teichaku.report.verdict import Verdict, decide
from teichaku.report.wording import Wording


def found(value: float, low: float | None, high: float | None, n: int = 40) -> Estimate:
    return Estimate(value, low, high, n, 8, 0)


UP, SAME, DOWN = found(0.4, 0.3, 0.5), found(0.01, -0.1, 0.1), found(-0.3, -0.4, -0.2)
FEW = Estimate(0.5, 0.1, 0.9, 6, 3, 0)
LEVEL = found(0.5, 0.4, 0.6)


def cell(kind: str, difference: Estimate | None, condition: str = "closed_book") -> Cell:
    return Cell(kind, condition, "containment", LEVEL, LEVEL if difference else None, difference)


def gaps(difference: Estimate) -> list[Cell]:
    kinds = ("trained", "held_out", "unseen", "all")
    return [cell(kind, difference, "open_book") for kind in kinds]


@pytest.mark.parametrize(
    ("rows", "gap", "outcome", "decision"),
    [
        ({"trained": UP, "held_out": UP}, SAME, "learnt", "train"),
        ({"trained": UP, "held_out": UP}, DOWN, "learnt", "train"),
        ({"trained": UP, "held_out": UP}, UP, "learnt", "retrieve"),
        ({"trained": UP, "held_out": SAME, "unseen": UP}, SAME, "wording_only", "not_yet"),
        ({"trained": UP, "held_out": SAME}, UP, "wording_only", "retrieve"),
        ({"trained": UP}, SAME, "wording_untested", "undecided"),
        ({"trained": UP, "held_out": FEW}, SAME, "wording_untested", "undecided"),
        ({"unseen": UP}, SAME, "generalised", "train"),
        ({"trained": SAME, "held_out": SAME}, SAME, "not_learnt", "not_yet"),
        ({"trained": SAME, "held_out": SAME}, UP, "not_learnt", "retrieve"),
        ({"trained": SAME, "held_out": DOWN}, SAME, "worse", "not_yet"),
        ({"trained": FEW, "held_out": FEW}, UP, "too_few", "undecided"),
    ],
)
def test_the_verdict_says_no_more_than_the_intervals_carry(
    rows: dict[str, Estimate], gap: Estimate, outcome: str, decision: str
) -> None:
    verdict = decide([cell(kind, difference) for kind, difference in rows.items()], gaps(gap))
    assert (verdict.outcome, verdict.decision) == (outcome, decision)


def test_without_an_open_book_training_is_not_called_better_than_retrieval() -> None:
    verdict = decide([cell("held_out", UP)], [])
    assert (verdict.decision, verdict.advice) == ("train", "train_open_book_unknown")


def test_without_a_trained_arm_only_the_base_is_spoken_of() -> None:
    closed = Cell("all", "closed_book", "containment", LEVEL, None, None)
    assert decide([closed], []).outcome == "no_training"
    assert decide([closed], gaps(UP)).decision == "retrieve"


def test_without_any_score_nothing_is_claimed() -> None:
    empty = Estimate(None, None, None, 0, 0, 12)
    rows = [Cell("all", "closed_book", "containment", empty, empty, empty)]
    assert decide(rows, []).outcome == "no_scores"
    assert decide([], []).decision == "undecided"


@pytest.mark.parametrize(
    ("language", "outcome", "words"),
    [
        ("en", "learnt", "It took hold"),
        ("en", "wording_only", "memorised the wording only"),
        ("en", "not_learnt", "did not take hold"),
        ("en", "too_few", "too few questions to tell"),
        ("ja", "learnt", "知識は定着しました"),
        ("ja", "wording_only", "言い回しを覚えただけです"),
        ("ja", "not_learnt", "知識は定着していません"),
        ("ja", "too_few", "質問が少なすぎて判断できません"),
    ],
)
def test_the_first_sentence_says_it_in_plain_words(language: str, outcome: str, words: str) -> None:
    verdict = Verdict(outcome, "not_yet", "not_yet", cell("held_out", UP), None)  # type: ignore[arg-type]
    told = sentences(verdict, "containment", Wording(language))
    assert len(told) == 2
    assert words in told[0]


def test_the_sentences_quote_the_figures_of_the_comparison() -> None:
    shown = Cell("held_out", "closed_book", "containment", found(0.1, 0, 0.2), LEVEL, UP)
    opened = Cell("held_out", "open_book", "containment", LEVEL, found(0.9, 0.8, 1), UP)
    verdict = Verdict("learnt", "retrieve", "retrieve_although", shown, opened)
    first, second = sentences(verdict, "containment", Wording("en"))
    assert "from 10% to 50% (difference +40 pts, 95% interval +30 to +50)" in first
    assert "reaches 90%, clearly more than the 50%" in second
