"""The stages that make data: a recipe's sections unpacked into plain arguments.

Each function gets the study and the stage's folder, writes its files there, and returns what
to put in ``stage.json``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import yaml

from teichaku.core.errors import UserError
from teichaku.core.prompts import category_file
from teichaku.core.records import Document, Dropped, Example, Passage, Question, Sampling
from teichaku.core.run_folder import StageFolder, fingerprint
from teichaku.curation.chain import Filter, by_rule, curate
from teichaku.curation.duplicates import drop_duplicates
from teichaku.curation.grounded import Grounded
from teichaku.curation.rules import copied_question, question_is_answer, wrong_language
from teichaku.curation.self_contained import SelfContained
from teichaku.documents.loading import Columns, load_documents
from teichaku.documents.passages import split_passages
from teichaku.evaluation.questions import (
    Rewording,
    hold_out,
    trained_questions,
    unseen_questions,
)
from teichaku.evaluation.wording import WordingIndex
from teichaku.recipes import schema
from teichaku.recipes.mistakes import in_one_line
from teichaku.recipes.progress import Progress
from teichaku.recipes.study import Outcome, Study, require, separate, write_outcome
from teichaku.synthesis.category_qa import Category, CategoryQA
from teichaku.synthesis.document_qa import DocumentQA
from teichaku.synthesis.method import Method, synthesize


def read_documents(study: Study, folder: StageFolder) -> Outcome:
    """Files to documents to passages."""
    config = study.recipe.documents
    study.progress.begin("documents", None)
    columns = Columns(**{**config.columns.model_dump(), "text": tuple(config.columns.text)})
    documents, fallen = separate(
        _counted(load_documents(config.paths, study.root, columns), study.progress)
    )
    taken = len(documents) + len(fallen)
    if config.limit is not None and len(documents) > config.limit:
        by_id = sorted(documents, key=lambda document: document.id)
        documents = by_id[: config.limit]
        fallen += [
            Dropped(
                d.id, "Document", "documents", "over_limit", f"{d.source}: limit {config.limit}"
            )
            for d in by_id[config.limit :]
        ]
    reasons = write_outcome(folder, "documents", Document, documents, fallen)
    require(documents, "documents", "document", reasons, fallen)
    documents.sort(key=lambda document: (document.source, document.id))
    passages = list(split_passages(documents, config.passage_characters))
    folder.write("passages", Passage, sorted(passages, key=lambda p: (p.document_id, p.index)))
    require(passages, "documents", "passage", reasons)
    notes = {"passages": len(passages), "characters": sum(len(d.text) for d in documents)}
    return Outcome(taken, len(documents), reasons, notes)


def _counted(records: Iterable[Any], progress: Progress) -> Iterator[Any]:
    for record in records:
        progress.advance()
        yield record


def make_examples(study: Study, data: str, folder: StageFolder) -> Outcome:
    """Passages to examples, by each method of the arm."""
    stage = f"synthesis/{data}"
    passages = list(study.passages.values())
    methods = [build_method(study, config) for config in study.recipe.arms[data].examples]
    requests = [r for method in methods for p in passages for r in method.requests(p)]
    teacher = study.workshop.teacher
    study.progress.begin(stage, len(requests), study.workshop.estimate(teacher, requests))
    kept: list[Example] = []
    fallen: list[Dropped] = []
    for method in methods:
        made, lost = separate(synthesize(passages, method, teacher))
        kept += [
            replace(e, teacher=teacher.identity, licence_class=study.terms.licence_class)
            for e in made
        ]
        fallen += lost
    replies = study.workshop.usage.requests + study.workshop.usage.cached_requests
    if replies != len(requests):
        raise AssertionError(f"{len(requests)} requests, but {replies} replies")
    reasons = write_outcome(folder, "examples", Example, kept, fallen)
    require(kept, stage, "example", reasons, fallen)
    notes = {"passages": len(passages), "requests": len(requests)}
    return Outcome(len(kept) + len(fallen), len(kept), reasons, notes)


def build_method(study: Study, config: schema.DocumentQA | schema.CategoryQA) -> Method:
    """A synthesis method from its section of the recipe."""
    recipe = study.recipe
    sampling = Sampling(
        config.generation.temperature, config.generation.top_p, config.generation.max_tokens
    )
    prompt = study.prompts.load(config.method)
    if isinstance(config, schema.DocumentQA):
        return DocumentQA(
            prompt, recipe.language, recipe.seed, config.per_passage, config.samples, sampling
        )
    categories, example_sets = read_categories(study, config.categories)
    return CategoryQA(
        prompt,
        recipe.language,
        categories,
        example_sets,
        recipe.seed,
        config.per_passage,
        sampling,
    )


def read_categories(study: Study, name: str) -> tuple[list[Category], dict[str, list[str]]]:
    """The categories and example sets of a built-in name or of the user's own YAML file."""
    path = category_file(study.prompts.language, name) or study.root / name
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        found = schema.CategoryFile.model_validate(data)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"The categories '{name}' cannot be read ({path}): {in_one_line(error)}",
            "The file is in UTF-8. A category has name, label, description, answer_length (short "
            "or long) and an example with passage, question and answer; example_sets gives each "
            "set a list of names.",
        ) from error
    categories = [
        Category(c.name, c.label, c.description, c.answer_length, **c.example.model_dump())
        for c in found.categories
    ]
    names = [category.name for category in categories]
    sets = found.example_sets or {"all": names}
    unknown = sorted({n for members in sets.values() for n in members} - set(names))
    if unknown:
        raise UserError(f"{path}: example_sets name unknown categories: {', '.join(unknown)}")
    return categories, sets


def category_fingerprints(study: Study, data: str) -> list[str]:
    """What the categories are that the methods of an arm use, as fingerprints."""
    names = [m.categories for m in study.recipe.arms[data].examples if m.method == "category_qa"]
    read = (read_categories(study, name) for name in names)
    return [fingerprint([[asdict(c) for c in categories], sets]) for categories, sets in read]


def curate_examples(study: Study, data: str, folder: StageFolder) -> Outcome:
    """Examples to the examples worth training on."""
    stage = f"curation/{data}"
    examples = list(study.run.stage(f"synthesis/{data}").read("examples", Example))
    filters = [build_filter(study, config) for config in study.recipe.curation]
    study.progress.begin(stage, None)
    kept, fallen = separate(curate(examples, filters))
    reasons = write_outcome(folder, "examples", Example, kept, fallen)
    require(kept, stage, "example", reasons, fallen)
    return Outcome(len(examples), len(kept), reasons)


def build_filter(study: Study, config: schema.Grounded | schema.NamedFilter) -> Filter:
    """A filter from its section of the recipe."""
    if isinstance(config, schema.Grounded):
        judge = study.workshop.judge if config.judge else None
        prompt = study.prompts.load("grounded_judge") if config.judge else None
        return Grounded(study.passages, config.threshold, judge, prompt)
    if config.name == "self_contained":
        return SelfContained(study.passages, study.recipe.language)
    if config.name == "language":
        return by_rule(wrong_language(study.recipe.language, study.passages))
    if config.name == "question_is_answer":
        return by_rule(question_is_answer)
    if config.name == "copied_question":
        return by_rule(copied_question(study.passages))
    return drop_duplicates


def make_questions(study: Study, folder: StageFolder) -> Outcome:
    """Curated examples to the one fixed set of questions, and the proof that they are apart."""
    config, seed = study.recipe.questions, study.recipe.seed
    by_arm = {
        data: list(study.run.stage(f"curation/{data}").read("examples", Example))
        for data in study.data_arms()
    }
    examples = {example.id: example for made in by_arm.values() for example in made}
    common = set.intersection(*({example.id for example in made} for made in by_arm.values()))
    held = hold_out(examples.values(), config.hold_out.per_category, seed)
    trained = trained_questions(held.training, config.per_document, seed, common)
    questions: list[Question] = unseen_questions(held.unseen)
    if "trained" in config.kinds:
        questions += trained
    expected = len(questions)
    training_text = WordingIndex(held.training)
    fallen: list[Dropped] = []
    if "held_out" not in config.kinds:
        study.progress.begin("questions", len(questions))
    else:
        expected += len(trained)
        reworded, fallen = separate(_reword(study, trained, training_text))
        questions += reworded
    reasons = write_outcome(folder, "questions", Question, questions, fallen)
    require(questions, "questions", "question", reasons, fallen)
    folder.write("siblings", Dropped, held.dropped)
    notes = {"examples": len(examples), "kinds": _kinds(questions)}
    notes["leak_check"] = prove_apart(questions, training_text, study.passages)
    return Outcome(expected, len(questions), reasons, notes)


def _reword(
    study: Study, trained: list[Question], training_text: WordingIndex
) -> Iterator[Question | Dropped]:
    recipe, teacher = study.recipe, study.workshop.teacher
    rewording = Rewording(
        study.prompts.load("held_out_wording"),
        recipe.language,
        recipe.seed,
        recipe.questions.attempts,
    )
    first = rewording.first_requests(trained, study.passages)
    study.progress.begin("questions", len(first), study.workshop.estimate(teacher, first))
    again = study.progress.expect_more
    yield from rewording.ask(trained, study.passages, training_text, teacher, again)


def prove_apart(
    questions: Iterable[Question], training_text: WordingIndex, passages: Mapping[str, Passage]
) -> dict[str, Any]:
    """Look every held-out and unseen question up in the training text.

    Raises ``AssertionError`` where a held-out wording leaks: it would have been dropped
    before. Unseen questions keep the wording of their own passages, so neighbourhoods they
    share with the training text are counted and told, not refused.
    """
    held = [q for q in questions if q.kind == "held_out"]
    leaking = [q.id for q in held if training_text.leak(q.question, passages[q.passage_id])]
    if leaking:
        raise AssertionError(f"held-out questions in the training text: {leaking}")
    unseen = [q for q in questions if q.kind == "unseen"]
    shared = sum(bool(training_text.leak(q.question, passages[q.passage_id])) for q in unseen)
    return {
        "questions": len(held),
        "leaks": 0,
        "unseen": len(unseen),
        "unseen_sharing_a_neighbourhood": shared,
    }


def _kinds(questions: Iterable[Question]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for question in questions:
        kinds[question.kind] = kinds.get(question.kind, 0) + 1
    return dict(sorted(kinds.items()))
