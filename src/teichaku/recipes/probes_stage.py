"""The stage that asks a sample of the questions of an arm's epochs, closed book.

Training asks the same as its epochs end, to show how it goes; the stage has those replies from the
cache. It sends what is not there: what failed then, or where questions or the length of an answer
changed. Nothing is trained again for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from teichaku.core.locale import translate
from teichaku.core.models import ChatModel
from teichaku.core.records import BASE_CHECKPOINT, Answer, Question
from teichaku.core.run_folder import StageFolder, dropped, fingerprint
from teichaku.evaluation.answers import Asked, answer_questions, failure_of
from teichaku.recipes import counts
from teichaku.recipes.arms import StudyArm
from teichaku.recipes.evaluated import conditions
from teichaku.recipes.probes import probe_quality, probe_scorer
from teichaku.recipes.progress import about, to_send
from teichaku.recipes.stage_line import prompt_fingerprints
from teichaku.recipes.study import Outcome, Study, write_dropped

STAGE = "probes"


def probes_fingerprint(study: Study, arm: StudyArm) -> dict[str, Any]:
    """What the stage is made from, beside the training."""
    return {
        "questions": fingerprint([asdict(question) for question in _questions(study, arm)]),
        "max_tokens": study.recipe.evaluation.max_tokens,
        "prompts": prompt_fingerprints(study, ["closed_book"]),
    }


def ask_probes(study: Study, arm: StudyArm, folder: StageFolder) -> Outcome:
    """The answers before training, which are the base model's, and of the adapter of each epoch."""
    questions, put = _questions(study, arm), conditions(study)
    student, trained = study.workshop.student(arm.student), study.run.stage(f"training/{arm.name}")
    models: dict[int, ChatModel] = {0: student}
    for epoch in range(1, arm.training.epochs + 1):
        models[epoch] = student.with_adapter(trained.path / f"epoch-{epoch}")
    missing = _begin(study, arm, models, questions)
    answers: list[Answer] = []
    for epoch, model in models.items():
        counted = study.workshop.counted(model)
        given = list(answer_questions(questions, counted, _asked(arm, epoch), put))
        folder.write(f"probe-{epoch}", Answer, sorted(given, key=lambda answer: answer.id))
        if missing[epoch]:
            _tell(study, arm, epoch, given)
        answers += given
    failed = [answer for answer in answers if answer.error]
    fallen = [dropped(answer, STAGE, failure_of(answer), answer.error) for answer in failed]
    reasons = write_dropped(folder, fallen)
    notes = {"questions": len(questions)}
    return Outcome(len(answers), len(answers) - len(failed), reasons, notes)


def show_probe(study: Study, arm: StudyArm, epoch: int, model: ChatModel) -> None:
    """Ask ``model``, which is the student as it is after ``epoch``, and tell how it does. What it
    replies is kept in the cache alone.
    """
    quiet = study.workshop.quietly(model)
    given = answer_questions(_questions(study, arm), quiet, _asked(arm, epoch), conditions(study))
    _tell(study, arm, epoch, list(given))


def _questions(study: Study, arm: StudyArm) -> Sequence[Question]:
    return study.questions[: arm.training.probe.questions]


def _asked(arm: StudyArm, epoch: int) -> Asked:
    checkpoint = f"epoch-{epoch}" if epoch else BASE_CHECKPOINT
    return Asked(arm.name, checkpoint, "closed_book")


def _begin(
    study: Study, arm: StudyArm, models: Mapping[int, ChatModel], questions: Sequence[Question]
) -> dict[int, int]:
    """Tell how much there is to ask; how many requests of each epoch will be sent."""
    put, missing, seconds = conditions(study), dict[int, int](), 0.0
    for epoch, model in models.items():
        requests = (put.request(question, "closed_book") for question in questions)
        missing[epoch], expected = study.workshop.expect(model, requests, models[0])
        seconds += expected
    total, sent = len(models) * len(questions), sum(missing.values())
    told = translate(", ").join((counts.questions(len(questions)), counts.checkpoints(len(models))))
    told += translate(": ") + to_send(sent, total - sent) + about(seconds)
    study.progress.begin(f"{STAGE}/{arm.name}", total, told)
    return missing


def _tell(study: Study, arm: StudyArm, epoch: int, answers: Sequence[Answer]) -> None:
    scorer = probe_scorer(study.recipe.evaluation.scorers)
    value = probe_quality(answers, study.references, scorer)
    told = translate("{arm} after epoch {epoch}: {scorer} {value}").format(
        arm=arm.name, epoch=epoch, scorer=scorer, value=f"{value:.2f}"
    )
    study.progress.say(f"  {told}")
