"""The section of a recipe's arm that takes examples from data of others, by weights."""

from collections import Counter
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from teichaku.recipes.names import Name, language_code
from teichaku.recipes.section import Section


class MixColumns(Section):
    """Which columns hold what, where their names are not usual ones."""

    question: str = ""
    input: str = ""
    answer: str = ""

    @model_validator(mode="after")
    def _both(self) -> "MixColumns":
        if bool(self.question) != bool(self.answer) or (self.input and not self.question):
            raise PydanticCustomError("columns", "name 'question' and 'answer', or none")
        return self


class MixSource(Section):
    """A file or folder of rows that people or programs wrote before."""

    name: Name = Field(description="What reports call it: the category of its examples.")
    path: str = Field(
        min_length=1,
        description="Rows as chat, ShareGPT, instruction and output, question and answer, or text; "
        "JSONL, Parquet, JSON, CSV, TSV or YAML; relative to the recipe, or from ~.",
    )
    columns: MixColumns = Field(MixColumns(), description="Columns of tables with other names.")
    weight: float | None = Field(
        None, gt=0, description="Its part of the mixture against the others' weights; none: 1."
    )
    licence: str = Field("", description="As its owner states it, for report and data card.")
    attribution: str = Field("", description="Whom to name for it.")
    terms: str = Field("", description="What else its terms ask of those who train on it.")
    language: str | None = Field(None, description="ISO 639-1; none: the recipe's.")
    limit: int | None = Field(None, ge=1, description="Use only so many of its examples.")
    curate: bool = Field(True, description="false: the filters of the recipe let it be.")
    optional: bool = Field(False, description="Go on without it where it is not there.")
    obtain: str = Field("", description="How to get it; told where it is not there.")

    @field_validator("language")
    @classmethod
    def _language(cls, value: str | None) -> str | None:
        return None if value is None else language_code(value)


class Mix(Section):
    """A mixture of sources. Without ``total`` and ``characters`` it is the largest that the
    weights allow, or all there is where no weight is stated.
    """

    sources: list[MixSource] = Field(min_length=1)
    total: int | None = Field(None, ge=1, description="So many examples.")
    characters: int | None = Field(
        None, ge=1, description="So many characters, the same for every student; tokens are not."
    )

    @field_validator("sources")
    @classmethod
    def _each_once(cls, value: list[MixSource]) -> list[MixSource]:
        counts = Counter(source.name for source in value)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise PydanticCustomError(
                "twice", "{names} names two sources; give each a name of its own",
                {"names": ", ".join(twice)},
            )  # fmt: skip
        return value

    @model_validator(mode="after")
    def _one_size(self) -> "Mix":
        if self.total is not None and self.characters is not None:
            raise PydanticCustomError("two_sizes", "say 'total' or 'characters', not both")
        return self


def _listed(value: Any) -> Any:
    return {"sources": value} if isinstance(value, list) else value


#: ``mix: [{...}, {...}]`` means ``mix: {sources: [{...}, {...}]}``.
MixSection = Annotated[Mix, BeforeValidator(_listed, json_schema_input_type=list[MixSource] | Mix)]
