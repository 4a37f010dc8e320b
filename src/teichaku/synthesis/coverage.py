"""Which facts the examples state: counted by words and numbers, without any model.

An example states a fact where all numbers of the fact stand in its question and answer (48 is
not in 148), and enough of the fact's content terms do. A term weighs by its length, and by how
few of the document's facts have it: what stands in all of them, as the name of what the document
is about does, says nothing about which one is stated. An answer has to add something: a question
about the hull that is answered with another wood does not state what the hull is made of.

How much is enough was chosen on real text. Half of the weight for facts that the example was
not asked to state: that takes 0.4 % of wrong pairs on Japanese questions about board games (and
those are true, only worded otherwise) and 0.2 % on English sentences of one document; it finds
87 % of the right ones, and 53 % of English paraphrases that change nearly every word. At 0.4 it
would find 76 % of those and be wrong thrice as often, which hides gaps where a document has many
examples. A plain share of 0.8 took 3.5 % of the wrong pairs in Japanese and
found 11 % of the paraphrases. For facts that the example was asked for 0.3 is enough: that finds
91 % of the paraphrases at 1.7 % of wrong pairs. So the counts are low rather than high. Two facts
with the same words in other roles ("A sold B to C") are not told apart.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from teichaku.core.records import Example, Fact
from teichaku.core.support import Support, support, terms_of

#: Least share of a fact's weighed content, for facts that the example was asked to state and for
#: all others; the module says how they were chosen.
ASKED_FOR = 0.3
NOT_ASKED_FOR = 0.5

#: A question with so much of a fact states it whatever the answer is ("...? Yes.").
_WHOLLY_ASKED = 0.8

#: Numbers of statements that are shown apart: the least of each group.
_GROUPS = ((0, "0"), (1, "1"), (2, "2-5"), (6, "6-10"), (11, "11+"))


@dataclass(frozen=True)
class CoverageRow:
    """How often the facts are stated by the examples of ``method`` (empty: by all).

    ``facts_by_statements`` has the number of facts with 0, 1, 2-5, 6-10 and 11 or more
    statements, ``statements`` their sum, ``share`` the share of facts with at least one.
    """

    method: str
    examples: int
    statements: int
    facts_by_statements: dict[str, int]
    share: float


@dataclass(frozen=True)
class Coverage:
    """The coverage of ``facts`` facts: by all examples, by each method, and the ids of those
    that none states.
    """

    facts: int
    total: CoverageRow
    methods: tuple[CoverageRow, ...]
    unstated: tuple[str, ...]


def assign_facts(examples: Iterable[Example], facts: Iterable[Fact]) -> Iterator[Example]:
    """``examples`` with the facts of their documents that they state as ``fact_ids``, in the
    order of passages and lists.

    ``facts`` are all facts of those documents, because what is common to them weighs little.
    Those in an example's ``fact_ids`` count as asked for, so a second time changes nothing.
    """
    by_document = _by_document(facts)
    weights = {document: _weights(own) for document, own in by_document.items()}
    for example in examples:
        own = by_document.get(example.document_id, ())
        found = _stated(example, own, weights.get(example.document_id, {}))
        yield replace(example, fact_ids=found)


def coverage_table(examples: Iterable[Example], facts: Iterable[Fact]) -> Coverage:
    """How often ``facts`` are stated, by the ``fact_ids`` of ``examples``; methods by name."""
    known = sorted({fact.id for fact in facts})
    by_method: dict[str, Counter[str]] = {}
    numbers: Counter[str] = Counter()
    for example in examples:
        numbers[example.method] += 1
        by_method.setdefault(example.method, Counter()).update(set(example.fact_ids))
    total: Counter[str] = Counter()
    for counted in by_method.values():
        total.update(counted)
    return Coverage(
        len(known),
        _row("", numbers.total(), known, total),
        tuple(_row(name, numbers[name], known, by_method[name]) for name in sorted(by_method)),
        tuple(fact for fact in known if not total[fact]),
    )


def _row(method: str, examples: int, facts: Sequence[str], counted: Counter[str]) -> CoverageRow:
    groups = {name: 0 for _, name in _GROUPS}
    for fact in facts:
        groups[next(name for least, name in reversed(_GROUPS) if counted[fact] >= least)] += 1
    statements = sum(counted[fact] for fact in facts)
    share = 1 - groups["0"] / len(facts) if facts else 0.0
    return CoverageRow(method, examples, statements, groups, share)


def _stated(
    example: Example, facts: Sequence[Fact], weights: Mapping[str, float]
) -> tuple[str, ...]:
    asked, question = set(example.fact_ids), example.asked
    whole = f"{question}\n{example.answer}"
    found = []
    for fact in facts:
        enough = ASKED_FOR if fact.id in asked else NOT_ASKED_FOR
        carried = support(fact.statement, whole)
        if carried.missing_numbers or _share(carried, weights) < enough:
            continue
        if example.is_text or _answer_adds(fact, question, carried, weights):
            found.append(fact.id)
    return tuple(found)


def _answer_adds(fact: Fact, question: str, whole: Support, weights: Mapping[str, float]) -> bool:
    """Whether the answer states something of the fact, or the question states it all."""
    without = support(fact.statement, question)
    share = _share(without, weights)
    return bool(without.missing_numbers) or share < _share(whole, weights) or share >= _WHOLLY_ASKED


def _share(found: Support, weights: Mapping[str, float]) -> float:
    """Share of the claim's content that stands in the text, by weight; by length alone where no
    term has any weight.
    """
    for weigh in (weights, {}):
        total = sum(weigh.get(term, 1.0) * len(term) for term, _ in found.carried)
        if total:
            carried = (weigh.get(term, 1.0) * length for term, length in found.carried)
            return sum(carried) / total
    return 0.0


def _weights(facts: Sequence[Fact]) -> dict[str, float]:
    """The weight of each term: it falls with the number of facts that have it, to 0 for all."""
    having: Counter[str] = Counter()
    for fact in facts:
        having.update(set(terms_of(fact.statement)))
    return {term: math.log(len(facts) / count) for term, count in having.items()}


def _by_document(facts: Iterable[Fact]) -> dict[str, tuple[Fact, ...]]:
    """The facts of each document, each once, in the order of passages and lists."""
    grouped: dict[str, dict[str, Fact]] = {}
    for fact in facts:
        grouped.setdefault(fact.document_id, {})[fact.id] = fact
    return {
        document: tuple(sorted(own.values(), key=lambda f: (f.passage_id, f.index, f.id)))
        for document, own in grouped.items()
    }
