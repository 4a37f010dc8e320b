"""What the models say where the documents do not tell: that they do not know, or something."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from teichaku.core.agreement import cohens_kappa
from teichaku.core.records import Answer, Judgement, Question, content_id
from teichaku.evaluation.abstention import (
    RULES,
    AbstentionRates,
    abstention_change,
    abstention_rates,
    by_judge,
    by_rules,
)
from teichaku.evaluation.unanswerable import Swap
from teichaku.report import tables
from teichaku.report.evidence import Arm, Evidence
from teichaku.report.intervals import as_figure, final_answers, model_order, paired, rounded

STAGE = "unanswerable"
#: So many of the questions are shown with their answers.
SHOWN = 6
_FIGURES = ("abstention", "false_answers", "from_source")


def hallucination(
    evidence: Evidence, arms: Sequence[Arm], best: Arm | None
) -> dict[str, Any] | None:
    """Abstention and false answers of every model and condition, by the rules and by the judge;
    None where nothing of the kind was asked for. Without such questions there are the reasons
    why none could be made.
    """
    summary = evidence.stages.get(STAGE)
    if summary is None:
        return None
    finished = evidence.finished
    made = {row.id: row for row in finished.rows(STAGE, "questions", Question, "id")}
    counts = summary.get("counts") or {}
    documents = len({question.document_id for question in made.values()})
    found = {
        "questions": len(made),
        "documents": documents,
        "sources": counts.get("in"),
        "reasons": dict(counts.get("reasons") or {}),
    }
    if not made:
        return found
    swaps = {row.question_id: row for row in finished.read(STAGE, "swaps", Swap)}
    unknowable = finished.rows(STAGE, "answers", Answer, "id")
    put = {answer.condition for answer in unknowable}
    known = [answer for answer in final_answers(evidence, arms) if answer.condition in put]
    whole = [*unknowable, *(a for a in known if a.question_id in evidence.questions)]
    questions = {**evidence.questions, **made}
    references = {
        name: evidence.questions[swap.source_id].reference
        for name, swap in swaps.items()
        if swap.source_id in evidence.questions
    }
    order = model_order(evidence, arms)
    ruled = by_rules(whole)
    judgements = list(finished.read(STAGE, "judgements", Judgement))
    judged = by_judge({row.answer_id: row.score for row in judgements})
    marked = [answer for answer in unknowable if answer.id in judged]
    return {
        **found,
        "rules": RULES,
        "judge": ", ".join(sorted({row.judge for row in judgements})),
        "rates": [
            {"by": by, **_rates(row, documents)}
            for by, answers, said in (("rules", whole, ruled), ("judge", marked, judged))
            for row in _ordered(abstention_rates(answers, questions, said, references), order)
        ],
        "changes": _changes(whole, questions, ruled, arms),
        "agreement": _agreement(marked, ruled, judged, questions),
        "samples": _samples(unknowable, made, swaps, evidence, best),
    }


def _ordered(
    rows: Iterable[AbstentionRates], order: Callable[[str], tuple[int, str]]
) -> list[AbstentionRates]:
    return sorted(
        rows,
        key=lambda row: (tables.position(row.condition, tables.CONDITIONS), order(row.arm)),
    )


def _rates(row: AbstentionRates, documents: int) -> dict[str, Any]:
    return {
        "arm": row.arm,
        "checkpoint": row.checkpoint,
        "condition": row.condition,
        **{name: as_figure(getattr(row, name), documents) for name in _FIGURES},
        "over_abstention": as_figure(row.over_abstention),
        "unanswerable": asdict(row.unanswerable),
        "answerable": asdict(row.answerable),
    }


def _changes(
    answers: Sequence[Answer],
    questions: Mapping[str, Question],
    ruled: Mapping[str, bool | None],
    arms: Sequence[Arm],
) -> list[dict[str, Any]]:
    """What training changed in the shares of abstentions, on the same questions."""
    found = []
    for arm, condition, before, after in paired(answers, arms):
        change = abstention_change(before, after, questions, ruled)
        found.append(
            {
                "arm": arm.name,
                "base": arm.base,
                "condition": condition,
                "unanswerable": as_figure(change.unanswerable),
                "answerable": as_figure(change.answerable),
            }
        )
    return found


def _agreement(
    answers: Sequence[Answer],
    ruled: Mapping[str, bool | None],
    judged: Mapping[str, bool | None],
    questions: Mapping[str, Question],
) -> dict[str, Any] | None:
    """How the judge agrees with the rules on the answers that both could read."""
    both = [
        answer
        for answer in answers
        if ruled.get(answer.id) is not None and judged.get(answer.id) is not None
    ]
    if not both:
        return None
    first, second = [ruled[row.id] for row in both], [judged[row.id] for row in both]
    clusters = [questions[row.question_id].document_id for row in both]
    same = sum(one == other for one, other in zip(first, second, strict=True))
    kappa = as_figure(cohens_kappa(first, second, clusters), len(set(clusters)))
    return {"n": len(both), "same": rounded(same / len(both)), "kappa": kappa}


def _samples(
    answers: Iterable[Answer],
    made: Mapping[str, Question],
    swaps: Mapping[str, Swap],
    evidence: Evidence,
    best: Arm | None,
) -> list[dict[str, Any]]:
    """Some of the questions, drawn by chance, with what base and best arm answer closed book."""
    base = best.base if best else evidence.base_arms[0]
    drawn = sorted(made.values(), key=lambda question: content_id("shown", question.id))[:SHOWN]
    said = {
        (answer.question_id, answer.arm): answer.text
        for answer in answers
        if answer.condition == "closed_book"
    }
    found = []
    for question in drawn:
        source = evidence.questions.get(swaps[question.id].source_id)
        found.append(
            {
                "question": question.question,
                "source": source.question if source else "",
                "reference": source.reference if source else "",
                "base": said.get((question.id, base)),
                "best": said.get((question.id, best.name)) if best else None,
            }
        )
    return found
