"""What the methods for instructions ask of a text: how alike two are, how long one is, and
whether it has words that give it away.

Words count where a script puts spaces between them, characters where it does not, so every
measure here holds for Japanese, Chinese and Thai as it does for English.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Indel

from teichaku.core.text import UNSPACED_SCRIPTS, comparable, kana, normalise, script

#: Characters that say about as much as one English word, by script; kanji among kana count
#: like kana.
_WORD_CHARACTERS = {"hiragana": 2.0, "katakana": 2.0, "han": 1.5}
_OTHER_WORD_CHARACTERS = 4.0
#: A share that is just 0.7 must not come out above it.
_DECIMALS = 9
#: Between these and their like a word goes on, so a word of them is not found inside a longer
#: one: グラフ is not in パラグラフ, map not in mapping.
_WORD_SCRIPTS = frozenset({"latin", "greek", "cyrillic", "katakana"})
#: Marks that a sentence may begin with: of quotation, of something put first, and Spanish ones.
_OPENING_MARKS = frozenset("「『“‘«【〈《（(¿¡")
#: The end of a word in a list at which no letter of the same script may stand.
_BOUNDARY = "|"
_APOSTROPHES = dict.fromkeys(map(ord, "‘’ʼ"), "'")
#: So many likenesses at a time when many texts are looked for: 16 MB.
_CELLS = 4_000_000
_QUOTES = frozenset({"「」", "『』", "“”", "‘’", "«»", '""', "''"})


@dataclass(frozen=True)
class InstructionWords:
    """The words of a language by which instructions and replies are sorted out.

    A bar at an end (``次の図|``) is no part of a word: it says that the word ends there, so that
    it is not found in 次の図書館.

    ``beyond_text``: things that a text cannot show or do. ``program_begins`` and
    ``program_holds``: requests to write a program, by how they begin and by what they hold.
    ``refusals``: words of a refusal. ``template``: words of the prompts that ask for a rewriting.
    ``empty``: words that say nothing alone. ``no_input``: what stands for an input where there
    is none.
    """

    beyond_text: tuple[str, ...] = ()
    program_begins: tuple[str, ...] = ()
    program_holds: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    template: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    no_input: tuple[str, ...] = ()


def units(text: str) -> list[str]:
    """The units of ``text`` that ROUGE-L compares: words where they stand apart, else single
    characters, normalised; punctuation and symbols only where there is nothing else.
    """
    found: list[str] = []
    word = ""
    for character in normalise(text):
        is_part = unicodedata.category(character)[0] in "LNM"
        if is_part and script(character) not in UNSPACED_SCRIPTS:
            word += character
            continue
        if word:
            found.append(word)
            word = ""
        if is_part:
            found.append(character)
    if word:
        found.append(word)
    return found or [character for character in normalise(text) if not character.isspace()]


def estimated_words(text: str) -> float:
    """How many words ``text`` has: the words themselves where they stand apart, else as many
    English words as its characters say about (two of Japanese, one and a half of Chinese, four
    of Thai a word).
    """
    in_japanese = kana(text)
    total = 0.0
    for unit in units(text):
        name = script(unit[0])
        if name not in UNSPACED_SCRIPTS:
            total += 1
        elif name == "han" and in_japanese:
            total += 1 / _WORD_CHARACTERS["hiragana"]
        else:
            total += 1 / _WORD_CHARACTERS.get(name, _OTHER_WORD_CHARACTERS)
    return total


def similarity(first: str, second: str) -> float:
    """ROUGE-L F1 of two texts over their :func:`units`, from 0 to 1."""
    return round(float(Indel.normalized_similarity(units(first), units(second))), _DECIMALS)


class SimilarityIndex:
    """Texts in which the one most like another is looked for.

    Each unit becomes one code point. ROUGE-L F1 is twice the longest common subsequence over
    both lengths, which is Indel similarity, so rapidfuzz's bit-parallel search does it, and
    leaves a text as soon as its length or its bound on the rest says that it cannot win.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._codes: dict[str, str] = {}
        self._texts: list[str] = []
        self._encoded: list[str] = []
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """One more text to be found."""
        self._texts.append(text)
        self._encoded.append(self._encode(text))

    def __len__(self) -> int:
        return len(self._texts)

    def nearest(self, text: str, above: float, since: int = 0) -> tuple[str, float] | None:
        """The text most like ``text``, with its similarity; None where none is ``above``. The
        first ``since`` texts are left out.
        """
        found = process.extractOne(
            self._encode(text),
            self._encoded[since:] if since else self._encoded,
            scorer=Indel.normalized_similarity,
            score_cutoff=above,
        )
        return None if found is None else self._above(since + found[2], found[1], above)

    def nearest_each(self, texts: Sequence[str], above: float) -> list[tuple[str, float] | None]:
        """:meth:`nearest` of each of ``texts``, in order, on all processors. Even on one it is
        faster than one by one, because the index is gone through for many texts at once.
        """
        encoded = [self._encode(text) for text in texts]
        if not self._encoded:
            return [None] * len(encoded)
        found: list[tuple[str, float] | None] = []
        size = max(1, _CELLS // len(self))
        for start in range(0, len(encoded), size):
            block = encoded[start : start + size]
            likeness = process.cdist(
                block,
                self._encoded,
                scorer=Indel.normalized_similarity,
                score_cutoff=above,
                dtype=np.float32,
                workers=-1,
            )
            for one, place in zip(block, likeness.argmax(axis=1).tolist(), strict=True):
                exact = Indel.normalized_similarity(one, self._encoded[place])
                found.append(self._above(place, exact, above))
        return found

    def _above(self, place: int, likeness: float, above: float) -> tuple[str, float] | None:
        rounded = round(float(likeness), _DECIMALS)
        return (self._texts[place], rounded) if rounded > above else None

    def _encode(self, text: str) -> str:
        return "".join(self._code(unit) for unit in units(text))

    def _code(self, unit: str) -> str:
        known = self._codes.get(unit)
        if known is None:
            number = len(self._codes)
            # Surrogates are no characters.
            known = self._codes[unit] = chr(number if number < 0xD800 else number + 0x800)
        return known


def mentioned(text: str, words: Sequence[str]) -> str:
    """The first of ``words`` that stands in ``text`` as a word; empty where none does."""
    whole = _folded(text)
    found = next((word for word in words if _stands_in(whole, _folded(word))), "")
    return found.strip(_BOUNDARY)


def begins_with(text: str, words: Sequence[str]) -> str:
    """The first of ``words`` that ``text`` begins with; empty where none does."""
    whole = _folded(text)
    for word in words:
        begun = _folded(word).strip(_BOUNDARY)
        if begun and whole.startswith(begun):
            return word.strip(_BOUNDARY)
    return ""


def begins_with_punctuation(text: str) -> bool:
    """Whether ``text`` begins with a mark; opening marks and signs of currency are none."""
    first = text.strip()[:1]
    category = unicodedata.category(first) if first else ""
    return category[:1] in ("P", "S") and category != "Sc" and first not in _OPENING_MARKS


def says_nothing(text: str, words: Sequence[str]) -> bool:
    """Whether ``text`` is nothing but punctuation and ``words``. A symbol such as ○ says
    something, and so does a single letter: it may be one of several choices.
    """
    known = {normalise(word) for word in words}
    runs = "".join(
        " " if unicodedata.category(character)[0] in "PZC" else character
        for character in normalise(text)
    )
    words_said = runs.split()
    is_choice = len(words_said) == 1 and len(words_said[0]) == 1
    return not is_choice and all(run in known for run in words_said)


def own_input(text: str, instruction: str, words: Sequence[str]) -> str:
    """``text`` as the input of ``instruction``; empty where it only repeats the instruction, or
    is but one of ``words``, which say that there is none. A word in brackets, ``(空)``, counts in
    brackets only.
    """
    whole = normalise(text)
    bare = whole.strip("()[]<>「」.。-")
    is_none = not {whole, bare}.isdisjoint({"", *map(normalise, words)})
    return "" if is_none or comparable(text) == comparable(instruction) else text


def without_quotes(text: str) -> str:
    """``text`` without the quotes that stand around all of it."""
    inner = text[1:-1]
    return (
        inner
        if text[:1] + text[-1:] in _QUOTES and not set(text[:1] + text[-1:]) & set(inner)
        else text
    )


def _folded(text: str) -> str:
    """``text`` normalised, with one kind of apostrophe."""
    return normalise(text).translate(_APOSTROPHES)


def _stands_in(whole: str, word: str) -> bool:
    begins, ends = word.startswith(_BOUNDARY), word.endswith(_BOUNDARY)
    word = word.strip(_BOUNDARY)
    start = whole.find(word) if word else -1
    while start >= 0:
        end = start + len(word)
        if not (_goes_on(whole, start, begins) or _goes_on(whole, end, ends)):
            return True
        start = whole.find(word, start + 1)
    return False


def _goes_on(whole: str, place: int, in_any_script: bool) -> bool:
    """Whether a word goes on across ``place``: in any script, or in those where it surely does."""
    if not 0 < place < len(whole):
        return False
    before, after = script(whole[place - 1]), script(whole[place])
    return before == after and before != "other" and (in_any_script or before in _WORD_SCRIPTS)
