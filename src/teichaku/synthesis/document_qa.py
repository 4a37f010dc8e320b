"""``document_qa``: n question-answer pairs a passage (S5, DROBE: 8 pairs a document)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Passage, Reply, Request, Sampling
from teichaku.core.replies import json_objects, labelled_parts, text_value, without_thinking
from teichaku.synthesis.method import Subject, UnusableReplyError, ask_about, incomplete, made

#: Where a pair begins; at the end of a reply, so much of its beginning as the limit left.
_BEGINNING = re.compile(r'\{\s*(?:"(?:question|answer)"|"?[a-z]*\Z)')
#: What teachers who write no JSON put before a question and its answer.
PAIR_LABELS = {
    "question": ("質問", "問い", "問", "Q", "Ｑ", "Question"),
    "answer": ("答え", "答", "回答", "解答", "A", "Ａ", "Answer"),
}


@dataclass(frozen=True)
class DocumentQA:
    """Ask once a passage for ``per_passage`` pairs; ``samples`` repeats the asking."""

    prompt: Prompt
    language: str
    seed: int = 0
    per_passage: int = 8
    samples: int = 1
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=1024)
    name: str = "document_qa"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """One request a sample, with the passage last so that servers can share the prefix."""
        for index in range(self.samples):
            yield ask_about(
                Subject(passage, self), self.prompt, self.sampling, self.seed, index,
                pairs_schema(self.per_passage),
                passage=passage.text, title=passage.title, count=self.per_passage,
            )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example | Dropped]:
        """One example a pair, or what is wrong with it, as :func:`read_pairs` tells."""
        yield from read_pairs(reply, self.language, self.per_passage)


def pairs_schema(count: int) -> dict[str, Any]:
    """The schema of a reply with at most ``count`` question-answer pairs."""
    parts = {"question": {"type": "string"}, "answer": {"type": "string"}}
    pair = {"type": "object", "properties": parts, "required": list(parts)}
    pairs = {"type": "array", "items": pair, "minItems": 1, "maxItems": count}
    return {"type": "object", "properties": {"pairs": pairs}, "required": ["pairs"]}


def read_pairs(reply: Reply, language: str, count: int) -> Iterator[Example | Dropped]:
    """The pairs of a reply by :func:`pairs_schema`, or of lines of questions and answers, as
    examples.

    What is beyond ``count`` is dropped, as is a pair without question or answer, and one in
    which the reply ran into the token limit. Raises :class:`UnusableReplyError` where there is
    no whole pair.
    """
    pairs, cut = list(_pairs(reply.text)), _cut_pair(reply)
    if not pairs and not cut:
        pairs, cut = _lines(reply)
    if not pairs:
        raise UnusableReplyError("no question-answer pair found in the reply.")
    for position, pair in enumerate(pairs):
        parts = pair if isinstance(pair, dict) else {}
        question, answer = text_value(parts.get("question")), text_value(parts.get("answer"))
        if position >= count:
            evidence = f"pair {position + 1}, and {count} were asked for."
            yield incomplete(reply, position, "over_limit", evidence, str(pair))
        elif not question or not answer:
            evidence = "a pair without a question or without an answer."
            yield incomplete(reply, position, "incomplete_pair", evidence, str(pair))
        else:
            yield made(reply, language, position, question, answer)
    if cut:
        evidence = "the reply ran into the token limit in this pair."
        yield incomplete(reply, len(pairs), "truncated", evidence, cut)


def labelled_lines(reply: Reply, labels: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """The last group of lines in a reply that has all parts; None where there is none, or where
    the reply was cut, for lines do not show where they end.
    """
    if reply.finish_reason == "length":
        return None
    whole = [g for g in labelled_parts(reply.text, labels) if len(g) == len(labels)]
    return whole[-1] if whole else None


def _pairs(text: str) -> Iterator[Any]:
    """Every pair in the reply, whole or not: inside ``pairs``, or bare where the list was cut
    off.
    """
    for found in json_objects(text):
        listed = found.get("pairs")
        if isinstance(listed, list):
            yield from listed
        elif _is_pair(found):
            yield found


def _lines(reply: Reply) -> tuple[list[Any], str]:
    """The pairs of lines that say question and answer, and the one that the limit cut off; no
    pairs where none is whole.
    """
    pairs: list[Any] = list(labelled_parts(reply.text, PAIR_LABELS))
    is_cut = bool(pairs) and reply.finish_reason == "length"
    cut = "\n".join(pairs.pop().values()) if is_cut else ""
    return (pairs, cut) if any(len(pair) == len(PAIR_LABELS) for pair in pairs) else ([], "")


def _is_pair(found: Mapping[str, Any]) -> bool:
    return "question" in found or "answer" in found


def _cut_pair(reply: Reply) -> str:
    """What there is of a pair that the token limit cut off; empty where no pair was begun."""
    if reply.finish_reason != "length":
        return ""
    text = without_thinking(reply.text)
    begun = [match.start() for match in _BEGINNING.finditer(text)]
    rest = text[begun[-1] :] if begun else ""
    return "" if any(map(_is_pair, json_objects(rest))) else rest
