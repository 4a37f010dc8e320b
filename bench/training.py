"""Training speed against TRL's SFTTrainer: same model, data, batches, adapter, learning rate.

    python bench/training.py [--model NAME] [--repeats N] [--epochs N]

What is compared. 24 questions and answers made of the CC0 board-game records in
examples/board-games (the kind of data that the demo trains on; longer answers are left out, so
that padding, of which this project does none, decides little), LoRA on all linear layers
with rank 16, alpha 32 and no dropout, AdamW at a constant learning rate, loss on the answer
alone, batches of 8 rows of like length. Both sides start from the same adapter weights and see
the same tokens in the same order, so that their losses can be compared; TRL thereby gets the
length-sorted batches that it would not make by itself.

``trl_default`` is what a user of SFTTrainer gets on a processor: SFTConfig as it is (bf16
autocast over float32 weights, gradient checkpointing, loss "nll", which in TRL 1.16 runs the
head on labelled rows only) with use_cpu, which SFTConfig asks for; every step is logged,
nothing evaluated or saved. ``trl_tuned`` has gradient checkpointing off and the weights in the
number format that this project chooses for the processor. Only the training loop is timed,
from its first step to its last; loading, tokenizing and one warm-up run of each side are not.
The sides run in turn, and medians are compared.

The last line is one JSON object; the exit code is 1 where a target is missed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from teichaku.backends.registry import cache_home, resolve
from teichaku.backends.transformers import TransformersSettings, TransformersStudent
from teichaku.core.models import AdapterSettings, OptimizerSettings
from teichaku.core.records import Message, TokenizedExample, content_id
from teichaku.training.batches import length_bucketed, padding_count, token_count

DOCUMENTS = Path(__file__).parents[1] / "examples" / "board-games" / "documents"
TARGETS = {"gemma-3-270m": 3.0, "smollm2-135m-instruct": 2.0}
ROWS, BATCH_SIZE, LEARNING_RATE = 24, 8, 1e-4
ADAPTER, OPTIMIZER = AdapterSettings(rank=16, alpha=32.0), OptimizerSettings()
LONGEST_ANSWER = 40
LOSS_TOLERANCE = 0.02


Result = tuple[float, list[float]]
"""Seconds of the training loop, and the loss of every step."""


def questions_and_answers() -> list[tuple[str, str]]:
    """One row a "key：value" line of the records, ``ROWS`` in all."""
    rows = []
    for path in sorted(DOCUMENTS.glob("*.md")):
        _, _, text = path.read_text(encoding="utf-8").rpartition("---\n")
        title, *lines = text.splitlines()
        for line in lines:
            key, separator, value = line.partition("：")
            if separator and len(value) <= LONGEST_ANSWER:
                rows.append((f"ボードゲーム「{title}」の{key}は何ですか？", value))
    rows.sort(key=lambda row: content_id(*row))
    return rows[:ROWS]


def batches_of(student: TransformersStudent, epochs: int) -> list[list[TokenizedExample]]:
    examples = [
        student.encode(content_id(question), [Message("user", question)], answer, 512)
        for question, answer in questions_and_answers()
    ]
    return [
        batch
        for epoch in range(epochs)
        for batch in length_bucketed(examples, BATCH_SIZE, 0, epoch)
    ]


def run_ours(
    student: TransformersStudent, batches: Sequence[Sequence[TokenizedExample]], adapter: Path
) -> Result:
    trainer = student.trainer(ADAPTER, OPTIMIZER)
    if not adapter.exists():
        trainer.save_adapter(adapter)
    start = time.perf_counter()
    losses = [trainer.step(batch, LEARNING_RATE) for batch in batches]
    return time.perf_counter() - start, losses


def run_trl(
    student: TransformersStudent,
    batches: Sequence[Sequence[TokenizedExample]],
    adapter: Path,
    tuned: bool,
) -> Result:
    """Train with SFTTrainer from the adapter that the other side began with."""
    import datasets
    import torch
    import transformers
    import trl
    from peft import LoraConfig, load_peft_weights, set_peft_model_state_dict

    from teichaku.backends import transformers_weights as weights

    dtype = weights.choose_dtype("cpu") if tuned else torch.float32
    folder = student.folder
    model = weights.load_model(folder, "cpu", dtype)
    rows = [
        {
            "input_ids": list(example.tokens),
            "completion_mask": [
                int(at >= example.prompt_length) for at in range(len(example.tokens))
            ],
        }
        for batch in batches
        for example in batch
    ]
    options: dict[str, Any] = {"gradient_checkpointing": False} if tuned else {}
    if tuned and dtype == torch.float32:
        options["bf16"] = False
    clock = Clock()
    with tempfile.TemporaryDirectory() as output:
        trainer = trl.SFTTrainer(
            model,
            args=trl.SFTConfig(
                output_dir=output,
                per_device_train_batch_size=BATCH_SIZE,
                num_train_epochs=1,
                learning_rate=LEARNING_RATE,
                lr_scheduler_type="constant",
                train_sampling_strategy="sequential",
                completion_only_loss=True,
                use_cpu=True,
                logging_steps=1,
                disable_tqdm=True,
                save_strategy="no",
                report_to="none",
                **options,
            ),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=weights.load_tokenizer(folder),
            peft_config=LoraConfig(
                r=ADAPTER.rank,
                lora_alpha=ADAPTER.alpha,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
            callbacks=[clock.as_callback(transformers.TrainerCallback)],
        )
        set_peft_model_state_dict(trainer.model, load_peft_weights(str(adapter), device="cpu"))
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return clock.seconds, losses


class Clock:
    """Seconds from the first step to the end of the last."""

    def __init__(self) -> None:
        self.begin = self.end = 0.0

    @property
    def seconds(self) -> float:
        """The time between the two."""
        return self.end - self.begin

    def as_callback(self, base: type) -> Any:
        """A callback of the Hugging Face trainer that keeps the time."""
        clock = self

        class Callback(base):  # type: ignore[misc]
            def on_train_begin(self, *_: Any, **__: Any) -> None:
                clock.begin = time.perf_counter()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                clock.end = time.perf_counter()

        return Callback()


def alternate(sides: dict[str, Callable[[], Result]], repeats: int) -> dict[str, list[Result]]:
    """The results of ``repeats`` rounds, in turning order, after a warm-up round."""
    results: dict[str, list[Result]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        order = list(sides) if repeat % 2 else list(reversed(sides))
        for name in order:
            result = sides[name]()
            print(f"  round {repeat} {name:12} {result[0]:8.2f} s", flush=True)
            if repeat:
                results[name].append(result)
    return results


def compare(model: str, repeats: int, epochs: int) -> dict[str, Any]:
    """Measure both sides with one model; what came out, ready for JSON."""
    resolved = resolve(model)
    student = TransformersStudent(
        resolved.path,
        name=model,
        sha256=resolved.sha256,
        kind=resolved.kind,
        plain_template="質問：{question}\n回答：",
        cache=cache_home() / "converted",
        settings=TransformersSettings(device="cpu"),
    )
    batches = batches_of(student, epochs)
    tokens = sum(token_count(batch) for batch in batches)
    labelled = sum(example.labelled for batch in batches for example in batch)
    padded = sum(padding_count(batch) for batch in batches)
    print(f"{model}: {len(batches)} steps, {tokens} tokens, {labelled} labelled, {padded} padded")
    with tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "adapter"
        run_ours(student, batches[:1], adapter)
        results = alternate(
            {
                "ours": lambda: run_ours(student, batches, adapter),
                "trl_default": lambda: run_trl(student, batches, adapter, tuned=False),
                "trl_tuned": lambda: run_trl(student, batches, adapter, tuned=True),
            },
            repeats,
        )
    return summary(model, results, tokens, len(batches) // epochs)


def summary(
    model: str, results: dict[str, list[Result]], tokens: int, steps_per_epoch: int
) -> dict[str, Any]:
    """Tokens a second, ratios, and the relative difference of the mean loss of the last epoch."""
    speed = {
        name: tokens / statistics.median(seconds for seconds, _ in runs)
        for name, runs in results.items()
    }
    loss = {
        name: statistics.fmean(runs[-1][1][-steps_per_epoch:]) for name, runs in results.items()
    }
    ratio = speed["ours"] / speed["trl_default"]
    difference = abs(loss["ours"] - loss["trl_default"]) / loss["trl_default"]
    return {
        "name": f"training tokens/s against TRL, {model}",
        "value": round(ratio, 2),
        "target": TARGETS[model],
        "ok": ratio >= TARGETS[model] and difference <= LOSS_TOLERANCE,
        "ratio_to_trl_tuned": round(speed["ours"] / speed["trl_tuned"], 2),
        "tokens_per_second": {name: round(value, 1) for name, value in speed.items()},
        "last_epoch_loss": {name: round(value, 4) for name, value in loss.items()},
        "loss_difference": round(difference, 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", choices=sorted(TARGETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    found = []
    for model in arguments.model or sorted(TARGETS):
        found.append(compare(model, arguments.repeats, arguments.epochs))
        print(json.dumps(found[-1], ensure_ascii=False))
    worst = min(found, key=lambda one: one["value"] / one["target"])
    ok = all(one["ok"] for one in found)
    print(json.dumps({**worst, "ok": ok, "models": found}, ensure_ascii=False))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
