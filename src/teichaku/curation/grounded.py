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
from teichaku.core.text import comparable, content_terms, numbers

_SCHEMA = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "supported": {"type": "boolean"}},
    "required": ["explanation", "supported"],
}


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
    whole = comparable(passage)
    if comparable(answer) and comparable(answer) in whole:
        return Support(1.0, (), ())
    known = set(numbers(passage))
    missing_numbers = tuple(sorted({n for n in numbers(answer) if n not in known}))
    terms = [term for term in map(comparable, content_terms(answer)) if term]
    missing = tuple(dict.fromkeys(term for term in terms if not _contains(whole, term)))
    total = sum(map(len, terms))
    lost = sum(len(term) for term in terms if term in missing)
    return Support(1 - lost / total if total else 0.0, missing_numbers, missing)


def _contains(whole: str, term: str) -> bool:
    """A term with digits may carry another unit than the passage does (1800円 for 価格：1800);
    its number is checked apart.
    """
    letters = "".join(character for character in term if not character.isdigit())
    return term in whole or (letters != term and (len(letters) <= 2 or letters in whole))


@dataclass(frozen=True)
class Grounded:
    """The filter. ``threshold`` is the least share of supported content; without a ``judge``
    what stays below it falls, with one the judge decides.
    """

    passages: Mapping[str, Passage]
    threshold: float = 0.8
    judge: ChatModel | None = None
    prompt: Prompt | None = None

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, or its place as dropped; judged ones come last."""
        doubtful = []
        for example in examples:
            found = support(example.answer, self.passages[example.passage_id].text)
            if found.share >= self.threshold and not found.missing_numbers:
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
        return dropped(example, "curation", "judge_failed", reply.error)
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
