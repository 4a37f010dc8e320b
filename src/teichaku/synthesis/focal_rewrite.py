"""``focal_rewrite``: documents written around one question, and the questions with their answers
(2603.23562, "Synthetic Mixed Training": Focal Rewriting).

First the teacher writes questions about the passage with their answers, which are the QA half
of the mixture; then, for each question, a document from the passage with its focus on that
question, which makes the documents more diverse than rewriting without a question does. The
two halves are mixed one to one by tokens (``mix_by_tokens`` of the curation), and trained
together.

As published: questions first, each document around one question, the mixture of one to one.
Ours differs: the pairs are those of ``document_qa`` (eight a passage, S5); two of their questions
get a document, because a document is several times as long as a pair and the others would be
surplus (``rewritten: null`` writes one for each); the sampling of the documents is ours,
temperature 1.0 and top-p 1, because the summaries of the paper do not give it; tokens are counted
in characters. The paper's 10 % of replayed general text belong to the training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling
from teichaku.synthesis.document_qa import pairs_schema, read_pairs
from teichaku.synthesis.method import Subject, ask_about, made
from teichaku.synthesis.running_text import running_text

#: Fewer words are an answer, no document around it.
FEWEST_WORDS = 30

Item = TypeVar("Item")


@dataclass(frozen=True)
class FocalRewrite:
    """``per_passage`` pairs a passage, ``samples`` times, and ``per_question`` documents for
    ``rewritten`` questions of each sample (None: for every one); ``asking`` is the prompt for the
    pairs, ``rewriting`` that for a document. ``ratio`` is for the mixture, which sees all that was
    made.
    """

    asking: Prompt
    rewriting: Prompt
    language: str
    seed: int = 0
    per_passage: int = 8
    samples: int = 1
    per_question: int = 1
    rewritten: int | None = 2
    ratio: float = 1.0
    asking_sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=1024)
    sampling: Sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=1024)
    name: str = "focal_rewrite"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """One request a sample for pairs."""
        for index in range(self.samples):
            yield ask_about(
                Subject(passage, self, "questions", "qa"),
                self.asking, self.asking_sampling, self.seed, index,
                pairs_schema(self.per_passage),
                passage=passage.text, title=passage.title, count=self.per_passage,
            )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example | Dropped | Request]:
        """Each pair with the requests for its documents, or a document, whose parent is the
        pair. Raises :class:`UnusableReplyError` where there is no pair, or too little text.
        """
        asked: Example | None = reply.request.subject.detail
        if asked is not None:
            document = made(reply, self.language, 0, "", running_text(reply, FEWEST_WORDS))
            yield replace(document, parent_ids=(asked.id,))
            return
        records = list(read_pairs(reply, self.language, self.per_passage))
        yield from records
        pairs = [(at, record) for at, record in enumerate(records) if isinstance(record, Example)]
        for position, pair in _evenly(pairs, self.rewritten):
            yield from self._documents(pair, reply, position)

    def _documents(self, pair: Example, reply: Reply, position: int) -> Iterator[Request]:
        passage: Passage = reply.request.subject.unit
        first = (reply.request.sample_index * self.per_passage + position) * self.per_question
        for index in range(first, first + self.per_question):
            yield ask_about(
                Subject(passage, self, "document", "document", detail=pair),
                self.rewriting, self.sampling, self.seed, index,
                passage=passage.text, title=passage.title, question=pair.question,
            )  # fmt: skip


def _evenly(items: Sequence[Item], count: int | None) -> list[Item]:
    """``count`` of ``items``, from all over them; all where there are no more."""
    if count is None or count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
