"""What the figures of the arms are worth: tests, corrections, what could have been seen, seeds.

On the scorer that carries the verdict, at each arm's chosen checkpoint, question by question.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

from teichaku.core.records import BASE_CHECKPOINT, Score
from teichaku.core.statistics import (
    Scale,
    holm,
    mcnemar,
    minimum_detectable_difference,
    seeded_mean,
    sign_flip_test,
    tally,
)
from teichaku.report import tables
from teichaku.report.evidence import Arm
from teichaku.report.intervals import as_figure, probability, rounded
from teichaku.report.tables import ALL_KINDS, Cells

#: With more arms than this each is held against the best alone.
_MOST_IN_PAIRS = 8
_COMPARING = tuple(kind for kind in tables.KINDS if kind != "trained_by_some")
Rows = Sequence[Score]


def statistics(
    scores: Cells, arms: Sequence[Arm], best: Arm | None, scorer: str
) -> dict[str, Any] | None:
    """Every trained arm against its base, the arms against each other, and arms that differ in
    their seed alone taken together; None where no arm has such scores.

    p-values are adjusted (Holm) over all arms, or all pairs of arms, of one kind of question and
    condition.
    """
    trained = [
        arm
        for arm in arms
        if arm.checkpoint != BASE_CHECKPOINT and _final(scores, arm, "closed_book", scorer)
    ]
    if not trained:
        return None
    sides = [(arm.base, arm.name) for arm in trained]
    scale = tables.scale_of(scorer)
    return {
        "scorer": scorer,
        # How far two scores can be apart.
        "reach": None if scale is None else scale[1] - scale[0],
        "against_base": _compared(scores, trained, sides, scorer, tables.KINDS),
        # Questions in the words of some arms' training compare no arms.
        "among_arms": _compared(scores, trained, _pairs(trained, best), scorer, _COMPARING),
        "seeds": _seeds(scores, trained, scorer),
        "single_seeds": len({arm.but_for_seed or arm.name for arm in trained}) == len(trained),
    }


def _pairs(arms: Sequence[Arm], best: Arm | None) -> list[tuple[str, str]]:
    """Which arms are held against each other."""
    names = [arm.name for arm in arms]
    if len(names) <= _MOST_IN_PAIRS or best is None:
        return list(combinations(names, 2))
    return [(name, best.name) for name in names if name != best.name]


def _final(scores: Cells, arm: Arm, condition: str, scorer: str) -> Rows:
    return scores.get((arm.name, arm.checkpoint, condition, scorer), [])


def _compared(
    scores: Cells,
    arms: Sequence[Arm],
    sides: Sequence[tuple[str, str]],
    scorer: str,
    kinds: Sequence[str],
) -> list[dict[str, Any]]:
    """The first of each of ``sides`` against the second, by condition and each of ``kinds``."""
    checkpoints = {arm.name: arm.checkpoint for arm in arms}

    def rows(name: str, condition: str) -> Rows:
        return scores.get((name, checkpoints.get(name, BASE_CHECKPOINT), condition, scorer), [])

    found = []
    for condition in tables.ordered((key[2] for key in scores), tables.CONDITIONS):
        given = [(one, other, rows(one, condition), rows(other, condition)) for one, other in sides]
        asked = {row.question_kind for _, _, before, after in given for row in [*before, *after]}
        for kind in [*(kind for kind in kinds if kind in asked), ALL_KINDS]:
            family = [
                {"before": one, "after": other, "condition": condition, "question_kind": kind}
                | _tested(tables.of_kind(before, kind), tables.of_kind(after, kind))
                for one, other, before, after in given
                if before and after
            ]
            adjusted = holm([row["p"] for row in family])
            tested = sum(row["p"] is not None for row in family)
            found += [
                {**row, "p_holm": probability(p), "family": tested}
                for row, p in zip(family, adjusted, strict=True)
                if row["difference"]["n"]
            ]
    return found


def _tested(before: Rows, after: Rows) -> dict[str, Any]:
    """Two models on the questions that both have a value for."""
    old = {row.question_id: row.value for row in before if row.value is not None}
    both = sorted(
        (row.question_id, old[row.question_id], row.value, row.document_id)
        for row in after
        if row.value is not None and row.question_id in old
    )
    first, second = [row[1] for row in both], [row[2] for row in both]
    clusters = [row[3] for row in both]
    scale = tables.scale_of(after[0].scorer) if after else None
    counted = tally(first, second)
    is_alone = max(Counter(clusters).values(), default=0) == 1
    is_binary = {*first, *second} <= {0.0, 1.0}
    tested = mcnemar(first, second) if both and is_alone and is_binary else None
    p = sign_flip_test(first, second, clusters)
    seen = minimum_detectable_difference(first, second, clusters, scale)
    return {
        "difference": asdict(tables.compare(before, after).difference),
        "won": counted.won,
        "lost": counted.lost,
        "tied": counted.tied,
        "p": probability(p),
        # Items of one document stand or fall together, and the test takes them for independent.
        "mcnemar": probability(tested.exact) if tested else None,
        "detectable": rounded(seen),
    }


def _seeds(scores: Cells, arms: Sequence[Arm], scorer: str) -> list[dict[str, Any]]:
    """Arms that differ in nothing but the seed of their training, taken together: the mean and
    the change from the base, with what other seeds could give in the interval.
    """
    found = []
    for family in seed_families(arms):
        for condition in tables.ordered((key[2] for key in scores), tables.CONDITIONS):
            by_arm = [_final(scores, arm, condition, scorer) for arm in family]
            base = scores.get((family[0].base, BASE_CHECKPOINT, condition, scorer), [])
            kinds = {row.question_kind for rows in by_arm for row in rows}
            for kind in [*tables.ordered(kinds, tables.KINDS), ALL_KINDS] if kinds else []:
                own = [_by_question(tables.of_kind(rows, kind)) for rows in by_arm]
                before = _by_question(tables.of_kind(base, kind))
                found.append(
                    {
                        "arms": [arm.name for arm in family],
                        "seeds": [arm.seed for arm in family],
                        "condition": condition,
                        "question_kind": kind,
                        **over_seeds(own, before, tables.scale_of(scorer)),
                    }
                )
    return found


def _by_question(rows: Rows) -> dict[str, Score]:
    return {row.question_id: row for row in rows if row.value is not None}


def seed_families(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Arms that differ in nothing but the seed of their training, where there are several."""
    families: dict[str, list[Arm]] = {}
    for arm in arms:
        if arm.seed is not None:
            families.setdefault(arm.but_for_seed, []).append(arm)
    return [family for family in families.values() if len({arm.seed for arm in family}) > 1]


def over_seeds(
    own: Sequence[Mapping[str, Score]], before: Mapping[str, Score], scale: Scale | None
) -> dict[str, Any]:
    """``mean`` and ``difference`` over seeds, on the questions that all of them have values for,
    of which there are ``n``; ``between_seeds`` is the standard deviation of the difference from
    seed to seed. ``own`` and ``before`` have rows with a value by question.
    """

    def over(
        questions: Sequence[str], value: Callable[[Mapping[str, Score], str], float], ends: Any
    ) -> tuple[Any, Any]:
        clusters = [own[0][name].document_id for name in questions]
        values = [[value(rows, name) for name in questions] for rows in own]
        found = seeded_mean(values, clusters, ends)
        if found is None:
            return None, None
        # A question counts once, however many seeds answered it.
        whole = replace(found.interval, n=len(questions))
        return as_figure(whole, found.documents), rounded(found.between_seeds)

    asked = sorted(set.intersection(*(set(rows) for rows in own)))
    mean, _ = over(asked, lambda rows, name: _value(rows[name]), scale)
    both = [name for name in asked if name in before]
    reach = None if scale is None else (scale[0] - scale[1], scale[1] - scale[0])
    difference, spread = over(
        both, lambda rows, name: _value(rows[name]) - _value(before[name]), reach
    )
    return {"mean": mean, "difference": difference, "between_seeds": spread}


def _value(row: Score) -> float:
    return row.value or 0.0
