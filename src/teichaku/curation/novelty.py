"""Is a passage new to the student? What each method says of it, and what is done about it.

Three methods: asking (questions on the passage are put to the student before it learns
anything: what it answers it need not be taught), likelihood (Min-K% and Min-K%++: text that was
seen in training has fewer tokens that surprise), and the date (what was published after the
student was released it cannot have seen). None of them settles a single passage:
:mod:`teichaku.curation.novelty_evidence` tells how far each can be trusted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from math import ceil, floor
from typing import Literal

from teichaku.core.records import Dropped, Example, content_id
from teichaku.core.run_folder import dropped
from teichaku.curation.dates import days_of

NoveltyMethod = Literal["probing", "min_k", "min_k_plus_plus", "date"]

ALREADY_KNOWN = "already_known"


@dataclass(frozen=True, slots=True)
class PassageNovelty:
    """What is known of how new one passage is to the student.

    ``asked`` counts the questions on it that the student was asked, closed book and untrained,
    and that did not fail; ``right`` those that it answered. ``min_k`` and ``min_k_plus_plus``
    are greater where the text was more likely seen; null where they were not asked for or could
    not be computed, and then ``error`` may say why. ``is_later`` is null where the date of the
    passage, or the day of the student's release, does not tell.
    """

    id: str
    document_id: str
    characters: int
    date: str = ""
    is_later: bool | None = None
    asked: int = 0
    right: int = 0
    min_k: float | None = None
    min_k_plus_plus: float | None = None
    error: str = ""

    @property
    def right_share(self) -> float | None:
        """Share of its questions that the student answers; None where none was asked."""
        return self.right / self.asked if self.asked else None

    def newness(self, method: NoveltyMethod) -> float | None:
        """The score of ``method``, turned so that more of it means newer; None: no score."""
        if method == "probing":
            share = self.right_share
            return None if share is None else 1.0 - share
        if method == "date":
            return None if self.is_later is None else float(self.is_later)
        seen = self.min_k if method == "min_k" else self.min_k_plus_plus
        return None if seen is None else -seen


def later_than(written: str, released: date) -> bool | None:
    """Whether what bears the date ``written`` came after ``released``: true only where its
    first day did, false only where its last day did not, None where the date does not tell.
    """
    days = days_of(written)
    if days is None or days[0] <= released < days[1]:
        return None
    return days[0] > released


@dataclass(frozen=True)
class KnownRule:
    """When a passage counts as known to the student, by ``method``.

    ``probing``: it answers at least ``threshold`` of the questions. ``min_k`` and
    ``min_k_plus_plus``: the passage is of the ``share`` that score highest (no score is known
    from which a text was seen). ``date``: its date is certainly not after ``released``. What has
    no score counts as new.
    """

    method: NoveltyMethod
    threshold: float = 0.8
    share: float = 0.0
    released: date | None = None

    def known(self, rows: Iterable[PassageNovelty]) -> dict[str, str]:
        """The ids of the known passages, each with the evidence in words."""
        if self.method in ("min_k", "min_k_plus_plus"):
            return self._most_likely_seen(rows)
        return {row.id: why for row in rows if (why := self._evidence(row))}

    def _evidence(self, row: PassageNovelty) -> str:
        share = row.right_share
        if self.method == "date":
            dated = f"dated {row.date}, not after the student's release on {self.released}"
            return dated if row.is_later is False else ""
        if share is None or share < self.threshold:
            return ""
        return f"the student answers {row.right} of {row.asked} questions on it before training"

    def _most_likely_seen(self, rows: Iterable[PassageNovelty]) -> dict[str, str]:
        scored = [
            (newness, row.id) for row in rows if (newness := row.newness(self.method)) is not None
        ]
        scored.sort()
        return {
            name: f"{self.method} {-newness:.4f}, of the {self.share:.0%} that score highest"
            for newness, name in scored[: max(1, floor(round(self.share * len(scored), 9)))]
        }


def weigh(
    examples: Iterable[Example], known: Mapping[str, str], least: float
) -> Iterator[Example | Dropped]:
    """Every example, or its place as dropped: of n examples on a passage that is ``known`` (id
    and evidence) ``least`` times n stay, rounded up; the others are untouched.

    The draw depends on each example alone, so the order of ``examples`` changes nothing.
    """
    of_known: dict[str, list[Example]] = {}
    for example in examples:
        if example.passage_id in known:
            of_known.setdefault(example.passage_id, []).append(example)
        else:
            yield example
    for passage_id in sorted(of_known):
        drawn = sorted(of_known[passage_id], key=lambda e: (content_id("weigh", e.id), e.id))
        stay = ceil(round(least * len(drawn), 9))
        yield from drawn[:stay]
        evidence = f"{known[passage_id]}; {stay} of {len(drawn)} examples stay"
        for example in drawn[stay:]:
            yield dropped(example, "curation", ALREADY_KNOWN, evidence)
