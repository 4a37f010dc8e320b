"""A GGUF model in this process, through the server of llama.cpp that xllamacpp brings.

Several requests are decoded together, each in a slot of its own; llama.cpp itself puts a
request into the slot whose last prompt has the longest prefix in common with it. Requests that
begin alike are therefore sent one after another: reading a prompt costs as much as answering.
"""

import json
import os
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from teichaku.backends.chat_completions import completion, request_fields
from teichaku.backends.gguf_header import GgufHeader, read_gguf_header
from teichaku.core.errors import MissingExtraError, ModelUnavailableError
from teichaku.core.models import RenderedPrompt
from teichaku.core.records import Message, Reply, Request
from teichaku.core.replies import NO_TEXT

#: OpenMP threads that wait by spinning stand in one another's way on a busy machine.
_WAIT_POLICY = "OMP_WAIT_POLICY"
_PROMPT_TOKENS_AT_ONCE = 512
_PROMPT_CACHE_MIB = 1024
_REQUESTS_TO_ORDER = 64
_END = object()
_TELLING_SECONDS = 60
#: The engine is on this machine: no proxy of the environment stands before it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
#: So many tokens that stand in the context already are looked up, and so many after them drafted.
_NGRAM, _DRAFT = 4, 8


class LlamaCppModel:
    """The GGUF file at ``path``, loaded when the first request comes.

    ``name`` is for people, ``sha256`` is that of the file and part of the identity. ``slots``
    requests are decoded together, each with a context of ``context_tokens`` (prompt and reply
    together). One is the fastest on a few cores, where decoding together gains nothing and each
    slot reads the common beginning of the prompts once more; on a GPU take more.
    ``threads`` 0 takes all cores. ``speculate`` drafts what stands in the prompt already, for
    replies that repeat it; the reply is the same, but drafted tokens come without their
    log-probabilities. Raises ``MissingExtraError`` without xllamacpp,
    and ``ModelUnavailableError`` for a file that cannot be loaded, at the first request.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        sha256: str,
        slots: int = 1,
        context_tokens: int = 8192,
        threads: int = 0,
        speculate: bool = False,
    ) -> None:
        self._path = path
        self._name = name
        self._sha256 = sha256
        self._slots = slots
        self._context_tokens = context_tokens
        self._threads = threads or _cores()
        self._speculate = speculate
        self._server: Any = None
        self._lock = threading.Lock()
        self._key = os.urandom(16).hex()

    @property
    def identity(self) -> str:
        """The name and the SHA-256 of the weights."""
        return f"llama_cpp:{self._name}#{self._sha256}"

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """Answer every request once, as the slots finish; see ``ChatModel``."""
        ready: SimpleQueue[Future[Reply]] = SimpleQueue()
        stopped = threading.Event()
        pending, pull, more, held = 0, _alike_together(requests), True, False
        workers = ThreadPoolExecutor(self._slots, "llama-cpp")
        try:
            while more or pending:
                if more and not held and pending < 2 * self._slots and ready.empty():
                    request = next(pull, _END)
                    more, held = request is not _END, request is None
                    if isinstance(request, Request):
                        answering = workers.submit(self._answer, self._loaded(), request, stopped)
                        answering.add_done_callback(ready.put)
                        pending += 1
                    continue
                if not pending:
                    return
                pending, held = pending - 1, False
                yield ready.get().result()
        finally:
            stopped.set()
            workers.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Free the model; a later request loads it again."""
        with self._lock:
            self._server = None

    @property
    def name(self) -> str:
        """The name in the recipe."""
        return self._name

    @cached_property
    def header(self) -> GgufHeader:
        """What the file says about its template and its tokens. Raises ``ModelUnavailableError``
        where it is no GGUF file.
        """
        return read_gguf_header(self._path)

    def rendered(self, messages: Sequence[Message], plain: bool = False) -> RenderedPrompt:
        """The prompt that the model reads when it is asked with ``messages``, as the engine itself
        fills its template in and cuts it into tokens. There is no ``plain`` one: this model is
        asked as a chat alone.

        Raises ``ValueError`` for a plain one, and ``ModelUnavailableError`` where the engine cannot
        be had, or cannot render it.
        """
        if plain:
            raise ValueError("llama.cpp puts a chat template around all that it is asked")
        header = self.header
        asked = [{"role": message.role, "content": message.content} for message in messages]
        text = self._told("apply-template", {"messages": asked})["prompt"]
        cut = {"content": text, "add_special": True, "parse_special": True, "with_pieces": True}
        tokens = self._told("tokenize", cut)["tokens"]
        numbers = tuple(token["id"] for token in tokens)
        return RenderedPrompt(
            b"".join(map(_piece, tokens)).decode("utf-8", "replace"),
            numbers,
            header.bos,
            header.special.intersection(numbers),
            header.adds_bos,
            bool(header.chat_template),
        )

    def _told(self, what: str, content: Mapping[str, Any]) -> Any:
        """What the engine says on the local port, where it does more than the library hands on."""
        asking = urllib.request.Request(
            f"{self._loaded().listening_address}/{what}",
            json.dumps(content).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        try:
            with _OPENER.open(asking, timeout=_TELLING_SECONDS) as response:
                return json.load(response)
        except (OSError, ValueError) as error:
            raise ModelUnavailableError(f"llama.cpp does not say {what}: {error}.") from error

    def _answer(self, server: Any, request: Request, stopped: threading.Event) -> Reply:
        chunks = _Chunks(stopped)
        try:
            own = request_fields(request)
        except ValueError as error:
            return Reply(request, "", error=f"llama.cpp: {error}", final=True)
        fields = {
            **own,
            "stream": True,
            "stream_options": {"include_usage": True},
            # Chunks while a long prompt is read, so that it can be stopped there too.
            "return_progress": True,
        }
        try:
            server.handle_chat_completions(fields, chunks.take)
        except (RuntimeError, TypeError, ValueError) as error:
            return Reply(request, "", error=f"llama.cpp: {error}")
        if chunks.error is not None:
            return _failed(request, chunks.error)
        return chunks.reply(request)

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
        try:
            return xllamacpp.Server(self.settings())
        except RuntimeError as error:
            raise ModelUnavailableError(
                f"llama.cpp cannot load {self._path}.",
                "The file is no GGUF model, is cut off, needs a newer xllamacpp, or more memory "
                f"than there is ({self._slots} slots of {self._context_tokens} tokens).",
            ) from error

    def settings(self) -> Any:
        """The engine's parameters (``xllamacpp.CommonParams``)."""
        xllamacpp = _import_xllamacpp()
        settings = xllamacpp.CommonParams()
        settings.model.path = str(self._path)
        settings.n_parallel = self._slots
        settings.n_ctx = self._slots * self._context_tokens
        for pool in (settings.cpuparams, settings.cpuparams_batch):
            pool.n_threads = self._threads
        settings.warmup = False
        settings.n_batch = settings.n_ubatch = _PROMPT_TOKENS_AT_ONCE
        settings.cache_ram_mib = _PROMPT_CACHE_MIB
        # The engine also listens on a local port, with log lines, a web page and no key.
        settings.verbosity = -1
        settings.ui = False
        settings.endpoint_slots = False
        settings.api_keys = [self._key]
        if self._speculate:
            draft = settings.speculative
            draft.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_MAP_K]
            draft.ngram_map_k.size_n, draft.ngram_map_k.size_m = _NGRAM, _DRAFT
        return settings


def _alike_together(requests: Iterable[Request | None]) -> Iterator[Request | None]:
    """The requests, each few dozen of them in the order of their prompts."""
    window: list[Request] = []
    for request in requests:
        if request is not None:
            window.append(request)
        if request is None or len(window) == _REQUESTS_TO_ORDER:
            yield from sorted(window, key=_prompt)
            window = []
        if request is None:
            yield None
    yield from sorted(window, key=_prompt)


def _failed(request: Request, error: Mapping[str, Any]) -> Reply:
    if error.get("type") != "exceed_context_size_error":
        return Reply(request, "", error=f"llama.cpp: {error.get('message', error)}")
    said = (
        f"The prompt has {error.get('n_prompt_tokens')} tokens, the model's context "
        f"{error.get('n_ctx')}: make the passages shorter, or raise context_tokens."
    )
    return Reply(request, "", error=said, final=True)


def _piece(token: Mapping[str, Any]) -> bytes:
    """The bytes of a token; one that ends within a character is told as numbers."""
    piece = token["piece"]
    return piece.encode() if isinstance(piece, str) else bytes(piece)


def _prompt(request: Request) -> list[str]:
    return [message.content for message in request.messages]


class _Chunks:
    """The parts of one reply as the engine streams them; streaming lets us stop it."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._content: list[str] = []
        self._log_probabilities: list[Any] = []
        self._are_whole = True
        self._finish_reason = ""
        self._has_thought = False
        self._usage: Mapping[str, Any] = {}
        self.error: Mapping[str, Any] | None = None

    def take(self, chunk: Mapping[str, Any]) -> bool:
        """Called by the engine for each chunk; true stops it."""
        self.error = chunk.get("error", self.error)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            self._has_thought |= bool(choice["delta"].get("reasoning_content"))
            self._content.append(choice["delta"].get("content") or "")
            self._take_log_probabilities(choice)
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return self._stopped.is_set()

    def _take_log_probabilities(self, choice: Mapping[str, Any]) -> None:
        """Those of a chunk, up to the first token that comes without: one that was drafted, or
        half a character.
        """
        places = (choice.get("logprobs") or {}).get("content") or []
        written = "".join(place["token"] for place in places)
        self._are_whole &= written == (choice["delta"].get("content") or "")
        if self._are_whole:
            self._log_probabilities += places

    def reply(self, request: Request) -> Reply:
        """All chunks as a reply."""
        content = "".join(self._content)
        if not content and self._finish_reason == "length" and not self._has_thought:
            content = NO_TEXT
        message = {"content": content}
        given = {"content": self._log_probabilities}
        choice = {"message": message, "finish_reason": self._finish_reason, "logprobs": given}
        return completion(request, {"choices": [choice], "usage": self._usage})


def _import_xllamacpp() -> Any:
    before = os.environ.get(_WAIT_POLICY)
    # OpenMP reads this once, when the engine is loaded; other libraries keep their own way.
    os.environ.setdefault(_WAIT_POLICY, "passive")
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtraError("A GGUF model in this process", "embedded") from error
    finally:
        if before is None:
            del os.environ[_WAIT_POLICY]
    return xllamacpp


def _cores() -> int:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
