"""``self_instruct``: new instructions from a pool that grows with them (Wang et al. 2023,
Self-Instruct, sections 2.2 and 3.1).

Eight instructions of the pool, six by people and two by the machine, stand shuffled in a
numbered list that the teacher goes on with up to the sixteenth place; what comes is filtered
and joins the pool. Then the teacher says which instructions are classification tasks; for those
the output (a label) is written before the input, so that not all inputs get the same label, for
the others the input first.

The numbers of the paper and its code are kept: temperature 0.7, top-p 0.5, presence penalty 2 and
1,024 tokens for the list; greedy replies for the rest, with a presence penalty of 1.5 and at most
350 tokens for up to five instances of a task (300 for a classification); an item falls at 3 words
or fewer and over 150, and over a ROUGE-L of 0.7 with anything in the pool.

Ours differs in these points:

- The paper filters English with English means: words between spaces, an ASCII letter at the
  beginning, a ROUGE that drops all other letters. Japanese would lose every instruction to the
  first two and keep every duplicate by the third. Here words are counted where there are any,
  else characters stand for them; the instruction must be in its language; words to avoid come
  from a list of the language.
- The paper asks one request after the other, each from the pool as the one before left it.
  Here a round of requests is built from the pool at its beginning, and what comes is taken in
  the order of the requests: a server is kept busy, and a run that was killed gives the same
  bytes. A round has at most a list for every eight instructions of the pool, so all that it is
  asked for is less than the pool, and each item is still compared with all others.
- The list shows eight different instructions, however many instances each of them has.
- The paper throws away a list that ran into the token limit; here only its last item falls. The
  paper has the server stop at the sixteenth item; here the list is only read up to it, for a
  model that thinks may draft the whole list first, and would be cut off there.
- Classification is asked with 10 examples (the released code: 31) and with 32 tokens (3), for the
  reply is JSON, as those with instances are.
- An instruction without input keeps one answer. Instances that come twice, are more than was
  asked for, or stand in the prompt fall.
"""

import random
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

from teichaku.core.asking import UnusableReplyError, ask
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Reply, Request, Sampling, content_id
from teichaku.core.replies import (
    json_objects,
    labelled_parts,
    last_json_object,
    list_item,
    text_value,
    without_thinking,
    yes_or_no,
)
from teichaku.core.text import comparable, is_language, normalise
from teichaku.synthesis.instruction_pool import by_wording, numbered_lines, without_document
from teichaku.synthesis.instruction_text import (
    InstructionWords,
    SimilarityIndex,
    begins_with,
    begins_with_punctuation,
    estimated_words,
    mentioned,
    own_input,
    without_quotes,
)
from teichaku.synthesis.method import Made, Subject, ask_about, incomplete, made, synthesize

#: An item has more words than the first and not more than the second.
WORDS = (3, 150)
SIMILARITY = 0.7
_SHOWN, _SHOWN_OF_MACHINE, _LAST = 8, 2, 16
#: So many new instructions are asked for in a list.
LIST_ITEMS = _LAST - 1 - _SHOWN
#: A teacher that has nothing new in so many rounds has no more.
_IDLE_ROUNDS = 3
_SPACES = re.compile(r"\s+")
_COLONS = (":", "：")
_CLASSIFICATION_LABELS = {"said": ("classification", "分類")}

LIST_SAMPLING = Sampling(temperature=0.7, top_p=0.5, max_tokens=1024, presence_penalty=2.0)
CLASSIFY_SAMPLING = Sampling(max_tokens=32)
INPUT_FIRST_SAMPLING = Sampling(max_tokens=350, presence_penalty=1.5)
OUTPUT_FIRST_SAMPLING = Sampling(max_tokens=300, presence_penalty=1.5)


@dataclass(frozen=True)
class SelfInstructPrompts:
    """The prompts: more instructions, whether one is a classification, and its instances in
    both orders.
    """

    more: Prompt
    classify: Prompt
    input_first: Prompt
    output_first: Prompt


@dataclass(frozen=True)
class SelfInstruct:
    """Ask for lists in rounds until there are ``instructions`` new ones, ``max_rounds`` are over or
    three in a row gave nothing; then for up to ``instances`` instances of each. A round has at most
    ``requests_per_round`` lists, and one for eight instructions of the pool.

    A few more than ``instructions`` can come, for the last lists are kept whole.
    """

    prompts: SelfInstructPrompts
    words: InstructionWords
    language: str
    seed: int = 0
    instructions: int = 1000
    requests_per_round: int = 16
    max_rounds: int = 200
    instances: int = 5
    similarity: float = SIMILARITY
    list_sampling: Sampling = LIST_SAMPLING
    classify_sampling: Sampling = CLASSIFY_SAMPLING
    input_first_sampling: Sampling = INPUT_FIRST_SAMPLING
    output_first_sampling: Sampling = OUTPUT_FIRST_SAMPLING
    name: str = "self_instruct"

    def run(
        self,
        seeds: Sequence[Example],
        pool: Sequence[Example],
        teacher: ChatModel,
        again: Prompt | None = None,
        expecting: Callable[[int], None] = lambda requests: None,
    ) -> Iterator[Made]:
        """Instructions with input and output; an example's parents are the seeds, and what was
        made before, that its list showed. Examples with a document are no part of the pool.
        """
        people = by_wording(without_document(seeds))
        machine = by_wording(without_document(pool))
        questions = (example.question for example in (*people.values(), *machine.values()))
        known = SimilarityIndex([*questions, *numbered_lines(self.prompts.more)])
        for wording in people:
            machine.pop(wording, None)
        made_now: list[Example] = []
        counts: list[int] = []
        for number in range(self.max_rounds):
            missing = self.instructions - len(made_now)
            if missing <= 0 or counts[-_IDLE_ROUNDS:] == [len(made_now)] * _IDLE_ROUNDS:
                break
            counts.append(len(made_now))
            asked = self._round([*people.values()], [*machine.values()], number, missing)
            expecting(len(asked))
            replies: list[_Listed] = []
            stream: Iterator[_Listed | Dropped] = ask(
                teacher, asked, _read_list, self._lost_list, again, expecting
            )
            for found in stream:
                if isinstance(found, Dropped):
                    yield found
                else:
                    replies.append(found)
            for record in self._sorted_out(replies, known):
                if isinstance(record, Example):
                    made_now.append(record)
                    machine.setdefault(comparable(record.question), record)
                else:
                    yield record
        expecting(len(made_now))
        yield from synthesize(made_now, [self], teacher, again, expecting)

    def requests(self, unit: Example) -> Iterator[Request]:
        """Whether the instruction of ``unit`` is a classification task."""
        yield ask_about(
            Subject(unit, self, "classify"), self.prompts.classify, self.classify_sampling,
            self.seed, 0, _CLASSIFICATION, instruction=unit.question,
        )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Made | Request]:
        """The request for the instances of an instruction, then the instances themselves."""
        if reply.request.subject.step == "classify":
            yield self._instances_request(reply)
        else:
            yield from self._instances(reply)

    def _round(
        self, people: Sequence[Example], machine: Sequence[Example], number: int, missing: int
    ) -> list[Request]:
        """The lists to ask for in the round ``number`` where ``missing`` instructions are."""
        lists = min(
            self.requests_per_round,
            ceil(missing / LIST_ITEMS),
            max(1, (len(people) + len(machine)) // _SHOWN),
        )
        return [self._list_request(people, machine, number, place) for place in range(lists)]

    def _list_request(
        self, people: Sequence[Example], machine: Sequence[Example], number: int, place: int
    ) -> Request:
        drawn = random.Random(content_id(self.seed, self.name, number, place))
        shown = drawn.sample(machine, min(_SHOWN_OF_MACHINE, len(machine)))
        shown += drawn.sample(people, min(_SHOWN - len(shown), len(people)))
        drawn.shuffle(shown)
        # What this run made is not answered yet, and may never become an example.
        parents = tuple(sorted(example.id for example in shown if example.answer))
        return Request(
            self.prompts.more.messages(
                instructions=[_SPACES.sub(" ", example.question) for example in shown],
                first=len(shown) + 1,
                last=_LAST - 1,
            ),
            replace(self.list_sampling, seed=drawn.getrandbits(31)),
            sample_index=number * self.requests_per_round + place,
            prompt=self.prompts.more.name,
            subject=_Place(self.name, number, place, parents),
        )

    def _sorted_out(
        self, replies: Iterable["_Listed"], known: SimilarityIndex
    ) -> Iterator[Example | Dropped]:
        """The items of a round that may join the pool, as examples without an answer; the others
        dropped.
        """
        lists = sorted(replies, key=lambda listed: listed.of.place)
        items = list(dict.fromkeys(item for listed in lists for item in listed.items))
        # All at once against what was known before, then one by one against what joined since.
        before = dict(zip(items, known.nearest_each(items, self.similarity), strict=True))
        since = len(known)
        for listed in lists:
            for position, item in enumerate(listed.items):
                reason, evidence = self._objection(item)
                if not reason:
                    near = before[item] or known.nearest(item, self.similarity, since)
                    if near:
                        reason, evidence = "too_similar", f"{near[1]:.2f} like '{near[0]}'"
                if listed.is_cut and position == len(listed.items) - 1:
                    reason, evidence = "truncated", "the list ran into the token limit"
                identifier = content_id(
                    self.name, listed.of.number, listed.of.place, position, item
                )
                if reason:
                    evidence = f"{listed.of.described}: {evidence}: {item}"
                    yield Dropped(identifier, "Example", "synthesis", reason, evidence, raw=item)
                    continue
                known.add(item)
                yield Example(identifier, "", "", self.name, item, "", parent_ids=listed.of.parents)

    def _objection(self, item: str) -> tuple[str, str]:
        """Why an item is of no use, in a word and with its evidence; empty where it is."""
        count = estimated_words(item)
        if count <= WORDS[0]:
            return "too_short", f"about {count:.0f} words"
        if count > WORDS[1]:
            return "too_long", f"about {count:.0f} words"
        if word := mentioned(item, self.words.beyond_text):
            return "beyond_text", f"it speaks of '{word}'"
        if word := self._program(item):
            return "asks_for_a_program", f"'{word}'"
        if begins_with_punctuation(item):
            return "begins_with_punctuation", f"it begins with '{item[0]}'"
        if not is_language(item, self.language):
            return "wrong_language", f"expected {self.language}"
        return "", ""

    def _program(self, item: str) -> str:
        words = self.words
        return begins_with(item, words.program_begins) or mentioned(item, words.program_holds)

    def _lost_list(self, reply: Reply, reason: str, evidence: str) -> Dropped:
        place: _Place = reply.request.subject
        identifier = content_id("list", self.name, place.number, place.place)
        return Dropped(
            identifier, "Example", "synthesis", reason, f"{place.described}: {evidence}",
            raw=reply.text,
        )  # fmt: skip

    def _instances_request(self, reply: Reply) -> Request:
        is_classification = _said_classification(reply.text)
        if is_classification is None:
            raise UnusableReplyError("no true or false for 'classification' in the reply.")
        unit: Example = reply.request.subject.unit
        step = "output_first" if is_classification else "input_first"
        prompt = self.prompts.output_first if is_classification else self.prompts.input_first
        sampling = self.output_first_sampling if is_classification else self.input_first_sampling
        order = ("output", "input") if is_classification else ("input", "output")
        return ask_about(
            Subject(unit, self, step, step), prompt, sampling, self.seed, 0,
            _instances_schema(order, self.instances),
            instruction=unit.question, count=self.instances,
        )  # fmt: skip

    @cached_property
    def _shown(self) -> frozenset[tuple[str, str]]:
        """The instances that the prompts show."""
        prompts = (self.prompts.input_first, self.prompts.output_first)
        sections = (section for prompt in prompts for _, section in prompt.sections)
        pairs = (pair for section in sections for pair in _read_instances(section))
        return frozenset((normalise(given), normalise(output)) for given, output in pairs)

    def _instances(self, reply: Reply) -> Iterator[Example | Dropped]:
        instruction: Example = reply.request.subject.unit
        pairs = [
            (own_input(given, instruction.question, self.words.no_input), output)
            for given, output in _read_instances(reply.text)
        ]
        if not pairs:
            raise UnusableReplyError("no instance with input and output in the reply.")
        contradicted = _contradicted(pairs)
        seen: set[str] = set()
        for position, (given, output) in enumerate(pairs):
            reason = instance_fault(given, output)
            if not reason and (normalise(given), normalise(output)) in self._shown:
                reason = "copies_the_prompt"
            if contradicted:
                reason = "contradicting_outputs"
            elif not reason and position >= self.instances:
                reason = "over_limit"
            elif not reason and given in seen:
                reason = "repeated_input"
            if reason:
                evidence = f"input '{given[:80]}', output '{output[:80]}'"
                raw = f"{given}\n{output}"
                yield incomplete(reply, position, reason, evidence, raw)
                continue
            seen.add(given)
            example = made(
                reply, self.language, position, instruction.question, output, input=given
            )
            yield replace(example, parent_ids=instruction.parent_ids)
        if reply.finish_reason == "length" and last_json_object(reply.text, ("instances",)) is None:
            evidence = "the reply ran into the token limit in this instance."
            yield incomplete(reply, len(pairs), "truncated", evidence, reply.text)


@dataclass(frozen=True)
class _Place:
    """Which list a request is: the round, the place in it, and whose instructions it shows."""

    method: str
    number: int
    place: int
    parents: tuple[str, ...]

    @property
    def described(self) -> str:
        return f"{self.method}, round {self.number + 1}, list {self.place + 1}"


@dataclass(frozen=True)
class _Listed:
    """The items of a list, in order; of a cut one the last item is not whole."""

    of: _Place
    items: tuple[str, ...]
    is_cut: bool


def _said_classification(text: str) -> bool | None:
    """Whether a reply says that a task is a classification, in JSON or in a word; None where it
    says neither.
    """
    found = last_json_object(text, ("classification",))
    if found:
        said = found["classification"]
        return said if isinstance(said, bool) else yes_or_no(text_value(said))
    named: dict[str, str] = next(labelled_parts(text, _CLASSIFICATION_LABELS), {})
    return yes_or_no(named.get("said", text))


def _read_list(reply: Reply) -> Iterator[_Listed]:
    items, is_open = numbered_items(reply.text)
    if not items:
        raise UnusableReplyError("no numbered list of instructions in the reply.")
    is_cut = reply.finish_reason == "length" and is_open
    yield _Listed(reply.request.subject, tuple(items), is_cut)


def numbered_items(text: str) -> tuple[list[str], bool]:
    """The items of the numbered list in ``text`` before the sixteenth, and whether the last of
    them goes on to the end of ``text``. What stands before the list, or behind an empty line of
    it, is no part of them.
    """
    items: list[list[str]] = []
    is_open = False
    #: The list may begin anew, or go on with the one that the prompt shows.
    expected: Container[int] = range(1, _SHOWN + 2)
    for line in without_thinking(text).split("\n"):
        begun = list_item(line, expected)
        if begun and begun.number is not None:
            is_open = begun.number < _LAST
            if not is_open:
                break
            items.append([begun.text])
            expected = (begun.number + 1,)
        elif not line.strip():
            is_open = False
        elif is_open:
            items[-1].append(line)
    found = list(map(_joined, items))
    return list(filter(None, found)), is_open and bool(found[-1])


def _joined(lines: Sequence[str]) -> str:
    return without_quotes("\n".join(lines).strip().strip("*").strip()).strip()


def instance_fault(given: str, output: str) -> str:
    """Why an instance teaches nothing, in a word; empty where it is in order. An end in a colon
    is one of a text that was broken off.
    """
    if not output:
        return "empty_output"
    if normalise(given) == normalise(output):
        return "input_is_output"
    if given.endswith(_COLONS) or output.endswith(_COLONS):
        return "ends_with_colon"
    return ""


def _contradicted(pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether one input has two outputs: then the instruction does not say what it wants."""
    outputs: dict[str, str] = {}
    return any(
        normalise(outputs.setdefault(normalise(given), output)) != normalise(output)
        for given, output in pairs
        if given and output
    )


_CLASSIFICATION = {
    "type": "object",
    "properties": {"classification": {"type": "boolean"}},
    "required": ["classification"],
}


def _instances_schema(order: Sequence[str], count: int) -> dict[str, Any]:
    """The schema of a reply with up to ``count`` instances, their parts in ``order``."""
    parts = {name: {"type": "string"} for name in order}
    instance = {"type": "object", "properties": parts, "required": list(order)}
    instances = {"type": "array", "items": instance, "minItems": 1, "maxItems": count}
    return {"type": "object", "properties": {"instances": instances}, "required": ["instances"]}


def _read_instances(text: str) -> Iterator[tuple[str, str]]:
    """(input, output) of every instance in the reply, also where the list was cut off."""
    for found in json_objects(text):
        listed = found.get("instances", [found] if "output" in found else [])
        for instance in listed if isinstance(listed, list) else []:
            parts = instance if isinstance(instance, dict) else {}
            yield text_value(parts.get("input")), text_value(parts.get("output"))
