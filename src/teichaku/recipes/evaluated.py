"""Who is asked the questions of a run, which checkpoint of each arm, and how they are put."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from teichaku.core.models import ChatModel, ModelWithWeights
from teichaku.core.records import BASE_CHECKPOINT, Answer, Question, Retrieved, content_id
from teichaku.evaluation.answers import Conditions
from teichaku.evaluation.retrieval import shown_passages
from teichaku.evaluation.scorers import SCORERS, headline_scorer
from teichaku.recipes.arms import StudyArm, base_arms
from teichaku.recipes.model_schema import LlamaCpp, Scripted, Transformers
from teichaku.recipes.study import Study


def read_questions(study: Study) -> list[Question]:
    """The questions of the run, in the order in which samples of them are taken."""
    questions = study.run.stage("questions").read("questions", Question)
    return in_sample_order(questions, study.recipe.seed)


def in_sample_order(questions: Iterable[Question], seed: int) -> list[Question]:
    """``questions`` in the order in which samples of them are taken.

    The kinds take turns and each kind is shuffled by hash, so the first n questions are a
    fair sample for every n, and a smaller sample is part of a larger one.
    """
    drawn = sorted(questions, key=lambda question: content_id(seed, "sample", question.id))
    turns: dict[str, int] = {}
    order = []
    for question in drawn:
        turn = turns[question.kind] = turns.get(question.kind, -1) + 1
        order.append((turn, question.kind, question))
    return [question for _, _, question in sorted(order, key=lambda item: item[:2])]


def conditions(study: Study, retrieved: Iterable[Retrieved] = ()) -> Conditions:
    """How questions are put; with what was ``retrieved`` for them under that condition."""
    return Conditions(
        study.prompts.load("closed_book"),
        study.prompts.load("open_book"),
        study.passages,
        study.recipe.evaluation.max_tokens,
        study.prompts.load("retrieval"),
        shown_passages(retrieved),
    )


@dataclass(frozen=True)
class Evaluated:
    """A model that is asked in full: ``base`` or ``base:STUDENT`` untuned, an arm at its selected
    checkpoint, or one of the recipe's further models, which are as they are. ``weights`` is the
    same model without cache and counts, where its weights are at hand.
    """

    arm: str
    checkpoint: str
    model: ChatModel
    weights: ModelWithWeights | None = None


def evaluated_models(study: Study) -> Iterator[Evaluated]:
    """The untuned models, the arms, the further models; one at a time, counted and cached."""
    workshop = study.workshop
    for name, config in base_arms(list(study.arms)).items():
        student = workshop.student(config)
        yield Evaluated(name, BASE_CHECKPOINT, workshop.counted(student), _weights(student))
    for arm in study.arms:
        checkpoint = selected_checkpoint(study, arm)
        folder = study.run.stage(f"training/{arm.name}").path / checkpoint
        tuned = workshop.student(arm.student).with_adapter(folder)
        yield Evaluated(arm.name, checkpoint, workshop.counted(tuned), _weights(tuned))
    for name, given in study.recipe.evaluation.models.items():
        model, own = workshop.evaluated(given), None
        if model.identity and isinstance(given, Transformers | Scripted):
            own = workshop.student(given)
        yield Evaluated(name, BASE_CHECKPOINT, model, _weights(own))
        if isinstance(given, LlamaCpp):
            workshop.free_engines()


def _weights(model: ChatModel | None) -> ModelWithWeights | None:
    return model if isinstance(model, ModelWithWeights) else None


def evaluated_fingerprint(study: Study) -> dict[str, Any]:
    """What decides who :func:`evaluated_models` are, beside the training itself."""
    evaluation = study.recipe.evaluation
    probed_by = headline_scorer(evaluation.scorers)
    models = {
        name: study.workshop.evaluated(given).identity for name, given in evaluation.models.items()
    }
    return {"select": evaluation.select, "probed_by": probed_by, "models": models}


def count_evaluated(study: Study) -> int:
    """How many :func:`evaluated_models` there are."""
    arms = list(study.arms)
    return len(base_arms(arms)) + len(arms) + len(study.recipe.evaluation.models)


def selected_checkpoint(study: Study, arm: StudyArm) -> str:
    """The checkpoint whose probe does best (then by character F1, then the later epoch); the
    last where there is no probe or the recipe says so.
    """
    epochs = arm.training.epochs
    folder = study.run.stage(f"training/{arm.name}")

    def did(epoch: int) -> tuple[float, float, int]:
        answers = list(folder.read(f"probe-{epoch}", Answer))
        return (
            quality(study, answers)[1],
            quality(study, answers, "character_f1")[1],
            epoch,
        )

    if study.recipe.evaluation.select == "last":
        return f"epoch-{epochs}"
    return f"epoch-{max(range(1, epochs + 1), key=did)}"


def quality(study: Study, answers: Sequence[Answer], name: str = "") -> tuple[str, float]:
    """The scorer that a probe goes by and its mean; failed answers do not count. A judge is
    too slow for a probe: character F1 stands in for it.
    """
    name = name or headline_scorer(study.recipe.evaluation.scorers)
    name = name if name in SCORERS else "character_f1"
    references = {question.id: question.reference for question in read_questions(study)}
    pairs = [(references[a.question_id], a.text) for a in answers if not a.error]
    return name, fmean(SCORERS[name](*pair) for pair in pairs) if pairs else 0.0
