"""Rows of a stage, for people."""

import itertools
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.locale import interface_language, translate
from teichaku.core.records import (
    Answer,
    Comparison,
    Document,
    Dropped,
    Example,
    Fact,
    Judgement,
    Passage,
    Question,
    QuestionRequest,
    Retrieved,
    Score,
    TrainingLoss,
)
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.run_folder import RunFolder, StageFolder
from teichaku.curation.leaks import Leak
from teichaku.curation.novelty import PassageNovelty
from teichaku.evaluation.signals import AnswerSignal
from teichaku.report.wording import Wording

#: What ``show STAGE`` shows of a stage: the file, and the class of its rows.
_FILES: dict[str, tuple[str, type[Any]]] = {
    "documents": ("documents", Document),
    "passages": ("passages", Passage),
    "novelty": ("novelty", PassageNovelty),
    "synthesis": ("examples", Example),
    "facts": ("facts", Fact),
    "curation": ("examples", Example),
    "leaks": ("leaks", Leak),
    "questions": ("questions", Question),
    "training": ("losses", TrainingLoss),
    "probes": ("probe-*", Answer),
    "evaluation": ("answers", Answer),
    "answers": ("answers", Answer),
    "judgements": ("judgements", Judgement),
    "scores": ("scores", Score),
    "requests": ("requests", QuestionRequest),
    "retrieval": ("retrieved", Retrieved),
    "controls": ("answers", Answer),
    "unanswerable": ("questions", Question),
    "signals": ("signals", AnswerSignal),
    "comparisons": ("comparisons", Comparison),
    "calibration": ("judgements", Judgement),
    "dataset": ("examples", Example),
}
#: Where a stage keeps what it dropped, if not in ``dropped``.
_DROPPED = {"dataset": "left_out"}
_FOLDERS = {"passages": "documents", "facts": "synthesis", "leaks": "curation"} | dict.fromkeys(
    ("requests", "answers", "judgements", "scores"), "evaluation"
)
#: Stages with a folder an arm.
_OF_ARMS = ("synthesis", "curation", "training", "probes", "dataset")
#: The fields of a dropped record that tell people what it was.
_READABLE = ("title", "statement", "question", "input", "answer", "reference", "text")
#: What only files need.
_IDENTITIES = ("id", "key", "teacher", "judge", "protocol", "prompt")


def stage_rows(
    run: RunFolder, stage: str, dropped: bool, limit: int
) -> tuple[int, list[dict[str, Any]]]:
    """How many rows the stage has, and the first ``limit`` of them without empty fields: what
    people read comes first, and what only files need (ids, keys) last.

    ``stage`` may leave the arm out where there is one only. Raises ``UserError`` for a stage
    that the run has not.
    """
    head, _, arm = stage.partition("/")
    if head not in _FILES:
        raise UserError(
            translate("There is no stage '{stage}'.").format(stage=stage),
            translate("There are: {names}").format(names=", ".join(_FILES)),
        )
    name, kind = (_DROPPED.get(head, "dropped"), Dropped) if dropped else _FILES[head]
    folder = run.stage(_stage_name(run, head, arm))
    if not folder.path.is_dir():
        raise UserError(
            translate("Stage '{stage}' has not begun in this run.").format(stage=stage),
            translate("See: {command}").format(
                command=f"teichaku status {shlex.quote(str(run.path))}"
            ),
        )
    rows = _rows(folder, name, kind)
    first = list(itertools.islice(rows, limit))
    documents = _sources(run) if dropped else {}
    shown = [_fallen(row, documents) if dropped else _readable_first(asdict(row)) for row in first]
    return len(first) + sum(1 for _ in rows), [_filled(row) for row in shown]


def _rows(folder: StageFolder, name: str, kind: type[Any]) -> Iterator[Any]:
    """The records of the file ``name``, or of all files that it is a pattern of."""
    found = (path.stem for path in folder.path.glob(f"{name}.parquet"))
    for file in sorted(found, key=lambda stem: (len(stem), stem)):
        yield from folder.read(file, kind)


def _stage_name(run: RunFolder, head: str, arm: str) -> str:
    folder = _FOLDERS.get(head, head)
    if arm or folder not in _OF_ARMS:
        return f"{folder}/{arm}" if arm else folder
    arms = sorted(path.name for path in (run.path / folder).glob("*") if path.is_dir())
    if len(arms) != 1:
        known = ", ".join(f"{folder}/{name}" for name in arms) or translate("none yet")
        raise UserError(
            translate("Which arm of '{stage}'?").format(stage=folder),
            translate("There are: {names}").format(names=known),
        )
    return f"{folder}/{arms[0]}"


def _sources(run: RunFolder) -> dict[str, str]:
    """Where each document comes from, by its id."""
    return {d.id: d.source for d in run.stage("documents").read("documents", Document)}


def _fallen(row: Dropped, sources: Mapping[str, str]) -> dict[str, Any]:
    """What fell, why (by its code, and in words where there are some), on what evidence, and what
    document it is from.

    Where a wording for a question was refused, the record is the question that it was to ask
    anew: the two are told apart.
    """
    record = json.loads(row.record) if row.record else {}
    why = Wording(interface_language()).label("reasons", row.reason)
    told = {"reason": row.reason, "why": "" if why == row.reason else why, "evidence": row.evidence}
    raw = row.raw
    if row.kind == "Question" and raw:
        refused = text_value((last_json_object(raw, ["question"]) or {}).get("question"))
        told |= {"refused_wording": refused, "of_question": record.get("question", "")}
        told["reference"] = record.get("reference", "")
        raw = "" if refused else raw
    else:
        told |= {name: record.get(name, "") for name in _READABLE}
    source = record.get("source") or sources.get(record.get("document_id", ""), "")
    return {"record": f"{row.kind} {row.record_id}", **told, "source": source, "reply": raw}


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _rounded(value) for key, value in row.items() if value not in ("", [], ())}


def _readable_first(row: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(row.items(), key=lambda item: _place(item[0])))


def _place(name: str) -> int:
    """What tells people what a row is comes first, in the order of the record; then the rest."""
    if name in _READABLE:
        return 0
    return 2 if name in _IDENTITIES or name.endswith(("_id", "_ids", "_key")) else 1


def _rounded(value: Any) -> Any:
    """A share of a reply's tokens, say, without the digits of a division."""
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    return round(value, 2) if abs(value) >= 1 else float(f"{value:.4g}")
