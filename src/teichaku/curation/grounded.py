"""``grounded``: the answer is supported by the passage that it was made from.

First by containment, after normalising numbers and widths: every number of the answer stands
in the passage, and nearly all of its content terms do. What containment cannot settle goes to
a judge, where one is given.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.run_folder import dropped
from teichaku.core.text import comparable, contains, content_terms, kana, numbers, script

_SCHEMA = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "supported": {"type": "boolean"}},
    "required": ["explanation", "supported"],
}


#: Neighbouring characters that make a word, in scripts whose terms are whole phrases.
_PHRASE_PARTS = {"han": 2, "thai": 4}


@dataclass(frozen=True)
class Support:
    """How far a passage carries an answer: ``share`` of the characters of its content terms
    that stand in the passage, and what does not.
    """

    share: float
    missing_numbers: tuple[str, ...]
    missing_terms: tuple[str, ...]


def support(answer: str, passage: str) -> Support:
    """How far ``passage`` carries ``answer``, without any model."""
    if contains(passage, answer):
        return Support(1.0, (), ())
    whole = comparable(passage)
    known = set(numbers(passage))
    missing_numbers = tuple(sorted({n for n in numbers(answer) if n not in known}))
    terms = [term for term in map(comparable, content_terms(answer)) if term]
    carried = {term: _carried(term, whole, not kana(answer)) for term in terms}
    missing = tuple(term for term, length in carried.items() if length < len(term))
    total = sum(map(len, terms))
    share = sum(carried[term] for term in terms) / total if total else 0.0
    return Support(share, missing_numbers, missing)


def _carried(term: str, whole: str, is_phrase: bool) -> int:
    """How many characters of ``term`` the passage carries: all or none, but in scripts where a
    term is a whole phrase (Chinese, Thai) those of its parts.

    A term with digits may carry another unit than the passage does (1800円 for 価格：1800);
    its number is checked apart.
    """
    letters = "".join(character for character in term if not character.isdigit())
    if term in whole or (letters != term and (len(letters) <= 2 or letters in whole)):
        return len(term)
    size = _PHRASE_PARTS.get(script(term[-1]), 0)
    if not is_phrase or not size:
        return 0
    found: set[int] = set()
    for start in range(len(term) - size + 1):
        if term[start : start + size] in whole:
            found.update(range(start, start + size))
    return len(found)


@dataclass(frozen=True)
class Grounded:
    """The filter. ``threshold`` is the least share of supported content of an answer,
    ``text_threshold`` that of running text, which says more in words of its own; without a
    ``judge`` what stays below falls, with one the judge decides. Instructions without a passage
    pass.
    """

    passages: Mapping[str, Passage]
    threshold: float = 0.8
    judge: ChatModel | None = None
    prompt: Prompt | None = None
    text_threshold: float = 0.5

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, or its place as dropped; judged ones come last."""
        doubtful = []
        for example in examples:
            passage = self.passages.get(example.passage_id)
            if passage is None:
                yield example
                continue
            # Running text names its document, which an answer does not.
            whole = f"{passage.title}\n{passage.text}" if example.is_text else passage.text
            found = support(example.answer, whole)
            threshold = self.text_threshold if example.is_text else self.threshold
            if found.share >= threshold and not found.missing_numbers:
                yield example
            elif self.judge is None or found.missing_numbers:
                yield dropped(example, "curation", "not_grounded", _evidence(found))
            else:
                doubtful.append(example)
        if self.judge is not None and self.prompt is not None:
            requests = (self._request(example, self.prompt) for example in doubtful)
            for reply in self.judge.generate(requests):
                yield _judged(reply)

    def _request(self, example: Example, prompt: Prompt) -> Request:
        messages = prompt.messages(
            passage=self.passages[example.passage_id].text,
            question=example.question,
            answer=example.answer,
        )
        return Request(messages, Sampling(max_tokens=256), _SCHEMA, 0, prompt.name, example)


def _judged(reply: Reply) -> Example | Dropped:
    example: Example = reply.request.subject
    if reply.error:
        return dropped(example, "curation", "request_failed", reply.error)
    found = last_json_object(reply.text, ("supported",))
    if found is None or not isinstance(found["supported"], bool):
        return dropped(example, "curation", "judge_failed", "no verdict in the reply", reply.text)
    if found["supported"]:
        return example
    return dropped(
        example, "curation", "not_grounded", text_value(found.get("explanation")), reply.text
    )


def _evidence(found: Support) -> str:
    if found.missing_numbers:
        return f"numbers not in the passage: {', '.join(found.missing_numbers)}"
    missing = ", ".join(found.missing_terms[:8])
    return f"{found.share:.0%} of the answer's content is in the passage; not there: {missing}"
