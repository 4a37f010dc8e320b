"""``self_contained``: the question names what it asks about.

A question such as "How long does this game take?" cannot be answered without the passage in
sight, so it teaches nothing and tests nothing. Two ways to fall: a word that points at
something outside the question, with the thing itself not named; or no term at all that tells
this document from the others. Running text falls only for the latter.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from teichaku.core.records import Dropped, Example, Passage
from teichaku.core.run_folder import dropped
from teichaku.core.text import (
    character_ngrams,
    comparable,
    contains,
    content_terms,
    is_unspaced,
    kana,
    normalise,
    numbers,
    script,
    title_names,
)

#: Words that point outside the question, on the normalised text, by language.
_POINTERS: dict[str, str] = {
    "ja": (
        r"(?<!ど)(?<!きの)(?<!けの)(?<!ね)(?:この|その|これらの|それらの|上記の?|前述の?|当該|下記の?)[^\s、。？?「」]{0,12}"
        r"|(?:これ|それ)(?:は|が|を|に|の|ら)"
        r"|本(?:研究|論文|稿|書|製品|商品|文書|資料|作品|記事|手法|ゲーム|サービス|システム|発表|調査)"
        r"|(?:筆者|著者)(?:ら|たち)?"
    ),
    "en": (
        r"\b(?:this|these|the given|the above|the following|the aforementioned)\s+\w+"
        r"|\bthe (?:game|paper|study|article|passage|text|document|authors?|product)\b"
        r"|\b(?:it|its|they|their)\b"
    ),
    "zh": r"(?:这|该|此|上述|以上)[个款本篇项种些]?\w{0,6}|本文|本研究|作者",
    "th": r"นี้|ดังกล่าว|ข้างต้น",
}

#: How long a part of a phrase tells documents apart, in scripts without word boundaries.
_PHRASE_PARTS = {"han": 4, "thai": 8}
_LEAST_LONG_NAME = 5
_SHARE_OF_NAME = 0.8


def pointer(question: str, language: str) -> str:
    """The first word in ``question`` that points outside it; empty where there is none."""
    pattern = _POINTERS.get(language)
    match = re.search(pattern, normalise(question)) if pattern else None
    return match.group().strip() if match else ""


def names_title(question: str, title: str) -> bool:
    """Whether ``question`` names ``title``, a part of it that stands alone (a translated or
    bracketed name beside the name), or most of it in one piece (a name loses its ending in a
    sentence: 真贋のはざまで becomes 真贋のはざまの).
    """
    asked, whole = comparable(question), comparable(title)
    if not whole or whole in asked:
        return bool(whole)
    if any(len(comparable(name)) >= 2 and contains(question, name) for name in title_names(title)):
        return True
    longest = SequenceMatcher(None, whole, asked, autojunk=False).find_longest_match().size
    return len(whole) >= _LEAST_LONG_NAME and longest >= _SHARE_OF_NAME * len(whole)


@dataclass
class SelfContained:
    """The filter. ``passages`` must be all passages of the run: what tells a document from
    the others is counted over them.
    """

    passages: Mapping[str, Passage]
    language: str
    _documents_by_term: dict[str, set[str]] = field(init=False, repr=False)
    _rare: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._documents_by_term = {}
        for passage in self.passages.values():
            whole = f"{passage.title}\n{passage.text}"
            for term in (*_telling_terms(whole), *map(_as_figure, numbers(whole))):
                self._documents_by_term.setdefault(term, set()).add(passage.document_id)
        documents = {passage.document_id for passage in self.passages.values()}
        self._rare = max(1, len(documents) // 10)

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example once, or its place as dropped."""
        for example in examples:
            objection = self._objection(example)
            if objection:
                yield dropped(example, "curation", "not_self_contained", objection)
            else:
                yield example

    def _objection(self, example: Example) -> str:
        passage = self.passages.get(example.passage_id)
        if passage is None or (passage.title and names_title(example.wording, passage.title)):
            return ""
        # Running text may point back at what it has said before.
        pointing = "" if example.is_text else pointer(example.question, self.language)
        if pointing:
            return f"'{pointing}' points at something that the question does not name"
        if not self._names_its_document(example):
            return "nothing in it tells this document from the others"
        return ""

    def _names_its_document(self, example: Example) -> bool:
        """A term counts that at most a tenth of the documents (but always one) have. Where the
        answer is the name, the question cannot give it: a figure may tell the document, too.
        """
        terms = list(_telling_terms(example.wording))
        if names_title(example.answer, self.passages[example.passage_id].title):
            terms += map(_as_figure, numbers(example.wording))
        for term in terms:
            having = self._documents_by_term.get(term, set())
            if example.document_id in having and len(having) <= self._rare:
                return True
        return False


def _as_figure(number: str) -> str:
    """A key for a number beside those of terms."""
    return f"={number}"


def _telling_terms(text: str) -> Iterator[str]:
    """The terms of ``text`` that are long enough to be a name; where a term is a whole phrase
    (Chinese, Thai), its parts of that length.
    """
    phrases = not kana(text)
    for term in content_terms(text):
        size = _PHRASE_PARTS.get(script(term[-1]), 0) if phrases else 0
        if size and len(term) > size:
            yield from character_ngrams(term, size)
        elif sum(not c.isdigit() for c in term) >= (3 if is_unspaced(term) else 4):
            yield term
