"""Base against the best arm, and the course of training: what the charts and tables show."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from teichaku.core.records import BASE_CHECKPOINT, Score
from teichaku.report import tables
from teichaku.report.evidence import Arm, Evidence, epoch_of
from teichaku.report.tables import ALL_KINDS, Cells, Estimate


@dataclass(frozen=True)
class Cell:
    """One line of the table that carries the verdict; without a trained arm, only ``base``."""

    question_kind: str
    condition: str
    scorer: str
    base: Estimate
    tuned: Estimate | None
    difference: Estimate | None


def headline_scorer(evidence: Evidence) -> str:
    """The scorer that the run names, or the next one that gave any value at all."""
    wanted = str(evidence.run.get("headline_scorer") or tables.SCORERS[0])
    present = {row.scorer for row in evidence.scores if row.value is not None}
    candidates = [wanted, *tables.ordered(present - {wanted}, tables.SCORERS)]
    return next((name for name in candidates if name in present), wanted)


def best_arm(scores: Cells, arms: Sequence[Arm], scorer: str) -> Arm | None:
    """The arm with the highest mean over all questions, closed book; ties go by name."""

    def mean(arm: Arm) -> float:
        rows = scores.get((arm.name, arm.checkpoint, "closed_book", scorer), [])
        value = tables.estimate(tables.of_kind(rows, ALL_KINDS)).value
        return float("-inf") if value is None else value

    return max(sorted(arms, key=lambda arm: arm.name), key=mean, default=None)


def comparisons(scores: Cells, base: str, best: Arm | None) -> list[Cell]:
    """Base against ``best`` for every scorer, kind of question and condition."""
    found = []
    names = tables.ordered((key[3] for key in scores), tables.SCORERS)
    conditions = tables.ordered((key[2] for key in scores), tables.CONDITIONS)
    for scorer in names:
        for condition in conditions:
            before = scores.get((base, BASE_CHECKPOINT, condition, scorer), [])
            after = scores.get((best.name, best.checkpoint, condition, scorer), []) if best else []
            kinds = tables.ordered((row.question_kind for row in before + after), tables.KINDS)
            for kind in [*kinds, ALL_KINDS] if kinds else []:
                old, new = tables.of_kind(before, kind), tables.of_kind(after, kind)
                found.append(_cell(kind, condition, scorer, old, new))
    return found


def _cell(
    kind: str, condition: str, scorer: str, before: Sequence[Score], after: Sequence[Score]
) -> Cell:
    if not after or not before:
        tuned = tables.estimate(after) if after else None
        return Cell(kind, condition, scorer, tables.estimate(before), tuned, None)
    both = tables.compare(before, after)
    return Cell(kind, condition, scorer, both.before, both.after, both.difference)


def open_book_gap(scores: Cells, base: str, best: Arm | None, scorer: str) -> list[Cell]:
    """By kind: the best arm without the passage (as ``base``) against the untuned model with
    it (as ``tuned``).
    """
    opened = scores.get((base, BASE_CHECKPOINT, "open_book", scorer), [])
    closed = (
        scores.get((best.name, best.checkpoint, "closed_book", scorer), [])
        if best
        else scores.get((base, BASE_CHECKPOINT, "closed_book", scorer), [])
    )
    kinds = tables.ordered(
        (row.question_kind for row in tables.of_kind(opened, ALL_KINDS)), tables.KINDS
    )
    if not closed:
        return []
    return [
        _cell(kind, "open_book", scorer, tables.of_kind(closed, kind), tables.of_kind(opened, kind))
        for kind in [*kinds, ALL_KINDS]
        if kinds
    ]


def progress(scores: Cells, arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Closed-book score by epoch on the questions that every probe of the arm asked.

    Epoch 0 is the untuned model. One common set of questions, because a probe may ask fewer
    questions than the final round and the curve would otherwise jump where the set changes.
    """
    table = []
    for arm in arms:
        for scorer in tables.ordered((key[3] for key in scores), tables.SCORERS):
            points = _points(scores, arm, scorer)
            common = _common_questions(points)
            for epoch, rows in sorted(points.items()):
                kept = [row for row in rows if row.question_id in common]
                table.append(
                    {
                        "arm": arm.name,
                        "student": arm.student,
                        "learning_rate": arm.learning_rate,
                        "epoch": epoch,
                        "scorer": scorer,
                        **asdict(tables.estimate(kept)),
                    }
                )
    return table


def _points(scores: Cells, arm: Arm, scorer: str) -> dict[int, list[Score]]:
    points = {
        epoch_of(checkpoint): tables.of_kind(rows, ALL_KINDS)
        for (name, checkpoint, condition, by), rows in scores.items()
        if (name, condition, by) == (arm.name, "closed_book", scorer)
    }
    base = scores.get((arm.base, BASE_CHECKPOINT, "closed_book", scorer))
    return {0: base, **points} if base and points else points


def _common_questions(points: dict[int, list[Score]]) -> set[str]:
    sets = [{row.question_id for row in rows} for rows in points.values()]
    return set.intersection(*sets) if sets else set()


def open_book_reference(scores: Cells, arms: Sequence[Arm]) -> dict[str, dict[str, float]]:
    """By student and scorer: the untuned model with the passage, on the questions that
    :func:`progress` shows for all arms of that student.
    """
    found: dict[str, dict[str, float]] = {}
    for student in sorted({arm.student for arm in arms}):
        own = [arm for arm in arms if arm.student == student]
        for scorer in tables.ordered((key[3] for key in scores), tables.SCORERS):
            shared = [_common_questions(_points(scores, arm, scorer)) for arm in own]
            opened = scores.get((own[0].base, BASE_CHECKPOINT, "open_book", scorer), [])
            common = set.intersection(*shared)
            value = tables.estimate([row for row in opened if row.question_id in common]).value
            if value is not None:
                found.setdefault(student, {})[scorer] = value
    return found
