"""What a run keeps of its control sets, and the scores and figures that follow from it alone.

``questions.parquet`` has the items as questions, ``items.parquet`` what else their marking needs,
``sets.json`` what was asked and how it is marked. With the answers and the judgements that is all:
scores and figures are computed again without a model.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from teichaku.core.records import Answer, Judgement, Question, Score
from teichaku.core.run_folder import StageFolder, json_bytes, write_aside
from teichaku.core.statistics import Interval, Scale, clustered_mean, stratified_mean
from teichaku.evaluation.benchmarks import instructions
from teichaku.evaluation.benchmarks.averages import average_list, lacking
from teichaku.evaluation.benchmarks.catalogue import Form
from teichaku.evaluation.benchmarks.data_file import Identity
from teichaku.evaluation.benchmarks.marking import (
    Marked,
    SetResult,
    mark,
    mark_as_published,
    scores,
    summarise,
)
from teichaku.evaluation.benchmarks.metrics import METRICS, NOT_COMPUTED, Metric
from teichaku.evaluation.benchmarks.rows import Item
from teichaku.evaluation.judging.marks import marks_by_answer
from teichaku.evaluation.scorers import score_row

#: The metrics of sets that are marked by checks, and by a judge.
FOLLOWED, JUDGED = "instructions_followed", "judge"
#: A set whose categories nobody stated.
NO_CATEGORY = "other"
#: The lists of which it is said why their average is not printed.
_PUBLISHED_LISTS = ("1.3", "1.4")


@dataclass(frozen=True, slots=True)
class ControlItem:
    """What an item has beside its question (see :class:`Item`); ``checks`` is JSON."""

    question_id: str
    references: tuple[str, ...]
    labels: tuple[str, ...]
    choices: tuple[str, ...]
    checks: str
    conversation: str
    turn: int
    criteria: str


@dataclass(frozen=True)
class ControlInfo:
    """What is said of a set, and what its marking goes by.

    ``key`` is its name, with ``@published`` where it is asked as published. ``scale`` has the ends
    between which the values of an item lie. ``shots`` and ``max_tokens`` are those that were asked
    with; ``frame`` is the version of the published frame. ``beside`` is a metric that is shown
    beside its own; empty where there is none.
    """

    key: str
    name: str
    title: str
    category: str
    form: Form
    metric: str
    version: str
    scale: tuple[float, float]
    identity: Identity
    is_published: bool
    items: int
    shots: int
    max_tokens: int
    instruction: str
    frame: str
    split: str = ""
    licence: str = ""
    attribution: str = ""
    answer_pattern: str = ""
    beside: str = ""
    fallen: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def of_items(self) -> Metric | None:
        """Its metric, where neither a judge nor checks mark it."""
        return METRICS.get(self.metric)


@dataclass(frozen=True)
class Controls:
    """All that the files of the stage hold. ``judges`` are the names of the judges' scores by
    identity.
    """

    sets: Mapping[str, ControlInfo]
    items: Mapping[str, Item]
    answers: Sequence[Answer]
    judgements: Sequence[Judgement]
    judges: Mapping[str, str]


def write_sets(folder: StageFolder, sets: Iterable[ControlInfo], items: Iterable[Item]) -> None:
    """Write ``sets.json``, ``questions.parquet`` and ``items.parquet``."""
    content = {"sets": [asdict(one) for one in sets]}
    write_aside(folder.path / "sets.json", json_bytes(content))
    listed = sorted(items, key=lambda item: item.question.id)
    folder.write("questions", Question, [item.question for item in listed])
    folder.write("items", ControlItem, [_stored(item) for item in listed])


def read_sets(folder: StageFolder) -> dict[str, ControlInfo]:
    """The sets by key, in the order in which they were asked."""
    content = json.loads((folder.path / "sets.json").read_text(encoding="utf-8"))
    known = {one.name for one in fields(ControlInfo)}
    found = {}
    for row in content["sets"]:
        kept = {name: value for name, value in row.items() if name in known}
        kept |= {"scale": tuple(row["scale"]), "notes": tuple(row["notes"])}
        found[row["key"]] = ControlInfo(**kept)
    return found


def read_items(folder: StageFolder) -> list[Item]:
    """The items of all sets, in the order of their ids."""
    questions = {row.id: row for row in folder.read("questions", Question)}
    return [_restored(row, questions) for row in folder.read("items", ControlItem)]


def read_controls(folder: StageFolder, judges: Mapping[str, str]) -> Controls:
    """What the files of the stage hold; ``judges`` as in :class:`Controls`."""
    return Controls(
        read_sets(folder),
        {item.question.id: item for item in read_items(folder)},
        list(folder.read("answers", Answer)),
        list(folder.read("judgements", Judgement)),
        judges,
    )


def control_scores(controls: Controls) -> list[Score]:
    """The scores of all answers: by the metric, strict and lenient (``_lenient``), by checks, or by
    each judge. No score where a metric is one of the whole set; null where a request failed.
    """
    by_answer: dict[str, dict[str, float | None]] = {}
    for (judge, _), given in marks_by_answer(controls.judgements).items():
        for answer_id, value in given.items():
            by_answer.setdefault(answer_id, {})[judge] = value
    found: list[Score] = []
    for answer in controls.answers:
        item = controls.items[answer.question_id]
        about = controls.sets[item.question.benchmark]
        if about.form == "judge":
            marks = by_answer.get(answer.id, {})
            judges = controls.judges or dict.fromkeys(marks, JUDGED)
            for judge, name in judges.items():
                # Of an answer that failed there is nothing to mark.
                if answer.error or judge in marks:
                    found.append(score_row(answer, item.question, name, marks.get(judge)))
        elif about.form == "instructions":
            value = instructions.check(item, answer).value
            found.append(score_row(answer, item.question, about.metric, value))
        else:
            found += _by_metric(about, item, answer)
    return found


def write_results(folder: StageFolder, controls: Controls, found: Iterable[Score]) -> None:
    """Write ``results.json``: the figures of the scores that were ``found``."""
    write_aside(folder.path / "results.json", json_bytes(control_results(controls, found)))


def control_results(controls: Controls, found: Iterable[Score]) -> dict[str, Any]:
    """The figures of ``results.json``: ``results`` of every set, model and scorer (a
    :class:`SetResult` with its arm and checkpoint), the means of ``categories`` and the ``means``
    of these, and what keeps the ``averages`` of the published lists from being.
    """
    found = list(found)
    rows: dict[tuple[str, str, str], list[Answer]] = {}
    for answer in controls.answers:
        key = controls.items[answer.question_id].question.benchmark
        rows.setdefault((answer.arm, answer.checkpoint, key), []).append(answer)
    by_answer: dict[str, list[Score]] = {}
    for score in found:
        by_answer.setdefault(score.answer_id, []).append(score)
    order = {key: place for place, key in enumerate(controls.sets)}
    results = []
    for arm, checkpoint, key in sorted(rows, key=lambda row: (row[0], row[1], order[row[2]])):
        answers = sorted(rows[arm, checkpoint, key], key=lambda answer: answer.question_id)
        about = controls.sets[key]
        if about.of_items is not None:
            metrics = [about.of_items, *([METRICS[about.beside]] if about.beside else [])]
            summaries = [_measured(about, one, controls.items, answers) for one in metrics]
        else:
            given = [score for answer in answers for score in by_answer.get(answer.id, ())]
            summaries = _given(about, answers, given)
        who = {"arm": arm, "checkpoint": checkpoint, "form": about.form}
        results += [{**who, **asdict(one)} for one in summaries]
    categories, means = _means(controls, results, found)
    return {
        "results": results,
        "categories": categories,
        "means": means,
        "averages": _averages(controls.sets),
    }


def unread_replies(
    sets: Mapping[str, ControlInfo], items: Mapping[str, Item], answers: Iterable[Answer]
) -> dict[str, bool]:
    """Whether no answer can be read in the reply to a question, looked for in it where the set is
    asked by our protocol. Replies that checks or a judge mark are taken as they are.
    """
    found = {}
    for answer in answers:
        item = items[answer.question_id]
        about = sets[item.question.benchmark]
        metric = about.of_items
        found[answer.question_id] = (
            metric is not None and _marked(about, metric, item, answer).lenient is None
        )
    return found


def as_share(value: float | None, scale: Scale) -> float | None:
    """``value`` as a share of its ``scale``, so that values of several scales can be averaged."""
    return None if value is None else (value - scale[0]) / (scale[1] - scale[0])


def _by_metric(about: ControlInfo, item: Item, answer: Answer) -> list[Score]:
    metric = cast("Metric", about.of_items)
    made = scores(_marked(about, metric, item, answer), answer, metric)
    # As published there is one reading alone.
    return made[:1] if about.is_published else made


def _marked(about: ControlInfo, metric: Metric, item: Item, answer: Answer) -> Marked:
    if about.is_published:
        return mark_as_published(item, answer, metric, about.answer_pattern)
    return mark(item, answer, about.form, metric, about.answer_pattern)


def _measured(
    about: ControlInfo, metric: Metric, items: Mapping[str, Item], answers: Sequence[Answer]
) -> SetResult:
    marked = [_marked(about, metric, items[answer.question_id], answer) for answer in answers]
    return summarise(about.key, marked, metric, about.identity)


def _given(
    about: ControlInfo, answers: Sequence[Answer], found: Sequence[Score]
) -> list[SetResult]:
    """The figures of a set that checks or judges mark: one row a scorer."""
    failed = sum(bool(answer.error) for answer in answers)
    said = [not answer.text.strip() for answer in answers if not answer.error]
    empty = sum(said) / len(said) if said else None
    made = []
    for name in sorted({score.scorer for score in found}) or [about.metric]:
        pairs = [
            (score.value, score.document_id)
            for score in found
            if score.scorer == name and score.value is not None
        ]
        mean = clustered_mean([pair[0] for pair in pairs], [pair[1] for pair in pairs], about.scale)
        unread = len(said) - len(pairs)
        share = unread / len(said) if said else None
        made.append(
            SetResult(
                about.key, name, about.version, len(answers), failed, mean, mean, empty, share,
                share, None, None, about.identity,
            )
        )  # fmt: skip
    return made


def stands_beside(row: Mapping[str, Any], about: ControlInfo) -> bool:
    """Whether a row of the results is not the set's own value but one that is shown beside it: a
    further judge's, or one by the metric that its publisher gives.
    """
    return bool(row["metric"] != about.metric)


@dataclass(frozen=True)
class _Value:
    """A set's value as a share of its scale, with the values of its items and what each stands or
    falls with; without them where the metric is one of the whole set.
    """

    value: float
    n: int
    items: tuple[Sequence[float], Sequence[str]] | None


def _values(
    controls: Controls,
    results: Iterable[Mapping[str, Any]],
    found: Iterable[Score],
    reading: str,
) -> dict[tuple[str, str], dict[str, _Value]]:
    """The value of each set by model; what stands beside it is none of them."""
    of_items: dict[tuple[str, str, str], tuple[list[float], list[str]]] = {}
    for score in found:
        key = controls.items[score.question_id].question.benchmark
        about = controls.sets[key]
        one_reading = about.of_items is None or about.is_published
        name = "lenient" if score.scorer.endswith("_lenient") else "strict"
        share = as_share(score.value, about.scale)
        if share is not None and ":" not in score.scorer and (one_reading or name == reading):
            own = of_items.setdefault((score.arm, score.checkpoint, key), ([], []))
            own[0].append(share)
            own[1].append(score.document_id)
    values: dict[tuple[str, str], dict[str, _Value]] = {}
    for row in results:
        who, key = (row["arm"], row["checkpoint"]), row["benchmark"]
        own_values = values.setdefault(who, {})
        figure = None if stands_beside(row, controls.sets[key]) else row[reading]
        share = as_share(figure["value"], controls.sets[key].scale) if figure else None
        if figure and share is not None and not math.isnan(share):
            own_values[key] = _Value(share, figure["n"], of_items.get((*who, key)))
    return values


def _mean_of_sets(
    values: Mapping[str, _Value], weights: Mapping[str, float]
) -> dict[str, Any] | None:
    """The mean of the sets that have ``weights``, with its interval, and over how many documents;
    None where one of them has no value, and no interval where one has none of its items.
    """
    own = [values[key] for key in weights if key in values]
    if len(own) < len(weights):
        return None
    strata = [one.items for one in own if one.items is not None]
    documents = sum(len(set(names)) for _, names in strata)
    if len(strata) == len(own):
        found = stratified_mean(strata, list(weights.values()), (0.0, 1.0))
        if found is not None:
            return {**asdict(found), "documents": documents}
    total = sum(weights.values())
    mean = sum(one.value * weight for one, weight in zip(own, weights.values(), strict=True))
    found = Interval(mean / total, None, None, sum(one.n for one in own))
    return {**asdict(found), "documents": None}


def _means(
    controls: Controls, results: Sequence[Mapping[str, Any]], found: Sequence[Score]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The plain mean over the sets of each category, as shares of their scales, and the plain mean
    of the categories; the sets that were asked as published stand apart.
    """
    by_reading = {
        reading: _values(controls, results, found, reading) for reading in ("strict", "lenient")
    }
    categories: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    for is_published in (False, True):
        listed: dict[str, list[str]] = {}
        for key, one in controls.sets.items():
            if one.is_published == is_published:
                listed.setdefault(one.category or NO_CATEGORY, []).append(key)
        evenly = {key: 1 / len(keys) for keys in listed.values() for key in keys}
        for who in by_reading["strict"] if listed else ():
            about = {"arm": who[0], "checkpoint": who[1], "is_published": is_published}

            def means(weights: Mapping[str, float], who: tuple[str, str] = who) -> dict[str, Any]:
                return {
                    reading: _mean_of_sets(values[who], weights)
                    for reading, values in by_reading.items()
                }

            categories += [
                {**about, "category": name, **means(dict.fromkeys(keys, 1.0)), "sets": keys}
                for name, keys in listed.items()
            ]
            if len(listed) > 1:
                whole.append({**about, **means(evenly), "categories": list(listed)})
    return categories, whole


def _averages(sets: Mapping[str, ControlInfo]) -> list[dict[str, Any]]:
    """What keeps the averages of the published lists from being printed: sets whose metric is
    ``not_computed`` here, sets that were not asked as published, and sets beyond the list. None
    where no set was asked as published.
    """
    asked = {one.name: 0.0 for one in sets.values() if one.is_published}
    made = []
    for version in _PUBLISHED_LISTS if asked else ():
        of = average_list(version)
        lacks = lacking(asked, of)
        cannot = {name: metric for name, metric in of.sets.items() if metric in NOT_COMPUTED}
        missing = [name for name in lacks.missing if name not in cannot]
        made.append(
            {"list": of.name, "not_computed": cannot, "missing": missing, "beyond": lacks.beyond}
        )
    return made


def _stored(item: Item) -> ControlItem:
    checks = [[name, dict(arguments)] for name, arguments in item.checks]
    return ControlItem(
        item.question.id,
        item.references,
        item.labels,
        item.choices,
        json.dumps(checks, ensure_ascii=False),
        item.conversation,
        item.turn,
        item.criteria,
    )


def _restored(row: ControlItem, questions: Mapping[str, Question]) -> Item:
    return Item(
        questions[row.question_id],
        row.references,
        row.labels,
        row.choices,
        tuple((name, arguments) for name, arguments in json.loads(row.checks)),
        row.conversation,
        row.turn,
        row.criteria,
    )
