"""Perplexity of texts under a language model, and the band of it that is kept.

Marion et al. 2023 ("When less is more") keep the middle of the ranks of a pre-training corpus,
Ankner et al. 2024 find that the best band differs from corpus to corpus. For examples of
fine-tuning no band is established: compare with the controls of :mod:`curation.selection`.

The papers count a token, which only compares texts of one tokenizer and one script. Here
perplexity is counted by the character, or in bits by the byte of UTF-8.
"""

from collections.abc import Mapping
from math import exp, log
from typing import Literal

import numpy as np

from teichaku.core.models import TokenScores
from teichaku.curation.selection import Selection, by_score, count_of, selected

Band = Literal["top", "middle", "bottom"]


def nats_per_character(scores: TokenScores) -> float | None:
    """The negative log-probability, a character, of what was scored; None where nothing was."""
    covered = scores.end - scores.start
    return _total(scores) / covered if covered else None


def perplexity_per_character(scores: TokenScores) -> float | None:
    """Among how many characters the model seems to choose: e to the power of
    :func:`nats_per_character`. None where nothing was scored, or where no number is as large.
    """
    nats = nats_per_character(scores)
    try:
        return None if nats is None else exp(nats)
    except OverflowError:
        return None


def bits_per_byte(scores: TokenScores, text: str) -> float | None:
    """The same of ``text`` in bits a byte of UTF-8 (Gao et al. 2020, "The Pile")."""
    size = len(text[scores.start : scores.end].encode("utf-8", "replace"))
    return _total(scores) / log(2) / size if size else None


def keep_band(
    scores: Mapping[str, float | None],
    share: float,
    band: Band,
    keep_without_score: bool = True,
) -> Selection:
    """Keep ``share`` of the examples that have a score, by rank: those at the ``top`` (the
    highest scores), at the ``bottom``, or around the ``middle``.

    Equal scores go by id, so the order of ``scores`` changes nothing. Examples without a score
    are kept too, behind the others, or dropped. Raises ``ValueError`` for a share that is none.
    """
    ranked = by_score(scores)
    count = count_of(share, len(ranked))
    first = {"bottom": 0, "middle": (len(ranked) - count) // 2, "top": len(ranked) - count}[band]
    fallen = {
        example_id: (
            "outside_band",
            f"{value:.4g} is rank {rank} of {len(ranked)} from the lowest; "
            f"the {band} {share:.0%} are ranks {first + 1} to {first + count}",
        )
        for rank, (example_id, value) in enumerate(ranked, 1)
        if not first < rank <= first + count
    }
    inside = [example_id for example_id, _ in ranked[first : first + count]]
    if band == "top":
        inside.reverse()
    elif band == "middle":
        inside = [inside[at] for at in _from_the_middle(count)]
    return selected(inside, fallen, scores, keep_without_score)


def _from_the_middle(count: int) -> list[int]:
    return sorted(range(count), key=lambda at: (abs(2 * at - count + 1), at))


def _total(scores: TokenScores) -> float:
    return -float(np.sum(scores.log_probabilities, dtype=np.float64))
