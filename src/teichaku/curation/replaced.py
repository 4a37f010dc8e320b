"""Names that stand where the passage has others, in a sentence that is nearly one of its own.

Bare names in kanji (東京, 田中), Chinese and Thai look like any other word. Where a sentence is a
sentence of the passage but for one word, that word tells them: another word of kanji that has no
character of the one it replaces, where a name may stand.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby

from rapidfuzz.distance import Postfix, Prefix

from teichaku.core.text import kana, normalise, script

#: Behind such a word of kanji goes a verb (建造する) or more of the word.
_VERB = re.compile(r"[すしさせ]|でき|れ|ら|り|る|く|い|き|け|め|っ|ん")
#: What Chinese and Thai say before a place or a person.
_BEFORE_A_NAME = re.compile("(?:在|从|從|到|往|至|由|叫|位于|位於|来自|來自|[。！？，、,]|^)$")
#: Names that begin alike share a letter or two.
_THAI_NAME = re.compile(
    "(?:ที่|ใน|จาก|ถึง|สู่|โดย|ชื่อ|นาย|นางสาว|นาง|คุณ|จังหวัด|เมือง|ประเทศ|บริษัท|^| )([\u0e00-\u0e7f]{0,2})$"
)
_LEAST, _MOST = {"han": 2, "katakana": 3, "thai": 3}, {"han": 4, "katakana": 20, "thai": 16}


def replaced_names(sentence: str, piece: str) -> Iterator[tuple[str, str]]:
    """The words of ``sentence`` that stand for a name of ``piece``, a text that says nearly the
    same, each with that name.
    """
    if any(script(character) == "thai" for character in sentence):
        yield from _in_thai(normalise(sentence), normalise(piece))
        return
    ours, theirs = _tokens(sentence), _tokens(piece)
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, start, end, other, other_end in matcher.get_opcodes():
        if kind != "replace":
            continue
        mine, yours = "".join(ours[start:end]), "".join(theirs[other:other_end])
        if _are_names(mine, yours) and _may_name(ours, start, end, sentence):
            yield mine, yours


def _in_thai(sentence: str, piece: str) -> Iterator[tuple[str, str]]:
    """Thai has letters enough that two names share some: all that differs is one stretch."""
    start = Prefix.similarity(sentence, piece)
    ours, theirs = sentence[start:], piece[start:]
    end = Postfix.similarity(ours, theirs)
    mine, yours = ours[: len(ours) - end], theirs[: len(theirs) - end]
    told = _THAI_NAME.search(sentence[:start])
    if told and _are_names(mine, yours):
        yield told[1] + mine, told[1] + yours


def _tokens(text: str) -> list[str]:
    """Runs of kanji and katakana where kana tell the words apart, and single characters."""
    whole, is_japanese = normalise(text), kana(text)
    found: list[str] = []
    for name, run in groupby(whole, lambda c: "katakana" if c == "ー" else script(c)):
        letters = "".join(run)
        joined = name == "katakana" or (name == "han" and is_japanese)
        found += [letters] if joined else letters
    return found


def _are_names(mine: str, yours: str) -> bool:
    scripts = {script(character) for character in (mine + yours).replace("ー", "")}
    if len(scripts) != 1 or (name := scripts.pop()) not in _LEAST:
        return False
    sizes = _LEAST[name] <= min(len(mine), len(yours)), max(len(mine), len(yours)) <= _MOST[name]
    return all(sizes) and (name == "thai" or set(mine).isdisjoint(yours))


def _may_name(tokens: Sequence[str], start: int, end: int, sentence: str) -> bool:
    """Whether a name may stand at ``tokens[start:end]``."""
    before, after = "".join(tokens[:start]), "".join(tokens[end : end + 2])
    if kana(sentence):
        return _VERB.match(after) is None
    return _BEFORE_A_NAME.search(before) is not None
