"""Marks and verdicts of people on the answers of a finished run: sheets go out and come back.

What comes back lies in ``people/NAME/`` of the run, beside the stages, because it is of no stage:
no run makes it, and none removes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from teichaku.core.run_folder import RunFolder, json_bytes, write_aside, write_records
from teichaku.evaluation.judging.exchanges import Exchange, Pair, exchanges_of, pair_up
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
from teichaku.recipes.evaluated import in_sample_order
from teichaku.recipes.names import is_name_character
from teichaku.recipes.reporting import make_report
from teichaku.recipes.study import go_on

FOLDER = "people"


@dataclass(frozen=True)
class SheetOptions:
    """What a sheet asks for: marks, or verdicts on the answers of the arms ``between``.

    ``questions`` are drawn as fairly as the judge's (None: all); ``arms`` empty: all of them.
    ``condition`` is that under which the answers were given; with ``passages`` people see the
    passage of each question. ``language`` is that of the headings; empty for the run's.
    """

    between: tuple[str, str] | None = None
    questions: int | None = 20
    arms: Sequence[str] = ()
    condition: Condition = "closed_book"
    passages: bool = False
    language: str = ""


@dataclass(frozen=True)
class Written:
    """A sheet of so many ``rows``, and its key, which is not for the people who mark."""

    rows: int
    key: Path


@dataclass(frozen=True)
class Taken:
    """What a sheet gave: so many ``rows``, of which so many are ``unmarked``."""

    rows: int
    unmarked: int


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
    by_arm = _by_arm(run, options)
    about = run.read_json("run.json")
    layout = Layout(
        int(about["seed"]), options.passages, language=options.language or about["language"]
    )
    sheet = _sheet(by_arm, options, layout)
    if not sheet.rows:
        raise UserError(
            f"There is no answer of {run.path} for such a sheet ({options.condition}).",
            "Look at the conditions of the recipe, and at failed answers: "
            f"teichaku show {run.path} evaluation --dropped",
        )
    return Written(len(sheet.rows), write_sheet(sheet, path))


def _sheet(
    by_arm: Mapping[str, Sequence[Exchange]], options: SheetOptions, layout: Layout
) -> Sheet:
    wanted = options.between or tuple(options.arms) or tuple(by_arm)
    unknown = [name for name in wanted if name not in by_arm]
    if unknown:
        raise UserError(
            f"No model called {', '.join(unknown)} answered.", f"Known: {', '.join(by_arm)}."
        )
    if options.between is None:
        return marks_sheet([e for name in wanted for e in by_arm[name]], layout)
    one, other = options.between
    if one == other:
        raise UserError(f"{one} cannot be compared with itself.", "Name two arms.")
    pairs, _ = pair_up(by_arm[one], by_arm[other])
    return pairs_sheet(pairs, layout)


def _by_arm(run: RunFolder, options: SheetOptions) -> dict[str, list[Exchange]]:
    """The answers to the questions that are drawn, by arm."""
    questions = in_sample_order(
        run.stage("questions").read("questions", Question), int(run.read_json("run.json")["seed"])
    )[: options.questions]
    drawn = {question.id for question in questions}
    selected = _evaluation(run)["notes"].get("selected_checkpoints", {})
    found: dict[str, list[Exchange]] = {}
    for exchange in _exchanges(run).values():
        answer = exchange.answer
        if (
            answer.question_id in drawn
            and answer.condition == options.condition
            and answer.checkpoint == selected.get(answer.arm, BASE_CHECKPOINT)
        ):
            found.setdefault(answer.arm, []).append(exchange)
    return dict(sorted(found.items()))


def _exchanges(run: RunFolder) -> dict[str, Exchange]:
    """Every answer of the evaluation, by id."""
    questions = {q.id: q for q in run.stage("questions").read("questions", Question)}
    passages = {p.id: p for p in run.stage("documents").read("passages", Passage)}
    answers = run.stage("evaluation").read("answers", Answer)
    return {e.answer.id: e for e in exchanges_of(answers, questions, passages)}


def _evaluation(run: RunFolder) -> dict[str, Any]:
    stages = run.stages()
    if "evaluation" not in stages:
        raise UserError(f"The evaluation of {run.path} is not finished.", go_on(run))
    return stages["evaluation"]


def _key_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}.key.json")


def read_run_sheet(run: RunFolder, path: Path, name: str, key: Path | None = None) -> Taken:
    """Take the marks of the person ``name`` into ``run`` and make its report anew; what the same
    person said before in a sheet of the same form is replaced.

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
        _evaluation(run)
        exchanges = _exchanges(run)
        _check_answers(run, made, exchanges)
        kind: type[Any] = Judgement if made.form == "marks" else Comparison
        read = read_marks if made.form == "marks" else read_pairs
        rows: Sequence[Judgement | Comparison] = read(data, made, name)
        unmarked = sum(bool(row.error) for row in rows)
        if unmarked == len(rows):
            raise UserError(f"{path} has no mark at all.", "Fill in the column for marks first.")
        folder = run.path / FOLDER / name
        # What was marked is held by its text: an evaluation that is made anew may change it.
        texts = {
            answer: content_id(exchanges[answer].text)
            for item in made.items.values()
            for answer in item.answers
        }
        about = {"protocol": made.protocol(name).as_json(), "texts": dict(sorted(texts.items()))}
        write_aside(folder / f"{made.form}.json", json_bytes(about))
        write_records(folder / f"{made.form}.parquet", kind, rows)
        make_report(run)
    return Taken(len(rows), unmarked)


def _check_answers(run: RunFolder, key: Key, exchanges: Mapping[str, Exchange]) -> None:
    """Raise ``UserError`` where the run's answers are not those that the sheet shows."""
    ids = [answer for item in key.items.values() for answer in item.answers]
    missing = sorted({answer for answer in ids if answer not in exchanges})
    layout = Layout(
        int(run.read_json("run.json")["seed"]),
        "passage" in key.columns,
        "reference" in key.columns,
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
