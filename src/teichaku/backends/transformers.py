"""The student: an open model in process through Hugging Face transformers, asked and trained.

Nothing heavy is loaded before the first token is needed, so a run whose replies are all
cached never loads the weights.
"""

import hashlib
import importlib.util
import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from teichaku.backends.transformers_rendering import Renderer, check_plain_template
from teichaku.core.errors import MissingExtraError, UserError
from teichaku.core.models import AdapterSettings, OptimizerSettings, RenderedPrompt
from teichaku.core.records import Message, Reply, Request, TokenizedExample

if TYPE_CHECKING:
    from teichaku.backends.transformers_log_probabilities import TransformersLanguageModel
    from teichaku.backends.transformers_lora import LoraTrainer
    from teichaku.backends.transformers_resident import ResidentWeights

ADAPTER_FILE = "adapter_model.safetensors"
#: PEFT's own files do not say on which weights an adapter was trained.
QUANTIZATION_FILE = "quantization.json"


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

    One set of base weights is in memory; whoever is asked or trained uses it in turn.
    """

    #: The student that holds weights: those of one are in memory, also in a study of several.
    _holder: "ClassVar[Callable[[], TransformersStudent | None]]" = lambda: None

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
        self._weights: ResidentWeights | None = None

    @property
    def name(self) -> str:
        """The name in the recipe."""
        return self._name

    @property
    def identity(self) -> str:
        """Name, hash of the weights, hash of the plain template."""
        template = hashlib.sha256(self._plain_template.encode("utf-8")).hexdigest()
        return f"{self._name} sha256:{self._sha256} template:{template[:16]}"

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """Answer with the untuned weights, in batches of like length.

        Greedy at temperature 0. Otherwise each request draws by its own seed, messages and
        sample index. Prompts longer than the model's context, and requests with a JSON schema
        (which this backend cannot enforce), come back with ``error``.
        """
        return self.answers(lambda: self._resident("").plain(), requests)

    def answers(
        self, network: Callable[[], Any], requests: Iterable[Request | None]
    ) -> Iterator[Reply]:
        """The answers of a network that has the student's tokenizer and settings."""
        settings = self._settings
        # Nothing is loaded for no requests.
        for first in (waiting := iter(requests)):
            if first is None:
                return
            from teichaku.backends.transformers_decoding import Answerer

            answerer = Answerer(network, self._renderer, settings.batch_size, settings.batch_tokens)
            yield from answerer.generate(chain([first], waiting))

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

    def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
        """The prompt in the model's own template, or as a ``plain`` text; no weights are loaded
        for it.
        """
        return self._renderer.rendered(messages, plain)

    def trainer(self, adapter: AdapterSettings, optimizer: OptimizerSettings) -> "LoraTrainer":
        """Begin training with a new adapter, after which an earlier trainer is of no use.

        Raises ``UserError`` where 4 bits are wanted without CUDA, or where the targets do not
        fit the model.
        """
        from teichaku.backends.transformers_lora import LoraTrainer

        quantization = adapter.quantization
        weights = self._resident(quantization)

        def kept() -> "ResidentWeights":
            # The base model of an arm with 4 bits is asked in full: its weights go again.
            self._weights = weights
            return weights

        def tuned(digest: str, network: Callable[[], Any]) -> _Tuned:
            return _Tuned(self._tuned_identity(quantization, digest), self, network)

        return LoraTrainer(kept, adapter, optimizer, tuned)

    def with_adapter(self, folder: Path) -> "_Tuned":
        """The student with the adapter in ``folder``, on weights like those that it was trained
        on; they are loaded when first asked.

        Raises ``UserError`` where there is no adapter.
        """
        path, settings = folder / ADAPTER_FILE, folder / QUANTIZATION_FILE
        if not path.is_file():
            raise UserError(
                f"{folder} holds no adapter ({ADAPTER_FILE}).", "Train first: teichaku run RECIPE"
            )
        quantization = ""
        if settings.is_file():
            quantization = str(json.loads(settings.read_text("utf-8"))["quantization"])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        identity = self._tuned_identity(quantization, digest)
        return _Tuned(identity, self, lambda: self._resident(quantization).saved(folder, identity))

    def language_model(self, batch_tokens: int = 4096) -> "TransformersLanguageModel":
        """The untuned weights as a language model; a batch has ``batch_tokens`` at most.

        Texts are scored as they are, so the plain template is no part of its identity.
        """
        from teichaku.backends.transformers_log_probabilities import TransformersLanguageModel
        from teichaku.backends.transformers_weights import load_tokenizer

        return TransformersLanguageModel(
            f"{self._name} sha256:{self._sha256}",
            lambda: self._resident("").plain(),
            lambda: load_tokenizer(self.folder),
            batch_tokens,
        )

    def context(self, messages: Sequence[Message]) -> str:
        """The prompt as the model sees it before its answer, in the student's template."""
        return self._renderer.context(messages)

    def answer_model(self) -> "TransformersLanguageModel":
        """The untuned weights, for answers behind a :meth:`context`."""
        return self.scored_by(self.identity, lambda: self._resident("").plain())

    def scored_by(self, identity: str, network: Callable[[], Any]) -> "TransformersLanguageModel":
        """What scores answers with a network that has the student's tokenizer."""
        from teichaku.backends.transformers_log_probabilities import TransformersLanguageModel
        from teichaku.backends.transformers_weights import load_tokenizer

        return TransformersLanguageModel(
            identity, network, lambda: load_tokenizer(self.folder), in_template=True
        )

    @cached_property
    def folder(self) -> Path:
        """The model in the Hugging Face format; a GGUF file is converted on first use."""
        from teichaku.backends.transformers_weights import as_safetensors

        return as_safetensors(self._path, self._kind, self._sha256, self._cache)

    @cached_property
    def _renderer(self) -> Renderer:
        from teichaku.backends.transformers_weights import load_tokenizer

        return Renderer(load_tokenizer(self.folder), self._plain_template)

    def _tuned_identity(self, quantization: str, digest: str) -> str:
        return " ".join(filter(None, (self.identity, quantization, f"adapter:{digest}")))

    def _resident(self, quantization: str) -> "ResidentWeights":
        """The base weights in memory, loaded where there are none or others."""
        if self._weights is None or self._weights.quantization != quantization:
            from teichaku.backends import transformers_weights as weights
            from teichaku.backends.transformers_resident import ResidentWeights

            device = weights.choose_device(self._settings.device)
            dtype = weights.choose_dtype(device, self._settings.dtype)
            if holder := TransformersStudent._holder():
                holder._weights = None
            TransformersStudent._holder = weakref.ref(self)
            model = weights.load_model(self.folder, device, dtype, quantization)
            self._weights = ResidentWeights(model, quantization)
        return self._weights


@dataclass(frozen=True)
class _Tuned:
    """The student with an adapter. ``network`` gives it, and loads it when it is first asked."""

    identity: str
    student: TransformersStudent
    network: Callable[[], Any]

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """Answer with the tuned weights, as :meth:`TransformersStudent.generate` does."""
        return self.student.answers(self.network, requests)

    def context(self, messages: Sequence[Message]) -> str:
        """The prompt as the model sees it before its answer, in the student's template."""
        return self.student.context(messages)

    def answer_model(self) -> "TransformersLanguageModel":
        """The tuned weights, for answers behind a :meth:`context`."""
        return self.student.scored_by(self.identity, self.network)
