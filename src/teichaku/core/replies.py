"""Reading what a model replied: JSON wherever it stands, thinking blocks left out."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_DECODER = json.JSONDecoder(strict=False)


def without_thinking(text: str) -> str:
    """``text`` without the blocks in which reasoning models think aloud."""
    return _THINKING.sub("", text)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in ``text``, outermost first, in order.

    Where an outer object is broken or cut off, its inner objects that are whole are still
    found, so that a reply that ran into the token limit loses its last item only.
    """
    text = without_thinking(text)
    position = text.find("{")
    while position >= 0:
        try:
            value, position = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError:
            position += 1
        else:
            yield value
        position = text.find("{", position)


def last_json_object(text: str, keys: Sequence[str]) -> dict[str, Any] | None:
    """The last JSON object in ``text`` that has all ``keys``; None where there is none."""
    found = [value for value in json_objects(text) if all(key in value for key in keys)]
    return found[-1] if found else None


def text_value(value: Any) -> str:
    """A JSON scalar as stripped text; empty for null, objects and lists."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(value)
