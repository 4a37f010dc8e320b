"""The diagnosis: from what moved and what did not to what is wrong, what to change, and whether
to train, to retrieve, or both.

Three tables, read from the top, in which the first line that fits counts. They stand on the same
readings of 95 % intervals as the verdict (:mod:`teichaku.report.verdict`), and never contradict
it: they say why, and weigh retrieval where it was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from teichaku.core.records import BASE_CHECKPOINT, Score
from teichaku.report import tables
from teichaku.report.evidence import Arm
from teichaku.report.forgetting import Loss, Replies, is_above_guessing, loss_of
from teichaku.report.study import Cell
from teichaku.report.tables import ALL_KINDS, Cells, Estimate
from teichaku.report.verdict import (
    GAINS,
    Decision,
    Reading,
    Verdict,
    is_enough,
    reading_of,
    share_of_scale,
)

Knowledge = Literal[
    "learnt",
    "learnt_a_little",
    "memorised_wording",
    "did_not_take",
    "not_learnt",
    "wording_untested",
    "harmed",
    "task_gained",
    "unasked",
    "untold",
]
#: What became of general ability: a loss beyond the tolerance, one that may be more or less than
#: it, a smaller one, none beyond it, a gain; too wide an interval to tell, or not asked often
#: enough.
Ability = Literal["forgets", "loses", "slips", "kept", "gained", "unclear", "unasked"]
Remedy = Literal[
    "diverse_data",
    "raise_learning_rate",
    "lower_learning_rate",
    "raise_rank",
    "check_template",
    "check_data",
    "more_exposures",
    "replay",
    "ask_trained",
    "ask_other_wording",
    "ask_more",
    "ask_controls",
    "abler_controls",
]
Way = Literal["train", "retrieve", "both", "open_book", "not_yet", "undecided", "benchmarks"]

#: The share of a scale up to which a loss on controls makes none to the user. A few hundred items
#: can show that a loss is smaller than this, and hardly that it is smaller than 0.02.
TOLERANCE = 0.05

#: Readings of questions in the wording of training and in another wording (``*``: any), and what
#: became of what was taught.
KNOWLEDGE: tuple[tuple[str, str, Knowledge], ...] = (
    ("down", "*", "harmed"),
    ("*", "down", "harmed"),
    ("*", "up", "learnt"),
    ("*", "slight", "learnt_a_little"),
    ("up", "flat", "memorised_wording"),
    ("slight", "flat", "did_not_take"),
    ("flat", "flat", "did_not_take"),
    # Not in other words; whether in those of training was not asked, or cannot be told.
    ("*", "flat", "not_learnt"),
    ("up", "absent", "wording_untested"),
    ("slight", "absent", "learnt_a_little"),
    ("flat", "absent", "did_not_take"),
    ("*", "*", "untold"),
)

#: What became of what was taught and of general ability, and what to change. Where nothing took
#: and ability is lost, more of the same would lose more.
REMEDIES: tuple[tuple[str, str, tuple[Remedy, ...]], ...] = (
    ("harmed", "forgets", ("check_data", "lower_learning_rate", "replay")),
    ("harmed", "*", ("check_data", "lower_learning_rate")),
    ("learnt", "forgets", ("replay",)),
    ("learnt", "slips", ("replay",)),
    ("learnt", "unclear", ("ask_controls",)),
    ("learnt", "unasked", ("ask_controls",)),
    ("learnt", "*", ()),
    ("learnt_a_little", "forgets", ("diverse_data", "replay")),
    ("learnt_a_little", "*", ("more_exposures", "diverse_data")),
    ("memorised_wording", "forgets", ("diverse_data", "replay")),
    ("memorised_wording", "*", ("diverse_data",)),
    ("did_not_take", "forgets", ("check_template", "lower_learning_rate", "replay")),
    ("did_not_take", "*", ("raise_learning_rate", "raise_rank", "check_template")),
    ("not_learnt", "forgets", ("ask_trained", "replay")),
    ("not_learnt", "*", ("ask_trained",)),
    ("wording_untested", "forgets", ("ask_other_wording", "replay")),
    ("wording_untested", "*", ("ask_other_wording",)),
    ("task_gained", "forgets", ("ask_trained", "ask_other_wording", "replay")),
    ("task_gained", "*", ("ask_trained", "ask_other_wording")),
    ("unasked", "forgets", ("replay",)),
    ("unasked", "slips", ("replay",)),
    ("unasked", "unclear", ("ask_controls",)),
    ("unasked", "unasked", ("ask_controls",)),
    ("unasked", "*", ()),
    ("untold", "forgets", ("ask_more", "replay")),
    ("untold", "*", ("ask_more",)),
)

#: Whether training brought a gain (``gain``, ``harm``, ``none``); how the base model with
#: retrieval does against the tuned model without (``better``, ``close``, ``worse``, ``wide``;
#: ``absent`` where that was not measured, ``open_book`` where then the open book does better;
#: ``short`` for close or worse and ``unclear`` for wide where there is no gain and the open book
#: does better: it is no advice where retrieval was measured and is not shown to come near it);
#: whether the tuned model with retrieval does clearly better than either (``yes``, ``no``); and
#: ability. ``as_before``: what the verdict decides without retrieval holds.
WAYS: tuple[tuple[str, str, str, str, Way | Literal["as_before"], str], ...] = (
    ("*", "open_book", "*", "*", "as_before", "as_before"),
    ("harm", "better", "*", "*", "retrieve", "training_harms"),
    ("harm", "*", "*", "*", "not_yet", "training_harms"),
    ("*", "better", "*", "forgets", "retrieve", "training_forgets"),
    ("gain", "close", "*", "forgets", "retrieve", "training_forgets"),
    ("*", "*", "*", "forgets", "not_yet", "training_forgets"),
    ("gain", "*", "yes", "*", "both", "each_adds"),
    # Without a passage no gain is shown: what training brought is the use of passages.
    ("none", "*", "yes", "*", "both", "uses_passages"),
    ("*", "better", "*", "*", "retrieve", "retrieval_better"),
    ("gain", "worse", "*", "*", "train", "training_better"),
    ("gain", "close", "*", "*", "train", "training_close"),
    ("gain", "wide", "*", "*", "undecided", "retrieval_unclear"),
    ("none", "unclear", "*", "*", "undecided", "retrieval_unclear"),
    ("none", "short", "*", "*", "not_yet", "retrieval_short"),
    ("*", "*", "*", "*", "as_before", "as_before"),
)
_AGAINST: Mapping[Reading, str] = {
    "up": "better", "slight": "better", "flat": "close", "down": "worse", "wide": "wide",
    "absent": "absent",
}  # fmt: skip
_ABILITIES: Mapping[Reading, Ability] = {
    "up": "forgets", "slight": "slips", "flat": "kept", "down": "gained", "wide": "unclear",
    "absent": "unasked",
}  # fmt: skip
#: What the open book's lead over no gain makes of a comparison with retrieval.
_BESIDE_OPEN_BOOK: Mapping[str, str] = {"close": "short", "worse": "short", "wide": "unclear"}
#: Verdicts in which nothing was trained or measured.
_NOTHING = ("no_training", "no_scores", "unfinished")
_LOSSES: tuple[Ability, ...] = ("forgets", "loses", "slips")


@dataclass(frozen=True)
class AgainstRetrieval:
    """Three comparisons on the same kind of question; null where one was not measured.

    ``instead``: the tuned model closed book (as ``base``) against the untuned one with retrieval
    (as ``tuned``). ``training_adds``: with retrieval, untuned against tuned. ``retrieval_adds``:
    the tuned model closed book against itself with retrieval.
    """

    instead: Cell | None = None
    training_adds: Cell | None = None
    retrieval_adds: Cell | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What became of what was taught and of what was known, what to change, and which ``way`` to
    go, with the ``reason`` for it: ``as_before`` where retrieval was not weighed, and the way is
    what the verdict decides.

    ``controls`` is the comparison on control questions, ``against`` those with retrieval.
    ``replies`` are what is known of the replies to control questions, ``loss`` is what was lost
    there (null where no loss is shown), and ``above_guessing`` tells whether the untuned model is
    shown to beat guessing on them; null where that is not known.
    """

    knowledge: Knowledge
    ability: Ability
    remedies: tuple[Remedy, ...]
    way: Way
    reason: str
    controls: Cell | None = None
    against: AgainstRetrieval = AgainstRetrieval()
    replies: Replies | None = None
    loss: Loss | None = None
    above_guessing: bool | None = None

    @property
    def is_hidden_by_guessing(self) -> bool:
        """Whether what became of abilities cannot be told because the untuned model may guess. A
        gain to a level above guessing can be told all the same.
        """
        if self.above_guessing is not False:
            return False
        tuned = self.controls.tuned if self.controls else None
        if self.ability != "gained" or tuned is None or self.replies is None:
            return True
        return not is_above_guessing(tuned, self.replies.floor)


def diagnose(
    verdict: Verdict,
    rows: Sequence[Cell],
    retrieval: Mapping[str, AgainstRetrieval] | None = None,
    tolerance: float = TOLERANCE,
    replies: Replies | None = None,
) -> Diagnosis:
    """The diagnosis that goes with ``verdict`` on the same ``rows`` (base against best by kind and
    condition, controls of kind ``control`` among them).

    ``retrieval`` has the comparisons by kind of question (:func:`against_retrieval`); the kind
    that the verdict speaks of decides. ``tolerance`` is the share of a scale up to which a loss
    on controls makes none. ``replies`` are those to the controls.
    """
    closed = {row.question_kind: row for row in rows if row.condition == "closed_book"}
    controls = closed.get("control")
    ability = ability_of(controls, tolerance)
    knowledge = _knowledge(verdict, closed)
    kind = verdict.shown.question_kind if verdict.shown else ALL_KINDS
    against = (retrieval or {}).get(kind, AgainstRetrieval())
    way, reason = _way(verdict, knowledge, ability, against)
    remedies = () if verdict.outcome in _NOTHING else _remedies(knowledge, ability, reason)
    if controls is None or replies is None or ability == "unasked":
        return Diagnosis(knowledge, ability, remedies, way, reason, controls, against)
    limit = share_of_scale(controls.scorer, tolerance)
    loss = loss_of(controls.base, replies, limit) if ability in _LOSSES else None
    is_above = is_above_guessing(controls.base, replies.floor)
    found = Diagnosis(
        knowledge, ability, remedies, way, reason, controls, against, replies, loss, is_above
    )
    if not found.is_hidden_by_guessing or verdict.outcome in _NOTHING:
        return found
    # What a model cannot do it cannot lose.
    return replace(found, remedies=(*remedies, "abler_controls"))


def ability_of(controls: Cell | None, tolerance: float = TOLERANCE) -> Ability:
    """What a comparison on control questions says: the reading of its loss."""
    found = controls.difference if controls else None
    if controls is None or found is None or not is_enough(found):
        return "unasked"
    loss = Estimate(
        _negative(found.value), _negative(found.high), _negative(found.low), found.n,
        found.documents, found.failed,
    )  # fmt: skip
    limit = share_of_scale(controls.scorer, tolerance)
    reading = reading_of(replace(controls, difference=loss), limit)
    # It forgets only where the whole interval lies beyond the tolerance.
    return "loses" if reading == "up" and (loss.low or 0.0) <= limit else _ABILITIES[reading]


def against_retrieval(
    scores: Cells, base: str, best: Arm, scorer: str
) -> dict[str, AgainstRetrieval]:
    """The comparisons with retrieval by kind of question, and of all kinds together."""

    def rows(arm: str, checkpoint: str, condition: str) -> list[Score]:
        return scores.get((arm, checkpoint, condition, scorer), [])

    closed = rows(best.name, best.checkpoint, "closed_book")
    found = rows(base, BASE_CHECKPOINT, "retrieval")
    both = rows(best.name, best.checkpoint, "retrieval")
    kinds = tables.ordered((row.question_kind for row in [*found, *both]), tables.KINDS)

    def cell(kind: str, before: list[Score], after: list[Score]) -> Cell | None:
        old, new = tables.of_kind(before, kind), tables.of_kind(after, kind)
        if not old or not new:
            return None
        compared = tables.compare(old, new)
        return Cell(kind, "retrieval", scorer, compared.before, compared.after, compared.difference)

    return {
        kind: AgainstRetrieval(
            cell(kind, closed, found), cell(kind, found, both), cell(kind, closed, both)
        )
        for kind in ([*kinds, ALL_KINDS] if kinds else [])
    }


def _knowledge(verdict: Verdict, closed: Mapping[str, Cell]) -> Knowledge:
    if verdict.outcome == "worse":
        return "harmed"
    if verdict.outcome == "no_questions":
        return "unasked"
    if verdict.outcome in (*_NOTHING, "independent_only"):
        return "untold"
    trained, held_out = (reading_of(closed.get(kind)) for kind in ("trained", "held_out"))
    # As in the verdict: questions made apart ask in other words, too.
    other = held_out if held_out != "absent" else reading_of(closed.get("independent"))
    found = next(knowledge for *wanted, knowledge in KNOWLEDGE if _fits(wanted, (trained, other)))
    is_task = verdict.outcome in ("generalised", "task_only")
    return "task_gained" if found == "untold" and is_task else found


def _remedies(knowledge: Knowledge, ability: Ability, reason: str) -> tuple[Remedy, ...]:
    # A loss asks for the same, whether it is beyond the tolerance or may be.
    lost: Ability = "forgets" if ability == "loses" else ability
    if reason == "uses_passages" and knowledge == "did_not_take":
        # Training took: in what it is advised for.
        return ("replay",) if lost == "forgets" else ()
    return next(remedies for *wanted, remedies in REMEDIES if _fits(wanted, (knowledge, lost)))


def _way(
    verdict: Verdict, knowledge: Knowledge, ability: Ability, against: AgainstRetrieval
) -> tuple[Way, str]:
    if verdict.outcome in (*_NOTHING, "no_questions"):
        return verdict.decision, "as_before"
    gain = "harm" if knowledge == "harmed" else "gain" if verdict.outcome in GAINS else "none"
    adds = (reading_of(against.training_adds), reading_of(against.retrieval_adds))
    is_best = "yes" if adds == ("up", "up") else "no"
    instead = _AGAINST[reading_of(against.instead)]
    if verdict.decision == "open_book":
        instead = "open_book" if instead == "absent" else instead
        instead = _BESIDE_OPEN_BOOK.get(instead, instead) if gain == "none" else instead
    situation = (gain, instead, is_best, ability)
    way, reason = next((way, why) for *wanted, way, why in WAYS if _fits(wanted, situation))
    decided: Decision = verdict.decision
    return (decided, reason) if way == "as_before" else (way, reason)


def _fits(wanted: Sequence[str], found: Sequence[str]) -> bool:
    return all(want in ("*", have) for want, have in zip(wanted, found, strict=True))


def _negative(value: float | None) -> float | None:
    return None if value is None else -value
