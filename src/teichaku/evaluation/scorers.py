"""Scorers by characters: pure functions of reference and answer, each from 0 to 1."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from teichaku.core.records import Answer, Judgement, Question, Score
from teichaku.core.text import comparable


def exact(reference: str, answer: str) -> float:
    """1 where the two are the same but for width, case, spaces and punctuation."""
    return float(comparable(reference) == comparable(answer))


def containment(reference: str, answer: str) -> float:
    """1 where the answer holds the reference; a number must stand alone (60分 is not in 160分)."""
    wanted = comparable(reference)
    if not wanted:
        return 0.0
    before = r"(?<![\d.])" if wanted[0].isdigit() else ""
    after = r"(?![\d.])" if wanted[-1].isdigit() else ""
    return float(re.search(before + re.escape(wanted) + after, comparable(answer)) is not None)


def character_f1(reference: str, answer: str) -> float:
    """Harmonic mean of precision and recall over the multisets of characters.

    This is the true character F1, not llm-jp-eval's ``char_f1``, which is a token sort ratio.
    """
    wanted, given = Counter(comparable(reference)), Counter(comparable(answer))
    shared = sum((wanted & given).values())
    if shared == 0:
        return 0.0
    return 2 * shared / (sum(wanted.values()) + sum(given.values()))


SCORERS: dict[str, Callable[[str, str], float]] = {
    "exact": exact,
    "containment": containment,
    "character_f1": character_f1,
}


def score_answers(
    answers: Iterable[Answer],
    questions: Mapping[str, Question],
    scorers: Iterable[str],
    judgements: Iterable[Judgement] = (),
) -> Iterator[Score]:
    """One score a scorer and answer. The value of a failed answer, or of a judgement that
    failed, is null. Answers that were not judged get no judge score.
    """
    names = [name for name in scorers if name in SCORERS]
    judged = {judgement.answer_id: judgement for judgement in judgements}
    for answer in answers:
        question = questions[answer.question_id]
        for name in names:
            value = None if answer.error else SCORERS[name](question.reference, answer.text)
            yield _score(answer, question, name, value)
        if answer.id in judged:
            yield _score(answer, question, "judge", judged[answer.id].score)


def _score(answer: Answer, question: Question, scorer: str, value: float | None) -> Score:
    return Score(
        answer.id,
        question.id,
        answer.arm,
        answer.checkpoint,
        answer.condition,
        question.kind,
        question.category,
        question.document_id,
        scorer,
        value,
    )
