"""``duplicates``: the same question asked, or the same text told twice, by letters after
normalising.

Trivial variants (width, case, punctuation, polite endings) count as the same; other signs and
symbols (-5 and 5, ○ and ×) do not. The example of the best score stays, whatever the order of
the input.
"""

from collections.abc import Iterable, Iterator

from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import dropped
from teichaku.core.text import comparable, question_key
from teichaku.curation.near_duplicates import Rank, longest
from teichaku.curation.same_thing import marks_key
from teichaku.curation.survivors import best_first_key


def drop_duplicates(
    examples: Iterable[Example], rank: Rank = longest
) -> Iterator[Example | Dropped]:
    """Every example once, or its place as dropped, naming the example that stayed: of those with
    one wording the one that ``rank`` scores best, and of equals the first by passage and id.

    Two examples with one question but different answers are duplicates too: the student
    cannot learn both. The evidence tells the two cases apart.
    """
    given = sorted(examples, key=lambda example: (example.passage_id, example.id))
    keys = [(example.document_id, wording_key(example)) for example in given]
    scores = [rank(example) for example in given]
    best: dict[tuple[str, str], Example] = {}
    for row in sorted(range(len(given)), key=lambda row: best_first_key(scores[row])):
        best.setdefault(keys[row], given[row])
    for example, key in zip(given, keys, strict=True):
        kept = best[key]
        if kept is example:
            yield example
            continue
        same = answer_key(kept) == answer_key(example)
        reason = "duplicate" if same else "duplicate_question"
        alike = "similarity 1.00" if same else "the same question"
        evidence = f"{kept.id} stays, {alike}: {kept.question} / {kept.answer}"
        yield dropped(example, "curation", reason, evidence)


def wording_key(example: Example) -> str:
    """What two examples of a document share that are the same question, or the same text."""
    if example.is_text:
        return answer_key(example)
    return f"{question_key(example.asked)}\n{marks_key(example.asked)}"


def answer_key(example: Example) -> str:
    """What the answers of two examples share that are the same."""
    return f"{comparable(example.answer)}\n{marks_key(example.answer)}"
