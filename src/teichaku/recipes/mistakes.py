"""What pydantic finds wrong in a recipe, in words: the nearest key, and what was given."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import ValidationError
from rapidfuzz import process

from teichaku.recipes.schema import recipe_schema

Location = tuple[str | int, ...]
_Schema = Mapping[str, Any]
_NO_MAPPING = ("dict_type", "model_type", "model_attributes_type")


def distinct_errors(error: ValidationError) -> Iterator[Any]:
    """The errors in ``error``, each once."""
    seen = set()
    for found in error.errors():
        key = (found["loc"], found["type"])
        if key not in seen:
            seen.add(key)
            yield found


def in_words(error: Mapping[str, Any], location: Sequence[str | int]) -> str:
    """What is wrong; ``location`` is where in a recipe, with the names that pydantic adds."""
    if error["type"] == "extra_forbidden":
        return f"unknown key{nearest(str(location[-1]), _allowed_keys(location))}"
    if error["type"] == "missing":
        return "missing"
    if error["type"].startswith("union_tag"):
        return _tag_message(error)
    given = error.get("input")
    if error["type"] == "string_type" and isinstance(given, int | float | date):
        return f"{error['msg']} (YAML reads it as {given!r}: write it in quotes)"
    what = "Input should be a mapping of keys" if error["type"] in _NO_MAPPING else error["msg"]
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{what}{shown}"


def in_one_line(error: Exception) -> str:
    """What ``error`` says; of pydantic's, each mistake after its place."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = distinct_errors(error)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in found)


def nearest(name: str, known: Sequence[str]) -> str:
    """``; did you mean 'X'?``, or all that is known where nothing is near."""
    near = process.extractOne(name, known, score_cutoff=60)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"


def _tag_message(error: Mapping[str, Any]) -> str:
    context = error["ctx"]
    key = context["discriminator"].strip("'")
    if "tag" not in context:
        return f"needs '{key}'"
    expected = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
    return f"'{context['tag']}' is no {key}{nearest(context['tag'], expected)}"


def _allowed_keys(location: Sequence[str | int]) -> list[str]:
    """The keys that may stand where the unknown key (the last of ``location``) stood."""
    schema = recipe_schema()
    places = list(_choices(schema, schema))
    for step in map(str, location[:-1]):
        inside = [
            choice for p in places for i in _inside(p, step) for choice in _choices(i, schema)
        ]
        # A step that is no key is the tag of a union: it picks one choice, or says nothing.
        places = inside or [place for place in places if _has_tag(place, step)] or places
    return list(dict.fromkeys(key for place in places for key in place.get("properties", {})))


def _choices(place: _Schema, schema: _Schema) -> Iterator[_Schema]:
    """``place`` with references followed, one for each choice of a union."""
    if "$ref" in place:
        yield from _choices(schema["$defs"][place["$ref"].rpartition("/")[2]], schema)
    elif "oneOf" in place or "anyOf" in place:
        for choice in (*place.get("oneOf", ()), *place.get("anyOf", ())):
            yield from _choices(choice, schema)
    else:
        yield place


def _inside(place: _Schema, step: str) -> Iterable[_Schema]:
    if step in place.get("properties", {}):
        return [place["properties"][step]]
    if isinstance(place.get("additionalProperties"), dict):
        return [place["additionalProperties"]]
    return [place["items"]] if "items" in place and step.isdigit() else []


def _has_tag(place: _Schema, tag: str) -> bool:
    values = place.get("properties", {}).values()
    return place.get("title") == tag.strip("[]") or any(
        tag == value.get("const") or tag in value.get("enum", ()) for value in values
    )
