"""What the report reads: the finished files of a run, and nothing else.

Every part may be missing: a run that was stopped early still gets a page.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from teichaku.core.records import (
    BASE_CHECKPOINT,
    Answer,
    Dropped,
    Example,
    Judgement,
    Passage,
    Question,
    Score,
    TrainingLoss,
)
from teichaku.core.run_folder import RunFolder

Record = TypeVar("Record")

_FALLBACK_BASE = "base"


@dataclass(frozen=True)
class Arm:
    """A trained arm: ``base`` is the untuned model that it is measured against,
    ``checkpoint`` the one of its checkpoints that answered under every condition. ``control_of``
    names the data whose selection it is a control of.
    """

    name: str
    base: str
    checkpoint: str
    student: str = ""
    data: str = ""
    learning_rate: float | None = None
    control_of: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that a report is made from, as it lies in the run folder."""

    run: dict[str, Any]
    stages: dict[str, dict[str, Any]]
    timings: dict[str, dict[str, Any]]
    scores: list[Score]
    answers: list[Answer]
    judgements: list[Judgement]
    questions: dict[str, Question]
    passages: dict[str, Passage]
    losses: dict[str, list[TrainingLoss]]
    dropped: dict[str, list[Dropped]]
    recipe: str
    examples: dict[str, list[Example]]

    @property
    def unfinished(self) -> list[str]:
        """The stages that the arms of the recipe need and that are not finished."""
        arms = [item for item in self.run.get("arms", []) if "name" in item]
        taught = [item for item in arms if item.get("data")]
        made = (
            stage
            for item in taught
            # What a control learns is drawn from what another arm's was made from.
            for stage in (
                f"synthesis/{item.get('control_of') or item['data']}",
                f"curation/{item['data']}",
            )
        )
        needed = [
            "documents",
            *dict.fromkeys(made),
            "questions",
            *(f"training/{item['name']}" for item in arms),
            "evaluation",
        ]
        return [name for name in needed if name not in self.stages]

    @property
    def base_arms(self) -> list[str]:
        """The names of the untuned models."""
        named = self.run.get("base_arms")
        found = sorted({row.arm for row in self.scores if row.checkpoint == BASE_CHECKPOINT})
        return list(named or found or [_FALLBACK_BASE])

    def arms(self) -> list[Arm]:
        """The trained arms, in the order of the recipe, else by name."""
        known = {str(item["name"]): item for item in self.run.get("arms", []) if "name" in item}
        found = {row.arm for row in self.scores} | set(self.losses)
        names = [*known, *sorted(found - set(known))]
        return [
            self._arm(name, known.get(name, {})) for name in names if name not in self.base_arms
        ]

    def _arm(self, name: str, item: dict[str, Any]) -> Arm:
        student = str(item.get("student", ""))
        own_base = f"{_FALLBACK_BASE}:{student}"
        rate = (item.get("settings") or {}).get("learning_rate")
        return Arm(
            name=name,
            base=own_base if own_base in self.base_arms else self.base_arms[0],
            checkpoint=self._checkpoint(name),
            student=student,
            data=str(item.get("data", "")),
            learning_rate=float(rate) if isinstance(rate, int | float) else None,
            control_of=str(item.get("control_of", "")),
        )

    def _checkpoint(self, arm: str) -> str:
        notes = self.stages.get("evaluation", {}).get("notes") or {}
        if arm in notes.get("selected_checkpoints", {}):
            return str(notes["selected_checkpoints"][arm])
        rows: dict[str, int] = {}
        for row in self.scores:
            if row.arm == arm:
                rows[row.checkpoint] = rows.get(row.checkpoint, 0) + 1
        return max(rows, key=lambda name: (rows[name], epoch_of(name)), default="")


def epoch_of(checkpoint: str) -> int:
    """The epoch of a checkpoint's name; 0 for the untuned model."""
    digits = checkpoint.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def read_evidence(run: RunFolder) -> Evidence:
    """The evidence in ``run``. Rows come out in one order, however they were written.

    What lies in the folder of a stage that is not finished is not read: it may be of another
    recipe, or half of what it should be.
    """
    stages = run.stages()
    finished = _Finished(run, frozenset(stages))
    training = [name for name in stages if name.startswith("training/")]
    scores = [
        row
        for row in finished.read("evaluation", "scores", Score)
        if row.checkpoint == BASE_CHECKPOINT or f"training/{row.arm}" in stages
    ]
    questions = finished.rows("questions", "questions", Question, "id")
    passages = finished.rows("documents", "passages", Passage, "id")
    return Evidence(
        run=_json(run.path / "run.json"),
        stages=stages,
        timings={name: _json(run.path / name / "timing.json") for name in stages},
        scores=_distinct(scores),
        answers=finished.rows("evaluation", "answers", Answer, "id"),
        judgements=finished.rows("evaluation", "judgements", Judgement, "id"),
        questions={row.id: row for row in questions},
        passages={row.id: row for row in passages},
        losses={
            name.removeprefix("training/"): finished.rows(name, "losses", TrainingLoss, "step")
            for name in training
        },
        dropped={name: finished.rows(name, "dropped", Dropped, "record_id") for name in stages},
        recipe=_text(run.path / "recipe.yaml"),
        examples={
            name: finished.rows(name, "examples", Example, "id")
            for name in stages
            if name.startswith(("synthesis/", "curation/"))
        },
    )


@dataclass(frozen=True)
class _Finished:
    """The files of the stages that are finished."""

    run: RunFolder
    stages: frozenset[str]

    def read(self, stage: str, name: str, kind: type[Record]) -> Iterable[Record]:
        return self.run.stage(stage).read(name, kind) if stage in self.stages else ()

    def rows(self, stage: str, name: str, kind: type[Record], key: str) -> list[Record]:
        rows = self.read(stage, name, kind)
        return sorted(rows, key=lambda row: (getattr(row, key), repr(row)))


def _distinct(scores: Iterable[Score]) -> list[Score]:
    """One row a question and scorer: a probe and the final round may both hold it."""
    best: dict[tuple[str, ...], Score] = {}
    for row in sorted(scores, key=repr):
        key = (row.arm, row.checkpoint, row.condition, row.question_id, row.scorer)
        if key not in best or (best[key].value is None and row.value is not None):
            best[key] = row
    return [best[key] for key in sorted(best)]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
