"""Judge prompts in the form of FastChat's ``judge_prompts.jsonl``, for runs that are to be
comparable with MT-Bench, its Japanese edition and the Japanese Vicuna QA Benchmark.

What reads their replies follows from what they ask for: :func:`judging_prompts`.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.prompts import Prompt
from teichaku.evaluation.judging.forms import (
    BRACKETED_VERDICT,
    BRACKETS_1_TO_10,
    JSON_1_TO_10,
    JSON_VERDICT,
    Form,
)

_FIELD = re.compile(r"\{(\w+)\}")
#: A brace at the end stands before a field of Jinja's, or the markup that follows the text.
_MARKUP = re.compile(r"\{(?:[{%#]|\Z)")
_ONE_TURN = {
    "question": "question", "answer": "answer", "ref_answer_1": "reference",
    "answer_a": "answer_a", "answer_b": "answer_b",
}  # fmt: skip
_TWO_TURNS = {
    "question_1": "earlier_question", "question_2": "question",
    "answer_1": "earlier_answer", "answer_2": "answer",
    "ref_answer_1": "earlier_reference", "ref_answer_2": "reference",
    "answer_a_1": "earlier_answer_a", "answer_a_2": "answer_a",
    "answer_b_1": "earlier_answer_b", "answer_b_2": "answer_b",
}  # fmt: skip


#: What a prompt that is read by each form asks for, in plain signs.
_ASKED: Mapping[str, tuple[tuple[re.Pattern[str], Form[Any]], ...]] = {
    "single": (
        (re.compile(r"\[\["), BRACKETS_1_TO_10),
        (re.compile(r"\"score\"\s*:"), JSON_1_TO_10),
    ),
    "pairwise": (
        (re.compile(r"\[\[\s*A\s*\]\]"), BRACKETED_VERDICT),
        (re.compile(r"\"better\"\s*:"), JSON_VERDICT),
    ),
}
_WANTED = {"single": '[[5]] or "score":', "pairwise": '[[A]] or "better":'}


@dataclass(frozen=True)
class JudgingPrompt:
    """A ``prompt`` of a file, and the ``form`` that reads what it asks for."""

    prompt: Prompt
    form: Form[Any]

    @property
    def shows_turns(self) -> bool:
        """Whether it has words for the second of two turns."""
        return "earlier_question" in self.prompt.placeholders


@dataclass(frozen=True)
class JudgingPrompts:
    """What a file has to mark one answer by (``single``), and to compare two (``pairwise``)."""

    single: JudgingPrompt | None
    pairwise: JudgingPrompt | None


def judging_prompts(path: Path, language: str) -> JudgingPrompts:
    """The prompts of the file, by what its entries are for: their ``type``, and the fields that
    they use (a reference, a second turn).

    Raises ``UserError`` where the file cannot be read, has nothing to judge by, or two entries for
    the same; where an entry asks for neither a mark nor a verdict in a form that is known, or the
    entries of one kind for different ones.
    """
    try:
        entries = read_fastchat_prompts(path.read_text(encoding="utf-8-sig"))
        # What an entry has to have, so that one that lacks it is told here.
        texts = {name: _text(entry) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read as judge prompts: {error}.",
            "It has one JSON object a line, with name, type, system_prompt and prompt_template.",
        ) from error
    try:
        found = {kind: _of_kind(entries, texts, kind, language) for kind in _ASKED}
    except UserError as error:
        raise UserError(f"{path}: {error.message}", error.hint) from error
    if not any(found.values()):
        raise UserError(
            f"{path} has no prompt to judge by.",
            'Its entries have the type "single" (one answer) or "pairwise" (two).',
        )
    return JudgingPrompts(found["single"], found["pairwise"])


def _text(entry: Mapping[str, str]) -> str:
    return "\n".join((entry["system_prompt"], entry["prompt_template"]))


def _of_kind(
    entries: Mapping[str, Mapping[str, str]],
    texts: Mapping[str, str],
    kind: str,
    language: str,
) -> JudgingPrompt | None:
    places: dict[tuple[bool, bool], str] = {}
    for name, entry in entries.items():
        if entry.get("type") != kind:
            continue
        filled = _formatted(entry["prompt_template"])[1::2]
        used = {*_FIELD.findall(entry["system_prompt"]), *filled}
        place = ("question_2" in used, any(field.startswith("ref_answer") for field in used))
        if place in places:
            raise UserError(
                f"The judge prompts '{places[place]}' and '{name}' are for the same.",
                "Leave one of them in the file.",
            )
        places[place] = name
    if not places:
        return None
    names = FastChatNames(
        places.get((False, False), ""),
        places.get((False, True), ""),
        places.get((True, False), ""),
        places.get((True, True), ""),
    )
    without = {names.reference: names.plain, names.second_turn_reference: names.second_turn}
    for other, plain in without.items():
        if other and not plain:
            raise UserError(
                f"The judge prompt '{other}' shows a reference, and there is none for the rest.",
                "Put the entry for questions without a reference into the file.",
            )
    if not names.plain:
        raise UserError(
            f"The judge prompt '{names.second_turn}' is for a second turn, and there is none for "
            "the first.",
            "Put the entry for one turn into the file.",
        )
    return JudgingPrompt(
        fastchat_prompt(entries, names, language),
        _form({name: texts[name] for name in places.values()}, kind),
    )


def _form(texts: Mapping[str, str], kind: str) -> Form[Any]:
    """What reads the replies to the prompts of ``texts``, all of which must ask for the same."""
    found: dict[str, Form[Any]] = {}
    for name, text in texts.items():
        plain = unicodedata.normalize("NFKC", text)
        form = next((form for asked, form in _ASKED[kind] if asked.search(plain)), None)
        if form is None:
            raise UserError(
                f"The judge prompt '{name}' asks for nothing that can be read.",
                f"It has to show how the judge ends its reply: {_WANTED[kind]}.",
            )
        found[form.name] = form
    if len(found) > 1:
        raise UserError(
            f"The {kind} judge prompts ask for replies in different forms: "
            f"{', '.join(sorted(found))}.",
            "Have all of them ask for the same.",
        )
    return next(iter(found.values()))


@dataclass(frozen=True)
class FastChatNames:
    """Which entries of the file ask for what: the ``plain`` one, the one with a ``reference``,
    and the same for the second of two turns. Empty where the file has none.
    """

    plain: str
    reference: str = ""
    second_turn: str = ""
    second_turn_reference: str = ""


def read_fastchat_prompts(source: str) -> dict[str, dict[str, str]]:
    """The entries of a ``judge_prompts.jsonl`` by name."""
    rows = [json.loads(line) for line in source.splitlines() if line.strip()]
    return {row["name"]: row for row in rows}


def fastchat_prompt(
    entries: Mapping[str, Mapping[str, str]], names: FastChatNames, language: str
) -> Prompt:
    """One prompt that says what the entry says that fits the exchange: with a reference or
    without, first turn or second. White space at the ends is not kept.

    Raises ``UserError`` where an entry is missing or uses a field that has no value.
    """
    one = _either(entries, (names.plain, names.reference), _ONE_TURN, "reference")
    either_reference = "reference or earlier_reference"
    two_names = (names.second_turn, names.second_turn_reference)
    two = _either(entries, two_names, _TWO_TURNS, either_reference) if names.second_turn else one
    sections = []
    for role in ("system", "user"):
        text = one[role]
        if names.second_turn:
            text = f"{{% if earlier_question %}}{two[role]}{{% else %}}{text}{{% endif %}}"
        sections.append((role, text))
    used = [name for name in (names.plain, names.reference, *two_names) if name]
    return Prompt(f"{language}/fastchat:{'+'.join(used)}@file", tuple(sections))


def _either(
    entries: Mapping[str, Mapping[str, str]],
    names: tuple[str, str],
    fields: Mapping[str, str],
    condition: str,
) -> dict[str, str]:
    """The sections of the first of ``names``, or under ``condition`` of the second, if any."""
    plain = _sections(entries, names[0], fields)
    if not names[1]:
        return plain
    other = _sections(entries, names[1], fields)
    return {
        role: f"{{% if {condition} %}}{other[role]}{{% else %}}{plain[role]}{{% endif %}}"
        for role in plain
    }


def _sections(
    entries: Mapping[str, Mapping[str, str]], name: str, fields: Mapping[str, str]
) -> dict[str, str]:
    if name not in entries:
        raise UserError(
            f"There is no judge prompt '{name}'.", f"The file has: {', '.join(sorted(entries))}."
        )
    entry = entries[name]
    return {
        # FastChat fills the template alone.
        "system": _template(_FIELD.split(entry["system_prompt"].strip()), name, fields),
        "user": _template(_formatted(entry["prompt_template"].strip()), name, fields),
    }


def _formatted(text: str) -> list[str]:
    """Words and fields of ``text`` by turns, as ``str.format`` reads them: ``{{`` is a brace. A
    text that it cannot read, because JSON stands in it in single braces, is taken as it stands.
    """
    parts = [""]
    try:
        for words, field, layout, conversion in Formatter().parse(text):
            parts[-1] += words
            if field is not None:
                if layout or conversion or not _FIELD.fullmatch(f"{{{field}}}"):
                    return _FIELD.split(text)
                parts += [field, ""]
    except ValueError:
        return _FIELD.split(text)
    return parts


def _template(parts: Sequence[str], name: str, fields: Mapping[str, str]) -> str:
    """Words and fields by turns in Jinja's notation, with our names for ``fields``."""
    unknown = sorted(set(parts[1::2]) - fields.keys())
    if unknown:
        raise UserError(
            f"The judge prompt '{name}' uses {', '.join(unknown)}.",
            f"It may use: {', '.join(sorted(fields))}.",
        )
    return "".join(
        f"{{{{ {fields[part]} }}}}" if place % 2 else _MARKUP.sub(r'{{ "\g<0>" }}', part)
        for place, part in enumerate(parts)
    )
