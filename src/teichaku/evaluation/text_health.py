"""Is what a model writes still sound text? Length, repetition, cut answers, language, empty ones.

Training on short answers or on one language moves these long before a benchmark shows it. They
are measured on the same questions before and after, with intervals over documents.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from teichaku.core.records import Answer, Question
from teichaku.core.statistics import Interval, Scale, clustered_mean, paired_difference
from teichaku.core.text import LANGUAGE_SCRIPTS, comparable, is_language, marks, script_shares

#: The share of a text that repeats what stood before it, from 0 to 1.
Repeated = Callable[[str], float]

#: What is measured, and on which scale: ``characters`` of an answer, the share of it that is
#: ``repeated``, whether it was ``cut`` by the token limit, the share of its letters ``in_script``
#: of the language, whether it can be in ``another_language``, and whether it is ``empty``.
MEASURES: Mapping[str, Scale | None] = {
    "characters": None,
    "repeated": (0.0, 1.0),
    "cut": (0.0, 1.0),
    "in_script": (0.0, 1.0),
    "another_language": (0.0, 1.0),
    "empty": (0.0, 1.0),
}


@dataclass(frozen=True)
class Measuring:
    """How texts are measured: the ``language`` that they should be in (ISO 639-1), and what
    counts as ``repeated``.
    """

    language: str
    repeated: Repeated
    #: Of the texts that were measured: arms often answer alike, and one is held against several.
    _known: dict[tuple[str, str], dict[str, float | None]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def measures(self, answer: Answer) -> dict[str, float | None]:
        """The values of :data:`MEASURES`; null where an answer has none: all of one that failed,
        and all but length, ``cut`` and ``empty`` of an empty one. An answer without letters (48) is
        in no script. Japanese and Chinese share theirs; ``another_language`` goes by the kana.
        """
        if answer.error:
            return dict.fromkeys(MEASURES)
        key = answer.text, answer.finish_reason
        if key not in self._known:
            self._known[key] = self._measured(*key)
        return self._known[key]

    def _measured(self, text: str, finish_reason: str) -> dict[str, float | None]:
        is_empty = not comparable(text) and not marks(text)
        shares = script_shares(text)
        wanted = LANGUAGE_SCRIPTS.get(self.language)
        inside = sum(shares.get(name, 0.0) for name in wanted or ())
        return {
            "characters": float(len(text)),
            "repeated": None if is_empty else self.repeated(text),
            "cut": float(finish_reason == "length"),
            "in_script": min(inside, 1.0) if shares and wanted else None,
            "another_language": float(not is_language(text, self.language)) if shares else None,
            "empty": float(is_empty),
        }


@dataclass(frozen=True, slots=True)
class TextHealth:
    """The means of an arm's answers by measure, with intervals over documents; null where no
    answer has a value. ``finish_reasons`` counts why answers ended; ``failed`` ones are in nothing.
    """

    arm: str
    checkpoint: str
    condition: str
    means: Mapping[str, Interval | None]
    finish_reasons: Mapping[str, int]
    answers: int
    failed: int


def text_health(
    answers: Iterable[Answer], questions: Mapping[str, Question], measuring: Measuring
) -> list[TextHealth]:
    """One for each arm, checkpoint and condition among ``answers``, in their order."""
    groups: dict[tuple[str, str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.arm, answer.checkpoint, answer.condition].append(answer)
    return [_health(key, groups[key], questions, measuring) for key in sorted(groups)]


def _health(
    key: tuple[str, str, str],
    answers: Sequence[Answer],
    questions: Mapping[str, Question],
    measuring: Measuring,
) -> TextHealth:
    measured = [(measuring.measures(answer), _cluster(answer, questions)) for answer in answers]
    means = {}
    for name, scale in MEASURES.items():
        kept = [(value, where) for values, where in measured if (value := values[name]) is not None]
        means[name] = clustered_mean([v for v, _ in kept], [where for _, where in kept], scale)
    sound = [answer for answer in answers if not answer.error]
    reasons = Counter(answer.finish_reason or "unknown" for answer in sound)
    return TextHealth(
        *key, means, dict(sorted(reasons.items())), len(sound), len(answers) - len(sound)
    )


def health_changes(
    before: Iterable[Answer],
    after: Iterable[Answer],
    questions: Mapping[str, Question],
    measuring: Measuring,
) -> dict[str, Interval | None]:
    """The paired change of each measure from one arm's answers to another's, on the questions for
    which both have a value; null where there is none.
    """
    old = {answer.question_id: measuring.measures(answer) for answer in before}
    later = sorted(after, key=lambda answer: answer.question_id)
    pairs = [
        (old[answer.question_id], measuring.measures(answer), _cluster(answer, questions))
        for answer in later
        if answer.question_id in old
    ]
    return {name: _change(name, scale, pairs) for name, scale in MEASURES.items()}


def _change(
    name: str,
    scale: Scale | None,
    pairs: Sequence[tuple[Mapping[str, float | None], Mapping[str, float | None], str]],
) -> Interval | None:
    kept = [
        (was, now, where)
        for old, new, where in pairs
        if (was := old[name]) is not None and (now := new[name]) is not None
    ]
    earlier, later, clusters = zip(*kept, strict=True) if kept else ((), (), ())
    return paired_difference(earlier, later, clusters, scale)


def _cluster(answer: Answer, questions: Mapping[str, Question]) -> str:
    question = questions[answer.question_id]
    return question.document_id or question.id
