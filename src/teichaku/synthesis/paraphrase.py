"""``paraphrase``: the passage in other words, in WRAP's four styles (Maini et al. 2024, "Rephrasing
the Web", section 3; S4 uses the same four).

``easy`` has the vocabulary of a small child, ``medium`` is like Wikipedia, ``hard`` is terse and
erudite, ``qa`` is a conversation of questions and answers. The last stays running text, as in
WRAP: it is no set of pairs.

WRAP rephrases pieces of about 300 tokens, because a teacher that is given more leaves things
out: choose ``documents.passage_characters`` accordingly (300 tokens are some 400 Japanese
characters). S4 writes 1,000 texts a document, 250 in each style. Temperature 1.0 is that of
EntiGraph's paraphrase baseline (Yang et al. 2024), which repeats the first three styles. WRAP
trains on real and rephrased text one to one: put ``verbatim`` into the same arm for that.
Our prompts are our own, and insist on keeping every fact.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from teichaku.core.prompts import Prompt
from teichaku.core.records import Example, Passage, Reply, Request, Sampling
from teichaku.synthesis.method import Subject, ask_about, made
from teichaku.synthesis.running_text import rewritten_text

Style = Literal["easy", "medium", "hard", "qa"]
STYLES: tuple[Style, ...] = get_args(Style)


@dataclass(frozen=True)
class Paraphrase:
    """``per_style`` texts a passage in each style of ``prompts``, in their order."""

    prompts: Mapping[Style, Prompt]
    language: str
    seed: int = 0
    per_style: int = 1
    sampling: Sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=1024)
    name: str = "paraphrase"

    def requests(self, passage: Passage) -> Iterator[Request]:
        """One request a sample of each style, all beginning with the passage."""
        for style, prompt in self.prompts.items():
            for index in range(self.per_style):
                yield ask_about(
                    Subject(passage, self, style=style), prompt, self.sampling, self.seed, index,
                    passage=passage.text, title=passage.title,
                )  # fmt: skip

    def parse(self, reply: Reply) -> Iterator[Example]:
        """The reply as running text; see :func:`rewritten_text` for what it raises."""
        yield made(reply, self.language, 0, "", rewritten_text(reply))
