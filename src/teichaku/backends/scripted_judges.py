"""What the scripted judge replies: it holds an answer against the reference by its characters.

Where a question has no reference, the passage stands in for it, and then the question itself. An
answer to the turn before is not looked at.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from rapidfuzz.distance import LCSseq

from teichaku.core.records import Request
from teichaku.core.text import comparable, contains


def _share(exchange: Any) -> float:
    """How much of the reference stands in the answer, character by character in order: 0 to 1.

    An exchange is what judges are asked about (``evaluation/judging/exchanges.py``).
    """
    wanted, given = comparable(exchange.question.reference), comparable(exchange.text)
    if wanted:
        return LCSseq.similarity(wanted, given) / len(wanted)
    other = comparable(exchange.passage) or comparable(exchange.question.question)
    return LCSseq.similarity(other, given) / max(1, len(given))


def _said(share: float) -> str:
    return f"参考と一致した文字は{share:.0%}。"


def _marked(request: Request) -> str:
    """A mark on the scale of the schema, in the order of its keys."""
    properties = (request.schema or {})["properties"]
    share = _share(request.subject)
    values = {
        "score": 1 + round((properties["score"]["maximum"] - 1) * share),
        "judgement": _said(share),
    }
    return json.dumps({key: values[key] for key in properties}, ensure_ascii=False)


def _turn(request: Request) -> str:
    share = _share(request.subject)
    return f"{_said(share)}\n[[{1 + round(9 * share)}]]"


def _pairwise(request: Request) -> str:
    """The answer with more of the reference is better, whatever its place."""
    told, better = _compared(request)
    return json.dumps({"comparison": told, "better": better}, ensure_ascii=False)


def _compared(request: Request) -> tuple[str, str]:
    first, second = (_share(request.subject.first), _share(request.subject.second))
    better = "same" if first == second else "A" if first > second else "B"
    return f"Aは{first:.0%}、Bは{second:.0%}が参考と一致した。", better


def by_file(request: Request) -> str:
    """The same by a prompt of the user's file, which asks for double brackets or, with a schema,
    for JSON: a verdict where two answers are shown, else a mark.
    """
    is_pair = hasattr(request.subject, "first")
    if request.schema is not None:
        return _pairwise(request) if is_pair else _marked(request)
    if not is_pair:
        return _turn(request)
    told, better = _compared(request)
    return f"{told}\n[[{'C' if better == 'same' else better}]]"


#: What the scripted student says where it does not know, and the like.
_NOT_KNOWN = ("分かりません", "わかりません", "知りません", "do not know", "don't know")
_HEADING = re.compile(r"^(?:文書|Document )\d+[：:][ \t]*(.+)$", re.MULTILINE)
_LINE = re.compile(r"^(.+?)(?:：|: )(.+)$", re.MULTILINE)


def _abstention(request: Request) -> str:
    found = any(words in request.subject.text for words in _NOT_KNOWN)
    told = "分からないと述べている。" if found else "答えを示している。"
    return json.dumps({"explanation": told, "abstains": found}, ensure_ascii=False)


def _answerable(request: Request) -> str:
    """Whether a passage whose title stands in the question has a ``key：value`` line whose key
    does.
    """
    asked = request.subject.question
    pieces = _HEADING.split(request.messages[-1].content)
    told = [
        f"{title}の{key}は{value}とある。"
        for title, text in zip(pieces[1::2], pieces[2::2], strict=True)
        for key, value in _LINE.findall(text)
        if contains(asked, title) and contains(asked, key)
    ]
    explanation = told[0] if told else "書かれていない。"
    return json.dumps({"explanation": explanation, "answerable": bool(told)}, ensure_ascii=False)


REPLIES: dict[str, Callable[[Request], str]] = {
    "abstention_judge": _abstention,
    "unanswerable_check": _answerable,
    "judge_absolute": _marked,
    "judge_criteria": _marked,
    "judge_turn": _turn,
    "judge_pairwise": _pairwise,
}
