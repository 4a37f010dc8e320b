"""The last step of curation: which of the examples that passed the filters an arm trains on.

Every selection has its controls, arms of as many characters from the same pool: drawn by chance,
and the longest examples. What wins against neither has won by its size.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from teichaku.core.errors import UserError
from teichaku.core.records import SEED, Dropped, Example, ExampleScore
from teichaku.core.run_folder import StageFolder
from teichaku.curation.amount import characters
from teichaku.curation.d4 import D4Settings, d4
from teichaku.curation.facility_location import facility_location, unlike_in_order
from teichaku.curation.importance_resampling import importance_resampling
from teichaku.curation.instruction_following_difficulty import keep_most_difficult
from teichaku.curation.perplexity import keep_band
from teichaku.curation.scoring import score_examples, values_of
from teichaku.curation.selection import Selection, count_of, length_control, random_control
from teichaku.curation.semantic_filter import embedded, unless_told_apart
from teichaku.recipes import select_schema
from teichaku.recipes.embedder_identity import embedder_identity
from teichaku.recipes.kept_scores import KeptScores, content_of
from teichaku.recipes.section import Section
from teichaku.recipes.study import Outcome, Study, require, separate, write_outcome

#: What a selection was made from, in the folder of its stage: its controls draw from that.
POOL = "pool"
_SCORES = "scores"


def select_examples(
    study: Study, data: str, curated: Sequence[Example], folder: StageFolder
) -> tuple[list[Example], list[Dropped], dict[str, Any]]:
    """Which of ``curated`` the arm ``data`` keeps, the others, and notes; all, where it selects
    none. Raises ``UserError`` where the selection goes by scores and there are none.
    """
    config = study.recipe.arms[data].select
    if config is None or not curated:
        return list(curated), [], {}
    pool = sorted(curated, key=lambda example: example.id)
    selection, scores = _SELECTORS[type(config)](study, config, pool, data)
    folder.write(POOL, Example, pool)
    if scores:
        folder.write(_SCORES, ExampleScore, scores)
    kept, fallen = separate(selection(pool))
    wanted = count_of(config.share, len(pool))
    why = Counter(score.error for score in scores if score.value is None)
    if len(kept) < wanted:
        study.progress.say(
            f"! curation/{data}: {config.method} keeps {len(kept)} examples of the {wanted} that "
            f"'share' asks for"
        )
    notes = {"pool": len(pool), "wanted": wanted, "kept": len(kept)}
    return kept, fallen, {"selection": {**notes, "without_score": dict(sorted(why.items()))}}


def selection_fingerprint(study: Study, data: str) -> dict[str, Any]:
    """What the selection of the arm ``data`` depends on; its controls are made apart."""
    config = study.recipe.arms[data].select
    if config is None:
        return {}
    found = {"select": config.model_dump(exclude={"controls"}), "selection_seed": study.recipe.seed}
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
    require(study.run, kept, f"curation/{name}", "example", reasons, fallen)
    notes = {"characters": characters(kept), "control_of": data}
    return Outcome(len(pool) + len(seeds), len(kept), reasons, notes)


_Chosen = tuple[Selection, list[ExampleScore]]


def _by_perplexity(
    study: Study, config: select_schema.SelectPerplexity, pool: Sequence[Example], data: str
) -> _Chosen:
    scores = _scored(study, pool, data, "perplexity")
    return keep_band(values_of(scores, "perplexity"), config.share, config.band), scores


def _by_difficulty(
    study: Study, config: select_schema.SelectDifficulty, pool: Sequence[Example], data: str
) -> _Chosen:
    name = f"ifd_{config.form}"
    scores = _scored(study, pool, data, name)
    return keep_most_difficult(values_of(scores, name), config.share), scores


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
    study.progress.begin(
        f"scores: {name}", len(missing), f"{len(found)} scored before" if found else ""
    )
    for score in score_examples(missing, model, [name]):
        study.progress.advance()
        found.append(score)
    store.write(pool, found)
    errors = [score.error for score in found if score.value is None]
    told = f", {len(errors)} without a score" if errors else ""
    study.progress.end(f"scores: {name}", f"{len(found)} examples scored{told}")
    if len(errors) == len(found):
        raise UserError(
            f"curation/{data}: none of {len(found)} examples has a score ({name}). The first: "
            f"{errors[0]}",
            "Mend what it tells of 'language_model', then give the same command again; what was "
            "made before is kept.",
        )
    return sorted(found, key=lambda score: (score.example_id, score.score))


def _by_d4(
    study: Study, config: select_schema.SelectD4, pool: Sequence[Example], data: str
) -> _Chosen:
    ids, texts, vectors = _embedded(study, pool)
    chosen = D4Settings(config.share, config.dedup_share, config.drop, config.floor)
    allowed = unless_told_apart(texts)
    return d4(ids, vectors, chosen, allowed=allowed, seed=study.recipe.seed), []


def _by_facility_location(
    study: Study, config: select_schema.SelectFacilityLocation, pool: Sequence[Example], data: str
) -> _Chosen:
    ids, _, vectors = _embedded(study, pool)
    limit = count_of(config.share, len(pool))
    return facility_location(ids, vectors, limit, seed=study.recipe.seed), []


def _by_unlikeness(
    study: Study, config: select_schema.SelectUnlike, pool: Sequence[Example], data: str
) -> _Chosen:
    ids, _, vectors = _embedded(study, pool)
    lengths = np.array([characters([example]) for example in pool], np.float64)
    limit = count_of(config.share, len(pool))
    return unlike_in_order(
        ids, vectors, lengths, limit, most=config.most, seed=study.recipe.seed
    ), []


def _by_importance(
    study: Study, config: select_schema.SelectImportance, pool: Sequence[Example], data: str
) -> _Chosen:
    ids, texts = [example.id for example in pool], [example.whole for example in pool]
    limit = count_of(config.share, len(pool))
    target = (passage.text for passage in study.passages.values())
    return importance_resampling(ids, texts, target, limit, seed=study.recipe.seed), []


def _embedded(
    study: Study, pool: Sequence[Example]
) -> tuple[list[str], list[str], npt.NDArray[np.float16]]:
    """Ids, texts and vectors of ``pool``."""
    ids, texts = [example.id for example in pool], [example.whole for example in pool]
    study.progress.begin("vectors", len(texts))
    vectors = embedded(study.workshop.embedder(study.recipe.embedder, texts), texts)
    study.progress.end("vectors", f"{len(texts)} examples embedded")
    return ids, texts, vectors


_SELECTORS: Mapping[type[Section], Callable[[Study, Any, Sequence[Example], str], _Chosen]] = {
    select_schema.SelectPerplexity: _by_perplexity,
    select_schema.SelectDifficulty: _by_difficulty,
    select_schema.SelectD4: _by_d4,
    select_schema.SelectFacilityLocation: _by_facility_location,
    select_schema.SelectUnlike: _by_unlikeness,
    select_schema.SelectImportance: _by_importance,
}
_MODELLED = (select_schema.SelectPerplexity, select_schema.SelectDifficulty)
