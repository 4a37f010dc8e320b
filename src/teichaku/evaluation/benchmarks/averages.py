"""Means of categories and the average over them (AVR), of a named list of sets and of no other.

llm-jp-eval counts a category without a result as 0, Nejumi leaves it out: both move the average.
Here a missing part is neither: there is no average, and it is said what is missing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from teichaku.core.errors import UserError
from teichaku.evaluation.benchmarks.catalogue import specification


@dataclass(frozen=True)
class AverageList:
    """What an average is of: by category the sets, each with its metric. ``note`` says how the
    list is known.
    """

    name: str
    categories: Mapping[str, Mapping[str, str]]
    note: str = ""

    @property
    def sets(self) -> dict[str, str]:
        """All sets with their metrics."""
        return {name: metric for sets in self.categories.values() for name, metric in sets.items()}


@dataclass(frozen=True)
class Averages:
    """The mean of each category, and the mean of these."""

    version: str
    categories: Mapping[str, float]
    average: float


#: What 1.4.1 has beside the sets of 1.3, by the stars on the Open Japanese LLM Leaderboard's page;
#: it calls MMLU ``mmlu_en``, which is ``mmluen`` in 1.3.
_NEW_IN_1_4 = {
    "QA": {"aio": "llmjp_char_f1"},
    "MC": {"commonsensemoralja": "exact_match", "kuci": "exact_match"},
    "MR": {"mgsm": "exact_match"},
    "CG": {"mbpp": "code_exec"},
    "SUM": {"xlsum_ja": "rouge2"},
}


def average_list(version: str) -> AverageList:
    """The list of sets whose average llm-jp-eval ``version`` prints as AVG or AVR.

    Raises ``UserError`` for versions whose list is not known: their averages cannot be compared.
    """
    categories: dict[str, dict[str, str]] = {}
    for name, row in specification()["datasets"].items():
        if metric := row["avg_metric"]:
            own = "llmjp_char_f1" if metric == "char_f1" else metric
            categories.setdefault(row["category"], {})[name] = own
    if version in ("1.3", "1.3.0", "1.3.1"):
        return AverageList("llm-jp-eval 1.3", categories, "read from its source")
    if version in ("1.4", "1.4.0", "1.4.1"):
        categories["HE"]["mmlu_en"] = categories["HE"].pop("mmluen")
        for category, sets in _NEW_IN_1_4.items():
            categories.setdefault(category, {}).update(sets)
        return AverageList("llm-jp-eval 1.4", categories, "second hand: not read from its source")
    raise UserError(
        f"The list of sets of llm-jp-eval {version} is not known.",
        "Known: 1.3, 1.4. Averages of two versions cannot be compared; name a list of your own.",
    )


@dataclass(frozen=True)
class Lacking:
    """What keeps an average from being: sets of the list that are ``missing``, sets ``beyond`` it,
    and sets that have no value (``empty``). Untrue where nothing does.
    """

    missing: tuple[str, ...]
    beyond: tuple[str, ...]
    empty: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.beyond or self.empty)


def lacking(values: Mapping[str, float | None], of: AverageList) -> Lacking:
    """What keeps ``values`` from having the average of the list."""
    sets = of.sets
    return Lacking(
        tuple(sorted(sets.keys() - values.keys())),
        tuple(sorted(values.keys() - sets.keys())),
        tuple(n for n in sorted(sets.keys() & values.keys()) if _value(values[n]) is None),
    )


def averages(values: Mapping[str, float | None], of: AverageList) -> Averages:
    """The plain mean of the sets of each category, and the plain mean of the categories.

    ``values`` has one value a set of the list. Raises ``UserError`` where it has other sets, or
    where one is null or not a number.
    """
    lacks = lacking(values, of)
    if lacks:
        said = [
            f"{what}: {', '.join(names)}"
            for what, names in (
                ("missing", lacks.missing),
                ("not in it", lacks.beyond),
                ("without a value", lacks.empty),
            )
            if names
        ]
        raise UserError(
            f"There is no average of {of.name} over these sets ({'; '.join(said)}).",
            "Its average is over its own list of sets: give all of them and no other, or average "
            "over a list that you name yourself.",
        )
    means = category_means(values, of)
    present = {name: mean for name, mean in means.items() if mean is not None}
    return Averages(of.name, present, fmean(present.values()))


def category_means(values: Mapping[str, float | None], of: AverageList) -> dict[str, float | None]:
    """The mean of each category of the list; null where one of its sets has no value."""
    means: dict[str, float | None] = {}
    for category, sets in of.categories.items():
        own = [_value(values.get(name)) for name in sets]
        known = [value for value in own if value is not None]
        means[category] = fmean(known) if known and len(known) == len(own) else None
    return means


def _value(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
