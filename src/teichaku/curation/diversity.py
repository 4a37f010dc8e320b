"""How varied a set of texts is, in four figures that do not share a weakness.

A selection that raises its own score can leave a set that says one thing many times. None of
these figures is a goal: a set of random strings is the most varied of all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from teichaku.curation.clusters import draws, squared_lengths
from teichaku.curation.shingles import comparable_codes, ngram_hashes

_BLOCK = 1 << 21
_NGRAM = 4
_SAMPLE = 2000


@dataclass(frozen=True)
class Diversity:
    """The figures of one set; null where it is too small for one."""

    texts: int
    distinct_ngrams: float | None
    self_overlap: float | None
    mean_distance: float | None
    vendi_score: float | None


def diversity(
    ids: Sequence[str],
    texts: Sequence[str],
    vectors: np.ndarray | None = None,
    *,
    sample: int = _SAMPLE,
    seed: int = 0,
) -> Diversity:
    """All figures of a sample of up to ``sample`` texts, drawn by their ids.

    All four change with the number of texts, so before and after are compared on samples of one
    size: take ``sample`` no larger than the smaller set.
    """
    chosen = np.sort(np.argsort(draws(ids, seed), kind="stable")[:sample])
    taken = [texts[row] for row in chosen.tolist()]
    rows = None if vectors is None else vectors[chosen]
    return Diversity(
        len(taken),
        distinct_ngrams(taken),
        self_overlap(taken),
        None if rows is None else mean_distance(rows),
        None if rows is None else vendi_score(rows),
    )


def distinct_ngrams(texts: Sequence[str], size: int = _NGRAM) -> float | None:
    """Different n-grams of characters by all there are (Distinct-n of Li et al. 2016); 1 where
    none comes twice. None where no text has one.
    """
    _, hashes = ngram_hashes(*comparable_codes(texts), size)
    return len(np.unique(hashes)) / len(hashes) if len(hashes) else None


def self_overlap(texts: Sequence[str], size: int = _NGRAM) -> float | None:
    """The mean share of a text's different n-grams that another text of the set has too: what
    Self-BLEU (Zhu et al. 2018) asks, in characters and in linear time. Texts without an n-gram
    do not count; None where fewer than two have one.
    """
    owners, hashes = ngram_hashes(*comparable_codes(texts), size)
    pairs = np.unique(np.stack([owners.astype(np.uint64), hashes], axis=1), axis=0)
    _, place, having = np.unique(pairs[:, 1], return_inverse=True, return_counts=True)
    owner = pairs[:, 0].astype(np.int64)
    totals = np.bincount(owner)
    shared = np.bincount(owner, having[place] > 1)
    counted = totals > 0
    return float((shared[counted] / totals[counted]).mean()) if counted.sum() > 1 else None


def mean_distance(vectors: np.ndarray) -> float | None:
    """The mean of 1 - cosine over all pairs of two rows, from their sum alone, so in linear time.
    Rows of zeros do not count; None for fewer than two others.
    """
    total, count = np.zeros(vectors.shape[1]), 0
    for block in _unit_blocks(vectors):
        total += block.sum(axis=0)
        count += len(block)
    if count < 2:
        return None
    return float(1 - (total @ total - count) / (count * (count - 1)))


def vendi_score(vectors: np.ndarray) -> float | None:
    """The Vendi score (Friedman and Dieng 2023) with the cosine as kernel: the exponential of the
    entropy of the eigenvalues of K/n, the number of different things that would be as varied.

    The n x n kernel and the d x d matrix of second moments have the same eigenvalues, zeros
    aside; the smaller of the two is taken, so memory does not grow with the rows. Rows of zeros
    do not count; None where there are no others.
    """
    dimensions = vectors.shape[1]
    if len(vectors) <= dimensions:
        rows = np.concatenate([np.zeros((0, dimensions)), *_unit_blocks(vectors)])
        moments, count = rows @ rows.T, len(rows)
    else:
        moments, count = np.zeros((dimensions, dimensions)), 0
        for block in _unit_blocks(vectors):
            moments += block.T @ block
            count += len(block)
    if not count:
        return None
    values = np.linalg.eigvalsh(moments / count)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def _unit_blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _BLOCK // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        block = np.asarray(vectors[start : start + step], np.float64)
        lengths = np.sqrt(squared_lengths(block))
        yield block[lengths > 0] / lengths[lengths > 0, None]
