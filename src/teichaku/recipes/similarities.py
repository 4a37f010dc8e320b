"""What the duplicate filters of a run found by comparing, kept beside its stages.

The folder of a stage is emptied when the stage is made anew. What is kept here outlives that: where
an arm is curated again, with the same examples and another threshold, who falls is read from it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from teichaku.core.locale import translate
from teichaku.core.records import Dropped, Example, content_id
from teichaku.core.run_folder import RunFolder, fingerprint
from teichaku.curation.chain import Filter
from teichaku.curation.near_duplicates import NearDuplicates
from teichaku.curation.semantic_filter import SemanticDuplicates
from teichaku.curation.similarities import (
    DuplicateFilter,
    Fallen,
    Similarities,
    fall_at,
    grid,
)
from teichaku.curation.survivors import SimilarPair
from teichaku.recipes.embedder_identity import embedder_identity
from teichaku.recipes.filter_schema import Filter as Section
from teichaku.recipes.study import Study

FOLDER = "similarities"
#: Raised when the same examples are compared in another way, so that old ones are not read.
_VERSION = 2
#: The thresholds of filters: what can be moved.
_MOVABLE = {"threshold", "thresholds", "share"}
_COMPARING = (NearDuplicates, SemanticDuplicates)


@dataclass(frozen=True, slots=True)
class Place:
    """An example's place in the order of a level; the rows of the file are in that order."""

    example_id: str
    level: str


@dataclass(frozen=True, slots=True)
class Closest:
    """How alike a row of a level is to the one before it that is most like it."""

    level: str
    cosine: float


@dataclass(frozen=True)
class Kept:
    """The similarities of one filter of an arm, as the run keeps them."""

    run: RunFolder
    arm: str
    name: str

    @property
    def _about(self) -> str:
        return f"{FOLDER}/{self.arm}/{self.name}.json"

    def write(self, made_from: str, found: Similarities) -> None:
        """Put ``found`` in the place of what was kept."""
        folder = self.run.stage(f"{FOLDER}/{self.arm}")
        # What says of what they are goes first and comes last.
        (self.run.path / self._about).unlink(missing_ok=True)
        rows = {
            "pairs": folder.write(f"{self.name}.pairs", SimilarPair, found.pairs),
            "order": folder.write(f"{self.name}.order", Place, _places(found)),
            "closest": folder.write(f"{self.name}.closest", Closest, _closest(found)),
        }
        about = {
            "version": _VERSION,
            "fingerprint": made_from,
            "floors": found.floors,
            "compared": found.compared,
            "bounded_at": found.bounded_at,
            "capped": found.capped,
            "rows": rows,
        }
        self.run.write_json(self._about, about)

    def read(self, made_from: str | None = None) -> Similarities | None:
        """What is kept; None where there is nothing, nothing whole, or it was made from something
        else than ``made_from``.
        """
        if not (self.run.path / self._about).is_file():
            return None
        about = self.run.read_json(self._about)
        if about.get("version") != _VERSION or made_from not in (None, about["fingerprint"]):
            return None
        folder = self.run.stage(f"{FOLDER}/{self.arm}")
        try:
            pairs = list(folder.read(f"{self.name}.pairs", SimilarPair))
            places = list(folder.read(f"{self.name}.order", Place))
            cosines = list(folder.read(f"{self.name}.closest", Closest))
        except (OSError, pa.ArrowException):
            return None
        found = {"pairs": len(pairs), "order": len(places), "closest": len(cosines)}
        if found != about["rows"]:
            return None
        order: dict[str, list[str]] = {}
        for place in places:
            order.setdefault(place.level, []).append(place.example_id)
        closest: dict[str, list[float]] = {}
        for one in cosines:
            closest.setdefault(one.level, []).append(one.cosine)
        told = (about[name] for name in ("bounded_at", "capped"))
        return Similarities(pairs, about["floors"], order, about["compared"], closest, *told)


def _places(found: Similarities) -> Iterator[Place]:
    for level, names in found.order.items():
        for name in names:
            yield Place(name, level)


def _closest(found: Similarities) -> Iterator[Closest]:
    for level, cosines in found.closest.items():
        for cosine in cosines:
            yield Closest(level, cosine)


class ArmSimilarities:
    """Reads, and keeps, what the duplicate filters of the arm ``data`` find while it is curated."""

    def __init__(self, study: Study, data: str) -> None:
        self._study = study
        self._data = data
        self._names = iter(names(study.recipe.curation))
        self._told: list[dict[str, Any]] = []

    def kept_of(self, config: Section, apply: Filter) -> Filter:
        """``apply``, the next filter of the recipe, comparing only what it has not compared
        before; filters that compare nothing as they are.
        """
        name = next(self._names)
        if not isinstance(apply, _COMPARING):
            return apply
        comparing: DuplicateFilter = apply

        def filtered(examples: Iterable[Example]) -> Iterator[Example | Dropped]:
            given = list(examples)
            found = self._similarities(name, config, comparing, given)
            fallen = comparing.fallen(found)
            self._told += curves(name, comparing, found, fallen)
            yield from comparing.placed(given, fallen)

        return filtered

    def notes(self) -> dict[str, Any]:
        """How many fall at which threshold, for ``stage.json``; nothing without such filters."""
        return {"thresholds": self._told} if self._told else {}

    def _similarities(
        self, name: str, config: Section, comparing: DuplicateFilter, examples: list[Example]
    ) -> Similarities:
        study = self._study
        kept = Kept(study.run, self._data, name)
        made_from = _fingerprint(study, config, comparing, examples)
        found = kept.read(made_from)
        if found is not None and comparing.reaches(found):
            told = translate("compared before, by the stored similarities")
            study.progress.say(f"  curation/{self._data}: {name}: {told}")
            return found
        found = comparing.compare(examples)
        kept.write(made_from, found)
        return found


def names(configs: Iterable[Section]) -> list[str]:
    """A name for each filter of a recipe: its own, and with a number from the second on."""
    seen: dict[str, int] = {}
    found = []
    for config in configs:
        number = seen[config.name] = seen.get(config.name, 0) + 1
        found.append(config.name if number == 1 else f"{config.name}-{number}")
    return found


def curves(
    name: str, apply: DuplicateFilter, found: Similarities, fallen: Fallen
) -> list[dict[str, Any]]:
    """For each level that compares something: how many fall at which threshold by it alone."""
    return [
        {
            "filter": name,
            "level": level,
            "compared": found.compared[level],
            "threshold": own,
            "fall": [
                {"threshold": threshold, "count": fall_at(apply, found, level, threshold)}
                for threshold in grid(found.floors[level], own)
            ],
            "approximate": found.bounded_at is not None,
            "capped": found.capped.get(level, 0),
        }
        for level, own in sorted(fallen.thresholds.items())
        if found.compared[level]
    ]


def _fingerprint(
    study: Study, config: Section, comparing: DuplicateFilter, examples: Iterable[Example]
) -> str:
    """What the similarities are made from: all but the thresholds."""
    embeds = {"embedder": embedder_identity(study.recipe.embedder), "seed": study.recipe.seed}
    return fingerprint(
        {
            "settings": config.model_dump(exclude=_MOVABLE),
            **(embeds if config.embeds else {}),
            "examples": sorted(_identity(example, comparing) for example in examples),
        }
    )


def _identity(example: Example, comparing: DuplicateFilter) -> str:
    """Changes with all of an example that is compared, and with its place among the others."""
    return content_id(
        example.id,
        example.document_id,
        example.question,
        example.input,
        example.answer,
        repr(comparing.rank(example)),
    )
