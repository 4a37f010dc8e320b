"""Rows of a stage, for people."""

import itertools
from dataclasses import asdict
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.records import (
    Answer,
    Document,
    Dropped,
    Example,
    Judgement,
    Passage,
    Question,
    Score,
    TrainingLoss,
)
from teichaku.core.run_folder import RunFolder

#: What ``show STAGE`` shows of a stage: the file, and the class of its rows.
_FILES: dict[str, tuple[str, type[Any]]] = {
    "documents": ("documents", Document),
    "passages": ("passages", Passage),
    "synthesis": ("examples", Example),
    "curation": ("examples", Example),
    "questions": ("questions", Question),
    "training": ("losses", TrainingLoss),
    "evaluation": ("answers", Answer),
    "answers": ("answers", Answer),
    "judgements": ("judgements", Judgement),
    "scores": ("scores", Score),
}
_FOLDERS = {"passages": "documents"} | dict.fromkeys(
    ("answers", "judgements", "scores"), "evaluation"
)


def stage_rows(
    run: RunFolder, stage: str, dropped: bool, limit: int
) -> tuple[int, list[dict[str, Any]]]:
    """How many rows the stage has, and the first ``limit`` of them without empty fields.

    ``stage`` may leave the arm out where there is one only. Raises ``UserError`` for a stage
    that the run has not.
    """
    head, _, arm = stage.partition("/")
    if head not in _FILES:
        raise UserError(f"There is no stage '{stage}'.", f"Stages: {', '.join(_FILES)}.")
    name, kind = ("dropped", Dropped) if dropped else _FILES[head]
    folder = run.stage(_stage_name(run, head, arm))
    if not folder.path.is_dir():
        raise UserError(f"Stage '{stage}' has not begun in this run.", "See: teichaku status RUN")
    rows = folder.read(name, kind)
    shown = [_filled(asdict(row)) for row in itertools.islice(rows, limit)]
    return len(shown) + sum(1 for _ in rows), shown


def _stage_name(run: RunFolder, head: str, arm: str) -> str:
    folder = _FOLDERS.get(head, head)
    if arm or folder not in ("synthesis", "curation", "training"):
        return f"{folder}/{arm}" if arm else folder
    arms = sorted(path.name for path in (run.path / folder).glob("*") if path.is_dir())
    if len(arms) != 1:
        known = ", ".join(f"{folder}/{name}" for name in arms) or "none yet"
        raise UserError(f"Which arm of '{folder}'?", f"There are: {known}.")
    return f"{folder}/{arms[0]}"


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in ("", [], ())}
