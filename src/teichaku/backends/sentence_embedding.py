"""Any embedder that sentence-transformers loads: Ruri, E5, BGE, static ones.

Not run in the project's own tests. It was tried with sentence-transformers 6.2 and a tiny model
made on the spot, not with real weights.
"""

import hashlib
from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from pathlib import Path
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
        self._weights, self._prefix, self._batch_size = identity_of(name), prefix, batch_size
        self.identity = f"{self._weights}#{prefix}"
        self._model = _loaded(name, device)

    def with_prefix(self, prefix: str) -> "SentenceEmbedder":
        """The same weights with another prefix."""
        other = copy(self)
        other._prefix, other.identity = prefix, f"{self._weights}#{prefix}"
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


def identity_of(name: str) -> str:
    """What tells a model from others without loading it: its name, and of a folder the contents of
    its files, those in its folders among them (pooling and dense layers lie there).
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return f"sentence_transformers:{name}"
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        own = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in own.parts)
        if path.is_file() and not is_hidden and path.suffix != ".md":
            about = path.stat()
            content = _hash_of(path, about.st_size, about.st_mtime_ns)
            digest.update(f"{own.as_posix()} {content}\n".encode("utf-8", "surrogateescape"))
    return f"sentence_transformers:sha256:{digest.hexdigest()}"


@lru_cache
def _hash_of(path: Path, size: int, modified: int) -> str:
    """The SHA-256 of a file, read once as long as it stays as it is: a run asks several times."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
