from collections.abc import Iterator
from dataclasses import dataclass

from made import passage
from teichaku.backends.scripted import ScriptedModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling
from teichaku.synthesis.method import Made, Subject, ask_about, incomplete, made, synthesize


@dataclass(frozen=True)
class ThreeItems:
    """Two examples, of which one falls, and what falls of facts and entities beside them."""

    name: str = "three_items"

    def requests(self, unit: Passage) -> Iterator[Request]:
        prompt = PromptPack("ja").load("closed_book")
        yield ask_about(Subject(unit, self), prompt, Sampling(), 0, question="定員は？")

    def parse(self, reply: Reply) -> Iterator[Made]:
        yield made(reply, "ja", 0, "定員は？", "48人")
        yield incomplete(reply, 1, "incomplete_pair", "no answer", "")
        for kind in ("Fact", "Entity", "Document"):
            yield Dropped(kind, kind, "synthesis", "refused")


def test_the_tokens_of_a_reply_are_shared_by_the_places_of_examples_alone() -> None:
    records = list(synthesize([passage()], [ThreeItems()], ScriptedModel(lambda _: "四十八人")))
    (example,) = (record for record in records if isinstance(record, Example))
    assert example.completion_tokens == len("四十八人") / 2
    assert len(records) == 5
