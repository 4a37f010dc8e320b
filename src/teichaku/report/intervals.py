"""Intervals as the report's content has them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from teichaku.core.records import BASE_CHECKPOINT, Answer
from teichaku.core.statistics import Interval
from teichaku.report.evidence import Arm, Evidence


def as_figure(found: Interval | None, documents: int | None = None) -> dict[str, Any] | None:
    """A figure with its interval, over so many documents; None where there is none. How many
    documents, or failed values, is null where it is not known.
    """
    if found is None:
        return None
    return {
        "value": rounded(found.value),
        "low": rounded(found.low),
        "high": rounded(found.high),
        "n": found.n,
        "documents": documents,
        "failed": None,
    }


def rounded(value: float | None) -> float | None:
    """The last bits of a float sum differ between processors; nobody reads them."""
    return None if value is None else round(value, 6) + 0.0


def probability(p: float | None) -> float | None:
    """Four digits, however small it is."""
    return None if p is None else float(f"{p:.4g}")


def model_order(evidence: Evidence, arms: Sequence[Arm]) -> Callable[[str], tuple[int, str]]:
    """The place of a model by its name: untuned models, arms in their order, further models."""
    names = [*evidence.base_arms, *(arm.name for arm in arms), *evidence.further_models]

    def place(arm: str) -> tuple[int, str]:
        return (names.index(arm) if arm in names else len(names), arm)

    return place


def final_answers(evidence: Evidence, arms: Iterable[Arm]) -> list[Answer]:
    """The answers of the untuned models, and of each arm at the checkpoint that was chosen."""
    chosen = {arm.name: arm.checkpoint for arm in arms}
    return [
        answer
        for answer in evidence.answers
        if answer.checkpoint == chosen.get(answer.arm, BASE_CHECKPOINT)
    ]


def paired(
    answers: Iterable[Answer], arms: Iterable[Arm]
) -> list[tuple[Arm, str, list[Answer], list[Answer]]]:
    """Each trained arm and condition, with the answers of its base and its own, where both
    answered.
    """
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.arm, answer.condition), []).append(answer)
    conditions = sorted({condition for _, condition in groups})
    return [
        (arm, condition, groups[arm.base, condition], groups[arm.name, condition])
        for arm in arms
        if arm.checkpoint != BASE_CHECKPOINT
        for condition in conditions
        if (arm.base, condition) in groups and (arm.name, condition) in groups
    ]
