"""What curation made of the examples: who survived, what was looked for in them, how long they
are, how diverse, and whether a selection did better than its controls.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from teichaku.core.records import Example, content_id
from teichaku.report import tables
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.score_distributions import distributions
from teichaku.report.tables import Cells
from teichaku.report.wording import Wording

#: So many examples are shown of each side.
SAMPLES = 4
#: Lengths are counted in classes that double: 1, 2-3, 4-7, ... characters.
_MOST_CLASSES = 20
#: What is told of the check for benchmark items; the rest of its notes has a section of its own.
_OF_LEAKS = ("files", "items", "leaking_items", "leaking_examples", "action")


def curation(evidence: Evidence) -> list[dict[str, Any]]:
    """For each arm's data: survivors, what was looked for, lengths, scores, diversity, and samples
    before and after.
    """
    found = []
    for name, after in sorted(evidence.examples.items()):
        stage, _, data = name.partition("/")
        before = evidence.examples.get(f"synthesis/{data}")
        if stage != "curation" or before is None:
            continue
        notes = evidence.stages[name].get("notes") or {}
        found.append(
            {
                "data": data,
                "survivors": survivors(before, after),
                "looked_for": looked_for(notes),
                "lengths": [*lengths(before, "before"), *lengths(after, "after")],
                "distributions": distributions(evidence, data),
                "diversity": notes.get("diversity"),
                "thresholds": notes.get("thresholds") or [],
                "samples": {
                    "before": _samples(_to_be_shown(before, notes.get("shown_before"))),
                    "after": _samples(after),
                },
            }
        )
    return found


def survivors(before: Sequence[Example], after: Sequence[Example]) -> list[dict[str, Any]]:
    """How many examples of each method and category (or style) were made, and how many stayed."""
    made, kept = Counter(map(_kind, before)), Counter(map(_kind, after))
    return [
        {"method": kind[0], "category": kind[1], "made": made[kind], "kept": kept[kind]}
        for kind in sorted(made | kept)
    ]


def looked_for(notes: Mapping[str, Any]) -> dict[str, Any]:
    """How much personal data (by kind, and what became of it) and how many benchmark items were
    found in the examples, from the ``notes`` of their curation; never what was found.

    None where nobody looked. What the notes do not tell is left out.
    """
    found = {"personal_data": notes["personal_data"]} if "personal_data" in notes else {}
    leaks = notes.get("leaks")
    found["leaks"] = {name: leaks[name] for name in _OF_LEAKS} if leaks else None
    return found


def _kind(example: Example) -> tuple[str, str]:
    return example.method, example.category or example.style


def lengths(examples: Iterable[Example], side: str) -> list[dict[str, Any]]:
    """How many questions and answers (or running texts) have how many characters: shares of
    each of the two, by classes that double.
    """
    counted: dict[str, Counter[int]] = {}
    for example in examples:
        parts = {"text": example.answer}
        if not example.is_text:
            parts = {"question": example.asked, "answer": example.answer}
        for part, text in parts.items():
            place = min(_MOST_CLASSES, max(1, len(text)).bit_length() - 1)
            counted.setdefault(part, Counter())[place] += 1
    return [
        {
            "side": side,
            "part": part,
            "least": 2**place,
            "most": 2 ** (place + 1) - 1,
            "share": round(count / sum(counts.values()), 6),
        }
        for part, counts in sorted(counted.items())
        for place, count in sorted(counts.items())
    ]


def in_order_of_samples(examples: Iterable[Example]) -> list[Example]:
    """``examples`` in an order by chance, the same every time; the first are shown."""
    return sorted(examples, key=lambda example: content_id("sample", example.id))


def _to_be_shown(examples: Iterable[Example], ids: Sequence[str] | None) -> list[Example]:
    """Those that curation names, where not all may be shown: it masks personal data."""
    return [example for example in examples if ids is None or example.id in ids]


def _samples(examples: Iterable[Example]) -> list[dict[str, str]]:
    return [
        {"method": example.method, "question": example.asked, "answer": example.answer}
        for example in in_order_of_samples(examples)[:SAMPLES]
    ]


def selections(
    evidence: Evidence, scores: Cells, arms: Sequence[Arm], scorer: str, words: Wording
) -> list[dict[str, Any]]:
    """Each selected arm against each of its controls on the same questions, closed book: the
    difference that the selection makes, and what it means in words.

    Compared are arms of the same student and settings; questions in the words of some arms'
    training are left out, since they favour those. ``stated`` tells how many of the held-out
    questions each side was taught the answer to, as (control, selection).
    """
    notes = evidence.stages.get("questions", {}).get("notes") or {}
    stated = {data: row["held_out"] for data, row in (notes.get("stated") or {}).items()}
    found = []
    for arm in arms:
        for control in arms:
            if control.control_of != arm.data or not _is_alike(arm, control):
                continue
            rows = [
                [
                    row
                    for row in scores.get((one.name, one.checkpoint, "closed_book", scorer), [])
                    if row.question_kind != "trained_by_some"
                ]
                for one in (control, arm)
            ]
            both = tables.compare(*rows)
            found.append(
                {
                    "arm": arm.name,
                    "control": control.name,
                    "scorer": scorer,
                    **asdict(both),
                    "stated": [stated.get(control.data), stated.get(arm.data)],
                    "meaning": words(f"curation.findings.{_finding(both.difference)}"),
                }
            )
    return found


def _is_alike(arm: Arm, control: Arm) -> bool:
    """Whether the two differ in nothing but their data."""
    return arm.name.partition("@")[2] == control.name.partition("@")[2]


def _finding(difference: tables.Estimate) -> str:
    if difference.low is None or difference.high is None:
        return "unknown"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "same"
