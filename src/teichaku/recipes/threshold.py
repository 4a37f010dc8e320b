"""What another threshold of a duplicate filter would do to a run, read from what the run keeps
(:mod:`teichaku.recipes.similarities`), and how to make it so.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from teichaku.core.errors import UserError
from teichaku.core.locale import translate
from teichaku.core.records import Dropped, Example
from teichaku.core.run_folder import RunFolder
from teichaku.curation.near_duplicates import wording_at
from teichaku.curation.similarities import DuplicateFilter, Fallen, Similarities
from teichaku.recipes.filter_schema import Filter as Section
from teichaku.recipes.filter_schema import NearDuplicates, SemanticDuplicates
from teichaku.recipes.filters import build_filter
from teichaku.recipes.load import load_recipe
from teichaku.recipes.mistakes import nearest
from teichaku.recipes.schema import Recipe
from teichaku.recipes.similarities import Kept, names
from teichaku.recipes.study import Study, go_on
from teichaku.recipes.threshold_edits import Edit, command_of, threshold_edits

_COMPARING = (NearDuplicates, SemanticDuplicates)


@dataclass(frozen=True)
class Curve:
    """How many of the examples that are ``compared`` at a level fall by that level alone, at the
    recipe's ``threshold`` and at others (``fall``: thresholds and counts). ``approximate``: not
    all pairs of many alike were formed, so the counts at other thresholds may be off. ``capped``
    counts the examples that are like very many others, of whose pairs only the most alike are
    known: one of them may stay although one that stays is like it.
    """

    arm: str
    filter: str
    level: str
    compared: int
    threshold: float
    fall: tuple[tuple[float, int], ...]
    approximate: bool
    capped: int


@dataclass(frozen=True)
class Alike:
    """Two examples by what is compared of them. ``differs``: what numbers or names tell them
    apart.
    """

    example_id: str
    text: str
    like_id: str
    like: str
    level: str
    similarity: float
    differs: str = ""


@dataclass(frozen=True)
class Moved:
    """What becomes of an arm's examples ``at`` another threshold: which fall that did not, and
    which no longer do, the most doubtful first, beside the one that stays. ``now`` are the
    recipe's thresholds, by level; ``fell`` and ``falls`` count by these and by the other.
    ``protected`` are the pairs at the other threshold or above that the guard keeps;
    ``approximate`` and ``capped`` as in :class:`Curve`.
    """

    arm: str
    filter: str
    at: float
    now: Mapping[str, float]
    came_in: int
    fell: int
    falls: int
    more: tuple[Alike, ...]
    back: tuple[Alike, ...]
    protected: tuple[Alike, ...]
    approximate: bool
    capped: int


@dataclass(frozen=True)
class Move:
    """What another threshold does to each arm, and how to make it so: edits, then ``command``.
    ``refilled`` are arms whose synthesis goes by the filters, so that it is made anew, too.
    """

    arms: tuple[Moved, ...]
    edits: tuple[Edit, ...]
    command: str
    refilled: tuple[str, ...]


@dataclass(frozen=True)
class _NoStudy:
    """What duplicate filters are built from that compare nothing any more."""

    recipe: Recipe


def threshold_curves(run: RunFolder, arm: str = "", filter_name: str = "") -> list[Curve]:
    """How many fall at which threshold, by arm, filter and level.

    Raises ``UserError`` where there is no such arm or filter, or an arm is not curated yet.
    """
    recipe = load_recipe(run.path / "recipe.yaml")
    arms = _arms(run, recipe, arm)
    chosen = [name for name, _, _ in _filters(run, recipe, filter_name)]
    found = []
    for data in arms:
        rows = run.stages()[f"curation/{data}"]["notes"].get("thresholds", ())
        for row in rows:
            if row["filter"] in chosen:
                fall = tuple((step["threshold"], step["count"]) for step in row["fall"])
                told = {name: value for name, value in row.items() if name != "fall"}
                found.append(Curve(arm=data, fall=fall, **{"capped": 0, **told}))
    return found


def move_threshold(
    run: RunFolder, at: float, arm: str = "", filter_name: str = "", level: str = ""
) -> Move:
    """What changes where a filter's threshold is ``at``, at one of its levels or at all.

    Raises ``UserError`` as :func:`threshold_curves`, where it is not clear which filter is
    meant, and for a threshold below that from which on pairs are known.
    """
    recipe = load_recipe(run.path / "recipe.yaml")
    arms = _arms(run, recipe, arm)
    filters = _filters(run, recipe, filter_name)
    if len(filters) > 1:
        told = " or ".join(f"--filter {name}" for name, _, _ in filters)
        raise UserError("The recipe has several filters with a threshold.", f"Say which: {told}.")
    ((name, index, config),) = filters
    _check_level(config, level)
    apply = cast(DuplicateFilter, build_filter(cast(Study, _NoStudy(recipe)), config))
    edits = threshold_edits(run, recipe, index, at, level)
    command = command_of(run)
    kept = {data: _kept(run, data, name) for data in arms}
    for found in kept.values():
        _check_floor(found, apply, at, level, edits, command)
    moved = [_moved(run, data, name, apply, kept[data], at, level) for data in arms]
    refilled = tuple(data for data in arms if recipe.arms[data].until is not None)
    return Move(tuple(moved), edits, command, refilled)


def _arms(run: RunFolder, recipe: Recipe, arm: str) -> list[str]:
    """The arms that are asked for, all of them curated."""
    if arm and arm not in recipe.arms:
        raise UserError(f"The run has no arm '{arm}'{nearest(arm, list(recipe.arms))}")
    arms = [arm] if arm else list(recipe.arms)
    finished = run.stages()
    for data in arms:
        if f"curation/{data}" not in finished:
            raise UserError(f"The curation of '{data}' is not finished.", go_on(run))
    return arms


def _filters(run: RunFolder, recipe: Recipe, wanted: str) -> list[tuple[str, int, Section]]:
    """Name, place and section of the filters of duplicates that are asked for."""
    named = zip(names(recipe.curation), recipe.curation, strict=True)
    found = [
        (name, index, config)
        for index, (name, config) in enumerate(named)
        if isinstance(config, _COMPARING)
    ]
    if not found:
        raise UserError(
            translate("The recipe of {run} has no filter whose threshold can be moved.").format(
                run=run.path
            ),
            translate(
                "Add this line to its 'curation', behind the filters that are there, and run it "
                "again; no model is asked to compare:\n      - near_duplicates\n  {go_on}"
            ).format(go_on=go_on(run)),
        )
    known = [name for name, _, _ in found]
    if wanted and wanted not in known:
        raise UserError(
            f"The recipe has no filter '{wanted}' whose threshold can be moved"
            f"{nearest(wanted, known)}"
        )
    return [one for one in found if wanted in ("", one[0])]


def _check_level(config: Section, level: str) -> None:
    if not level:
        return
    if not isinstance(config, NearDuplicates):
        raise UserError(
            f"'{config.name}' has one threshold for all that it compares.", "Leave --level out."
        )
    if level not in config.levels:
        raise UserError(f"'{config.name}' compares no '{level}'{nearest(level, config.levels)}")


def _kept(run: RunFolder, data: str, name: str) -> Similarities:
    found = Kept(run, data, name).read()
    if found is None:
        stage = run.stage(f"curation/{data}").path
        raise UserError(
            f"What '{name}' found in '{data}' is not there any more.",
            f"Compare again: remove the folder {stage}, then run the recipe. {go_on(run)}",
        )
    return found


def _check_floor(
    found: Similarities,
    apply: DuplicateFilter,
    at: float,
    level: str,
    edits: Sequence[Edit],
    command: str,
) -> None:
    try:
        apply.at(at, level).fallen(found)
    except ValueError:
        floor, of = max((floor, of) for of, floor in found.floors.items() if level in ("", of))
        told = ", ".join(f"{edit.write} ({edit.place})" for edit in edits)
        raise UserError(
            f"Pairs are known from {floor:g} on ({of}), so what falls at {at!r} is not.",
            f"Write {told}, then: {command}. The texts are compared once more, from there on.",
        ) from None


def _moved(
    run: RunFolder,
    data: str,
    name: str,
    apply: DuplicateFilter,
    found: Similarities,
    at: float,
    level: str,
) -> Moved:
    examples = _examples(run, data)
    now = apply.fallen(found)
    then = apply.at(at, level).fallen(found)
    more = _alike(examples, then, now)
    back = _alike(examples, now, then)
    return Moved(
        data,
        name,
        at,
        now.thresholds,
        sum(map(len, found.order.values())),
        len(now.witnesses),
        len(then.witnesses),
        # The most doubtful first: the least alike of those that fall, the most alike of others.
        tuple(sorted(more, key=lambda one: (one.similarity, one.example_id))),
        tuple(sorted(back, key=lambda one: (-one.similarity, one.example_id))),
        tuple(_protected(examples, found, then, level)),
        found.bounded_at is not None,
        sum(found.capped.values()),
    )


def _alike(examples: Mapping[str, Example], these: Fallen, others: Fallen) -> Iterable[Alike]:
    """Those of ``these`` who fall that are not among the ``others``, with their witnesses."""
    for name, witness in these.witnesses.items():
        if name not in others.witnesses:
            ids = name, witness.kept_id
            yield _shown(examples, ids, witness.level, witness.similarity)


def _protected(
    examples: Mapping[str, Example], found: Similarities, then: Fallen, level: str
) -> Iterable[Alike]:
    """What the guard keeps, the most alike first."""
    barred = [
        pair
        for pair in found.pairs
        if pair.differs
        and level in ("", pair.level)
        and pair.similarity >= then.thresholds.get(pair.level, 2.0)
    ]
    for pair in sorted(barred, key=lambda pair: (-pair.similarity, pair.left_id, pair.right_id)):
        ids = pair.left_id, pair.right_id
        yield _shown(examples, ids, pair.level, pair.similarity, pair.differs)


def _shown(
    examples: Mapping[str, Example],
    ids: tuple[str, str],
    level: str,
    similarity: float,
    differs: str = "",
) -> Alike:
    text, like = (wording_at(examples[name], level) or "" for name in ids)
    return Alike(ids[0], text, ids[1], like, level, similarity, differs)


def _examples(run: RunFolder, data: str) -> dict[str, Example]:
    """All examples that the curation of an arm saw, by id."""
    stage = run.stage(f"curation/{data}")
    found = {example.id: example for example in stage.read("examples", Example)}
    for row in stage.read("dropped", Dropped):
        if row.kind == Example.__name__:
            found[row.record_id] = Example(**json.loads(row.record))
    return found
