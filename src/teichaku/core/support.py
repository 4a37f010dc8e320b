"""How far one text carries what another says, without any model: by numbers and content terms
(:func:`support`), and letter by letter (:func:`alignments`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from rapidfuzz import fuzz

from teichaku.core.numerals import NUMERAL_KANJI
from teichaku.core.text import (
    comparable,
    contains,
    content_terms,
    kana,
    numbers,
    script,
    sentences,
)

#: Neighbouring characters that make a word, in scripts whose terms are whole phrases.
PHRASE_PARTS = {"han": 2, "thai": 4}


@dataclass(frozen=True)
class Support:
    """How far a text carries a claim.

    ``carried`` has each content term of the claim with the number of its characters that stand
    in the text, ``missing_numbers`` the numbers of the claim that do not.
    """

    missing_numbers: tuple[str, ...]
    carried: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float:
        """Share of the characters of the terms that stand in the text; 0 where there is no term."""
        total = sum(len(term) for term, _ in self.carried)
        return sum(length for _, length in self.carried) / total if total else 0.0

    @property
    def missing_terms(self) -> tuple[str, ...]:
        """The terms that do not stand in the text, or not wholly."""
        return tuple(dict.fromkeys(term for term, length in self.carried if length < len(term)))


@dataclass(frozen=True)
class _Claim:
    """``terms``: each with its letters, and with the size of the parts in which it is looked up
    (0 where it counts whole).
    """

    whole: str
    numbers: frozenset[str]
    terms: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class _Ground:
    whole: str
    numbers: frozenset[str]


def support(claim: str, ground: str) -> Support:
    """How far ``ground`` carries ``claim``; a claim that stands there as a whole, wholly."""
    read, carrier = _read_claim(claim), _read_ground(ground)
    # The first is cheap, and always true where the second is.
    if read.whole in carrier.whole and contains(ground, claim):
        terms = terms_of(claim) or (read.whole,)
        return Support((), tuple((term, len(term)) for term in terms))
    carried = (
        (term, _carried(term, letters, size, carrier.whole)) for term, letters, size in read.terms
    )
    return Support(tuple(sorted(read.numbers - carrier.numbers)), tuple(carried))


def terms_of(claim: str) -> tuple[str, ...]:
    """The content terms of ``claim``, as :attr:`Support.carried` has them."""
    return tuple(term for term, _, _ in _read_claim(claim).terms)


@lru_cache(maxsize=16_384)
def _read_claim(text: str) -> _Claim:
    is_phrase = not kana(text)
    terms = tuple(
        (
            term,
            "".join(character for character in term if not character.isdigit()),
            PHRASE_PARTS.get(script(term[-1]), 0) if is_phrase else 0,
        )
        for term in map(comparable, content_terms(text))
        if term
    )
    return _Claim(comparable(text), frozenset(numbers(text)), terms)


@lru_cache(maxsize=256)
def _read_ground(text: str) -> _Ground:
    return _Ground(comparable(text), frozenset(numbers(text)))


def _carried(term: str, letters: str, size: int, whole: str) -> int:
    """How many characters of ``term`` stand in ``whole``: all or none, but in scripts where a
    term is a whole phrase (Chinese, Thai) those of its parts.

    A term with digits may carry another unit than the text does (1800円 for 価格：1800); its
    number is checked apart.
    """
    if term in whole or (letters != term and (len(letters) <= 2 or letters in whole)):
        return len(term)
    if not size:
        return 0
    found: set[int] = set()
    for start in range(len(term) - size + 1):
        if term[start : start + size] in whole:
            found.update(range(start, start + size))
    return len(found)


@dataclass(frozen=True)
class Alignment:
    """A place of a text that says a claim in nearly the same letters.

    ``share`` is 1 where the claim stands there, else less: the normalised Indel similarity of
    the claim and ``window``, the like letters of the text as :func:`comparable`, with all
    numbers taken for the same. The window is of ``piece``, a sentence of the text or two that
    follow each other.
    """

    share: float
    piece: str
    window: str


def alignments(claim: str, ground: str, least: float) -> tuple[Alignment, ...]:
    """The places of ``ground`` that are like ``claim``, at least ``least``, the likest first.

    Numbers count as the same, so that a sentence with another number in it is found; whoever
    asks compares them.
    """
    wanted = comparable(claim)
    if not wanted or (wanted in comparable(ground) and contains(ground, claim)):
        return (Alignment(1.0, claim, wanted),)
    blank = _blank(wanted)
    found = []
    for piece, letters, masked, longer_than in _pieces(ground):
        if len(blank) <= longer_than:
            continue
        # Part of a long sentence is enough; a short one must be like the whole claim.
        if len(masked) < len(blank):
            share, window = fuzz.ratio(blank, masked, score_cutoff=100 * least), letters
        else:
            share, window = _likest(blank, letters, masked, 100 * least)
        if share:
            found.append(Alignment(min(share / 100, _NEARLY), piece, window))
    # Of places that are as like, those first that have the claim's own numbers.
    return tuple(sorted(found, key=lambda a: (-a.share, -fuzz.ratio(wanted, a.window))))


def aligned(claim: str, ground: str, least: float = 0.0) -> Alignment:
    """The first of :func:`alignments`; of no share, where there is none."""
    return next(iter(alignments(claim, ground, least)), Alignment(0.0, "", ""))


#: Letters that stand in a text need not stand alone there (8人 in 48人).
_NEARLY = 0.999
_NUMBER_LETTERS = re.compile(rf"\d+(?:\.\d+)?|[{NUMERAL_KANJI}]+")
#: A letter that :func:`comparable` leaves in no text.
_BLANK = "\ue000"


def _blank(letters: str) -> str:
    return _NUMBER_LETTERS.sub(_BLANK, letters)


def _likest(blank: str, letters: str, masked: str, cutoff: float) -> tuple[float, str]:
    """How like the likest part of ``masked`` is to ``blank``, and that part of ``letters``."""
    found = fuzz.partial_ratio_alignment(blank, masked, score_cutoff=cutoff)
    if found is None:
        return 0.0, ""
    numbers_here = iter(_NUMBER_LETTERS.findall(letters))
    plain = [next(numbers_here) if letter == _BLANK else letter for letter in masked]
    return found.score, "".join(plain[found.dest_start : found.dest_end])


@lru_cache(maxsize=256)
def _pieces(text: str) -> tuple[tuple[str, str, str, int], ...]:
    """The sentences of ``text``, and each with the next one: their letters, these with numbers
    blanked, and how many letters a claim must exceed to come from them (two sentences carry
    only what is longer than either).
    """
    read = [(s.strip(), comparable(s)) for s in sentences(text)]
    single = [(piece, letters, _blank(letters), 0) for piece, letters in read if letters]
    double = [
        (
            f"{one[0]}\n{other[0]}",
            one[1] + other[1],
            one[2] + other[2],
            max(len(one[2]), len(other[2])),
        )
        for one, other in pairwise(single)
    ]
    return (*single, *double)
