"""How far a score of novelty can be trusted: against what is certain, and against what can be
told without the model.

Certain is little: that a passage is later than the student (the date rule), or that the student
answers questions on it (probing). Each of these labels judges the scores of the other methods,
by the area under the ROC curve with an interval over documents, beside blind baselines on the
same passages. A score whose interval reaches down to one half, or which is not better than the
best baseline, tells nothing, whatever its value. Nothing here is said of a single passage.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from teichaku.core.auroc import auroc_difference, clustered_auroc
from teichaku.curation.blind_baselines import by_wording, in_better_direction
from teichaku.curation.dates import days_of
from teichaku.curation.novelty import NoveltyMethod, PassageNovelty

Label = Literal["date", "probing"]
Baseline = Literal["length", "age", "wording"]
Finding = Literal["tells", "nothing", "blind", "reversed", "few", "unmeasured"]

_LABELS: tuple[Label, ...] = ("date", "probing")
_BASELINES: tuple[Baseline, ...] = ("length", "age", "wording")


@dataclass(frozen=True, slots=True)
class Separation:
    """How well one ``score`` tells new passages from the others, by ``label``.

    ``n`` passages of ``documents`` documents have both, ``new`` of them are new. ``value`` is
    the area under the ROC curve, null where one class is missing; ``low`` and ``high`` bound its
    95 % interval, null where there are too few documents. ``difference`` is that to the best
    blind baseline, ``against``, on the passages that have both.

    ``finding`` (empty for a baseline): the score ``tells`` new from known; it tells ``nothing``
    (the interval spans one half); it is no better than what is told ``blind``; it is
    ``reversed``; there are too ``few`` documents; or it is ``unmeasured``, because a class is
    missing.
    """

    label: Label
    score: str
    is_baseline: bool
    n: int
    documents: int
    new: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    against: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    finding: str = ""


def labels(rows: Sequence[PassageNovelty], threshold: float) -> dict[Label, dict[str, bool]]:
    """For each label that is at hand, which passages are new by it: later than the student's
    release, or with less than ``threshold`` of their questions answered. What has no label is
    left out.
    """
    found: dict[Label, dict[str, bool]] = {
        "date": {row.id: row.is_later for row in rows if row.is_later is not None},
        "probing": {
            row.id: share < threshold for row in rows if (share := row.right_share) is not None
        },
    }
    return {label: found[label] for label in _LABELS if found[label]}


def separations(
    rows: Sequence[PassageNovelty],
    texts: Mapping[str, str],
    methods: Sequence[NoveltyMethod],
    threshold: float,
    seed: int = 0,
) -> list[Separation]:
    """Every label that is at hand with the scores of the other ``methods`` and the blind
    baselines, these first. ``texts`` are those of the passages by id.
    """
    rows = sorted(rows, key=lambda row: row.id)
    found: list[Separation] = []
    for label, is_new in labels(rows, threshold).items():
        judged = _Judged(label, [row for row in rows if row.id in is_new], is_new)
        baselines = {name: judged.baseline(name, texts, seed) for name in _BASELINES}
        told = [judged.separation(name, values, True) for name, values in baselines.items()]
        told = [row for row in told if row.value is not None]
        found += told
        best = max(told, key=lambda row: row.value or 0.0, default=None)
        blind = baselines[best.score] if best else {}  # type: ignore[index]
        found += judged.methods(methods, best.score if best else "", blind)
    return found


@dataclass(frozen=True)
class _Judged:
    """The passages that have a label."""

    label: Label
    rows: Sequence[PassageNovelty]
    is_new: Mapping[str, bool]

    def baseline(self, name: Baseline, texts: Mapping[str, str], seed: int) -> Mapping[str, float]:
        """The scores of a blind baseline, by passage."""
        classes = [self.is_new[row.id] for row in self.rows]
        if name == "wording":
            documents = [row.document_id for row in self.rows]
            whole = [texts[row.id] for row in self.rows]
            scores = by_wording(whole, classes, documents, seed)
            return {r.id: s for r, s in zip(self.rows, scores or (), strict=False)}
        measured = {row.id: value for row in self.rows if (value := self._measure(name, row))}
        turned = in_better_direction(list(measured.values()), [self.is_new[i] for i in measured])
        return dict(zip(measured, turned, strict=True))

    def _measure(self, name: Baseline, row: PassageNovelty) -> float | None:
        if name == "length":
            return float(row.characters)
        # The label made of dates is no place for a baseline of dates.
        days = days_of(row.date) if self.label != "date" else None
        return float(days[0].toordinal()) if days else None

    def methods(
        self, methods: Sequence[NoveltyMethod], best: str, blind: Mapping[str, float]
    ) -> Iterator[Separation]:
        for method in methods:
            if method == self.label:
                continue
            scores = {
                row.id: newness for row in self.rows if (newness := row.newness(method)) is not None
            }
            yield self.separation(method, scores, False, best, blind)

    def separation(
        self,
        score: str,
        scores: Mapping[str, float],
        is_baseline: bool,
        best: str = "",
        blind: Mapping[str, float] | None = None,
    ) -> Separation:
        both = [row for row in self.rows if row.id in scores]
        classes, documents = self._of(both)
        whole = clustered_auroc([scores[row.id] for row in both], classes, documents)
        beside = [row for row in both if row.id in (blind or {})]
        more = auroc_difference(
            [scores[row.id] for row in beside],
            [(blind or {})[row.id] for row in beside],
            *self._of(beside),
        )
        found = Separation(
            self.label, score, is_baseline, len(both), len(set(documents)), sum(classes)
        )
        if whole:
            found = replace(found, value=whole.value, low=whole.low, high=whole.high)
        if more:
            found = replace(
                found,
                against=best,
                difference=more.value,
                difference_low=more.low,
                difference_high=more.high,
            )
        return found if is_baseline else replace(found, finding=_finding(found))

    def _of(self, rows: Sequence[PassageNovelty]) -> tuple[list[bool], list[str]]:
        return [self.is_new[row.id] for row in rows], [row.document_id for row in rows]


def _finding(found: Separation) -> Finding:
    if found.value is None:
        return "unmeasured"
    if found.low is None or found.high is None:
        return "few"
    if found.low <= 0.5:
        return "reversed" if found.high < 0.5 else "nothing"
    if found.against and (found.difference_low is None or found.difference_low <= 0):
        return "blind"
    return "tells"
