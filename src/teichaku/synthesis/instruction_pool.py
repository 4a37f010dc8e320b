"""Which instructions a method begins with."""

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from teichaku.core.records import Example

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
