"""``reverse``: each fact told and asked from its other end.

A model that learns "A is B" does not learn "B is A" (the reversal curse, Berglund et al. 2023,
arXiv 2309.12288), and finds a subject by its attribute in next to no case unless the training
text has the attribute before the subject ("Physics of Language Models 3.2", Allen-Zhu and Li
2023, arXiv 2309.14402, on inverse search). So a fact "X's Y is Z" becomes a statement that
begins with Z and leads to X, and a question that gives Z and asks for X.

Golovneva et al. 2024 (arXiv 2403.13799) reverse the words of the training text mechanically; ours
has the teacher write the other direction as natural sentences, and checks them: the subject and
the value stand in the fact, the question names the value and not the subject, the statement has
the value before the subject. What fails is dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from teichaku.core.prompts import Prompt
from teichaku.core.records import Fact, Passage, Reply, Request, Sampling
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.support import support
from teichaku.core.text import comparable, contains
from teichaku.synthesis.document_qa import labelled_lines
from teichaku.synthesis.fact_listing import LEAST_SUPPORT, FactListing, of_its_fact
from teichaku.synthesis.method import (
    Made,
    Subject,
    UnusableReplyError,
    ask_about,
    incomplete,
    made,
)

_PARTS = ("subject", "value", "statement", "question")
#: The names of the parts, and what teachers who write no JSON may call them.
_LABELS = {
    "subject": ("subject", "名前"),
    "value": ("value", "値"),
    "statement": ("statement", "文"),
    "question": ("question", "質問"),
}
_SCHEMA = {
    "type": "object",
    "properties": {part: {"type": "string"} for part in _PARTS},
    "required": list(_PARTS),
}


@dataclass(frozen=True)
class Reverse:
    """One request a fact and sample; each gives a statement and a pair."""

    listing: FactListing
    prompt: Prompt
    language: str
    seed: int = 0
    samples: int = 1
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=512)
    name: str = "reverse"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """The request for the facts; all others follow from its reply."""
        yield self.listing.request(passage, self._from_facts)

    def _from_facts(self, passage: Passage, facts: tuple[Fact, ...]) -> Iterator[Request]:
        for fact in facts:
            for index in range(self.samples):
                yield ask_about(
                    Subject(passage, self, "reverse", facts=(fact,)), self.prompt, self.sampling,
                    self.seed, index, _SCHEMA, fact=fact.statement, title=passage.title,
                )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Made]:
        """The statement and the pair, or what is wrong with them; both are dropped where the
        fact has no two ends. Raises :class:`UnusableReplyError` where a part is missing.
        """
        subject: Subject = reply.request.subject
        (fact,) = subject.facts
        found = last_json_object(reply.text, _PARTS) or labelled_lines(reply, _LABELS)
        if found is None:
            raise UnusableReplyError("no JSON object with {parts}.", parts=", ".join(_PARTS))
        name, value, statement, question = (text_value(found[part]) for part in _PARTS)
        fault = _end_fault(name, value, fact.statement)
        for position, (style, text) in enumerate(
            (("statement", statement), ("question", question))
        ):
            check = _statement_fault if style == "statement" else _question_fault
            reason, evidence = fault if fault[0] else check(text, name, value, fact.statement)
            if reason:
                about = f"{evidence} ('{fact.statement}')"
                yield incomplete(reply, position, reason, about, reply.text)
                continue
            pair = ("", statement) if style == "statement" else (question, name)
            yield of_its_fact(made(reply, self.language, position, *pair, style=style))


def _end_fault(name: str, value: str, fact: str) -> tuple[str, str]:
    """What is wrong with the two ends of a fact: reason and evidence."""
    if not comparable(name) or not comparable(value):
        return "not_reversible", "the fact has no subject or no value"
    if not contains(fact, name):
        return "answer_not_in_fact", f"'{name}' is not in the fact"
    if not contains(fact, value):
        return "value_not_in_fact", f"'{value}' is not in the fact"
    if contains(name, value) or contains(value, name):
        return "not_reversible", f"'{name}' and '{value}' are one end"
    return "", ""


def _statement_fault(statement: str, name: str, value: str, fact: str) -> tuple[str, str]:
    whole, first, last = comparable(statement), comparable(value), comparable(name)
    if not contains(statement, value) or not contains(statement, name):
        return "end_not_in_statement", f"'{statement}' lacks '{value}' or '{name}'"
    if whole.find(first) > whole.find(last):
        return "statement_not_reversed", f"'{name}' comes first in '{statement}'"
    found = support(statement, fact)
    if found.missing_numbers or found.share < LEAST_SUPPORT:
        return "statement_not_supported", f"'{statement}' says more than the fact"
    return "", ""


def _question_fault(question: str, name: str, value: str, fact: str) -> tuple[str, str]:
    if not contains(question, value):
        return "value_not_in_question", f"'{question}' does not give '{value}'"
    if contains(question, name):
        return "answer_in_question", f"'{question}' gives '{name}'"
    if support(question, fact).missing_numbers:
        return "question_not_supported", f"'{question}' has a number that the fact has not"
    return "", ""
