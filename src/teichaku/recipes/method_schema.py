"""The sections of a recipe that say how examples are made: one class a synthesis method."""

from typing import Annotated, Literal

from pydantic import Field

from teichaku.recipes.section import Section


class Generation(Section):
    """How the teacher chooses its words."""

    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.9, gt=0, le=1)
    max_tokens: int = Field(1024, ge=16)


class ShortGeneration(Generation):
    """How the teacher chooses its words where one short pair is asked for."""

    max_tokens: int = Field(512, ge=16)


class DocumentQA(Section):
    """S5: so many question-answer pairs a passage."""

    method: Literal["document_qa"]
    per_passage: int = Field(8, ge=1, description="Pairs in one reply.")
    samples: int = Field(1, ge=1, description="Replies a passage.")
    generation: Generation = Generation()


class CategoryQA(Section):
    """S1: few-shot questions by category."""

    method: Literal["category_qa"]
    per_passage: int = Field(1, ge=1, description="Questions a passage (S1: one).")
    categories: str = Field(
        "academic", description="A built-in set of categories, or a YAML file of your own."
    )
    generation: ShortGeneration = ShortGeneration()


class CategoryExample(Section):
    """The hand-made example of a category."""

    passage: str
    question: str
    answer: str


class CategoryEntry(Section):
    """A kind of question."""

    name: str
    label: str
    description: str
    answer_length: Literal["short", "long"]
    example: CategoryExample


class CategoryFile(Section):
    """A YAML file of question categories."""

    version: int | str = ""
    licence: str = ""
    categories: list[CategoryEntry] = Field(min_length=1)
    example_sets: dict[str, Annotated[list[str], Field(min_length=1)]] = Field({})


Method = Annotated[DocumentQA | CategoryQA, Field(discriminator="method")]

#: The methods that write running text and no pairs.
TEXT_METHODS = frozenset({"verbatim", "paraphrase", "diverse_prompts", "active_reading"})
