"""The scores of a run computed anew from its files: no model is asked, and nothing is sent."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from teichaku.core.errors import UserError
from teichaku.core.records import Answer, Judgement, Question, Score
from teichaku.core.run_folder import RunFolder, StageFolder, read_records, write_aside
from teichaku.evaluation.answers import ANSWER_CUT, REQUEST_FAILED
from teichaku.evaluation.benchmarks.controls import (
    ControlItem,
    Controls,
    control_results,
    control_scores,
    read_controls,
    write_results,
)
from teichaku.evaluation.scorers import score_answers
from teichaku.recipes.dataset import no_student
from teichaku.recipes.evaluation_schema import Scorer
from teichaku.recipes.judges import scorer_names
from teichaku.recipes.load import load_recipe
from teichaku.recipes.mistakes import nearest
from teichaku.recipes.reporting import make_report
from teichaku.recipes.study import go_on

Record = TypeVar("Record")

_JUDGE = "judge_absolute"
_CONTROLS = "controls"
_NAMES: tuple[str, ...] = get_args(Scorer)


@dataclasses.dataclass(frozen=True)
class Scored:
    """What one scorer gave: so many scores, ``failed`` of them null, and how many are ``changed``
    from what stood there; null where nothing of this scorer did.
    """

    stage: str
    scorer: str
    scores: int
    failed: int
    changed: int | None


def score_run(run: RunFolder, scorers: Sequence[str] = ()) -> list[Scored]:
    """Write the scores of a finished run anew, and make its report again: those of its questions
    by the scorers of its recipe, those of benchmarks by their metrics. ``scorers`` come beside
    those that the report has already; without any, it goes back to those of the recipe.

    The same call twice leaves the same bytes, and the run is as finished as it was. Raises
    ``UserError`` where nothing was asked or it is not finished, a scorer is not known or has
    nothing to go by, or a file is damaged or of another version; then nothing has changed.
    """
    with run.working():
        recipe = load_recipe(run.path / "recipe.yaml")
        if recipe.ends_with_data:
            raise no_student(run)
        own: Sequence[str] = recipe.evaluation.scorers
        names = _joined(run, own, scorers) if scorers else own
        if scorers and not recipe.asks_questions:
            raise UserError(
                f"{run.path} asked benchmarks alone, and what marks those is no choice.",
                "Leave --scorers out.",
            )
        scores = _question_scores(run, names, scorers) if recipe.asks_questions else None
        controls = _controls(run, is_needed=scores is None)
        marked = _marked(run, controls) if controls is not None else []
        _check_others(run)
        found = []
        with _all_or_nothing(run):
            if scores is not None:
                found += _write(run, "evaluation", scores, [] if names == own else names)
            if controls is not None:
                # What marks a benchmark is no choice of a recipe's.
                found += _write(run, _CONTROLS, marked, [])
                write_results(run.stage(_CONTROLS), controls, marked)
            make_report(run)
    return found


def _check_others(run: RunFolder) -> None:
    """That the report, which is made of all stages, can be made."""
    if "language" not in run.read_json("run.json"):
        raise _damaged(run, run.path / "run.json", "it has no 'language'")
    # The scores themselves are made anew.
    for stage in run.stages():
        for path in sorted(run.stage(stage).path.glob("*.parquet")):
            if path.name == "scores.parquet" and stage in ("evaluation", _CONTROLS):
                continue
            try:
                pq.read_schema(path)
            except (pa.ArrowException, OSError) as error:
                raise _damaged(run, path, "it cannot be read") from error


@contextmanager
def _all_or_nothing(run: RunFolder) -> Iterator[None]:
    """Put the scores back as they were where they, or the report, cannot be written."""
    names = ("scores.parquet", "results.json", "stage.json")
    paths = [run.stage(stage).path / name for stage in ("evaluation", _CONTROLS) for name in names]
    before = {path: path.read_bytes() if path.is_file() else None for path in paths}
    try:
        yield
    except BaseException as error:
        for path, content in before.items():
            if content is not None:
                write_aside(path, content)
            elif path.is_file():
                path.unlink()
        if isinstance(error, pa.ArrowException | KeyError | ValueError):
            raise UserError(
                f"The report of {run.path} cannot be made: {type(error).__name__}: {error}.",
                f"A file of the run is damaged; its scores are as they were. {go_on(run)}",
            ) from error
        raise


def _finished(run: RunFolder, stage: str) -> dict[str, Any]:
    """What the stage says of itself."""
    stages = run.stages()
    if stage not in stages:
        raise UserError(f"The {stage} of {run.path} is not finished.", go_on(run))
    for key in ("counts", "notes"):
        if key not in stages[stage]:
            raise _damaged(run, run.stage(stage).marker, f"it has no '{key}'")
    return stages[stage]


def _controls(run: RunFolder, is_needed: bool) -> Controls | None:
    """What the answers to benchmarks are scored from; None where none were asked."""
    if is_needed:
        _finished(run, _CONTROLS)
    elif _CONTROLS not in run.stages():
        return None
    folder = run.stage(_CONTROLS)
    kinds: dict[str, type[Any]] = {"questions": Question, "items": ControlItem, "answers": Answer,
             "judgements": Judgement}  # fmt: skip
    read: dict[str, list[Any]] = {
        name: _read(run, folder.path, name, kind) for name, kind in kinds.items()
    }
    _check_items(run, folder, read["questions"], read["items"])
    try:
        controls = read_controls(folder, scorer_names(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(run, folder.path / "sets.json", "it cannot be read") from error
    _check_answers(run, folder, controls)
    return controls


def _check_items(
    run: RunFolder, folder: StageFolder, questions: Sequence[Any], items: Sequence[Any]
) -> None:
    asked = Counter(question.benchmark for question in questions)
    for key, stated in _finished(run, _CONTROLS)["notes"].get("sets", {}).items():
        _check_count(run, folder.path / "questions.parquet", asked[key], stated, f" of {key}")
    _check_count(run, folder.path / "items.parquet", len(items), len(questions))
    if {item.question_id for item in items} != {question.id for question in questions}:
        path = folder.path / "items.parquet"
        raise _damaged(run, path, "its items are not those of questions.parquet")


def _check_answers(run: RunFolder, folder: StageFolder, controls: Controls) -> None:
    """That no answer or judgement is lacking, and that each belongs to an item that was asked."""
    summary = _finished(run, _CONTROLS)
    counts, path = summary["counts"], folder.path / "answers.parquet"
    fell = counts.get("reasons", {})
    # Runs of earlier versions do not say it, and passages may have fallen for the same reason.
    stated = counts["out"] + sum(fell.get(reason, 0) for reason in (REQUEST_FAILED, ANSWER_CUT))
    stated = summary["notes"].get("answers", stated)
    _check_count(run, path, len(controls.answers), stated)
    for answer in controls.answers:
        if answer.question_id not in controls.items:
            raise _damaged(run, path, f"it answers {answer.question_id}, which no item is")
    for item in controls.items.values():
        if item.question.benchmark not in controls.sets:
            told = f"it does not tell of {item.question.benchmark}"
            raise _damaged(run, folder.path / "sets.json", told)
    marks = summary["notes"].get("judgements")
    _check_count(run, folder.path / "judgements.parquet", len(controls.judgements), marks)


def _marked(run: RunFolder, controls: Controls) -> list[Score]:
    """The scores of benchmarks, from which their figures can be made."""
    try:
        marked = control_scores(controls)
        control_results(controls, marked)
    except (KeyError, ValueError, TypeError) as error:
        path = run.stage(_CONTROLS).path / "items.parquet"
        raise _damaged(run, path, "its answers cannot be marked by it") from error
    return marked


def _joined(run: RunFolder, own: Sequence[str], further: Sequence[str]) -> list[str]:
    """The scorers of the recipe first, for the first of them is the headline's; those of earlier
    calls; and ``further`` ones. Raises ``UserError`` where one of these is not known.
    """
    for name in further:
        if name not in _NAMES:
            raise UserError(
                f"There is no scorer '{name}'{nearest(name, _NAMES)}.",
                f"All of them: {', '.join(_NAMES)}.",
            )
    before = (run.stage("evaluation").summary() or {}).get("notes", {}).get("scorers", ())
    return list(dict.fromkeys([*own, *before, *further]))


def _question_scores(run: RunFolder, names: Sequence[str], chosen: Sequence[str]) -> list[Score]:
    """The scores of the questions of the run by all ``names``; those that were ``chosen`` must
    have something to go by.
    """
    folder, summary = run.stage("evaluation"), _finished(run, "evaluation")
    questions = {
        row.id: row for row in _read(run, run.stage("questions").path, "questions", Question)
    }
    answers = _read(run, folder.path, "answers", Answer)
    _check_count(run, folder.path / "answers.parquet", len(answers), summary["counts"]["in"])
    for answer in answers:
        if answer.question_id not in questions:
            raise _damaged(
                run,
                folder.path / "answers.parquet",
                f"it answers the question {answer.question_id}, which the run does not ask",
            )
    judgements = _read(run, folder.path, "judgements", Judgement)
    path, marked = folder.path / "judgements.parquet", summary["notes"].get("judgements")
    _check_count(run, path, len(judgements), marked)
    if _JUDGE in chosen and not judgements:
        raise UserError(
            f"No answer of {run.path} was marked by a judge, and marks need a model.",
            f"Leave {_JUDGE} out, or add it to evaluation.scorers and run the recipe.",
        )
    used = judgements if _JUDGE in names else []
    return list(score_answers(answers, questions, names, used, scorer_names(folder)))


def _check_count(
    run: RunFolder, path: Path, rows: int, stated: int | None, which: str = ""
) -> None:
    if stated is not None and rows != stated:
        raise _damaged(run, path, f"it has {rows} rows{which}, and its stage says {stated}")


def _read(run: RunFolder, folder: Path, name: str, kind: type[Record]) -> list[Record]:
    """All rows of a file that was written with the fields of ``kind``."""
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise _damaged(run, path, "it is not there any more")
    try:
        columns = set(pq.read_schema(path).names)
        rows = list(read_records(path, kind)) if not _unlike(columns, kind) else []
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(run, path, "it cannot be read") from error
    if unlike := _unlike(columns, kind):
        raise UserError(
            f"{path} was written by another version of Teichaku: {unlike}.",
            "Score it with that version, which run.json names, or run the recipe again.",
        )
    return rows


def _unlike(columns: set[str], kind: type[Any]) -> str:
    """How the columns of a file differ from the fields of ``kind``; what has a default may lack."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    needed = {name for name, one in fields.items() if one.default is dataclasses.MISSING}
    told = [f"there is no column '{name}'" for name in sorted(needed - columns)]
    told += [f"the column '{name}' is not known" for name in sorted(columns - fields.keys())]
    return ", ".join(told)


def _damaged(run: RunFolder, path: Path, what: str) -> UserError:
    return UserError(
        f"{path} is damaged: {what}.",
        f"Copy it from where the run was made, or remove the folder {path.parent} to have it made "
        f"anew. {go_on(run)}",
    )


def _write(
    run: RunFolder, stage: str, scores: Sequence[Score], stated: Sequence[str]
) -> list[Scored]:
    """Write the scores of a stage, which stays finished; scorers that are not those of its recipe
    are ``stated`` in its notes.
    """
    folder, summary = run.stage(stage), _finished(run, stage)
    before = _values(folder.path / "scores.parquet")
    folder.write("scores", Score, scores)
    notes = {name: value for name, value in summary["notes"].items() if name != "scorers"}
    if stated:
        notes["scorers"] = list(stated)
    folder.finish(summary["fingerprint"], {**summary, "notes": notes})
    by_scorer: dict[str, list[Score]] = {}
    for row in scores:
        by_scorer.setdefault(row.scorer, []).append(row)
    return [_compared(stage, name, rows, before) for name, rows in by_scorer.items()]


def _compared(
    stage: str, scorer: str, rows: Sequence[Score], before: Mapping[str, Mapping[str, float | None]]
) -> Scored:
    old = before.get(scorer)
    changed = None
    if old is not None:
        is_same = (row.answer_id in old and old[row.answer_id] == row.value for row in rows)
        changed = len(rows) - sum(is_same)
    return Scored(stage, scorer, len(rows), sum(row.value is None for row in rows), changed)


def _values(path: Path) -> dict[str, dict[str, float | None]]:
    """The values that a file of scores holds, by scorer and answer; none where it cannot be
    read, for it is made anew.
    """
    found: dict[str, dict[str, float | None]] = {}
    try:
        table = pq.read_table(path, columns=["scorer", "answer_id", "value"])
    except (pa.ArrowException, OSError, KeyError):
        return found
    for scorer, answer, value in zip(*(column.to_pylist() for column in table), strict=True):
        found.setdefault(scorer, {})[answer] = value
    return found
