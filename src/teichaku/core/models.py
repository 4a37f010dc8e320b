"""What a stage may ask of a model. Backends implement these; stages receive them as arguments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A text whose probability is asked for, and what stands before it."""

    text: str
    context: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """How likely a model finds the tokens of a text; natural logarithms, float32.

    ``means`` and ``deviations`` are mean and standard deviation of the log-probability of a
    token that is drawn from the model's own distribution at that place (Zhang et al. 2024,
    "Min-K%++"); None where they were not asked for or the backend cannot tell.

    The tokens cover ``text[start:end]``. ``start`` is above 0 where nothing stands before the
    first token that it could be predicted from; ``end`` is less than the length, and ``cut`` the
    number of tokens that the model did not read, where the text is too long for it. ``error``
    is set, and there are no tokens, where scoring failed for good; ``final`` as in ``Reply``.
    """

    log_probabilities: np.ndarray
    means: np.ndarray | None = None
    deviations: np.ndarray | None = None
    cut: int = 0
    start: int = 0
    end: int = 0
    error: str = ""
    final: bool = False


class LanguageModel(Protocol):
    """A model that gives probabilities, for selection and novelty."""

    @property
    def identity(self) -> str:
        """Name and weights (or endpoint) of the model, as :attr:`ChatModel.identity`."""
        ...

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        """One result a text, streaming, in the order of ``texts``, which is pulled lazily.

        Context and text are tokenized as one, and the border is found by the places of the
        tokens: one that reaches over it counts to the text. Without context the first token
        is predicted from the token that every text begins with, where the tokenizer puts one
        there; elsewhere nothing predicts it, and it is left out. Too long texts are cut at
        their end. ``moments`` asks for means and deviations. A text that fails for good comes
        back with ``error``; nothing is raised for it.
        """
        ...


@runtime_checkable
class ModelWithWeights(ChatModel, Protocol):
    """A chat model whose weights are at hand, so that it can tell how likely it finds an answer."""

    def context(self, messages: Sequence[Message]) -> str:
        """What stands before the answer to ``messages`` as the model sees it: its own template,
        filled in.
        """
        ...

    def answer_model(self) -> LanguageModel:
        """The same weights as a language model, for answers behind such a :meth:`context`."""
        ...


class Embedder(Protocol):
    """A model that maps texts to vectors."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """An (n, d) float32 array of unit-length rows."""
        ...


class NameFinder(Protocol):
    """A model that finds the names of persons in text."""

    def find_names(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """The places ``text[start:end]`` of the names in each of ``texts``, in order."""
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


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt as it reaches a model: its ``tokens``, and the ``text`` that they are, with all
    marks of the template.

    ``bos`` is the token for the beginning of a text; None where the tokenizer has none.
    ``special`` are those of the ``tokens`` that are no text. ``adds_bos`` tells whether texts of
    this model begin with ``bos``, ``has_chat_template`` whether the model has one: without, the
    prompt stands in a plain frame.
    """

    text: str
    tokens: tuple[int, ...]
    bos: int | None = None
    special: frozenset[int] = frozenset()
    adds_bos: bool = False
    has_chat_template: bool = False


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

    def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
        """The prompt that the model reads when it is asked with ``messages``, or with their
        text as it stands (:attr:`Request.plain`).
        """
        ...

    def trainer(self, adapter: AdapterSettings, optimizer: OptimizerSettings) -> Trainer:
        """Begin training with a new adapter, after which an earlier trainer is of no use."""
        ...

    def with_adapter(self, folder: Path) -> ChatModel:
        """The student with an adapter that :meth:`Trainer.save_adapter` wrote."""
        ...
