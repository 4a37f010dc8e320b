"""Whether what the models write is still sound text: length, repetition, language, ends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from teichaku.core.statistics import Interval
from teichaku.evaluation.text_health import MEASURES, Measuring, health_changes, text_health
from teichaku.report import tables
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.intervals import as_figure, final_answers, model_order, paired

#: The share of a text that repeats what it has already, from 0 to 1.
Repeated = Callable[[str], float]


def health(
    evidence: Evidence, arms: Sequence[Arm], repeated: Repeated | None
) -> dict[str, Any] | None:
    """The measures by model and condition, and what training changed; None without answers.

    Without ``repeated``, which recipes hand in, nothing is said of repetition.
    """
    answers = [a for a in final_answers(evidence, arms) if a.question_id in evidence.questions]
    if not answers:
        return None
    measuring = Measuring(str(evidence.run.get("language", "")), repeated or (lambda _: 0.0))
    order = model_order(evidence, arms)
    whole = text_health(answers, evidence.questions, measuring)
    whole.sort(key=lambda row: (tables.position(row.condition, tables.CONDITIONS), order(row.arm)))
    changes = {
        (arm.name, condition): health_changes(before, after, evidence.questions, measuring)
        for arm, condition, before, after in paired(answers, arms)
    }
    return {
        "language": measuring.language,
        "measures": [name for name in MEASURES if name != "repeated" or repeated is not None],
        "rows": [
            {
                "arm": row.arm,
                "checkpoint": row.checkpoint,
                "condition": row.condition,
                "means": _figures({name: _from_zero(mean) for name, mean in row.means.items()}),
                "changes": _figures(changes.get((row.arm, row.condition), {})),
                "finish_reasons": dict(row.finish_reasons),
                "answers": row.answers,
                "failed": row.failed,
            }
            for row in whole
        ],
    }


def _figures(found: Mapping[str, Interval | None]) -> dict[str, Any]:
    return {name: as_figure(_honest(interval)) for name, interval in found.items()}


def _from_zero(found: Interval | None) -> Interval | None:
    """With the lower end at 0 at least: no measure of a text is below it."""
    if found is None or found.low is None:
        return found
    return replace(found, low=max(found.low, 0.0))


def _honest(found: Interval | None) -> Interval | None:
    """Without the ends of an interval that has no width: where all documents are the same, the
    spread is not known.
    """
    if found is None or found.low is None or found.low != found.high:
        return found
    return Interval(found.value, None, None, found.n)
