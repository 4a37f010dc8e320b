"""``active_reading``: the teacher thinks of ways to study a passage, then studies it so (Lin et al.
2025, 2508.09494, "Learning Facts at Scale with Active Reading", section 3).

First it lists study strategies for this very passage: with no ``task``, ways to learn and
remember everything in it (task-agnostic); with one, it imagines what could be asked there
before it lists them (task-specific). Then each strategy is applied to the passage, apart from
all others; what it makes the teacher write is an example.

There is no official code. From the reimplementation 0xLienid/active-reading: temperature 0.7
and top-p 0.9 for the strategies, up to 2,048 tokens for an application, of which fewer than 30
words are too short. Ours differs: a list may have 1,024 tokens rather than 256, because it is
JSON and often Japanese; the number of strategies is asked for; a reply that is too short is
asked for once more, not five times; and no more words are wanted than the passage has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from teichaku.core.prompts import Prompt
from teichaku.core.records import Example, Passage, Reply, Request, Sampling
from teichaku.core.replies import json_objects, list_item, text_value, without_thinking
from teichaku.core.text import comparable
from teichaku.synthesis.method import Subject, UnusableReplyError, ask_about, made
from teichaku.synthesis.running_text import running_text

#: Fewer words are no application of a strategy.
FEWEST_WORDS = 30


@dataclass(frozen=True)
class ActiveReading:
    """``samples`` lists of ``strategies`` strategies a passage, and a text for each strategy.

    ``listing`` asks for the list, with the ``task`` to prepare for where there is one;
    ``applying`` applies one strategy.
    """

    listing: Prompt
    applying: Prompt
    language: str
    seed: int = 0
    task: str = ""
    strategies: int = 5
    samples: int = 1
    listing_sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=1024)
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=2048)
    name: str = "active_reading"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """One request a list of strategies."""
        style = "task_specific" if self.task else "task_agnostic"
        for index in range(self.samples):
            subject = Subject(passage, self, "strategies", style)
            task = {"task": self.task} if self.task else {}
            yield ask_about(
                subject, self.listing, self.listing_sampling, self.seed, index,
                strategies_schema(self.strategies, bool(self.task)),
                passage=passage.text, title=passage.title, count=self.strategies, **task,
            )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example | Request]:
        """One request a strategy, or the text that came of one. Raises
        :class:`UnusableReplyError` where no strategy is found, or too little text.
        """
        if reply.request.subject.step == "strategies":
            yield from self._applications(reply)
        else:
            yield made(reply, self.language, 0, "", running_text(reply, FEWEST_WORDS))

    def _applications(self, reply: Reply) -> Iterator[Request]:
        found = read_strategies(reply.text)[: self.strategies]
        if not found:
            raise UnusableReplyError("no study strategy found in the reply.")
        subject = reply.request.subject
        passage: Passage = subject.unit
        for position, strategy in enumerate(found):
            yield ask_about(
                Subject(passage, self, "application", subject.style, detail=strategy),
                self.applying, self.sampling, self.seed,
                reply.request.sample_index * self.strategies + position,
                passage=passage.text, title=passage.title, strategy=strategy,
            )  # fmt: skip


def strategies_schema(count: int, with_questions: bool) -> dict[str, Any]:
    """The schema of a reply with at most ``count`` strategies, after questions where wanted."""
    strategy = {
        "type": "object",
        "properties": {"strategy": {"type": "string"}},
        "required": ["strategy"],
    }
    listed = {"type": "array", "items": strategy, "minItems": 1, "maxItems": count}
    properties: dict[str, Any] = {"strategies": listed}
    if with_questions:
        questions = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 20}
        properties = {"questions": questions, **properties}
    return {"type": "object", "properties": properties, "required": list(properties)}


def read_strategies(text: str) -> list[str]:
    """The strategies in a reply, each once, in order: by :func:`strategies_schema`, or as the
    items of a list or under headings, as teachers write them without a schema.
    """
    in_json = list(filter(comparable, _listed_in_json(text)))
    found = in_json or _listed_in_lines(without_thinking(text))
    kept: dict[str, str] = {}
    for item in found:
        kept.setdefault(comparable(item), item)
    kept.pop("", None)
    return list(kept.values())


def _listed_in_json(text: str) -> Iterator[str]:
    for found in json_objects(text):
        listed = found.get("strategies")
        for item in listed if isinstance(listed, list) else [found.get("strategy")]:
            parts = item.values() if isinstance(item, dict) else [item]
            yield "\n".join(filter(None, map(text_value, parts)))


def _listed_in_lines(text: str) -> Iterator[str]:
    """The items of the list whose mark comes first; other lines belong to the item above."""
    mark = ""
    item: list[str] = []
    for line in text.split("\n"):
        begun = list_item(line)
        if begun and begun.text and begun.mark == (mark or begun.mark):
            mark = begun.mark
            if item:
                yield "\n".join(item)
            item = [begun.text]
        elif item and line.strip():
            item.append(line.strip())
    if item:
        yield "\n".join(item)
