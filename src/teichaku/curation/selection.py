"""What a selector gives back, and the two controls that every selection is measured against.

A selection that wins may win by its size or by the length of what it keeps alone. An arm of as
many characters drawn by chance, and one of the longest examples (Zhao et al. 2024, "Long is more
for alignment": the longest thousand beat several selected sets), tell whether it does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor

from teichaku.core.records import Dropped, Example, content_id
from teichaku.core.run_folder import dropped
from teichaku.curation.amount import characters as characters_of


@dataclass(frozen=True)
class Selection:
    """Which examples stay, by id, and why each of the others falls.

    ``kept`` are ids in the order of preference, the best first. ``dropped`` gives reason (a
    short machine-readable word) and evidence (for people) by id. ``without_score`` are ids
    without a score, whichever of the two they are in. Every id is in ``kept`` or in
    ``dropped``.
    """

    kept: tuple[str, ...]
    dropped: Mapping[str, tuple[str, str]]
    without_score: frozenset[str] = field(default=frozenset())

    def __call__(self, examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        """Every example of the selection as a filter yields it: itself, or its place as dropped,
        in the order of ``examples``. Raises ``KeyError`` for one that was not selected from.
        """
        kept = frozenset(self.kept)
        for example in examples:
            if example.id in kept:
                yield example
            else:
                yield dropped(example, "curation", *self.dropped[example.id])


def by_score(scores: Mapping[str, float | None]) -> list[tuple[str, float]]:
    """Ids and scores from the lowest to the highest, equal ones by id; those without are left
    out.
    """
    scored = ((i, value) for i, value in scores.items() if value is not None and value == value)
    return sorted(scored, key=lambda one: (one[1], one[0]))


def count_of(share: float, total: int) -> int:
    """How many of ``total`` make up ``share``: the nearest number, one at least where there is
    one. Raises ``ValueError`` for a share that is none.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1")
    return min(total, max(1, floor(share * total + 0.5)))


def selected(
    kept: Sequence[str],
    fallen: Mapping[str, tuple[str, str]],
    scores: Mapping[str, float | None],
    keep_without_score: bool,
) -> Selection:
    """The selection of ``kept`` and ``fallen``; what has no score among ``scores`` stays behind
    the others, or falls.
    """
    others = sorted(scores.keys() - set(kept) - fallen.keys())
    if keep_without_score:
        return Selection((*kept, *others), fallen, frozenset(others))
    lost = dict.fromkeys(others, ("no_score", "it could not be scored"))
    return Selection(tuple(kept), {**fallen, **lost}, frozenset(others))


def random_control(examples: Iterable[Example], characters: int, seed: int = 0) -> Selection:
    """Examples drawn by chance up to ``characters`` (as :func:`amount.characters` counts), the
    size of the selection that this is the control of.

    The draw depends on ``seed`` and on each id, so the order of ``examples`` changes nothing,
    and a larger control holds nearly all of a smaller one.
    """
    drawn = ((content_id("random", seed, e.id), e.id, characters_of([e])) for e in examples)
    order = [(size, example_id) for _, example_id, size in sorted(drawn)]
    return _up_to(order, characters, "random_control")


def length_control(examples: Iterable[Example], characters: int) -> Selection:
    """The longest examples up to ``characters``; of those of one length, by id."""
    measured = ((characters_of([e]), e.id) for e in examples)
    order = sorted(measured, key=lambda one: (-one[0], one[1]))
    return _up_to(order, characters, "length_control")


def up_to_characters(selection: Selection, examples: Iterable[Example], limit: int) -> Selection:
    """``selection`` of ``examples`` without what no longer fits into ``limit`` characters, from
    the best on; each that fits is taken.
    """
    sizes = {example.id: characters_of([example]) for example in examples}
    fits = _up_to([(sizes[name], name) for name in selection.kept], limit, "over_budget")
    fallen = {**selection.dropped, **fits.dropped}
    return Selection(fits.kept, fallen, selection.without_score)


def _up_to(order: Iterable[tuple[int, str]], limit: int, reason: str) -> Selection:
    """Those of ``order`` (size and id) that fit into ``limit``, each that fits being taken."""
    kept: list[str] = []
    fallen: dict[str, tuple[str, str]] = {}
    total = 0
    for size, example_id in order:
        if total + size <= limit:
            total += size
            kept.append(example_id)
        else:
            evidence = f"{size} characters; {total} of {limit} were taken before it"
            fallen[example_id] = (reason, evidence)
    return Selection(tuple(kept), fallen)
