"""What can be known to fail before a study spends anything."""

import os
from pathlib import Path

from teichaku.backends import registry
from teichaku.core.errors import RecipeError
from teichaku.documents.loading import hash_inputs
from teichaku.recipes.arms import expand_arms
from teichaku.recipes.independent import read_questions
from teichaku.recipes.method_schema import TEXT_METHODS
from teichaku.recipes.schema import Http, LlamaCpp, Recipe, Transformers


def check_before(recipe: Recipe, root: Path) -> dict[str, str]:
    """The hashes of the recipe's files.

    Raises ``RecipeError`` where there is no file or a key is missing, and
    ``ModelUnavailableError`` for a name that can be no model.
    """
    students = [arm.student for arm in expand_arms(recipe)]
    for config in (recipe.teacher, recipe.judge, *students):
        if isinstance(config, LlamaCpp | Transformers):
            registry.check(config.model)
        elif isinstance(config, Http) and config.api_key_env not in ("", *os.environ):
            raise RecipeError(
                f"The environment variable {config.api_key_env}, which is to hold the key for "
                f"{config.base_urls[0]}, is not set.",
                f"export {config.api_key_env}=..., or take api_key_env out of the recipe.",
            )
    _check_questions(recipe, root)
    inputs = hash_inputs(recipe.documents.paths, root) if recipe.documents else {}
    if recipe.documents and not inputs:
        raise RecipeError(
            f"No file found at {', '.join(recipe.documents.paths)} (from {root}).",
            "Put documents there, or mend documents.paths in the recipe.",
        )
    return inputs


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
    if recipe.student and "independent" not in questions.kinds and methods <= TEXT_METHODS:
        raise RecipeError(
            f"No question can be made from running text, and {', '.join(sorted(methods))} makes "
            "nothing else.",
            "Have questions made apart: questions: {kinds: [independent]}, or name a file of "
            "yours: questions: {kinds: [independent], file: questions.jsonl}",
        )
