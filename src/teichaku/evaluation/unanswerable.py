"""Questions that the documents of a run cannot answer, to see whether a model says so.

The name of what a question asks about is swapped with that of what another document is about, of
the same kind as far as the texts are alike (after the entity swaps of Longpre et al. 2021,
"Entity-Based Knowledge Conflicts in Question Answering", and the unanswerable questions of
Rajpurkar et al. 2018, "Know What You Don't Know"). The question stays natural, and its answer
stands in the run, but for something else. What another document does tell of its own thing is no
such question: no passage with the new name, and none of its document, may speak of what is asked.
That is looked up in characters, so it knows words and not meaning; a model can look again
(:class:`AnswerableCheck`).
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import (
    Dropped,
    Passage,
    Question,
    Reply,
    Request,
    Sampling,
    content_id,
)
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.run_folder import dropped
from teichaku.core.text import comparable, contains, script, script_shares, title_names
from teichaku.evaluation.bm25 import CharacterIndex
from teichaku.evaluation.retrieval import PassageIndex, indexed_text

STAGE = "unanswerable"

#: A passage speaks of what is asked if it has this share of the pieces that the question and its
#: own passage have in common beyond the name.
SPEAKS = 0.2
#: So many documents that are most like the question's own are tried.
_TRIED = 50
_LEAST_NAME = 2


@dataclass(frozen=True, slots=True)
class Swap:
    """Where an unanswerable question came from: the question ``source_id`` with ``replacement``,
    the name of ``replacement_document_id``, in place of ``name``. ``share`` is how much of what
    is asked the passages with the new name, or of its document, have at most.
    """

    question_id: str
    source_id: str
    name: str
    replacement: str
    replacement_document_id: str
    share: float


class EntitySwaps:
    """Swaps names over the ``passages`` of a run, which must be all of them."""

    def __init__(self, passages: Iterable[Passage], speaks: float = SPEAKS) -> None:
        self._passages = sorted(passages, key=lambda passage: passage.id)
        self._places = {passage.id: place for place, passage in enumerate(self._passages)}
        self._texts = [indexed_text(passage) for passage in self._passages]
        self._index = CharacterIndex(self._texts)
        self._folded = [comparable(text) for text in self._texts]
        self._places_of: dict[str, list[int]] = {}
        for place, passage in enumerate(self._passages):
            self._places_of.setdefault(passage.document_id, []).append(place)
        self._titles = sorted({(p.document_id, p.title) for p in self._passages})
        self._in_titles = CharacterIndex([title for _, title in self._titles])
        self._having: dict[str, list[int]] = {}
        self._order_of: dict[tuple[int, str], npt.NDArray[np.intp]] = {}
        self._speaks = speaks

    def make(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Swap] | Dropped]:
        """One unanswerable question for each of ``questions``, or why there is none:
        ``no_passage`` (it is about none of the run's), ``no_name`` (the question does not name
        what its document is about, or others are called the same), ``not_in_words_of_passage``
        (nothing tells what is asked, so nothing can be looked up), or ``answered_elsewhere``
        (every name that fits would make a question that may be answered).

        Questions of one document one after the other take the least time: which documents are
        like theirs is then looked up once.
        """
        for question in questions:
            yield self._made(question)

    def _made(self, question: Question) -> tuple[Question, Swap] | Dropped:
        place = self._places.get(question.passage_id)
        if place is None:
            return dropped(question, STAGE, "no_passage")
        source = self._passages[place]
        name = self._name_in(question, source)
        if not name:
            return dropped(question, STAGE, "no_name", source.title)
        rest = question.question.replace(name, " ")
        asked = self._spoken(pieces(rest), place)
        if not asked:
            return dropped(question, STAGE, "not_in_words_of_passage", rest.strip())
        closest = ""
        for document, replacement in self._candidates(source, name):
            shares = {
                other: len(self._spoken(asked, other)) / len(asked)
                for other in {*self._naming(replacement), *self._places_of[document]}
            }
            most = max(sorted(shares), key=lambda other: shares[other])
            if shares[most] < self._speaks:
                share = round(shares[most], 6)
                return _swapped(question, name, replacement, document, share)
            closest = closest or self._passages[most].id
        return dropped(question, STAGE, "answered_elsewhere", closest or "no other name fits")

    def _name_in(self, question: Question, source: Passage) -> str:
        """The longest name of what ``source`` is about that stands in the question as it is
        written, and that no other document's title has.
        """
        asked = question.question
        known = title_names(source.title)
        names = dict.fromkeys([*known, *(unicodedata.normalize("NFKC", name) for name in known)])
        standing = [n for n in names if len(comparable(n)) >= _LEAST_NAME and n in asked]
        own = (n for n in sorted(standing, key=len, reverse=True) if contains(asked, n))
        return next((n for n in own if not self._names_another(n, source.document_id)), "")

    def _names_another(self, name: str, document: str) -> bool:
        """Whether the title of another document has ``name``."""
        titles = (self._titles[int(place)] for place in self._in_titles.may_contain(name))
        return any(other != document and contains(title, name) for other, title in titles)

    def _candidates(self, source: Passage, name: str) -> Iterator[tuple[str, str]]:
        """Documents with their names in the script of ``name``, those most like ``source``
        first; none whose name the source's own document has.
        """
        own = self._places_of[source.document_id]
        seen = {source.document_id}
        for place in self._nearest(self._places[source.id], name):
            passage = self._passages[int(place)]
            if passage.document_id in seen:
                continue
            seen.add(passage.document_id)
            replacement = _name_like(name, passage.title)
            folded = comparable(replacement)
            if folded and not any(folded in self._folded[i] for i in own):
                yield passage.document_id, replacement
            if len(seen) > _TRIED:
                return

    def _nearest(self, place: int, name: str) -> "npt.NDArray[np.intp]":
        """All places, those most like the passage at ``place`` without ``name`` first; kept until
        another document is asked for, for that is as long as the run.
        """
        if (place, name) not in self._order_of:
            document = self._passages[place].document_id
            if any(self._passages[known].document_id != document for known, _ in self._order_of):
                self._order_of.clear()
            (scores,) = self._index.scores([self._texts[place].replace(name, " ")])
            self._order_of[place, name] = np.argsort(-scores, kind="stable")
        return self._order_of[place, name]

    def _spoken(self, asked: frozenset[str], place: int) -> frozenset[str]:
        """What of the pieces ``asked`` the passage has: they are pieces wherever they stand."""
        text = self._folded[place]
        return frozenset(piece for piece in asked if piece in text)

    def _naming(self, name: str) -> list[int]:
        """The places of the passages that have ``name``."""
        folded = comparable(name)
        if folded not in self._having:
            places = map(int, self._index.may_contain(name))
            self._having[folded] = [place for place in places if folded in self._folded[place]]
        return self._having[folded]


def _name_like(name: str, title: str) -> str:
    """The name in ``title`` that is written in the scripts of ``name``: a part that stands alone
    before the whole; empty where none is.
    """
    names = title_names(title)
    parts = [part for part in names[1:] if len(comparable(part)) >= _LEAST_NAME] or names
    wanted = _main_script(name)
    return next((part for part in parts if _main_script(part) == wanted), "")


def pieces(text: str) -> frozenset[str]:
    """The pieces of ``text`` that may tell what it speaks of: four neighbouring letters of an
    alphabet (of ``designed`` and ``designer`` four), else two characters that are not both
    hiragana, which is mostly grammar.
    """
    letters = comparable(text)
    kinds = [script(letter) for letter in letters]
    found = {
        letters[i : i + 2]
        for i, pair in enumerate(pairwise(kinds))
        if _ALPHABETS.isdisjoint(pair) and set(pair) != {"hiragana"}
    }
    found.update(
        letters[i : i + 4]
        for i in range(len(letters) - 3)
        if _ALPHABETS.issuperset(kinds[i : i + 4])
    )
    return frozenset(found)


#: Scripts of which two letters tell nothing; marks above and below Thai letters are ``thai``, too.
_ALPHABETS = frozenset(
    [
        *("latin", "greek", "cyrillic", "thai", "lao", "khmer", "myanmar"),
        *("arabic", "hebrew", "devanagari", "bengali", "tamil"),
    ]
)

#: What Japanese names are written in, Latin letters aside.
_JAPANESE = frozenset({"han", "hiragana", "katakana"})


def _main_script(name: str) -> str:
    shares = script_shares(name)
    if not _JAPANESE.isdisjoint(shares):
        return "japanese"
    return max(sorted(shares), key=lambda script: shares[script], default="")


def _swapped(
    question: Question, name: str, replacement: str, document: str, share: float
) -> tuple[Question, Swap]:
    made = Question(
        content_id("unanswerable", question.id, replacement),
        "unanswerable",
        question.document_id,
        question.passage_id,
        question.example_id,
        question.question.replace(name, replacement),
        "",
        question.category,
    )
    return made, Swap(made.id, question.id, name, replacement, document, share)


_SCHEMA = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string", "maxLength": 300},
        "answerable": {"type": "boolean"},
    },
    "required": ["explanation", "answerable"],
}


@dataclass(frozen=True)
class AnswerableCheck:
    """Asks a model whether the passages that retrieval finds for a question answer it; ``count``
    of them are shown.
    """

    prompt: Prompt
    index: PassageIndex
    count: int = 3
    sampling: Sampling = Sampling(max_tokens=320)
    again: Prompt | None = None

    def keep(self, questions: Sequence[Question], model: ChatModel) -> Iterator[Question | Dropped]:
        """Those of ``questions`` that no passage answers; what may be answered is dropped as
        ``answerable`` with the model's reason, and so is what the model gave no reply to.
        """
        found: Iterator[Question | Dropped] = ask(
            model, self.requests(questions), self._read, self._lost, self.again
        )
        yield from found

    def requests(self, questions: Sequence[Question]) -> list[Request]:
        """What the model is asked."""
        hits = self.index.search([question.question for question in questions], self.count)
        return [
            Request(
                self.prompt.messages(
                    question=question.question, passages=[hit.passage for hit in found]
                ),
                self.sampling,
                _SCHEMA,
                prompt=self.prompt.name,
                subject=question,
            )
            for question, found in zip(questions, hits, strict=True)
        ]

    def _read(self, reply: Reply) -> Iterator[Question | Dropped | Request]:
        found = last_json_object(reply.text, ("answerable",))
        answerable = found["answerable"] if found else None
        if found is None or not isinstance(answerable, bool):
            raise UnusableReplyError("no true or false for 'answerable' in the reply.")
        question: Question = reply.request.subject
        if answerable:
            reason = text_value(found.get("explanation"))
            yield dropped(question, STAGE, "answerable", reason, reply.text)
        else:
            yield question

    def _lost(self, reply: Reply, reason: str, evidence: str) -> Question | Dropped:
        return dropped(reply.request.subject, STAGE, reason, evidence, reply.text)
