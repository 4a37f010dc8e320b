"""The section of a recipe that names benchmarks which training must not see."""

from typing import Literal

from pydantic import Field

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
    threshold: float = Field(
        0.65, gt=0, le=1, description="Share of an item's own n-grams in one text that is a leak."
    )
    action: Literal["drop", "stop", "report"] = Field(
        "drop", description="What leaks falls, or stops the run, or is only listed."
    )
