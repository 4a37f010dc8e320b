"""Questions that are made apart from the examples of every arm."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from teichaku.core.records import Document, Dropped, Example, Fact, Passage, Question, content_id
from teichaku.core.run_folder import dropped
from teichaku.core.text import comparable, contains, normalise
from teichaku.curation.chain import Filter, curate
from teichaku.evaluation.questions import independent_questions
from teichaku.evaluation.wording import WordingIndex
from teichaku.recipes.rows import read_rows, refuse, texts_of
from teichaku.recipes.study import Study, separate
from teichaku.synthesis.document_qa import DocumentQA
from teichaku.synthesis.method import synthesize

#: What a column or key of a file of questions may be called; the first that is filled counts.
_NAMES: dict[str, tuple[str, ...]] = {
    "document": ("document", "title", "source", "文書", "文書名", "題名"),
    "question": ("question", "質問", "問題"),
    "answer": ("answer", "reference", "答え", "回答", "正解"),
    "category": ("category", "kind", "分類", "種類"),
}
_NEEDED = ("document", "question", "answer")


def make_independent(
    study: Study, training_text: WordingIndex, filters: list[Filter]
) -> Iterator[Question | Dropped]:
    """The questions of the recipe's file, or else questions that the teacher writes from the
    passages for this alone, curated as the examples are.
    """
    config = study.recipe.questions
    if config.file is not None:
        yield from given_questions(study, study.root / config.file)
        return
    method = independent_method(study)
    sound, fallen = write_apart(study, "questions/independent", method, filters)
    yield from fallen
    yield from independent_questions(
        sound, config.per_document, study.recipe.seed, training_text, study.passages
    )


def write_apart(
    study: Study, stage: str, method: DocumentQA, filters: list[Filter]
) -> tuple[list[Example], list[Dropped]]:
    """What the teacher writes from the passages by ``method`` and passes ``filters``, and what
    falls. ``stage`` is what the progress calls it.
    """
    passages, teacher = list(study.passages.values()), study.workshop.teacher
    requests = (request for passage in passages for request in method.requests(passage))
    study.progress.begin(stage, *study.workshop.estimate(teacher, requests))
    again = study.prompts.load("ask_again")
    made = synthesize(passages, [method], teacher, again, study.progress.expect_more)
    written, fallen = separate(record for record in made if not isinstance(record, Fact))
    sound, unsound = separate(curate(written, filters))
    return sound, [*fallen, *unsound]


def independent_method(study: Study) -> DocumentQA:
    """What writes the questions: pairs of the passage, by other seeds than those of any arm."""
    recipe = study.recipe
    seed = int(content_id(recipe.seed, "independent questions"), 16) % 2**31
    prompt = study.prompts.load("document_qa")
    return DocumentQA(prompt, recipe.language, seed, recipe.questions.per_document)


def check_given_questions(study: Study) -> None:
    """Find the document of every question in the recipe's file, once the documents are read: a
    name that fits none, or several, would else be told after the examples were paid for.

    Raises ``UserError`` with all mistakes and their lines.
    """
    config = study.recipe.questions
    if config.file is not None and study.recipe.student is not None:
        _find_documents(study, study.root / config.file)


def given_questions(study: Study, path: Path) -> Iterator[Question | Dropped]:
    """The questions in the user's file, each with the passage that holds its answer (the first
    of its document where none does); dropped those about documents over the recipe's limit.

    Raises ``UserError`` with all mistakes, as where a row names no document.
    """
    passages: dict[str, list[Passage]] = {}
    for passage in sorted(study.passages.values(), key=lambda passage: passage.index):
        passages.setdefault(passage.document_id, []).append(passage)
    for given, document in _find_documents(study, path):
        if not document.over_limit:
            yield _as_question(given, document.id, passages[document.id])
            continue
        question = _as_question(given, document.id, [])
        yield dropped(question, "questions", "over_limit", document.over_limit)


@dataclass(frozen=True)
class GivenQuestion:
    """A question as the user's file has it; ``place`` is for people."""

    place: str
    document: str
    question: str
    answer: str
    category: str


def read_questions(path: Path) -> list[GivenQuestion]:
    """The questions in the JSONL, JSON, YAML, CSV or TSV file at ``path``.

    Raises ``UserError`` where it cannot be read or has none, and with all mistakes and their
    lines where rows lack a part or ask what another one asks.
    """
    found: list[GivenQuestion] = []
    mistakes: list[str] = []
    rows = list(read_rows(path))
    for row in rows:
        texts = texts_of(row, _NAMES, _NEEDED)
        if isinstance(texts, str):
            mistakes.append(f"{row.place}: {texts}")
        else:
            found.append(GivenQuestion(row.place, **texts))
    mistakes += _asked_twice((comparable(given.document), given) for given in found)
    if not rows:
        mistakes = ["it has no questions"]
    named = "; ".join(f"{part}: {', '.join(_NAMES[part])}" for part in _NEEDED)
    refuse(path, "questions", mistakes, f"Each question has these, by one of their names: {named}.")
    return found


def _asked_twice(questions: Iterable[tuple[str, GivenQuestion]]) -> list[str]:
    """The questions that are asked of the same document twice: they would count twice, and of
    two answers one would count as wrong whatever a model says.
    """
    places: dict[tuple[str, str], str] = {}
    mistakes = []
    for document, given in questions:
        key = (document, comparable(given.question))
        if key in places:
            mistakes.append(f"{given.place}: the same question as {places[key]}")
        places.setdefault(key, given.place)
    return mistakes


@dataclass(frozen=True)
class _Named:
    """A document and what it may be called. ``over_limit`` is the evidence of its fall where the
    recipe's limit left it out.
    """

    id: str
    source: str
    title: str
    over_limit: str = ""


def _find_documents(study: Study, path: Path) -> list[tuple[GivenQuestion, _Named]]:
    """The questions in the file, each with its document. Raises ``UserError`` with all mistakes."""
    documents = list(_named_documents(study))
    exact: dict[str, list[_Named]] = {}
    loose: dict[str, list[_Named]] = {}
    for document in documents:
        for name in {normalise(document.source), document.id}:
            exact.setdefault(name, []).append(document)
        for name in _loose_names(document.title, document.source):
            loose.setdefault(name, []).append(document)
    fallen = _fallen_documents(study)
    found: list[tuple[GivenQuestion, _Named]] = []
    mistakes: list[str] = []
    for given in read_questions(path):
        named = exact.get(normalise(given.document)) or loose.get(comparable(given.document), [])
        if len(named) == 1:
            found.append((given, named[0]))
        elif named:
            fitting = ", ".join(f"{document.source} ({document.id})" for document in named[:5])
            mistakes.append(
                f"{given.place}: '{given.document}' fits {len(named)} documents: {fitting}"
            )
        else:
            why = fallen.get(comparable(given.document))
            told = (
                f"the document fell: {why}" if why else f"there is no document '{given.document}'"
            )
            mistakes.append(f"{given.place}: {told}")
    mistakes += _asked_twice((document.id, given) for given, document in found)
    some = ", ".join(sorted(d.title or d.source for d in documents if not d.over_limit)[:5])
    hint = f"Name a document by its title, its source, its file or its id. Documents: {some} ..."
    refuse(path, "questions", mistakes, hint)
    return found


def _named_documents(study: Study) -> Iterator[_Named]:
    """The documents by their ids, and those that the recipe's limit left out."""
    folder = study.run.stage("documents")
    kept = folder.read("documents", Document)
    yield from sorted((_Named(d.id, d.source, d.title) for d in kept), key=lambda named: named.id)
    for fallen in folder.read("dropped", Dropped):
        if fallen.reason == "over_limit":
            record = json.loads(fallen.record or "{}")
            source = record.get("source") or fallen.evidence.rpartition(": limit ")[0]
            yield _Named(fallen.record_id, source, record.get("title") or "", fallen.evidence)


def _loose_names(title: str, source: str) -> set[str]:
    file = Path(source)
    return set(filter(None, map(comparable, (title, source, file.name, file.stem))))


def _fallen_documents(study: Study) -> dict[str, str]:
    """Why a document is not there that has no other fault than to have fallen, by its names."""
    found: dict[str, str] = {}
    for fallen in study.run.stage("documents").read("dropped", Dropped):
        record = json.loads(fallen.record or "{}")
        for name in _loose_names(record.get("title") or "", record.get("source") or ""):
            found.setdefault(name, f"{fallen.reason}, {fallen.evidence}")
    return found


def _as_question(given: GivenQuestion, document: str, passages: list[Passage]) -> Question:
    holding = [passage.id for passage in passages if contains(passage.text, given.answer)]
    return Question(
        content_id("independent", document, given.question, given.answer),
        "independent",
        document,
        next(iter([*holding, *(passage.id for passage in passages)]), ""),
        "",
        given.question,
        given.answer,
        given.category,
    )
