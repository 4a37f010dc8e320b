"""D4 (Tirumala et al. 2023): drop semantic duplicates, cluster what is left anew, and drop the
rows nearest to the prototypes.

Duplicates pull centroids onto themselves, so prototypes that were found among them stand for the
duplicates and not for the data: hence the second clustering, without which the paper finds
clearly less. The prototypes are those of Sorscher et al. 2022: rows near their centroid are the
easy ones. Much data keeps the hard ones; with little data they found the easy ones to be worth
more, so the direction is an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from teichaku.curation.clusters import draws
from teichaku.curation.selection import Selection, count_of
from teichaku.curation.semantic_duplicates import (
    Deduplicated,
    WhichToKeep,
    semantic_duplicates,
)
from teichaku.curation.shards import fate
from teichaku.curation.similar_pairs import Allowed, clustered

Direction = Literal["near", "far"]


@dataclass(frozen=True)
class D4Settings:
    """``share`` of all rows is kept in the end, ``dedup_share`` of them by SemDeDup before (the
    paper's R_dedup; where ``share`` is no smaller, SemDeDup does it all). ``drop`` says which end
    falls then, ``floor`` the least share kept of each of the new clusters.
    """

    share: float = 0.5
    dedup_share: float = 0.75
    drop: Direction = "near"
    floor: float = 0.0
    which_to_keep: WhichToKeep = "hard"


@dataclass(frozen=True)
class D4Result:
    """``keep`` (n, bool) in the end; what SemDeDup found; and of each row that it left (NaN for
    others) the cosine to its new prototype. ``order`` has the kept rows, the last to fall first.
    """

    keep: np.ndarray
    deduplicated: Deduplicated
    prototype_similarity: np.ndarray
    order: np.ndarray


def d4(
    ids: Sequence[str],
    vectors: np.ndarray,
    chosen: D4Settings,
    *,
    scores: np.ndarray | None = None,
    allowed: Allowed | None = None,
    seed: int = 0,
) -> Selection:
    """The selection of :func:`d4_rows`, by id."""
    result = d4_rows(vectors, draws(ids, seed), chosen, scores=scores, allowed=allowed)
    standing = result.deduplicated.standing
    reason = "near_prototype" if chosen.drop == "near" else "far_from_prototype"
    fallen: dict[str, tuple[str, str]] = {}
    for row in np.flatnonzero(~result.keep).tolist():
        if not standing.keep[row]:
            witness = standing.witness[row]
            # It was kept as the best of its duplicates, and may be too near a prototype.
            told = fate("" if result.keep[witness] else reason)
            fallen[ids[row]] = (
                "semantic_duplicate",
                f"{ids[witness]} {told}; similarity {standing.similarity[row]:.4f}, "
                f"threshold {result.deduplicated.threshold:.4f}",
            )
        else:
            cosine = result.prototype_similarity[row]
            fallen[ids[row]] = (reason, f"cosine {cosine:.4f} to the prototype of its cluster")
    missing = np.isnan(scores) if scores is not None else np.zeros(len(ids), bool)
    unscored = frozenset(ids[row] for row in np.flatnonzero(missing).tolist())
    return Selection(tuple(ids[row] for row in result.order.tolist()), fallen, unscored)


def d4_rows(
    vectors: np.ndarray,
    drawn: np.ndarray,
    chosen: D4Settings,
    *,
    scores: np.ndarray | None = None,
    allowed: Allowed | None = None,
) -> D4Result:
    """D4 over rows on the grid; ``drawn`` are the :func:`teichaku.curation.clusters.draws` of
    their ids, ``scores`` and ``allowed`` as for SemDeDup. Floors may keep more than ``share``.
    """
    first = semantic_duplicates(
        vectors,
        drawn,
        share=max(chosen.share, chosen.dedup_share),
        which_to_keep=chosen.which_to_keep,
        scores=scores,
        allowed=allowed,
    )
    left = np.flatnonzero(first.standing.keep)
    members, similarity = clustered(vectors, drawn, left)
    kept = beyond_prototypes(
        members.labels[:, 0],
        similarity,
        drawn[left],
        count_of(chosen.share, len(vectors)),
        chosen.drop,
        chosen.floor,
    )
    keep = np.zeros(len(vectors), bool)
    keep[left[kept]] = True
    closeness = np.full(len(vectors), np.nan, np.float32)
    closeness[left] = similarity
    falls_first = _falling(similarity, drawn[left], chosen.drop)
    return D4Result(keep, first, closeness, left[falls_first[kept[falls_first]]][::-1])


def beyond_prototypes(
    labels: np.ndarray,
    similarity: np.ndarray,
    drawn: np.ndarray,
    wanted: int,
    drop: Direction,
    floor: float,
) -> np.ndarray:
    """Which of the rows (bool) stay where those nearest to their prototype (``drop`` near), or
    farthest from it, fall until ``wanted`` are left. Of each cluster (``labels``) ``floor`` of
    its rows, rounded up, are left at least; ``drawn`` decides between equals.
    """
    order = _falling(similarity, drawn, drop)
    # The place of each row in its cluster, counted from the one that falls last.
    by_cluster = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, np.int64)
    ends = np.repeat(np.cumsum(sizes), sizes)
    from_last = np.empty(len(labels), np.int64)
    from_last[by_cluster] = ends - 1 - np.arange(len(labels))
    least = np.array([ceil(floor * size) for size in sizes.tolist()], np.int64)
    free = order[from_last[order] >= least[labels[order]]]
    keep = np.ones(len(labels), bool)
    keep[free[: max(0, len(labels) - wanted)]] = False
    return keep


def _falling(similarity: np.ndarray, drawn: np.ndarray, drop: Direction) -> np.ndarray:
    """The rows in the order in which they fall."""
    return np.lexsort((drawn, -similarity if drop == "near" else similarity))
