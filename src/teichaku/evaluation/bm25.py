"""BM25 over character n-grams: a search by words that needs no words.

Robertson and Zaragoza (2009, "The Probabilistic Relevance Framework: BM25 and Beyond") in the
variant of Lucene: the weight of a term in a text is ``idf * tf / (tf + k1 * (1 - b + b * length /
mean length))`` with ``idf = ln(1 + (N - n + 0.5) / (n + 0.5))``, which is never negative. A term
that a query has twice counts twice. Terms are the neighbouring two and three characters of
:func:`~teichaku.core.text.comparable`, which do in Japanese, Chinese and Thai what words do
elsewhere (McNamee and Mayfield 2004, "Character N-Gram Tokenization for European Language Text
Retrieval"). Two letters of a script with spaces between words are no term: they are in every text.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from teichaku.core.text import comparable, script

Floats = npt.NDArray[np.float64]
_Keys = npt.NDArray[np.uint64]

#: Lucene's own settings.
K1, B = 1.2, 0.75
#: A code point of Unicode needs so many bits, so three characters make one number.
_BITS = np.uint64(21)
_ALPHABETS = frozenset({"latin", "greek", "cyrillic"})


class CharacterIndex:
    """An index over ``texts``; scores do not depend on anything but the texts and the query.

    ``k1`` says how soon more of the same term stops to count, ``b`` how much long texts are held
    back.
    """

    def __init__(self, texts: Sequence[str], k1: float = K1, b: float = B) -> None:
        found = [_counted(text) for text in texts]
        self._terms = np.unique(np.concatenate([_NO_KEYS, *(keys for keys, _ in found)]))
        counts = self._matrix(found)
        lengths = np.asarray(counts.sum(axis=1), np.float64).reshape(-1)
        having = np.bincount(counts.indices, minlength=len(self._terms))
        self._rarity = np.log1p((len(texts) - having + 0.5) / (having + 0.5))
        mean = lengths.mean() if lengths.any() else 1.0
        held_back = np.repeat(k1 * (1 - b + b * lengths / mean), np.diff(counts.indptr))
        weights = counts.copy()
        weights.data = self._rarity[counts.indices] * counts.data / (counts.data + held_back)
        self._weights = sparse.csr_array(weights.T)
        self._counts = counts

    def scores(self, queries: Sequence[str]) -> Floats:
        """The score of every text for every query, (queries, texts); 0 where no term is common."""
        found = self._matrix([_counted(query) for query in queries]) @ self._weights
        return np.asarray(found.toarray(), np.float64)

    def may_contain(self, part: str) -> npt.NDArray[np.intp]:
        """The places of the texts that have the rarest term of ``part``, in order: in no other may
        :func:`~teichaku.core.text.comparable` contain that of ``part``. All places where ``part``
        is too short to be a term of every text that it is in.
        """
        letters = comparable(part)
        is_pair_of_letters = len(letters) == 2 and all(script(c) in _ALPHABETS for c in letters)
        if len(letters) < 2 or is_pair_of_letters:
            return np.arange(self._counts.shape[0])
        keys, _ = _counted(part)
        terms = np.searchsorted(self._terms, keys)
        # isin would sort all terms of the index each time.
        if terms.max() >= len(self._terms) or (self._terms[terms] != keys).any():
            return np.zeros(0, np.intp)
        starts, ends = self._weights.indptr[terms], self._weights.indptr[terms + 1]
        rarest = int(np.argmin(ends - starts))
        return np.sort(self._weights.indices[starts[rarest] : ends[rarest]]).astype(np.intp)

    def _matrix(self, found: Sequence[tuple[_Keys, npt.NDArray[np.int64]]]) -> "sparse.csr_array":
        """How often each text has each known term; unknown ones are left out."""
        columns, values, ends = [_NONE], [_NONE], [0]
        for keys, counts in found:
            places = np.minimum(np.searchsorted(self._terms, keys), max(len(self._terms) - 1, 0))
            known = self._terms[places] == keys if len(self._terms) else np.zeros(len(keys), bool)
            columns.append(places[known].astype(np.int64))
            values.append(counts[known])
            ends.append(ends[-1] + int(known.sum()))
        shape = (len(found), len(self._terms))
        data = np.concatenate(values).astype(np.float64)
        return sparse.csr_array((data, np.concatenate(columns), np.array(ends)), shape=shape)


_NO_KEYS = np.zeros(0, np.uint64)
_NONE = np.zeros(0, np.int64)


def _counted(text: str) -> tuple[_Keys, npt.NDArray[np.int64]]:
    """The terms of ``text`` as numbers, sorted, and how often it has each. A text of one
    character has that alone.
    """
    letters = comparable(text)
    codes = np.frombuffer(letters.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = codes.astype(np.uint64)
    pairs = codes[:-1] << _BITS | codes[1:]
    triples = pairs[:-1] << _BITS | codes[2:]
    if len(pairs):
        kinds = np.array([script(letter) in _ALPHABETS for letter in letters])
        is_pair = ~(kinds[:-1] & kinds[1:])
        # A short word is all that there is.
        pairs = pairs[is_pair] if len(triples) else pairs
    keys = np.concatenate([pairs, triples]) if len(codes) > 1 else codes
    found, counts = np.unique(keys, return_counts=True)
    return found, counts.astype(np.int64)
