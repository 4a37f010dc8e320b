"""A reply that was paid for is never paid for again: one SQLite file under all models.

Replies are addressed by content (:func:`request_key`), and so are vectors and log-probabilities
(:func:`numbers_key`). One that comes alone is on the disk before it is handed on; those that come
fast are written in groups, within about 50 ms or 256 replies, and in any case before the process
ends normally. The file is in write-ahead mode, so a process that is killed at any moment leaves it
whole, and several processes may use it at once.
"""

import json
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path

from teichaku.backends.reply_store import CHARGE, Group, ReplyStore
from teichaku.core.errors import UserError
from teichaku.core.models import ChatModel
from teichaku.core.records import Reply, Request

#: The share of the time of a written token that one takes which is read (measured: an eighth to a
#: tenth on a processor), for estimates.
READ_AS_WRITTEN = 0.1
#: Cached replies that may pile up while the model is being fed; see _CachedStream._pass.
_BACKLOG = 1024
_KEY_ENCODER = json.JSONEncoder(separators=(",", ":"), default=dict)


def request_key(identity: str, request: Request) -> str:
    """SHA-256 of all that the reply depends on: the model, the messages, the sampling, the
    schema and the sample index. ``prompt`` and ``subject`` are no part of it.
    """
    sampling = request.sampling
    asked = {
        "identity": identity,
        "messages": [[message.role, message.content] for message in request.messages],
        # Equal settings make equal keys, also where 0 was written for 0.0.
        "temperature": float(sampling.temperature),
        "top_p": float(sampling.top_p),
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(sampling.stop),
        "schema": request.schema,
        "sample_index": request.sample_index,
    }
    if sampling.presence_penalty:
        asked["presence_penalty"] = float(sampling.presence_penalty)
    if request.top_log_probabilities:
        asked["top_log_probabilities"] = request.top_log_probabilities
    if request.plain:
        asked["plain"] = True
    if request.several_lines:
        asked["several_lines"] = True
    # dict(...) takes any other mapping; ASCII escapes hold for lone surrogates as well.
    # Keys keep their order: that of a schema's properties steers constrained decoding.
    return sha256(_KEY_ENCODER.encode(asked).encode("ascii")).hexdigest()


def numbers_key(*asked: str | bool) -> str:
    """SHA-256 of all that a row of numbers depends on: what it is, of which model and text."""
    return sha256(_KEY_ENCODER.encode(asked).encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What the cache keeps of a reply."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    log_probabilities: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Charge:
    """What was paid, in tokens and in money, and on whose account."""

    account: str
    tokens: int
    price: float


class RequestCache:
    """The replies in the SQLite file at ``path``, which is made where there is none.

    Threads may share one object; each process opens its own. Raises ``UserError`` where the
    file is damaged or is no database, and where the disk is full or may not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder of the request cache cannot be made: {path.parent} "
                f"({error.strerror or error}).",
                "Set TEICHAKU_HOME to a folder that may be written.",
            ) from error
        self._store = ReplyStore(path)
        # Also runs when the interpreter ends, so that nothing waits in memory then.
        self._finalizer = weakref.finalize(self, self._store.close)

    def get(self, key: str) -> StoredReply | None:
        """The reply stored under ``key``, by this process or another."""
        row = self._store.find(key)
        if row is None:
            return None
        text, reason, prompt_tokens, completion_tokens, kept = row
        known = tuple(json.loads(kept)) if kept else ()
        return StoredReply(text, reason, prompt_tokens, completion_tokens, known)

    def put(self, key: str, identity: str, reply: Reply, charge: Charge | None = None) -> None:
        """Keep a reply; one that is there already stays. Durable soon, see :meth:`flush`.

        ``charge`` is what it cost: written in the same transaction, so that no reply is kept
        whose cost is forgotten, whenever the process is killed.
        """
        text = reply.text.encode("utf-8", "replace").decode("utf-8")
        counts = (reply.prompt_tokens, reply.completion_tokens, time.time())
        group = Group({key: (identity, text, reply.finish_reason, *counts)})
        if reply.log_probabilities:
            kept = [dict(tokens) for tokens in reply.log_probabilities]
            group.log_probabilities[key] = json.dumps(kept)
        self._add(group, charge)

    def numbers(self, key: str) -> bytes | None:
        """What :meth:`put_numbers` stored under ``key``, in this process or another."""
        return self._store.find_numbers(key)

    def put_numbers(
        self, identity: str, contents: Mapping[str, bytes], charge: Charge | None = None
    ) -> None:
        """Keep ``contents`` by their keys, as :meth:`put` does replies, with what they cost."""
        now = time.time()
        rows = {key: (identity, content, now) for key, content in contents.items()}
        self._add(Group(numbers=rows), charge)

    def _add(self, group: Group, charge: Charge | None) -> None:
        if charge is not None:
            group.charge(*astuple(charge))
        self._store.add(group)

    def charge(self, charge: Charge) -> None:
        """Note what was paid for replies that are not here."""
        self._store.execute(CHARGE, astuple(charge))

    def spent(self, account: str) -> tuple[int, float]:
        """The tokens and the price of all that ``account`` was charged."""
        self.flush()
        asked = "SELECT tokens, price FROM spending WHERE account = ?"
        (found,) = self._store.execute(asked, (account,)) or [(0, 0.0)]
        return found[0], found[1]

    def flush(self) -> None:
        """Put everything on the disk now."""
        self._store.flush()

    def count_missing(self, identity: str, requests: Iterable[Request]) -> int:
        """How many requests would really be sent, equal ones counted once."""
        keys = {request_key(identity, request) for request in requests}
        return sum(self._store.find(key) is None for key in keys)

    def record_speed(
        self, identity: str, completion_tokens: int, prompt_tokens: int, seconds: float
    ) -> None:
        """Remember how fast a model was over one stream of requests."""
        row = (identity, completion_tokens, prompt_tokens, seconds, time.time())
        self._store.execute("INSERT INTO speeds VALUES (?, ?, ?, ?, ?)", row)

    def speed(self, identity: str) -> float | None:
        """Generated tokens a second of wall time, over the last 8 streams; None if unknown."""
        return self._over_streams(identity, 0.0)

    def pace(self, identity: str) -> float | None:
        """The same with the tokens that were read, of which ten count as one that was written."""
        return self._over_streams(identity, READ_AS_WRITTEN)

    def _over_streams(self, identity: str, weight: float) -> float | None:
        rows = self._store.execute(
            "SELECT completion_tokens + ? * prompt_tokens, seconds FROM speeds WHERE identity = ? "
            "ORDER BY created DESC LIMIT 8",
            (weight, identity),
        )
        tokens, seconds = sum(row[0] for row in rows), sum(row[1] for row in rows)
        return tokens / seconds if tokens > 0 and seconds > 0 else None

    def close(self) -> None:
        """Write what is waiting and close the file; a second call does nothing."""
        self._finalizer()

    def __enter__(self) -> "RequestCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CachedModel:
    """``model`` behind ``cache``: what was answered once is not sent again.

    Requests that are equal while the first is in flight are sent once too. Replies with an
    error are handed on and not kept, so the next run tries them again.

    A model whose ``hands_on_replies`` is true takes replies among its requests and hands them
    on at once; with any other, what is found in the cache may wait for the model's next reply.

    ``charge`` says what a reply cost that was sent for.
    """

    def __init__(
        self,
        model: ChatModel,
        cache: RequestCache,
        charge: Callable[[Reply], Charge | None] = lambda reply: None,
    ) -> None:
        self._model = model
        self._cache = cache
        self._charge = charge

    @property
    def identity(self) -> str:
        """The identity of the model behind the cache."""
        return self._model.identity

    def generate(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """Answer every request once: from the cache at once, the others as they come."""
        stream = _CachedStream(self._model, self._cache, self._charge, iter(requests))
        yield from stream.replies()
        self._cache.flush()


class _CachedStream:
    """One call of :meth:`CachedModel.generate`.

    ``waiting`` holds the requests by key that the model has not answered yet, ``keys`` the keys
    of those that it was given, by the identity of the object; ``ready`` the replies that were
    found in the cache while the model pulled its next request.
    """

    def __init__(
        self,
        model: ChatModel,
        cache: RequestCache,
        charge: Callable[[Reply], Charge | None],
        requests: Iterator[Request | None],
    ) -> None:
        self._model = model
        self._identity = model.identity
        self._cache = cache
        self._charge = charge
        self._requests = requests
        self._hands_on = bool(getattr(model, "hands_on_replies", False))
        self._waiting: dict[str, list[Request]] = {}
        self._keys: dict[int, str] = {}
        self._ready: deque[Reply] = deque()
        self._joined = 0
        self._tokens = self._asked = 0
        self._seconds = 0.0

    def replies(self) -> Iterator[Reply]:
        handed_on = False
        for request in self._requests:
            if request is None:
                if not handed_on:
                    break  # nothing is on its way that the next request could depend on
                handed_on = False
                continue
            missing = self._look_up(request)
            if missing is not None:
                yield from self._pass(missing)
            yield from self._found()
            handed_on = True
        if self._tokens:
            self._cache.record_speed(self._identity, self._tokens, self._asked, self._seconds)

    def _pass(self, first: Request) -> Iterator[Reply]:
        """Feed the model from ``first`` on; the rest of the requests is left where too many
        are in the cache, so that those do not pile up behind a slow reply.
        """
        began = time.monotonic()
        # The contract of the model, widened where it hands on replies.
        stream = self._model.generate(chain([first], self._missing()))  # type: ignore[arg-type]
        try:
            for reply in stream:
                if reply.cached:
                    yield reply
                    continue
                self._tokens += reply.completion_tokens
                self._asked += reply.prompt_tokens
                yield from self._answered(reply)
                yield from self._found()
        finally:
            # Whoever stops taking replies stops the model as well, and at once.
            getattr(stream, "close", lambda: None)()
        for requests in list(self._waiting.values()):
            lost = Reply(requests[0], "", error="The model gave no reply.")
            yield from self._answered(lost)
        self._seconds += time.monotonic() - began

    def _missing(self) -> Iterator[Request | Reply | None]:
        while len(self._ready) + self._joined < _BACKLOG:
            try:
                request = next(self._requests)
            except StopIteration:
                return
            missing = None if request is None else self._look_up(request)
            if missing is not None or request is None:
                yield missing
            elif self._hands_on:
                yield from self._found()
            elif not self._waiting:
                yield None  # which ends the model's stream, so that what was found comes out

    def _look_up(self, request: Request) -> Request | None:
        """``request`` where it must be sent; else its reply is ready or on the way."""
        key = request_key(self._identity, request)
        if key in self._waiting:
            self._waiting[key].append(request)
            self._joined += 1
            return None
        stored = self._cache.get(key)
        if stored is None:
            self._waiting[key] = [request]
            self._keys[id(request)] = key
            return request
        self._ready.append(
            Reply(
                request,
                stored.text,
                stored.finish_reason,
                stored.prompt_tokens,
                stored.completion_tokens,
                key=key,
                cached=True,
                log_probabilities=stored.log_probabilities,
            )
        )
        return None

    def _answered(self, reply: Reply) -> Iterator[Reply]:
        # A model may also hand back a request that is equal to the one it was given.
        key = self._keys.pop(id(reply.request), "") or request_key(self._identity, reply.request)
        if not reply.error:
            self._cache.put(key, self._identity, reply, self._charge(reply))
        requests = self._waiting.pop(key)
        self._keys.pop(id(requests[0]), None)
        self._joined -= len(requests) - 1
        for position, request in enumerate(requests):
            yield replace(reply, request=request, key=key, cached=position > 0)

    def _found(self) -> Iterator[Reply]:
        while self._ready:
            yield self._ready.popleft()
