"""The chat completions format of OpenAI, which servers and llama.cpp share: pure converters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, isfinite, log1p
from typing import Any

import orjson

from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    TOKENS_WITH_LOG_PROBABILITIES,
    Message,
    Reply,
    Request,
    content_id,
)
from teichaku.core.replies import visible_text


class NoCompletionError(ValueError):
    """What came back is no chat completion; the message says what it is instead."""


def request_fields(
    request: Request, *, as_json: Prompt | None = None, log_probabilities: bool = True
) -> dict[str, Any]:
    """``request`` as the fields of a request body, the model's name left out.

    With ``as_json`` the schema becomes an instruction in the words of that prompt at the end of
    the messages, for servers that know no JSON schema; otherwise it becomes ``response_format``.
    Without ``log_probabilities`` none are asked for. Raises ``ValueError`` for a plain text,
    around which a server would put its template.
    """
    if request.plain:
        raise ValueError("a server puts its chat template around every text")
    sampling = request.sampling
    messages = list(request.messages)
    if request.schema is not None and as_json is not None:
        messages = _with_instruction(messages, request.schema, as_json)
    fields: dict[str, Any] = {
        "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": _seed(request),
    }
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if sampling.presence_penalty:
        fields["presence_penalty"] = sampling.presence_penalty
    if request.schema is not None and as_json is None:
        json_schema = {"name": "reply", "schema": dict(request.schema)}
        fields["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    if request.top_log_probabilities and log_probabilities:
        fields["logprobs"] = True
        fields["top_logprobs"] = request.top_log_probabilities
    return fields


def request_body(
    model: str,
    request: Request,
    extra: Mapping[str, Any],
    *,
    as_json: Prompt | None = None,
    log_probabilities: bool = True,
    samples: int = 1,
) -> bytes:
    """The body of a request; fields of ``extra`` go before ours, null takes one away. Of
    several ``samples`` the server makes each with a seed of its own.

    Raises ``ValueError`` where a message holds text that is not valid Unicode.
    """
    own = request_fields(request, as_json=as_json, log_probabilities=log_probabilities)
    fields = {"model": model, **own}
    if samples > 1:
        fields["n"] = samples
    fields |= extra
    kept = {name: value for name, value in fields.items() if value is not None}
    try:
        return orjson.dumps(kept)
    except TypeError as error:
        raise ValueError(f"the request is no JSON: {error}") from error


def read_replies(requests: Sequence[Request], body: bytes) -> list[Reply]:
    """The replies in a response body, in the order of the requests that were sent as one, with
    equal shares of its tokens; those that broke off are left out at the end.

    Raises :class:`NoCompletionError` where there is none.
    """
    if not body.strip():
        raise NoCompletionError("the response is empty")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        said = body.decode("utf-8", "replace")
        raise NoCompletionError(f"the response is broken JSON: {said!r}") from error
    if len(requests) == 1:
        return [completion(requests[0], content)]
    return _several(requests, content)


def completion(request: Request, content: Any) -> Reply:
    """The reply in a decoded response. Raises :class:`NoCompletionError`."""
    try:
        choice = content["choices"][0]
        finish_reason = str(choice.get("finish_reason") or "")
        # Gateways pass on in this way that the model behind them broke off.
        if choice.get("error") or finish_reason == "error":
            raise NoCompletionError(f"the reply broke off: {choice.get('error') or choice}")
        written = choice["message"].get("content")
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise NoCompletionError(f"the response is no chat completion: {content}") from error
    usage = content.get("usage")
    return Reply(
        request,
        _visible(_joined(written)),
        finish_reason,
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        log_probabilities=_log_probabilities(request, choice.get("logprobs")),
    )


def _log_probabilities(request: Request, given: Any) -> tuple[Mapping[str, float], ...]:
    """Those of the first tokens that a choice has under ``logprobs``, as far as they are whole."""
    content = given.get("content") if isinstance(given, Mapping) else None
    if not request.top_log_probabilities or not isinstance(content, list):
        return ()
    found = []
    for place in content[:TOKENS_WITH_LOG_PROBABILITIES]:
        tokens = _alternatives(place)
        if tokens is None:
            break  # what comes behind a gap stands at no place that is known
        found.append(tokens)
    return tuple(found)


def _alternatives(place: Any) -> dict[str, float] | None:
    """The chosen token and the others at a place, which may be written alike; None where the
    chosen one is not told.
    """
    if not isinstance(place, Mapping) or not isinstance(place.get("token"), str):
        return None
    tokens: dict[str, float] = {}
    others = place.get("top_logprobs")
    for other in others if isinstance(others, list) else ():
        if not isinstance(other, Mapping):
            continue
        token, value = other.get("token"), _log_probability(other)
        if isinstance(token, str) and value is not None:
            before = tokens.get(token)
            tokens[token] = value if before is None else _log_of_sum(before, value)
    chosen = place["token"]
    value = tokens.pop(chosen, _log_probability(place))
    return None if value is None else {chosen: value, **tokens}


def _log_probability(place: Mapping[str, Any]) -> float | None:
    value = place.get("logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def _log_of_sum(one: float, other: float) -> float:
    """The log of the sum of two probabilities, by their logs."""
    return max(one, other) + log1p(exp(-abs(one - other)))


def _several(requests: Sequence[Request], content: Any) -> list[Reply]:
    choices = content.get("choices") if isinstance(content, Mapping) else None
    if not isinstance(choices, list) or not choices:
        raise NoCompletionError(f"the response is no chat completion: {content}")
    usage = content.get("usage")
    replies: list[Reply] = []
    broken: NoCompletionError | None = None
    for choice in choices[: len(requests)]:
        try:
            replies.append(completion(requests[len(replies)], {"choices": [choice]}))
        except NoCompletionError as error:
            broken = error
    if not replies:
        raise broken or NoCompletionError("the response has no choice")
    prompt = _shares(_count(usage, "prompt_tokens"), len(replies))
    written = _shares(_count(usage, "completion_tokens"), len(replies))
    return [
        replace(reply, prompt_tokens=prompt[index], completion_tokens=written[index])
        for index, reply in enumerate(replies)
    ]


def _shares(total: int, count: int) -> list[int]:
    """``total`` in ``count`` parts that differ by one at most."""
    return [total // count + (index < total % count) for index in range(count)]


def _visible(written: str) -> str:
    # Most replies have no tag at all, which is much quicker to see.
    return visible_text(written) if "<" in written else written


def _joined(written: Any) -> str:
    """The content of a message, which some servers send as a list of parts."""
    if isinstance(written, list):
        parts = (part.get("text") for part in written if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return written if isinstance(written, str) else ""


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, Mapping) else 0
    return value if isinstance(value, int) else 0


def _with_instruction(
    messages: list[Message], schema: Mapping[str, Any], as_json: Prompt
) -> list[Message]:
    instruction = as_json.text(schema=orjson.dumps(dict(schema)).decode("utf-8"))
    if messages and messages[-1].role == "user":
        last = messages.pop()
        return [*messages, Message("user", f"{last.content}\n\n{instruction}")]
    return [*messages, Message("user", instruction)]


def _seed(request: Request) -> int:
    """A seed of its own for each sample: servers give equal replies to equal seeds."""
    if request.sample_index == 0:
        return request.sampling.seed
    return int(content_id(request.sampling.seed, request.sample_index), 16) % 2**31
