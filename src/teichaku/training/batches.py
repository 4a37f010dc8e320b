"""Batches of examples of like length, so that hardly any computing goes into padding."""

import random
from collections.abc import Sequence

from teichaku.core.records import TokenizedExample

#: So many batches are sorted by length together. More of them: less padding, but the same
#: examples meet in every epoch.
_BATCHES_PER_POOL = 64


def length_bucketed(
    examples: Sequence[TokenizedExample], batch_size: int, seed: int, epoch: int
) -> list[list[TokenizedExample]]:
    """Every example once, in batches of ``batch_size`` of like length, in random order.

    The draw depends on ``seed`` and ``epoch`` alone, not on the order of ``examples``. One
    batch of each epoch may be smaller than the rest.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order = sorted(examples, key=lambda example: (example.id, example.tokens))
    draw = random.Random(f"{seed}:{epoch}")
    draw.shuffle(order)
    batches: list[list[TokenizedExample]] = []
    pool_size = _BATCHES_PER_POOL * batch_size
    for start in range(0, len(order), pool_size):
        pool = sorted(order[start : start + pool_size], key=lambda example: len(example.tokens))
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    draw.shuffle(batches)
    return batches


def token_count(batch: Sequence[TokenizedExample]) -> int:
    """The tokens of ``batch`` without padding."""
    return sum(len(example.tokens) for example in batch)


def padding_count(batch: Sequence[TokenizedExample]) -> int:
    """The tokens of padding that ``batch`` needs to become a rectangle."""
    longest = max((len(example.tokens) for example in batch), default=0)
    return longest * len(batch) - token_count(batch)
