"""The numbers in a text, by value: ``1,800``, ``１８００``, ``千八百`` and ``1.8千`` are one.

A numeral in kanji may be part of a word (十分, 三角, 千葉). A text that claims a number has a
counter behind it there (八人), and a 一 alone claims nothing; where a claim is looked up,
numerals are read in any place. Units are not compared: 1800円 is 1800 yen.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from teichaku.core.text import normalise

_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")} | {"零": 0}
_TENS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "億": 10**8, "兆": 10**12}
_KANJI = "".join([*_DIGITS, *_TENS, *_MYRIADS])
_PART = re.compile(rf"\d+(?:\.\d+)?|[{_KANJI}]")
_NUMERAL = re.compile(rf"(?:{_PART.pattern})+")
_COUNTER = re.compile(
    "円|年|月|日|時|分|秒|人|名|個|本|枚|冊|台|件|歳|才|回|割|点|位|番|号|階|頁|章|条|項|節|世紀"
    "|週|[かカヶケヵ箇][所月国年]|軒|匹|頭|羽|杯|足|着|隻|艘|社|校|種|度|倍|曲|話|泊|畳|坪|つ"
    "|キロ|メートル|グラム|トン|リットル|パーセント|ドル|ユーロ|ページ|セット"
)
_NO_COUNT = re.compile(rf"十分|万人|七五三|百人一首|[二三]度と|一(?![{_KANJI}])")
#: A numeral that is as long needs no counter (一九八七).
_LONG_NUMERAL = 3
_IN_HIRAGANA = {"ひとつ": "1", "ふたつ": "2", "みっつ": "3", "よっつ": "4", "いつつ": "5"}

_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9,
           "trillion": 10**12}  # fmt: skip
_SCALED = re.compile(rf"(\d+(?:\.\d+)?)[ -]?({'|'.join(_SCALES)})\b")
_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
          "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
          "eighteen", "nineteen")  # fmt: skip
_TYS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * tens for tens, word in enumerate(_TYS, 2)
}
_WORD = "|".join(sorted([*_WORDS, *_SCALES], key=len, reverse=True))
_IN_WORDS = re.compile(rf"\b(?:{_WORD})(?:(?: and |[ -])(?:{_WORD}))*\b")
#: A smaller number in words mostly counts what the text itself lists ("for two reasons").
_LEAST_IN_WORDS = 13


@lru_cache(maxsize=4096)
def figures(text: str) -> tuple[tuple[str, str], ...]:
    """The numbers that ``text`` claims, each with its value and as it is written there."""
    return tuple((value, written) for value, written, is_plain in _figures(text) if is_plain)


@lru_cache(maxsize=256)
def readable_figures(text: str) -> frozenset[str]:
    """The values of all numbers that may be read out of ``text``."""
    return frozenset(value for value, _, _ in _figures(text))


def _figures(text: str) -> Iterator[tuple[str, str, bool]]:
    """Value, wording, and whether that is a number beyond doubt."""
    whole = normalise(text)
    for found in _SCALED.finditer(whole):
        yield _shown(float(found[1]) * _SCALES[found[2]]), found.group(), True
        yield _value(found[1]), found[1], False
    whole = _SCALED.sub(" ", whole)
    for found in _NUMERAL.finditer(whole):
        written = found.group()
        value = _value(written)
        yield value, written, written[0].isdecimal() or _counts(whole, found)
        # The 3 of 3千円 may be meant alone.
        parts = _PART.findall(written)
        yield from ((_value(part), part, False) for part in parts if part[0].isdecimal())
    for found in _IN_WORDS.finditer(whole):
        number = _in_words(found.group())
        yield str(number), found.group(), number >= _LEAST_IN_WORDS
    yield from ((value, word, False) for word, value in _IN_HIRAGANA.items() if word in whole)


def _value(written: str) -> str:
    """The value of a numeral in digits; plain digits keep their decimals (1.10 is not 1.1)."""
    parts = _PART.findall(written)
    if len(parts) == 1 and written[0].isdecimal():
        latin = "".join(c if c == "." else str(unicodedata.decimal(c)) for c in written)
        return latin.lstrip("0") or "0"
    total = section = 0.0
    last: float | None = None
    for part in parts:
        if part in _MYRIADS:
            total += (section + (last or 0) or 1) * _MYRIADS[part]
            section, last = 0.0, None
        elif part in _TENS:
            section, last = section + (1 if last is None else last) * _TENS[part], None
        elif part in _DIGITS:
            last = _DIGITS[part] + 10 * (last or 0)
        else:
            last = float(part)
    return _shown(total + section + (last or 0))


def _shown(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.6f}".rstrip("0")


def _counts(whole: str, found: re.Match[str]) -> bool:
    """Whether a numeral in kanji counts something."""
    if whole[: found.start()].endswith(("数", "何", "幾")) or _NO_COUNT.match(whole, found.start()):
        return False
    is_long = len(found.group()) >= _LONG_NUMERAL
    return is_long or _COUNTER.match(whole, found.end()) is not None


def _in_words(written: str) -> int:
    total = section = 0
    for word in re.findall("[a-z]+", written):
        if word in _WORDS:
            section += _WORDS[word]
        elif word == "hundred":
            section = (section or 1) * 100
        elif word != "and":
            total, section = total + (section or 1) * _SCALES[word], 0
    return total + section
