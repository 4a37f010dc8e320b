"""What the student knew before training, and what of the benchmarks was in the training text."""

from typing import Any

from teichaku.report.evidence import Evidence
from teichaku.report.wording import Wording

_STAGE = "novelty"
_KNOWN = "already_known"


def novelty(evidence: Evidence, words: Wording) -> dict[str, Any] | None:
    """How far each score of novelty can be trusted, with what that means in words, and what was
    left out as known; None where the recipe did not ask.
    """
    summary = evidence.stages.get(_STAGE)
    if summary is None:
        return None
    notes = summary.get("notes") or {}
    rows = notes.get("separations") or []
    return {
        "method": notes.get("method"),
        "passages": notes.get("passages"),
        "released": notes.get("released"),
        "threshold": notes.get("threshold"),
        "language_model": notes.get("language_model") or "",
        "scored": notes.get("scored") or {},
        "left_out": _left_out(evidence),
        "rows": [{**row, "meaning": _meaning(row, words)} for row in rows],
    }


def leaks(evidence: Evidence) -> list[dict[str, Any]]:
    """What the check for benchmark items found, by arm."""
    return [
        {"arm": name.partition("/")[2], **found}
        for name, summary in evidence.stages.items()
        if (found := (summary.get("notes") or {}).get("leaks"))
    ]


def _left_out(evidence: Evidence) -> list[dict[str, Any]]:
    """The stages in which something fell because the student knew it, and how much."""
    counted = (
        (name, ((summary.get("counts") or {}).get("reasons") or {}).get(_KNOWN, 0))
        for name, summary in evidence.stages.items()
    )
    return [{"stage": name, "count": count} for name, count in counted if count]


def _meaning(row: dict[str, Any], words: Wording) -> str:
    """What the figures of a score say; of a baseline they say what there is to beat."""
    if row["is_baseline"]:
        return words("novelty.findings.baseline")
    against = words.label("novelty_scores", row["against"]) if row["against"] else ""
    return words(f"novelty.findings.{row['finding']}", against=against)
