"""Who stays of the texts that are alike: greedy from the best on, and no chains.

A pair's similarity is stored once; who falls at a threshold is read from the stored pairs, so a
threshold can be moved without comparing again. Pairs are records where people read them, and
arrays where they are judged.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

#: The two texts are the same, character for character that counts, or they are alike.
EXACT, NEAR = "exact", "near"

#: After so many rounds, what is left (a long chain) is decided one by one.
_ROUNDS = 64


@dataclass(frozen=True, slots=True)
class SimilarPair:
    """Two records that are alike at a ``level`` (question, answer, pair, text).

    ``kind``: ``exact`` where the texts are the same in all characters that count. Of a group
    of such texts each has one row, to the first of them, and the rows ``near`` are between the
    first ones; they hold for all of their groups. ``differs`` is what numbers or names tell the
    two apart, so that they are no duplicates; else empty.
    """

    left_id: str
    right_id: str
    level: str
    kind: str
    similarity: float
    differs: str = ""


@dataclass(frozen=True, slots=True)
class PlacedPairs:
    """Pairs of one level as arrays: the places of the two (int32) in the order of all records, 0
    the best; ``similarity`` (float64), ``is_exact`` and ``differs`` (bool) as in ``SimilarPair``.
    """

    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray
    is_exact: np.ndarray
    differs: np.ndarray

    def and_those(self, others: "PlacedPairs") -> "PlacedPairs":
        """These, and ``others`` of the level."""
        sides = ((getattr(self, f.name), getattr(others, f.name)) for f in fields(self))
        return PlacedPairs(*map(np.concatenate, sides))


@dataclass(frozen=True, slots=True)
class Witness:
    """Why a record falls: the kept record that it is like, how much, and at what level."""

    kept_id: str
    similarity: float
    level: str
    kind: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of each place: ``keep`` (bool), and of those that fall the place of the
    ``witness`` (int64), the ``similarity`` to it (float64), whether they are the same (bool), and
    at which of the ``levels`` (int64); -1, NaN, False and -1 for the others.
    """

    keep: np.ndarray
    witness: np.ndarray
    similarity: np.ndarray
    is_exact: np.ndarray
    level: np.ndarray
    levels: tuple[str, ...]

    def witnesses(self, order: Sequence[str]) -> dict[str, Witness]:
        """The records that fall, each with its witness; ``order`` has the ids of the places."""
        falls = np.flatnonzero(~self.keep)
        columns = (falls, self.witness[falls], self.similarity[falls], self.level[falls],
                   self.is_exact[falls])  # fmt: skip
        return {
            order[place]: Witness(order[kept], value, self.levels[level], EXACT if same else NEAR)
            for place, kept, value, level, same in zip(
                *(column.tolist() for column in columns), strict=True
            )
        }


def best_first_key(score: float | None) -> tuple[bool, float]:
    """A key that sorts the best score first, and those without one last."""
    return score is None, -(score or 0.0)


def in_order(scores: Mapping[str, float | None]) -> list[str]:
    """The ids of records, the best scored first, those without a score last; ties by id."""
    return sorted(scores, key=lambda name: (best_first_key(scores[name]), name))


def placed(order: Iterable[str], pairs: Iterable[SimilarPair]) -> dict[str, PlacedPairs]:
    """``pairs`` by their levels and places in ``order``, the best first."""
    place = {name: number for number, name in enumerate(order)}
    rows: dict[str, list[tuple[int, int, float, bool, bool]]] = defaultdict(list)
    for pair in pairs:
        left, right = place[pair.left_id], place[pair.right_id]
        is_exact, differs = pair.kind == EXACT, bool(pair.differs)
        rows[pair.level].append((left, right, pair.similarity, is_exact, differs))
    types = (np.int32, np.int32, np.float64, bool, bool)
    return {
        level: PlacedPairs(*map(np.array, zip(*own, strict=True), types))
        for level, own in rows.items()
    }


def survivors(
    order: Iterable[str],
    pairs: Iterable[SimilarPair],
    thresholds: Mapping[str, float],
    guard: bool = True,
) -> dict[str, Witness]:
    """The records that fall, each with its witness; ``order`` has all records, the best first.

    A record falls if a record that stays before it is alike at the threshold of the level at
    least, or is the same; a pair that ``differs`` is none, unless ``guard`` is off. So no two
    records that stay are duplicates, and each that falls has its witness: with similarities
    .92, .92 and .69 in a row of three, and .9 as threshold, the outer two stay if one of
    them is the best. The witness is the most similar, and of those the best.

    Levels without a threshold do not count.
    """
    names = list(order)
    return judged(len(names), placed(names, pairs), thresholds, guard).witnesses(names)


def judged(
    count: int,
    levels: Mapping[str, PlacedPairs],
    thresholds: Mapping[str, float],
    guard: bool = True,
) -> Judged:
    """:func:`survivors` of ``count`` records by their places."""
    names = tuple(sorted(levels.keys() & thresholds.keys()))
    alike = _alike(count, [(levels[name], thresholds[name]) for name in names], guard)
    keep, kept_of = _kept(count, alike)
    rows, edges = _telling(alike, keep, kept_of)
    found = Judged(
        keep,
        np.full(count, -1, np.int64),
        np.full(count, np.nan),
        np.zeros(count, bool),
        np.full(count, -1, np.int64),
        names,
    )
    found.witness[rows] = kept_of[alike.target[edges]]
    found.similarity[rows], found.is_exact[rows] = alike.similarity[edges], alike.is_exact[edges]
    found.level[rows] = alike.level[alike.source[edges]]
    return found


def settled(
    count: int,
    compare: Callable[[np.ndarray], tuple[Mapping[str, PlacedPairs], bool]],
    thresholds: Mapping[str, float],
    guard: bool = True,
) -> Judged:
    """:func:`judged` where not all pairs were formed at first (``NearPairs.is_bounded``).

    ``compare`` is told which places to compare (bool), and gives the pairs among them that it did
    not give before, by level, and whether some were left out. Those that stay are compared once
    more among themselves, until they were all compared with each other, or nothing new is found.
    """
    standing, pairs = np.ones(count, bool), dict[str, PlacedPairs]()
    while True:
        compared = standing
        found, is_bounded = compare(compared)
        for level, new in found.items():
            pairs[level] = pairs[level].and_those(new) if level in pairs else new
        result = judged(count, pairs, thresholds, guard)
        standing = result.keep
        is_more = is_bounded and any(len(new.left) for new in found.values())
        if not is_more and not (standing & ~compared).any():
            return result


@dataclass(frozen=True, slots=True)
class _Alike:
    """The groups of the same texts, of all levels, that are like a group: another one, or, with
    two members and more, itself. ``level`` is by group, ``first`` the place of its first edge.

    Members (``row``, ``group``) are in the order of rows, edges (``source``, ``target``: groups)
    in that of sources, and stand there both ways round.
    """

    row: np.ndarray
    group: np.ndarray
    level: np.ndarray
    first: np.ndarray
    source: np.ndarray
    target: np.ndarray
    similarity: np.ndarray
    is_exact: np.ndarray

    def least_around(self, values: np.ndarray) -> np.ndarray:
        """The least of the ``values`` of the groups that each group is like."""
        return np.asarray(np.minimum.reduceat(values[self.target], self.first))


def _alike(count: int, levels: Sequence[tuple[PlacedPairs, float]], guard: bool) -> _Alike:
    members, edges = [np.zeros((2, 0), np.int64)], [np.zeros((2, 0), np.int64)]
    similarities = [np.zeros(0)]
    for number, (pairs, threshold) in enumerate(levels):
        same = _same(count, pairs.left[pairs.is_exact], pairs.right[pairs.is_exact])
        is_near = ~pairs.is_exact & (pairs.similarity >= threshold)
        if guard:
            is_near &= ~pairs.differs
        sides = np.stack([same[pairs.left[is_near]], same[pairs.right[is_near]]])
        several = np.unique(same[pairs.right[pairs.is_exact]])
        own = np.concatenate([sides, sides[::-1], np.stack([several, several])], axis=1)
        is_of = np.zeros(count, bool)
        is_of[own[0]] = True
        rows = np.flatnonzero(is_of[same])
        members.append(np.stack([rows, same[rows] + number * count]))
        edges.append(own + number * count)
        value = pairs.similarity[is_near]
        # What is the same is more alike than what is alike by all that is compared.
        similarities += [value, value, np.full(len(several), np.inf)]
    (row, group), (source, target) = (np.concatenate(part, axis=1) for part in (members, edges))
    similarity = np.concatenate(similarities)
    known = np.unique(source)
    order, by_row = np.argsort(source, kind="stable"), np.argsort(row, kind="stable")
    source = np.searchsorted(known, source[order])
    return _Alike(
        row[by_row],
        np.searchsorted(known, group[by_row]),
        known // max(1, count),
        np.searchsorted(source, np.arange(len(known))),
        source,
        np.searchsorted(known, target[order]),
        np.minimum(similarity[order], 1.0),
        np.isinf(similarity[order]),
    )


def _same(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For each place the first of its group; ``left`` and ``right`` are of one group each."""
    first = np.arange(count)
    while True:
        least = np.minimum(first[left], first[right])
        if np.array_equal(least, first[left]) and np.array_equal(least, first[right]):
            return first
        np.minimum.at(first, first[left], least)
        np.minimum.at(first, first[right], least)
        np.minimum.at(first, left, least)
        np.minimum.at(first, right, least)
        first = first[first]


def _kept(count: int, alike: _Alike) -> tuple[np.ndarray, np.ndarray]:
    """Which places stay, greedily, and for each group the member that does, ``count`` where there
    is none. A round decides all whose better ones are decided.
    """
    keep, is_open = np.ones(count, bool), np.ones(count, bool)
    kept_of = np.full(len(alike.level), count)
    row, group = alike.row, alike.group
    for _ in range(_ROUNDS):
        if not len(row):
            return keep, kept_of
        falls = row[alike.least_around(kept_of)[group] < row]
        keep[falls] = is_open[falls] = False
        row, group = row[is_open[row]], group[is_open[row]]
        # The last one written is the first in the order.
        first_open = np.full(len(kept_of), count)
        first_open[group[::-1]] = row[::-1]
        waits = np.zeros(count, bool)
        waits[row[alike.least_around(first_open)[group] < row]] = True
        stays = ~waits[row]
        kept_of[group[stays]] = row[stays]
        row, group = row[~stays], group[~stays]
    own: dict[int, list[int]] = defaultdict(list)
    for place, number in zip(row.tolist(), group.tolist(), strict=True):
        own[place].append(number)
    ends = np.append(alike.first[1:], len(alike.target))
    for place, numbers in own.items():
        near = [alike.target[alike.first[number] : ends[number]] for number in numbers]
        if (kept_of[np.concatenate(near)] < place).any():
            keep[place] = False
        else:
            kept_of[numbers] = place
    return keep, kept_of


def _telling(alike: _Alike, keep: np.ndarray, kept_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places that fall, and for each the edge to its witness: the most similar, of those the
    best, of those that of the last level.
    """
    falls = ~keep[alike.row]
    row, group = alike.row[falls], alike.group[falls]
    kept = kept_of[alike.target]
    edges = np.flatnonzero(kept < len(keep))
    edges = edges[
        np.lexsort((kept[edges], ~alike.is_exact[edges], -alike.similarity[edges],
                    alike.source[edges]))
    ]  # fmt: skip
    at, end = (np.searchsorted(alike.source[edges], group, side) for side in ("left", "right"))
    late = np.arange(len(row))
    # Who stays, but comes after the row in the order, is no witness.
    while len(late := late[at[late] < end[late]]):
        late = late[kept[edges[at[late]]] > row[late]]
        at[late] += 1
    found = at < end
    row, edge = row[found], edges[at[found]]
    best_last = np.lexsort(
        (alike.level[alike.source[edge]], -kept[edge], alike.is_exact[edge],
         alike.similarity[edge], row)
    )  # fmt: skip
    row, edge = row[best_last], edge[best_last]
    is_last = np.append(row[1:] != row[:-1], True)[: len(row)]
    return row[is_last], edge[is_last]
