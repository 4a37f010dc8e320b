"""Which instructions a method begins with, and which of them are but those of its prompt."""

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from teichaku.core.prompts import Prompt
from teichaku.core.records import Example
from teichaku.core.replies import json_objects, list_item, text_value
from teichaku.core.text import comparable

Origin = Literal["seeds", "all"]


def without_document(examples: Iterable[Example]) -> list[Example]:
    """The instructions among ``examples``, by id: what belongs to a document is none, for what
    is made of it without the document would be made up.
    """
    found = [example for example in examples if example.question and not example.document_id]
    return sorted(found, key=lambda example: example.id)


def chosen(
    seeds: Sequence[Example], pool: Sequence[Example], of: Origin, limit: int | None, drawn_by: str
) -> list[Example]:
    """The seeds, or what was made before too; of more than ``limit`` so many, drawn by
    ``drawn_by``. By id, so that the order of neither changes anything.
    """
    units = without_document([*seeds, *pool] if of == "all" else seeds)
    if limit is None or len(units) <= limit:
        return units
    places = random.Random(drawn_by).sample(range(len(units)), limit)
    return [units[place] for place in sorted(places)]


def by_wording(examples: Iterable[Example]) -> dict[str, Example]:
    """The first example of each instruction, whatever its inputs, by its comparable form."""
    found: dict[str, Example] = {}
    for example in examples:
        found.setdefault(comparable(example.question), example)
    return found


def worked_examples(prompt: Prompt) -> list[str]:
    """The instructions, each with its input, that ``prompt`` shows as replies in JSON. A teacher
    that gives one of them back has made nothing.
    """
    found = [value for _, section in prompt.sections for value in json_objects(section)]
    pairs = [
        (text_value(value.get("instruction")), text_value(value.get("input"))) for value in found
    ]
    return ["\n\n".join(filter(None, pair)) for pair in pairs if pair[0]]


def numbered_lines(prompt: Prompt) -> list[str]:
    """The texts of the numbered lines that ``prompt`` itself has: rules and worked examples."""
    lines = (line for _, section in prompt.sections for line in section.split("\n"))
    return [item.text for item in map(list_item, lines) if item and item.number and item.text]
