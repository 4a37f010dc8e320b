"""The sections of a recipe that say how examples are curated: one class a filter with settings."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from teichaku.curation.magpie_screen import DIFFICULTIES, Difficulty, Quality
from teichaku.curation.personal_data.labels import KINDS, Kind
from teichaku.recipes.section import Section


class FilterSection(Section):
    """A filter of the recipe."""

    @property
    def judge_prompt(self) -> str:
        """The prompt by which it asks the judge of an example; empty where it asks nobody."""
        return ""

    @property
    def embeds(self) -> bool:
        """Whether what it does depends on the recipe's embedder."""
        return False


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


class Faithful(FilterSection):
    """Every number and every name of an answer or a text is in what it was made from."""

    name: Literal["faithful"]
    threshold: float = Field(
        0.85,
        ge=0.5,
        le=1,
        description="From this likeness on, a sentence is held against the one it comes from.",
    )
    judge: bool = Field(
        False, description="Ask the judge for contradictions and added facts, where letters differ."
    )

    @property
    def judge_prompt(self) -> str:
        """That of the judge, where it is to be asked."""
        return "faithful_judge" if self.judge else ""


class JudgeScreen(FilterSection):
    """A judge scores each example, 1 to 5, with its passage in sight."""

    name: Literal["judge_screen"]
    threshold: float = Field(3.5, ge=1, le=5, description="Least score of the judge.")
    expected: Literal["auto", "never"] = Field(
        "auto",
        description="auto: the score that the judge expects, by the probabilities of all five, "
        "where its backend gives them; never: the one that it writes.",
    )

    @property
    def judge_prompt(self) -> str:
        """It asks of every example that has a passage."""
        return "judge_screen"


class MagpieScreen(FilterSection):
    """S2: a judge tells quality and difficulty of instructions, with the seeds as measure."""

    name: Literal["magpie_screen"]
    difficulties: tuple[Difficulty, ...] = Field(
        DIFFICULTIES, min_length=1, description="What stays: of these difficulties, by the judge."
    )
    qualities: tuple[Quality, ...] = Field(
        ("good", "excellent"), min_length=1, description="And of these qualities."
    )
    threshold: float = Field(7.0, ge=1, le=10, description="Least score of the judge.")
    references: int = Field(3, ge=0, description="How many of the nearest seeds the judge sees.")
    min_distance: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Nearer than this to a better one, an instruction falls, unless their "
        "numbers or names differ.",
    )

    @property
    def judge_prompt(self) -> str:
        """It asks of every example."""
        return "magpie_screen"


def _ordered(band: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= band[0] <= band[1]:
        raise ValueError("a band is [least, most], neither of them negative")
    return band


LengthBand = Annotated[tuple[float, float], AfterValidator(_ordered)]


class Length(FilterSection):
    """Length bands, in full-width characters: kana, kanji and hangul count 1, others `half`."""

    name: Literal["length"]
    question: LengthBand = Field((3.0, 1000.0), description="Least and most of a question.")
    input: LengthBand = Field((0.5, 8000.0), description="The same of an instruction's input.")
    answer: LengthBand = Field((0.5, 4000.0), description="The same of an answer.")
    text: LengthBand = Field((10.0, 8000.0), description="The same of running text.")
    half: float = Field(0.5, gt=0, le=1, description="What a letter of other scripts counts.")


class Repetition(FilterSection):
    """The same sentence, wording or syllable over and over."""

    name: Literal["repetition"]
    sentences: float = Field(
        0.3, ge=0, le=1, description="Most characters in sentences that stood there before."
    )
    ngrams: float = Field(0.6, ge=0, le=1, description="Most characters in repeated wordings.")
    run: int = Field(5, ge=2, description="How often a piece may follow upon itself.")


class MixedLanguages(FilterSection):
    """Sentences of another language in answers and running text."""

    name: Literal["mixed_languages"]
    share: float = Field(0.2, ge=0, le=1, description="Most letters in foreign sentences.")


class PersonalData(FilterSection):
    """Addresses, telephone and other numbers of persons; names where `name` is among the kinds."""

    name: Literal["personal_data"]
    action: Literal["mask", "drop", "report"] = Field(
        "mask", description="Put a label in its place, drop the example, or only write it down."
    )
    kinds: tuple[Kind, ...] = Field(
        tuple(kind for kind in KINDS if kind != "name"),
        min_length=1,
        description="What to look for; `name` needs the extra 'names'.",
    )
    allow: tuple[str, ...] = Field((), description="Values that are no private ones, in quotes.")


Level = Literal["question", "answer", "pair", "text"]
Similarity = Annotated[float, Field(ge=0.5, le=1)]


class NearDuplicates(FilterSection):
    """The same in nearly the same characters, by MinHash, verified; no chains."""

    name: Literal["near_duplicates"]
    threshold: Similarity = Field(
        0.8, description="Least Jaccard similarity of duplicates, by character n-grams."
    )
    thresholds: dict[Level, Similarity] = Field(
        {}, description="Another threshold for some of the levels."
    )
    levels: tuple[Level, ...] = Field(
        ("question", "pair", "text"),
        min_length=1,
        description="What is compared: question or answer (within a document), both, or running "
        "text. Alike at one of them is a duplicate.",
    )
    keep: Literal["score", "longest", "first"] = Field(
        "score",
        description="Who stays: of the best score where judge_screen or magpie_screen stands "
        "before it, else the longest; the longest; the first by id.",
    )
    guard: bool = Field(True, description="Texts with other numbers or names are no duplicates.")

    @model_validator(mode="after")
    def _only_of_levels(self) -> "NearDuplicates":
        if unused := sorted(self.thresholds.keys() - set(self.levels)):
            raise PydanticCustomError(
                "levels", "a threshold for {unused}, which is not in 'levels'",
                {"unused": ", ".join(unused)},
            )  # fmt: skip
        return self


class SemanticDuplicates(FilterSection):
    """The same said in other words, by the recipe's embedder (SemDeDup; no chains)."""

    name: Literal["semantic_duplicates"]
    threshold: float | None = Field(
        None, ge=-1, le=1, description="Least cosine of duplicates, calibrated for the embedder."
    )
    share: float | None = Field(
        None, gt=0, le=1, description="Share that is kept; finds the threshold. One of the two."
    )
    level: Literal["question", "answer", "pair"] = Field(
        "question", description="What is compared; running text is compared as a whole."
    )
    keep: Literal["score", "longest", "hard", "easy", "random"] = Field(
        "score",
        description="Who stays: of the best score where judge_screen or magpie_screen stands "
        "before it, else the longest; the longest; far from its cluster's middle; near it; by "
        "chance.",
    )
    guard: bool = Field(True, description="Texts with other numbers or names are no duplicates.")

    @property
    def embeds(self) -> bool:
        """It compares vectors."""
        return True

    @model_validator(mode="after")
    def _one_measure(self) -> "SemanticDuplicates":
        if (self.threshold is None) == (self.share is None):
            raise PydanticCustomError("measure", "say threshold or share, one of the two")
        return self


class NamedFilter(FilterSection):
    """A filter without settings."""

    name: Literal[
        "self_contained",
        "duplicates",
        "language",
        "question_is_answer",
        "copied_question",
        "broken_characters",
        "model_talk",
        "markup",
    ]


Filter = Annotated[
    Grounded
    | Faithful
    | JudgeScreen
    | MagpieScreen
    | Length
    | Repetition
    | MixedLanguages
    | PersonalData
    | NearDuplicates
    | SemanticDuplicates
    | NamedFilter,
    Field(discriminator="name"),
]

#: What a recipe that says nothing gets.
DEFAULT_FILTERS: tuple[Filter, ...] = (
    NamedFilter(name="language"),
    Length(name="length"),
    NamedFilter(name="broken_characters"),
    Repetition(name="repetition"),
    MixedLanguages(name="mixed_languages"),
    NamedFilter(name="model_talk"),
    NamedFilter(name="question_is_answer"),
    NamedFilter(name="copied_question"),
    NamedFilter(name="self_contained"),
    Grounded(name="grounded"),
    NamedFilter(name="duplicates"),
)
