"""The filters of a recipe, built from its sections.

A filter without settings has a row in ``_NAMED``, one with a section of its own in ``_BUILT``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from teichaku.backends.ginza_names import GinzaNames
from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import StageFolder
from teichaku.curation.chain import Filter, by_rule
from teichaku.curation.duplicates import drop_duplicates
from teichaku.curation.faithful import Faithful
from teichaku.curation.grounded import Grounded, GroundingJudge
from teichaku.curation.judge_screen import JudgeScreen, JudgeScreening
from teichaku.curation.magpie_screen import MagpieScreen, Screening
from teichaku.curation.near_duplicates import NearDuplicates, Rank, first, longest
from teichaku.curation.personal_data.masking import PersonalData, PersonalDatum
from teichaku.curation.rules.characters import broken_characters
from teichaku.curation.rules.length import Band, length
from teichaku.curation.rules.markup import leftover_markup
from teichaku.curation.rules.mixture import unnatural_mixture
from teichaku.curation.rules.pairs import copied_question, question_is_answer, wrong_language
from teichaku.curation.rules.parts import Part
from teichaku.curation.rules.phrases import model_talk
from teichaku.curation.rules.repetition import RepetitionLimits, repeats_itself
from teichaku.curation.self_contained import SelfContained
from teichaku.curation.semantic_filter import SemanticDuplicates
from teichaku.recipes import filter_schema
from teichaku.recipes.embedder_identity import embedder_identity
from teichaku.recipes.schema import Recipe
from teichaku.recipes.section import Section
from teichaku.recipes.study import Study

Note = Screening | JudgeScreening | PersonalDatum

#: Judges' scores are told apart to so many decimals; what is left of a score is for the length.
_SCORE_DECIMALS, _CHARACTER, _MOST_CHARACTERS = 3, 1e-9, 99_999


@dataclass
class Noted:
    """What the filters of a recipe note of examples, as records of their own classes, and who of
    some duplicates stays by it.
    """

    records: list[Note] = field(default_factory=list)
    _scores: dict[str, float] = field(default_factory=dict)

    def __call__(self, record: Note) -> None:
        """Note a record."""
        self.records.append(record)
        score = None
        if isinstance(record, JudgeScreening):
            score = record.score if record.expected is None else record.expected
        elif isinstance(record, Screening):
            score = record.score
        if score is not None:
            self._scores[record.example_id] = score

    def rank(self, example: Example) -> float:
        """The score that a judge gave last, behind which those stand that have none; the longest
        of one score first.
        """
        length = min(int(longest(example)), _MOST_CHARACTERS) * _CHARACTER
        return round(self._scores.get(example.id, 0.0), _SCORE_DECIMALS) + length


def build_filter(study: Study, config: filter_schema.Filter, noted: Noted | None = None) -> Filter:
    """A filter from its section of the recipe; ``noted`` gets what it notes, and has what the
    filters before it did.
    """
    if isinstance(config, filter_schema.NamedFilter):
        return _NAMED[config.name](study, noted or Noted())
    return _BUILT[type(config)](study, config, noted or Noted())


def filter_by_language(
    study: Study, config: filter_schema.Filter, noted: Noted, examples: Iterable[Example]
) -> Filter:
    """:func:`build_filter`; one that goes by the recipe's language goes by that of each of the
    ``examples`` instead, where data of others brings several.
    """
    own = study.recipe.language
    languages = sorted({example.language or own for example in examples} - {own})
    if not languages or config.name not in _OF_LANGUAGE:
        return build_filter(study, config, noted)
    filters = {}
    for language in (own, *languages):
        recipe = study.recipe.model_copy(update={"language": language})
        filters[language] = build_filter(replace(study, recipe=recipe), config, noted)

    def apply(examples: Iterable[Example]) -> Iterator[Example | Dropped]:
        given: dict[str, list[Example]] = {language: [] for language in filters}
        for example in examples:
            given[example.language or own].append(example)
        for language, found in given.items():
            yield from filters[language](found)

    return apply


def filters_fingerprint(recipe: Recipe) -> dict[str, Any]:
    """What the recipe's filters are made from, but for the judge and its prompts."""
    found: dict[str, Any] = {"curation": [config.model_dump() for config in recipe.curation]}
    if any(config.embeds for config in recipe.curation):
        found |= {"embedder": embedder_identity(recipe.embedder), "embedded_by_seed": recipe.seed}
    return found


def write_notes(folder: StageFolder, noted: Sequence[Note]) -> None:
    """What judges said of examples, and what personal data they had, by the id of the example:
    a file for each kind of record.
    """
    for kind, name in _NOTES.items():
        own = [record for record in noted if isinstance(record, kind)]
        if own:
            folder.write(name, kind, sorted(own, key=lambda record: record.example_id))


def unjudged_filters(study: Study) -> list[Filter]:
    """The filters of the recipe that ask no judge."""
    configs = study.recipe.curation
    return [build_filter(study, config) for config in configs if not config.judge_prompt]


def _grounded(study: Study, config: filter_schema.Grounded, noted: Noted) -> Filter:
    judge = None
    if config.judge:
        load = study.prompts.load
        judge = GroundingJudge(study.workshop.judge, load("grounded_judge"), load("ask_again"))
    return Grounded(study.passages, config.threshold, judge, config.text_threshold)


def _faithful(study: Study, config: filter_schema.Faithful, noted: Noted) -> Filter:
    judge = None
    if config.judge:
        load = study.prompts.load
        judge = GroundingJudge(study.workshop.judge, load("faithful_judge"), load("ask_again"))
    return Faithful(study.passages, config.threshold, judge)


def _judge_screen(study: Study, config: filter_schema.JudgeScreen, noted: Noted) -> Filter:
    return JudgeScreen(
        study.passages,
        study.workshop.judge,
        study.prompts.load("judge_screen"),
        config.threshold,
        expects=config.expected == "auto",
        again=study.prompts.load("ask_again"),
        note=noted,
    )


def _magpie_screen(study: Study, config: filter_schema.MagpieScreen, noted: Noted) -> Filter:
    return MagpieScreen(
        study.workshop.judge,
        study.prompts.load("magpie_screen"),
        study.seeds,
        config.threshold,
        qualities=config.qualities,
        difficulties=config.difficulties,
        references=config.references,
        min_distance=config.min_distance,
        again=study.prompts.load("ask_again"),
        note=noted,
    )


def _length(study: Study, config: filter_schema.Length, noted: Noted) -> Filter:
    bands: dict[Part, Band] = {
        "question": Band(*config.question),
        "input": Band(*config.input),
        "answer": Band(*config.answer),
        "text": Band(*config.text),
    }
    return by_rule(length(bands, config.half))


def _repetition(study: Study, config: filter_schema.Repetition, noted: Noted) -> Filter:
    return by_rule(repeats_itself(RepetitionLimits(config.sentences, config.ngrams, config.run)))


def _mixed_languages(study: Study, config: filter_schema.MixedLanguages, noted: Noted) -> Filter:
    return by_rule(unnatural_mixture(study.recipe.language, config.share))


def _personal_data(study: Study, config: filter_schema.PersonalData, noted: Noted) -> Filter:
    names = GinzaNames() if "name" in config.kinds else None
    allow, language = frozenset(config.allow), study.recipe.language
    return PersonalData(config.action, config.kinds, allow, names, language, noted)


def _near_duplicates(study: Study, config: filter_schema.NearDuplicates, noted: Noted) -> Filter:
    thresholds: dict[str, float] = {
        level: config.thresholds.get(level, config.threshold) for level in config.levels
    }
    ranks: dict[str, Rank] = {"score": noted.rank, "longest": longest, "first": first}
    return NearDuplicates(thresholds, ranks[config.keep], config.guard)


def _semantic_duplicates(
    study: Study, config: filter_schema.SemanticDuplicates, noted: Noted
) -> Filter:
    embedder = study.recipe.embedder
    return SemanticDuplicates(
        lambda texts: study.workshop.embedder(embedder, texts),
        config.threshold,
        config.share,
        level=config.level,
        which_to_keep="score" if config.keep == "longest" else config.keep,
        rank=longest if config.keep == "longest" else noted.rank,
        guard=config.guard,
        seed=study.recipe.seed,
    )


#: The file in the folder of the stage for each kind of record that ``note`` is given.
_NOTES: Mapping[type[Note], str] = {
    Screening: "screening",
    JudgeScreening: "judge_screening",
    PersonalDatum: "personal_data",
}
#: Filters that go by the language of what they read.
_OF_LANGUAGE = frozenset({"language", "mixed_languages", "self_contained", "personal_data"})
_NAMED: Mapping[str, Callable[[Study, Noted], Filter]] = {
    "self_contained": lambda study, _: SelfContained(study.passages, study.recipe.language),
    "language": lambda study, _: by_rule(wrong_language(study.recipe.language, study.passages)),
    "question_is_answer": lambda study, _: by_rule(question_is_answer),
    "copied_question": lambda study, _: by_rule(copied_question(study.passages)),
    "duplicates": lambda study, noted: partial(drop_duplicates, rank=noted.rank),
    "broken_characters": lambda study, _: by_rule(broken_characters),
    "model_talk": lambda study, _: by_rule(model_talk),
    "markup": lambda study, _: by_rule(leftover_markup),
}
_BUILT: Mapping[type[Section], Callable[[Study, Any, Noted], Filter]] = {
    filter_schema.Grounded: _grounded,
    filter_schema.Faithful: _faithful,
    filter_schema.JudgeScreen: _judge_screen,
    filter_schema.MagpieScreen: _magpie_screen,
    filter_schema.Length: _length,
    filter_schema.Repetition: _repetition,
    filter_schema.MixedLanguages: _mixed_languages,
    filter_schema.PersonalData: _personal_data,
    filter_schema.NearDuplicates: _near_duplicates,
    filter_schema.SemanticDuplicates: _semantic_duplicates,
}
