"""DSIR (Xie et al. 2023): draw examples so that they read like a target text.

Two bags of hashed n-grams are counted, of the target and of all there is to draw from. An
example's weight is the sum over its n-grams of the log ratio of their shares, target to all;
examples are drawn without replacement by these weights: Gumbel noise is added, and the greatest
stay.

Three things differ from the published code. N-grams are of one to three *characters*, so that
Japanese, Chinese and Thai count as English does (the code takes words between spaces). The
target, often a few documents, is smoothed by what the whole looks like: an n-gram that it does
not have by chance then says little, where adding the same to all buckets says that frequent
n-grams are foreign to it. And texts differ in length, where the paper cuts all to 128 words: the
sum over a long text says little but that it is long, so weights can be those of a text of mean
length.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from teichaku.curation.clusters import draws
from teichaku.curation.selection import Selection
from teichaku.curation.shingles import comparable_codes, ngram_hashes

BUCKETS = 10_000
_SIZES = (1, 2, 3)
#: So many texts are hashed at a time.
_BLOCK = 1024


@dataclass(frozen=True)
class NgramCounts:
    """How often n-grams of each of the :data:`BUCKETS` occur (int64) in so many texts."""

    counts: np.ndarray
    texts: int

    def __add__(self, other: "NgramCounts") -> "NgramCounts":
        """The counts of both together."""
        return NgramCounts(self.counts + other.counts, self.texts + other.texts)

    @property
    def mean_length(self) -> float:
        """The mean number of n-grams a text."""
        return float(self.counts.sum()) / max(1, self.texts)


def count_ngrams(texts: Iterable[str]) -> NgramCounts:
    """The counts of ``texts``; those of parts can be added up."""
    counts, total = np.zeros(BUCKETS, np.int64), 0
    for block in _blocks(texts):
        _, buckets = _buckets(block)
        counts += np.bincount(buckets, minlength=BUCKETS)
        total += len(block)
    return NgramCounts(counts, total)


def log_ratio(
    target: NgramCounts,
    raw: NgramCounts,
    smoothing: float = 1.0,
    prior: Literal["raw", "uniform"] = "raw",
) -> np.ndarray:
    """The log ratio of each bucket's share, target to raw.

    ``smoothing`` is added to each bucket: the same to all of both sides (``uniform``; the
    published code, with 1e-8), or to the target on average, by the shares of ``raw``.
    """
    whole = (raw.counts + (1 if prior == "raw" else smoothing)).astype(np.float64)
    whole /= whole.sum()
    added = smoothing * (BUCKETS * whole if prior == "raw" else np.ones(BUCKETS))
    wanted = target.counts + added
    return np.asarray(np.log(wanted / wanted.sum()) - np.log(whole))


def weights(
    texts: Iterable[str], ratio: np.ndarray, length: float | None = None
) -> Iterator[np.ndarray]:
    """The log weights of ``texts``, a block at a time: the sum of ``ratio`` over a text's n-grams
    (the paper's), or with ``length`` their mean times that, so that long and short texts are
    compared by what they say. NaN for a text without n-grams.
    """
    for block in _blocks(texts):
        owners, buckets = _buckets(block)
        sums = np.bincount(owners, ratio[buckets], len(block))
        counts = np.bincount(owners, minlength=len(block)).astype(np.float64)
        if length is not None:
            sums = np.divide(sums * length, counts, out=sums, where=counts > 0)
        yield np.where(counts > 0, sums, np.nan)


def resample(
    ids: Sequence[str],
    log_weights: np.ndarray,
    limit: int,
    *,
    sizes: np.ndarray | None = None,
    seed: int = 0,
) -> Selection:
    """Examples drawn by ``log_weights`` within ``limit``: so many, or units of ``sizes``.

    The noise of each comes from its id and ``seed``, so the order of ``ids`` changes nothing.
    One without a weight (NaN) is taken last.
    """
    # 53 bits of the draw, never 0 or 1.
    uniform = ((draws(ids, seed) >> np.uint64(11)) + 0.5) / 2.0**53
    keys = log_weights - np.log(-np.log(uniform))
    missing = np.isnan(log_weights)
    keys[missing] = -np.inf
    kept: list[str] = []
    fallen: dict[str, tuple[str, str]] = {}
    room = limit
    for row in np.lexsort((draws(ids, seed), -keys)).tolist():
        size = 1 if sizes is None else int(sizes[row])
        if size <= room:
            kept.append(ids[row])
            room -= size
            continue
        weight = "no weight" if missing[row] else f"log weight {log_weights[row]:.3f}"
        evidence = f"{weight}; {limit - room} of {limit} were taken before it"
        fallen[ids[row]] = ("not_drawn", evidence)
    unscored = frozenset(ids[row] for row in np.flatnonzero(missing).tolist())
    return Selection(tuple(kept), fallen, unscored)


def importance_resampling(
    ids: Sequence[str],
    texts: Sequence[str],
    target: Iterable[str],
    limit: int,
    *,
    sizes: np.ndarray | None = None,
    seed: int = 0,
) -> Selection:
    """``texts`` drawn towards ``target``, by weights of a text of mean length."""
    raw = count_ngrams(texts)
    ratio = log_ratio(count_ngrams(target), raw)
    parts = [np.zeros(0), *weights(texts, ratio, raw.mean_length)]
    return resample(ids, np.concatenate(parts), limit, sizes=sizes, seed=seed)


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    source = iter(texts)
    while block := list(islice(source, _BLOCK)):
        yield block


def _buckets(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Whose the n-grams of ``texts`` are, and into which bucket each falls."""
    codes, counts = comparable_codes(texts)
    found = [ngram_hashes(codes, counts, size) for size in _SIZES]
    owners = np.concatenate([owner for owner, _ in found])
    hashes = np.concatenate([hashed for _, hashed in found])
    return owners, (hashes % np.uint64(BUCKETS)).astype(np.int64)
