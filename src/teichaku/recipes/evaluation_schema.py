"""The section of a recipe that says how its arms are compared."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from teichaku.evaluation.benchmarks.data_file import PUBLISHED_SAMPLES
from teichaku.recipes.model_schema import EvaluatedModel, FurtherJudge
from teichaku.recipes.names import ArmName
from teichaku.recipes.section import Section

Scorer = Literal["exact", "containment", "character_f1", "llmjp_char_f1", "judge_absolute"]


class JudgeSettings(Section):
    """How much the judge marks."""

    questions: int | None = Field(
        None, ge=0, description="Mark the answers to so many questions; none: to all; 0: to none."
    )
    epochs: bool = Field(False, description="Mark the probes of every epoch too (S1's figure).")
    open_book: bool = Field(False, description="Mark answers with passages beside them too.")
    itself: bool = Field(
        False, description="Let a judge mark the answers of the very model that it is."
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="Longest reply of a judge, thinking included; none: 320 for a mark, 512 for "
        "a verdict on two answers.",
    )
    repeats: int = Field(1, ge=1, description="Marks an answer; their median counts.")
    expected: bool = Field(
        False,
        description="Of sets with criteria take the mean of the judge's own distribution over the "
        "marks; it needs a judge that gives log-probabilities.",
    )
    prompts: str | None = Field(
        None,
        description="A file of yours in the form of FastChat's judge_prompts.jsonl, relative to "
        "the recipe: judges ask by it for marks of benchmarks without criteria, and for pairs.",
    )


def room_of_one(passage_characters: int) -> int:
    """The characters of the longest usual passage with its title: the last one of a document may
    be a quarter longer. Tables and code, which are never cut, may be longer still.
    """
    return passage_characters + passage_characters // 4 + _TITLE_CHARACTERS


_TITLE_CHARACTERS = 200


class Retrieval(Section):
    """What is shown under the condition retrieval: the best passages by characters (BM25) and,
    where the recipe's embedder is a model, by meaning.
    """

    passages: int = Field(2, ge=1, description="Passages with a question, at most.")
    characters: int | None = Field(
        None,
        ge=100,
        description="Room for them together, with their titles; one that is too long is not "
        "shown. None: room for all, as long as documents.passage_characters lets them be.",
    )
    question_prefix: str | None = Field(
        None, description="What the embedder wants before questions; none: its own prefix."
    )

    def room(self, passage_characters: int) -> int:
        """The room as stated, else that of so many passages of such a length."""
        return self.characters or self.passages * room_of_one(passage_characters)


class ControlSet(Section):
    """A benchmark that every model is asked before and after, to see what it forgot."""

    name: str = Field(description="A set that ships (teichaku benchmarks), or one of a folder.")
    items: int | None = Field(
        50, ge=1, description="So many of its items (published: 100 where not said); none: all."
    )
    shots: int | None = Field(None, ge=0, description="Examples before each; none: as usual.")
    max_tokens: int | None = Field(
        None, ge=1, description="Longest answer; none: room for any (published: as there)."
    )
    protocol: Literal["ours", "published"] = Field(
        "ours", description="published: as llm-jp-eval asks and marks, from its first items."
    )
    folder: str | None = Field(
        None, description="A folder of yours in llm-jp-eval's form, relative to the recipe."
    )
    split: Literal["dev", "test", "train", "out_of_domain"] | None = Field(
        None,
        description="Which of its files; none: dev of a folder and as published, else test.",
    )
    category: str | None = Field(
        None,
        pattern=r"\S",
        description="What a set of your own counts to in the means of categories, such as BBH.",
    )
    newer_than: date | None = Field(
        None,
        description="Of masked_sentences, which the teacher makes from the documents: those that "
        "are newer than this day, such as the student's release.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_published(cls, given: Any) -> Any:
        is_published = isinstance(given, dict) and given.get("protocol") == "published"
        return {"items": PUBLISHED_SAMPLES, **given} if is_published else given

    @property
    def key(self) -> str:
        """What tells it from the other sets of a recipe."""
        return f"{self.name}@published" if self.protocol == "published" else self.name


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _without_nulls(value: Any) -> Any:
    """A profile takes an entry out by null."""
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if one is not None}


Control = Annotated[ControlSet, BeforeValidator(_named, json_schema_input_type=str | ControlSet)]

#: What general ability is measured by where a recipe does not say: small, and marked without a
#: judge. Other languages have no such set that may be shipped.
_USUAL_CONTROLS: Mapping[str, tuple[ControlSet, ...]] = {
    "ja": (ControlSet(name="jcommonsenseqa", items=50), ControlSet(name="jnli", items=50)),
}


class Unanswerable(Section):
    """Questions that the documents cannot answer, made by swapping what they are about."""

    per_document: int = Field(2, ge=1, description="Such questions a document, at most.")
    check: bool = Field(False, description="Have the teacher look whether a passage answers one.")
    judge: bool = Field(False, description="Have the judge tell abstentions, beside the rules.")


class Signals(Section):
    """What might tell a model's right answers from its wrong ones."""

    questions: int | None = Field(200, ge=1, description="On so many questions; none: on all.")
    samples: int = Field(
        0, ge=0, description="Answers drawn for each, to see whether they agree; 0: none."
    )


class Pairwise(Section):
    """A judge compares the answers of two arms, in both orders."""

    between: list[tuple[str, str]] = Field(
        min_length=1, description="Pairs of arms or models, such as [[base, own]]."
    )
    controls: list[str] = Field(
        [], description="Compare answers to these controls; none: to the questions of the run."
    )
    questions: int | None = Field(40, ge=1, description="So many questions; none: all.")
    repeats: int = Field(1, ge=1, description="Verdicts on each order.")


class Calibration(Section):
    """Answers whose marks or verdicts are known, which every judge is held against."""

    file: str | None = Field(
        None,
        description="A file of yours, JSON lines: question, answer, mark (1 to 10); or question, "
        "answer_a, answer_b, better (A, B, same).",
    )
    ja_vicuna_qa: str | None = Field(
        None,
        description="A folder with a copy of the Japanese Vicuna QA Benchmark's repository: its "
        "answers, whose verdicts by GPT-4 ship with Teichaku.",
    )
    items: int | None = Field(40, ge=1, description="So many, drawn by chance; none: all.")


class Evaluation(Section):
    """How the arms are compared."""

    conditions: list[Literal["closed_book", "open_book", "retrieval"]] = Field(
        ["closed_book", "open_book", "retrieval"], min_length=1
    )
    retrieval: Retrieval = Retrieval()
    scorers: list[Scorer] = Field(
        ["containment", "exact", "character_f1", "judge_absolute"],
        min_length=1,
        description="The first one decides the verdict; llmjp_char_f1: llm-jp-eval's char_f1.",
    )
    select: Literal["best", "last"] = Field(
        "best", description="Which checkpoint of an arm is evaluated in full: by probe, or last."
    )
    max_tokens: int = Field(
        96, ge=1, description="Longest answer; a further model may have its own max_tokens."
    )
    models: Annotated[
        dict[ArmName, EvaluatedModel],
        BeforeValidator(
            _without_nulls, json_schema_input_type=dict[ArmName, EvaluatedModel | None]
        ),
    ] = Field(
        {}, description="More models that answer the same, as they are: an API, a larger one."
    )
    judge: JudgeSettings = JudgeSettings()
    judges: dict[ArmName, FurtherJudge] = Field(
        {}, description="More judges, who mark the same answers; they are held against each other."
    )
    controls: list[Control] | None = Field(
        None, description="General ability before and after; none: a small set by language."
    )
    unanswerable: Unanswerable | None = Unanswerable()
    signals: Signals | None = Signals()
    pairwise: Pairwise | None = None
    calibration: Calibration | None = None

    def controls_of(self, language: str) -> tuple[ControlSet, ...]:
        """The control sets as stated, else the usual ones of the ``language``."""
        if self.controls is not None:
            return tuple(self.controls)
        return _USUAL_CONTROLS.get(language, ())
