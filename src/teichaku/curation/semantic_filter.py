"""``semantic_duplicates``: the same said in other words, by the vectors of an embedder.

How near is too near depends on the embedder, so either a share to keep is given, and the
threshold is found, or a threshold that was calibrated for that embedder.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from teichaku.core.models import Embedder
from teichaku.core.records import Dropped, Example, content_id
from teichaku.core.run_folder import dropped
from teichaku.curation.clusters import cosines, draws, on_grid
from teichaku.curation.near_duplicates import Rank, longest, wording_at
from teichaku.curation.same_thing import difference, number_key
from teichaku.curation.semantic_duplicates import (
    WhichToKeep,
    closest_of_some,
    lowered_to_share,
    pairs_for_share,
    ranks,
    standing_of,
)
from teichaku.curation.shingles import distinct
from teichaku.curation.similar_pairs import Allowed, RowPairs, clustered, similar_pairs
from teichaku.curation.similarities import Fallen, Similarities
from teichaku.curation.survivors import NEAR, SimilarPair, Witness

#: So many texts are embedded at a time.
_BLOCK = 1024
_NO_SCORE = float("nan")
#: Of the pairs that the guard protects, so many of the most similar are told for each level.
_MOST_PROTECTED = 10_000
_PAIR_BITS = np.uint64(32)


def embedded(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    """The vectors of ``texts`` on the grid, float16, a block at a time: what a worker does with
    its shard. Nothing of a text but its vector is needed afterwards.
    """
    blocks = [
        on_grid(embedder.embed(texts[start : start + _BLOCK]))
        for start in range(0, len(texts), _BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float16)


def unless_told_apart(
    texts: Sequence[str], scopes: Sequence[str] = (), guard: bool = True
) -> Allowed:
    """Which two rows of ``texts`` may be duplicates: those of one scope (none given: all) whose
    numbers and named things are the same, unless ``guard`` is off.
    """
    scope = np.array(scopes or [""] * len(texts))
    numbers = np.array([content_id(*number_key(text)) for text in texts] if guard else [])

    def allowed(worse: np.ndarray, better: np.ndarray) -> np.ndarray:
        may = scope[worse] == scope[better]
        if not guard:
            return np.asarray(may)
        may &= numbers[worse] == numbers[better]
        sides = zip(worse[may].tolist(), better[may].tolist(), strict=True)
        may[may] = [not difference(texts[left], texts[right]) for left, right in sides]
        return np.asarray(may)

    return allowed


@dataclass
class _Protected:
    """``allowed`` for rows of ``texts``, and the pairs of one scope that it bars."""

    vectors: np.ndarray
    texts: Sequence[str]
    allowed: Allowed
    of_scope: Allowed
    _found: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))

    def __call__(self, worse: np.ndarray, better: np.ndarray) -> np.ndarray:
        """What ``allowed`` says."""
        may = self.allowed(worse, better)
        barred = ~may
        barred[barred] = self.of_scope(worse[barred], better[barred])
        if barred.any():
            sides = worse[barred].astype(np.uint64), better[barred].astype(np.uint64)
            packed = (np.minimum(*sides) << _PAIR_BITS) | np.maximum(*sides)
            self._found = distinct(np.concatenate([self._found, packed]))
            if len(self._found) > 2 * _MOST_PROTECTED:
                self._found = self._most_similar()
        return may

    def pairs(self) -> Iterator[tuple[int, int, float, str]]:
        """The two rows, the lower one first, their cosine, and what numbers or names differ."""
        found = self._most_similar()
        left, right = _rows_of(found)
        for one, other, cosine in zip(
            left.tolist(), right.tolist(), cosines(self.vectors, left, right), strict=True
        ):
            differs = difference(self.texts[one], self.texts[other])
            if differs:
                yield one, other, float(cosine), differs

    def _most_similar(self) -> np.ndarray:
        similarity = cosines(self.vectors, *_rows_of(self._found))
        return self._found[np.lexsort((self._found, -similarity))[:_MOST_PROTECTED]]


def _rows_of(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (packed >> _PAIR_BITS).astype(np.int64), packed.astype(np.uint32).astype(np.int64)


@dataclass(frozen=True)
class SemanticDuplicates:
    """The filter. Exactly one of ``threshold`` (least cosine of duplicates) and ``share`` (of the
    examples, to keep) is given. ``level`` says what of an example with a question is compared:
    ``question`` (with its input), ``answer`` or ``pair``; running text is compared with running
    text. Questions and answers are compared within a document, since those of another ask and
    tell of another thing.

    ``embedder`` makes an embedder for the texts that are compared. ``which_to_keep`` as in
    :func:`~teichaku.curation.semantic_duplicates.semantic_duplicates`, ``score`` going by
    ``rank``. With ``guard``, texts whose numbers or named things differ are no duplicates. Pairs
    are known from ``margin`` below a given threshold on, so that it can be moved afterwards.
    """

    embedder: Callable[[Sequence[str]], Embedder]
    threshold: float | None = None
    share: float | None = None
    level: str = "question"
    which_to_keep: WhichToKeep = "score"
    rank: Rank = longest
    guard: bool = True
    seed: int = 0
    margin: float = 0.05

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, in the order of ids, or its place as dropped."""
        given = list(examples)
        yield from self.placed(given, self.fallen(self.compare(given)))

    def compare(self, examples: Iterable[Example]) -> Similarities:
        """The pairs of each level, those that the guard protects among them."""
        by_id = {example.id: example for example in examples}
        whole = Similarities([], {}, {}, {}, {})
        for level in (self.level, "text"):
            chosen = [
                (example, wording)
                for example in map(by_id.__getitem__, sorted(by_id))
                if (wording := wording_at(example, level)) is not None
            ]
            if chosen:
                kept, texts = zip(*chosen, strict=True)
                whole = whole.with_level(self._similarities(kept, texts, level))
        return whole

    def reaches(self, similarities: Similarities) -> bool:
        """Whether these tell who falls by the threshold, or the share."""
        try:
            self.fallen(similarities)
        except ValueError:
            return False
        return True

    def fallen(self, similarities: Similarities) -> Fallen:
        """Who falls. Raises ``ValueError`` for a threshold below the floor of the pairs."""
        witnesses: dict[str, Witness] = {}
        thresholds: dict[str, float] = {}
        for level, order in similarities.order.items():
            rank = np.arange(len(order))
            pairs = _by_place(similarities, level)
            if self.threshold is not None:
                thresholds[level] = self.threshold
            else:
                closest = np.array(similarities.closest[level])
                thresholds[level] = lowered_to_share(pairs.at, closest, rank, self.share or 0.0)[1]
            standing = standing_of(pairs.at(thresholds[level]), rank)
            for row in np.flatnonzero(~standing.keep).tolist():
                kept, similarity = order[standing.witness[row]], float(standing.similarity[row])
                witnesses[order[row]] = Witness(kept, similarity, level, NEAR)
        return Fallen(witnesses, thresholds)

    def at(self, threshold: float, level: str = "") -> "SemanticDuplicates":
        """The same filter with another threshold."""
        return replace(self, threshold=threshold, share=None)

    def alone(self, level: str, threshold: float) -> "SemanticDuplicates":
        """The same: what is compared at one level is not compared at another."""
        return self.at(threshold)

    def placed(self, examples: Iterable[Example], fallen: Fallen) -> Iterator[Example | Dropped]:
        """Every example once, in the order of ids, or its place as dropped."""
        by_id = {example.id: example for example in examples}
        for name in sorted(by_id):
            witness = fallen.witnesses.get(name)
            if witness is None:
                yield by_id[name]
                continue
            evidence = (
                f"{witness.similarity:.3f} like {witness.kept_id} by {witness.level} (threshold "
                f"{fallen.thresholds[witness.level]:.3f}), which stays: "
                f"{wording_at(by_id[witness.kept_id], witness.level)}"
            )
            yield dropped(by_id[name], "curation", "semantic_duplicate", evidence)

    def _similarities(
        self, examples: Sequence[Example], texts: Sequence[str], level: str
    ) -> Similarities:
        vectors = embedded(self.embedder(texts), texts)
        drawn = draws([example.id for example in examples], self.seed)
        members, centroid_similarity = clustered(vectors, drawn, np.arange(len(vectors)))
        scores = [self.rank(example) for example in examples]
        known = np.array([_NO_SCORE if score is None else score for score in scores])
        rank = ranks(self.which_to_keep, drawn, centroid_similarity, known)
        scoped = level in ("question", "answer")
        scopes = [example.document_id if scoped else "" for example in examples]
        of_scope = unless_told_apart(texts, scopes, guard=False)
        told = unless_told_apart(texts, scopes, self.guard)
        allowed = _Protected(vectors, texts, told, of_scope)
        if self.threshold is not None:
            floor = max(-1.0, round(self.threshold - self.margin, 6))
            pairs = similar_pairs(vectors, members, rank, floor, allowed=allowed)
        else:
            share = self.share or 0.0
            pairs, _ = pairs_for_share(vectors, members, rank, share, drawn, allowed=allowed)
        columns = (pairs.worse, pairs.better, pairs.similarity)
        sides = zip(*(column.tolist() for column in columns), strict=True)
        found = [*((*side, "") for side in sides), *allowed.pairs()]
        ids = [example.id for example in examples]
        return Similarities(
            [_pair(ids[one], ids[other], level, *rest) for one, other, *rest in found],
            {level: pairs.floor},
            {level: [ids[row] for row in np.argsort(rank).tolist()]},
            {level: len(ids)},
            {level: closest_of_some(vectors, members, rank, drawn).tolist()},
        )


def _pair(one: str, other: str, level: str, similarity: float, differs: str) -> SimilarPair:
    left, right = sorted((one, other))
    return SimilarPair(left, right, level, NEAR, similarity, differs)


def _by_place(similarities: Similarities, level: str) -> RowPairs:
    """The pairs of a level with the places in its order for rows."""
    place = {name: number for number, name in enumerate(similarities.order[level])}
    pairs = [pair for pair in similarities.pairs if pair.level == level and not pair.differs]
    left = np.array([place[pair.left_id] for pair in pairs], np.int64)
    right = np.array([place[pair.right_id] for pair in pairs], np.int64)
    similarity = np.array([pair.similarity for pair in pairs], np.float32)
    worse, better = np.maximum(left, right), np.minimum(left, right)
    return RowPairs(worse, better, similarity, similarities.floors[level])
