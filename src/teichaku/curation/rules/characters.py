"""Broken characters: what a wrong encoding, a torn file or a bad decoder leaves behind.

Mojibake is told by undoing it: a piece of text that is one encoding's bytes read as another's
becomes sense when it is written in the wrong one and read in the right one again. Signs that
real text has as well (``São``, 縺れる, ｱ､ｲ､ｳ) do not survive that.
"""

import re
from itertools import accumulate

from teichaku.core.records import Example
from teichaku.curation.rules.parts import parts, seen

#: Control characters other than tab, line ends and form feed; halves of surrogate pairs; private
#: use; noncharacters.
_NEVER = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]|[\ud800-\udfff]"
    "|[\ue000-\uf8ff\U000f0000-\U0010ffff]|[\ufdd0-\ufdef\ufffe\uffff]"
)
_REPLACEMENT = "\ufffd"
#: A text about this character may show it.
_TELLS_OF_REPLACEMENT = re.compile(
    r"u\+fffd|置換文字|文字化け|replacement character|替换字符|乱码", re.I
)

#: Pieces that may be UTF-8 read as Latin 1 or Windows 1252, and as Windows 31J.
_WESTERN = re.compile(r"[\x80-\xffŒœŠšŸŽžƒˆ˜–—‘’‚“”„†‡•…‰‹›€™]{2,}")
_JAPANESE = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uff61-\uff9f・]{3,}")
_CHINESE = re.compile(r"[\u3000-\u3003\u4e00-\u9fff\uff00-\uffee€]{4,}")
_TWO_BYTES = re.compile(rb"\xc2[\xa1-\xbf]|\xc3[\x80-\xbf]")
_THREE_BYTES = re.compile(rb"(?:\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}){2,}")
#: One of these is enough: quotation marks and dashes, full-width forms, emoji.
_SURE_BYTES = re.compile(rb"\xe2\x80[\x90-\xa6]|\xef[\xbc\xbd][\x80-\xbf]|\xf0\x9f[\x80-\xbf]{2}")
_JAPANESE_BYTES = re.compile(rb"(?:[\xe3-\xe9\xef][\x80-\xbf]{2}){2,}")
_KANA_BYTES = re.compile(rb"\xe3[\x81-\x83][\x80-\xbf]")
#: Kana in UTF-8 read as Windows 1252 (where it has no letter for every byte) and in Shift_JIS
#: read as that, EUC-JP kana read as Shift_JIS, and two replacement characters read as GBK.
_OTHERS = re.compile(
    r"(?:ã[\xa1-\xbf‚ƒ“”„…†‡•–—˜™š›œžŸŠŒŽ€‰‹][^\s\w]?){2,}|(?:[‚ƒ][\xa2-\xff].{0,2}){3,}|(?:､[ｦ-ﾟ]){6,}|锟斤拷|(?:烫烫|屯屯){2,}"
)


def broken_characters(example: Example) -> tuple[str, str] | None:
    """The rule: no part of an example has characters that only a fault brings about."""
    for part, text in parts(example):
        if text.isascii() and text.isprintable():
            continue
        found = broken_character(text)
        if found:
            what, start, end = found
            return "broken_characters", f"{what}; {_visible(seen(part, text, start, end))}"
    return None


def broken_character(text: str) -> tuple[str, int, int] | None:
    """What is broken in ``text``, and from where to where; None where nothing is."""
    if match := _NEVER.search(text):
        return f"U+{ord(match.group()):04X}", match.start(), match.end()
    at = text.find(_REPLACEMENT)
    if at >= 0 and not _TELLS_OF_REPLACEMENT.search(text):
        return "U+FFFD", at, at + 1
    return None if text.isascii() else _mojibake(text)


def _mojibake(text: str) -> tuple[str, int, int] | None:
    if match := _OTHERS.search(text):
        return f"mojibake: {match.group()}", match.start(), match.end()
    for match in _WESTERN.finditer(text):
        if _is_western(match.group(), text[max(0, match.start() - 1) : match.start()]):
            return f"mojibake: {match.group()}", match.start(), match.end()
    for match in _JAPANESE.finditer(text):
        if _is_japanese(match.group()):
            return f"mojibake: {match.group()[:20]}", match.start(), match.end()
    for match in _CHINESE.finditer(text):
        if _is_chinese(match.group()):
            return f"mojibake: {match.group()[:20]}", match.start(), match.end()
    return None


def _is_western(piece: str, before: str) -> bool:
    """Whether ``piece`` is UTF-8 read as Windows 1252, or as Latin 1 where that has no letter."""
    written = b"".join(
        character.encode("cp1252", "ignore") or character.encode("latin-1", "ignore")
        for character in piece
    )
    if _SURE_BYTES.search(written) or _THREE_BYTES.search(written):
        return True
    match = _TWO_BYTES.search(written)
    # «IRMÃ» ends in the same two bytes as a broken û.
    return match is not None and not (before.isupper() and match.group().endswith(b"\xbb"))


def _is_japanese(piece: str) -> bool:
    """Whether ``piece`` has UTF-8 read as Windows 31J: characters in a row that begin where a
    character of ``piece`` begins, with kana among them, or four of them.
    """
    found = [
        match
        for match in _JAPANESE_BYTES.finditer(piece.encode("cp932", "replace"))
        if len(match.group()) >= 12 or _KANA_BYTES.search(match.group())
    ]
    if not found:
        return False
    lengths = (len(character.encode("cp932", "replace")) for character in piece)
    starts = set(accumulate(lengths, initial=0))
    return any(match.start() in starts for match in found)


def _is_chinese(piece: str) -> bool:
    """Whether all of ``piece`` is kana, kanji or hangul in UTF-8 read as GBK."""
    try:
        decoded = piece.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return False
    return len(decoded) >= 3 and min(decoded) >= "\u3000"


def _visible(text: str) -> str:
    """``text`` in characters that a page can show."""
    return _NEVER.sub(lambda match: f"[U+{ord(match.group()):04X}]", text)
