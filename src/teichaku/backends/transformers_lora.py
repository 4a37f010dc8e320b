"""Training of a LoRA adapter (Hu et al. 2021) on the labelled tokens of examples."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import Any

import peft
import safetensors.torch
import torch
from peft.helpers import disable_input_dtype_casting

from teichaku.backends.transformers import ADAPTER_FILE, QUANTIZATION_FILE
from teichaku.backends.transformers_head import HeadLoss
from teichaku.backends.transformers_packing import packed, padded, use_packing
from teichaku.backends.transformers_resident import TRAINED, ResidentWeights
from teichaku.core.errors import UserError
from teichaku.core.models import AdapterSettings, ChatModel, OptimizerSettings
from teichaku.core.records import TokenizedExample, content_id

_STATE_FILE = "state.pt"


class LoraTrainer:
    """A student with a new adapter and the state of its optimizer.

    ``weights`` gives the weights to train on, and is asked before each use of them.
    ``as_chat_model`` makes a model that can be asked, given the hash of the adapter and what
    gives the network. Only the adapter is trained; the same seed gives the same losses.
    """

    def __init__(
        self,
        weights: Callable[[], ResidentWeights],
        adapter: AdapterSettings,
        optimizer: OptimizerSettings,
        as_chat_model: Callable[[str, Callable[[], Any]], ChatModel],
    ) -> None:
        self._seed, self._quantization = adapter.seed, adapter.quantization
        self._clip_norm = optimizer.clip_norm
        self._as_chat_model = as_chat_model
        self._steps = 0
        self._weights = weights
        weights().strip()
        self._model = weights().model
        self._head = HeadLoss(self._model)
        self._hidden_states = packed if use_packing(self._model) else padded
        with self._randomness():
            self._with_adapter = self._add_adapter(adapter)
        self._parameters = [
            parameter for parameter in self._model.parameters() if parameter.requires_grad
        ]
        self._optimizer = torch.optim.AdamW(
            self._parameters, weight_decay=optimizer.weight_decay, fused=True
        )

    def step(self, batch: Sequence[TokenizedExample], learning_rate: float) -> float:
        """One optimizer step; the mean loss over the labelled tokens of ``batch``."""
        self._weights().trained(self).train()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        with self._randomness():
            loss = self._backward(batch)
        if self._clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._steps += 1
        return loss

    def save(self, folder: Path) -> None:
        """Write all that :meth:`restore` needs to ``folder``, which does not exist yet."""
        folder.mkdir(parents=True)
        # The seed of each step follows from its number, so there is no other random state.
        state = {
            "adapter": [parameter.detach() for parameter in self._parameters],
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
        }
        # Written by us: for a full disk, torch and safetensors have errors that nobody expects.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        (folder / _STATE_FILE).write_bytes(buffer.getbuffer())

    def restore(self, folder: Path) -> None:
        """Go on from what :meth:`save` wrote."""
        state = torch.load(folder / _STATE_FILE, map_location=self._model.device)
        with torch.no_grad():
            for parameter, saved in zip(self._parameters, state["adapter"], strict=True):
                parameter.copy_(saved)
        self._optimizer.load_state_dict(state["optimizer"])
        self._steps = state["steps"]

    def save_adapter(self, folder: Path) -> None:
        """Write the adapter in PEFT's format."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ADAPTER_FILE).write_bytes(self._adapter_bytes())
        config = copy(self._with_adapter.peft_config[TRAINED])
        config.inference_mode = True
        # A set has another order in every process.
        config.target_modules = sorted(config.target_modules)
        config.save_pretrained(folder)
        if self._quantization:
            content = json.dumps({"quantization": self._quantization})
            (folder / QUANTIZATION_FILE).write_text(content, encoding="utf-8")

    def chat_model(self) -> ChatModel:
        """The student as it stands now. Ask it before the next :meth:`step`."""
        # Of the bytes of the file, because the same weights must have the same identity there.
        digest = sha256(self._adapter_bytes()).hexdigest()
        return self._as_chat_model(digest, lambda: self._weights().trained(self))

    def _adapter_bytes(self) -> bytes:
        state = peft.get_peft_model_state_dict(self._with_adapter, adapter_name=TRAINED)
        return safetensors.torch.save(state, {"format": "pt"})

    def _add_adapter(self, settings: AdapterSettings) -> Any:
        _check_targets(self._model, settings.targets)
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=list(settings.targets) or "all-linear",
            task_type="CAUSAL_LM",
        )
        try:
            return self._weights().add(self, config)
        except ValueError as error:
            raise UserError(
                f"The adapter does not fit the student: {error}",
                "training.adapter.targets names linear layers of the model, such as q_proj, "
                "up_proj; leave it out for all of them.",
            ) from error

    def _backward(self, batch: Sequence[TokenizedExample]) -> float:
        """Work out the gradients of ``batch``; its mean loss."""
        rows = [example.tokens for example in batch]
        with self._mixed_precision():
            hidden = self._hidden_states(self._model, rows)
        positions, targets = _labels(batch)
        labelled = hidden.index_select(0, positions.to(hidden.device))
        loss, gradient = self._head(labelled.detach(), targets.to(hidden.device))
        labelled.backward(gradient)  # type: ignore[no-untyped-call]
        return loss

    @contextmanager
    def _mixed_precision(self) -> Iterator[None]:
        """Multiply in the number format of the weights, though the adapter is kept in float32."""
        dtype = self._model.dtype
        is_lower = dtype != torch.float32
        with (
            disable_input_dtype_casting(self._model, active=is_lower),
            torch.autocast(self._model.device.type, dtype=dtype, enabled=is_lower),
        ):
            yield

    @contextmanager
    def _randomness(self) -> Iterator[None]:
        """Random numbers that depend on the seed and the number of the step alone."""
        device = self._model.device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(content_id(self._seed, self._steps), 16) >> 1)
            yield


def _check_targets(model: Any, targets: Sequence[str]) -> None:
    head = model.get_output_embeddings()
    (name,) = (name.split(".")[-1] for name, module in model.named_modules() if module is head)
    if name in targets:
        raise UserError(
            f"training.adapter.targets names {name}, the output head, which is not trained.",
            "Name other linear layers only, or leave it out for all of them.",
        )


def _labels(batch: Sequence[TokenizedExample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions, in the rows laid end to end, that predict a labelled token; those tokens."""
    positions: list[int] = []
    targets: list[int] = []
    start = 0
    for example in batch:
        # Nothing stands before the first token, so nothing predicts it.
        first = max(example.prompt_length, 1)
        positions += range(start + first - 1, start + len(example.tokens) - 1)
        targets += example.tokens[first:]
        start += len(example.tokens)
    return torch.tensor(positions), torch.tensor(targets)
