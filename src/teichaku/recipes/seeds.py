"""Instructions that people wrote, read from a file: what methods for instructions begin with."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from teichaku.core.errors import UserError
from teichaku.core.records import Example, content_id
from teichaku.core.replies import text_value
from teichaku.core.text import normalise
from teichaku.documents.content import LoadingError, clean
from teichaku.documents.encodings import decode
from teichaku.documents.tables import find_delimiter

#: The method of examples that people wrote.
SEED = "seed"

#: What a column or key may be called; the first that is filled counts.
_NAMES: dict[str, tuple[str, ...]] = {
    "instruction": ("instruction", "指示", "prompt", "question", "質問", "text"),
    "input": ("input", "入力", "context", "文脈"),
    "output": ("output", "出力", "response", "answer", "回答", "答え"),
    "category": ("category", "カテゴリ", "カテゴリー", "分類"),
    "viewpoint": ("viewpoint", "観点"),
    "is_classification": ("is_classification", "分類課題"),
    "licence": ("licence", "license", "ライセンス"),
    "id": ("id", "番号"),
}
_TRUE = frozenset({"true", "1", "yes", "はい", "○"})
_SHOWN_MISTAKES = 10


def read_seeds(path: Path, language: str, licence: str = "") -> list[Example]:
    """The seeds in the JSONL, JSON, YAML, CSV or TSV file at ``path``, as examples of the method
    ``seed`` without a document.

    Each has ``instruction`` and ``output``, or what :data:`_NAMES` lists for them, and may have
    ``input``, ``category``, ``viewpoint`` (the category where there is none), ``licence`` (else
    it is ``licence``; it stands in ``licence_class``), ``id``, and ``is_classification`` (then
    its style is ``classification``). Instances in a list ``instances``, as in the file of
    Self-Instruct, become one example each. Other keys are left aside.

    Raises ``UserError`` with all mistakes and their lines.
    """
    rows = list(_rows(path))
    seeds: dict[str, Example] = {}
    places: dict[str, str] = {}
    mistakes: list[str] = []
    for row in rows:
        for values in _instances(row.values):
            found = _seed(values, language, licence)
            if isinstance(found, str):
                mistakes.append(f"  {row.place}: {found}")
            elif found.id in seeds:
                mistakes.append(f"  {row.place}: the same as {places[found.id]} ({found.id})")
            else:
                seeds[found.id], places[found.id] = found, row.place
    if not rows:
        mistakes = ["  it holds no seeds"]
    if mistakes:
        more = len(mistakes) - _SHOWN_MISTAKES
        shown = mistakes[:_SHOWN_MISTAKES] + ([f"  ... and {more} more"] if more > 0 else [])
        raise UserError(
            f"{path}: {len(mistakes)} mistake(s) in the seeds:\n" + "\n".join(shown),
            "Each seed has 'instruction' and 'output', and 'input' where there is one.",
        )
    return list(seeds.values())


@dataclass(frozen=True)
class _Row:
    """A seed as the file has it; ``place`` is for people."""

    place: str
    values: Mapping[str, Any]


def _rows(path: Path) -> Iterator[_Row]:
    """What the file holds. Raises ``UserError`` where it cannot be read."""
    readers = {
        **dict.fromkeys((".jsonl", ".ndjson"), _json_lines),
        **dict.fromkeys((".csv", ".tsv"), _table),
        **dict.fromkeys((".yaml", ".yml"), _yaml),
        ".json": _json,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: seeds are not read from files of the kind '{path.suffix}'.",
            f"Make it one of {', '.join(readers)}.",
        )
    try:
        text, _ = decode(path.read_bytes())
        for place, values in reader(text):
            if not isinstance(values, dict):
                raise _BrokenFileError(f"{place}: it is no object with 'instruction' and 'output'.")
            yield _Row(place, {normalise(str(key)): value for key, value in values.items()})
    except OSError as error:
        raise UserError(
            f"The seeds at {path} cannot be read: {error.strerror}.",
            "Mend 'seeds' in the recipe; the path is relative to the recipe.",
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
        yield f"seed {number}", item


def _listed(value: Any) -> list[Any]:
    """The list in ``value``: itself, or the only one in an object that wraps it."""
    lists = [value] if isinstance(value, list) else []
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
    if len(lists) != 1:
        raise _BrokenFileError("it is no list of seeds, and no object with one list in it.")
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


def _instances(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A row for each of its instances, or the row itself."""
    instances = values.get("instances")
    if not isinstance(instances, list) or not all(isinstance(item, dict) for item in instances):
        yield values
        return
    for number, instance in enumerate(instances):
        # Their instruction is one, and so is their id, which must tell them apart.
        named = f"{values['id']}-{number + 1}" if values.get("id") and len(instances) > 1 else ""
        yield {**values, **instance, **({"id": named} if named else {})}


def _seed(values: Mapping[str, Any], language: str, licence: str) -> Example | str:
    """The seed in a row, or what is wrong with it."""
    found = {name: _first(values, names) for name, names in _NAMES.items()}
    for name, value in found.items():
        if isinstance(value, bool) and name != "is_classification":
            return f"'{name}' is {value}: write the text in quotes"
        if value is not None and not isinstance(value, str | int | float | bool):
            return f"'{name}' is no text"
    texts = {name: clean(text_value(value)).strip() for name, value in found.items()}
    missing = [name for name in ("instruction", "output") if not texts[name]]
    if missing:
        return f"it has no {' and no '.join(missing)} (it has: {', '.join(values) or 'nothing'})"
    flag = found["is_classification"]
    is_classification = flag is True or normalise(text_value(flag)) in _TRUE
    return Example(
        texts["id"] or content_id(SEED, texts["instruction"], texts["input"], texts["output"]),
        "",
        "",
        SEED,
        texts["instruction"],
        texts["output"],
        category=texts["category"] or texts["viewpoint"],
        style="classification" if is_classification else "",
        language=language,
        licence_class=texts["licence"] or licence,
        input=texts["input"],
    )


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """What stands under the first of ``names`` that is filled."""
    filled = (values[name] for name in map(normalise, names) if values.get(name) not in (None, ""))
    return next(filled, None)
