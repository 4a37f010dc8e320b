"""A run's report, with what it needs of other stages."""

from typing import Any

from teichaku.core.run_folder import RunFolder
from teichaku.core.text import comparable
from teichaku.curation.rules.length import width
from teichaku.curation.rules.repetition import RepetitionLimits, repetition

_LIMITS = RepetitionLimits()


def make_report(run: RunFolder, language: str = "") -> dict[str, Any]:
    """Make the report of ``run`` anew, in the language of its recipe where none is named; what
    ``report.json`` holds. Raises as :func:`~teichaku.report.build.build_report`.
    """
    from teichaku.report.build import build_report

    return build_report(run, language or run.read_json("run.json")["language"], repeated)


def repeated(text: str) -> float:
    """The share of a text that repeats what it has already, as the filter ``repetition`` counts
    it: whole sentences, wordings, or a piece that follows upon itself too often.
    """
    found = repetition(text)
    looped = 0.0
    if found.run > _LIMITS.run and found.run * width(found.unit) >= _LIMITS.run_width:
        looped = (found.run - 1) * len(found.unit) / len(comparable(text))
    return min(1.0, max(found.sentences, found.ngrams, looped))
