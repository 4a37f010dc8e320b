"""The forms of rows that other tools write: which one it is, the example in a row, and the row
with what became of the example.

Texts are taken as they stand; nothing is trimmed or normalised.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from teichaku.core.records import Example
from teichaku.core.text import normalise

#: The method of examples that came in a file and whose making nobody knows.
GIVEN = "given"

#: Columns without which it is no file of this program's own.
_OWN = frozenset({"id", "document_id", "passage_id", "method", "question", "answer"})
_QUESTIONS = ("question", "質問", "instruction", "指示", "prompt", "query")
_ANSWERS = ("answer", "回答", "答え", "output", "出力", "response", "completion")
_INPUTS = ("input", "入力", "context", "文脈")
_TEXTS = ("text", "本文", "content", "内容")
#: The list of turns, who speaks, what is said, and what the roles are called.
_CONVERSATIONS = {
    "chat": ("messages", "role", "content"),
    "sharegpt": ("conversations", "from", "value"),
}
_MODELS = frozenset({"assistant", "gpt", "model", "chatgpt", "bing", "bard"})
_PEOPLE = frozenset({"user", "human"})
#: The forms that rows are written in again.
JSON_LINES = (*_CONVERSATIONS, "pairs", "text")
#: Some readers of lines end one at these; inside a JSON string they may be escaped instead.
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
#: Between the turns of a conversation, where they are one text.
_BETWEEN = "\n\n"


class RowError(Exception):
    """A row has no example in it; the message says why."""


@dataclass(frozen=True)
class Given:
    """What a row holds: texts, and ``rest``, all else of it as JSON (empty where there is none).

    ``rest`` of a conversation that is more than a question and its answer has all its turns.
    ``own`` are the further fields of a row of this program's own.
    """

    question: str
    input: str
    answer: str
    rest: str
    own: Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """A form of rows. ``keys`` are the names of the columns that hold its texts, as the file
    spells them: question, input (or empty) and answer; or the one of a text or a conversation.
    """

    name: str
    keys: tuple[str, ...] = ()

    def read(self, row: Mapping[str, Any]) -> Given:
        """What ``row`` holds. Raises ``RowError``."""
        if self.name in _CONVERSATIONS:
            return self._read_conversation(row)
        if self.name == "examples":
            own = {name: row[name] for name in _FIELDS if row.get(name) is not None}
            question, given_input, answer = (str(own.get(name, "")) for name in _OWN_TEXTS)
            given = Given(question, given_input, answer, _rest(row, _FIELDS), own)
        elif self.name == "text":
            given = Given("", "", _text(row, self.keys[0]), _rest(row, self.keys), {})
        else:
            question, given_input, answer = (_text(row, key) if key else "" for key in self.keys)
            if not question.strip():
                raise RowError(f"'{self.keys[0]}' is empty")
            given = Given(question, given_input, answer, _rest(row, self.keys), {})
        if not given.answer.strip():
            raise RowError(f"'{self.keys[-1] if self.keys else 'answer'}' is empty")
        return given

    def _read_conversation(self, row: Mapping[str, Any]) -> Given:
        turns = self._turns(row)
        spoken = [(role, text) for role, text in turns if role != "system"]
        if not spoken or spoken[-1][0] not in _MODELS or not spoken[-1][1].strip():
            raise RowError(f"'{self.keys[0]}' does not end with a model's reply")
        before, (_, answer) = spoken[:-1], spoken[-1]
        question = _BETWEEN.join(text for _, text in before)
        if not question.strip():
            raise RowError(f"'{self.keys[0]}' has no question before the reply")
        is_pair = len(turns) == 2 and turns[0][0] in _PEOPLE
        rest = _rest(row, self.keys if is_pair else ())
        return Given(question, "", answer, rest, {})

    def _turns(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        _, role, content = _CONVERSATIONS[self.name]
        turns = row.get(self.keys[0])
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise RowError(f"'{self.keys[0]}' is no list of turns")
        found = []
        for turn in turns:
            who, text = turn.get(role), turn.get(content)
            if not isinstance(who, str) or not isinstance(text, str):
                raise RowError(f"a turn in '{self.keys[0]}' has no '{role}' or no '{content}'")
            found.append((who.casefold(), text))
        return found

    def line(self, example: Example, rest: str) -> str:
        """:meth:`write` as one line of JSON."""
        row = json.dumps(self.write(example, rest), ensure_ascii=False)
        return row.translate(_LINE_ENDS) + "\n"

    def write(self, example: Example, rest: str) -> dict[str, Any]:
        """The row of ``example`` in this form. A conversation of which a step changed the text
        becomes the question and the answer that are left of it.
        """
        kept: dict[str, Any] = json.loads(rest) if rest else {}
        if self.name == "text":
            return {self.keys[0]: example.answer, **kept}
        if self.name not in _CONVERSATIONS:
            texts = (example.question, example.input, example.answer)
            return {key: text for key, text in zip(self.keys, texts, strict=True) if key} | kept
        key, role, content = self.keys[0], *_CONVERSATIONS[self.name][1:]
        if key in kept:
            given = self._read_conversation(kept)
            if (given.question, given.answer) == (example.question, example.answer):
                return kept
            del kept[key]
        names = ("human", "gpt") if self.name == "sharegpt" else ("user", "assistant")
        said = zip(names, (example.asked, example.answer), strict=True)
        turns = [{role: who, content: text} for who, text in said]
        return {key: turns, **kept}


_FIELDS = tuple(field.name for field in fields(Example))
_OWN_TEXTS = ("question", "input", "answer")


def find_form(columns: Sequence[str]) -> Form | None:
    """The form of rows with these columns, or None where none is known."""
    if set(columns) >= _OWN:
        return Form("examples")
    spelled = {normalise(name): name for name in reversed(columns)}

    def first(names: Sequence[str]) -> str:
        found = (spelled[normalise(name)] for name in names if normalise(name) in spelled)
        return next(found, "")

    for name, (key, _, _) in _CONVERSATIONS.items():
        if key in spelled:
            return Form(name, (spelled[key],))
    question, answer = first(_QUESTIONS), first(_ANSWERS)
    if question and answer:
        return Form("pairs", (question, first(_INPUTS), answer))
    text = first(_TEXTS)
    return Form("text", (text,)) if text else None


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | None):
        raise RowError(f"'{key}' is no text")
    return "" if value is None else str(value)


def _rest(row: Mapping[str, Any], taken: Sequence[str]) -> str:
    """What ``row`` has beside the columns ``taken``, as JSON."""
    rest = {key: value for key, value in row.items() if key not in taken}
    return json.dumps(rest, ensure_ascii=False, default=_plain) if rest else ""


def _plain(value: Any) -> Any:
    """A value that JSON has no form for, such as a date."""
    return float(value) if isinstance(value, Decimal) else str(value)
