"""The order of the stages: the only place that knows it.

A stage that is finished and was made from the same things is not run again. What it was made
from: its sections of the recipe, the prompts, the identities of its models, the program's
version for it, and the fingerprints of the stages before it.
"""

import contextlib
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from teichaku.backends.registry import cache_home
from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.prompts import PromptPack
from teichaku.core.records import Dropped
from teichaku.core.run_folder import RunFolder, StageFolder, fingerprint, write_aside
from teichaku.recipes import data_stages
from teichaku.recipes.arms import StudyArm, by_weights, expand_arms
from teichaku.recipes.before import check_before
from teichaku.recipes.calibration_stage import calibrate_judges, calibration_fingerprint
from teichaku.recipes.comparisons_stage import compare_answers, comparisons_fingerprint
from teichaku.recipes.controls_stage import ask_controls, asks_controls, controls_fingerprint
from teichaku.recipes.dataset import Source
from teichaku.recipes.evaluation_stage import evaluate, evaluation_fingerprint
from teichaku.recipes.examples_stage import make_examples
from teichaku.recipes.export import Options as ExportOptions
from teichaku.recipes.export import write_dataset
from teichaku.recipes.filters import filters_fingerprint
from teichaku.recipes.independent import check_given_questions
from teichaku.recipes.judges import judges_of
from teichaku.recipes.leaks_stage import leaks_fingerprint, question_leaks_fingerprint
from teichaku.recipes.load import dump_recipe
from teichaku.recipes.methods import arm_methods
from teichaku.recipes.mixtures import mix_fingerprint
from teichaku.recipes.model_schema import Price
from teichaku.recipes.novelty_stage import (
    action_fingerprint,
    measure_novelty,
    novelty_fingerprint,
)
from teichaku.recipes.probes_stage import ask_probes, probes_fingerprint
from teichaku.recipes.progress import Progress
from teichaku.recipes.reporting import make_report
from teichaku.recipes.retrieval_stage import find_passages, retrieval_fingerprint
from teichaku.recipes.run_description import describe
from teichaku.recipes.schema import Recipe
from teichaku.recipes.selection_stage import curate_control, selection_fingerprint
from teichaku.recipes.signals_stage import asks_signals, measure_signals, signals_fingerprint
from teichaku.recipes.stage_line import StageLine, prompt_fingerprints, scope
from teichaku.recipes.study import Outcome, Study
from teichaku.recipes.terms import notice, teacher_terms
from teichaku.recipes.training_stage import train_arm, training_seed
from teichaku.recipes.unanswerable_stage import (
    ask_unanswerable,
    asks_unanswerable,
    unanswerable_fingerprint,
)
from teichaku.recipes.workshop import Workshop, price_per_token


@dataclass(frozen=True)
class Options:
    """What the command line adds to a recipe: where to write, and how it was called."""

    runs: Path = Path("runs")
    cache: Path | None = None
    profile: str = ""
    command: str = ""


def run_recipe(
    recipe: Recipe, root: Path, progress: Progress, options: Options = Options()
) -> RunFolder:
    """Run every stage of ``recipe`` that is not finished; the run's folder.

    ``root`` is what the recipe's paths are relative to. Whatever stops it (Ctrl-C, kill -9, an
    error), the same call goes on where it stopped.
    """
    inputs = check_before(recipe, root)
    terms = teacher_terms(recipe, root)
    run = RunFolder(options.runs / recipe.name)
    folder = None if recipe.prompts is None else root / recipe.prompts
    prompts = PromptPack(recipe.language, folder)
    cache = options.cache or cache_home() / "requests.sqlite"
    arms = expand_arms(recipe)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with contextlib.ExitStack() as stack:
        # Nobody else works in the run while its spending is read, charged and written.
        stack.enter_context(run.working())
        workshop = Workshop(recipe, prompts, progress, cache, run.path, sends_batches=True)
        stack.callback(workshop.close)
        stack.callback(progress.close)
        study = Study(recipe, root, run, workshop, prompts, progress, arms, terms)
        _begin(study, options, inputs, started)
        try:
            _run_stages(study, inputs)
        except UserError:
            _tell_what_is_there(study)
            raise
        describe(study, options.profile, options.command, inputs, started)
        if not recipe.ends_with_data:
            # The report tells what all calls of this run have spent.
            workshop.note_spending()
            _report(study)
    return run


def _tell_what_is_there(study: Study) -> None:
    """What fails after the questions were answered leaves answers to read."""
    if study.run.stage("evaluation").summary() is not None:
        told = translate("What is finished can be read: teichaku report {run}")
        study.progress.say(told.format(run=shlex.quote(str(study.run.path))))


def _run_stages(study: Study, inputs: Mapping[str, str]) -> None:
    """Documents, synthesis, curation, questions, training, evaluation."""
    line = StageLine(study)
    # A judge that would mark itself is refused before anything is spent.
    judges_of(study)
    _render_for_students(study)
    curated = _make_data(study, line, inputs)
    if study.recipe.ends_with_data:
        _write_datasets(study, line, curated)
        return
    # Without documents there are no questions, and benchmarks alone are asked.
    questions = _ask(study, line, curated) if study.recipe.asks_questions else ""
    retrieved = _retrieve(study, line, questions) if study.recipe.retrieves else ""
    apart = _held_apart(study)
    trained, probed = {}, {}
    for arm in by_weights(study.arms):
        trained[arm.name] = _train(study, line, arm, curated[arm.data], apart)
        if study.is_probed(arm):
            probed[arm.name] = _probe(study, line, arm, trained[arm.name])
    if study.recipe.asks_questions:
        after = [trained, probed, questions, retrieved]
        made_from = {"after": after, **evaluation_fingerprint(study)}
        line.stage("evaluation", made_from, partial(evaluate, study))
    _ask_further(study, line, [trained, questions])
    _judge_further(study, line)


def _ask_further(study: Study, line: StageLine, after: list[Any]) -> None:
    """What shows how the models behave, beside what they know."""
    if asks_controls(study):
        made_from = {"after": after, **controls_fingerprint(study)}
        line.stage("controls", made_from, partial(ask_controls, study))
    if not study.recipe.asks_questions:
        return
    if asks_unanswerable(study):
        made_from = {"after": after, **unanswerable_fingerprint(study)}
        line.stage("unanswerable", made_from, partial(ask_unanswerable, study))
    if asks_signals(study):
        made_from = {"after": after, **signals_fingerprint(study)}
        line.stage("signals", made_from, partial(measure_signals, study))


def _judge_further(study: Study, line: StageLine) -> None:
    """Pairs of answers, and what tells how far the judges can be believed."""
    if (pairwise := study.recipe.evaluation.pairwise) is not None:
        made_from = comparisons_fingerprint(study, pairwise)
        line.stage("comparisons", made_from, partial(compare_answers, study, pairwise))
    if (calibration := study.recipe.evaluation.calibration) is not None:
        made_from = calibration_fingerprint(study, calibration)
        line.stage("calibration", made_from, partial(calibrate_judges, study, calibration))


def _retrieve(study: Study, line: StageLine, questions: str) -> str:
    """Before the training, so that an embedder that fails costs none."""
    made_from = {"after": questions, **retrieval_fingerprint(study)}
    return line.stage("retrieval", made_from, partial(find_passages, study))


def _ask(study: Study, line: StageLine, curated: Mapping[str, str]) -> str:
    return line.stage(
        "questions",
        {
            "after": curated,
            "questions": study.recipe.questions.model_dump(),
            "independent": data_stages.independent_fingerprint(study),
            "teacher": study.workshop.teacher.identity,
            "prompts": prompt_fingerprints(study, ["held_out_wording"]),
            **scope(study.recipe),
            **question_leaks_fingerprint(study.recipe),
        },
        partial(data_stages.make_questions, study),
    )


def _write_datasets(study: Study, line: StageLine, curated: Mapping[str, str]) -> None:
    """The end of a recipe without a student: each arm's examples as a data set with its card."""
    licences = [c.licence for c in study.workshop.cards.values() if c.role == "teacher"]
    source = Source(study.run, study.recipe, study.terms, *licences)
    gate = leaks_fingerprint(study)
    for data in study.data_arms():
        line.stage(
            f"dataset/{data}",
            {
                "after": curated[data],
                "recipe": study.recipe.model_dump(mode="json"),
                "terms": asdict(study.terms),
                "licences": licences,
                # The card says what was looked for.
                **gate,
            },
            partial(_write_dataset, source, study.progress, data),
        )


def _write_dataset(source: Source, progress: Progress, data: str, folder: StageFolder) -> Outcome:
    progress.begin(f"dataset/{data}", None)
    try:
        return write_dataset(source, data, folder.path)
    except UserError as error:
        # A run publishes nothing: what may not be published is written for its owner alone.
        progress.say(f"! {error.message}")
        return write_dataset(source, data, folder.path, ExportOptions(private=True))


def _make_data(study: Study, line: StageLine, inputs: Mapping[str, str]) -> dict[str, str]:
    """Documents, then synthesis and curation for each arm's data; the latter's fingerprints."""
    recipe, workshop = study.recipe, study.workshop
    documents = ""
    if recipe.documents is not None:
        documents = line.stage(
            "documents",
            {
                "documents": data_stages.documents_fingerprint(recipe.documents),
                "inputs": dict(inputs),
            },
            partial(data_stages.read_documents, study),
        )
        check_given_questions(study)
    if recipe.novelty is not None:
        line.stage(
            "novelty",
            {"after": documents, **novelty_fingerprint(study, recipe.novelty), **scope(recipe)},
            partial(measure_novelty, study, recipe.novelty),
        )
    curated = {}
    seeds = fingerprint([asdict(seed) for seed in study.seeds])
    price = price_per_token(recipe.teacher) if recipe.teacher else Price()
    signature = {"price": price.model_dump(), "licence_class": study.terms.licence_class}
    # What it is held against and nothing leaks of changes nothing that is made of its examples.
    gate = leaks_fingerprint(study)
    for data in study.data_arms():
        arm = recipe.arms[data]
        synthesis = line.stage(
            f"synthesis/{data}",
            {
                "after": documents,
                "arm": arm.model_dump(include={"examples", "facts", "until"}),
                **mix_fingerprint(arm.mix, study.root),
                # Gaps are filled where what passes the filters leaves them.
                **(filters_fingerprint(recipe) if arm.until else {"curation": []}),
                "seeds": seeds,
                # With their prompts and all else that they read from files.
                "methods": fingerprint(arm_methods(study, data)),
                "teacher": workshop.teacher.identity if arm.examples else "",
                "prompts": prompt_fingerprints(study, ["ask_again"]),
                **scope(recipe),
                **action_fingerprint(study, "drop"),
            },
            partial(make_examples, study, data),
            signature,
        )
        made_from = {"after": synthesis, "seeds": seeds, **_curation(study, data)}
        curate = partial(data_stages.curate_examples, study, data)
        curated[data] = line.stage(f"curation/{data}", made_from, curate, signature, gate)
    for name, (data, control) in study.controls().items():
        curated[name] = line.stage(
            f"curation/{name}",
            {"after": curated[data], "control": control, "seed": recipe.seed},
            partial(curate_control, study, name),
            signature,
        )
    return curated


def _curation(study: Study, data: str) -> dict[str, Any]:
    """What the curation of an arm's examples is made from beside these."""
    recipe = study.recipe
    asking = _judge_prompts(recipe)
    return {
        **filters_fingerprint(recipe),
        "characters": recipe.arms[data].characters,
        "judge": study.workshop.judge.identity if asking else "",
        "prompts": prompt_fingerprints(study, [*asking, "ask_again"]),
        "language": recipe.language,
        **action_fingerprint(study, "weigh"),
        **selection_fingerprint(study, data),
    }


def _render_for_students(study: Study) -> None:
    """Put a prompt into the words of each student that is yet to train, so that a tokenizer or a
    chat template at fault shows before anything is spent. No weights are loaded.
    """
    messages = study.prompts.load("closed_book").messages(question="1")
    for arm in study.arms:
        student = study.workshop.student(arm.student)
        trained = study.run.stage(f"training/{arm.name}").summary() or {"arguments": {}}
        if trained["arguments"].get("student") == student.identity:
            continue
        try:
            student.rendered(messages)
        except TemplateError as error:
            raise UserError(
                f"The chat template of {student.name} cannot be filled in: {error}.",
                "Mend it in the model's folder (chat_template.jinja or tokenizer_config.json), or "
                "name another student.",
            ) from error


def _held_apart(study: Study) -> str:
    """A fingerprint of what training reads of the questions: the examples that it leaves out for
    them. Where these stay as they are, what was trained stays.
    """
    if not study.recipe.asks_questions:
        return ""
    unseen = sorted(q.example_id for q in study.questions if q.kind == "unseen")
    siblings = study.run.stage("questions").read("siblings", Dropped)
    return fingerprint([unseen, [(row.record_id, row.reason, row.evidence) for row in siblings]])


def _train(study: Study, line: StageLine, arm: StudyArm, curated: str, apart: str) -> str:
    return line.stage(
        f"training/{arm.name}",
        {
            "after": curated,
            "held_apart": apart,
            "training": arm.training.model_dump(exclude={"checkpoint_every_steps", "probe"}),
            "seed": training_seed(study, arm.training),
            "student": study.workshop.student(arm.student).identity,
            "prompts": prompt_fingerprints(study, ["closed_book", "plain_template"]),
        },
        partial(train_arm, study, arm),
    )


def _probe(study: Study, line: StageLine, arm: StudyArm, trained: str) -> str:
    return line.stage(
        f"probes/{arm.name}",
        {"after": trained, **probes_fingerprint(study, arm)},
        partial(ask_probes, study, arm),
    )


def _judge_prompts(recipe: Recipe) -> list[str]:
    return [config.judge_prompt for config in recipe.curation if config.judge_prompt]


def _begin(study: Study, options: Options, inputs: Mapping[str, str], started: str) -> None:
    """Write what the run is, before the first stage; a stale report goes."""
    teacher = study.recipe.teacher
    heed = notice(study.terms, teacher.model) if teacher else ""
    if heed:
        study.progress.say(f"! {heed}")
    study.run.remove_leftovers()
    study.run.begin_stages()
    write_aside(study.run.path / "recipe.yaml", dump_recipe(study.recipe).encode("utf-8"))
    describe(study, options.profile, options.command, inputs, started)


def _report(study: Study) -> None:
    study.progress.begin("report", None)
    make_report(study.run)
    study.progress.end("report", str(study.run.path / "report" / "index.html"))
