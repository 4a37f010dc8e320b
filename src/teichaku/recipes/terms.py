"""Whether a recipe may train on what its teacher writes."""

from collections.abc import Sequence
from pathlib import Path

from teichaku.backends.terms import STRICTNESS, Terms, terms_of
from teichaku.core.errors import RecipeError
from teichaku.core.locale import translate
from teichaku.recipes.model_schema import Http, Scripted
from teichaku.recipes.schema import Recipe

#: The terms of a teacher that is none.
NOBODY = Terms("none", "no teacher", "permissive", "No model writes examples.")


def teacher_terms(recipe: Recipe, root: Path) -> Terms:
    """The terms of the recipe's teacher, the strictest where its servers have several; those of
    nobody where there is none.

    Raises ``RecipeError`` where any forbid to train on its output and the recipe does not accept
    them by name.
    """
    teacher = recipe.teacher
    if teacher is None:
        return NOBODY
    if isinstance(teacher, Scripted):
        return Terms("scripted", "the scripted stand-in", "permissive", "It is no model.")
    base_urls = teacher.base_urls if isinstance(teacher, Http) else [""]
    own = None if recipe.terms is None else root / recipe.terms
    found = [terms_of(teacher.model, url, teacher.licence, own) for url in base_urls]
    for terms in found:
        _require_allowed(terms, teacher.model, recipe.accept_terms)
    return max(found, key=lambda terms: STRICTNESS.index(terms.licence_class))


def _require_allowed(terms: Terms, model: str, accepted: Sequence[str]) -> None:
    if terms.licence_class == "forbids_competing" and terms.name not in accepted:
        raise RecipeError(
            translate(
                "The terms of the teacher {model} ({about}) forbid what this recipe does with its "
                "replies: {clause}"
            ).format(model=model, about=terms.about, clause=f"{terms.clause} {where(terms)}"),
            translate(
                "Take a teacher whose terms allow it (most under Apache-2.0 or MIT do). Where they "
                "allow your use after all, say so knowingly: accept_terms: [{name}]"
            ).format(name=terms.name),
        )


def where(terms: Terms) -> str:
    """Where the terms stand, and when they were read."""
    if not terms.source:
        return ""
    read = translate("from general knowledge, not read anew")
    if terms.checked:
        read = translate("read {day}").format(day=terms.checked)
    return f"({terms.source}, {read})"


def notice(terms: Terms, model: str) -> str:
    """What to tell before a run; empty where there is nothing to heed."""
    if terms.licence_class == "unknown":
        known = f" {terms.clause} {where(terms)}" if terms.clause else ""
        told = translate(
            "whether its terms allow training on its output is not known here; look them up, then "
            "state teacher.licence or add an entry to a table of your own (terms:)."
        )
        return f"{model}: {told}{known}"
    if terms.licence_class == "permissive":
        return ""
    return f"{model}: {terms.clause} {where(terms)}"
