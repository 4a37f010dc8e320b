"""Rows of a small table that a recipe names: seeds, questions."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from teichaku.core.errors import UserError
from teichaku.core.text import normalise
from teichaku.documents.content import LoadingError
from teichaku.documents.encodings import decode
from teichaku.documents.tables import find_delimiter


@dataclass(frozen=True)
class Row:
    """A row as the file has it, by names that are normalised; ``place`` is for people."""

    place: str
    values: Mapping[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL, JSON, YAML, CSV or TSV file, in any encoding.

    Raises ``UserError`` where it cannot be read.
    """
    readers = {
        **dict.fromkeys((".jsonl", ".ndjson"), _json_lines),
        **dict.fromkeys((".csv", ".tsv"), _table),
        **dict.fromkeys((".yaml", ".yml"), _yaml),
        ".json": _json,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: rows are not read from files of the kind '{path.suffix}'.",
            f"Make it one of {', '.join(readers)}.",
        )
    try:
        text, _ = decode(path.read_bytes())
        for place, values in reader(text):
            if not isinstance(values, dict):
                raise _BrokenFileError(f"{place}: it is no object with names and values.")
            yield Row(place, {normalise(str(key)): value for key, value in values.items()})
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}.",
            "Mend the path in the recipe; it is relative to the recipe.",
        ) from error
    except (LoadingError, _BrokenFileError) as error:
        raise UserError(f"{path}: {error}", "Mend the file there, or export it again.") from error


class _BrokenFileError(Exception):
    """A file is not of its format; the message says where and why."""


def _json_lines(text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _json_value(line, number)


def _json_value(text: str, first_line: int) -> Any:
    """The value of a JSON text; numbers keep their spelling."""
    try:
        return json.loads(text, parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise _BrokenFileError(f"line {line}: it is no JSON: {error.msg}.") from error
    except RecursionError as error:
        raise _BrokenFileError(f"line {first_line}: it is nested too deeply.") from error


def _json(text: str) -> Iterator[tuple[str, Any]]:
    value = _json_value(text, 1)
    for number, item in enumerate(_listed(value), 1):
        yield f"row {number}", item


def _listed(value: Any) -> list[Any]:
    """The list in ``value``: itself, or the only one in an object that wraps it."""
    lists = [value] if isinstance(value, list) else []
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
    if len(lists) != 1:
        raise _BrokenFileError("it is no list of rows, and no object with one list in it.")
    return lists[0]


def _yaml(text: str) -> Iterator[tuple[str, Any]]:
    try:
        root, value = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise _BrokenFileError(f"{line}it is no YAML: {what}.") from error
    nodes = root
    if isinstance(root, yaml.MappingNode):
        nodes = next((n for _, n in root.value if isinstance(n, yaml.SequenceNode)), None)
    for node, item in zip(nodes.value if nodes else [], _listed(value), strict=True):
        yield f"line {node.start_mark.line + 1}", item


def _table(text: str) -> Iterator[tuple[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=find_delimiter(text), strict=True)
    try:
        heading = next(reader, [])
        start = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"line {start}", dict(zip(heading, cells, strict=False))
            start = reader.line_num + 1
    except csv.Error as error:
        raise _BrokenFileError(f"line {reader.line_num}: it is no table: {error}.") from error


def first_filled(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """What stands under the first of ``names`` that is filled."""
    filled = (values[name] for name in map(normalise, names) if values.get(name) not in (None, ""))
    return next(filled, None)
