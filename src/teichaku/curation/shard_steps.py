"""Fan-in steps over shards: exact, near semantic duplicates and D4, each as a sketch of a
shard and a decision over the sketches of all (:class:`teichaku.curation.shards.FanIn`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from teichaku.core.records import Example, content_id
from teichaku.core.text import question_key
from teichaku.curation.clusters import draws, on_grid
from teichaku.curation.d4 import D4Settings, d4_rows
from teichaku.curation.near_duplicates import FLOOR, Rank, longest, near_pairs, wording_at
from teichaku.curation.same_thing import difference, number_key
from teichaku.curation.semantic_duplicates import WhichToKeep, semantic_duplicates
from teichaku.curation.shards import Decision, Sketch, Texts
from teichaku.curation.shingles import comparable_codes
from teichaku.curation.sketches import is_own_row, sketch
from teichaku.curation.survivors import EXACT, SimilarPair, Witness, settled

_NO_SCORE = float("nan")
_BLOCK = 256


@dataclass(frozen=True)
class ExactDuplicates:
    """:func:`teichaku.curation.duplicates.drop_duplicates` for more rows than fit into memory:
    the same rows stay, and the same fall for the same reasons.
    """

    def sketch(self, examples: Sequence[Example], vectors: np.ndarray | None) -> Sketch:
        """A hash of what makes two rows the same, and one of the answer alone."""
        said = _comparable([example.answer for example in examples])
        asked = [
            _digest(e.document_id, answer if e.is_text else question_key(e.asked))
            for e, answer in zip(examples, said, strict=True)
        ]
        answers = [_digest(answer) for answer in said]
        return Sketch(
            {"key": _as_numbers(asked), "answer": _as_numbers(answers)[:, 0]},
            {"order": Texts.of([f"{e.passage_id}\0{e.id}" for e in examples])},
        )

    def decide(self, sketch: Sketch) -> Decision:
        """Of the rows with one key, the first in the order of passages and ids stays."""
        keys, answers = sketch.arrays["key"], sketch.arrays["answer"]
        orders = sketch.texts["order"]
        rows = len(keys)
        keep, witness = np.ones(rows, bool), np.full(rows, -1, np.int64)
        sorted_rows = np.lexsort((keys[:, 1], keys[:, 0]))
        same = (keys[sorted_rows][1:] == keys[sorted_rows][:-1]).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            group = sorted_rows[start : end + 1].tolist()
            first = min(group, key=lambda row: (orders[row], row))
            keep[group], witness[group] = False, first
            keep[first], witness[first] = True, -1
        differs = answers != answers[np.maximum(witness, 0)]
        similarity = np.where(keep | differs, np.nan, 1.0)
        return Decision(
            keep, differs.astype(np.uint8), witness, similarity, ("duplicate", "duplicate_question")
        )


@dataclass(frozen=True)
class NearDuplicates:
    """:class:`teichaku.curation.near_duplicates.NearDuplicates` for more rows than fit into
    memory; the settings are the same. 274 bytes a row and level, and the texts that are compared.
    """

    thresholds: Mapping[str, float]
    rank: Rank = longest
    guard: bool = True
    floor: float = FLOOR

    def sketch(self, examples: Sequence[Example], vectors: np.ndarray | None) -> Sketch:
        """For each level which rows it compares, their sketches, scopes and texts."""
        arrays = {"score": _scores(examples, self.rank)}
        texts = {"id": Texts.of([example.id for example in examples])}
        for level, threshold in self.thresholds.items():
            wordings = [wording_at(example, level) for example in examples]
            compared = [text for text in wordings if text is not None]
            rows = sketch(compared, min(self.floor, threshold))
            own = is_own_row(rows)
            seconds = np.zeros(len(compared), bool)
            seconds[rows["record"][~own]] = True
            chosen = [e for e, text in zip(examples, wordings, strict=True) if text is not None]
            arrays |= {
                f"{level}.compared": np.array([text is not None for text in wordings], bool),
                # Numbers of rows hold for one shard alone; those of all follow from the order.
                f"{level}.own": rows[own][np.argsort(rows["record"][own])],
                f"{level}.second": rows[~own][np.argsort(rows["record"][~own])],
                f"{level}.has_second": seconds,
                f"{level}.scope": np.array([_scope(e, level) for e in chosen], np.uint64),
            }
            texts[f"{level}.wording"] = Texts.of(compared)
        return Sketch(arrays, texts)

    def decide(self, sketch: Sketch) -> Decision:
        """Which rows stay, greedily from the best on."""
        score = sketch.arrays["score"]
        names = np.array(sketch.texts["id"].read(range(len(score))))
        # Without a score last; ties by id.
        best_first = np.lexsort((names, -score, np.isnan(score)))
        del names
        place = np.empty(len(score), np.int64)
        place[best_first] = np.arange(len(score))
        pairs: dict[tuple[str, str, str], SimilarPair] = {}

        def compare(rows: Sequence[str]) -> bool:
            standing = np.zeros(len(score), bool)
            standing[list(map(int, rows))] = True
            found = [
                self._compare(sketch, level, place, standing, pairs) for level in self.thresholds
            ]
            return any(found)

        order = list(map(str, best_first.tolist()))
        fallen = settled(order, compare, pairs, self.thresholds, self.guard)
        return _as_decision(len(score), fallen)

    def _compare(
        self,
        sketch: Sketch,
        level: str,
        place: np.ndarray,
        standing: np.ndarray,
        pairs: dict[tuple[str, str, str], SimilarPair],
    ) -> bool:
        """Add the pairs of ``level`` among the rows that stand; whether some bucket was bounded."""
        rows = np.flatnonzero(sketch.arrays[f"{level}.compared"])
        chosen = np.flatnonzero(standing[rows])
        has_second = np.asarray(sketch.arrays[f"{level}.has_second"])
        seconds = np.flatnonzero(has_second)
        parts = [
            _renumbered(sketch.arrays[f"{level}.own"], np.arange(len(rows)), chosen),
            _renumbered(sketch.arrays[f"{level}.second"], seconds, chosen),
        ]
        found = near_pairs(
            np.concatenate(parts),
            _Some(sketch.texts[f"{level}.wording"], chosen),
            min(self.floor, self.thresholds[level]),
            self.guard,
            order=np.argsort(np.argsort(place[rows[chosen]])),
            scope=np.asarray(sketch.arrays[f"{level}.scope"])[chosen],
        )
        for pair in found.records([str(row) for row in rows[chosen].tolist()], level):
            pairs.setdefault((level, pair.left_id, pair.right_id), pair)
        return found.is_bounded


def _renumbered(rows: np.ndarray, records: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Those of ``rows``, which belong to the texts ``records``, whose text is ``chosen``, numbered
    by its place there.
    """
    places = np.searchsorted(chosen, records)
    known = np.zeros(len(records), bool)
    inside = places < len(chosen)
    known[inside] = chosen[places[inside]] == records[inside]
    part = rows[known]
    part["record"] = places[known]
    return part


@dataclass(frozen=True)
class _Some:
    """Some of many texts, numbered anew."""

    texts: Texts
    chosen: np.ndarray

    def read(self, rows: Iterable[int]) -> list[str]:
        """The texts of ``rows``."""
        return self.texts.read(self.chosen[list(rows)].tolist())


def _as_decision(rows: int, fallen: Mapping[str, Witness]) -> Decision:
    keep, reason = np.ones(rows, bool), np.zeros(rows, np.uint8)
    witness, similarity = np.full(rows, -1, np.int64), np.full(rows, np.nan)
    for name, found in fallen.items():
        row = int(name)
        keep[row], reason[row] = False, found.kind != EXACT
        witness[row], similarity[row] = int(found.kept_id), found.similarity
    return Decision(keep, reason, witness, similarity, ("duplicate", "near_duplicate"))


@dataclass(frozen=True)
class SemanticDuplicates:
    """:class:`teichaku.curation.semantic_filter.SemanticDuplicates` for more rows than fit into
    memory, by vectors that the rows came with; the settings are the same.
    """

    threshold: float | None = None
    share: float | None = None
    level: str = "question"
    which_to_keep: WhichToKeep = "score"
    rank: Rank = longest
    guard: bool = True
    seed: int = 0

    def sketch(self, examples: Sequence[Example], vectors: np.ndarray | None) -> Sketch:
        """Vectors on the grid, and what bars a pair."""
        wordings = [wording_at(e, "text" if e.is_text else self.level) or "" for e in examples]
        scopes = [_scope(e, "text" if e.is_text else self.level) for e in examples]
        guarded = wordings if self.guard else []
        numbers = [int(content_id(*number_key(text)), 16) for text in guarded]
        arrays = {
            "vector": _on_grid(vectors),
            "draw": draws([example.id for example in examples], self.seed),
            "score": _scores(examples, self.rank),
            "scope": np.array(scopes, np.uint64),
            "numbers": np.array(numbers, np.uint64),
        }
        return Sketch(arrays, {"wording": Texts.of(wordings)})

    def decide(self, sketch: Sketch) -> Decision:
        """Which rows stay; those that fall name the kept row most like them."""
        arrays = sketch.arrays
        standing = semantic_duplicates(
            arrays["vector"],
            np.asarray(arrays["draw"]),
            threshold=self.threshold,
            share=self.share,
            which_to_keep=self.which_to_keep,
            scores=np.asarray(arrays["score"]),
            allowed=self._allowed(sketch),
        ).standing
        reasons = np.zeros(len(standing.keep), np.uint8)
        return Decision(
            standing.keep, reasons, standing.witness, standing.similarity, ("semantic_duplicate",)
        )

    def _allowed(self, sketch: Sketch) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        scope, numbers = (np.asarray(sketch.arrays[name]) for name in ("scope", "numbers"))
        texts = sketch.texts["wording"]

        def allowed(worse: np.ndarray, better: np.ndarray) -> np.ndarray:
            may = scope[worse] == scope[better]
            if not self.guard:
                return np.asarray(may)
            may &= numbers[worse] == numbers[better]
            sides = zip(worse[may].tolist(), better[may].tolist(), strict=True)
            may[may] = [not difference(texts[left], texts[right]) for left, right in sides]
            return np.asarray(may)

        return allowed


@dataclass(frozen=True)
class D4:
    """:func:`teichaku.curation.d4.d4_rows` over shards."""

    chosen: D4Settings
    rank: Rank = longest
    seed: int = 0

    def sketch(self, examples: Sequence[Example], vectors: np.ndarray | None) -> Sketch:
        """Vectors on the grid."""
        arrays = {
            "vector": _on_grid(vectors),
            "draw": draws([example.id for example in examples], self.seed),
            "score": _scores(examples, self.rank),
        }
        return Sketch(arrays, {})

    def decide(self, sketch: Sketch) -> Decision:
        """Which rows stay; duplicates name their witness, others their cosine to the prototype."""
        arrays = sketch.arrays
        found = d4_rows(
            arrays["vector"],
            np.asarray(arrays["draw"]),
            self.chosen,
            scores=np.asarray(arrays["score"]),
        )
        standing = found.deduplicated.standing
        # What fell as a duplicate may have a witness that falls later, for its prototype.
        witness = np.where(found.keep | standing.keep, -1, standing.witness)
        lost = (witness >= 0) & ~found.keep[np.maximum(witness, 0)]
        witness[lost] = -1
        similarity = np.where(standing.keep, found.prototype_similarity, standing.similarity)
        far = "near_prototype" if self.chosen.drop == "near" else "far_from_prototype"
        return Decision(
            found.keep,
            np.asarray(standing.keep, np.uint8),
            witness,
            np.where(found.keep, np.nan, similarity),
            ("semantic_duplicate", far),
        )


def _on_grid(vectors: np.ndarray | None) -> np.ndarray:
    if vectors is None:
        raise ValueError("rows without vectors")
    return on_grid(vectors)


def _scores(examples: Sequence[Example], rank: Rank) -> np.ndarray:
    """NaN where there is none."""
    found = [rank(example) for example in examples]
    return np.array([_NO_SCORE if score is None else score for score in found], np.float64)


def _scope(example: Example, level: str) -> int:
    """Rows of other scopes are no duplicates: questions and answers are those of a document."""
    document = example.document_id if level in ("question", "answer") else ""
    return int(content_id(level, document), 16)


def _comparable(texts: Sequence[str]) -> list[str]:
    """``comparable`` of all ``texts``."""
    found = []
    for start in range(0, len(texts), _BLOCK):
        codes, counts = comparable_codes(texts[start : start + _BLOCK])
        ends = np.cumsum(counts)
        found += [
            codes[end - count : end].tobytes().decode("utf-32-le", "surrogatepass")
            for end, count in zip(ends.tolist(), counts.tolist(), strict=True)
        ]
    return found


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _as_numbers(digests: Sequence[bytes]) -> np.ndarray:
    """An (n, 2) uint64 array."""
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
