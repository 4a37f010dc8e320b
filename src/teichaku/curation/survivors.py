"""Who stays of the texts that are alike: greedy from the best on, and no chains.

A pair's similarity is stored once; who falls at a threshold is read from the stored pairs, so a
threshold can be moved without comparing again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The two texts are the same, character for character that counts, or they are alike.
EXACT, NEAR = "exact", "near"

#: The texts that are the same at a level, by the level and the first of them.
_Group = tuple[str, str]


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
class Witness:
    """Why a record falls: the kept record that it is like, how much, and at what level."""

    kept_id: str
    similarity: float
    level: str
    kind: str


def in_order(scores: Mapping[str, float | None]) -> list[str]:
    """The ids of records, the best scored first, those without a score last; ties by id."""
    return sorted(scores, key=lambda name: (scores[name] is None, -(scores[name] or 0.0), name))


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
    groups: dict[_Group, _Group] = {}
    alike: list[SimilarPair] = []
    for pair in pairs:
        if pair.level not in thresholds:
            continue
        if pair.kind == EXACT:
            first = (pair.level, pair.left_id)
            groups[first] = groups[pair.level, pair.right_id] = first
        elif pair.similarity >= thresholds[pair.level] and not (guard and pair.differs):
            alike.append(pair)
    neighbours: dict[_Group, dict[_Group, float]] = defaultdict(dict)
    for pair in alike:
        left, right = (pair.level, pair.left_id), (pair.level, pair.right_id)
        left, right = groups.setdefault(left, left), groups.setdefault(right, right)
        neighbours[left][right] = neighbours[right][left] = pair.similarity
    members: dict[str, list[_Group]] = defaultdict(list)
    for (_, name), group in groups.items():
        members[name].append(group)
    kept: dict[_Group, tuple[str, int]] = {}
    fallen: dict[str, Witness] = {}
    place = 0
    for name in order:
        if name not in members:
            continue
        witness = _witness(members[name], neighbours, kept)
        if witness is not None:
            fallen[name] = witness
            continue
        place += 1
        kept |= dict.fromkeys(members[name], (name, -place))
    return fallen


def settled(
    order: Sequence[str],
    compare: Callable[[Sequence[str]], bool],
    pairs: Mapping[Any, SimilarPair],
    thresholds: Mapping[str, float],
    guard: bool = True,
) -> dict[str, Witness]:
    """:func:`survivors` where not all pairs were formed at first (``NearPairs.is_bounded``).

    ``compare`` is given records of ``order``, the best first, adds their pairs to ``pairs`` and
    says whether some were left out. Those that stay are compared once more among themselves,
    until they were all compared with each other, or nothing new is found.
    """
    compared: Sequence[str] = order
    while True:
        known = len(pairs)
        is_bounded = compare(compared)
        fallen = survivors(order, pairs.values(), thresholds, guard)
        standing = [name for name in order if name not in fallen]
        is_new = not set(compared).issuperset(standing)
        if not is_new and (not is_bounded or len(pairs) == known):
            return fallen
        compared = standing


def _witness(
    own: Iterable[_Group],
    neighbours: Mapping[_Group, Mapping[_Group, float]],
    kept: Mapping[_Group, tuple[str, int]],
) -> Witness | None:
    """The kept record most like the one whose groups are ``own``."""
    found = []
    for group in own:
        level = group[0]
        if group in kept:
            found.append((1.0, True, kept[group][1], kept[group][0], level))
        for other, similarity in neighbours.get(group, {}).items():
            if other in kept:
                found.append((similarity, False, kept[other][1], kept[other][0], level))
    if not found:
        return None
    similarity, is_exact, _, name, level = max(found)
    return Witness(name, similarity, level, EXACT if is_exact else NEAR)
