"""How often, how many at once and how long: the rules by which a server is asked. No network."""

import math
import zlib
from collections import deque
from dataclasses import dataclass

#: A server with few slots answers as many before a timeout; more is reached within a few rounds.
_FIRST_AT_ONCE = 32
#: Refusals up to this share of a round are the luck of single requests.
_TOLERATED = 0.05
#: Below this many outcomes a share says nothing.
_SHORTEST_ROUND = 64
_DECREASE, _FIRST_DECREASE = 0.75, 0.5
#: Full speed is reached again after as many rounds, from nothing.
_ROUNDS_TO_THE_TOP = 32
_LATENCIES_KEPT = 2000
#: The 99th percentile of fewer replies than this is a guess.
_FEWEST_LATENCIES, _ENOUGH_LATENCIES = 100, 1000


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """Seconds between tries: ``first`` doubles up to ``longest``. What a server asks for in
    Retry-After is kept up to ``longest_asked``.
    """

    first: float = 0.5
    longest: float = 30.0
    longest_asked: float = 120.0

    def before(self, retry: int, salt: bytes) -> float:
        """The delay before the retry (0 is the first); ``salt`` spreads it, always alike."""
        spread = zlib.crc32(salt + bytes([retry % 256])) / 2**32
        return min(self.longest, self.first * 2.0**retry) * (0.5 + spread / 2)


@dataclass(frozen=True, slots=True)
class Watchdog:
    """When a request counts as stuck: after ``factor`` times the 99th percentile of the seconds
    that others took which may write as much, and never before ``floor_seconds``. Its second try
    is given up after ``second`` times as long, if by then ``rounds`` times as many replies came
    since it first went out as are still on their way: else the server is slow for all.
    """

    factor: float = 4.0
    floor_seconds: float = 20.0
    second: float = 2.0
    rounds: int = 8


class AdaptiveLimit:
    """How many requests one server is sent at once, from 1 to ``most``.

    Additive increase, multiplicative decrease (Chiu and Jain 1989) in rounds of as many
    outcomes as go out at once. It begins at 32 (or ``first``) and grows by one with each reply,
    which doubles it each round, until the server first refuses; then by a fixed step a round.
    Refusals beyond a twentieth of a round make it smaller once: those of requests that were
    sent before that belong to the same burst.
    """

    def __init__(self, most: int, first: int = _FIRST_AT_ONCE) -> None:
        self._most = most
        self._value = float(min(most, max(1, first)))
        self._starting = True
        self._decreased = -math.inf
        self._outcomes = self._refused = self._known = 0
        self._share = 0.0

    @property
    def allowed(self) -> int:
        """Requests that may be on their way now."""
        return int(self._value)

    def answered(self, may_grow: bool = True) -> None:
        """Note a reply; without ``may_grow`` it does not make the limit larger."""
        if self._starting and may_grow:
            self._value = min(self._most, self._value + 1)
        self._outcome(may_grow)

    def refused(self, sent: float, now: float) -> bool:
        """Note that a request which went out at ``sent`` was too many. Whether the server has
        too much to do, as far as one can tell; else only this request was unlucky.
        """
        if sent < self._decreased:
            return True
        self._refused += 1
        if self._refused > _TOLERATED * self._round():
            factor = _FIRST_DECREASE if self._starting else _DECREASE
            self._value = max(1.0, self._value * factor)
            self._starting, self._decreased = False, now
            self._outcomes = self._refused = 0
            return True
        self._outcome(may_grow=False, refused=True)
        return self._known < _SHORTEST_ROUND or self._share > 2 * _TOLERATED

    def _outcome(self, may_grow: bool, refused: bool = False) -> None:
        self._known += 1
        self._share += (refused - self._share) / _SHORTEST_ROUND
        self._outcomes += 1
        if self._outcomes >= self._round():
            if not self._starting and may_grow:
                step = max(1.0, self._most / _ROUNDS_TO_THE_TOP)
                self._value = min(self._most, self._value + step)
            self._outcomes = self._refused = 0

    def _round(self) -> int:
        return max(_SHORTEST_ROUND, int(self._value))


class Latencies:
    """The seconds that replies took, by how much they may write, for the watchdog."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._seconds: dict[int, deque[float]] = {}
        self._limits: dict[int, float] = {}

    def add(self, kind: int, seconds: float) -> None:
        """Note a reply to a request of a kind."""
        known = self._seconds.get(kind)
        if known is None:
            known = self._seconds[kind] = deque(maxlen=_LATENCIES_KEPT)
        known.append(seconds)
        self._limits.pop(kind, None)

    def stuck_after(self, kind: int, in_flight: int) -> float:
        """The seconds after which a request of this kind is stuck; infinite while too few have
        been answered. The quick ones come first, so a round of ``in_flight`` must be through.
        """
        known = self._seconds.get(kind, ())
        if len(known) < max(_FEWEST_LATENCIES, min(in_flight, _ENOUGH_LATENCIES)):
            return math.inf
        if kind not in self._limits:
            usual = sorted(known)[math.ceil(0.99 * len(known)) - 1]
            watchdog = self._watchdog
            self._limits[kind] = max(watchdog.floor_seconds, watchdog.factor * usual)
        return self._limits[kind]
