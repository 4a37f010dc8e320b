"""Data of others in an arm: rows of files to examples, and how many of each source by weights.

The draw goes by the hash of each example, without replacement, and whole numbers are by a divisor
method, so a smaller mixture is a part of a larger one, and the order of files and rows changes
nothing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heapreplace
from itertools import islice
from pathlib import Path
from typing import Any

from teichaku.core.errors import RecipeError, UserError
from teichaku.core.executor import TaskError
from teichaku.core.locale import translate
from teichaku.core.records import MIX, Dropped, Example, content_id
from teichaku.core.run_folder import dropped
from teichaku.core.text import normalise
from teichaku.curation.amount import characters
from teichaku.documents.files import find_files, hash_inputs, name_from
from teichaku.recipes.mix_schema import Mix, MixSource
from teichaku.recipes.row_forms import (
    CONVERSATIONS,
    MODELS,
    PEOPLE,
    Form,
    RowError,
    as_json,
    find_form,
)
from teichaku.recipes.row_reading import given_rows
from teichaku.recipes.rows import read_rows
from teichaku.recipes.schema import Recipe
from teichaku.recipes.shard_input import plan_input

_BY_PIECES = (".jsonl", ".ndjson", ".parquet")
_WHOLE = (".csv", ".tsv", ".json", ".yaml", ".yml")
#: Columns whose words go to the model before all turns.
_SYSTEM = ("system", "system_prompt")
#: So many rows of a file say which columns its rows have.
_HEAD = 1000
_BETWEEN = "\n\n"
#: The share of the characters asked for that whole examples reach where there is enough.
_REACHED = 0.99


@dataclass(frozen=True)
class SourceRows:
    """What a source holds: examples by id, what fell of it, and how many rows came in.

    ``unanswered`` counts turns of people without a reply behind them, which teach nothing.
    """

    examples: Mapping[str, Example]
    fallen: Sequence[Dropped]
    rows: int = 0
    files: int = 0
    unanswered: int = 0


@dataclass(frozen=True)
class Mixed:
    """The examples of a mixture, what was not taken, and a note about each source.

    ``size`` tells what was ``asked`` for (null where the recipe names no size) and ``reached``, in
    examples or characters (``unit``), and whether that is too little (``short``).
    """

    examples: Sequence[Example]
    fallen: Sequence[Dropped]
    notes: Sequence[Mapping[str, Any]]
    size: Mapping[str, Any]


def source_files(source: MixSource, root: Path) -> list[Path]:
    """The files of ``source`` that hold rows; none where it is absent."""
    files, _ = find_files([_expanded(source)], root)
    return [path for path in files if path.suffix.lower() in (*_BY_PIECES, *_WHOLE)]


def _expanded(source: MixSource) -> str:
    return str(Path(source.path).expanduser()) if source.path.startswith("~") else source.path


def mix_fingerprint(mix: Mix | None, root: Path) -> dict[str, Any]:
    """What a mixture is made from; nothing where there is none."""
    if mix is None:
        return {}
    files = {source.name: hash_inputs([_expanded(source)], root) for source in mix.sources}
    return {"mix": {**mix.model_dump(), "files": files}}


def check_mixtures(recipe: Recipe, root: Path) -> None:
    """Look whether every source is there and of a form that is known. Raises ``RecipeError`` for
    one that is absent, with how to get it, and ``UserError`` for one that cannot be read.
    """
    absent: dict[str, None] = {}
    for name, arm in recipe.arms.items():
        for source in arm.mix.sources if arm.mix else ():
            files = source_files(source, root)
            if not files and not source.optional:
                place = root / _expanded(source)
                how = source.obtain or "Put its rows there, or mend the path."
                absent[f"\n  arms.{name}.mix, {source.name}: {place}\n    {how}"] = None
            for path in files:
                _form_of(path, _stated_form(source))
    if absent:
        raise RecipeError(
            f"{len(absent)} source(s) of data are not there:{''.join(absent)}",
            f"Rows are read from {', '.join((*_BY_PIECES, *_WHOLE))}. A recipe goes on without a "
            "source that says optional: true.",
        )


def read_source(source: MixSource, root: Path, language: str) -> SourceRows:
    """All rows of ``source``: each turn of a model becomes an example, with what was said before
    it. ``language`` is the recipe's. A row without an example falls as ``bad_row``, an example
    that is there already as ``repeated_row``, a file that cannot be read as ``unreadable_file``.
    """
    language = source.language or language
    examples: dict[str, Example] = {}
    fallen: list[Dropped] = []
    rows = unanswered = 0
    files = source_files(source, root)
    for path in files:
        name = name_from(path, root)
        for place, found in _rows(path, _stated_form(source)):
            rows += bool(place)
            told = ", ".join(filter(None, (f"{source.name}: {name}", place)))
            if isinstance(found, _BadRow):
                reason = "bad_row" if place else "unreadable_file"
                key = content_id(MIX, source.name, name, place)
                why = f"{told}: {found.why}"
                fallen.append(Dropped(key, "Row", "synthesis", reason, why, "", found.raw))
                continue
            unanswered += found.unanswered
            for text in found.texts:
                example = _example(source, language, text)
                if example.id in examples:
                    fallen.append(dropped(example, "synthesis", "repeated_row", told))
                else:
                    examples[example.id] = example
    return SourceRows(examples, fallen, rows, len(files), unanswered)


@dataclass(frozen=True)
class _BadRow:
    why: str
    raw: str = ""


@dataclass(frozen=True)
class _Text:
    """What becomes one example."""

    question: str
    answer: str
    input: str = ""
    history: tuple[str, ...] = ()
    parent: str = ""
    licence_class: str = ""


@dataclass(frozen=True)
class _Texts:
    texts: Sequence[_Text]
    unanswered: int = 0


def _example(source: MixSource, language: str, text: _Text) -> Example:
    said = (*text.history, text.question, text.input, text.answer)
    return Example(
        content_id(MIX, source.name, *said),
        "",
        "",
        MIX,
        text.question,
        text.answer,
        category=source.name,
        language=language,
        licence_class=text.licence_class,
        input=text.input,
        parent_ids=(text.parent,) if text.parent else (),
        history=text.history,
    )


def _stated_form(source: MixSource) -> Form | None:
    """The form of the rows as the recipe has it; None where it names no columns."""
    names = source.columns
    keys = (names.question, names.input, names.answer)
    return Form("pairs", keys) if names.question else None


def _rows(path: Path, stated: Form | None) -> Iterator[tuple[str, _Texts | _BadRow]]:
    """The rows of a file with their places; a place that is empty is the file itself."""
    try:
        form = _form_of(path, stated)
    except UserError as error:
        yield "", _BadRow(error.message)
        return
    if path.suffix.lower() in _WHOLE:
        try:
            for row in read_rows(path):
                # Names are normalised there, and so they are found.
                yield row.place, _read(form, row.values, row.fault, "")
        except UserError as error:
            yield "", _BadRow(error.message)
        return
    plan = plan_input([path], path, form=form)
    yield from (("", _BadRow(why)) for _, why in plan.faults)
    for piece in plan.pieces:
        try:
            for given in given_rows(piece):
                found = _read(form, given.values, given.fault, given.line)
                yield f"row {given.number}", found
        except TaskError as error:
            yield "", _BadRow(str(error))


def _form_of(path: Path, stated: Form | None) -> Form:
    """The form of the rows in a file. Raises ``UserError`` where none is known."""
    if path.suffix.lower() in _BY_PIECES:
        plan = plan_input([path], path, form=stated)
        if plan.form is None:
            why = "; ".join(why for _, why in plan.faults)
            raise UserError(f"{path} cannot be read: {why}.", "Mend the file.")
        if stated:
            rows = (given.values for piece in plan.pieces for given in given_rows(piece))
            _require_columns(path, stated, {key for row in islice(rows, _HEAD) for key in row})
        return plan.form
    columns: dict[str, None] = {}
    for row in islice(read_rows(path), _HEAD):
        columns |= dict.fromkeys(row.values)
    # Their names are normalised where they are read.
    form = stated and Form("pairs", tuple(map(normalise, stated.keys)))
    if form:
        _require_columns(path, form, columns)
    form = form or find_form(list(columns))
    if form is None:
        raise UserError(
            f"The columns of {path} are of no form that is known: {', '.join(columns) or 'none'}.",
            "Known: 'messages' (chat), 'conversations' (ShareGPT), 'instruction' and 'output' or "
            "'question' and 'answer' (an 'input' beside them), and 'text'.",
        )
    return form


def _require_columns(path: Path, form: Form, columns: Collection[str]) -> None:
    """Raise ``UserError`` where the recipe names columns that no row has."""
    absent = [key for key in form.keys if key and key not in columns]
    if absent and columns:
        raise UserError(
            f"{path} has no column {', '.join(map(repr, absent))}; it has {', '.join(columns)}.",
            "Mend 'columns' of the source in the recipe.",
        )


def _read(form: Form, values: Mapping[str, Any], fault: str, line: str) -> _Texts | _BadRow:
    try:
        if fault:
            raise RowError(fault)
        if form.name in CONVERSATIONS:
            return _conversation(form, values)
        given = form.read(values)
    except RowError as error:
        return _BadRow(str(error), line or as_json(values))
    history = tuple(given.own.get("history", ()))
    question = given.question
    try:
        if form.name == "pairs":
            history = _earlier(form, values)
            if system := _system(form, values):
                first = history[0] if history else question
                first = f"{system}{_BETWEEN}{first}"
                history, question = (
                    ((first, *history[1:]), question) if history else (history, first)
                )
    except RowError as error:
        return _BadRow(str(error), line or as_json(values))
    own = (str(given.own.get("id", "")), str(given.own.get("licence_class", "")))
    return _Texts([_Text(question, given.answer, given.input, history, *own)])


def _system(form: Form, values: Mapping[str, Any]) -> str:
    """What a column of its own says to the model before all turns. Raises ``RowError``."""
    for key in _SYSTEM:
        found = values.get(key)
        if key in form.keys or found is None or found != found:  # not a number: pandas has none
            continue
        if not isinstance(found, str):
            raise RowError(f"'{key}' is no text")
        if found.strip():
            return found
    return ""


def _earlier(form: Form, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The turns before the question, in a column of pairs. Raises ``RowError``."""
    found = values.get("history")
    if not found or found != found or "history" in form.keys:
        return ()
    pairs = found if isinstance(found, list) else [found]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RowError("'history' is no list of pairs of question and answer")
    texts = tuple(text for pair in pairs for text in pair)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise RowError("a turn in 'history' is no text, or empty")
    return texts


def _conversation(form: Form, values: Mapping[str, Any]) -> _Texts:
    """An example for each turn of the model, with what stands before it. What a system message
    says goes before the next words of a person. Raises ``RowError``.
    """
    said: list[tuple[bool, str]] = []
    turns = form.turns(values)
    if (system := _system(form, values)) and "system" not in {role for role, _ in turns}:
        turns.insert(0, ("system", system))
    for role, text in turns:
        if role == "system" and not text.strip():
            continue
        is_model = role in MODELS
        if not is_model and role not in PEOPLE and role != "system":
            raise RowError(f"a turn is by '{role}', neither a person nor a model")
        if is_model and not said:
            raise RowError("it begins with the model's words, and has no question to them")
        if is_model and not text.strip():
            raise RowError("a turn of the model is empty")
        if said and said[-1][0] == is_model:
            said[-1] = (is_model, f"{said[-1][1]}{_BETWEEN}{text}")
        else:
            said.append((is_model, text))
    texts = [text for _, text in said]
    found = [
        _Text(texts[place - 1], texts[place], history=tuple(texts[: place - 1]))
        for place, (is_model, _) in enumerate(said)
        if is_model
    ]
    if not found:
        raise RowError("it has no turn of a model")
    if not all(text.question.strip() for text in found):
        raise RowError("a question is empty")
    return _Texts(found, unanswered=int(not said[-1][0]))


def mixture(mix: Mix, root: Path, language: str, seed: int) -> Mixed:
    """The examples of ``mix``: of each source its part by weight, drawn by hash."""
    rows = {source.name: read_source(source, root, language) for source in mix.sources}
    order = {
        source.name: _drawn(rows[source.name].examples.values(), seed)[: source.limit]
        for source in mix.sources
    }
    weights = {source.name: source.weight or 1.0 for source in mix.sources}
    size = (lambda found: float(characters(found))) if mix.characters else len
    sizes = {name: float(size(found)) for name, found in order.items()}
    is_weighed = any(source.weight is not None for source in mix.sources)
    total = float(mix.total or mix.characters or largest(sizes, weights, is_weighed))
    if mix.characters:
        parts = allotted(sizes, weights, total)
        taken = {name: _within(order[name], part) for name, part in parts.items()}
    else:
        counts = whole({name: len(found) for name, found in order.items()}, weights, round(total))
        taken = {name: order[name][:count] for name, count in counts.items()}
    examples: list[Example] = []
    fallen: list[Dropped] = []
    for source in mix.sources:
        kept = {example.id for example in taken[source.name]}
        examples += taken[source.name]
        fallen += rows[source.name].fallen
        fallen += _not_taken(source, order[source.name], rows[source.name], kept)
    notes = [_note(source, rows[source.name], taken, weights, mix) for source in mix.sources]
    return Mixed(examples, fallen, notes, _size(mix, examples))


def _size(mix: Mix, examples: Sequence[Example]) -> dict[str, Any]:
    asked = mix.characters or mix.total
    reached = characters(examples) if mix.characters else len(examples)
    is_short = asked is not None and reached < asked * (_REACHED if mix.characters else 1)
    unit = "characters" if mix.characters else "examples"
    return {"asked": asked, "reached": reached, "unit": unit, "short": is_short}


def _drawn(examples: Any, seed: int) -> list[Example]:
    return sorted(examples, key=lambda example: content_id(seed, MIX, example.id))


def largest(sizes: Mapping[str, float], weights: Mapping[str, float], is_weighed: bool) -> float:
    """How large a mixture can be: all there is, or what the ``weights`` of the sources that have
    anything allow to the letter.
    """
    there = [name for name, size in sizes.items() if size]
    if not is_weighed or not there:
        return sum(sizes.values())
    return min(sizes[name] / weights[name] for name in there) * sum(weights[n] for n in there)


def allotted(
    sizes: Mapping[str, float], weights: Mapping[str, float], total: float
) -> dict[str, float]:
    """How much of each source makes a mixture of ``total``. One that has less than its part gives
    all it has, and the others make up for it in proportion to their weights.
    """
    parts: dict[str, float] = {}
    waiting, left = list(sizes), min(total, sum(sizes.values()))
    while waiting:
        unit = left / sum(weights[name] for name in waiting)
        short = [name for name in waiting if sizes[name] < weights[name] * unit]
        for name in short or waiting:
            parts[name] = sizes[name] if short else weights[name] * unit
        waiting = [name for name in waiting if name not in parts]
        left = max(0.0, left - sum(parts[name] for name in short))
    return {name: parts[name] for name in sizes}


def whole(sizes: Mapping[str, int], weights: Mapping[str, float], total: int) -> dict[str, int]:
    """How many of each source make a mixture of ``total`` examples, by the divisor method of
    Sainte-Laguë (Balinski and Young 1982, "Fair Representation"): one after the other goes to the
    source with the largest weight over (2 n + 1) that has more than the n it gave. So no source
    gives fewer to a larger mixture.
    """
    counts = dict.fromkeys(sizes, 0)
    waiting = [(1 / weights[name], name) for name, size in sizes.items() if size]
    heapify(waiting)
    for _ in range(min(total, sum(sizes.values()))):
        name = waiting[0][1]
        counts[name] += 1
        is_left = counts[name] < sizes[name]
        rank = (2 * counts[name] + 1) / weights[name] if is_left else float("inf")
        heapreplace(waiting, (rank, name))
    return counts


def _within(order: Sequence[Example], limit: float) -> list[Example]:
    """Of ``order`` what fits into so many characters, up to the first that does not: shorter ones
    behind it would not be in a larger mixture.
    """
    taken: list[Example] = []
    total = 0
    for example in order:
        total += characters([example])
        if total > limit:
            break
        taken.append(example)
    return taken


def _not_taken(
    source: MixSource, order: Sequence[Example], rows: SourceRows, kept: set[str]
) -> Iterator[Dropped]:
    """What stays in the file; its texts are there, so that they are not written once more."""
    within = {example.id for example in order}
    for example in rows.examples.values():
        if example.id not in kept:
            reason = "not_drawn" if example.id in within else "over_limit"
            bare = replace(example, question="", answer="", input="", history=())
            yield dropped(bare, "synthesis", reason, f"{source.name}: {source.path}")


def _note(
    source: MixSource,
    rows: SourceRows,
    taken: Mapping[str, Sequence[Example]],
    weights: Mapping[str, float],
    mix: Mix,
) -> dict[str, Any]:
    own = taken[source.name]
    everything = [example for found in taken.values() for example in found]
    got, of = (
        (characters(own), characters(everything)) if mix.characters else (len(own), len(everything))
    )
    is_sized = mix.total or mix.characters or any(one.weight for one in mix.sources)
    there = [name for name in taken if taken[name] or name == source.name]
    wanted = weights[source.name] / sum(weights[name] for name in there) if is_sized else None
    share = got / of if of else 0.0
    is_all = len(own) == min(len(rows.examples), source.limit or len(rows.examples))
    told = source.model_dump(include={"name", "path", "licence", "attribution", "terms"})
    return {
        **told,
        "absent": not rows.files,
        "files": rows.files,
        "rows": rows.rows,
        "readable": len(rows.examples),
        "taken": len(own),
        "characters": characters(own),
        "later_turns": sum(bool(example.history) for example in own),
        "unanswered_turns": rows.unanswered,
        "languages": sorted({example.language for example in own}),
        "wanted": wanted,
        "got": share,
        # By less than one example is no shortage, but what whole examples allow.
        "short": wanted is not None and (is_all or not own) and wanted * of - got >= 1,
    }


def size_told(size: Mapping[str, Any]) -> str:
    """What to say of a mixture that is smaller than the recipe asks for; empty where it is not."""
    if not size["short"]:
        return ""
    of_examples = translate("the mixture has {reached} of the {asked} examples asked for")
    of_characters = translate("the mixture has {reached} of the {asked} characters asked for")
    text = of_examples if size["unit"] == "examples" else of_characters
    return text.format(reached=size["reached"], asked=size["asked"])


def told(note: Mapping[str, Any]) -> str:
    """What to say of a source that is not as the recipe asks for; empty where it is."""
    if note["absent"]:
        absent = translate("the source '{name}' is not there ({path}); it is left out")
        return absent.format(name=note["name"], path=note["path"])
    if not note["short"]:
        return ""
    return translate(
        "the source '{name}' makes {got} of the mixture where its weight asks for {wanted}: "
        "{taken} of its {readable} examples"
    ).format(
        name=note["name"],
        got=f"{note['got']:.1%}",
        wanted=f"{note['wanted']:.1%}",
        taken=note["taken"],
        readable=note["readable"],
    )
