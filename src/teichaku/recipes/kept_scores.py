"""The scores of a selection, kept beside the stages of a run.

The folder of a stage is emptied when the stage is made anew. What is kept here outlives that: where
only the share or the band of a selection changes, or a few examples, the language model is asked
of what it has not seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from teichaku.core.records import Example, ExampleScore, content_id
from teichaku.core.run_folder import RunFolder

FOLDER = "scores"
#: Raised when the same text gets another score, so that old ones are not read.
_VERSION = 1


@dataclass(frozen=True, slots=True)
class KeptScore:
    """The score of a text. ``made_from`` is of the model and the text, whatever the example."""

    made_from: str
    value: float
    cut: int


@dataclass(frozen=True)
class KeptScores:
    """The scores called ``name`` of an arm's examples, by the language model ``identity``."""

    run: RunFolder
    arm: str
    identity: str
    name: str

    def read(self) -> dict[str, ExampleScore]:
        """What is kept, by the content of the examples; nothing where it cannot be read."""
        own = self._key("")
        try:
            rows = list(self.run.stage(f"{FOLDER}/{self.arm}").read(self.name, KeptScore))
        except (OSError, pa.ArrowException):
            return {}
        return {
            row.made_from.removeprefix(own): ExampleScore("", self.name, row.value, "", row.cut)
            for row in rows
            if row.made_from.startswith(own)
        }

    def write(self, examples: Iterable[Example], scores: Iterable[ExampleScore]) -> None:
        """Put the scores of ``examples`` in the place of what was kept, but for those that failed:
        they are asked for again.
        """
        content = {example.id: content_of(example) for example in examples}
        rows = {
            KeptScore(self._key(content[score.example_id]), score.value, score.cut)
            for score in scores
            if score.value is not None
        }
        ordered = sorted(rows, key=lambda row: row.made_from)
        self.run.stage(f"{FOLDER}/{self.arm}").write(self.name, KeptScore, ordered)

    def _key(self, content: str) -> str:
        return f"{content_id(_VERSION, self.identity)}-{content}"


def content_of(example: Example) -> str:
    """Changes with all of an example that a language model reads."""
    return content_id(example.question, example.input, example.answer)
