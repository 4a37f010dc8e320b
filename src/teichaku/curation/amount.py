"""Arms of one size: a method that writes more is not better for that alone. And mixtures of two
halves of one size.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from teichaku.core.records import Dropped, Example, content_id
from teichaku.core.run_folder import dropped


def characters(examples: Iterable[Example]) -> int:
    """How many characters ``examples`` have: their questions, inputs and answers."""
    return sum(len(example.asked) + len(example.answer) for example in examples)


def within_characters(
    examples: Iterable[Example], limit: int, taken: int = 0
) -> Iterator[Example | Dropped]:
    """``examples`` as long as all of them have ``limit`` characters at most, the others dropped.
    ``taken`` of these are spoken for.

    One of each passage is taken before two of any. The draw depends on each example alone, so
    the order of ``examples`` changes nothing. Characters are the same for every student, tokens
    are not.
    """
    turns: dict[str, int] = {}
    order: list[tuple[int, str, Example]] = []
    for drawn, example in sorted((content_id("amount", e.id), e) for e in examples):
        turn = turns[example.passage_id] = turns.get(example.passage_id, -1) + 1
        order.append((turn, drawn, example))
    total = taken
    for _, _, example in sorted(order, key=lambda item: item[:2]):
        size = characters([example])
        if total + size <= limit:
            total += size
            yield example
        else:
            evidence = f"the arm keeps {limit} characters; {total} were taken before it"
            yield dropped(example, "curation", "over_characters", evidence)


def mix_by_tokens(
    examples: Iterable[Example], method: str, ratio: float = 1.0
) -> Iterator[Example | Dropped]:
    """The examples of ``method`` (Focal Rewriting, arXiv 2603.23562) with ``ratio`` tokens of
    documents for each token of pairs, as nearly as whole examples allow it; the surplus of the
    larger half comes as dropped, ``over_mixture``.

    What stays is spread over the passages (one example of each before two of any) and does not
    depend on the order of ``examples``. Where there is only one half it stays whole, for there
    is nothing to mix it with. Examples of other methods go through.

    Tokens are counted in characters: both halves are in one language, so these are in proportion.
    The tokens of the replies are not, for they hold the frame of the JSON, and thinking.
    """
    found = list(examples)
    texts = {e.id: characters([e]) for e in found if e.method == method and e.is_text}
    pairs = {e.id: characters([e]) for e in found if e.method == method and not e.is_text}
    texts_total, pairs_total = sum(texts.values()), sum(pairs.values())
    staying: dict[str, float] = {**texts, **pairs}
    if texts and pairs:
        is_texts = texts_total > ratio * pairs_total
        target = ratio * pairs_total if is_texts else texts_total / ratio
        larger, smaller = (texts, pairs) if is_texts else (pairs, texts)
        spread = _spread(example for example in found if example.id in larger)
        staying = {**smaller, **_up_to(target, {name: larger[name] for name in spread})}
    evidence = f"documents {texts_total}, pairs {pairs_total} characters; {ratio:g} to 1 is wanted."
    for example in found:
        if example.method != method or example.id in staying:
            yield example
        else:
            yield dropped(example, "curation", "over_mixture", evidence)


def _spread(examples: Iterable[Example]) -> list[str]:
    """The ids of ``examples``: one of every passage, then a second of every one, and so on."""
    ranks: Counter[str] = Counter()
    places = []
    for example in sorted(examples, key=lambda example: example.id):
        places.append((ranks[example.passage_id], example.id))
        ranks[example.passage_id] += 1
    return [name for _, name in sorted(places)]


def _up_to(target: float, sizes: Mapping[str, float]) -> dict[str, float]:
    """The first of ``sizes`` whose sum is nearest to ``target``."""
    taken: dict[str, float] = {}
    total = 0.0
    for name, size in sizes.items():
        if total + size / 2 > target:
            break
        taken[name] = size
        total += size
    return taken
