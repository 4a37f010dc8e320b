"""Whether a recipe may train on what its teacher writes."""

from pathlib import Path

from teichaku.backends.terms import Terms, terms_of
from teichaku.core.errors import RecipeError
from teichaku.recipes.model_schema import Http, Scripted
from teichaku.recipes.schema import Recipe


def teacher_terms(recipe: Recipe, root: Path) -> Terms:
    """The terms of the recipe's teacher; those of nobody where there is none.

    Raises ``RecipeError`` where they forbid to train on its output and the recipe does not
    accept them by name.
    """
    teacher = recipe.teacher
    if teacher is None:
        return Terms("none", "no teacher", "permissive", "No model writes examples.")
    if isinstance(teacher, Scripted):
        return Terms("scripted", "the scripted stand-in", "permissive", "It is no model.")
    base_url = teacher.base_urls[0] if isinstance(teacher, Http) else ""
    own = None if recipe.terms is None else root / recipe.terms
    found = terms_of(teacher.model, base_url, teacher.licence, own)
    if found.licence_class == "forbids_competing" and found.name not in recipe.accept_terms:
        raise RecipeError(
            f"The terms of the teacher {teacher.model} ({found.about}) forbid what this recipe "
            f"does with its replies: {found.clause} {where(found)}",
            "Take a teacher whose terms allow it (most under Apache-2.0 or MIT do). Where they "
            f"allow your use after all, say so knowingly: accept_terms: [{found.name}]",
        )
    return found


def where(terms: Terms) -> str:
    """Where the terms stand, and when they were read."""
    read = f"read {terms.checked}" if terms.checked else "from general knowledge, not read anew"
    return f"({terms.source}, {read})" if terms.source else ""


def notice(terms: Terms, model: str) -> str:
    """What to tell before a run; empty where there is nothing to heed."""
    if terms.licence_class == "unknown":
        return (
            f"{model}: whether its terms allow training on its output is not known here; look "
            "them up, then state teacher.licence or add an entry to a table of your own (terms:)."
        )
    if terms.licence_class == "permissive":
        return ""
    return f"{model}: {terms.clause} {where(terms)}"
