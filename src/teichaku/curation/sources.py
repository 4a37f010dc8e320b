"""What an example was made from, and what it claims of that."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from teichaku.core.records import Example, Passage
from teichaku.core.replies import list_item


@dataclass(frozen=True)
class Sources:
    """The texts that must carry examples."""

    passages: Mapping[str, Passage]

    def ground(self, example: Example) -> str | None:
        """What must carry ``example``; None where it was made from no passage.

        Running text names its document, which an answer does not, and may have been written
        with the whole document in sight.
        """
        passage = self.passages.get(example.passage_id)
        if passage is None:
            return None
        return self._documents[passage.document_id] if example.is_text else passage.text

    def title(self, example: Example) -> str:
        """The title of the document of ``example``."""
        passage = self.passages.get(example.passage_id)
        return passage.title if passage else ""

    @cached_property
    def _documents(self) -> dict[str, str]:
        """The title and all passages of each document."""
        texts: dict[str, list[str]] = {}
        for passage in sorted(self.passages.values(), key=lambda p: (p.document_id, p.index)):
            texts.setdefault(passage.document_id, [passage.title]).append(passage.text)
        return {document: "\n".join(parts) for document, parts in texts.items()}


def without_item_numbers(text: str) -> str:
    """``text`` without the numbers of its lists, which claim nothing: those that come after the
    one before, or begin anew. Another number at the head of a line may claim something.
    """
    lines, last = text.split("\n"), 0
    for place, line in enumerate(lines):
        item = list_item(line, (last + 1,))
        if item and item.number is not None and item.number <= last + 1:
            lines[place], last = item.text, item.number
    return "\n".join(lines)
