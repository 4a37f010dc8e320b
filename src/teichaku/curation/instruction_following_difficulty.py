"""IFD: how little an instruction helps a model to write its answer (Li et al. 2023, "From
Quantity to Quality", known as Cherry).

``A`` is the answer alone, ``A|Q`` the answer after its question. Two definitions go by one
name: Cherry divides the mean losses of a token, Superfiltering (Li et al. 2024) the
perplexities. In both, 1 and above says that the question makes the answer no likelier: the two do
not belong together, and the pair is dropped. Of the others the highest are kept, because what is
low is learnt already.

Where ours differs: question and answer are tokenized as one and the border is found by the
places of the tokens; the published code tokenizes the question apart, so its border is off where
a token reaches over it. Failed scores are None, there 0.
"""

from collections.abc import Mapping
from math import exp
from typing import Literal

import numpy as np

from teichaku.core.models import TokenScores
from teichaku.curation.selection import Selection, by_score, count_of, selected

Form = Literal["loss_ratio", "perplexity_ratio"]


def loss_ratio(after_question: TokenScores, alone: TokenScores) -> float | None:
    """Cherry's form: mean loss of ``A|Q`` by that of ``A``; None where there is no such ratio."""
    with_question, without = mean_loss(after_question), mean_loss(alone)
    if with_question is None or not without:
        return None
    return with_question / without


def perplexity_ratio(after_question: TokenScores, alone: TokenScores) -> float | None:
    """Superfiltering's form: perplexity of ``A|Q`` by that of ``A``, a token each."""
    with_question, without = mean_loss(after_question), mean_loss(alone)
    if with_question is None or without is None:
        return None
    try:
        return exp(with_question - without)
    except OverflowError:
        return None


def mean_loss(scores: TokenScores) -> float | None:
    """The mean negative log-probability of a token; None where there is none."""
    if not len(scores.log_probabilities):
        return None
    return -float(np.mean(scores.log_probabilities, dtype=np.float64))


def keep_most_difficult(
    scores: Mapping[str, float | None],
    share: float,
    keep_without_score: bool = True,
) -> Selection:
    """Drop what scores 1 and above, and keep the highest of the others, up to ``share`` of all
    that have a score (so the papers count: 5 % of Alpaca).

    Equal scores go by id. Examples without a score (running text has none) are kept too, behind
    the others, or dropped. Raises ``ValueError`` for a share that is none.
    """
    ranked = by_score(scores)
    fallen = {
        example_id: (
            "misaligned",
            f"{value:.4g}: the question makes the answer no likelier (1 and above falls)",
        )
        for example_id, value in ranked
        if value >= 1
    }
    rest = sorted((one for one in ranked if one[1] < 1), key=lambda one: (-one[1], one[0]))
    count = min(len(rest), count_of(share, len(ranked)))
    for rank, (example_id, value) in enumerate(rest[count:], count + 1):
        fallen[example_id] = (
            "not_difficult",
            f"{value:.4g} is rank {rank} of {len(rest)} below 1; the highest {count} stay",
        )
    kept = [example_id for example_id, _ in rest[:count]]
    return selected(kept, fallen, scores, keep_without_score)
