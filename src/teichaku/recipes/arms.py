"""The arms of a study: what each is trained on, which student, with what settings."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from teichaku.core.errors import RecipeError
from teichaku.recipes.mistakes import Location, distinct_errors, in_words, nearest
from teichaku.recipes.model_schema import Scripted, StudentModel, Transformers
from teichaku.recipes.names import ArmName, is_name_character
from teichaku.recipes.schema import Arm, Recipe, Training
from teichaku.recipes.select_schema import control_name

_STUDENT: TypeAdapter[Transformers | Scripted] = TypeAdapter(StudentModel)
_Mistake = tuple[Location, str]


@dataclass(frozen=True)
class StudyArm:
    """One trained arm. ``data`` names the arm of the recipe, or the control of its selection,
    whose examples it learns;
    ``settings`` are the values of the matrix that make it differ from its neighbours.
    """

    name: str
    data: str
    student: Transformers | Scripted
    training: Training
    settings: dict[str, Any]


class _Taught(BaseModel):
    """The parts of a recipe that make its arms, whatever is wrong elsewhere."""

    model_config = ConfigDict(frozen=True)

    student: StudentModel | None = None
    training: Training = Training()
    arms: dict[ArmName, Arm] = {}


def expand_arms(recipe: Recipe) -> list[StudyArm]:
    """All arms of ``recipe``, one for each combination of each matrix, in order.

    Raises ``RecipeError`` for a matrix that cannot be, with all mistakes.
    """
    mistakes: list[_Mistake] = []
    arms = list(_expand_all(recipe, mistakes))
    if mistakes:
        lines = [f"  {'.'.join(map(str, where))}: {what}" for where, what in mistakes]
        raise RecipeError("The arms of the recipe cannot be made:\n" + "\n".join(lines))
    return arms


def by_weights(arms: Iterable[StudyArm]) -> list[StudyArm]:
    """``arms`` so that those on the same base weights follow one another, as only one set of
    weights is in memory: by student in the order of first use, those without quantization, whose
    weights are also the untuned student's, first.
    """
    given = list(arms)
    places: dict[str, int] = {}
    for arm in given:
        places.setdefault(arm.student.model, len(places))

    def weights(arm: StudyArm) -> tuple[int, str, str]:
        student = arm.student.model_dump_json()
        return places[arm.student.model], student, arm.training.adapter.quantization

    return sorted(given, key=weights)


def arm_mistakes(data: Mapping[str, Any]) -> list[_Mistake]:
    """What is wrong with the matrices of the recipe that ``data`` is, and where.

    None are found where the sections that make the arms are wrong in themselves.
    """
    mistakes: list[_Mistake] = []
    try:
        list(_expand_all(_Taught.model_validate(data), mistakes))
    except ValidationError:
        return []
    return mistakes


def merged(base: Any, changes: Any) -> Any:
    """``base`` with ``changes`` on top: mappings are merged, anything else is replaced.

    A model of another backend is another model: its mapping is replaced as a whole.
    """
    if isinstance(base, dict) and isinstance(changes, dict):
        if changes.get("backend", base.get("backend")) != base.get("backend"):
            return deepcopy(changes)
        return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}
    return deepcopy(changes)


def _expand_all(recipe: Recipe | _Taught, mistakes: list[_Mistake]) -> Iterator[StudyArm]:
    for name, config in recipe.arms.items():
        if recipe.student is None:
            if config.matrix:
                _note(mistakes, ("arms", name, "matrix"), "there is no student to vary")
            continue
        own = config.training.model_dump(exclude_none=True)
        base = {
            "training": merged(recipe.training.model_dump(), own),
            "student": recipe.student.model_dump(),
        }
        yield from _expand(name, name, config, base, mistakes)
        for control in config.select.controls if config.select else ():
            data = control_name(name, control)
            # The mistakes of a matrix are told once, of the arm itself.
            yield from _expand(data, name, config, base, [])


def _expand(
    name: str, stated: str, config: Arm, base: dict[str, Any], mistakes: list[_Mistake]
) -> Iterator[StudyArm]:
    """The arms that learn from the data ``name``, which the recipe states as the arm ``stated``."""
    here = ("arms", stated, "matrix")
    unknown = [key for key in config.matrix if key.partition(".")[0] not in base]
    if unknown:
        mistakes += [((*here, key), _cannot_be_varied(key)) for key in unknown]
        return
    names = _short_names(config.matrix)
    made: set[str] = set()
    for places in itertools.product(*(range(len(values)) for values in config.matrix.values())):
        chosen = dict(zip(config.matrix, places, strict=True))
        changes = {key: config.matrix[key][place] for key, place in chosen.items()}
        label = ",".join(f"{names[key]}={_in_a_name(value)}" for key, value in changes.items())
        if label in made:
            _note(mistakes, here, f"two arms would be called {name}@{label}")
        made.add(label)
        varied = base
        for key, value in changes.items():
            varied = merged(varied, _nested(key, value))
        checked = _checked(varied, chosen, here, mistakes)
        if checked is not None:
            student, training = checked
            settings = {names[key]: value for key, value in changes.items()}
            settings = {"learning_rate": training.learning_rate, **settings}
            arm = f"{name}@{label}" if label else name
            yield StudyArm(arm, name, student, training, settings)


def _checked(
    varied: Mapping[str, Any], chosen: Mapping[str, int], here: Location, mistakes: list[_Mistake]
) -> tuple[Transformers | Scripted, Training] | None:
    """The student and the training, or None and what is wrong with them."""
    try:
        student = _STUDENT.validate_python(varied["student"])
    except ValidationError as error:
        _tell("student", error, chosen, here, mistakes)
        student = None
    try:
        training = Training.model_validate(varied["training"])
    except ValidationError as error:
        _tell("training", error, chosen, here, mistakes)
        return None
    return None if student is None else (student, training)


def _tell(
    section: str,
    error: ValidationError,
    chosen: Mapping[str, int],
    here: Location,
    mistakes: list[_Mistake],
) -> None:
    """Each mistake once, at the value of the matrix that makes it, else at the matrix."""
    for found in distinct_errors(error):
        location = (section, *found["loc"])
        what = in_words(found, location)
        inside = {key: _inside(key.split("."), location) for key in chosen}
        blamed = [key for key in chosen if inside[key] is not None]
        if not blamed:
            _note(mistakes, here, f"{'.'.join(map(str, location))}: {what}")
            continue
        key = max(blamed, key=len)
        rest = inside[key] or ()
        # A key that is unknown is so for all of its values.
        value = () if found["type"] == "extra_forbidden" and not rest else (chosen[key],)
        _note(mistakes, (*here, key, *value, *rest), what)


def _note(mistakes: list[_Mistake], where: Location, what: str) -> None:
    if (where, what) not in mistakes:
        mistakes.append((where, what))


def _inside(parts: Iterable[str], location: Location) -> Location | None:
    """What of ``location`` stands below ``parts``, None where they are not on the way to it.

    The tags of unions may stand between the parts.
    """
    steps = iter(location)
    return tuple(steps) if all(part in steps for part in parts) else None


def _cannot_be_varied(key: str) -> str:
    known = [f"training.{field}" for field in Training.model_fields]
    known += [f"student.{field}" for field in Transformers.model_fields]
    hint = nearest(key, known)
    if not hint.startswith("; did"):
        hint = "; vary keys of training or student, such as training.learning_rate"
    return f"cannot be varied{hint}"


def _nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last part of each key, or the whole key where another ends in the same."""
    last = {key: key.rpartition(".")[2] for key in keys}
    count = Counter(last.values())
    return {key: short if count[short] == 1 else key for key, short in last.items()}


def _in_a_name(value: Any) -> str:
    """``value`` as the name of a folder may hold it."""
    return "-".join("".join(c if is_name_character(c) else " " for c in str(value)).split())


def base_arms(arms: list[StudyArm]) -> dict[str, Transformers | Scripted]:
    """The untuned arm of every student: ``base``, or ``base:STUDENT`` where there are several."""
    students = {arm.student.model: arm.student for arm in arms}
    if not students:
        return {}
    if len(students) == 1:
        return {"base": next(iter(students.values()))}
    return {f"base:{model}": student for model, student in students.items()}
