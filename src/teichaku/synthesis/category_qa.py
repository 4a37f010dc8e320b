"""``category_qa``: S1's few-shot questions by category (Ogawa, Kawahara and Aizawa).

One hand-made example a category; each prompt draws one of the example sets with equal
probability, because with all examples the teacher over-picks two of the categories; the
teacher returns the category with the question and the answer.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from teichaku.core.prompts import Prompt
from teichaku.core.records import Example, Passage, Reply, Request, Sampling, content_id
from teichaku.core.replies import last_json_object, text_value
from teichaku.synthesis.document_qa import PAIR_LABELS, labelled_lines
from teichaku.synthesis.method import Subject, UnusableReplyError, ask_about, made

#: What teachers who write no JSON put before each part.
_LABELS = {"category": ("種類", "質問の種類", "カテゴリ", "カテゴリー", "Category"), **PAIR_LABELS}


@dataclass(frozen=True)
class Category:
    """A kind of question, with its hand-made example (passage, question, answer)."""

    name: str
    label: str
    description: str
    answer_length: Literal["short", "long"]
    passage: str
    question: str
    answer: str


@dataclass(frozen=True)
class CategoryQA:
    """``per_passage`` questions a passage, each in a category that the teacher picks.

    ``example_sets`` maps a set's name to the names of its categories, in prompt order.
    """

    prompt: Prompt
    language: str
    categories: Sequence[Category]
    example_sets: Mapping[str, Sequence[str]]
    seed: int = 0
    per_passage: int = 1
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=512)
    name: str = "category_qa"

    def example_set(self, passage: Passage, sample_index: int) -> str:
        """The example set that is drawn for this request: seeded, uniform over the sets."""
        drawn = random.Random(content_id(self.seed, self.name, passage.id, sample_index))
        return drawn.choice(list(self.example_sets))

    def requests(self, passage: Passage) -> Iterator[Request]:
        """One request a sample; examples first and the passage last, for prefix caches."""
        for index in range(self.per_passage):
            drawn = self.example_set(passage, index)
            names = self.example_sets[drawn]
            shown = [self._category(name) for name in names]
            yield ask_about(
                Subject(passage, self, style=drawn), self.prompt, self.sampling, self.seed, index,
                _schema(names),
                categories=shown,
                examples=[
                    {"category": c.name, "passage": c.passage, "question": c.question,
                     "answer": c.answer}
                    for c in shown
                ],
                passage=passage.text, title=passage.title,
            )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example]:
        """One example a reply. Raises :class:`UnusableReplyError` for an unknown category or a
        missing part.
        """
        found = last_json_object(reply.text, tuple(_LABELS)) or labelled_lines(reply, _LABELS)
        if found is None:
            raise UnusableReplyError("no category, question and answer in the reply.")
        category, question, answer = (text_value(found[key]) for key in _LABELS)
        known = {c.name for c in self.categories}
        if category not in known:
            # As the list of the prompt has it, with its label in brackets.
            category = category.replace("（", "(").partition("(")[0].strip()
        if category not in known or not question or not answer:
            raise UnusableReplyError(
                "'{category}' is no category of {known}, or a part is empty.",
                category=category, known=", ".join(sorted(known)),
            )  # fmt: skip
        yield made(reply, self.language, 0, question, answer, category=category)

    def _category(self, name: str) -> Category:
        return next(category for category in self.categories if category.name == name)


def _schema(names: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "category": {"type": "string", "enum": list(names)},
            "question": {"type": "string"},
            "answer": {"type": "string"},
        },
        "required": ["category", "question", "answer"],
    }
