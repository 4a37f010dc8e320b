"""What the arms took from data of others: sources, licences, and the parts they make."""

from typing import Any

from teichaku.core.records import MIX
from teichaku.report.evidence import Evidence
from teichaku.report.wording import Wording

_STAGE = "synthesis/"


def mixtures(evidence: Evidence) -> list[dict[str, Any]]:
    """A table for each arm that mixes: of each source how many rows there were, how many examples
    were taken, how many of these the arm kept, and its part of the mixture beside the one that
    its weight asks for.
    """
    return [
        {
            "arm": name.removeprefix(_STAGE),
            "sources": _sources(evidence, name, notes["mix"]),
            # What was asked for and reached; null in a run that did not note it.
            "size": notes.get("mix_size"),
        }
        for name, summary in evidence.stages.items()
        if name.startswith(_STAGE) and "mix" in (notes := summary.get("notes") or {})
    ]


def mixture_caveats(evidence: Evidence, words: Wording) -> list[str]:
    """The arms whose mixture is smaller than the recipe asks for."""
    return [
        words(
            f"caveats.mixture_short_{size['unit']}",
            arm=arm["arm"],
            asked=words.count(size["asked"]),
            reached=words.count(size["reached"]),
        )
        for arm in mixtures(evidence)
        if (size := arm["size"]) and size["short"]
    ]


def _sources(evidence: Evidence, stage: str, notes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    curation = f"curation/{stage.removeprefix(_STAGE)}"
    kept: dict[str, int] = {}
    for example in evidence.examples.get(curation, ()):
        if example.method == MIX:
            kept[example.category] = kept.get(example.category, 0) + 1
    is_curated = curation in evidence.stages
    return [{**note, "kept": kept.get(note["name"], 0) if is_curated else None} for note in notes]
