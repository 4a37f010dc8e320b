"""A run's curated examples as files that other tools read, with a card that says what they are.

``examples.parquet`` has every example with every field of the record; other files have them in
the forms of :mod:`teichaku.recipes.formats`, as JSON lines and as Parquet. ``export.json`` comes
first and last: it names the files of an export, so that the next one may replace them and
nothing else.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from teichaku import __version__
from teichaku.core.errors import UserError
from teichaku.core.records import Dropped, Example, Fact
from teichaku.core.run_folder import RunFolder, json_bytes, write_aside, write_records
from teichaku.recipes.data_card import WrittenFile, card_languages, render_card
from teichaku.recipes.dataset import (
    Dataset,
    Source,
    read_dataset,
    require_publishable,
    source_of,
)
from teichaku.recipes.formats import FORMATS, Format
from teichaku.recipes.load import dump_recipe
from teichaku.recipes.study import Outcome

MARKER = "export.json"
_WHOLE = "examples.parquet"
#: How many rows of a form the card shows.
_SAMPLES = 2
_OF_DOCUMENTS = ("id", "title", "source", "licence", "attribution", "date")


@dataclass(frozen=True)
class Exported:
    """The export of one arm: where it comes from, where it is, and its files of rows."""

    source: Source
    arm: str
    folder: Path
    files: Sequence[WrittenFile]
    outcome: Outcome


@dataclass(frozen=True)
class Options:
    """How to export: which forms (none: all that have rows), the card's language (empty: the
    recipe's), and whether the set is for private use only.
    """

    formats: tuple[str, ...] = ()
    language: str = ""
    private: bool = False


def export_run(
    run: RunFolder, out: Path | None = None, arm: str = "", options: Options = Options()
) -> list[Exported]:
    """Export the data sets of ``run``: of ``arm``, or of every arm into a subfolder of its own.

    Without ``out`` they go to ``export/ARM`` in the run's folder. Everything is checked before
    anything is written. Raises ``UserError`` where the run has no such arm or has not finished
    it, ``out`` holds files that no export wrote or belongs to a stage of a run, the teacher's
    terms or a document's licence forbid it, or no example fits the form.
    """
    if options.language and options.language not in card_languages():
        raise UserError(
            f"There is no card in '{options.language}'.", f"One of: {', '.join(card_languages())}."
        )
    with run.working():
        source = source_of(run)
        arms = _chosen(source, arm)
        below = out is None or len(arms) > 1
        root = out or run.path / "export"
        folders = {name: root / name if below else root for name in arms}
        if below:
            _require_own_folders(root)
        for folder in folders.values():
            _require_own(folder)
        sets = [read_dataset(source, name) for name in arms]
        for dataset in sets:
            _require_allowed(dataset, options)
        return [_write(dataset, folders[dataset.arm], options) for dataset in sets]


def write_dataset(source: Source, arm: str, folder: Path, options: Options = Options()) -> Outcome:
    """Write the data set of ``arm`` to ``folder``: what a stage of a run does, whose folder it is.

    The outcome counts curated examples in, and out those that a file of the export has. Raises
    ``UserError`` as :func:`export_run` does, but for the folder.
    """
    dataset = read_dataset(source, arm)
    _require_allowed(dataset, options)
    return _write(dataset, folder, options).outcome


def _chosen(source: Source, arm: str) -> list[str]:
    """The arms whose examples are exported; that of a point of a matrix for its name."""
    known = list(source.recipe.arms)
    name = arm if arm in known else arm.partition("@")[0]
    if name and name not in known:
        raise UserError(f"The run has no arm '{arm}'.", f"It has: {', '.join(known)}.")
    return [name] if name else known


def _visible(folder: Path) -> list[Path]:
    """What a person put into ``folder``: not what systems and version control hide in it."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder.", "Name another one: --out DIR")
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _require_own(folder: Path) -> None:
    visible = _visible(folder)
    if any((place / "begun").is_file() for place in (folder, *visible)):
        raise UserError(
            f"{folder} holds a stage of a run, which would take the export for its own.",
            "Name another folder: --out DIR",
        )
    if visible and _marked(folder) is None:
        if all(_marked(path) is not None for path in visible):
            raise UserError(
                f"{folder} holds the exports of several arms, each in its own folder.",
                "Name one of those, or leave --arm out: all are exported again.",
            )
        raise _not_ours(folder)


def _require_own_folders(root: Path) -> None:
    if _marked(root) is not None:
        raise UserError(
            f"{root} holds the export of one arm.",
            "Say which: --arm NAME; or name another folder: --out DIR",
        )
    if any(_marked(path) is None for path in _visible(root)):
        raise _not_ours(root)


def _marked(folder: Path) -> list[str] | None:
    """The files that exports wrote to ``folder``, or None where none did."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return list(found["files"]) if isinstance(found["finished"], bool) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _not_ours(folder: Path) -> UserError:
    return UserError(
        f"{folder} holds files that this export did not write.",
        "Move them away, or name another folder: --out DIR",
    )


def _require_allowed(dataset: Dataset, options: Options) -> None:
    if not options.private:
        require_publishable(dataset)
    rows = dataset.training
    for name in options.formats:
        if rows and all(FORMATS[name].left_out(example) for example in rows):
            other = "text" if rows[0].is_text else "chat"
            raise UserError(
                f"No example of arm '{dataset.arm}' fits the form '{name}': {_all_alike(rows)}.",
                f"Take another: --format {other}",
            )


def _all_alike(rows: Sequence[Example]) -> str:
    return "all are running text" if rows[0].is_text else "all are questions with answers"


def _write(dataset: Dataset, folder: Path, options: Options) -> Exported:
    """All files of the export; those that an earlier one wrote and this one does not are gone."""
    tables = _tables(dataset)
    files = [
        WrittenFile(name, len(rows), samples=[asdict(rows[0])] if name == _WHOLE else ())
        for name, _, rows in tables
    ]
    contents: dict[str, bytes] = {}
    for form in (FORMATS[name] for name in options.formats or FORMATS):
        _add_form(dataset, form, files, contents)
    _add_documents(dataset, files, contents)
    contents["recipe.yaml"] = dump_recipe(dataset.source.recipe).encode()
    card = render_card(dataset, files, options.language, options.private)
    contents["README.md"] = card.encode()
    names = [*(name for name, _, _ in tables), *contents]
    _begin(folder, names)
    for name, kind, rows in tables:
        write_records(folder / name, kind, rows)
    for name, content in contents.items():
        write_aside(folder / name, content)
    outcome = _outcome(dataset, files)
    _finish(folder, dataset, names, outcome)
    return Exported(dataset.source, dataset.arm, folder, files, outcome)


def _tables(dataset: Dataset) -> list[tuple[str, type[Any], Sequence[Any]]]:
    """The files of records: name, class of the rows, rows. None is empty."""
    tables: list[tuple[str, type[Any], Sequence[Any]]] = [
        (_WHOLE, Example, dataset.training),
        ("held_out.parquet", Example, dataset.held_out),
        ("facts.parquet", Fact, dataset.facts),
        ("left_out.parquet", Dropped, dataset.left_out),
    ]
    return [table for table in tables if table[2]]


def _add_form(
    dataset: Dataset, form: Format, files: list[WrittenFile], contents: dict[str, bytes]
) -> None:
    """The examples to train on in one form, as JSON lines and as Parquet; none where none fits."""
    taken = [example for example in dataset.training if not form.left_out(example)]
    if not taken:
        return
    left_out = Counter(form.left_out(example) for example in dataset.training)
    left_out.pop("", None)
    rows = [form.row(example) for example in taken]
    lines, table = f"{form.name}.jsonl", f"{form.name}.parquet"
    files.append(WrittenFile(lines, len(rows), table, left_out, rows[:_SAMPLES]))
    contents[lines] = "".join(map(form.line, taken)).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, compression="zstd")
    contents[table] = sink.getvalue().to_pybytes()


def _add_documents(dataset: Dataset, files: list[WrittenFile], contents: dict[str, bytes]) -> None:
    """Where the documents come from and whose they are, without their text."""
    told = [{key: getattr(d, key) for key in _OF_DOCUMENTS} for d in dataset.documents]
    if told:
        files.append(WrittenFile("documents.jsonl", len(told)))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in told)
        contents["documents.jsonl"] = lines.encode()


def _outcome(dataset: Dataset, files: Sequence[WrittenFile]) -> Outcome:
    rows = len(dataset.examples)
    reasons = Counter(record.reason for record in dataset.left_out)
    notes = {"rows": {file.name: file.rows for file in files}}
    return Outcome(rows + len(dataset.left_out), rows, dict(reasons), notes)


def _begin(folder: Path, names: Sequence[str]) -> None:
    """Mark the folder as an export's before its first file, and clear what is not written anew."""
    stale = [name for name in _marked(folder) or () if name not in names]
    write_aside(folder / MARKER, json_bytes({"finished": False, "files": [*names, *stale]}))
    for name in stale:
        (folder / Path(name).name).unlink(missing_ok=True)


def _finish(folder: Path, dataset: Dataset, names: Sequence[str], outcome: Outcome) -> None:
    source = dataset.source
    curation = source.run.stages()[f"curation/{dataset.arm}"]
    content: Mapping[str, Any] = {
        "finished": True,
        "teichaku": __version__,
        "run": source.recipe.name,
        "arm": dataset.arm,
        "made_from": curation["fingerprint"],
        **outcome.summary(),
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)
        },
    }
    write_aside(folder / MARKER, json_bytes(content))
