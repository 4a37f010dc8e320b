"""The chart of general ability: a polygon for each model over the categories of the control sets,
or bars where there are too few of them for a polygon.
"""

import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from teichaku.report.figures import Figure, load_altair, palette, specification
from teichaku.report.wording import Wording

_LEAST_CORNERS = 3
#: More polygons than this hide each other.
_MOST_MODELS = 8
_RINGS = (0.25, 0.5, 0.75, 1.0)
_SIZE, _ROOM, _BAR_HEIGHT = 300, 1.45, 16


def control_figures(report: dict[str, Any], words: Wording) -> list[Figure]:
    """One chart for the sets that were asked by our protocol, and one for those as published.

    Raises ``MissingExtraError`` where Altair is not installed.
    """
    found = report["controls"]
    if not found:
        return []
    altair = load_altair()
    made: list[Figure] = []
    for is_published in (False, True):
        rows = [
            {
                "category": words.label("control_categories", row["category"]),
                "series": row["arm"],
                **_told(row["lenient"], words),
            }
            for row in found["categories"]
            if row["is_published"] == is_published
        ]
        names = list(dict.fromkeys(row["category"] for row in rows))
        models, is_radar = _models(rows, names)
        shown = [row for row in rows if row["series"] in models and row["value"] is not None]
        if not shown:
            continue
        draw = _radar if is_radar else _bars
        chart = draw(altair, shown, names, palette(models), words)
        title = words("controls.as_published" if is_published else "controls.radar")
        if missing := [
            row for row in dict.fromkeys(r["series"] for r in rows) if row not in models
        ]:
            title += words("controls.not_drawn", models=words("units.and").join(missing))
        name = f"controls-{len(made)}"
        made.append(Figure(name, "controls", title, specification(chart), palette(models)))
    return made


def _told(found: Mapping[str, Any] | None, words: Wording) -> dict[str, Any]:
    """A value as it is drawn and told, with its interval and over how many items it is."""
    if found is None:
        return {"value": None, "told": words.share(None, "share"), "interval": "", "n": ""}
    return {
        "value": found["value"],
        "told": words.share(found["value"], "share", 1),
        "interval": words.interval(found, "share", 1),
        "n": words.count(found["n"]),
    }


def _models(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[list[str], bool]:
    """The models that are drawn, and whether as polygons: a polygon with a corner missing would
    show another shape than the model has, so that model is left out, or most lack one and all
    are bars.
    """
    corners: dict[str, int] = {}
    for row in rows:
        corners[row["series"]] = corners.get(row["series"], 0) + (row["value"] is not None)
    complete = [model for model, count in corners.items() if count == len(names)]
    is_radar = len(names) >= _LEAST_CORNERS and 2 * len(complete) > len(corners)
    drawn = complete if is_radar else [model for model, count in corners.items() if count]
    return drawn[:_MOST_MODELS], is_radar


def _radar(
    altair: ModuleType,
    rows: list[dict[str, Any]],
    names: Sequence[str],
    colours: dict[str, str],
    words: Wording,
) -> Any:
    """Values below 0 stand in the middle."""
    angles = {name: math.pi / 2 - 2 * math.pi * at / len(names) for at, name in enumerate(names)}

    def at(name: str, radius: float) -> dict[str, float]:
        return {"x": radius * math.cos(angles[name]), "y": radius * math.sin(angles[name])}

    domain = altair.Scale(domain=[-_ROOM, _ROOM], nice=False, zero=False)
    x = altair.X("x:Q", scale=domain, axis=None)
    y = altair.Y("y:Q", scale=domain, axis=None)
    corners = [*names, names[0]]
    rings = [
        {"ring": ring, "order": place, **at(name, ring)}
        for ring in _RINGS
        for place, name in enumerate(corners)
    ]
    grid = (
        altair.Chart(altair.Data(values=rings))
        .mark_line(strokeWidth=1, color="var(--grid)", tooltip=False)
        .encode(x=x, y=y, detail="ring:N", order="order:Q")
    )
    marks = [{"label": f"{ring:.0%}", "x": 0.0, "y": ring} for ring in _RINGS]
    levels = (
        altair.Chart(altair.Data(values=marks))
        .mark_text(align="left", dx=3, dy=-4, fontSize=9, color="var(--muted)")
        .encode(x=x, y=y, text="label:N")
    )
    titles = (
        altair.Chart(altair.Data(values=[{"label": name, **at(name, 1.16)} for name in names]))
        .mark_text(fontSize=11, color="var(--ink)")
        .encode(x=x, y=y, text="label:N")
    )
    by_model = {(row["series"], row["category"]): row for row in rows}
    points = [
        {**row, "order": place, **at(name, max(0.0, row["value"]))}
        for series in colours
        for place, name in enumerate(corners)
        if (row := by_model.get((series, name))) is not None
    ]
    polygons = (
        altair.Chart(altair.Data(values=points))
        .mark_line(strokeWidth=2, point=altair.OverlayMarkDef(size=45))
        .encode(
            x=x, y=y, order="order:Q", color=_coloured(altair, colours),
            tooltip=_tooltip(altair, words),
        )
    )  # fmt: skip
    return altair.layer(grid, levels, titles, polygons).properties(width=_SIZE, height=_SIZE)


def _bars(
    altair: ModuleType,
    rows: list[dict[str, Any]],
    names: Sequence[str],
    colours: dict[str, str],
    words: Wording,
) -> Any:
    low = min(0.0, *(row["value"] for row in rows))
    return (
        altair.Chart(altair.Data(values=rows))
        .mark_bar()
        .encode(
            y=altair.Y(
                "category:N",
                sort=list(names),
                axis=altair.Axis(title=None, labelLimit=190, ticks=False, domain=False),
            ),
            yOffset=altair.YOffset("series:N", sort=list(colours)),
            x=altair.X(
                "value:Q",
                scale=altair.Scale(domain=[low, 1], nice=False),
                axis=altair.Axis(title=None, format=".0%", tickCount=5),
            ),
            color=_coloured(altair, colours),
            tooltip=_tooltip(altair, words),
        )
        .properties(width="container", height=len(names) * (12 + _BAR_HEIGHT * len(colours)))
    )


def _coloured(altair: ModuleType, colours: dict[str, str]) -> Any:
    scale = altair.Scale(domain=list(colours), range=list(colours.values()))
    return altair.Color("series:N", scale=scale, legend=None)


def _tooltip(altair: ModuleType, words: Wording) -> list[Any]:
    return [
        altair.Tooltip("series:N", title=words("columns.arm")),
        altair.Tooltip("category:N", title=words("columns.category")),
        altair.Tooltip("told:N", title=words("columns.value")),
        altair.Tooltip("interval:N", title=words("columns.interval")),
        altair.Tooltip("n:N", title=words("columns.n")),
    ]
