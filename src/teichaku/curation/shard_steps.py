"""Fan-in steps over shards: exact, near semantic duplicates and D4, each as a sketch of a
shard and a decision over the sketches of all (:class:`teichaku.curation.shards.FanIn`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from teichaku.core.records import Example
from teichaku.curation.clusters import draws, on_grid
from teichaku.curation.d4 import D4Settings, d4_rows
from teichaku.curation.duplicates import answer_key, wording_key
from teichaku.curation.near_duplicates import (
    FLOOR,
    LevelTexts,
    Rank,
    longest,
    numbers_of,
    scope_of,
    wording_at,
)
from teichaku.curation.semantic_duplicates import WhichToKeep, semantic_duplicates
from teichaku.curation.semantic_filter import allowed_by
from teichaku.curation.shards import Decision, Sketch, Texts
from teichaku.curation.sketches import sketch
from teichaku.curation.survivors import PlacedPairs, settled

_NO_SCORE = float("nan")


@dataclass(frozen=True)
class ExactDuplicates:
    """:func:`teichaku.curation.duplicates.drop_duplicates` for more rows than fit into memory:
    the same rows stay, and the same fall for the same reasons.
    """

    rank: Rank = longest

    def sketch(self, examples: Sequence[Example], vectors: np.ndarray | None) -> Sketch:
        """A hash of what makes two rows the same, one of the answer alone, and the score."""
        said = [answer_key(example) for example in examples]
        asked = [
            # Of a text that is the same, and takes long.
            _digest(example.document_id, key if example.is_text else wording_key(example))
            for example, key in zip(examples, said, strict=True)
        ]
        answers = [_digest(key) for key in said]
        return Sketch(
            {
                "key": _as_numbers(asked),
                "answer": _as_numbers(answers)[:, 0],
                "score": _scores(examples, self.rank),
            },
            {"order": Texts.of([f"{e.passage_id}\0{e.id}" for e in examples])},
        )

    def decide(self, sketch: Sketch) -> Decision:
        """Of the rows with one key the best scored stays; of equals the first by passage and id."""
        keys, answers = sketch.arrays["key"], sketch.arrays["answer"]
        # Without a score, behind all others.
        behind = np.nan_to_num(-np.asarray(sketch.arrays["score"]), nan=np.inf)
        orders = sketch.texts["order"]
        rows = len(keys)
        keep, witness = np.ones(rows, bool), np.full(rows, -1, np.int64)
        sorted_rows = np.lexsort((keys[:, 1], keys[:, 0]))
        same = (keys[sorted_rows][1:] == keys[sorted_rows][:-1]).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            group = sorted_rows[start : end + 1].tolist()
            best = min(group, key=lambda row: (behind[row], orders[row], row))
            keep[group], witness[group] = False, best
            keep[best], witness[best] = True, -1
        differs = answers != answers[np.maximum(witness, 0)]
        similarity = np.where(keep | differs, np.nan, 1.0)
        return Decision(
            keep, differs.astype(np.uint8), witness, similarity, ("duplicate", "duplicate_question")
        )


@dataclass(frozen=True)
class NearDuplicates:
    """:class:`teichaku.curation.near_duplicates.NearDuplicates` for more rows than fit into
    memory; the settings are the same. 282 bytes a row and level, 555 for texts just above
    the limit of the short ones, and the texts that are compared.
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
            chosen = [e for e, text in zip(examples, wordings, strict=True) if text is not None]
            compared = [text for text in wordings if text is not None]
            arrays |= {
                f"{level}.compared": np.array([text is not None for text in wordings], bool),
                f"{level}.sketch": sketch(compared, min(self.floor, threshold)),
                f"{level}.scope": np.array([scope_of(e, level) for e in chosen], np.uint64),
            }
            texts[f"{level}.wording"] = Texts.of(compared)
        return Sketch(arrays, texts)

    def decide(self, sketch: Sketch) -> Decision:
        """Which rows stay, greedily from the best on."""
        rows = _best_first(sketch)
        places = np.empty(len(rows), np.int64)
        places[rows] = np.arange(len(rows))
        levels = {level: self._texts(sketch, level, places) for level in self.thresholds}

        def compare(standing: np.ndarray) -> tuple[dict[str, PlacedPairs], bool]:
            found = {level: texts.among(standing) for level, texts in levels.items()}
            pairs = {level: new.placed(levels[level].places) for level, new in found.items()}
            return pairs, any(new.is_bounded for new in found.values())

        found = settled(len(rows), compare, self.thresholds, self.guard)
        witness = np.where(found.keep, -1, rows[found.witness])
        reason = (~found.keep & ~found.is_exact).astype(np.uint8)
        return Decision(
            found.keep[places],
            reason[places],
            witness[places],
            found.similarity[places],
            ("duplicate", "near_duplicate"),
        )

    def _texts(self, sketch: Sketch, level: str, places: np.ndarray) -> LevelTexts:
        return LevelTexts(
            sketch.arrays[f"{level}.sketch"],
            sketch.texts[f"{level}.wording"],
            places[np.asarray(sketch.arrays[f"{level}.compared"])],
            np.asarray(sketch.arrays[f"{level}.scope"]),
            min(self.floor, self.thresholds[level]),
            self.guard,
            tell=False,
        )


def _best_first(sketch: Sketch) -> np.ndarray:
    """The rows, the best scored first, those without a score last; ties by id."""
    score, ids = sketch.arrays["score"], sketch.texts["id"].read(range(len(sketch.texts["id"])))
    # One long id would make an array of strings as wide for every row.
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    score = score[by_id]
    return np.asarray(by_id[np.lexsort((-score, np.isnan(score)))])


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
        scopes = [scope_of(e, "text" if e.is_text else self.level) for e in examples]
        guarded = wordings if self.guard else []
        numbers = [numbers_of(text) for text in guarded]
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
            allowed=allowed_by(
                np.asarray(arrays["scope"]),
                np.asarray(arrays["numbers"]),
                sketch.texts["wording"],
                self.guard,
            ),
        ).standing
        reasons = np.zeros(len(standing.keep), np.uint8)
        return Decision(
            standing.keep, reasons, standing.witness, standing.similarity, ("semantic_duplicate",)
        )


@dataclass(frozen=True)
class D4:
    """:func:`teichaku.curation.d4.d4` for more rows than fit into memory, by vectors that the
    rows came with: the same rows stay, and the same fall for the same reasons.
    """

    chosen: D4Settings
    rank: Rank = longest
    seed: int = 0

    def sketch(self, examples: Sequence[Example], vectors: np.ndarray | None) -> Sketch:
        """Vectors on the grid, and what bars a pair."""
        wordings = [example.whole for example in examples]
        arrays = {
            "vector": _on_grid(vectors),
            "draw": draws([example.id for example in examples], self.seed),
            "score": _scores(examples, self.rank),
            "numbers": np.array([numbers_of(text) for text in wordings], np.uint64),
        }
        return Sketch(arrays, {"wording": Texts.of(wordings)})

    def decide(self, sketch: Sketch) -> Decision:
        """Which rows stay; duplicates name their witness, others their cosine to the prototype."""
        arrays = sketch.arrays
        numbers = np.asarray(arrays["numbers"])
        found = d4_rows(
            arrays["vector"],
            np.asarray(arrays["draw"]),
            self.chosen,
            scores=np.asarray(arrays["score"]),
            allowed=allowed_by(np.zeros_like(numbers), numbers, sketch.texts["wording"], True),
        )
        standing = found.deduplicated.standing
        witness = np.where(standing.keep, -1, standing.witness)
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


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _as_numbers(digests: Sequence[bytes]) -> np.ndarray:
    """An (n, 2) uint64 array."""
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)
