"""The control sets of a recipe, made ready to be asked, and refused where they cannot be."""

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from teichaku.backends.cache import request_key
from teichaku.core.errors import MissingExtraError, RecipeError, UserError
from teichaku.core.records import Reply, Request, content_id
from teichaku.core.run_folder import fingerprint
from teichaku.evaluation.benchmarks import instructions
from teichaku.evaluation.benchmarks.catalogue import (
    Benchmark,
    UserSet,
    from_the_user,
    needs_copy,
    shipped,
    specification,
)
from teichaku.evaluation.benchmarks.controls import FOLLOWED, JUDGED, ControlInfo
from teichaku.evaluation.benchmarks.conversations import Put, request_of
from teichaku.evaluation.benchmarks.frames import Asking
from teichaku.evaluation.benchmarks.masked_sentences import BENCHMARK as MASKED
from teichaku.evaluation.benchmarks.metrics import METRICS
from teichaku.evaluation.benchmarks.prepared import (
    Prepared,
    prepare,
    prepare_folder,
    prepare_published,
)
from teichaku.evaluation.benchmarks.rows import Item
from teichaku.recipes.evaluation_schema import ControlSet
from teichaku.recipes.mistakes import Gathering
from teichaku.recipes.schema import Recipe

#: The category of questions about passages that are newer than the model.
_NEW = "NEW"
_SHARES = (0.0, 1.0)


def controls_of(recipe: Recipe) -> tuple[ControlSet, ...]:
    """The control sets that ``recipe`` has its models asked; none where it asks nobody."""
    return () if recipe.ends_with_data else recipe.evaluation.controls_of(recipe.language)


def known_sets() -> tuple[list[Benchmark], list[UserSet]]:
    """The sets that ship, and those that need a copy of the user's."""
    return list(shipped().values()), list(from_the_user().values())


def check_controls(recipe: Recipe, root: Path, wrong: Gathering) -> None:
    """Read every set once; ``wrong`` takes what cannot be asked: a set that is not known, or of
    which there is no copy, with how to get it; a split or examples that it has not; labels outside
    of its list; a shipped file that has changed.
    """
    seen: set[str] = set()
    for number, config in enumerate(controls_of(recipe)):
        with wrong.at("evaluation", "controls", number):
            _prepare(config, seen, root, recipe.seed)
            if config.name == MASKED:
                _check_masked(recipe, config)


def prepared_sets(recipe: Recipe, root: Path) -> dict[str, Prepared]:
    """The sets by key, but the one that a teacher makes. Raises ``UserError`` as
    :func:`check_controls`.
    """
    found: dict[str, Prepared] = {}
    seen: set[str] = set()
    for config in controls_of(recipe):
        if (of := _prepare(config, seen, root, recipe.seed)) is not None:
            found[config.key] = of
    return found


def _prepare(config: ControlSet, seen: set[str], root: Path, seed: int) -> Prepared | None:
    """The set, None for the one that a teacher makes; ``seen`` are the keys of those before it,
    and takes its own.
    """
    if config.key in seen:
        raise RecipeError(
            f"evaluation.controls has {config.name} twice by the same protocol.",
            "Leave one of them out; protocol: published may stand beside ours.",
        )
    seen.add(config.key)
    _check_keys(config)
    return None if config.name == MASKED else _prepared(config, root, seed)


def set_fingerprint(config: ControlSet, of: Prepared) -> str:
    """A SHA-256 of all that is asked of a set and all that decides its marks."""
    version = of.metric.version if of.metric else instructions.VERSION
    asked = requests_fingerprint(of.asking, of.items)
    beside = _beside(config, of)
    shown = [beside, METRICS[beside].version] if beside else []
    return fingerprint([asked, of.items, of.form, of.metric and of.metric.name, version,
                        of.is_published, of.answer_pattern, *shown])  # fmt: skip


def requests_fingerprint(asking: Asking, items: Iterable[Item]) -> str:
    """A SHA-256 of the requests for ``items`` in every way that they may be put, by all that a
    reply depends on; of a later turn, without what was said before it.
    """
    digest = hashlib.sha256()
    for item in items:
        if item.turn:
            requests = [asking.following(Reply(Request(()), ""), item)]
        else:
            requests = [request_of(item, asking, put) for put in get_args(Put)]
        for request in requests:
            digest.update(request_key("", request).encode("ascii"))
    return digest.hexdigest()


def info_of(config: ControlSet, of: Prepared) -> ControlInfo:
    """What the run says of a set."""
    own = shipped().get(config.name) if config.folder is None else None
    known: Any = own or from_the_user().get(config.name)
    metric, version, scale = JUDGED, "1", _SHARES
    if of.metric is not None:
        metric, version = of.metric.name, of.metric.version
    elif of.form == "instructions":
        metric, version = FOLLOWED, instructions.VERSION
    else:
        scale = (1.0, 5.0) if is_marked_by_criteria(config.name) else (1.0, 10.0)
    return ControlInfo(
        key=config.key,
        name=config.name,
        title=known.title if known else config.name,
        category=_known_category(config.name) or config.category or "",
        form=of.form,
        metric=metric,
        version=version,
        scale=scale,
        identity=of.identity,
        is_published=of.is_published,
        items=len(of.items),
        shots=len(of.asking.shots),
        max_tokens=of.asking.max_tokens,
        instruction=of.asking.instruction,
        frame=of.asking.frame.version,
        split=split_of(config),
        licence=own.licence if own else "",
        attribution=own.attribution if own else "",
        answer_pattern=of.answer_pattern,
        beside=_beside(config, of),
        fallen=dict(of.fallen),
        notes=of.notes,
    )


def _beside(config: ControlSet, of: Prepared) -> str:
    """The metric that is shown beside the set's own; empty where there is none."""
    own = shipped().get(config.name) if config.folder is None else None
    return own.beside if own and not of.is_published else ""


def _known_category(name: str) -> str:
    """The category that a set has by its name; empty of a set of the user's own."""
    if name == MASKED:
        return _NEW
    known = shipped().get(name) or from_the_user().get(name)
    published: dict[str, Any] = specification()["datasets"].get(name, {})
    return known.category if known else published.get("category", "")


def is_marked_by_criteria(name: str) -> bool:
    """Whether a judge marks the set from 1 to 5 by criteria, and not from 1 to 10 by turns."""
    return name in shipped() and shipped()[name].reader == "elyza"


def split_of(config: ControlSet) -> str:
    """Which of the files of a set is asked; none of one that is made anew."""
    if config.name == MASKED:
        return ""
    if config.split is not None:
        return config.split
    return "dev" if config.folder is not None or config.protocol == "published" else "test"


def _check_keys(config: ControlSet) -> None:
    """Raises ``RecipeError`` for keys that do not fit the set or its protocol."""
    is_published = config.protocol == "published"
    if config.newer_than is not None and config.name != MASKED:
        raise RecipeError(
            f"evaluation.controls: newer_than is for {MASKED}, not for {config.name}.",
            "Leave it out.",
        )
    if config.category is not None and (known := _known_category(config.name)):
        raise RecipeError(
            f"evaluation.controls: {config.name} is of the category {known}.",
            "Leave category out: it is for sets of your own.",
        )
    if is_published and config.shots is not None:
        raise RecipeError(
            f"evaluation.controls: {config.name} as published has the examples of llm-jp-eval.",
            "Leave shots out, or leave protocol: published out.",
        )
    if is_published and config.max_tokens is not None:
        raise RecipeError(
            f"evaluation.controls: {config.name} as published has the lengths of llm-jp-eval.",
            "Leave max_tokens out, or leave protocol: published out.",
        )


def _prepared(config: ControlSet, root: Path, seed: int) -> Prepared:
    count = -1 if config.items is None else config.items
    is_published = config.protocol == "published"
    split: Any = split_of(config)
    if config.folder is not None:
        folder = root / config.folder
        drawn = None if is_published else seed
        of = prepare_folder(folder, config.name, split, count, drawn, shots=config.shots)
    else:
        _require_shipped(config)
        if is_published:
            of = prepare_published(config.name, split, count)
        else:
            of = prepare(config.name, count, seed, config.shots, split)
    if of.metric and of.metric.name.startswith("bleu") and not _has("sacrebleu"):
        raise MissingExtraError(f"BLEU, the metric of {config.name},", "translation")
    if not of.items:
        raise RecipeError(f"evaluation.controls: {config.name} has no item that can be asked.")
    if config.max_tokens is not None:
        of = replace(of, asking=replace(of.asking, max_tokens=config.max_tokens))
    return _keyed(of, config.key) if is_published else of


def _require_shipped(config: ControlSet) -> None:
    if config.name in from_the_user():
        error = needs_copy(config.name)
        raise UserError(
            error.message,
            f"{error.hint} Then name the folder: "
            f"evaluation: {{controls: [{{name: {config.name}, folder: FOLDER}}]}}",
        )


def _keyed(of: Prepared, key: str) -> Prepared:
    """The items under another name, so that a set may be asked by both protocols in one run."""
    items = tuple(
        replace(
            item,
            question=replace(
                item.question, id=content_id(item.question.id, "published"), benchmark=key
            ),
        )
        for item in of.items
    )
    return replace(of, items=items)


def _check_masked(recipe: Recipe, config: ControlSet) -> None:
    wrong: Mapping[str, bool] = {
        "say newer than which day: newer_than: 2024-05-01": config.newer_than is None,
        "it is made from documents: name 'documents'": recipe.documents is None,
        "the teacher makes it: name 'teacher'": recipe.teacher is None,
        "it has no folder, split, examples or published form": config.folder is not None
        or config.split is not None or bool(config.shots) or config.protocol == "published",
    }  # fmt: skip
    mistakes = [what for what, is_wrong in wrong.items() if is_wrong]
    if mistakes:
        raise RecipeError(f"evaluation.controls: {MASKED}: {'; '.join(mistakes)}.")


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
