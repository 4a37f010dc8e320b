"""From the characters of a page to its lines, and from lines to paragraphs, by position.

All lengths are in points, all positions from the bottom left corner of the page.
"""

import re
import unicodedata
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from teichaku.documents.content import glue, is_wide

_PARTED = re.compile(r"([^\W\d_]+)[-\u2010\ufffe\x02\u00ad]$")
_WORD_START = re.compile(r"[^\W\d_]+")
_COMPOUND = re.compile(r"[^\W\d_]+-[^\W\d_]+")
#: What pdfium gives for a hyphen that parts a word at the end of a line, and the soft hyphen.
_PARTING_HYPHENS = ("\ufffe", "\x02", "\u00ad")
_MARKED_HYPHEN = re.compile("[\ufffe\x02](?!$)")  # within a line it parts no word
#: Radicals and ligatures stand in PDF files for plain characters that look the same.
_LOOKALIKE = re.compile("[\u2e80-\u2fd5\ufb00-\ufb06]")
_ITEM_START = re.compile(
    r"[・●○■□◆◇▪•‣※]|[-–—*]\s|[(（][0-9０-９ア-ンa-z一二三四五六七八九十]{1,3}[)）]|[①-⑳]"
    r"|[0-9０-９]{1,2}[)）.．](?![0-9０-９])|第[0-9０-９一二三四五六七八九十百]+[章節条]"
)
_SENTENCE_END = tuple("。．！？.!?")
_BRACKETS = tuple("」』）):：")
_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Glyph:
    """A character and its box. ``generated``: the program inferred it from a gap."""

    character: str
    left: float
    right: float
    bottom: float
    top: float
    generated: bool = False

    @property
    def size(self) -> float:
        """The height of the box."""
        return self.top - self.bottom


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``first_word`` is the width of what would have had to fit on the line before;
    ``marginal`` tells that it stands where running heads do.
    """

    text: str
    left: float
    right: float
    top: float
    size: float
    first_word: float
    page: int = 0
    marginal: bool = False


def lines_of(
    glyphs: Sequence[Glyph], lower_margin: float, upper_margin: float, page: int = 0
) -> Iterator[Line]:
    """The lines of a page, in the order of the file: glyphs side by side at one height."""
    rows: list[list[Glyph]] = []
    for glyph in glyphs:
        if glyph.character in "\r\n\0":
            continue
        if rows and (glyph.generated or _is_beside(rows[-1], glyph)):
            rows[-1].append(glyph)
        elif not glyph.generated:
            rows.append([glyph])
    for row in rows:
        line = _as_line(row, page, lower_margin, upper_margin)
        if line.text:
            yield line


def _is_beside(row: list[Glyph], glyph: Glyph) -> bool:
    last = next(other for other in reversed(row) if not other.generated)
    size = min(last.size, glyph.size)
    overlap = min(last.top, glyph.top) - max(last.bottom, glyph.bottom)
    # The letters of a ligature share one box.
    return overlap > 0.3 * size and glyph.left > last.left - size / 2


def _as_line(row: list[Glyph], page: int, lower_margin: float, upper_margin: float) -> Line:
    real = [glyph for glyph in row if not glyph.generated]
    middle = median((glyph.bottom + glyph.top) / 2 for glyph in real)
    return Line(
        text=_LOOKALIKE.sub(lambda m: unicodedata.normalize("NFKC", m.group()), _text(row)),
        left=real[0].left,
        right=max(glyph.right for glyph in real),
        top=median(glyph.top for glyph in real),
        size=max(median(glyph.size for glyph in real), 0.1),
        first_word=_first_word(row),
        page=page,
        marginal=not lower_margin <= middle <= upper_margin,
    )


def _text(row: list[Glyph]) -> str:
    """The characters of a row. A space inferred between a wide character and its neighbour is
    kept only where the gap is as wide as half a character: less is typesetting.
    """
    pieces: list[str] = []
    last: Glyph | None = None
    inferred = False
    for glyph in row:
        if glyph.generated:
            inferred = True
            continue
        if last is not None and _is_space(last, glyph, inferred):
            pieces.append(" ")
        pieces.append(glyph.character)
        last, inferred = glyph, False
    return _MARKED_HYPHEN.sub("-", "".join(pieces).strip())


def _is_space(last: Glyph, glyph: Glyph, inferred: bool) -> bool:
    if last.character.isspace() or glyph.character.isspace():
        return False
    gap = glyph.left - last.right
    if is_wide(last.character) or is_wide(glyph.character):
        return gap >= 0.5 * max(last.size, glyph.size)
    return inferred or gap >= 0.7 * max(last.size, glyph.size)


def _first_word(row: list[Glyph]) -> float:
    """Width of the first word: up to a space, or the first character of a wide script."""
    first = row[0]
    right = first.right
    for glyph in row:
        if glyph.character.isspace() or (is_wide(glyph.character) and glyph is not first):
            break
        right = glyph.right
        if is_wide(first.character):
            break
    return right - first.left


def join_lines(lines: Sequence[Line]) -> str:
    """The text of lines: paragraphs put together, with a blank line where a gap is wider than
    between lines elsewhere, or a page or column begins.
    """
    drops = [
        (before.top - line.top) / line.size
        for before, line in pairwise(lines)
        if line.page == before.page and before.top > line.top
    ]
    usual = median(drops) if drops else 0.0
    compounds = {word for line in lines for word in _COMPOUND.findall(line.text)}
    text = lines[0].text if lines else ""
    for position in range(1, len(lines)):
        before, line = lines[position - 1], lines[position]
        drop = (before.top - line.top) / line.size
        same_column = line.page == before.page and drop >= 0
        is_apart = same_column and drop >= usual + 0.5
        if not is_apart and _goes_on(lines, position):
            text = _joined(text, line.text, compounds)
        else:
            gap = "\n" if same_column and not is_apart else "\n\n"
            text = _unparted(text) + gap + line.text
    return _unparted(text)


def headline(lines: Sequence[Line]) -> str:
    """The text in the largest letters among ``lines``, if they are much larger than the rest."""
    usual = median(line.size for line in lines) if lines else 0.0
    largest = max((line.size for line in lines), default=0.0)
    if largest <= 1.3 * usual:
        return ""
    return join_lines([line for line in lines if line.size > 0.95 * largest][:3])


def _goes_on(lines: Sequence[Line], position: int) -> bool:
    """Whether line ``position`` continues the one before: its first word had no room there."""
    before, line = lines[position - 1], lines[position]
    if abs(before.size - line.size) > 0.25 * max(before.size, line.size):
        return False
    if _ITEM_START.match(line.text):
        return False
    if before.text.endswith(_PARTING_HYPHENS):
        return True
    nearby = lines[max(0, position - _NEIGHBOURS) : position + _NEIGHBOURS]
    if _is_heading(before, nearby) and _is_heading(line, nearby):
        return _is_centred_under(before, line)
    return _is_full(before, line, nearby) and not _is_indented_start(before, line, nearby)


def _is_full(before: Line, line: Line, nearby: Sequence[Line]) -> bool:
    column = [
        other.right
        for other in nearby
        if abs(other.left - before.left) < 4 * before.size and other.page == before.page
    ]
    edge = max(column)
    reaching = sum(right > edge - 3 * before.size for right in column)
    same_column = line.page != before.page or line.top > before.top
    aligned = same_column or abs(line.left - before.left) < 3 * before.size
    slack = before.size if is_wide(line.text[0]) else before.size / 2
    return reaching >= 2 and aligned and edge - before.right < line.first_word + slack


def _is_indented_start(before: Line, line: Line, nearby: Sequence[Line]) -> bool:
    """Whether a sentence ended on ``before`` and ``line`` is indented against its column; after
    a bracket, which may end a sentence or not, against the line before.
    """
    if before.text.endswith(_BRACKETS):
        return abs(line.left - before.left) > line.size / 2
    lefts = [other.left for other in nearby if abs(other.left - line.left) < 3 * line.size]
    return before.text.endswith(_SENTENCE_END) and line.left > min(lefts) + line.size / 2


def _is_heading(line: Line, nearby: Sequence[Line]) -> bool:
    return line.size > 1.3 * median(other.size for other in nearby)


def _is_centred_under(before: Line, line: Line) -> bool:
    centres = (before.left + before.right) / 2, (line.left + line.right) / 2
    near = 0 < before.top - line.top < 2.5 * line.size
    alike = abs(before.size - line.size) < 0.1 * line.size
    return near and alike and abs(centres[0] - centres[1]) < line.size


def _joined(text: str, following: str, compounds: Container[str]) -> str:
    """One text of two lines. A hyphen at the end of a line parts a word, unless the word
    stands with its hyphen elsewhere (``compounds``).
    """
    before, after = text[-1], following[0]
    # Thai writes without spaces as well, but keeps them beside Latin words.
    if is_wide(before) or is_wide(after) or not glue(before, after):
        return _unparted(text) + following
    parted = _PARTED.search(text)
    if not parted or not following[0].islower():
        return f"{_unparted(text)} {following}" if not parted else _unparted(text) + following
    rest = _WORD_START.match(following)
    whole = f"{parted.group(1)}-{rest.group() if rest else ''}"
    return (_unparted(text) if whole in compounds else text[:-1]) + following


def _unparted(text: str) -> str:
    return f"{text[:-1]}-" if text.endswith(_PARTING_HYPHENS) else text
