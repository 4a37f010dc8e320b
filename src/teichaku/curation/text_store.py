"""Texts by row, in memory or on disk: what a comparison of millions reads a few of."""

import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from teichaku.core.run_folder import unwritable


class Texts(Protocol):
    """Texts that are numbered from 0."""

    def read(self, rows: Iterable[int]) -> list[str]:
        """The texts of ``rows``, in that order."""
        ...


class TextList:
    """Texts in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def read(self, rows: Iterable[int]) -> list[str]:
        """The texts of ``rows``, in that order."""
        return [self._texts[row] for row in rows]


class TextStore:
    """Texts in a file at ``path``, appended once and read by row; memory holds 8 bytes a text.

    The file is for the time of a comparison: what stands at ``path`` is written over. A store
    that all texts are in can be handed to other processes, which read only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ends = array("Q", [0])
        self._descriptor: int | None = None
        try:
            path.write_bytes(b"")
        except OSError as error:
            raise unwritable(path, error) from error

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, texts: Iterable[str]) -> None:
        """Add ``texts`` behind the others. Raises ``UserError`` where the disk is full."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(encoded))
        except OSError as error:
            raise unwritable(self.path, error) from error
        for part in encoded:
            self._ends.append(self._ends[-1] + len(part))

    def read(self, rows: Iterable[int]) -> list[str]:
        """The texts of ``rows``, in that order."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        found = []
        for row in rows:
            start, end = self._ends[row], self._ends[row + 1]
            part = os.pread(self._descriptor, end - start, start)
            found.append(part.decode("utf-8", "surrogatepass"))
        return found

    def close(self) -> None:
        """Close the file; a later :meth:`read` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_descriptor": None}
