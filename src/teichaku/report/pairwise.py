"""How arms fare against each other in pairs of answers, by every judge."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

from teichaku.core.bradley_terry import bradley_terry
from teichaku.core.records import Comparison
from teichaku.core.statistics import Interval
from teichaku.evaluation.judging.protocol import JudgeProtocol
from teichaku.evaluation.judging.trust import verdict_agreement
from teichaku.evaluation.judging.verdicts import (
    PairVerdict,
    games,
    summarise_pairs,
    verdicts,
)
from teichaku.report.evidence import Evidence
from teichaku.report.intervals import as_figure
from teichaku.report.judging import Compared, Judge, all_judges, compared, label
from teichaku.report.verdict import MINIMUM_DOCUMENTS

#: So many arms at least are rated.
_RATED = 3


def pairwise(evidence: Evidence) -> dict[str, Any] | None:
    """Wins, ties and losses of each pair of arms, ratings of all arms, and how the judges agree;
    None where nothing was compared. The run's own questions and benchmarks stand apart.
    """
    found = compared(evidence)
    origins: dict[bool, list[Comparison]] = {}
    for row in found.comparisons:
        origins.setdefault(bool(found.questions[row.question_id].benchmark), []).append(row)
    judges = all_judges(evidence)
    groups = [
        _group(replace(found, comparisons=rows), judges, evidence.base_arms)
        for _, rows in sorted(origins.items())
    ]
    return {"groups": groups} if groups else None


def _group(found: Compared, judges: Sequence[Judge], base_arms: Sequence[str]) -> dict[str, Any]:
    """All that follows from the verdicts on questions of one origin."""
    arms = {answer_id: answer.arm for answer_id, answer in found.answers.items()}
    by_judge = _verdicts(found)
    pairs = sorted({_sides(v, arms, base_arms) for rows in by_judge.values() for v in rows})
    tables = []
    for arm, against in pairs:
        rows = [
            {**label(protocol, judges), **_summary(asdict(one), one.adjusted)}
            for protocol, verdict_rows in by_judge.items()
            for one in summarise_pairs(verdict_rows, arms, found.questions, arm, against)
            if one.pairs or one.failed
        ]
        tables.append({"arm": arm, "against": against, "rows": rows})
    ratings = [
        {**label(protocol, judges), **rated}
        for protocol, rows in by_judge.items()
        if (rated := _ratings(rows, found, arms)) is not None
    ]
    questions = {row.question_id for row in found.comparisons}
    return {
        "questions": len(questions),
        "benchmarks": sorted({found.questions[name].benchmark for name in questions} - {""}),
        "tables": tables,
        "ratings": ratings,
        "agreement": [
            {
                "one": label(one, judges),
                "other": label(other, judges),
                **_agreement(by_judge[one], by_judge[other], found),
            }
            for one, other in combinations(by_judge, 2)
        ],
    }


def _verdicts(found: Compared) -> dict[JudgeProtocol, list[PairVerdict]]:
    """The verdicts on pairs by protocol; people see one order of a pair."""
    by_label = {protocol.label: protocol for protocol in found.protocols}
    rows: dict[str, list[Any]] = {}
    for row in found.comparisons:
        rows.setdefault(row.protocol, []).append(row)
    return {
        protocol: verdicts(rows[name], protocol.orders)
        for name, protocol in by_label.items()
        if name in rows
    }


def _sides(
    verdict: PairVerdict, arms: Mapping[str, str], base_arms: Sequence[str]
) -> tuple[str, str]:
    """The two arms of a pair; an untuned one is what the other is measured against."""
    one, other = sorted(arms[answer] for answer in verdict.answers)
    return (other, one) if one in base_arms else (one, other)


def _summary(fields: dict[str, Any], adjusted: Interval | None) -> dict[str, Any]:
    return {**fields, "adjusted": as_figure(adjusted)}


def _ratings(
    rows: Sequence[PairVerdict], found: Compared, arms: Mapping[str, str]
) -> dict[str, Any] | None:
    """Ratings as they are, and with the effect of length taken off; None where no three arms hang
    together: of two arms a rating says what their win rate says.

    Over few documents a bootstrap draws the same few again and again, and its intervals come out
    too narrow: they have no ends then.
    """
    lengths = {answer_id: len(answer.text) for answer_id, answer in found.answers.items()}
    played = games(rows, arms, found.questions, lengths)
    plain = bradley_terry(games(rows, arms, found.questions))
    controlled = bradley_terry(played, control_length=True)
    if plain is None or controlled is None:
        return None
    if max(map(len, plain.islands or [tuple(plain.players)])) < _RATED:
        return None
    documents = len({game.cluster for game in played})

    def figure(rating: Interval | None) -> dict[str, Any] | None:
        if rating is not None and documents < MINIMUM_DOCUMENTS:
            rating = replace(rating, low=None, high=None)
        return as_figure(rating, documents)

    return {
        "players": [
            {
                "arm": arm,
                "rating": figure(rating),
                "controlled": figure(controlled.players.get(arm)),
            }
            for arm, rating in plain.players.items()
        ],
        "islands": [list(group) for group in plain.islands],
        "groups": [list(group) for group in plain.groups],
        "helped": plain.helped,
        "length_effect": figure(controlled.length_effect),
        "documents": documents,
        "few_documents": documents < MINIMUM_DOCUMENTS,
    }


def _agreement(
    one: Sequence[PairVerdict], other: Sequence[PairVerdict], found: Compared
) -> dict[str, Any]:
    right = {verdict.answers: verdict.winner for verdict in other if verdict.winner is not None}
    agreement = verdict_agreement(one, right, found.questions)
    return {**asdict(agreement), "kappa": as_figure(agreement.kappa)}
