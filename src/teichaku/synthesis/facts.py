"""``facts``: the atomic facts of a passage first, then texts and questions written from them.

Two published uses of the same list:

- Texts: S4 writes new texts from the core facts instead of the passage, 1,000 a document.
  Knowledge-Instruct (arXiv 2504.05571, section 3) restates each fact five times, with little
  gain after three; hence five texts a passage, each of which tells every fact. The facts come in
  another order each time, so that each leads in its turn (permuted forms are what makes facts
  retrievable in "Physics of Language Models 3.1").
- Questions: Mecklenburg et al. (arXiv 2404.00213, section 3) ask for k pairs *per fact*, so that
  every fact is covered evenly; scaling by tokens leaves about a fifth of the facts out. k is 1,
  5 or 10 there; 10 is the default here.

Theirs differ from ours in the listing (see :mod:`teichaku.synthesis.fact_listing`), and Knowledge-
Instruct turns restated facts into instructions by fixed templates, which ours does not.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from teichaku.core.prompts import Prompt
from teichaku.core.records import Example, Fact, Passage, Reply, Request, Sampling, content_id
from teichaku.core.run_folder import dropped
from teichaku.core.support import support
from teichaku.synthesis.document_qa import pairs_schema, read_pairs
from teichaku.synthesis.fact_listing import FactListing, of_its_fact
from teichaku.synthesis.method import Made, Subject, ask_about, made
from teichaku.synthesis.running_text import running_text

#: Least share of an answer's content that stands in the fact that it answers.
_FROM_FACT = 0.5


@dataclass(frozen=True)
class Facts:
    """``texts`` texts a passage from all its facts, and ``qa_per_fact`` pairs a fact; either may
    be 0.
    """

    listing: FactListing
    text_prompt: Prompt
    question_prompt: Prompt
    language: str
    seed: int = 0
    texts: int = 5
    qa_per_fact: int = 10
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=1024)
    name: str = "facts"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """The request for the facts; all others follow from its reply."""
        yield self.listing.request(passage, self._from_facts)

    def _from_facts(self, passage: Passage, facts: tuple[Fact, ...]) -> Iterator[Request]:
        for index in range(self.texts):
            yield self.text_request(passage, facts, index)
        if self.qa_per_fact:
            for fact in facts:
                yield self.question_request(passage, fact, self.qa_per_fact)

    def text_request(self, passage: Passage, facts: Sequence[Fact], index: int) -> Request:
        """Ask for the text ``index`` from ``facts``: each leads in its turn, the others follow
        in an order drawn for this text.
        """
        first = index % len(facts)
        others = [*facts[:first], *facts[first + 1 :]]
        random.Random(content_id(self.seed, self.name, passage.id, index)).shuffle(others)
        ordered = (facts[first], *others)
        return ask_about(
            Subject(passage, self, "text", "text", ordered), self.text_prompt, self.sampling,
            self.seed, index, facts=[fact.statement for fact in ordered], title=passage.title,
        )  # fmt: skip

    def question_request(
        self, passage: Passage, fact: Fact, count: int, index: int = 0, avoid: Sequence[str] = ()
    ) -> Request:
        """Ask for ``count`` pairs about ``fact``, other than the questions in ``avoid``."""
        return ask_about(
            Subject(passage, self, "questions", "question", (fact,), count), self.question_prompt,
            self.sampling, self.seed, index, pairs_schema(count),
            fact=fact.statement, title=passage.title, count=count, avoid=list(avoid),
        )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Made]:
        """A text, or one example a pair, each with the facts that it was asked to state. A pair
        whose answer is not in its fact is dropped: it would be counted for a fact that it does
        not state.
        """
        subject: Subject = reply.request.subject
        if subject.step == "text":
            yield made(reply, self.language, 0, "", running_text(reply, at_least=5))
            return
        (fact,) = subject.facts
        for record in read_pairs(reply, self.language, subject.detail):
            if not isinstance(record, Example):
                yield record
                continue
            pair, fault = of_its_fact(record), _fault(record, fact)
            about = f"{subject.source}: {fault}"
            yield dropped(pair, "synthesis", "answer_not_in_fact", about) if fault else pair


def _fault(pair: Example, fact: Fact) -> str:
    """What in the answer is not from the fact; an answer such as "Yes" may have no content."""
    found = support(pair.answer, fact.statement)
    if found.missing_numbers:
        return f"'{pair.answer}' has {', '.join(found.missing_numbers)} ('{fact.statement}')"
    if found.missing_terms and found.share < _FROM_FACT:
        return f"'{pair.answer}' has {', '.join(found.missing_terms[:8])} ('{fact.statement}')"
    return ""
