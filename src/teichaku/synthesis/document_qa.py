"""``document_qa``: n question-answer pairs a passage (S5, DROBE: 8 pairs a document)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling
from teichaku.core.replies import json_objects, text_value
from teichaku.synthesis.method import Subject, UnusableReplyError, ask_about, incomplete, made


@dataclass(frozen=True)
class DocumentQA:
    """Ask once a passage for ``per_passage`` pairs; ``samples`` repeats the asking."""

    prompt: Prompt
    language: str
    seed: int = 0
    per_passage: int = 8
    samples: int = 1
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=1024)
    name: str = "document_qa"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """One request a sample, with the passage last so that servers can share the prefix."""
        for index in range(self.samples):
            yield ask_about(
                Subject(passage, self), self.prompt, self.sampling, self.seed, index,
                pairs_schema(self.per_passage),
                passage=passage.text, title=passage.title, count=self.per_passage,
            )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example | Dropped]:
        """One example a pair; a pair without question or answer is dropped."""
        yield from read_pairs(reply, self.language)


def pairs_schema(count: int) -> dict[str, Any]:
    """The schema of a reply with at most ``count`` question-answer pairs."""
    parts = {"question": {"type": "string"}, "answer": {"type": "string"}}
    pair = {"type": "object", "properties": parts, "required": list(parts)}
    pairs = {"type": "array", "items": pair, "minItems": 1, "maxItems": count}
    return {"type": "object", "properties": {"pairs": pairs}, "required": ["pairs"]}


def read_pairs(reply: Reply, language: str) -> Iterator[Example | Dropped]:
    """The pairs of a reply by :func:`pairs_schema` as examples.

    Raises :class:`UnusableReplyError` where there is none.
    """
    pairs = list(_pairs(reply.text))
    if not pairs:
        raise UnusableReplyError("no question-answer pair found in the reply.")
    for position, pair in enumerate(pairs):
        parts = pair if isinstance(pair, dict) else {}
        question, answer = text_value(parts.get("question")), text_value(parts.get("answer"))
        if question and answer:
            yield made(reply, language, position, question, answer)
        else:
            evidence = "a pair without a question or without an answer."
            yield incomplete(reply, position, "incomplete_pair", evidence, str(pair))


def _pairs(text: str) -> Iterator[Any]:
    """Every pair in the reply, whole or not: inside ``pairs``, or bare where the list was cut
    off.
    """
    for found in json_objects(text):
        listed = found.get("pairs")
        if isinstance(listed, list):
            yield from listed
        elif "question" in found or "answer" in found:
            yield found
