"""The last step of curation: which of the examples that passed the filters an arm trains on.

Every selection has its controls, arms of as many characters from the same pool: drawn by chance,
and the longest examples. What wins against neither has won by its size.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.records import SEED, Dropped, Example, ExampleScore
from teichaku.core.run_folder import StageFolder
from teichaku.curation.amount import characters
from teichaku.curation.d4 import D4Settings, d4
from teichaku.curation.facility_location import facility_location, unlike_in_order
from teichaku.curation.importance_resampling import importance_resampling
from teichaku.curation.instruction_following_difficulty import keep_most_difficult
from teichaku.curation.near_duplicates import Rank
from teichaku.curation.perplexity import keep_band
from teichaku.curation.scoring import score_examples, values_of
from teichaku.curation.selection import (
    Selection,
    count_of,
    length_control,
    random_control,
    up_to_characters,
)
from teichaku.curation.semantic_filter import embedded, unless_told_apart
from teichaku.documents.files import hash_inputs
from teichaku.recipes import counts, select_schema
from teichaku.recipes.embedder_identity import embedder_identity
from teichaku.recipes.kept_scores import KeptScores, content_of
from teichaku.recipes.section import Section
from teichaku.recipes.selection_target import read_target
from teichaku.recipes.study import Outcome, Study, require, separate, write_outcome

#: What a selection was made from, in the folder of its stage: its controls draw from that.
POOL = "pool"
_SCORES = "scores"
#: A selection that reaches this share of its characters has the size that is asked for.
_SAME_SIZE = 0.95


@dataclass(frozen=True)
class _Pool:
    """What the arm ``data`` selects from, by id; ``rank`` is the score that the filters before
    it gave each example.
    """

    study: Study
    data: str
    examples: Sequence[Example]
    rank: Rank


@dataclass(frozen=True)
class _Chosen:
    """A selection, the scores of a language model that it goes by, and what else to note of it."""

    selection: Selection
    scores: Sequence[ExampleScore] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


def select_examples(
    study: Study, data: str, curated: Sequence[Example], folder: StageFolder, rank: Rank
) -> tuple[list[Example], list[Dropped], dict[str, Any]]:
    """Which of ``curated`` the arm ``data`` keeps, the others, and notes; all, where it selects
    none. ``rank`` has the score of a judge for each, where one gave any.

    Raises ``UserError`` where the selection goes by scores and there are none.
    """
    config = study.recipe.arms[data].select
    if config is None or not curated:
        return list(curated), [], {}
    pool = sorted(curated, key=lambda example: example.id)
    chosen = _SELECTORS[type(config)](_Pool(study, data, pool, rank), config)
    folder.write(POOL, Example, pool)
    if chosen.scores:
        folder.write(_SCORES, ExampleScore, chosen.scores)
    kept, fallen = separate(chosen.selection(pool))
    wanted, reached, unit = _reached(config, pool, kept)
    why = Counter(score.error for score in chosen.scores if score.value is None)
    # Characters are hardly ever met to the last one.
    if reached < (wanted if unit == "examples" else _SAME_SIZE * wanted):
        of_examples = translate("{method} keeps {reached} of the {wanted} examples asked for")
        of_characters = translate("{method} keeps {reached} of the {wanted} characters asked for")
        told = (of_examples if unit == "examples" else of_characters).format(
            method=config.method, reached=reached, wanted=wanted
        )
        study.progress.say(f"! curation/{data}: {told}")
    notes = {"pool": len(pool), "wanted": wanted, "kept": len(kept), **chosen.notes}
    if unit == "characters":
        notes |= {"unit": unit, "reached": reached}
    return kept, fallen, {"selection": {**notes, "without_score": dict(sorted(why.items()))}}


def _reached(
    config: select_schema.Select, pool: Sequence[Example], kept: Sequence[Example]
) -> tuple[int, int, str]:
    """How much the recipe asks for, how much is kept, and in which unit."""
    if isinstance(config, select_schema.SelectingUpTo) and config.characters is not None:
        return config.characters, characters(kept), "characters"
    return count_of(config.share or 1.0, len(pool)), len(kept), "examples"


def selection_fingerprint(study: Study, data: str) -> dict[str, Any]:
    """What the selection of the arm ``data`` depends on; its controls are made apart."""
    config = study.recipe.arms[data].select
    if config is None:
        return {}
    # What says nothing is none of it, so that a key of a later version changes nothing.
    select = config.model_dump(exclude={"controls", "target"}, exclude_none=True)
    found = {"select": select, "selection_seed": study.recipe.seed}
    if isinstance(config, select_schema.SelectImportance) and config.target:
        found["target"] = hash_inputs(config.target, study.root)
    if isinstance(config, _MODELLED):
        found["language_model"] = study.workshop.language_model.identity
    if config.embeds:
        found["embedder"] = embedder_identity(study.recipe.embedder)
    return found


def curate_control(study: Study, name: str, folder: StageFolder) -> Outcome:
    """The examples of a control: as many characters as the selection beside it has, from what
    that was made from.
    """
    data, control = study.controls()[name]
    selected = study.run.stage(f"curation/{data}")
    pool = list(selected.read(POOL, Example))
    everyone = list(selected.read("examples", Example))
    seeds = [example for example in everyone if example.method == SEED]
    limit = characters(everyone) - characters(seeds)
    study.progress.begin(f"curation/{name}", None)
    if control == "random":
        selection = random_control(pool, limit, study.recipe.seed)
    else:
        selection = length_control(pool, limit)
    kept, fallen = separate(selection(pool))
    kept += seeds
    reasons = write_outcome(folder, "examples", Example, kept, fallen)
    require(study.run, kept, f"curation/{name}", translate("example"), reasons, fallen)
    notes = {"characters": characters(kept), "control_of": data}
    return Outcome(len(pool) + len(seeds), len(kept), reasons, notes)


def _by_perplexity(pool: _Pool, config: select_schema.SelectPerplexity) -> _Chosen:
    scores = _scored(pool.study, pool.examples, pool.data, "perplexity")
    found = keep_band(values_of(scores, "perplexity"), config.share or 1.0, config.band)
    return _Chosen(_up_to(found, pool, config), scores)


def _by_difficulty(pool: _Pool, config: select_schema.SelectDifficulty) -> _Chosen:
    name = f"ifd_{config.form}"
    scores = _scored(pool.study, pool.examples, pool.data, name)
    found = keep_most_difficult(values_of(scores, name), config.share or 1.0)
    return _Chosen(_up_to(found, pool, config), scores)


def _up_to(found: Selection, pool: _Pool, config: select_schema.SelectingUpTo) -> Selection:
    """``found``, in its order of preference up to the characters that the recipe asks for."""
    limit = config.characters
    return found if limit is None else up_to_characters(found, pool.examples, limit)


def _budget(
    pool: _Pool, config: select_schema.SelectingUpTo
) -> tuple[int, npt.NDArray[np.int64] | None]:
    """How much is kept: so many examples, or characters, and then how many each has."""
    if config.characters is None:
        return count_of(config.share or 1.0, len(pool.examples)), None
    sizes = [characters([example]) for example in pool.examples]
    return config.characters, np.array(sizes, np.int64)


def _scored(study: Study, pool: Sequence[Example], data: str, name: str) -> list[ExampleScore]:
    """The scores of ``pool``; those that the arm has from before are read, not asked for."""
    model = study.workshop.language_model
    store = KeptScores(study.run, data, model.identity, name)
    before = store.read()
    found = [
        replace(before[content_of(example)], example_id=example.id)
        for example in pool
        if content_of(example) in before
    ]
    missing = [example for example in pool if content_of(example) not in before]
    told = translate("{count} scored before").format(count=len(found)) if found else ""
    study.progress.begin(f"scores: {name}", len(missing), told, counts.examples)
    for score in score_examples(missing, model, [name]):
        study.progress.advance()
        found.append(score)
    store.write(pool, found)
    errors = [score.error for score in found if score.value is None]
    told = translate("{examples} scored").format(examples=counts.examples(len(found)))
    if errors:
        told += translate(", {count} without a score").format(count=len(errors))
    study.progress.end(f"scores: {name}", told)
    if len(errors) == len(found):
        raise UserError(
            f"curation/{data}: none of {len(found)} examples has a score ({name}). The first: "
            f"{errors[0]}",
            "Mend what it tells of 'language_model', then give the same command again; what was "
            "made before is kept.",
        )
    return sorted(found, key=lambda score: (score.example_id, score.score))


def _by_d4(pool: _Pool, config: select_schema.SelectD4) -> _Chosen:
    ids, texts, vectors = _embedded(pool.study, pool.examples)
    chosen = D4Settings(config.share, config.dedup_share, config.drop, config.floor)
    allowed = unless_told_apart(texts)
    return _Chosen(d4(ids, vectors, chosen, allowed=allowed, seed=pool.study.recipe.seed))


def _by_facility_location(pool: _Pool, config: select_schema.SelectFacilityLocation) -> _Chosen:
    ids, _, vectors = _embedded(pool.study, pool.examples)
    (limit, sizes), seed = _budget(pool, config), pool.study.recipe.seed
    return _Chosen(facility_location(ids, vectors, limit, sizes=sizes, seed=seed))


def _by_unlikeness(pool: _Pool, config: select_schema.SelectUnlike) -> _Chosen:
    ids, _, vectors = _embedded(pool.study, pool.examples)
    found = [pool.rank(example) for example in pool.examples]
    scores = np.array([np.nan if score is None else score for score in found], np.float64)
    (limit, sizes), seed = _budget(pool, config), pool.study.recipe.seed
    return _Chosen(
        unlike_in_order(ids, vectors, scores, limit, sizes=sizes, most=config.most, seed=seed)
    )


def _by_importance(pool: _Pool, config: select_schema.SelectImportance) -> _Chosen:
    recipe = pool.study.recipe
    ids = [example.id for example in pool.examples]
    texts = [example.whole for example in pool.examples]
    limit, sizes = _budget(pool, config)
    wanted: Sequence[str] = [passage.text for passage in pool.study.passages.values()]
    notes: dict[str, Any] = {}
    if config.target:
        target = read_target(config.target, pool.study.root, recipe.language)
        wanted = target.texts
        passed_over = Counter(record.reason for record in target.passed_over)
        notes["target"] = {
            "files": target.files,
            "texts": len(wanted),
            "passed_over": dict(sorted(passed_over.items())),
        }
    selection = importance_resampling(ids, texts, wanted, limit, sizes=sizes, seed=recipe.seed)
    return _Chosen(selection, notes=notes)


def _embedded(
    study: Study, pool: Sequence[Example]
) -> tuple[list[str], list[str], npt.NDArray[np.float16]]:
    """Ids, texts and vectors of ``pool``."""
    ids, texts = [example.id for example in pool], [example.whole for example in pool]
    study.progress.begin("vectors", len(texts), unit=counts.examples)
    vectors = embedded(study.workshop.embedder(study.recipe.embedder, texts), texts)
    told = translate("{examples} embedded").format(examples=counts.examples(len(texts)))
    study.progress.end("vectors", told)
    return ids, texts, vectors


_SELECTORS: Mapping[type[Section], Callable[[_Pool, Any], _Chosen]] = {
    select_schema.SelectPerplexity: _by_perplexity,
    select_schema.SelectDifficulty: _by_difficulty,
    select_schema.SelectD4: _by_d4,
    select_schema.SelectFacilityLocation: _by_facility_location,
    select_schema.SelectUnlike: _by_unlikeness,
    select_schema.SelectImportance: _by_importance,
}
_MODELLED = (select_schema.SelectPerplexity, select_schema.SelectDifficulty)
