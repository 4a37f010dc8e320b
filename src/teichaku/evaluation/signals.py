"""Can right answers be told from wrong ones without the reference?

Signals of an answer that are there when a model is used: how likely the model finds its own words,
whether it says the same again (self-consistency: Manakul et al. 2023, "SelfCheckGPT"; Wang et al.
2022), what a judge makes of it. Each is held against what turned out right, by the area under the
ROC curve with an interval over documents. The length of an answer is a signal too, and a blind
one: what a signal tells beyond it is shown beside.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from teichaku.core.auroc import auroc_difference, clustered_auroc
from teichaku.core.models import LanguageModel, ScoredText
from teichaku.core.records import Answer, Reply
from teichaku.core.statistics import Interval
from teichaku.core.text import comparable, marks
from teichaku.evaluation.scorers import character_f1, exact

MEAN, LEAST = "mean_log_probability", "least_log_probability"
FIRST_MEAN, FIRST_LEAST = "mean_log_probability_at_start", "least_log_probability_at_start"
AGREEMENT, SAME = "agreement_of_samples", "share_of_same_samples"
SHORTNESS = "shortness"
#: Why an empty answer has no likelihood.
NO_TOKEN = "no token"

#: Of either side, right and wrong, so many are needed.
LEAST_OF_EACH = 10


@dataclass(frozen=True, slots=True)
class AnswerSignal:
    """What a signal says of an answer; higher should mean right. ``value`` is null where it says
    nothing, and ``error`` why.
    """

    answer_id: str
    signal: str
    value: float | None
    error: str = ""


def likelihood_signals(
    model: LanguageModel, asked: Iterable[tuple[Answer, str]]
) -> Iterator[AnswerSignal]:
    """Mean and least log-probability of the tokens of each answer, behind the context that it
    is given with: the prompt as the model saw it. Answers that failed have no signal.
    """
    given = [(answer, context) for answer, context in asked if not answer.error]
    texts = (ScoredText(answer.text, context) for answer, context in given)
    for (answer, _), scores in zip(given, model.token_log_probabilities(texts), strict=True):
        values = [float(value) for value in scores.log_probabilities]
        yield from _two(answer.id, (MEAN, LEAST), values, scores.error or NO_TOKEN)


def first_token_signals(replies: Iterable[tuple[Answer, Reply]]) -> Iterator[AnswerSignal]:
    """The same from the log-probabilities that came with the replies, which are those of the first
    tokens alone (16 at most) and of the thinking, where there is any.
    """
    for answer, reply in replies:
        if not answer.error:
            values = [next(iter(token.values())) for token in reply.log_probabilities if token]
            yield from _two(answer.id, (FIRST_MEAN, FIRST_LEAST), values, "not given")


def _two(
    answer_id: str, names: tuple[str, str], values: Sequence[float], error: str
) -> Iterator[AnswerSignal]:
    figures = (fmean(values), min(values)) if values else (None, None)
    for name, figure in zip(names, figures, strict=True):
        yield AnswerSignal(answer_id, name, figure, "" if values else error)


def consistency_signals(
    answers: Iterable[Answer], samples: Iterable[Answer]
) -> Iterator[AnswerSignal]:
    """How the samples of the same model agree with each answer: by mean character F1, and by the
    share of them that is the same but for width, case and punctuation. Failed samples are left
    out.
    """
    drawn: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for sample in samples:
        if not sample.error:
            drawn[_whose(sample)].append(sample.text)
    for answer in answers:
        if answer.error:
            continue
        texts = drawn[_whose(answer)]
        near = [agreement(answer.text, text) for text in texts]
        same = [exact(answer.text, text) for text in texts]
        for name, values in ((AGREEMENT, near), (SAME, same)):
            value = fmean(values) if values else None
            yield AnswerSignal(answer.id, name, value, "" if values else "no sample")


def agreement(one: str, other: str) -> float:
    """The character F1 of two answers; two empty ones agree."""
    is_empty = not any(comparable(text) or marks(text) for text in (one, other))
    return 1.0 if is_empty else character_f1(one, other)


def _whose(answer: Answer) -> tuple[str, ...]:
    return answer.question_id, answer.arm, answer.checkpoint, answer.condition


def judge_signals(
    marks: Mapping[str, float | None], judge: str = "judge"
) -> Iterator[AnswerSignal]:
    """A judge's marks by answer id as a signal. It tells something of use only if the judge did
    not see the reference.
    """
    for answer_id, mark in sorted(marks.items()):
        yield AnswerSignal(answer_id, judge, mark, "" if mark is not None else "no mark")


def shortness_signals(answers: Iterable[Answer]) -> Iterator[AnswerSignal]:
    """The blind signal: how short an answer is, in characters below zero."""
    for answer in answers:
        if not answer.error:
            yield AnswerSignal(answer.id, SHORTNESS, -float(len(comparable(answer.text))))


@dataclass(frozen=True, slots=True)
class Separation:
    """How well a signal tells ``right`` answers from ``wrong`` ones.

    ``auroc`` is null where either are too few. ``beyond_shortness`` is how much more of the area
    it has than the blind signal, on the answers that have both. ``missing`` answers have no value.
    """

    signal: str
    auroc: Interval | None
    beyond_shortness: Interval | None
    right: int
    wrong: int
    missing: int


def separations(
    signals: Iterable[AnswerSignal],
    is_right: Mapping[str, bool | None],
    clusters: Mapping[str, str],
    least: int = LEAST_OF_EACH,
) -> list[Separation]:
    """One for each signal, by name. ``is_right`` and ``clusters`` (documents) are by answer id;
    answers of which it is not known whether they are right are left out. Take the answers of one
    model under one condition: else the signal may tell the models apart, and not the answers.
    """
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for row in signals:
        if is_right.get(row.answer_id) is not None:
            found[row.signal][row.answer_id] = row.value
    return [_separation(name, found, is_right, clusters, least) for name in sorted(found)]


def _separation(
    name: str,
    found: Mapping[str, Mapping[str, float | None]],
    is_right: Mapping[str, bool | None],
    clusters: Mapping[str, str],
    least: int,
) -> Separation:
    values = {key: value for key, value in sorted(found[name].items()) if value is not None}
    classes = [bool(is_right[key]) for key in values]
    right, wrong = sum(classes), len(classes) - sum(classes)
    auroc = beyond = None
    if min(right, wrong) >= least:
        where = [clusters[key] for key in values]
        auroc = clustered_auroc(list(values.values()), classes, where)
        blind = found.get(SHORTNESS, {})
        lengths = [length for key in values if (length := blind.get(key)) is not None]
        if name != SHORTNESS and len(lengths) == len(values):
            beyond = auroc_difference(list(values.values()), lengths, classes, where)
    missing = len(found[name]) - len(values)
    return Separation(name, auroc, beyond, right, wrong, missing)
