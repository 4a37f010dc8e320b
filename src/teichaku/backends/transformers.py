"""The student: an open model in process through Hugging Face transformers, asked and trained.

Nothing heavy is loaded before the first token is needed, so a run whose replies are all
cached never loads the weights.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from teichaku.backends.transformers_rendering import Renderer, check_plain_template
from teichaku.core.errors import MissingExtraError, UserError
from teichaku.core.models import AdapterSettings, OptimizerSettings
from teichaku.core.records import Message, Reply, Request, TokenizedExample

if TYPE_CHECKING:
    from teichaku.backends.transformers_decoding import Answerer
    from teichaku.backends.transformers_lora import LoraTrainer

_ADAPTER_FILE = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class TransformersSettings:
    """How the student uses the machine.

    A batch has at most ``batch_size`` rows, and ``batch_tokens`` tokens with what is yet to
    be generated. ``device`` and ``dtype`` ``auto``: CUDA where there is one, bfloat16 where
    the hardware has it.
    """

    batch_size: int = 32
    batch_tokens: int = 16_384
    device: str = "auto"
    dtype: str = "auto"


class TransformersStudent:
    """A model in a folder in the Hugging Face format, or in a GGUF file.

    ``sha256`` is the hash of the weights as they were pulled. ``plain_template`` renders the
    question for models without a chat template and has ``{question}`` in it. Converted GGUF
    weights lie in ``cache``. Raises ``MissingExtraError`` without the extra ``train``, and
    ``UserError`` for a template without a place for the question.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        sha256: str,
        kind: Literal["gguf", "transformers"],
        plain_template: str,
        cache: Path,
        settings: TransformersSettings = TransformersSettings(),
    ) -> None:
        for package in ("torch", "transformers", "peft", "gguf"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError("A student in process (transformers)", "train")
        check_plain_template(plain_template)
        self._path, self._name, self._sha256, self._kind = path, name, sha256, kind
        self._plain_template, self._cache, self._settings = plain_template, cache, settings
        self._base: Answerer | None = None

    @property
    def name(self) -> str:
        """The name in the recipe."""
        return self._name

    @property
    def identity(self) -> str:
        """Name, hash of the weights, hash of the plain template."""
        template = hashlib.sha256(self._plain_template.encode("utf-8")).hexdigest()
        return f"{self._name} sha256:{self._sha256} template:{template[:16]}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer with the untuned weights, in batches of like length.

        Greedy at temperature 0. Otherwise each request draws by its own seed, messages and
        sample index. Prompts longer than the model's context, and requests with a JSON schema
        (which this backend cannot enforce), come back with ``error``.
        """
        for first in (waiting := iter(requests)):
            if self._base is None:
                self._base = self._answerer(self._load())
            yield from self._base.generate(chain([first], waiting))

    def encode(
        self, example_id: str, messages: Sequence[Message], answer: str, max_tokens: int
    ) -> TokenizedExample:
        """Tokens of a training item, cut at ``max_tokens`` from the end; where the prompt
        alone is longer, no labelled token is left.
        """
        prompt, rest = self._renderer.prompt_and_answer(messages, answer)
        tokens = (*prompt, *rest)
        cut = max(0, len(tokens) - max_tokens)
        return TokenizedExample(example_id, tokens[:max_tokens], min(len(prompt), max_tokens), cut)

    def trainer(self, adapter: AdapterSettings, optimizer: OptimizerSettings) -> "LoraTrainer":
        """Begin training with a new adapter, on weights of its own.

        Raises ``UserError`` where 4 bits are wanted without CUDA, or where the targets do not
        fit the model.
        """
        from teichaku.backends.transformers_lora import LoraTrainer

        model = self._load(adapter.quantization)
        return LoraTrainer(
            model,
            adapter,
            optimizer,
            lambda folder: _Tuned(self._tuned_identity(folder), lambda: self._answerer(model)),
        )

    def with_adapter(self, folder: Path) -> "_Tuned":
        """The student with the adapter in ``folder``; weights are loaded when first asked.

        Raises ``UserError`` where there is no adapter.
        """
        return _Tuned(self._tuned_identity(folder), lambda: self._load_tuned(folder))

    @cached_property
    def folder(self) -> Path:
        """The model in the Hugging Face format; a GGUF file is converted on first use."""
        from teichaku.backends.transformers_weights import as_safetensors

        return as_safetensors(self._path, self._kind, self._sha256, self._cache)

    @cached_property
    def _renderer(self) -> Renderer:
        from teichaku.backends.transformers_weights import load_tokenizer

        return Renderer(load_tokenizer(self.folder), self._plain_template)

    def _tuned_identity(self, folder: Path) -> str:
        path = folder / _ADAPTER_FILE
        if not path.is_file():
            raise UserError(
                f"{folder} holds no adapter ({_ADAPTER_FILE}).", "Train first: teichaku run RECIPE"
            )
        return f"{self.identity} adapter:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    def _load(self, quantization: str = "") -> Any:
        from teichaku.backends import transformers_weights as weights

        # One set of weights in memory is enough: the untuned ones are loaded again when asked.
        self._base = None
        device = weights.choose_device(self._settings.device)
        dtype = weights.choose_dtype(device, self._settings.dtype)
        return weights.load_model(self.folder, device, dtype, quantization)

    def _load_tuned(self, folder: Path) -> "Answerer":
        from teichaku.backends.transformers_lora import add_saved_adapter

        model = self._load()
        add_saved_adapter(model, folder)
        return self._answerer(model)

    def _answerer(self, model: Any) -> "Answerer":
        from teichaku.backends.transformers_decoding import Answerer

        settings = self._settings
        return Answerer(model, self._renderer, settings.batch_size, settings.batch_tokens)


class _Tuned:
    """The student with an adapter, loaded when it is first asked."""

    def __init__(self, identity: str, load: "Callable[[], Answerer]") -> None:
        self.identity = identity
        self._load = load

    @cached_property
    def _answerer(self) -> "Answerer":
        return self._load()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer with the tuned weights, as :meth:`TransformersStudent.generate` does."""
        # Nothing is loaded for no requests.
        for first in (waiting := iter(requests)):
            yield from self._answerer.generate(chain([first], waiting))
