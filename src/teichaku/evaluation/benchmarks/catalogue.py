"""What ships with the package and what is loaded from the user's copy (``catalogue.yaml``).

Rows are pinned by their SHA-256: a file that has changed is refused, because its scores would bear
the name of another set.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from rapidfuzz import process

from teichaku.core.errors import UserError

Form = Literal["choice", "span", "number", "text", "instructions", "judge"]

DATA = Path(__file__).parent / "data"
_CATALOGUE = Path(__file__).parent / "catalogue.yaml"


@dataclass(frozen=True)
class Split:
    """A file of rows, with how many it has and the SHA-256 of its bytes."""

    path: Path
    rows: int
    sha256: str


@dataclass(frozen=True)
class Benchmark:
    """A set that ships with the package, as ``catalogue.yaml`` describes it.

    ``reader`` says how its rows are read (``rows.py``), ``specification`` names the set of
    llm-jp-eval 1.3 that it is, ``stands_in_for`` one that it takes the place of without being it.
    ``beside`` is a further metric with which it was published, shown beside ``metric`` by our
    protocol and counted nowhere else.
    ``reference_use`` is ``judge_only`` where a model wrote the references whose terms forbid
    training on them; ``doubtful_references`` are ids of conversations whose references are reported
    wrong, and are left out.
    """

    name: str
    title: str
    category: str
    language: str
    licence: str
    attribution: str
    source: str
    splits: Mapping[str, Split]
    reader: str
    form: Form
    metric: str
    beside: str = ""
    labels: tuple[str, ...] = ()
    cluster: str = ""
    shots: int = 0
    instruction: str = ""
    specification: str = ""
    stands_in_for: str = ""
    temperatures: Mapping[str, float] | None = None
    reference_use: str = ""
    doubtful_references: tuple[int, ...] = ()


@dataclass(frozen=True)
class UserSet:
    """A set that may not be shipped, or is not: ``why``, ``where`` to get it, and in which
    ``form`` it is expected.
    """

    name: str
    title: str
    category: str
    metric: str
    why: str
    where: str
    form: str
    labels: tuple[str, ...] = ()


def shipped() -> dict[str, Benchmark]:
    """The sets that ship, by name."""
    return dict(_read()[0])


def from_the_user() -> dict[str, UserSet]:
    """The sets that are loaded from a folder of the user's, by name."""
    return dict(_read()[1])


def benchmark(name: str) -> Benchmark:
    """The shipped set ``name``. Raises ``UserError`` where it is not shipped, with what to do."""
    known, others = _read()
    if name in known:
        return known[name]
    if name in others:
        raise needs_copy(name)
    near = process.extractOne(name, [*known, *others], score_cutoff=60)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join([*known, *others])}."
    raise UserError(f"There is no benchmark '{name}'.", hint)


def needs_copy(name: str, folder: Path | None = None) -> UserError:
    """What to tell somebody who asks for a set of which there is no copy (in ``folder``)."""
    known = _read()[1][name]
    place = folder if folder is not None else Path("FOLDER")
    return UserError(
        f"{known.title} does not ship with Teichaku: {known.why}.",
        f"Get it by {known.where}, and put it at {place / 'dev' / f'{name}.json'} as "
        f'{{"instruction": ..., "output_length": ..., "metrics": [...], '
        f'"samples": [{{"input": ..., "output": ...}}]}}: {known.form}. Examples before a '
        f"question are the first of {place / 'train' / f'{name}.json'}.",
    )


def read_rows(of: Benchmark, split: str = "test") -> list[dict[str, Any]]:
    """The rows of a split. Raises ``UserError`` where there is no such split, or where the file
    is not the one that the catalogue describes.
    """
    if split not in of.splits:
        raise UserError(f"{of.title} has no split '{split}'.", f"It has: {', '.join(of.splits)}.")
    described = of.splits[split]
    try:
        data = described.path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{described.path} cannot be read: {error.strerror}.", "Install Teichaku again."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != described.sha256:
        raise UserError(
            f"{described.path} has changed: its SHA-256 is {found}, not {described.sha256}.",
            "Install Teichaku again; load a set of your own from a folder instead.",
        )
    rows = [json.loads(line) for line in data.decode("utf-8").split("\n") if line.strip()]
    if len(rows) != described.rows:
        raise ValueError(f"{described.path} has {len(rows)} rows, not {described.rows}")
    return rows


@cache
def specification() -> dict[str, Any]:
    """llm-jp-eval 1.3: its frame, and the instruction, length, metrics and published hash of
    each of its sets (``datasets``, by name).
    """
    path = DATA / "llm-jp-eval-1.3" / "specification.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {**loaded, "datasets": {row["dataset"]: row for row in loaded["datasets"]}}


@cache
def _read() -> tuple[dict[str, Benchmark], dict[str, UserSet]]:
    loaded = yaml.safe_load(_CATALOGUE.read_text(encoding="utf-8"))
    own = {row["name"]: _benchmark(row) for row in loaded["shipped"]}
    others = {
        row["name"]: UserSet(**{**row, "labels": tuple(row.get("labels", ()))})
        for row in loaded["from_the_user"]
    }
    return own, others


def _benchmark(row: dict[str, Any]) -> Benchmark:
    splits = {
        name: Split(DATA / row["name"] / f"{name}.jsonl", split["rows"], split["sha256"])
        for name, split in row["splits"].items()
    }
    tuples: dict[str, Any] = {
        key: tuple(row[key]) for key in ("labels", "doubtful_references") if key in row
    }
    return Benchmark(**{**row, **tuples, "splits": splits})
