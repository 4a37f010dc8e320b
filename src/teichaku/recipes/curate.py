"""Curation of any folder of rows, outside a study: the order of its steps.

The result's folder:

    curate.json      what was asked for
    steps/NN-NAME/   what each step made of each shard, with a marker each
    examples/        the rows that stay, as examples        dropped/  those that fell, and why
    FORM/            the rows that stay as they came, as JSON lines
    random/ longest/ the controls of a selection, as examples, where they are asked for
    stage.json       last: counts of all steps; only where nothing is left to do

Whatever stops it, the same call goes on with the shards that are not finished.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from itertools import accumulate
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from teichaku import __version__
from teichaku.core.errors import UserError
from teichaku.core.executor import (
    Done,
    Executor,
    Processes,
    Serial,
    TaskError,
    usable_cores,
)
from teichaku.core.locale import translate
from teichaku.core.records import content_id
from teichaku.core.run_folder import (
    fingerprint,
    json_bytes,
    read_object,
    unwritable,
    write_aside,
)
from teichaku.curation.shards import FanIn
from teichaku.documents.files import printable
from teichaku.recipes import counts
from teichaku.recipes.curate_controls import (
    FOLDERS,
    ControlTask,
    MeasureTask,
    chosen_rows,
    measure_shard,
    write_control,
)
from teichaku.recipes.curate_schema import BY_VECTORS, FAN_INS, CurateD4, Curation
from teichaku.recipes.curate_tasks import (
    DECISION,
    LABELS,
    ApplyTask,
    FilterTask,
    ReadTask,
    SketchTask,
    WriteTask,
    apply_shard,
    filter_shard,
    read_piece,
    sketch_shard,
    write_decision,
    write_shard,
)
from teichaku.recipes.progress import Progress, duration
from teichaku.recipes.row_forms import JSON_LINES
from teichaku.recipes.section import Section
from teichaku.recipes.shard_files import (
    MARKER,
    TEXT_FILES,
    Made,
    Shard,
    added,
    finished,
    gather,
    once,
    read_array,
    remove,
    write_array,
)
from teichaku.recipes.shard_input import Piece, Plan, plan_input

_ABOUT, _STAGE, _LOCK = "curate.json", "stage.json", ".lock"

_UNFINISHED = ".*.part"

ENGINES = ("serial", "processes", "ray")

_MORE_MEMORY = (
    "; it may need more memory than there is: fewer --workers leave more for each, and smaller "
    "shards (shard_rows) need less"
)


@dataclass(frozen=True)
class StepTally:
    """What a step did: rows in, out, and fallen by reason; ``seconds`` of this call, in which
    ``before`` of its shards were found finished.
    """

    name: str
    taken: int
    given: int
    reasons: Mapping[str, int]
    seconds: float
    before: int


@dataclass(frozen=True)
class Curated:
    """The result: its folder, the form of the rows, what each step did, and what could not be
    done (part of the input, and why). Counts are those of what could; ``rows_not_done`` counts
    the others, where their file could be read so far.
    """

    folder: Path
    form: str
    steps: Sequence[StepTally]
    not_done: Mapping[str, str]
    rows_not_done: int

    @property
    def taken(self) -> int:
        """How many rows came in."""
        return self.steps[0].taken

    @property
    def given(self) -> int:
        """How many rows stay."""
        return self.steps[-1].given

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows fell in all steps, by reason."""
        return added(step.reasons for step in self.steps)


def _benchmark_items(config: Curation, root: Path) -> bytes:
    """The items that no row may hold, as JSON. Raises ``UserError`` where there are none."""
    if config.leaks is None:
        return b""
    # Late, because it brings all of a study along.
    from teichaku.recipes.leaks_stage import named_items

    items = named_items(config.leaks, root)
    if not items:
        raise UserError(
            "leaks: there is no benchmark to look for.",
            "Name files or sets: leaks: {files: [benchmark.jsonl], sets: [jcommonsenseqa]}",
        )
    return json_bytes({"items": [asdict(item) for item in items]})


def make_executor(engine: str, workers: int = 0, address: str = "") -> Executor:
    """The executor ``engine`` with so many workers (0: as many as it may use cores; of a Ray
    cluster: all it has); ``address`` is that of a Ray cluster. Raises ``UserError`` for an
    engine that is not known, ``MissingExtraError`` where it is not installed.
    """
    if engine not in ENGINES:
        raise UserError(f"There is no engine '{engine}'.", f"One of: {', '.join(ENGINES)}.")
    if address and engine != "ray":
        raise UserError(
            f"The engine '{engine}' has no cluster at {address}.", "Name that one: --engine ray"
        )
    if engine == "serial":
        return Serial()
    if engine == "ray":
        from teichaku.backends.ray_data import RayData

        return RayData(workers, address)
    return Processes(workers or usable_cores())


def run_curation(
    inputs: Sequence[Path],
    config: Curation,
    out: Path,
    executor: Executor,
    progress: Progress,
    root: Path = Path(),
    replace: bool = False,
) -> Curated:
    """Curate the rows in ``inputs`` into the folder ``out``; ``root`` is what the paths in
    ``config`` are relative to. What ``out`` holds of other inputs altogether is refused, unless
    ``replace`` says that it may go.

    The bytes of the result do not depend on the executor, nor on how often it was stopped. A part
    of the input that cannot be read, or whose worker dies again and again, is left for the next
    call, and named. Raises ``UserError`` where there is nothing to read, a disk is full, or
    ``out`` is somebody else's, or of other inputs.
    """
    _require_own(out)
    items = _benchmark_items(config, root)
    plan = plan_input(inputs, out, config.vectors, score=config.score)
    if plan.others:
        such = ", ".join(plan.others[:3])
        passed = translate("files of other kinds are passed over: {count}, such as {such}")
        progress.say("! " + passed.format(count=len(plan.others), such=such))
    try:
        with _working(out):
            if not replace:
                _require_same(out, inputs)
            remove(out / _STAGE)
            told = [printable(str(path)) for path in inputs]
            about = {"teichaku": __version__, "inputs": told, "from": _seen_from(out, inputs)}
            config_told = config.model_dump(mode="json")
            write_aside(out / _ABOUT, json_bytes({**about, "config": config_told}))
            return _Curating(plan, config, out.resolve(), executor, progress, items).run()
    finally:
        progress.close()


@contextmanager
def _working(out: Path) -> Iterator[None]:
    """The result's folder, for this process alone, without what a killed one left half written."""
    lock = FileLock(out / _LOCK, timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"Another curation is working in {out}.", "Wait until it ends, or stop it."
        ) from None
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        _remove_unfinished(out)
        yield
    finally:
        # What workers were at that had to end: on a full disk it holds the room that is asked for.
        with suppress(UserError):
            _remove_unfinished(out)
        lock.release()


def _remove_unfinished(out: Path) -> None:
    for part in list(out.rglob(_UNFINISHED)):
        remove(part)


def _require_own(out: Path) -> None:
    if not out.exists() or (out / _ABOUT).is_file():
        return
    if not out.is_dir():
        raise UserError(f"{out} is no folder.", "Name another one: --out DIR")
    ours = (_LOCK, f".{_ABOUT}{_UNFINISHED[1:]}")
    if not all(any(fnmatchcase(path.name, one) for one in ours) for path in out.iterdir()):
        raise UserError(
            f"{out} holds files that no curation wrote.", "Name another folder: --out DIR"
        )


def _require_same(out: Path, inputs: Sequence[Path]) -> None:
    """That what ``out`` holds was made from one of ``inputs`` at least, or from a folder around
    it or a file in it: the contents may have changed, the place has not.
    """
    own = (_LOCK, _ABOUT)
    if not any(path.is_file() and path.name not in own for path in out.rglob("*")):
        return
    about = read_object(out / _ABOUT)
    whole = out.resolve()
    # Earlier versions did not say it.
    before, now = (
        [PurePath(os.path.normpath(whole / one)) for one in places]
        for places in (about.get("from", ()), _seen_from(out, inputs))
    )
    if not before or any(
        one.is_relative_to(other) or other.is_relative_to(one) for one in before for other in now
    ):
        return
    told = translate("{folder} holds what was made from other files: {files}.")
    raise UserError(
        told.format(folder=out, files=", ".join(about.get("inputs", ()))),
        translate("Choose another folder (--out DIR), or add --replace to lose what is there."),
    )


def _seen_from(out: Path, inputs: Sequence[Path]) -> list[str]:
    """The places of ``inputs`` as seen from ``out``, so that both may be moved together."""
    whole = out.resolve()
    return [printable(os.path.relpath(path.resolve(), whole)) for path in inputs]


@cache
def program_fingerprint(package: Path = Path(__file__).parents[1]) -> str:
    """Changes where any file does that steps may be made of. So no shard of another version is
    taken for one of this, and nobody has to remember which change matters to which step.
    """
    files = [
        (str(path.relative_to(package)), sha256(path.read_bytes()).hexdigest())
        for part in ("core", "curation", "documents", "recipes")
        for path in sorted((package / part).rglob("*"))
        if path.is_file() and not _is_cache(path.relative_to(package))
    ]
    return fingerprint([__version__, files])


def _is_cache(path: Path) -> bool:
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


AnyTask = TypeVar(
    "AnyTask", ReadTask, FilterTask, SketchTask, ApplyTask, WriteTask, MeasureTask, ControlTask
)


@dataclass(frozen=True)
class _Part:
    """A shard on its way: the part of the input it is from, for people, and what each step made
    of it, reading first.
    """

    told: str
    steps: tuple[Shard, ...]

    @property
    def shard(self) -> Shard:
        """As the last step left it."""
        return self.steps[-1]


@dataclass
class _Curating:
    """A curation that is going on. ``wanted`` are the files that belong to its result, ``sizes``
    the rows of the parts of the input, as people are told of them, ``controls`` the rows and
    characters of the selection and of what is beside it.
    """

    plan: Plan
    config: Curation
    out: Path
    executor: Executor
    progress: Progress
    items: bytes
    folders: list[Path] = field(default_factory=list)
    not_done: dict[str, str] = field(default_factory=dict)
    wanted: set[Path] = field(default_factory=set)
    spent: dict[str, tuple[float, int]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    controls: dict[str, dict[str, int]] = field(default_factory=dict)
    program: str = field(default_factory=program_fingerprint)

    def run(self) -> Curated:
        """All steps, one after another."""
        for name, reason in self.plan.faults:
            self._note(name, reason)
        parts = self._read()
        for name, sections in self.config.steps():
            if name in FAN_INS:
                before, parts = parts, self._fan_in(parts, name, sections[0])
                if isinstance(sections[0], CurateD4) and sections[0].controls:
                    self._write_controls(before, sections[0])
            elif name == "leaks":
                parts = self._check_leaks(parts, sections[0])
            else:
                parts = self._filter(parts, name, sections)
        parts = self._write(parts)
        if not parts:
            reasons = "".join(f"\n  {reason}" for reason in self.not_done.values())
            raise UserError(
                f"Nothing could be curated.{reasons}", "Mend the files; then run again."
            )
        return self._finish(parts)

    def _begin(self, name: str) -> Path:
        """The folder of the next step."""
        folder = self.out / "steps" / f"{len(self.folders):02d}-{name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        self.folders.append(folder)
        return folder

    def _told(self, name: str) -> str:
        # Reading comes before the filters, and writing after them.
        return f"{len(self.folders)}/{len(self.config.steps()) + 2} {name}"

    def _note(self, told: str, reason: str) -> None:
        self.not_done[told] = reason
        why = reason if told in reason else f"{told}: {reason}"
        self.progress.say("! " + translate("not done: {why}").format(why=why))

    def _read(self) -> list[_Part]:
        folder, config, form = self._begin("read"), self.config, self.plan.form
        if form is None:
            return []
        cut = (config.language, config.shard_rows, config.vectors, config.score)
        tasks = [
            ReadTask(
                f"{content_id(piece.name)}-{piece.number:05d}",
                piece,
                form,
                str(folder),
                fingerprint([self.program, piece.name, piece.first, form.name, form.keys, cut]),
                *cut,
            )
            for piece in self.plan.pieces
        ]
        self.sizes = {task.told: task.rows for task in tasks}
        made = self._map("read", read_piece, tasks)
        pieces = {task.name: task.piece for task in tasks}
        parts = [part for name in sorted(made) for part in _cut(pieces[name], made[name].shards)]
        self.sizes.update((part.told, part.shard.taken) for part in parts)
        return parts

    def _filter(self, parts: list[_Part], name: str, sections: tuple[Section, ...]) -> list[_Part]:
        source, folder = self.folders[-1], self._begin(name)
        settings, language = self._settings(sections), self.config.language
        tasks = [
            FilterTask(
                **_shared(part, source, folder, settings), sections=sections, language=language
            )
            for part in parts
        ]
        return _passed_on(parts, self._map(name, filter_shard, tasks))

    def _check_leaks(self, parts: list[_Part], section: Section) -> list[_Part]:
        """Without the rows into which a benchmark item leaks; the items lie beside the shards."""
        source, folder = self.folders[-1], self._begin("leaks")
        file, settings = folder / "items.json", self._settings([section, self.items.decode()])
        write_aside(file, self.items)
        self.wanted.add(file)
        tasks = [
            FilterTask(
                **_shared(part, source, folder, settings),
                sections=(),
                language=self.config.language,
                items=str(file),
                least=self.config.leaks.threshold if self.config.leaks else 0.0,
            )
            for part in parts
        ]
        return _passed_on(parts, self._map("leaks", filter_shard, tasks))

    def _fan_in(self, parts: list[_Part], name: str, section: Section) -> list[_Part]:
        source, folder = self.folders[-1], self._begin(name)
        step, settings = FAN_INS[name](section, self.config), self._settings([section])
        tasks = [
            SketchTask(
                **_shared(part, source, folder / "sketch", settings),
                step=step,
                vectors=str(self.folders[0]) if name in BY_VECTORS else "",
                read=part.steps[0].files,
            )
            for part in parts
        ]
        made = self._map(f"{name}: sketch", sketch_shard, tasks)
        parts = [part for part in parts if part.shard.name in made]
        sketches = [made[part.shard.name].shards[0] for part in parts]
        if not sketches:
            return []
        decision = self._decide(name, step, sketches, settings)
        starts = accumulate((part.shard.rows for part in parts), initial=0)
        applied = [
            ApplyTask(
                **_shared(part, source, folder, settings), decision_key=decision.key, start=start
            )
            for part, start in zip(parts, starts, strict=False)
        ]
        return _passed_on(parts, self._map(name, apply_shard, applied))

    def _decide(self, name: str, step: FanIn, sketches: Sequence[Shard], settings: str) -> Shard:
        """What the step says of all rows, in one process: this one."""
        folder, told = self.folders[-1], self._told(f"{name}: decide")
        begun = time.monotonic()

        def work() -> list[Shard]:
            sketch = gather(folder / "sketch", sketches, folder)
            decision = step.decide(sketch)
            decision.check()
            files = [*write_decision(folder, decision), *LABELS]
            for file in (f"{key}.npy" for key in sketch.arrays):
                remove(folder / file)
            for file in (f"{key}{end}" for key in sketch.texts for end in TEXT_FILES):
                if file not in LABELS:
                    remove(folder / file)
            return [finished(folder, DECISION, sum(one.rows for one in sketches), files)]

        self.progress.begin(told, None)
        try:
            made_from = fingerprint([(shard.name, shard.key) for shard in sketches])
            made = once(folder, DECISION, made_from, settings, work)
        except TaskError as error:
            raise UserError(
                f"{name}: {error}", "Run it again: what is damaged is made anew."
            ) from error
        self._keep(folder, DECISION, made)
        self._spend(time.monotonic() - begun, 0)
        self.progress.end(told, duration(time.monotonic() - begun))
        return made.shards[0]

    def _write_controls(self, parts: list[_Part], section: CurateD4) -> None:
        """Beside what the last step selected of ``parts``, controls of as many characters; only
        where all could be done, for else these have another size the next time.
        """
        if self.not_done or not parts:
            return
        (source, selected), settings = self.folders[-2:], self._settings([section])
        folder = self.out / "steps" / "controls"
        measured = [
            MeasureTask(**_shared(part, source, folder / "sketch", settings), seed=self.config.seed)
            for part in parts
        ]
        made = self._map("controls: measure", measure_shard, measured)
        if self.not_done:
            return
        arrays = self._gathered(folder, [made[part.shard.name].shards[0] for part in parts])
        sizes, kept = arrays["size"], np.asarray(read_array(selected / f"{DECISION}.keep.npy"))
        limit = int(sizes[kept].sum())
        self.controls["selected"] = {"rows": int(kept.sum()), "characters": limit}
        starts = list(accumulate((part.shard.rows for part in parts), initial=0))
        for control in section.controls:
            chosen = chosen_rows(control, sizes, arrays["drawn"], limit)
            about = {"rows": int(chosen.sum()), "characters": int(sizes[chosen].sum())}
            self.controls[FOLDERS[control]] = about
            file = folder / f"{control}.npy"
            write_array(file, chosen)
            self.wanted.add(file)
            key = sha256(chosen.tobytes()).hexdigest()
            tasks = [
                ControlTask(
                    **_shared(part, source, self.out, settings),
                    control=control,
                    chosen=str(file),
                    key=key,
                    start=start,
                    markers=str(folder.relative_to(self.out)),
                )
                for part, start in zip(parts, starts, strict=False)
            ]
            self._map(f"controls: {FOLDERS[control]}", write_control, tasks)

    def _gathered(self, folder: Path, sketches: Sequence[Shard]) -> dict[str, np.ndarray]:
        """The arrays of all shards as one each, in memory."""
        try:
            found = gather(folder / "sketch", sketches, folder)
        except TaskError as error:
            raise UserError(
                f"controls: {error}", "Run it again: what is damaged is made anew."
            ) from error
        arrays = {name: np.array(array) for name, array in found.arrays.items()}
        for name in arrays:
            remove(folder / f"{name}.npy")
        return arrays

    def _write(self, parts: list[_Part]) -> list[_Part]:
        steps = tuple(map(str, self.folders))
        source, folder, form = self.folders[-1], self._begin("write"), self.plan.form
        if form is None:
            return []
        markers = str(folder.relative_to(self.out))
        settings = self._settings([form.name, form.keys, [Path(step).name for step in steps]])
        tasks = [
            WriteTask(
                **_shared(part, source, self.out, settings),
                form=form,
                markers=markers,
                steps=steps,
                history=tuple(step.files for step in part.steps),
            )
            for part in parts
        ]
        made = self._map("write", write_shard, tasks)
        return [part for part in parts if part.shard.name in made]

    def _settings(self, of: Sequence[Any]) -> str:
        told = [one.model_dump() if isinstance(one, Section) else one for one in of]
        return fingerprint([self.program, self.config.language, self.config.seed, told])

    def _map(
        self, name: str, function: Callable[[AnyTask], Made], tasks: Sequence[AnyTask]
    ) -> dict[str, Made]:
        """What the tasks made, by their names; those that failed are noted."""
        start, told = time.monotonic(), self._told(name)
        made: dict[str, Made] = {}
        self.progress.begin(told, sum(task.rows for task in tasks), unit=counts.rows)
        # Closed, so that no worker goes on where this is stopped.
        with closing(self.executor.map(function, tasks)) as results:
            for result in results:
                self.progress.advance(result.task.rows)
                if isinstance(result, Done):
                    made[result.task.name] = result.value
                    self._keep(Path(result.task.folder), result.task.marker, result.value)
                else:
                    why = _MORE_MEMORY if result.died else ""
                    self._note(result.task.told, f"{result.reason}{why}")
        seconds, before = time.monotonic() - start, sum(one.before for one in made.values())
        self._spend(seconds, before)
        shards = [shard for one in made.values() for shard in one.shards]
        self.progress.end(told, _in_words(shards, before, len(made), seconds))
        return made

    def _spend(self, seconds: float, before: int) -> None:
        """The step took so much more, and the last part of it found so much finished."""
        step = self.folders[-1].name
        self.spent[step] = self.spent.get(step, (0.0, 0))[0] + seconds, before

    def _keep(self, folder: Path, marker: str, made: Made) -> None:
        self.wanted |= {folder / file for shard in made.shards for file in shard.files}
        self.wanted.add(folder / f"{marker}{MARKER}")

    def _finish(self, parts: Sequence[_Part]) -> Curated:
        """Count, tidy up, and mark the result as finished where it is."""
        tallies = []
        for place, folder in enumerate(self.folders[:-1]):
            shards = [part.steps[place] for part in parts]
            taken, given = sum(s.taken for s in shards), sum(s.rows for s in shards)
            reasons = added(shard.reasons for shard in shards)
            tallies.append(
                StepTally(folder.name[3:], taken, given, reasons, *self.spent[folder.name])
            )
        form = self.plan.form.name if self.plan.form else ""
        undone = sum(self.sizes.get(told, 0) for told in self.not_done)
        curated = Curated(self.out, form, tallies, self.not_done, undone)
        if curated.taken != curated.given + sum(curated.reasons.values()):
            raise AssertionError(f"counts do not add up: {curated}")
        self._tidy()
        if not self.not_done:
            write_aside(self.out / _STAGE, json_bytes(self._summary(curated, parts)))
        return curated

    def _summary(self, curated: Curated, parts: Sequence[_Part]) -> dict[str, Any]:
        """What ``stage.json`` says: nothing of the moment, so that it has the same bytes again."""
        files: dict[str, dict[str, Any]] = {}
        names = {content_id(piece.name): piece.name for piece in self.plan.pieces}
        for part in parts:
            begins = part.shard.name.partition("-")[0]
            # Files of the result are named by a hash, for a name may hold what no other disk can.
            empty = {"in": 0, "out": 0, "shards": f"{begins}-*"}
            tally = files.setdefault(names[begins], empty)
            tally["in"] += part.steps[0].taken
            tally["out"] += part.shard.rows
        settings = self._settings([self.config, self.items.decode()])
        made_from = fingerprint([settings, [p.steps[0].key for p in parts]])
        return {
            "fingerprint": made_from,
            "counts": {
                "in": curated.taken,
                "out": curated.given,
                "dropped": curated.taken - curated.given,
                "reasons": curated.reasons,
            },
            "form": curated.form,
            "steps": [
                {"name": step.name, "in": step.taken, "out": step.given, "reasons": step.reasons}
                for step in curated.steps
            ],
            "files": dict(sorted(files.items())),
            **({"controls": self.controls} if self.controls else {}),
        }

    def _tidy(self) -> None:
        """Remove what earlier calls made of other input or with other settings."""
        try:
            for place in ("steps", "examples", "dropped", *FOLDERS.values(), *JSON_LINES):
                folder = self.out / place
                found = (
                    [*sorted(folder.rglob("*"), reverse=True), folder] if folder.is_dir() else ()
                )
                for path in found:
                    if not path.is_dir() and path not in self.wanted:
                        path.unlink()
                    elif path.is_dir() and not any(path.iterdir()):
                        path.rmdir()
        except OSError as error:
            raise unwritable(Path(error.filename or self.out), error) from error


def _cut(piece: Piece, shards: Sequence[Shard]) -> Iterator[_Part]:
    """The shards of a piece, each told by its rows where it is not the whole file."""
    if piece.whole and len(shards) == 1:
        yield _Part(piece.told, tuple(shards))
        return
    # Blank lines are in no shard, so where there are some it is not known which rows it has.
    about = "" if sum(shard.taken for shard in shards) == piece.rows else "about "
    first = piece.first
    for shard in shards:
        last = first + shard.taken - 1
        yield _Part(f"{piece.name}, {about}rows {first:,} to {last:,}", (shard,))
        first = last + 1


def _shared(part: _Part, source: Path, folder: Path, settings: str) -> dict[str, Any]:
    """What a task says of its shard, whatever is done to it."""
    return {
        "name": part.shard.name,
        "told": part.told,
        "rows": part.shard.rows,
        "files": part.shard.files,
        "source": str(source),
        "folder": str(folder),
        "settings": settings,
    }


def _passed_on(parts: Sequence[_Part], made: Mapping[str, Made]) -> list[_Part]:
    """The parts whose tasks are done, with what these made."""
    return [
        _Part(part.told, (*part.steps, made[part.shard.name].shards[0]))
        for part in parts
        if part.shard.name in made
    ]


def _in_words(shards: Sequence[Shard], before: int, tasks: int, seconds: float) -> str:
    taken, given = sum(shard.taken for shard in shards), sum(shard.rows for shard in shards)
    reasons = added(shard.reasons for shard in shards)
    fallen = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    text = translate("{count} in, {out} out, {dropped} dropped").format(
        count=counts.rows(taken), out=given, dropped=taken - given
    )
    text += f" ({fallen})" if fallen else ""
    if before:
        told = translate("; {before} of {tasks} shards finished before")
        text += told.format(before=before, tasks=tasks)
    return text + translate("; ") + duration(seconds)
