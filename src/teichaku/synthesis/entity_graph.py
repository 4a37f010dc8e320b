"""``entity_graph``: entities of a document, then texts about the relations between them (EntiGraph,
Yang et al. 2024, "Synthetic continued pretraining", arXiv 2409.07431, section 2.2; S4's third
method).

As published: one reply gives a summary and an exhaustive list of the people, places, objects and
concepts of the document, asked for again until it can be read (once more here); the summary is
training text too. Then all pairs of entities, then triples in a shuffled order, each asked with
the whole document in the prompt: what the document says of each entity, then how they interact,
always naming the title. Temperature 1.0 throughout. The published corpus has about 350 tokens a
token of the source (455 million for 1.3 million).

Where ours differs: entities must stand in the document, aliases are put together, and only the
``max_entities`` most salient ones are kept, because pairs grow with the square and triples with
the cube of their number; a text that leaves out one of its entities or the title is refused;
pairs that stand near each other come first; triples are capped; a budget of tokens a document
ends both. The relation is looked at from one of several *angles*, in turn: that is S4's, the list
of angles is our own. The prompts are our own.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Passage, Reply, Request, Sampling, content_id
from teichaku.core.replies import json_objects, text_value
from teichaku.core.text import sentences, title_names
from teichaku.synthesis.entities import (
    Entity,
    entity_key,
    is_named,
    ranked_pairs,
    salient_entities,
)
from teichaku.synthesis.method import (
    Made,
    Subject,
    UnusableReplyError,
    ask_about,
    incomplete,
    made,
)
from teichaku.synthesis.running_text import rewritten_text, running_text

#: A list that never ends is cut by the schema; EntiGraph has no limit.
_LONGEST_LIST = 100
_SCHEMA = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "entities": {"type": "array", "items": {"type": "string"}, "maxItems": _LONGEST_LIST},
    },
    "required": ["summary", "entities"],
}


@dataclass(frozen=True)
class EntityGraph:
    """Texts about the relations in a document, asked for at the first of its passages.

    ``documents`` are the whole texts by document id; of one longer than
    ``document_characters`` only its beginning is sent, and the rest comes out as dropped.
    ``angles`` are sides from which a relation is looked at. ``max_pairs``, ``max_triples``: how
    many texts about two and three entities at most; None is all there are.
    ``tokens_per_document`` ends both: a reply is reckoned with ``usual_tokens``, so the budget
    is kept on average and not by the token.
    """

    documents: Mapping[str, str]
    list_prompt: Prompt
    relation_prompt: Prompt
    language: str
    angles: Sequence[str]
    seed: int = 0
    max_entities: int = 20
    max_pairs: int | None = None
    max_triples: int | None = 100
    tokens_per_document: int | None = None
    usual_tokens: int = 400
    document_characters: int = 12_000
    sampling: Sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=1024)
    name: str = "entity_graph"

    def requests(self, passage: Passage) -> Iterator[Request | Made]:
        """The request for summary and entities, once a document."""
        if passage.index != 0:
            return
        document = self.documents[passage.document_id]
        shown = self._shown(document)
        if len(shown) < len(document):
            yield _cut(passage, document, shown)
        sampling = replace(self.sampling, max_tokens=max(2048, self.sampling.max_tokens))
        yield ask_about(
            Subject(passage, self, "entities", "summary"), self.list_prompt, sampling, self.seed,
            0, _SCHEMA, document=shown, title=passage.title,
        )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Made | Request]:
        """The summary and the requests for relations; or the text about a relation.

        Raises :class:`UnusableReplyError` where summary or entities cannot be read, or where the
        text does not name each of its entities (by one of its names) and the title; an entity
        that stands in the title names it too.
        """
        subject: Subject = reply.request.subject
        if subject.step == "entities":
            yield from self._from_list(reply)
            return
        passage = subject.unit
        assert isinstance(passage, Passage)
        text = rewritten_text(reply, shown=self._shown(self.documents[passage.document_id]))
        missing = _not_named(text, subject.detail, passage.title)
        if missing:
            raise UnusableReplyError("the text does not name: {names}.", names=", ".join(missing))
        yield made(reply, self.language, 0, "", text)

    def _from_list(self, reply: Reply) -> Iterator[Made | Request]:
        passage: Passage = reply.request.subject.unit
        summary, listed = _read_list(reply.text)
        shown = self._shown(self.documents[passage.document_id])
        whole_reply = replace(reply, text=summary, finish_reason="stop")
        try:
            yield made(reply, self.language, 0, "", running_text(whole_reply, shown=shown))
        except UnusableReplyError as unusable:
            yield incomplete(reply, 0, "unusable_summary", str(unusable), summary)
        # The title names what the document is about, which its text may never do.
        whole = f"{passage.title}\n{shown}"
        found = salient_entities(listed, whole)
        entities = found[: self.max_entities]
        yield from self._left_out(reply, listed, found)
        drawn = random.Random(content_id(self.seed, self.name, passage.document_id))
        angles = drawn.sample(list(self.angles), len(self.angles))
        for index, group in enumerate(self._groups(entities, drawn)):
            forms = {entity.name: entity.names for entity in group}
            style = "pair" if len(group) == 2 else "triple"
            yield ask_about(
                Subject(passage, self, "relation", style, detail=forms), self.relation_prompt,
                self.sampling, self.seed, index, entities=list(forms),
                angle=angles[index % len(angles)], document=shown, title=passage.title,
            )  # fmt: skip

    def _left_out(
        self, reply: Reply, listed: Sequence[str], found: Sequence[Entity]
    ) -> Iterator[Dropped]:
        """The names that nothing is asked about; an alias goes with its entity."""
        known = {entity_key(name) for entity in found for name in entity.names}
        over = {entity.name: entity for entity in found[self.max_entities :]}
        for position, name in enumerate(listed, 1):
            if entity_key(name) not in known:
                reason, why = "entity_not_in_document", f"'{name}' does not stand in the document"
            elif name in over:
                names, count = over[name].names, len(over[name].sentences)
                reason = "over_limit"
                why = (
                    f"{', '.join(names)}: in {count} sentence(s); the {self.max_entities} "
                    "entities that most sentences name are kept"
                )
            else:
                continue
            yield replace(incomplete(reply, position, reason, why, name), kind="Entity")

    def _groups(self, entities: Sequence[Entity], drawn: random.Random) -> list[tuple[Entity, ...]]:
        """Pairs, then triples, as far as the caps and the budget allow."""
        triples = list(combinations(entities, 3))
        drawn.shuffle(triples)
        groups: list[tuple[Entity, ...]] = [
            *ranked_pairs(entities)[: self.max_pairs],
            *triples[: self.max_triples],
        ]
        if self.tokens_per_document is not None:
            groups = groups[: self.tokens_per_document // self._reply_tokens()]
        return groups

    def _reply_tokens(self) -> int:
        return min(self.usual_tokens, self.sampling.max_tokens)

    def _shown(self, document: str) -> str:
        """The beginning of ``document`` that prompts have, in whole sentences."""
        return _beginning(document, self.document_characters)


@lru_cache(maxsize=8)
def _beginning(document: str, characters: int) -> str:
    if len(document) <= characters:
        return document
    shown = ""
    for sentence in sentences(document):
        if len(shown) + len(sentence) > characters:
            break
        shown += sentence
    return shown.rstrip() or document[:characters]


def joined_documents(passages: Sequence[Passage]) -> dict[str, str]:
    """The whole text of each document, by its id, from its passages."""
    texts: dict[str, list[str]] = {}
    for passage in sorted(passages, key=lambda passage: (passage.document_id, passage.index)):
        texts.setdefault(passage.document_id, []).append(passage.text)
    return {document: "\n".join(parts) for document, parts in texts.items()}


def _not_named(text: str, entities: Mapping[str, Sequence[str]], title: str) -> list[str]:
    """Those of ``entities``, each with its names, and of ``title`` that ``text`` does not name."""
    missing = [
        entity
        for entity, names in entities.items()
        if not any(is_named(text, name) for name in names)
    ]
    forms = [name for names in entities.values() for name in names if is_named(title, name)]
    if title and not any(is_named(text, name) for name in [*title_names(title), *forms]):
        missing.append(title)
    return missing


def _read_list(text: str) -> tuple[str, list[str]]:
    for found in json_objects(text):
        summary, entities = text_value(found.get("summary")), found.get("entities")
        if summary and isinstance(entities, list):
            named = (text_value(e.get("name") if isinstance(e, dict) else e) for e in entities)
            return summary, list(dict.fromkeys(name for name in named if name))
    raise UnusableReplyError("no JSON object with a summary and a list of entities.")


def _cut(passage: Passage, document: str, shown: str) -> Dropped:
    return Dropped(
        content_id("document_cut", passage.document_id),
        "Document",
        "synthesis",
        "document_cut",
        f"{passage.source}: prompts of entity_graph have its first {len(shown)} of "
        f"{len(document)} characters",
    )
