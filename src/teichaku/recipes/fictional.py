"""Fictional documents as files: a folder that is a study, ready to run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from teichaku.backends.registry import cache_home
from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped
from teichaku.core.run_folder import RunFolder, record_as_json, write_aside
from teichaku.core.text import LANGUAGE_SCRIPTS, UNSPACED_SCRIPTS
from teichaku.recipes import counts
from teichaku.recipes.budget import alone
from teichaku.recipes.load import find_recipe, load_recipe
from teichaku.recipes.names import is_name_character, language_code
from teichaku.recipes.progress import Progress, Silent
from teichaku.recipes.terms import teacher_terms
from teichaku.recipes.workshop import Workshop
from teichaku.synthesis.fictional_documents import (
    Category,
    Draft,
    FictionalDocument,
    Fill,
    QuestionKind,
    Slot,
    SlotType,
    Span,
    TemplatePack,
    drafts,
    fictional_documents,
    fills_by_teacher,
    fills_from_lists,
)

_PROMPTS = Path(__file__).parents[1] / "prompts"
_TEMPLATES = Path(__file__).parent / "templates" / "fictional"
_LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class Written:
    """What was written, with the recipe to run; the documents that were asked for are those
    written and those dropped.
    """

    recipe: Path
    documents: tuple[FictionalDocument, ...]
    dropped: tuple[Dropped, ...]

    @property
    def questions(self) -> int:
        """How many questions the documents answer."""
        return sum(len(document.questions) for document in self.documents)


def write_fictional(
    folder: Path,
    documents: int = 50,
    language: str = "ja",
    seed: int = 0,
    teacher: str = "",
    progress: Progress | None = None,
    runs: Path = Path("runs"),
) -> Written:
    """Make ``folder`` with fictional documents, their questions, and a recipe that is ready.

    ``teacher`` is a recipe (a file or the name of a built-in one) whose teacher fills the
    templates; empty: they are filled from lists. What that costs counts against the budget of the
    recipe's run, which is in ``runs``. Raises ``UserError`` where ``folder`` has files,
    there are no templates in ``language``, the teacher's terms forbid to train on what it
    writes, or every document was dropped.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "has files in it already" if folder.is_dir() else "is no folder"
        raise UserError(f"{folder} {what}.", "Choose another folder.")
    pack = read_pack(language)
    made = drafts(pack, documents)
    if teacher:
        fills = _fills_by_teacher(pack, made, seed, teacher, progress or Silent(), runs)
    else:
        fills = list(fills_from_lists(pack, made, seed))
    found = list(fictional_documents(pack, fills, seed))
    kept = tuple(record for record in found if isinstance(record, FictionalDocument))
    fallen = tuple(record for record in found if isinstance(record, Dropped))
    if not kept:
        raise UserError(
            f"None of {len(fallen)} documents could be made. The first: {fallen[0].evidence}",
            "Take another teacher, or none: without --teacher they are filled from lists.",
        )
    return Written(_write(folder, pack, kept, fallen), kept, fallen)


def _fills_by_teacher(
    pack: TemplatePack,
    made: Sequence[Draft],
    seed: int,
    recipe: str,
    progress: Progress,
    runs: Path,
) -> list[Fill | Dropped]:
    """The fills by the teacher of ``recipe``, behind the request cache."""
    path = find_recipe(recipe)
    loaded = load_recipe(path)
    teacher_terms(loaded, path.parent)
    own = None if loaded.prompts is None else path.parent / loaded.prompts
    prompts = PromptPack(pack.language, own)
    prompt, again = prompts.load("fictional_fill"), prompts.load("ask_again")
    run = RunFolder(runs / loaded.name)
    with alone(loaded.budget, run):
        cache = cache_home() / "requests.sqlite"
        workshop = Workshop(loaded, prompts, progress, cache, run.path)
        try:
            stage = translate("fictional documents")
            progress.begin(stage, len(made), unit=counts.documents)
            fills = fills_by_teacher(
                pack, made, workshop.teacher, prompt, again, seed, expecting=progress.expect_more
            )
            fallen = sum(isinstance(fill, Dropped) for fill in fills)
            told = translate("{count} in, {out} out, {dropped} dropped").format(
                count=counts.documents(len(made)), out=len(made) - fallen, dropped=fallen
            )
            progress.end(stage, told)
            return fills
        finally:
            progress.close()
            workshop.close()


def read_pack(language: str) -> TemplatePack:
    """The templates and words that ship in ``language`` (an ISO 639-1 code).

    Raises ``UserError`` where there are none.
    """
    known = sorted(path.parent.name for path in _PROMPTS.glob("*/fictional"))
    try:
        code = language_code(language)
    except ValueError as error:
        raise UserError(f"'{language}': {error}.", f"One of: {', '.join(known)}.") from error
    if code not in known:
        raise UserError(
            f"There are no templates of fictional documents in '{code}'.",
            f"One of: {', '.join(known)}.",
        )
    places = _PROMPTS / code / "fictional"
    words = yaml.safe_load((places / "words.yaml").read_text(encoding="utf-8"))
    templates = yaml.safe_load((places / "templates.yaml").read_text(encoding="utf-8"))
    real: Mapping[str, list[str]] = words["real"]
    parts = {name: _part(value) for name, value in words["parts"].items()}
    return TemplatePack(
        code,
        [_category(entry, _glue(code)) for entry in templates["categories"]],
        {name: SlotType(**entry) for name, entry in words["types"].items()},
        {**parts, **{f"real_{kind}": names for kind, names in real.items()}},
        [name for names in real.values() for name in names],
    )


def _part(value: Any) -> list[str] | Span:
    if isinstance(value, list):
        return value
    return Span(value["from"], value["to"], value.get("step", 1), value.get("decimals", 0),
                value.get("grouped", False))  # fmt: skip


def _glue(language: str) -> str:
    """What stands between the lines of a template when they become one text."""
    return "" if LANGUAGE_SCRIPTS[language] <= UNSPACED_SCRIPTS else " "


def _category(entry: Mapping[str, Any], glue: str) -> Category:
    return Category(
        entry["name"],
        entry["label"],
        entry["subject"],
        {name: Slot(**slot) for name, slot in entry["slots"].items()},
        [glue.join(template.splitlines()) for template in entry["templates"]],
        [QuestionKind(**question) for question in entry["questions"]],
    )


def _write(
    folder: Path,
    pack: TemplatePack,
    documents: Iterable[FictionalDocument],
    fallen: Iterable[Dropped],
) -> Path:
    """The files; the recipe comes last and its path is returned."""
    lines = []
    for document in documents:
        draft = document.fill.draft
        name = f"{draft.number:03d}-{draft.category.name}.md"
        head = f"---\ntitle: {_quoted(document.title)}\nlicence: {_LICENCE}\n---\n"
        write_aside(folder / "docs" / name, f"{head}{document.text}\n".encode())
        lines += [
            {
                "document": document.title,
                "category": draft.category.name,
                "kind": one.kind,
                "question": one.question,
                "answer": one.answer,
            }
            for one in document.questions
        ]
    rows = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_aside(folder / "questions.jsonl", rows.encode())
    lost = "".join(f"{record_as_json(record)}\n" for record in fallen)
    if lost:
        write_aside(folder / "dropped.jsonl", lost.encode())
    name = "".join(c if is_name_character(c) else "-" for c in folder.resolve().name).lstrip(".")
    source = (_TEMPLATES / f"{pack.language}.yaml").read_text(encoding="utf-8")
    text = source.replace("name: fictional\n", f"name: {_quoted(name or 'fictional')}\n")
    write_aside(folder / "recipe.yaml", text.encode())
    return folder / "recipe.yaml"


def _quoted(text: str) -> str:
    """``text`` as YAML reads it back, whatever it looks like."""
    return json.dumps(text, ensure_ascii=False)
