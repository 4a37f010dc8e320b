"""From a run folder to its report: ``report/report.json`` and ``report/index.html``."""

from collections.abc import Container
from dataclasses import asdict
from typing import Any

from teichaku.core.records import BASE_CHECKPOINT
from teichaku.core.run_folder import RunFolder, json_bytes, write_aside
from teichaku.report import accounts, study, tables
from teichaku.report.controls import control_cell, control_replies, controls
from teichaku.report.curation import curation, selections
from teichaku.report.diagnosis import Diagnosis, against_retrieval, diagnose
from teichaku.report.evidence import Arm, Evidence, read_evidence
from teichaku.report.hallucination import hallucination
from teichaku.report.health import Repeated, health
from teichaku.report.judges import judge_account, judges, judging_caveats
from teichaku.report.mixtures import mixture_caveats, mixtures
from teichaku.report.novelty import leaks, novelty
from teichaku.report.page import render
from teichaku.report.pairwise import pairwise
from teichaku.report.prompt import prompt, prompt_caveats
from teichaku.report.retrieval import is_retrieval, retrieval, retrieval_caveats
from teichaku.report.sentences import caveats, diagnosis_in_words, sentences, told_in_text
from teichaku.report.sentences import summary_lines as summary_lines
from teichaku.report.side_by_side import side_by_side
from teichaku.report.signals import signals
from teichaku.report.statistics import statistics
from teichaku.report.tables import Cells
from teichaku.report.verdict import NO_QUESTIONS, UNFINISHED, Verdict, decide, is_enough, margin
from teichaku.report.wording import Wording

FORMAT = 1
_CATEGORY_KINDS = ("unseen", "independent", "held_out", "trained", "trained_by_some")


def build_report(run: RunFolder, language: str, repeated: Repeated | None = None) -> dict[str, Any]:
    """Write both files of the report and return what ``report.json`` holds.

    Only the run folder is read; parts that are missing are left out. A ``language`` that the
    report has no words for gets English. ``repeated`` measures how much of a text repeats what it
    has already; without it the report does not speak of that. Raises ``MissingExtraError`` without
    the extra ``report``, ``UserError`` where the folder cannot be written.
    """
    words = Wording(language)
    report = report_content(read_evidence(run), words, repeated)
    page = render(report, words)
    write_aside(run.path / "report" / "report.json", json_bytes(report))
    write_aside(run.path / "report" / "index.html", page.encode("utf-8"))
    return report


def _caveats_of_parts(evidence: Evidence, words: Wording) -> list[str]:
    parts = (prompt_caveats, judging_caveats, retrieval_caveats, mixture_caveats)
    return [caveat for part in parts for caveat in part(evidence, words)]


def report_content(
    evidence: Evidence, words: Wording, repeated: Repeated | None = None
) -> dict[str, Any]:
    """The content of ``report.json``. All that differs between two runs of the same recipe
    stands under ``run`` and ``timing``.
    """
    arms, scores = evidence.arms(), tables.cells(evidence.scores)
    scorer = study.headline_scorer(evidence)
    evaluated = {(row.arm, row.checkpoint) for row in evidence.scores}
    candidates = [
        arm
        for arm in arms
        # Further models were not trained here.
        if (arm.name, arm.checkpoint) in evaluated and arm.checkpoint != BASE_CHECKPOINT
    ]
    best = study.best_arm(scores, candidates, scorer)
    base = best.base if best else evidence.base_arms[0]
    counts = accounts.stage_counts(evidence)
    judge = judge_account(evidence)
    rows = study.comparisons(scores, base, best)
    told = told_in_text(evidence, best)
    weighed = _without_told(scores, told, base, best, scorer)
    return {
        "format": FORMAT,
        "language": words.language,
        "headline": {
            **_headline(evidence, weighed, rows, base, best, scorer, words),
            "caveats": [
                *_caveats_of_parts(evidence, words),
                *caveats(evidence, best, scorer, judge, counts, words, weighed is not scores),
            ],
            "category_kind": _category_kind(evidence),
            "documents": len({row.document_id for row in evidence.questions.values()}),
            "questions": accounts.question_counts(evidence),
        },
        "scores": tables.score_table(evidence.scores),
        "categories": tables.category_table(evidence.scores, arms),
        "comparisons": [asdict(row) for row in rows],
        "progress": study.progress(scores, arms),
        "open_book": study.open_book_reference(scores, arms),
        "training": accounts.training_table(evidence, arms),
        "losses": accounts.loss_curves(evidence),
        "side_by_side": side_by_side(evidence, scores, base, best, scorer),
        "retrieval": retrieval(evidence),
        "prompt": prompt(evidence),
        **_beyond_scores(evidence, scores, arms, best, scorer, repeated),
        "novelty": novelty(evidence, words),
        "leaks": leaks(evidence),
        "mixtures": mixtures(evidence),
        "curation": curation(evidence),
        "selections": selections(evidence, scores, arms, scorer, words),
        "counts": counts,
        "judge": judge,
        "models": evidence.run.get("models") or [],
        "documents": evidence.run.get("documents") or {},
        "recipe": evidence.recipe,
        "timing": accounts.timing(evidence),
        "run": {name: value for name, value in evidence.run.items() if name not in _OWN_PLACE},
    }


def _beyond_scores(
    evidence: Evidence,
    scores: Cells,
    arms: list[Arm],
    best: Arm | None,
    scorer: str,
    repeated: Repeated | None,
) -> dict[str, Any]:
    """What the figures are worth, and how the models behave beside what they know."""
    return {
        "statistics": statistics(scores, arms, best, scorer),
        "controls": controls(evidence, arms),
        "hallucination": hallucination(evidence, arms, best),
        "signals": signals(evidence, arms, scorer),
        "pairwise": pairwise(evidence),
        "judges": judges(evidence),
        "health": health(evidence, arms, repeated),
    }


_OWN_PLACE = ("models", "documents", "root")


def _without_told(
    scores: Cells, told: Container[str], base: str, best: Arm | None, scorer: str
) -> Cells:
    """``scores`` without those of the unseen questions ``told``, which running text answers: a
    gain there may be learning. ``scores`` itself where nothing is left out or too few stay.
    """
    kept = {
        key: [row for row in rows if row.question_id not in told] for key, rows in scores.items()
    }
    unseen = [
        cell
        for cell in study.comparisons(kept, base, best)
        if (cell.question_kind, cell.condition, cell.scorer) == ("unseen", "closed_book", scorer)
    ]
    is_less = any(len(kept[key]) < len(rows) for key, rows in scores.items())
    return kept if is_less and any(is_enough(cell.difference) for cell in unseen) else scores


def _headline(
    evidence: Evidence,
    weighed: Cells,
    rows: list[study.Cell],
    base: str,
    best: Arm | None,
    scorer: str,
    words: Wording,
) -> dict[str, Any]:
    """The verdict on the scores ``weighed``, and the ``rows`` of its table."""
    own = [row for row in rows if row.scorer == scorer]
    is_evaluated = "evaluation" in evidence.stages
    compared = [row for row in study.comparisons(weighed, base, best) if row.scorer == scorer]
    gaps = study.open_book_gap(weighed, base, best, scorer)
    told = told_in_text(evidence, best)
    is_taught = any(row.question_id in told for group in weighed.values() for row in group)
    verdict = decide(compared, gaps, is_taught) if is_evaluated else UNFINISHED
    if not evidence.asks_questions:
        verdict = UNFINISHED if "controls" in evidence.unfinished else NO_QUESTIONS
    diagnosis = _diagnosis(evidence, weighed, compared, base, best, scorer, verdict)
    said = sentences(verdict, scorer, words, diagnosis)
    return {
        "verdict": words("verdict_join").join(said),
        "sentences": said,
        "decision": diagnosis.way if diagnosis else verdict.decision,
        "outcome": verdict.outcome,
        "scorer": scorer,
        "base_arm": base,
        "best_arm": best.name if best else None,
        "checkpoint": best.checkpoint if best else None,
        "rows": [asdict(row) for row in own],
        "shown": asdict(verdict.shown) if verdict.shown else None,
        "margin": margin(scorer),
        "diagnosis": _told(diagnosis, words) if diagnosis else None,
        "closed_against_open": asdict(verdict.opened) if verdict.opened else None,
    }


def _diagnosis(
    evidence: Evidence,
    weighed: Cells,
    compared: list[study.Cell],
    base: str,
    best: Arm | None,
    scorer: str,
    verdict: Verdict,
) -> Diagnosis | None:
    """The diagnosis that goes with the verdict; None where nothing was trained and measured.

    Of benchmarks alone it speaks where one arm was trained: nothing chooses among several.
    """
    if verdict is NO_QUESTIONS:
        trained = [arm for arm in evidence.arms() if arm.checkpoint != BASE_CHECKPOINT]
        if len(trained) != 1:
            return None
        (arm,) = trained
        cell = control_cell(evidence, arm.base, arm)
        replies = control_replies(evidence, arm.base, arm)
        return diagnose(verdict, [cell], replies=replies) if cell else None
    if best is None or verdict.shown is None or verdict.shown.tuned is None:
        return None
    rows = [row for row in compared if row.question_kind not in tables.APART]
    general = control_cell(evidence, base, best)
    rows += [general] if general else []
    against = against_retrieval(weighed, base, best, scorer) if is_retrieval(evidence) else {}
    replies = control_replies(evidence, base, best)
    return diagnose(verdict, rows, against, replies=replies)


def _told(diagnosis: Diagnosis, words: Wording) -> dict[str, Any]:
    return {
        **asdict(diagnosis),
        "remedies": list(diagnosis.remedies),
        "said": diagnosis_in_words(diagnosis, words),
    }


def _category_kind(evidence: Evidence) -> str:
    """The kind of question that the figure by category shows: the one that tells most."""
    present = {row.question_kind for row in evidence.scores if row.category}
    return next((kind for kind in _CATEGORY_KINDS if kind in present), tables.ALL_KINDS)
