"""Rows of a small table that a recipe names: seeds, questions."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from teichaku.core.errors import UserError


@dataclass(frozen=True)
class Row:
    """A row by the names that were asked for, with its place in the file, for people."""

    place: str
    values: Mapping[str, str]


def read_rows(path: Path, columns: Mapping[str, Sequence[str]], needed: Sequence[str]) -> list[Row]:
    """The rows of a JSONL, JSON, YAML, CSV or TSV file in UTF-8.

    ``columns`` maps each name to the headings that stand for it, whatever their case. Raises
    ``UserError`` where the file cannot be read, has no row, or a row lacks one of ``needed``.
    """
    rows = []
    for place, found in _objects(path):
        by_heading = {str(heading).strip().casefold(): value for heading, value in found.items()}
        values = {}
        for name, headings in columns.items():
            given = (by_heading.get(heading.casefold()) for heading in headings)
            values[name] = next(filter(None, map(_text, given)), "")
        lacking = [name for name in needed if not values[name]]
        if lacking:
            also = "; ".join(f"{name}: {', '.join(columns[name])}" for name in lacking)
            raise UserError(
                f"{path}, {place}: it has no {' and no '.join(lacking)}.",
                f"The names that are known: {also}.",
            )
        rows.append(Row(place, values))
    if not rows:
        raise UserError(f"{path} has no rows.", "One row holds one question or instruction.")
    return rows


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The place of each row in the file, and the row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = list(_parsed(path.suffix.lower(), text))
    except (OSError, UnicodeDecodeError, csv.Error, yaml.YAMLError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read: {error}",
            "It is a JSONL, JSON, YAML, CSV or TSV file in UTF-8, each row with the same names.",
        ) from error
    for place, row in found:
        if not isinstance(row, Mapping):
            raise UserError(f"{path}, {place}: it is no row with names: {row!r}")
        yield place, row


def _parsed(suffix: str, text: str) -> Iterator[tuple[str, Any]]:
    if suffix in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",")
        for row in reader:
            yield f"line {reader.line_num}", {k: v for k, v in row.items() if k is not None}
    elif suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except ValueError as error:
                    raise ValueError(f"line {number} is no JSON: {error}") from error
    else:
        value = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
        if not isinstance(value, list):
            raise ValueError("it is no list of rows")
        for number, row in enumerate(value, 1):
            yield f"row {number}", row


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()
