"""Arms of one size."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from made import example, passage
from teichaku.core.records import Dropped, Example
from teichaku.curation.amount import characters, within_characters

PASSAGES = [passage(f"定員：{number}人", f"{number}号艇") for number in range(4)]
EXAMPLES = [
    example(f"{of.title}の定員（{turn}）は？", "人" * (turn + 1), of)
    for of in PASSAGES
    for turn in range(5)
]


def kept(examples: list[Example], limit: int) -> list[Example]:
    return [found for found in within_characters(examples, limit) if isinstance(found, Example)]


@given(st.integers(0, 400), st.randoms())
def test_the_limit_holds_nothing_is_lost_and_order_changes_nothing(
    limit: int, random: Random
) -> None:
    found = list(within_characters(EXAMPLES, limit))
    assert len(found) == len(EXAMPLES)
    assert all(
        isinstance(record, Example) or record.reason == "over_characters" for record in found
    )
    staying = kept(EXAMPLES, limit)
    assert sum(len(e.question) + len(e.answer) for e in staying) <= limit
    mixed = EXAMPLES[:]
    random.shuffle(mixed)
    assert kept(mixed, limit) == staying


def test_every_passage_is_taken_from_before_any_gives_two() -> None:
    longest = max(len(e.question) + len(e.answer) for e in EXAMPLES)
    first = kept(EXAMPLES, longest * len(PASSAGES))[: len(PASSAGES)]
    assert {e.passage_id for e in first} == {of.id for of in PASSAGES}


def test_what_falls_names_the_limit() -> None:
    fallen = [d for d in within_characters(EXAMPLES, 20) if isinstance(d, Dropped)]
    assert fallen
    assert all("20 characters" in record.evidence for record in fallen)


@given(st.integers(0, 100), st.integers(0, 100))
def test_what_is_spoken_for_counts(limit: int, taken: int) -> None:
    found = [e for e in within_characters(EXAMPLES, limit, taken) if isinstance(e, Example)]
    assert found == kept(EXAMPLES, limit - taken)
    assert not found or characters(found) + taken <= limit
