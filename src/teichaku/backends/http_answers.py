"""What a server's response means: replies, or a failure with what may help. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from teichaku.backends.chat_completions import NoCompletionError, read_replies
from teichaku.backends.http_transport import Response, Trouble
from teichaku.core.records import Reply, Request

_RETRIED = frozenset({408, 409, 425, 429})
#: Too many requests; not now; overloaded.
_BUSY = frozenset({429, 503, 529})
#: A key or a model that this server does not know, while another one may.
_UNFIT = frozenset({401, 403, 404})
_SCHEMA_STATUS = frozenset({400, 404, 422, 500, 501})
_SCHEMA_WORDS = re.compile(rb"response_format|json_schema|schema|grammar|structured|guided", re.I)
_SAMPLES_STATUS = frozenset({400, 422})
_LOG_PROBABILITY_WORDS = re.compile(rb"log_?prob", re.I)
_FINAL_STATUS = frozenset({400, 422})
_TOO_LARGE = 413
#: What servers say of a prompt that is too long, and of one whose content they do not take. That a
#: field or a model is wrong they say with the same status, and the user can mend it.
_FINAL_WORDS = re.compile(
    r"context.{0,12}(?:length|window|size|limit)|too many tokens"
    r"|(?:prompt|inputs?|messages?)\b.{0,80}?(?:too (?:long|large)|longer than|exceed)"
    r"|inputs`? (?:tokens \+|must have less)|range of input length"
    r"|max_(?:completion_)?tokens.{0,60}too large"
    r"|content.{0,2}(?:filter|policy|management policy|exists risk)|data_inspection_failed"
    r"|inappropriate content|invalid_prompt|flagged|ResponsibleAI",
    re.IGNORECASE,
)
_LONGEST_ERROR = 500
#: In a reply, shorter keys ("none", "ollama") are words, which must stay as they are.
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True)
class Failure:
    """A try without a reply: why, and whether and when another may help.

    ``reached`` is false where no word came from the server, ``connected`` where there was not
    even a connection. ``final`` as in ``Reply``. ``refused_schema``, ``refused_log_probabilities``
    and ``refused_samples`` ask for the same in another form. A server that is ``unfit`` will not
    answer other requests either.
    """

    error: str
    retry: bool = False
    retry_after: float | None = None
    reached: bool = True
    connected: bool = True
    timed_out: bool = False
    too_many: bool = False
    busy: bool = False
    unfit: bool = False
    final: bool = False
    refused_schema: bool = False
    refused_log_probabilities: bool = False
    refused_samples: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a response must be read with: where it comes from (``shown``, without secrets), the
    model's name, the key and the name of its variable, and in what form was asked.
    """

    shown: str
    model: str
    key: str = field(repr=False)
    key_name: str
    native_schema: bool
    log_probabilities: bool = True


def read_response(
    requests: Sequence[Request], response: Response, asked: Asked
) -> list[Reply] | Failure:
    """The replies to the first of ``requests``, one at least, or why there are none."""
    if response.status != 200:
        return _refused(requests, response, asked)
    body, key = response.body, asked.key.encode("utf-8")
    if len(key) >= _SHORTEST_SECRET:
        body = body.replace(key, b"***")
    try:
        return read_replies(requests, body)
    except NoCompletionError as error:
        return Failure(f"{asked.shown}: {error}", retry=True)


def no_response(trouble: Trouble, asked: Asked) -> Failure:
    """The failure of a try that met ``trouble``."""
    said = f"{asked.shown} cannot be reached: {trouble.said}"
    return Failure(said, retry=True, reached=False, connected=trouble.connected)


def too_late(seconds: float, asked: Asked) -> Failure:
    """The failure of a try that was waited for during ``seconds``."""
    said = f"{asked.shown} did not answer in {seconds:g} s"
    return Failure(said, retry=True, reached=False, timed_out=True)


def may_pass(status: int) -> bool:
    """Whether another try may get past a refusal with this status."""
    return status in _RETRIED or status >= 500


def is_final(status: int, said: str) -> bool:
    """Whether a refusal, which ``said`` why, is of this prompt, which does not fit or whose content
    is not taken, and not of how the server is asked.
    """
    if status == _TOO_LARGE:
        return True
    # Behind the reason, some repeat the prompt.
    shown = said[:_LONGEST_ERROR]
    return status in _FINAL_STATUS and _FINAL_WORDS.search(shown) is not None


def without_key(text: str, key: str) -> str:
    """``text`` for people, short and without the key, which careless servers echo."""
    # The key goes out first: cut through, it would be known no more.
    for form in {key, orjson.dumps(key).decode("utf-8")[1:-1]} - {""}:
        text = text.replace(form, "***")
    return text[:_LONGEST_ERROR]


def _refused(requests: Sequence[Request], response: Response, asked: Asked) -> Failure:
    status, said = response.status, server_message(response.body)
    if status in (401, 403):
        named = asked.key_name or "of your choice, named as api_key_env"
        text = (
            f"the server does not accept the key: put a valid one into the environment "
            f"variable {named}"
        )
    elif status == 404:
        text = f"there is no model '{asked.model}' or no such address"
    else:
        text = "the server says"
    refused_schema = (
        asked.native_schema
        and requests[0].schema is not None
        and status in _SCHEMA_STATUS
        and _SCHEMA_WORDS.search(response.body) is not None
    )
    refused_log_probabilities = (
        asked.log_probabilities
        and requests[0].top_log_probabilities > 0
        and status in _SCHEMA_STATUS
        and _LOG_PROBABILITY_WORDS.search(response.body) is not None
    )
    return Failure(
        f"HTTP {status} from {asked.shown}: {text}: {said}",
        retry=may_pass(status),
        retry_after=retry_after(response.retry_after),
        too_many=status == 429,
        busy=status in _BUSY,
        unfit=status in _UNFIT,
        final=is_final(status, said),
        refused_schema=refused_schema,
        refused_log_probabilities=refused_log_probabilities,
        refused_samples=len(requests) > 1 and status in _SAMPLES_STATUS,
    )


def server_message(body: bytes) -> str:
    """What an error body says, in a line."""
    try:
        content: Any = orjson.loads(body)
        error = content.get("error", content)
        said = error.get("message", error) if isinstance(error, dict) else error
    except (AttributeError, orjson.JSONDecodeError):
        said = body.decode("utf-8", "replace")
    return " ".join(str(said).split()) or "nothing"


def retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date; None where it is neither."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    except (OverflowError, ValueError):  # also for a time zone that lies beyond all others
        return None
