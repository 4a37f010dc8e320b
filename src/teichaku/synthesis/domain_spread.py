"""``domain_spread``: each instruction carried into many domains (S2, ATHEUS-instructions).

S2 says that each of its seeds was spread over many domains, no more. Here the teacher gets an
instruction with its input and output as the pattern, and a domain with what is done in it, and
writes the same kind of task for that domain, with input and output. The list of domains ships
with the prompts; a file of the user's can stand in for it. What is too much like its seed, or like
the worked example of the prompt (ROUGE-L over 0.7, as in ``self_instruct``), falls.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from teichaku.core.asking import UnusableReplyError
from teichaku.core.models import ChatModel
from teichaku.core.prompts import Prompt
from teichaku.core.records import Dropped, Example, Reply, Request, Sampling, content_id
from teichaku.core.replies import last_json_object, text_value
from teichaku.core.text import is_language
from teichaku.synthesis.instruction_pool import Origin, chosen, worked_examples
from teichaku.synthesis.instruction_text import InstructionWords, own_input, similarity
from teichaku.synthesis.method import Made, Subject, ask_about, incomplete, made, synthesize
from teichaku.synthesis.self_instruct import SIMILARITY, instance_fault

_PARTS = ("instruction", "input", "output")
_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in _PARTS},
    "required": list(_PARTS),
}


@dataclass(frozen=True)
class Domain:
    """A field of work or life, and what people do in it."""

    name: str
    description: str


@dataclass(frozen=True)
class DomainSpread:
    """Carry each instruction of ``of`` (the seeds, or all made before too), or ``limit`` drawn
    ones, into ``per_seed`` drawn domains; None: into all.
    """

    prompt: Prompt
    words: InstructionWords
    language: str
    domains: Sequence[Domain]
    seed: int = 0
    per_seed: int | None = 8
    of: Origin = "seeds"
    limit: int | None = None
    similarity: float = SIMILARITY
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=1024)
    name: str = "domain_spread"

    def run(
        self,
        seeds: Sequence[Example],
        pool: Sequence[Example],
        teacher: ChatModel,
        again: Prompt | None = None,
        expecting: Callable[[int], None] = lambda requests: None,
    ) -> Iterator[Made]:
        """One example for each instruction and domain; examples with a document are left out."""
        units = chosen(seeds, pool, self.of, self.limit, content_id(self.seed, self.name))
        expecting(sum(len(self.drawn(unit)) for unit in units))
        yield from synthesize(units, [self], teacher, again, expecting)

    def drawn(self, unit: Example) -> list[Domain]:
        """The domains for ``unit``: seeded, each at most once, in the order of the list."""
        if self.per_seed is None or self.per_seed >= len(self.domains):
            return list(self.domains)
        drawn = random.Random(content_id(self.seed, self.name, unit.id))
        chosen = drawn.sample(range(len(self.domains)), self.per_seed)
        return [self.domains[place] for place in sorted(chosen)]

    def requests(self, unit: Example) -> Iterator[Request]:
        """One request a domain; the instruction first and the domain last, for prefix caches."""
        for domain in self.drawn(unit):
            yield ask_about(
                Subject(unit, self, style=domain.name), self.prompt, self.sampling, self.seed, 0,
                _SCHEMA, instruction=unit.question, input=unit.input, output=unit.answer,
                domain=domain.name, description=domain.description,
            )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example | Dropped]:
        """The instruction in the new domain, which is its example's ``style``."""
        seed: Example = reply.request.subject.unit
        found = last_json_object(reply.text, ("instruction", "output"))
        if found is None:
            raise UnusableReplyError("no instruction and output in the reply.")
        instruction, given, output = (text_value(found.get(name)) for name in _PARTS)
        if not instruction or not output:
            raise UnusableReplyError("the instruction or the output is empty.")
        given = own_input(given, instruction, self.words.no_input)
        example = made(
            reply, self.language, 0, instruction, output, input=given, category=seed.category
        )
        reason, evidence = self._objection(seed, example)
        if reason:
            what = f"{reply.request.subject.style}: {evidence}"
            yield incomplete(reply, 0, reason, what, reply.text)
        else:
            yield example

    def _objection(self, seed: Example, example: Example) -> tuple[str, str]:
        """Why an example falls, in a word and with its evidence; empty where it stays."""
        if fault := instance_fault(example.input, example.answer):
            return fault, f"input '{example.input[:80]}', output '{example.answer[:80]}'"
        if not is_language(example.question, self.language):
            return "wrong_language", f"expected {self.language}: {example.question[:200]}"
        # With the input: many an instruction stays as it is, and only its input changes.
        share = similarity(example.asked, seed.asked)
        if share > self.similarity:
            return "too_similar", f"{share:.2f} like its seed: {example.asked[:200]}"
        for shown in self._shown:
            if (share := similarity(example.asked, shown)) > self.similarity:
                return "copies_the_prompt", f"{share:.2f} like its worked example: {shown[:200]}"
        return "", ""

    @cached_property
    def _shown(self) -> list[str]:
        return worked_examples(self.prompt)
