"""Characters and their n-grams as numpy arrays, of many texts at a time.

The characters are those of ``core.text.comparable``, so what is compared here is what is compared
everywhere. Its rules about marks beside digits are followed for the usual cases by tables and
masks; a text with an unusual one goes through ``comparable`` itself.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np

from teichaku.core.numerals import MINUS_MARKS
from teichaku.core.text import comparable, normalise

#: Odd multipliers with bits all over, for hashes of 64 bits that wrap around.
_STEP, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)

#: What a character is, as bits. A text that has an ``_UNUSUAL`` one is not read by the tables.
_LETTER, _DIGIT, _SUFFIX, _MINUS, _CURRENCY, _EDGE, _UNUSUAL = (1 << bit for bit in range(7))
_WORD = _LETTER | _DIGIT
#: The tables end here: beyond lie rare ideographs and what is no text.
_TABLE = 0x20000
#: What the standard library is asked about; the rest is rare, but for the letters below.
_ASKED = (
    range(0x3400),
    range(0x4DC0, 0x4E00),
    range(0xA000, 0xAC00),
    range(0xD7A4, 0x10000),
    range(0x1F000, 0x1FB00),
)
#: Ideographs and syllables, tens of thousands, all letters that nothing becomes of.
_LETTERS = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xAC00, 0xD7A4))
_HANGUL_JAMO = range(0x1160, 0x1200)


def comparable_codes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The code points of ``comparable(text)`` of all ``texts`` in one uint32 array, and how many
    each text has (int64).
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    # One separator behind each text, and room to look ahead.
    joined = "\n".join(texts) + "\n\n\n\n\n"
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    ends = np.cumsum(lengths + 1) - 1
    fold, kinds = _tables()
    places = np.minimum(codes, np.uint32(_TABLE)).astype(np.int64)
    codes, kind = fold.take(places), kinds.take(places)
    kind[ends] = kind[lengths.sum() + len(texts) :] = _EDGE
    kept, unusual = _kept(codes, kind)
    counts = np.diff(np.cumsum(kept, dtype=np.int64)[ends], prepend=0)
    slow = np.unique(np.searchsorted(ends, unusual))
    whole = codes[kept]
    return (whole, counts) if not len(slow) else _mended(whole, counts, slow, texts)


def ngram_hashes(codes: np.ndarray, counts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The n-grams of ``size`` code points of each text, as often as they occur: whose they are
    (int64), and their hashes (uint64). ``codes`` and ``counts`` as :func:`comparable_codes`
    gives them; a text shorter than ``size`` has none.
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    hashes = rolling_hashes(codes, size)
    is_inside = owner[: len(hashes)] == owner[len(codes) - len(hashes) :]
    return owner[: len(hashes)][is_inside], hashes[is_inside]


def rolling_hashes(codes: np.ndarray, size: int) -> np.ndarray:
    """The hashes (uint64) of all runs of ``size`` code points, whosever they are."""
    count = max(0, len(codes) - size + 1)
    wide = codes.astype(np.uint64)
    joined = wide[:count].copy()
    for place in range(1, size):
        joined *= _STEP
        joined += wide[place : place + count]
    return spread(joined, size)


def text_hashes(codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """One hash of 64 bits for each text as a whole."""
    starts = np.cumsum(counts) - counts
    place = np.arange(len(codes), dtype=np.uint64) - np.repeat(starts, counts).astype(np.uint64)
    # Sums of values that were mixed with their places: order counts, and no power is needed.
    mixed = spread((codes.astype(np.uint64) << np.uint64(32)) + place, 0)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)])
    return spread(sums[starts + counts] - sums[starts], 1)


def distinct(values: np.ndarray) -> np.ndarray:
    """``values`` in order, each once; several times as fast as ``np.unique`` on hashes."""
    ordered = np.sort(values)
    return np.asarray(ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]])


def spread(values: np.ndarray, salt: int) -> np.ndarray:
    """``values`` (uint64) spread over all 64 bits, another way for each ``salt``."""
    # In place: new arrays of this size cost as much as the arithmetic.
    mixed = values + np.uint64(salt)
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(29)
    return mixed


def _kept(codes: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``codes`` stay, and where the tables do not tell.

    A mark between two digits stays, and changes in ``codes`` to what all marks of its kind
    become; so does one of ``%``, ``‰``, ``+`` and ``#`` behind a letter or digit.
    """
    is_word, is_digit = (kind & _WORD) != 0, (kind & _DIGIT) != 0
    unusual = [np.flatnonzero(kind & _UNUSUAL)]
    kept = is_word.copy()
    suffix = np.flatnonzero(kind & _SUFFIX)
    behind = suffix[is_word[suffix - 1] & (suffix > 0)]
    kept[behind] = True
    unusual.append(behind[(kind[behind + 1] & _SUFFIX) != 0])
    # A mark that a digit follows: between two digits, or the sign of a number.
    before = np.flatnonzero(is_digit[1:] & ((kind[:-1] & (_WORD | _EDGE)) == 0))
    # The first text has nothing before it, as if an edge were there.
    left = np.where(before > 0, kind[before - 1], _EDGE)
    between = before[(left & _DIGIT) != 0]
    kept[between] = ~_is_thousands(codes, is_digit, between)
    codes[between] = _list_marks().take(codes[between])
    signed = (kind[before] & (_MINUS | _CURRENCY)) != 0
    # Behind a letter of the scripts that stand first, Latin to Arabic, a dash is a hyphen.
    is_hyphen = (kind[before] & _MINUS != 0) & (left & _LETTER != 0) & (codes[before - 1] < 0x700)
    plain = ~signed | (left & _DIGIT != 0) | is_hyphen
    unusual.append(before[~plain])
    unusual.append(_behind_lone_letters(codes, kind, before))
    unusual.append(_runs_between_digits(kind, before[(left & (_WORD | _EDGE)) == 0]))
    return kept, np.concatenate(unusual)


def _behind_lone_letters(codes: np.ndarray, kind: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Those of ``before``, marks that a digit follows, that may be the minus of ``x-1``, ``1e-4``
    or ``x - 1``: a dash behind a letter without another before it (``letter_minuses``).
    """
    is_spaced = (codes[before] == ord(" ")) & (codes[before - 2] == ord(" "))
    dash = np.where(is_spaced, before - 1, before)
    letter = np.where(is_spaced, before - 3, before - 1)
    is_lone = (kind[letter] & _LETTER != 0) & (kind[letter - 1] & _LETTER == 0)
    # What would lie before the first text is behind the last one: edges, and no letters.
    return np.asarray(before[(kind[dash] & _MINUS != 0) & is_lone])


def _is_thousands(codes: np.ndarray, is_digit: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether the mark between digits at each of ``places`` only groups them: ``1,800``."""
    three = is_digit[places + 2] & is_digit[places + 3] & ~is_digit[places + 4]
    return np.asarray((codes[places] == ord(",")) & three)


def _runs_between_digits(kind: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Those of ``ends``, the last of several marks before a digit, whose run a digit begins."""
    found, start = [], ends
    while len(start):
        start = start - 1
        inside = (kind[start] & (_WORD | _EDGE)) == 0
        found.append(ends[~inside & (kind[start] & _DIGIT != 0)])
        # The first text has nothing before it.
        inside &= start > 0
        ends, start = ends[inside], start[inside]
    return np.concatenate(found) if found else ends


def _mended(
    codes: np.ndarray, counts: np.ndarray, slow: np.ndarray, texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """``codes`` and ``counts`` with the texts ``slow`` as ``comparable`` makes them."""
    ends = np.cumsum(counts)
    pieces, counts, start = [], counts.copy(), 0
    for place in slow.tolist():
        whole = np.frombuffer(comparable(texts[place]).encode("utf-32-le", "surrogatepass"), "<u4")
        pieces += [codes[start : ends[place] - counts[place]], whole]
        start, counts[place] = ends[place], len(whole)
    return np.concatenate([*pieces, codes[start:]]), counts


@lru_cache(maxsize=1)
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """What each code point becomes (uint32), and what it then is (uint8)."""
    fold = np.arange(_TABLE + 1, dtype=np.uint32)
    kinds = np.full(_TABLE + 1, _UNUSUAL, np.uint8)
    joins = _second_parts()
    for code in chain(*_ASKED):
        character = chr(code)
        composed = unicodedata.normalize("NFKC", character)
        folded = _folded(composed)
        if len(folded) == 1 and not joins.intersection(composed):
            fold[code], kinds[code] = ord(folded), _kind(folded, composed)
    for letters in _LETTERS:
        kinds[letters.start : letters.stop] = _LETTER
    return fold, kinds


def _folded(composed: str) -> str:
    """``composed`` as ``normalise`` leaves it, but that white space stays."""
    return " " if composed.isspace() else normalise(composed)


def _second_parts() -> set[str]:
    """The characters that may join with the one before them, or change places with it."""
    found = {chr(code) for code in _HANGUL_JAMO}
    for code in chain(*_ASKED):
        character = chr(code)
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            found.add(chr(int(parts[1], 16)))
        if unicodedata.combining(character):
            found.add(character)
    return found


def _kind(character: str, composed: str) -> int:
    """The bits of what a folded ``character`` is; none for a mark without a meaning."""
    category = unicodedata.category(character)
    if character == "¥" or character.isdigit() != character.isdecimal():
        return _UNUSUAL
    if category[0] in "LNM":
        return _DIGIT if character.isdigit() else _LETTER
    if character in "%‰+#":
        return _SUFFIX
    if composed in MINUS_MARKS:
        return _MINUS
    return _CURRENCY if category == "Sc" else 0


@lru_cache(maxsize=1)
def _list_marks() -> np.ndarray:
    """What a mark that stands alone between two digits becomes (uint32)."""
    marks = np.arange(_TABLE + 1, dtype=np.uint32)
    for character in " ,;":
        marks[ord(character)] = ord("、")
    marks[ord("*")] = ord("×")
    return marks
