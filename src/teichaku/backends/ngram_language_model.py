"""A language model of characters that needs no weights: it is fitted on texts in seconds.

It tells how much a text reads like those texts, as n-gram models do in CCNet (Wenzek et al.
2020), with characters in place of words, so that it is right for every script.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from teichaku.core.errors import UserError
from teichaku.core.models import ScoredText, TokenScores

#: Unicode has so many characters; half surrogate pairs are none.
_CHARACTERS = 0x110000 - 0x800
#: Stands before the first character of every text, and is never predicted.
_BEGIN = 0
#: So many probabilities are held at once.
_AT_ONCE = 2**22


@dataclass(frozen=True, slots=True)
class _Level:
    """The n-grams of one length that were seen. ``keys``, sorted, are the place of the n-gram's
    beginning in the level below times the size of the alphabet, plus its last character. A
    beginning was followed ``totals`` times, by ``kinds`` characters, which lie from ``starts`` on.
    """

    keys: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    kinds: np.ndarray
    totals: np.ndarray


class NgramLanguageModel:
    """Probabilities of characters after the ``order - 1`` before them, as seen in ``texts``.

    Smoothing is that of Witten and Bell, interpolated (Chen and Goodman 1998, section 2.5):
    what was seen ``C`` times after a history with ``T`` kinds of successors is mixed with the
    probability after the shorter history, which weighs ``T / (C + T)``. Below single characters
    lie all characters of Unicode with equal shares, so no text is impossible. The model is fitted
    when it is first asked. Raises ``UserError`` where the texts are empty, ``ValueError`` for an
    order below 1.
    """

    def __init__(self, texts: Iterable[str], order: int = 5) -> None:
        if order < 1:
            raise ValueError(f"the order is {order}; 1 is the least")
        self._codes = [codes for text in texts if len(codes := _codes(text))]
        if not self._codes:
            raise UserError(
                "There is no text that the n-gram language model could be fitted on.",
                "Name documents with text, or another language_model.",
            )
        digests = sorted(hashlib.sha256(codes.tobytes()).digest() for codes in self._codes)
        digest = hashlib.sha256(b"".join(digests)).hexdigest()
        self.identity = f"ngram order:{order} sha256:{digest[:16]}"
        self.order = order
        stream = np.concatenate(self._codes)
        self._alphabet, seen = np.unique(stream, return_counts=True)
        self._size = len(self._alphabet) + 1
        self._single = np.concatenate([[0.0], seen]) + len(seen) / _CHARACTERS
        self._single /= len(stream) + len(seen)
        self._unknown = len(seen) / _CHARACTERS / (len(stream) + len(seen))

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        """See :class:`teichaku.core.models.LanguageModel`. A token is a character, none is
        cut, and the first is predicted from the beginning of a text.
        """
        for one in texts:
            numbers = self._numbered(_codes(one.context + one.text))
            probabilities, histories = self._probabilities(numbers)
            own = slice(len(one.context), None)
            found = np.log(probabilities[own]).astype(np.float32)
            means = deviations = None
            if moments:
                means, deviations = self._moments(histories[:, own])
            yield TokenScores(found, means, deviations, end=len(one.text))

    def _numbered(self, codes: np.ndarray) -> np.ndarray:
        """The numbers of characters in the alphabet, from 1 on, -1 for one that is not in it,
        after that of the beginning.
        """
        places = np.searchsorted(self._alphabet, codes)
        known = self._alphabet[np.minimum(places, len(self._alphabet) - 1)] == codes
        return np.concatenate([[_BEGIN], np.where(known, places + 1, -1)])

    @cached_property
    def _levels(self) -> list[_Level]:
        texts = [self._numbered(codes) for codes in self._codes]
        self._codes.clear()
        numbers = np.concatenate(texts)
        places = np.concatenate([np.arange(len(text)) for text in texts])
        ends, beginnings = numbers, self._size
        levels = []
        for length in range(2, self.order + 1):
            inside = np.flatnonzero(places >= length - 1)
            if not len(inside):
                break
            keys, inverse, counts = np.unique(
                ends[inside - 1] * self._size + numbers[inside],
                return_inverse=True,
                return_counts=True,
            )
            bounds = np.searchsorted(keys, np.arange(beginnings + 1) * self._size)
            summed = np.concatenate([[0], np.cumsum(counts)])
            totals = summed[bounds[1:]] - summed[bounds[:-1]]
            levels.append(_Level(keys, counts, bounds[:-1], np.diff(bounds), totals))
            ends = np.full(len(numbers), -1)
            ends[inside] = inverse
            beginnings = len(keys)
        return levels

    def _probabilities(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The probability of each character, and its histories: the place of each in the level
        below, by length, -1 where it was not seen or nothing was seen after it.
        """
        own = numbers[1:]
        found = np.where(own < 0, self._unknown, self._single[own])
        histories = np.full((len(self._levels), len(own)), -1)
        ends = numbers
        for depth, level in enumerate(self._levels):
            before = ends[:-1]
            known = (before >= 0) & (level.totals[before] > 0)
            histories[depth] = np.where(known, before, -1)
            keys = before * self._size + own
            at = np.minimum(np.searchsorted(level.keys, keys), len(level.keys) - 1)
            is_seen = known & (own >= 0) & (level.keys[at] == keys)
            counts = np.where(is_seen, level.counts[at], 0)
            kinds, totals = level.kinds[before], level.totals[before]
            mixed = (counts + kinds * found) / np.maximum(totals + kinds, 1)
            found = np.where(known, mixed, found)
            ends = np.concatenate([[-1], np.where(is_seen, at, -1)])
        return found, histories

    def _moments(self, histories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the log-probability over all characters of Unicode."""
        count = histories.shape[1]
        means, deviations = np.zeros((2, count), np.float32)
        step = max(1, _AT_ONCE // self._size)
        for start in range(0, count, step):
            part = slice(start, start + step)
            means[part], deviations[part] = self._spread(histories[:, part])
        return means, deviations

    def _spread(self, histories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = histories.shape[1]
        known = np.tile(self._single[1:], (rows, 1))
        unknown = np.full(rows, self._unknown)
        for level, before in zip(self._levels, histories, strict=True):
            seen = np.flatnonzero(before >= 0)
            kinds, totals = level.kinds[before[seen]], level.totals[before[seen]]
            share = kinds / (totals + kinds)
            known[seen] *= share[:, None]
            unknown[seen] *= share
            offsets = np.arange(kinds.sum()) - np.repeat(np.cumsum(kinds) - kinds, kinds)
            at = np.repeat(level.starts[before[seen]], kinds) + offsets
            row, column = np.repeat(seen, kinds), level.keys[at] % self._size - 1
            known[row, column] += level.counts[at] / np.repeat(totals + kinds, kinds)
        others = _CHARACTERS - len(self._alphabet)
        logs, log_unknown = np.log(known), np.log(unknown)
        mean = (known * logs).sum(1) + others * unknown * log_unknown
        variance = (known * (logs - mean[:, None]) ** 2).sum(1)
        variance += others * unknown * (log_unknown - mean) ** 2
        return mean, np.sqrt(variance)


def _codes(text: str) -> np.ndarray:
    """The code points of ``text``, half surrogate pairs as question marks."""
    return np.frombuffer(text.encode("utf-32-le", "replace"), "<u4")
