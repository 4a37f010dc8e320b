"""Which answers to show: the clearest gains and the clearest failures, chosen by rule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from teichaku.core.records import BASE_CHECKPOINT, Answer, Judgement, Score
from teichaku.report import tables
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.tables import Cells

SHOWN = 4
_KINDS_TO_SHOW = ("held_out", "independent", "unseen", "trained", "trained_by_some")
_RIGHT = {"judge": 8.0}


@dataclass(frozen=True)
class _Candidate:
    question_id: str
    document_id: str
    kind: str
    before: float
    after: float
    scorer: str

    @property
    def gain(self) -> float:
        return self.after - self.before

    @property
    def is_right(self) -> bool:
        return self.after >= _RIGHT.get(self.scorer, 1.0)


def examples(
    evidence: Evidence, scores: Cells, base: str, best: Arm | None, scorer: str
) -> dict[str, list[dict[str, Any]]]:
    """Up to four gains and four failures, from different documents where there are such.

    A failure is a question that was lost, or one that is still not answered rightly. Held-out
    wording goes first, because it tells more than the wording of training.
    """
    if best is None:
        return {"good": [], "bad": []}
    candidates = _candidates(scores, base, best, scorer)
    gains = [item for item in candidates if item.gain > 0]
    failures = [item for item in candidates if item.gain < 0 or not item.is_right]
    gains.sort(key=lambda item: (-item.gain, *_tie(item)))
    failures.sort(key=lambda item: (item.gain, item.after, *_tie(item)))
    good = _spread(gains, set())
    bad = _spread([item for item in failures if item not in good], {g.document_id for g in good})
    shown = {"good": good, "bad": bad}
    wanted = {item.question_id for chosen in shown.values() for item in chosen}
    answers = _answers(evidence, wanted, base, best)
    return {
        name: [_described(evidence, item, answers.get(item.question_id, [])) for item in chosen]
        for name, chosen in shown.items()
    }


def _candidates(scores: Cells, base: str, best: Arm, scorer: str) -> list[_Candidate]:
    before = _values(scores.get((base, BASE_CHECKPOINT, "closed_book", scorer), []))
    return [
        _Candidate(
            row.question_id,
            row.document_id,
            row.question_kind,
            before[row.question_id],
            row.value,
            scorer,
        )
        for row in scores.get((best.name, best.checkpoint, "closed_book", scorer), [])
        if row.value is not None and row.question_id in before
    ]


def _values(rows: Iterable[Score]) -> dict[str, float]:
    return {row.question_id: row.value for row in rows if row.value is not None}


def _tie(item: _Candidate) -> tuple[Any, ...]:
    return (tables.position(item.kind, _KINDS_TO_SHOW), item.question_id)


def _spread(candidates: Sequence[_Candidate], used: set[str]) -> list[_Candidate]:
    """The first few, passing over documents already shown for as long as there are others."""
    chosen: list[_Candidate] = []
    seen = set(used)
    for item in candidates:
        if len(chosen) < SHOWN and item.document_id not in seen:
            chosen.append(item)
            seen.add(item.document_id)
    rest = [item for item in candidates if item not in chosen]
    return sorted([*chosen, *rest[: SHOWN - len(chosen)]], key=candidates.index)


def _answers(
    evidence: Evidence, wanted: set[str], base: str, best: Arm
) -> dict[str, list[dict[str, Any]]]:
    marks: dict[str, dict[str, float | None]] = {}
    for row in evidence.scores:
        if row.question_id in wanted:
            marks.setdefault(row.answer_id, {})[row.scorer] = row.value
    judged = {row.answer_id: row for row in evidence.judgements}
    sides = ((base, BASE_CHECKPOINT), (best.name, best.checkpoint))
    found: dict[str, list[dict[str, Any]]] = {}
    for answer in evidence.answers:
        if answer.question_id in wanted and (answer.arm, answer.checkpoint) in sides:
            shown = _answer(answer, marks.get(answer.id, {}), judged.get(answer.id))
            found.setdefault(answer.question_id, []).append(shown)
    for rows in found.values():
        rows.sort(
            key=lambda row: (
                tables.position(row["condition"], tables.CONDITIONS),
                row["checkpoint"] != BASE_CHECKPOINT,
            )
        )
    return found


def _answer(
    answer: Answer, marks: dict[str, float | None], judgement: Judgement | None
) -> dict[str, Any]:
    return {
        "arm": answer.arm,
        "checkpoint": answer.checkpoint,
        "condition": answer.condition,
        "text": answer.text,
        "error": answer.error,
        "finish_reason": answer.finish_reason,
        "scores": {name: marks[name] for name in tables.ordered(marks, tables.SCORERS)},
        "judge": judgement
        and {
            "score": judgement.score,
            "explanation": judgement.explanation,
            "error": judgement.error,
        },
    }


def _described(
    evidence: Evidence, item: _Candidate, answers: list[dict[str, Any]]
) -> dict[str, Any]:
    question = evidence.questions.get(item.question_id)
    passage = evidence.passages.get(question.passage_id) if question else None
    return {
        "question_id": item.question_id,
        "question_kind": item.kind,
        "category": question.category if question else "",
        "question": question.question if question else "",
        "reference": question.reference if question else "",
        "title": passage.title if passage else "",
        "passage": passage.text if passage else "",
        "source": passage.source if passage else "",
        "before": item.before,
        "after": item.after,
        "answers": answers,
    }
