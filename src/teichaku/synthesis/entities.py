"""Entities of a document as the teacher lists them: one name each, found in the text, by weight."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from teichaku.core.text import comparable, contains, is_unspaced, normalise, sentences

#: What is put around a name in Japanese and is no part of it.
_FORMS_OF_ADDRESS = re.compile(
    r"(?<=..)(?:さん|さま|ちゃん|くん|氏|様|殿|先生|教授|博士|社長)$|(?:株式会社|有限会社|合同会社|\(株\)|\(有\)|㈱|㈲)"
    r"|(?<=..)社$"
)
#: Sentences that are looked at together: entities in them are near each other.
_WINDOW = 3


@dataclass(frozen=True)
class Entity:
    """A thing that a document names.

    ``names`` are all its forms, comparable and without forms of address, ``mentions`` how often
    one of them stands in the text, ``first`` where the first one does.
    """

    name: str
    names: tuple[str, ...]
    mentions: int
    first: int


def entity_key(name: str) -> str:
    """The form in which two names are one: comparable, without さん, 氏, 株式会社 and the like."""
    return comparable(_FORMS_OF_ADDRESS.sub("", normalise(name))) or comparable(name)


def is_named(text: str, name: str) -> bool:
    """Whether ``text`` has ``name``, in full or without its form of address."""
    key = entity_key(name)
    if contains(text, name):
        return True
    return key in comparable(text) if is_unspaced(key) else contains(text, key)


def salient_entities(listed: Iterable[str], text: str) -> list[Entity]:
    """The entities in ``listed`` that ``text`` names, the most often named first, then those
    named first.

    A name that begins or ends a longer one is its alias (PX-20 of 小型ポンプPX-20), unless the
    text has it alone before it has the longer one: then it is a thing of its own (東京 and
    東京大学).
    """
    whole = comparable(text)
    forms: dict[str, str] = {}
    for name in listed:
        key = entity_key(name)
        if key and key in whole and is_named(text, name):
            forms.setdefault(key, name.strip())
    longest_first = sorted(forms, key=lambda key: (-len(key), key))
    groups: dict[str, list[str]] = {}
    for key in longest_first:
        longer = (full for full in groups if _is_part(forms[key], forms[full]))
        full = next((full for full in longer if _is_alias(key, full, whole)), None)
        groups.setdefault(full or key, []).append(key)
    found = [_entity(forms[full], names, whole) for full, names in groups.items()]
    return sorted(found, key=lambda entity: (-entity.mentions, entity.first, entity.name))


def _is_part(name: str, full: str) -> bool:
    """Whether ``name`` begins or ends ``full``, in whole words where words stand apart."""
    key, whole = entity_key(name), entity_key(full)
    at_end = whole.startswith(key) or whole.endswith(key)
    return at_end and (is_unspaced(key) or contains(full, name))


def _is_alias(key: str, full: str, whole: str) -> bool:
    alone = whole.replace(full, "\0" * len(full)).find(key)
    return alone < 0 or whole.find(full) < alone


def _entity(name: str, names: Sequence[str], whole: str) -> Entity:
    mentions, rest = 0, whole
    for key in names:  # the longest first, so that no mention counts twice
        mentions += rest.count(key)
        rest = rest.replace(key, "\0" * len(key))
    first = min(whole.find(key) for key in names)
    return Entity(name, tuple(names), mentions, first)


def ranked_pairs(entities: Sequence[Entity], text: str) -> list[tuple[Entity, Entity]]:
    """All pairs of ``entities``; those that stand near each other most often come first.

    Near is within three sentences. Ties keep the order of ``entities``.
    """
    near: dict[tuple[int, int], int] = {}
    for window in _windows(text):
        named = [
            index
            for index, entity in enumerate(entities)
            if any(key in window for key in entity.names)
        ]
        for pair in combinations(named, 2):
            near[pair] = near.get(pair, 0) + 1
    pairs = sorted(
        combinations(range(len(entities)), 2), key=lambda pair: (-near.get(pair, 0), sum(pair))
    )
    return [(entities[one], entities[other]) for one, other in pairs]


def _windows(text: str) -> Iterator[str]:
    listed = [comparable(sentence) for sentence in sentences(text)]
    for start in range(max(1, len(listed) - _WINDOW + 1)):
        yield "\n".join(listed[start : start + _WINDOW])
