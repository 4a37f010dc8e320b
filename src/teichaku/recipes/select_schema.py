"""The sections of a recipe that say which of an arm's curated examples are trained on."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from teichaku.recipes.section import Section

Control = Literal["random", "length"]

#: What stands between the name of an arm and that of its control; no name of a recipe has it.
CONTROL_MARK = "+"


class Selecting(Section):
    """A choice of examples. Every one brings its controls, arms of as many characters each."""

    share: float = Field(0.5, gt=0, le=1, description="Share of the examples that is kept.")
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


class SelectPerplexity(Selecting):
    """S4: by perplexity a character under the recipe's language model."""

    method: Literal["perplexity"]
    band: Literal["top", "middle", "bottom"] = Field("middle", description="Which end is kept.")


class SelectDifficulty(Selecting):
    """IFD (Li et al. 2023): pairs whose question helps the model least, below 1."""

    method: Literal["instruction_following_difficulty"]
    form: Literal["loss_ratio", "perplexity_ratio"] = Field(
        "loss_ratio", description="loss_ratio: Cherry; perplexity_ratio: Superfiltering."
    )


class SelectD4(Selecting):
    """S4: D4 (Tirumala et al. 2023): SemDeDup, clusters anew, then by distance to prototypes."""

    method: Literal["d4"]
    dedup_share: float = Field(0.75, gt=0, le=1, description="Kept by SemDeDup, before the rest.")
    drop: Literal["near", "far"] = Field(
        "near", description="Which end falls: near the prototypes (D4), or far from them."
    )
    floor: float = Field(0.0, ge=0, le=1, description="Least share kept of each cluster.")


class SelectFacilityLocation(Selecting):
    """Examples that stand for all others best, by similarity (facility location, greedily)."""

    method: Literal["facility_location"]


class SelectUnlike(Selecting):
    """DEITA's filter (Liu et al. 2024): the longest first, each unlike all that stay."""

    method: Literal["unlike"]
    most: float = Field(0.9, ge=-1, le=1, description="Greatest cosine to one that stays.")


class SelectImportance(Selecting):
    """DSIR (Xie et al. 2023): drawn so that they read like the documents."""

    method: Literal["importance_resampling"]


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
