"""From a YAML file to a checked recipe: all mistakes at once, with lines and the nearest key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from rapidfuzz import process

from teichaku.core.errors import RecipeError, UserError
from teichaku.recipes.schema import Recipe

BUILTIN = Path(__file__).parent / "builtin"
_Location = tuple[str | int, ...]


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
    """The recipe in the file at ``path``.

    ``profile`` names one of its ``profiles``, whose values replace the recipe's own; the
    recipe's ``profile`` key names the default one, ``full`` means none. ``settings`` are
    ``key.path=value`` from the command line. Raises ``RecipeError`` with every mistake.
    """
    try:
        source = path.read_text(encoding="utf-8-sig")
        node = yaml.compose(source, Loader=yaml.SafeLoader)
        data = yaml.safe_load(source)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path} is empty or no mapping.", "Start from: teichaku new my-study")
    data = _with_profile(data, profile, path)
    for setting in settings:
        _set(data, setting)
    mistakes = list(_repeated_keys(node))
    try:
        recipe = Recipe.model_validate(_floats(data))
    except ValidationError as error:
        mistakes += [_mistake(e, node) for e in _distinct(error.errors())]
        raise _all_mistakes(path, mistakes) from error
    if mistakes:
        raise _all_mistakes(path, mistakes)
    return recipe


def _all_mistakes(path: Path, mistakes: Iterable[tuple[int, str]]) -> RecipeError:
    lines = [f"  {path.name}:{line}: {text}" for line, text in sorted(mistakes)]
    return RecipeError(
        f"{path}: {len(lines)} mistake(s) in the recipe:\n" + "\n".join(lines),
        "The keys and their meaning: teichaku recipe schema",
    )


def _repeated_keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one mapping: YAML would silently take the last."""
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated_keys(value)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if first.setdefault(key.value, line) != line:
                yield line, f"{key.value}: stands twice (first in line {first[key.value]})"
            yield from _repeated_keys(value)


def merged(base: Any, changes: Any) -> Any:
    """``base`` with ``changes`` on top: mappings are merged, anything else is replaced.

    A model of another backend is another model: its mapping is replaced as a whole.
    """
    if isinstance(base, dict) and isinstance(changes, dict):
        if changes.get("backend", base.get("backend")) != base.get("backend"):
            return deepcopy(changes)
        return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}
    return deepcopy(changes)


def _with_profile(data: dict[str, Any], profile: str | None, path: Path) -> dict[str, Any]:
    data = dict(data)
    profiles = data.pop("profiles", None) or {}
    chosen = profile or data.pop("profile", None)
    data.pop("profile", None)
    if chosen in (None, "full"):
        return data
    if chosen not in profiles:
        raise RecipeError(
            f"{path} has no profile '{chosen}'.",
            f"It has: {', '.join([*profiles, 'full'])}.",
        )
    result: dict[str, Any] = merged(data, profiles[chosen])
    return result


def _set(data: dict[str, Any], setting: str) -> None:
    key, mark, value = setting.partition("=")
    if not mark:
        raise UserError(f"'{setting}' sets nothing.", "Write it as key=value: --set seed=1")
    place: Any = data
    *parents, last = key.strip().split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise UserError(f"'{setting}' cannot be set: '{parent}' is no mapping in this recipe.")
    place[last] = yaml.safe_load(value)


def _floats(data: Any) -> Any:
    """YAML 1.1 reads ``1e-4`` as text; a recipe means the number."""
    if isinstance(data, dict):
        return {key: _floats(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_floats(value) for value in data]
    if isinstance(data, str) and "e" in data.lower() and data[:1] in "+-.0123456789" and data:
        try:
            return float(data)
        except ValueError:
            return data
    return data


def _distinct(errors: Iterable[Any]) -> Iterator[Any]:
    seen = set()
    for error in errors:
        key = (error["loc"], error["type"])
        if key not in seen:
            seen.add(key)
            yield error


def _mistake(error: Mapping[str, Any], root: yaml.Node | None) -> tuple[int, str]:
    line, path, schema_path = _place(root, error["loc"])
    return line, f"{path or 'recipe'}: {_what(error, schema_path)}"


def _what(error: Mapping[str, Any], schema_path: Sequence[str]) -> str:
    if error["type"] == "extra_forbidden":
        allowed = _allowed_keys(schema_path)
        near = process.extractOne(schema_path[-1], allowed, score_cutoff=60) if allowed else None
        hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(allowed)}"
        return f"unknown key{hint}"
    if error["type"] == "missing":
        return "missing"
    if error["type"].startswith("union_tag"):
        return _tag_message(error)
    given = error.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{error['msg']}{shown}"


def _tag_message(error: Mapping[str, Any]) -> str:
    context = error["ctx"]
    key = context["discriminator"].strip("'")
    if "tag" not in context:
        return f"needs '{key}'"
    expected = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
    near = process.extractOne(context["tag"], expected, score_cutoff=60)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(expected)}"
    return f"'{context['tag']}' is no {key}{hint}"


def _place(root: yaml.Node | None, location: _Location) -> tuple[int, str, list[str]]:
    """Line (from 1), dotted path, and the models on the way to a validation error.

    Names that pydantic adds to a location (the tags of unions) are no keys of the file; they
    are passed over. A missing key is at the line of the mapping that lacks it.
    """
    node, line, path = root, 1 if root is None else root.start_mark.line + 1, ""
    schema_path: list[str] = []
    for step in location:
        schema_path.append(str(step))
        found = _child(node, step)
        if found is None and step is not location[-1]:
            continue
        if found is not None:
            key_line, node = found
            line = key_line
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return line, path, schema_path


def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        value = node.value[step]
        return value.start_mark.line + 1, value
    return None


def _allowed_keys(schema_path: Sequence[str]) -> list[str]:
    """The keys that may stand where the unknown key (the last of the path) stood."""
    schema = Recipe.model_json_schema()
    place: Any = schema
    for step in schema_path[:-1]:
        place = _resolve(place, schema)
        if step in place.get("properties", {}):
            place = place["properties"][step]
        elif isinstance(place.get("additionalProperties"), dict):
            place = place["additionalProperties"]
        elif "items" in place and step.isdigit():
            place = place["items"]
        else:
            place = _variant(place, step, schema)
    return list(_resolve(place, schema).get("properties", {}))


def _resolve(place: Any, schema: Mapping[str, Any]) -> Any:
    while "$ref" in place:
        place = schema["$defs"][place["$ref"].rsplit("/", 1)[1]]
    return place


def _variant(place: Any, tag: str, schema: Mapping[str, Any]) -> Any:
    for choice in (*place.get("oneOf", ()), *place.get("anyOf", ())):
        found = _resolve(choice, schema)
        tags = [v.get("const", v.get("enum")) for v in found.get("properties", {}).values()]
        if found.get("title") == tag or any(tag == t or tag in (t or ()) for t in tags):
            return found
        if "oneOf" in found:
            return _variant(found, tag, schema)
    return {}
