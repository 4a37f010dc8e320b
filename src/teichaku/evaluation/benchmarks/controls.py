"""What a run keeps of its control sets, and the scores and figures that follow from it alone.

``questions.parquet`` has the items as questions, ``items.parquet`` what else their marking needs,
``sets.json`` what was asked and how it is marked. With the answers and the judgements that is all:
scores and figures are computed again without a model.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from teichaku.core.records import Answer, Judgement, Question, Score
from teichaku.core.run_folder import StageFolder, json_bytes, write_aside
from teichaku.core.statistics import Scale, clustered_mean
from teichaku.evaluation.benchmarks import instructions
from teichaku.evaluation.benchmarks.averages import (
    AverageList,
    average_list,
    averages,
    category_means,
    lacking,
)
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
from teichaku.evaluation.benchmarks.metrics import METRICS, Metric
from teichaku.evaluation.benchmarks.rows import Item
from teichaku.evaluation.scorers import score_row

#: The metrics of sets that are marked by checks, and by a judge.
FOLLOWED, JUDGED = "instructions_followed", "judge"
#: A set whose categories nobody stated.
NO_CATEGORY = "other"
#: The lists whose average is printed where just their sets were asked as published.
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
    with; ``frame`` is the version of the published frame.
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
    by_answer: dict[str, list[Judgement]] = {}
    for judgement in controls.judgements:
        by_answer.setdefault(judgement.answer_id, []).append(judgement)
    found: list[Score] = []
    for answer in controls.answers:
        item = controls.items[answer.question_id]
        about = controls.sets[item.question.benchmark]
        if about.form == "judge":
            marks = {row.judge: row.score for row in by_answer.get(answer.id, ())}
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
    :class:`SetResult` with its arm and checkpoint), ``categories``, and the ``averages`` of the
    published lists with what keeps them from being.
    """
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
            summaries = [_measured(about, about.of_items, controls.items, answers)]
        else:
            given = [score for answer in answers for score in by_answer.get(answer.id, ())]
            summaries = _given(about, answers, given)
        who = {"arm": arm, "checkpoint": checkpoint, "form": about.form}
        results += [{**who, **asdict(one)} for one in summaries]
    return {
        "results": results,
        "categories": _categories(controls.sets, results),
        "averages": _averages(controls.sets, results),
    }


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


def _values(
    results: Iterable[Mapping[str, Any]], reading: str
) -> dict[tuple[str, str], dict[str, float | None]]:
    """The value of each set by model; a further judge's is none of them."""
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in results:
        if ":" in row["metric"]:
            continue
        value = row[reading]["value"] if row[reading] else None
        found.setdefault((row["arm"], row["checkpoint"]), {})[row["benchmark"]] = value
    return found


def _categories(
    sets: Mapping[str, ControlInfo], results: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The plain mean over the sets of each category, as shares of their scales; the sets that were
    asked as published stand apart. Null where a set has no value.
    """
    made = []
    for is_published in (False, True):
        own = {key: one for key, one in sets.items() if one.is_published == is_published}
        listed: dict[str, dict[str, str]] = {}
        for key, one in own.items():
            listed.setdefault(one.category or NO_CATEGORY, {})[key] = one.metric
        of = AverageList("own", listed)
        strict, lenient = _values(results, "strict"), _values(results, "lenient")
        for arm, checkpoint in strict:
            means = [
                category_means(
                    {k: as_share(found[arm, checkpoint].get(k), own[k].scale) for k in own}, of
                )
                for found in (strict, lenient)
            ]
            made += [
                {
                    "arm": arm,
                    "checkpoint": checkpoint,
                    "category": category,
                    "is_published": is_published,
                    "strict": means[0][category],
                    "lenient": means[1][category],
                    "sets": list(listed[category]),
                }
                for category in listed
            ]
    return made


def _averages(
    sets: Mapping[str, ControlInfo], results: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The averages of the published lists for each model, over just their sets and no others;
    none where no set was asked as published.
    """
    names = {key: one.name for key, one in sets.items() if one.is_published}
    made: list[dict[str, Any]] = []
    if not names:
        return made
    for (arm, checkpoint), found in _values(results, "strict").items():
        values = {name: found.get(key) for key, name in names.items()}
        for version in _PUBLISHED_LISTS:
            of = average_list(version)
            lacks = lacking(values, of)
            about = {"arm": arm, "checkpoint": checkpoint, "list": of.name, **asdict(lacks)}
            value = None if lacks else averages(values, of).average
            made.append({**about, "value": value})
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
