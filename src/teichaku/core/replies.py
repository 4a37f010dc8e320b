"""Reading what a model replied: JSON wherever it stands, the marks of lists, lines that name
what follows on them, thinking at the start left out.
"""

import json
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from teichaku.core.text import comparable

#: Blocks at the start, the last one perhaps cut off. Some templates open the block in the prompt,
#: so the reply shows only its end; one that begins with JSON or code merely quotes the tag.
_THINKING = re.compile(
    r"(?:\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z))+"
    r"|(?!\s*[{\[`])(?:(?!<think).)*?</think(?:ing)?>",
    re.DOTALL | re.IGNORECASE,
)
#: The text of a reply of a model in process that wrote tokens up to its limit and no text. An empty
#: one may be of a server that kept a thought to itself.
NO_TEXT = " "
_DECODER = json.JSONDecoder(strict=False)
#: How often the decoder may read a whole reply, and the share of a reading that each failure
#: costs (its error counts lines): a reply of nothing but brackets must not take square time.
_READINGS = 64
_FAILURES_A_READING = 100
#: The marks that begin an item of a list. A time such as 10:30, a figure such as 48.5 and a minus
#: before a digit are none.
_HEADING = re.compile(r"\s*#{1,6}\s*(?=\S)")
_NUMBER = re.compile(
    r"\s*(?P<bold>\**)\s*(?:[（(]?(?P<digits>\d{1,3})\s*[.．)）、:：](?!\d)|(?P<circled>[①-⑳]))"
    r"(?P<closed>\**)"
)
#: A mark right before a digit (``9.3人で…``): only of the number that comes next is it one.
_TIGHT_NUMBER = re.compile(r"\s*(?P<bold>\**)(?P<digits>\d{1,3})[.．](?=\d)(?P<closed>)")
_BULLET = re.compile(r"\s*(?:[・•●]|[-*](?=\s)|-(?=[^\s\d-]))")
#: What may stand between a label and the text that is before it on its line.
_BEFORE_LABEL = r"(?<=[\s。．！？!?.])"
_YES, _NO = ("true", "yes", "はい"), ("false", "no", "いいえ")
#: Halves of a character, which JSON can escape and UTF-8 cannot write.
_SURROGATE = re.compile("[\ud800-\udfff]")


def without_thinking(text: str) -> str:
    """``text`` without the block at its start in which reasoning models think aloud."""
    thinking = _THINKING.match(text)
    return text[thinking.end() :] if thinking else text


def visible_text(text: str) -> str:
    """``text`` without thinking; all of it where nothing else is there, because the limit cut the
    thinking off: what was paid for is kept, and :func:`json_objects` finds nothing in it.
    """
    visible = without_thinking(text)
    return text if visible == text else visible.strip() or text


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in ``text``, outermost first, in order.

    Where an outer object is broken or cut off, its inner objects that are whole are still
    found, so that a reply that ran into the token limit loses its last item only.
    """
    text = without_thinking(text)
    position, left = text.find("{"), _READINGS * len(text)
    while position >= 0 and left > 0:
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            left -= _reached(error, text) - position + len(text) // _FAILURES_A_READING
            position += 1
        else:
            yield value
        position = text.find("{", position)


def _reached(error: Exception, text: str) -> int:
    """How far the decoder read before ``error``, at most."""
    if isinstance(error, json.JSONDecodeError) and not error.msg.startswith("Unterminated"):
        return error.pos
    return len(text)


def last_json_object(text: str, keys: Sequence[str]) -> dict[str, Any] | None:
    """The last JSON object in ``text`` that has all ``keys``; None where there is none."""
    found = [value for value in json_objects(text) if all(key in value for key in keys)]
    return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class ListItem:
    """The beginning of an item of a list: its kind of ``mark``, the ``text`` of the line behind
    the mark, and the ``number`` of a numbered one.
    """

    mark: Literal["heading", "number", "bullet"]
    text: str
    number: int | None = None


def list_item(line: str, expected: Container[int] = ()) -> ListItem | None:
    """What ``line`` begins; None where it begins no item. A heading may have a number, too.

    A number with a dot right before a digit is a decimal, unless it is one of those ``expected``
    next in the list.
    """
    heading = _HEADING.match(line)
    rest = line[heading.end() :] if heading else line
    numbered, number = _NUMBER.match(rest), 0
    if numbered:
        number = int(numbered["digits"] or unicodedata.numeric(numbered["circled"]))
    elif (tight := _TIGHT_NUMBER.match(rest)) and int(tight["digits"]) in expected:
        numbered, number = tight, int(tight["digits"])
    if numbered:
        text = rest[numbered.end() :].strip()
        if numbered["bold"] and not numbered["closed"]:
            text = text.removesuffix(numbered["bold"]).rstrip()
        return ListItem("heading" if heading else "number", text, number)
    if heading:
        return ListItem("heading", rest.strip())
    if bullet := _BULLET.match(line):
        return ListItem("bullet", line[bullet.end() :].strip())
    return None


def list_items(lines: Iterable[str]) -> Iterator[ListItem | None]:
    """What each of ``lines`` begins, where each number is known to come after the one before."""
    last = 0
    for line in lines:
        found = list_item(line, (last + 1,))
        last = found.number if found and found.number is not None else last
        yield found


def labelled_parts(text: str, labels: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """The parts of a reply that is no JSON but lines such as ``質問：…`` and ``答え：…``, group by
    group; a part that comes again begins the next one.

    ``labels`` has the words for each part. A number or a mark of a list may stand beside a label,
    two labels on one line, and text that goes on in the lines below it, up to an empty one that no
    list follows.
    """
    known = tuple((part, tuple(words)) for part, words in labels.items())
    group: dict[str, str] = {}
    part, is_ended = "", False
    for line in without_thinking(text).split("\n"):
        item = list_item(line)
        shown = item.text if item else line.strip()
        found = _label(known).match(shown)
        if found:
            part = _part(found)
            if part in group:
                yield _told_apart(group, known)
                group = {}
            own = found["text"].strip()
            # Bold type that began before the label ends here.
            group[part] = own.rstrip("* ") if shown.startswith("*") else own
            is_ended = False
        elif not line.strip():
            is_ended = bool(group.get(part))
        elif is_ended and item is None:
            part, is_ended = "", False
        elif part:
            group[part] = f"{group[part]}\n{line.strip()}".strip()
    if group:
        yield _told_apart(group, known)


_Labels = tuple[tuple[str, tuple[str, ...]], ...]


@cache
def _label(labels: _Labels, before: str = r"[\s*]{0,8}") -> re.Pattern[str]:
    """A label, in the group of its part, and what follows on its line. All that may stand
    beside it is bounded, for some replies are nothing but spaces.
    """
    named = "|".join(f"(?P<{part}>{'|'.join(map(re.escape, words))})" for part, words in labels)
    colon = r"\s?\d{0,3}[\s*]{0,4}[:：][\s*]{0,8}"
    return re.compile(rf"{before}(?:{named}){colon}(?P<text>.*)", re.DOTALL | re.IGNORECASE)


def _part(found: re.Match[str]) -> str:
    """The part whose label was found."""
    return next(part for part, word in found.groupdict().items() if word and part != "text")


def _told_apart(group: dict[str, str], labels: _Labels) -> dict[str, str]:
    """``group``, with parts of their own for labels of missing parts inside of a line."""
    found = dict(group)
    for first in group:
        part = first
        while inner := _label(labels, _BEFORE_LABEL).search(found[part]):
            other = _part(inner)
            if other in found:
                break
            found[other] = inner["text"].strip()
            found[part] = found[part][: inner.start()].strip()
            part = other
    return found


def yes_or_no(text: str) -> bool | None:
    """What a reply says that is nothing but true or false, yes or no, はい or いいえ; None for
    any other.
    """
    said = comparable(without_thinking(text))
    return True if said in _YES else False if said in _NO else None


def text_value(value: Any) -> str:
    """A JSON scalar as stripped text that UTF-8 can write; empty for null, objects and lists."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value).strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(value)
