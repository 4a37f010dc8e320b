"""An example as other tools write one: the JSON objects that trainers read.

A question with its answer goes into the three forms of conversations, running text into the
plain one; what a form does not take, it leaves out by name. No form has the frame
in which a student of this program is asked: whoever trains on them brings a template of their own.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from teichaku.core.records import Example

#: Some readers of lines end one at these; inside a JSON string they may be escaped instead.
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def chat(example: Example) -> dict[str, Any]:
    """``messages`` with ``role`` and ``content``: what was said before, the question (its input
    below it), the answer.
    """
    turns = zip(cycle(("user", "assistant")), _turns(example))
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def alpaca(example: Example) -> dict[str, Any]:
    """``instruction`` (with what was said before it), ``input`` (empty where there is none) and
    ``output``.
    """
    return {
        "instruction": "\n\n".join((*example.history, example.question)),
        "input": example.input,
        "output": example.answer,
    }


def sharegpt(example: Example) -> dict[str, Any]:
    """``conversations`` with ``from`` (``human``, ``gpt``) and ``value``."""
    turns = zip(cycle(("human", "gpt")), _turns(example))
    return {"conversations": [{"from": who, "value": text} for who, text in turns]}


def _turns(example: Example) -> tuple[str, ...]:
    return (*example.history, example.turn, example.answer)


def plain(example: Example) -> dict[str, Any]:
    """``text``: running text as it is."""
    return {"text": example.answer}


@dataclass(frozen=True, slots=True)
class Format:
    """A form of examples: ``write`` makes the object, ``of_text`` says which examples it is for."""

    name: str
    write: Callable[[Example], dict[str, Any]]
    of_text: bool = False

    def left_out(self, example: Example) -> str:
        """Why the form cannot hold ``example``: a short reason; empty where it can."""
        if example.is_text == self.of_text:
            return ""
        return "running_text" if example.is_text else "question_and_answer"

    def row(self, example: Example) -> dict[str, Any]:
        """``example`` in this form, its ``id`` first."""
        return {"id": example.id, **self.write(example)}

    def line(self, example: Example) -> str:
        """:meth:`row` as one line of JSON."""
        return json.dumps(self.row(example), ensure_ascii=False).translate(_LINE_ENDS) + "\n"


FORMATS = {
    form.name: form
    for form in (
        Format("chat", chat),
        Format("alpaca", alpaca),
        Format("sharegpt", sharegpt),
        Format("text", plain, of_text=True),
    )
}
