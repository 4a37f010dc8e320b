"""Length bands: nothing too short to say something, nothing that ran on.

Texts are measured in full-width characters after normalising: what East Asian typography sets
in a full square (kana, kanji, hangul, their punctuation; Unicode Standard Annex 11) counts as
one, everything else as half. So one band holds for Japanese and for English: of 500 sentences
of meetings in both languages (AMI corpus) the English ones have 2.07 times the characters.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from teichaku.core.records import Example
from teichaku.core.text import normalise
from teichaku.curation.chain import Rule
from teichaku.curation.rules.parts import Part, parts, seen

#: What a character outside the full-width scripts counts.
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Band:
    """The least and the greatest length in full-width characters, both included."""

    least: float
    most: float


#: An input of an instruction may be as long as a text.
BANDS: Mapping[Part, Band] = {
    "question": Band(3, 1000),
    "input": Band(0.5, 8000),
    "answer": Band(0.5, 4000),
    "text": Band(10, 8000),
}


def width(text: str, half: float = HALF) -> float:
    """The length of ``text`` in full-width characters; all others count ``half`` each."""
    total = 0.0
    for character in normalise(text):
        total += 1.0 if unicodedata.east_asian_width(character) in "WF" else half
    return total


def length(bands: Mapping[Part, Band] = BANDS, half: float = HALF) -> Rule:
    """The rule: each part of an example is within its band; a part without a band passes."""

    def rule(example: Example) -> tuple[str, str] | None:
        for part, text in parts(example):
            band = bands.get(part)
            if band is None:
                continue
            size = width(text, half)
            if not band.least <= size <= band.most:
                reason = "too_short" if size < band.least else "too_long"
                limit = band.least if size < band.least else band.most
                return (
                    reason,
                    f"{size:g} full-width characters, limit {limit:g}; {seen(part, text)}",
                )
        return None

    return rule
