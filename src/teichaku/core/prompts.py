"""Prompts are data: one text file each, by language, with a version, overridable by a folder.

A file starts with ``version: N``; sections headed ``[system]`` and ``[user]`` follow, in
Jinja2. A line that starts with ``[`` and is not one of those two headings is plain text.

A prompt of the user's own stands in for the built-in one of the same name, so it may use what
that uses. It must use what that uses outside of ``{% if %}``: the passage, say, but not the
title, which a document may lack.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import yaml
from jinja2 import Environment, StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.visitor import NodeTransformer
from rapidfuzz import process

from teichaku.core.errors import UserError
from teichaku.core.records import Message

_BUILTIN = Path(__file__).parents[1] / "prompts"
_SECTION = re.compile(r"^\[(system|user)\]\s*$", re.MULTILINE)
#: Prompts that become part of another message or a template, and so have one section.
_PARTS = frozenset({"as_json", "ask_again", "masked_sentence", "plain_template"})
_ENVIRONMENT = Environment(
    undefined=StrictUndefined, keep_trailing_newline=False, trim_blocks=True, lstrip_blocks=True
)


@dataclass(frozen=True)
class Prompt:
    """A prompt with its name (``language/name@version``) and its sections as templates."""

    name: str
    sections: tuple[tuple[str, str], ...]

    @property
    def language(self) -> str:
        """The language that the prompt is written in."""
        return self.name.partition("/")[0]

    def messages(self, **values: object) -> tuple[Message, ...]:
        """The rendered messages. Raises ``UserError`` where a placeholder has no value."""
        return tuple(Message(role, self._render(text, values)) for role, text in self.sections)

    def text(self, **values: object) -> str:
        """The rendered text of a prompt of one section. Raises ``UserError`` where it has more."""
        if len(self.sections) != 1:
            raise UserError(f"Prompt {self.name} has more than one section.", "Leave it [user].")
        (message,) = self.messages(**values)
        return message.content

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """The names of all values that the prompt uses."""
        return _names(_ENVIRONMENT.parse(text) for _, text in self.sections)

    @cached_property
    def required(self) -> frozenset[str]:
        """Those of the placeholders that are used outside of ``{% if %}``."""
        return _names(_WithoutIf().visit(_ENVIRONMENT.parse(text)) for _, text in self.sections)

    def _render(self, text: str, values: dict[str, object]) -> str:
        try:
            return _template(text).render(**values).strip()
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise UserError(
                f"Prompt {self.name} cannot be rendered: {error}",
                f"It may use: {', '.join(sorted(values))}.",
            ) from error


@cache
def _template(text: str) -> Template:
    """Compiling costs more than rendering, and the same prompt is rendered for each passage."""
    return _ENVIRONMENT.from_string(text)


class _WithoutIf(NodeTransformer):
    """Takes what a template says only under a condition out of it."""

    def visit_If(self, node: nodes.If) -> None:  # noqa: N802
        """Nothing stays."""


def _names(trees: Iterable[nodes.Template]) -> frozenset[str]:
    """The names that templates use and do not define, but for Jinja's own such as ``range``."""
    used = {name for tree in trees for name in meta.find_undeclared_variables(tree)}
    return frozenset(used - _ENVIRONMENT.globals.keys())


@dataclass(frozen=True)
class PromptPack:
    """The prompts of one language; files in ``folder`` go before the built-in ones.

    Raises ``UserError`` where ``folder`` is none, or a prompt in it cannot stand in for the
    built-in one, with all mistakes.
    """

    language: str
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.folder is None:
            return
        if not self.folder.is_dir():
            raise UserError(
                f"There is no folder of prompts at {self.folder}.",
                "Mend 'prompts' in the recipe (it is relative to the recipe), or leave it out.",
            )
        files = [path for path in sorted(self.folder.iterdir()) if _is_meant_as_prompt(path)]
        mistakes = [f"  {path.name}: {what}" for path in files for what in self._mistakes(path)]
        if not files:
            mistakes = [f"  it has no prompt in it, such as {builtin_prompts()[0]}.txt"]
        if mistakes:
            raise UserError(
                f"{self.folder}: {len(mistakes)} mistake(s) in the prompts:\n"
                + "\n".join(mistakes),
                f"The built-in ones to start from: {_builtin_folder(self.language)}",
            )

    def load(self, name: str) -> Prompt:
        """The prompt ``name``; English stands in for a language that has no pack."""
        for language, root in self._places():
            path = root / f"{name}.txt"
            if path.is_file():
                return _read_prompt(path, language)
        raise UserError(f"There is no prompt '{name}' for language '{self.language}'.")

    def _mistakes(self, path: Path) -> Iterator[str]:
        """What keeps the user's file from standing in for a built-in prompt."""
        known = builtin_prompts()
        if path.suffix != ".txt" or path.stem not in known:
            near = process.extractOne(path.stem, known, score_cutoff=60)
            hint = f"did you mean {near[0]}.txt?" if near else f"known: {', '.join(known)}"
            yield f"is no prompt; {hint}"
            return
        try:
            own = _read_prompt(path, self.language)
            for _, text in own.sections:
                _ENVIRONMENT.from_string(text)
        except UserError as error:
            yield f"{error.message} {error.hint}"
            return
        except TemplateError as error:
            yield f"is no template of Jinja: {error}"
            return
        if path.stem in _PARTS and len(own.sections) != 1:
            yield f"has {len(own.sections)} sections; it becomes part of a message: leave it [user]"
        builtin = PromptPack(self.language).load(path.stem)
        for name in sorted(builtin.required - own.placeholders):
            yield f"lacks {{{{ {name} }}}}"
        for name in sorted(own.placeholders - builtin.placeholders):
            may = ", ".join(sorted(builtin.placeholders))
            yield f"{{{{ {name} }}}} has no value; it may use: {may}"

    def _places(self) -> list[tuple[str, Path]]:
        places = [] if self.folder is None else [(self.language, self.folder)]
        return [*places, (self.language, _BUILTIN / self.language), ("en", _BUILTIN / "en")]


def _is_meant_as_prompt(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and path.stem.lower() != "readme"


def _read_prompt(path: Path, language: str) -> Prompt:
    try:
        source = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Prompt {path} cannot be read: {error}.", "Save it as UTF-8.") from error
    return parse_prompt(source, f"{language}/{path.stem}")


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


def builtin_prompts() -> list[str]:
    """The names of all prompts."""
    return sorted(path.stem for path in (_BUILTIN / "en").glob("*.txt"))


def _builtin_folder(language: str) -> Path:
    own = _BUILTIN / language
    return own if own.is_dir() else _BUILTIN / "en"


@cache
def problem_texts(language: str) -> dict[str, str]:
    """What may be wrong with a reply, as the code says it, to the words of a pack."""
    path = _BUILTIN / language / "problems.yaml"
    if not path.is_file():
        return {}
    loaded: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def category_file(language: str, name: str) -> Path | None:
    """The built-in file of question categories ``name``; None where there is none."""
    for place in (_BUILTIN / language, _BUILTIN / "en"):
        path = place / "categories" / f"{name}.yaml"
        if path.is_file():
            return path
    return None
