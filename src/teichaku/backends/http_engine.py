"""What goes out to which server, when, and how often: the engine behind ``HttpModel``.

It lives in the event loop, does its work in plain callbacks, and keeps no more than what was
handed to it: requests that were never sent wait in a row, retries in a heap until they are due,
so that nothing that waits takes up a place in flight.
"""

import asyncio
import heapq
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from teichaku.backends.chat_completions import request_body
from teichaku.backends.http_answers import (
    Asked,
    Failure,
    no_response,
    read_response,
    too_late,
    without_key,
)
from teichaku.backends.http_limits import AdaptiveLimit, Latencies, RetryDelays, Watchdog
from teichaku.backends.http_transport import Response, Transport, Trouble
from teichaku.core.prompts import Prompt
from teichaku.core.records import Reply, Request

_LOG = logging.getLogger(__name__)
#: A server that hangs costs a whole timeout a try, so it is not asked as often.
_MAX_TIMEOUTS = 2
#: So many requests must find a server that takes calls silent before it counts as down.
_FEWEST_UNANSWERED = 3
#: The limit does not grow with a reply that took this share of the timeout: more requests would
#: only wait in the server's own queue until they are given up.
_SLOW = 0.25
_CHECKS_A_TIMEOUT, _LONGEST_CHECK = 10, 0.5
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Rules:
    """What the engine needs to know of the settings; see ``HttpModel``."""

    model: str
    extra: Mapping[str, Any]
    key: Callable[[], str]
    key_name: str
    max_concurrency: int
    max_tokens_in_flight: int
    timeout_seconds: float
    max_retries: int
    may_drop_schema: bool
    as_json: Prompt | None
    delays: RetryDelays
    watchdog: Watchdog
    on_stuck: Callable[[Request, float], None]


@dataclass(slots=True)
class Learnt:
    """What one stream of requests finds out about the servers and the next one goes on from:
    how schemas are asked for, whether log-probabilities may be asked for and several samples come
    at once, how many requests at once each server takes.
    """

    schema_as_prompt: bool
    log_probabilities: bool = True
    several_samples: bool = True
    allowed: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Endpoint:
    """One server. While ``down`` is above 0 it is asked again at ``not_before``, by one request
    at a time; ``down`` counts how often in a row that was in vain.
    """

    url: str
    transport: Transport
    limit: AdaptiveLimit
    in_flight: int = 0
    tokens: int = 0
    not_before: float = -math.inf
    down: int = 0
    down_since: float = -math.inf
    dead: bool = False
    #: The server answers, but neither this model nor this key is known to it.
    unfit: bool = False
    heard: float = -math.inf
    unanswered: set["Job"] = field(default_factory=set)

    @property
    def shown(self) -> str:
        """The address without the query, which may hold what is nobody else's business."""
        return self.url.partition("?")[0]

    def load(self) -> float:
        """The share of what it may be sent that is on its way."""
        return self.in_flight / (1 if self.down else self.limit.allowed)


@dataclass(slots=True, eq=False)
class Job:
    """Requests that go out as one, and what became of its tries so far.

    ``counted`` are the tries that count against the retries, ``timeouts`` those that hung.
    What was stuck once has until ``deadline`` at most; ``replies_before`` of others had come when
    it went out.
    """

    requests: Sequence[Request]
    tokens: int = 0
    tries: int = 0
    counted: int = 0
    timeouts: int = 0
    deadline: float = math.inf
    replies_before: int = 0
    last: Endpoint | None = None


@dataclass(slots=True, eq=False)
class Try:
    """A job on its way to a server."""

    job: Job
    endpoint: Endpoint
    started: float
    replies_before: int
    asked: Asked
    call_off: Callable[[], None] | None = None


class Engine:
    """Answers jobs over ``endpoints``; replies go to ``hand_on``, in groups."""

    def __init__(
        self,
        rules: Rules,
        learnt: Learnt,
        transports: Mapping[str, Transport],
        hand_on: Callable[[list[Reply]], None],
    ) -> None:
        self._rules = rules
        self._learnt = learnt
        self._hand_on = hand_on
        self._loop = asyncio.get_running_loop()
        self._endpoints = [
            Endpoint(url, transport, _limit(rules, learnt, url))
            for url, transport in transports.items()
        ]
        self._fresh: deque[Job] = deque()
        self._delayed: list[tuple[float, int, Job]] = []
        self._order = count()
        self._in_flight: dict[Try, None] = {}
        self._ready: list[Reply] = []
        self._replies = 0
        #: What the last server said, or failed to, before it counted as dead.
        self._why_dead = ""
        self._latencies = Latencies(rules.watchdog)
        self._alarm: asyncio.TimerHandle | None = None
        seconds = min(_LONGEST_CHECK, rules.timeout_seconds / _CHECKS_A_TIMEOUT)
        self._check_seconds = seconds
        self._checking = self._loop.call_later(seconds, self._check)

    def add(self, requests: Sequence[Sequence[Request]]) -> None:
        """Take in requests; those in one group go out as one."""
        self._fresh.extend(Job(group, self._tokens_of(group)) for group in requests)
        self._pump()

    async def close(self) -> None:
        """Call off what is on its way, and close all connections."""
        self._checking.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
        for attempt in list(self._in_flight):
            self._break_off(attempt)
        for endpoint in self._endpoints:
            self._learnt.allowed[endpoint.url] = endpoint.limit.allowed
            await endpoint.transport.close()

    def _pump(self) -> None:
        """Send what may be sent now, and wake up again when something else may."""
        now = self._loop.time()
        while True:
            due = bool(self._delayed) and self._delayed[0][0] <= now
            if not due and not self._fresh:
                break
            job = self._delayed[0][2] if due else self._fresh[0]
            endpoint = self._choose(job, now)
            if endpoint is None and not self._all_dead():
                break
            if due:
                heapq.heappop(self._delayed)
            else:
                self._fresh.popleft()
            if endpoint is None:
                self._give_up(job, self._why_dead)
            else:
                self._send(job, endpoint, now)
        if self._delayed or self._fresh:
            self._wake_up(now)

    def _wake_up(self, now: float) -> None:
        moments = [endpoint.not_before for endpoint in self._endpoints]
        if self._delayed:
            moments.append(self._delayed[0][0])
        next_moment = min((moment for moment in moments if moment > now), default=None)
        if next_moment is None or (self._alarm and now < self._alarm.when() <= next_moment):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(next_moment, self._pump)

    def _choose(self, job: Job, now: float) -> Endpoint | None:
        """The least loaded server that may be sent the job; another than the one where it
        failed, if there is one.
        """
        free = [endpoint for endpoint in self._endpoints if self._may_take(endpoint, job, now)]
        if len(free) < 2:
            return free[0] if free else None
        return min(free, key=lambda endpoint: (endpoint is job.last, endpoint.load()))

    def _may_take(self, endpoint: Endpoint, job: Job, now: float) -> bool:
        if endpoint.not_before > now or endpoint.unfit:
            return False
        if endpoint.in_flight >= (1 if endpoint.down else endpoint.limit.allowed):
            return False
        most = self._rules.max_tokens_in_flight
        return not most or not endpoint.in_flight or endpoint.tokens + job.tokens <= most

    def _send(self, job: Job, endpoint: Endpoint, now: float) -> None:
        rules, as_prompt = self._rules, self._learnt.schema_as_prompt
        as_json = rules.as_json if as_prompt else None
        key = rules.key()
        asked = Asked(
            endpoint.shown,
            rules.model,
            key,
            rules.key_name,
            native_schema=rules.may_drop_schema and not as_prompt,
            log_probabilities=self._learnt.log_probabilities,
        )
        attempt = Try(job, endpoint, now, self._replies, asked)
        try:
            body = request_body(
                rules.model,
                job.requests[0],
                rules.extra,
                as_json=as_json,
                log_probabilities=self._learnt.log_probabilities,
                samples=len(job.requests),
            )
        except ValueError as error:
            job.tries += 1
            self._give_up(job, without_key(str(error), key), final=True)
            return
        try:
            attempt.call_off = endpoint.transport.send(
                body, key, lambda outcome: self._done(attempt, outcome)
            )
        except ValueError as error:
            # Such as a key that no header can hold: another one may go through.
            job.tries += 1
            self._give_up(job, without_key(str(error), key))
            return
        self._in_flight[attempt] = None
        endpoint.in_flight += 1
        endpoint.tokens += job.tokens

    def _done(self, attempt: Try, outcome: Response | Trouble) -> None:
        """Something came of a try."""
        self._leave(attempt)
        if isinstance(outcome, Trouble):
            self._failed(attempt, no_response(outcome, attempt.asked))
        else:
            endpoint, now = attempt.endpoint, self._loop.time()
            endpoint.heard, endpoint.down, endpoint.dead = now, 0, False
            endpoint.unanswered.clear()
            read = read_response(attempt.job.requests, outcome, attempt.asked)
            if isinstance(read, Failure):
                self._failed(attempt, read)
            else:
                self._answered(attempt, read, now - attempt.started)
        self._pump()

    def _leave(self, attempt: Try) -> None:
        del self._in_flight[attempt]
        attempt.call_off = None  # else the two hold each other, and a body each, in memory
        attempt.endpoint.in_flight -= 1
        attempt.endpoint.tokens -= attempt.job.tokens

    def _break_off(self, attempt: Try) -> None:
        if attempt.call_off is not None:
            attempt.call_off()
        self._leave(attempt)

    def _answered(self, attempt: Try, replies: list[Reply], seconds: float) -> None:
        job, endpoint = attempt.job, attempt.endpoint
        endpoint.limit.answered(seconds < _SLOW * self._rules.timeout_seconds)
        self._latencies.add(_kind(job), seconds)
        self._replies += 1
        missing = job.requests[len(replies) :]
        if missing:
            # One alone comes from a server that does not know how to make several.
            self._learnt.several_samples &= len(replies) > 1
            self._again_one_by_one(missing)
        for reply in replies:
            self._hand(reply)

    def _again_one_by_one(self, requests: Sequence[Request]) -> None:
        jobs = [Job((request,), self._tokens_of((request,))) for request in requests]
        self._fresh.extendleft(reversed(jobs))

    def _failed(self, attempt: Try, failure: Failure) -> None:
        """Try again now, later, elsewhere, in another form, or give up."""
        job, endpoint, now = attempt.job, attempt.endpoint, self._loop.time()
        if failure.refused_log_probabilities:
            self._learnt.log_probabilities = False
            self._fresh.appendleft(job)
            return
        if failure.refused_schema:
            self._learnt.schema_as_prompt = True
            self._fresh.appendleft(job)
            return
        if failure.refused_samples:
            self._learnt.several_samples = False
            self._again_one_by_one(job.requests)
            return
        job.tries += 1
        job.last = endpoint
        if failure.unfit and self._another(endpoint):
            _LOG.warning("%s is asked no more: %s", endpoint.shown, self._said(attempt, failure))
            endpoint.unfit = True
            self._fresh.appendleft(job)
            return
        crowded = False
        if failure.busy or failure.timed_out or failure.retry_after is not None:
            crowded = endpoint.limit.refused(attempt.started, now)
        if not failure.reached:
            self._silent(attempt, failure, now)
        job.timeouts += failure.timed_out
        # A server that is down is not the request's fault, as long as there is another; and
        # while others get replies, "too many requests" only means to wait one's turn.
        elsewhere = not failure.reached and self._another(endpoint)
        waits_its_turn = failure.too_many and self._replies > attempt.replies_before
        job.counted += not waits_its_turn and not (elsewhere and endpoint.down > 0)
        spent = job.counted > self._rules.max_retries or job.timeouts > _MAX_TIMEOUTS
        if spent or not failure.retry or (not failure.reached and self._all_dead()):
            self._give_up(job, self._said(attempt, failure), failure.final)
        else:
            self._later(job, failure, 0.0 if elsewhere else None, crowded)

    def _later(self, job: Job, failure: Failure, wait: float | None, crowded: bool) -> None:
        """Put the job back, due after ``wait`` or the usual delay."""
        now, delays = self._loop.time(), self._rules.delays
        if wait is None:
            wait = delays.before(job.tries - 1, _salt(job.requests[0]))
        if failure.retry_after is not None and job.last is not None:
            asked = min(failure.retry_after, delays.longest_asked)
            if crowded:
                # All requests keep away from the server for as long as it asks.
                job.last.not_before = max(job.last.not_before, now + asked)
            else:
                wait = max(wait, asked)
        heapq.heappush(self._delayed, (now + wait, next(self._order), job))

    def _silent(self, attempt: Try, failure: Failure, now: float) -> None:
        """Note that no word came from a server. It is down where it takes no call, or where
        several requests in a row found it silent: then it is left alone for a while, and by
        all requests together asked no more often than one may ask. When that was in vain as
        well, it is dead, and nobody waits for it.
        """
        endpoint, delays = attempt.endpoint, self._rules.delays
        if attempt.started < max(endpoint.heard, endpoint.down_since):
            return  # others have had an answer since, or have told the same
        endpoint.unanswered.add(attempt.job)
        if failure.connected and len(endpoint.unanswered) < _FEWEST_UNANSWERED:
            return
        endpoint.down += 1
        endpoint.down_since = now
        patience = self._rules.max_retries
        if failure.timed_out:
            patience = min(patience, _MAX_TIMEOUTS)
        endpoint.dead = endpoint.down > patience
        wait = delays.longest
        if not endpoint.dead:
            wait = delays.before(endpoint.down - 1, endpoint.url.encode("utf-8"))
        elif self._another(endpoint):
            _LOG.warning("%s: the requests go to the other servers", failure.error)
        endpoint.not_before = max(endpoint.not_before, now + wait)
        self._why_dead = self._said(attempt, failure)

    def _another(self, endpoint: Endpoint) -> bool:
        """Whether there is another server that may answer."""
        return any(
            not (each.unfit or each.down) for each in self._endpoints if each is not endpoint
        )

    def _all_dead(self) -> bool:
        return all(endpoint.dead or endpoint.unfit for endpoint in self._endpoints)

    def _check(self) -> None:
        """Give up tries that have taken too long; called again and again."""
        now, rules = self._loop.time(), self._rules
        self._checking = self._loop.call_later(self._check_seconds, self._check)
        late: list[tuple[Try, bool]] = []
        for attempt in self._in_flight:  # in the order in which they went out
            seconds = now - attempt.started
            if seconds >= rules.timeout_seconds or now >= attempt.job.deadline:
                late.append((attempt, False))
            elif seconds < rules.watchdog.floor_seconds:
                break
            elif self._is_stuck(attempt, seconds):
                late.append((attempt, True))
        for attempt, stuck in late:
            self._too_late(attempt, now - attempt.started, stuck)
        if late:
            self._pump()

    def _is_stuck(self, attempt: Try, seconds: float) -> bool:
        """Whether a try takes far longer than those of others."""
        job, watchdog = attempt.job, self._rules.watchdog
        usual = self._latencies.stuck_after(_kind(job), len(self._in_flight))
        if job.deadline == math.inf:
            return seconds > usual and self._may_cut(job, seconds)
        if seconds <= watchdog.second * usual or attempt.endpoint.down:
            return False
        # A server that is slow for all has not answered so many others meanwhile.
        return self._replies - job.replies_before >= watchdog.rounds * len(self._in_flight)

    def _may_cut(self, job: Job, seconds: float) -> bool:
        """Whether there are a retry and time enough left for another try."""
        enough = seconds <= self._rules.timeout_seconds / 2
        return enough and job.deadline == math.inf and job.counted < self._rules.max_retries

    def _too_late(self, attempt: Try, seconds: float, stuck: bool) -> None:
        job = attempt.job
        self._break_off(attempt)
        if not stuck:
            self._failed(attempt, too_late(self._rules.timeout_seconds, attempt.asked))
            return
        if job.deadline < math.inf:
            named = _named(job.requests[0])
            _LOG.warning("no reply in %.0f s once more: %s; given up", seconds, named)
            self._failed(attempt, too_late(round(seconds, 1), attempt.asked))
            return
        # What hangs alone is tried once more.
        self._rules.on_stuck(job.requests[0], seconds)
        job.deadline = attempt.started + self._rules.timeout_seconds
        job.replies_before = attempt.replies_before
        job.timeouts, job.last = _MAX_TIMEOUTS, attempt.endpoint
        job.tries += 1
        job.counted += 1
        self._silent(attempt, too_late(seconds, attempt.asked), self._loop.time())
        heapq.heappush(self._delayed, (self._loop.time(), next(self._order), job))

    def _give_up(self, job: Job, said: str, final: bool = False) -> None:
        for request in job.requests:
            self._hand(Reply(request, "", error=f"{said} (tries: {job.tries})", final=final))

    def _said(self, attempt: Try, failure: Failure) -> str:
        return without_key(failure.error, attempt.asked.key)

    def _hand(self, reply: Reply) -> None:
        if not self._ready:
            self._loop.call_soon(self._flush)
        self._ready.append(reply)

    def _flush(self) -> None:
        ready, self._ready = self._ready, []
        self._hand_on(ready)

    def _tokens_of(self, requests: Sequence[Request]) -> int:
        """About how many tokens the requests take up: three bytes each in most languages."""
        if not self._rules.max_tokens_in_flight:
            return 0
        first = requests[0]
        written = sum(len(m.content.encode("utf-8", "replace")) for m in first.messages)
        return written // 3 + len(requests) * first.sampling.max_tokens


def name_stuck(request: Request, seconds: float) -> None:
    """Log a request that hangs while others are answered."""
    _LOG.warning(
        "no reply in %.0f s, far longer than usual: %s; trying once more", seconds, _named(request)
    )


def _named(request: Request) -> str:
    """The request by its prompt, and where its text begins and ends."""
    content = request.messages[-1].content if request.messages else ""
    # Prompts begin alike, or end alike.
    beginning, end = content[:_SHOWN_CHARACTERS], content[_SHOWN_CHARACTERS:][-_SHOWN_CHARACTERS:]
    shown = f"{' '.join(beginning.split())}…{' '.join(end.split())}"
    return f"{request.prompt or 'request'} '{shown}', sample {request.sample_index}"


def _limit(rules: Rules, learnt: Learnt, url: str) -> AdaptiveLimit:
    if url in learnt.allowed:
        return AdaptiveLimit(rules.max_concurrency, learnt.allowed[url])
    return AdaptiveLimit(rules.max_concurrency)


def _kind(job: Job) -> int:
    """Jobs of one kind may write about as much, up to a factor of two."""
    return job.requests[0].sampling.max_tokens.bit_length()


def _salt(request: Request) -> bytes:
    last = request.messages[-1].content if request.messages else ""
    return f"{request.sample_index}\n{last}".encode("utf-8", "surrogatepass")
