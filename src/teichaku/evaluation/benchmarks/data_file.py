"""Data sets in the form of llm-jp-eval: ``FOLDER/{dev,test,train}/NAME.json``.

Version 1.3 writes ``instruction, output_length, metrics, few_shots, samples``; version 2 lets the
rules live in the file too: ``label_list, answer_extract_pattern, num_few_shots,
answer_pattern_id, language, custom_prompt_template``.
"""

import hashlib
import json
import random
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from teichaku.core.errors import UserError
from teichaku.core.records import Question, content_id
from teichaku.evaluation.benchmarks.catalogue import from_the_user, needs_copy, specification
from teichaku.evaluation.benchmarks.rows import Item

Split = Literal["dev", "test", "train"]

#: Whether a file is the published one (``match``), another one that bears its name (``other``),
#: or of a set or split whose hash nobody published (``unknown``).
Identity = Literal["match", "other", "unknown"]

#: The texts of a row.
_PARTS = ("input", "output")
#: What a value should be, by its Python type.
_KINDS: Mapping[type, str] = {str: "a text", int: "a whole number", list: "a list"}
#: How much of a wrong value a message repeats.
_SHOWN_CHARACTERS = 80

PUBLISHED_SHOTS = 4
PUBLISHED_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """One row: what the model is shown, and the answer that counts as right."""

    input: str
    output: str


@dataclass(frozen=True)
class DataSet:
    """A data set file as it stands, with its hash and what is wrong with its rows.

    ``output_length`` counts tokens. ``faults`` counts rows by what is wrong with them, by name:
    ``empty_answer``, ``empty_input``. ``notes`` say what the file asks for that is not done.
    """

    name: str
    split: Split
    instruction: str
    output_length: int
    metrics: tuple[str, ...]
    samples: tuple[Sample, ...]
    sha256: str
    identity: Identity
    few_shots: tuple[Sample, ...] = ()
    label_list: tuple[str, ...] = ()
    answer_extract_pattern: str = ""
    answer_pattern_id: str = ""
    num_few_shots: int | None = None
    language: str = ""
    custom_prompt_template: str = ""
    faults: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()


def read_data_set(folder: Path, name: str, split: Split = "dev") -> DataSet:
    """The data set ``name`` of a folder in llm-jp-eval's form.

    A null for a text is an empty one. Raises ``UserError`` where the file is missing, with how to
    get it, or is not in that form, or where an answer is none of its ``label_list``.
    """
    path = folder / split / f"{name}.json"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _missing(path, folder, name, split) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    content = _content(path, data)
    samples = _samples(path, content, "samples")
    if not samples:
        raise UserError(f"{path} has no samples.", "Make the data set again.")
    made = DataSet(
        name,
        split,
        _typed(path, content, "instruction", str, ""),
        _length(path, content),
        _strings(path, content, "metrics"),
        samples,
        hashlib.sha256(data).hexdigest(),
        identity_of(name, split, hashlib.sha256(data).hexdigest()),
        _samples(path, content, "few_shots"),
        _strings(path, content, "label_list"),
        _pattern(path, content),
        _text(f"{path}: answer_pattern_id", content.get("answer_pattern_id")),
        _shots_wanted(path, content),
        _typed(path, content, "language", str, ""),
        _typed(path, content, "custom_prompt_template", str, ""),
        _faults(samples),
        _notes(content),
    )
    _check_labels(path, made)
    return made


def identity_of(name: str, split: str, sha256: str) -> Identity:
    """Whether a file with this hash is the one that LLM-jp publishes the hash of (1.3.1)."""
    known = specification()["datasets"].get(name)
    if known is None or split != "dev":
        return "unknown"
    return "match" if known["dev_sha256"] == sha256 else "other"


def published_bytes(name: str, samples: Iterable[Sample]) -> bytes:
    """The file of the set ``name`` as llm-jp-eval 1.3 writes it, byte by byte."""
    known = specification()["datasets"][name]
    content = {
        "instruction": known["instruction"],
        "output_length": known["output_length_tokens"],
        "metrics": known["metrics"],
        "few_shots": [],
        "samples": [{"input": row.input, "output": row.output} for row in samples],
    }
    return json.dumps(content, ensure_ascii=False, indent=4).encode("utf-8")


def few_shots(of: DataSet, train: DataSet | None, seed: int | None = None) -> tuple[Sample, ...]:
    """The examples before a question: as many as the file says (else 4), the first of ``train``
    as llm-jp-eval takes them, or a draw by ``seed``. A file with ``few_shots`` brings its own.

    Raises ``UserError`` where there are too few.
    """
    count = PUBLISHED_SHOTS if of.num_few_shots is None else of.num_few_shots
    if count == 0:
        return ()
    source = of.few_shots or (() if train is None else train.samples)
    if len(source) < count:
        raise UserError(
            f"{of.name} needs {count} examples before a question, and there are {len(source)}.",
            f"Put train/{of.name}.json beside the folder {of.split}, or say num_few_shots: 0.",
        )
    if seed is None:
        return tuple(source[:count])
    return tuple(random.Random(seed).sample(list(source), count))


def items(of: DataSet, category: str = "") -> list[Item]:
    """The samples as items, in the order of the file; texts that stand twice share a document.

    Rows with an empty input or answer are among them, counted in ``faults``: the compatible
    protocol keeps them, the other one leaves them out (:func:`whole`).
    """
    made = []
    for place, row in enumerate(of.samples):
        question = Question(
            content_id("control", of.name, of.split, place, row.input),
            "control",
            content_id("control", of.name, row.input),
            "",
            "",
            row.input,
            row.output,
            category,
            benchmark=of.name,
        )
        made.append(Item(question, (row.output,), of.label_list))
    return made


def whole(candidates: Sequence[Item]) -> tuple[list[Item], dict[str, int]]:
    """The items that can be asked and marked, and how many cannot, by what is wrong."""
    kept = [item for item in candidates if not fault(item.question.question, item.references[0])]
    fallen: dict[str, int] = {}
    for item in candidates:
        if wrong := fault(item.question.question, item.references[0]):
            fallen[wrong] = fallen.get(wrong, 0) + 1
    return kept, fallen


def fault(text: str, answer: str) -> str:
    """What is wrong with a row; empty where nothing is."""
    if not text.strip():
        return "empty_input"
    return "" if answer.strip() else "empty_answer"


def _faults(samples: Iterable[Sample]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in samples:
        if wrong := fault(row.input, row.output):
            found[wrong] = found.get(wrong, 0) + 1
    return found


def _notes(content: Mapping[str, Any]) -> tuple[str, ...]:
    named = content.get("answer_pattern_id")
    if named and not content.get("answer_extract_pattern"):
        return (
            f"answer_pattern_id {named} names a pattern that is not in the file: "
            "the answer is cut at the first blank line instead",
        )
    return ()


def _missing(path: Path, folder: Path, name: str, split: Split) -> UserError:
    if split != "train" and name in from_the_user():
        return needs_copy(name, folder)
    there = sorted(found.stem for found in (folder / split).glob("*.json"))
    hint = f"There: {', '.join(there)}." if there else f"{folder / split} has no data set."
    return UserError(f"There is no data set at {path}.", hint)


def _content(path: Path, data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON in UTF-8: {error}.", "Make it again.") from error
    if not isinstance(content, dict) or "samples" not in content:
        raise UserError(
            f"{path} is not in llm-jp-eval's form: it has no 'samples'.",
            'It is {"instruction", "output_length", "metrics", "samples": [{"input", "output"}]}.',
        )
    return content


def _samples(path: Path, content: Mapping[str, Any], key: str) -> tuple[Sample, ...]:
    made = []
    for place, row in enumerate(_typed(path, content, key, list, []), 1):
        if not isinstance(row, dict) or not {"input", "output"} <= row.keys():
            raise UserError(
                f"{path}: number {place} of {key} has no 'input' or no 'output'.",
                "Mend the row, or make the data set again.",
            )
        where = f"{path}: number {place} of {key}"
        made.append(Sample(*(_text(f"{where}: its {part}", row[part]) for part in _PARTS)))
    return tuple(made)


def _text(what: str, value: Any) -> str:
    """A text or a number as text; null is an empty one. Others have no text of their own but the
    one that a programming language gives them.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(
            f"{what} is {_shown(value)}, not a text.",
            "Put it between quotes as a model is to write it.",
        )
    return str(value)


def _shown(value: Any) -> str:
    """``value`` as the file has it, not more of it than a line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "too deeply nested"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} ..."


def _typed(path: Path, content: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = content.get(key)
    if value is None:
        return default
    # True is a whole number to Python alone.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise UserError(f"{path}: {key} is {_shown(value)}, not {_KINDS[kind]}.")
    return value


def _shots_wanted(path: Path, content: Mapping[str, Any]) -> int | None:
    count: int | None = _typed(path, content, "num_few_shots", int, None)
    if count is not None and count < 0:
        raise UserError(f"{path}: num_few_shots is {count}, below 0.", "Say 0 for no examples.")
    return count


def _length(path: Path, content: Mapping[str, Any]) -> int:
    length: int = _typed(path, content, "output_length", int, 0)
    if length <= 0:
        raise UserError(
            f"{path}: output_length is missing, or not above 0.", "It counts tokens: say 128."
        )
    return length


def _strings(path: Path, content: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = _typed(path, content, key, list, [])
    return tuple(
        _text(f"{path}: number {place} of {key}", value) for place, value in enumerate(values, 1)
    )


def _pattern(path: Path, content: Mapping[str, Any]) -> str:
    pattern: str = _typed(path, content, "answer_extract_pattern", str, "")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise UserError(
            f"{path}: answer_extract_pattern is no regular expression: {error}."
        ) from error
    if pattern and not groups:
        raise UserError(
            f"{path}: answer_extract_pattern has no group.", "Its first group is the answer."
        )
    return pattern


def _check_labels(path: Path, of: DataSet) -> None:
    labels = {unicodedata.normalize("NFKC", label) for label in of.label_list}
    answers = {unicodedata.normalize("NFKC", row.output) for row in of.samples if row.output}
    if labels and (beyond := sorted(answers - labels)):
        shown = ", ".join(beyond[:5])
        raise UserError(
            f"{path} has answers outside of its label_list: {shown}.",
            "Mend label_list, or the answers of those rows.",
        )
