"""Filters in a row. A filter takes examples and yields each again, or its place as dropped."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import dropped

Filter = Callable[[Iterable[Example]], Iterator[Example | Dropped]]

#: A rule looks at one example and gives (reason, evidence) if it must fall.
Rule = Callable[[Example], tuple[str, str] | None]


def curate(examples: Iterable[Example], filters: Sequence[Filter]) -> Iterator[Example | Dropped]:
    """Every example once: as it is where it passed all ``filters``, else dropped by the first."""
    fallen: deque[Dropped] = deque()

    def standing(stream: Iterable[Example | Dropped]) -> Iterator[Example]:
        for record in stream:
            if isinstance(record, Dropped):
                fallen.append(record)
            else:
                yield record

    stream: Iterable[Example | Dropped] = examples
    for step in filters:
        stream = step(standing(stream))
    for record in stream:
        while fallen:
            yield fallen.popleft()
        yield record
    yield from fallen


def by_rule(rule: Rule) -> Filter:
    """The filter that drops what ``rule`` objects to."""

    def apply(examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        for example in examples:
            objection = rule(example)
            yield example if objection is None else dropped(example, "curation", *objection)

    return apply
