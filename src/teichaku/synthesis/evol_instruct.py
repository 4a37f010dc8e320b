"""``evol_instruct``: instructions rewritten into harder and rarer ones, round by round (Xu et al.
2024, WizardLM, section 3).

In a round an instruction meets one operator, drawn with equal probability: five in depth (add a
constraint, deepen, concretise, increase the reasoning steps, complicate the input) and one in
breadth (a new instruction of the same domain, rarer). What comes is answered by the teacher and
goes into the next round, unless the eliminator takes it out (section 3.2 of the paper):

1. it asks nothing that its parent does not ask, as the teacher judges;
2. the answer is a refusal: it has a word of one and is shorter than 80 words;
3. the answer is nothing but punctuation and words that say nothing;
4. it copies words of the prompt that asked for the rewriting.

A parent whose child was eliminated goes into the next round unchanged.

Where the numbers come from: the four rounds, the eliminator with its 80 words and the operator
that complicates the input from the paper (the released code has one round, no eliminator and four
operators in depth); temperature 1, top-p 0.95 and 2,048 tokens from the code
(``Evol_Instruct/openai_access.py``); the 10 to 20 words that a rewriting in depth may add from the
prompts of both.

Ours differs in these points. Lists of words belong to a language, 80 words are 160 characters of
Japanese, and 10 to 20 words are 25 to 50. The paper knows a refusal by "sorry" alone; here other
words of refusing count too. A single letter, or a word that may be a whole answer (on, May), says
something. An instruction that is the worked example of the prompt copies it, too. An answer that
ran into the token limit is eliminated too, for it would teach to stop in mid-sentence. What an
instruction is applied to stands in its input, apart from it; an operator in depth that gives none
back leaves its parent's. A rewriting is judged before it is answered, which saves the answer. Each
instruction goes its way alone, so none waits for a round of the others.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from teichaku.core.asking import UnusableReplyError
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Reply, Request, Sampling, content_id
from teichaku.core.replies import last_json_object, text_value, without_thinking
from teichaku.core.text import comparable, normalise
from teichaku.synthesis.instruction_pool import Origin, chosen, worked_examples
from teichaku.synthesis.instruction_text import (
    InstructionWords,
    estimated_words,
    mentioned,
    own_input,
    says_nothing,
    similarity,
)
from teichaku.synthesis.method import Made, Subject, ask_about, incomplete, made, synthesize

IN_DEPTH = (
    "add_constraint",
    "deepen",
    "concretise",
    "increase_reasoning",
    "complicate_input",
)
IN_BREADTH = "in_breadth"
#: A refusal is shorter than this; a longer answer may well say sorry.
REFUSAL_WORDS = 80
#: Over this ROUGE-L an instruction is a worked example of the prompt; one of the same form with
#: other matter is less like it.
_COPIED = 0.9


@dataclass(frozen=True)
class EvolPrompts:
    """The prompts: the two ways to rewrite, whether two instructions ask the same, and the
    answer to one.
    """

    in_depth: Prompt
    in_breadth: Prompt
    equal: Prompt
    answer: Prompt


@dataclass(frozen=True)
class EvolInstruct:
    """Evolve each instruction of ``of`` (the seeds, or all made before too), or ``limit`` drawn
    ones, in ``rounds``.
    """

    prompts: EvolPrompts
    words: InstructionWords
    language: str
    seed: int = 0
    rounds: int = 4
    of: Origin = "seeds"
    limit: int | None = None
    operators: tuple[str, ...] = (*IN_DEPTH, IN_BREADTH)
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=2048)
    equal_sampling: Sampling = Sampling(max_tokens=256)
    name: str = "evol_instruct"

    def run(
        self,
        seeds: Sequence[Example],
        pool: Sequence[Example],
        teacher: ChatModel,
        again: Prompt | None = None,
        expecting: Callable[[int], None] = lambda requests: None,
    ) -> Iterator[Made]:
        """What became of each instruction in each round; examples with a document are left out."""
        units = chosen(seeds, pool, self.of, self.limit, content_id(self.seed, self.name))
        expecting(len(units))
        yield from synthesize(units, [self], teacher, again, expecting)

    def requests(self, unit: Example) -> Iterator[Request]:
        """The rewriting of the first round."""
        yield from self._next(unit, 0)

    def parse(self, reply: Reply) -> Iterator[Made | Request]:
        """What a rewriting leads to: whether it asks the same, its answer, the next rewriting.

        A reply that was asked for twice in vain counts as a failed evolution; a request that
        fails for good ends the rounds of its instruction.
        """
        read = {"evolve": self._evolved, "equal": self._judged, "answer": self._answered}
        try:
            yield from list(read[reply.request.subject.step](reply))
        except UnusableReplyError as unusable:
            if reply.request.attempt == 0:
                raise
            yield from self._eliminated(reply, "unparseable_reply", str(unusable))

    def _evolved(self, reply: Reply) -> Iterator[Made | Request]:
        parent: Example = reply.request.subject.unit
        found = last_json_object(reply.text, ("instruction",))
        question = text_value(found["instruction"]) if found else ""
        if found is None or not question:
            raise UnusableReplyError("no 'instruction' in the reply.")
        given = own_input(text_value(found.get("input")), question, self.words.no_input)
        if not given and reply.request.subject.style != IN_BREADTH:
            is_inside = normalise(parent.input) in normalise(question)
            given = "" if is_inside else parent.input
        evolved = _Evolved(question, given, _round(reply))
        if copied := self._copied(evolved.whole):
            yield from self._eliminated(reply, "copies_the_prompt", f"'{copied}': {evolved.whole}")
        elif comparable(evolved.whole) == comparable(parent.asked):
            yield from self._eliminated(reply, "no_information_gain", "it is its parent again")
        else:
            yield self._ask(
                reply, "equal", self.prompts.equal, self.equal_sampling, evolved, _EQUAL,
                instruction=parent.question, input=parent.input,
                evolved_instruction=evolved.question, evolved_input=evolved.input,
            )  # fmt: skip

    def _copied(self, whole: str) -> str:
        """What an instruction has of the prompt: its words, or a worked example; else empty."""
        examples = (shown for shown in self._shown if similarity(whole, shown) > _COPIED)
        return mentioned(whole, self.words.template) or next(examples, "")

    @cached_property
    def _shown(self) -> list[str]:
        prompts = (self.prompts.in_depth, self.prompts.in_breadth)
        return [example for prompt in prompts for example in worked_examples(prompt)]

    def _judged(self, reply: Reply) -> Iterator[Made | Request]:
        evolved: _Evolved = reply.request.subject.detail
        found = last_json_object(reply.text, ("equal",))
        if found is None or not isinstance(found["equal"], bool):
            raise UnusableReplyError("no true or false for 'equal' in the reply.")
        if found["equal"]:
            why = text_value(found.get("explanation"))
            yield from self._eliminated(reply, "no_information_gain", f"{why}: {evolved.whole}")
            return
        yield self._ask(
            reply, "answer", self.prompts.answer, self.sampling, evolved, None,
            instruction=evolved.question, input=evolved.input,
        )  # fmt: skip

    def _answered(self, reply: Reply) -> Iterator[Made | Request]:
        parent: Example = reply.request.subject.unit
        evolved: _Evolved = reply.request.subject.detail
        answer = without_thinking(reply.text).strip()
        reason, evidence = self._answer_fault(answer, reply.finish_reason)
        if reason:
            evidence = f"{evidence}: {evolved.whole} / {answer[:200]}"
            yield from self._eliminated(reply, reason, evidence)
            return
        example = made(
            reply, self.language, 0, evolved.question, answer,
            input=evolved.input, category=parent.category,
        )  # fmt: skip
        yield example
        yield from self._next(example, evolved.round + 1)

    def _answer_fault(self, answer: str, finish_reason: str) -> tuple[str, str]:
        """Which rule of the eliminator an answer breaks, with its evidence."""
        if finish_reason == "length":
            return "truncated_answer", "the answer ran into the token limit"
        if says_nothing(answer, self.words.empty):
            return "empty_answer", "the answer says nothing"
        word = mentioned(answer, self.words.refusals)
        if word and estimated_words(answer) < REFUSAL_WORDS:
            return "refusal", f"'{word}' in a short answer"
        return "", ""

    def _next(self, unit: Example, number: int) -> Iterator[Request]:
        """The rewriting of ``unit`` in the round ``number``, if there is such a round."""
        if number >= self.rounds:
            return
        drawn = random.Random(content_id(self.seed, self.name, unit.id, number))
        operator = drawn.choice(self.operators)
        evolved = _Evolved(round=number)
        subject = Subject(unit, self, "evolve", operator, detail=evolved)
        values = {"instruction": unit.question, "input": unit.input}
        if operator == IN_BREADTH:
            prompt = self.prompts.in_breadth
        else:
            prompt, values["operator"] = self.prompts.in_depth, operator
        yield ask_about(subject, prompt, self.sampling, self.seed, number, _INSTRUCTION, **values)

    def _ask(
        self,
        reply: Reply,
        step: str,
        prompt: Prompt,
        sampling: Sampling,
        evolved: "_Evolved",
        schema: dict[str, Any] | None,
        **values: object,
    ) -> Request:
        """The next step about the instruction that ``evolved`` from the subject of ``reply``."""
        before: Subject = reply.request.subject
        subject = Subject(before.unit, self, step, before.style, detail=evolved)
        return ask_about(subject, prompt, sampling, self.seed, evolved.round, schema, **values)

    def _eliminated(self, reply: Reply, reason: str, evidence: str) -> Iterator[Dropped | Request]:
        """The place of an evolution that failed; its parent goes on to the next round."""
        parent: Example = reply.request.subject.unit
        what = f"round {_round(reply) + 1}, {reply.request.subject.style}: {evidence}"
        yield incomplete(reply, 0, reason, what, reply.text)
        yield from self._next(parent, _round(reply) + 1)


@dataclass(frozen=True)
class _Evolved:
    """What an instruction became in a round, counted from 0."""

    question: str = ""
    input: str = ""
    round: int = 0

    @property
    def whole(self) -> str:
        return f"{self.question}\n\n{self.input}" if self.input else self.question


def _round(reply: Reply) -> int:
    evolved: _Evolved = reply.request.subject.detail
    return evolved.round


_INSTRUCTION = {
    "type": "object",
    "properties": {"instruction": {"type": "string"}, "input": {"type": "string"}},
    "required": ["instruction", "input"],
}
_EQUAL = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "equal": {"type": "boolean"}},
    "required": ["explanation", "equal"],
}
