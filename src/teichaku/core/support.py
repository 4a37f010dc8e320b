"""How far one text carries what another says, without any model: by numbers and content terms
(:func:`support`), and letter by letter (:func:`aligned`).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from rapidfuzz import fuzz, process

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
    """What a claim comes nearest to in a text, letter by letter.

    ``share`` is 1 where the claim stands in the text, else the normalised Indel similarity of
    the claim and ``window``, the like letters of the text as :func:`comparable`; these are of
    ``piece``, a sentence of the text or two that follow each other.
    """

    share: float
    piece: str = ""
    window: str = ""


def aligned(claim: str, ground: str, least: float = 0.0) -> Alignment:
    """Where ``ground`` says ``claim`` in nearly the same letters; nowhere (share 0) below
    ``least``. Of pieces that are as near, the first.
    """
    wanted, whole = comparable(claim), comparable(ground)
    if not wanted or (wanted in whole and contains(ground, claim)):
        return Alignment(1.0, claim, wanted)
    pieces = _pieces(ground)
    best, cutoff = Alignment(0.0), 100 * least
    # Part of a long piece is enough; a short one must be like the whole claim.
    for is_part, scorer in ((True, fuzz.partial_ratio), (False, fuzz.ratio)):
        letters = [each for _, each in pieces if (len(each) >= len(wanted)) == is_part]
        found = process.extractOne(wanted, letters, scorer=scorer, score_cutoff=cutoff)
        if found is not None and found[1] > 100 * best.share:
            piece = next(piece for piece, each in pieces if each == found[0])
            window = _window(wanted, found[0]) if is_part else found[0]
            best = Alignment(found[1] / 100, piece, window)
    return best


def _window(wanted: str, letters: str) -> str:
    """The part of ``letters`` that ``wanted`` is most like."""
    found = fuzz.partial_ratio_alignment(wanted, letters)
    return letters[found.dest_start : found.dest_end] if found else letters


@lru_cache(maxsize=256)
def _pieces(text: str) -> tuple[tuple[str, str], ...]:
    """The sentences of ``text``, and each with the next one, with their letters."""
    single = [sentence.strip() for sentence in sentences(text) if comparable(sentence)]
    double = [f"{one}\n{other}" for one, other in pairwise(single)]
    return tuple((piece, comparable(piece)) for piece in [*single, *double])
