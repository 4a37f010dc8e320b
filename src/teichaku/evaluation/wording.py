"""The proof that a held-out wording is not in the training text.

A question leaks if it, or any neighbourhood of eight characters of it beyond the entity's
name, stands in a training question or answer. In scripts with spaces, where eight characters
are hardly two words, the neighbourhood is three times as wide. What a question says beyond the
name is often shorter than that: it is held against all that training asks about the passage
as a whole, and leaks where hardly a letter differs.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from teichaku.core.records import Example, Passage
from teichaku.core.text import (
    character_ngrams,
    comparable,
    content_terms,
    is_unspaced,
    question_key,
    script,
    title_names,
)

NEIGHBOURHOOD = 8
_SPACED_FACTOR = 3
_QUOTED = re.compile(r"[「『\"“]([^「」『』\"“”]{2,})[」』\"”]")
_SAME_QUESTION = 0.85
_NAME_SCRIPTS = ("han", "katakana", "latin", "digit")


def neighbourhood_width(text: str) -> int:
    """How many neighbouring characters of ``text`` make a wording."""
    return NEIGHBOURHOOD if is_unspaced(text) else NEIGHBOURHOOD * _SPACED_FACTOR


def names_in(text: str, passage: Passage) -> list[str]:
    """The names of what ``passage`` is about that stand in ``text``, comparable, longest first:
    its title, the parts of the title that stand alone, and what ``text`` quotes from it.
    """
    asked, whole = comparable(text), comparable(f"{passage.title}\n{passage.text}")
    quoted = (match.group(1) for match in _QUOTED.finditer(text))
    terms = (t for t in content_terms(passage.title) if len(t) >= 3 and is_unspaced(t))
    candidates = {comparable(name) for name in (*title_names(passage.title), *terms, *quoted)}
    found = {name for name in candidates if len(name) >= 2 and name in asked and name in whole}
    return sorted(found, key=lambda name: (-len(name), name))


class WordingIndex:
    """All neighbourhoods of a training text, to look wordings up in."""

    def __init__(self, examples: Iterable[Example]) -> None:
        # A neighbourhood's document; empty where several documents' examples have it.
        self._grams: dict[int, dict[str, str]] = {
            NEIGHBOURHOOD: {},
            NEIGHBOURHOOD * _SPACED_FACTOR: {},
        }
        self._asked: dict[str, list[str]] = {}
        self._told: dict[str, list[str]] = {}
        for example in examples:
            if example.is_text:
                # It may say what the passage says; a question leaks where it stands there whole.
                self._told.setdefault(example.document_id, []).append(comparable(example.answer))
                continue
            self._asked.setdefault(example.passage_id, []).append(example.question)
            for text in (example.question, example.answer):
                folded = comparable(text)
                for width, grams in self._grams.items():
                    for gram in character_ngrams(folded, width) if len(folded) >= width else ():
                        if grams.setdefault(gram, example.document_id) != example.document_id:
                            grams[gram] = ""

    def leak(self, question: str, passage: Passage) -> str:
        """The first neighbourhood of ``question`` that stands in the training text, or the
        training question of ``passage`` that it repeats; empty where nothing does.
        """
        whole = comparable(f"{passage.title}\n{passage.text}")
        for piece in _beyond_names(comparable(question), names_in(question, passage)):
            width = neighbourhood_width(piece)
            for start in range(len(piece) - width + 1):
                gram = piece[start : start + width]
                document = self._grams[width].get(gram)
                if document is None or _is_name_like(gram):
                    continue
                # What several documents are asked about and the passage itself says is a name
                # that they share, such as a company's, and not the wording of a question.
                if document or gram not in whole:
                    return gram
        folded = comparable(question)
        if any(folded in told for told in self._told.get(passage.document_id, ())):
            return question
        rest = _rest(question, passage)
        for asked in self._asked.get(passage.id, ()):
            same = SequenceMatcher(None, _rest(asked, passage), rest, autojunk=False)
            if same.ratio() >= _SAME_QUESTION:
                return asked
        return ""


def _beyond_names(folded: str, names: Iterable[str]) -> list[str]:
    pieces = [folded]
    for name in names:
        pieces = [part for piece in pieces for part in piece.split(name)]
    return pieces


def _rest(question: str, passage: Passage) -> str:
    """What ``question`` says beyond the names and the polite ending."""
    return "".join(_beyond_names(question_key(question), names_in(question, passage)))


def _is_name_like(gram: str) -> bool:
    """Eight characters without any grammar between them are a piece of a term
    (大規模言語モデル), not of a wording. Only Japanese shows this by its scripts.
    """
    scripts = {script(character) for character in gram}
    return bool(scripts & {"han", "katakana"}) and scripts <= {*_NAME_SCRIPTS, "other"}
