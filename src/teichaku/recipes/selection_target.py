"""The texts of others that a selection is to read like: files that a recipe names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from teichaku.core.errors import UserError
from teichaku.core.records import Dropped
from teichaku.documents.files import find_files, name_from
from teichaku.documents.loading import load_documents
from teichaku.recipes.mix_schema import MixSource
from teichaku.recipes.mixtures import read_source, source_files
from teichaku.recipes.schema import Recipe
from teichaku.recipes.select_schema import SelectImportance
from teichaku.recipes.study import separate


@dataclass(frozen=True)
class Target:
    """The texts of so many files, and what of these was passed over, each with its reason."""

    texts: Sequence[str]
    files: int
    passed_over: Sequence[Dropped]


def check_targets(recipe: Recipe, root: Path) -> None:
    """Read the targets that the selections of ``recipe`` name. Raises ``UserError`` where one
    cannot be used.
    """
    for arm in recipe.arms.values():
        if isinstance(arm.select, SelectImportance):
            read_target(arm.select.target, root, recipe.language)


def read_target(paths: Sequence[str], root: Path, language: str) -> Target:
    """The texts of all files that ``paths`` name, relative to ``root``: rows as a mixture reads
    them, question and answer together, or documents.

    Raises ``UserError`` for a path where nothing is, and for a file without any text.
    """
    files, missing = find_files(paths, root)
    if missing:
        raise UserError(
            f"The selection is to read like {', '.join(missing)}, and nothing is there (looked "
            f"for from {root}).",
            "Mend 'target' in the recipe; it is relative to the recipe.",
        )
    texts: list[str] = []
    passed_over: list[Dropped] = []
    for file in files:
        own, fallen = _texts_of(file, root, language)
        if not own:
            why = fallen[0].evidence if fallen else f"{name_from(file, root)}: it holds no row."
            raise UserError(
                f"The selection is to read like a file that has no text to read: {why}",
                "Name documents (text, Markdown, HTML, PDF, ...) or rows (JSONL, Parquet, JSON, "
                "CSV, TSV, YAML: text, question and answer, or chat) under 'target'.",
            )
        texts += own
        passed_over += fallen
    return Target(texts, len(files), passed_over)


def _texts_of(file: Path, root: Path, language: str) -> tuple[list[str], list[Dropped]]:
    """The texts of one file, and what of it is none."""
    source = MixSource(name="target", path=str(file))
    of_rows: list[Dropped] = []
    if source_files(source, root):
        rows = read_source(source, root, language)
        of_rows = list(rows.fallen)
        if rows.examples:
            return [example.whole for example in rows.examples.values()], of_rows
    # Tables of documents have columns of their own.
    documents, fallen = separate(load_documents([str(file)], root))
    texts = [document.text for document in documents]
    return texts, fallen if texts else [*of_rows, *fallen]
