"""Vectors of texts without a model: character n-grams, weighted by tf-idf and hashed.

Characters need no word breaks, so Japanese, Chinese and Thai are compared as English is, which
the English sentence embedders that most pipelines come with cannot do. The vectors know
wording, not meaning: they find what is said in nearly the same words.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

import numpy as np

from teichaku.core.text import comparable

#: The cosine of two texts with nothing in common strays from zero by about one over its root.
_DIMENSIONS = 2048
_SIZES = (2, 3)


class NgramVectors:
    """An ``Embedder`` whose weights come from ``corpus``: an n-gram that few of its texts have
    weighs more.
    """

    def __init__(self, corpus: Iterable[str]) -> None:
        having: Counter[str] = Counter()
        self._texts = 0
        for text in corpus:
            self._texts += 1
            having.update(_ngrams(text).keys())
        self._having = having

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """An (n, 2048) float32 array of rows of unit length; zero for a text without letters."""
        rows = np.zeros((len(texts), _DIMENSIONS), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for ngram, count in _ngrams(text).items():
                weight = 1 + log((1 + self._texts) / (1 + self._having[ngram]))
                drawn = zlib.crc32(ngram.encode("utf-8", "surrogatepass"))
                # The sign lets n-grams that fall on one place cancel out on average.
                sign = 1 if drawn & 1 << 31 else -1
                row[drawn % _DIMENSIONS] += sign * count * weight
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(lengths, 1e-9), np.float32)


def _ngrams(text: str) -> Counter[str]:
    whole = comparable(text)
    found = Counter(
        whole[start : start + size] for size in _SIZES for start in range(len(whole) - size + 1)
    )
    return found or Counter([whole] if whole else [])
