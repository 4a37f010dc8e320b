"""The stage between documents and synthesis: what of the documents does the student know?

It scores, and says how far the scores can be trusted. What is done about them is decided where
it is done, by the same scores: ``drop`` in the synthesis, ``weigh`` in the curation, so that
another action measures nothing anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from teichaku.core.errors import UserError
from teichaku.core.models import LanguageModel
from teichaku.core.records import (
    BASE_CHECKPOINT,
    Answer,
    Dropped,
    Example,
    ExampleScore,
    Passage,
    Question,
    content_id,
)
from teichaku.core.run_folder import StageFolder, dropped, fingerprint
from teichaku.curation.novelty import (
    ALREADY_KNOWN,
    KnownRule,
    PassageNovelty,
    later_than,
    weigh,
)
from teichaku.curation.novelty_evidence import separations
from teichaku.curation.scoring import score_texts
from teichaku.evaluation.answers import Asked, answer_questions, failure_of
from teichaku.evaluation.questions import independent_questions
from teichaku.evaluation.scorers import SCORERS
from teichaku.evaluation.wording import WordingIndex
from teichaku.recipes import counts
from teichaku.recipes.evaluated import conditions
from teichaku.recipes.filter_schema import DEFAULT_FILTERS
from teichaku.recipes.filters import build_filter
from teichaku.recipes.independent import write_apart
from teichaku.recipes.methods import method_fingerprint
from teichaku.recipes.novelty_schema import LIKELIHOOD, Novelty
from teichaku.recipes.study import Outcome, Study, separate, write_outcome
from teichaku.synthesis.document_qa import DocumentQA

STAGE = "novelty"

#: What the action goes by; it changes no score.
_OF_ACTION = {"action", "share", "least"}
_SCORE_NAMES = {"min_k": "minimum_k", "min_k_plus_plus": "minimum_k_plus_plus"}


def novelty_fingerprint(study: Study, config: Novelty) -> dict[str, Any]:
    """What the scores are made from."""
    found: dict[str, Any] = {STAGE: config.model_dump(exclude=_OF_ACTION)}
    if "probing" in config.methods:
        prompts = [study.prompts.load(name) for name in ("closed_book", "ask_again")]
        found["probing"] = {
            "questions": method_fingerprint(_probing_method(study, config)),
            "filters": [step.model_dump() for step in DEFAULT_FILTERS],
            "prompts": {prompt.name: fingerprint(prompt.sections) for prompt in prompts},
            "teacher": study.workshop.teacher.identity,
            "student": _student(study).identity,
            "max_tokens": study.recipe.evaluation.max_tokens,
        }
    if LIKELIHOOD.intersection(config.methods):
        found["language_model"] = _language_model(study).identity
    return found


def measure_novelty(study: Study, config: Novelty, folder: StageFolder) -> Outcome:
    """How new each passage is by each method, and how far each can be trusted."""
    passages = sorted(study.passages.values(), key=lambda p: (p.document_id, p.index))
    study.progress.begin(STAGE, None)
    counts: dict[str, list[int]] = {}
    fallen: list[Dropped] = []
    if "probing" in config.methods:
        counts, fallen = _probed(study, config, folder)
    scores = _likelihoods(study, config, passages)
    rows = [_row(passage, config, counts.get(passage.id, [0, 0]), scores) for passage in passages]
    reasons = write_outcome(folder, STAGE, PassageNovelty, rows, fallen)
    texts = {passage.id: passage.text for passage in passages}
    told = separations(rows, texts, config.methods, config.threshold, study.recipe.seed)
    notes = {
        "passages": len(passages),
        "method": config.method,
        "scored": {
            method: sum(row.newness(method) is not None for row in rows)
            for method in config.methods
        },
        "released": str(config.released or ""),
        "threshold": config.threshold,
        "language_model": _language_model(study).identity if scores else "",
        "separations": [asdict(row) for row in told],
    }
    return Outcome(len(rows) + len(fallen), len(rows), reasons, notes)


def _row(
    passage: Passage,
    config: Novelty,
    answered: list[int],
    scores: Mapping[str, Mapping[str, ExampleScore]],
) -> PassageNovelty:
    own = {name: found[passage.id] for name, found in scores.items()}
    values = {name: score.value for name, score in own.items()}
    released, (asked, right) = config.released, answered
    return PassageNovelty(
        passage.id,
        passage.document_id,
        len(passage.text),
        passage.date,
        None if released is None else later_than(passage.date, released),
        asked,
        right,
        values.get("min_k"),
        values.get("min_k_plus_plus"),
        next((score.error for score in own.values() if score.error), ""),
    )


def _probed(
    study: Study, config: Novelty, folder: StageFolder
) -> tuple[dict[str, list[int]], list[Dropped]]:
    """How many questions on each passage were asked and how many answered, and what fell on the
    way to them.

    The questions are written from the passages for this alone and pass the usual filters,
    whatever the recipe's are; what a question is answered by is that the answer holds the
    reference.
    """
    filters = [build_filter(study, step) for step in DEFAULT_FILTERS]
    sound, fallen = write_apart(study, STAGE, _probing_method(study, config), filters)
    # Nothing was trained yet, so there is no wording to keep away from.
    made = independent_questions(
        sound, len(sound) + 1, study.recipe.seed, WordingIndex([]), study.passages
    )
    questions, surplus = separate(made)
    asked = Asked("base", BASE_CHECKPOINT, "closed_book")
    study.progress.begin(f"{STAGE}: probing", len(questions))
    student = study.workshop.counted(_student(study))
    answers = list(answer_questions(questions, student, asked, conditions(study)))
    by_id: dict[str, Question] = {question.id: question for question in questions}
    counts: dict[str, list[int]] = {}
    for answer in answers:
        question = by_id[answer.question_id]
        if answer.error:
            fallen.append(dropped(answer, STAGE, failure_of(answer), answer.error))
            continue
        count = counts.setdefault(question.passage_id, [0, 0])
        count[0] += 1
        count[1] += int(SCORERS["containment"](question.reference, answer.text))
    folder.write("questions", Question, sorted(questions, key=lambda question: question.id))
    folder.write("answers", Answer, sorted(answers, key=lambda answer: answer.id))
    return counts, [*fallen, *surplus]


def _probing_method(study: Study, config: Novelty) -> DocumentQA:
    """What writes the questions: pairs of the passage, by other seeds than those of any arm and
    of the independent questions.
    """
    seed = int(content_id(study.recipe.seed, "probing questions"), 16) % 2**31
    prompt = study.prompts.load("document_qa")
    return DocumentQA(prompt, study.recipe.language, seed, config.questions)


def _likelihoods(
    study: Study, config: Novelty, passages: list[Passage]
) -> dict[str, dict[str, ExampleScore]]:
    """The scores of the methods by likelihood, by method and passage."""
    names = [name for name in config.methods if name in LIKELIHOOD]
    if not names:
        return {}
    wanted = [_SCORE_NAMES[name] for name in names]
    model = _language_model(study)
    study.progress.begin(f"{STAGE}: likelihood", len(names) * len(passages), unit=counts.scores)
    found: dict[str, dict[str, ExampleScore]] = {name: {} for name in wanted}
    texts = ((passage.id, passage.text) for passage in passages)
    for score in score_texts(texts, model, wanted, config.tokens):
        study.progress.advance()
        found[score.score][score.example_id] = score
    if config.method in names:
        _require_a_score(config.method, list(found[_SCORE_NAMES[config.method]].values()))
    return {name: found[_SCORE_NAMES[name]] for name in names}


def _require_a_score(method: str, scores: Sequence[ExampleScore]) -> None:
    """Raise ``UserError`` where every passage would count as new because none could be scored."""
    if scores and all(score.value is None for score in scores):
        raise UserError(
            f"{STAGE}: none of {len(scores)} passages has a score ({method}). The first: "
            f"{scores[0].error}",
            "Mend what it tells of 'language_model', or take another novelty.method; then give "
            "the same command again: what was made before is kept.",
        )


def _student(study: Study) -> Any:
    config = study.recipe.student
    if config is None:
        raise AssertionError("a stage of recipes with a student")
    return study.workshop.student(config)


def _language_model(study: Study) -> LanguageModel:
    """The untuned student as a language model, unless the recipe names one, as a server with the
    student's weights. Raises ``UserError`` where the student is none.
    """
    if study.recipe.language_model is not None:
        return study.workshop.language_model
    student = _student(study)
    if not hasattr(student, "language_model"):
        raise UserError(
            f"The student '{student.name}' gives no log-probabilities, which Min-K% goes by.",
            "Ask it questions instead: novelty: {method: probing}; or take a student of the "
            "backend transformers; or, to try the recipe out, language_model: {backend: ngram}.",
        )
    model: LanguageModel = student.language_model()
    return model


def known_passages(study: Study) -> dict[str, str]:
    """The passages that count as known, by id, with the evidence in words; none where the recipe
    does nothing about them.
    """
    config = study.recipe.novelty
    if config is None or config.action == "report":
        return {}
    rule = KnownRule(config.method, config.threshold, config.share or 0.0, config.released)
    return rule.known(study.run.stage(STAGE).read(STAGE, PassageNovelty))


def left_out(study: Study) -> list[Dropped]:
    """The passages that nothing is to be made from, where the recipe says ``drop``."""
    config = study.recipe.novelty
    if config is None or config.action != "drop":
        return []
    known = known_passages(study)
    return [
        dropped(study.passages[name], "synthesis", ALREADY_KNOWN, why)
        for name, why in sorted(known.items())
    ]


def less_of_the_known(
    study: Study, examples: Iterable[Example]
) -> tuple[list[Example], list[Dropped]]:
    """``examples``, fewer of them on what is known where the recipe says ``weigh``, and the
    others.
    """
    config = study.recipe.novelty
    if config is None or config.action != "weigh":
        return list(examples), []
    return separate(weigh(examples, known_passages(study), config.least))


def action_fingerprint(study: Study, action: str) -> dict[str, Any]:
    """What a stage that takes ``action`` depends on; nothing where the recipe takes another."""
    config = study.recipe.novelty
    if config is None or config.action != action:
        return {}
    least = config.least if action == "weigh" else 0.0
    return {"known": {"passages": known_passages(study), "least": least}}
