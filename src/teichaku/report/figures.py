"""The charts as Vega-Lite specifications, built with Altair.

Colours and fonts are left to the page, which sets them by style sheet variables, so that one
drawing serves light, dark and print.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from teichaku.core.errors import MissingExtraError
from teichaku.core.records import BASE_CHECKPOINT
from teichaku.report import tables
from teichaku.report.wording import Wording

_JUDGE = "judge"
_BASE_COLOUR, _BEST_COLOUR = "var(--series-base)", "var(--series-1)"
_BAND_OPACITY = 0.14
_MOST_BANDS = 3
_MOST_ARMS = 12
_LINE_HEIGHT = 240
_DOT_HEIGHT = 15
_ROW_PADDING = 12


@dataclass(frozen=True)
class Figure:
    """One chart: where it stands in the page, its heading, its specification, and the colour
    of each of its series by name.
    """

    name: str
    section: str
    title: str
    spec: dict[str, Any]
    legend: dict[str, str]


def figures(report: dict[str, Any], words: Wording) -> list[Figure]:
    """All charts that the figures of ``report`` allow.

    Raises ``MissingExtraError`` where Altair is not installed.
    """
    altair = load_altair()
    return [
        *_progress(altair, report, words),
        *_categories(altair, report, words),
        *_wording(altair, report, words),
        *_losses(altair, report, words),
        *_lengths(altair, report, words),
    ]


def javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script without outside parts.

    Raises ``MissingExtraError`` where vl-convert is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtraError("The report", "report") from error
    # The argument has a default; the package's stub does not say so.
    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]


def load_altair() -> ModuleType:
    """Altair. Raises ``MissingExtraError`` where it is not installed."""
    try:
        import altair
    except ImportError as error:
        raise MissingExtraError("The report", "report") from error
    module: ModuleType = altair
    return module


def specification(chart: Any) -> dict[str, Any]:
    """The specification without Altair's own theme and without the address of its schema."""
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("$schema", None)
    spec.pop("config", None)
    return spec


def _colour(altair: ModuleType, colours: dict[str, str]) -> Any:
    """Colours by series; their legend is part of the page, where it can wrap."""
    scale = altair.Scale(domain=list(colours), range=list(colours.values()))
    return altair.Color("series:N", scale=scale, legend=None)


def palette(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each of ``labels``."""
    return {label: f"var(--series-{1 + place % 8})" for place, label in enumerate(labels)}


def _scorers(report: dict[str, Any]) -> list[str]:
    """The scorers that have charts: the one that carries the verdict comes first."""
    headline = report["headline"]["scorer"]
    others = {row["scorer"] for row in report["scores"]} - {headline}
    return [headline, *tables.ordered(others, tables.SCORERS)]


def _value_axis(altair: ModuleType, channel: Any, field: str, scorer: str) -> Any:
    is_judge = scorer.partition(":")[0] == _JUDGE
    return channel(
        field,
        type="quantitative",
        scale=altair.Scale(domain=[1, 10] if is_judge else [0, 1], nice=False),
        axis=altair.Axis(title=None, format=".0f" if is_judge else ".0%", tickCount=5),
    )


def _progress(altair: ModuleType, report: dict[str, Any], words: Wording) -> list[Figure]:
    points = [row for row in report["progress"] if row["value"] is not None]
    students = sorted({row["student"] for row in points})
    found: list[Figure] = []
    for student in students:
        for scorer in _scorers(report):
            rows = [row for row in points if (row["student"], row["scorer"]) == (student, scorer)]
            if not rows:
                continue
            key = "figures.progress_student" if len(students) > 1 else "figures.progress"
            title = words(key, scorer=words.label("scorers", scorer), student=student)
            opened = report["open_book"].get(student, {}).get(scorer)
            chart = _progress_chart(altair, rows, opened, words)
            legend = palette(list(_series_labels(rows, words).values()))
            name = f"progress-{len(found)}"
            found.append(Figure(name, "progress", title, specification(chart), legend))
    return found


def _progress_chart(
    altair: ModuleType, rows: list[dict[str, Any]], opened: float | None, words: Wording
) -> Any:
    scorer = rows[0]["scorer"]
    labels = _series_labels(rows, words)
    values = [_told(row, labels[row["arm"]], words) for row in rows]
    epochs = sorted({row["epoch"] for row in rows})
    base = altair.Chart(altair.Data(values=values)).encode(
        x=altair.X(
            "epoch:Q",
            scale=altair.Scale(domain=[0, max(epochs[-1], 1)], nice=False),
            axis=altair.Axis(
                title=words("axes.epoch"), values=_ticks(epochs), format="d", grid=False
            ),
        ),
        color=_colour(altair, palette(list(labels.values()))),
    )
    layers = []
    if len(labels) <= _MOST_BANDS:
        band = base.transform_filter("datum.low != null").mark_area(opacity=_BAND_OPACITY)
        layers.append(band.encode(y=_value_axis(altair, altair.Y, "low", scorer), y2="high:Q"))
    if opened is not None:
        layers.append(_reference_line(altair, opened, scorer, words))
    line = base.mark_line(point=altair.OverlayMarkDef(size=45), strokeWidth=2)
    tooltip = _tooltip(
        altair, ("series:N", words("columns.arm")), ("epoch:Q", words("columns.epoch"))
    )
    layers.append(
        line.encode(
            y=_value_axis(altair, altair.Y, "value", scorer),
            tooltip=[*tooltip, *_value_tooltip(altair, words)],
        )
    )
    return altair.layer(*layers).properties(width="container", height=_LINE_HEIGHT)


def _reference_line(altair: ModuleType, opened: float, scorer: str, words: Wording) -> Any:
    data = altair.Data(values=[{"value": opened, "label": words("axes.open_book")}])
    rule = altair.Chart(data).mark_rule(
        strokeDash=[5, 4], strokeWidth=1.5, color="var(--muted)", tooltip=False
    )
    label = altair.Chart(data).mark_text(
        align="right", baseline="bottom", dy=-3, color="var(--muted)", fontSize=11
    )
    y = _value_axis(altair, altair.Y, "value", scorer)
    return altair.layer(
        rule.encode(y=y),
        label.encode(x=altair.value("width"), y=y, text="label:N"),
    )


def _is_by_rate(rows: Sequence[dict[str, Any]]) -> bool:
    rates = {row["arm"]: row["learning_rate"] for row in rows}
    return None not in rates.values() and len(set(rates.values())) == len(rates)


def _series_labels(rows: Sequence[dict[str, Any]], words: Wording) -> dict[str, str]:
    """What a line is called: its learning rate, or the arm where rates do not tell apart."""
    rates = {row["arm"]: row["learning_rate"] for row in rows}
    if not _is_by_rate(rows):
        return {arm: arm for arm in sorted(rates)}
    told = sorted(rates.items(), key=lambda item: item[1])
    return {arm: f"{words('columns.learning_rate')} {rate:g}" for arm, rate in told}


def _ticks(epochs: list[int]) -> list[int]:
    step = -(-(epochs[-1] + 1) // 12)
    return list(range(0, epochs[-1] + 1, step))


def _tooltip(altair: ModuleType, *fields: tuple[str, str]) -> list[Any]:
    return [altair.Tooltip(field, title=title) for field, title in fields]


def _value_tooltip(altair: ModuleType, words: Wording) -> list[Any]:
    """The value and its interval in the words of the tables; see :func:`_told`."""
    return _tooltip(
        altair,
        ("told:N", words("columns.value")),
        ("interval:N", words("columns.interval")),
        ("n:Q", words("columns.n")),
        ("documents:Q", words("columns.documents")),
        ("failed:Q", words("columns.failed")),
    )


def _told(row: dict[str, Any], series: str, words: Wording) -> dict[str, Any]:
    """A row of the report as a chart needs it: with its series, and its figures in words."""
    scorer = row["scorer"]
    return {
        **row,
        "series": series,
        "told": words.share(row["value"], scorer, 1),
        "interval": words.interval(row, scorer, 1) or "–",
    }


def _categories(altair: ModuleType, report: dict[str, Any], words: Wording) -> list[Figure]:
    headline = report["headline"]
    sides = {
        (headline["base_arm"], BASE_CHECKPOINT): words("series.base"),
        (headline["best_arm"], headline["checkpoint"]): words("series.best"),
    }
    found: list[Figure] = []
    for scorer in _scorers(report):
        rows = [
            _told(row, sides[row["arm"], row["checkpoint"]], words)
            for row in report["categories"]
            if row["value"] is not None
            and row["scorer"] == scorer
            and row["condition"] == "closed_book"
            and row["question_kind"] == headline["category_kind"]
            and (row["arm"], row["checkpoint"]) in sides
        ]
        if rows:
            title = words("figures.category", scorer=words.label("scorers", scorer))
            names = sorted({row["category"] for row in rows})
            colours = {words("series.base"): _BASE_COLOUR}
            if headline["best_arm"]:
                colours[words("series.best")] = _BEST_COLOUR
            chart = _dots(altair, rows, names, colours, words)
            name = f"category-{len(found)}"
            found.append(Figure(name, "category", title, specification(chart), colours))
    return found


def _dots(
    altair: ModuleType,
    rows: list[dict[str, Any]],
    names: list[str],
    colours: dict[str, str],
    words: Wording,
) -> Any:
    """One row a name, one dot a series in it, each with its interval."""
    scorer = rows[0]["scorer"]
    field = "category" if "category" in rows[0] else "arm"
    series = list(colours)
    base = altair.Chart(altair.Data(values=rows)).encode(
        y=altair.Y(
            f"{field}:N",
            sort=names,
            axis=altair.Axis(
                title=None,
                labelLimit=190,
                # What tells the arms of a matrix apart stands on a line of its own.
                labelExpr="split(datum.label, '@')",
                ticks=False,
                grid=True,
                domain=False,
            ),
        ),
        yOffset=altair.YOffset("series:N", sort=series),
        color=_colour(altair, colours),
    )
    lines = base.transform_filter("datum.low != null").mark_rule(strokeWidth=2, opacity=0.55)
    dots = base.mark_point(filled=True, size=75, opacity=1)
    told = _tooltip(altair, (f"{field}:N", words(f"columns.{field}")), ("series:N", " "))
    return altair.layer(
        lines.encode(x=_value_axis(altair, altair.X, "low", scorer), x2="high:Q"),
        dots.encode(
            x=_value_axis(altair, altair.X, "value", scorer),
            tooltip=[*told, *_value_tooltip(altair, words)],
        ),
    ).properties(width="container", height=len(names) * (_ROW_PADDING + _DOT_HEIGHT * len(series)))


def _wording(altair: ModuleType, report: dict[str, Any], words: Wording) -> list[Figure]:
    chosen = {(arm["arm"], arm["checkpoint"]) for arm in report["training"]}
    kept = [
        row
        for row in report["scores"]
        if row["value"] is not None
        and row["question_kind"] != tables.ALL_KINDS
        and (is_base(row) or (row["arm"], row["checkpoint"]) in chosen)
    ]
    found: list[Figure] = []
    others = report["run"].get("further_models") or []
    bases = {
        row["arm"]: words.model(row["arm"])
        for row in kept
        if is_base(row) and row["arm"] not in others
    }
    for scorer in _scorers(report):
        for condition in tables.CONDITIONS:
            rows = [
                _told(
                    {**row, "arm": bases.get(row["arm"], row["arm"])},
                    words.label("kinds", row["question_kind"]),
                    words,
                )
                for row in kept
                if (row["scorer"], row["condition"]) == (scorer, condition)
            ]
            if not rows:
                continue
            kinds = tables.ordered((row["question_kind"] for row in rows), tables.KINDS)
            colours = {words.label("kinds", kind): _kind_colour(kind) for kind in kinds}
            names = list(dict.fromkeys(row["arm"] for row in rows))[:_MOST_ARMS]
            title = words(
                "figures.wording",
                scorer=words.label("scorers", scorer),
                condition=words.label("conditions", condition),
            )
            shown = [row for row in rows if row["arm"] in names]
            chart = _dots(altair, shown, names, colours, words)
            name = f"wording-{len(found)}"
            found.append(Figure(name, "wording", title, specification(chart), colours))
    return found


def is_base(row: dict[str, Any]) -> bool:
    """Whether a row of the report is about a model as it is: an untuned or a further one."""
    return bool(row["checkpoint"] == BASE_CHECKPOINT)


def _kind_colour(kind: str) -> str:
    return f"var(--series-{tables.position(kind, tables.KINDS)[0] + 2})"


def _losses(altair: ModuleType, report: dict[str, Any], words: Wording) -> list[Figure]:
    points = report["losses"]
    if not points:
        return []
    colours = palette(sorted({row["arm"] for row in points}))
    values = [{**row, "series": row["arm"]} for row in points]
    chart = (
        altair.Chart(altair.Data(values=values))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=altair.X(
                "step:Q", axis=altair.Axis(title=words("axes.step"), grid=False, tickMinStep=1)
            ),
            y=altair.Y("loss:Q", axis=altair.Axis(title=words("axes.loss"), tickCount=5)),
            color=_colour(altair, colours),
            tooltip=_tooltip(
                altair,
                ("series:N", words("columns.arm")),
                ("step:Q", words("columns.step")),
                ("loss:Q", words("columns.loss")),
            ),
        )
        .properties(width="container", height=_LINE_HEIGHT)
    )
    return [Figure("loss-0", "training", words("figures.loss"), specification(chart), colours)]


def _lengths(altair: ModuleType, report: dict[str, Any], words: Wording) -> list[Figure]:
    """How long questions, answers and running texts are, before curation and after."""
    colours = {
        words("curation.before"): _BASE_COLOUR,
        words("curation.after"): _BEST_COLOUR,
    }
    found: list[Figure] = []
    for arm in report["curation"]:
        for part in sorted({row["part"] for row in arm["lengths"]}):
            rows = [row for row in arm["lengths"] if row["part"] == part]
            values = [
                {
                    **row,
                    "series": words(f"curation.{row['side']}"),
                    "length": _class_name(row["least"], row["most"]),
                }
                for row in rows
            ]
            names = [_class_name(2**place, 2 ** (place + 1) - 1) for place in _classes(rows)]
            title = words(
                "figures.lengths", arm=arm["data"], part=words.label("curation_parts", part)
            )
            chart = _bars(altair, values, names, colours, words)
            name = f"lengths-{len(found)}"
            found.append(Figure(name, "curation", title, specification(chart), colours))
    return found


def _class_name(least: int, most: int) -> str:
    return f"{least}–{most}" if most > least else str(least)


def _classes(rows: Sequence[dict[str, Any]]) -> range:
    """The classes of lengths from the least to the greatest, the empty ones between them too."""
    places = [row["least"].bit_length() - 1 for row in rows]
    return range(min(places), max(places) + 1)


def _bars(
    altair: ModuleType,
    values: list[dict[str, Any]],
    names: list[str],
    colours: dict[str, str],
    words: Wording,
) -> Any:
    """Shares by class of length, the two sides beside each other."""
    return (
        altair.Chart(altair.Data(values=values))
        .mark_bar()
        .encode(
            x=altair.X(
                "length:N",
                sort=names,
                scale=altair.Scale(domain=names),
                axis=altair.Axis(title=words("axes.characters"), labelAngle=0),
            ),
            xOffset=altair.XOffset("series:N", sort=list(colours)),
            y=altair.Y("share:Q", axis=altair.Axis(title=None, format=".0%", tickCount=4)),
            color=_colour(altair, colours),
            tooltip=_tooltip(
                altair,
                ("series:N", " "),
                ("length:N", words("axes.characters")),
                ("share:Q", words("curation.share")),
            ),
        )
        .properties(width="container", height=_LINE_HEIGHT)
    )
