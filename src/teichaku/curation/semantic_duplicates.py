"""Semantic duplicates: rows of nearly one direction, of which one stays.

After SemDeDup (Abbas et al. 2023): cut the rows into clusters, compare within each, and let one
of each pair fall. Three things differ.

- SemDeDup drops a row for *any* row before it, kept or not, so a chain K-Y-X loses X although
  nothing like it stays. Here a row falls only for a row that is kept, and that row is named.
- SemDeDup never sees a pair across a border; :mod:`teichaku.curation.similar_pairs` sees most.
- SemDeDup guesses the threshold for a wanted size from two runs on 10 % of the clusters. Here
  the pairs are kept, and the threshold is found by bisection on their own similarities.

A cosine means nothing by itself: one embedder puts strangers at 0.0, another at 0.76. Ask
:func:`calibration`, or say what share is to be kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from teichaku.curation.clusters import as_cosine, cosines, squared_lengths
from teichaku.curation.selection import count_of
from teichaku.curation.similar_pairs import (
    Allowed,
    Members,
    RowPairs,
    clustered,
    similar_pairs,
)

WhichToKeep = Literal["hard", "easy", "random", "score"]

#: After so many rounds, what is left (a long chain) is decided one by one.
_ROUNDS = 64
#: The floor of a wanted share is guessed on so many rows: where they keep these shares less.
_GUESSED_ON, _BELOW = 20_000, (0.03, 0.1, 0.25, 0.4)
#: Of so few rows all pairs may be stored.
_FEW = 2048
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Standing:
    """What becomes of each row: ``keep`` (bool), and of those that fall ``witness`` (int64), the
    kept row most like it, and ``similarity`` (float32) to that; -1 and NaN for the others.
    """

    keep: np.ndarray
    witness: np.ndarray
    similarity: np.ndarray


@dataclass(frozen=True)
class Deduplicated:
    """The ``standing`` of all rows at ``threshold``, and what it was made from.
    ``centroid_similarity`` is by position in ``members.rows``.
    """

    standing: Standing
    threshold: float
    pairs: RowPairs
    members: Members
    centroid_similarity: np.ndarray


def semantic_duplicates(
    vectors: np.ndarray,
    drawn: np.ndarray,
    *,
    threshold: float | None = None,
    share: float | None = None,
    which_to_keep: WhichToKeep = "hard",
    scores: np.ndarray | None = None,
    allowed: Allowed | None = None,
    floor: float | None = None,
) -> Deduplicated:
    """Rows of ``vectors`` (n, d), on the grid, that stay where no two that stay are known to have
    a cosine of ``threshold`` or more; or with the threshold that keeps about ``share`` of them.

    ``drawn`` are the :func:`teichaku.curation.clusters.draws` of the rows: they decide what is
    drawn and who goes first of two equals. ``allowed`` bars pairs. Pairs are known from ``floor``
    on, with a threshold from that on by default. Raises ``ValueError`` unless just one of
    ``threshold`` and ``share`` is given.
    """
    if (threshold is None) == (share is None):
        raise ValueError("give a threshold or a share to keep, one of them")
    members, centroid_similarity = clustered(vectors, drawn, np.arange(len(vectors)))
    rank = ranks(which_to_keep, drawn, centroid_similarity, scores)
    if threshold is not None:
        lowest = threshold if floor is None else min(floor, threshold)
        pairs = similar_pairs(vectors, members, rank, lowest, allowed=allowed)
    else:
        pairs, threshold = pairs_for_share(
            vectors, members, rank, share or 0.0, drawn, allowed=allowed
        )
    standing = standing_of(pairs.at(threshold), rank)
    return Deduplicated(standing, threshold, pairs, members, centroid_similarity)


def ranks(
    which: WhichToKeep,
    drawn: np.ndarray,
    centroid_similarity: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> np.ndarray:
    """The rank of each row, 0 for the one that is kept before all others.

    ``hard`` prefers rows far from their centroid (the paper's), ``easy`` near ones, ``score`` a
    higher score (NaN, which stands for none, comes last); ``drawn`` decides between equals and
    is the whole of ``random``. Raises ``ValueError`` where ``which`` lacks what it goes by.
    """
    keys = {
        "random": np.zeros(len(drawn)),
        "hard": centroid_similarity,
        "easy": None if centroid_similarity is None else -centroid_similarity,
        "score": None if scores is None else np.where(np.isnan(scores), np.inf, -scores),
    }
    key = keys[which]
    if key is None:
        raise ValueError(f"'{which}' goes by {'scores' if which == 'score' else 'clusters'}")
    order = np.lexsort((drawn, key))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank


def standing_of(pairs: RowPairs, rank: np.ndarray) -> Standing:
    """Greedily by ``rank``: a row falls where a better one that stays is in a pair with it."""
    keep = _kept(pairs.worse, pairs.better, rank)
    witness = np.full(len(rank), -1, np.int64)
    similarity = np.full(len(rank), np.nan, np.float32)
    telling = keep[pairs.better]
    worse, better = pairs.worse[telling], pairs.better[telling]
    # The last one written is the most similar, and of those the best.
    order = np.lexsort((-rank[better], pairs.similarity[telling], worse))
    witness[worse[order]] = better[order]
    similarity[worse[order]] = pairs.similarity[telling][order]
    return Standing(keep, witness, similarity)


def pairs_for_share(
    vectors: np.ndarray,
    members: Members,
    rank: np.ndarray,
    share: float,
    drawn: np.ndarray,
    *,
    allowed: Allowed | None = None,
) -> tuple[RowPairs, float]:
    """The pairs from a floor on that is low enough, and the threshold above it that keeps the
    number of rows nearest to ``share`` of them (see :func:`threshold_for`).

    Floors are tried from a guess on downwards, as far as rows are alike in the data at hand. Where
    ``allowed`` protects so many that the share cannot be met, the last floor is the threshold,
    and more is kept.
    """
    closest = closest_of_some(vectors, members, rank, drawn)
    from_floor = partial(similar_pairs, vectors, members, rank, allowed=allowed)
    return lowered_to_share(from_floor, closest, rank, share)


def lowered_to_share(
    from_floor: Callable[[float], RowPairs], closest: np.ndarray, rank: np.ndarray, share: float
) -> tuple[RowPairs, float]:
    """:func:`pairs_for_share` by the pairs ``from_floor`` on, which may be stored ones, and by
    what :func:`closest_of_some` gave for them.
    """
    for floor in _floors(closest, share, len(rank)):
        pairs = from_floor(floor)
        threshold = threshold_for(pairs, rank, share)
        if threshold is not None:
            return pairs, threshold
    return pairs, pairs.floor


def threshold_for(pairs: RowPairs, rank: np.ndarray, share: float) -> float | None:
    """The threshold that keeps the number of rows nearest to ``share`` of them, found by
    bisection over the similarities of ``pairs``; None where even all pairs leave more.

    What is kept grows with the threshold but for small steps back: a row that is kept anew may
    save or fell others. The bisection ends where the wanted number is crossed.
    """
    wanted = count_of(share, len(rank))
    steps = np.unique(pairs.similarity)

    def kept(step: int) -> int:
        if step == len(steps):
            return len(rank)
        found = pairs.similarity >= steps[step]
        return int(_kept(pairs.worse[found], pairs.better[found], rank).sum())

    if kept(0) > wanted:
        return None
    low, high = 0, len(steps)
    while high - low > 1:
        middle = (low + high) // 2
        if kept(middle) <= wanted:
            low = middle
        else:
            high = middle
    nearer = high if kept(high) - wanted < wanted - kept(low) else low
    if nearer == len(steps):
        return float(np.nextafter(steps[-1], np.float32(2))) if len(steps) else pairs.floor
    return float(steps[nearer])


@dataclass(frozen=True)
class Calibration:
    """What cosines mean for one embedder: quantiles (1, 5, 25, 50, 75, 95, 99 %) of those of
    rows drawn at random and of pairs that are known to be duplicates (empty where none are).
    """

    random: tuple[float, ...]
    duplicates: tuple[float, ...] = ()

    @property
    def apart(self) -> float | None:
        """The middle between the 99 % quantile of strangers and the 5 % quantile of duplicates:
        a threshold to begin with. None where no duplicates are known.
        """
        return (self.random[-1] + self.duplicates[1]) / 2 if self.duplicates else None


_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def calibration(
    vectors: np.ndarray,
    drawn: np.ndarray,
    duplicates: Sequence[tuple[int, int]] = (),
    sample: int = 10_000,
) -> Calibration:
    """Cosines of ``sample`` pairs of strangers, drawn by ``drawn``, and of known ``duplicates``."""
    order = np.argsort(drawn, kind="stable")[: 2 * sample]
    half = len(order) // 2
    strangers = cosines(vectors, order[:half], order[half : 2 * half])
    known = np.array(duplicates, np.int64).reshape(-1, 2)
    return Calibration(
        _quantiles(strangers), _quantiles(cosines(vectors, known[:, 0], known[:, 1]))
    )


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(q) for q in np.quantile(values, _QUANTILES)) if len(values) else ()


def _kept(worse: np.ndarray, better: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Which rows stay, greedily by rank. A round decides all rows whose better ones are."""
    falls = np.zeros(len(rank), bool)
    stays = np.ones(len(rank), bool)
    stays[worse] = False
    open_rows = np.unique(worse)
    for _ in range(_ROUNDS):
        falls[worse[stays[better]]] = True
        live = ~(falls[worse] | falls[better])
        worse, better = worse[live], better[live]
        open_rows = open_rows[~falls[open_rows]]
        waits = np.zeros(len(rank), bool)
        waits[worse] = True
        stays[open_rows[~waits[open_rows]]] = True
        open_rows = open_rows[waits[open_rows]]
        if not len(open_rows):
            return ~falls
    order = np.argsort(rank[worse], kind="stable")
    for low, high in zip(worse[order].tolist(), better[order].tolist(), strict=True):
        if not falls[high]:
            falls[low] = True
    return ~falls


def closest_of_some(
    vectors: np.ndarray, members: Members, rank: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """The cosines (float32, sorted) of the rows of some whole clusters to the most similar row
    before each; -1 for the first of a cluster.
    """
    closest: list[np.ndarray] = [np.full(1, -1, np.float32)]
    seen = 0
    own = members.labels[:, 0]
    order = np.argsort(own, kind="stable")
    ends = np.searchsorted(own[order], np.arange(members.count + 1))
    first = int(drawn.min(initial=np.uint64(2**64 - 1))) % max(1, members.count)
    for cluster in np.roll(np.arange(members.count), -first).tolist():
        rows = members.rows[order[ends[cluster] : ends[cluster + 1]]]
        rows = rows[np.argsort(rank[rows], kind="stable")]
        closest.append(_closest_better(np.asarray(vectors[rows], np.float32)))
        seen += len(rows)
        if seen >= _GUESSED_ON:
            break
    return np.sort(np.concatenate(closest))


def _floors(closest: np.ndarray, share: float, rows: int) -> list[float]:
    """At what cosines SemDeDup's own rule keeps ``share``, and less and less, of some whole
    clusters: ours lets fewer fall, so its threshold is lower, but seldom by much.
    """
    places = [max(0, int((share - less) * (len(closest) - 1))) for less in _BELOW]
    floors = [float(closest[place]) for place in places]
    if rows <= _FEW:
        floors.append(-1.0)
    return list(dict.fromkeys(floors))


def _closest_better(block: np.ndarray) -> np.ndarray:
    """For each row the greatest cosine to a row before it; -1 for the first."""
    squares = squared_lengths(block)
    closest = np.full(len(block), -1.0, np.float32)
    step = max(1, _BLOCK // max(1, len(block)))
    for start in range(0, len(block), step):
        end = min(len(block), start + step)
        dots = block[start:end] @ block[:end].T
        lines = np.arange(start, end)
        dots[np.arange(end)[None, :] >= lines[:, None]] = -np.inf
        scaled = dots / np.sqrt(np.maximum(squares[:end], 1e-9))
        best = scaled.argmax(axis=1)
        known = np.isfinite(scaled[lines - start, best])
        lines, best = lines[known], best[known]
        closest[lines] = as_cosine(dots[lines - start, best], squares[lines], squares[best])
    return closest
