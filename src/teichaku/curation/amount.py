"""Arms of one size: a method that writes more is not better for that alone."""

from collections.abc import Iterable, Iterator

from teichaku.core.records import Dropped, Example, content_id
from teichaku.core.run_folder import dropped


def characters(examples: Iterable[Example]) -> int:
    """How many characters ``examples`` have: their questions, inputs and answers."""
    return sum(len(example.asked) + len(example.answer) for example in examples)


def within_characters(
    examples: Iterable[Example], limit: int, taken: int = 0
) -> Iterator[Example | Dropped]:
    """``examples`` as long as all of them have ``limit`` characters at most, the others dropped.
    ``taken`` of these are spoken for.

    One of each passage is taken before two of any. The draw depends on each example alone, so
    the order of ``examples`` changes nothing. Characters are the same for every student, tokens
    are not.
    """
    turns: dict[str, int] = {}
    order: list[tuple[int, str, Example]] = []
    for drawn, example in sorted((content_id("amount", e.id), e) for e in examples):
        turn = turns[example.passage_id] = turns.get(example.passage_id, -1) + 1
        order.append((turn, drawn, example))
    total = taken
    for _, _, example in sorted(order, key=lambda item: item[:2]):
        size = characters([example])
        if total + size <= limit:
            total += size
            yield example
        else:
            evidence = f"the arm keeps {limit} characters; {total} were taken before it"
            yield dropped(example, "curation", "over_characters", evidence)
