"""What a text names, found by how it is written, and looked up in another text.

Names are words in katakana; words in Latin letters; what stands in quotes; kanji before 市, 大学,
支店, 氏, さん and the like. Two who ask need other parts of these. ``faithful`` holds a text
against what it was made from, and takes what is a name by itself (:func:`names`): longer words in
katakana, of the Latin ones those with a capital or a digit (between letters of unspaced scripts,
all of them), 「corner brackets」 that are no speech. Loanwords that everybody uses
(``loanwords/ja.txt``) name nothing; neither does the capital at the beginning of a sentence or in
a heading. The guard of duplicates holds two texts that are nearly the same against each other, and
takes all (:func:`mentions`): ``プランA`` and ``プランB`` differ in what they speak of. German,
which writes every noun with a capital, has too many names in this way.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from teichaku.core.text import UNSPACED_SCRIPTS, comparable, one_hyphen, script, sentences

_LOANWORDS = Path(__file__).parent / "loanwords" / "ja.txt"
_KATAKANA = re.compile("[ァ-ヺ][ァ-ヺー]+")
_LEAST_KATAKANA = 3
_LETTER = "[A-Za-zÀ-ÖØ-öø-ʯḀ-ỿ]"
#: Nothing begins in the middle of a number or a word (1.5km).
_LATIN = re.compile(
    rf"(?<!\d)(?<!\d[.,])(?<!{_LETTER})\d*{_LETTER}(?:{_LETTER}|\d)*(?:[-_./+'’&](?:{_LETTER}|\d)+)*[+#]*"
)
_INNER_MARKS = re.compile("[-_./'’&]")
_HAS_LATIN = re.compile(_LETTER)
_POSSESSIVE = re.compile("['’]s$")
_QUANTITY = re.compile(
    r"\d+(?:[kcm]?m|[kmµ]?g|[mkd]?l|[km]?[wW]h?|[km]?V|A|[kMG]?Hz|[kKMGTP]?i?[bB]|px|pt|h|ha|min|s|ms"
    r"|[k]?cal|[ap]m|h?Pa|st|nd|rd|th|K|k|D|x)"
)
_QUOTED = re.compile('([「『“"])([^「」『』“”"\n]{1,20})[」』”"]')
_HAS_GRAMMAR = re.compile("[ぁ-んの。、！？!?]")
_ROMAN = re.compile("[ivx]{1,5}")
#: Words of one letter in small ones; a capital is a name but at the beginning of a sentence.
_SMALL_WORDS = frozenset("aeiouàèéóò")
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

_KANJI = re.compile("([一-鿿々〆ヶ]+)(さん|くん|ちゃん)?")
#: Before these stands a name, whoever asks; before the second, one where two texts are alike.
_OF_NAMES = (
    "株式会社 有限会社 財団法人 大学院 大学 高校 学園 空港 神社 病院 銀行 出版 新聞 博士 教授"
    " 市 県 郡 町 村 駅 寺 城 港 氏"
)
_OF_PARTS = (
    "都 道 府 区 島 山 川 湖 橋 線 店 社 局 部 課 室 所 場 院 館 園 校 君"
    " 会社 支店 支社 本店 本社 工場 営業所 研究所 事務所 学校"
)
_OF_PEOPLE = "様 先生 社長 会長 部長 課長 店長 所長 院長 校長 監督 選手 首相"
#: Which words may stand behind a name of one kanji (津市, 堺さん).
_AFTER_ONE = frozenset(["県", "市", "区", "町", "村", "駅", "さん", "くん", "ちゃん"])
_FIRMS = ("株式会社", "有限会社", "財団法人")
_ANYBODY = re.compile(
    ".*[屋者人員生手師家客供婦女長役]|(?:同|両|各|全|他|本|当|諸|皆|副|初代|先代|歴代|現職|前任|後任|新任|女性|男性|代表"
    "|名誉|創業|担当|担任|専門|取締|執行|営業|総務|経理|人事|開発|技術|製造|販売|財務|企画|代理|助|元|前|新|現)+"
)
_NO_STEM = re.compile(
    "(?:各|同|両|全|他|本|当|諸|大都|政令指定都|地方都|中核都|城下|始発|終着|最寄|乗換|国際|地方|国立|公立|私立"
    "|県立|市立|総合|専門|動物|短期|一流|有名|名門|民間|近隣|隣接|農山漁|選択|主要|電子|学術)+"
)
_LONGEST_STEM = 6
_LEAST_SQUEEZED = 5


def _read(text: str) -> str:
    """``text`` as names are looked for in it."""
    return one_hyphen(unicodedata.normalize("NFKC", text))


class Mentions(NamedTuple):
    """What a text speaks of, in order. ``identifiers`` are the Latin words of which each letter
    counts (``PX-20A``, ``GPU``, ``C++``, the A of プランA, Ⅱ), case-folded, without marks inside.
    """

    identifiers: list[str]
    quoted: list[str]
    latin: list[str]
    katakana: list[str]
    kanji: list[str]


def mentions(text: str) -> Mentions:
    """All that ``text`` (NFKC) names, to be held against a text that is nearly the same."""
    text = one_hyphen(text)
    identifiers: list[str] = []
    latin: list[str] = []
    for part in _parts(text) if _HAS_LATIN.search(text) else ():
        has_all = _UNSPACED.search(part) is not None
        for place, word in _latin_words(part):
            if _counts_each_letter(word, has_all, place):
                identifiers.append(_INNER_MARKS.sub("", word.casefold()))
            elif has_all or (word[0].isupper() and word.casefold() not in _OPENERS):
                latin.append(word)
    return Mentions(
        identifiers,
        [match[2] for match in _QUOTED.finditer(text)],
        latin,
        _KATAKANA.findall(text),
        [name.stem for name in _kanji(text) if len(name.stem) > 1 or name.behind in _AFTER_ONE],
    )


_UNSPACED = re.compile("[ぁ-ヿ㐀-鿿฀-๿຀-໿က-႟ក-៿]")


def _parts(text: str) -> Iterator[str]:
    """``text``, or its sentences where some may be of a script with spaces and some not."""
    return sentences(text) if _UNSPACED.search(text) else iter([text])


def _counts_each_letter(word: str, is_unspaced: bool, place: int) -> bool:
    """Whether a word names another thing with one letter more or less."""
    if len(word) == 1:
        return is_unspaced or (place > 0 if word.isupper() else word not in _SMALL_WORDS)
    if any(c.isdigit() or c in "+#" for c in word) or sum(map(str.isupper, word)) > 1:
        return True
    return is_unspaced and _ROMAN.fullmatch(word) is not None


class _Kanji(NamedTuple):
    """A name in kanji, and the word ``behind`` it that says so."""

    place: int
    stem: str
    behind: str
    kind: str


@cache
def _behind_names() -> dict[str, list[tuple[str, str]]]:
    """The words that stand behind names, by their last character, the longest first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for kind, words in (("name", _OF_NAMES), ("part", _OF_PARTS), ("person", _OF_PEOPLE)):
        for word in words.split(" "):
            found.setdefault(word[-1], []).append((word, kind))
    return {last: sorted(words, key=lambda word: -len(word[0])) for last, words in found.items()}


def _kanji(whole: str) -> Iterator[_Kanji]:
    """The names in kanji that a word before or behind them tells."""
    behind = _behind_names()
    for match in _KANJI.finditer(whole):
        run, courtesy = match.groups()
        if courtesy:
            yield _Kanji(match.start(), run, courtesy, "person")
            continue
        for word, kind in behind.get(run[-1], ()):
            if run.endswith(word):
                if run != word:
                    yield _Kanji(match.start(), run[: -len(word)], word, kind)
                break
        if run.startswith(_FIRMS) and len(run) > len(_FIRMS[0]) + 1:
            yield _Kanji(match.start() + len(_FIRMS[0]), run[len(_FIRMS[0]) :], "", "firm")


@lru_cache(maxsize=4096)
def names(text: str) -> tuple[str, ...]:
    """The names in ``text``, each once, in order."""
    whole = _read(text)
    found = [
        (match.start(), match.group())
        for match in _KATAKANA.finditer(whole)
        if len(match.group()) >= _LEAST_KATAKANA
    ]
    found += _quoted(whole)
    found += [(name.place, written) for name in _kanji(whole) if (written := _known(name, whole))]
    start = 0
    for sentence in sentences(whole):
        found += [(start + place, word) for place, word in _latin(sentence)]
        start += len(sentence)
    kept = (name for _, name in sorted(found) if _folded(name) not in _everyday())
    return tuple(dict.fromkeys(kept))


def _known(name: _Kanji, whole: str) -> str:
    """How a name in kanji is written that is one by itself; empty where it is a word for many."""
    stem = name.stem if name.kind == "firm" else name.stem[-_LONGEST_STEM:]
    if len(stem) < 2 or name.kind == "part":
        return ""
    if name.kind == "name":
        return "" if _NO_STEM.fullmatch(stem) else stem + name.behind
    if name.kind == "person":
        is_polite = whole[name.place - 1 : name.place] in ("お", "ご")
        is_anybody = is_polite or stem != name.stem or _ANYBODY.fullmatch(stem)
        return "" if is_anybody else stem
    return stem[:8]


@cache
def _everyday() -> frozenset[str]:
    """The words that name nothing, folded; read once."""
    lines = _LOANWORDS.read_text(encoding="utf-8").splitlines()
    listed = " ".join(line for line in lines if not line.startswith("#"))
    return frozenset(map(_folded, listed.split(" "))) | {"yes", "no", "ok"}


def _quoted(whole: str) -> Iterator[tuple[int, str]]:
    """What stands in corner brackets and is no speech."""
    for match in _QUOTED.finditer(whole):
        quoted = match[2]
        if match[1] not in "「『" or len(quoted) < 2 or _HAS_GRAMMAR.search(quoted):
            continue
        if comparable(quoted):
            yield match.start(), quoted


def _latin_words(sentence: str) -> Iterator[tuple[int, str]]:
    """The words in Latin letters and where they stand."""
    for match in _LATIN.finditer(sentence):
        yield match.start(), _POSSESSIVE.sub("", match.group())


def _latin(sentence: str) -> Iterator[tuple[int, str]]:
    """The words of a sentence in Latin letters that name something."""
    words = [each for each in _latin_words(sentence) if not _QUANTITY.fullmatch(each[1])]
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
        whole = _read(text)
        self._whole = _folded(whole)
        tokens = [word.casefold() for word in _LATIN.findall(whole)]
        parts = [part for word in tokens for part in re.split(r"[^\w]|_", word) if part]
        self._words = frozenset(form for word in [*tokens, *parts] for form in _forms(word))
        self._squeezed = _squeezed(whole)
        self._initials = "".join(part[0] for part in parts)
        long = (word for word in _KATAKANA.findall(whole) if len(word) >= _LEAST_KATAKANA)
        self._katakana = frozenset(map(_folded, long))

    def has(self, name: str) -> bool:
        """Whether ``name`` stands in the text: in another width, case or spelling of its long
        vowels, put together of words that stand there, as a plural, by its initials.
        """
        name = _read(name)
        folded = _folded(name)
        if not folded:
            return True
        if script(name[:1]) == "latin" or name[:1].isdigit():
            return self._has_latin(name)
        if folded in self._whole:
            return True
        if _KATAKANA.fullmatch(name) and len(name) >= _LEAST_KATAKANA:
            return self._covers(folded)
        return any(each.kind == "name" and each.stem in self._whole for each in _kanji(name))

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
