"""What the report reads: the finished files of a run, and nothing else.

Every part may be missing: a run that was stopped early still gets a page.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
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
    names the data whose selection it is a control of. ``seed`` is that of its training where the
    recipe names one for it, and ``but_for_seed`` the same for arms that differ in that alone.
    """

    name: str
    base: str
    checkpoint: str
    student: str = ""
    data: str = ""
    learning_rate: float | None = None
    control_of: str = ""
    seed: int | None = None
    but_for_seed: str = ""


@dataclass(frozen=True)
class Finished:
    """The files of the stages that are finished; of every other stage there are none."""

    run: RunFolder
    stages: frozenset[str] = frozenset()

    def read(self, stage: str, name: str, kind: type[Record]) -> Iterable[Record]:
        """The rows of one of a stage's files, as they stand there."""
        return self.run.stage(stage).read(name, kind) if stage in self.stages else ()

    def rows(self, stage: str, name: str, kind: type[Record], key: str) -> list[Record]:
        """The same in the order of the field ``key``."""
        rows = list(self.read(stage, name, kind))
        of = attrgetter(key)
        if len(set(map(of, rows))) == len(rows):
            return sorted(rows, key=of)
        return sorted(rows, key=lambda row: (of(row), repr(row)))

    def json(self, stage: str, name: str) -> dict[str, Any]:
        """A JSON file of a stage; empty where there is none."""
        return _json(self.run.path / stage / name) if stage in self.stages else {}


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
    finished: Finished
    #: What all calls of the run have spent together, as ``spending.json`` has it.
    spending: dict[str, Any] = field(default_factory=dict)

    @property
    def unfinished(self) -> list[str]:
        """The stages of the recipe that are not finished."""
        return [name for name in self.run.get("stages", ()) if name not in self.stages]

    @property
    def asks_questions(self) -> bool:
        """Whether the recipe has questions of its own, about its documents."""
        return bool(self.run.get("asks_questions", True))

    @property
    def base_arms(self) -> list[str]:
        """The names of the untuned models."""
        if named := self.run.get("base_arms"):
            return list(named)
        found = {row.arm for row in self.scores if row.checkpoint == BASE_CHECKPOINT}
        return sorted(found.difference(self.further_models)) or [_FALLBACK_BASE]

    @property
    def further_models(self) -> list[str]:
        """The names of the models that answer beside the arms, in the order of the recipe."""
        return [str(name) for name in self.run.get("further_models") or ()]

    def arms(self) -> list[Arm]:
        """The trained arms, in the order of the recipe, else by name."""
        known = {str(item["name"]): item for item in self.run.get("arms", []) if "name" in item}
        found = {row.arm for row in self.scores} | set(self.losses)
        names = [*known, *sorted(found - set(known))]
        others = {*self.base_arms, *self.further_models}
        return [self._arm(name, known.get(name, {})) for name in names if name not in others]

    def _arm(self, name: str, item: dict[str, Any]) -> Arm:
        student = str(item.get("student", ""))
        own_base = f"{_FALLBACK_BASE}:{student}"
        settings = dict(item.get("settings") or {})
        rate = settings.get("learning_rate")
        return Arm(
            name=name,
            base=own_base if own_base in self.base_arms else self.base_arms[0],
            checkpoint=self._checkpoint(name),
            student=student,
            data=str(item.get("data", "")),
            learning_rate=float(rate) if isinstance(rate, int | float) else None,
            control_of=str(item.get("control_of", "")),
            seed=settings.pop("seed", None),
            but_for_seed=json.dumps([item.get("data"), student, settings], sort_keys=True),
        )

    def _checkpoint(self, arm: str) -> str:
        notes = self.stages.get("evaluation", {}).get("notes") or {}
        if arm in notes.get("selected_checkpoints", {}):
            return str(notes["selected_checkpoints"][arm])
        rows: dict[str, int] = {}
        for row in self.scores:
            if row.arm == arm:
                rows[row.checkpoint] = rows.get(row.checkpoint, 0) + 1
        # Nothing chooses among the epochs where no question is asked.
        last = max((loss.epoch for loss in self.losses.get(arm, ())), default=0)
        fallback = f"epoch-{last}" if last and not self.asks_questions else ""
        return max(rows, key=lambda name: (rows[name], epoch_of(name)), default=fallback)


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
    finished = Finished(run, frozenset(stages))
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
        spending=_json(run.path / "spending.json"),
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
        finished=finished,
    )


def _distinct(scores: Iterable[Score]) -> list[Score]:
    """One row a question and scorer: a probe and the final round may both hold it."""
    best: dict[tuple[str, ...], Score] = {}
    for row in scores:
        key = (row.arm, row.checkpoint, row.condition, row.question_id, row.scorer)
        known = best.setdefault(key, row)
        if known is not row:
            best[key] = min(known, row, key=lambda one: (one.value is None, repr(one)))
    return [best[key] for key in sorted(best)]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
