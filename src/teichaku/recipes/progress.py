"""What the person at the keyboard sees while a run goes on."""

import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from teichaku.core.locale import translate
from teichaku.recipes import counts
from teichaku.recipes.counts import Unit


class Progress(Protocol):
    """A live view of the stages."""

    def begin(
        self, stage: str, total: int | None, estimate: str = "", unit: Unit = counts.requests
    ) -> None:
        """A stage starts: how many of its ``unit`` it expects, and how long it may take."""
        ...

    def advance(self, records: int = 1, tokens: int = 0) -> None:
        """So much more is done."""
        ...

    def expect_more(self, records: int) -> None:
        """The stage has so many records to do beyond those that it began with."""
        ...

    def end(self, stage: str, summary: str) -> None:
        """The stage is finished."""
        ...

    def say(self, text: str) -> None:
        """Something worth telling, between the stages."""
        ...

    def close(self) -> None:
        """Nothing more comes, whatever happened."""
        ...


class Silent:
    """Shows nothing."""

    def begin(
        self, stage: str, total: int | None, estimate: str = "", unit: Unit = counts.requests
    ) -> None:
        """Nothing."""

    def advance(self, records: int = 1, tokens: int = 0) -> None:
        """Nothing."""

    def expect_more(self, records: int) -> None:
        """Nothing."""

    def end(self, stage: str, summary: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Plain:
    """Lines for a log: one at the start and the end of a stage, and one every so often."""

    def __init__(self, stream: TextIO, every_seconds: float = 15.0) -> None:
        self._stream = stream
        self._every = every_seconds
        self._pace = Pace(None)
        self._stage = ""
        self._told = 0.0

    def begin(
        self, stage: str, total: int | None, estimate: str = "", unit: Unit = counts.requests
    ) -> None:
        """One line."""
        self._stage, self._pace, self._told = stage, Pace(total), time.monotonic()
        count = f": {unit(total)}" if total else ""
        self.say(f"▶ {stage}{count}{f' ({estimate})' if estimate else ''}")

    def advance(self, records: int = 1, tokens: int = 0) -> None:
        """A line every few seconds."""
        self._pace.advance(records, tokens)
        if time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            self.say(f"  {self._stage}: {self._pace.text()}")

    def expect_more(self, records: int) -> None:
        """The next line counts to the new total."""
        self._pace.expect_more(records)

    def end(self, stage: str, summary: str) -> None:
        """One line."""
        self.say(f"✔ {stage}: {summary}")

    def say(self, text: str) -> None:
        """One line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is open."""


class Live:
    """A bar in the terminal for the stage that runs, a line for each that is finished."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._bar: Any = None
        self._stage = ""
        self._pace = Pace(None)

    def begin(
        self, stage: str, total: int | None, estimate: str = "", unit: Unit = counts.requests
    ) -> None:
        """A bar appears."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.close()
        if estimate:
            self.say(f"  {stage}: {estimate}")
        self._stage, self._pace = stage, Pace(total)
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(),
            TextColumn("{task.fields[pace]}"), TimeElapsedColumn(),
            console=self._console, transient=True, refresh_per_second=4,
        )  # fmt: skip
        self._bar.add_task(stage, total=total, pace="")
        self._bar.start()

    def advance(self, records: int = 1, tokens: int = 0) -> None:
        """The bar moves."""
        self._pace.advance(records, tokens)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=records, pace=self._pace.text())

    def expect_more(self, records: int) -> None:
        """The bar gets longer."""
        self._pace.expect_more(records)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=self._pace.total)

    def end(self, stage: str, summary: str) -> None:
        """The bar gives way to a line."""
        self.close()
        self._console.print(f"[green]✔[/] {stage}: {summary}")

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Pace:
    """Records, tokens a second and the time left of a stage that runs."""

    def __init__(self, total: int | None) -> None:
        self.total = total
        self._done = 0
        self._tokens = 0
        self._start = time.monotonic()

    def advance(self, records: int, tokens: int) -> None:
        """So much more is done."""
        self._done += records
        self._tokens += tokens

    def expect_more(self, records: int) -> None:
        """So much more is to do."""
        if self.total is not None:
            self.total += records

    def text(self) -> str:
        """``12/40, 27 tokens/s, 1 min left``."""
        seconds = max(1e-3, time.monotonic() - self._start)
        parts = [f"{self._done}/{self.total}" if self.total is not None else f"{self._done}"]
        if self._tokens:
            parts.append(in_tokens_a_second(self._tokens / seconds))
        if self.total and 0 < self._done <= self.total:
            left = duration((self.total - self._done) * seconds / self._done)
            parts.append(translate("{time} left").format(time=left))
        return translate(", ").join(parts)


def beyond(total: int, expect_more: Callable[[int], None]) -> Callable[[int], None]:
    """``expect_more`` for a stage that began with an estimate of ``total`` records and is told of
    every one of them: it hears only of those beyond.
    """
    told = 0

    def tell(records: int) -> None:
        nonlocal told
        told += records
        if told > total:
            expect_more(min(records, told - total))

    return tell


def duration(seconds: float) -> str:
    """``45 s``, ``2 min 5 s``, ``3 h 10 min``."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if whole < 60:
        return translate("{seconds} s").format(seconds=whole)
    if whole < 3600:
        return translate("{minutes} min {seconds} s").format(minutes=minutes, seconds=whole % 60)
    return translate("{hours} h {minutes} min").format(hours=hours, minutes=minutes % 60)


def in_tokens_a_second(speed: float) -> str:
    """``27 tokens/s``."""
    return translate("{speed} tokens/s").format(speed=f"{speed:.0f}")


def about(seconds: float) -> str:
    """``, about 2 min 5 s``: the end of an estimate; empty where nothing is known."""
    return translate(", about {time}").format(time=duration(seconds)) if seconds else ""


def to_send(sent: int, cached: int) -> str:
    """How many requests of a stage are sent and how many are not, in words."""
    return translate("{requests} to send, {cached} from the cache").format(
        requests=counts.requests(sent), cached=cached
    )
