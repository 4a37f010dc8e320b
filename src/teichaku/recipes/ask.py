"""Asking a finished run's models a question of one's own, side by side."""

from collections.abc import Iterator

from teichaku.backends.registry import cache_home
from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.models import ChatModel
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Request, Sampling
from teichaku.core.run_folder import RunFolder
from teichaku.recipes.arms import StudyArm, expand_arms
from teichaku.recipes.dataset import no_student
from teichaku.recipes.load import load_recipe
from teichaku.recipes.progress import Progress
from teichaku.recipes.study import go_on
from teichaku.recipes.workshop import Workshop


def ask(run: RunFolder, question: str, arm: str, progress: Progress) -> Iterator[tuple[str, str]]:
    """(who, answer) of the base model and of a tuned one, closed book, decoded greedily.

    ``arm`` empty means the arm that the report calls the best. Raises ``UserError`` where the
    run has no student, or no such arm, or has not trained it yet.
    """
    recipe = load_recipe(run.path / "recipe.yaml")
    if recipe.student is None:
        raise no_student(run)
    root = (run.path.resolve() / run.read_json("run.json")["root"]).resolve()
    folder = None if recipe.prompts is None else root / recipe.prompts
    prompts = PromptPack(recipe.language, folder)
    chosen = _choose(run, expand_arms(recipe), arm)
    stage = run.stage(f"training/{chosen.name}")
    summary = stage.summary()
    if summary is None:
        told = translate("Arm '{arm}' is not trained yet.").format(arm=chosen.name)
        raise UserError(told, go_on(run))
    evaluated = (run.stage("evaluation").summary() or {"notes": {}})["notes"]
    last = f"epoch-{chosen.training.epochs}"
    checkpoint = evaluated.get("selected_checkpoints", {}).get(chosen.name, last)
    workshop = Workshop(recipe, prompts, progress, cache_home() / "requests.sqlite")
    try:
        student = workshop.student(chosen.student)
        messages = prompts.load("closed_book").messages(question=question)
        sampling = Sampling(max_tokens=max(128, recipe.evaluation.max_tokens))
        request = Request(messages, sampling)
        base = f"{student.name} (base)"
        progress.begin(base, None)
        yield base, _answer(workshop.counted(student), request)
        taught = f"{chosen.name} ({checkpoint})"
        progress.begin(taught, None)
        tuned = student.with_adapter(stage.path / checkpoint)
        yield taught, _answer(workshop.counted(tuned), request)
    finally:
        progress.close()
        workshop.close()


def _answer(model: ChatModel, request: Request) -> str:
    (reply,) = model.generate([request])
    return reply.error or reply.text.strip()


def _choose(run: RunFolder, arms: list[StudyArm], name: str) -> StudyArm:
    if not name and (run.path / "report" / "report.json").is_file():
        name = run.read_json("report/report.json").get("headline", {}).get("best_arm") or ""
    by_name = {arm.name: arm for arm in arms}
    if name and name not in by_name:
        raise UserError(
            translate("The run has no arm '{arm}'.").format(arm=name),
            translate("There are: {names}").format(names=", ".join(by_name)),
        )
    return by_name[name] if name else arms[0]
