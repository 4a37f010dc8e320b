"""Questions that are made apart from the examples of every arm."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from teichaku.core.errors import UserError
from teichaku.core.records import Document, Dropped, Example, Passage, Question, content_id
from teichaku.core.replies import text_value
from teichaku.core.text import comparable, contains
from teichaku.curation.chain import Filter, curate
from teichaku.evaluation.questions import independent_questions
from teichaku.evaluation.wording import WordingIndex
from teichaku.recipes.rows import first_filled, read_rows
from teichaku.recipes.study import Study
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
    passages, teacher = list(study.passages.values()), study.workshop.teacher
    requests = (request for passage in passages for request in method.requests(passage))
    study.progress.begin("questions/independent", *study.workshop.estimate(teacher, requests))
    again = study.prompts.load("ask_again")
    written: list[Example] = []
    for record in synthesize(passages, [method], teacher, again, study.progress.expect_more):
        if isinstance(record, Example):
            written.append(record)
        elif isinstance(record, Dropped):
            yield record
    sound: list[Example] = []
    for found in curate(written, filters):
        if isinstance(found, Dropped):
            yield found
        else:
            sound.append(found)
    yield from independent_questions(
        sound, config.per_document, study.recipe.seed, training_text, study.passages
    )


def independent_method(study: Study) -> DocumentQA:
    """What writes the questions: pairs of the passage, by other seeds than those of any arm."""
    recipe = study.recipe
    seed = int(content_id(recipe.seed, "independent questions"), 16) % 2**31
    prompt = study.prompts.load("document_qa")
    return DocumentQA(prompt, recipe.language, seed, recipe.questions.per_document)


def given_questions(study: Study, path: Path) -> Iterator[Question]:
    """The questions in the user's file, each with the passage that holds its answer (the first
    of its document where none does). Raises ``UserError`` where a row names no document.
    """
    documents = list(study.run.stage("documents").read("documents", Document))
    named: dict[str, Document] = {}
    for document in sorted(documents, key=lambda document: document.id):
        file = Path(document.source)
        for name in (document.title, document.source, file.name, file.stem, document.id):
            named.setdefault(comparable(name), document)
    passages: dict[str, list[Passage]] = {}
    for passage in sorted(study.passages.values(), key=lambda passage: passage.index):
        passages.setdefault(passage.document_id, []).append(passage)
    for given in read_questions(path):
        found = named.get(comparable(given.document))
        if found is None:
            some = ", ".join(sorted(document.title for document in documents)[:5])
            raise UserError(
                f"{path}, {given.place}: there is no document '{given.document}'.",
                f"Name it by its title or its file. Documents: {some} ...",
            )
        yield _as_question(given, passages[found.id])


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

    Raises ``UserError`` where it cannot be read, has none, or a row lacks a part.
    """
    found = []
    for row in read_rows(path):
        values = {
            name: text_value(first_filled(row.values, names)) for name, names in _NAMES.items()
        }
        lacking = [name for name in _NEEDED if not values[name]]
        if lacking:
            also = "; ".join(f"{name}: {', '.join(_NAMES[name])}" for name in lacking)
            raise UserError(
                f"{path}, {row.place}: it has no {' and no '.join(lacking)}.",
                f"The names that are known: {also}.",
            )
        found.append(GivenQuestion(row.place, **values))
    if not found:
        raise UserError(f"{path} has no questions.", "A row has document, question and answer.")
    return found


def _as_question(given: GivenQuestion, passages: list[Passage]) -> Question:
    holding = next((p for p in passages if contains(p.text, given.answer)), passages[0])
    return Question(
        content_id("independent", holding.document_id, given.question, given.answer),
        "independent",
        holding.document_id,
        holding.id,
        "",
        given.question,
        given.answer,
        given.category,
    )
