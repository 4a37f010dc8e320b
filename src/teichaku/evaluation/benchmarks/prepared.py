"""A set made ready: which items, after which examples, in which frame, by which metric.

Two protocols: the published one of llm-jp-eval (first hundred, first four examples, its own
length, its own reading), and ours (a seeded draw, room to answer, two readings).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from teichaku.core.errors import UserError
from teichaku.core.records import Dropped
from teichaku.core.run_folder import dropped
from teichaku.evaluation.benchmarks.catalogue import (
    Benchmark,
    Form,
    benchmark,
    from_the_user,
    shipped,
    specification,
)
from teichaku.evaluation.benchmarks.data_file import (
    DataSet,
    Identity,
    Sample,
    Split,
    fault,
    few_shots,
    identity_of,
    items,
    published_bytes,
    read_data_set,
    whole,
)
from teichaku.evaluation.benchmarks.frames import Asking, frame
from teichaku.evaluation.benchmarks.metrics import (
    METRICS,
    NOT_COMPUTED,
    Metric,
    computed_of,
    metric_of,
    plain_number,
)
from teichaku.evaluation.benchmarks.rows import Item, check_labels, items_of
from teichaku.evaluation.benchmarks.sampling import apart, first, stratified

#: Room to answer, in tokens: enough that no answer is cut before it is given.
MAX_TOKENS: Mapping[Form, int] = {
    "choice": 64,
    "span": 128,
    "number": 512,
    "text": 1024,
    "instructions": 1024,
    "judge": 1024,
}


#: Where an answer of llm-jp-eval ends, and where the next example of a plain frame begins.
_BLANK_LINE, _NEXT_HEADING = ("\n\n",), ("\n###",)

#: Forms whose answers are read as they stand, so that they may have several lines.
_FREE_TEXT: tuple[Form, ...] = ("judge", "instructions")

_FIRST_ROWS = "the first rows of the published file, which the package does not have as a whole"


@dataclass(frozen=True)
class Prepared:
    """A set that can be asked. ``metric`` is null where a judge or checks mark it.

    ``identity`` says whether the rows are those that were published: ``match`` for sets that ship,
    whose files are checked, or by the hash that LLM-jp publishes.
    ``is_published`` tells the protocol. ``fallen`` counts rows with something wrong, by what: ours
    does not ask them, and they are ``left_out``. ``notes`` are said with the result.
    """

    asking: Asking
    items: tuple[Item, ...]
    form: Form
    metric: Metric | None
    identity: Identity
    is_published: bool
    fallen: Mapping[str, int]
    notes: tuple[str, ...] = ()
    answer_pattern: str = ""
    left_out: tuple[Dropped, ...] = ()


def prepare(
    name: str, count: int = 100, seed: int = 0, shots: int | None = None, split: str = "test"
) -> Prepared:
    """The shipped set ``name`` by our own protocol: ``count`` items drawn by ``seed`` (-1: all),
    after ``shots`` examples (None: as many as the catalogue says).

    Raises ``UserError`` where the set does not ship or cannot give so many examples.
    """
    of = benchmark(name)
    shown, candidates = _shots(of, split, of.shots if shots is None else shots, seed)
    asked, fallen = (candidates, {}) if not _has_answers(of) else whole(candidates)
    return Prepared(
        Asking(
            name,
            instruction_of(of),
            shown,
            MAX_TOKENS[of.form],
            frame(),
            of.temperatures,
            seed=seed,
            stop=_NEXT_HEADING,
            several_lines=of.form in _FREE_TEXT,
        ),
        tuple(asked if count == -1 else _drawn(asked, count, seed)),
        of.form,
        METRICS.get(of.metric),
        "match",
        is_published=False,
        fallen=fallen,
        notes=_notes(of),
        left_out=_left_out(candidates, asked),
    )


def prepare_published(
    name: str, split: Split = "dev", count: int = 100, version: str = "1.3"
) -> Prepared:
    """The shipped set ``name`` by the protocol of llm-jp-eval, from the rows that ship.

    ``identity`` is ``match`` only where the rows make the published file, byte by byte; where the
    package has its first hundred rows, the file cannot be compared (``unknown``), and a note says
    so. Raises ``UserError`` where the set is none of llm-jp-eval's or lacks its examples.
    """
    of = benchmark(name)
    known = specification()["datasets"].get(of.specification)
    if known is None:
        raise UserError(
            f"{of.title} is no set of llm-jp-eval 1.3.", "Ask it by the other protocol."
        )
    if split not in of.splits or ("train" not in of.splits):
        raise UserError(
            f"{of.title} has no rows here that llm-jp-eval asks (split {split}, and train for "
            "its examples).",
            f"Make them with llm-jp-eval, and say the folder that holds {split}/{name}.json.",
        )
    asked = items_of(name, split)
    train = [_sample(item) for item in items_of(name, "train")]
    rebuilt = published_bytes(name, [_sample(item) for item in asked])
    found = identity_of(name, split, hashlib.sha256(rebuilt).hexdigest())
    identity: Identity = "match" if found == "match" else "unknown"
    return Prepared(
        Asking(
            name, known["instruction"], tuple(train[:4]), known["output_length_tokens"],
            frame(version), stop=_BLANK_LINE,
        ),
        tuple(first(asked, count)),
        of.form,
        metric_of(known["metrics"][0], published=True),
        identity,
        is_published=True,
        fallen={},
        notes=_notes(of) if identity == "match" else (*_notes(of), _FIRST_ROWS),
    )  # fmt: skip


def prepare_folder(
    folder: Path,
    name: str,
    split: Split = "dev",
    count: int = 100,
    seed: int | None = None,
    version: str = "1.3",
    shots: int | None = None,
) -> Prepared:
    """A set of a folder of the user's in llm-jp-eval's form: by its protocol, or by ours with a
    draw by ``seed`` and after ``shots`` examples (None: as many as the file says).

    Where the metric of the set is not computed here, another one that the file names is taken,
    and a note says so. Raises ``UserError`` where a file is missing or not in that form, or none
    of its metrics is computed here.
    """
    of = read_data_set(folder, name, split)
    of = of if shots is None else replace(of, num_few_shots=shots)
    train_file = folder / "train" / f"{name}.json"
    train = read_data_set(folder, name, "train") if train_file.is_file() else None
    labels = of.label_list or _known_labels(name)
    made = [replace(item, labels=labels) for item in items(of)]
    check_labels([item for item in made if item.references[0]], name)
    form = _form_of(of, labels)
    kept, fallen = (made, dict(of.faults or {})) if seed is None else whole(made)
    wanted = _metric_name(of, name, seed is None)
    metric = computed_of(wanted, of.metrics, published=seed is None)
    return Prepared(
        Asking(
            name,
            of.instruction,
            few_shots(of, train, seed),
            of.output_length if seed is None else max(of.output_length, MAX_TOKENS[form]),
            frame(version),
            template=of.custom_prompt_template,
            seed=seed or 0,
            stop=_stop(of, is_published=seed is None),
            several_lines=form in _FREE_TEXT,
        ),
        tuple(first(kept, count) if seed is None else _drawn(kept, count, seed)),
        form,
        metric,
        of.identity,
        is_published=seed is None,
        fallen=fallen,
        notes=(*of.notes, *_other_metric(wanted, metric)),
        answer_pattern=of.answer_extract_pattern,
        left_out=_left_out(made, kept),
    )


def instruction_of(of: Benchmark) -> str:
    """The instruction of a shipped set: its own, or that of llm-jp-eval 1.3."""
    if of.instruction or not of.specification:
        return of.instruction
    return cast("str", specification()["datasets"][of.specification]["instruction"])


def _left_out(candidates: Sequence[Item], kept: Sequence[Item]) -> tuple[Dropped, ...]:
    """The rows with something wrong, each with what."""
    stay = {item.question.id for item in kept}
    return tuple(
        dropped(item.question, "controls", fault(item.question.question, item.references[0]))
        for item in candidates
        if item.question.id not in stay
    )


def _drawn(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    return list(items) if count == -1 else stratified(items, count, seed)


def _has_answers(of: Benchmark) -> bool:
    return of.form not in _FREE_TEXT


def _shots(
    of: Benchmark, split: str, count: int, seed: int
) -> tuple[tuple[Sample, ...], list[Item]]:
    """The examples, from the split made for them where there is one, and what may be asked."""
    asked = items_of(of.name, split)
    if not count or not _has_answers(of):
        return (), asked
    source = next((other for other in ("train", "dev") if other in of.splits), split)
    if source == split:
        return apart(asked, count, seed)
    # An example that stands there twice is shown once.
    others = list({item.question.question: item for item in items_of(of.name, source)}.values())
    drawn = others[:count] if source == "train" else stratified(others, count, seed)
    if len(drawn) < count:
        raise UserError(
            f"{of.title} has {len(drawn)} examples here, not {count}.", "Take fewer examples."
        )
    return tuple(_sample(item) for item in drawn), asked


def _sample(item: Item) -> Sample:
    return Sample(item.question.question, item.references[0])


def _notes(of: Benchmark) -> tuple[str, ...]:
    said = []
    if of.stands_in_for:
        said.append(f"{of.title} stands in for {of.stands_in_for}, and is not it")
    if of.reference_use == "judge_only":
        said.append("the references were written by a model of OpenAI: do not train on them")
    if of.doubtful_references:
        count = len(of.doubtful_references)
        said.append(f"{count} references are reported wrong, and no judge is shown them")
    return tuple(said)


def _other_metric(wanted: str, metric: Metric) -> tuple[str, ...]:
    if wanted not in NOT_COMPUTED:
        return ()
    return (
        f"{wanted} is not computed here: {metric.name} marks the answers instead, "
        "outside of any published average",
    )


def _stop(of: DataSet, is_published: bool) -> tuple[str, ...]:
    """What ends an answer; a pattern of the set's own reads it whole."""
    if of.answer_extract_pattern:
        return ()
    return _BLANK_LINE if is_published else _NEXT_HEADING


def _known_labels(name: str) -> tuple[str, ...]:
    own = shipped().get(name)
    if own is not None:
        return own.labels
    other = from_the_user().get(name)
    return other.labels if other is not None else ()


def _form_of(of: DataSet, labels: Sequence[str]) -> Form:
    if labels:
        return "choice"
    own = shipped().get(of.name)
    if own is not None:
        return own.form
    numbers = all(plain_number(row.output) is not None for row in of.samples if row.output)
    if numbers:
        return "number"
    return "span" if set(of.metrics) & {"char_f1", "exact_match"} else "text"


def _metric_name(of: DataSet, name: str, published: bool) -> str:
    if not published and name in shipped():
        return shipped()[name].metric
    known = specification()["datasets"].get(name)
    if known is not None and known["avg_metric"]:
        return cast("str", known["avg_metric"])
    if not of.metrics:
        raise UserError(
            f"{name} names no metric.", 'Put "metrics": ["exact_match"], say, into the file.'
        )
    return of.metrics[0]
