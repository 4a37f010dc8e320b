"""What can be told of two kinds of texts without any model: by their length, their date, and
their wording.

A test for what a model has seen mostly tells texts apart by what sets the two sets of texts
apart, and not by the model: newer texts name newer things (Duan et al. 2024, "Do membership
inference attacks work on large language models?"; Das et al. 2024, "Blind baselines beat
membership inference attacks"). A score from a model counts for what it adds to these.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from teichaku.core.auroc import auroc
from teichaku.core.records import content_id
from teichaku.curation.shingles import comparable_codes, ngram_hashes

_FOLDS = 5
_SIZES = (2, 3)
#: N-grams are counted by their hashes; so many places hold the n-grams of a language.
_BITS = 18
#: So many texts are taken apart at a time.
_BLOCK = 256

_Counts = npt.NDArray[np.float64]


def in_better_direction(scores: Sequence[float], is_positive: Sequence[bool]) -> list[float]:
    """``scores``, turned round where less of them tells the positives: no direction of a blind
    baseline is known beforehand, and the one that does better is taken.
    """
    value = auroc(scores, is_positive)
    sign = -1.0 if value is not None and value < 0.5 else 1.0
    return [sign * score for score in scores]


def by_wording(
    texts: Sequence[str], is_positive: Sequence[bool], documents: Sequence[str], seed: int = 0
) -> list[float] | None:
    """How much more each of ``texts`` reads like the positives than like the others, by naive
    Bayes over the character n-grams (n = 2 and 3) that it has, with Laplace's smoothing; the mean
    of an n-gram, so that length does not count.

    The counts come from other documents than its own, in five parts, each with its share of
    both classes. None where a class stands in fewer than two documents, so that nothing can be
    learnt from the others.
    """
    folds = _folds(is_positive, documents, seed)
    if folds is None:
        return None
    counts = np.zeros((2, _FOLDS, 2**_BITS), np.float32)
    for places, is_one, document in zip(_places(texts), is_positive, documents, strict=True):
        counts[int(is_one), folds[document]][places] += 1
    odds = [_log_odds(counts, fold) for fold in range(_FOLDS)]
    return [
        float(odds[folds[document]][places].mean()) if len(places) else 0.0
        for places, document in zip(_places(texts), documents, strict=True)
    ]


def _folds(
    is_positive: Sequence[bool], documents: Sequence[str], seed: int
) -> Mapping[str, int] | None:
    """The part of each document: those of one class, then the others, dealt out in turn."""
    share: dict[str, list[bool]] = {}
    for document, is_one in zip(documents, is_positive, strict=True):
        share.setdefault(document, []).append(is_one)
    having = [sum(wanted in members for members in share.values()) for wanted in (True, False)]
    if min(having) < 2:
        return None
    order = sorted(
        share,
        key=lambda name: (
            -sum(share[name]) / len(share[name]),
            content_id("fold", seed, name),
        ),
    )
    return {name: place % _FOLDS for place, name in enumerate(order)}


def _log_odds(counts: npt.NDArray[np.float32], left_out: int) -> _Counts:
    """What each n-gram says for the positives, by all parts but one."""
    rest = counts.sum(axis=1, dtype=np.float64) - counts[:, left_out]
    smoothed = np.log(rest + 1) - np.log(rest.sum(axis=1, keepdims=True) + 2**_BITS)
    return np.asarray(smoothed[1] - smoothed[0])


def _places(texts: Sequence[str]) -> Iterator[npt.NDArray[np.int64]]:
    """The places of the n-grams that each of ``texts`` has, each once."""
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        codes, counts = comparable_codes(block)
        found = [ngram_hashes(codes, counts, size) for size in _SIZES]
        owners = np.concatenate([owner for owner, _ in found])
        places = np.concatenate([hashes >> np.uint64(64 - _BITS) for _, hashes in found])
        once = np.unique((owners << _BITS) + places.astype(np.int64))
        bounds = np.searchsorted(once, np.arange(len(block) + 1) << _BITS)
        for a, b in pairwise(bounds):
            yield once[a:b] & (2**_BITS - 1)
