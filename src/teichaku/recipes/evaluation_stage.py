"""The stage that asks every model the questions of the run, and scores and judges the answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from teichaku.core.locale import translate
from teichaku.core.records import (
    BASE_CHECKPOINT,
    Answer,
    Condition,
    Judgement,
    Question,
    QuestionRequest,
    Score,
)
from teichaku.core.run_folder import StageFolder, dropped, json_bytes, write_aside
from teichaku.evaluation.answers import Asked, Conditions, answer_rounds, failure_of
from teichaku.evaluation.scorers import score_answers
from teichaku.recipes import counts
from teichaku.recipes.evaluated import (
    conditions,
    count_evaluated,
    evaluated_fingerprint,
    evaluated_models,
)
from teichaku.recipes.judges import (
    absolute_judge,
    mark_answers,
    protocol_fingerprints,
    scorer_names,
)
from teichaku.recipes.progress import about, to_send
from teichaku.recipes.rendered_prompts import rendered_prompts
from teichaku.recipes.retrieval_stage import read_retrieved
from teichaku.recipes.stage_line import prompt_fingerprints
from teichaku.recipes.study import Outcome, Study, require, write_dropped

#: What the settings of judges say of benchmarks and pairs alone.
_OF_BENCHMARKS = {"expected", "prompts"}


def evaluate(study: Study, folder: StageFolder) -> Outcome:
    """Every arm and every base model under every condition, scored and judged."""
    questions = study.questions
    put = conditions(study, read_retrieved(study))
    wanted: list[Condition] = list(dict.fromkeys(study.recipe.evaluation.conditions))
    pairs = sorted(product(questions, wanted), key=lambda pair: (pair[0].id, pair[1]))
    # Not kept: with their passages they are the largest thing of the stage.
    folder.write("requests", QuestionRequest, (put.record(*pair) for pair in pairs))
    _begin(study, questions, wanted, put)
    selected = study.selected_checkpoints
    probed = list(_probe_answers(study))
    found = {answer.id: answer for answer in (*probed, *_ask(study, questions, wanted, put))}
    answers = sorted(found.values(), key=lambda answer: answer.id)
    shown = rendered_prompts(study, questions[0], wanted, put)
    write_aside(folder.path / "prompt.json", json_bytes(shown))
    fallen = [
        dropped(answer, "evaluation", failure_of(answer), answer.error)
        for answer in answers
        if answer.error
    ]
    by_id = {question.id: question for question in questions}
    judgements = _judge(study, folder, answers, questions, selected)
    scorers = study.recipe.evaluation.scorers
    scores = list(score_answers(answers, by_id, scorers, judgements, scorer_names(folder)))
    folder.write("answers", Answer, answers)
    folder.write("judgements", Judgement, judgements)
    folder.write("scores", Score, scores)
    reasons = write_dropped(folder, fallen)
    require(
        study.run,
        [a for a in answers if not a.error],
        "evaluation",
        translate("answer"),
        reasons,
        fallen,
    )
    notes = {
        "questions": len(questions),
        "probe_answers": len(probed),
        "judgements": len(judgements),
        "judgements_failed": sum(judgement.score is None for judgement in judgements),
        "selected_checkpoints": selected,
    }
    return Outcome(len(answers), len(answers) - len(fallen), reasons, notes)


def evaluation_fingerprint(study: Study) -> dict[str, Any]:
    """What the stage is made from, beside the questions, what was retrieved, and the training."""
    evaluation = study.recipe.evaluation
    asked = ["closed_book", *(name for name in evaluation.conditions if name != "closed_book")]
    own = {"conditions", "scorers", "max_tokens", "judge"}
    return {
        "evaluation": evaluation.model_dump(include=own, exclude={"judge": _OF_BENCHMARKS}),
        "judges": protocol_fingerprints(study, absolute_judge),
        "prompts": prompt_fingerprints(study, [*asked, "judge_absolute", "ask_again"]),
        **evaluated_fingerprint(study),
    }


def _begin(
    study: Study, questions: Sequence[Question], wanted: Sequence[Condition], put: Conditions
) -> None:
    """Tell how much there is to ask, and how long it may take where that is known."""
    workshop, sent, seconds = study.workshop, 0, 0.0
    students = {arm.name: arm.student for arm in study.arms}
    # Nothing is sent to a model that cannot be had, and arms that learnt the same are one model.
    seen, absent = {""}, 0
    for one in evaluated_models(study):
        absent += not one.model.identity
        if one.model.identity in seen:
            continue
        seen.add(one.model.identity)
        # How fast an arm is tells its student before it was ever asked.
        like = workshop.student(students[one.arm]) if one.arm in students else one.model
        own = one.limited(put)
        requests = (own.request(question, way) for way in wanted for question in questions)
        missing, expected = workshop.expect(one.model, requests, like)
        sent, seconds = sent + missing, seconds + expected
    each = len(questions) * len(wanted)
    total = count_evaluated(study) * each
    told = translate(", ").join(
        (
            counts.questions(len(questions)),
            counts.models(count_evaluated(study)),
            counts.conditions(len(wanted)),
        )
    )
    told += translate(": ") + to_send(sent, total - absent * each - sent) + about(seconds)
    study.progress.begin("evaluation", total, told)


def _ask(
    study: Study, questions: Sequence[Question], wanted: Sequence[Condition], put: Conditions
) -> Iterator[Answer]:
    for one in evaluated_models(study):
        rounds = [Asked(one.arm, one.checkpoint, condition) for condition in wanted]
        yield from answer_rounds(questions, one.model, rounds, one.limited(put))


def _probe_answers(study: Study) -> Iterator[Answer]:
    """The probes of every epoch; those before training are the base model's own answers."""
    for arm in filter(study.is_probed, study.arms):
        folder = study.run.stage(f"probes/{arm.name}")
        for epoch in range(1, arm.training.epochs + 1):
            yield from folder.read(f"probe-{epoch}", Answer)


def _judge(
    study: Study,
    folder: StageFolder,
    answers: Iterable[Answer],
    questions: Sequence[Question],
    selected: Mapping[str, str],
) -> list[Judgement]:
    config = study.recipe.evaluation.judge
    if "judge_absolute" not in study.recipe.evaluation.scorers or config.questions == 0:
        return []
    chosen = {question.id for question in questions[: config.questions]}
    marked = [
        answer
        for answer in answers
        if answer.question_id in chosen
        and (config.open_book or answer.condition == "closed_book")
        and (config.epochs or selected.get(answer.arm, BASE_CHECKPOINT) == answer.checkpoint)
    ]
    by_id = {question.id: question for question in questions}
    told = translate("{questions} answered").format(questions=counts.questions(len(questions)))
    study.progress.end("evaluation", told)
    return mark_answers(study, folder, marked, by_id)
