"""The stage that asks what might tell a model's right answers from its wrong ones.

On a fair sample of the run's questions, closed book. A model whose weights are at hand is asked
how likely it finds the tokens of its answer behind the prompt as it saw it. Of another model the
log-probabilities of its first tokens are asked for, which not every server gives. A judge's mark
is no signal here: it was given beside the reference.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

from teichaku.backends.cache import numbers_key
from teichaku.core.locale import translate
from teichaku.core.models import ModelWithWeights
from teichaku.core.records import Answer, Dropped, Question
from teichaku.core.run_folder import StageFolder, dropped
from teichaku.evaluation.answers import (
    Asked,
    Conditions,
    answer_questions,
    answers_with_replies,
    failure_of,
    sampled_answers,
)
from teichaku.evaluation.signals import (
    FIRST_LEAST,
    FIRST_MEAN,
    LEAST,
    MEAN,
    NO_TOKEN,
    AnswerSignal,
    consistency_signals,
    first_token_signals,
    likelihood_signals,
    shortness_signals,
)
from teichaku.recipes import counts
from teichaku.recipes.evaluated import (
    Evaluated,
    conditions,
    count_evaluated,
    evaluated_fingerprint,
    evaluated_models,
)
from teichaku.recipes.evaluation_schema import Signals
from teichaku.recipes.further_model import own_failure
from teichaku.recipes.stage_line import prompt_fingerprints, scope
from teichaku.recipes.study import Outcome, Study, write_dropped

STAGE = "signals"
#: Of so many tokens log-probabilities are kept; a reply asked for them needs no more.
_FIRST_TOKENS = 16
_LIKELIHOODS = frozenset({MEAN, LEAST, FIRST_MEAN, FIRST_LEAST})


def asks_signals(study: Study) -> bool:
    """Whether the recipe wants signals; they are those of answers without a passage."""
    evaluation = study.recipe.evaluation
    is_wanted = evaluation.signals is not None and "closed_book" in evaluation.conditions
    return is_wanted and study.recipe.asks_questions


def signals_fingerprint(study: Study) -> dict[str, Any]:
    """What the stage is made from, beside the questions and the training."""
    settings, evaluation = study.recipe.evaluation.signals, study.recipe.evaluation
    if settings is None:
        raise AssertionError("a recipe that wants signals")
    return {
        "signals": settings.model_dump(),
        "max_tokens": evaluation.max_tokens,
        "first_tokens": _FIRST_TOKENS,
        "prompts": prompt_fingerprints(study, ["closed_book"]),
        **evaluated_fingerprint(study),
        **scope(study.recipe),
    }


def measure_signals(study: Study, folder: StageFolder) -> Outcome:
    """The signals of every model's answers to the sample; the answers are those of the stage
    ``evaluation``, from the cache.
    """
    settings = study.recipe.evaluation.signals or Signals()
    questions = study.questions[: settings.questions]
    models = count_evaluated(study)
    rounds = 1 + settings.samples
    told = translate(", ").join((counts.questions(len(questions)), counts.models(models)))
    samples_each = translate(", samples of each: {count}").format(count=settings.samples)
    told += samples_each if settings.samples else ""
    # Those without weights are asked once more, for their first tokens.
    rounds = models * rounds + sum(one.weights is None for one in evaluated_models(study))
    study.progress.begin(STAGE, len(questions) * rounds, told)
    signals: list[AnswerSignal] = []
    answers: list[Answer] = []
    samples: list[Answer] = []
    for one in evaluated_models(study):
        given, likelihoods, drawn = _of_model(study, one, questions, settings)
        answers += given
        samples += drawn
        signals += likelihoods
        signals += shortness_signals(given)
        signals += consistency_signals(given, drawn) if settings.samples else []
    fallen = _fallen(answers, signals)
    folder.write("signals", AnswerSignal, sorted(signals, key=lambda s: (s.answer_id, s.signal)))
    folder.write("samples", Answer, sorted(samples, key=lambda answer: answer.id))
    reasons = write_dropped(folder, fallen)
    notes = {
        "questions": len(questions),
        "samples": len(samples),
        "samples_failed": sum(bool(sample.error) for sample in samples),
    }
    return Outcome(len(answers), len(answers) - len(fallen), reasons, notes)


def _of_model(
    study: Study, one: Evaluated, questions: Sequence[Question], settings: Signals
) -> tuple[list[Answer], list[AnswerSignal], list[Answer]]:
    """The answers of a model, how likely it finds them, and the samples that are drawn."""
    put, asked = one.limited(conditions(study)), Asked(one.arm, one.checkpoint, "closed_book")
    by_id = {question.id: question for question in questions}
    given = sorted(answer_questions(questions, one.model, asked, put), key=lambda row: row.id)
    if one.weights is not None:
        try:
            likelihoods = _behind_prompts(study, one.weights, given, by_id, put)
        except Exception as error:
            if one.arm not in study.recipe.evaluation.models:
                raise
            why = own_failure(error)
            sound = [answer.id for answer in given if not answer.error]
            likelihoods = [
                AnswerSignal(key, name, None, why) for key in sound for name in (MEAN, LEAST)
            ]
    else:
        likelihoods = list(_at_start(one, given, by_id, put))
        study.progress.advance(sum(bool(answer.error) for answer in given))
    drawn = []
    if settings.samples:
        seed = study.recipe.seed
        drawn = list(sampled_answers(questions, one.model, asked, put, settings.samples, seed=seed))
    return given, likelihoods, drawn


def _behind_prompts(
    study: Study,
    model: ModelWithWeights,
    answers: Sequence[Answer],
    questions: Mapping[str, Question],
    put: Conditions,
) -> list[AnswerSignal]:
    """How likely the model finds its answers, behind the prompts as it saw them.

    Kept in the cache for the model, so that another model in the recipe costs its own alone. All of
    them or none: what is scored together decides the last digits.
    """
    asked = [
        (answer, model.context(put.request(questions[answer.question_id], "closed_book").messages))
        for answer in answers
        if not answer.error
    ]
    texts = [text for answer, context in asked for text in (answer.id, answer.text, context)]
    cache, key = study.workshop.cache, numbers_key(STAGE, model.identity, *texts)
    if (content := cache.numbers(key)) is not None:
        return [AnswerSignal(*row) for row in json.loads(content)]
    found = list(likelihood_signals(model.answer_model(), asked))
    if all(signal.error in ("", NO_TOKEN) for signal in found):
        cache.put_numbers(model.identity, {key: json.dumps(list(map(astuple, found))).encode()})
    return found


def _at_start(
    one: Evaluated,
    answers: Sequence[Answer],
    questions: Mapping[str, Question],
    put: Conditions,
) -> Iterator[AnswerSignal]:
    """The same of the first tokens, where the model gives their log-probabilities. It is asked
    again for them; where it then answers otherwise, they are of another answer and tell nothing.
    """
    known = {answer.id: answer for answer in answers}
    asked = Asked(one.arm, one.checkpoint, "closed_book")
    sound = [questions[answer.question_id] for answer in answers if not answer.error]
    length = min(put.max_tokens, _FIRST_TOKENS)
    short = replace(put, top_log_probabilities=1, max_tokens=length)
    again = answers_with_replies(sound, one.model, asked, short)
    replies = sorted(again, key=lambda pair: pair[0].id)
    is_same = {answer.id: _begins(known[answer.id], answer) for answer, _ in replies}
    # An answer that failed this time is the one that is known, without a signal.
    pairs = [(known[answer.id], reply) for answer, reply in replies]
    for signal in first_token_signals(pairs):
        if signal.value is not None and not is_same[signal.answer_id]:
            signal = replace(signal, value=None, error="answered otherwise when asked for it")
        yield signal


def _begins(known: Answer, short: Answer) -> bool:
    """Whether ``short`` is ``known``, or where it was cut off, some beginning of it; a token may
    end within a character.
    """
    if short.finish_reason != "length" or not known.text:
        return known.text == short.text
    beginning = short.text.rstrip("\ufffd")
    return bool(beginning) and known.text.startswith(beginning)


def _fallen(answers: Sequence[Answer], signals: Sequence[AnswerSignal]) -> list[Dropped]:
    """The answers whose likelihood is not known, and why."""
    likelihoods = [row for row in signals if row.signal in _LIKELIHOODS]
    known = {row.answer_id for row in likelihoods if row.value is not None}
    why = {row.answer_id: row.error for row in likelihoods}
    return [
        dropped(answer, STAGE, failure_of(answer), answer.error)
        if answer.error
        else dropped(answer, STAGE, "no_likelihood", why.get(answer.id, ""))
        for answer in answers
        if answer.id not in known
    ]
