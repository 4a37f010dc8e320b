"""The synthesis methods that begin with instructions, built from their sections of the recipe."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from teichaku.core.errors import UserError
from teichaku.core.records import Sampling
from teichaku.recipes import method_schema
from teichaku.recipes.mistakes import in_one_line
from teichaku.recipes.section import Section
from teichaku.recipes.study import Study
from teichaku.synthesis.domain_spread import Domain, DomainSpread
from teichaku.synthesis.evol_instruct import EvolInstruct, EvolPrompts
from teichaku.synthesis.instruction_text import InstructionWords
from teichaku.synthesis.method import SeedMethod
from teichaku.synthesis.self_instruct import (
    INPUT_FIRST_SAMPLING,
    LIST_SAMPLING,
    OUTPUT_FIRST_SAMPLING,
    SelfInstruct,
    SelfInstructPrompts,
)

_PROMPTS = Path(__file__).parents[1] / "prompts"
_File = TypeVar("_File", bound=Section)


def _self_instruct(study: Study, config: method_schema.SelfInstruct) -> SeedMethod:
    names = ("", "_classify", "_input_first", "_output_first")
    return SelfInstruct(
        SelfInstructPrompts(*(study.prompts.load(f"self_instruct{name}") for name in names)),
        read_words(study.prompts.language, study.root, config.words),
        study.recipe.language,
        study.recipe.seed,
        config.instructions,
        config.requests_per_round,
        config.max_rounds,
        config.instances,
        config.similarity,
        replace(LIST_SAMPLING, **config.generation.model_dump()),
        input_first_sampling=replace(INPUT_FIRST_SAMPLING, max_tokens=config.input_first_tokens),
        output_first_sampling=replace(OUTPUT_FIRST_SAMPLING, max_tokens=config.output_first_tokens),
    )


def _evol_instruct(study: Study, config: method_schema.EvolInstruct) -> SeedMethod:
    names = ("evol_in_depth", "evol_in_breadth", "evol_equal", "instruction_answer")
    return EvolInstruct(
        EvolPrompts(*map(study.prompts.load, names)),
        read_words(study.prompts.language, study.root, config.words),
        study.recipe.language,
        study.recipe.seed,
        config.rounds,
        config.of,
        config.limit,
        sampling=Sampling(**config.generation.model_dump()),
    )


def _domain_spread(study: Study, config: method_schema.DomainSpread) -> SeedMethod:
    return DomainSpread(
        study.prompts.load("domain_spread"),
        read_words(study.prompts.language, study.root, config.words),
        study.recipe.language,
        read_domains(study.prompts.language, study.root, config.domains),
        study.recipe.seed,
        config.per_seed,
        config.of,
        config.limit,
        config.similarity,
        Sampling(**config.generation.model_dump()),
    )


def read_domains(language: str, root: Path, name: str = "") -> tuple[Domain, ...]:
    """The domains that ship for ``language``, or those of the file ``name`` of the user's,
    relative to ``root``. Raises ``UserError`` where the file cannot be used.
    """
    hint = "The file is in UTF-8; each of its 'domains' has a name and a description."
    path, found = _read(language, root, name, "domains.yaml", method_schema.DomainFile, hint)
    names = [entry.name for entry in found.domains]
    twice = sorted({given for given in names if names.count(given) > 1})
    if twice:
        raise UserError(f"{path}: domains that stand there twice: {', '.join(twice)}", hint)
    return tuple(Domain(entry.name, entry.description) for entry in found.domains)


def read_words(language: str, root: Path, name: str = "") -> InstructionWords:
    """The words that ship for ``language``, or those of the file ``name`` of the user's,
    relative to ``root``, with the built-in ones for the lists that it does not name. Raises
    ``UserError`` where the file cannot be used.
    """
    hint = "The file is in UTF-8; it has lists of words: " + ", ".join(
        key for key in method_schema.WordFile.model_fields if key not in ("version", "licence")
    )
    lists: dict[str, tuple[str, ...]] = {}
    for given in dict.fromkeys(("", name)):
        file = "instruction_words.yaml"
        _, found = _read(language, root, given, file, method_schema.WordFile, hint)
        own = found.model_dump(exclude={"version", "licence"}, exclude_unset=True)
        lists |= {key: tuple(words) for key, words in own.items()}
    return InstructionWords(**lists)


def _read(
    language: str, root: Path, name: str, file: str, kind: type[_File], hint: str
) -> tuple[Path, _File]:
    """The file ``name`` of the user's, or the built-in ``file``; English stands in for a
    language without one.
    """
    own = _PROMPTS / language / file
    path = root / name if name else own if own.is_file() else _PROMPTS / "en" / file
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        return path, kind.model_validate(data)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {in_one_line(error)}", hint) from error


SEED_BUILDERS: dict[str, Callable[[Study, Any], SeedMethod]] = {
    "self_instruct": _self_instruct,
    "evol_instruct": _evol_instruct,
    "domain_spread": _domain_spread,
}
