"""A GGUF model in this process, through the server of llama.cpp that xllamacpp brings.

Several requests are decoded together, each in a slot of its own; llama.cpp itself puts a
request into the slot whose last prompt has the longest prefix in common with it.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from teichaku.backends.chat_completions import NoCompletionError, completion, request_fields
from teichaku.core.errors import MissingExtraError, ModelUnavailableError
from teichaku.core.records import Reply, Request

#: OpenMP threads that wait by spinning stand in one another's way on a busy machine.
_WAIT_POLICY = "OMP_WAIT_POLICY"


class LlamaCppModel:
    """The GGUF file at ``path``, loaded when the first request comes.

    ``name`` is for people, ``sha256`` is that of the file and part of the identity. ``slots``
    requests are decoded together, each with a context of ``context_tokens`` (prompt and reply
    together). ``threads`` 0 takes all cores. Raises ``MissingExtraError`` without xllamacpp,
    and ``ModelUnavailableError`` for a file that cannot be loaded, at the first request.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        sha256: str,
        slots: int = 4,
        context_tokens: int = 8192,
        threads: int = 0,
    ) -> None:
        self._path = path
        self._name = name
        self._sha256 = sha256
        self._slots = slots
        self._context_tokens = context_tokens
        self._threads = threads or _cores()
        self._server: Any = None
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """The name and the SHA-256 of the weights."""
        return f"llama_cpp:{self._name}#{self._sha256}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request once, as the slots finish; see ``ChatModel``."""
        stream = _Stream(self._loaded, self._context_tokens)
        pending, more = 0, True
        pull = iter(requests)
        try:
            while more or pending:
                if more and pending < 2 * self._slots and stream.ready.empty():
                    request = next(pull, None)
                    more = request is not None
                    if request is not None:
                        stream.send(request, self._slots)
                        pending += 1
                    continue
                pending -= 1
                yield stream.take()
        finally:
            stream.stop()

    def close(self) -> None:
        """Free the model; a later request loads it again."""
        with self._lock:
            self._server = None

    def _loaded(self) -> Any:
        with self._lock:
            if self._server is None:
                self._server = self._load()
            return self._server

    def _load(self) -> Any:
        if not self._path.is_file():
            raise ModelUnavailableError(
                f"There is no model file at {self._path}.", "Pull the model again."
            )
        xllamacpp = _import_xllamacpp()
        settings = xllamacpp.CommonParams()
        settings.model.path = str(self._path)
        settings.n_parallel = self._slots
        settings.n_ctx = self._slots * self._context_tokens
        for pool in (settings.cpuparams, settings.cpuparams_batch):
            pool.n_threads = self._threads
        settings.warmup = False
        # The engine also listens on a local port, with log lines, a web page and no key.
        settings.verbosity = -1
        settings.ui = False
        settings.endpoint_slots = False
        settings.api_keys = [os.urandom(16).hex()]
        try:
            return xllamacpp.Server(settings)
        except RuntimeError as error:
            raise ModelUnavailableError(
                f"llama.cpp cannot load {self._path}.",
                "The file is no GGUF model, is cut off, needs a newer xllamacpp, or more memory "
                f"than there is ({self._slots} slots of {self._context_tokens} tokens).",
            ) from error


class _Stream:
    """The worker threads of one call of generate."""

    def __init__(self, loaded: Any, context_tokens: int) -> None:
        self.ready: SimpleQueue[Reply | BaseException] = SimpleQueue()
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self._loaded = loaded
        self._context_tokens = context_tokens
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
