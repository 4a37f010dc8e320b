"""The rules on the text of one example, by reason, and what proves each.

One file a rule (``curation/rules``). Rules compare in NFKC and leave the text as it is; they
look at one example alone and hold no state. ``rule_proofs.yaml`` has for each reason texts that
fall by it and near misses that stay: the tests walk through them, and the documentation quotes
them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml

from teichaku.curation.chain import Rule
from teichaku.curation.rules.characters import broken_characters
from teichaku.curation.rules.length import length
from teichaku.curation.rules.markup import leftover_markup
from teichaku.curation.rules.mixture import unnatural_mixture
from teichaku.curation.rules.parts import Part
from teichaku.curation.rules.phrases import model_talk
from teichaku.curation.rules.repetition import repeats_itself

#: The rule behind each reason, made for a language with the settings that a recipe gets.
RULES: Mapping[str, Callable[[str], Rule]] = {
    "too_short": lambda language: length(),
    "too_long": lambda language: length(),
    "repetition": lambda language: repeats_itself(),
    "broken_characters": lambda language: broken_characters,
    "mixed_languages": unnatural_mixture,
    "refusal": lambda language: model_talk,
    "meta_talk": lambda language: model_talk,
    "preamble": lambda language: model_talk,
    "template_token": lambda language: leftover_markup,
    "role_label": lambda language: leftover_markup,
    "open_code": lambda language: leftover_markup,
    "open_tag": lambda language: leftover_markup,
    "unfilled_slot": lambda language: leftover_markup,
}


@dataclass(frozen=True, slots=True)
class Proof:
    """Texts that prove a rule, by language: those that fall, and near misses that stay.

    ``part`` is the part of an example in which they stand.
    """

    part: Part
    falls: Mapping[str, tuple[str, ...]]
    stays: Mapping[str, tuple[str, ...]]


@cache
def proofs() -> Mapping[str, Proof]:
    """What proves each of :data:`RULES`, by reason; read once."""
    path = Path(__file__).with_suffix(".yaml")
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = {
        reason: Proof(entry["part"], _texts(entry["falls"]), _texts(entry["stays"]))
        for reason, entry in data.items()
    }
    if found.keys() != RULES.keys() or {p.part for p in found.values()} - {*get_args(Part)}:
        raise ValueError(f"{path}: not the reasons and parts of the rules")
    return found


def _texts(entries: Mapping[str, list[Any]]) -> dict[str, tuple[str, ...]]:
    return {language: tuple(map(_text, some)) for language, some in entries.items()}


def _text(entry: str | Mapping[str, Any]) -> str:
    """A text as it stands, or one that says the same many times."""
    if isinstance(entry, str):
        return entry
    return str(entry.get("start", "")) + str(entry["of"]) * int(entry["times"])
