"""Unnatural mixture: sentences of another language in a set of one language.

S4 (Kadoya) found that what hurts in a small selection is such text: English alone, in a set of
Japanese. A name, a term, an abbreviation, a title or code in Latin letters is natural; so is
what stands in quotation marks or brackets. What falls is prose: a run of words most of which
are in lower case, held together by words of grammar. In a text without a letter of the set's
scripts short sentences are prose, too (It was built in 1987. It has two decks.). Chinese in a
Japanese text is told by characters that only simplified writing has, or by sentences without
kana that use the words of Chinese grammar; two languages of Latin letters are not told apart.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from teichaku.core.records import Example
from teichaku.core.text import END_MARKS, LANGUAGE_SCRIPTS, script, sentences
from teichaku.curation.chain import Rule
from teichaku.curation.rules.parts import parts, seen, without_asides
from teichaku.curation.rules.phrases import asks_for, words

_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_WORDS = re.compile(r"[A-Za-z][A-Za-z'’-]*(?:[ \t,;:]+[A-Za-z0-9][A-Za-z0-9'’.-]*)+")
_PROSE_WORDS = 6
_PROSE_GRAMMAR = 2
#: So many sentences with their end marks are no title.
_ENGLISH_SENTENCES = 2
#: Letters of a foreign script that make a sentence foreign, where they are most of it.
_FOREIGN_LETTERS = 8
_OWN_LETTERS = 4
#: So many hiragana are more than the の of a brand: the sentence is Japanese.
_JAPANESE_KANA = 5
#: A name in a script of its own may be as long as this.
_NAME_LETTERS = 20
_SENTENCE_ENDS = frozenset(f"{END_MARKS}.")
#: Scripts of symbols and units, natural everywhere.
_NATURAL = frozenset({"latin", "greek", "other", "digit", "unknown"})


@dataclass(frozen=True, slots=True)
class Measured:
    """A sentence: its letters that are prose of another language, all its letters, whether it
    switches from the language of the set to that prose, and whether it is one of another language
    as a whole: an end mark ends no name.
    """

    sentence: str
    letters: int
    of: int
    switches: bool
    is_sentence: bool


def unnatural_mixture(language: str, share: float = 0.2) -> Rule:
    """The rule: no more than ``share`` of the letters of an answer or running text are prose of
    another language, and no sentence switches to one in the middle.

    Answers to questions that ask for another language pass. Whether the question itself is in
    ``language`` is the business of the filter ``language``. Every text passes in a language
    whose scripts are not known.
    """
    own = LANGUAGE_SCRIPTS.get(language)

    def rule(example: Example) -> tuple[str, str] | None:
        if own is None or asks_for(example.asked, "another_language"):
            return None
        for part, text in parts(example):
            if part not in ("answer", "text") or _is_plain(text, language):
                continue
            measured = list(measure_sentences(text, language))
            found = [place for place in measured if place.letters]
            for place in found:
                if place.switches:
                    return "mixed_languages", f"a sentence switches; {seen(part, place.sentence)}"
            letters = sum(place.letters for place in found)
            of = sum(place.of for place in measured)
            whole = sum(place.letters for place in found if place.is_sentence)
            if letters > share * of and (letters > _NAME_LETTERS or whole):
                where = seen(part, max(found, key=lambda place: place.letters).sentence)
                return "mixed_languages", f"{letters / of:.0%} is not in '{language}'; {where}"
        return None

    return rule


def measure_sentences(text: str, language: str) -> Iterator[Measured]:
    """The sentences of ``text``, asides left out, with how much of each is not in ``language``."""
    own = LANGUAGE_SCRIPTS[language]
    plain = unicodedata.normalize("NFKC", without_asides(text))
    said = list(sentences(plain))
    is_english = _is_english(said, own)
    for sentence in said:
        counts: dict[str, int] = {}
        for character in sentence:
            name = script(character)
            if name not in ("other", "digit"):
                counts[name] = counts.get(name, 0) + 1
        total = sum(counts.values())
        english = 0 if "latin" in own else _prose_letters(sentence)
        if is_english and not english and _is_short_prose(sentence):
            english = counts.get("latin", 0)
        others = sum(n for name, n in counts.items() if name not in own and name not in _NATURAL)
        if language == "ja" and _is_chinese(sentence, counts):
            others += counts.get("han", 0)
        elif language == "zh":
            others = total if counts.get("hiragana", 0) >= _JAPANESE_KANA else others
        mine = sum(counts.get(name, 0) for name in own if name != "latin")
        is_foreign = others >= _FOREIGN_LETTERS and 2 * others >= total
        letters = english or (others if is_foreign else 0)
        is_sentence = bool(letters) and _is_ended(sentence)
        switches = english > 0 and mine >= _OWN_LETTERS
        yield Measured(sentence, letters, total, switches, is_sentence)


def _is_english(said: Sequence[str], own: Collection[str]) -> bool:
    """Whether a text speaks English alone: it has no letter of the ``own`` scripts, two sentences
    at least that end with their marks, and most letters stand in English prose. One sentence
    may be a title, and where the set is of Latin letters, English is not told apart.
    """
    if "latin" in own or any(script(character) in own for one in said for character in one):
        return False
    if sum(map(_is_ended, said)) < _ENGLISH_SENTENCES:
        return False
    letters = [sum(map(str.isalpha, one)) for one in said]
    prose = sum(n for n, one in zip(letters, said, strict=True) if _is_short_prose(one))
    return 2 * prose > sum(letters)


def _is_short_prose(sentence: str) -> bool:
    """Whether a sentence of any length is English prose. Titles are none: beside names they have
    words of grammar alone, and no verb, in small letters. Letters of formulas are no words.
    """
    grammar = words("function_words")
    small = {word for word in _WORD.findall(sentence) if word[0].islower() and len(word) > 1}
    telling = small - grammar | small & words("function_verbs")
    return bool(small & grammar and telling)


def _is_ended(sentence: str) -> bool:
    return sentence.rstrip()[-1:] in _SENTENCE_ENDS


def _is_plain(text: str, language: str) -> bool:
    """Whether a look at ``text`` is enough: all ASCII in a language of Latin letters."""
    return text.isascii() and "latin" in LANGUAGE_SCRIPTS[language]


def _prose_letters(sentence: str) -> int:
    """The letters of English prose in ``sentence``: runs of words, most of them in lower case,
    with words of grammar among them.
    """
    grammar, letters = words("function_words"), 0
    for match in _WORDS.finditer(sentence):
        found = _WORD.findall(match.group())
        small = [word for word in found if word[0].islower()]
        if (
            len(found) >= _PROSE_WORDS
            and 2 * len(small) > len(found)
            and len(grammar.intersection(small)) >= _PROSE_GRAMMAR
        ):
            letters += sum(map(str.isalpha, match.group()))
    return letters


def _is_chinese(sentence: str, counts: dict[str, int]) -> bool:
    """Whether a sentence in a Japanese text is Chinese."""
    simplified = sum(map(_is_simplified, sentence))
    if simplified >= 2 and counts.get("hiragana", 0) <= simplified:
        return True
    if counts.get("hiragana", 0) or counts.get("katakana", 0) or counts.get("han", 0) < 6:
        return False
    return len(words("sentence_characters").intersection(sentence)) >= 2


@lru_cache(maxsize=8192)
def _is_simplified(character: str) -> bool:
    """Whether only simplified Chinese writes ``character``: in GB 2312, but neither in JIS X
    0213 nor in Big5.
    """
    return (
        script(character) == "han"
        and _encodes(character, "gb2312")
        and not _encodes(character, "euc_jis_2004")
        and not _encodes(character, "big5")
    )


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
