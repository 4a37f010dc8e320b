"""Marks and verdicts of people on the answers of a finished run: sheets go out and come back.

What comes back lies in ``people/NAME/`` of the run, beside the stages, because it is of no stage:
no run makes it, and none removes it.
"""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from teichaku.core.errors import UserError
from teichaku.core.records import (
    BASE_CHECKPOINT,
    Answer,
    Comparison,
    Condition,
    Judgement,
    Passage,
    Question,
    content_id,
)
from teichaku.core.run_folder import (
    RunFolder,
    json_bytes,
    read_records,
    write_aside,
    write_records,
)
from teichaku.evaluation.benchmarks.controls import read_items, read_sets
from teichaku.evaluation.judging.exchanges import (
    Exchange,
    Pair,
    benchmark_exchanges,
    exchanges_of,
    pair_up,
)
from teichaku.evaluation.sheets import (
    Key,
    Layout,
    Sheet,
    marks_sheet,
    pairs_sheet,
    read_key,
    read_marks,
    read_pairs,
    write_sheet,
)
from teichaku.recipes.comparisons_stage import FREE_TEXT
from teichaku.recipes.names import is_name_character
from teichaku.recipes.reporting import make_report
from teichaku.recipes.study import go_on, in_sample_order

FOLDER = "people"

_SCALE = (1, 10)
#: Of the fingerprint of a protocol, in the name of a file.
_DIGITS = 12


@dataclass(frozen=True)
class SheetOptions:
    """What a sheet asks for: marks, or verdicts on the answers of the arms ``between``.

    ``questions`` are drawn as fairly as the judge's (None: all); ``arms`` empty: all of them.
    ``condition`` is that under which the answers were given; with ``passages`` people see the
    passage of each question. With ``controls`` it is answers to these sets of the recipe instead
    of the run's own questions; people mark them on the scale of the judges, with the criteria in
    sight where an item has some. ``language`` is that of the headings; empty for the run's.
    """

    between: tuple[str, str] | None = None
    questions: int | None = 20
    arms: Sequence[str] = ()
    condition: Condition = "closed_book"
    passages: bool = False
    controls: Sequence[str] = ()
    language: str = ""


@dataclass(frozen=True)
class Written:
    """A sheet of so many ``rows``, and its key, which is not for the people who mark."""

    rows: int
    key: Path


@dataclass(frozen=True)
class Taken:
    """What a sheet gave: so many ``rows``, of which so many are ``unmarked``, ``added`` to what
    the person said before, or ``replaced`` there.
    """

    rows: int
    unmarked: int
    added: int
    replaced: int


def condition_named(name: str) -> Condition:
    """The condition of this name. Raises ``UserError`` where there is none."""
    for condition in get_args(Condition):
        if condition == name:
            return cast(Condition, condition)
    raise UserError(f"'{name}' is no condition.", f"Known: {', '.join(get_args(Condition))}.")


def write_run_sheet(run: RunFolder, path: Path, options: SheetOptions) -> Written:
    """Write a sheet on the answers of ``run``, each arm at the checkpoint that was evaluated.

    Raises ``UserError`` where the evaluation is not finished, an arm is not known, nothing can be
    asked, or ``path`` is there already: it may hold somebody's marks.
    """
    if path.exists() or _key_of(path).exists():
        raise UserError(
            f"{path} or its key is there already, and may hold marks.",
            "Name another file, or move these away.",
        )
    scale = _scale(run, options)
    by_arm = _by_arm(run, options)
    about = run.read_json("run.json")
    layout = Layout(
        int(about["seed"]),
        options.passages,
        criteria=any(exchange.criteria for found in by_arm.values() for exchange in found),
        language=options.language or about["language"],
    )
    sheet = _sheet(by_arm, options, layout, scale)
    if not sheet.rows:
        raise UserError(
            f"There is no answer of {run.path} for such a sheet ({options.condition}).",
            "Look at the conditions of the recipe, and at failed answers: "
            f"teichaku show {run.path} evaluation --dropped",
        )
    return Written(len(sheet.rows), write_sheet(sheet, path))


def _sheet(
    by_arm: Mapping[str, Sequence[Exchange]],
    options: SheetOptions,
    layout: Layout,
    scale: tuple[int, int],
) -> Sheet:
    wanted = options.between or tuple(options.arms) or tuple(by_arm)
    unknown = [name for name in wanted if name not in by_arm]
    if unknown and by_arm:
        raise UserError(
            f"No model called {', '.join(unknown)} answered.", f"Known: {', '.join(by_arm)}."
        )
    if options.between is None:
        return marks_sheet([e for name in wanted for e in by_arm.get(name, ())], layout, scale)
    one, other = options.between
    if one == other:
        raise UserError(f"{one} cannot be compared with itself.", "Name two arms.")
    pairs, _ = pair_up(by_arm.get(one, ()), by_arm.get(other, ()))
    return pairs_sheet(pairs, layout)


def _by_arm(run: RunFolder, options: SheetOptions) -> dict[str, list[Exchange]]:
    """The answers to the questions that are drawn, by arm; those of a control set come with the
    whole conversation.
    """
    seed = int(run.read_json("run.json")["seed"])
    selected: Mapping[str, str] | None = None
    if options.controls:
        items = [
            item
            for item in read_items(run.stage("controls"))
            if item.question.benchmark in options.controls
        ]
        names = {item.conversation or item.question.id for item in items}
        order = sorted(names, key=lambda name: content_id(seed, "sample", name))
        kept = set(order[: options.questions])
        drawn = {i.question.id for i in items if (i.conversation or i.question.id) in kept}
        exchanges = _of_controls(run, drawn)
    else:
        selected = _evaluation(run)["notes"].get("selected_checkpoints", {})
        questions = in_sample_order(run.stage("questions").read("questions", Question), seed)
        drawn = {question.id for question in questions[: options.questions]}
        exchanges = _of_questions(run)
    found: dict[str, list[Exchange]] = {}
    for exchange in exchanges:
        answer = exchange.answer
        # Each model answered the control sets at the one checkpoint that was chosen.
        is_chosen = selected is None or answer.checkpoint == selected.get(
            answer.arm, BASE_CHECKPOINT
        )
        if is_chosen and answer.question_id in drawn and answer.condition == options.condition:
            found.setdefault(answer.arm, []).append(exchange)
    return dict(sorted(found.items()))


def _exchanges(run: RunFolder) -> dict[str, Exchange]:
    """Every answer of the run, by id."""
    stages = run.stages()
    found = _of_questions(run) if "evaluation" in stages else []
    found += _of_controls(run) if "controls" in stages else []
    return {exchange.answer.id: exchange for exchange in found}


def _of_questions(run: RunFolder) -> list[Exchange]:
    """The answers to the run's own questions. Raises ``UserError`` where a file is gone."""
    questions = {q.id: q for q in run.stage("questions").read("questions", Question)}
    passages = {p.id: p for p in run.stage("documents").read("passages", Passage)}
    answers = list(run.stage("evaluation").read("answers", Answer))
    asked = {answer.question_id for answer in answers}
    lost = asked - questions.keys()
    without = [q for q in questions.values() if q.passage_id and q.passage_id not in passages]
    if lost or without:
        folder = "questions" if lost else "documents"
        raise UserError(
            f"{run.path / folder} lacks what the answers are about: {len(lost or without)} of "
            f"{len(asked)} are not there.",
            f"Put the folder back, or have it made again. {go_on(run)}",
        )
    return exchanges_of(answers, questions, passages)


def _of_controls(run: RunFolder, drawn: Container[str] | None = None) -> list[Exchange]:
    """The answers to those of the control sets whose answers are texts, or to the items drawn."""
    folder = run.stage("controls")
    texts = {one.key for one in read_sets(folder).values() if one.form in FREE_TEXT}
    items = [item for item in read_items(folder) if item.question.benchmark in texts]
    if drawn is not None:
        items = [item for item in items if item.question.id in drawn]
    asked = {item.question.id for item in items}
    answers = [a for a in folder.read("answers", Answer) if a.question_id in asked]
    return benchmark_exchanges(answers, items)


def _scale(run: RunFolder, options: SheetOptions) -> tuple[int, int]:
    """The scale of the marks: that of the judges. Raises ``UserError`` for control sets that the
    run has not, that nobody can mark, or that are marked on different scales.
    """
    if not options.controls:
        return _SCALE
    sets = read_sets(run.stage("controls")) if "controls" in run.stages() else {}
    texts = [key for key, one in sets.items() if one.form in FREE_TEXT]
    known = f"Sets of this run whose answers are texts: {', '.join(texts) or 'none'}."
    for key in options.controls:
        if key not in sets:
            raise UserError(f"{run.path} has no answers to {key}.", known)
        if key not in texts:
            raise UserError(f"The answers to {key} are right or wrong; nobody marks them.", known)
    judged = (sets[key] for key in options.controls)
    scales = {
        (int(one.scale[0]), int(one.scale[1])) if one.form == "judge" else _SCALE for one in judged
    }
    if len(scales) > 1 and options.between is None:
        raise UserError(
            f"{', '.join(options.controls)} are marked on different scales.",
            "Write a sheet for each.",
        )
    return min(scales)


def _evaluation(run: RunFolder) -> dict[str, Any]:
    stages = run.stages()
    if "evaluation" in stages:
        return stages["evaluation"]
    if "controls" in stages and not run.read_json("run.json").get("asks_questions", True):
        sets = read_sets(run.stage("controls"))
        texts = [key for key, one in sets.items() if one.form in FREE_TEXT]
        raise UserError(
            f"{run.path} has no questions of its own, but benchmarks.",
            f"Name one: --controls {texts[0]}. Those whose answers are texts: {', '.join(texts)}."
            if texts
            else "None of them has answers that are texts, which people could mark.",
        )
    raise UserError(f"The evaluation of {run.path} is not finished.", go_on(run))


def _key_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}.key.json")


def read_run_sheet(run: RunFolder, path: Path, name: str, key: Path | None = None) -> Taken:
    """Take the marks of the person ``name`` into ``run`` and make its report anew. They stand
    beside what the same person marked before; what is marked again is replaced, and an empty cell
    takes nothing away.

    Raises ``UserError`` with all mistakes, and then nothing has changed: a sheet that is not as
    it was written, answers of another run, a name that no folder can have.
    """
    if not name or name.startswith(".") or not all(map(is_name_character, name)):
        raise UserError(
            f"'{name}' cannot be a name.", "Use letters, digits, '_', '.' and '-': --name sato"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    made = read_key(_key_of(path) if key is None else key)
    with run.working():
        exchanges = _exchanges(run)
        _check_answers(run, made, exchanges)
        read = read_marks if made.form == "marks" else read_pairs
        rows: Sequence[Judgement | Comparison] = read(data, made, name)
        unmarked = sum(bool(row.error) for row in rows)
        if unmarked == len(rows):
            raise UserError(f"{path} has no mark at all.", "Fill in the column for marks first.")
        # What was marked is held by its text: an evaluation that is made anew may change it.
        texts = {
            answer: content_id(exchanges[answer].text)
            for item in made.items.values()
            for answer in item.answers
        }
        taken = _store(run.path / FOLDER / name, made, name, rows, texts)
        make_report(run)
    return taken


def _store(
    folder: Path,
    key: Key,
    name: str,
    rows: Sequence[Judgement | Comparison],
    texts: Mapping[str, str],
) -> Taken:
    """Write ``rows`` with those that the person gave before by the same protocol."""
    protocol = key.protocol(name).as_json()
    kind: type[Any] = Judgement if key.form == "marks" else Comparison
    place, before, known = folder / f"{key.form}.json", {}, {}
    for path in sorted(folder.glob(f"{key.form}*.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["protocol"] == json.loads(json_bytes(protocol)):
            place, known = path, about["texts"]
            before = {row.id: row for row in read_records(path.with_suffix(".parquet"), kind)}
            break
    else:
        if place.exists():
            # Another scale, or other columns in sight: not the same marks.
            digits = key.protocol(name).fingerprint[:_DIGITS]
            place = folder / f"{key.form}-{digits}.json"
    kept = {
        row_id: row
        for row_id, row in before.items()
        if all(texts.get(answer, known[answer]) == known[answer] for answer in _answers(row))
    }
    marked = {row.id: row for row in rows if not row.error}
    empty = {row.id: row for row in rows if row.error}
    whole = {**empty, **kept, **marked}
    whole_texts = dict(sorted({**known, **texts}.items()))
    write_aside(place, json_bytes({"protocol": protocol, "texts": whole_texts}))
    write_records(place.with_suffix(".parquet"), kind, [whole[name] for name in sorted(whole)])
    replaced = sum(row_id in before for row_id in marked)
    return Taken(len(rows), len(empty), len(marked) - replaced, replaced)


def _answers(row: Judgement | Comparison) -> tuple[str, ...]:
    if isinstance(row, Judgement):
        return (row.answer_id,)
    return row.first_answer_id, row.second_answer_id


def _check_answers(run: RunFolder, key: Key, exchanges: Mapping[str, Exchange]) -> None:
    """Raise ``UserError`` where the run's answers are not those that the sheet shows."""
    ids = [answer for item in key.items.values() for answer in item.answers]
    missing = sorted({answer for answer in ids if answer not in exchanges})
    layout = Layout(
        int(run.read_json("run.json")["seed"]),
        "passage" in key.columns,
        "reference" in key.columns,
        "criteria" in key.columns,
    )
    changed = []
    if not missing:
        items = [[exchanges[answer] for answer in item.answers] for item in key.items.values()]
        now = (
            marks_sheet([one for (one,) in items], layout)
            if key.form == "marks"
            else pairs_sheet([Pair(one, other) for one, other in items], layout)
        )
        shown = {item.answers: item.shown for item in now.key.items.values()}
        changed = [
            name for name, item in key.items.items() if shown.get(item.answers) != item.shown
        ]
    if missing or changed:
        raise UserError(
            f"The sheet is not of {run.path} as it is now: of {len(ids)} answers "
            f"{len(missing)} are not there, and {len(changed)} items have other texts.",
            "Read it into the run that it was written from, or write a new one: "
            f"teichaku sheet write {run.path} FILE.csv",
        )
