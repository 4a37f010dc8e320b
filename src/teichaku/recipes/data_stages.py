"""The stages that make data: a recipe's sections unpacked into plain arguments.

Each function gets the study and the stage's folder, writes its files there, and returns what
to put in ``stage.json``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from teichaku.core.locale import translate
from teichaku.core.records import MIX, SEED, Document, Dropped, Example, Passage, Question
from teichaku.core.run_folder import StageFolder, dropped, fingerprint
from teichaku.core.text import comparable
from teichaku.curation.amount import characters, mix_by_tokens, within_characters
from teichaku.curation.chain import curate
from teichaku.documents.loading import Columns, Glance, glance, load_documents
from teichaku.documents.passages import split_passages
from teichaku.evaluation.questions import (
    Rewording,
    hold_out,
    told_in_text,
    trained_questions,
    unseen_questions,
    without_unseen_facts,
)
from teichaku.evaluation.wording import WordingIndex
from teichaku.recipes.curation_notes import diversity_notes, shown_before
from teichaku.recipes.filter_schema import PersonalData
from teichaku.recipes.filters import (
    Noted,
    build_filter,
    filter_by_language,
    filters_fingerprint,
    write_notes,
)
from teichaku.recipes.independent import independent_method, make_independent
from teichaku.recipes.leaks_stage import list_question_leaks, without_leaks
from teichaku.recipes.method_schema import FocalRewrite
from teichaku.recipes.methods import method_fingerprint
from teichaku.recipes.novelty_stage import less_of_the_known
from teichaku.recipes.personal_data_notes import personal_data_notes
from teichaku.recipes.progress import Progress
from teichaku.recipes.schema import Documents
from teichaku.recipes.selection_stage import POOL, select_examples
from teichaku.recipes.similarities import ArmSimilarities
from teichaku.recipes.study import Outcome, Study, require, separate, write_outcome

#: An arm that reaches this share of ``characters`` counts as being of that size.
_SAME_SIZE = 0.95


def documents_fingerprint(config: Documents) -> dict[str, Any]:
    """What the documents depend on. A column for attributions that is only guessed is left out:
    it changes nothing that is learnt, and runs of before it was there stay finished.
    """
    guessed = {"attribution"} if not config.columns.attribution else set()
    return config.model_dump(exclude={"columns": guessed})


def table_columns(config: Documents) -> Columns:
    """What the columns of tables mean."""
    return Columns(**{**config.columns.model_dump(), "text": tuple(config.columns.text)})


def told_columns(config: Documents, found: Glance) -> Iterator[str]:
    """Of tables of which the recipe names no columns: which make the text, and how to have fewer
    (numbers of rows and coordinates become questions, too).
    """
    files: dict[tuple[str, ...], list[str]] = {}
    for name, columns in found.columns.items() if not config.columns.text else ():
        files.setdefault(tuple(columns), []).append(name)
    for columns, (first, *others) in files.items():
        name = (
            first
            if not others
            else translate("{file} and {count} like it").format(file=first, count=len(others))
        )
        yield translate(
            "rows of {file}: columns {columns}; to take some of them alone, name these in "
            "documents.columns.text"
        ).format(file=name, columns=", ".join(columns))


def told_files(config: Documents, found: Glance) -> Iterator[str]:
    """What is wrong with files of documents, and the columns of tables."""
    for path in found.missing:
        yield "! " + translate("{path}: nothing is there").format(path=path)
    for name, error in found.unreadable.items():
        yield f"! {name}: {' '.join(str(error).splitlines())}"
    yield from told_columns(config, found)


def read_documents(study: Study, folder: StageFolder) -> Outcome:
    """Files to documents to passages."""
    config = study.recipe.documents
    if config is None:
        raise AssertionError("a stage of recipes with documents")
    study.progress.begin("documents", None)
    columns = table_columns(config)
    if not columns.text:
        seen = glance(config.paths, study.root, columns, opens_pdf=False)
        for line in told_columns(config, seen):
            study.progress.say(f"  {line}")
    documents, fallen = separate(
        _counted(load_documents(config.paths, study.root, columns), study.progress)
    )
    taken = len(documents) + len(fallen)
    if config.limit is not None and len(documents) > config.limit:
        by_id = sorted(documents, key=lambda document: document.id)
        documents = by_id[: config.limit]
        fallen += [
            dropped(
                replace(d, text=""), "documents", "over_limit", f"{d.source}: limit {config.limit}"
            )
            for d in by_id[config.limit :]
        ]
    reasons = write_outcome(folder, "documents", Document, documents, fallen)
    require(study.run, documents, "documents", translate("document"), reasons, fallen)
    documents.sort(key=lambda document: (document.source, document.id))
    passages = list(split_passages(documents, config.passage_characters))
    folder.write("passages", Passage, sorted(passages, key=lambda p: (p.document_id, p.index)))
    require(study.run, passages, "documents", translate("passage"), reasons)
    notes = {"passages": len(passages), "characters": sum(len(d.text) for d in documents)}
    return Outcome(taken, len(documents), reasons, notes)


def _counted(records: Iterable[Any], progress: Progress) -> Iterator[Any]:
    for record in records:
        progress.advance()
        yield record


def curate_examples(study: Study, data: str, folder: StageFolder) -> Outcome:
    """Examples to the examples worth training on."""
    stage = f"curation/{data}"
    examples = list(study.run.stage(f"synthesis/{data}").read("examples", Example))
    noted = Noted()
    similarities = ArmSimilarities(study, data)
    filters = [
        similarities.kept_of(config, filter_by_language(study, config, noted, examples))
        for config in study.recipe.curation
    ]
    # What people wrote is not for a filter to drop.
    seeds = _seeds_without_personal_data(
        study, [example for example in examples if example.method == SEED], noted
    )
    mix = study.recipe.arms[data].mix
    as_they_are = {one.name for one in mix.sources if not one.curate} if mix else set()
    spared = [e for e in examples if e.method == MIX and e.category in as_they_are]
    apart = {example.id for example in (*spared, *seeds)}
    written = [example for example in examples if example.id not in apart]
    study.progress.begin(stage, *study.workshop.judging_estimate(len(written)))
    kept, fallen = separate(curate(written, filters))
    given = [*kept, *spared, *seeds]
    checked, leaking, notes = without_leaks(study, stage, folder, given)
    seeds = [example for example in checked if example.method == SEED]
    kept, known = less_of_the_known(study, (e for e in checked if e.method != SEED))
    fallen += leaking + known
    for method in study.recipe.arms[data].examples:
        if isinstance(method, FocalRewrite):
            kept, surplus = separate(mix_by_tokens(kept, method.method, method.ratio))
            fallen += surplus
    kept, surplus, chosen = select_examples(study, data, kept, folder, noted.rank)
    fallen += surplus
    # After the selection, so that the arm, and its controls with it, have the size that is wanted.
    limit = study.recipe.arms[data].characters
    if limit is not None:
        kept, surplus = separate(within_characters(kept, limit, characters(seeds)))
        fallen += surplus
    kept += seeds
    reached = characters(kept)
    if limit is not None:
        _tell_size(study, stage, reached, limit)
    write_notes(folder, noted.records)
    reasons = write_outcome(folder, "examples", Example, kept, fallen)
    require(study.run, kept, stage, translate("example"), reasons, fallen)
    hiding = [
        build_filter(study, config)
        for config in study.recipe.curation
        if isinstance(config, PersonalData) and config.action != "report"
    ]
    notes = {**chosen, **notes, **shown_before(examples, hiding), **similarities.notes()}
    notes |= personal_data_notes(study.recipe.curation, noted.records)
    about = {"characters": reached, "diversity": diversity_notes(examples, kept)}
    return Outcome(len(examples), len(kept), reasons, {**about, **notes})


def _seeds_without_personal_data(study: Study, seeds: list[Example], noted: Noted) -> list[Example]:
    """``seeds`` with their personal data masked, or only reported, where the recipe has that
    filter. What it would drop is masked.
    """
    for config in study.recipe.curation:
        if isinstance(config, PersonalData):
            action = "report" if config.action == "report" else "mask"
            apply = build_filter(study, config.model_copy(update={"action": action}), noted)
            seeds, fallen = separate(apply(seeds))
            if fallen:
                raise AssertionError("what people wrote is not for a filter to drop")
    return seeds


def _tell_size(study: Study, stage: str, reached: int, limit: int) -> None:
    """Say so where an arm has not the size that the recipe asks for."""
    if reached < _SAME_SIZE * limit:
        told = translate(
            "{reached} of {limit} characters; arms that reach them have more to learn from. Let "
            "its methods make more, or lower 'characters' in every arm."
        )
    elif reached > limit:
        told = translate(
            "{reached} of {limit} characters; its seeds are never left out. Raise 'characters' in "
            "every arm, or say seeds: {{include: false}}."
        )
    else:
        return
    told = told.format(reached=f"{reached:,}", limit=f"{limit:,}")
    study.progress.say(f"! {stage}: {told}")


def make_questions(study: Study, folder: StageFolder) -> Outcome:
    """Curated examples to the one fixed set of questions, and the proof that they are apart."""
    config, seed = study.recipe.questions, study.recipe.seed
    by_arm = {
        data: list(study.run.stage(f"curation/{data}").read("examples", Example))
        for data in study.taught()
    }
    examples = {example.id: example for made in by_arm.values() for example in made}
    ids = {data: {example.id for example in made} for data, made in by_arm.items()}
    common = set.intersection(*ids.values())
    # Of what a selection was made from, so that no question is there for what was selected.
    asked_of = {**_pools(study), **examples}.values()
    pairs = [example for example in asked_of if example.passage_id and not example.is_text]
    held = hold_out(pairs, config.hold_out.per_category, seed)
    trained = trained_questions(held.training, config.per_document, seed, common)
    running = (example for example in examples.values() if example.is_text)
    texts, about_unseen = without_unseen_facts(running, held.unseen)
    instructions = (e for e in examples.values() if not e.passage_id and not e.is_text)
    taught = [example for example in held.training if example.id in examples]
    training = [*taught, *texts, *instructions]
    training_text = WordingIndex(training)
    questions: list[Question] = unseen_questions(held.unseen)
    if "trained" in config.kinds:
        questions += [question for question in trained if question.example_id in examples]
    lost: dict[str, list[Dropped]] = {}
    study.progress.begin("questions", None)
    if "held_out" in config.kinds:
        reworded, lost["held_out"] = separate(_reword(study, trained, training_text))
        questions += reworded
        if len(reworded) + len(lost["held_out"]) != len(trained):
            raise AssertionError(f"{len(trained)} questions to ask in other words got lost")
    if "independent" in config.kinds:
        apart, lost["independent"] = separate(_independent(study, training_text))
        questions += apart
    fallen = [record for records in lost.values() for record in records]
    reasons = write_outcome(folder, "questions", Question, questions, fallen)
    require(study.run, questions, "questions", translate("question"), reasons, fallen)
    folder.write("siblings", Dropped, [*held.dropped, *about_unseen])
    notes: dict[str, Any] = {"examples": len(examples), "kinds": _kinds(questions)}
    notes["stated"] = _stated(questions, by_arm, [*held.unseen, *held.dropped, *about_unseen])
    notes["empty_kinds"] = _empty_kinds(study, notes["kinds"], lost)
    notes["leak_check"] = {
        **prove_apart(questions, training_text, study.passages),
        **list_question_leaks(study, folder, questions, training),
    }
    notes["leak_check"]["unseen_told_in_text"] = {
        data: told_in_text(held.unseen, (text for text in texts if text.id in ids[data]))
        for data in by_arm
    }
    return Outcome(len(questions) + len(fallen), len(questions), reasons, notes)


def _pools(study: Study) -> dict[str, Example]:
    """What the selections of the recipe were made from, by id."""
    return {
        example.id: example
        for data in study.data_arms()
        for example in study.run.stage(f"curation/{data}").read(POOL, Example)
    }


def _stated(
    questions: Iterable[Question],
    by_arm: Mapping[str, Iterable[Example]],
    apart: Iterable[Example | Dropped],
) -> dict[str, dict[str, int]]:
    """For each arm's data how many of the held-out questions it states the answer to (by passage
    and answer), and how many characters are trained on once what is ``apart`` has been left out.
    """
    out = {record.record_id if isinstance(record, Dropped) else record.id for record in apart}
    asked = [(q.passage_id, comparable(q.reference)) for q in questions if q.kind == "held_out"]
    found = {}
    for data, made in by_arm.items():
        trained = [example for example in made if example.id not in out]
        facts = {(example.passage_id, comparable(example.answer)) for example in trained}
        held_out = sum(fact in facts for fact in asked)
        found[data] = {"held_out": held_out, "characters": characters(trained)}
    return found


def _empty_kinds(
    study: Study, kinds: Mapping[str, int], lost: Mapping[str, Sequence[Dropped]]
) -> list[str]:
    """The kinds of questions that the recipe asks for and that have none, which is told."""
    found = {*kinds, *(["trained"] if "trained_by_some" in kinds else [])}
    empty: list[str] = sorted(set(study.recipe.questions.kinds) - found)
    for kind in empty:
        reasons = Counter(record.reason for record in lost.get(kind, ()))
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        told = translate(
            "none of the kind '{kind}' is left ({why}), so the verdict cannot rest on it"
        ).format(kind=kind, why=why or translate("nothing came in"))
        study.progress.say(f"! questions: {told}")
    return empty


def independent_fingerprint(study: Study) -> list[str]:
    """What independent questions are made from: the user's file, or a method and the filters."""
    recipe = study.recipe
    if "independent" not in recipe.questions.kinds:
        return []
    if recipe.questions.file is not None:
        return [fingerprint((study.root / recipe.questions.file).read_bytes().hex())]
    filters = fingerprint(filters_fingerprint(recipe))
    return [method_fingerprint(independent_method(study)), filters]


def _independent(study: Study, training_text: WordingIndex) -> Iterator[Question | Dropped]:
    filters = [build_filter(study, config) for config in study.recipe.curation]
    yield from make_independent(study, training_text, filters)


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
    study.progress.begin("questions/held_out", *study.workshop.estimate(teacher, first))
    again = study.progress.expect_more
    yield from rewording.ask(trained, study.passages, training_text, teacher, again)


def prove_apart(
    questions: Iterable[Question], training_text: WordingIndex, passages: Mapping[str, Passage]
) -> dict[str, Any]:
    """Look every held-out and unseen question up in the training text.

    Raises ``AssertionError`` where a held-out wording leaks: it would have been dropped
    before. Unseen questions keep the wording of their own passages, and the user's own
    questions are asked as they stand, so what they share with the training text is counted
    and told, not refused.
    """
    held = [q for q in questions if q.kind == "held_out"]
    leaking = [q.id for q in held if training_text.leak(q.question, passages[q.passage_id])]
    if leaking:
        raise AssertionError(f"held-out questions in the training text: {leaking}")
    shared = {
        kind: [
            bool(training_text.leak(q.question, passages[q.passage_id]))
            for q in questions
            if q.kind == kind
        ]
        for kind in ("unseen", "independent")
    }
    return {
        "questions": len(held),
        "leaks": 0,
        "unseen": len(shared["unseen"]),
        "unseen_sharing_a_neighbourhood": sum(shared["unseen"]),
        "independent": len(shared["independent"]),
        "independent_seen_in_training": sum(shared["independent"]),
    }


def _kinds(questions: Iterable[Question]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for question in questions:
        kinds[question.kind] = kinds.get(question.kind, 0) + 1
    return dict(sorted(kinds.items()))
