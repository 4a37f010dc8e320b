"""Means with intervals that know that questions of one document are not independent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of ``n`` values with a 95 % interval; ``low`` and ``high`` are null where there
    are fewer than two clusters to resample.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def clustered_mean(
    values: Sequence[float], clusters: Sequence[str], seed: int = 0
) -> Interval | None:
    """Mean of ``values`` with a percentile bootstrap over ``clusters`` (one name a value).

    Whole clusters are drawn with replacement (the cluster bootstrap, Field and Welsh 2007),
    because questions about one document stand or fall together. None where there are no
    values. Raises ``ValueError`` where the lengths differ.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} cluster names")
    if not values:
        return None
    # Sorting makes the draw independent of the order of the rows.
    names, positions = np.unique(np.asarray(clusters), return_inverse=True)
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(names) < 2:
        return Interval(mean, None, None, len(values))
    sums = np.bincount(positions, weights=array)
    counts = np.bincount(positions)
    draws = np.random.default_rng(seed).integers(0, len(names), size=(_RESAMPLES, len(names)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high), len(values))


def paired_difference(
    before: Sequence[float], after: Sequence[float], clusters: Sequence[str], seed: int = 0
) -> Interval | None:
    """The mean change from ``before`` to ``after`` on the same items, with its interval."""
    changes = [b - a for a, b in zip(before, after, strict=True)]
    return clustered_mean(changes, clusters, seed)
