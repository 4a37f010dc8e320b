"""From a YAML file to a checked recipe: all mistakes at once, with lines and the nearest key."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from teichaku.core.errors import RecipeError, UserError
from teichaku.core.locale import translate
from teichaku.recipes.arms import arm_mistakes, merged
from teichaku.recipes.mistakes import (
    Location,
    UnworkableError,
    beside_unknown_tags,
    distinct_errors,
    heading,
    in_words,
    unknown_key,
    wide_typos,
    with_hint,
)
from teichaku.recipes.schema import Arm, Profiles, Recipe
from teichaku.recipes.section import Section

BUILTIN = Path(__file__).parent / "builtin"
Model = TypeVar("Model", bound=BaseModel)
_Mistake = tuple[Location, str]
#: The line of a mistake (0: none), the same as it is shown, and what is wrong.
_Told = tuple[int, str, str]


class _Loader(yaml.SafeLoader):
    """YAML 1.1, and ``1e-4`` is a number unless it stands in quotes."""


class _Dumper(yaml.SafeDumper):
    """Writes what :class:`_Loader` reads as the same."""


_EXPONENT = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$")
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def builtin_recipes() -> dict[str, Path]:
    """The recipes that ship with the package, by name."""
    return {path.parent.name: path for path in sorted(BUILTIN.glob("*/recipe.yaml"))}


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, a folder with ``recipe.yaml`` in it, or a built-in name."""
    path = Path(name)
    builtin = builtin_recipes()
    if path.is_file():
        return path
    if (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if name in builtin:
        return builtin[name]
    raise UserError(
        f"There is no recipe at {name}.",
        f"Built-in recipes: {', '.join(builtin)}. Start one of your own: teichaku new my-study",
    )


def load_recipe(path: Path, profile: str | None = None, settings: Sequence[str] = ()) -> Recipe:
    """The recipe in the file at ``path``; :func:`read_recipe` says how."""
    return read_recipe(path, profile, settings)[0]


def read_recipe(
    path: Path, profile: str | None = None, settings: Sequence[str] = ()
) -> tuple[Recipe, str]:
    """The recipe in the file at ``path``, and the name of the profile in effect.

    ``profile`` names one of its ``profiles``, whose values replace the recipe's own; the
    recipe's ``profile`` key names the default one, ``full`` means none. ``settings`` are
    ``key.path=value`` from the command line. Raises ``RecipeError`` with every mistake.
    """
    node, data = _read(path)
    beside = {key: data.pop(key) for key in Profiles.model_fields if key in data}
    profiles, mistakes = _validated(Profiles, beside)
    chosen = ""
    if profiles is not None:
        data, chosen = _with_profile(data, profiles, profile, path)
    for setting in settings:
        _set(data, setting)
    recipe, found = _validated(Recipe, data)
    mistakes += [*found, *arm_mistakes(data)]
    nodes = [_descend(node, ("profiles", chosen)), node]
    told = [*_repeated(path, node), *_on_their_lines(path, nodes, mistakes, settings)]
    if told or recipe is None:
        raise _all_mistakes(path, told)
    return recipe, chosen


@contextmanager
def with_lines(
    path: Path, profile: str | None = None, settings: Sequence[str] = ()
) -> Iterator[None]:
    """Tell what the recipe in the file at ``path`` will fail for, where that is raised inside, with
    the lines of the keys, as a ``RecipeError``. ``profile`` and ``settings`` are those of
    :func:`read_recipe`.
    """
    try:
        yield
    except UnworkableError as error:
        node, data = _read(path)
        chosen = profile or data.get("profile") or ""
        nodes = [_descend(node, ("profiles", chosen)), node]
        mistakes = [(where, with_hint(what)) for where, what in error.found]
        raise _all_mistakes(path, _on_their_lines(path, nodes, mistakes, settings), "") from error


def load_sections(path: Path, model: type[Model]) -> Model:
    """The YAML file at ``path``, which is no recipe, as ``model``. Raises ``RecipeError`` with
    every mistake.
    """
    node, data = _read(path)
    unknown = [str(key) for key in data if key not in model.model_fields]
    known = list(model.model_fields)
    found, mistakes = _validated(model, {key: data[key] for key in data if key in known})
    mistakes += [((key,), unknown_key(key, known)) for key in unknown]
    told = [*_repeated(path, node), *_on_their_lines(path, [node], mistakes)]
    if told or found is None:
        raise _all_mistakes(path, told)
    return found


def limited(recipe: Recipe, limit: int) -> Recipe:
    """``recipe`` with ``limit`` documents, or seeds where it has no documents, at most, and so
    many examples of each source of data of others.

    It has a name of its own: a small run must not overwrite the whole one's results.
    """
    changes: dict[str, Any] = {"name": f"{recipe.name}-limit-{limit}"}
    if recipe.documents is not None:
        changes["documents"] = recipe.documents.model_copy(update={"limit": limit})
    elif recipe.seeds is not None:
        changes["seeds"] = recipe.seeds.model_copy(update={"limit": limit})
    changes["arms"] = {name: _limited_arm(arm, limit) for name, arm in recipe.arms.items()}
    return recipe.model_copy(update=changes)


def _limited_arm(arm: Arm, limit: int) -> Arm:
    if arm.mix is None:
        return arm
    sources = [
        one.model_copy(update={"limit": min(limit, one.limit or limit)}) for one in arm.mix.sources
    ]
    return arm.model_copy(update={"mix": arm.mix.model_copy(update={"sources": sources})})


def dump_recipe(recipe: Recipe) -> str:
    """``recipe`` as YAML with all that it left to defaults; loading it gives an equal one."""
    return yaml.dump(_plain(recipe), Dumper=_Dumper, allow_unicode=True, sort_keys=False)


def _plain(value: Any) -> Any:
    """``value`` without the nulls that are defaults: an absent key says the same in less."""
    if isinstance(value, Section):
        fields = type(value).model_fields
        kept = ((n, v) for n, v in value if v is not None or fields[n].default is not None)
        return {name: _plain(child) for name, child in kept}
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list | tuple) else value


def _read(path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The nodes and the values of a mapping. Raises ``RecipeError``."""
    source = ""
    try:
        source = path.read_text(encoding="utf-8-sig")
        node, data = _parse(source)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no text in UTF-8: {error}", "Save it as UTF-8.") from error
    except FileNotFoundError as error:
        raise RecipeError(f"There is no file {path}.", "Mend the path.") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # What comes after the place at which YAML stumbles is not what it stumbles over.
        source = "\n".join(source.splitlines()[: mark.line + 1]) if mark else source
        raise _no_yaml(path, source, _yaml_words(error, path.name)) from error
    if not isinstance(data, dict) and data is not None and [*wide_typos(source)]:
        raise _no_yaml(path, source, translate("it has no keys"))
    if not isinstance(data, dict):
        raise RecipeError(f"{path} is empty or no mapping.", "Start from: teichaku new my-study")
    return node, data


def _no_yaml(path: Path, source: str, why: str) -> RecipeError:
    """What is wrong with a file that cannot be read, the common slips of the keyboard first."""
    told = [f"\n  {path.name}:{line}: {what}" for line, what in wide_typos(source)]
    why = "".join([*told, "\n  " if told else "", why])
    said = translate("{path} is not YAML: {why}").format(path=path, why=why)
    return RecipeError(said, translate("Mend that place."))


def _yaml_words(error: yaml.YAMLError, name: str) -> str:
    """What ``error`` says, of a text that is called ``name``."""
    return str(error).replace('"<unicode string>"', name)


def _parse(source: str) -> tuple[yaml.Node | None, Any]:
    """The nodes (for their lines) and the values. Raises ``yaml.YAMLError``, and nothing else."""
    try:
        node = yaml.compose(source, Loader=_Loader)
        _refuse_endless(node, frozenset())
        return node, yaml.load(source, Loader=_Loader)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except (ValueError, LookupError, AttributeError) as error:
        # PyYAML's own slips: 2024-13-01 looks like a date and is none, !!bool x is no bool.
        raise yaml.YAMLError(f"a value is not what it looks like ({error})") from error


def _refuse_endless(node: yaml.Node | None, above: frozenset[int]) -> None:
    """Raise ``yaml.YAMLError`` for an alias that stands inside what it names."""
    if not isinstance(node, yaml.CollectionNode):
        return
    if id(node) in above:
        raise yaml.MarkedYAMLError(
            problem="an alias stands inside what it names", problem_mark=node.start_mark
        )
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            _refuse_endless(part, above | {id(node)})


def _validated(model: type[Model], data: Any) -> tuple[Model | None, list[_Mistake]]:
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found = list(distinct_errors(error))
        told = [(one["loc"], in_words(one, one["loc"])) for one in found]
        return None, [*told, *beside_unknown_tags(found)]


def _all_mistakes(path: Path, mistakes: Iterable[_Told], hint: str | None = None) -> RecipeError:
    lines = [f"  {place}: {text}" for _line, place, text in sorted(set(mistakes))]
    if hint is None:
        hint = translate("The keys and their meaning: teichaku recipe schema")
    return RecipeError("\n".join([heading(str(path), len(lines)), *lines]), hint)


def _repeated(path: Path, node: yaml.Node | None) -> list[_Told]:
    return [(line, f"{path.name}:{line}", what) for line, what in repeated_keys(node)]


def repeated_keys(
    node: yaml.Node | None, seen: set[int] | None = None
) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one mapping, each with its line and what is wrong: YAML would
    silently take the last. ``seen`` are nodes that were looked at: an alias is one of them again.
    """
    seen = set() if seen is None else seen
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from repeated_keys(value, seen)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if name in first:
                twice = translate("stands twice (first in line {line})").format(line=first[name])
                yield line, f"{name}: {twice}"
            first.setdefault(name, line)
            yield from repeated_keys(value, seen)


def _with_profile(
    data: Mapping[str, Any], stated: Profiles, profile: str | None, path: Path
) -> tuple[dict[str, Any], str]:
    """A copy of ``data`` with the profile's changes, and which profile that is."""
    profiles = stated.profiles or {}
    chosen = profile or stated.profile or ""
    if chosen not in ("", "full", *profiles):
        raise RecipeError(
            f"{path} has no profile '{chosen}'.",
            f"It has: {', '.join([*profiles, 'full'])}.",
        )
    return merged(dict(data), profiles.get(chosen) or {}), chosen


def _set(data: dict[str, Any], setting: str) -> None:
    key, mark, value = setting.partition("=")
    if not mark:
        raise UserError(f"'{setting}' sets nothing.", "Write it as key=value: --set seed=1")
    place: Any = data
    *parents, last = key.strip().split(".")
    if (parents or [last])[0] in Profiles.model_fields:
        raise UserError(f"'{setting}' cannot be set.", "Choose a profile: --profile NAME")
    for parent in parents:
        inner = place.get(parent, {})
        if not isinstance(inner, dict):
            raise UserError(f"'{setting}' cannot be set: '{parent}' is no mapping in this recipe.")
        # A copy, because an alias of YAML puts one mapping in two places.
        place[parent] = place = dict(inner)
    try:
        place[last] = _parse(value)[1]
    except yaml.YAMLError as error:
        raise UserError(
            f"'{setting}' cannot be set: '{value}' is not YAML: {_yaml_words(error, key)}",
            "Write the value as in a recipe, in quotes for the shell: --set 'arms.qa.matrix={}'",
        ) from error


def place_of(path: Path, location: Location, profile: str = "") -> tuple[int, int]:
    """How many steps of ``location`` the recipe's file at ``path`` has, and the line (from 1) of
    the last of these. Where ``profile`` states the first step, it is that of the profile.
    """
    node, _ = _read(path)
    changed = _descend(node, ("profiles", profile))
    stated = changed if changed is not None and _child(changed, location[0]) else node
    steps, line, _ = _place(stated, location)
    return steps, line


def _on_their_lines(
    path: Path,
    nodes: Sequence[yaml.Node | None],
    mistakes: Iterable[_Mistake],
    settings: Sequence[str] = (),
) -> list[_Told]:
    """Each mistake with its line, from those of ``nodes`` that leads furthest to it, or with that
    of ``settings`` which states it.
    """
    keys = [setting.partition("=")[0].strip() for setting in settings]
    told: list[_Told] = []
    for location, what in mistakes:
        node = max(filter(None, nodes), key=lambda one: _place(one, location)[0], default=None)
        _steps, line, key = _place(node, location)
        by = max((one for one in keys if _states(one, location, node)), key=len, default="")
        if by:
            said = what if by.endswith(key) else f"{key}: {what}"
            told.append((0, f"--set {by}", said))
        else:
            told.append((line, f"{path.name}:{line}", f"{key or 'recipe'}: {what}"))
    return told


def _states(key: str, location: Location, node: yaml.Node | None) -> bool:
    """Whether a setting of ``key`` makes what stands at ``location``, and not the file, which has
    ``node``. Names that pydantic adds to a location are passed over: the file has none of them.
    """
    parts = key.split(".")
    for step in location:
        if not parts:
            return True
        found = _child(node, step)
        if str(step) == parts[0]:
            del parts[0]
            node = found[1] if found else None
        elif found:
            return False
    # A setting of something below makes a section that the file has not.
    return not parts or node is None


def _place(root: yaml.Node | None, location: Location) -> tuple[int, int, str]:
    """How many steps lead to a mistake from ``root``, its line (from 1), and its dotted path.

    Names that pydantic adds to a location (the tags of unions, ``[key]``) are no keys of the
    file; they are passed over. A missing key is at the line of the mapping that lacks it.
    """
    node, line, path, steps = root, 1 if root is None else root.start_mark.line + 1, "", 0
    for number, step in enumerate(location, 1):
        found = _child(node, step)
        if found is None and (number < len(location) or "[" in str(step)):
            continue
        if found is not None:
            (line, node), steps = found, steps + 1
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return steps, line, path


def _descend(node: yaml.Node | None, location: Location) -> yaml.Node | None:
    for step in location:
        found = _child(node, step)
        node = found[1] if found else None
    return node


def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):  # of two that are the same, YAML takes the last
            if key.value == str(step):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        value = node.value[step]
        return value.start_mark.line + 1, value
    return None
