"""Answers side by side: the same question to the untuned and the tuned model under every
condition, and to every further model. Which questions are shown is chosen by rule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from teichaku.core.records import (
    BASE_CHECKPOINT,
    Answer,
    Judgement,
    Question,
    Retrieved,
    Score,
    content_id,
)
from teichaku.evaluation.judging.marks import marks_by_answer
from teichaku.report import tables
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.judging import Judge, all_judges, judge_label
from teichaku.report.signals import RIGHT_FROM
from teichaku.report.tables import Cells

#: So many gains, so many failures, and so many questions drawn by chance.
SHOWN = 4
SAMPLED = 12
_KINDS_TO_SHOW = ("held_out", "independent", "unseen", "trained", "trained_by_some")


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
        return self.after >= RIGHT_FROM.get(self.scorer, 1.0)


def side_by_side(
    evidence: Evidence, scores: Cells, base: str, best: Arm | None, scorer: str
) -> dict[str, Any]:
    """The means of every model under every condition, and the questions in three groups: up to
    four gains, four failures, and twelve others drawn by chance, the kinds in turn. Empty where
    nothing was asked.

    Gains and failures are from different documents where there are such. A failure is a question
    that was lost, or one that is still not answered rightly. Held-out wording goes first, because
    it tells more than the wording of training.
    """
    if not evidence.answers:
        return {}
    candidates = _candidates(scores, base, best, scorer) if best else []
    gains = [item for item in candidates if item.gain > 0]
    failures = [item for item in candidates if item.gain < 0 or not item.is_right]
    gains.sort(key=lambda item: (-item.gain, *_tie(item)))
    failures.sort(key=lambda item: (item.gain, item.after, *_tie(item)))
    good = _spread(gains, set())
    bad = _spread([item for item in failures if item not in good], {g.document_id for g in good})
    told = {item.question_id for item in (*good, *bad)}
    answered = {answer.question_id for answer in evidence.answers}
    others = [q for q in evidence.questions.values() if q.id in answered and q.id not in told]
    shown = {
        "good": [item.question_id for item in good],
        "bad": [item.question_id for item in bad],
        "sample": [question.id for question in fair_order(others)[:SAMPLED]],
    }
    described = _Described(evidence, {i for ids in shown.values() for i in ids}, base, best)
    return {
        "scorer": scorer,
        "means": _means(evidence, scores, scorer),
        "conditions": tables.ordered((key[2] for key in scores), tables.CONDITIONS),
        **{group: [described.question(i) for i in ids] for group, ids in shown.items()},
    }


def fair_order(questions: Iterable[Question]) -> list[Question]:
    """By chance, the kinds in turn: the first n are a fair sample for every n."""
    drawn = sorted(questions, key=lambda question: content_id("side by side", question.id))
    turns: dict[str, int] = {}
    order = []
    for question in drawn:
        turn = turns[question.kind] = turns.get(question.kind, -1) + 1
        order.append((turn, tables.position(question.kind, tables.KINDS), question))
    return [question for _, _, question in sorted(order, key=lambda item: item[:2])]


def _means(evidence: Evidence, scores: Cells, scorer: str) -> list[dict[str, Any]]:
    """A row for each untuned model, each arm at its chosen checkpoint, each further model."""
    models = [(name, BASE_CHECKPOINT, "base") for name in evidence.base_arms]
    models += [(arm.name, arm.checkpoint, "tuned") for arm in evidence.arms()]
    models += [(name, BASE_CHECKPOINT, "further") for name in evidence.further_models]
    rows = []
    for name, checkpoint, role in models:
        cells = {
            key[2]: tables.of_kind(rows, tables.ALL_KINDS)
            for key, rows in scores.items()
            if (key[0], key[1], key[3]) == (name, checkpoint, scorer)
        }
        found = {condition: asdict(tables.estimate(kept)) for condition, kept in cells.items()}
        if found:
            rows.append({"arm": name, "checkpoint": checkpoint, "role": role, "cells": found})
    return rows


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


class _Described:
    """The ``wanted`` questions with their answers, as the report has them."""

    def __init__(self, evidence: Evidence, wanted: set[str], base: str, best: Arm | None) -> None:
        self._evidence = evidence
        self._models = [(base, BASE_CHECKPOINT), *([(best.name, best.checkpoint)] if best else [])]
        self._models += [(name, BASE_CHECKPOINT) for name in evidence.further_models]
        self._marks: dict[str, dict[str, float | None]] = {}
        for row in evidence.scores:
            if row.question_id in wanted:
                self._marks.setdefault(row.answer_id, {})[row.scorer] = row.value
        self._judges = all_judges(evidence)
        self._judged: dict[str, list[Judgement]] = {}
        for judgement in evidence.judgements:
            self._judged.setdefault(judgement.answer_id, []).append(judgement)
        self._answers = _by_question(evidence.answers, wanted)
        found = evidence.finished.rows("retrieval", "retrieved", Retrieved, "rank")
        self._retrieved = _by_question(found, wanted)

    def question(self, question_id: str) -> dict[str, Any]:
        """A question with its reference, its passage, what was found for it, and the answers."""
        question = self._evidence.questions.get(question_id)
        passage = self._evidence.passages.get(question.passage_id) if question else None
        answers = [
            answer
            for answer in self._answers.get(question_id, [])
            if (answer.arm, answer.checkpoint) in self._models
        ]
        answers.sort(
            key=lambda answer: (
                tables.position(answer.condition, tables.CONDITIONS),
                self._models.index((answer.arm, answer.checkpoint)),
            )
        )
        return {
            "question_id": question_id,
            "question_kind": question.kind if question else "",
            "category": question.category if question else "",
            "question": question.question if question else "",
            "reference": question.reference if question else "",
            "title": passage.title if passage else "",
            "passage": passage.text if passage else "",
            "source": passage.source if passage else "",
            "retrieved": self._found(question_id, question.passage_id if question else ""),
            "answers": [self._answer(answer) for answer in answers],
        }

    def _found(self, question_id: str, right: str) -> dict[str, Any] | None:
        """The passages that were to be shown, and the rank of the right one; None where nothing
        was searched.
        """
        rows = self._retrieved.get(question_id)
        if rows is None:
            return None
        ranks = [row.rank for row in rows if right and row.passage_id == right]
        return {
            "right_rank": ranks[0] if ranks else None,
            "searched": len(rows),
            "passages": [
                {
                    "title": self._title(row.passage_id),
                    "rank": row.rank,
                    "use": row.use,
                    "is_right": row.passage_id == right,
                }
                for row in rows
                if row.use != "below"
            ],
        }

    def _title(self, passage_id: str) -> str:
        passage = self._evidence.passages.get(passage_id)
        return (passage.title or passage.source) if passage else ""

    def _marks_of(self, answer: Answer) -> list[dict[str, Any]]:
        """What the judges said, in the order of the recipe, each once."""
        order = [judge.identity for judge in self._judges]
        given = self._judged.get(answer.id, [])
        marks = sorted(
            marks_by_answer(given).items(), key=lambda of: (tables.position(of[0][0], order), of[0])
        )
        return [
            _judged(
                [row for row in given if (row.judge, row.protocol) == who],
                of_answer[answer.id],
                self._judges,
            )
            for who, of_answer in marks
        ]

    def _answer(self, answer: Answer) -> dict[str, Any]:
        marks = self._marks.get(answer.id, {})
        is_further = answer.arm in self._evidence.further_models
        is_base = answer.checkpoint == BASE_CHECKPOINT
        return {
            "arm": answer.arm,
            "role": "further" if is_further else "base" if is_base else "tuned",
            "checkpoint": answer.checkpoint,
            "condition": answer.condition,
            "text": answer.text,
            "error": answer.error,
            "finish_reason": answer.finish_reason,
            "scores": {name: marks[name] for name in tables.ordered(marks, tables.SCORERS)},
            "judges": self._marks_of(answer),
        }


def _judged(
    repeats: Sequence[Judgement], mark: float | None, judges: Sequence[Judge]
) -> dict[str, Any]:
    """One entry for all ``repeats`` of a judge: their ``mark``, and the explanation of the one that
    comes nearest to it.
    """
    succeeded = [row for row in repeats if row.score is not None]
    told = min(succeeded or repeats, key=lambda row: abs((row.score or 0.0) - (mark or 0.0)))
    return {
        **judge_label(told.judge, judges),
        "judge": told.judge,
        "score": mark,
        "explanation": told.explanation,
        "error": told.error,
    }


def _by_question(rows: Iterable[Any], wanted: set[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        if row.question_id in wanted:
            found.setdefault(row.question_id, []).append(row)
    return found
