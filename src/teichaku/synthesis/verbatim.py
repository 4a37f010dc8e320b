"""``verbatim``: the passage itself, the control that S4 compares every other method with
(Kadoya, LTS; Kawagoshi, Hitachi Systems: repetition peaks near 65 % at about 500 exposures).

No teacher is asked. S4 repeats a document by going on training on it, and so do we: one copy,
and as many epochs as exposures are wanted. ``copies`` gives a passage more weight beside other
methods in one arm; the filter ``duplicates`` would take the further copies out again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from teichaku.core.records import Example, Passage, Reply
from teichaku.core.text import contains
from teichaku.synthesis.method import Subject, UnusableReplyError, without_teacher


@dataclass(frozen=True)
class Verbatim:
    """Every passage as running text, ``copies`` times."""

    language: str
    copies: int = 1
    name: str = "verbatim"

    def requests(self, passage: Passage) -> Iterator[Example]:
        """The passage, with its title as the first line where the text does not name it."""
        text = passage.text
        if passage.title and not contains(text, passage.title):
            text = f"{passage.title}\n{text}"
        for index in range(self.copies):
            yield without_teacher(Subject(passage, self), self.language, index, "", text)

    def parse(self, reply: Reply) -> Iterator[Example]:
        """Nothing is asked, so nothing can be read."""
        raise UnusableReplyError("verbatim asks for no reply.")
