"""The stage that finds passages for the questions, as the condition retrieval shows them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from teichaku.core.locale import translate
from teichaku.core.models import Embedder
from teichaku.core.records import Question, Retrieved
from teichaku.core.run_folder import StageFolder, json_bytes, write_aside
from teichaku.evaluation.retrieval import (
    Embedders,
    PassageIndex,
    retrieval_quality,
    retrieve,
)
from teichaku.recipes import counts
from teichaku.recipes.embedder_identity import embedder_identity
from teichaku.recipes.study import Outcome, Study

#: So many passages are recorded for a question, or as many as are to be shown.
_DEPTH = 20
_CUTOFFS = (1, 3, 5, 10)
#: Texts that are embedded before the progress moves; servers take several batches of them at once.
_TEXTS_AT_ONCE = 2048


def find_passages(study: Study, folder: StageFolder) -> Outcome:
    """The passages for every question of the run, and how well they were found."""
    questions = study.questions
    by_meaning = study.recipe.retrieves_by_meaning
    texts = len(questions) + (len(study.passages) if by_meaning else 0)
    both, one = translate("by characters and by meaning"), translate("by characters")
    told = counts.passages(len(study.passages)) + translate(", ") + (both if by_meaning else one)
    study.progress.begin("retrieval", texts, told, counts.texts)
    rows = retrieve_for(study, questions, study.progress.advance)
    rows.sort(key=lambda row: (row.question_id, row.rank))
    folder.write("retrieved", Retrieved, rows)
    config = study.recipe.evaluation.retrieval
    quality = {
        "searches": ["characters", "meaning"] if by_meaning else ["characters"],
        "passages": len(study.passages),
        "to_show": config.passages,
        "room": _room(study),
        "kinds": _quality(rows, questions, config.passages),
    }
    write_aside(folder.path / "quality.json", json_bytes(quality))
    found = retrieval_quality(rows, questions)
    notes = {"passages": len(study.passages), "cut": found.cut, "without": found.without}
    return Outcome(len(questions), len(questions), {}, notes)


def retrieve_for(
    study: Study, questions: Sequence[Question], tell: Callable[[int], None] = lambda texts: None
) -> list[Retrieved]:
    """What the study's retrieval finds for ``questions``, which need no passage of their own.
    ``tell`` hears of texts that are done.
    """
    config, embedders = study.recipe.evaluation.retrieval, None
    if study.recipe.retrieves_by_meaning:
        embedder, workshop = study.recipe.embedder, study.workshop
        embedders = Embedders(
            _Told(workshop.embedder(embedder, ()), tell),
            _Told(workshop.embedder(embedder, (), config.question_prefix), tell),
        )
    index = PassageIndex(study.passages.values(), embedders)
    if embedders is None:
        tell(len(questions))
    depth = max(_DEPTH, config.passages)
    return retrieve(index, questions, config.passages, _room(study), depth)


def _room(study: Study) -> int:
    documents = study.recipe.documents
    if documents is None:
        raise AssertionError("a recipe that retrieves")
    return study.recipe.evaluation.retrieval.room(documents.passage_characters)


def read_retrieved(study: Study) -> list[Retrieved]:
    """What the stage ``retrieval`` found; nothing where the recipe does not ask for it."""
    if not study.recipe.retrieves:
        return []
    return list(study.run.stage("retrieval").read("retrieved", Retrieved))


def retrieval_fingerprint(study: Study) -> dict[str, Any]:
    """What the passages that are found depend on, beside questions and passages. Of an embedder
    that is which one it is, not how it is asked: a longer timeout searches nothing anew.
    """
    recipe = study.recipe
    config = recipe.evaluation.retrieval
    found: dict[str, Any] = {"retrieval": {"passages": config.passages, "room": _room(study)}}
    if recipe.retrieves_by_meaning:
        prefixes = {"passages": None, "questions": config.question_prefix}
        found["embedder"] = {
            of: embedder_identity(recipe.embedder, prefix) for of, prefix in prefixes.items()
        }
    return found


def _quality(
    rows: Sequence[Retrieved], questions: Sequence[Question], shown: int
) -> dict[str, dict[str, Any]]:
    """The quality by kind of question; ``all`` joins them."""
    cutoffs = sorted({*_CUTOFFS, shown})
    kinds: dict[str, Sequence[Question]] = {
        kind: [question for question in questions if question.kind == kind]
        for kind in sorted({question.kind for question in questions})
    }
    asked = {**kinds, "all": questions}
    return {
        kind: {
            **asdict(retrieval_quality(rows, some, cutoffs)),
            "documents": len({question.document_id for question in some}),
        }
        for kind, some in asked.items()
    }


class _Told:
    """An embedder that tells how many texts are done."""

    def __init__(self, embedder: Embedder, tell: Callable[[int], None]) -> None:
        self._embedder = embedder
        self._tell = tell

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The embedder's vectors."""
        parts = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            block = texts[start : start + _TEXTS_AT_ONCE]
            parts.append(self._embedder.embed(block))
            self._tell(len(block))
        return np.concatenate(parts) if parts else self._embedder.embed(texts)
