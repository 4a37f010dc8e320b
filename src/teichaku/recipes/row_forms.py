"""The forms of rows that other tools write: which one it is, the example in a row, and the row
with what became of the example.

Texts are taken as they stand; nothing is trimmed or normalised.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
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
CONVERSATIONS = {
    "chat": ("messages", "role", "content"),
    "sharegpt": ("conversations", "from", "value"),
}
MODELS = frozenset({"assistant", "gpt", "model", "chatgpt", "bing", "bard"})
PEOPLE = frozenset({"user", "human"})
#: The forms that rows are written in again.
JSON_LINES = (*CONVERSATIONS, "pairs", "text")
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
        if self.name in CONVERSATIONS:
            return self._read_conversation(row)
        if self.name == "examples":
            own = _own_fields(row)
            question, given_input, answer = (own.pop(name, "") for name in _OWN_TEXTS)
            given = Given(question, given_input, answer, _rest(row, tuple(_OWN_FIELDS)), own)
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
        turns = self.turns(row)
        spoken = [(role, text) for role, text in turns if role != "system"]
        if not spoken or spoken[-1][0] not in MODELS or not spoken[-1][1].strip():
            raise RowError(f"'{self.keys[0]}' does not end with a model's reply")
        before, (_, answer) = spoken[:-1], spoken[-1]
        question = _BETWEEN.join(text for _, text in before)
        if not question.strip():
            raise RowError(f"'{self.keys[0]}' has no question before the reply")
        is_pair = len(turns) == 2 and turns[0][0] in PEOPLE
        rest = _rest(row, self.keys if is_pair else ())
        return Given(question, "", answer, rest, {})

    def turns(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Of a row of a conversation, who speaks (in lower case) and what is said. Raises
        ``RowError``.
        """
        _, role, content = CONVERSATIONS[self.name]
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
        return as_json(self.write(example, rest)).translate(_LINE_ENDS) + "\n"

    def write(self, example: Example, rest: str) -> dict[str, Any]:
        """The row of ``example`` in this form; a conversation whose turns :func:`without_turns`
        took away becomes the question and the answer that are left of it.
        """
        kept: dict[str, Any] = json.loads(rest) if rest else {}
        if self.name == "text":
            return {self.keys[0]: example.answer, **kept}
        if self.name not in CONVERSATIONS:
            texts = (example.question, example.input, example.answer)
            return {key: text for key, text in zip(self.keys, texts, strict=True) if key} | kept
        key, role, content = self.keys[0], *CONVERSATIONS[self.name][1:]
        if key in kept:
            return kept
        names = ("human", "gpt") if self.name == "sharegpt" else ("user", "assistant")
        said = zip(names, (example.asked, example.answer), strict=True)
        turns = [{role: who, content: text} for who, text in said]
        return {key: turns, **kept}


def find_form(columns: Sequence[str]) -> Form | None:
    """The form of rows with these columns, or None where none is known."""
    if set(columns) >= _OWN:
        return Form("examples")
    spelled = {normalise(name): name for name in reversed(columns)}

    def first(names: Sequence[str]) -> str:
        found = (spelled[normalise(name)] for name in names if normalise(name) in spelled)
        return next(found, "")

    for name, (key, _, _) in CONVERSATIONS.items():
        if key in spelled:
            return Form(name, (spelled[key],))
    question, answer = first(_QUESTIONS), first(_ANSWERS)
    if question and answer:
        return Form("pairs", (question, first(_INPUTS), answer))
    text = first(_TEXTS)
    if text and answer:  # What is answered is no running text.
        return Form("pairs", (text, first(_INPUTS), answer))
    return Form("text", (text,)) if text else None


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | None):
        raise RowError(f"'{key}' is no text")
    return "" if value is None or _is_nan(value) else str(value)


def _is_nan(value: Any) -> bool:
    """Whether it is a number that is none: in tables of pandas, what is missing."""
    return isinstance(value, float) and math.isnan(value)


def number_in(row: Mapping[str, Any], name: str) -> float:
    """The number in the column ``name`` of ``row``. Raises ``RowError`` where there is none."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise RowError(f"'{name}' is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RowError(f"'{name}' is no finite number")
    return number


def _whole_number(row: Mapping[str, Any], name: str) -> int:
    number = number_in(row, name)
    if not number.is_integer() or abs(number) >= 2**53:
        raise RowError(f"'{name}' is no whole number")
    return int(number)


def _texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = row[name]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RowError(f"'{name}' is no list of texts")
    return tuple(value)


_READERS: Mapping[Any, Callable[[Mapping[str, Any], str], Any]] = {
    str: _text,
    int: _whole_number,
    float: number_in,
    tuple[str, ...]: _texts,
}
#: The fields of a row of this program's own, and what reads each.
_OWN_FIELDS = {field.name: _READERS[field.type] for field in fields(Example)}
_OWN_TEXTS = ("question", "input", "answer")


def _own_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Those that ``row`` has."""
    there = {name: row[name] for name in _OWN_FIELDS if row.get(name) is not None}
    return {
        name: _OWN_FIELDS[name](there, name) for name, value in there.items() if not _is_nan(value)
    }


def without_turns(rest: str) -> str:
    """``rest`` without the turns of a conversation: they say what its texts said before a step
    changed them.
    """
    kept = json.loads(rest) if rest else {}
    names = {key for key, _, _ in CONVERSATIONS.values()}
    return _rest(kept, [key for key in kept if normalise(key) in names])


def _rest(row: Mapping[str, Any], taken: Sequence[str]) -> str:
    """What ``row`` has beside the columns ``taken``, as JSON."""
    rest = {key: value for key, value in row.items() if key not in taken}
    return as_json(rest) if rest else ""


def as_json(row: Mapping[str, Any]) -> str:
    """``row`` as JSON that every reader takes: null for a number that is none or infinite, base64
    for bytes, text for what else JSON has no form for.
    """
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:  # Seldom, and to look at each number costs more than to write the row.
        return json.dumps(_finite(row), ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Decimal) and math.isfinite(value):
        return float(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
