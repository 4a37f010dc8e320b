"""What the scripted teacher replies to prompts for texts and pairs written from whole passages.

Every text says what the passage states, in whole sentences that name what they are about, in an
order that differs from sample to sample.
"""

import json
import re
from collections.abc import Callable

from teichaku.core.records import Passage, Request
from teichaku.core.text import comparable, sentences

#: A longer statement is told in pieces, each of which ends at hiragana, a mark or a space: a text
#: that copies whole sentences is no rewriting.
_LONGEST_WHOLE = 30
_PIECE = re.compile(r".{8,}?(?:[ぁ-ん]|\W|$)|.+", re.DOTALL)


def stated(passage: Passage) -> list[tuple[str, str]]:
    """(question, answer) pairs that the passage states.

    Passages of ``key：value`` lines give one pair a line, others one pair a sentence.
    """
    title = passage.title or passage.text[:12]
    pairs = []
    for number, sentence in enumerate(sentences(passage.text)):
        key, mark, value = (part.strip() for part in sentence.strip().partition("："))
        if mark and key and value:
            pairs.append((f"{title}の{key}は？", value))
        elif len(comparable(sentence)) >= 8:
            cleaned = sentence.strip()
            half = len(cleaned) // 2
            pairs.append((f"{title}（{number + 1}）：{cleaned[:half]}の続きは？", cleaned[half:]))
    return pairs or [(f"{title}とは？", passage.text.strip())]


def statements(passage: Passage) -> list[str]:
    """What the passage states, as sentences; those of ``key：value`` lines name the document."""
    title = passage.title or passage.text[:12]
    found = []
    for sentence in sentences(passage.text):
        key, mark, value = (part.strip() for part in sentence.strip().partition("："))
        if mark and key and value:
            found.append(f"{title}の{key}は{value}。")
        elif sentence.strip():
            found.append(sentence.strip())
    return found or [passage.text.strip()]


def _told(statement: str) -> str:
    """``statement``, in pieces where it is long."""
    if len(statement) <= _LONGEST_WHOLE:
        return statement
    return f"「{'」、続けて「'.join(_PIECE.findall(statement))}」"


def _text(request: Request) -> str:
    """The statements after the title and the style, turned by one place a sample."""
    found = list(map(_told, statements(request.subject.unit)))
    turn = request.sample_index % len(found)
    opening = f"{request.subject.unit.title}（{request.subject.style}）"
    return "\n".join([opening, *found[turn:], *found[:turn]])


def _conversation(request: Request) -> str:
    """The pairs as lines of question and answer, in the same order."""
    found = stated(request.subject.unit)
    turn = request.sample_index % len(found)
    turned = [*found[turn:], *found[:turn]]
    return "\n".join(f"質問：{_told(q)}\n答え：{_told(a)}" for q, a in turned)


def _strategies(request: Request) -> str:
    """One strategy for each statement of the passage, as many as the schema allows."""
    properties = (request.schema or {})["properties"]
    count = properties["strategies"]["maxItems"]
    listed = [
        {"strategy": f"「{statement}」から始めて、すべてを文に書き出す。"}
        for statement in statements(request.subject.unit)[:count]
    ]
    reply: dict[str, object] = {"strategies": listed}
    if "questions" in properties:
        reply = {"questions": [q for q, _ in stated(request.subject.unit)], **reply}
    return json.dumps(reply, ensure_ascii=False)


def _focal(request: Request) -> str:
    """The statement that holds the answer to the question first, then the others."""
    pair = request.subject.detail
    found = statements(request.subject.unit)
    first = [statement for statement in found if pair.answer in statement][:1]
    rest = [statement for statement in found if statement not in first]
    return "\n".join([f"{request.subject.unit.title}（{pair.question}）", *first, *rest])


_TEXTS = (
    "paraphrase_easy",
    "paraphrase_medium",
    "paraphrase_hard",
    "diverse_prompts_key_concepts",
    "diverse_prompts_mind_map",
    "diverse_prompts_implications",
    "diverse_prompts_case_study",
    "diverse_prompts_discussion",
    "diverse_prompts_teacher_style",
    "active_reading_apply",
)

#: The reply by the name of the prompt.
REPLIES: dict[str, Callable[[Request], str]] = {
    **dict.fromkeys(_TEXTS, _text),
    "paraphrase_qa": _conversation,
    "diverse_prompts_critical_thinking_qa": _conversation,
    "active_reading_strategies": _strategies,
    "active_reading_task_strategies": _strategies,
    "focal_rewrite": _focal,
}
