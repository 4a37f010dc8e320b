"""``personal_data``: what identifies a person, in Japanese text first: e-mail addresses,
telephone numbers, postal codes, My Numbers, corporate numbers, bank accounts and card numbers;
names by a model that is handed in.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from teichaku.core.models import NameFinder
from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import dropped
from teichaku.curation.personal_data.labels import KINDS, LABELS, Kind
from teichaku.curation.personal_data.search import (
    Found,
    bare_value,
    find_personal_data,
    form_of,
)

Action = Literal["mask", "drop", "report"]
Field = Literal["question", "input", "answer"]


@dataclass(frozen=True, slots=True)
class PersonalDatum:
    """What the filter found in an example, and what became of it; never the datum itself.

    ``start`` and ``end`` are places in the ``field`` as it was before.
    """

    example_id: str
    field: Field
    kind: Kind
    start: int
    end: int
    evidence: str
    action: Action


def mask_personal_data(text: str, found: Iterable[Found], language: str = "ja") -> str:
    """``text`` with a label in the place of each of ``found``; English where there is none."""
    labels = LABELS.get(language, LABELS["en"])
    for datum in sorted(found, key=lambda datum: -datum.start):
        text = f"{text[: datum.start]}{labels[datum.kind]}{text[datum.end :]}"
    return text


@dataclass(frozen=True)
class PersonalData:
    """The filter: what has personal data is masked, dropped, or reported and kept.

    A masked example keeps its id, and so its row before masking and all that refers to it. A
    dropped one is written down masked, too: the sheet of the fallen shows no datum. ``note`` is
    given a :class:`PersonalDatum` for each datum, whatever the action. ``names`` finds the names
    of persons; ``language`` is that of the labels where an example has none.
    """

    action: Action = "mask"
    kinds: tuple[Kind, ...] = KINDS
    allow: frozenset[str] = frozenset()
    names: NameFinder | None = None
    language: str = "ja"
    note: Callable[[PersonalDatum], None] = field(default=lambda datum: None, compare=False)

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, masked where that is the action, or its place as dropped."""
        for example in examples:
            found = {name: self._find(text) for name, text in _fields(example)}
            if not any(found.values()):
                yield example
                continue
            for name, some in found.items():
                for datum in some:
                    self.note(_noted(example, name, datum, self.action))
            if self.action == "report":
                yield example
                continue
            masked = self._masked(example)
            if self.action == "mask":
                yield masked
                continue
            seen = (f"{name}: {d.kind} {d.evidence}" for name, some in found.items() for d in some)
            yield dropped(masked, "curation", "personal_data", "; ".join(seen))

    def _find(self, text: str) -> list[Found]:
        found = find_personal_data(text, self.kinds, self.allow)
        if self.names is None or "name" not in self.kinds:
            return found
        allowed = {bare_value(value) for value in self.allow}
        (spans,) = self.names.find_names([text])
        for start, end in spans:
            free = all(end <= datum.start or datum.end <= start for datum in found)
            if free and start < end and bare_value(text[start:end]) not in allowed:
                found.append(Found("name", start, end, form_of(text[start:end])))
        return sorted(found, key=lambda datum: datum.start)

    def _masked(self, example: Example) -> Example:
        language = example.language or self.language
        return replace(
            example,
            question=self._mask(example.question, language),
            input=self._mask(example.input, language),
            answer=self._mask(example.answer, language),
        )

    def _mask(self, text: str, language: str) -> str:
        """A label is shorter or longer than what it stands for, and may bring a word closer to
        another number: until nothing is found any more.
        """
        text = mask_personal_data(text, self._find(text), language)
        while found := find_personal_data(text, self.kinds, self.allow):
            text = mask_personal_data(text, found, language)
        return text


def _fields(example: Example) -> Iterator[tuple[Field, str]]:
    yield "question", example.question
    yield "input", example.input
    yield "answer", example.answer


def _noted(example: Example, name: Field, datum: Found, action: Action) -> PersonalDatum:
    return PersonalDatum(
        example.id, name, datum.kind, datum.start, datum.end, datum.evidence, action
    )
