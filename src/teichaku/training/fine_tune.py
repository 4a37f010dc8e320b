"""The one training loop. It knows no framework: the trainer that it is given does the work.

In the folder of a training lie ``epoch-N`` (the adapter after epoch N), ``checkpoint-N`` (all
that is needed to go on after step N; only the newest is kept) and, in the end,
``finished.json``. A training that was killed at any moment goes on to the same losses.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from teichaku.core.errors import StageEmptyError, UserError
from teichaku.core.models import Trainer
from teichaku.core.records import TokenizedExample, TrainingLoss, content_id
from teichaku.core.run_folder import fingerprint, json_bytes, write_aside
from teichaku.training.batches import length_bucketed, padding_count, token_count
from teichaku.training.schedule import ScheduleKind, learning_rate

#: Below this share of labelled tokens nothing useful is learnt: the template or the mask is wrong.
MINIMUM_LABELLED_SHARE = 0.01

_FINISHED = "finished.json"
_PROGRESS = "progress.json"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How to train: ``learning_rate`` is the peak, ``warmup_share`` the part of all steps in
    which it rises. ``checkpoint_every_steps`` 0 means a checkpoint after each epoch only.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: ScheduleKind = "cosine"
    warmup_share: float = 0.05
    seed: int = 0
    checkpoint_every_steps: int = 0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training saw, over all epochs. ``tokens`` and ``labelled`` are without
    ``padded``; ``cut`` counts the tokens that did not fit into the examples, once each.
    ``unlabelled`` are the examples that carry no label and so were not trained on.
    """

    losses: tuple[TrainingLoss, ...]
    tokens: int
    labelled: int
    padded: int
    cut: int
    unlabelled: tuple[str, ...]


@dataclass(slots=True)
class _Progress:
    """How far a training came: the losses of its steps, and how often ``on_epoch`` returned."""

    losses: list[TrainingLoss] = field(default_factory=list)
    epochs_reported: int = 0


def fine_tune(
    trainer: Trainer,
    examples: Sequence[TokenizedExample],
    plan: TrainingPlan,
    folder: Path,
    on_epoch: Callable[[int, Trainer], None] = lambda epoch, trainer: None,
    on_step: Callable[[TrainingLoss], None] = lambda loss: None,
) -> TrainingResult:
    """Train on the labelled tokens of ``examples`` and leave an adapter per epoch in ``folder``.

    ``on_epoch(0, trainer)`` is called before training and ``on_epoch(n, trainer)`` after epoch
    n, when ``folder/epoch-n`` is there. Called again after an interruption, with a new
    trainer, it goes on from the last checkpoint; an epoch whose ``on_epoch`` returned is not
    reported again. Work of another plan or of other examples in ``folder`` is removed.

    Raises ``StageEmptyError`` where no example carries a label, and ``UserError`` where fewer
    than 1 % of the tokens do or the loss stops being a number.
    """
    usable = [example for example in examples if example.labelled > 0]
    _check_labels(usable, len(examples))
    run = _Run(trainer, usable, plan, folder)
    if not run.is_finished:
        run.report_epoch(0, on_epoch)
        for epoch in range(1, plan.epochs + 1):
            run.train_epoch(epoch, on_step)
            run.report_epoch(epoch, on_epoch)
        run.finish()
    run.remove_checkpoints()
    unlabelled = tuple(sorted(example.id for example in examples if example.labelled <= 0))
    return run.result(unlabelled)


def _check_labels(usable: Sequence[TokenizedExample], count: int) -> None:
    if not usable:
        raise StageEmptyError(
            f"Training has no example with a label ({count} given).",
            "Either earlier stages dropped all of them (teichaku show RUN curation --dropped), "
            "or training.max_tokens cuts every answer away: raise it.",
        )
    labelled = sum(example.labelled for example in usable)
    share = labelled / token_count(usable)
    if share < MINIMUM_LABELLED_SHARE:
        raise UserError(
            f"Only {share:.2%} of the training tokens carry a label; at least "
            f"{MINIMUM_LABELLED_SHARE:.0%} are needed.",
            "The answers are cut away or far shorter than the prompts: raise "
            "training.max_tokens, or leave the passage out of the question.",
        )


class _Run:
    """One training in its folder, from where it was left."""

    def __init__(
        self,
        trainer: Trainer,
        examples: Sequence[TokenizedExample],
        plan: TrainingPlan,
        folder: Path,
    ) -> None:
        self.trainer, self.examples, self.plan, self.folder = trainer, examples, plan, folder
        self.made_from = _fingerprint(examples, plan)
        self.total_steps = plan.epochs * math.ceil(len(examples) / plan.batch_size)
        self.progress = _Progress()
        finished = self._read(folder / _FINISHED)
        self.is_finished = finished is not None
        if finished is not None:
            self.progress = finished
        else:
            self._resume()

    def train_epoch(self, epoch: int, on_step: Callable[[TrainingLoss], None]) -> None:
        """Do the steps of ``epoch`` that are not done yet."""
        every = self.plan.checkpoint_every_steps
        batches = self._batches(epoch)
        first = (epoch - 1) * len(batches) + 1
        for step, batch in enumerate(batches, first):
            if step <= len(self.progress.losses):
                continue
            loss = self._step(step, epoch, batch)
            self.progress.losses.append(loss)
            on_step(loss)
            is_last = step == first + len(batches) - 1
            if is_last or (every and step % every == 0):
                self._save_checkpoint()

    def report_epoch(self, epoch: int, on_epoch: Callable[[int, Trainer], None]) -> None:
        """Save the adapter of ``epoch`` and hand it to ``on_epoch``, if that is not done yet."""
        if epoch < self.progress.epochs_reported:
            return
        adapter = self.folder / f"epoch-{epoch}"
        if epoch > 0 and not adapter.exists():
            _write_folder(adapter, self.trainer.save_adapter)
        on_epoch(epoch, self.trainer)
        # Only now: an interruption inside on_epoch must lead to the same call again.
        self.progress.epochs_reported = epoch + 1
        self._write_progress(self._checkpoint() / _PROGRESS)

    def finish(self) -> None:
        """Mark the training as finished."""
        self._write_progress(self.folder / _FINISHED)
        self.is_finished = True

    def remove_checkpoints(self) -> None:
        """Remove what was only needed to go on, also what a kill after :meth:`finish` left."""
        for checkpoint in self._checkpoints():
            shutil.rmtree(checkpoint)

    def result(self, unlabelled: tuple[str, ...]) -> TrainingResult:
        """What the training saw."""
        losses = tuple(self.progress.losses)
        epochs = range(1, self.plan.epochs + 1)
        return TrainingResult(
            losses,
            sum(loss.tokens for loss in losses),
            sum(loss.labelled_tokens for loss in losses),
            sum(padding_count(batch) for epoch in epochs for batch in self._batches(epoch)),
            sum(example.cut for example in self.examples),
            unlabelled,
        )

    def _batches(self, epoch: int) -> list[list[TokenizedExample]]:
        return length_bucketed(self.examples, self.plan.batch_size, self.plan.seed, epoch)

    def _step(self, step: int, epoch: int, batch: Sequence[TokenizedExample]) -> TrainingLoss:
        plan = self.plan
        rate = learning_rate(
            step, self.total_steps, plan.learning_rate, plan.warmup_share, plan.schedule
        )
        loss = self.trainer.step(batch, rate)
        if not math.isfinite(loss):
            raise UserError(
                f"The training loss is {loss} at step {step} (epoch {epoch}, learning rate "
                f"{rate:.1e}).",
                f"Lower training.learning_rate (now {plan.learning_rate:.1e}), for example to "
                f"a third, and see that gradients are clipped.",
            )
        labelled = sum(example.labelled for example in batch)
        return TrainingLoss(step, epoch, rate, loss, labelled, token_count(batch))

    def _resume(self) -> None:
        for checkpoint in reversed(self._checkpoints()):
            progress = self._read(checkpoint / _PROGRESS)
            if progress is not None:
                self.trainer.restore(checkpoint / "state")
                self.progress = progress
                return
        self._remove_other_work()
        self._save_checkpoint()

    def _remove_other_work(self) -> None:
        (self.folder / _FINISHED).unlink(missing_ok=True)
        for pattern in ("epoch-*", "checkpoint-*"):
            for path in self.folder.glob(pattern):
                shutil.rmtree(path)

    def _save_checkpoint(self) -> None:
        older = self._checkpoints()
        _write_folder(self._checkpoint(), self._write_checkpoint)
        for checkpoint in older:
            shutil.rmtree(checkpoint)

    def _write_checkpoint(self, folder: Path) -> None:
        folder.mkdir()
        self.trainer.save(folder / "state")
        self._write_progress(folder / _PROGRESS)

    def _checkpoint(self) -> Path:
        return self.folder / f"checkpoint-{len(self.progress.losses)}"

    def _checkpoints(self) -> list[Path]:
        """All whole checkpoints, the oldest first."""
        found = self.folder.glob("checkpoint-*[0-9]")
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    def _write_progress(self, path: Path) -> None:
        losses = [asdict(loss) for loss in self.progress.losses]
        content = {
            "made_from": self.made_from,
            "epochs_reported": self.progress.epochs_reported,
            "losses": losses,
        }
        write_aside(path, json_bytes(content))

    def _read(self, path: Path) -> _Progress | None:
        """The progress at ``path``; None where there is none or it is of another training."""
        if not path.is_file():
            return None
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["made_from"] != self.made_from:
            return None
        losses = [TrainingLoss(**loss) for loss in content["losses"]]
        return _Progress(losses, content["epochs_reported"])


def _write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` make a folder aside, then put it at ``path`` in one step."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists():
            shutil.rmtree(aside)
        write(aside)
        aside.rename(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Make room on the disk, or check who may write there; then run again: "
            "training goes on from the last checkpoint.",
        ) from error


def _fingerprint(examples: Sequence[TokenizedExample], plan: TrainingPlan) -> str:
    # When checkpoints are written changes nothing in what is learnt.
    settings = asdict(replace(plan, checkpoint_every_steps=0))
    rows = sorted(
        content_id(example.id, example.prompt_length, *example.tokens) for example in examples
    )
    return fingerprint([settings, rows])
