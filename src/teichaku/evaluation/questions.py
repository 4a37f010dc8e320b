"""Questions are made apart from training examples, and proved to be apart.

``trained`` wording is taken from the examples (``trained_by_some`` where arms learn different
ones and not all have it); ``held_out`` wording asks the same fact in another way that training
never shows; ``unseen`` are examples kept out of training altogether (S1 keeps ten a category);
``independent`` questions come from a file of the user's, or are written for this alone.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    Dropped,
    Example,
    Passage,
    Question,
    QuestionKind,
    Reply,
    Request,
    Sampling,
    content_id,
)
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.run_folder import dropped
from teichaku.core.text import comparable, contains, is_language, question_key
from teichaku.evaluation.wording import WordingIndex, names_in

_SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string"}},
    "required": ["question"],
}


@dataclass(frozen=True)
class HeldOut:
    """The examples after holding some out: ``unseen`` are kept for evaluation, ``training`` is
    the rest, ``dropped`` are siblings that would have taught an unseen fact after all.
    """

    unseen: tuple[Example, ...]
    training: tuple[Example, ...]
    dropped: tuple[Dropped, ...]


def hold_out(examples: Iterable[Example], per_category: int, seed: int) -> HeldOut:
    """Keep ``per_category`` examples of each category out of training (S1), by a seeded draw
    that depends on the examples and not on their order.

    No category gives more than a third of its examples, so that small sets still train.
    An example of the same passage that asks the same, whose answer holds the other's, or that is
    known to state a fact of the other's, states the same fact: it falls.
    """
    by_category: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda example: content_id(seed, example.id)):
        by_category.setdefault(example.category, []).append(example)
    unseen: list[Example] = []
    rest: list[Example] = []
    for members in by_category.values():
        share = min(per_category, len(members) // 3)
        unseen += members[:share]
        rest += members[share:]
    taken: dict[str, list[Example]] = {}
    for example in unseen:
        taken.setdefault(example.passage_id, []).append(example)
    training, fallen = [], []
    for example in rest:
        near = taken.get(example.passage_id, ())
        twin = next((kept for kept in near if _states_the_same(example, kept)), None)
        if twin is None:
            training.append(example)
        else:
            evidence = f"states the fact of the unseen example {twin.id}: {twin.question}"
            fallen.append(dropped(example, "questions", "same_fact_as_unseen", evidence))
    return HeldOut(_by_id(unseen), _by_id(training), tuple(fallen))


def without_unseen_facts(
    texts: Iterable[Example], unseen: Iterable[Example]
) -> tuple[list[Example], list[Dropped]]:
    """``texts`` but for those that were written around an unseen example or state a fact of
    one (known where facts were listed), which fall.
    """
    unseen = list(unseen)
    by_id = {example.id: example for example in unseen}
    by_fact = {fact: example for example in unseen for fact in example.fact_ids}
    kept, fallen = [], []
    for text in texts:
        parents = [by_id[parent] for parent in text.parent_ids if parent in by_id]
        stated = [by_fact[fact] for fact in text.fact_ids if fact in by_fact]
        if parents or stated:
            how = "written around" if parents else "states a fact of"
            twin = (*parents, *stated)[0]
            evidence = f"{how} the unseen example {twin.id}: {twin.question}"
            fallen.append(dropped(text, "questions", "same_fact_as_unseen", evidence))
        else:
            kept.append(text)
    return kept, fallen


def told_in_text(unseen: Iterable[Example], texts: Iterable[Example]) -> list[str]:
    """The ids of the unseen examples whose answer stands in one of the ``texts`` about the same
    document: these may well teach what is asked. A text may be about all of its document,
    whichever passage it was made from.
    """
    by_document: dict[str, list[str]] = {}
    for text in texts:
        by_document.setdefault(text.document_id, []).append(text.answer)
    return [
        example.id
        for example in unseen
        if any(contains(text, example.answer) for text in by_document.get(example.document_id, ()))
    ]


def _states_the_same(example: Example, other: Example) -> bool:
    return (
        question_key(example.question) == question_key(other.question)
        or contains(example.answer, other.answer)
        or contains(other.answer, example.answer)
        or not set(example.fact_ids).isdisjoint(other.fact_ids)
    )


def _by_id(examples: Iterable[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda example: example.id))


def unseen_questions(examples: Iterable[Example]) -> list[Question]:
    """The held-out examples as questions of kind ``unseen``."""
    return [_question("unseen", example) for example in examples]


def trained_questions(
    examples: Iterable[Example],
    per_document: int,
    seed: int,
    common: Container[str] | None = None,
) -> list[Question]:
    """At most ``per_document`` examples of each document as questions in their own wording.

    One question a fact (passage and answer), by a seeded draw independent of the order.
    ``common`` are the ids of the examples that every arm learns; None: all.
    """
    made = (
        _question("trained" if common is None or e.id in common else "trained_by_some", e)
        for e in _one_a_fact(examples, per_document, seed)
    )
    return sorted(made, key=lambda question: question.id)


def independent_questions(
    examples: Iterable[Example],
    per_document: int,
    seed: int,
    training_text: WordingIndex,
    passages: Mapping[str, Passage],
) -> Iterator[Question | Dropped]:
    """At most ``per_document`` of ``examples``, which no arm trains on, as questions; dropped
    those whose wording training shows after all, and those beyond the number.
    """
    examples = list(examples)
    apart = []
    for example in examples:
        leak = training_text.leak(example.question, passages[example.passage_id])
        if leak:
            yield dropped(example, "questions", "wording_seen_in_training", leak)
        else:
            apart.append(example)
    chosen = {example.id for example in _one_a_fact(apart, per_document, seed)}
    for example in apart:
        if example.id in chosen:
            yield _question("independent", example)
        else:
            evidence = f"{per_document} questions a document, one a fact"
            yield dropped(example, "questions", "over_number", evidence)


def _one_a_fact(examples: Iterable[Example], per_document: int, seed: int) -> list[Example]:
    """At most ``per_document`` examples of each document, one a fact, by a seeded draw."""
    by_document: dict[str, list[Example]] = {}
    facts = set()
    for example in sorted(examples, key=lambda example: content_id(seed, example.id)):
        fact = (example.passage_id, comparable(example.answer))
        if fact not in facts:
            facts.add(fact)
            by_document.setdefault(example.document_id, []).append(example)
    return [example for members in by_document.values() for example in members[:per_document]]


def _question(kind: QuestionKind, example: Example) -> Question:
    return Question(
        content_id(kind, example.id, example.question),
        kind,
        example.document_id,
        example.passage_id,
        example.id,
        example.question,
        example.answer,
        example.category,
    )


@dataclass(frozen=True)
class Rewording:
    """Asks a teacher for held-out wording, and asks again, with what to avoid, where the first
    tries come too near to the training text. ``attempts`` bounds the tries a question.
    """

    prompt: Prompt
    language: str
    seed: int = 0
    attempts: int = 3
    sampling: Sampling = Sampling(temperature=0.9, top_p=0.95, max_tokens=160)

    def first_requests(
        self, trained: Sequence[Question], passages: Mapping[str, Passage]
    ) -> list[Request]:
        """What the first try will ask, for an estimate before it."""
        return [self._request(question, passages, (), 0) for question in trained]

    def ask(
        self,
        trained: Sequence[Question],
        passages: Mapping[str, Passage],
        training_text: WordingIndex,
        teacher: ChatModel,
        asking_again: Callable[[int], None] = lambda requests: None,
    ) -> Iterator[Question | Dropped]:
        """For each question of kind ``trained`` one of kind ``held_out``, or its place as
        dropped: with the reason and the last wording that was tried. ``asking_again`` is told
        how many requests each further try adds.
        """
        waiting: dict[str, tuple[str, ...]] = {question.id: () for question in trained}
        by_id = {question.id: question for question in trained}
        for attempt in range(self.attempts):
            last = attempt == self.attempts - 1
            requests = [
                self._request(by_id[name], passages, avoid, attempt)
                for name, avoid in waiting.items()
            ]
            if attempt:
                asking_again(len(requests))
            for reply in teacher.generate(requests):
                asked: Question = reply.request.subject
                passage = passages[asked.passage_id]
                reworded, reason, evidence = self._read(reply, passage, training_text)
                if not reason:
                    del waiting[asked.id]
                    yield reworded
                elif last:
                    yield dropped(asked, "questions", reason, evidence, reply.text)
                elif reason == "wording_seen_in_training":
                    waiting[asked.id] = (*waiting[asked.id], evidence)

    def _request(
        self, question: Question, passages: Mapping[str, Passage], avoid: Sequence[str], n: int
    ) -> Request:
        passage = passages[question.passage_id]
        drawn = int(content_id(self.seed, "held_out", question.id, n), 16) % 2**31
        return Request(
            self.prompt.messages(
                passage=passage.text,
                title=passage.title,
                question=question.question,
                answer=question.reference,
                avoid=list(avoid),
            ),
            replace(self.sampling, seed=drawn),
            _SCHEMA,
            n,
            self.prompt.name,
            question,
        )

    def _read(
        self, reply: Reply, passage: Passage, training_text: WordingIndex
    ) -> tuple[Question, str, str]:
        """The reworded question, with reason and evidence where it cannot be used."""
        asked: Question = reply.request.subject
        found = last_json_object(reply.text, ("question",)) if not reply.error else None
        wording = text_value(found["question"]) if found else ""
        reworded = replace(
            asked,
            id=content_id("held_out", asked.example_id, wording),
            kind="held_out",
            question=wording,
            prompt=self.prompt.name,
            request_key=reply.key,
        )
        if reply.error:
            return reworded, "request_failed", reply.error
        if not wording:
            return reworded, "unparseable_reply", "no question in the reply"
        names = names_in(asked.question, passage)
        if names and not names_in(wording, passage):
            return reworded, "lost_the_name", wording
        if contains(wording, asked.reference):
            return reworded, "answer_in_question", wording
        if not is_language(wording, self.language, passage.title):
            return reworded, "wrong_language", wording
        leak = training_text.leak(wording, passage)
        return reworded, "wording_seen_in_training" if leak else "", leak
