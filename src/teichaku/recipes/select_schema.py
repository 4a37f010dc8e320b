"""The sections of a recipe that say which of an arm's curated examples are trained on."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from teichaku.recipes.section import Section

Control = Literal["random", "length"]

#: What stands between the name of an arm and that of its control; no name of a recipe has it.
CONTROL_MARK = "+"


class Selecting(Section):
    """A choice of examples. Every one brings its controls, arms of as many characters each."""

    controls: list[Control] = Field(
        ["random", "length"],
        description="Arms of the same size beside it: drawn by chance, and the longest examples.",
    )

    @field_validator("controls")
    @classmethod
    def _each_once(cls, value: list[Control]) -> list[Control]:
        twice = sorted({control for control in value if value.count(control) > 1})
        if twice:
            raise PydanticCustomError("twice", "{names} stands twice", {"names": ", ".join(twice)})
        return value

    @property
    def embeds(self) -> bool:
        """Whether it compares vectors."""
        return isinstance(self, SelectD4 | SelectFacilityLocation | SelectUnlike)


class SelectingUpTo(Selecting):
    """A choice of a share of the examples, or of so many characters."""

    share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the examples that is kept; 0.5 where nothing is said.",
    )
    characters: int | None = Field(
        None,
        ge=1,
        description="In its place: so many characters, from the best example on, each that fits.",
    )

    @model_validator(mode="before")
    @classmethod
    def _half(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        is_said = any(given.get(key) is not None for key in ("share", "characters"))
        return given if is_said else {**given, "share": 0.5}

    @model_validator(mode="after")
    def _one_measure(self) -> "SelectingUpTo":
        if self.share is not None and self.characters is not None:
            raise PydanticCustomError("measure", "say share or characters, one of the two")
        return self


class SelectPerplexity(SelectingUpTo):
    """S4: by perplexity a character under the recipe's language model."""

    method: Literal["perplexity"]
    band: Literal["top", "middle", "bottom"] = Field("middle", description="Which end is kept.")


class SelectDifficulty(SelectingUpTo):
    """IFD (Li et al. 2023): pairs whose question helps the model least, below 1."""

    method: Literal["instruction_following_difficulty"]
    form: Literal["loss_ratio", "perplexity_ratio"] = Field(
        "loss_ratio", description="loss_ratio: Cherry; perplexity_ratio: Superfiltering."
    )


class SelectD4(Selecting):
    """S4: D4 (Tirumala et al. 2023): SemDeDup, clusters anew, then by distance to prototypes."""

    method: Literal["d4"]
    share: float = Field(0.5, gt=0, le=1, description="Share of the examples that is kept.")
    dedup_share: float = Field(0.75, gt=0, le=1, description="Kept by SemDeDup, before the rest.")
    drop: Literal["near", "far"] = Field(
        "near", description="Which end falls: near the prototypes (D4), or far from them."
    )
    floor: float = Field(0.0, ge=0, le=1, description="Least share kept of each cluster.")


class SelectFacilityLocation(SelectingUpTo):
    """Examples that stand for all others best, by similarity (facility location, greedily)."""

    method: Literal["facility_location"]


class SelectUnlike(SelectingUpTo):
    """DEITA's filter (Liu et al. 2024): the best by a judge's score where judge_screen or
    magpie_screen stands among the filters, else the longest; each unlike all that stay.
    """

    method: Literal["unlike"]
    most: float = Field(0.9, ge=-1, le=1, description="Greatest cosine to one that stays.")


class SelectImportance(SelectingUpTo):
    """DSIR (Xie et al. 2023): drawn so that they read like the documents, or like a target."""

    method: Literal["importance_resampling"]
    target: list[str] = Field(
        [],
        description="Files of what they are to read like: documents, or rows as for 'mix'; from "
        "the recipe. None: the documents.",
    )


Select = Annotated[
    SelectPerplexity
    | SelectDifficulty
    | SelectD4
    | SelectFacilityLocation
    | SelectUnlike
    | SelectImportance,
    Field(discriminator="method"),
]


def control_name(arm: str, control: str) -> str:
    """The name of the arm that is the ``control`` of the selection of ``arm``."""
    return f"{arm}{CONTROL_MARK}{control}"
