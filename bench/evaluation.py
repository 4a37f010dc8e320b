"""Benchmarks asked of a small model, against lm-evaluation-harness (its hf backend).

    python bench/evaluation.py [--task NAME] [--items N] [--repeats N] [--peer-python PATH]

What is compared. JCommonsenseQA, 100 items after 3 examples, by the log-probability of the labels
of its choices (lm-eval's ``multiple_choice``), and JSQuAD, 50 items without examples, by greedy
generation in the model's chat template up to a blank line or 128 tokens (``generate_until``), with
SmolLM2-135M-Instruct on the processor, in float32. Items, examples and frame are those that ship
with the package. lm-eval gets them as a task of its own over a local JSONL file: the same prompts,
letter by letter, with the same answers to choose from and the same end. Labels are compared behind
the frame as it stands, without the chat template on either side; no recipe asks so, because its
controls are answered in writing. This half measures the library's scoring alone.

Both sides run in processes of their own, in turn, in turning order, and say how long the requests
took: loading, building the tasks, and a warm-up of one item are not counted. lm-eval runs with
the best of a few batch sizes, found on some of the items, and in float32; ours as it comes.
Labels are its best case: it too reads a question once for all choices of one token. Medians are
compared; beside them stands the ratio of processor seconds, which other programs on the machine
disturb less.

Predictions must agree on 98 % of the items. Those that do not are printed with the reason: how
close the model's choices were, or where two replies part.

lm-eval must be importable, by ``--peer-python`` where it has an environment of its own
(``pip install . 'lm-eval[hf]'``). The last line is one JSON object; the exit code is 1 where a
target is missed.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from teichaku.backends.registry import cache_home, resolve
from teichaku.backends.transformers import TransformersSettings, TransformersStudent
from teichaku.core.models import TokenScores
from teichaku.core.records import Request
from teichaku.evaluation.benchmarks.frames import likeliest, published_answer
from teichaku.evaluation.benchmarks.prepared import Prepared, prepare
from teichaku.evaluation.benchmarks.rows import Item

MODEL = "smollm2-135m-instruct"
TARGET, AGREEMENT = 2.0, 0.98
END = "\n\n"
#: What float32 in another order of sums may move a log-probability by.
TIE = 1e-4
PILOT_ITEMS = 12


@dataclass(frozen=True)
class Task:
    """What is asked: so many items of a set, after so many examples. ``batch_sizes`` are those
    that lm-eval may choose from.
    """

    name: str
    items: int
    shots: int
    batch_sizes: tuple[str, ...]

    @property
    def is_choice(self) -> bool:
        """Whether the labels are compared; else the model writes."""
        return self.name == "jcommonsenseqa"


TASKS = {
    "jcommonsenseqa": Task("jcommonsenseqa", 100, 3, ("1", "4", "16")),
    "jsquad": Task("jsquad", 50, 0, ("1", "8", "32")),
}


@dataclass(frozen=True)
class Outcome:
    """What a side made of the items: seconds by the clock and on the processor, memory at most
    (MiB), what it predicts of each, and why: the log-probability of each label, or the reply.
    """

    seconds: float
    processor_seconds: float
    memory: int
    predictions: list[str]
    evidence: list[Any]


def prepared(task: Task) -> Prepared:
    return prepare(task.name, count=task.items, shots=task.shots)


def student(folder: Path | None = None) -> TransformersStudent:
    """The model, from ``folder`` where one is given."""
    kind: Any = "transformers"
    path, sha256 = folder, "0" * 64
    if path is None:
        resolved = resolve(MODEL)
        path, sha256, kind = resolved.path, resolved.sha256, resolved.kind
    return TransformersStudent(
        path,
        name=MODEL,
        sha256=sha256,
        kind=kind,
        plain_template="{question}",
        cache=cache_home() / "converted",
        settings=TransformersSettings(device="cpu", dtype="float32"),
    )


def write_rows(path: Path, task: Task, of: Prepared) -> None:
    """The items as a data set file for lm-eval."""
    with path.open("w", encoding="utf-8") as file:
        for item in of.items:
            row = {
                "prompt": of.asking.completion_text(item),
                "choices": list(item.labels),
                "gold": item.labels.index(item.references[0]) if task.is_choice else 0,
                "reference": item.references[0],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def run_ours(task: Task, count: int, folder: Path) -> Outcome:
    of = prepared(task)
    items = of.items[:count]
    model = student(folder)
    run = _our_choices if task.is_choice else _our_replies
    run(model, of, items[:1])
    clock = Clock()
    predictions, evidence = clock.timed(run)(model, of, items)
    return Outcome(clock.seconds, clock.processor_seconds, _memory(), predictions, evidence)


def _our_choices(
    model: TransformersStudent, of: Prepared, items: Sequence[Item]
) -> tuple[list[str], list[Any]]:
    asked = (text for item in items for text in of.asking.choices(item))
    scores = model.language_model().token_log_probabilities(asked)
    predictions, evidence = [], []
    for item in items:
        found: list[TokenScores] = list(islice(scores, len(item.labels)))
        predictions.append(str(likeliest(item, found)))
        evidence.append([float(one.log_probabilities.sum()) for one in found])
    return predictions, evidence


def _our_replies(
    model: TransformersStudent, of: Prepared, items: Sequence[Item]
) -> tuple[list[str], list[Any]]:
    requests = reply_requests(of, items)
    replies = {reply.request.subject.question.id: reply for reply in model.generate(requests)}
    texts = [replies[item.question.id].text for item in items]
    return [published_answer(text) for text in texts], texts


def reply_requests(of: Prepared, items: Iterable[Item]) -> Iterator[Request]:
    """The items as one message of a chat each, so that the model's template comes around it as
    lm-eval's ``apply_chat_template`` puts it, up to where the answer ends.
    """
    for item in items:
        request = of.asking.completion(item, plain=False)
        yield replace(request, sampling=replace(request.sampling, stop=(END,)))


def run_peer(task: Task, count: int, folder: Path, rows: Path, batch_size: str) -> Outcome:
    """lm-eval on the first ``count`` rows; its own functions that read requests are timed."""
    import datasets
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    datasets.disable_progress_bars()
    model = HFLM(
        pretrained=str(folder),
        device="cpu",
        dtype="float32",
        batch_size=int(batch_size) if batch_size.isdigit() else batch_size,
    )
    clock = Clock()
    model.loglikelihood = clock.timed(model.loglikelihood)
    model.generate_until = clock.timed(model.generate_until)

    def evaluate(limit: int) -> Any:
        clock.seconds = clock.processor_seconds = 0.0
        return lm_eval.simple_evaluate(
            model=model,
            tasks=[peer_task(task, rows)],
            limit=limit,
            bootstrap_iters=0,
            apply_chat_template=not task.is_choice,
        )

    evaluate(1)
    samples = evaluate(count)["samples"][task.name]
    samples.sort(key=lambda sample: sample["doc_id"])
    found = [sample["resps"] for sample in samples]
    if not task.is_choice:
        texts = [resps[0][0] for resps in found]
        answers = [published_answer(text) for text in texts]
        return Outcome(clock.seconds, clock.processor_seconds, _memory(), answers, texts)
    evidence = [[float(resp[0][0]) for resp in resps] for resps in found]
    predictions = [
        sample["doc"]["choices"][values.index(max(values))]
        for sample, values in zip(samples, evidence, strict=True)
    ]
    return Outcome(clock.seconds, clock.processor_seconds, _memory(), predictions, evidence)


def peer_task(task: Task, rows: Path) -> dict[str, Any]:
    """The task as lm-eval's YAML says it."""
    common = {
        "task": task.name,
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(rows)},
            "cache_dir": str(rows.parent / "datasets"),
        },
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "target_delimiter": "",
    }
    if task.is_choice:
        return common | {
            "output_type": "multiple_choice",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc"}],
        }
    return common | {
        "output_type": "generate_until",
        "doc_to_target": "reference",
        "generation_kwargs": {"until": [END], "do_sample": False, "max_gen_toks": 128},
        "metric_list": [{"metric": "exact_match"}],
    }


class Clock:
    """Seconds spent in functions, by the clock and on the processor."""

    def __init__(self) -> None:
        self.seconds = self.processor_seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time is counted."""

        def call(*arguments: Any, **options: Any) -> Any:
            start, processor = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - start
                self.processor_seconds += time.process_time() - processor

        return call


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Sides:
    """Runs the sides of one task in processes of their own."""

    def __init__(self, task: Task, work: Path, folder: Path, peer_python: str) -> None:
        self._task, self._work, self._folder, self._peer = task, work, folder, peer_python
        self._rows = work / f"{task.name}.jsonl"
        write_rows(self._rows, task, prepared(task))

    def run(self, side: str, count: int, batch_size: str = "") -> Outcome:
        """What ``side`` makes of the first ``count`` items."""
        out = self._work / "outcome.json"
        subprocess.run(
            [
                self._peer if side == "lm_eval" else sys.executable,
                __file__,
                *("--side", side, "--task", self._task.name),
                # Of fewer items others are drawn.
                *("--items", str(self._task.items), "--count", str(count)),
                *("--folder", str(self._folder), "--rows", str(self._rows)),
                *("--batch-size", batch_size, "--out", str(out)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found = Outcome(**json.loads(out.read_text(encoding="utf-8")))
        print(f"  {side:8} {count:4} items {found.seconds:8.1f} s {found.memory:6} MiB", flush=True)
        return found

    def best_batch_size(self) -> str:
        """The batch size with which lm-eval is quickest on some of the items."""
        sizes = self._task.batch_sizes
        if len(sizes) == 1:
            return sizes[0]
        count = min(PILOT_ITEMS, self._task.items)
        return min(sizes, key=lambda size: self.run("lm_eval", count, size).seconds)


def compare(task: Task, repeats: int, peer_python: str) -> dict[str, Any]:
    """Measure both sides on one task; what came out, ready for JSON."""
    folder = student().folder
    with tempfile.TemporaryDirectory() as work:
        sides = Sides(task, Path(work), folder, peer_python)
        best = sides.best_batch_size()
        print(f"{task.name}: lm-eval with batches of {best}", flush=True)
        rounds: dict[str, list[Outcome]] = {"ours": [], "lm_eval": []}
        for repeat in range(repeats):
            for side in list(rounds) if repeat % 2 else list(reversed(rounds)):
                rounds[side].append(sides.run(side, task.items, best))
    return summary(task, rounds, best)


def summary(task: Task, rounds: dict[str, list[Outcome]], batch_size: str) -> dict[str, Any]:
    """Items a second of both, their ratio, and where the predictions part."""
    medians = {
        side: statistics.median(one.seconds for one in outcomes)
        for side, outcomes in rounds.items()
    }
    processor = {
        side: statistics.median(one.processor_seconds for one in outcomes)
        for side, outcomes in rounds.items()
    }
    ours, peer = rounds["ours"][-1], rounds["lm_eval"][-1]
    differences = explained(task, ours, peer)
    for line in differences:
        print(f"  {line}")
    agreement = 1 - len(differences) / task.items
    ratio = medians["lm_eval"] / medians["ours"]
    return {
        "name": f"items/s against lm-eval, {task.name}",
        "value": round(ratio, 2),
        "target": TARGET,
        "ok": ratio >= TARGET and agreement >= AGREEMENT,
        "items": task.items,
        "items_per_second": {side: round(task.items / value, 2) for side, value in medians.items()},
        "seconds": {side: [round(one.seconds, 1) for one in of] for side, of in rounds.items()},
        "processor_ratio": round(processor["lm_eval"] / processor["ours"], 2),
        "memory_mib": {side: max(one.memory for one in of) for side, of in rounds.items()},
        "same_predictions": round(agreement, 3),
        "differences": differences,
        "lm_eval_batch_size": batch_size,
    }


def explained(task: Task, ours: Outcome, peer: Outcome) -> list[str]:
    """A line for each item of which the sides predict something else, with the reason."""
    found = []
    pairs = zip(ours.predictions, peer.predictions, strict=True)
    for at, (one, other) in enumerate(pairs):
        if one == other:
            continue
        reason = _reason if task.is_choice else _parting
        found.append(f"item {at}: {one!r}, lm-eval {other!r}: {reason(ours, peer, at)}")
    return found


def _reason(ours: Outcome, peer: Outcome, at: int) -> str:
    def margin(values: Sequence[float]) -> float:
        first, second = sorted(values, reverse=True)[:2]
        return first - second

    margins = (margin(ours.evidence[at]), margin(peer.evidence[at]))
    what = "a tie up to rounding" if max(margins) < TIE else "more than rounding"
    return f"{what}, the two likeliest are {margins[0]:.2g} and {margins[1]:.2g} apart"


def _parting(ours: Outcome, peer: Outcome, at: int) -> str:
    one, other = ours.evidence[at], peer.evidence[at]
    same = next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    return f"the replies part after {same} of {len(other)} characters"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", action="append", choices=sorted(TASKS))
    parser.add_argument("--items", type=int, help="fewer items of each set")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-python", default=sys.executable)
    for name in ("--side", "--folder", "--rows", "--out", "--count", "--batch-size"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    tasks = [TASKS[name] for name in arguments.task or sorted(TASKS)]
    tasks = [replace(task, items=min(task.items, arguments.items or task.items)) for task in tasks]
    if arguments.side:
        task, count, folder = tasks[0], int(arguments.count), Path(arguments.folder)
        if arguments.side == "ours":
            outcome = run_ours(task, count, folder)
        else:
            outcome = run_peer(task, count, folder, Path(arguments.rows), arguments.batch_size)
        Path(arguments.out).write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        return 0
    found = []
    for task in tasks:
        found.append(compare(task, arguments.repeats, arguments.peer_python))
        print(json.dumps(found[-1], ensure_ascii=False))
    worst = min(found, key=lambda one: one["value"])
    ok = all(one["ok"] for one in found)
    print(json.dumps({**worst, "ok": ok, "tasks": found}, ensure_ascii=False))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
