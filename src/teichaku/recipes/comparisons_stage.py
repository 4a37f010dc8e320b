"""The stage in which judges compare the answers of two arms, each pair in both orders.

``questions.parquet`` and ``answers.parquet`` hold what was compared, so that verdicts are counted
from this folder alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from teichaku.core.errors import RecipeError
from teichaku.core.locale import translate
from teichaku.core.records import (
    BASE_CHECKPOINT,
    Answer,
    Comparison,
    Dropped,
    Question,
    content_id,
)
from teichaku.core.run_folder import StageFolder
from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.evaluation.benchmarks.controls import read_items
from teichaku.evaluation.judging.exchanges import (
    Exchange,
    Pair,
    benchmark_exchanges,
    exchanges_of,
    pair_up,
)
from teichaku.recipes.arms import base_arms, expand_arms
from teichaku.recipes.control_sets import controls_of
from teichaku.recipes.evaluation_schema import Pairwise
from teichaku.recipes.judges import (
    StudyJudge,
    judges_of,
    pairwise_judge,
    protocol_fingerprints,
    write_protocols,
)
from teichaku.recipes.schema import Recipe
from teichaku.recipes.stage_line import prompt_fingerprints, scope
from teichaku.recipes.study import Outcome, Study, require

STAGE = "comparisons"

#: Sets whose answers are texts of their own, of which one can be better than another.
FREE_TEXT = ("judge", "text", "instructions")
_PROMPTS = ("judge_pairwise", "ask_again")


def comparisons_fingerprint(study: Study, settings: Pairwise) -> dict[str, Any]:
    """What the comparisons are made from. The stages that they compare answers of are finished."""
    answered = ["controls"] if settings.controls else ["questions", "evaluation"]
    return {
        "pairwise": settings.model_dump(),
        "answers": {stage: _hashes(study, stage) for stage in answered},
        "checkpoints": study.selected_checkpoints,
        "judges": protocol_fingerprints(study, partial(pairwise_judge, repeats=settings.repeats)),
        "prompts": prompt_fingerprints(study, _PROMPTS),
        **scope(study.recipe),
    }


def _hashes(study: Study, stage: str) -> dict[str, str]:
    """The hashes of what is compared: a mark or a score beside it changes no comparison."""
    hashes = study.run.stage(stage).hashes()
    wanted = ("questions.parquet", "items.parquet", "answers.parquet")
    return {name: hashes[name] for name in wanted if name in hashes}


def check_pairwise(recipe: Recipe) -> None:
    """Raise ``RecipeError`` where pairs name what is not there, or answers that nobody gives."""
    settings = recipe.evaluation.pairwise
    if settings is None or recipe.ends_with_data:
        return
    arms = expand_arms(recipe)
    known = [*base_arms(arms), *(arm.name for arm in arms), *recipe.evaluation.models]
    unknown = {name for pair in settings.between for name in pair} - set(known)
    if unknown:
        raise RecipeError(
            f"evaluation.pairwise.between names {', '.join(sorted(unknown))}, which is no arm and "
            "no model.",
            f"Known: {', '.join(known)}.",
        )
    for one, other in settings.between:
        if one == other:
            raise RecipeError(
                f"evaluation.pairwise.between has {one} against itself.", "Name two arms."
            )
    if settings.controls:
        _check_controls(recipe, settings.controls)
    elif not recipe.asks_questions:
        raise RecipeError(
            "evaluation.pairwise has no questions to compare the answers to.",
            "Name control sets whose answers are texts: pairwise: {controls: [...]}.",
        )
    elif "closed_book" not in recipe.evaluation.conditions:
        raise RecipeError(
            "evaluation.pairwise compares closed-book answers, and evaluation.conditions leaves "
            "these out.",
            "Add closed_book to the conditions, or take pairwise out.",
        )


def _check_controls(recipe: Recipe, wanted: Sequence[str]) -> None:
    known = {control.key: control.name for control in controls_of(recipe)}
    for key in wanted:
        if key not in known:
            raise RecipeError(
                f"evaluation.pairwise.controls names {key}, which is not among the controls.",
                f"Controls of the recipe: {', '.join(known) or 'none'}.",
            )
        name = known[key]
        if name in shipped() and shipped()[name].form not in FREE_TEXT:
            raise RecipeError(
                f"The answers to {key} are right or wrong: no judge has to compare them.",
                "Name a set whose answers are texts, such as mt_bench_ja or elyza_tasks_100.",
            )


def compare_answers(study: Study, settings: Pairwise, folder: StageFolder) -> Outcome:
    """Every pair of the recipe, question by question, in both orders, by every judge."""
    judges = judges_of(study)
    by_arm: dict[str, list[Exchange]] = {}
    from_stage = _from_controls if settings.controls else _from_questions
    for exchange in from_stage(study, settings):
        by_arm.setdefault(exchange.answer.arm, []).append(exchange)
    pairs: list[Pair] = []
    fallen: list[Dropped] = []
    # Which of the two is named first says nothing: a pair is compared once.
    for one, other in {tuple(sorted(pair)): pair for pair in settings.between}.values():
        paired, left_out = pair_up(by_arm.get(one, ()), by_arm.get(other, ()))
        pairs += paired
        fallen += _left_out(one, other, left_out)
    reasons: dict[str, int] = {}
    for row in fallen:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    require(study.run, pairs, STAGE, translate("pair of answers"), reasons, fallen)
    comparisons = _compare(study, settings, folder, judges, pairs)
    shown = {e.answer.id: e for pair in pairs for e in (pair.one, pair.other)}
    asked = {e.question.id: e.question for e in shown.values()}
    folder.write("questions", Question, [asked[name] for name in sorted(asked)])
    folder.write("answers", Answer, [shown[name].answer for name in sorted(shown)])
    folder.write("comparisons", Comparison, comparisons)
    folder.write("dropped", Dropped, sorted(fallen, key=lambda row: row.record_id))
    notes = {
        "questions": len(asked),
        "comparisons": len(comparisons),
        "comparisons_failed": sum(row.winner is None for row in comparisons),
    }
    return Outcome(len(pairs) + len(fallen), len(pairs), reasons, notes)


def _compare(
    study: Study,
    settings: Pairwise,
    folder: StageFolder,
    judges: Sequence[StudyJudge],
    pairs: Sequence[Pair],
) -> list[Comparison]:
    asking = [pairwise_judge(study, judge, settings.repeats) for judge in judges]
    write_protocols(study, folder, judges, [one.protocol for one in asking])
    found: list[Comparison] = []
    for judge, one in zip(judges, asking, strict=True):
        total, estimate = study.workshop.estimate(judge.model, one.requests(pairs))
        study.progress.begin(f"{STAGE}: {judge.scorer}", total, estimate)
        found += one.compare(pairs, judge.model)
    return sorted(found, key=lambda row: row.id)


def _left_out(one: str, other: str, questions: Mapping[str, str]) -> list[Dropped]:
    """The questions on which two arms cannot be compared, as records of the stage."""
    evidence = f"{one} against {other}"
    return [
        Dropped(content_id("pair", question, one, other), "Pair", STAGE, reason, evidence, question)
        for question, reason in questions.items()
    ]


def _from_questions(study: Study, settings: Pairwise) -> list[Exchange]:
    """The closed-book answers of every model to a fair sample of the run's questions."""
    questions = {q.id: q for q in study.questions[: settings.questions]}
    answers = [a for a in _answers(study, "evaluation") if a.question_id in questions]
    return exchanges_of(answers, questions, study.passages)


def _from_controls(study: Study, settings: Pairwise) -> list[Exchange]:
    """The answers of every model to a sample of the control sets; a conversation is one question
    with all its turns.
    """
    items = [
        item
        for item in read_items(study.run.stage("controls"))
        if item.question.benchmark in settings.controls
    ]
    conversations = {item.conversation or item.question.id for item in items}
    order = sorted(conversations, key=lambda one: content_id(study.recipe.seed, "sample", one))
    drawn = set(order[: settings.questions])
    kept = [item for item in items if (item.conversation or item.question.id) in drawn]
    asked = {item.question.id for item in kept}
    answers = [a for a in _answers(study, "controls") if a.question_id in asked]
    return benchmark_exchanges(answers, kept)


def _answers(study: Study, stage: str) -> Iterator[Answer]:
    """The closed-book answers of each model at the checkpoint that is evaluated in full."""
    chosen = study.selected_checkpoints
    for answer in study.run.stage(stage).read("answers", Answer):
        is_chosen = answer.checkpoint == chosen.get(answer.arm, BASE_CHECKPOINT)
        if is_chosen and answer.condition == "closed_book":
            yield answer
