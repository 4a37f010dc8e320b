"""The bench of token log-probabilities on a tiny model."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teichaku.backends import transformers_weights as weights
from teichaku.core.models import ScoredText
from tiny_student import make_model, student

ROOT = Path(__file__).parents[2]


def load_bench(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / "bench" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = load_bench("log_probabilities")


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_passages_are_many_of_many_lengths_and_the_same_every_time(language: str) -> None:
    texts = bench.passages(language, 300)
    assert texts == bench.passages(language, 400)[:300]
    lengths = [len(text) for text in texts]
    assert bench.SHORTEST <= min(lengths) < 150
    assert 700 < max(lengths) <= bench.LONGEST
    assert len(set(texts)) > 250


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 90))
def test_batches_come_in_order_within_the_limit(lengths: list[int], limit: int) -> None:
    batches = [lengths[part] for part in bench.in_order(lengths, limit)]
    assert [length for batch in batches for length in batch] == lengths
    assert all(len(batch) * max(batch) <= limit or len(batch) == 1 for batch in batches)


def test_both_sides_give_the_same_values(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    tokenizer = weights.load_tokenizer(folder)
    tokenizer.padding_side = "right"
    network = weights.load_model(folder, "cpu", torch.float32)
    texts = [text[:70] for text in bench.passages("ja", 9)]
    plain = bench.plain(network, tokenizer, texts, 600)
    asked = [ScoredText(text) for text in texts]
    ours = list(student(folder).language_model(600).token_log_probabilities(asked))
    for one, other in zip(plain, ours, strict=True):
        np.testing.assert_allclose(one, other.log_probabilities, atol=1e-4)
