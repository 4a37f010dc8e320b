"""What the terms of teachers say about training on their output.

The table (``terms.yaml``) has the source of each entry and the day on which it was read; a
table of the user's own goes before it. It helps to see a conflict early and is no legal advice.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import yaml

from teichaku.core.errors import UserError

LicenceClass = Literal["permissive", "conditions", "forbids_competing", "unknown"]

#: From the mildest to the strictest: what is not known may be anything but is not forbidden yet.
STRICTNESS: tuple[LicenceClass, ...] = (
    "permissive",
    "conditions",
    "unknown",
    "forbids_competing",
)
_KEYS = frozenset({"name", "about", "match", "hosts", "class", "clause", "source", "checked"})
_TABLE = Path(__file__).with_name("terms.yaml")
_PERMISSIVE_LICENCES = re.compile(
    r"(apache-2\.0|mit|bsd(-[234]-clause)?|cc0(-1\.0)?|unlicense)", re.I
)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a family of teachers.

    ``name`` is what a recipe accepts them by, ``clause`` says in a sentence what they want (or
    why they are not known), ``source`` where that stands, and ``checked`` (ISO date) when it was
    read; empty where it was not. ``match`` are regular expressions for names of models, ``hosts``
    names of servers, in which ``*`` stands for any characters.
    """

    name: str
    about: str
    licence_class: LicenceClass
    clause: str = ""
    source: str = ""
    checked: str = ""
    match: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def covers(self, model: str, host: str) -> bool:
        """Whether the terms are those of ``model``, served by ``host``."""
        if any(fnmatchcase(host, pattern) for pattern in self.hosts):
            return True
        return any(re.search(pattern, model, re.IGNORECASE) for pattern in self.match)


UNKNOWN = Terms("unknown", "a model that the table of terms does not know", "unknown")


def terms_of(
    model: str, base_url: str = "", licence: str = "", own_table: Path | None = None
) -> Terms:
    """The terms of the teacher ``model`` behind ``base_url``: the first entry that covers it.

    ``licence`` is what the recipe says of a model that no entry covers, or one that does not know
    its terms. Raises ``UserError`` where ``own_table`` cannot be read.
    """
    host = urlsplit(base_url).hostname or ""
    own = _read(own_table) if own_table is not None else ()
    tables = (*own, *_read(_TABLE))
    found = next((terms for terms in tables if terms.covers(model, host)), UNKNOWN)
    stated = _PERMISSIVE_LICENCES.fullmatch(licence.strip())
    if found.licence_class == "unknown" and stated:
        return Terms("as-stated", model, "permissive", f"{licence}, as the recipe says.")
    return found


@cache
def _read(path: Path) -> tuple[Terms, ...]:
    try:
        return tuple(_entries(yaml.safe_load(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise UserError(
            f"The table of terms cannot be read ({path}): {error}",
            "It is a list of entries with name, about, match (regular expressions) or hosts, "
            "class (permissive, conditions, forbids_competing or unknown), clause, source and "
            "checked.",
        ) from error


def _entries(rows: Any) -> Iterator[Terms]:
    if not isinstance(rows, list):
        raise ValueError("it is no list")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping) or not {"name", "class"} <= row.keys():
            raise ValueError(f"entry {number} has no name or no class")
        try:
            yield _entry(row)
        except ValueError as error:
            raise ValueError(f"entry {number} ({row['name']}): {error}") from error


def _entry(row: Mapping[str, Any]) -> Terms:
    """Raises ``ValueError`` for what would never cover a model, or cover one unawares."""
    unknown = sorted(str(key) for key in row.keys() - _KEYS)
    if unknown:
        raise ValueError(f"there is no key '{unknown[0]}'")
    if row["class"] not in get_args(LicenceClass):
        raise ValueError(f"'{row['class']}' is no class")
    match, hosts = _texts(row, "match"), tuple(map(str.lower, _texts(row, "hosts")))
    if not match and not hosts:
        raise ValueError("it has neither match nor hosts, so it is the entry of no model")
    for pattern in match:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"match: '{pattern}' is no regular expression: {error}") from error
    for host in hosts:
        if set(host) & set("/ ") or host.count(":") == 1:
            raise ValueError(f"hosts: '{host}' is no host's name, such as api.example.com")
    name, about = str(row["name"]), str(row.get("about") or row["name"])
    clause, source, checked = (str(row.get(key) or "") for key in ("clause", "source", "checked"))
    return Terms(name, about, row["class"], clause, source, checked, match, hosts)


def _texts(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The strings under ``key``, where one alone need be no list. An empty one is refused,
    because it would be found in every name.
    """
    given = row.get(key)
    listed = [] if given is None else given if isinstance(given, list) else [given]
    for one in listed:
        if not isinstance(one, str) or not one.strip():
            raise ValueError(f"{key}: {one!r} is no text; put it in quotes, or a list of texts")
    return tuple(listed)
