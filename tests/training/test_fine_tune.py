import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from teichaku.backends.scripted import ScriptedModel
from teichaku.core.errors import StageEmptyError, UserError
from teichaku.core.models import ChatModel, Trainer
from teichaku.core.records import TokenizedExample, TrainingLoss, content_id
from teichaku.training.fine_tune import TrainingPlan, TrainingResult, fine_tune

EXAMPLES = [TokenizedExample(str(at), tuple(range(4 + at)), 2, cut=at % 2) for at in range(6)]
PLAN = TrainingPlan(epochs=3, batch_size=2, learning_rate=1e-3, checkpoint_every_steps=2)


class KilledError(Exception):
    """Stands for kill -9 at a chosen moment."""


class Clock:
    """Kills at the given moment; every write and every step is one."""

    def __init__(self, killed_at: int = 10**9) -> None:
        self.left = killed_at

    def tick(self) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1


class ChainTrainer:
    """Its loss depends on all that it saw before, so that a lost or repeated step shows."""

    def __init__(self, clock: Clock, loss: float | None = None) -> None:
        self.clock, self.loss, self.state = clock, loss, "0" * 16

    def step(self, batch: Sequence[TokenizedExample], learning_rate: float) -> float:
        self.clock.tick()
        self.state = content_id(self.state, str(learning_rate), *(one.id for one in batch))
        self.clock.tick()
        return int(self.state, 16) / 2**64 if self.loss is None else self.loss

    def save(self, folder: Path) -> None:
        self._write(folder)

    def restore(self, folder: Path) -> None:
        self.state = (folder / "state").read_text()

    def save_adapter(self, folder: Path) -> None:
        self._write(folder)

    def chat_model(self) -> ChatModel:
        return ScriptedModel(lambda request: "")

    def _write(self, folder: Path) -> None:
        self.clock.tick()
        folder.mkdir()
        self.clock.tick()
        (folder / "state").write_text(self.state)
        self.clock.tick()


class Diary:
    """What the loop reported, as a caller would keep it on the disk."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.epochs: list[tuple[int, str]] = []
        self.steps: list[int] = []

    def on_epoch(self, epoch: int, trainer: Trainer) -> None:
        self.clock.tick()
        assert isinstance(trainer, ChainTrainer)
        assert epoch == 0 or (self.folder / f"epoch-{epoch}" / "state").is_file()
        self.epochs.append((epoch, trainer.state))

    def on_step(self, loss: TrainingLoss) -> None:
        self.steps.append(loss.step)


def train(
    folder: Path, clock: Clock | None = None, plan: TrainingPlan = PLAN
) -> tuple[TrainingResult, Diary]:
    clock = clock or Clock()
    diary = Diary(folder, clock)
    result = fine_tune(ChainTrainer(clock), EXAMPLES, plan, folder, diary.on_epoch, diary.on_step)
    return result, diary


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_epoch_is_reported_once_and_leaves_its_adapter(tmp_path: Path) -> None:
    result, diary = train(tmp_path)
    assert [epoch for epoch, _ in diary.epochs] == [0, 1, 2, 3]
    assert diary.epochs[0][1] == ChainTrainer(Clock()).state
    assert [loss.step for loss in result.losses] == diary.steps == list(range(1, 10))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-1",
        "epoch-2",
        "epoch-3",
        "finished.json",
    ]


def test_tokens_are_counted(tmp_path: Path) -> None:
    result, _ = train(tmp_path)
    assert result.tokens == 3 * sum(len(example.tokens) for example in EXAMPLES)
    assert result.labelled == 3 * sum(example.labelled for example in EXAMPLES)
    assert result.padded == 3 * 3  # lengths 4 5, 6 7, 8 9
    assert result.cut == 3


def test_killed_at_any_moment_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole")
    for moment in range(1_000):
        folder = tmp_path / str(moment)
        clock = Clock(moment)
        first = Diary(folder, clock)
        trainer = ChainTrainer(clock)
        try:
            fine_tune(trainer, EXAMPLES, PLAN, folder, first.on_epoch, first.on_step)
        except KilledError:
            result, second = train(folder)
            assert result == whole
            assert contents(folder) == contents(tmp_path / "whole")
            # No epoch is reported again, and at most the steps since a checkpoint are repeated.
            assert [epoch for epoch, _ in first.epochs + second.epochs] == [0, 1, 2, 3]
            assert {*first.steps, *second.steps} == set(range(1, 10))
            assert len({*first.steps} & {*second.steps}) <= PLAN.checkpoint_every_steps
        else:
            break
    assert moment > 50


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    whole, _ = train(tmp_path)
    again, diary = train(tmp_path, Clock(0))
    assert again == whole
    assert (diary.epochs, diary.steps) == ([], [])


def test_killed_after_its_end_it_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = train(tmp_path / "whole")
    remove = shutil.rmtree

    def killed(path: Path) -> None:
        if (path.parent / "finished.json").exists():
            raise KilledError
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KilledError):
        train(tmp_path / "killed")
    monkeypatch.undo()
    result, diary = train(tmp_path / "killed")
    assert (result, diary.epochs) == (whole, [])
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob("checkpoint-*"))


def test_work_of_another_plan_is_removed(tmp_path: Path) -> None:
    (tmp_path / "begun").write_text("not ours")
    train(tmp_path)
    other = TrainingPlan(epochs=1, batch_size=3, learning_rate=1e-3)
    result, diary = train(tmp_path, plan=other)
    assert [loss.step for loss in result.losses] == diary.steps == [1, 2]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["begun", "epoch-1", "finished.json"]


def test_examples_without_a_label_are_named(tmp_path: Path) -> None:
    bare = TokenizedExample("bare", (1, 2, 3), 3)
    result = fine_tune(ChainTrainer(Clock()), [*EXAMPLES, bare], PLAN, tmp_path)
    assert result.unlabelled == ("bare",)
    without, _ = train(tmp_path / "without")
    assert result == replace(without, unlabelled=("bare",))


def test_no_example_with_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageEmptyError, match=r"1 given"):
        fine_tune(ChainTrainer(Clock()), [TokenizedExample("a", (1, 2), 2)], PLAN, tmp_path)


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    rare = TokenizedExample("rare", tuple(range(200)), 199)
    with pytest.raises(UserError, match=r"0\.50%"):
        fine_tune(ChainTrainer(Clock()), [rare], PLAN, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_and_says_what_to_do(tmp_path: Path, loss: float) -> None:
    with pytest.raises(UserError, match=r"at step 1 .*\n.*learning_rate"):
        fine_tune(ChainTrainer(Clock(), loss), EXAMPLES, PLAN, tmp_path)


def test_the_rate_follows_the_schedule(tmp_path: Path) -> None:
    result, _ = train(tmp_path)
    rates = [loss.learning_rate for loss in result.losses]
    assert rates[0] == PLAN.learning_rate
    assert rates == sorted(rates, reverse=True)
