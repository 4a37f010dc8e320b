"""What the run took in, dropped, trained on and cost, as the stages wrote it."""

import json
from collections.abc import Iterable
from typing import Any

from teichaku.core.records import Dropped
from teichaku.report import tables
from teichaku.report.evidence import Arm, Evidence

SAMPLES = 3
_POINTS_PER_CURVE = 300
_COSTS = (
    "seconds",
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "cached_requests",
    "cached_tokens",
)


def stage_counts(evidence: Evidence) -> list[dict[str, Any]]:
    """One row a stage: what came in, went on and was dropped, and whether it adds up.

    Each reason carries up to three of its records with the evidence that the stage gave.
    """
    return [_stage(evidence, name, summary) for name, summary in evidence.stages.items()]


def _stage(evidence: Evidence, name: str, summary: dict[str, Any]) -> dict[str, Any]:
    counts = summary.get("counts") or {}
    lost = evidence.dropped.get(name, [])
    reasons = dict(counts.get("reasons") or {})
    for row in lost if not reasons else []:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    taken, handed_on = counts.get("in"), counts.get("out")
    dropped = counts.get("dropped", len(lost))
    is_known = taken is not None and handed_on is not None
    return {
        "stage": name,
        "in": taken,
        "out": handed_on,
        "dropped": dropped,
        "adds_up": taken == handed_on + dropped if is_known else None,
        "reasons": [
            {"reason": reason, "count": reasons[reason], "samples": _samples(lost, reason)}
            for reason in sorted(reasons, key=lambda reason: (-reasons[reason], reason))
        ],
        "notes": summary.get("notes") or {},
    }


def _samples(lost: list[Dropped], reason: str) -> list[dict[str, str]]:
    chosen = [row for row in lost if row.reason == reason][:SAMPLES]
    return [
        {
            "kind": row.kind,
            "record": _readable(row.record),
            "evidence": row.evidence,
            "raw": row.raw,
        }
        for row in chosen
    ]


def _readable(record: str) -> str:
    """The fields of a dropped record that tell people what it was."""
    try:
        fields = json.loads(record)
    except json.JSONDecodeError:
        return record
    if not isinstance(fields, dict):
        return record
    told = ("title", "question", "answer", "reference", "source")
    lines = [str(fields[name]) for name in told if fields.get(name)]
    return "\n".join(lines) or str(fields.get("text", ""))[:300]


def training_table(evidence: Evidence, arms: list[Arm]) -> list[dict[str, Any]]:
    """One row an arm: its settings, the tokens that it saw, and its last loss."""
    table = []
    for arm in arms:
        summary = evidence.stages.get(f"training/{arm.name}", {})
        losses = evidence.losses.get(arm.name, [])
        notes = summary.get("notes") or {}
        table.append(
            {
                "arm": arm.name,
                "student": arm.student,
                "data": arm.data,
                "learning_rate": arm.learning_rate,
                "checkpoint": arm.checkpoint,
                "steps": max((row.step for row in losses), default=None),
                "epochs": max((row.epoch for row in losses), default=None),
                "last_loss": losses[-1].loss if losses else None,
                **{
                    name: notes.get(name)
                    for name in ("tokens_seen", "tokens_cut", "tokens_padded", "labelled_tokens")
                },
            }
        )
    return table


def loss_curves(evidence: Evidence) -> list[dict[str, Any]]:
    """The losses by arm and step; a long curve is thinned to means of neighbouring steps."""
    points = []
    for arm, losses in sorted(evidence.losses.items()):
        width = -(-len(losses) // _POINTS_PER_CURVE) or 1
        for start in range(0, len(losses), width):
            piece = losses[start : start + width]
            mean = sum(row.loss for row in piece) / len(piece)
            points.append({"arm": arm, "step": piece[-1].step, "loss": round(mean, 6)})
    return points


def question_counts(evidence: Evidence) -> dict[str, int]:
    """How many questions of each kind were asked."""
    kinds = [str(row.kind) for row in evidence.questions.values()]
    return {kind: kinds.count(kind) for kind in tables.ordered(kinds, tables.KINDS)}


def timing(evidence: Evidence) -> dict[str, Any]:
    """Seconds, requests and tokens by stage, and their sums; ``spent`` is what the account of the
    run says, which no kill and no other recipe makes less: empty where it paid for nothing.
    """
    rows = [
        {"stage": name, **{cost: found.get(cost) for cost in _COSTS}}
        for name, found in evidence.timings.items()
    ]
    totals = {cost: _total(found.get(cost) for found in evidence.timings.values())
              for cost in _COSTS}  # fmt: skip
    return {"stages": rows, "total": totals, "spent": evidence.spending}


def _total(costs: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is, as in runs of older versions."""
    given = list(costs)
    known = [cost for cost in given if cost is not None]
    return round(sum(known), 3) if known or not given else None
