"""General ability before and after: what every model makes of the control sets, and what each arm
won and lost there against its untuned model, and models side by side against the best of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from teichaku.core.records import BASE_CHECKPOINT, Answer, Question, Score
from teichaku.core.statistics import (
    Interval,
    bootstrap_of_sums,
    clustered_mean,
    holm,
    minimum_detectable_difference,
    paired_difference,
    sign_flip_test,
    tally,
)
from teichaku.evaluation.benchmarks.controls import (
    ControlInfo,
    as_share,
    read_items,
    read_sets,
    stands_beside,
    unread_replies,
)
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.forgetting import Replies, is_above_guessing
from teichaku.report.intervals import as_figure, model_order, probability, rounded
from teichaku.report.statistics import over_seeds, seed_families
from teichaku.report.study import Cell
from teichaku.report.tables import Estimate

STAGE = "controls"
#: The readings of an answer: as it stands, and looked for in the reply.
READINGS = ("lenient", "strict")
#: All sets together; a set's values are shares of its scale there.
TOGETHER = "together"
_SHARES = (0.0, 1.0)
_CORRELATIONS = ("pearson", "spearman", "mcc")
#: What the notes of sets say (evaluation/benchmarks), by the report's words for it.
_NOTES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(said)
    for name, said in {
        "stands_in": r"(?P<set>.+) stands in for (?P<other>.+), and is not it",
        "judge_only": r"the references were written by a model of OpenAI: do not train on them",
        "doubtful": r"(?P<count>\d+) references are reported wrong, and no judge is shown them",
        "first_rows": r"the first rows of the published file, which the package does not have as "
        r"a whole",
        "other_metric": r"(?P<wanted>.+) is not computed here: (?P<metric>.+) marks the answers "
        r"instead, outside of any published average",
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
        "seeds": _seeds(sets, by_model, arms),
        **{name: _means(results.get(name, ()), order) for name in ("categories", "means")},
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
    both = _on_all_sets(evidence, base, best)
    return None if both is None else _cell(both, both.sides, STAGE)


def control_replies(evidence: Evidence, base: str, best: Arm | None) -> Replies | None:
    """What is known of the replies behind :func:`control_cell`, on the same items."""
    both = _on_all_sets(evidence, base, best)
    if best is None or both is None:
        return None
    folder = evidence.finished.run.stage(STAGE)
    sets, items = read_sets(folder), {item.question.id: item for item in read_items(folder)}
    answers: dict[tuple[str, str], list[Answer]] = {}
    for answer in evidence.finished.read(STAGE, "answers", Answer):
        answers.setdefault((answer.arm, answer.checkpoint), []).append(answer)
    before, after = (
        unread_replies(sets, items, answers[who])
        for who in ((base, BASE_CHECKPOINT), (best.name, best.checkpoint))
    )
    sides = [float(before[name]) for name in both.ids], [float(after[name]) for name in both.ids]
    hidden = [was or now for was, now in zip(*sides, strict=True)]
    changes = [new - old for old, new in zip(*both.sides, strict=True)]
    none = [0.0] * len(changes)
    parts = (
        [change * share for change, share in zip(changes, shares, strict=True)]
        for shares in (hidden, [1 - share for share in hidden])
    )
    in_form, in_answers = (
        both.estimate(paired_difference(none, part, both.clusters, _SHARES)) for part in parts
    )
    results = evidence.finished.json(STAGE, "results.json").get("results", ())
    asked = [items[name].question.benchmark for name in both.ids]
    floor = _floor(sets, results, base, asked)
    unread, readable = _cell(both, sides, "unread"), hidden.count(0.0)
    share = rounded(readable / len(hidden)) or 0.0
    return Replies(rounded(floor) or 0.0, unread, in_form, in_answers, readable, share)


def _on_all_sets(evidence: Evidence, base: str, best: Arm | None) -> "_Pairs | None":
    """The items of all sets that have a value of both models."""
    if best is None or STAGE not in evidence.stages:
        return None
    by_model = _by_model(evidence, read_sets(evidence.finished.run.stage(STAGE)))
    old = by_model.get((base, BASE_CHECKPOINT), _Items({}))
    new = by_model.get((best.name, best.checkpoint), _Items({}))
    both = _paired(old.of(TOGETHER, "lenient"), new.of(TOGETHER, "lenient"))
    return both if both.ids else None


def _cell(both: "_Pairs", sides: tuple[list[float], list[float]], scorer: str) -> Cell:
    before, after = (both.estimate(clustered_mean(v, both.clusters, _SHARES)) for v in sides)
    change = both.estimate(paired_difference(*sides, both.clusters, _SHARES))
    return Cell("control", "closed_book", scorer, before, after, change)


def _floor(
    sets: Mapping[str, ControlInfo],
    results: Iterable[Mapping[str, Any]],
    base: str,
    asked: Sequence[str],
) -> float:
    """What guessing would reach on items of the sets ``asked``: of each the better of its floors, 0
    where it has none.
    """
    floors = {
        row["benchmark"]: max(row["majority"] or 0.0, row["random"] or 0.0)
        for row in results
        if row["arm"] == base and not stands_beside(row, sets[row["benchmark"]])
    }
    return float(np.mean([floors.get(key, 0.0) for key in asked]))


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
                if (row := _change(key, reading, arm, sets, by_model, results))
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
    sets: Mapping[str, ControlInfo],
    by_model: Mapping[tuple[str, str], _Items],
    results: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:
    own = by_model.get((arm.base, BASE_CHECKPOINT), _Items({}))
    old = own.of(key, reading)
    new = by_model.get((arm.name, arm.checkpoint), _Items({})).of(key, reading)
    about = sets.get(key)
    scale = about.scale if about else _SHARES
    row: dict[str, Any] = {
        "set": key,
        "reading": reading if about is None or _has_readings(about) else "",
        "arm": arm.name,
        "base": arm.base,
        "unit": _unit(about) if about else "share",
        "scale": list(scale),
    }
    if old and new:
        both = _paired(old, new)
        row |= _tested(both, scale)
        kept = set(both.ids)
        keys = [key] if about else sets
        asked = [one for one in keys for name in own.of(one, reading) if name in kept]
        floor = rounded(_floor(sets, results, arm.base, asked)) if asked else None
        # What checks or a judge mark cannot be guessed.
        is_guessed = bool(floor) and scale == _SHARES
        is_above = is_above_guessing(Estimate(**row["before"]), floor or 0.0)
        return {
            **row,
            "floor": floor if is_guessed else None,
            "above_guessing": is_above if is_guessed else None,
        }
    if about is None:
        return None
    models = ((arm.base, BASE_CHECKPOINT), (arm.name, arm.checkpoint))
    before, after = (_of_set(results, about, name, point, reading) for name, point in models)
    if before is None or after is None:
        return None
    # A metric of the whole set: no item has a value, so nothing is paired.
    change = Interval(after.value - before.value, None, None, min(before.n, after.n))
    share = after.value / before.value if before.value > 0 else None
    relative = None if share is None else as_figure(Interval(share, None, None, change.n))
    return {**row, "before": as_figure(before), "after": as_figure(after),
            "difference": as_figure(change), "relative": relative, "won": None, "lost": None,
            "tied": None, "p": None, "detectable": None, "floor": None,
            "above_guessing": None}  # fmt: skip


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
        "detectable": rounded(minimum_detectable_difference(before, after, both.clusters, scale)),
    }


def _seeds(
    sets: Mapping[str, ControlInfo],
    by_model: Mapping[tuple[str, str], _Items],
    arms: Sequence[Arm],
) -> list[dict[str, Any]]:
    """Arms that differ in nothing but the seed of their training, taken together by set."""
    found = []
    for family in seed_families([arm for arm in arms if arm.checkpoint != BASE_CHECKPOINT]):
        for key in [*([TOGETHER] if len(sets) > 1 else []), *sets]:
            about = sets.get(key)
            own = [
                _values(by_model.get((arm.name, arm.checkpoint), _Items({})), key) for arm in family
            ]
            before = _values(by_model.get((family[0].base, BASE_CHECKPOINT), _Items({})), key)
            over = over_seeds(own, before, about.scale if about else _SHARES)
            if over["mean"] is not None:
                found.append(
                    {
                        "set": key,
                        "arms": [arm.name for arm in family],
                        "seeds": [arm.seed for arm in family],
                        "unit": _unit(about) if about else "share",
                        **over,
                    }
                )
    return found


def _means(
    rows: Iterable[Mapping[str, Any]], order: Callable[[str], tuple[int, str]]
) -> list[dict[str, Any]]:
    """Means over sets with their intervals, as the report has figures."""

    def figure(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if found is None:
            return None
        kept = {name: found[name] for name in ("value", "low", "high", "n")}
        return as_figure(Interval(**kept), found["documents"])

    made = [{**row, **{name: figure(row[name]) for name in READINGS}} for row in rows]
    return sorted(made, key=lambda row: (row["is_published"], order(row["arm"])))


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
    results: Iterable[Mapping[str, Any]],
    about: ControlInfo,
    arm: str,
    checkpoint: str,
    reading: str,
) -> Interval | None:
    for row in results:
        is_it = (row["benchmark"], row["arm"], row["checkpoint"]) == (about.key, arm, checkpoint)
        if is_it and row[reading] is not None and not stands_beside(row, about):
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
        "unit": _unit(about, row["metric"]),
        "scale": list(about.scale),
        **{
            reading: as_figure(Interval(**row[reading]) if row[reading] else None)
            for reading in READINGS
        },
        "has_readings": _has_readings(about),
        "stands_beside": stands_beside(row, about),
        "asked": row["asked"],
        "failed": row["failed"],
        **{
            name: rounded(row[name])
            for name in ("empty", "unread_strict", "unread_lenient", "majority", "random")
        },
        "put": way.get("put", {}).get(about.key, ""),
        "is_served": bool(way.get("is_served")),
        "faults": way.get("faults", {}).get(about.key, {}),
        "max_tokens": way.get("limits", {}).get(about.key, about.max_tokens),
        "is_own_limit": about.key in way.get("limits", {}),
    }


def _has_readings(about: ControlInfo) -> bool:
    """Whether an answer is read in two ways, and not as published, by checks or by a judge."""
    return about.of_items is not None and not about.is_published


def _unit(about: ControlInfo, metric: str = "") -> str:
    """How a value (by ``metric``; none: by the set's own) is written: a mark (``judge``), a
    correlation (``number``), else a share.
    """
    if about.form == "judge":
        return "judge"
    return "number" if (metric or about.metric).endswith(_CORRELATIONS) else "share"
