"""``semantic_duplicates``: the same said in other words, by the vectors of an embedder.

How near is too near depends on the embedder, so either a share to keep is given, and the
threshold is found, or a threshold that was calibrated for that embedder.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from teichaku.core.models import Embedder
from teichaku.core.records import Dropped, Example, content_id
from teichaku.core.run_folder import dropped
from teichaku.curation.clusters import draws, on_grid
from teichaku.curation.near_duplicates import Rank, longest, wording_at
from teichaku.curation.same_thing import difference, number_key
from teichaku.curation.semantic_duplicates import (
    Deduplicated,
    WhichToKeep,
    semantic_duplicates,
)
from teichaku.curation.similar_pairs import Allowed
from teichaku.curation.survivors import NEAR, SimilarPair

#: So many texts are embedded at a time.
_BLOCK = 1024
_NO_SCORE = float("nan")


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


@dataclass(frozen=True)
class SemanticDuplicates:
    """The filter. Exactly one of ``threshold`` (least cosine of duplicates) and ``share`` (of the
    examples, to keep) is given. ``level`` says what of an example with a question is compared:
    ``question`` (with its input), ``answer`` or ``pair``; running text is compared with running
    text. Questions and answers are compared within a document, since those of another ask and
    tell of another thing.

    ``embedder`` makes an embedder for the texts that are compared. ``which_to_keep`` as in
    :func:`semantic_duplicates`, ``score`` going by ``rank``. With ``guard``, texts whose numbers
    or named things differ are no duplicates. ``note`` is given each pair that was found, from
    ``margin`` below a given threshold on, so that it can be moved afterwards.
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
    note: Callable[[SimilarPair], None] = field(default=lambda pair: None)

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, in the order of ids, or its place as dropped."""
        by_id = {example.id: example for example in examples}
        found: dict[str, Example | Dropped] = {name: by_id[name] for name in sorted(by_id)}
        for level in (self.level, "text"):
            chosen = [
                (example, wording)
                for example in map(by_id.__getitem__, sorted(by_id))
                if (wording := wording_at(example, level)) is not None
            ]
            if chosen:
                kept, texts = zip(*chosen, strict=True)
                found |= {record.record_id: record for record in self._fallen(kept, texts, level)}
        yield from found.values()

    def _fallen(
        self, examples: Sequence[Example], texts: Sequence[str], level: str
    ) -> Iterator[Dropped]:
        vectors = embedded(self.embedder(texts), texts)
        scores = [self.rank(example) for example in examples]
        scoped = level in ("question", "answer")
        scopes = [example.document_id if scoped else "" for example in examples]
        found = semantic_duplicates(
            vectors,
            draws([example.id for example in examples], self.seed),
            threshold=self.threshold,
            share=self.share,
            which_to_keep=self.which_to_keep,
            scores=np.array([_NO_SCORE if score is None else score for score in scores]),
            allowed=unless_told_apart(texts, scopes, self.guard),
            floor=None if self.threshold is None else max(-1.0, self.threshold - self.margin),
        )
        self._tell(found, examples, level)
        standing = found.standing
        for row in np.flatnonzero(~standing.keep).tolist():
            kept = int(standing.witness[row])
            evidence = (
                f"{standing.similarity[row]:.3f} like {examples[kept].id} by {level} (threshold "
                f"{found.threshold:.3f}), which stays: {texts[kept]}"
            )
            yield dropped(examples[row], "curation", "semantic_duplicate", evidence)

    def _tell(self, found: Deduplicated, examples: Sequence[Example], level: str) -> None:
        pairs = found.pairs
        for worse, better, similarity in zip(
            pairs.worse.tolist(), pairs.better.tolist(), pairs.similarity.tolist(), strict=True
        ):
            left, right = sorted((examples[worse].id, examples[better].id))
            self.note(SimilarPair(left, right, level, NEAR, similarity))
