"""The verdict: what the figures allow to be said, in two plain sentences.

It may well be "use retrieval instead". Nothing is claimed that the 95 % interval of a paired
difference does not carry, and nothing at all where the questions are too few.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from teichaku.report.study import Cell
from teichaku.report.tables import ALL_KINDS, Estimate

Outcome = Literal[
    "learnt",
    "generalised",
    "wording_only",
    "wording_untested",
    "not_learnt",
    "worse",
    "too_few",
    "no_training",
    "no_scores",
]
Decision = Literal["train", "retrieve", "not_yet", "undecided"]

#: Below these a bootstrap over documents says nothing: four documents have 35 resamples.
MINIMUM_DOCUMENTS = 5
MINIMUM_QUESTIONS = 10

_GAINS = ("learnt", "generalised")


@dataclass(frozen=True)
class Verdict:
    """What was found and what to do.

    ``shown`` is the comparison of base and tuned that the first sentence quotes, ``opened``
    the one of tuned without the passage and base with it that the second may quote.
    """

    outcome: Outcome
    decision: Decision
    advice: str
    shown: Cell | None = None
    opened: Cell | None = None


def decide(rows: Sequence[Cell], gaps: Sequence[Cell]) -> Verdict:
    """The verdict on the headline scorer's ``rows`` (base against best, by kind and
    condition) and ``gaps`` (tuned closed book against base open book, by kind).
    """
    closed = {row.question_kind: row for row in rows if row.condition == "closed_book"}
    measured = [row for row in rows if row.base.n or (row.tuned is not None and row.tuned.n)]
    if not measured:
        return Verdict("no_scores", "undecided", "no_scores")
    if all(row.tuned is None for row in rows):
        return _without_training(closed, gaps)
    outcome, shown = _outcome(closed)
    opened = _opened(gaps, shown)
    decision, advice = _decision(outcome, opened)
    return Verdict(outcome, decision, advice, shown, opened)


def is_enough(found: Estimate | None) -> bool:
    """Whether an interval may be trusted."""
    return (
        found is not None
        and found.low is not None
        and found.n >= MINIMUM_QUESTIONS
        and found.documents >= MINIMUM_DOCUMENTS
    )


def is_above(found: Estimate | None) -> bool:
    """Whether the whole interval lies above zero."""
    return found is not None and is_enough(found) and found.low is not None and found.low > 0


def is_below(found: Estimate | None) -> bool:
    """Whether the whole interval lies below zero."""
    return found is not None and is_enough(found) and found.high is not None and found.high < 0


def _outcome(closed: dict[str, Cell]) -> tuple[Outcome, Cell | None]:
    """``held_out`` asks taught facts in other words, so it alone shows that facts took hold;
    ``unseen`` facts were never taught, so a gain there is a gain at the task.
    """
    usable = {kind: row for kind, row in closed.items() if is_enough(row.difference)}
    trained, held_out, unseen = (usable.get(kind) for kind in ("trained", "held_out", "unseen"))
    reworded = held_out or unseen
    if not (trained or reworded):
        return "too_few", closed.get("held_out") or closed.get("unseen") or closed.get(ALL_KINDS)
    if held_out and is_above(held_out.difference):
        return "learnt", held_out
    if unseen and not held_out and is_above(unseen.difference):
        return "generalised", unseen
    if trained and is_above(trained.difference):
        return ("wording_only", reworded) if reworded else ("wording_untested", trained)
    shown = reworded or trained
    if shown and is_below(shown.difference):
        return "worse", shown
    return "not_learnt", shown


def _opened(gaps: Sequence[Cell], shown: Cell | None) -> Cell | None:
    kind = shown.question_kind if shown else ALL_KINDS
    return next((gap for gap in gaps if gap.question_kind == kind and gap.difference), None)


def _decision(outcome: Outcome, opened: Cell | None) -> tuple[Decision, str]:
    if outcome == "too_few":
        return "undecided", "ask_more"
    gap = opened.difference if opened else None
    if is_above(gap):
        return "retrieve", "retrieve_although" if outcome in _GAINS else "retrieve"
    if outcome in _GAINS:
        if not is_enough(gap):
            return "train", "train_open_book_unknown"
        return "train", "train_better" if is_below(gap) else "train_equal"
    if outcome == "wording_untested":
        return "undecided", "reword"
    return "not_yet", "not_yet"


def _without_training(closed: dict[str, Cell], gaps: Sequence[Cell]) -> Verdict:
    shown = closed.get(ALL_KINDS)
    opened = _opened(gaps, shown)
    if opened and is_above(opened.difference):
        return Verdict("no_training", "retrieve", "retrieve_untrained", shown, opened)
    return Verdict("no_training", "undecided", "train_first", shown, opened)


def is_small(row: dict[str, Any]) -> bool:
    """Whether a line of the headline's table rests on too little to be relied on."""
    found = row["difference"] or row["base"]
    return bool(found["n"] < MINIMUM_QUESTIONS or found["documents"] < MINIMUM_DOCUMENTS)
