"""The folder of a new study."""

import json
from pathlib import Path

from teichaku.core.errors import UserError
from teichaku.core.run_folder import write_aside
from teichaku.recipes.names import is_name_character, language_code

_TEMPLATES = Path(__file__).parent / "templates"


def write_template(folder: Path, language: str) -> Path:
    """Make ``folder`` with a commented recipe and an empty ``docs/``; the recipe's path.

    The comments are in ``language`` where there is a template in it, else in English. Raises
    ``UserError`` where there is a recipe already, or the language is no code.
    """
    try:
        language = language_code(language)
    except ValueError as error:
        raise UserError(f"'{language}': {error}.", "Such as: --language ja") from error
    recipe = folder / "recipe.yaml"
    if recipe.exists():
        raise UserError(f"{recipe} exists already.", "Choose another folder, or edit that recipe.")
    template = _TEMPLATES / f"{language}.yaml"
    text = (template if template.is_file() else _TEMPLATES / "en.yaml").read_text(encoding="utf-8")
    if not template.is_file():
        text = text.replace("language: en ", f"language: {_quoted(language)} ")
    name = "".join(c if is_name_character(c) else "-" for c in folder.resolve().name).lstrip(".")
    text = text.replace("name: my-study", f"name: {_quoted(name or 'my-study')}")
    write_aside(recipe, text.encode("utf-8"))
    (folder / "docs").mkdir(exist_ok=True)
    return recipe


def template_languages() -> list[str]:
    """The languages that have a template of their own."""
    return sorted(path.stem for path in _TEMPLATES.glob("*.yaml"))


def _quoted(text: str) -> str:
    """``text`` as YAML reads it back: ``no``, ``1e5`` and ``2024-05-01`` are no text unquoted."""
    return json.dumps(text, ensure_ascii=False)
