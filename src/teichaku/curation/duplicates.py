"""``duplicates``: the same question asked, or the same text told twice, by letters after
normalising.

Trivial variants (width, case, punctuation, polite endings) count as the same. The example
that comes first in the order of ids stays, whatever the order of the input.
"""

from collections.abc import Iterable, Iterator

from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import dropped
from teichaku.core.text import comparable, question_key


def drop_duplicates(examples: Iterable[Example]) -> Iterator[Example | Dropped]:
    """Every example once, or its place as dropped, naming the example that stayed.

    Two examples with one question but different answers are duplicates too: the student
    cannot learn both. The evidence tells the two cases apart.
    """
    kept: dict[tuple[str, str], Example] = {}
    for example in sorted(examples, key=lambda example: (example.passage_id, example.id)):
        key = (example.document_id, _key(example))
        first = kept.setdefault(key, example)
        if first is example:
            yield example
            continue
        same = comparable(first.answer) == comparable(example.answer)
        reason = "duplicate" if same else "duplicate_question"
        yield dropped(
            example, "curation", reason, f"{first.id} stays: {first.question} / {first.answer}"
        )


def _key(example: Example) -> str:
    return comparable(example.answer) if example.is_text else question_key(example.asked)
