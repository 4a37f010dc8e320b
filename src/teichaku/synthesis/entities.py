"""Entities of a document as the teacher lists them: one name each, found in the text, by weight."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from teichaku.core.text import comparable, contains, is_unspaced, normalise, sentences

#: What is put around a name in Japanese and is no part of it.
_COMPANY = "株式会社|有限会社|合同会社|\\(株\\)|\\(有\\)"
_FORMS_OF_ADDRESS = re.compile(
    rf"^(?:{_COMPANY})(?=..)|(?<=..)(?:{_COMPANY}|さん|さま|ちゃん|くん|氏|様)$"
    # 平凡社 and 講談社 are whole names: what stands before 社 in them is a word of its own.
    r"|(?<=...)社$"
)
#: Words that end like a form of address: 明治神社, 新聞社, 製品仕様, お母さん.
_NO_ADDRESS = re.compile(
    r"[神会本支公結]社$|^(?:出版|新聞|通信|放送|旅行|印刷)社$|[模仕同多一異]様$|^お.*さ[んま]$|^たくさん$"
)
#: Titles after a person's name; 経済学博士 and 大学教授 have no name before them.
_TITLE = re.compile(r"(?<![学院校])(?:先生|教授|博士|社長)")
#: Sentences that are looked at together: entities in them are near each other.
_WINDOW = 3


@dataclass(frozen=True)
class Entity:
    """A thing that a document names.

    ``names`` are all its forms as they were listed, the longest first, and ``sentences`` the
    indices of the sentences that have one of them.
    """

    name: str
    names: tuple[str, ...]
    sentences: tuple[int, ...]


def entity_key(name: str) -> str:
    """The form in which two names are one: comparable, without さん, 氏, 株式会社 and the like."""
    return comparable(_bare(name)) or comparable(name)


def is_named(text: str, name: str) -> bool:
    """Whether ``text`` has ``name``, in full or without its form of address, as
    :func:`~teichaku.core.text.contains` finds it.
    """
    return contains(text, name) or contains(text, _bare(name))


def _bare(name: str) -> str:
    plain = normalise(name)
    return plain if _NO_ADDRESS.search(plain) else _FORMS_OF_ADDRESS.sub("", plain)


def salient_entities(listed: Iterable[str], text: str) -> list[Entity]:
    """The entities in ``listed`` that ``text`` names, those first that most sentences name, then
    those named first, then those listed first.

    A name that ends a longer one is its alias (PX-20 of 小型ポンプPX-20), unless the text has
    it alone before it has the longer one. A name that begins a longer one is an alias only if it
    never stands alone (日本 is no alias of 日本銀行), or if a title follows it (佐伯教授).
    """
    forms: dict[str, str] = {}
    for name in listed:
        forms.setdefault(entity_key(name), name.strip())
    parts = list(sentences(text))
    letters = list(map(comparable, parts))
    standing = {key: _standing(name, parts, letters) for key, name in forms.items()}
    forms = {key: name for key, name in forms.items() if standing[key]}
    groups: dict[str, list[str]] = {}
    for key in sorted(forms, key=lambda key: (-len(key), key)):
        longer = (full for full in groups if _is_alias(key, full, forms, standing, parts))
        groups.setdefault(next(longer, key), []).append(key)
    order = {key: position for position, key in enumerate(forms)}
    found = [
        (order[full], Entity(
            forms[full],
            tuple(forms[key] for key in keys),
            tuple(sorted({index for key in keys for index in standing[key]})),
        ))
        for full, keys in groups.items()
    ]  # fmt: skip
    found.sort(key=lambda pair: (-len(pair[1].sentences), pair[1].sentences[0], pair[0]))
    return [entity for _, entity in found]


def _standing(name: str, parts: Sequence[str], letters: Sequence[str]) -> list[int]:
    """Which of ``parts`` name ``name``, where ``letters`` are the parts as comparable; of a name
    that an end mark cuts (``St. Ives``), those where it begins.
    """
    key = entity_key(name)
    for width in (1, 2, len(parts)) if key in "".join(letters) else ():
        found = [
            at
            for at in range(len(parts) - width + 1)
            if key in "".join(letters[at : at + width])
            and is_named("".join(parts[at : at + width]), name)
        ]
        if found:
            return found
    return []


def _is_alias(
    key: str,
    full: str,
    forms: Mapping[str, str],
    standing: Mapping[str, Sequence[int]],
    parts: Sequence[str],
) -> bool:
    """Whether the name ``key`` is a short form of ``full``."""
    is_whole_word = is_unspaced(key) or contains(forms[full], forms[key])
    if not is_whole_word or not (full.startswith(key) or full.endswith(key)):
        return False
    without = re.compile(re.escape(_bare(forms[full])))
    alone = [
        at
        for at in standing[key]
        if is_named(without.sub("\n\n", normalise(parts[at])), forms[key])
    ]
    if not alone or (full.startswith(key) and _TITLE.fullmatch(full, len(key))):
        return True
    return full.endswith(key) and standing[full][0] <= alone[0]


def ranked_pairs(entities: Sequence[Entity]) -> list[tuple[Entity, Entity]]:
    """All pairs of ``entities``; those that stand near each other most often come first.

    Near is within three sentences. Ties keep the order of ``entities``.
    """
    windows = [
        {start for at in entity.sentences for start in range(max(0, at - _WINDOW + 1), at + 1)}
        for entity in entities
    ]
    pairs = sorted(
        combinations(range(len(entities)), 2),
        key=lambda pair: (-len(windows[pair[0]] & windows[pair[1]]), sum(pair)),
    )
    return [(entities[one], entities[other]) for one, other in pairs]
