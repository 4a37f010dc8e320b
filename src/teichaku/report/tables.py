"""The numbers of the report: pure functions from score rows to means with intervals.

Values that are null (an answer or a mark that failed) are left out of every mean and counted
as ``failed``; they are never taken for wrong.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any

from teichaku.core.records import BASE_CHECKPOINT, Score
from teichaku.core.statistics import Interval, Scale, clustered_mean, paired_difference
from teichaku.report.evidence import Arm, epoch_of

KINDS = (
    "trained",
    "trained_by_some",
    "held_out",
    "independent",
    "unseen",
    "unanswerable",
    "control",
)
ALL_KINDS = "all"
#: Kinds that are never part of ``all``: asked for another reason than what was taught, or in the
#: words of some arms' training, which favours those arms.
APART = frozenset({"trained_by_some", "unanswerable", "control"})
CONDITIONS = ("closed_book", "open_book", "retrieval")
SCORERS = ("containment", "character_f1", "exact", "llmjp_char_f1", "judge")
_SCALES: dict[str, Scale] = {**dict.fromkeys(SCORERS, (0.0, 1.0)), "judge": (1.0, 10.0)}

#: Score rows by arm, checkpoint, condition and scorer.
Cells = dict[tuple[str, str, str, str], list[Score]]


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, clustered by document.

    ``n`` values of ``documents`` documents went in; ``failed`` values were null. ``value`` is
    null where there was nothing to average.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    documents: int
    failed: int


@dataclass(frozen=True)
class Comparison:
    """Two arms on the same questions: each one's mean, and the paired change."""

    before: Estimate
    after: Estimate
    difference: Estimate


def scale_of(scorer: str) -> Scale | None:
    """The ends of the scale of ``scorer``; None where it is not one of ours."""
    return _SCALES.get(scorer.partition(":")[0])


def position(name: str, order: Sequence[str]) -> tuple[int, str]:
    """A sort key: the place of ``name`` in ``order``; unknown names follow, by name."""
    return (order.index(name) if name in order else len(order), name)


def ordered(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """The distinct ``names`` in ``order``."""
    return sorted(set(names), key=lambda name: position(name, order))


def estimate(rows: Sequence[Score]) -> Estimate:
    """The mean of the values in ``rows``."""
    kept = [(row.value, row.document_id) for row in rows if row.value is not None]
    values, documents = [value for value, _ in kept], [document for _, document in kept]
    found = clustered_mean(values, documents, _scale(rows))
    return _estimate(found, documents, len(rows) - len(kept))


def compare(before: Sequence[Score], after: Sequence[Score]) -> Comparison:
    """Both sides on the questions that both have a value for."""
    earlier = {row.question_id: row.value for row in before}
    whole, failed = [], 0
    for row in after:
        if row.question_id in earlier:
            old, new = earlier[row.question_id], row.value
            if old is None or new is None:
                failed += 1
            else:
                whole.append((row.question_id, old, new, row.document_id))
    whole.sort(key=itemgetter(0))
    old_values, new_values = [item[1] for item in whole], [item[2] for item in whole]
    documents = [item[3] for item in whole]
    scale = _scale(after)
    change = paired_difference(old_values, new_values, documents, scale)
    return Comparison(
        _estimate(clustered_mean(old_values, documents, scale), documents, failed),
        _estimate(clustered_mean(new_values, documents, scale), documents, failed),
        _estimate(change, documents, failed),
    )


def _scale(rows: Sequence[Score]) -> Scale | None:
    return scale_of(rows[0].scorer) if rows else None


def _estimate(interval: Interval | None, documents: Sequence[str], failed: int) -> Estimate:
    if interval is None:
        return Estimate(None, None, None, 0, 0, failed)
    return Estimate(
        _rounded(interval.value),
        _rounded(interval.low),
        _rounded(interval.high),
        interval.n,
        len(set(documents)),
        failed,
    )


def _rounded(value: float | None) -> float | None:
    # The last bits of a float sum differ between processors; nobody reads them.
    return None if value is None else round(value, 6) + 0.0


def cells(scores: Iterable[Score]) -> Cells:
    """The rows by arm, checkpoint, condition and scorer."""
    found: Cells = {}
    for row in scores:
        found.setdefault((row.arm, row.checkpoint, row.condition, row.scorer), []).append(row)
    return found


def of_kind(rows: Iterable[Score], kind: str) -> list[Score]:
    """The rows about questions of ``kind``; ``all`` keeps every row but those of :data:`APART`."""
    if kind == ALL_KINDS:
        return [row for row in rows if row.question_kind not in APART]
    return [row for row in rows if row.question_kind == kind]


def _by_kind(rows: Sequence[Score]) -> dict[str, list[Score]]:
    """The rows by kind of question, and those of ``all`` where there are such."""
    found = _split(rows, attrgetter("question_kind"))
    whole = of_kind(rows, ALL_KINDS)
    return {**found, ALL_KINDS: whole} if whole else found


def _split(rows: Iterable[Score], of: Callable[[Score], str]) -> dict[str, list[Score]]:
    found: dict[str, list[Score]] = {}
    for row in rows:
        found.setdefault(of(row), []).append(row)
    return found


def score_table(scores: Iterable[Score]) -> list[dict[str, Any]]:
    """Every arm, checkpoint, condition, kind of question and scorer; kind ``all`` joins them."""
    groups: dict[tuple[str, ...], list[Score]] = {}
    for (*whose, scorer), rows in cells(scores).items():
        for kind, part in _by_kind(rows).items():
            groups[*whose, kind, "", scorer] = part
    return [_cell(key, groups[key]) for key in sorted(groups, key=_cell_order)]


def category_table(scores: Iterable[Score], arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """The same by category, for the untuned models and each arm's chosen checkpoint."""
    chosen = {(arm.name, arm.checkpoint) for arm in arms}
    groups: dict[tuple[str, ...], list[Score]] = {}
    for (arm, checkpoint, condition, scorer), rows in cells(scores).items():
        if checkpoint != BASE_CHECKPOINT and (arm, checkpoint) not in chosen:
            continue
        for category, own in _split(rows, attrgetter("category")).items():
            for kind, part in _by_kind(own).items() if category else ():
                groups[arm, checkpoint, condition, kind, category, scorer] = part
    return [
        {**_cell(key, groups[key]), "category": key[4]} for key in sorted(groups, key=_cell_order)
    ]


def _cell(key: tuple[str, ...], rows: Sequence[Score]) -> dict[str, Any]:
    arm, checkpoint, condition, kind, _, scorer = key
    found = estimate(rows)
    return {
        "arm": arm,
        "checkpoint": checkpoint,
        "condition": condition,
        "question_kind": kind,
        "scorer": scorer,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "documents": found.documents,
        "failed": found.failed,
    }


def _cell_order(key: tuple[str, ...]) -> tuple[Any, ...]:
    arm, checkpoint, condition, kind, category, scorer = key
    return (
        checkpoint != BASE_CHECKPOINT,
        arm,
        epoch_of(checkpoint),
        position(condition, CONDITIONS),
        position(kind, KINDS),
        category,
        position(scorer, SCORERS),
    )
