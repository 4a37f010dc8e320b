"""The proof that a held-out wording is not in the training text.

A question leaks if it, or any neighbourhood of eight characters of it beyond the entity's
name, stands in a training question or answer. In scripts with spaces, where eight characters
are hardly two words, the neighbourhood is three times as wide. What a question says beyond the
name is often shorter than that: it is held against all that training asks about the passage
as a whole, and leaks where hardly a letter differs. Running text says what the passage says, so
a question leaks only where it stands there whole; but what the text asks is a training question.
An example without a passage, as an instruction is, may be about any.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import chain

from teichaku.core.records import Example, Passage
from teichaku.core.text import (
    character_ngrams,
    comparable,
    content_terms,
    is_unspaced,
    question_key,
    script,
    sentences,
    title_names,
)

NEIGHBOURHOOD = 8
_SPACED_FACTOR = 3
_QUOTED = re.compile(r"[「『\"“]([^「」『』\"“”]{2,})[」』\"”]")
_SAME_QUESTION = 0.85
#: Of a polite question (を答えてください).
_LONGEST_ENDING = 9
_END = r"[。｡]?[」』）)】”\"'*_]*\s*$"
#: How a sentence ends that asks something: Japanese may leave the mark out.
_ASKING = re.compile(
    r"(?:[?？]|(?:です|ます|でした|ました|ません|でしょう|だろう|(?<!ほ)の)か|(?<!さ)かな|かしら)"
    + _END
)
#: A bare か asks only behind a label or an interrogative, and where it is not of such a word.
_BARE_ASKING = re.compile("か" + _END)
_STATING = re.compile(
    r"(?:[静豊確僅柔暖温微密愚仄遥やそ]|(?<!か)ら|わず|しず|ゆた|たし|かす|はる|おろ|ほの|のど|あたた)か"
    + _END
)
_INTERROGATIVE = re.compile(
    r"(?:[何誰]|だれ|どこ|どちら|どれ|いつ|なに|いずれ)(?!も|より)"
    r"|(?<![なほ])どの|どう|どんな|どなた|いくつ|いくら|なぜ"
)
#: Who asks, or that it is a question: ``質問：``, ``Q: ``, ``学生「``.
_LABEL = re.compile(r"^.*?(?:：|:\s|[「『“\"])", re.DOTALL)
_NAME_SCRIPTS = ("han", "katakana", "latin", "digit")


def neighbourhood_width(text: str) -> int:
    """How many neighbouring characters of ``text`` make a wording."""
    return NEIGHBOURHOOD if is_unspaced(text) else NEIGHBOURHOOD * _SPACED_FACTOR


def names_in(text: str, passage: Passage) -> list[str]:
    """The names of what ``passage`` is about that stand in ``text``, comparable, longest first:
    its title, the parts of the title that stand alone, and what ``text`` quotes from it.
    """
    asked, whole = comparable(text), _whole(passage)
    quoted = {comparable(match.group(1)) for match in _QUOTED.finditer(text)}
    candidates = _names_of(passage.title) | quoted
    found = {name for name in candidates if len(name) >= 2 and name in asked and name in whole}
    return sorted(found, key=lambda name: (-len(name), name))


@lru_cache(maxsize=1024)
def _whole(passage: Passage) -> str:
    return comparable(f"{passage.title}\n{passage.text}")


@lru_cache(maxsize=1024)
def _names_of(title: str) -> frozenset[str]:
    """What a title may name: itself, the parts of it that stand alone, its longer terms."""
    terms = (t for t in content_terms(title) if len(t) >= 3 and is_unspaced(t))
    names = map(comparable, (*title_names(title), *terms))
    return frozenset(name for name in names if len(name) >= 2)


class WordingIndex:
    """All neighbourhoods of a training text, to look wordings up in."""

    def __init__(self, examples: Iterable[Example]) -> None:
        # A neighbourhood's document; empty where several documents' examples have it, or one
        # of no document.
        self._grams: dict[int, dict[str, str]] = {
            NEIGHBOURHOOD: {},
            NEIGHBOURHOOD * _SPACED_FACTOR: {},
        }
        # Questions with their comparable form, by passage, and those that a text asks by
        # document, for a text may be about all of it; texts by document. The passage or
        # document is empty where an example has none.
        self._asked: dict[str, dict[str, str]] = {}
        self._told: dict[str, list[str]] = {}
        for example in examples:
            asked = list(_asked_in(example))
            about = example.document_id if example.is_text else example.passage_id
            known = self._asked.setdefault(about, {})
            known.update((question, comparable(question)) for question in asked)
            if example.is_text:
                # It may say what the passage says; a question leaks where it stands there whole.
                self._told.setdefault(example.document_id, []).append(comparable(example.answer))
            for text in asked if example.is_text else (example.asked, example.answer):
                self._add(comparable(text), example.document_id)

    def _add(self, folded: str, document: str) -> None:
        for width, grams in self._grams.items():
            for gram in character_ngrams(folded, width) if len(folded) >= width else ():
                if grams.setdefault(gram, document) != document:
                    grams[gram] = ""

    def leak(self, question: str, passage: Passage) -> str:
        """The first neighbourhood of ``question`` that stands in the training text, or the
        training question of ``passage`` that it repeats; empty where nothing does.
        """
        whole = _whole(passage)
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
        told = (*self._told.get(passage.document_id, ()), *self._told.get("", ()))
        if any(folded in text for text in told):
            return question
        return self._repeated(question, passage)

    def _repeated(self, question: str, passage: Passage) -> str:
        """The training question that ``question`` repeats as a whole, or nothing."""
        rest = _rest(question, passage)
        same = SequenceMatcher(None, "", rest, autojunk=False)
        of_both = (*self._asked.get(passage.id, {}), *self._asked.get(passage.document_id, {}))
        for asked in (*of_both, *self._about(question, passage)):
            same.set_seq1(_rest(asked, passage))
            if same.real_quick_ratio() >= _SAME_QUESTION and same.ratio() >= _SAME_QUESTION:
                return asked
        return ""

    def _about(self, question: str, passage: Passage) -> Iterator[str]:
        """What is asked without a passage and names what ``passage`` is about; where
        ``question`` names nothing, all that is short enough to be the same.
        """
        found = names_in(question, passage)
        names = _names_of(passage.title).union(found)
        longest = 2 * len(comparable(question)) + _LONGEST_ENDING
        for asked, folded in self._asked.get("", {}).items():
            if any(name in folded for name in names) if found else len(folded) <= longest:
                yield asked


def _asked_in(example: Example) -> Iterator[str]:
    """The question of ``example``, and all that is asked in its texts, each also without what
    says who asks.
    """
    if not example.is_text:
        yield example.question
    for sentence in chain.from_iterable(map(sentences, (example.asked, example.answer))):
        if asks(sentence):
            yield sentence.strip()
            label = _LABEL.match(sentence)
            if label and comparable(sentence[label.end() :]):
                yield sentence[label.end() :].strip()


def asks(sentence: str) -> bool:
    """Whether ``sentence`` is a question. Japanese may leave the mark out, but not everything
    that ends in か asks (港は静か).
    """
    if _ASKING.search(sentence):
        return True
    bare = _BARE_ASKING.search(sentence)
    if bare is None or _STATING.search(sentence):
        return False
    return bool(_INTERROGATIVE.search(sentence, 0, bare.start()) or _LABEL.match(sentence))


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
