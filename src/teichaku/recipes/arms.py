"""The arms of a study: what each is trained on, which student, with what settings."""

import itertools
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from teichaku.core.errors import RecipeError
from teichaku.recipes.load import merged
from teichaku.recipes.schema import Arm, Recipe, Scripted, Training, Transformers


@dataclass(frozen=True)
class StudyArm:
    """One trained arm. ``data`` names the arm of the recipe whose examples it learns;
    ``settings`` are the values of the matrix that make it differ from its neighbours.
    """

    name: str
    data: str
    student: Transformers | Scripted
    training: Training
    settings: dict[str, Any]


def expand_arms(recipe: Recipe) -> list[StudyArm]:
    """All arms of ``recipe``, one for each combination of each matrix, in order.

    Raises ``RecipeError`` for a matrix key or value that the recipe's schema refuses.
    """
    return [arm for name, config in recipe.arms.items() for arm in _expand(recipe, name, config)]


def _expand(recipe: Recipe, name: str, config: Arm) -> list[StudyArm]:
    own = config.training.model_dump(exclude_none=True)
    training = merged(recipe.training.model_dump(), own)
    student = recipe.student.model_dump()
    arms = []
    for values in itertools.product(*config.matrix.values()):
        changes = dict(zip(config.matrix, values, strict=True))
        varied = {"training": training, "student": student}
        for key, value in changes.items():
            varied = merged(varied, _nested(key, value))
        arms.append(_checked(recipe, name, varied, changes))
    return arms


def _nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _checked(
    recipe: Recipe, name: str, varied: dict[str, Any], changes: dict[str, Any]
) -> StudyArm:
    short = {key.rsplit(".", 1)[1] if "." in key else key: value for key, value in changes.items()}
    label = ",".join(f"{key}={value}" for key, value in short.items())
    unknown = set(varied) - {"training", "student"}
    if unknown:
        raise RecipeError(
            f"arms.{name}.matrix: '{min(unknown)}' cannot be varied.",
            "Vary keys of training or student, such as training.learning_rate.",
        )
    data = recipe.model_dump(mode="json", exclude_none=True)
    try:
        checked = Recipe.model_validate({**data, **varied})
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"arms.{name}.matrix: {label}: {what}") from error
    return StudyArm(
        f"{name}@{label}" if label else name,
        name,
        checked.student,
        checked.training,
        {"learning_rate": checked.training.learning_rate, **short},
    )


def base_arms(arms: list[StudyArm]) -> dict[str, Transformers | Scripted]:
    """The untuned arm of every student: ``base``, or ``base:STUDENT`` where there are several."""
    students = {arm.student.model: arm.student for arm in arms}
    if len(students) == 1:
        return {"base": next(iter(students.values()))}
    return {f"base:{model}": student for model, student in students.items()}
