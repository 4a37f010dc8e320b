"""Markup left over: what a chat template, a list of few-shot examples, a converter or a form
leaves in a text that was to be plain.

Code is left out first, and quotations where a text may tell of a mark. An example whose
question asks for markup, a template or a dialogue may have it. Running text that is written as
questions and answers is a method of synthesis, so labels such as ``質問：`` count in questions
and answers alone.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache

from teichaku.core.records import Example
from teichaku.core.text import script
from teichaku.curation.rules.parts import (
    Part,
    folded,
    parts,
    seen,
    without_code,
    without_quotes,
)
from teichaku.curation.rules.phrases import asks_for, words

#: Marks of chat templates and tokenizers.
_TOKENS = re.compile(
    r"<\|[a-z0-9_ ▁-]{2,40}\|>|</?s>|<(?:bos|eos|pad|unk)>|</?(?:start|end)_of_turn>"
    r"|\[/?inst\]|<</?sys>>|</?think(?:ing)?>|</?(?:assistant|user|system|tool_call)>"
)
#: A word for "mark" behind a mark tells of it and does not use it.
_TOLD = re.compile(
    r"\s*(?:タグ|要素|トークン|記号|マーク|属性|という|や|、|と<|tags?\b|elements?\b|tokens?\b|标签|标记|元素|แท็ก)"
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)(?!.*```)", re.MULTILINE)
#: Elements of HTML that must be closed; those that need not be are nothing to go by.
_TAG = re.compile(
    r"<(/?)(div|span|table|thead|tbody|ul|ol|dl|em|strong|small|a(?=\s)|h[1-6]|pre|code|script|style"
    r"|section|article|header|footer|details|summary|font|center|sup|sub|button|form|iframe)"
    r"(?:\s[^<>\n]{0,300})?>|<(/)(a)>"
)
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{2,5}|#x[0-9a-f]{2,5});")
_TELLS_OF_ENTITIES = re.compile(r"エスケープ|実体参照|エンティティ|entit(?:y|ies)|escap|实体|转义")
_PLACEHOLDER = re.compile(r"\{\{\s*[^{}\n]{1,60}?\s*\}\}|\{%[^{}\n]{1,80}%\}")
_AFTER_SLOT = re.compile(
    r"\s?(?:は|が|を|の|に|で|と|も|へ|様|さん|殿|から|まで|より|円|,|、|。|\.|!|\?"
    r"|的|是|在|为|将|和|ที่|ของ|เป็น|is\b|was\b|has\b|in\b|at\b|and\b|to\b|of\b|'s\b|on\b|for\b|by\b)"
)

#: What was found: the mark, the text that was searched, and where it stands there.
_Found = tuple[str, str, int]
_Look = Callable[[Part, str], _Found | None]


def leftover_markup(example: Example) -> tuple[str, str] | None:
    """The rule: no question, answer or running text has markup left in it. Reasons:
    ``template_token``, ``role_label``, ``open_code``, ``open_tag`` and ``unfilled_slot``.
    """
    for part, text in parts(example):
        for reason, natural, look in _LOOKS if part != "input" else ():
            found = look(part, text)
            if found is not None and not (natural and asks_for(example.asked, natural)):
                mark, where, at = found
                return reason, f"'{mark.strip()[:60]}'; {seen(part, where, at, at + len(mark))}"
    return None


def _token(part: Part, text: str) -> _Found | None:
    if "<" not in text and "[" not in text and "＜" not in text:
        return None
    bare = without_quotes(folded(text))
    for match in _TOKENS.finditer(bare):
        if not _TOLD.match(bare, match.end()):
            return match.group(), bare, match.start()
    return None


def _role(part: Part, text: str) -> _Found | None:
    """A label of a role that begins the text, a label of the part itself, or a question that
    the model asked itself after its answer.
    """
    bare = without_code(folded(text)).strip()
    patterns = _labels()
    match = patterns["role"].match(bare)
    if not match and part == "question":
        match = patterns["question"].match(bare)
    if not match and part == "answer":
        match = patterns["answer"].match(bare) or patterns["next"].search(bare)
    return (match.group(), bare, match.start()) if match else None


def _open_code(part: Part, text: str) -> _Found | None:
    fences = list(_FENCE.finditer(text))
    return (fences[-1].group(), text, fences[-1].start()) if len(fences) % 2 else None


def _open_tag(part: Part, text: str) -> _Found | None:
    if not any(mark in text for mark in "<&＜＆"):
        return None
    bare = without_quotes(folded(text))
    if (entity := _ENTITY.search(bare)) and not _TELLS_OF_ENTITIES.search(bare):
        return entity.group(), bare, entity.start()
    open_tags: dict[str, list[re.Match[str]]] = {}
    for match in _TAG.finditer(bare):
        if _TOLD.match(bare, match.end()):
            continue
        name, closes = match.group(2) or match.group(4), match.group(1) or match.group(3)
        waiting = open_tags.setdefault(name, [])
        if not closes:
            waiting.append(match)
        elif waiting:
            waiting.pop()
        else:
            return match.group(), bare, match.start()
    for waiting in open_tags.values():
        for match in waiting:
            return match.group(), bare, match.start()
    return None


def _slot(part: Part, text: str) -> _Found | None:
    """A place that a template left empty. A name of a field in brackets is a heading
    (【商品名】あおば丸), unless the sentence goes on as if it were the thing (【商品名】は).
    """
    bare = without_code(folded(text))
    if match := _PLACEHOLDER.search(bare):
        return match.group(), bare, match.start()
    for match in _slots().finditer(bare):
        if _AFTER_SLOT.match(bare, match.end()):
            return match.group(), bare, match.start()
    return None


def _any_of(*names: str) -> str:
    found = {word for name in names for word in words(name)}
    return "|".join(map(re.escape, sorted(found, key=lambda word: (-len(word), word))))


@cache
def _labels() -> dict[str, re.Pattern[str]]:
    asking, answering = _any_of("question_labels"), _any_of("answer_labels")
    user, assistant = _any_of("user"), _any_of("assistant")
    end = r"\s?\d{0,3}(?:\*\*)?[\])]?\s?:(?:\*\*)?\s?(?=\S|$)"
    start = r"(?:\*\*)?[\[(]?"
    return {
        "role": re.compile(
            rf"{start}(?:{user}|{assistant}){end}|\[(?:{user}|{assistant})\]"
            rf"|#{{2,4}}\s*(?:{asking}|{answering}|{user}|{assistant}|input)\s*:?\s*\n"
        ),
        "question": re.compile(rf"{start}(?:{asking}|q){end}"),
        # An answer may list A and B, or tell a ratio.
        "answer": re.compile(
            rf"{start}(?:(?:{answering}){end}"
            rf"|a{end}(?!\s?[a-z\d.]{{1,4}}\s?=)(?!.*(?<![a-z])b\s?[):]))",
            re.DOTALL,
        ),
        "next": re.compile(
            rf"^{start}(?:{asking}|{user}){end}|^#{{2,4}}\s*(?:{asking})\s*:?\s*\n", re.MULTILINE
        ),
    }


@cache
def _slots() -> re.Pattern[str]:
    found = sorted(words("slots"), key=lambda word: (-len(word), word))
    unspaced = "|".join(word for word in found if script(word[0]) != "latin")
    latin = "|".join(word for word in found if script(word[0]) == "latin")
    asked = r"(?:insert|enter|your|add) [a-z' ]{1,30}"
    return re.compile(
        rf"[【\[<〈《](?:{unspaced})[】\]>〉》]|[【\[](?:{latin}|{asked})[】\]]"
        r"|<your [a-z ]{1,20}>"
    )


#: Reason, what a question may ask for in which it is natural, and how to find it.
_LOOKS: Sequence[tuple[str, str, _Look]] = (
    ("template_token", "", _token),
    ("role_label", "dialogue", _role),
    ("open_code", "", _open_code),
    ("open_tag", "markup", _open_tag),
    ("unfilled_slot", "template", _slot),
)
