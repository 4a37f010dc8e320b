"""How well retrieval found the right passage."""

from typing import Any

from teichaku.report import tables
from teichaku.report.evidence import Evidence
from teichaku.report.intervals import rounded


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
