"""A study that is being run, and what its stages have in common."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from teichaku.backends.terms import Terms
from teichaku.core.errors import StageEmptyError
from teichaku.core.locale import translate
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Answer, Dropped, Example, Passage, Question, content_id
from teichaku.core.run_folder import RunFolder, StageFolder, dropped
from teichaku.recipes.arms import StudyArm
from teichaku.recipes.probes import best_epoch, probe_scorer
from teichaku.recipes.progress import Progress
from teichaku.recipes.schema import Recipe
from teichaku.recipes.seeds import read_seeds
from teichaku.recipes.select_schema import Control, control_name
from teichaku.recipes.workshop import Workshop


@dataclass(frozen=True)
class Study:
    """A recipe that is being run: its folder, its models, its prompts, its live view."""

    recipe: Recipe
    root: Path
    run: RunFolder
    workshop: Workshop
    prompts: PromptPack
    progress: Progress
    arms: Sequence[StudyArm]
    terms: Terms

    @cached_property
    def passages(self) -> dict[str, Passage]:
        """All passages of the run by id (once the documents are read)."""
        return {p.id: p for p in self.run.stage("documents").read("passages", Passage)}

    @cached_property
    def seeds(self) -> list[Example]:
        """The instructions that people wrote, in the order of their ids."""
        config = self.recipe.seeds
        if config is None:
            return []
        path = self.root / config.path
        found = read_seeds(path, self.recipe.language, config.licence)
        return sorted(found, key=lambda seed: seed.id)[: config.limit]

    @cached_property
    def questions(self) -> list[Question]:
        """The questions of the run (once they are made), in the order in which samples of them are
        taken; none where the recipe asks none.
        """
        if not self.recipe.asks_questions:
            return []
        found = self.run.stage("questions").read("questions", Question)
        return in_sample_order(found, self.recipe.seed)

    @cached_property
    def references(self) -> dict[str, str]:
        """The right answers by question id (once the questions are made)."""
        return {question.id: question.reference for question in self.questions}

    @cached_property
    def selected_checkpoints(self) -> dict[str, str]:
        """The checkpoint of each arm that is asked in full (once all are probed): that whose probe
        does best, or the last where there is no probe or the recipe says so.
        """
        return {arm.name: self._selected_checkpoint(arm) for arm in self.arms}

    def _selected_checkpoint(self, arm: StudyArm) -> str:
        epochs, evaluation = arm.training.epochs, self.recipe.evaluation
        if evaluation.select == "last" or not self.is_probed(arm):
            return f"epoch-{epochs}"
        folder = self.run.stage(f"probes/{arm.name}")
        probes = {
            epoch: list(folder.read(f"probe-{epoch}", Answer)) for epoch in range(1, epochs + 1)
        }
        return f"epoch-{best_epoch(probes, self.references, probe_scorer(evaluation.scorers))}"

    def is_probed(self, arm: StudyArm) -> bool:
        """Whether the epochs of ``arm`` are asked a sample of the questions."""
        return self.recipe.asks_questions and arm.training.probe.questions != 0

    def data_arms(self) -> list[str]:
        """The arms of the recipe, whose examples are made."""
        return list(self.recipe.arms)

    def controls(self) -> dict[str, tuple[str, Control]]:
        """The controls of the recipe's selections by name: of which arm, and of what kind; none
        without a student, whose answers alone tell them from the selection.
        """
        if self.recipe.student is None:
            return {}
        return {
            control_name(data, control): (data, control)
            for data, arm in self.recipe.arms.items()
            for control in (arm.select.controls if arm.select else ())
        }

    def taught(self) -> list[str]:
        """The data that students learn from: of every arm, and of every control."""
        return [*self.data_arms(), *self.controls()]


def go_on(run: RunFolder) -> str:
    """How to go on with ``run``, for people: the command that it was last called with."""
    command = run.read_json("run.json").get("command", "")
    if command.startswith("teichaku run "):
        return translate("Go on: {command}").format(command=command)
    return translate("Run its recipe again.")


def unfinished_stages(run: RunFolder) -> list[str]:
    """The stages of the recipe of ``run`` that are not finished; last the ``report``, where it is
    to have one.
    """
    wanted, done = run.read_json("run.json").get("stages", []), run.stages()
    left = [name for name in wanted if name not in done]
    ends_with_data = any(name.startswith("dataset/") for name in wanted)
    if not ends_with_data and not (run.path / "report" / "index.html").is_file():
        left.append("report")
    return left


def failed_stages(run: RunFolder) -> dict[str, int]:
    """How many requests of the finished stages of ``run`` failed and are asked again, by stage."""
    found = {name: summary.get("failed_requests", 0) for name, summary in run.stages().items()}
    return {name: count for name, count in found.items() if count}


def in_sample_order(questions: Iterable[Question], seed: int) -> list[Question]:
    """``questions`` in the order in which samples of them are taken.

    The kinds take turns and each kind is shuffled by hash, so the first n questions are a
    fair sample for every n, and a smaller sample is part of a larger one.
    """
    drawn = sorted(questions, key=lambda question: content_id(seed, "sample", question.id))
    turns: dict[str, int] = {}
    order = []
    for question in drawn:
        turn = turns[question.kind] = turns.get(question.kind, -1) + 1
        order.append((turn, question.kind, question))
    return [question for _, _, question in sorted(order, key=lambda item: item[:2])]


def kept_apart(
    run: RunFolder, curated: Iterable[Example]
) -> tuple[list[Example], list[Example], list[Dropped]]:
    """What the run trains on, what it asks as unseen questions, and what would teach those."""
    questions = run.stage("questions")
    unseen = {q.example_id for q in questions.read("questions", Question) if q.kind == "unseen"}
    siblings = {sibling.record_id: sibling for sibling in questions.read("siblings", Dropped)}
    training: list[Example] = []
    held_out: list[Example] = []
    for example in curated:
        if example.id in unseen:
            held_out.append(example)
        elif example.id not in siblings:
            training.append(example)
    given = {example.id: example for example in curated}
    fallen = [
        dropped(given[sibling.record_id], "training", sibling.reason, sibling.evidence)
        for sibling in siblings.values()
        if sibling.record_id in given
    ]
    return training, held_out, fallen


@dataclass
class Outcome:
    """What a stage says of itself: records in, out and dropped by reason, and notes."""

    taken: int
    given: int
    reasons: dict[str, int]
    notes: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """As ``stage.json`` has it. Raises ``AssertionError`` where a record was lost."""
        fallen = sum(self.reasons.values())
        if self.taken != self.given + fallen:
            raise AssertionError(f"{self.taken} in, but {self.given} out and {fallen} dropped")
        counts = {"in": self.taken, "out": self.given, "dropped": fallen}
        return {
            "counts": {**counts, "reasons": dict(sorted(self.reasons.items()))},
            "notes": self.notes,
        }


def write_outcome(
    folder: StageFolder,
    name: str,
    kind: type[Any],
    kept: Sequence[Any],
    fallen: Sequence[Dropped],
) -> dict[str, int]:
    """Write what stays and what falls, sorted; the number that fell by reason."""
    folder.write(name, kind, sorted(kept, key=lambda record: record.id))
    return write_dropped(folder, fallen)


def write_dropped(folder: StageFolder, fallen: Sequence[Dropped]) -> dict[str, int]:
    """Write what falls, sorted; the number that fell by reason."""
    folder.write("dropped", Dropped, sorted(fallen, key=lambda d: (d.record_id, d.reason)))
    reasons: dict[str, int] = {}
    for record in fallen:
        reasons[record.reason] = reasons.get(record.reason, 0) + 1
    return reasons


def separate(records: Iterable[Any]) -> tuple[list[Any], list[Dropped]]:
    """What stays and what falls."""
    kept: list[Any] = []
    fallen: list[Dropped] = []
    for record in records:
        (fallen if isinstance(record, Dropped) else kept).append(record)
    return kept, fallen


def require(
    run: RunFolder,
    kept: Sequence[Any],
    stage: str,
    what: str,
    reasons: Mapping[str, int],
    fallen: Sequence[Dropped] = (),
) -> None:
    """Raise ``StageEmptyError`` where nothing is left to go on with; the first of ``fallen``
    says what happened, and the hint how to see all of them in ``run``.
    """
    if kept:
        return
    why = ", ".join(f"{reason}: {count}" for reason, count in reasons.items())
    told = translate("Stage {stage} has no {what} left ({why}).").format(
        stage=stage, what=what, why=why or translate("nothing came in")
    )
    if fallen and fallen[0].evidence:
        told += translate(" The first: {evidence}").format(evidence=fallen[0].evidence)
    command = f"teichaku show {shlex.quote(str(run.path))} {stage} --dropped"
    raise StageEmptyError(
        told, translate("See each record and its evidence: {command}").format(command=command)
    )
