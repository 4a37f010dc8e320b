"""Whether a model has seen a text in its pre-training: Min-K% Prob, Min-K%++, and the scores
that they are compared with.

In all of them higher means more likely seen. None is a verdict on one text: report them over
many, beside a baseline that does not look at the model at all.
"""

import zlib
from math import ceil

import numpy as np

from teichaku.core.models import TokenScores


def minimum_k(scores: TokenScores, k: float = 0.2) -> float | None:
    """Min-K% Prob (Shi et al. 2023, "Detecting Pretraining Data"): the mean
    log-probability of the share ``k`` of tokens that are least likely.

    Where ours differs: at least one token counts, and shares are rounded up; the published code
    rounds down, to none for a short text. None where no token was scored; raises ``ValueError``
    for a share that is none.
    """
    return _mean_of_lowest(scores.log_probabilities, k)


def minimum_k_plus_plus(scores: TokenScores, k: float = 0.2) -> float | None:
    """Min-K%++ (Zhang et al. 2024): as :func:`minimum_k`, of log-probabilities that
    are standardised by mean and standard deviation of those of all tokens at that place.

    Where all tokens are equally likely there is nothing to divide by, and the token counts as
    an average one, 0. None also where the model does not give these moments.
    """
    if scores.means is None or scores.deviations is None:
        return None
    difference = scores.log_probabilities.astype(np.float64) - scores.means
    flat = scores.deviations <= 0
    return _mean_of_lowest(
        np.where(flat, 0.0, difference / np.where(flat, 1.0, scores.deviations)), k
    )


def mean_log_probability(scores: TokenScores) -> float | None:
    """The mean log-probability of a token, the plainest reference (Yeom et al. 2018)."""
    return _mean_of_lowest(scores.log_probabilities, 1.0)


def zlib_ratio(scores: TokenScores, text: str) -> float | None:
    """The mean log-probability of a token by the bytes that zlib makes of what was scored of
    ``text`` (Carlini et al. 2021, with the sign turned).
    """
    mean = mean_log_probability(scores)
    if mean is None:
        return None
    return mean / len(zlib.compress(text[scores.start : scores.end].encode("utf-8", "replace")))


def _mean_of_lowest(values: np.ndarray, share: float) -> float | None:
    if not 0 < share <= 1:
        raise ValueError(f"k is {share}; it must be above 0 and at most 1")
    if not len(values):
        return None
    # 0.2 * 15 is a little more than 3.
    count = max(1, ceil(round(share * len(values), 9)))
    return float(np.mean(np.partition(values, count - 1)[:count], dtype=np.float64))
