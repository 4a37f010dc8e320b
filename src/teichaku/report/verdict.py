"""The verdict: what the figures allow to be said, in two plain sentences.

It may well be "show it the passage instead". Nothing is claimed that the 95 % interval of a
paired difference does not carry, and nothing at all where the questions are too few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from teichaku.report.study import Cell
from teichaku.report.tables import ALL_KINDS, Estimate, scale_of

Outcome = Literal[
    "learnt",
    "generalised",
    "task_only",
    "unseen_only",
    "independent_only",
    "slight",
    "wording_only",
    "wording_untested",
    "not_learnt",
    "not_generalised",
    "inconclusive",
    "worse",
    "too_few",
    "no_training",
    "no_scores",
    "unfinished",
    "no_questions",
]
Decision = Literal["train", "open_book", "not_yet", "undecided", "benchmarks"]

#: What an interval of a difference says: wholly above zero (``slight`` where it ends below the
#: margin), wholly below, no gain beyond the margin, too wide to tell, or too few questions.
Reading = Literal["up", "slight", "down", "flat", "wide", "absent"]

#: Below these nothing is claimed, whatever the interval: five documents are the fewest for
#: which its coverage is tested.
MINIMUM_DOCUMENTS = 5
MINIMUM_QUESTIONS = 10

#: The share of a scorer's scale (10 points of 100, 0.9 of a mark from 1 to 10) up to which a
#: difference makes none to the user: a gain is ruled out, and two models are called close,
#: only where the interval ends below it.
MARGIN = 0.1

#: Readings of the kinds trained, held_out, independent and unseen (``*``: any), the outcome, and
#: the kind that it is told of. The first line that fits counts. Where no held-out wording was
#: asked often enough, the independent questions stand in its place.
_RULES: tuple[tuple[str, str, str, str, Outcome, str], ...] = (
    # A fall comes first: a gain on other questions must not hide it.
    ("*", "down", "*", "*", "worse", "held_out"),
    ("*", "*", "down", "*", "worse", "independent"),
    ("*", "*", "*", "down", "worse", "unseen"),
    ("down", "*", "*", "*", "worse", "trained"),
    # Taught facts in other words: they alone show that facts took hold.
    ("*", "up", "*", "*", "learnt", "held_out"),
    ("*", "slight", "*", "*", "slight", "held_out"),
    # Both ask for what was taught in other words, and they disagree.
    ("*", "flat", "up", "*", "independent_only", "independent"),
    ("*", "wide", "up", "*", "independent_only", "independent"),
    # Unseen facts were never taught (but see ``decide``): a gain there is one at the task, and
    # none there says nothing about the facts that were.
    ("*", "flat", "*", "up", "task_only", "unseen"),
    ("*", "wide", "*", "up", "task_only", "unseen"),
    ("*", "*", "*", "up", "generalised", "unseen"),
    ("up", "flat", "*", "*", "wording_only", "held_out"),
    ("*", "flat", "*", "*", "not_learnt", "held_out"),
    ("*", "wide", "*", "*", "inconclusive", "held_out"),
    # From here on no other wording was asked often enough.
    ("up", "*", "*", "*", "wording_untested", "trained"),
    ("*", "*", "*", "slight", "slight", "unseen"),
    ("slight", "*", "*", "*", "slight", "trained"),
    ("flat", "*", "*", "*", "not_learnt", "trained"),
    ("wide", "*", "*", "*", "inconclusive", "trained"),
    ("*", "*", "*", "flat", "not_generalised", "unseen"),
    ("*", "*", "*", "wide", "inconclusive", "unseen"),
)

#: What an outcome comes down to where the open book does not clearly do better. A gain is
#: weighed against the open book first.
_ADVICE: Mapping[Outcome, tuple[Decision, str]] = {
    "task_only": ("undecided", "ask_taught"),
    "unseen_only": ("undecided", "ask_taught"),
    "independent_only": ("undecided", "ask_wider"),
    "slight": ("not_yet", "not_yet"),
    "wording_only": ("not_yet", "not_yet"),
    "wording_untested": ("undecided", "reword"),
    "not_learnt": ("not_yet", "not_yet"),
    "not_generalised": ("undecided", "ask_taught"),
    "inconclusive": ("undecided", "ask_wider"),
    "worse": ("not_yet", "not_yet"),
}
#: Outcomes that are worth having.
GAINS = ("learnt", "generalised")
_KINDS = ("trained", "held_out", "independent", "unseen")
_MOST_TELLING = ("held_out", "independent", "unseen", "trained")


@dataclass(frozen=True)
class Verdict:
    """What was found and what to do.

    ``shown`` is the comparison of base and tuned that the first sentence quotes, ``beside``
    the one that it sets against it, ``opened`` the one of tuned without the passage and base
    with it that the second sentence may quote.
    """

    outcome: Outcome
    decision: Decision
    advice: str
    shown: Cell | None = None
    opened: Cell | None = None
    beside: Cell | None = None


UNFINISHED = Verdict("unfinished", "undecided", "finish")
#: The recipe has no documents to ask about.
NO_QUESTIONS = Verdict("no_questions", "benchmarks", "read_controls")


def decide(rows: Sequence[Cell], gaps: Sequence[Cell], is_unseen_taught: bool = False) -> Verdict:
    """The verdict on the headline scorer's ``rows`` (base against best, by kind and
    condition) and ``gaps`` (tuned closed book against base open book, by kind).

    ``is_unseen_taught``: running text that the best arm trained on tells answers to unseen
    questions that stand in ``rows``, so that a gain there may be learning and is not told as one
    at the task.
    """
    closed = {row.question_kind: row for row in rows if row.condition == "closed_book"}
    measured = [row for row in rows if row.base.n or (row.tuned is not None and row.tuned.n)]
    if not measured:
        return Verdict("no_scores", "undecided", "no_scores")
    if all(row.tuned is None for row in rows):
        return _without_training(closed, gaps)
    readings = {kind: reading_of(closed.get(kind)) for kind in _KINDS}
    # Questions made apart from the examples ask what was taught in other words, too.
    other = "held_out" if readings["held_out"] != "absent" else "independent"
    kinds = [other if kind == "held_out" else kind for kind in _KINDS]
    for *wanted, outcome, told in _RULES:
        if all(want in ("*", readings[name]) for name, want in zip(kinds, wanted, strict=True)):
            kind = other if told == "held_out" else told
            opened = _opened(gaps, kind)
            beside = _beside(outcome, other, closed, readings)
            if is_unseen_taught and outcome in ("generalised", "task_only"):
                outcome = "unseen_only"
            decision, advice = _decision(outcome, opened)
            return Verdict(outcome, decision, advice, closed[kind], opened, beside)
    shown = next((closed[kind] for kind in (*_MOST_TELLING, ALL_KINDS) if kind in closed), None)
    return Verdict("too_few", "undecided", "ask_more", shown)


def is_enough(found: Estimate | None) -> bool:
    """Whether an interval may be trusted."""
    return (
        found is not None
        and found.low is not None
        and found.n >= MINIMUM_QUESTIONS
        and found.documents >= MINIMUM_DOCUMENTS
    )


def margin(scorer: str) -> float:
    """The difference up to which two values of ``scorer`` are called close."""
    return share_of_scale(scorer, MARGIN)


def share_of_scale(scorer: str, share: float) -> float:
    """So much is ``share`` of the scale of ``scorer``."""
    low, high = scale_of(scorer) or (0.0, 1.0)
    return share * (high - low)


def reading_of(cell: Cell | None, limit: float | None = None) -> Reading:
    """What the interval of a difference says; differences up to ``limit`` (by default
    :func:`margin`) make none.
    """
    found = cell.difference if cell else None
    if cell is None or found is None or not is_enough(found):
        return "absent"
    low, high = found.low or 0.0, found.high or 0.0
    if high < 0:
        return "down"
    is_within = high <= (margin(cell.scorer) if limit is None else limit)
    if low > 0:
        return "slight" if is_within else "up"
    return "flat" if is_within else "wide"


def _beside(
    outcome: Outcome, other: str, closed: Mapping[str, Cell], readings: Mapping[str, Reading]
) -> Cell | None:
    """What else the reader has to know in the same breath; ``other`` is the kind that asks in
    other words.
    """
    if outcome == "worse":
        risen = [kind for kind in _MOST_TELLING if readings[kind] == "up"]
        return closed[risen[0]] if risen else None
    if outcome == "learnt":
        is_denied = other == "held_out" and readings["independent"] == "flat"
        return closed["independent"] if is_denied else None
    beside = {"wording_only": "trained", "task_only": other, "independent_only": other}
    return closed[beside[outcome]] if outcome in beside else None


def _opened(gaps: Sequence[Cell], kind: str) -> Cell | None:
    return next((gap for gap in gaps if gap.question_kind == kind and gap.difference), None)


def _decision(outcome: Outcome, opened: Cell | None) -> tuple[Decision, str]:
    """Only the open book was measured, the best that retrieval could do: retrieval itself is
    never advised.
    """
    gap, is_gain = reading_of(opened), outcome in GAINS
    if gap in ("up", "slight"):
        return "open_book", "open_book_although" if is_gain else "open_book"
    if not is_gain:
        return _ADVICE[outcome]
    if gap == "down":
        return "train", "train_better"
    if gap == "flat":
        return "train", "train_close"
    return "undecided", "open_book_unclear" if gap == "wide" else "open_book_unknown"


def _without_training(closed: Mapping[str, Cell], gaps: Sequence[Cell]) -> Verdict:
    shown, opened = closed.get(ALL_KINDS), _opened(gaps, ALL_KINDS)
    if reading_of(opened) in ("up", "slight"):
        return Verdict("no_training", "open_book", "open_book_untrained", shown, opened)
    return Verdict("no_training", "undecided", "train_first", shown, opened)


def is_small(row: dict[str, Any]) -> bool:
    """Whether a line of the headline's table rests on too little to be relied on."""
    return _is_few(row["difference"] or row["base"])


def direction(found: dict[str, Any]) -> str:
    """``up`` or ``down`` where the interval of a difference in the report shows that, on enough
    questions and documents for the verdict to claim it; else empty.
    """
    low, high = found["low"], found["high"]
    if low is None or high is None or _is_few(found):
        return ""
    return "up" if low > 0 else "down" if high < 0 else ""


def _is_few(found: dict[str, Any]) -> bool:
    """Whether a figure rests on too little; how many documents is not known of each."""
    documents = found["documents"]
    is_narrow = documents is not None and documents < MINIMUM_DOCUMENTS
    return bool(is_narrow or found["n"] < MINIMUM_QUESTIONS)
