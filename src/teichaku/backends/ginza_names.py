"""Names of persons by GiNZA (spaCy): named entities of the kind ``Person``.

spaCy and the model are imported when the first text comes, so that nobody else waits for them.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from teichaku.core.errors import MissingExtraError

#: What GiNZA (Sekine's extended named entity hierarchy) and other models call a person.
_PERSONS = frozenset({"Person", "PERSON"})


class GinzaNames:
    """A :class:`~teichaku.core.models.NameFinder`; ``model`` is a spaCy model that is installed."""

    def __init__(self, model: str = "ja_ginza") -> None:
        self.model = model

    def find_names(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """The places of names of persons in each of ``texts``.

        Raises ``MissingExtraError`` without the extra ``names``.
        """
        return [
            [
                (entity.start_char, entity.end_char)
                for entity in read.ents
                if entity.label_ in _PERSONS
            ]
            for read in _pipeline(self.model).pipe(texts)
        ]


@cache
def _pipeline(model: str) -> Any:
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise MissingExtraError("Finding names of persons", "names") from error
    try:
        return spacy.load(model)
    except OSError as error:
        raise MissingExtraError(f"The model of names '{model}'", "names") from error
