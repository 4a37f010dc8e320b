"""Arms of one size."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from made import example, passage
from teichaku.core.records import Dropped, Example
from teichaku.curation.amount import characters, mix_by_tokens, within_characters

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


def both_halves(pair_lengths: list[int], text_lengths: list[int]) -> list[Example]:
    """Pairs and documents of the given lengths, spread over three passages."""
    of = [passage(f"定員は{number}人。", f"第{number}号") for number in range(3)]
    pairs = [
        example("問" * (size - 1), "答", of[i % 3], id=f"pair{i}", method="focal_rewrite")
        for i, size in enumerate(pair_lengths)
    ]
    documents = [
        example("", "文" * size, of[i % 3], id=f"text{i}", method="focal_rewrite")
        for i, size in enumerate(text_lengths)
    ]
    return pairs + documents


lengths = st.lists(st.integers(2, 60), min_size=1, max_size=30)


@given(lengths, lengths, st.sampled_from([0.5, 1.0, 2.0]))
def test_the_halves_are_in_the_ratio_as_nearly_as_whole_examples_allow(
    pair_lengths: list[int], text_lengths: list[int], ratio: float
) -> None:
    found = both_halves(pair_lengths, text_lengths)
    mixed = list(mix_by_tokens(found, "focal_rewrite", ratio))
    kept = [record for record in mixed if isinstance(record, Example)]
    pairs = sum(characters([record]) for record in kept if not record.is_text)
    documents = sum(characters([record]) for record in kept if record.is_text)
    longest = max(characters([record]) for record in found)
    assert abs(documents - ratio * pairs) <= longest * max(1.0, ratio)
    assert pairs == sum(pair_lengths) or documents == sum(text_lengths)
    assert len(mixed) == len(found)
    fallen = [record for record in mixed if isinstance(record, Dropped)]
    assert {record.id for record in kept} | {drop.record_id for drop in fallen} == {
        record.id for record in found
    }
    assert all(drop.reason == "over_mixture" and drop.evidence for drop in fallen)
    assert all(drop.stage == "curation" for drop in fallen)


@given(lengths, lengths, st.integers())
def test_the_mixture_does_not_depend_on_the_order(
    pair_lengths: list[int], text_lengths: list[int], seed: int
) -> None:
    found = both_halves(pair_lengths, text_lengths)
    shuffled = Random(seed).sample(found, len(found))

    def kept(examples: list[Example]) -> set[str]:
        return {e.id for e in mix_by_tokens(examples, "focal_rewrite") if isinstance(e, Example)}

    assert kept(found) == kept(shuffled)


def test_one_to_one_keeps_documents_of_every_passage_before_two_of_any() -> None:
    mixed = mix_by_tokens(both_halves([10] * 6, [20] * 12), "focal_rewrite")
    documents = [e for e in mixed if isinstance(e, Example) and e.is_text]
    assert len(documents) == 3
    assert len({document.passage_id for document in documents}) == 3


def test_a_half_alone_and_other_methods_stay_whole() -> None:
    alone = both_halves([10] * 4, [])
    others = [example("定員は？", "48人"), example("", "檜の船。", method="verbatim")]
    assert list(mix_by_tokens([*alone, *others], "focal_rewrite")) == [*alone, *others]
