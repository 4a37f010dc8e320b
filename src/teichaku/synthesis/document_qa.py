"""``document_qa``: n question-answer pairs a passage (S5, DROBE: 8 pairs a document)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling, content_id
from teichaku.core.replies import json_objects, text_value
from teichaku.synthesis.method import request_sampling, unparseable


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
        messages = self.prompt.messages(
            passage=passage.text, title=passage.title, count=self.per_passage
        )
        for index in range(self.samples):
            sampling = request_sampling(self.sampling, self.seed, self.name, passage, index)
            schema = _schema(self.per_passage)
            yield Request(messages, sampling, schema, index, self.prompt.name, passage)

    def parse(self, reply: Reply) -> Iterator[Example | Dropped]:
        """One example a pair; a pair without question or answer is dropped."""
        pairs = list(_pairs(reply.text))
        if not pairs:
            yield unparseable(reply, self.name, "no question-answer pair found in the reply.")
        for position, pair in enumerate(pairs):
            yield self._example(reply, position, pair)

    def _example(self, reply: Reply, position: int, pair: Any) -> Example | Dropped:
        passage: Passage = reply.request.subject
        parts = pair if isinstance(pair, dict) else {}
        question, answer = text_value(parts.get("question")), text_value(parts.get("answer"))
        index = reply.request.sample_index
        identity = content_id(self.name, passage.id, index, position, question, answer)
        if not question or not answer:
            return Dropped(
                identity,
                "Example",
                "synthesis",
                "incomplete_pair",
                f"{passage.source}: a pair without a question or without an answer.",
                raw=str(pair),
            )
        return Example(
            identity,
            passage.document_id,
            passage.id,
            self.name,
            question,
            answer,
            sample_index=index,
            language=self.language,
            prompt=self.prompt.name,
            request_key=reply.key,
        )


def _schema(count: int) -> dict[str, Any]:
    parts = {"question": {"type": "string"}, "answer": {"type": "string"}}
    pair = {"type": "object", "properties": parts, "required": list(parts)}
    pairs = {"type": "array", "items": pair, "minItems": 1, "maxItems": count}
    return {"type": "object", "properties": {"pairs": pairs}, "required": ["pairs"]}


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
