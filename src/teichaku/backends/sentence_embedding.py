"""Any embedder that sentence-transformers loads: Ruri, E5, BGE, static ones.

Not run in the project's own tests. It was tried with sentence-transformers 6.2 and a tiny model
made on the spot, not with real weights.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from teichaku.core.errors import MissingExtraError, ModelUnavailableError


class SentenceEmbedder:
    """The model ``name``: a Hugging Face name or a folder, on ``device`` (empty: the best there).

    ``prefix`` is put before every text: for comparing texts with each other all need the same,
    the neutral one of the model (Ruri v3: none; E5: ``query: ``). Raises
    ``MissingExtraError`` without the library, and ``ModelUnavailableError`` for a model that
    cannot be loaded.
    """

    def __init__(
        self, name: str, *, prefix: str = "", batch_size: int = 32, device: str = ""
    ) -> None:
        self.identity = f"sentence_transformers:{name}#{prefix}"
        self._name, self._prefix, self._batch_size = name, prefix, batch_size
        self._model = _loaded(name, device)

    def with_prefix(self, prefix: str) -> "SentenceEmbedder":
        """The same weights with another prefix."""
        other = copy(self)
        other._prefix, other.identity = prefix, f"sentence_transformers:{self._name}#{prefix}"
        return other

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """An (n, d) float32 array of unit-length rows."""
        if not texts:
            return np.zeros((0, 0), np.float32)
        vectors = self._model.encode(
            list(texts),
            batch_size=self._batch_size,
            # Given at all, even empty, it goes before the prompts of the model's own settings.
            prompt=self._prefix,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, np.float32)


def _loaded(name: str, device: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError(f"The embedder {name}", "sentence-transformers") from error
    try:
        return SentenceTransformer(name, device=device or None)
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"sentence-transformers cannot load {name}: {error}",
            "Check the name and the network, or give a folder with the model.",
        ) from error
