"""Filling gaps: asking again for the facts that too few examples state, and for no others.

Even coverage is what fact-scaled generation is about (Mecklenburg et al., arXiv 2404.00213): a
fact that the data never states cannot be learnt. Going on until each fact has so many statements
is ours.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from teichaku.core.records import Example, Fact, Passage, Reply, Request
from teichaku.synthesis.facts import Facts
from teichaku.synthesis.method import Made

#: Questions that are there already and shown to the teacher, so that it writes others.
_SHOWN = 10


@dataclass(frozen=True)
class Gaps:
    """One round of filling: a method, to be run over the passages of the run as any other.

    ``lacking`` has, by passage id, the facts below the goal with the number of statements that
    they lack; empty where nothing is lacking any more. ``asked`` are the questions that there
    are, by fact id.
    """

    method: Facts
    lacking: Mapping[str, tuple[tuple[Fact, int], ...]]
    asked: Mapping[str, tuple[str, ...]]
    goal: int
    round_number: int

    @property
    def name(self) -> str:
        """That of the method by which the gaps are filled."""
        return self.method.name

    def requests(self, passage: Passage) -> Iterator[Request]:
        """What is lacking of this passage, half as texts and half as pairs where the method has
        both, by sample indices that no round before used.
        """
        method = self.method
        wanted = [(fact, *self._split(lack)) for fact, lack in self.lacking.get(passage.id, ())]
        begin = method.texts + (self.round_number - 1) * self.goal
        for position in range(max((texts for _, texts, _ in wanted), default=0)):
            facts = [fact for fact, texts, _ in wanted if texts > position]
            yield method.text_request(passage, facts, begin + position)
        for fact, _, pairs in wanted:
            if pairs:
                asked = self.asked.get(fact.id, ())
                yield method.question_request(passage, fact, pairs, self.round_number, asked)

    def parse(self, reply: Reply) -> Iterator[Made | Request]:
        """As the method by which the gaps are filled."""
        return self.method.parse(reply)

    def _split(self, lack: int) -> tuple[int, int]:
        """Texts and pairs that are asked for in place of ``lack`` statements."""
        if not self.method.qa_per_fact:
            return lack, 0
        texts = lack // 2 if self.method.texts else 0
        return texts, lack - texts


def fill_gaps(
    method: Facts,
    examples: Iterable[Example],
    facts: Iterable[Fact],
    statements_per_fact: int,
    round_number: int = 1,
) -> Gaps:
    """The requests for the ``facts`` that fewer than ``statements_per_fact`` of ``examples``
    state, by their ``fact_ids``.

    ``round_number`` counts from 1. The order of ``examples`` and ``facts`` changes nothing, so a
    run that was stopped asks the same again.
    """
    stated: Counter[str] = Counter()
    asked: dict[str, set[str]] = {}
    for example in examples:
        stated.update(set(example.fact_ids))
        if not example.is_text:
            for fact_id in example.fact_ids:
                asked.setdefault(fact_id, set()).add(example.question)
    unique = {fact.id: fact for fact in facts}
    lacking: dict[str, list[tuple[Fact, int]]] = {}
    for fact in sorted(unique.values(), key=lambda fact: (fact.passage_id, fact.index, fact.id)):
        if stated[fact.id] < statements_per_fact:
            lack = statements_per_fact - stated[fact.id]
            lacking.setdefault(fact.passage_id, []).append((fact, lack))
    return Gaps(
        method,
        {passage: tuple(wanted) for passage, wanted in lacking.items()},
        {fact: tuple(sorted(questions)[:_SHOWN]) for fact, questions in asked.items()},
        statements_per_fact,
        round_number,
    )
