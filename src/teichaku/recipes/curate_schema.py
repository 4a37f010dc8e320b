"""The file that says how ``teichaku curate`` curates: filters of a recipe, without a study.

A filter that looks at one row alone is a rule; one that must see all rows has a row in
``FAN_INS``. Those that need passages, seeds or a judge are neither.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from teichaku.curation.d4 import D4Settings
from teichaku.curation.near_duplicates import Rank, first, longest
from teichaku.curation.shard_steps import (
    D4,
    ExactDuplicates,
    NearDuplicates,
    SemanticDuplicates,
)
from teichaku.curation.shards import FanIn
from teichaku.recipes.filter_schema import Filter, NamedFilter
from teichaku.recipes.leaks_schema import Leaks
from teichaku.recipes.section import Section
from teichaku.recipes.select_schema import Control, SelectD4
from teichaku.recipes.shard_files import given_score

#: Filters that look at one row alone, and ask a study for no more than its language.
RULES = frozenset(
    {"language", "question_is_answer", "broken_characters", "model_talk", "markup"}
    | {"length", "repetition", "mixed_languages", "personal_data"}
)


def _rank(config: "Curation", keep: str = "score") -> Rank:
    """By what the best of some duplicates is known: as a section's ``keep`` says."""
    if keep == "first":
        return first
    return given_score if keep == "score" and config.score else longest


#: Steps that see all rows: from their section and the whole file.
FAN_INS: Mapping[str, Callable[[Any, "Curation"], FanIn]] = {
    "duplicates": lambda section, config: ExactDuplicates(_rank(config)),
    "near_duplicates": lambda section, config: NearDuplicates(
        {level: section.thresholds.get(level, section.threshold) for level in section.levels},
        _rank(config, section.keep),
        section.guard,
        # No pair is stored for another threshold.
        floor=1.0,
    ),
    "semantic_duplicates": lambda section, config: SemanticDuplicates(
        section.threshold,
        section.share,
        section.level,
        "score" if section.keep == "longest" else section.keep,
        _rank(config, section.keep),
        section.guard,
        seed=config.seed,
    ),
    "d4": lambda section, config: D4(
        D4Settings(section.share, section.dedup_share, section.drop, section.floor),
        seed=config.seed,
    ),
}
#: Those of them in which one of several rows stays that are alike.
BY_SCORE = frozenset({"duplicates", "near_duplicates", "semantic_duplicates"})
#: Those of them that go by the vectors of the rows.
BY_VECTORS = frozenset({"semantic_duplicates", "d4"})


def _all_or_none(value: Any) -> Any:
    """``controls: true`` means all of them."""
    return (list(get_args(Control)) if value else []) if isinstance(value, bool) else value


class CurateD4(SelectD4):
    """D4 over all rows."""

    controls: Annotated[
        list[Control],
        BeforeValidator(_all_or_none, json_schema_input_type=bool | list[Control]),
    ] = Field(
        [],
        description="Beside it, rows of as many characters: drawn by chance (folder random), the "
        "longest (folder longest); true: both.",
    )


class CurateLeaks(Leaks):
    """Benchmark items that no row may hold; such a row falls."""

    controls: Literal[False] = Field(False, description="Nobody is asked controls here.")
    action: Literal["drop"] = Field("drop", description="What leaks falls.")


def _named(item: Any) -> Any:
    """``curation: [duplicates]`` means ``curation: [{name: duplicates}]``."""
    return {"name": item} if isinstance(item, str) else item


def _without_study(section: Any) -> Any:
    name = section.name
    if name not in RULES and name not in FAN_INS:
        known = ", ".join(sorted({*RULES, *FAN_INS} - {"d4"}))
        raise PydanticCustomError(
            "needs_study",
            "'{name}' needs the passages, the seeds or the judge of a study; without one there "
            "are: {known}",
            {"name": name, "known": known},
        )
    return section


class Curation(Section):
    """What becomes of rows that come from no study."""

    language: str = Field("ja", description="ISO 639-1 code of the rows' language.")
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    curation: list[Annotated[Filter, BeforeValidator(_named), AfterValidator(_without_study)]] = (
        Field([NamedFilter(name="question_is_answer"), NamedFilter(name="duplicates")])
    )
    leaks: CurateLeaks | None = Field(None, description="Check the rows for benchmark items.")
    select: CurateD4 | None = Field(None, description="What of the rows that passed is kept.")
    vectors: str = Field(
        "", description="The column with a vector of each row, for what goes by it."
    )
    score: str = Field(
        "",
        description="The column with a number by which the best of some duplicates is known; "
        "none: the longest stays.",
    )
    shard_rows: int = Field(
        5_000, ge=1, le=1_000_000, description="Rows of one shard: what one task has in memory."
    )

    @field_validator("language")
    @classmethod
    def _language(cls, value: str) -> str:
        from teichaku.recipes.names import language_code

        return language_code(value)

    @model_validator(mode="after")
    def _has_vectors(self) -> "Curation":
        wanting = [name for name, _ in self.steps() if name in BY_VECTORS]
        if wanting and not self.vectors:
            raise PydanticCustomError(
                "vectors",
                "{name} goes by a vector of each row: name their column, vectors: COLUMN",
                {"name": wanting[0]},
            )
        if self.vectors and not wanting:
            raise PydanticCustomError(
                "vectors",
                "no step goes by the vectors in '{column}': leave vectors out, and the column is "
                "carried along like any other",
                {"column": self.vectors},
            )
        return self

    @model_validator(mode="after")
    def _has_scores(self) -> "Curation":
        duplicates = [section for section in self.curation if section.name in BY_SCORE]
        going = [one for one in duplicates if getattr(one, "keep", "score") == "score"]
        stated = [section.name for section in going if "keep" in section.model_fields_set]
        if stated and not self.score:
            raise PydanticCustomError(
                "score",
                "{name}: keep: score goes by a number of each row: name their column, "
                "score: COLUMN, or say keep: longest",
                {"name": stated[0]},
            )
        if self.score and not going:
            raise PydanticCustomError(
                "score",
                "no step goes by the numbers in '{column}': leave score out, and the column is "
                "carried along like any other",
                {"column": self.score},
            )
        return self

    def steps(self) -> list[tuple[str, tuple[Section, ...]]]:
        """Names of the steps and their sections: neighbouring rules are one step, ``rules``."""
        steps: list[tuple[str, tuple[Section, ...]]] = []
        for section in self.curation:
            name = "rules" if section.name in RULES else section.name
            if name == "rules" and steps and steps[-1][0] == "rules":
                steps[-1] = (name, (*steps[-1][1], section))
            else:
                steps.append((name, (section,)))
        behind = (("leaks", self.leaks), ("d4", self.select))
        return [*steps, *((name, (section,)) for name, section in behind if section is not None)]
