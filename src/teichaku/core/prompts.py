"""Prompts are data: one text file each, by language, with a version, overridable by a folder.

A file starts with ``version: N``; sections headed ``[system]`` and ``[user]`` follow, in
Jinja2. A line that starts with ``[`` and is not one of those two headings is plain text.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jinja2 import Environment, StrictUndefined, TemplateError, meta

from teichaku.core.errors import UserError
from teichaku.core.records import Message

_BUILTIN = Path(__file__).parents[1] / "prompts"
_SECTION = re.compile(r"^\[(system|user)\]\s*$", re.MULTILINE)
_ENVIRONMENT = Environment(
    undefined=StrictUndefined, keep_trailing_newline=False, trim_blocks=True, lstrip_blocks=True
)


@dataclass(frozen=True)
class Prompt:
    """A prompt with its name (``language/name@version``) and its sections as templates."""

    name: str
    sections: tuple[tuple[str, str], ...]

    def messages(self, **values: object) -> tuple[Message, ...]:
        """The rendered messages. Raises ``UserError`` where a placeholder has no value."""
        return tuple(Message(role, self._render(text, values)) for role, text in self.sections)

    def text(self, **values: object) -> str:
        """The rendered text of a prompt of one section."""
        (message,) = self.messages(**values)
        return message.content

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """The names of all values that the prompt needs."""
        names: set[str] = set()
        for _, text in self.sections:
            names |= meta.find_undeclared_variables(_ENVIRONMENT.parse(text))
        return frozenset(names)

    def _render(self, text: str, values: dict[str, object]) -> str:
        try:
            return _ENVIRONMENT.from_string(text).render(**values).strip()
        except TemplateError as error:
            raise UserError(
                f"Prompt {self.name} cannot be rendered: {error}",
                f"It may use: {', '.join(sorted(values))}.",
            ) from error


@dataclass(frozen=True)
class PromptPack:
    """The prompts of one language; files in ``folder`` go before the built-in ones."""

    language: str
    folder: Path | None = None

    def load(self, name: str) -> Prompt:
        """The prompt ``name``; English stands in for a language that has no pack."""
        for language, root in self._places():
            path = root / f"{name}.txt"
            if path.is_file():
                return parse_prompt(path.read_text(encoding="utf-8"), f"{language}/{name}")
        raise UserError(f"There is no prompt '{name}' for language '{self.language}'.")

    def _places(self) -> list[tuple[str, Path]]:
        places = [] if self.folder is None else [(self.language, self.folder)]
        return [*places, (self.language, _BUILTIN / self.language), ("en", _BUILTIN / "en")]


def parse_prompt(source: str, name: str) -> Prompt:
    """The prompt in ``source``. Raises ``UserError`` where version or sections are missing."""
    head, *rest = _SECTION.split(source)
    version = re.fullmatch(r"\s*version:\s*(\d+)\s*", head)
    if version is None or not rest:
        raise UserError(
            f"Prompt {name} is not well formed.",
            "It starts with 'version: 1', then '[system]' and '[user]' sections.",
        )
    sections = tuple(zip(rest[::2], (text.strip("\n") for text in rest[1::2]), strict=True))
    return Prompt(f"{name}@{version.group(1)}", sections)


def builtin_languages() -> list[str]:
    """The languages that have a prompt pack of their own."""
    return sorted(path.name for path in _BUILTIN.iterdir() if path.is_dir())


def category_file(language: str, name: str) -> Path | None:
    """The built-in file of question categories ``name``; None where there is none."""
    for place in (_BUILTIN / language, _BUILTIN / "en"):
        path = place / "categories" / f"{name}.yaml"
        if path.is_file():
            return path
    return None
