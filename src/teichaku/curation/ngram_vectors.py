"""Vectors of texts without a model: character n-grams, weighted by tf-idf and hashed.

Characters need no word breaks, so Japanese, Chinese and Thai are compared as English is, which
the English sentence embedders that most pipelines come with cannot do. The vectors know
wording, not meaning: they find what is said in nearly the same words.
"""

from collections.abc import Iterable, Sequence
from math import log

import numpy as np

from teichaku.curation.shingles import comparable_codes, ngram_hashes, spread

#: The cosine of two texts with nothing in common strays from zero by about one over its root.
_DIMENSIONS = 2048
_SIZES = (2, 3)
#: So many texts are hashed at a time.
_BLOCK = 1024
_LAST = np.array([2**64 - 1], np.uint64)


class NgramVectors:
    """An ``Embedder`` whose weights come from ``corpus``: an n-gram that few of its texts have
    weighs more.
    """

    def __init__(self, corpus: Iterable[str]) -> None:
        texts = list(corpus)
        found = []
        for start in range(0, len(texts), _BLOCK):
            owners, ngrams = _ngrams(texts[start : start + _BLOCK])
            order = np.lexsort((ngrams, owners))
            owners, ngrams = owners[order], ngrams[order]
            is_first = np.ones(len(ngrams), bool)
            is_first[1:] = (ngrams[1:] != ngrams[:-1]) | (owners[1:] != owners[:-1])
            found.append(ngrams[is_first])
        known, having = np.unique(np.concatenate([_LAST[:0], *found]), return_counts=True)
        self._rarest = 1 + log(1 + len(texts))
        # The last one stands for what lies behind all that is known.
        self._known = np.concatenate([known, _LAST])
        self._weights = np.append(self._rarest - np.log(1 + having), self._rarest)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """An (n, 2048) float32 array of rows of unit length; zero for a text without letters."""
        rows = np.zeros((len(texts), _DIMENSIONS), np.float32)
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            owners, ngrams = _ngrams(block)
            places = (ngrams % np.uint64(_DIMENSIONS)).astype(np.int64)
            # The sign lets n-grams that fall on one place cancel out on average.
            signs = np.where(ngrams >> np.uint64(63), 1.0, -1.0)
            sums = np.bincount(
                owners * _DIMENSIONS + places,
                signs * self._weight(ngrams),
                len(block) * _DIMENSIONS,
            ).reshape(len(block), _DIMENSIONS)
            lengths = np.linalg.norm(sums, axis=1, keepdims=True)
            rows[start : start + len(block)] = sums / np.maximum(lengths, 1e-9)
        return rows

    def _weight(self, ngrams: np.ndarray) -> np.ndarray:
        places = np.searchsorted(self._known, ngrams)
        return np.where(self._known[places] == ngrams, self._weights[places], self._rarest)


def _ngrams(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The n-grams of all ``texts`` as hashes, each as often as it occurs, and whose they are. A
    text of one character has that alone.
    """
    codes, counts = comparable_codes(texts)
    alone = codes[np.repeat(counts == 1, counts)].astype(np.uint64)
    owners, ngrams = [np.flatnonzero(counts == 1)], [spread(alone, 1)]
    for size in _SIZES:
        owner, hashes = ngram_hashes(codes, counts, size)
        owners.append(owner)
        ngrams.append(hashes)
    return np.concatenate(owners), np.concatenate(ngrams)
