"""How likely a student finds its own answers, behind the prompt as it saw it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from teichaku.backends.transformers import TransformersStudent
from teichaku.core.models import (
    AdapterSettings,
    ModelWithWeights,
    OptimizerSettings,
    ScoredText,
)
from teichaku.core.records import Message, Request, Sampling
from tiny_student import CHAT_TEMPLATE, make_model, student

QUESTIONS = ["遊覧船あおば丸の定員は？", "湖の深さは？", "1"]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads only wait for one another on matrices as small as those of the tiny model."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=["", CHAT_TEMPLATE], ids=["plain", "chat"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), request.param)


def messages(question: str) -> tuple[Message, ...]:
    return (Message("user", question),)


def scores(model: ModelWithWeights, question: str, answer: str) -> np.ndarray:
    asked = ScoredText(answer, model.context(messages(question)))
    (found,) = model.answer_model().token_log_probabilities([asked])
    assert (found.start, found.end, found.cut) == (0, len(answer), 0)
    return found.log_probabilities


def expected(folder: Path, of: TransformersStudent, question: str, answer: str) -> np.ndarray:
    """By the model's own forward pass, on the tokens that training would see."""
    encoded = of.encode("a", messages(question), answer, 200)
    network = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits = network(torch.tensor([encoded.tokens])).logits[0].log_softmax(1)
    # Without the token that ends the answer.
    places = range(encoded.prompt_length, len(encoded.tokens) - 1)
    return np.array([float(logits[at - 1, encoded.tokens[at]]) for at in places])


def test_an_answer_is_scored_behind_the_very_tokens_that_it_is_given_behind(folder: Path) -> None:
    of = student(folder)
    assert isinstance(of, ModelWithWeights)
    for question in QUESTIONS:
        found = scores(of, question, "48人")
        np.testing.assert_allclose(found, expected(folder, of, question, "48人"), atol=1e-4)


def test_the_adapter_changes_what_is_likely_and_the_base_stays(
    folder: Path, tmp_path: Path
) -> None:
    of = student(folder)
    trainer = of.trainer(AdapterSettings(rank=4, alpha=16.0, seed=3), OptimizerSettings())
    taught = [of.encode("a", messages(QUESTIONS[0]), "48人", 200)]
    before = scores(of, QUESTIONS[0], "48人")
    for _ in range(30):
        trainer.step(taught, 1e-2)
    trainer.save_adapter(tmp_path / "adapter")
    tuned = of.with_adapter(tmp_path / "adapter")
    assert isinstance(tuned, ModelWithWeights)
    after = scores(tuned, QUESTIONS[0], "48人")
    assert after.mean() > before.mean() + 1
    # What it now says of itself is the likeliest token at every place.
    (reply,) = tuned.generate([Request(messages(QUESTIONS[0]), Sampling(max_tokens=12))])
    assert reply.text == "48人"
    assert after.min() > np.log(0.5)
    np.testing.assert_allclose(scores(of, QUESTIONS[0], "48人"), before, atol=1e-4)
    assert tuned.answer_model().identity != of.answer_model().identity
