"""The section of a recipe that names benchmarks which training must not see."""

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.recipes.section import Section


class LeakColumns(Section):
    """Which columns (or keys) of the files hold what; empty: known by their usual names."""

    question: str = ""
    answer: str = ""
    choices: str = ""


class Leaks(Section):
    """The check for benchmark items in what is trained on."""

    files: list[str] = Field(
        [], description="Benchmark items: question, answer and choices by row; from the recipe."
    )
    columns: LeakColumns = LeakColumns()
    sets: list[str] = Field(
        [], description="Sets that ship (teichaku benchmarks): all of their items that are asked."
    )
    controls: bool = Field(
        True,
        description="Look for the items of the run's own control sets, also where 'leaks' is not "
        "in the recipe.",
    )
    threshold: float = Field(
        0.65, gt=0, le=1, description="Share of an item's own n-grams in one text that is a leak."
    )
    action: Literal["drop", "stop", "report"] = Field(
        "drop", description="What leaks falls, or stops the run, or is only listed."
    )

    @field_validator("sets")
    @classmethod
    def _known_sets(cls, value: list[str]) -> list[str]:
        if unknown := [name for name in value if name not in shipped()]:
            raise PydanticCustomError(
                "unknown_set",
                "no set that ships is called '{name}' (teichaku benchmarks lists them); name the "
                "file of another one under 'files'",
                {"name": unknown[0]},
            )
        return value
