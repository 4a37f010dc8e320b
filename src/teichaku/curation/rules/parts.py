"""What rules on the text of an example have in common: its parts, and the part of a text that
speaks for itself.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from teichaku.core.records import Example

Part = Literal["question", "input", "answer", "text"]

#: Stands where something was left out, so that its neighbours do not become one word.
GAP = "\ufffc"

_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"(?:https?|ftp)://[!-~]+|www\.[!-~]+")
#: Marks that open and close what is quoted; nested ones are taken from the inside out.
_QUOTED = re.compile(
    r"「[^「」]{0,400}」|『[^『』]{0,400}』|“[^“”]{0,400}”|«[^«»]{0,400}»|\"[^\"\n]{1,300}\""
    r"|‘[^‘’\n]{1,300}’(?!\w)|(?<!\w)'[^'\n]{1,300}'(?!\w)|^>.*$",
    re.MULTILINE,
)
_BRACKETED = re.compile(
    r"\([^()]{0,300}\)|（[^（）]{0,300}）|\[[^\[\]]{0,300}\]|［[^［］]{0,300}］"
    r"|【[^【】]{0,100}】|《[^《》]{0,200}》|〈[^〈〉]{0,200}〉|〔[^〔〕]{0,200}〕"
)
_AROUND = 30


def parts(example: Example) -> Iterator[tuple[Part, str]]:
    """The texts of ``example`` that are not empty, by name; running text is ``text``."""
    if example.is_text:
        yield "text", example.answer
        return
    yield "question", example.question
    if example.input:
        yield "input", example.input
    yield "answer", example.answer


def folded(text: str) -> str:
    """``text`` in NFKC and case-folded; unlike :func:`normalise` it keeps its lines."""
    return unicodedata.normalize("NFKC", text).casefold()


def without_blocks(text: str) -> str:
    """``text`` with fenced code left out."""
    return _FENCED.sub(GAP, text) if "```" in text or "~~~" in text else text


def without_code(text: str) -> str:
    """``text`` with code (fenced, or between backquotes) and addresses of the web left out."""
    return _LINK.sub(GAP, _INLINE.sub(GAP, without_blocks(text)))


def without_quotes(text: str) -> str:
    """``text`` with code and all that stands in quotation marks left out, nested or not."""
    return _emptied(_QUOTED, without_code(text))


def without_asides(text: str) -> str:
    """``text`` with code, quotations and all that stands in brackets left out."""
    return _emptied(_BRACKETED, without_quotes(text))


def _emptied(pattern: re.Pattern[str], text: str) -> str:
    before = ""
    while before != text:
        before, text = text, pattern.sub(GAP, text)
    return text


def seen(part: Part, text: str, start: int = 0, end: int = 0) -> str:
    """Evidence for people: the place in ``text`` with a little around it, on one line."""
    piece = text[max(0, start - _AROUND) : max(end, start) + _AROUND]
    return f"{part}: {' '.join(piece.split())}"
