"""What the scripted student says to items of benchmarks, and the scripted teacher to those who ask
it for key sentences.
"""

import json
import re
from collections.abc import Callable

from teichaku.core.records import Passage, Request
from teichaku.core.text import comparable, sentences

#: ``0.犬,1.猫`` in a line of its own, behind what says that choices follow.
_CHOICES = re.compile(r"選択肢[：:]((?:[0-9A-Z]\..*?(?:,|$))+)", re.MULTILINE)
_CHOICE = re.compile(r"([0-9A-Z])\.(.*?)(?=,[0-9A-Z]\.|$)")


def chosen(asked: str) -> str | None:
    """Of the choices that stand last in ``asked`` the label of the one that has most characters in
    common with the text before it, the first of equals; None where there are none.
    """
    found = list(_CHOICES.finditer(asked))
    if not found:
        return None
    last = found[-1]
    begin = asked.rfind("質問：", 0, last.start())
    question = set(comparable(asked[max(begin, 0) : last.start()]))

    def shared(choice: tuple[str, str]) -> float:
        letters = set(comparable(choice[1]))
        return len(letters & question) / max(1, len(letters))

    choices: list[tuple[str, str]] = _CHOICE.findall(last.group(1))
    return max(choices, key=shared)[0]


def _key_sentences(request: Request) -> str:
    """The first sentences of the passage, as they stand there."""
    passage: Passage = request.subject
    listed = [one.strip() for one in sentences(passage.text) if comparable(one)]
    found = [{"kind": "example", "sentence": one} for one in listed[:2]]
    return json.dumps({"sentences": found}, ensure_ascii=False)


REPLIES: dict[str, Callable[[Request], str]] = {"key_sentences": _key_sentences}
