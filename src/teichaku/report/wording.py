"""The report's words by language, and how numbers are written out."""

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from teichaku.core.records import BASE_CHECKPOINT

_FOLDER = Path(__file__).parent / "texts"
_FALLBACK = "en"
_MISSING = "–"
_JUDGE = "judge"


class Wording:
    """All words of one language; a language without a folder of its own gets English."""

    def __init__(self, language: str) -> None:
        self.language = language if language in languages() else _FALLBACK
        self._words = load_words(self.language)

    def __call__(self, key: str, **values: Any) -> str:
        """The text at ``key`` (``verdict.learnt``), with its placeholders filled in."""
        found: Any = self._words
        for part in key.split("."):
            found = found[part]
        return str(found).format(**values)

    def label(self, group: str, name: str) -> str:
        """The word for ``name`` in ``group``; a name of the user's own stays as it is. A further
        judge (``judge:NAME``) is named, and explained like the recipe's own.
        """
        own = name.partition(":")[2] if _is_mark(name) else ""
        if own and name not in self._words[group]:
            if group.endswith("_help"):
                return str(self._words[group][_JUDGE])
            return self("judges.named", name=own)
        return str(self._words[group].get(name, name))

    def model(self, arm: str) -> str:
        """An arm for people: untuned models are named as such, with their student where there are
        several.
        """
        name, _, student = arm.partition(":")
        if name != BASE_CHECKPOINT:
            return arm
        return f"{self('series.base')} ({student})" if student else self("series.base")

    def names(self, group: str) -> frozenset[str]:
        """The names that ``group`` has words for."""
        return frozenset(self._words[group])

    def share(self, value: float | None, scorer: str, digits: int = 0) -> str:
        """A score: per cent, or a judge's mark with one decimal."""
        if value is None:
            return _MISSING
        if _is_mark(scorer):
            return f"{value:.{max(digits, 1)}f}"
        return f"{100 * value:.{digits}f}%"

    def told(self, value: float | None, scorer: str) -> str:
        """A score where no label names its scale: per cent, or a mark out of ten."""
        text = self.share(value, scorer)
        is_mark = _is_mark(scorer) and value is not None
        return self("units.of_ten", value=text) if is_mark else text

    def interval(self, found: Any, scorer: str, digits: int = 0) -> str:
        """The bounds of a 95 % interval, without their unit; empty where there are none."""
        low, high = found["low"], found["high"]
        if low is None or high is None:
            return ""
        return f"{self._bare(low, scorer, digits)}–{self._bare(high, scorer, digits)}"

    def change(self, found: Any, scorer: str) -> str:
        """A difference with its sign and unit."""
        if found is None or found["value"] is None:
            return _MISSING
        return self._signed(found["value"], scorer) + self._unit(scorer)

    def distance(self, value: float, scorer: str) -> str:
        """How far two scores are apart, with its unit."""
        bare = f"{value:.1f}" if _is_mark(scorer) else f"{100 * value:.0f}"
        return bare + self._unit(scorer)

    def detectable(self, value: float | None, scorer: str, reach: float | None) -> str:
        """The smallest difference that can be found, with its unit. Scores are at most ``reach``
        apart: a greater one is none.
        """
        if value is None:
            return _MISSING
        if reach is not None and value > reach:
            return self("units.not_detectable", most=self.distance(reach, scorer))
        return self.distance(value, scorer)

    def change_interval(self, found: Any, scorer: str) -> str:
        """The bounds of a difference's interval; empty where there are none."""
        if found is None or found["low"] is None or found["high"] is None:
            return ""
        bounds = (self._signed(found["low"], scorer), self._signed(found["high"], scorer))
        return self("units.from_to", low=bounds[0], high=bounds[1])

    def size(self, found: Any) -> str:
        """How many questions and documents a figure rests on, and how many are missing."""
        text = self(
            "units.size", n=self.count(found["n"]), documents=self.count(found["documents"])
        )
        if not found["failed"]:
            return text
        return (
            f"{text}{self('units.and')}{self('units.missing', failed=self.count(found['failed']))}"
        )

    def count(self, value: Any) -> str:
        """A whole number with separators."""
        return _MISSING if value is None else f"{value:,}"

    def duration(self, seconds: float | None) -> str:
        """Seconds in the unit that people would use."""
        if seconds is None:
            return _MISSING
        if seconds < 60:
            return self("units.seconds", seconds=f"{seconds:.1f}")
        minutes, rest = divmod(round(seconds), 60)
        if minutes < 60:
            return self("units.minutes", minutes=minutes, seconds=rest)
        return self("units.hours", hours=minutes // 60, minutes=minutes % 60)

    def _unit(self, scorer: str) -> str:
        return self("units.marks" if _is_mark(scorer) else "units.points")

    def _bare(self, value: float, scorer: str, digits: int) -> str:
        return self.share(value, scorer, digits).removesuffix("%")

    def _signed(self, value: float, scorer: str) -> str:
        text = f"{value:+.1f}" if _is_mark(scorer) else f"{100 * value:+.0f}"
        is_zero = not any(digit in text for digit in "123456789")
        return text.lstrip("+-") if is_zero else text.replace("-", "−")


def _is_mark(scorer: str) -> bool:
    """Whether a scorer is a judge: the recipe's, or a further one (``judge:NAME``)."""
    return scorer.partition(":")[0] == _JUDGE


@lru_cache
def load_words(language: str) -> dict[str, Any]:
    """The words of a language that has a folder: the groups of all its files, joined."""
    words: dict[str, Any] = {}
    for path in sorted((_FOLDER / language).glob("*.yaml")):
        for group, found in yaml.safe_load(path.read_text("utf-8")).items():
            known = words.setdefault(group, {} if isinstance(found, dict) else found)
            if isinstance(found, dict):
                if twice := known.keys() & found.keys():
                    raise ValueError(f"{path} says again {group}: {', '.join(sorted(twice))}")
                known.update(found)
    return words


def languages() -> list[str]:
    """The languages that the report can be written in."""
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir())


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes: East Asian wide characters take two."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if _is_wide(letter) else 1 for letter in text
    )


def padded(text: str, width: int) -> str:
    """``text`` with spaces after it, up to ``width`` columns of a terminal."""
    return text + " " * (width - columns(text))


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"
