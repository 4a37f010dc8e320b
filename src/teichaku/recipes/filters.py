"""The filters of a recipe, built from its sections.

A filter without settings has a row in ``_NAMED``, one with a section of its own in ``_BUILT``.
"""

from collections.abc import Callable, Mapping
from typing import Any

from teichaku.curation.chain import Filter, by_rule
from teichaku.curation.duplicates import drop_duplicates
from teichaku.curation.grounded import Grounded, GroundingJudge
from teichaku.curation.magpie_screen import MagpieScreen, Screening
from teichaku.curation.rules import copied_question, question_is_answer, wrong_language
from teichaku.curation.self_contained import SelfContained
from teichaku.recipes import filter_schema
from teichaku.recipes.section import Section
from teichaku.recipes.study import Study

Note = Callable[[Any], None]


def build_filter(
    study: Study, config: filter_schema.Filter, note: Note = lambda screening: None
) -> Filter:
    """A filter from its section of the recipe; ``note`` gets what a judge says of an example,
    as a record of that filter's own class.
    """
    if isinstance(config, filter_schema.NamedFilter):
        return _NAMED[config.name](study)
    return _BUILT[type(config)](study, config, note)


def unjudged_filters(study: Study) -> list[Filter]:
    """The filters of the recipe that ask no judge."""
    configs = study.recipe.curation
    return [build_filter(study, config) for config in configs if not config.judge_prompt]


def _grounded(study: Study, config: filter_schema.Grounded, note: Note) -> Filter:
    judge = None
    if config.judge:
        load = study.prompts.load
        judge = GroundingJudge(study.workshop.judge, load("grounded_judge"), load("ask_again"))
    return Grounded(study.passages, config.threshold, judge, config.text_threshold)


def _magpie_screen(
    study: Study, config: filter_schema.MagpieScreen, note: Callable[[Screening], None]
) -> Filter:
    return MagpieScreen(
        study.workshop.judge,
        study.prompts.load("magpie_screen"),
        study.seeds,
        config.threshold,
        references=config.references,
        min_distance=config.min_distance,
        again=study.prompts.load("ask_again"),
        note=note,
    )


_NAMED: Mapping[str, Callable[[Study], Filter]] = {
    "self_contained": lambda study: SelfContained(study.passages, study.recipe.language),
    "language": lambda study: by_rule(wrong_language(study.recipe.language, study.passages)),
    "question_is_answer": lambda study: by_rule(question_is_answer),
    "copied_question": lambda study: by_rule(copied_question(study.passages)),
    "duplicates": lambda study: drop_duplicates,
}
_BUILT: Mapping[type[Section], Callable[[Study, Any, Note], Filter]] = {
    filter_schema.Grounded: _grounded,
    filter_schema.MagpieScreen: _magpie_screen,
}
