"""Whether two texts that are nearly the same speak of the same things.

Clause 12 and clause 13, 2020 and 2021, Tokyo and Osaka: one word differs, and all the meaning.
What differs by a slip of the pen is still the same: a name with one character changed. But kanji
are not mistaken one for one: 静岡 and 福岡, 田中 and 田村 are two names. Sentences that both texts
have are left out first, in whatever order.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein, Postfix, Prefix

from teichaku.core.numerals import NUMERAL_KANJI, read_numerals
from teichaku.core.text import comparable, script, sentences

#: Where a text may be cut without cutting a number or a name.
_ENDS = ("。", "\n")
#: What a text of several sentences has.
_SEVERAL = re.compile(r"[。！？!?｡．।॥။።.\n].", re.DOTALL)

_NUMERIC = re.compile(rf"[\d{NUMERAL_KANJI}]")

#: Names by their look, longest first: what stands in quotes, in Latin letters, in katakana, in
#: kanji before a word for a place, an organisation or a person.
_QUOTED = re.compile(r"[「『“\"]([^「」『』“”\"\n]{1,16})[」』”\"]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ\d]+(?:[-_./&'’][A-Za-zÀ-ɏ\d]+)*")
_KATAKANA = re.compile(r"[ァ-ヺー]{2,}")
_KANJI = re.compile(
    r"([一-鿿々〆ヶ]{2,10}?)(?:[都道府県市区町村郡島山川湖寺城橋駅港線店社局部課室所場院館園校氏様君]|会社|大学|銀行|空港"
    r"|支店|支社|本店|本社|工場|営業所|研究所|事務所|病院|高校|学校|先生|教授|さん|くん|ちゃん)(?![一-鿿々])"
    r"|([一-鿿々〆ヶ])(?:県|市|区|町|村|駅|さん|くん|ちゃん)(?![一-鿿々])"
)
#: Words that begin English sentences and name nothing.
_OPENERS = frozenset(
    re.findall(
        r"\w+",
        "a after all also although an and any as at because before but by each for from he her his "
        "how however i if in it its many most my no not of on one or our several she since so some "
        "such that the their then there these they this those thus to we what when where which "
        "while who why with you your",
    )
)


def difference(left: str, right: str) -> str:
    """What numbers or named things differ between two texts: ``12 / 13``; empty where none do.

    Numbers differ where their sequences do, kanji numerals and digits alike. Named things do
    where each text has an identifier (``PX-20A``, ``GPU``) that the other has not; or a name,
    with names in its place that are two edits away or, in up to three kanji, of one length.
    """
    left, right = _apart(left, right)
    if left == right:
        return ""
    ours, theirs = list(_numbers(left)), list(_numbers(right))
    if ours != theirs:
        return _told(ours, theirs)
    if not any(_replaced(left, right)):
        return ""
    # It may still be one slip that broke a name, or other marks alone.
    bare, other = (comparable(part) for part in _trimmed(left, right))
    edits = Levenshtein.distance(bare, other, score_cutoff=1)
    if not edits:
        return ""
    return _told(*_replaced(left, right, edits == 1, len(bare) == len(other)))


def number_key(text: str) -> tuple[str, ...]:
    """What two texts have in common unless their numbers differ: their numbers, sorted."""
    return tuple(sorted(_numbers(unicodedata.normalize("NFKC", text))))


def _apart(left: str, right: str) -> tuple[str, str]:
    """What is left of both texts without the sentences that both have, the right's in the order
    of their likes on the left.
    """
    left, right = (unicodedata.normalize("NFKC", part) for part in _middle(left, right))
    if not (_SEVERAL.search(left) and _SEVERAL.search(right)):
        return left, right
    ours = [part.strip() for part in sentences(left)]
    theirs = [part.strip() for part in sentences(right)]
    shared = Counter(ours) & Counter(theirs)
    ours, theirs = list(_without(ours, shared)), list(_without(theirs, shared))
    if len(ours) > 1 and len(theirs) > 1:
        theirs.sort(key=lambda part: _most_alike(part, ours))
    return "\n".join(ours), "\n".join(theirs)


def _middle(left: str, right: str) -> tuple[str, str]:
    """Both texts without the whole sentences with which both begin or end."""
    start = Prefix.similarity(left, right)
    start = max(left.rfind(mark, 0, start) for mark in _ENDS) + 1
    left, right = left[start:], right[start:]
    end = Postfix.similarity(left, right)
    found = [place for mark in _ENDS if (place := left.find(mark, len(left) - end)) >= 0]
    end = len(left) - min(found) - 1 if found else 0
    return left[: len(left) - end], right[: len(right) - end]


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


def _numbers(text: str) -> Iterator[str]:
    """The numbers of a text in NFKC, by their values."""
    # Most sentences have none, and to look for a sign before one takes time.
    if _NUMERIC.search(text):
        yield from (numeral.value for numeral in read_numerals(text))


def _replaced(
    left: str, right: str, is_slip: bool = False, is_exchange: bool = True
) -> tuple[list[str], list[str]]:
    """The first names that stand for each other in two texts and are not the same; both empty
    where there are none. ``is_slip``: one character is all that differs; ``is_exchange``: as it
    does where one stands for another.
    """
    identifiers = _only(_identifiers(left), _identifiers(right))
    if all(identifiers):
        return identifiers
    for ours, theirs in zip(_names(left), _names(right), strict=True):
        only_ours, only_theirs = _only(ours, theirs)
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


def _identifiers(text: str) -> list[str]:
    """The words of Latin letters that a digit or a second capital makes an identifier."""
    return [
        word.casefold().replace("-", "").replace("_", "")
        for word in _LATIN.findall(text)
        if any(c.isalpha() for c in word)
        and (any(c.isdigit() for c in word) or sum(c.isupper() for c in word) > 1)
    ]


def _names(text: str) -> Iterator[list[str]]:
    """The names in ``text``, kind by kind."""
    yield _QUOTED.findall(text)
    yield [word for word in _LATIN.findall(text) if _is_latin_name(word)]
    yield _KATAKANA.findall(text)
    yield [long or short for long, short in _KANJI.findall(text)]


def _is_latin_name(word: str) -> bool:
    return word[0].isupper() and word.casefold() not in _OPENERS


def _told(ours: list[str], theirs: list[str]) -> str:
    """What differs, for people: the sides without what they share at their ends."""
    if not ours and not theirs:
        return ""
    only_ours, only_theirs = _only(ours, theirs)
    if not only_ours and not only_theirs:
        # The same in another order.
        only_ours, only_theirs = ours, theirs
    return f"{', '.join(only_ours[:4])} / {', '.join(only_theirs[:4])}"
