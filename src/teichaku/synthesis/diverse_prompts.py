"""``diverse_prompts``: SPA's small fixed set of prompts (2603.22213, "SPA", and its code).

Seven kinds, each asked ``samples`` times (SPA's K) at temperature 1.0 and top-p 1: key concepts,
a mind map, implications, questions that need critical thinking, a case study, a discussion
between two readers, and the explanation of a teacher. All of it is running text.

As in SPA: the kinds, K samples of the same prompt, temperature and top-p. Ours differs in the
length of a reply, 1,024 tokens where SPA allows 16,384 for whole articles (``max_tokens``
changes it), in asking for a passage at a time, and in the wording of the prompts, which put the
passage first so that a server reads it once for all seven.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from teichaku.core.prompts import Prompt
from teichaku.core.records import Example, Passage, Reply, Request, Sampling
from teichaku.synthesis.method import Subject, ask_about, made
from teichaku.synthesis.running_text import rewritten_text

Kind = Literal[
    "key_concepts",
    "mind_map",
    "implications",
    "critical_thinking_qa",
    "case_study",
    "discussion",
    "teacher_style",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class DiversePrompts:
    """``samples`` texts a passage of each kind of ``prompts``, in their order."""

    prompts: Mapping[Kind, Prompt]
    language: str
    seed: int = 0
    samples: int = 1
    sampling: Sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=1024)
    name: str = "diverse_prompts"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """One request a sample of each kind, all beginning with the passage."""
        for kind, prompt in self.prompts.items():
            for index in range(self.samples):
                yield ask_about(
                    Subject(passage, self, style=kind), prompt, self.sampling, self.seed, index,
                    passage=passage.text, title=passage.title,
                )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example]:
        """The reply as running text; see :func:`rewritten_text` for what it raises."""
        yield made(reply, self.language, 0, "", rewritten_text(reply))
