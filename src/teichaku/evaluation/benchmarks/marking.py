"""From answers to the figures of a set: strict and lenient marks, rates and floors side by side.

All of it is a pure function of items and answers, and runs again without a model.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from teichaku.core.records import Answer, Score
from teichaku.core.statistics import Interval, clustered_mean
from teichaku.evaluation.benchmarks.catalogue import Form
from teichaku.evaluation.benchmarks.data_file import Identity
from teichaku.evaluation.benchmarks.frames import published_answer
from teichaku.evaluation.benchmarks.metrics import Metric
from teichaku.evaluation.benchmarks.parsing import lenient_answer, strict_answer
from teichaku.evaluation.benchmarks.rows import Item
from teichaku.evaluation.scorers import score_row


@dataclass(frozen=True, slots=True)
class Marked:
    """An answer as it was read, and its values; ``strict`` and ``lenient`` are null where nothing
    could be read.

    A reply in which there is no answer is a wrong answer, with the value 0: it is the model's,
    not the measurement's. Values are null where the request ``failed``, and where the metric is
    one of the whole set.
    """

    item: Item
    failed: bool
    empty: bool
    strict: str | None = None
    lenient: str | None = None
    strict_value: float | None = None
    lenient_value: float | None = None


def mark(item: Item, answer: Answer, form: Form, metric: Metric, pattern: str = "") -> Marked:
    """Read and mark one answer by all references of its item; ``pattern`` is the data set's own
    ``answer_extract_pattern``.
    """
    if answer.error:
        return Marked(item, failed=True, empty=False)
    strict = strict_answer(answer.text, form, item.labels, pattern)
    lenient = lenient_answer(answer.text, form, item.labels, item.choices)
    if lenient is None:
        # What the strict reading takes is never lost by the lenient one.
        lenient = strict
    return Marked(
        item,
        failed=False,
        empty=not answer.text.strip(),
        strict=strict,
        lenient=lenient,
        strict_value=_value(metric, item, strict),
        lenient_value=_value(metric, item, lenient),
    )


def mark_as_published(item: Item, answer: Answer, metric: Metric, pattern: str = "") -> Marked:
    """Mark one answer as llm-jp-eval does: its post-processing, the first reference alone, no
    second reading. What is empty or names none of the item's labels is marked, and is unread.
    """
    if answer.error:
        return Marked(item, failed=True, empty=False)
    read = published_answer(answer.text, pattern)
    value = None if metric.of_item is None else metric.of_item(item.references[0], read)
    # The answer is normalised, too.
    labels = {unicodedata.normalize("NFKC", label) for label in item.labels}
    is_label = not labels or metric.of_item is None or read in labels
    found = read if read and is_label else None
    return Marked(item, False, not answer.text.strip(), found, found, value, value)


def _value(metric: Metric, item: Item, read: str | None) -> float | None:
    if metric.of_item is None:
        return None
    return 0.0 if read is None else metric.best_of(item.references, read)


def scores(marked: Marked, answer: Answer, metric: Metric) -> list[Score]:
    """The strict and the lenient value as rows of the scores; the scorer of the latter ends with
    ``_lenient``. None of a metric of a set, which no single answer has a value of.
    """
    if metric.of_item is None:
        return []
    return [
        score_row(answer, marked.item.question, metric.name, marked.strict_value),
        score_row(answer, marked.item.question, f"{metric.name}_lenient", marked.lenient_value),
    ]


@dataclass(frozen=True)
class SetResult:
    """One set's row in a table.

    ``strict`` and ``lenient`` are null where there is no value. ``asked`` counts the answers,
    ``failed`` those whose request failed; ``empty``, ``unread_strict`` and ``unread_lenient`` are
    shares of the others: nothing written, and no label, no number or no text read by either
    reading (llm-jp-eval's out-of-label rate). ``majority`` and ``random`` are what answering the
    commonest reference always, and any label blindly, would give; null where that means nothing.
    ``identity`` says whether the data are the published ones.
    """

    benchmark: str
    metric: str
    version: str
    asked: int
    failed: int
    strict: Interval | None
    lenient: Interval | None
    empty: float | None
    unread_strict: float | None
    unread_lenient: float | None
    majority: float | None
    random: float | None
    identity: Identity


def summarise(
    benchmark: str, marked: Sequence[Marked], metric: Metric, identity: Identity = "unknown"
) -> SetResult:
    """The figures of a set. Intervals are over documents; a metric of a set has none."""
    read = [row for row in marked if not row.failed]
    return SetResult(
        benchmark,
        metric.name,
        metric.version,
        len(marked),
        len(marked) - len(read),
        _mean(read, metric, lenient=False),
        _mean(read, metric, lenient=True),
        _share(row.empty for row in read),
        _share(row.strict is None for row in read),
        _share(row.lenient is None for row in read),
        majority_floor([row.item for row in read], metric),
        random_floor([row.item for row in read]),
        identity,
    )


def majority_floor(items: Sequence[Item], metric: Metric) -> float | None:
    """What answering the commonest reference every time would give on ``items``."""
    if metric.of_item is None or not items:
        return None
    counts = Counter(item.question.reference for item in items)
    # Of equals the first in the alphabet, so that the order of items changes nothing.
    common = min(counts, key=lambda reference: (-counts[reference], reference))
    values = [metric.best_of(item.references, common) for item in items]
    return fmean(values)


def random_floor(items: Sequence[Item]) -> float | None:
    """The expected share of right answers where any label is named blindly."""
    if not items or not all(item.labels for item in items):
        return None
    return fmean(1 / len(item.labels) for item in items)


def outside_of_labels(marked: Iterable[Marked], lenient: bool = False) -> Mapping[str, int]:
    """How many answers of each set name none of its labels, by the strict reading or the lenient
    one.
    """
    counts: Counter[str] = Counter()
    for row in marked:
        read = row.lenient if lenient else row.strict
        if row.item.labels and not row.failed and read is None:
            counts[row.item.question.benchmark] += 1
    return counts


def _mean(rows: Sequence[Marked], metric: Metric, lenient: bool) -> Interval | None:
    if metric.of_set is not None:
        answers = [(row.lenient if lenient else row.strict) or "" for row in rows]
        value = metric.of_set([row.item.references[0] for row in rows], answers)
        return None if value is None else Interval(value, None, None, len(rows))
    pairs = [
        (value, row.item.question.document_id)
        for row in rows
        if (value := row.lenient_value if lenient else row.strict_value) is not None
    ]
    values, documents = [value for value, _ in pairs], [document for _, document in pairs]
    return clustered_mean(values, documents, (0.0, 1.0))


def _share(of: Iterable[bool]) -> float | None:
    listed = list(of)
    return sum(listed) / len(listed) if listed else None
