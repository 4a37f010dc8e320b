"""Token log-probabilities against a plain transformers loop: same model, texts, token limit.

    python bench/log_probabilities.py [--model NAME] [--passages N] [--repeats N]

What is compared. Passages are runs of whole sentences of the Cloud Native Glossary in bench/data
(Japanese for gemma-3-270m, English for smollm2), of 50 to 800 characters drawn evenly, which is
about what user's passages and examples have; they come in an order that has nothing to do with
their length. Both sides get texts and give one array of log-probabilities a text, tokenizing
included, in float32, and no batch may have more than ``--batch-tokens`` tokens, padding counted.

``plain`` is the loop that one writes first: batches in the order in which the texts come, padded
by the tokenizer, the model's logits, log_softmax over all of them, and the tokens gathered.
``ours`` is what selection and novelty use. The sides run in turn, in turning order, after a
warm-up of a few texts each, and medians are compared. The values of all tokens must agree.

The last line is one JSON object; the exit code is 1 where a target is missed.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teichaku.backends import transformers_weights as weights
from teichaku.backends.registry import cache_home, resolve
from teichaku.backends.transformers import TransformersSettings, TransformersStudent
from teichaku.core.models import ScoredText
from teichaku.core.records import content_id
from teichaku.core.text import sentences

DATA = Path(__file__).parent / "data"
LANGUAGES = {"gemma-3-270m": "ja", "smollm2-135m-instruct": "en"}
SHORTEST, LONGEST = 50, 800
TARGET = 1.5
TOLERANCE = 2e-3
WARM_UP = 4

Values = list[np.ndarray]
Rounds = dict[str, list[float]]
"""Seconds of each round, by side."""


def passages(language: str, count: int) -> list[str]:
    """``count`` runs of sentences, the same every time."""
    path = DATA / f"passages-{language}.jsonl"
    pages = [
        list(sentences(json.loads(line)["text"]))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return [_passage(pages, number) for number in range(count)]


def _passage(pages: Sequence[Sequence[str]], number: int) -> str:
    def draw(name: str, below: int) -> int:
        return int(content_id(name, number), 16) % below

    page = pages[draw("page", len(pages))]
    wanted = SHORTEST + draw("length", LONGEST - SHORTEST + 1)
    at = draw("sentence", len(page))
    text = ""
    # A page that ends too early goes on from its beginning.
    while len(text) < wanted:
        text += page[at % len(page)]
        at += 1
    return text[:LONGEST]


def in_order(lengths: Sequence[int], limit: int) -> Iterator[slice]:
    """Batches of texts as they come, with ``limit`` tokens at most, padding counted."""
    start = 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or max(lengths[start : end + 1]) * (end + 1 - start) > limit:
            yield slice(start, end)
            start = end


def plain(model: Any, tokenizer: Any, texts: Sequence[str], limit: int) -> Values:
    """The loop that one writes first."""
    lengths = [len(tokens) for tokens in tokenizer(list(texts)).input_ids]
    found: Values = []
    with torch.inference_mode():
        for part in in_order(lengths, limit):
            batch = tokenizer(list(texts[part]), padding=True, return_tensors="pt")
            tokens = batch.input_ids
            logits = model(**batch).logits[:, :-1]
            values = logits.log_softmax(-1).gather(2, tokens[:, 1:, None])[:, :, 0]
            found += [
                row[: length - 1].numpy().copy()
                for row, length in zip(values, lengths[part], strict=True)
            ]
    return found


def padded_share(tokenizer: Any, texts: Sequence[str], limit: int) -> float:
    """The share of padding among the tokens of the plain loop."""
    lengths = [len(tokens) for tokens in tokenizer(list(texts)).input_ids]
    batches = [lengths[part] for part in in_order(lengths, limit)]
    return 1 - sum(lengths) / sum(max(batch) * len(batch) for batch in batches)


def alternate(
    sides: dict[str, Callable[[], Values]], repeats: int
) -> tuple[Rounds, dict[str, Values]]:
    """The rounds of each side, in turning order, and the values of the last."""
    rounds: Rounds = {name: [] for name in sides}
    values: dict[str, Values] = {}
    for repeat in range(repeats):
        for name in list(sides) if repeat % 2 else list(reversed(sides)):
            start = time.perf_counter()
            values[name] = sides[name]()
            rounds[name].append(time.perf_counter() - start)
            print(f"  round {repeat + 1} {name:6} {rounds[name][-1]:8.2f} s", flush=True)
    return rounds, values


def compare(model: str, count: int, repeats: int, limit: int) -> dict[str, Any]:
    """Measure both sides with one model; what came out, ready for JSON."""
    resolved = resolve(model)
    student = TransformersStudent(
        resolved.path,
        name=model,
        sha256=resolved.sha256,
        kind=resolved.kind,
        plain_template="{question}",
        cache=cache_home() / "converted",
        settings=TransformersSettings(device="cpu", dtype="float32"),
    )
    ours = student.language_model(limit)
    tokenizer = weights.load_tokenizer(student.folder)
    tokenizer.padding_side = "right"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    network = weights.load_model(student.folder, "cpu", torch.float32)
    texts = passages(LANGUAGES[model], count)

    def run_ours(texts: Sequence[str]) -> Values:
        asked = (ScoredText(text) for text in texts)
        return [one.log_probabilities for one in ours.token_log_probabilities(asked)]

    run_ours(texts[:WARM_UP])
    plain(network, tokenizer, texts[:WARM_UP], limit)
    sides: dict[str, Callable[[], Values]] = {
        "ours": lambda: run_ours(texts),
        "plain": lambda: plain(network, tokenizer, texts, limit),
    }
    padding = padded_share(tokenizer, texts, limit)
    tokens = sum(len(one) for one in tokenizer(texts).input_ids)
    print(f"{model}: {count} passages, {tokens} tokens, {padding:.0%} padding in the plain loop")
    rounds, values = alternate(sides, repeats)
    return summary(model, texts, rounds, values, tokens) | {"plain_padding": round(padding, 3)}


def summary(
    model: str,
    texts: Sequence[str],
    rounds: Rounds,
    values: dict[str, Values],
    tokens: int,
) -> dict[str, Any]:
    """Ratio of the median times, speeds, and the largest difference of a token's value."""
    medians = {name: statistics.median(seconds) for name, seconds in rounds.items()}
    ratio = medians["plain"] / medians["ours"]
    difference = max(
        float(np.abs(one - other).max())
        for one, other in zip(values["ours"], values["plain"], strict=True)
    )
    return {
        "name": f"token log-probabilities against a plain loop, {model}",
        "value": round(ratio, 2),
        "target": TARGET,
        "ok": ratio >= TARGET and difference <= TOLERANCE,
        "passages": len(texts),
        "tokens": tokens,
        "tokens_per_second": {name: round(tokens / value, 1) for name, value in medians.items()},
        "seconds": {name: [round(one, 1) for one in of] for name, of in rounds.items()},
        "largest_difference": float(f"{difference:.2g}"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", choices=sorted(LANGUAGES))
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    arguments = parser.parse_args()
    found = []
    for model in arguments.model or sorted(LANGUAGES):
        found.append(compare(model, arguments.passages, arguments.repeats, arguments.batch_tokens))
        print(json.dumps(found[-1], ensure_ascii=False))
    worst = min(found, key=lambda one: one["value"])
    ok = all(one["ok"] for one in found)
    print(json.dumps({**worst, "ok": ok, "models": found}, ensure_ascii=False))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
