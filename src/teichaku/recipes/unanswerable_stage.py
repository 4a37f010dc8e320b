"""The stage that asks every model what the documents of the run do not tell.

These questions stand apart: they are in no score of knowledge, and no arm is chosen by them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from teichaku.core.locale import translate
from teichaku.core.records import (
    Answer,
    Condition,
    Dropped,
    Judgement,
    Question,
    content_id,
)
from teichaku.core.run_folder import StageFolder, dropped
from teichaku.evaluation.abstention import ABSTAINS
from teichaku.evaluation.answers import Asked, answer_rounds
from teichaku.evaluation.judging.absolute import AbsoluteJudge
from teichaku.evaluation.judging.graders import self_graded
from teichaku.evaluation.retrieval import PassageIndex
from teichaku.evaluation.unanswerable import STAGE, AnswerableCheck, EntitySwaps, Swap
from teichaku.recipes import counts
from teichaku.recipes.evaluated import (
    conditions,
    count_evaluated,
    evaluated_fingerprint,
    evaluated_models,
)
from teichaku.recipes.evaluation_schema import Unanswerable
from teichaku.recipes.judges import own_judge
from teichaku.recipes.retrieval_stage import retrieval_fingerprint, retrieve_for
from teichaku.recipes.stage_line import prompt_fingerprints, scope
from teichaku.recipes.study import Outcome, Study, write_dropped

#: Room for saying whether an answer abstains, of a model that does not think before.
_TELLING_TOKENS = 320


def asks_unanswerable(study: Study) -> bool:
    """Whether the recipe wants such questions and there is something to make them of."""
    recipe = study.recipe
    is_wanted = recipe.evaluation.unanswerable is not None
    return is_wanted and recipe.asks_questions and recipe.documents is not None


def unanswerable_fingerprint(study: Study) -> dict[str, Any]:
    """What the stage is made from, beside the questions and the training."""
    settings, evaluation = study.recipe.evaluation.unanswerable, study.recipe.evaluation
    if settings is None:
        raise AssertionError("a recipe that wants unanswerable questions")
    workshop, prompts = study.workshop, ["closed_book"]
    prompts += ["retrieval"] if study.recipe.retrieves else []
    prompts += ["unanswerable_check", "ask_again"] if settings.check else []
    prompts += ["abstention_judge", "ask_again"] if settings.judge else []
    return {
        "unanswerable": settings.model_dump(),
        "conditions": _conditions(study),
        "max_tokens": evaluation.max_tokens,
        "teacher": workshop.teacher.identity if settings.check else "",
        "judge": _judge(study).protocol.fingerprint if settings.judge else "",
        "judges_itself": evaluation.judge.itself,
        "prompts": prompt_fingerprints(study, prompts),
        **(retrieval_fingerprint(study) if study.recipe.retrieves else {}),
        **evaluated_fingerprint(study),
        **scope(study.recipe),
    }


def ask_unanswerable(study: Study, folder: StageFolder) -> Outcome:
    """Make the questions, ask them, and have the judge tell who abstained where it is to.

    Where none can be made, as from documents without titles, the stage ends with the reasons.
    """
    settings = study.recipe.evaluation.unanswerable or Unanswerable()
    sources = study.questions
    made, swaps, fallen = _make(study, sources, settings)
    if settings.check and made:
        made, further = _checked(study, made)
        fallen += further
    kept = {question.id for question in made}
    answers, identities = _asked(study, made) if made else ([], {})
    judgements = _judged(study, made, answers, identities) if settings.judge and made else []
    folder.write("questions", Question, sorted(made, key=lambda question: question.id))
    folder.write("swaps", Swap, [swap for swap in swaps if swap.question_id in kept])
    folder.write("answers", Answer, sorted(answers, key=lambda answer: answer.id))
    folder.write("judgements", Judgement, sorted(judgements, key=lambda row: row.id))
    reasons = write_dropped(folder, fallen)
    notes = {
        "answers": len(answers),
        "answers_failed": sum(bool(answer.error) for answer in answers),
        "judgements": len(judgements),
        "judgements_failed": sum(judgement.score is None for judgement in judgements),
    }
    return Outcome(len(sources), len(made), reasons, notes)


def _make(
    study: Study, sources: Sequence[Question], settings: Unanswerable
) -> tuple[list[Question], list[Swap], list[Dropped]]:
    """At most ``per_document`` of each document, about other facts first; which ones is a draw."""
    told = translate("names are swapped")
    study.progress.begin(STAGE, len(sources), told, counts.questions)
    swapping = EntitySwaps(study.passages.values())
    made: dict[str, list[Question]] = {}
    swaps, fallen = [], []
    for source in _by_document(_in_fair_order(study.recipe.seed, sources)):
        own = made.setdefault(source.document_id, [])
        study.progress.advance()
        if len(own) >= settings.per_document:
            fallen.append(dropped(source, STAGE, "over_limit", str(settings.per_document)))
            continue
        (found,) = swapping.make([source])
        if isinstance(found, Dropped):
            fallen.append(found)
        else:
            own.append(found[0])
            swaps.append(found[1])
    questions = [question for own in made.values() for question in own]
    return questions, sorted(swaps, key=lambda swap: swap.question_id), fallen


def _by_document(sources: Iterable[Question]) -> Iterator[Question]:
    """The questions of a document one after the other, which changes nothing in what is made of
    them; its limit is its own.
    """
    of: dict[str, list[Question]] = {}
    for source in sources:
        of.setdefault(source.document_id, []).append(source)
    return chain.from_iterable(of.values())


def _in_fair_order(seed: int, sources: Sequence[Question]) -> list[Question]:
    """By chance, and a second wording of the same fact after all that ask for others."""
    drawn = sorted(sources, key=lambda source: content_id(seed, STAGE, source.id))
    turns: dict[tuple[str, str], int] = {}
    order = []
    for place, source in enumerate(drawn):
        fact = (source.passage_id, source.reference)
        turn = turns[fact] = turns.get(fact, -1) + 1
        order.append((turn, place, source))
    return [source for _, _, source in sorted(order, key=lambda item: item[:2])]


def _checked(study: Study, made: Sequence[Question]) -> tuple[list[Question], list[Dropped]]:
    """Those that the teacher finds no answer to in the passages."""
    check = AnswerableCheck(
        study.prompts.load("unanswerable_check"),
        PassageIndex(study.passages.values()),
        again=study.prompts.load("ask_again"),
    )
    teacher = study.workshop.teacher
    total, estimate = study.workshop.estimate(teacher, check.requests(made))
    study.progress.begin(f"{STAGE}: check", total, estimate)
    found = list(check.keep(made, teacher))
    kept = [question for question in found if isinstance(question, Question)]
    return kept, [record for record in found if isinstance(record, Dropped)]


def _asked(study: Study, made: Sequence[Question]) -> tuple[list[Answer], dict[str, str]]:
    """The answers of every model, and the models' identities by arm."""
    wanted = _conditions(study)
    # Their order decides what is answered together, and a sorted one is the same every time.
    asked = sorted(made, key=lambda question: question.id)
    put = conditions(study, retrieve_for(study, asked) if study.recipe.retrieves else ())
    rounds = count_evaluated(study) * len(wanted)
    told = translate(", ").join(
        (
            counts.questions(len(made)),
            counts.models(count_evaluated(study)),
            counts.conditions(len(wanted)),
        )
    )
    study.progress.begin(STAGE, len(made) * rounds, told)
    answers: list[Answer] = []
    identities = {}
    for one in evaluated_models(study):
        identities[one.arm] = one.model.identity
        whom = [Asked(one.arm, one.checkpoint, condition) for condition in wanted]
        answers += answer_rounds(asked, one.model, whom, one.limited(put))
    return answers, identities


def _conditions(study: Study) -> list[Condition]:
    """Closed book, and with retrieval where the recipe asks so; no passage is the right one."""
    return ["closed_book", "retrieval"] if study.recipe.retrieves else ["closed_book"]


def _judge(study: Study) -> AbsoluteJudge:
    own = own_judge(study)
    return AbsoluteJudge(
        study.prompts.load("abstention_judge"),
        own.identity,
        own.sampling(_TELLING_TOKENS),
        study.prompts.load("ask_again"),
        ABSTAINS,
    )


def _judged(
    study: Study,
    made: Sequence[Question],
    answers: Sequence[Answer],
    identities: Mapping[str, str],
) -> list[Judgement]:
    """The judge's marks: 1 where an answer abstains, 0 where not. It does not mark itself."""
    model, judge = study.workshop.judge, _judge(study)
    itself = study.recipe.evaluation.judge.itself
    own = {} if itself else self_graded(model.identity, identities)
    marked = [answer for answer in answers if answer.arm not in own]
    by_id = {question.id: question for question in made}
    total, estimate = study.workshop.estimate(model, judge.requests(marked, by_id, study.passages))
    study.progress.begin(f"{STAGE}: judge", total, estimate)
    return list(judge.judge(marked, by_id, study.passages, model))
