"""The synthesis methods of an arm, built from their sections of the recipe."""

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from teichaku.core.errors import UserError
from teichaku.core.prompts import category_file
from teichaku.core.records import Sampling
from teichaku.core.run_folder import fingerprint
from teichaku.recipes import method_schema
from teichaku.recipes.mistakes import in_one_line
from teichaku.recipes.seed_methods import SEED_BUILDERS
from teichaku.recipes.study import Study
from teichaku.synthesis.active_reading import ActiveReading
from teichaku.synthesis.category_qa import Category, CategoryQA
from teichaku.synthesis.diverse_prompts import DiversePrompts
from teichaku.synthesis.document_qa import DocumentQA
from teichaku.synthesis.entity_graph import EntityGraph, joined_documents
from teichaku.synthesis.fact_listing import FactListing
from teichaku.synthesis.facts import Facts
from teichaku.synthesis.focal_rewrite import FocalRewrite
from teichaku.synthesis.method import Method, SeedMethod
from teichaku.synthesis.paraphrase import Paraphrase
from teichaku.synthesis.reverse import Reverse
from teichaku.synthesis.verbatim import Verbatim

_PROMPTS = Path(__file__).parents[1] / "prompts"


def build_methods(study: Study, data: str) -> list[Method]:
    """The methods of an arm that begin with passages, in the order of the recipe."""
    examples = study.recipe.arms[data].examples
    return [_BUILDERS[c.method](study, c) for c in examples if c.method in _BUILDERS]


def build_seed_methods(study: Study, data: str) -> list[SeedMethod]:
    """The methods of an arm that begin with instructions, in the order of the recipe."""
    examples = study.recipe.arms[data].examples
    return [SEED_BUILDERS[c.method](study, c) for c in examples if c.method in SEED_BUILDERS]


def arm_methods(study: Study, data: str) -> list[str]:
    """Fingerprints of all that makes the examples of an arm."""
    methods: list[Any] = [*build_methods(study, data), *build_seed_methods(study, data)]
    if study.recipe.arms[data].facts or study.recipe.arms[data].until is not None:
        methods.append(gap_filler(study, data))
    return [method_fingerprint(method) for method in methods]


def method_fingerprint(method: Method | SeedMethod) -> str:
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


def _verbatim(study: Study, config: method_schema.Verbatim) -> Method:
    return Verbatim(study.recipe.language, config.copies)


def _paraphrase(study: Study, config: method_schema.Paraphrase) -> Method:
    return Paraphrase(
        {style: study.prompts.load(f"paraphrase_{style}") for style in config.styles},
        study.recipe.language,
        study.recipe.seed,
        config.per_style,
        _sampling(config.generation),
    )


def _diverse_prompts(study: Study, config: method_schema.DiversePrompts) -> Method:
    return DiversePrompts(
        {kind: study.prompts.load(f"diverse_prompts_{kind}") for kind in config.kinds},
        study.recipe.language,
        study.recipe.seed,
        config.samples,
        _sampling(config.generation),
    )


def _active_reading(study: Study, config: method_schema.ActiveReading) -> Method:
    listing = "active_reading_task_strategies" if config.task else "active_reading_strategies"
    return ActiveReading(
        study.prompts.load(listing),
        study.prompts.load("active_reading_apply"),
        study.recipe.language,
        study.recipe.seed,
        config.task,
        config.strategies,
        config.samples,
        _sampling(config.listing),
        _sampling(config.generation),
    )


def _focal_rewrite(study: Study, config: method_schema.FocalRewrite) -> Method:
    return FocalRewrite(
        study.prompts.load("document_qa"),
        study.prompts.load("focal_rewrite"),
        study.recipe.language,
        study.recipe.seed,
        config.per_passage,
        config.samples,
        config.per_question,
        config.rewritten,
        config.ratio,
        _sampling(config.asking),
        _sampling(config.generation),
    )


def fact_listing(study: Study) -> FactListing:
    """The listing of facts, the same for every arm."""
    recipe = study.recipe
    return FactListing(study.prompts.load("fact_listing"), recipe.language, recipe.seed)


def gap_filler(study: Study, data: str) -> Facts:
    """What fills the gaps of an arm: its own ``facts``, or the default one."""
    own = [config for config in study.recipe.arms[data].examples if config.method == "facts"]
    return _facts(study, own[0] if own else method_schema.Facts(method="facts"))


def _facts(study: Study, config: method_schema.Facts) -> Facts:
    return Facts(
        fact_listing(study),
        study.prompts.load("fact_text"),
        study.prompts.load("fact_questions"),
        study.recipe.language,
        study.recipe.seed,
        config.texts,
        config.qa_per_fact,
        _sampling(config.generation),
    )


def _reverse(study: Study, config: method_schema.Reverse) -> Method:
    return Reverse(
        fact_listing(study),
        study.prompts.load("reverse"),
        study.recipe.language,
        study.recipe.seed,
        config.samples,
        _sampling(config.generation),
    )


def _entity_graph(study: Study, config: method_schema.EntityGraph) -> Method:
    return EntityGraph(
        joined_documents(list(study.passages.values())),
        study.prompts.load("entity_list"),
        study.prompts.load("entity_relation"),
        study.recipe.language,
        config.angles or builtin_angles(study.prompts.language),
        study.recipe.seed,
        config.max_entities,
        config.max_pairs,
        config.max_triples,
        config.tokens_per_document,
        config.usual_tokens,
        config.document_characters,
        _sampling(config.generation),
    )


def builtin_angles(language: str) -> list[str]:
    """The sides from which relations are looked at, as they ship; English stands in."""
    own = _PROMPTS / language / "angles.yaml"
    path = own if own.is_file() else _PROMPTS / "en" / "angles.yaml"
    angles: list[str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return angles


_BUILDERS: dict[str, Callable[[Study, Any], Method]] = {
    "document_qa": _document_qa,
    "category_qa": _category_qa,
    "verbatim": _verbatim,
    "paraphrase": _paraphrase,
    "diverse_prompts": _diverse_prompts,
    "active_reading": _active_reading,
    "focal_rewrite": _focal_rewrite,
    "facts": _facts,
    "reverse": _reverse,
    "entity_graph": _entity_graph,
}
