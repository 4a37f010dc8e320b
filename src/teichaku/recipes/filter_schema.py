"""The sections of a recipe that say how examples are curated: one class a filter with settings."""

from typing import Annotated, Literal

from pydantic import Field

from teichaku.recipes.section import Section


class FilterSection(Section):
    """A filter of the recipe."""

    @property
    def judge_prompt(self) -> str:
        """The prompt by which it asks the judge of an example; empty where it asks nobody."""
        return ""


class Grounded(FilterSection):
    """The passage supports the answer."""

    name: Literal["grounded"]
    threshold: float = Field(0.8, ge=0, le=1, description="Least share of supported content.")
    text_threshold: float = Field(
        0.5, ge=0, le=1, description="The same for running text, which uses words of its own."
    )
    judge: bool = Field(False, description="Ask the judge where containment cannot tell.")

    @property
    def judge_prompt(self) -> str:
        """That of the judge, where it is to be asked."""
        return "grounded_judge" if self.judge else ""


class MagpieScreen(FilterSection):
    """S2: a judge tells quality and difficulty of instructions, with the seeds as measure."""

    name: Literal["magpie_screen"]
    threshold: float = Field(7.0, ge=1, le=10, description="Least score of the judge.")
    references: int = Field(3, ge=0, description="How many of the nearest seeds the judge sees.")
    min_distance: float = Field(
        0.05, ge=0, le=1, description="Nearer than this to a better one, an instruction falls."
    )

    @property
    def judge_prompt(self) -> str:
        """It asks of every example."""
        return "magpie_screen"


class NamedFilter(FilterSection):
    """A filter without settings."""

    name: Literal[
        "self_contained", "duplicates", "language", "question_is_answer", "copied_question"
    ]


Filter = Annotated[Grounded | MagpieScreen | NamedFilter, Field(discriminator="name")]

#: What a recipe that says nothing gets.
DEFAULT_FILTERS: tuple[Filter, ...] = (
    NamedFilter(name="language"),
    NamedFilter(name="question_is_answer"),
    NamedFilter(name="copied_question"),
    NamedFilter(name="self_contained"),
    Grounded(name="grounded"),
    NamedFilter(name="duplicates"),
)
