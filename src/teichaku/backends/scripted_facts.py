"""What the scripted teacher replies to prompts for facts, entities and blanks of templates."""

import json
import re
from collections.abc import Callable
from typing import Any

from teichaku.backends.scripted_documents import statements
from teichaku.core.records import Fact, Passage, Request

#: Wordings of a question, so that pairs about one fact differ.
_WORDINGS = ("{}は？", "{}を答えてください。", "{}を教えてください。", "{}とは、どれですか。")

#: An example in the note on a blank.
_SHOWN = re.compile(r"（例：(?P<ja>.+)）|\(such as (?P<en>.+)\)")


def _fact_listing(request: Request) -> str:
    listed = enumerate(statements(request.subject.unit), 1)
    return "\n".join(f"{number}. {fact}" for number, fact in listed)


def _parts(fact: Fact) -> tuple[str, str, str]:
    """Subject, key and value of a fact from a ``key：value`` line; empty where it has none."""
    head, mark, value = fact.statement.removesuffix("。").partition("は")
    subject, inner, key = head.rpartition("の")
    return (subject, key, value) if mark and inner else ("", "", "")


def _fact_text(request: Request) -> str:
    told = "".join(fact.statement for fact in request.subject.facts)
    return f"{request.subject.unit.title}について書く。{told}"


def _fact_questions(request: Request) -> str:
    (fact,) = request.subject.facts
    count = (request.schema or {})["properties"]["pairs"]["maxItems"]
    subject, key, value = _parts(fact)
    if not subject:
        half = len(fact.statement) // 2
        about, value = f"「{fact.statement[:half]}」の続き", fact.statement[half:]
    else:
        about = f"{subject}の{key}"
    pairs = []
    for number in range(count):
        again, wording = divmod(number, len(_WORDINGS))
        kind = f"問{request.sample_index}-{again}：" if again or request.sample_index else ""
        pairs.append({"question": kind + _WORDINGS[wording].format(about), "answer": value})
    return _json({"pairs": pairs})


def _reverse(request: Request) -> str:
    (fact,) = request.subject.facts
    subject, key, value = _parts(fact)
    if not subject:
        return _json(dict.fromkeys(("subject", "value", "statement", "question"), ""))
    statement = f"{value}という{key}は、{subject}のものである。"
    question = f"{value}が{key}であるものの名前は？"
    return _json({"subject": subject, "value": value, "statement": statement, "question": question})


def _entity_list(request: Request) -> str:
    passage: Passage = request.subject.unit
    values = (line.partition("：")[2].strip() for line in passage.text.splitlines())
    entities = [passage.title, *(value for value in values if value)]
    facts = "".join(statements(passage))
    return _json({"summary": f"{passage.title}についての要約。{facts}", "entities": entities})


def _entity_relation(request: Request) -> str:
    title, names = request.subject.unit.title, request.subject.detail
    told = "".join(f"{title}の文書には「{name}」がある。" for name in names)
    return f"{told}どちらも{title}に関わる。"


def _fictional_fill(request: Request) -> str:
    """Each blank filled with the example in its note; a name that has none with one of its own."""
    values = {}
    for number, (name, slot) in enumerate(request.subject.category.slots.items()):
        shown = _SHOWN.search(slot.about)
        values[name] = shown["ja"] or shown["en"] if shown else f"見本{number}"
    return _json(values)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


#: The reply by the name of the prompt.
REPLIES: dict[str, Callable[[Request], str]] = {
    "fact_listing": _fact_listing,
    "fact_text": _fact_text,
    "fact_questions": _fact_questions,
    "reverse": _reverse,
    "entity_list": _entity_list,
    "entity_relation": _entity_relation,
    "fictional_fill": _fictional_fill,
}
