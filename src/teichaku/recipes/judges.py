"""The judges of a recipe: its own and every further one. None of them marks its own answers
unsaid, and what decides a mark is written beside the marks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teichaku.backends.http import http_identity
from teichaku.core.errors import RecipeError
from teichaku.core.models import ChatModel
from teichaku.core.records import Answer, Judgement, Question, Sampling
from teichaku.core.run_folder import (
    StageFolder,
    damaged,
    json_bytes,
    read_object,
    write_aside,
)
from teichaku.evaluation.benchmarks.catalogue import shipped
from teichaku.evaluation.judging.absolute import AbsoluteJudge
from teichaku.evaluation.judging.fastchat import JudgingPrompts, judging_prompts
from teichaku.evaluation.judging.forms import (
    BRACKETS_1_TO_10,
    JSON_1_TO_5,
    JSON_1_TO_10,
    JSON_VERDICT,
    SCORE_FIRST_1_TO_5,
)
from teichaku.evaluation.judging.graders import Relation, relation, self_graded
from teichaku.evaluation.judging.pairwise import PairwiseJudge
from teichaku.evaluation.judging.protocol import JudgeProtocol
from teichaku.recipes.arms import base_arms, expand_arms
from teichaku.recipes.control_sets import controls_of, is_marked_by_criteria, prepared_sets
from teichaku.recipes.model_schema import Http, LlamaCpp, SameAs, Scripted, Transformers
from teichaku.recipes.schema import Recipe
from teichaku.recipes.study import Study

#: The file beside marks and verdicts that says what decided them.
PROTOCOLS = "protocols.json"

_OWN_SCORER = "judge"
_FORMS = {
    "judge_absolute": JSON_1_TO_10,
    "judge_criteria": JSON_1_TO_5,
    "judge_turn": BRACKETS_1_TO_10,
}
#: Room for a mark and for a verdict with their reasons, of a model that does not think before.
_MARK_TOKENS, _VERDICT_TOKENS = 320, 512
_Config = LlamaCpp | Http | Scripted | Transformers


@dataclass(frozen=True)
class StudyJudge:
    """A judge: the recipe's own has no ``name``, a further one that of ``evaluation.judges``.
    ``max_tokens`` is the longest reply that the recipe gives it; None: as usual.
    """

    name: str
    model: ChatModel
    max_tokens: int | None = None

    def sampling(self, usual: int) -> Sampling:
        """How it replies, greedily, where ``usual`` tokens are the room for a reply."""
        return Sampling(max_tokens=self.max_tokens or usual)

    @property
    def identity(self) -> str:
        """The identity of its model."""
        return self.model.identity

    @property
    def scorer(self) -> str:
        """What its marks are called among the scores: ``judge`` or ``judge:NAME``."""
        return f"{_OWN_SCORER}:{self.name}" if self.name else _OWN_SCORER


def judges_of(study: Study) -> list[StudyJudge]:
    """The recipe's judge and every further one; none where nothing is judged.

    Raises ``RecipeError`` where two of them are one model, or where one is a model that it would
    mark and ``evaluation.judge.itself`` does not allow that.
    """
    recipe, workshop = study.recipe, study.workshop
    if not (judges_anything(recipe) or recipe.evaluation.calibration):
        return []
    further = recipe.evaluation.judges
    found = [own_judge(study)]
    for name, own in further.items():
        limit = own.max_tokens or recipe.evaluation.judge.max_tokens
        found.append(StudyJudge(name, workshop.further_judge(own), limit))
    by_identity: dict[str, str] = {}
    for judge in found:
        if judge.identity in by_identity:
            raise _twice(by_identity[judge.identity], _called(judge.name))
        by_identity[judge.identity] = _called(judge.name)
    if judges_anything(recipe) and not recipe.evaluation.judge.itself:
        identities = evaluated_identities(study)
        for judge in found:
            _refuse_itself(judge.name, self_graded(judge.identity, identities))
    return found


def own_judge(study: Study) -> StudyJudge:
    """The recipe's own judge."""
    return StudyJudge("", study.workshop.judge, study.recipe.evaluation.judge.max_tokens)


def absolute_judge(
    study: Study, judge: StudyJudge, prompt: str = "judge_absolute"
) -> AbsoluteJudge:
    """``judge`` as it marks answers by a prompt: of the documents' questions (``judge_absolute``),
    of benchmarks by criteria (``judge_criteria``) or by turns (``judge_turn``), for which the
    recipe's file of prompts goes before ours.
    """
    settings, of_file = study.recipe.evaluation.judge, file_prompts(study.recipe, study.root)
    asked, form = study.prompts.load(prompt), _FORMS[prompt]
    is_expected = settings.expected and prompt == "judge_criteria"
    if is_expected:
        form = SCORE_FIRST_1_TO_5
    elif prompt == "judge_turn" and of_file is not None and of_file.single is not None:
        asked, form = of_file.single.prompt, of_file.single.form
    return AbsoluteJudge(
        asked,
        judge.identity,
        judge.sampling(_MARK_TOKENS),
        study.prompts.load("ask_again"),
        form,
        settings.repeats,
        expected=is_expected,
    )


def pairwise_judge(study: Study, judge: StudyJudge, repeats: int = 1) -> PairwiseJudge:
    """``judge`` as it compares answers; the recipe's file of prompts goes before ours."""
    of_file = file_prompts(study.recipe, study.root)
    asked, form = study.prompts.load("judge_pairwise"), JSON_VERDICT
    if of_file is not None and of_file.pairwise is not None:
        asked, form = of_file.pairwise.prompt, of_file.pairwise.form
    return PairwiseJudge(
        asked,
        judge.identity,
        judge.sampling(_VERDICT_TOKENS),
        study.prompts.load("ask_again"),
        form,
        repeats=repeats,
    )


def file_prompts(recipe: Recipe, root: Path) -> JudgingPrompts | None:
    """The prompts of the recipe's own file; None where it names none. Raises ``UserError`` where
    nobody can be judged by them.
    """
    name = recipe.evaluation.judge.prompts
    return None if name is None else judging_prompts(root / name, recipe.language)


def protocol_fingerprints(
    study: Study, build: Callable[[Study, StudyJudge], AbsoluteJudge | PairwiseJudge]
) -> dict[str, str]:
    """All that decides what each of :func:`judges_of` says, by its name, for what a stage is made
    from.
    """
    return {judge.name: build(study, judge).protocol.fingerprint for judge in judges_of(study)}


def evaluated_identities(study: Study) -> dict[str, str]:
    """The identities of all models that answer, by arm. A tuned model has that of its student
    with the arm for an adapter: its own is known only once it is trained.
    """
    workshop, arms = study.workshop, list(study.arms)
    found = {name: workshop.student(config).identity for name, config in base_arms(arms).items()}
    for arm in arms:
        found[arm.name] = f"{workshop.student(arm.student).identity} adapter:{arm.name}"
    for name, given in study.recipe.evaluation.models.items():
        found[name] = workshop.evaluated(given).identity
    return found


def check_judges(recipe: Recipe) -> None:
    """Raise ``RecipeError`` where the recipe alone shows that two judges are one model, or that
    one would mark itself. What only weights or servers can tell, :func:`judges_of` finds.
    """
    if not judges_anything(recipe):
        return
    own = recipe.teacher if isinstance(recipe.judge, SameAs) else recipe.judge
    judges: dict[str, _Config] = {**({"": own} if own else {}), **recipe.evaluation.judges}
    names = list(judges)
    for place, name in enumerate(names):
        for earlier in names[:place]:
            if _is_same(judges[earlier], judges[name]):
                raise _twice(_called(earlier), _called(name))
    if recipe.evaluation.judge.itself:
        return
    arms = expand_arms(recipe)
    evaluated: dict[str, _Config] = {**base_arms(arms), **{arm.name: arm.student for arm in arms}}
    evaluated.update(recipe.evaluation.models)
    for name, config in judges.items():
        related = {arm: _related(config, other) for arm, other in evaluated.items()}
        _refuse_itself(name, {arm: how for arm, how in related.items() if how is not None})


def check_protocol(recipe: Recipe, root: Path) -> None:
    """Raise ``UserError`` where the file of prompts cannot be used, nothing is judged by it, or it
    has no words for a second turn that is to be judged; ``RecipeError`` for an expected mark of
    which there is none.
    """
    settings, pairwise = recipe.evaluation.judge, recipe.evaluation.pairwise
    if recipe.ends_with_data:
        return
    judged = [key for key, of in _control_forms(recipe).items() if of == "judge"]
    if settings.expected and not any(is_marked_by_criteria(key) for key in judged):
        raise RecipeError(
            "evaluation.judge.expected is for sets with criteria, and none is asked.",
            "Add one: evaluation: {controls: [elyza_tasks_100]}, or leave expected out.",
        )
    found = file_prompts(recipe, root)
    if found is None:
        return
    by_turns = [key for key in judged if not is_marked_by_criteria(key)] if found.single else []
    in_pairs = list(pairwise.controls) if pairwise and found.pairwise else []
    compares = found.pairwise and (pairwise or recipe.evaluation.calibration)
    if not (by_turns or compares):
        raise RecipeError(
            f"evaluation.judge.prompts names {settings.prompts}, and nothing is judged by it.",
            "Its prompts for one answer are for benchmarks such as mt_bench_ja, those for two "
            "answers for evaluation.pairwise and calibration.",
        )
    sets = prepared_sets(recipe, root)
    for keys, of in ((by_turns, found.single), (in_pairs, found.pairwise)):
        in_turns = [key for key in keys if key in sets and any(i.turn for i in sets[key].items)]
        if of is not None and in_turns and not of.shows_turns:
            raise RecipeError(
                f"{settings.prompts} has no prompt for a second turn, and {in_turns[0]} has two.",
                "Add an entry with {question_2}, as MT-Bench's file has it, or ask another set.",
            )


def _control_forms(recipe: Recipe) -> dict[str, str]:
    """How each control set of the recipe that ships is marked."""
    known = shipped()
    return {one.key: known[one.name].form for one in controls_of(recipe) if one.name in known}


def judges_anything(recipe: Recipe) -> bool:
    """Whether a judge marks or compares answers in this recipe."""
    evaluation = recipe.evaluation
    if recipe.ends_with_data:
        return False
    marks = "judge_absolute" in evaluation.scorers and evaluation.judge.questions != 0
    tells = evaluation.unanswerable is not None and evaluation.unanswerable.judge
    of_controls = "judge" in _control_forms(recipe).values()
    asked = recipe.asks_questions and (marks or tells)
    return asked or of_controls or evaluation.pairwise is not None


def mark_answers(
    study: Study, folder: StageFolder, answers: Sequence[Answer], questions: Mapping[str, Question]
) -> list[Judgement]:
    """The marks that every judge gives ``answers``, in the order of their ids; the protocols go
    into ``folder``.
    """
    found: list[Judgement] = []
    judges = judges_of(study)
    asking = [absolute_judge(study, judge) for judge in judges]
    write_protocols(study, folder, judges, [one.protocol for one in asking])
    for judge, one in zip(judges, asking, strict=True):
        requests = one.requests(answers, questions, study.passages)
        total, estimate = study.workshop.estimate(judge.model, requests)
        study.progress.begin(f"evaluation: {judge.scorer}", total, estimate)
        found += one.judge(answers, questions, study.passages, judge.model)
    return sorted(found, key=lambda judgement: judgement.id)


def scorer_names(folder: StageFolder) -> dict[str, str]:
    """What the marks of each judge are called among the scores, by its identity, as
    ``protocols.json`` of a stage says; empty where nothing was judged. Raises ``UserError`` where
    that file is damaged.
    """
    path = folder.path / PROTOCOLS
    if not path.is_file():
        return {}
    try:
        return {judge["identity"]: judge["scorer"] for judge in read_object(path)["judges"]}
    except (KeyError, TypeError) as error:
        raise damaged(path, "it does not say who judged") from error


def write_protocols(
    study: Study,
    folder: StageFolder,
    judges: Sequence[StudyJudge],
    protocols: Sequence[JudgeProtocol],
) -> None:
    """Write ``protocols.json``: who judged, whether it wrote the references or is what it marked,
    by which protocols, and the identities of the models that answered, by arm.
    """
    models = evaluated_identities(study)
    teacher = study.workshop.teacher.identity if study.recipe.teacher else ""
    content = {
        "judges": [
            {
                "name": judge.name,
                "identity": judge.identity,
                "scorer": judge.scorer,
                "is_teacher": relation(judge.identity, teacher) is not None,
                "itself": self_graded(judge.identity, models),
            }
            for judge in judges
        ],
        "protocols": [protocol.as_json() for protocol in protocols],
        "models": models,
    }
    write_aside(folder.path / PROTOCOLS, json_bytes(content))


def _is_same(one: Any, other: Any) -> bool:
    """Whether two judges are one model by what the recipe says of them."""
    if isinstance(one, Scripted) and isinstance(other, Scripted):
        return one.model == other.model
    return _related(one, other) == "same_model"


def _related(judge: _Config, evaluated: _Config) -> Relation | None:
    """What two models of a recipe have to do with each other. A scripted judge and a scripted
    student are two scripts, whatever their name.
    """
    if isinstance(judge, Scripted) or isinstance(evaluated, Scripted):
        return None
    if isinstance(judge, Http) and isinstance(evaluated, Http):
        return relation(_at(judge), _at(evaluated))
    if judge.model != evaluated.model:
        return None
    return "same_model" if judge.backend == evaluated.backend else "same_name"


def _at(config: Http) -> str:
    return http_identity(config.base_urls[0].rstrip("/"), config.model, config.extra, "auto")


def _called(name: str) -> str:
    return f"evaluation.judges.{name}" if name else "the judge of the recipe"


def _twice(one: str, other: str) -> RecipeError:
    return RecipeError(
        f"{other} is the same model as {one}: both would give the same marks.",
        "Name another model, or take it out of evaluation.judges.",
    )


def _refuse_itself(name: str, related: Mapping[str, Relation]) -> None:
    if related:
        told = ", ".join(f"{arm} ({how})" for arm, how in sorted(related.items()))
        raise RecipeError(
            f"{_called(name)} is a model whose answers it would mark: {told}.",
            "Name another judge, or allow it with evaluation: {judge: {itself: true}}; the "
            "report then says so.",
        )
