"""``fictional_documents``: S4's seed documents about things that do not exist (Kadoya, LTS;
Kawagoshi, Hitachi Systems).

A template of one of five categories is filled as an ordinary document would be, by the teacher
or from lists; then every proper noun and trait is replaced by a made-up one, every number is
drawn anew, and the document is checked against the fill. Each document answers the eight kinds
of question of its category, and the answers are values that stand in it, so they are exact:
50 documents, 400 questions.

As in S4: the five categories, the numbers, the variables of the product template (product,
year, character, place, use, previous product, times, power consumption, weight), the order of
filling first and replacing afterwards. What is told of S4 does not give its templates, the
variables of the other four categories, its questions, or how it made names up: those are ours.
There are three templates a category, so that its documents differ in wording. Names are composed
from syllables, or from characters, that read naturally; where those of two parts run short they
get a third. One command was seen to make 30,000 documents in either language, and the same seed
makes the same ones. Plain phrases (the use of a product, say) keep
what they were filled with; a teacher's are refused where they hold a name, a figure or a capital
letter.

S4's documents have about 125 tokens; ours have 112 (Gemma 3) to 135 (Qwen 2.5) on average in
Japanese, 119 to 122 in English.

Made-up names are kept apart from the fill, from each other, and from a list of well-known real
names, not from all names in the world: a rare real one can occur by chance.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Reply, Request, Sampling, content_id
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.text import (
    character_ngrams,
    comparable,
    contains,
    is_language,
    numbers,
    sentences,
)

METHOD = "fictional_documents"

#: How often the values that a check refuses are drawn anew before the document is dropped.
_TRIES = 100
#: How many refused draws tell that the names of a type run short.
_SHORT = 10
#: Neighbouring characters by which earlier names are looked up.
_GRAM = 5
#: A longer fill is a sentence of the teacher's, not a value.
_LONGEST_VALUE = 80

_END_MARKS = "。．.！？!?、,"
_PLACE = re.compile(r"\{(\w+)\}")
_MADE_UP = ("name", "trait")


@dataclass(frozen=True)
class Span:
    """Numbers from ``low`` to ``high`` by ``step``, in units of the last of ``decimals``
    places; ``grouped`` puts commas between thousands.
    """

    low: int
    high: int
    step: int = 1
    decimals: int = 0
    grouped: bool = False

    def draw(self, drawn: random.Random) -> str:
        """One of the numbers as it is written."""
        value = drawn.randrange(self.low, self.high + 1, self.step)
        whole, part = divmod(value, 10**self.decimals)
        fraction = f".{part:0{self.decimals}d}" if self.decimals else ""
        return (f"{whole:,}" if self.grouped else str(whole)) + fraction


@dataclass(frozen=True)
class SlotType:
    """A type of value: made up by ``patterns``, filled at first by ``fill``.

    A pattern is text with ``{part}`` places. A ``name`` or ``trait`` is made up, a ``number``
    drawn anew, ``words`` stay as they were filled. ``spare`` has longer patterns, for when those
    names run short that ``patterns`` make.
    """

    kind: Literal["name", "trait", "number", "words"]
    patterns: Sequence[str]
    fill: Sequence[str] = ()
    spare: Sequence[str] = ()


@dataclass(frozen=True)
class Slot:
    """A place of a template: the name of its type, and what it is about, for the teacher."""

    type: str
    about: str


@dataclass(frozen=True)
class QuestionKind:
    """A question with ``{slot}`` places, answered by the value of ``slot``."""

    kind: str
    slot: str
    question: str


@dataclass(frozen=True)
class Category:
    """Documents of one kind. Every template holds every slot; ``subject`` is the slot that the
    document is about and that every question names.
    """

    name: str
    label: str
    subject: str
    slots: Mapping[str, Slot]
    templates: Sequence[str]
    questions: Sequence[QuestionKind]


@dataclass(frozen=True)
class TemplatePack:
    """All that is needed to make documents in one language; ``real_names`` are well known."""

    language: str
    categories: Sequence[Category]
    types: Mapping[str, SlotType]
    parts: Mapping[str, Sequence[str] | Span]
    real_names: Sequence[str]

    @cached_property
    def real_keys(self) -> tuple[str, ...]:
        """The real names in comparable form."""
        return tuple(comparable(name) for name in self.real_names)

    def compose(self, patterns: Sequence[str], drawn: random.Random) -> str:
        """One of ``patterns`` with every place filled, the places of its parts too."""

        def part(match: re.Match[str]) -> str:
            choices = self.parts[match[1]]
            if isinstance(choices, Span):
                return choices.draw(drawn)
            return self.compose(choices, drawn)

        return _PLACE.sub(part, drawn.choice(patterns))


@dataclass(frozen=True)
class Draft:
    """The place of a document before it is filled; ``number`` counts from 1 over all."""

    number: int
    category: Category
    template: str

    def text(self, values: Mapping[str, str]) -> str:
        """The document with ``values`` in its slots."""
        return _PLACE.sub(lambda match: values[match[1]], self.template)

    @property
    def fixed_text(self) -> str:
        """What the template itself says."""
        return _PLACE.sub("\n", self.template)

    @cached_property
    def fixed_key(self) -> str:
        """That in comparable form."""
        return comparable(self.fixed_text)


@dataclass(frozen=True)
class Fill:
    """A draft with the ordinary values that it is filled with at first, and who gave them."""

    draft: Draft
    values: Mapping[str, str]
    prompt: str = ""
    teacher: str = ""
    request_key: str = ""


@dataclass(frozen=True)
class FictionalQuestion:
    """A question of the kind ``kind`` and its exact answer, which stands in the document."""

    kind: str
    question: str
    answer: str


@dataclass(frozen=True)
class FictionalDocument:
    """A document about what does not exist; ``title`` is the made-up name of its subject."""

    fill: Fill
    title: str
    text: str
    values: Mapping[str, str]
    questions: tuple[FictionalQuestion, ...]


def drafts(pack: TemplatePack, documents: int) -> list[Draft]:
    """So many drafts, category by category in turn and, within each, template by template;
    more documents begin with the same ones.
    """
    count = len(pack.categories)
    made = []
    for index in range(documents):
        category = pack.categories[index % count]
        template = category.templates[index // count % len(category.templates)]
        made.append(Draft(index + 1, category, template))
    return made


def fills_from_lists(
    pack: TemplatePack, made: Iterable[Draft], seed: int
) -> Iterator[Fill | Dropped]:
    """Each draft filled without a teacher, by a seeded draw from the lists of ``pack``."""
    for draft in made:
        drawn = _random(pack, draft, seed, "fill")
        for _ in range(_TRIES):
            values = {}
            for name, slot in draft.category.slots.items():
                of_type = pack.types[slot.type]
                values[name] = pack.compose(of_type.fill or of_type.patterns, drawn)
            mistakes = fill_mistakes(pack, draft, values)
            if not mistakes:
                yield Fill(draft, values)
                break
        else:
            yield _dropped(pack, draft, seed, "unfit_fill", " ".join(map(str, mistakes)))


def fills_by_teacher(
    pack: TemplatePack,
    made: Iterable[Draft],
    teacher: ChatModel,
    prompt: Prompt,
    again: Prompt,
    seed: int,
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=768),
    expecting: Callable[[int], None] = lambda requests: None,
) -> list[Fill | Dropped]:
    """Each draft filled by the teacher, in the order of the drafts.

    A fill with mistakes is asked for once more by the prompt ``again``, then dropped;
    ``expecting`` is told of how many requests there are beyond the first ones.
    """

    def read(reply: Reply) -> Iterator[tuple[int, Fill | Dropped]]:
        draft: Draft = reply.request.subject
        values = _values_in(reply, draft)
        mistakes = fill_mistakes(pack, draft, values)
        if mistakes:
            raise UnusableReplyError.of_all(mistakes)
        fill = Fill(draft, values, reply.request.prompt, teacher.identity, reply.key)
        yield draft.number, fill

    def lost(reply: Reply, reason: str, evidence: str) -> tuple[int, Fill | Dropped]:
        draft: Draft = reply.request.subject
        return draft.number, _dropped(pack, draft, seed, reason, evidence, raw=reply.text)

    requests = (_fill_request(draft, prompt, sampling, seed) for draft in made)
    found = dict(ask(teacher, requests, read, lost, again, expecting))
    return [found[number] for number in sorted(found)]


def fill_mistakes(
    pack: TemplatePack, draft: Draft, values: Mapping[str, str]
) -> list[UnusableReplyError]:
    """What keeps ``values`` from filling the slots of ``draft``, for the teacher."""
    names = [
        value for slot, value in values.items() if value and _kind(pack, draft, slot) in _MADE_UP
    ]
    found = []
    for slot in draft.category.slots:
        value, kind = values.get(slot, ""), _kind(pack, draft, slot)
        told = {"slot": slot, "value": value}
        wrong = _shape_mistake(value, told)
        if not wrong and kind == "number" and not numbers(value):
            wrong = UnusableReplyError("{slot}: '{value}' has no figure in it.", **told)
        if not wrong and kind in _MADE_UP and contains(draft.fixed_text, value):
            wrong = UnusableReplyError("{slot}: '{value}' is a word of the template.", **told)
        if not wrong and kind == "words":
            wrong = _words_mistake(pack, value, names, told)
        if wrong:
            found.append(wrong)
    return found


def fictional_documents(
    pack: TemplatePack, fills: Iterable[Fill | Dropped], seed: int
) -> Iterator[FictionalDocument | Dropped]:
    """The fills with everything in them made up and checked; what fell before goes through.

    No value of a fill's names and traits stays in its document, no made-up name holds or is
    held by another of the same or an earlier document or by a well-known real one, every number
    differs from the fill's, and no two values of a document are the same. Values that break
    this are drawn anew, at most 100 times; then the document is dropped, with what was wrong.
    """
    taken = _Taken()
    for fill in fills:
        if isinstance(fill, Dropped):
            yield fill
            continue
        values, problems = _made_up(pack, fill, seed, taken)
        if problems:
            evidence = "; ".join(f"{slot}: {what}" for slot, what in sorted(problems.items()))
            yield _dropped(pack, fill.draft, seed, "not_made_up", evidence)
            continue
        for slot, value in values.items():
            if _kind(pack, fill.draft, slot) == "name":
                taken.add(comparable(value))
        yield _document(fill, values)


def _document(fill: Fill, values: Mapping[str, str]) -> FictionalDocument:
    category = fill.draft.category
    questions = tuple(
        FictionalQuestion(
            one.kind,
            _PLACE.sub(lambda match: values[match[1]], one.question),
            values[one.slot],
        )
        for one in category.questions
    )
    text = fill.draft.text(values)
    return FictionalDocument(fill, values[category.subject], text, values, questions)


def _made_up(
    pack: TemplatePack, fill: Fill, seed: int, taken: "_Taken"
) -> tuple[dict[str, str], dict[str, str]]:
    """Values in place of the fill's, and what is still wrong with them after all tries."""
    draft = fill.draft
    drawn = _random(pack, draft, seed, "made up")
    values = dict(fill.values)
    renew = {slot for slot in values if _kind(pack, draft, slot) != "words"}
    problems: dict[str, str] = {}
    for attempt in range(_TRIES):
        for slot in draft.category.slots:
            if slot in renew:
                of_type = pack.types[draft.category.slots[slot].type]
                spare = of_type.spare if attempt >= _SHORT else ()
                values[slot] = pack.compose(spare or of_type.patterns, drawn)
        problems = _problems(pack, fill, values, taken)
        if not problems:
            break
        renew = set(problems)
    return values, problems


def _problems(
    pack: TemplatePack, fill: Fill, values: Mapping[str, str], taken: "_Taken"
) -> dict[str, str]:
    """What is wrong with made-up values, by the slot that has to be drawn anew."""
    draft = fill.draft
    found = _remains(pack, fill, values)
    # Phrases stay as they are, so they come first and what is like them is drawn anew.
    by_kind = sorted(values, key=lambda slot: _kind(pack, draft, slot) != "words")
    keys = {slot: comparable(value) for slot, value in values.items()}
    for position, slot in enumerate(by_kind):
        value, kind = values[slot], _kind(pack, draft, slot)
        twins = [
            other
            for other in by_kind[:position]
            if _are_alike(keys[slot], keys[other], kind == "name" == _kind(pack, draft, other))
        ]
        wrong = ""
        if twins:
            wrong = f"'{value}' is not apart from '{values[twins[0]]}'"
        elif kind == "number" and numbers(value) == numbers(fill.values[slot]):
            wrong = f"'{value}' is the number of the fill"
        elif kind == "name":
            wrong = _name_problem(pack, draft, value, keys[slot], taken)
        if wrong:
            found[slot] = wrong
    return found


def _are_alike(key: str, other: str, are_names: bool) -> bool:
    """Whether two values in comparable form are one answer; for names, whether one holds the
    other.
    """
    return key == other or (are_names and (key in other or other in key))


def _name_problem(pack: TemplatePack, draft: Draft, name: str, key: str, taken: "_Taken") -> str:
    if any(real in key or key in real for real in pack.real_keys):
        return f"'{name}' is too near to a real name"
    if taken.clashes(key):
        return f"'{name}' is not apart from a name of an earlier document"
    if key in draft.fixed_key and contains(draft.fixed_text, name):
        return f"'{name}' is a word of the template"
    return ""


def _remains(pack: TemplatePack, fill: Fill, values: Mapping[str, str]) -> dict[str, str]:
    """The made-up slots in which a name or trait of the fill still stands; all of them where it
    came about by a value beside the words of the template.
    """
    draft, text = fill.draft, fill.draft.text(values)
    made_up = [slot for slot in values if _kind(pack, draft, slot) in _MADE_UP]
    key = comparable(text)
    found = {}
    for slot in made_up:
        old = fill.values[slot]
        # The first is cheap, and always true where the second is.
        if comparable(old) in key and contains(text, old):
            holders = [other for other in made_up if contains(values[other], old)]
            found.update(dict.fromkeys(holders or made_up, f"'{old}' of the fill remains"))
    return found


class _Taken:
    """The names of earlier documents in comparable form, searched both ways by their
    neighbouring characters and not one after another.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._holders: dict[str, list[str]] = {}

    def add(self, key: str) -> None:
        self._names.add(key)
        for size in range(1, _GRAM + 1):
            for gram in character_ngrams(key, size):
                holders = self._holders.setdefault(gram, [])
                if size == _GRAM or not holders:
                    holders.append(key)

    def clashes(self, key: str) -> bool:
        """Whether a taken name holds ``key`` or is held by it."""
        ends = range(1, len(key) + 1)
        pieces = (key[start:end] for end in ends for start in range(end))
        if any(piece in self._names for piece in pieces):
            return True
        # A name that holds this one holds its rarest gram as well.
        grams = character_ngrams(key, _GRAM)
        rarest = min((self._holders.get(gram, []) for gram in grams), key=len, default=[])
        return any(key in holder for holder in rarest)


def _kind(pack: TemplatePack, draft: Draft, slot: str) -> str:
    return pack.types[draft.category.slots[slot].type].kind


def _shape_mistake(value: str, told: Mapping[str, str]) -> UnusableReplyError | None:
    if not comparable(value):
        return UnusableReplyError("{slot}: '{value}' is empty.", **told)
    if len(value) > _LONGEST_VALUE:
        return UnusableReplyError(
            "{slot}: '{value}' is longer than {longest} characters.", longest=_LONGEST_VALUE, **told
        )
    return None


def _words_mistake(
    pack: TemplatePack, value: str, names: Iterable[str], told: Mapping[str, str]
) -> UnusableReplyError | None:
    """What keeps a phrase from staying in a document in which nothing is real."""
    key = comparable(value)
    real = (name for name, part in zip(pack.real_names, pack.real_keys, strict=True) if part in key)
    held = next((name for name in (*names, *real) if contains(value, name)), "")
    if held:
        return UnusableReplyError("{slot}: '{value}' holds the name '{name}'.", name=held, **told)
    if numbers(value):
        return UnusableReplyError("{slot}: '{value}' holds a figure.", **told)
    if any(character.isupper() for character in value):
        return UnusableReplyError("{slot}: '{value}' holds a capital letter, as names do.", **told)
    if len(list(sentences(value))) > 1 or value[-1] in _END_MARKS:
        return UnusableReplyError("{slot}: '{value}' is a sentence, not a phrase.", **told)
    if not is_language(value, pack.language):
        return UnusableReplyError(
            "{slot}: '{value}' is not in the language '{language}'.",
            language=pack.language,
            **told,
        )
    return None


def _fill_request(draft: Draft, prompt: Prompt, sampling: Sampling, seed: int) -> Request:
    """The seed depends on the document's number alone, so more documents change no request."""
    slots = draft.category.slots
    messages = prompt.messages(
        category=draft.category.label,
        slots=[{"name": name, "about": slot.about} for name, slot in slots.items()],
        template=draft.template,
    )
    drawn = int(content_id(seed, METHOD, draft.number), 16) % 2**31
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in slots},
        "required": list(slots),
    }
    return Request(messages, replace(sampling, seed=drawn), schema, 0, prompt.name, draft)


def _values_in(reply: Reply, draft: Draft) -> dict[str, str]:
    """The fill in a reply, each value in one line. Raises ``UnusableReplyError``."""
    found = last_json_object(reply.text, tuple(draft.category.slots))
    if found is None:
        wanted = ", ".join(draft.category.slots)
        raise UnusableReplyError("no JSON object with all of: {wanted}.", wanted=wanted)
    return {slot: " ".join(text_value(found[slot]).split()) for slot in draft.category.slots}


def _random(pack: TemplatePack, draft: Draft, seed: int, purpose: str) -> random.Random:
    return random.Random(content_id(seed, METHOD, pack.language, draft.number, purpose))


def _dropped(
    pack: TemplatePack, draft: Draft, seed: int, reason: str, evidence: str, raw: str = ""
) -> Dropped:
    identity = content_id(METHOD, pack.language, seed, draft.number)
    about = f"document {draft.number} ({draft.category.name}): {evidence}"
    return Dropped(identity, "Document", "synthesis", reason, about, raw=raw)
