"""Refusals, talk of the model about itself, and the words with which it hands over its work.

The phrases are data (``words/LANGUAGE.yaml``); all languages are looked for in every text,
because a teacher falls back into English. A phrase counts where the text itself says it: at
the start of the text, of a sentence, in the last one, or where the text says nothing else; and
never inside quotation marks, so that a text which quotes a refusal or tells of an AI stays.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from teichaku.core.records import Example
from teichaku.core.text import sentences
from teichaku.curation.rules.parts import GAP, Part, folded, parts, seen, without_quotes

Reason = Literal["refusal", "meta_talk", "preamble"]
Place = Literal["start", "sentence", "end", "only"]

_REASONS: tuple[Reason, ...] = ("refusal", "meta_talk", "preamble")
#: What each kind of phrase spoils. A question may hold out a phrase to be answered, but it has
#: no business to hand over work.
_SPOILED: Mapping[Part, tuple[Reason, ...]] = {
    "question": ("preamble",),
    "answer": _REASONS,
    "text": _REASONS,
}
_FOLDER = Path(__file__).parent / "words"
#: Spaces beside kana and kanji mean nothing; Thai ends its sentences with one.
_LOOSE_SPACE = re.compile(
    r"(?<=[\u3000-\u30ff\u3400-\u9fff])[ \t]+|[ \t]+(?=[\u3000-\u30ff\u3400-\u9fff])"
)
_THAI_END = re.compile(r"(?<=[\u0e00-\u0e7f])\s+(?=\S)")
#: What may stand before the first word: marks of lists and headings, emphasis, emoji.
_LEADING = re.compile(rf"[^\w{GAP}]*")


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of one language: patterns by reason and place, and lists of words by name."""

    patterns: Mapping[tuple[Reason, Place], re.Pattern[str]]
    words: Mapping[str, tuple[str, ...]]


@cache
def phrases() -> Mapping[str, Phrases]:
    """All phrases of the package, by language; read once."""
    return {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.yaml"))}


@cache
def words(name: str) -> frozenset[str]:
    """The words that any language lists under ``name`` (``labels``, ``asks_for.dialogue``)."""
    return frozenset(word for found in phrases().values() for word in found.words.get(name, ()))


def asks_for(question: str, what: str) -> bool:
    """Whether ``question`` asks for something in which ``what`` is natural."""
    asked = folded(question)
    return any(word in asked for word in words(f"asks_for.{what}"))


def model_talk(example: Example) -> tuple[str, str] | None:
    """The rule: no part of an example is a refusal, talk about the model, or a preamble."""
    for part, text in parts(example):
        # 「わかりません。」 is a good translation.
        may_be_all = not asks_for(example.asked, "another_language")
        found = _spoken(text, _SPOILED.get(part, ()), may_be_all)
        if found:
            return found[0], f"'{found[1]}'; {seen(part, text)}"
    return None


def _spoken(text: str, reasons: Sequence[Reason], alone: bool) -> tuple[Reason, str] | None:
    """The first reason whose phrase ``text`` says, and the phrase; ``alone``: also those that
    count where nothing else is said.
    """
    bare = _LOOSE_SPACE.sub("", without_quotes(folded(text))).replace("’", "'")
    said = [piece for piece in _pieces(bare) if piece]
    if not said:
        return None
    places: tuple[tuple[Place, Sequence[str]], ...] = (
        ("start", [_LEADING.sub("", bare, count=1)]),
        ("sentence", said),
        ("end", said[-2:]),
        ("only", [_LEADING.sub("", bare, count=1)] if alone else []),
    )
    for reason in reasons:
        for place, candidates in places:
            for found in phrases().values():
                pattern = found.patterns.get((reason, place))
                for candidate in candidates if pattern else ():
                    match = pattern.match(candidate) if pattern else None
                    if match and (place != "only" or _says_no_more(candidate[match.end() :])):
                        return reason, match.group().strip()[:80]
    return None


def _says_no_more(rest: str) -> bool:
    return not any(character.isalnum() for character in rest)


def _pieces(text: str) -> Iterator[str]:
    for sentence in sentences(text):
        yield _LEADING.sub("", sentence, count=1)
        for match in _THAI_END.finditer(sentence):
            yield sentence[match.end() :]


def _read(path: Path) -> Phrases:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    patterns = {
        (reason, place): _any_of(entries)
        for reason in _REASONS
        for place, entries in data.pop(reason, {}).items()
    }
    lists = {f"asks_for.{name}": found for name, found in data.pop("asks_for", {}).items()}
    return Phrases(
        patterns,
        {name: tuple(map(folded, map(str, found))) for name, found in {**lists, **data}.items()},
    )


def _any_of(entries: Sequence[str]) -> re.Pattern[str]:
    """One pattern, which ends no Latin word in the middle; NFKC, for that takes Thai apart."""
    whole = "|".join(unicodedata.normalize("NFKC", entry) for entry in entries)
    return re.compile(rf"(?:{whole})(?!(?<=[a-z0-9])[a-z0-9])")
