"""Who is asked the questions of a run, which checkpoint of each arm, and how they are put."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from teichaku.core.models import ChatModel, ModelWithWeights
from teichaku.core.records import BASE_CHECKPOINT, Retrieved
from teichaku.evaluation.answers import Conditions
from teichaku.evaluation.benchmarks.frames import Asking
from teichaku.evaluation.retrieval import shown_passages
from teichaku.recipes.arms import StudyArm, base_arms, by_weights
from teichaku.recipes.model_schema import LlamaCpp, Scripted, Transformers
from teichaku.recipes.study import Study

Put = TypeVar("Put", Conditions, Asking)


def conditions(study: Study, retrieved: Iterable[Retrieved] = ()) -> Conditions:
    """How questions are put; with what was ``retrieved`` for them under that condition."""
    return Conditions(
        study.prompts.load("closed_book"),
        study.prompts.load("open_book"),
        study.passages,
        study.recipe.evaluation.max_tokens,
        study.prompts.load("retrieval"),
        # Where nothing was found for a question, it is asked without a passage.
        defaultdict(tuple, shown_passages(retrieved)),
    )


@dataclass(frozen=True)
class Evaluated:
    """A model that is asked in full: ``base`` or ``base:STUDENT`` untuned, an arm at its selected
    checkpoint, or one of the recipe's further models, which are as they are. ``weights`` is the
    same model without cache and counts, where its weights are at hand. ``max_tokens`` is its own
    limit for an answer, in the place of that of the others.
    """

    arm: str
    checkpoint: str
    model: ChatModel
    weights: ModelWithWeights | None = None
    max_tokens: int | None = None

    def limited(self, put: Put) -> Put:
        """How it is asked where the others are asked as in ``put``."""
        return put if self.max_tokens is None else replace(put, max_tokens=self.max_tokens)


def evaluated_models(study: Study) -> Iterator[Evaluated]:
    """Each student untuned, then its arms, so that its weights are loaded once; then the further
    models. One at a time, counted and cached.
    """
    workshop, arms = study.workshop, by_weights(study.arms)
    for name, config in base_arms(list(study.arms)).items():
        student = workshop.student(config)
        yield Evaluated(name, BASE_CHECKPOINT, workshop.counted(student), _weights(student))
        for arm in arms:
            if arm.student.model == config.model:
                yield _tuned(study, arm)
    for name, given in study.recipe.evaluation.models.items():
        model, own = workshop.evaluated(given), None
        if model.identity and isinstance(given, Transformers | Scripted):
            own = workshop.student(given)
        yield Evaluated(name, BASE_CHECKPOINT, model, _weights(own), given.max_tokens)
        if isinstance(given, LlamaCpp):
            workshop.free_engines()


def _tuned(study: Study, arm: StudyArm) -> Evaluated:
    checkpoint = study.selected_checkpoints[arm.name]
    folder = study.run.stage(f"training/{arm.name}").path / checkpoint
    tuned = study.workshop.student(arm.student).with_adapter(folder)
    return Evaluated(arm.name, checkpoint, study.workshop.counted(tuned), _weights(tuned))


def _weights(model: ChatModel | None) -> ModelWithWeights | None:
    return model if isinstance(model, ModelWithWeights) else None


def evaluated_fingerprint(study: Study) -> dict[str, Any]:
    """What decides who :func:`evaluated_models` are, beside the training itself: the checkpoints
    that were selected, by whatever rule.
    """
    further = study.recipe.evaluation.models.items()
    models = {name: study.workshop.evaluated(given).identity for name, given in further}
    limits = {name: given.max_tokens for name, given in further if given.max_tokens}
    return {"checkpoints": study.selected_checkpoints, "models": models, "limits": limits}


def count_evaluated(study: Study) -> int:
    """How many :func:`evaluated_models` there are."""
    arms = list(study.arms)
    return len(base_arms(arms)) + len(arms) + len(study.recipe.evaluation.models)
