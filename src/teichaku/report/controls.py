"""General ability before and after: what every model makes of the control sets, and what each arm
won and lost there against its untuned model, and models side by side against the best of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from teichaku.core.records import BASE_CHECKPOINT, Question, Score
from teichaku.core.statistics import (
    Interval,
    bootstrap_of_sums,
    clustered_mean,
    holm,
    paired_difference,
    sign_flip_test,
    tally,
)
from teichaku.evaluation.benchmarks.controls import ControlInfo, as_share, read_sets
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.intervals import as_figure, model_order, probability, rounded
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate

STAGE = "controls"
#: The readings of an answer: as it stands, and looked for in the reply.
READINGS = ("lenient", "strict")
#: All sets together; a set's values are shares of its scale there.
TOGETHER = "together"
_SHARES = (0.0, 1.0)
_CORRELATIONS = ("pearson", "spearman")
#: What the notes of sets say (evaluation/benchmarks), by the report's words for it.
_NOTES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(said)
    for name, said in {
        "stands_in": r"(?P<set>.+) stands in for (?P<other>.+), and is not it",
        "judge_only": r"the references were written by a model of OpenAI: do not train on them",
        "doubtful": r"(?P<count>\d+) references are reported wrong",
        "first_rows": r"the first rows of the published file, which the package does not have as "
        r"a whole",
        "no_pattern": r"answer_pattern_id (?P<pattern>.+) names a pattern that is not in the file: "
        r"the answer is cut at the first blank line instead",
    }.items()
}


@dataclass(frozen=True)
class _Items:
    """The values of one model by question: those of each set (``TOGETHER`` for all), by reading."""

    values: Mapping[tuple[str, str], Mapping[str, Score]]

    def of(self, key: str, reading: str) -> Mapping[str, Score]:
        """The scores of a set by question."""
        return self.values.get((key, reading), {})


def controls(evidence: Evidence, arms: Sequence[Arm]) -> dict[str, Any] | None:
    """The figures of every set and model, the changes of every arm, and the means of categories;
    None where no set was asked.
    """
    if STAGE not in evidence.stages:
        return None
    sets = read_sets(evidence.finished.run.stage(STAGE))
    results = evidence.finished.json(STAGE, "results.json")
    models = evidence.finished.json(STAGE, "models.json").get("models", {})
    by_model = _by_model(evidence, sets)
    order = model_order(evidence, arms)
    return {
        "sets": [
            {**asdict(one), "unit": _unit(one), "notes": [_note(text) for text in one.notes]}
            for one in sets.values()
        ],
        "rows": [
            _row(row, sets, models, evidence)
            for row in sorted(
                results.get("results", ()),
                key=lambda row: (list(sets).index(row["benchmark"]), order(row["arm"])),
            )
        ],
        "changes": _changes(sets, by_model, arms, results.get("results", ())),
        "together": _together(sets, by_model, order),
        "against_best": _against_best(sets, by_model, order),
        "categories": sorted(
            results.get("categories", ()), key=lambda row: (row["is_published"], order(row["arm"]))
        ),
        "averages": results.get("averages", []),
        "dropped": dict((evidence.stages[STAGE].get("counts") or {}).get("reasons") or {}),
        "judged": any(one.form == "judge" for one in sets.values()),
    }


def control_cell(evidence: Evidence, base: str, best: Arm | None) -> Cell | None:
    """``base`` against ``best`` on the items of all sets that have a value of their own, as shares
    of the sets' scales (a judge's mark from 1 to 10 is a share of nine points), by the lenient
    reading; None where there are none.

    Every item counts the same, so a set counts by how many of its items were asked.
    """
    if best is None or STAGE not in evidence.stages:
        return None
    by_model = _by_model(evidence, read_sets(evidence.finished.run.stage(STAGE)))
    old = by_model.get((base, BASE_CHECKPOINT))
    new = by_model.get((best.name, best.checkpoint))
    if old is None or new is None:
        return None
    both = _paired(old.of(TOGETHER, "lenient"), new.of(TOGETHER, "lenient"))
    if not both.ids:
        return None
    before, after = (both.estimate(clustered_mean(v, both.clusters, _SHARES)) for v in both.sides)
    change = both.estimate(paired_difference(*both.sides, both.clusters, _SHARES))
    return Cell("control", "closed_book", STAGE, before, after, change)


def _by_model(evidence: Evidence, sets: Mapping[str, ControlInfo]) -> dict[tuple[str, str], _Items]:
    """The scores by arm and checkpoint; a further judge's marks are not among them."""
    questions = {q.id: q.benchmark for q in evidence.finished.read(STAGE, "questions", Question)}
    twice = {key for key, one in sets.items() if one.is_published and one.name in sets}
    found: dict[tuple[str, str], dict[tuple[str, str], dict[str, Score]]] = {}
    strict: list[tuple[Score, ControlInfo]] = []
    for score in evidence.finished.read(STAGE, "scores", Score):
        about = sets[questions[score.question_id]]
        if ":" in score.scorer:
            continue
        if score.scorer.endswith("_lenient"):
            _add(found, score, about, "lenient", twice)
        else:
            _add(found, score, about, "strict", twice)
            strict.append((score, about))
    for score, about in strict:
        # What was read in one way alone is the same in both.
        own = found[score.arm, score.checkpoint].get((about.key, "lenient"), {})
        if score.question_id not in own:
            _add(found, score, about, "lenient", twice)
    return {who: _Items(values) for who, values in found.items()}


def _add(
    found: dict[tuple[str, str], dict[tuple[str, str], dict[str, Score]]],
    score: Score,
    about: ControlInfo,
    reading: str,
    twice: Iterable[str],
) -> None:
    own = found.setdefault((score.arm, score.checkpoint), {})
    own.setdefault((about.key, reading), {})[score.question_id] = score
    # A set that was asked by both protocols counts once.
    if about.key not in twice:
        value = as_share(score.value, about.scale)
        shared = Score(
            score.answer_id, score.question_id, score.arm, score.checkpoint, score.condition,
            score.question_kind, score.category, score.document_id, score.scorer, value,
        )  # fmt: skip
        own.setdefault((TOGETHER, reading), {})[score.question_id] = shared


@dataclass(frozen=True)
class _Pairs:
    """What two models made of the same items, in one order; ``failed`` items lack a value."""

    ids: tuple[str, ...]
    sides: tuple[list[float], list[float]]
    clusters: list[str]
    failed: int

    def estimate(self, found: Interval | None) -> Estimate:
        """``found`` as the tables have it."""
        if found is None:
            return Estimate(None, None, None, 0, 0, self.failed)
        return Estimate(
            rounded(found.value), rounded(found.low), rounded(found.high), found.n,
            len(set(self.clusters)), self.failed,
        )  # fmt: skip


def _paired(before: Mapping[str, Score], after: Mapping[str, Score]) -> _Pairs:
    shared = sorted(before.keys() & after.keys())
    rows = [
        (name, old, new, after[name].document_id)
        for name in shared
        if (old := before[name].value) is not None and (new := after[name].value) is not None
    ]
    return _Pairs(
        tuple(row[0] for row in rows),
        ([row[1] for row in rows], [row[2] for row in rows]),
        [row[3] for row in rows],
        len(shared) - len(rows),
    )


def _changes(
    sets: Mapping[str, ControlInfo],
    by_model: Mapping[tuple[str, str], _Items],
    arms: Sequence[Arm],
    results: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Every arm against its base, by set and reading, then on all sets together. p-values are
    adjusted (Holm) over the arms of one set and reading.
    """
    trained = [arm for arm in arms if arm.checkpoint != BASE_CHECKPOINT]
    made = []
    for key in [*([TOGETHER] if len(sets) > 1 else []), *sets]:
        for reading in READINGS if key == TOGETHER or _has_readings(sets[key]) else READINGS[:1]:
            family = [
                row
                for arm in trained
                if (row := _change(key, reading, arm, sets.get(key), by_model, results))
            ]
            made += _adjusted(family)
    return made


def _adjusted(family: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one family of tests with their p-values after Holm."""
    p_values = [row["p"] for row in family]
    tests = sum(p is not None for p in p_values)
    return [
        {**row, "p": probability(row["p"]), "p_holm": probability(p), "family": tests}
        for row, p in zip(family, holm(p_values), strict=True)
    ]


def _change(
    key: str,
    reading: str,
    arm: Arm,
    about: ControlInfo | None,
    by_model: Mapping[tuple[str, str], _Items],
    results: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:
    old = by_model.get((arm.base, BASE_CHECKPOINT), _Items({})).of(key, reading)
    new = by_model.get((arm.name, arm.checkpoint), _Items({})).of(key, reading)
    scale = about.scale if about else _SHARES
    row = {
        "set": key,
        "reading": reading if about is None or _has_readings(about) else "",
        "arm": arm.name,
        "base": arm.base,
        "unit": _unit(about) if about else "share",
        "scale": list(scale),
    }
    if old and new:
        return {**row, **_tested(_paired(old, new), scale)}
    whole = [_of_set(results, key, name, point, reading) for name, point in
             ((arm.base, BASE_CHECKPOINT), (arm.name, arm.checkpoint))]  # fmt: skip
    before, after = whole
    if before is None or after is None:
        return None
    # A metric of the whole set: no item has a value, so nothing is paired.
    change = Interval(after.value - before.value, None, None, min(before.n, after.n))
    share = after.value / before.value if before.value > 0 else None
    relative = None if share is None else as_figure(Interval(share, None, None, change.n))
    return {**row, "before": as_figure(before), "after": as_figure(after),
            "difference": as_figure(change), "relative": relative, "won": None, "lost": None,
            "tied": None, "p": None}  # fmt: skip


def _tested(both: _Pairs, scale: tuple[float, float]) -> dict[str, Any]:
    before, after = both.sides
    counted = tally(before, after)
    relative = bootstrap_of_sums([after, before], both.clusters, _relative)
    if relative is not None and relative.low == relative.high:
        # Nothing is known of the spread where no item moved.
        relative = Interval(relative.value, None, None, relative.n)
    difference = both.estimate(paired_difference(before, after, both.clusters, scale))
    return {
        "before": asdict(both.estimate(clustered_mean(before, both.clusters, scale))),
        "after": asdict(both.estimate(clustered_mean(after, both.clusters, scale))),
        "difference": asdict(difference),
        "relative": as_figure(relative, difference.documents),
        "won": counted.won,
        "lost": counted.lost,
        "tied": counted.tied,
        "p": sign_flip_test(before, after, both.clusters),
    }


def _values(items: _Items, key: str) -> dict[str, Score]:
    return {n: row for n, row in items.of(key, READINGS[0]).items() if row.value is not None}


def _together(
    sets: Mapping[str, ControlInfo],
    by_model: Mapping[tuple[str, str], _Items],
    order: Callable[[str], tuple[int, str]],
) -> list[dict[str, Any]]:
    """Each model's mean over the items of all sets, where there are several."""
    found = []
    for arm, checkpoint in sorted(by_model, key=lambda who: order(who[0])):
        rows = list(_values(by_model[arm, checkpoint], TOGETHER).values())
        clusters = [row.document_id for row in rows]
        mean = clustered_mean([row.value or 0.0 for row in rows], clusters, _SHARES)
        figure = as_figure(mean, len(set(clusters)))
        found.append({"arm": arm, "checkpoint": checkpoint, "value": figure})
    return found if len(sets) > 1 else []


def _against_best(
    sets: Mapping[str, ControlInfo],
    by_model: Mapping[tuple[str, str], _Items],
    order: Callable[[str], tuple[int, str]],
) -> list[dict[str, Any]]:
    """Every model against the one with the highest mean, by set, on the items that both have a
    value for; p-values are adjusted (Holm) over the models of one set.

    Empty where there is one untrained model: the arms are held against that.
    """
    if sum(checkpoint == BASE_CHECKPOINT for _, checkpoint in by_model) < 2:
        return []
    made: list[dict[str, Any]] = []
    for key in [*([TOGETHER] if len(sets) > 1 else []), *sets]:
        about = sets.get(key)
        own = {
            who: rows
            for who in sorted(by_model, key=lambda who: order(who[0]))
            if (rows := _values(by_model[who], key))
        }
        if len(own) < 2:
            continue
        best = max(own, key=lambda who: np.mean([row.value for row in own[who].values()]))
        family = []
        for who, rows in own.items():
            both = _paired(own[best], rows)
            if who == best or not both.ids:
                continue
            scale = about.scale if about else _SHARES
            change = both.estimate(paired_difference(*both.sides, both.clusters, scale))
            family.append(
                {"set": key, "arm": who[0], "checkpoint": who[1], "best": best[0],
                 "unit": _unit(about) if about else "share", "scale": list(scale),
                 "difference": asdict(change), "p": sign_flip_test(*both.sides, both.clusters)}
            )  # fmt: skip
        made += _adjusted(family)
    return made


def _relative(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """After over before; no figure where there was nothing before."""
    after, before = sums[..., 0], sums[..., 1]
    return np.divide(after, before, out=np.full_like(after, np.nan), where=before > 0)


def _of_set(
    results: Iterable[Mapping[str, Any]], key: str, arm: str, checkpoint: str, reading: str
) -> Interval | None:
    for row in results:
        is_it = (row["benchmark"], row["arm"], row["checkpoint"]) == (key, arm, checkpoint)
        if is_it and row[reading] is not None and ":" not in row["metric"]:
            return Interval(**row[reading])
    return None


def _note(text: str) -> dict[str, Any]:
    """A note with the name of the words for it and their values; another's note has no name."""
    for name, said in _NOTES.items():
        if found := said.fullmatch(text):
            return {"text": text, "name": name, "values": found.groupdict()}
    return {"text": text, "name": "", "values": {}}


def _row(
    row: Mapping[str, Any],
    sets: Mapping[str, ControlInfo],
    models: Mapping[str, Any],
    evidence: Evidence,
) -> dict[str, Any]:
    about, way = sets[row["benchmark"]], models.get(row["arm"], {})
    return {
        "set": about.key,
        "arm": row["arm"],
        "checkpoint": row["checkpoint"],
        "is_base": row["arm"] in evidence.base_arms,
        "metric": row["metric"],
        "unit": _unit(about),
        "scale": list(about.scale),
        **{
            reading: as_figure(Interval(**row[reading]) if row[reading] else None)
            for reading in READINGS
        },
        "has_readings": _has_readings(about),
        "is_further_judge": ":" in row["metric"],
        "asked": row["asked"],
        "failed": row["failed"],
        **{
            name: rounded(row[name])
            for name in ("empty", "unread_strict", "unread_lenient", "majority", "random")
        },
        "put": way.get("put", {}).get(about.key, ""),
        "is_served": bool(way.get("is_served")),
        "faults": way.get("faults", {}).get(about.key, {}),
    }


def _has_readings(about: ControlInfo) -> bool:
    """Whether an answer is read in two ways, and not as published, by checks or by a judge."""
    return about.of_items is not None and not about.is_published


def _unit(about: ControlInfo) -> str:
    """How a value is written: a mark (``judge``), a correlation (``number``), else a share."""
    if about.form == "judge":
        return "judge"
    return "number" if about.metric.endswith(_CORRELATIONS) else "share"
