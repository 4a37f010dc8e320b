"""The stage that trains a student, and shows by a probe how it goes."""

import math
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from teichaku.core.locale import translate
from teichaku.core.models import AdapterSettings, OptimizerSettings, Student, Trainer
from teichaku.core.records import Dropped, Example, Message, TokenizedExample, TrainingLoss
from teichaku.core.run_folder import StageFolder, dropped
from teichaku.recipes import counts
from teichaku.recipes.arms import StudyArm
from teichaku.recipes.probes_stage import show_probe
from teichaku.recipes.schema import Training
from teichaku.recipes.study import Outcome, Study, kept_apart, require
from teichaku.training.fine_tune import TrainingPlan, fine_tune


def train_arm(study: Study, arm: StudyArm, folder: StageFolder) -> Outcome:
    """Curated examples to an adapter an epoch. A probe before training and after each epoch shows
    how it goes; its answers are for the stage ``probes``, which has their replies from the cache.
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
    told = _training_estimate(study, student, tokenized, plan)
    study.progress.begin(stage, steps, told, counts.steps)

    done = 0

    def on_step(loss: TrainingLoss) -> None:
        nonlocal done
        done += loss.tokens
        study.progress.advance(1, loss.tokens)

    def on_epoch(epoch: int, trainer: Trainer) -> None:
        if study.is_probed(arm):
            show_probe(study, arm, epoch, trainer.chat_model() if epoch else student)

    adapter, optimizer = _settings(study, arm.training)
    start = time.monotonic()
    result = fine_tune(
        student.trainer(adapter, optimizer), tokenized, plan, folder.path, on_epoch, on_step
    )
    if done:
        study.workshop.note_training_speed(student.identity, done, time.monotonic() - start)
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
    require(study.run, result.losses, stage, translate("training step"), reasons)
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
        training_seed(study, training),
        training.checkpoint_every_steps,
    )


def training_seed(study: Study, training: Training) -> int:
    """What the adapter and the order of the examples begin with."""
    return study.recipe.seed if training.seed is None else training.seed


def _settings(study: Study, training: Training) -> tuple[AdapterSettings, OptimizerSettings]:
    config = training.adapter
    adapter = AdapterSettings(
        config.rank,
        config.alpha,
        config.dropout,
        tuple(config.targets),
        config.quantization,
        training_seed(study, training),
    )
    return adapter, OptimizerSettings(training.weight_decay, training.clip_norm)


def _training_estimate(
    study: Study, student: Student, examples: Sequence[TokenizedExample], plan: TrainingPlan
) -> str:
    tokens = plan.epochs * sum(len(example.tokens) for example in examples)
    return study.workshop.training_estimate(student.identity, tokens)


def describe_arms(study: Study) -> list[dict[str, Any]]:
    """The arms as ``run.json`` has them; ``control_of`` is the data whose control one learns,
    ``select`` how the checkpoint is chosen that is asked in full.
    """
    controls = study.controls()
    return [
        {
            "name": arm.name,
            "data": arm.data,
            "control_of": controls[arm.data][0] if arm.data in controls else "",
            "student": arm.student.model,
            "settings": arm.settings,
            "select": study.recipe.evaluation.select if study.is_probed(arm) else "last",
        }
        for arm in study.arms
    ]
