"""One set of base weights in memory, whoever is asked: student, trainer or saved adapter."""

import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
from peft.tuners.tuners_utils import BaseTunerLayer

from teichaku.core.errors import UserError

#: The names of the two adapters that may lie on the weights at once.
TRAINED, _SAVED = "default", "saved"


class ResidentWeights:
    """``model`` and the adapters on it: the last trainer's while that lives, and the saved one
    that was asked last. Only one is at work at a time, so ask for the model before each use.
    """

    def __init__(self, model: Any, quantization: str) -> None:
        self.model, self.quantization = model, quantization
        self._wrapped: Any = None
        self._at_work, self._saved = "", ""
        self._trainer: Callable[[], object | None] = lambda: None

    def plain(self) -> Any:
        """The model without an adapter."""
        if self._trainer() is None and self._wrapped is not None:
            self.strip()
        elif self._at_work:
            self._wrapped.base_model.disable_adapter_layers()
            self._at_work = ""
        return self.model

    def saved(self, folder: Path, identity: str) -> Any:
        """The model with the adapter in ``folder``, read where ``identity`` is a new one."""
        if self._saved != identity:
            self._load(folder)
            self._saved = identity
        return self._use(_SAVED)

    def trained(self, trainer: object) -> Any:
        """The model with the adapter of ``trainer``. Raises ``RuntimeError`` where a later
        trainer has taken the weights.
        """
        if self._trainer() is not trainer:
            raise RuntimeError("the weights of this trainer were given to a later one")
        return self._use(TRAINED)

    def add(self, trainer: object, config: Any) -> Any:
        """A new adapter for ``trainer`` in place of all others; the model that PEFT made."""
        self.strip()
        try:
            with _without_advice():
                self._wrapped = peft.get_peft_model(self.model, config, TRAINED)
        except ValueError:
            self.strip()
            raise
        self._trainer, self._at_work = weakref.ref(trainer), TRAINED
        return self._wrapped

    def strip(self) -> None:
        """Take every adapter off, also those of a call that failed half-way."""
        for parent in list(self.model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, BaseTunerLayer):
                    setattr(parent, name, child.get_base_layer())
        # PEFT takes a model that has it for one with adapters.
        self.model.__dict__.pop("peft_config", None)
        self._wrapped, self._at_work, self._saved = None, "", ""
        self._trainer = lambda: None

    def _use(self, name: str) -> Any:
        if self._at_work != name:
            self._wrapped.set_adapter(name)
            self._wrapped.base_model.enable_adapter_layers()
            self._at_work = name
        return self.model

    def _load(self, folder: Path) -> None:
        if self._trainer() is None:
            self.strip()
        try:
            with _without_advice():
                if self._wrapped is None:
                    self._wrapped = peft.PeftModel.from_pretrained(self.model, folder, _SAVED)
                else:
                    self._use(TRAINED)
                    if self._saved:
                        self._wrapped.delete_adapter(_SAVED)
                    self._wrapped.load_adapter(folder, _SAVED)
        except (OSError, RuntimeError, ValueError) as error:
            self.strip()
            raise UserError(
                f"The adapter in {folder} does not fit the student: {error}",
                "It was trained on another model. Train again: teichaku run RECIPE",
            ) from error


@contextmanager
def _without_advice() -> Iterator[None]:
    """PEFT asks for an attribute that transformers is about to rename, which it says aloud."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
