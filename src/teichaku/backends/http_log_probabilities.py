"""How likely a model behind a server finds the tokens of texts.

Servers of the OpenAI format with ``echo`` and ``logprobs`` in ``/completions`` tell: vLLM and
SGLang do; llama.cpp and most services that charge by the token do not. Written from the
documentation of vLLM and its source, and tested against a local server only: it has not been run
against a real one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import orjson

from teichaku.backends.http import http_identity
from teichaku.backends.http_json import (
    JsonPosts,
    NoAnswerError,
    Post,
    Watch,
    sendable,
    tokens_told,
)
from teichaku.backends.http_limits import RetryDelays
from teichaku.core.models import ScoredText, TokenScores

_REPLACEMENT = "\ufffd"
_NO_TOKENS = np.zeros(0, np.float32)


class NoScoresError(ValueError):
    """What came back holds no log-probabilities of the text; the message says why."""


class HttpLanguageModel:
    """The model ``model`` at ``base_url`` (``http://localhost:8000/v1``).

    At most ``max_concurrency`` texts are on their way. ``extra`` fields go into every body. The
    others are those of :class:`~teichaku.backends.http_json.JsonPosts`.

    Servers do not cut: a text that is too long comes back with ``error``. They give no moments.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str = "",
        max_concurrency: int = 64,
        timeout_seconds: float = 600,
        max_retries: int = 6,
        extra: Mapping[str, Any] | None = None,
        delays: RetryDelays | None = None,
    ) -> None:
        self._posts = JsonPosts(
            base_url,
            "completions",
            api_key_env=api_key_env,
            max_concurrency=max_concurrency,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            delays=delays,
        )
        self.identity = http_identity(base_url, model, extra or {})
        self._model, self._extra = model, dict(extra or {})
        self._watch: Watch[ScoredText, TokenScores] = Watch()

    def watched(self, watch: Watch[ScoredText, TokenScores]) -> "HttpLanguageModel":
        """The same model, which tells ``watch`` of each text; not of scores that failed."""
        other = copy(self)
        other._watch = watch
        return other

    def token_log_probabilities(
        self, texts: Iterable[ScoredText], moments: bool = False
    ) -> Iterator[TokenScores]:
        """See :class:`teichaku.core.models.LanguageModel`."""
        return self._posts.in_order(texts, self._ask, self._watch)

    async def _ask(self, post: Post, one: ScoredText) -> TokenScores:
        if not one.text:
            return TokenScores(_NO_TOKENS)
        try:
            content = await post(self._body(one.context + one.text))
            scores = read_scores(content, one)
        except (NoAnswerError, NoScoresError) as error:
            final = isinstance(error, NoAnswerError) and error.final
            return TokenScores(_NO_TOKENS, error=f"{self._posts.shown}: {error}", final=final)
        self._watch.arrived(one, scores, tokens_told(content))
        return scores

    def _body(self, whole: str) -> bytes:
        fields = {
            "model": self._model,
            "prompt": sendable(whole),
            # Older servers refuse to generate nothing; the one token is left out again.
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        return orjson.dumps({**fields, **self._extra})


def read_scores(content: Any, one: ScoredText) -> TokenScores:
    """The scores in an answer. Raises :class:`NoScoresError` where there are none."""
    try:
        choice = content["choices"][0]["logprobs"]
        pieces, values = list(choice["tokens"]), list(choice["token_logprobs"])
        written = (content.get("usage") or {}).get("completion_tokens", 1)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise NoScoresError(
            "the server gives no log-probabilities of a prompt (echo, logprobs)"
        ) from error
    count = len(pieces) - written
    if count < 1 or len(values) != len(pieces):
        raise NoScoresError("the server gives log-probabilities of what it wrote, not of the text")
    return scores_of(pieces[:count], values[:count], one)


def scores_of(
    pieces: Sequence[str], values: Sequence[float | None], one: ScoredText
) -> TokenScores:
    """The scores of the tokens of ``one.text`` among the tokens of context and text, which are
    decoded one by one in ``pieces``. Raises :class:`NoScoresError` where they do not make up
    context and text, or where one has no value that should have one.
    """
    whole = sendable(one.context + one.text)
    spans = places(pieces, whole)
    border = len(one.context)
    own = next((at for at, span in enumerate(spans) if span[1] > border), len(spans))
    first = max(own, 1)
    found = values[first:]
    if any(value is None for value in found):
        raise NoScoresError("the server left log-probabilities out; turn its prefix cache off")
    if not found:
        return TokenScores(_NO_TOKENS)
    start = spans[first][0] - border if first > own else 0
    return TokenScores(np.array(found, np.float32), start=start, end=len(one.text))


def places(pieces: Sequence[str], whole: str) -> list[tuple[int, int]]:
    """Where in ``whole`` each token begins and ends. Raises :class:`NoScoresError` where the
    tokens do not make it up.

    The first may be one that every text begins with. White space before a token may be missing
    in it. Tokens that are a part of a character are empty or hold U+FFFD: they end with the next
    whole one, or, where that stands apart, all cover what lies between.
    """
    spans: list[tuple[int, int]] = []
    broken: list[str] = []
    at = 0
    for number, piece in enumerate(pieces):
        if not piece or _REPLACEMENT in piece:
            broken.append(piece)
            continue
        begin = _find(whole, piece, at, broken)
        if begin is None and number == 0:
            spans.append((0, 0))
            continue
        if begin is None:
            raise NoScoresError(f"the server's token {number}, {piece!r}, is not in the text there")
        end = begin + len(piece)
        between = (at, begin if any(broken) else end)
        spans += [between] * len(broken)
        # White space that is missing in a token is its own.
        spans.append((begin if any(broken) else at, end))
        broken, at = [], end
    spans += [(at, len(whole))] * len(broken)
    if not broken and whole[at:].strip():
        raise NoScoresError("the server's tokens end before the text does")
    return spans


def _find(whole: str, piece: str, at: int, broken: Sequence[str]) -> int | None:
    """Where ``piece`` begins at ``at`` or behind the ``broken`` tokens before it."""
    if any(broken):
        begin = whole.find(piece, at + 1)
        # A token is a byte at least.
        while begin >= 0 and len(whole[at:begin].encode("utf-8")) < len(broken):
            begin = whole.find(piece, begin + 1)
        return begin if begin >= 0 else None
    if whole.startswith(piece, at):
        return at
    while whole[at : at + 1].isspace():
        at += 1
    return at if whole.startswith(piece, at) else None
