"""The stage that trains a student, with a probe before training and after each epoch."""

import math
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from teichaku.core.models import AdapterSettings, ChatModel, OptimizerSettings, Student, Trainer
from teichaku.core.records import (
    BASE_CHECKPOINT,
    Answer,
    Dropped,
    Example,
    Message,
    Question,
    TokenizedExample,
    TrainingLoss,
)
from teichaku.core.run_folder import StageFolder, dropped
from teichaku.evaluation.answers import Asked, answer_questions
from teichaku.recipes.arms import StudyArm
from teichaku.recipes.evaluated import conditions
from teichaku.recipes.probes import probe_quality, probe_scorer
from teichaku.recipes.schema import Training
from teichaku.recipes.study import Outcome, Study, kept_apart, require
from teichaku.training.fine_tune import TrainingPlan, fine_tune


def train_arm(study: Study, arm: StudyArm, folder: StageFolder) -> Outcome:
    """Curated examples to an adapter, with a probe before training and after each epoch. What
    failed of the probes of an earlier attempt is asked again.
    """
    stage = f"training/{arm.name}"
    curated = list(study.run.stage(f"curation/{arm.data}").read("examples", Example))
    examples, held_out, fallen = curated, list[Example](), list[Dropped]()
    if study.recipe.asks_questions:
        examples, held_out, fallen = kept_apart(study.run, curated)
    fallen += [
        dropped(example, "training", "kept_for_evaluation", "an unseen question")
        for example in held_out
    ]
    student = study.workshop.student(arm.student)
    tokenized = [_encode(study, student, example, arm.training) for example in examples]
    plan = _plan(study, arm.training)
    steps = plan.epochs * math.ceil(len(tokenized) / plan.batch_size)
    study.progress.begin(stage, steps, _training_estimate(study, student, tokenized, plan))

    done = 0

    def on_step(loss: TrainingLoss) -> None:
        nonlocal done
        done += loss.tokens
        study.progress.advance(1, loss.tokens)

    probes = _Probes(study, arm, student, folder)
    adapter, optimizer = _settings(study, arm.training)
    start = time.monotonic()
    result = fine_tune(
        student.trainer(adapter, optimizer), tokenized, plan, folder.path, probes.ask, on_step
    )
    if done:
        study.workshop.note_training_speed(student.identity, done, time.monotonic() - start)
    probes.ask_again()
    unlabelled = set(result.unlabelled)
    fallen += [
        dropped(e, "training", "no_labelled_token", f"max_tokens {arm.training.max_tokens} cuts it")
        for e in examples
        if e.id in unlabelled
    ]
    folder.write("losses", TrainingLoss, result.losses)
    folder.write("dropped", Dropped, sorted(fallen, key=lambda d: d.record_id))
    reasons: dict[str, int] = {}
    for record in fallen:
        reasons[record.reason] = reasons.get(record.reason, 0) + 1
    require(study.run, result.losses, stage, "training step", reasons)
    notes = {
        "steps": len(result.losses),
        "tokens_seen": result.tokens,
        "labelled_tokens": result.labelled,
        "tokens_padded": result.padded,
        "tokens_cut": result.cut,
    }
    return Outcome(len(curated), len(examples) - len(unlabelled), reasons, notes)


def _encode(
    study: Study, student: Student, example: Example, training: Training
) -> TokenizedExample:
    before = tuple(map(Message, cycle(("user", "assistant")), example.history))
    prompt = study.prompts.load("closed_book").messages(question=example.turn)
    system = tuple(message for message in prompt if message.role == "system")
    # Templates want the system's words first, before all turns.
    asked = (*system, *before, *prompt[len(system) :])
    messages = () if example.is_text else asked
    return student.encode(example.id, messages, example.answer, training.max_tokens)


def _plan(study: Study, training: Training) -> TrainingPlan:
    return TrainingPlan(
        training.epochs,
        training.batch_size,
        training.learning_rate,
        training.schedule,
        training.warmup_share,
        _seed(study, training),
        training.checkpoint_every_steps,
    )


def _seed(study: Study, training: Training) -> int:
    return study.recipe.seed if training.seed is None else training.seed


def _settings(study: Study, training: Training) -> tuple[AdapterSettings, OptimizerSettings]:
    config = training.adapter
    adapter = AdapterSettings(
        config.rank,
        config.alpha,
        config.dropout,
        tuple(config.targets),
        config.quantization,
        _seed(study, training),
    )
    return adapter, OptimizerSettings(training.weight_decay, training.clip_norm)


def _training_estimate(
    study: Study, student: Student, examples: Sequence[TokenizedExample], plan: TrainingPlan
) -> str:
    tokens = plan.epochs * sum(len(example.tokens) for example in examples)
    return study.workshop.training_estimate(student.identity, tokens)


class _Probes:
    """The probe's questions, asked closed book before training and after each epoch. Before
    training the student is the base model, whose answers all arms share through the cache.
    """

    def __init__(self, study: Study, arm: StudyArm, student: Student, folder: StageFolder) -> None:
        self._study, self._arm, self._student, self._folder = study, arm, student, folder
        self._questions = study.questions[: arm.training.probe.questions]
        self._asked: set[int] = set()

    def ask(self, epoch: int, trainer: Trainer) -> None:
        """Ask the student as it is after ``epoch``."""
        self._asked.add(epoch)
        self._ask(epoch, self._student if epoch == 0 else trainer.chat_model(), self._questions)

    def ask_again(self) -> None:
        """Ask what failed in an earlier attempt at the training, of the adapter of its epoch.

        So each request that is still failed has failed in this attempt, and is counted in it.
        """
        for epoch in range(self._arm.training.epochs + 1):
            if epoch in self._asked:
                continue
            known = self._folder.read(f"probe-{epoch}", Answer)
            failed = {answer.question_id for answer in known if answer.error}
            if not failed:
                continue
            model: ChatModel = self._student
            if epoch > 0:
                model = self._student.with_adapter(self._folder.path / f"epoch-{epoch}")
            self._ask(epoch, model, [one for one in self._questions if one.id in failed])

    def _ask(self, epoch: int, model: ChatModel, questions: Sequence[Question]) -> None:
        """Write the answers to ``questions`` over those that are known."""
        if not questions:
            return
        study, arm = self._study, self._arm
        checkpoint = BASE_CHECKPOINT if epoch == 0 else f"epoch-{epoch}"
        asked = Asked(arm.name, checkpoint, "closed_book")
        quiet = study.workshop.quietly(model)
        given = answer_questions(questions, quiet, asked, conditions(study))
        file = f"probe-{epoch}"
        known = {answer.id: answer for answer in (*self._folder.read(file, Answer), *given)}
        answers = [known[name] for name in sorted(known)]
        self._folder.write(file, Answer, answers)
        scorer = probe_scorer(study.recipe.evaluation.scorers)
        value = probe_quality(answers, study.references, scorer)
        study.progress.say(f"  {arm.name} after epoch {epoch}: {scorer} {value:.2f}")


def describe_arms(study: Study) -> list[dict[str, Any]]:
    """The arms as ``run.json`` has them; ``control_of`` is the data whose control one learns."""
    controls = study.controls()
    return [
        {
            "name": arm.name,
            "data": arm.data,
            "control_of": controls[arm.data][0] if arm.data in controls else "",
            "student": arm.student.model,
            "settings": arm.settings,
        }
        for arm in study.arms
    ]
