"""The names in a text, found by how they are written, and looked up in another one.

Names are words in katakana; words in Latin letters with a capital or a digit (between letters of
unspaced scripts, all of them); what stands in 「corner brackets」 and is no speech; kanji before
市, 大学, 氏 and the like. Loanwords that everybody uses (``loanwords/ja.txt``) name nothing.
Neither does the capital at the beginning of a sentence or in a heading. German, which writes every
noun with a capital, has too many names in this way.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

from teichaku.core.text import UNSPACED_SCRIPTS, comparable, script, sentences

_LOANWORDS = Path(__file__).parent / "loanwords" / "ja.txt"
_KATAKANA = re.compile("[ァ-ヺ][ァ-ヺー]{2,}")
_LETTER = "[A-Za-zÀ-ÖØ-öø-ʯḀ-ỿ]"
#: Nothing begins in the middle of a number or a word (1.5km).
_LATIN = re.compile(
    rf"(?<!\d)(?<!\d[.,])(?<!{_LETTER})\d*{_LETTER}(?:{_LETTER}|\d)*(?:[-_./+'’&](?:{_LETTER}|\d)+)*[+#]*"
)
_QUANTITY = re.compile(
    r"\d+(?:[kcm]?m|[kmµ]?g|[mkd]?l|[km]?[wW]h?|[km]?V|A|[kMG]?Hz|[kKMGTP]?i?[bB]|px|pt|h|ha|min|s|ms"
    r"|[k]?cal|[ap]m|h?Pa|st|nd|rd|th|K|k|D|x)"
)
_QUOTED = re.compile("「([^「」]{2,20})」|『([^『』]{2,20})』")
_HAS_GRAMMAR = re.compile("[ぁ-んの。、！？!?]")
_SUFFIXED = re.compile(
    "([一-鿿々]{2,6})(株式会社|有限会社|財団法人|大学院|大学|高校|学園|空港|神社|病院|銀行|出版|新聞"
    "|博士|教授|市|県|郡|町|村|駅|寺|城|港|氏)(?![一-鿿々])"
)
#: People by what they are called or are; words for anybody are not.
_PERSON = re.compile(
    "(?<![一-鿿々おご])([一-鿿々]{2,6}?)(さん|様|くん|ちゃん|先生|社長|会長|部長|課長|店長|所長|院長|校長|監督|選手|首相)(?![一-鿿々])"
)
_ANYBODY = re.compile(
    ".*[屋者人員生手師家客供婦女長役]|(?:同|両|各|全|他|本|当|諸|皆|副|初代|先代|歴代|現職|前任|後任|新任|女性|男性|代表"
    "|名誉|創業|担当|担任|専門|取締|執行|営業|総務|経理|人事|開発|技術|製造|販売|財務|企画|代理|助|元|前|新|現)+"
)
_FIRM = re.compile("(?:株式会社|有限会社|財団法人)([一-鿿々]{2,8})")
_NO_STEM = re.compile(
    "(?:各|同|両|全|他|本|当|諸|大都|政令指定都|地方都|中核都|城下|始発|終着|最寄|乗換|国際|地方|国立|公立|私立"
    "|県立|市立|総合|専門|動物|短期|一流|有名|名門|民間|近隣|隣接|農山漁|選択|主要|電子|学術)+"
)
_LEAST_SQUEEZED = 5


@lru_cache(maxsize=4096)
def names(text: str) -> tuple[str, ...]:
    """The names in ``text``, each once, in order."""
    whole = unicodedata.normalize("NFKC", text)
    found = [(match.start(), match.group()) for match in _KATAKANA.finditer(whole)]
    found += _quoted(whole)
    for match in _SUFFIXED.finditer(whole):
        if not _NO_STEM.fullmatch(match[1]):
            found.append((match.start(), match.group()))
    for match in _PERSON.finditer(whole):
        if not _ANYBODY.fullmatch(match[1]):
            found.append((match.start(), match[1]))
    found += [(match.start(1), match[1]) for match in _FIRM.finditer(whole)]
    start = 0
    for sentence in sentences(whole):
        found += [(start + place, word) for place, word in _latin(sentence)]
        start += len(sentence)
    kept = (name for _, name in sorted(found) if _folded(name) not in _everyday())
    return tuple(dict.fromkeys(kept))


@cache
def _everyday() -> frozenset[str]:
    """The words that name nothing, folded; read once."""
    lines = _LOANWORDS.read_text(encoding="utf-8").splitlines()
    listed = " ".join(line for line in lines if not line.startswith("#"))
    return frozenset(map(_folded, listed.split(" "))) | {"yes", "no", "ok"}


def _quoted(whole: str) -> Iterator[tuple[int, str]]:
    """What stands in corner brackets and is no speech."""
    for match in _QUOTED.finditer(whole):
        quoted = match[1] or match[2]
        if not _HAS_GRAMMAR.search(quoted) and comparable(quoted):
            yield match.start(), quoted


def _latin(sentence: str) -> Iterator[tuple[int, str]]:
    """The words of a sentence in Latin letters that name something."""
    words = [
        (match.start(), re.sub("['’]s$", "", match.group()))
        for match in _LATIN.finditer(sentence)
        if not _QUANTITY.fullmatch(match.group())
    ]
    if any(script(character) in UNSPACED_SCRIPTS for character in sentence):
        yield from ((place, word) for place, word in words if len(word) > 1)
        return
    is_heading = _is_heading(sentence, [word for _, word in words])
    for number, (place, word) in enumerate(words):
        says_something = number > 0 and not is_heading and len(word) > 1
        if _is_identifier(word) or (word[0].isupper() and says_something):
            yield place, word


def _is_heading(sentence: str, words: Sequence[str]) -> bool:
    """Whether the capitals of a sentence say nothing."""
    capitals = sum(word[0].isupper() for word in words)
    is_open = sentence.rstrip()[-1:].isalnum()
    return sentence.lstrip().startswith("#") or capitals > len(words) * (0.5 if is_open else 0.8)


def _is_identifier(word: str) -> bool:
    """Whether a word has a digit, a capital or a mark inside, or capitals alone."""
    inner = any(character.isupper() for character in word.replace("-", "")[1:])
    return inner or any(c.isdigit() or c in "_.+#" for c in word)


class Named:
    """What ``text`` names, to look names up in."""

    def __init__(self, text: str) -> None:
        whole = unicodedata.normalize("NFKC", text)
        self._whole = _folded(whole)
        tokens = [word.casefold() for word in _LATIN.findall(whole)]
        parts = [part for word in tokens for part in re.split(r"[^\w]|_", word) if part]
        self._words = frozenset(form for word in [*tokens, *parts] for form in _forms(word))
        self._squeezed = _squeezed(whole)
        self._initials = "".join(part[0] for part in parts)
        self._katakana = frozenset(map(_folded, _KATAKANA.findall(whole)))

    def has(self, name: str) -> bool:
        """Whether ``name`` stands in the text: in another width, case or spelling of its long
        vowels, put together of words that stand there, as a plural, by its initials.
        """
        name = unicodedata.normalize("NFKC", name)
        folded = _folded(name)
        if not folded:
            return True
        if script(name[:1]) == "latin" or name[:1].isdigit():
            return self._has_latin(name)
        if folded in self._whole:
            return True
        if _KATAKANA.fullmatch(name):
            return self._covers(folded)
        suffixed = _SUFFIXED.fullmatch(name)
        return suffixed is not None and suffixed[1] in self._whole

    def _has_latin(self, name: str) -> bool:
        lowered = name.casefold()
        if not self._words.isdisjoint(_forms(lowered)):
            return True
        squeezed = _squeezed(name)
        if len(squeezed) >= _LEAST_SQUEEZED:
            return any(form in self._squeezed for form in _forms(squeezed))
        return name.isupper() and len(name) > 2 and lowered in self._initials

    def _covers(self, word: str) -> bool:
        """Whether katakana words of the text, and everyday ones, make up ``word``."""
        reached = {0}
        for end in range(2, len(word) + 1):
            parts = (word[start:end] for start in reached if end - start > 1)
            if any(part in self._katakana or part in _everyday() for part in parts):
                reached.add(end)
        return len(word) in reached


@lru_cache(maxsize=256)
def named(text: str) -> Named:
    """:class:`Named` of ``text``, kept for the next name."""
    return Named(text)


def _squeezed(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _forms(word: str) -> tuple[str, ...]:
    """An English word with what may be its singular."""
    singular = f"{word.removesuffix('ies')}y" if word.endswith("ies") else word.removesuffix("es")
    return word, word.removesuffix("s"), singular


_SPELLINGS = str.maketrans("ァィゥェォヂヅ", "アイウエオジズ", "ー・ ")


def _folded(text: str) -> str:
    """``text`` without what Japanese spells one way or another: long marks, small vowels, ヴ."""
    v_sounds = re.sub("ヴ([ァィェォ])", lambda v: "バビベボ"["ァィェォ".index(v[1])], text)
    return comparable(v_sounds.replace("ヴ", "ブ")).translate(_SPELLINGS)
