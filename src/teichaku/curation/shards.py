"""Curation of more examples than fit into memory, shard by shard: the part without files.

A rule looks at one example, so it goes over each shard alone. A *fan-in* step must see all rows
before it can say what of any one becomes, and has three parts: ``sketch`` makes a few arrays of
each shard, a row of about 1 kB for each example; ``decide`` goes over the arrays of all shards,
which lie in memory-mapped files, and says which rows stay; what it says is then applied to each
shard. Rows are numbered over all shards, in the order of their names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import dropped

#: So much of a kept example's wording is shown as evidence.
_SHOWN = 80


class Bytes(Protocol):
    """Bytes that are read a piece at a time, of a file for one."""

    def __getitem__(self, part: slice) -> bytes:
        """The bytes from its start to its stop."""
        ...


class Texts:
    """Texts end to end in UTF-8, as they lie in a file: ``data`` and ``ends`` (int64, the end of
    each). Only what is looked up is read.
    """

    def __init__(self, data: Bytes, ends: np.ndarray) -> None:
        self.data = data
        self.ends = ends

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """``texts`` in this form; half a surrogate pair, which no file can hold, is mended."""
        encoded = [text.encode("utf-8", "replace") for text in texts]
        ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
        return cls(b"".join(encoded), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> str:
        start = int(self.ends[row - 1]) if row else 0
        return self.data[start : int(self.ends[row])].decode("utf-8")

    def read(self, rows: Iterable[int]) -> list[str]:
        """The texts of ``rows``, in that order."""
        return [self[row] for row in rows]


@dataclass(frozen=True)
class Sketch:
    """What a fan-in step needs to know of some rows: arrays and texts by name, each with one
    entry a row.
    """

    arrays: Mapping[str, np.ndarray]
    texts: Mapping[str, Texts]


@dataclass(frozen=True)
class Decision:
    """What a fan-in step says of all rows.

    ``keep`` (n, bool); of each row that falls ``reason`` (n, uint8), a place in ``reasons``,
    ``witness`` (n, int64), the row for which it falls, -1 where there is none, and
    ``similarity`` (n, float64) to it, NaN where there is none. Such a row stays, or falls in the
    same step for a reason that names no other row.
    """

    keep: np.ndarray
    reason: np.ndarray
    witness: np.ndarray
    similarity: np.ndarray
    reasons: tuple[str, ...]

    def check(self) -> None:
        """Raise ``AssertionError`` where a row falls for one that fell for another."""
        named = self.witness[~self.keep]
        named = named[named >= 0]
        if not (self.keep[named] | (self.witness[named] < 0)).all():
            raise AssertionError("a row fell for one that fell for another")


class FanIn(Protocol):
    """A step that must see all rows. Both parts are pure, and the order of rows changes nothing."""

    def sketch(self, examples: Sequence[Example], vectors: np.ndarray | None) -> Sketch:
        """What :meth:`decide` needs of the rows of one shard; ``vectors`` (n, d) are those that
        they came with, if any.
        """
        ...

    def decide(self, sketch: Sketch) -> Decision:
        """Which of all rows stay. Arrays are memory-mapped, and texts read where looked up."""
        ...


def label(example: Example, source: str = "") -> str:
    """How a row that stays is named in the evidence of one that falls: id, place, wording."""
    place = f" ({source})" if source else ""
    # On one line, and else as it stands.
    wording = " ".join(example.wording[:_SHOWN].splitlines())
    return f"{example.id}{place}: {wording}{'…' if len(example.wording) > _SHOWN else ''}"


def fate(fell: str = "") -> str:
    """What became of the row for which another one falls; ``fell``: for what reason, if it did."""
    return f"was kept for it, and fell later ({fell})" if fell else "stays"


def fallen(
    examples: Iterable[tuple[int, Example]], decision: Decision, labels: Texts
) -> Iterator[Dropped]:
    """The rows that the decision lets fall, each given with its number, as dropped. ``labels``
    are the :func:`label` of all rows.
    """
    for row, example in examples:
        reason = decision.reasons[decision.reason[row]]
        yield dropped(example, "curation", reason, _evidence(decision, labels, row))


def _evidence(decision: Decision, labels: Texts, row: int) -> str:
    witness, similarity = int(decision.witness[row]), float(decision.similarity[row])
    parts = []
    if witness >= 0:
        fell = "" if decision.keep[witness] else decision.reasons[decision.reason[witness]]
        parts = [f"{labels[witness]} {fate(fell)}"]
    if not np.isnan(similarity):
        parts.append(f"similarity {similarity:.4f}")
    return "; ".join(parts)
