"""The section of a recipe that asks whether its documents are new to the student."""

from collections.abc import Iterator
from datetime import date
from typing import Literal

from pydantic import Field

from teichaku.recipes.section import Section

Method = Literal["probing", "min_k", "min_k_plus_plus", "date"]

#: Methods by the likelihood of a text.
LIKELIHOOD: frozenset[str] = frozenset({"min_k", "min_k_plus_plus"})


class Novelty(Section):
    """How new each passage is to the student, and what becomes of those that are not."""

    method: Method = Field(
        "probing",
        description="By what a passage counts as known: questions that the student is asked, "
        "the likelihood of the text, or its date.",
    )
    action: Literal["report", "drop", "weigh"] = Field(
        "report", description="drop: nothing is made from what is known; weigh: less is kept."
    )
    compare: list[Method] = Field([], description="Methods that are reported beside it.")
    questions: int = Field(4, ge=1, description="Questions a passage, for probing.")
    threshold: float = Field(
        0.8, gt=0, le=1, description="Share of them that the student answers of what it knows."
    )
    share: float | None = Field(
        None, gt=0, lt=1, description="Share of passages, the likeliest, that Min-K% calls known."
    )
    tokens: float = Field(
        0.2, gt=0, le=1, description="Share of a passage's tokens, the least likely, in Min-K%."
    )
    least: float = Field(
        0.25, gt=0, lt=1, description="Share of the examples on what is known that weigh keeps."
    )
    released: date | None = Field(
        None, description="The day of the student's release; what is later it cannot know."
    )

    @property
    def methods(self) -> list[Method]:
        """All that are scored, each once."""
        return list(dict.fromkeys([self.method, *self.compare]))

    def mistakes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What does not fit together, and where."""
        if "date" in self.methods and self.released is None:
            yield (
                ("released",),
                "the date rule goes by the day of the student's release: state it, such as "
                "released: 2024-06-30",
            )
        is_likelihood = self.method in LIKELIHOOD
        if is_likelihood and self.action != "report" and self.share is None:
            yield (
                ("share",),
                f"no score of {self.method} is known from which a text was seen: say which share "
                "of the passages counts as known, such as share: 0.2",
            )
        if self.share is not None and not is_likelihood:
            yield ("share",), f"it is for min_k and min_k_plus_plus, not for {self.method}"
