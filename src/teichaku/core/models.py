"""What a stage may ask of a model. Backends implement these; stages receive them as arguments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from teichaku.core.records import Message, Reply, Request, TokenizedExample


class ChatModel(Protocol):
    """A model that answers requests: a teacher, a judge, or a student at evaluation."""

    @property
    def identity(self) -> str:
        """Name and weights (or endpoint) of the model; two models that can answer
        differently have different identities.
        """
        ...

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """Answer every request once, streaming, in any order.

        ``requests`` is pulled lazily, by the thread that takes the replies. None among them
        means that the next request may depend on a reply: the model hands on a reply before it
        pulls again, and ends where no request is on its way. A request that fails for good
        comes back as a reply with ``error``; nothing is raised for it and nothing is lost.
        """
        ...


class LanguageModel(Protocol):
    """A model that gives probabilities, for selection and novelty."""

    def token_log_probabilities(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """One float32 array a text: log-probabilities of its tokens from the second on."""
        ...


class Embedder(Protocol):
    """A model that maps texts to vectors."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """An (n, d) float32 array of unit-length rows."""
        ...


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """A LoRA adapter (Hu et al. 2021). ``targets`` empty means all linear layers but the head.

    ``quantization`` ``4bit`` is QLoRA (Dettmers et al. 2023) and needs CUDA.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    quantization: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """AdamW: weight decay, and the norm at which gradients are clipped (0: not at all)."""

    weight_decay: float = 0.0
    clip_norm: float = 1.0


class Trainer(Protocol):
    """A student that is being trained; holds weights and optimizer state."""

    def step(self, batch: Sequence[TokenizedExample], learning_rate: float) -> float:
        """One optimizer step on the labelled tokens of ``batch``; the mean loss over them."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights, optimizer and random state to ``folder``, which does not exist yet."""
        ...

    def restore(self, folder: Path) -> None:
        """Go on from what :meth:`save` wrote, to the same losses as without a stop."""
        ...

    def save_adapter(self, folder: Path) -> None:
        """Write the adapter alone, as evaluation needs it."""
        ...

    def chat_model(self) -> ChatModel:
        """The student as it stands now, for a probe by generation."""
        ...


class Student(ChatModel, Protocol):
    """A model that can be asked and trained."""

    @property
    def name(self) -> str:
        """The name in the recipe."""
        ...

    def encode(
        self, example_id: str, messages: Sequence[Message], answer: str, max_tokens: int
    ) -> TokenizedExample:
        """Tokens of a training item in the student's own template, cut at ``max_tokens``.

        Without ``messages`` it is running text, all of which is labelled.
        """
        ...

    def trainer(self, adapter: AdapterSettings, optimizer: OptimizerSettings) -> Trainer:
        """Begin training with a new adapter, after which an earlier trainer is of no use."""
        ...

    def with_adapter(self, folder: Path) -> ChatModel:
        """The student with an adapter that :meth:`Trainer.save_adapter` wrote."""
        ...
