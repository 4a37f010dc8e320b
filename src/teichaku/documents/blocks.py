"""The Markdown blocks of a text, as far as cutting it has to know them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["heading", "number", "whole", "prose"]

_PREFIX = r"[ \t]*(?:(?:>|[-*+]|[0-9]+[.)])[ \t]+)*>?"  # fences stand in quotes and lists too
#: Six and more tildes underline headings in plain text; no fence needs that many.
_FENCE_START = re.compile(_PREFIX + r"[ \t]*(`{3,}(?=[^`\n]*$)|~{3,5}(?!~))", re.MULTILINE)
_TABLE_RULE = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\n?")
#: 「一」 or 「（２）」 alone on a line, as laws and outlines have it.
_NUMBER = re.compile(r"\s*[（(]?[0-9０-９一二三四五六七八九十百]{1,4}[)）.．]?\s*")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A slice of a text with the blank lines after it. ``whole`` is a table or a code fence;
    a list, a quotation or any other text is ``prose``.
    """

    kind: Kind
    start: int
    end: int
    ends_paragraph: bool


def blocks(text: str) -> list[Block]:
    """The blocks of ``text``, which cover it: blank lines belong to the block before them, at
    the start to the first block. None where there is nothing but white space.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    return list(_blocks(lines, offsets))


def _blocks(lines: list[str], offsets: list[int]) -> Iterator[Block]:
    position = _after_blank(lines, 0)
    start = 0
    while position < len(lines):
        kind, after = _block_at(lines, position)
        following = _after_blank(lines, after)
        ends = following > after or following == len(lines) or kind != "prose"
        yield Block(kind, start, offsets[following], ends or _is_block_start(lines, following))
        start, position = offsets[following], following


def _after_blank(lines: list[str], position: int) -> int:
    while position < len(lines) and not lines[position].strip():
        position += 1
    return position


def _block_at(lines: list[str], position: int) -> tuple[Kind, int]:
    """The kind of the block that starts at a line, and the number of the line after it."""
    after = _after_fence(lines, position) or _after_table(lines, position)
    if after:
        return "whole", after
    if _HEADING.match(lines[position]):
        return "heading", position + 1
    if _NUMBER.fullmatch(lines[position]):
        return "number", position + 1
    after = position + 1
    while after < len(lines) and lines[after].strip() and not _is_block_start(lines, after):
        after += 1
    return "prose", after


def _is_block_start(lines: list[str], position: int) -> bool:
    if _HEADING.match(lines[position]) or _NUMBER.fullmatch(lines[position]):
        return True
    return bool(_after_fence(lines, position) or _after_table(lines, position))


def _after_fence(lines: list[str], position: int) -> int:
    """The line after the fence that opens here; 0 where none does.

    A fence that nothing closes is none: taken as one, a stray mark would make the rest of the
    document one passage.
    """
    start = _FENCE_START.match(lines[position])
    if not start:
        return 0
    mark = start.group(1)
    close = re.compile(rf"[ \t>]*{re.escape(mark[0])}{{{len(mark)},}}[ \t]*\n?")
    for after in range(position + 1, len(lines)):
        if close.fullmatch(lines[after]):
            return after + 1
    return 0


def _after_table(lines: list[str], position: int) -> int:
    """The line after the table whose heading row stands here; 0 where none does."""
    rule = position + 1
    if rule >= len(lines) or "|" not in lines[position] or "|" not in lines[rule]:
        return 0
    if not _TABLE_RULE.fullmatch(lines[rule]):
        return 0
    after = rule + 1
    while after < len(lines) and "|" in lines[after]:
        after += 1
    return after
