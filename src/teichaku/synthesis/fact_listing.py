"""The atomic facts of a passage, listed by the teacher: what ``facts`` and ``reverse`` begin with,
and what coverage is counted in.

Mecklenburg et al. 2024 (arXiv 2404.00213, section 3) list the atomic facts of a section; Knowledge-
Instruct (Ovadia et al. 2025, arXiv 2504.05571, section 3) finds entities, then facts of each,
puts each fact so that it stands on its own, and removes doubles. Ours asks once, for facts that
already name what they are about, takes items of several sentences apart, removes doubles by their
comparable form, and drops what the passage does not support. The reply is a numbered list: a list
that is cut off loses its last fact only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    Dropped,
    Example,
    Fact,
    Passage,
    Reply,
    Request,
    Sampling,
    content_id,
)
from teichaku.core.replies import list_items, without_thinking
from teichaku.core.run_folder import dropped
from teichaku.core.support import support
from teichaku.core.text import comparable, contains, is_unspaced, sentences, title_names
from teichaku.synthesis.method import Made, Subject, UnusableReplyError, ask_about

#: How a method goes on from the facts of a passage.
Continuation = Callable[[Passage, tuple[Fact, ...]], Iterator[Request | Made]]

#: Least share of a fact's content that stands in its passage: a whole sentence also has words of
#: its own, so it is less than for an answer; all its numbers must stand there.
LEAST_SUPPORT = 0.5

#: Most letters of an article before a name ("the").
_ARTICLE = 3


@dataclass(frozen=True)
class FactListing:
    """One request a passage, greedy. It is equal whoever asks, so the request cache answers the
    second method that needs it.
    """

    prompt: Prompt
    language: str
    seed: int = 0
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=1024)
    name: str = "fact_listing"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """The request for the facts alone."""
        yield self.request(passage)

    def request(self, passage: Passage, then: Continuation | None = None) -> Request:
        """The request after whose reply ``then`` goes on."""
        return ask_about(
            Subject(passage, self, step="facts", detail=then),
            self.prompt, self.sampling, self.seed, passage=passage.text, title=passage.title,
        )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Made | Request]:
        """The facts, what is dropped of them, and what the method that asked goes on with.

        Raises :class:`UnusableReplyError` where the reply has no list.
        """
        subject: Subject = reply.request.subject
        found = list(self._facts(reply))
        yield from found
        facts = tuple(fact for fact in found if isinstance(fact, Fact))
        if facts and subject.detail is not None:
            yield from subject.detail(subject.unit, facts)

    def _facts(self, reply: Reply) -> Iterator[Fact | Dropped]:
        subject: Subject = reply.request.subject
        passage = subject.unit
        assert isinstance(passage, Passage)
        listed = [one for item in _items(reply) for one in _single_facts(item, passage.title)]
        if not listed:
            raise UnusableReplyError("there is no numbered list of facts in the reply.")
        known: set[str] = set()
        for position, statement in enumerate(listed):
            key = comparable(statement)
            fact = Fact(
                content_id(passage.id, key), passage.document_id, passage.id, len(known), statement,
                self.language, reply.request.prompt, request_key=reply.key,
            )  # fmt: skip
            reason, evidence = _fault(fact, passage, known)
            if reply.finish_reason == "length" and position == len(listed) - 1:
                reason, evidence = "cut_off", "the reply ran into the token limit"
            if reason:
                about = f"{passage.source}: {evidence}"
                lost = dropped(fact, "synthesis", reason, about, statement)
                # A double is not the fact that stays, nor another double of it. The same list
                # that two methods asked for gives the same places.
                yield replace(lost, record_id=content_id(fact.id, position))
            else:
                known.add(key)
                yield fact


def of_its_fact(example: Example) -> Example:
    """``example`` with an identifier that two facts do not share, whatever they are asked."""
    return replace(example, id=content_id(example.id, *example.fact_ids))


def _items(reply: Reply) -> list[str]:
    """The items of the list; what is said before and after it is none."""
    found = list_items(without_thinking(reply.text).splitlines())
    return [item.text for item in found if item and item.mark != "heading" and item.text]


def _single_facts(item: str, title: str) -> list[str]:
    """The sentences of an item, each a fact of its own where it begins with a name of ``title``.

    Another sentence stays with those before it, for alone it may not tell what it is about; as
    does the first that has the name, where none before it has.
    """
    names = title_names(title)
    found: list[str] = []
    is_named = False
    for sentence in sentences(item):
        names_it = any(_begins_with(sentence, name) for name in names)
        if found and not (is_named and names_it):
            found[-1] += sentence
        else:
            found.append(sentence)
        is_named = is_named or names_it
    return [statement.strip() for statement in found]


def _begins_with(sentence: str, name: str) -> bool:
    """Whether ``sentence`` begins with ``name``, which stands alone there, or with an article
    before it, which unspaced scripts do not have.
    """
    # With the letter behind it, which tells whether the name ends there.
    head = sentence[: len(name) + _ARTICLE + 2]
    begun = comparable(head)
    place = begun.find(comparable(name))
    has_article = 0 < place <= _ARTICLE and not is_unspaced(begun[:place])
    return (place == 0 or has_article) and contains(head, name)


def _fault(fact: Fact, passage: Passage, known: set[str]) -> tuple[str, str]:
    """Why the fact cannot be used: reason and evidence, empty where it can."""
    key = comparable(fact.statement)
    if not key:
        return "empty_fact", f"no letter or digit in '{fact.statement}'"
    if key in known:
        return "duplicate_fact", fact.statement
    found = support(fact.statement, f"{passage.title}\n{passage.text}")
    if found.missing_numbers:
        return "fact_not_supported", f"not in the passage: {', '.join(found.missing_numbers)}"
    if found.share < LEAST_SUPPORT:
        return "fact_not_supported", f"not in the passage: {', '.join(found.missing_terms[:8])}"
    return "", ""
