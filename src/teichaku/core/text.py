"""Text primitives that hold for Unicode, not for English: characters are the unit everywhere.

Texts of the user are never changed by these; they make forms for comparison only.
"""

import re
import unicodedata
from collections.abc import Iterator

_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−－〜～~∼"), "-")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SENTENCE_END = re.compile(
    r"[。！？!?｡．]+[」』）)】”\"']*\s*"  # an end mark and the closing brackets after it
    r"|\.+[”\"')]*(?=\s|$)\s*"  # a Latin full stop, but no decimal point
    r"|\n+"
)

#: Unicode block names are too fine and script properties are not in the standard library, so
#: these ranges name the scripts that the project has to tell apart.
_SCRIPT_RANGES: tuple[tuple[int, int, str], ...] = (
    (0x3041, 0x309F, "hiragana"),
    (0x30A1, 0x30FF, "katakana"),
    (0x31F0, 0x31FF, "katakana"),
    (0xFF66, 0xFF9F, "katakana"),
    (0x3005, 0x3007, "han"),
    (0x3400, 0x9FFF, "han"),
    (0xF900, 0xFAFF, "han"),
    (0x20000, 0x323AF, "han"),
    (0x0E00, 0x0E7F, "thai"),
    (0x1100, 0x11FF, "hangul"),
    (0xAC00, 0xD7AF, "hangul"),
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"),
    (0x0900, 0x097F, "devanagari"),
)

#: Scripts that write words without spaces between them.
UNSPACED_SCRIPTS = frozenset({"hiragana", "katakana", "han", "thai"})

#: The scripts of which a text in the language must show at least one.
LANGUAGE_SCRIPTS: dict[str, frozenset[str]] = {
    "ja": frozenset({"hiragana", "katakana", "han"}),
    "zh": frozenset({"han"}),
    "ko": frozenset({"hangul"}),
    "th": frozenset({"thai"}),
    "ru": frozenset({"cyrillic"}),
    "el": frozenset({"greek"}),
    "he": frozenset({"hebrew"}),
    "ar": frozenset({"arabic"}),
    "hi": frozenset({"devanagari"}),
}


def script(character: str) -> str:
    """The script of a letter; ``digit``, or ``other`` for marks, punctuation and spaces."""
    code = ord(character)
    for low, high, name in _SCRIPT_RANGES:
        if low <= code <= high:
            return name
    if character.isdigit():
        return "digit"
    if character.isalpha():
        return "latin"
    return "other"


def script_shares(text: str) -> dict[str, float]:
    """Share of each script among the letters of ``text`` (digits and marks left out)."""
    counts: dict[str, int] = {}
    for character in unicodedata.normalize("NFKC", text):
        name = script(character)
        if name not in ("digit", "other"):
            counts[name] = counts.get(name, 0) + 1
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def is_unspaced(text: str) -> bool:
    """Whether most letters of ``text`` belong to scripts without spaces between words."""
    shares = script_shares(text)
    return sum(shares.get(name, 0.0) for name in UNSPACED_SCRIPTS) >= 0.5


def normalise(text: str) -> str:
    """The form in which two texts are compared: NFKC, case-folded, one kind of dash, numbers
    without thousands separators, each run of white space one space.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_DASHES)
    return " ".join(_THOUSANDS.sub("", folded).split())


def comparable(text: str) -> str:
    """:func:`normalise` without white space, punctuation and symbols.

    A dash or a point between digits stays, because ``1-4`` is not ``14``.
    """
    folded = normalise(text)
    kept = []
    for position, character in enumerate(folded):
        if unicodedata.category(character)[0] in "LNM" or (
            character in "-." and _between_digits(folded, position)
        ):
            kept.append(character)
    return "".join(kept)


def _between_digits(text: str, position: int) -> bool:
    return (
        0 < position < len(text) - 1
        and text[position - 1].isdigit()
        and text[position + 1].isdigit()
    )


def numbers(text: str) -> list[str]:
    """The numbers in ``text``, normalised (``１，８００`` is ``1800``, ``05`` is ``5``)."""
    found = (match.group() for match in _NUMBER.finditer(normalise(text)))
    return [number.lstrip("0") or "0" for number in found]


def content_terms(text: str) -> list[str]:
    """The pieces of ``text`` that carry meaning rather than grammar, normalised, in order.

    Where words stand apart: the words. In Japanese: runs of kanji, of katakana, of Latin
    letters with digits (hiragana is mostly grammar); in Chinese and Thai: runs of the script.
    Digits join the run that they touch.
    """
    terms: list[str] = []
    run, kind = "", ""
    for character in normalise(text) + " ":
        name = "katakana" if character in "ー・" and kind == "katakana" else script(character)
        is_mark = unicodedata.category(character)[0] == "M"
        if run and kind not in _NO_CONTENT and (is_mark or _joins(kind, name)):
            run += character
            kind = name if kind == "digit" and not is_mark else kind
            continue
        if run and kind not in _NO_CONTENT:
            terms.append(run)
        run, kind = character, name
    return terms


_NO_CONTENT = ("other", "hiragana")


def _joins(kind: str, name: str) -> bool:
    return name in (kind, "digit") or (kind == "digit" and name not in _NO_CONTENT)


def character_ngrams(text: str, size: int) -> set[str]:
    """The sets of ``size`` neighbouring characters of ``text``; a shorter text is one whole."""
    if len(text) <= size:
        return {text} if text else set()
    return {text[start : start + size] for start in range(len(text) - size + 1)}


def sentences(text: str) -> Iterator[str]:
    """The sentences of ``text`` with their end marks and trailing white space; joined again
    they are the text. Ends: CJK marks, Latin marks before white space, line breaks.
    """
    start = 0
    for match in _SENTENCE_END.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def is_language(text: str, language: str, name: str = "") -> bool:
    """Whether ``text`` can be in ``language`` (an ISO 639-1 code), by its scripts.

    ``name`` is what the text is about; it does not count, for a thing keeps its name in a
    text of any language.

    Japanese needs kana, or nothing but kanji in a text too short to need grammar; Chinese
    must be free of kana; a language in Latin letters must be mostly in them. Texts without
    letters (``1,800``) pass in every language.
    """
    if name:
        text = normalise(text).replace(normalise(name), " ")
    shares = script_shares(text)
    if not shares:
        return True
    kana = shares.get("hiragana", 0.0) + shares.get("katakana", 0.0)
    if language == "ja":
        return kana > 0 or (shares.get("han", 0.0) > 0.5 and len(comparable(text)) < 12)
    if language == "zh":
        return shares.get("han", 0.0) > 0.3 and kana < 0.1
    wanted = LANGUAGE_SCRIPTS.get(language, frozenset({"latin"}))
    return sum(shares.get(name, 0.0) for name in wanted) > 0.5
