from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teichaku.core.records import TokenizedExample
from teichaku.training.batches import length_bucketed, padding_count, token_count


def of_length(length: int, name: str = "") -> TokenizedExample:
    return TokenizedExample(name or f"row-{length}", tuple(range(length)), 1)


@given(st.lists(st.integers(2, 60), max_size=70), st.integers(1, 9), st.integers(0, 3))
def test_every_example_is_in_one_batch(lengths: list[int], batch_size: int, epoch: int) -> None:
    examples = [of_length(length, str(index)) for index, length in enumerate(lengths)]
    batches = length_bucketed(examples, batch_size, 0, epoch)
    assert Counter(one.id for batch in batches for one in batch) == Counter(
        one.id for one in examples
    )
    assert sum(len(batch) < batch_size for batch in batches) <= 1
    assert all(len(batch) <= batch_size for batch in batches)


def test_little_is_padding() -> None:
    examples = [of_length(10 + (index * 37) % 190, str(index)) for index in range(400)]
    batches = length_bucketed(examples, 8, seed=0, epoch=1)
    padding = sum(padding_count(batch) for batch in batches)
    assert padding / sum(token_count(batch) for batch in batches) < 0.05


def test_the_order_of_the_examples_changes_nothing() -> None:
    examples = [of_length(5 + index % 7, str(index)) for index in range(40)]
    assert length_bucketed(examples, 4, 0, 1) == length_bucketed(examples[::-1], 4, 0, 1)


def test_epochs_and_seeds_draw_other_batches() -> None:
    examples = [of_length(5 + index % 7, str(index)) for index in range(40)]
    draws = [length_bucketed(examples, 4, seed, epoch) for seed in (0, 1) for epoch in (1, 2)]
    assert all(one != other for at, one in enumerate(draws) for other in draws[:at])


def test_padding_is_what_makes_a_batch_rectangular() -> None:
    batch = [of_length(5), of_length(2), of_length(3)]
    assert (token_count(batch), padding_count(batch)) == (10, 5)
    assert padding_count([]) == 0


def test_a_batch_needs_room_for_an_example() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        length_bucketed([of_length(3)], 0, 0, 0)
