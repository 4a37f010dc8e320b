"""How well retrieval found the right passage."""

from typing import Any

from teichaku.report import tables
from teichaku.report.evidence import Evidence
from teichaku.report.intervals import rounded
from teichaku.report.wording import Wording

#: Where more than this share of the questions is asked without a passage, the condition is no
#: retrieval.
_WITHOUT = 0.1


def retrieval(evidence: Evidence) -> dict[str, Any]:
    """The quality by kind of question, ``all`` last; empty where nothing was searched."""
    found = evidence.finished.json("retrieval", "quality.json")
    if not found:
        return {}
    kinds = found["kinds"]
    cutoffs = sorted({int(k) for row in kinds.values() for k in row["recall"]})
    order = [*tables.KINDS, tables.ALL_KINDS]
    return {
        "by_meaning": "meaning" in found["searches"],
        "passages": found["passages"],
        "to_show": found["to_show"],
        "room": found["room"],
        "cutoffs": cutoffs,
        "rows": [_row(kind, kinds[kind], cutoffs) for kind in tables.ordered(kinds, order)],
    }


def asked_without(evidence: Evidence) -> tuple[int, int]:
    """How many questions were asked without any passage, and how many in all."""
    found = evidence.finished.json("retrieval", "quality.json")
    counts = evidence.stages.get("retrieval", {}).get("counts") or {}
    without = found["kinds"].get(tables.ALL_KINDS, {}).get("without", 0) if found else 0
    return int(without), int(counts.get("in", 0))


def is_retrieval(evidence: Evidence) -> bool:
    """Whether the questions of the condition were asked with passages, but for a tenth at most;
    else its scores are no word on retrieval.
    """
    without, asked = asked_without(evidence)
    return without <= _WITHOUT * asked


def retrieval_caveats(evidence: Evidence, words: Wording) -> list[str]:
    """That retrieval was asked for, and showed too little."""
    if is_retrieval(evidence):
        return []
    without, asked = asked_without(evidence)
    told = {"without": words.count(without), "questions": words.count(asked)}
    return [words("caveats.without_passages", **told)]


def _row(kind: str, quality: dict[str, Any], cutoffs: list[int]) -> dict[str, Any]:
    def figure(interval: dict[str, Any] | None) -> dict[str, Any] | None:
        if interval is None:
            return None
        ends = {name: rounded(interval[name]) for name in ("value", "low", "high")}
        return {**ends, "n": interval["n"], "documents": quality["documents"], "failed": 0}

    return {
        "question_kind": kind,
        "recall": [figure(quality["recall"].get(str(k))) for k in cutoffs],
        "shown": figure(quality["shown"]),
        "reciprocal_rank": figure(quality["reciprocal_rank"]),
        "questions": quality["questions"],
        "cut": quality["cut"],
        "without": quality["without"],
    }
