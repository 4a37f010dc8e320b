"""``magpie_screen``: instructions sorted out as Magpie does (Xu et al. 2024, sections 2.2 and
3), with the seeds that people wrote as the measure (the future work of S2, ATHEUS-instructions).

A judge gives each instruction its difficulty and its quality, five levels each, and instruction
and answer together a score from 1 to 10, with the nearest of the seeds in sight. What stays is
of the wanted difficulties and qualities, scores enough, does not end in a colon (section 3 drops
instructions for that), and is not nearly the same as a better one.

Magpie's filter is all there is of Magpie here: instructions are not drawn from an empty turn of
the user. And it differs: the judge, mostly the teacher itself, scores in place of a reward model
(FsfairX, over -10); there is no Llama-Guard and no tag of task or language; an answer that ends
in a colon falls, too; of instructions closer than 0.05 the best scored stays, not the one of the
smallest number, and two that speak of other numbers or names are no duplicates; the distance is
one minus the cosine of character n-grams (Magpie: all-mpnet, an English embedder), and only code
can hand in an embedder, for no key of a recipe does; nothing is chosen for its length.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel, Embedder
from teichaku.core.prompts import Prompt
from teichaku.core.records import SEED, Dropped, Example, Reply, Request, Sampling
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.run_folder import dropped
from teichaku.curation.ngram_vectors import NgramVectors
from teichaku.curation.semantic_filter import unless_told_apart
from teichaku.curation.similar_pairs import Allowed

Difficulty = Literal["very easy", "easy", "medium", "hard", "very hard"]
Quality = Literal["very poor", "poor", "average", "good", "excellent"]
DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
QUALITIES: tuple[Quality, ...] = get_args(Quality)
#: Rows are compared so many at a time, with so many columns.
_BLOCK, _COLUMNS = 1024, 8192
_DECIMALS = 6
#: So many neighbours of a row are asked about at a time.
_ASKED_AT_ONCE = 32
#: Cosines in single precision that differ by less may be the same.
_SAME = 2e-6
_COLONS = (":", "：")


@dataclass(frozen=True, slots=True)
class Screening:
    """What the judge and the neighbours say of one example.

    ``difficulty`` and ``quality`` are empty and ``score`` null where judging failed.
    ``reference_ids`` are the seeds that the judge saw. ``distance`` is that to the nearest seed
    or example that stays, scores better and may be a duplicate, ``neighbour_id``; null where there
    is none, or where the example fell before.
    """

    example_id: str
    judge: str
    difficulty: str
    quality: str
    score: float | None
    explanation: str
    reference_ids: tuple[str, ...]
    distance: float | None = None
    neighbour_id: str = ""
    error: str = ""
    raw: str = ""
    request_key: str = ""


@dataclass(frozen=True)
class MagpieScreen:
    """The filter. Of the ``difficulties`` and ``qualities`` an instruction has to be of one each;
    ``threshold`` is the least score, ``min_distance`` the least distance to a better one that
    stays; ``references`` seeds are shown to the judge.

    ``note`` is given the :class:`Screening` of each example. ``again`` asks once more where the
    judge's reply cannot be read; what it does not score then is dropped, never scored by
    default. Without ``embedder`` character n-grams are compared, weighted by how many seeds have
    them, so that one more example changes neither a request nor a distance; without seeds by how
    many examples have them.
    """

    judge: ChatModel
    prompt: Prompt
    seeds: Sequence[Example] = ()
    threshold: float = 7.0
    qualities: tuple[str, ...] = ("good", "excellent")
    difficulties: tuple[str, ...] = DIFFICULTIES
    references: int = 3
    min_distance: float = 0.05
    embedder: Embedder | None = None
    again: Prompt | None = None
    sampling: Sampling = Sampling(max_tokens=384)
    note: Callable[[Screening], None] = lambda screening: None

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, or its place as dropped; the written ones of people pass."""
        everyone = sorted(examples, key=lambda example: example.id)
        by_people = [example for example in everyone if example.method == SEED]
        asked = [example for example in everyone if example.method != SEED]
        by_id = {seed.id: seed for seed in (*self.seeds, *by_people)}
        people = [by_id[name] for name in sorted(by_id)]
        vectors = self._vectors([*people, *asked])
        screened: list[tuple[Example, Screening]] = []
        requests = self._requests(asked, self._nearest_seeds(people, vectors))
        stream: Iterator[_Marked] = ask(self.judge, requests, self._read, self._lost, self.again)
        for example, screening in stream:
            fault = self._fault(example, screening)
            if fault is None:
                screened.append((example, screening))
            else:
                self.note(screening)
                yield dropped(example, "curation", *fault, screening.raw)
        yield from by_people
        screened.sort(key=lambda pair: (-(pair[1].score or 0.0), pair[0].id))
        rows = {example.id: len(people) + place for place, example in enumerate(asked)}
        order = [*range(len(people)), *(rows[example.id] for example, _ in screened)]
        yield from self._apart(people, screened, vectors[order])

    def _vectors(self, examples: Sequence[Example]) -> np.ndarray:
        """A row of unit length for each example."""
        texts = [example.asked for example in examples]
        embedder = self.embedder or NgramVectors([seed.asked for seed in self.seeds] or texts)
        return embedder.embed(texts)

    def _requests(
        self, examples: Sequence[Example], references: Iterable[list[Example]]
    ) -> Iterator[Request]:
        """One request an example; its seeds, which it shares with its like, come before it."""
        for example, nearest in zip(examples, references, strict=True):
            messages = self.prompt.messages(
                references=[
                    {"instruction": s.question, "input": s.input, "output": s.answer}
                    for s in nearest
                ],
                instruction=example.question,
                input=example.input,
                output=example.answer,
            )
            subject = _Screened(example, tuple(seed.id for seed in nearest))
            yield Request(messages, self.sampling, _SCHEMA, 0, self.prompt.name, subject)

    def _nearest_seeds(
        self, people: Sequence[Example], vectors: np.ndarray
    ) -> Iterator[list[Example]]:
        """The seeds nearest to each row of ``vectors`` behind those of ``people``, the nearest
        last, next to what is judged.
        """
        own = {seed.id for seed in self.seeds}
        known = [row for row, example in enumerate(people) if example.id in own]
        seeds, measure = [people[row] for row in known], vectors[known]
        for start in range(len(people), len(vectors), _BLOCK):
            far = _distances(vectors[start : start + _BLOCK], measure)
            order = np.argsort(far, axis=1, kind="stable")[:, : self.references]
            yield from ([seeds[place] for place in reversed(row)] for row in order.tolist())

    def _read(self, reply: Reply) -> Iterator["_Marked"]:
        found = last_json_object(reply.text, ("difficulty", "quality", "score"))
        if found is None:
            raise UnusableReplyError("no difficulty, quality and score in the reply.")
        difficulty, quality = (
            text_value(found[name]).lower().replace("_", " ") for name in ("difficulty", "quality")
        )
        if difficulty not in DIFFICULTIES or quality not in QUALITIES:
            raise UnusableReplyError(
                "difficulty is one of {difficulties}, quality one of {qualities}.",
                difficulties=", ".join(DIFFICULTIES),
                qualities=", ".join(QUALITIES),
            )
        screening = replace(
            self._empty(reply),
            difficulty=difficulty,
            quality=quality,
            score=_score(found),
            explanation=text_value(found.get("explanation")),
        )
        yield reply.request.subject.example, screening

    def _lost(self, reply: Reply, reason: str, evidence: str) -> "_Marked":
        screening = replace(self._empty(reply), error=f"{reason}: {evidence}")
        return reply.request.subject.example, screening

    def _empty(self, reply: Reply) -> Screening:
        subject: _Screened = reply.request.subject
        return Screening(
            subject.example.id, self.judge.identity, "", "", None, "", subject.references,
            raw=reply.text, request_key=reply.key,
        )  # fmt: skip

    def _fault(self, example: Example, screening: Screening) -> tuple[str, str] | None:
        """(reason, evidence) if the example falls for itself."""
        if screening.score is None:
            failed = screening.error.startswith("request_failed")
            return ("request_failed" if failed else "judge_failed"), screening.error
        if screening.quality not in self.qualities:
            return "low_quality", f"{screening.quality}: {screening.explanation}"
        if screening.score < self.threshold:
            return "low_score", f"{screening.score:g} of 10: {screening.explanation}"
        if screening.difficulty not in self.difficulties:
            return "other_difficulty", f"{screening.difficulty}: {screening.explanation}"
        if example.asked.rstrip().endswith(_COLONS):
            return "unfinished_instruction", f"it ends in a colon: {example.asked[-40:]}"
        if example.answer.rstrip().endswith(_COLONS):
            return "unfinished_answer", f"it ends in a colon: {example.answer[-40:]}"
        return None

    def _apart(
        self,
        people: Sequence[Example],
        screened: Sequence[tuple[Example, Screening]],
        vectors: np.ndarray,
    ) -> Iterator[Example | Dropped]:
        """The best scored of each group of neighbours; what people wrote goes before it."""
        everyone = [*people, *(example for example, _ in screened)]
        allowed = unless_told_apart([example.asked for example in everyone])
        nearest = nearest_kept(vectors, self.min_distance, len(people), allowed)
        for (example, screening), (distance, place) in zip(
            screened, nearest[len(people) :], strict=True
        ):
            neighbour = everyone[place] if place >= 0 else None
            self.note(
                replace(
                    screening,
                    distance=distance,
                    neighbour_id=neighbour.id if neighbour else "",
                )
            )
            if distance is None or neighbour is None or distance >= self.min_distance:
                yield example
            else:
                evidence = f"{distance:.3f} from {neighbour.id}, which stays: {neighbour.asked}"
                yield dropped(example, "curation", "near_duplicate", evidence)


def nearest_kept(
    vectors: np.ndarray, min_distance: float, always: int = 0, allowed: Allowed | None = None
) -> list[tuple[float | None, int]]:
    """For each row of ``vectors``, best first, the cosine distance to the nearest row before it
    that stays, and which that is; (None, -1) where there is none.

    A row stays unless it is closer than ``min_distance`` to one that does; the first ``always``
    rows stay in any case. Two rows that are as close but may not be duplicates (``allowed``) pass
    each other by.
    """
    found: list[tuple[float | None, int]] = []
    kept, count = np.empty(len(vectors), np.int64), 0
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        before, here = _nearest(block, vectors, kept[:count]), count
        inside = _distances(block, block)
        for row, (distance, place) in enumerate(before, start):
            beside = kept[here:count] - start
            if len(beside):
                best = int(inside[row - start, beside].argmin())
                closest = float(inside[row - start, beside[best]])
                if distance is None or closest < distance:
                    distance, place = closest, start + int(beside[best])
            if allowed and distance is not None and distance < min_distance:
                distance, place = _nearest_allowed(
                    vectors, row, kept[:count], min_distance, allowed
                )
            found.append((distance, place))
            if row < always or distance is None or distance >= min_distance:
                kept[count] = row
                count += 1
    return found


def _nearest_allowed(
    vectors: np.ndarray, row: int, kept: np.ndarray, min_distance: float, allowed: Allowed
) -> tuple[float | None, int]:
    """The distance from ``row`` to the nearest of the rows ``kept`` that is ``min_distance`` away
    or may be its duplicate, and which that is.
    """
    # Rows before this one, of which some are kept: a slice is no copy.
    about = 1 - (vectors[:row] @ vectors[row])[kept]
    close = np.flatnonzero(about < min_distance + _SAME)
    distances = about.astype(np.float64)
    distances[close] = _distances(vectors[row : row + 1], vectors[kept[close]])[0]
    order = np.argsort(distances, kind="stable")
    near = int((distances < min_distance).sum())

    def exact(place: int) -> tuple[float, int]:
        other = int(kept[place])
        return float(_distances(vectors[row : row + 1], vectors[other : other + 1])[0, 0]), other

    # By text is dear, and of many neighbours the first ones mostly decide.
    for first in range(0, near, _ASKED_AT_ONCE):
        some = order[first : min(first + _ASKED_AT_ONCE, near)]
        may = allowed(np.full(len(some), row), kept[some])
        if may.any():
            return exact(some[may.argmax()])
    return exact(order[near]) if near < len(order) else (None, -1)


def _nearest(
    block: np.ndarray, vectors: np.ndarray, kept: np.ndarray
) -> list[tuple[float | None, int]]:
    """For each row of ``block`` the distance to the nearest of the rows ``kept`` of ``vectors``,
    and which that is; of several as near the first.
    """
    closest = np.full(len(block), np.inf)
    which = np.full(len(block), -1)
    for start in range(0, len(kept), _COLUMNS):
        columns = kept[start : start + _COLUMNS]
        cosines = block @ vectors[columns].T
        rows, places = np.nonzero(cosines >= cosines.max(axis=1, keepdims=True) - _SAME)
        # Of a crowd of equal rows the first ones tell.
        are_first = np.arange(len(rows)) - np.searchsorted(rows, rows) < _ASKED_AT_ONCE
        rows, places = rows[are_first], places[are_first]
        distances = _paired_distances(block, rows, vectors, columns[places])
        # The nearest of each row, and the first of several.
        order = np.lexsort((places, distances, rows))
        _, firsts = np.unique(rows[order], return_index=True)
        best = order[firsts]
        is_closer = distances[best] < closest
        closest[is_closer] = distances[best][is_closer]
        which[is_closer] = columns[places[best]][is_closer]
    return [
        (None, -1) if place < 0 else (distance, place)
        for distance, place in zip(closest.tolist(), which.tolist(), strict=True)
    ]


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine distances of all rows of ``first`` to all of ``second``, in double precision and
    rounded, so that they are the same on every machine and in blocks of every size.
    """
    cosines = first.astype(np.float64) @ second.astype(np.float64).T
    return np.asarray(np.round(1 - cosines, _DECIMALS) + 0.0)  # no -0.0


def _paired_distances(
    first: np.ndarray, rows: np.ndarray, second: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """The same of each of ``rows`` of ``first`` to that of ``others`` of ``second`` beside it."""
    cosines = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        some = slice(start, start + _BLOCK)
        one, other = first[rows[some]], second[others[some]]
        cosines[some] = np.einsum("ij,ij->i", one, other, dtype=np.float64)
    return np.asarray(np.round(1 - cosines, _DECIMALS) + 0.0)  # no -0.0


@dataclass(frozen=True)
class _Screened:
    """What a request is about, and the seeds that it shows."""

    example: Example
    references: tuple[str, ...]


_Marked = tuple[Example, Screening]


def _score(found: Mapping[str, Any]) -> float:
    """The score in a reply. Raises :class:`UnusableReplyError` where it is none from 1 to 10."""
    try:
        score = float(text_value(found["score"]))
    except ValueError as error:
        raise UnusableReplyError("the score is no number.") from error
    if isinstance(found["score"], bool) or not 1 <= score <= 10:
        raise UnusableReplyError("the score is {score:g}, not from 1 to 10.", score=score)
    return score


_SCHEMA = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "difficulty": {"type": "string", "enum": list(DIFFICULTIES)},
        "quality": {"type": "string", "enum": list(QUALITIES)},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
    },
    "required": ["explanation", "difficulty", "quality", "score"],
}
