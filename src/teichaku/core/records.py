"""The dictionary of the project: every record that flows between stages.

Each class here is one row of one Parquet file in a run folder; the columns of the file are
the fields of the class, in order. Identifiers are hashes of content (:func:`content_id`), so
the order in which documents are read changes nothing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

QuestionKind = Literal[
    "trained", "trained_by_some", "held_out", "unseen", "independent", "control", "unanswerable"
]
Condition = Literal["closed_book", "open_book", "retrieval"]
Use = Literal["shown", "cut", "below"]

BASE_CHECKPOINT = "base"

#: The method of examples that people wrote: other methods begin with them.
SEED = "seed"

#: The method of examples that come from data of others, which a recipe mixes in.
MIX = "mix"


def content_id(*parts: str | int) -> str:
    """A 16-digit hexadecimal identifier of ``parts``; order and boundaries count."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the user's, as read from a file or from a row of a table.

    ``source`` is the path as the recipe names it (with ``#row`` for tables) or a URL that the
    file gives; ``licence``, ``date`` and ``attribution`` (whom to name: authors, or words that
    the file asks for) are as the file or the recipe states them, else empty.
    """

    id: str
    source: str
    title: str
    text: str
    licence: str = ""
    date: str = ""
    format: str = ""
    encoding: str = ""
    attribution: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, cut at sentence ends; ``index`` counts from 0 in the document."""

    id: str
    document_id: str
    index: int
    title: str
    text: str
    source: str
    licence: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One atomic statement of a passage, as a whole sentence that names what it is about.

    ``index`` counts from 0 in the passage.
    """

    id: str
    document_id: str
    passage_id: str
    index: int
    statement: str
    language: str = ""
    prompt: str = ""
    teacher: str = ""
    request_key: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One training item, with everything that is needed to trace it back.

    ``question`` is what the student is given and ``answer`` what it learns to write. Running
    text has no question: the student learns to write it from nothing. An instruction may come
    with an ``input`` that it is applied to, and with no document. ``history`` is what was said
    before the question in a conversation: the user's words, the model's, and so on in turns.

    ``prompt`` is ``language/name@version`` of the prompt that produced it, ``teacher`` the
    identity of the model, ``licence_class`` what the teacher's terms say about training on its
    output, ``request_key`` its row in the request cache. ``style`` is the variant of the method,
    ``sample_index`` tells apart several samples of the same prompt, ``parent_ids`` are the
    examples that it was made from. ``fact_ids`` are the facts that it states.

    Tokens are those of the reply that it was read from, in equal shares of all that was read
    from that; ``price`` is their price in the currency of the recipe. Requests of the way to it
    (the list of facts, say) are not in them.
    """

    id: str
    document_id: str
    passage_id: str
    method: str
    question: str
    answer: str
    category: str = ""
    style: str = ""
    sample_index: int = 0
    fact_ids: tuple[str, ...] = ()
    language: str = ""
    prompt: str = ""
    teacher: str = ""
    licence_class: str = ""
    request_key: str = ""
    input: str = ""
    parent_ids: tuple[str, ...] = ()
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    price: float = 0.0
    history: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether this is running text, not an answer to something."""
        return not self.question

    @property
    def turn(self) -> str:
        """The question, with the input of an instruction below it."""
        return f"{self.question}\n\n{self.input}" if self.input else self.question

    @property
    def asked(self) -> str:
        """All that is said before the answer: of a conversation what came before it, the question,
        and the input of an instruction below it.
        """
        return "\n\n".join((*self.history, self.turn)) if self.history else self.turn

    @property
    def wording(self) -> str:
        """What makes the example what it is: its question with its input, or the running text."""
        return self.answer if self.is_text else self.asked

    @property
    def whole(self) -> str:
        """All that is said: the question with its input and the answer, or the running text."""
        return self.answer if self.is_text else f"{self.asked}\n{self.answer}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that a stage did not hand on: which, why, and on what evidence.

    ``kind`` is the class name of the record, ``record`` the record as JSON. ``reason`` is a
    short machine-readable word, ``evidence`` is for people. ``raw`` keeps a model's reply
    that could not be used.
    """

    record_id: str
    kind: str
    stage: str
    reason: str
    evidence: str = ""
    record: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class ExampleScore:
    """What a language model, or a formula, makes of an example: one ``score`` by its name.

    ``value`` is null where there is none, and ``error`` says why. ``cut`` counts the tokens that
    were too many for the model, so that the value is that of the rest.
    """

    example_id: str
    score: str
    value: float | None
    error: str = ""
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """One evaluation item.

    ``kind``: ``trained`` asks in the wording of a training example of every arm,
    ``trained_by_some`` in that of one which not every arm has; ``held_out`` asks the same
    fact in a wording that training never shows; ``unseen`` is an example kept out of training
    altogether (S1's evaluation set); ``independent`` was made apart from the examples of every
    arm: it comes from a file of the user's, or was written from the passage for this alone;
    ``control`` is an item of the ``benchmark`` of that name, whose ``document_id`` is what items
    share that stand or fall together (an article, a conversation), else the item itself;
    ``unanswerable`` asks what no passage of the run tells, and has no reference.
    ``example_id`` is the example that it was made from; empty where there is none.
    """

    id: str
    kind: QuestionKind
    document_id: str
    passage_id: str
    example_id: str
    question: str
    reference: str
    category: str = ""
    prompt: str = ""
    request_key: str = ""
    benchmark: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A passage that retrieval found for a question, at a ``rank`` from 1.

    ``score`` is what the ranks go by; ``bm25`` and ``cosine`` are what each search said, with its
    own rank; null where it did not find the passage, or was not asked. ``use`` is ``shown`` where
    the passage stands in the prompt, ``cut`` where it is among those to show and there was no
    room for it, and ``below`` where its rank is too low.
    """

    question_id: str
    passage_id: str
    rank: int
    score: float
    bm25: float | None
    bm25_rank: int | None
    cosine: float | None
    cosine_rank: int | None
    use: Use


@dataclass(frozen=True, slots=True)
class QuestionRequest:
    """What every model of a study is sent for a question under a condition.

    ``messages`` and ``sampling`` are JSON: a list of :class:`Message`, and :class:`Sampling`.
    Models differ in nothing else but the ``max_tokens`` that a further model may have of its own,
    so that identity, messages and sampling make the ``request_key`` of an answer.
    """

    id: str
    question_id: str
    condition: Condition
    prompt: str
    messages: str
    sampling: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's reply to a question under a condition.

    ``arm`` is ``base`` (or ``base:STUDENT`` where there are several) for the untuned model, and
    the name in the recipe for a further model, whose ``checkpoint`` is ``base`` as well; that of
    an arm is ``epoch-N``. A request that failed has ``error`` set and an
    empty ``text``; it is never scored as wrong.
    """

    id: str
    question_id: str
    arm: str
    checkpoint: str
    condition: Condition
    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    request_key: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's mark for an answer with its reason; ``score`` is null where marking failed, and
    ``error`` says why.

    ``protocol`` is the prompt's name with a fingerprint of all that decides the mark.
    """

    id: str
    answer_id: str
    judge: str
    protocol: str
    score: float | None
    explanation: str
    raw: str = ""
    error: str = ""
    request_key: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A judge's verdict on two answers to one question, shown in one order.

    ``winner`` is ``first``, ``second`` or ``tie``; null where there is no verdict, and ``error``
    says why. ``repeat`` tells apart several verdicts on the same order.
    """

    id: str
    question_id: str
    first_answer_id: str
    second_answer_id: str
    judge: str
    protocol: str
    winner: str | None
    explanation: str
    repeat: int = 0
    raw: str = ""
    error: str = ""
    request_key: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One scorer's value for one answer: a share from 0 to 1, or a judge's mark from 1 to 10."""

    answer_id: str
    question_id: str
    arm: str
    checkpoint: str
    condition: Condition
    question_kind: QuestionKind
    category: str
    document_id: str
    scorer: str
    value: float | None


@dataclass(frozen=True, slots=True)
class TrainingLoss:
    """One optimizer step: mean loss over its labelled tokens, and what it saw."""

    step: int
    epoch: int
    learning_rate: float
    loss: float
    labelled_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model chooses its words; ``temperature`` 0 means greedy decoding.

    ``presence_penalty`` is subtracted from the logits of the tokens that the reply already has.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model.

    ``schema`` is a JSON schema that the reply must follow. ``prompt`` names the prompt
    (``language/name@version``). ``subject`` is the record that the request is about: it comes
    back with the reply, never reaches the model, and is no part of the cache key. Neither is
    ``attempt``, which is 1 where the model is asked again because its reply was of no use.

    ``top_log_probabilities`` asks for so many of the likeliest tokens at each of the first places
    of the reply (see :class:`Reply`), where the backend gives them; 20 is the most that servers
    allow.

    ``plain`` hands the text of the messages on as it stands: no template is put around it, and
    nothing is added but the token that every text of the model begins with. Only a model in
    process can do that; see :func:`~teichaku.evaluation.benchmarks.conversations.ask_items`.

    ``several_lines``: the answer may have several. A model without a chat template is then not
    stopped at the first line break after a word, but where it goes on with a question of its own.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    schema: Mapping[str, Any] | None = None
    sample_index: int = 0
    prompt: str = ""
    subject: Any = field(default=None, compare=False)
    attempt: int = field(default=0, compare=False)
    top_log_probabilities: int = 0
    plain: bool = False
    several_lines: bool = False


#: So many tokens of a reply have their log-probabilities kept. A score that opens a JSON object
#: comes within a dozen of them, also behind a code fence and with every space a token of its own;
#: those of a whole reply would make it fifty times as long in the request cache.
TOKENS_WITH_LOG_PROBABILITIES = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``error`` is set, and ``text`` empty, where the request failed for good.
    ``final``: the same request of the same model will always fail so, because its prompt does not
    fit or the model takes no such request. Other failures may pass by the next run.

    ``key`` is the row in the request cache; ``cached`` tells that nothing was sent for it.

    ``log_probabilities`` has a mapping for each of the first tokens that the model wrote, 16 at
    most: the token that it chose first, then others that it might have written there, each with
    its natural log-probability. Put together, the first ones are what the model wrote, thinking
    included. Empty where it was not asked for or is not given.
    """

    request: Request
    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    key: str = ""
    cached: bool = False
    log_probabilities: tuple[Mapping[str, float], ...] = ()
    final: bool = False


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """Token ids of prompt and answer; the first ``prompt_length`` tokens carry no label."""

    id: str
    tokens: tuple[int, ...]
    prompt_length: int
    cut: int = 0

    @property
    def labelled(self) -> int:
        """The number of tokens that carry a label."""
        return len(self.tokens) - self.prompt_length
