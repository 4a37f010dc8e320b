"""What every section of a recipe has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe: nothing but what is named here may stand in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
