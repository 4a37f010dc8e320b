"""Whether two texts that are nearly the same speak of the same things.

Clause 12 and clause 13, 2020 and 2021, -5 and 5, plan A and plan B, ○ and ×, Tokyo and Osaka: one
word or sign differs, and all the meaning. What differs by a slip of the pen is still the same: a
name with one character changed. But kanji are not mistaken one for one: 静岡 and 福岡, 田中 and
田村 are two names. Sentences that both texts have are left out first, in whatever order; sentences
that are the same but for their numbers keep theirs.

What a text names and counts is read as ``faithful`` reads it (:mod:`teichaku.curation.names`,
:mod:`teichaku.curation.figures`, :mod:`teichaku.curation.replaced`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein, Postfix, Prefix

from teichaku.core.numerals import MINUS_MARKS, NUMERAL_KANJI, Numeral, read_numerals
from teichaku.core.text import (
    SYMBOLS,
    comparable,
    kana,
    letter_minuses,
    script,
    sentences,
    symbols,
)
from teichaku.curation.figures import measured
from teichaku.curation.names import mentions
from teichaku.curation.negations import negations
from teichaku.curation.replaced import exchanged_words

#: Where a text may be cut without cutting a number or a name.
_ENDS = ("。", "\n")
#: Where a sentence may be; the comma of other scripts stands in numbers, too.
_PAUSES = ("、",)
#: What a text of several sentences has.
_SEVERAL = re.compile(r"[。！？!?｡．।॥။።.\n].", re.DOTALL)

_NUMERIC = re.compile(rf"[\d{NUMERAL_KANJI}]")
_NUMBER = re.compile(rf"[\d.,]+|[{NUMERAL_KANJI}]+")
#: What may stand before a number and change it, beside a minus.
_PREFIX = re.compile(r"(?:[±≧≦≥≤≠]|(?<![+A-Za-z\d])\+) ?$")
_MAY_END_PREFIX = frozenset("±≧≦≥≤≠+ ")
#: A grade, a blood group or an ion with its sign: A-, Rh+, Na+.
_GRADE = re.compile(
    r"(?<![A-Za-z])([A-Z]{1,3}[a-z]?)(\+(?![+\dA-Za-z])|[-‐‒–−](?=[^\w-]|\Z|です|だ))"
)
_PREFIXES = str.maketrans("≧≦", "≥≤", " ")
#: A number below one without its zero; a full-width point mostly ends a sentence.
_POINT = re.compile(r"(?<![\d.A-Za-z)\]])\.(?=\d)")
#: So many characters around a number say what it counts.
_AROUND = 12

_UNIT_BEFORE = re.compile("(?:午[前後后]|[上下]午|[$€£¥₩฿]) ?$")
_UNIT_BEHIND = re.compile(r"[%‰]|°[CF]| ?[^\W\dぁ-ん]{1,6}")

#: Only texts with one of these can have the same letters and say something else.
_MARKS = re.compile(rf"[{re.escape(MINUS_MARKS)}≠+{SYMBOLS}]|0\.\d")


def difference(left: str, right: str) -> str:
    """What numbers, symbols or named things differ between two texts: ``12 / 13``; empty where
    none do.

    Numbers differ where their sequences do, kanji numerals and digits alike, with their signs; or
    where one number counts two things (5%, 5円). Symbols (○, ↑, 👍) do where each text has one
    that the other has not, or the same ones in another order; the sign of a grade (A-, Rh+) also
    where the other text has none there. Negations do where one text has
    more of them. Named things do where each text has an identifier (``PX-20A``, ``GPU``, the A of
    プランA) that the other has not; or a name, with names in its place that are two edits away or,
    in up to three kanji, of one length; or where a noun stands in place of another one and
    nothing else differs.
    """
    if left == right:
        return ""
    # Some steps begin on one side, so it is always the same one.
    if left > right:
        other, _, one = difference(right, left).partition(" / ")
        return f"{one} / {other}" if one or other else ""
    exchanged, left, right = _apart(left, right)
    if left == right or exchanged:
        return exchanged
    ours, theirs = _numbers(left), _numbers(right)
    values, others = [token for token, _ in ours], [token for token, _ in theirs]
    if values != others:
        return _told(values, others)
    shown, instead = symbols(left), symbols(right)
    if not _is_part(shown, instead) and not _is_part(instead, shown):
        return _told(shown, instead)
    if graded := _grades(left, right):
        return graded
    denied, others = negations(left), negations(right)
    if len(denied) != len(others):
        return _told(denied, others)
    return _units(left, right, ours, theirs) or _names(left, right)


def number_key(text: str) -> tuple[str, ...]:
    """What two texts have in common unless their numbers differ: their numbers, sorted."""
    return tuple(sorted(token for token, _ in _numbers(_plain(text))))


def marks_key(text: str) -> str:
    """What two texts of the same letters have in common unless their signs or symbols differ;
    empty for most texts.
    """
    if text.isascii() and not any(mark in text for mark in "-+<>."):
        return ""
    whole = _plain(text)
    if not _MARKS.search(whole):
        return ""
    signed = [token for token, _ in _numbers(whole) if not token[0].isdigit() or token[:2] == "0."]
    return "\n".join([*symbols(whole), *signed])


def _plain(text: str) -> str:
    """``text`` in NFKC, with the zero of ``.5``."""
    return unicodedata.normalize("NFKC", _POINT.sub("0.", text) if "." in text else text)


def _apart(left: str, right: str) -> tuple[str, str, str]:
    """What is left of both texts without the sentences that both have, the right's in the order
    of their likes on the left; first the numbers that such sentences exchange, as
    :func:`difference` tells them.
    """
    left, right = map(_plain, _middle(left, right))
    if not (_SEVERAL.search(left) and _SEVERAL.search(right)):
        return "", *_between_pauses(left, right)
    ours = [part.strip() for part in sentences(left)]
    theirs = [part.strip() for part in sentences(right)]
    shared = Counter(ours) & Counter(theirs)
    if exchanged := _exchanged_numbers(ours, theirs, shared):
        return exchanged, left, right
    ours, theirs = list(_without(ours, shared)), list(_without(theirs, shared))
    if len(ours) > 1 and len(theirs) > 1:
        theirs.sort(key=lambda part: _most_alike(part, ours))
    return "", *_between_pauses("\n".join(ours), "\n".join(theirs))


def _exchanged_numbers(ours: list[str], theirs: list[str], shared: Counter[str]) -> str:
    """The numbers of shared sentences that differ in nothing else and change places; not where
    such sentences follow each other, as the items of a list do.
    """
    left, right = (
        [
            (place, part)
            for place, part in enumerate(side)
            if part in shared and _NUMERIC.search(part)
        ]
        for side in (ours, theirs)
    )
    if len(left) < 2 or [part for _, part in left] == [part for _, part in right]:
        return ""
    forms = Counter(_NUMBER.sub("#", part) for part in {part for _, part in left})
    for form in (form for form, count in forms.items() if count > 1):
        one, other = (
            [(place, part) for place, part in side if _NUMBER.sub("#", part) == form]
            for side in (left, right)
        )
        is_list = all(side[-1][0] - side[0][0] < len(side) for side in (one, other))
        values, others = (
            [token for _, part in side for token, _ in _numbers(part)] for side in (one, other)
        )
        if values != others and not is_list:
            return _told(values, others)
    return ""


def _middle(left: str, right: str, ends: Sequence[str] = _ENDS) -> tuple[str, str]:
    """Both texts without the whole sentences with which both begin or end."""
    start = Prefix.similarity(left, right)
    start = max(left.rfind(mark, 0, start) for mark in ends) + 1
    left, right = left[start:], right[start:]
    end = Postfix.similarity(left, right)
    found = [place for mark in ends if (place := left.find(mark, len(left) - end)) >= 0]
    end = len(left) - min(found) - 1 if found else 0
    return left[: len(left) - end], right[: len(right) - end]


def _between_pauses(left: str, right: str) -> tuple[str, str]:
    """Both texts without the parts of a sentence with which both begin or end."""
    return _middle(left, right, _PAUSES)


def _trimmed(left: str, right: str) -> tuple[str, str]:
    """Both texts without the characters with which both begin or end."""
    start = Prefix.similarity(left, right)
    left, right = left[start:], right[start:]
    end = Postfix.similarity(left, right)
    return left[: len(left) - end], right[: len(right) - end]


def _without(parts: list[str], shared: Counter[str]) -> Iterator[str]:
    left = shared.copy()
    for part in parts:
        if left[part]:
            left[part] -= 1
        else:
            yield part


def _most_alike(part: str, others: list[str]) -> int:
    ratios = [fuzz.ratio(part, other) for other in others]
    return ratios.index(max(ratios))


def _numbers(text: str) -> list[tuple[str, Numeral]]:
    """The numbers of a text in NFKC, by their values, with what stands before them and changes
    them.
    """
    # Most sentences have none, and to look for a sign before one takes time.
    if not _NUMERIC.search(text):
        return []
    found, signs = [], set(letter_minuses(text))
    for numeral in read_numerals(text):
        value, start = numeral.value, numeral.start
        if signs & {start - 1, start - 2} and value.strip("0."):
            value = f"-{value.lstrip('-')}"
        if text[start - 1 : start] in _MAY_END_PREFIX:
            before = _PREFIX.search(text, max(0, start - 2), start)
            value = before.group().translate(_PREFIXES) + value if before else value
        found.append((value, numeral))
    return found


def _is_part(some: list[str], others: list[str]) -> bool:
    """Whether ``some`` stand among ``others`` in their order."""
    rest = iter(others)
    return all(each in rest for each in some)


def _grades(left: str, right: str) -> str:
    """The signed grades whose letters have another sign, or none, in the other text."""
    ours, theirs = map(_signed, (left, right))
    only_ours = [one for one in ours if one not in theirs and _names_it(right, ours[one])]
    only_theirs = [one for one in theirs if one not in ours and _names_it(left, theirs[one])]
    return _told(only_ours, only_theirs)


def _signed(text: str) -> dict[str, str]:
    """The grades of a text, all with one kind of minus, and their letters."""
    found = (match.groups() for match in _GRADE.finditer(text))
    return {f"{letters}{'+' if sign == '+' else '-'}": letters for letters, sign in found}


def _names_it(text: str, letters: str) -> bool:
    return re.search(rf"(?<![A-Za-z]){letters}(?![A-Za-z\d])", text) is not None


def _units(
    left: str, right: str, ours: list[tuple[str, Numeral]], theirs: list[tuple[str, Numeral]]
) -> str:
    """What the same number counts in two texts, where they differ in it: ``5% / 5円``."""
    for (token, one), (_, other) in zip(ours, theirs, strict=True):
        places = (left, one), (right, other)
        around = [
            (text[max(0, at.start - _AROUND) : at.start], text[at.end : at.end + _AROUND])
            for text, at in places
        ]
        if around[0] == around[1]:
            continue
        first, second = (
            measured(before.casefold(), float(token.lstrip("±≥≤≠+")), after.casefold())
            for before, after in around
        )
        if first and second and first != second and not _is_broken(left, right):
            return " / ".join(_shown(text, at) for text, at in places)
    return ""


def _shown(text: str, at: Numeral) -> str:
    """A number with its unit."""
    before = _UNIT_BEFORE.search(text, 0, at.start)
    after = _UNIT_BEHIND.match(text, at.end)
    return text[before.start() if before else at.start : after.end() if after else at.end]


def _is_broken(left: str, right: str) -> bool:
    """Whether all that differs is one character, of kana or a kanji that is left out or put in: a
    slip that broke a unit (時間, 時を間).
    """
    one, other = _trimmed(left, right)
    if max(len(one), len(other)) > 1:
        return False
    return kana(one + other) or (not (one and other) and script(one + other) == "han")


def _is_slip(left: str, right: str) -> tuple[bool, bool, bool]:
    """Whether one character at most is all that differs; whether it stands for another one; and
    whether only marks differ.
    """
    bare, other = (comparable(part) for part in _trimmed(left, right))
    edits = Levenshtein.distance(bare, other, score_cutoff=1)
    return edits <= 1, len(bare) == len(other), not edits


def _names(left: str, right: str) -> str:
    """The names that stand for each other and are not the same."""
    ours, theirs = mentions(left), mentions(right)
    if ours != theirs and any(_replaced(ours, theirs)):
        # It may still be one slip that broke a name, or other marks alone.
        is_slip, is_exchange, is_same = _is_slip(left, right)
        if any(told := _replaced(ours, theirs, is_slip, is_exchange, is_same)):
            return _told(*told)
    one, other = left.split("\n"), right.split("\n")
    for mine, yours in zip(one, other, strict=True) if len(one) == len(other) else ():
        if mine != yours and (words := exchanged_words(mine, yours)):
            return " / ".join(words)
    return ""


def _replaced(
    ours: Sequence[list[str]],
    theirs: Sequence[list[str]],
    is_slip: bool = False,
    is_exchange: bool = True,
    is_same: bool = False,
) -> tuple[list[str], list[str]]:
    """The first names that stand for each other in two texts and are not the same; both empty
    where there are none. ``is_slip``: one character is all that differs; ``is_exchange``: as it
    does where one stands for another; ``is_same``: but for marks, nothing differs.
    """
    identifiers = _only(ours[0], theirs[0])
    if all(identifiers):
        return identifiers
    if is_same:
        return [], []
    for some, others in zip(ours[1:], theirs[1:], strict=True):
        only_ours, only_theirs = _only(some, others)
        for name in only_ours:
            if only_theirs and all(
                _is_other(name, other, is_slip, is_exchange) for other in only_theirs
            ):
                return [name], only_theirs
    return [], []


def _is_other(name: str, other: str, is_slip: bool, is_exchange: bool) -> bool:
    """Whether two names are more than a slip apart."""
    edits = Levenshtein.distance(name.casefold(), other.casefold())
    if len(name) == len(other) <= 3 and all(script(c) == "han" for c in name + other):
        return not is_slip or (is_exchange and edits == 1)
    return edits > 1 and not is_slip


def _only(ours: list[str], theirs: list[str]) -> tuple[list[str], list[str]]:
    """What each side has that the other has not, once for each time."""
    if ours == theirs:
        return [], []
    left, right = Counter(ours), Counter(theirs)
    return list((left - right).elements()), list((right - left).elements())


def _told(ours: list[str], theirs: list[str]) -> str:
    """What differs, for people: the sides without what they share at their ends."""
    if not ours and not theirs:
        return ""
    only_ours, only_theirs = _only(ours, theirs)
    if not only_ours and not only_theirs:
        # The same in another order.
        only_ours, only_theirs = ours, theirs
    return f"{', '.join(only_ours[:4])} / {', '.join(only_theirs[:4])}"
