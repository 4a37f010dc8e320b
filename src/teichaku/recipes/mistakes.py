"""What is wrong in a recipe, in words and each at its place: what pydantic finds, with the
nearest key and what was given, and what a recipe that reads well will fail for.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from pydantic import ValidationError
from rapidfuzz import process

from teichaku.core.errors import RecipeError, UserError
from teichaku.core.locale import translate
from teichaku.recipes.schema import recipe_schema

Location = tuple[str | int, ...]
_Schema = Mapping[str, Any]
_FULL_WIDTH_COLON, _FULL_WIDTH_SPACE = "\uff1a", "\u3000"
_QUOTED_OR_COMMENT = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|(?:^|(?<=\s))\#.*""")
_WIDE_INDENT = re.compile(r"[ \t-]*\u3000\s*\S")
#: After the first word of a line, of an item of a list, or of a mapping in braces.
_WIDE_COLON = re.compile(r"(?:^[\s-]*|[{,]\s*)[^\s:{}\[\],\uff1a]+\uff1a")
_WIDE_SPACE_AFTER = re.compile(r"(?:^[\s-]*|[{,]\s*)[^\s:{}\[\],]+:\u3000")


class UnworkableError(RecipeError):
    """A recipe that reads well and will fail: every mistake with the key that it is about."""

    def __init__(self, found: Sequence[tuple[Location, UserError]]) -> None:
        self.found = found
        lines = [f"  {'.'.join(map(str, where))}: {with_hint(what)}" for where, what in found]
        super().__init__("\n".join([heading("", len(found)), *lines]))


class Gathering:
    """Mistakes that are found one after the other and told together."""

    def __init__(self) -> None:
        self._found: dict[tuple[Location, str], UserError] = {}

    def __len__(self) -> int:
        return len(self._found)

    @contextmanager
    def at(self, *location: str | int) -> Iterator[None]:
        """Take down what is raised inside as a mistake of the key at ``location``."""
        try:
            yield
        except UserError as error:
            self._found.setdefault((location, str(error)), error)

    def tell(self) -> None:
        """Raise ``UnworkableError`` where anything was found."""
        if self._found:
            raise UnworkableError([(where, error) for (where, _said), error in self._found.items()])


def heading(recipe: str, count: int) -> str:
    """What goes before ``count`` mistakes of ``recipe``, which is its file, or empty."""
    said = translate("{count} mistake(s) in the recipe:").format(count=count)
    return f"{recipe}: {said}" if recipe else said


def with_hint(error: UserError) -> str:
    """A mistake, and below it what to do."""
    return str(error).replace("\n", "\n    ")


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
        return unknown_key(str(location[-1]), _allowed_keys(location))
    if error["type"] == "missing":
        return translate("missing")
    if error["type"].startswith("union_tag"):
        return _tag_message(error)
    given = error.get("input")
    what = _plainly(error)
    if error["type"] == "string_type" and isinstance(given, int | float | date):
        return what + translate(" (YAML reads it as {given!r}: write it in quotes)").format(
            given=given
        )
    is_shown = isinstance(given, str | int | float | bool)
    return what + (translate(" (given: {given!r})").format(given=given) if is_shown else "")


def unknown_key(name: str, known: Sequence[str]) -> str:
    """What is wrong with the key ``name`` where only ``known`` may stand."""
    if name.startswith(_FULL_WIDTH_SPACE):
        return wide_indent()
    key, colon, _value = name.partition(_FULL_WIDTH_COLON)
    if colon and key.strip() in known:
        return wide_colon()
    return translate("unknown key") + _nearest(name, known)


def wide_indent() -> str:
    """What is wrong with an indentation in U+3000."""
    return translate("a full-width space (U+3000) stands in the indentation: use ordinary spaces")


def wide_colon() -> str:
    """What is wrong with a key and U+FF1A."""
    return translate(
        "a full-width colon stands after the key: write an ordinary one and a space, ': '"
    )


def wide_typos(source: str) -> Iterator[tuple[int, str]]:
    """Full-width spaces and colons of YAML that cannot be read, outside of quotes and comments,
    each with its line: YAML takes them for letters and stumbles later.
    """
    for number, line in enumerate(source.splitlines(), 1):
        bare = _QUOTED_OR_COMMENT.sub('""', line)
        if _WIDE_INDENT.match(bare):
            yield number, wide_indent()
        if _WIDE_COLON.search(bare):
            yield number, wide_colon()
        elif _WIDE_SPACE_AFTER.search(bare):
            yield (
                number,
                translate(
                    "a full-width space (U+3000) stands after the colon: use an ordinary one"
                ),
            )


def beside_unknown_tags(errors: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Location, str]]:
    """Unknown keys in sections of which it is not known what they are: those that nothing has
    that could stand there. Pydantic does not look into such a section.
    """
    for error in errors:
        section, where = error.get("input"), error["loc"]
        if not error["type"].startswith("union_tag") or not isinstance(section, dict):
            continue
        allowed = _allowed_keys((*where, ""))
        for key in section if allowed else ():
            if key not in allowed:
                yield (*where, str(key)), unknown_key(str(key), allowed)


def _plainly(error: Mapping[str, Any]) -> str:
    """What pydantic's commonest complaints say, in plain words; of others, its own."""
    kind, context = error["type"], error.get("ctx", {})
    whole, mapping = translate("must be a whole number"), translate("must be a mapping of keys")
    number, truth = translate("must be a number"), translate("must be true or false")
    words = {
        **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), whole),
        **dict.fromkeys(("float_type", "float_parsing", "finite_number"), number),
        **dict.fromkeys(("bool_type", "bool_parsing"), truth),
        **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), mapping),
        "string_type": translate("must be text"),
        "list_type": translate("must be a list: [one, another]"),
        "literal_error": translate("must be one of: {expected}"),
        "greater_than": translate("must be greater than {gt}"),
        "greater_than_equal": translate("must be at least {ge}"),
        "less_than": translate("must be less than {lt}"),
        "less_than_equal": translate("must be at most {le}"),
    }
    if kind == "literal_error":
        context = {"expected": re.sub(" or (?='[^']*'$)", ", ", context["expected"])}
    return words[kind].format(**context) if kind in words else str(error["msg"])


def in_one_line(error: Exception) -> str:
    """What ``error`` says; of pydantic's, each mistake after its place."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = distinct_errors(error)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in found)


def nearest(name: str, known: Sequence[str]) -> str:
    """``; did you mean 'X'?``, or all that is known where nothing is near."""
    return _of_known(name, known, "; did you mean '{name}'?", "; known: {names}")


def _nearest(name: str, known: Sequence[str]) -> str:
    """The same in the language of the interface."""
    return _of_known(
        name, known, translate("; did you mean '{name}'?"), translate("; known: {names}")
    )


def _of_known(name: str, known: Sequence[str], near: str, otherwise: str) -> str:
    found = process.extractOne(name, known, score_cutoff=60)
    return near.format(name=found[0]) if found else otherwise.format(names=", ".join(known))


def _tag_message(error: Mapping[str, Any]) -> str:
    context = error["ctx"]
    key = context["discriminator"].strip("'")
    if "tag" not in context:
        return translate("needs '{key}'").format(key=key)
    expected = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
    given = context["tag"]
    return translate("'{given}' is no {key}").format(given=given, key=key) + _nearest(
        given, expected
    )


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
