"""What the terms of teachers say about training on their output.

The table (``terms.yaml``) has the source of each entry and the day on which it was read; a
table of the user's own goes before it. It helps to see a conflict early and is no legal advice.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import yaml

from teichaku.core.errors import UserError

LicenceClass = Literal["permissive", "conditions", "forbids_competing", "unknown"]

_TABLE = Path(__file__).with_name("terms.yaml")
_PERMISSIVE_LICENCES = re.compile(
    r"(apache-2\.0|mit|bsd(-[234]-clause)?|cc0(-1\.0)?|unlicense)", re.I
)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a family of teachers.

    ``name`` is what a recipe accepts them by, ``clause`` says in a sentence what they want,
    ``source`` where that stands, and ``checked`` (ISO date) when it was read; empty where it
    was not.
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
        if host in self.hosts:
            return True
        return any(re.search(pattern, model, re.IGNORECASE) for pattern in self.match)


UNKNOWN = Terms("unknown", "a model that the table of terms does not know", "unknown")


def terms_of(
    model: str, base_url: str = "", licence: str = "", own_table: Path | None = None
) -> Terms:
    """The terms of the teacher ``model`` behind ``base_url``: the first entry that covers it.

    ``licence`` is what the recipe says of a model that no entry covers. Raises ``UserError``
    where ``own_table`` cannot be read.
    """
    host = urlsplit(base_url).hostname or ""
    own = _read(own_table) if own_table is not None else ()
    for terms in (*own, *_read(_TABLE)):
        if terms.covers(model, host):
            return terms
    if _PERMISSIVE_LICENCES.fullmatch(licence.strip()):
        return Terms("as-stated", model, "permissive", f"{licence}, as the recipe says.")
    return UNKNOWN


@cache
def _read(path: Path) -> tuple[Terms, ...]:
    try:
        return tuple(_entries(yaml.safe_load(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, re.error, ValueError) as error:
        raise UserError(
            f"The table of terms cannot be read ({path}): {error}",
            "It is a list of entries with name, about, match (regular expressions) or hosts, "
            "class (permissive, conditions or forbids_competing), clause, source and checked.",
        ) from error


def _entries(rows: Any) -> Iterator[Terms]:
    if not isinstance(rows, list):
        raise ValueError("it is no list")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping) or not {"name", "class"} <= row.keys():
            raise ValueError(f"entry {number} has no name or no class")
        if row["class"] not in get_args(LicenceClass):
            raise ValueError(f"entry {number}: '{row['class']}' is no class")
        match = tuple(map(str, row.get("match") or ()))
        for pattern in match:
            re.compile(pattern)
        yield Terms(
            str(row["name"]),
            str(row.get("about") or row["name"]),
            row["class"],
            str(row.get("clause") or ""),
            str(row.get("source") or ""),
            str(row.get("checked") or ""),
            match,
            tuple(map(str, row.get("hosts") or ())),
        )
