"""Examples that stand for all others, up to a budget.

*Facility location*: choose rows so that the sum over all rows of the similarity to the chosen
one most like it is greatest. The sum is submodular, so taking the row that adds most, again and
again, comes within 1 - 1/e of the best (Nemhauser, Wolsey and Fisher 1978); the lazy form
(Minoux 1978) looks at a row anew only when it may be next. Superfiltering and others keep all
n * n similarities; here, above some thousand rows, each row knows its nearest alone, and memory
is linear in their number.

*The representation filter* of DEITA (Liu et al. 2024): in the order of a score, take what is
unlike all that was taken.

Similarities are whole numbers (see :mod:`teichaku.curation.clusters`), so sums do not depend on
their order.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teichaku.curation.clusters import GRID_SQUARED, as_cosine, draws, squared_lengths
from teichaku.curation.selection import Selection
from teichaku.curation.semantic_duplicates import ranks
from teichaku.curation.similar_pairs import Cluster, Members, clustered

#: Up to so many rows all similarities are taken.
_FEW = 2048
_NEIGHBOURS = 16
_BLOCK = 1 << 22
_UNLIKE_BLOCK = 1024


@dataclass(frozen=True)
class Coverage:
    """Which rows each row can stand for: row ``r`` for ``rows[starts[r]:starts[r + 1]]``, as well
    as ``values`` say (whole numbers; :data:`GRID_SQUARED` is a cosine of 1).
    """

    starts: np.ndarray
    rows: np.ndarray
    values: np.ndarray

    def of(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows that ``row`` can stand for, and how well."""
        part = slice(self.starts[row], self.starts[row + 1])
        return self.rows[part], self.values[part]


def facility_location(
    ids: Sequence[str],
    vectors: np.ndarray,
    limit: int,
    *,
    sizes: np.ndarray | None = None,
    floor: float = 0.0,
    seed: int = 0,
) -> Selection:
    """Rows of ``vectors``, on the grid, that stand for all best within ``limit``: rows, or the
    unit of ``sizes`` (characters), where what counts is the gain by unit. A similarity up to
    ``floor`` counts as none: give the cosine of strangers, which for some embedders is high.
    """
    drawn = draws(ids, seed)
    found = chosen_by_coverage(coverage(vectors, drawn, floor), drawn, limit, sizes)
    fallen = {}
    for row in sorted(set(range(len(ids))) - set(found.rows)):
        evidence = "nothing that stays is like it"
        if found.stands_for[row] >= 0:
            similarity = found.covered[row] / GRID_SQUARED + floor
            evidence = f"{ids[found.stands_for[row]]} stands for it; similarity {similarity:.4f}"
        fallen[ids[row]] = ("stood_for", evidence)
    return Selection(tuple(ids[row] for row in found.rows), fallen)


@dataclass(frozen=True)
class Chosen:
    """The ``rows`` that were chosen, in this order; for each row of all the chosen one that
    stands for it best (-1: none) and how well, as in :class:`Coverage`.
    """

    rows: list[int]
    stands_for: np.ndarray
    covered: np.ndarray


def coverage(
    vectors: np.ndarray, drawn: np.ndarray, floor: float = 0.0, neighbours: int = _NEIGHBOURS
) -> Coverage:
    """How well rows stand for each other: all of them, or above 2,048 each of the ``neighbours``
    most like it in its cluster, guests of the cluster included. Each stands for itself.
    """
    if len(vectors) <= _FEW:
        neighbours = _FEW
    members = _all_members(vectors, drawn)
    parts = [
        _neighbours_in(vectors, cluster.sorted_by(drawn), neighbours, floor)
        for cluster in members.clusters()
    ]
    served, server, value = (
        np.concatenate([np.zeros(0, np.int32), *(part[side] for part in parts)])
        for side in range(3)
    )
    order = np.lexsort((served, server))
    starts = np.searchsorted(server[order], np.arange(len(vectors) + 1))
    return Coverage(starts, served[order], value[order])


def chosen_by_coverage(
    known: Coverage, drawn: np.ndarray, limit: int, sizes: np.ndarray | None = None
) -> Chosen:
    """What a lazy greedy choice takes; of two rows that add as much, the one with the lower
    ``drawn``. A row that no longer fits into ``limit`` is passed over.
    """
    count = len(drawn)
    weights = np.ones(count, np.int64) if sizes is None else np.maximum(sizes, 1)
    gains = np.zeros(count, np.int64)
    owners = np.repeat(np.arange(count), np.diff(known.starts))
    np.add.at(gains, owners, known.values)
    place = np.empty(count, np.int64)
    place[np.argsort(drawn, kind="stable")] = np.arange(count)
    heap = list(zip((-gains / weights).tolist(), place.tolist(), range(count), strict=True))
    heapq.heapify(heap)
    covered = np.zeros(count, np.int64)
    seen = np.zeros(count, np.int64)
    stands_for = np.full(count, -1, np.int64)
    chosen: list[int] = []
    room = limit
    while heap:
        gain, tie, row = heapq.heappop(heap)
        if weights[row] > room:
            continue
        rows, values = known.of(row)
        if seen[row] == len(chosen):
            chosen.append(row)
            room -= int(weights[row])
            better = values > covered[rows]
            covered[rows[better]], stands_for[rows[better]] = values[better], row
            continue
        seen[row] = len(chosen)
        gain = -float(np.maximum(values - covered[rows], 0).sum()) / float(weights[row])
        heapq.heappush(heap, (gain, tie, row))
    return Chosen(chosen, stands_for, covered)


def unlike_in_order(
    ids: Sequence[str],
    vectors: np.ndarray,
    scores: np.ndarray,
    limit: int,
    *,
    sizes: np.ndarray | None = None,
    most: float = 0.9,
    seed: int = 0,
) -> Selection:
    """DEITA's representation filter: from the best of ``scores`` on (NaN last), each row of
    ``vectors``, on the grid, whose cosine to every kept one is ``most`` or less, up to ``limit``:
    rows, or the unit of ``sizes`` (characters), where one that does not fit is passed over.

    Differs from the paper's code in that only kept rows count; with batches, that compares with
    dropped ones too. Every row is compared with every kept one: for some tens of thousands.
    """
    order = np.argsort(ranks("score", draws(ids, seed), scores=scores))
    squares = squared_lengths(vectors)
    weights = [1] * len(ids) if sizes is None else sizes.tolist()
    kept: list[int] = []
    fallen: dict[str, tuple[str, str]] = {}
    room = limit
    for start in range(0, len(ids), _UNLIKE_BLOCK):
        block = order[start : start + _UNLIKE_BLOCK]
        compared, here = np.array([*kept, *block.tolist()], np.int64), len(kept)
        similarity = _similarities(vectors, squares, block, compared)
        stands = np.arange(len(compared)) < here
        for place, row in enumerate(block.tolist()):
            nearest = np.where(stands, similarity[place], -2.0)
            witness = int(nearest.argmax())
            if stands[witness] and nearest[witness] > np.float32(most):
                evidence = f"{ids[compared[witness]]} stays; similarity {nearest[witness]:.4f}"
                fallen[ids[row]] = ("too_similar", evidence)
            elif weights[row] > room:
                evidence = f"{limit - room} of {limit} were taken by those that score better"
                fallen[ids[row]] = ("over_budget", evidence)
            else:
                stands[here + place] = True
                kept.append(row)
                room -= weights[row]
    unscored = frozenset(ids[row] for row in np.flatnonzero(np.isnan(scores)).tolist())
    return Selection(tuple(ids[row] for row in kept), fallen, unscored)


def _similarities(
    vectors: np.ndarray, squares: np.ndarray, rows: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """The cosines of ``rows`` of ``vectors``, whose squared lengths are ``squares``, to
    ``others``.
    """
    dots = np.asarray(vectors[rows], np.float32) @ np.asarray(vectors[others], np.float32).T
    return as_cosine(dots, squares[rows][:, None], squares[others][None, :])


def _all_members(vectors: np.ndarray, drawn: np.ndarray) -> Members:
    if len(vectors) <= _FEW:
        labels = np.zeros((len(vectors), 1), np.int32)
        return Members(np.arange(len(vectors)), labels, min(1, len(vectors)))
    return clustered(vectors, drawn, np.arange(len(vectors)))[0]


def _neighbours_in(
    vectors: np.ndarray, cluster: Cluster, count: int, floor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each own row of ``cluster``: itself, the rows most like it, and how like they are."""
    own = np.flatnonzero(~cluster.is_guest)
    block = np.asarray(vectors[cluster.rows], np.float32)
    lowest = np.int64(max(floor, 0.0) * GRID_SQUARED)
    served, server, value = [], [], []
    step = max(1, _BLOCK // max(1, len(block)))
    for start in range(0, len(own), step):
        part = own[start : start + step]
        dots = block[part] @ block.T
        dots[np.arange(len(part)), part] = 2.0  # itself, before all that are equal to it
        best = np.arange(len(block))[None, :].repeat(len(part), axis=0)
        if count + 1 < len(block):
            best = np.argpartition(-dots, count, axis=1)[:, : count + 1]
        found = np.asarray(np.take_along_axis(dots, best, axis=1) * GRID_SQUARED, np.int64)
        found = np.minimum(found, GRID_SQUARED) - lowest
        lines, columns = np.nonzero(found > 0)
        served.append(cluster.rows[part[lines]])
        server.append(cluster.rows[best[lines, columns]])
        value.append(found[lines, columns])
    none = np.zeros(0, np.int32)
    one, other, how = (
        np.concatenate([none, *side]).astype(np.int32) for side in (served, server, value)
    )
    return one, other, how
