"""The synthesis methods of an arm, built from their sections of the recipe."""

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Any

import yaml

from teichaku.core.errors import UserError
from teichaku.core.prompts import category_file
from teichaku.core.records import Sampling
from teichaku.core.run_folder import fingerprint
from teichaku.recipes import method_schema
from teichaku.recipes.mistakes import in_one_line
from teichaku.recipes.study import Study
from teichaku.synthesis.category_qa import Category, CategoryQA
from teichaku.synthesis.document_qa import DocumentQA
from teichaku.synthesis.method import Method


def build_methods(study: Study, data: str) -> list[Method]:
    """The methods of an arm, in the order of the recipe."""
    return [_BUILDERS[config.method](study, config) for config in study.recipe.arms[data].examples]


def method_fingerprint(method: Method) -> str:
    """A fingerprint of all that a method is made of: its prompts, and what it read from files."""
    if not is_dataclass(method) or isinstance(method, type):
        raise TypeError(f"{method.name} is no dataclass")
    return fingerprint(asdict(method))


def _sampling(generation: method_schema.Generation) -> Sampling:
    return Sampling(generation.temperature, generation.top_p, generation.max_tokens)


def _document_qa(study: Study, config: method_schema.DocumentQA) -> Method:
    return DocumentQA(
        study.prompts.load("document_qa"),
        study.recipe.language,
        study.recipe.seed,
        config.per_passage,
        config.samples,
        _sampling(config.generation),
    )


def _category_qa(study: Study, config: method_schema.CategoryQA) -> Method:
    categories, example_sets = read_categories(study, config.categories)
    return CategoryQA(
        study.prompts.load("category_qa"),
        study.recipe.language,
        categories,
        example_sets,
        study.recipe.seed,
        config.per_passage,
        _sampling(config.generation),
    )


def read_categories(study: Study, name: str) -> tuple[list[Category], dict[str, list[str]]]:
    """The categories and example sets of a built-in name or of the user's own YAML file."""
    path = category_file(study.prompts.language, name) or study.root / name
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        found = method_schema.CategoryFile.model_validate(data)
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


_BUILDERS: dict[str, Callable[[Study, Any], Method]] = {
    "document_qa": _document_qa,
    "category_qa": _category_qa,
}
