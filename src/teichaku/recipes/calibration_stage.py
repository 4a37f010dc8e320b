"""The stage that holds every judge against answers whose marks or verdicts are known."""

import hashlib
from pathlib import Path
from typing import Any

from teichaku.core.errors import RecipeError
from teichaku.core.records import Answer, Comparison, Dropped, Judgement, Question
from teichaku.core.run_folder import StageFolder
from teichaku.evaluation.judging.exchanges import Exchange, Pair
from teichaku.evaluation.judging.known import KnownSet, read_known, read_vicuna
from teichaku.evaluation.judging.protocol import JudgeProtocol
from teichaku.recipes.evaluation_schema import Calibration
from teichaku.recipes.judges import (
    StudyJudge,
    absolute_judge,
    judges_of,
    pairwise_judge,
    protocol_fingerprints,
    write_protocols,
)
from teichaku.recipes.model_schema import SameAs
from teichaku.recipes.schema import Recipe
from teichaku.recipes.stage_line import prompt_fingerprints, scope
from teichaku.recipes.study import Outcome, Study

STAGE = "calibration"


def calibration_fingerprint(study: Study, settings: Calibration) -> dict[str, Any]:
    """What the calibration is made from: the known answers themselves, not where they lie."""
    known = _read(settings, study.root).drawn(settings.items, study.recipe.seed)
    digest = hashlib.sha256(repr((known.items, known.dropped)).encode("utf-8", "replace"))
    return {
        "known": digest.hexdigest(),
        "judges": [
            protocol_fingerprints(study, build) for build in (absolute_judge, pairwise_judge)
        ],
        "prompts": prompt_fingerprints(study, ["judge_absolute", "judge_pairwise", "ask_again"]),
        **scope(study.recipe),
    }


def check_calibration(recipe: Recipe, root: Path) -> None:
    """Raise ``UserError`` where the known answers cannot be used."""
    settings = recipe.evaluation.calibration
    if settings is None or recipe.ends_with_data:
        return
    if recipe.teacher is None and isinstance(recipe.judge, SameAs):
        raise RecipeError("evaluation.calibration has no judge to calibrate.", "Name a 'judge'.")
    _read(settings, root)


def _read(settings: Calibration, root: Path) -> KnownSet:
    if (settings.file is None) == (settings.ja_vicuna_qa is None):
        raise RecipeError(
            "evaluation.calibration needs one source of known marks.",
            "Name a file of yours (file), or a copy of the Japanese Vicuna QA Benchmark "
            "(ja_vicuna_qa).",
        )
    if settings.file is not None:
        return read_known(root / settings.file)
    return read_vicuna(root / str(settings.ja_vicuna_qa))


def calibrate_judges(study: Study, settings: Calibration, folder: StageFolder) -> Outcome:
    """Every judge marks, or compares, what is known; no other part of the run goes by it."""
    whole = _read(settings, study.root)
    known = whole.drawn(settings.items, study.recipe.seed)
    judges = judges_of(study)
    exchanges = {e.answer.id: e for item in known.items for e in item.exchanges}
    questions = {e.question.id: e.question for e in exchanges.values()}
    if isinstance(known.items[0].shown, Pair):
        failed = _compare(study, folder, judges, known)
    else:
        failed = _mark(study, folder, judges, known)
    folder.write("questions", Question, [questions[name] for name in sorted(questions)])
    folder.write("answers", Answer, [exchanges[name].answer for name in sorted(exchanges)])
    folder.write("dropped", Dropped, sorted(known.dropped, key=lambda row: row.record_id))
    reasons: dict[str, int] = {}
    for row in known.dropped:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    reasons |= {"not_drawn": len(whole.items) - len(known.items)} if settings.items else {}
    reasons = {reason: count for reason, count in reasons.items() if count}
    source = settings.file or "ja_vicuna_qa"
    notes = {"source": source, "orders": known.orders, "judgements_failed": failed}
    return Outcome(len(known.items) + sum(reasons.values()), len(known.items), reasons, notes)


def _mark(study: Study, folder: StageFolder, judges: list[StudyJudge], known: KnownSet) -> int:
    shown = [item.shown for item in known.items if isinstance(item.shown, Exchange)]
    found: list[Judgement] = []
    protocols: list[JudgeProtocol] = []
    for judge in judges:
        asking = absolute_judge(study, judge)
        total, estimate = study.workshop.estimate(judge.model, asking.mark_requests(shown))
        study.progress.begin(f"{STAGE}: {judge.scorer}", total, estimate)
        found += asking.mark(shown, judge.model)
        protocols.append(asking.protocol)
    write_protocols(study, folder, judges, protocols)
    folder.write("judgements", Judgement, sorted(found, key=lambda row: row.id))
    marks = (mark for item in known.items for mark in item.marks)
    folder.write("known_marks", Judgement, sorted(marks, key=lambda row: row.id))
    return sum(row.score is None for row in found)


def _compare(study: Study, folder: StageFolder, judges: list[StudyJudge], known: KnownSet) -> int:
    shown = [item.shown for item in known.items if isinstance(item.shown, Pair)]
    found: list[Comparison] = []
    protocols: list[JudgeProtocol] = []
    for judge in judges:
        asking = pairwise_judge(study, judge)
        total, estimate = study.workshop.estimate(judge.model, asking.requests(shown))
        study.progress.begin(f"{STAGE}: {judge.scorer}", total, estimate)
        found += asking.compare(shown, judge.model)
        protocols.append(asking.protocol)
    write_protocols(study, folder, judges, protocols)
    folder.write("comparisons", Comparison, sorted(found, key=lambda row: row.id))
    verdicts = (row for item in known.items for row in item.verdicts)
    folder.write("known_verdicts", Comparison, sorted(verdicts, key=lambda row: row.id))
    return sum(row.winner is None for row in found)
