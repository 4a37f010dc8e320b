"""How the scores by which curation decides are distributed, and where it cuts: those of judges,
of language models, and the similarities of duplicates.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from teichaku.core.records import Dropped, ExampleScore
from teichaku.report.evidence import Evidence
from teichaku.report.figures import Figure, load_altair, specification
from teichaku.report.wording import Wording

_BARS = 24
_HEIGHT = 160
#: Scores without an upper end, which a few texts would stretch: their bars double in width.
_OPEN_ENDED = frozenset({"perplexity", "bits_per_byte"})
#: What a selection by scores lets fall.
_BY_SELECTION = frozenset(
    {"outside_band", "misaligned", "not_difficult", "over_budget", "no_score"}
)
#: The files of judges, and the filters that they are of.
_JUDGED = {"judge_screening": "judge_screen", "screening": "magpie_screen"}
_COLOURS = {
    "kept": "var(--series-1)",
    "fell": "var(--series-base)",
    "alike": "var(--series-1)",
    "told_apart": "var(--series-base)",
}


@dataclass(frozen=True, slots=True)
class JudgedScore:
    """Of what a judge said of an example, the score that it wrote and the one it expected."""

    example_id: str
    score: float | None
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class PairScore:
    """Of two examples that were compared, how alike they are, and what tells them apart."""

    level: str
    similarity: float
    differs: str = ""


def distributions(evidence: Evidence, data: str) -> list[dict[str, Any]]:
    """The histograms of the scores that the curation of ``data`` has left: by judge, of its
    selection, and of the pairs of each filter that compares, with the cuts.
    """
    return [*_of_examples(evidence, data), *_of_pairs(evidence, data)]


def _of_examples(evidence: Evidence, data: str) -> Iterator[dict[str, Any]]:
    stage = f"curation/{data}"
    kept = {example.id for example in evidence.examples.get(stage, ())}
    arguments = evidence.stages[stage].get("arguments") or {}
    limits = {one["name"]: one.get("threshold") for one in arguments.get("curation") or ()}
    for file, name in _JUDGED.items():
        values = {
            row.example_id: row.score if row.expected is None else row.expected
            for row in evidence.finished.read(stage, file, JudgedScore)
        }
        limit = limits.get(name)
        cuts = [] if limit is None else [float(limit)]
        yield from _histogram(name, "", values, cuts, kept)
    scores: dict[str, dict[str, float | None]] = {}
    for row in evidence.finished.read(stage, "scores", ExampleScore):
        scores.setdefault(row.score, {})[row.example_id] = row.value
    fallen = evidence.dropped.get(stage, ())
    for name, values in sorted(scores.items()):
        yield from _histogram(name, "", values, _cuts(values, fallen), kept)


def _cuts(values: Mapping[str, float | None], fallen: Iterable[Dropped]) -> list[float]:
    """The ends of what a selection keeps, where something falls beyond them."""
    out = {record.record_id for record in fallen if record.reason in _BY_SELECTION}
    known = {name: value for name, value in values.items() if value is not None}
    inside = [value for name, value in known.items() if name not in out]
    beyond = [value for name, value in known.items() if name in out]
    if not inside or not beyond:
        return []
    lower = [min(inside)] if min(beyond) < min(inside) else []
    return [*lower, *([max(inside)] if max(beyond) > max(inside) else [])]


def _of_pairs(evidence: Evidence, data: str) -> Iterator[dict[str, Any]]:
    """Those of the filters of this curation; another's may lie beside them."""
    notes = evidence.stages[f"curation/{data}"].get("notes") or {}
    kept_apart = evidence.finished.run.stage(f"similarities/{data}")
    pairs: dict[str, list[PairScore]] = {}
    for row in notes.get("thresholds") or ():
        name, level = row["filter"], row["level"]
        if name not in pairs:
            pairs[name] = list(kept_apart.read(f"{name}.pairs", PairScore))
        own = [pair for pair in pairs[name] if pair.level == level]
        values = {str(place): pair.similarity for place, pair in enumerate(own)}
        alike = {str(place) for place, pair in enumerate(own) if not pair.differs}
        sides = ("alike", "told_apart")
        yield from _histogram(name, level, values, [row["threshold"]], alike, sides)


def _histogram(
    score: str,
    level: str,
    values: Mapping[str, float | None],
    cuts: Sequence[float],
    first: Iterable[str],
    sides: tuple[str, str] = ("kept", "fell"),
) -> Iterator[dict[str, Any]]:
    """The histogram of ``values`` by id: how many of the ids that are among the ``first``, and of
    the others, have a value from ``least`` to ``most``. None where there is no value; values that
    are null or infinite are counted apart.
    """
    known = {name: value for name, value in values.items() if value is not None}
    known = {name: value for name, value in known.items() if math.isfinite(value)}
    if not known:
        return
    marks = [*known.values(), *cuts]
    is_open = score in _OPEN_ENDED and min(marks) > 0
    edges = _edges(min(marks), max(marks), is_open)
    counts = {side: [0] * (len(edges) - 1) for side in sides}
    chosen = frozenset(first)
    for name, value in known.items():
        # The last bar has its upper end, too.
        place = next((p for p, most in enumerate(edges[1:]) if value < most), len(edges) - 2)
        counts[sides[name not in chosen]][place] += 1
    yield {
        "score": score,
        "level": level,
        "n": len(known),
        "without": len(values) - len(known),
        "cuts": [round(cut, 6) for cut in cuts],
        "is_logarithmic": is_open,
        "bars": [
            {"side": side, "least": round(a, 6), "most": round(b, 6), "count": count}
            for side in sides
            for a, b, count in zip(edges, edges[1:], counts[side], strict=False)
            if count
        ],
    }


def _edges(least: float, most: float, is_open: bool) -> list[float]:
    """The ends of the bars, from ``least`` to ``most``, of one width or of one ratio."""
    if least == most:
        return [least - 0.5, most + 0.5] if not is_open else [least / 2, most * 2]
    steps = [place / _BARS for place in range(_BARS + 1)]
    if is_open:
        return [least * (most / least) ** step for step in steps]
    return [least + (most - least) * step for step in steps]


def distribution_figures(report: dict[str, Any], words: Wording) -> list[Figure]:
    """A chart for each histogram of the report's curation.

    Raises ``MissingExtraError`` where Altair is not installed.
    """
    found: list[Figure] = []
    for arm in report["curation"]:
        for row in arm["distributions"]:
            title = words(
                "score_distributions.title",
                arm=arm["data"],
                score=_named(row, words),
                n=words.count(row["n"]),
            )
            if row["without"]:
                title += words("score_distributions.without", count=words.count(row["without"]))
            sides = [s for s in _COLOURS if any(bar["side"] == s for bar in row["bars"])]
            colours = {words(f"score_distributions.{side}"): _COLOURS[side] for side in sides}
            chart = _chart(load_altair(), row, colours, words)
            name = f"distribution-{len(found)}"
            found.append(Figure(name, "distributions", title, specification(chart), colours))
    return found


def _named(row: dict[str, Any], words: Wording) -> str:
    name, _, number = row["score"].rpartition("-")
    known = words.names("score_names")
    told = words.label("score_names", row["score"])
    if row["score"] not in known and number.isdecimal():
        told = f"{words.label('score_names', name)} ({number})"
    if not row["level"]:
        return told
    level = words.label("curation_parts", row["level"])
    return words("score_distributions.at_level", score=told, level=level)


def _chart(altair: ModuleType, row: dict[str, Any], colours: dict[str, str], words: Wording) -> Any:
    """Bars on top of each other, and a broken line at each cut."""
    values = [{**bar, "series": words(f"score_distributions.{bar['side']}")} for bar in row["bars"]]
    ends = [end for bar in row["bars"] for end in (bar["least"], bar["most"])] + row["cuts"]
    scale = altair.Scale(
        type="log" if row["is_logarithmic"] else "linear",
        domain=[min(ends), max(ends)],
        nice=False,
        zero=False,
    )
    axis = altair.Axis(title=_named(row, words), grid=False, tickCount=6)
    bars = (
        altair.Chart(altair.Data(values=values))
        .mark_bar()
        .encode(
            # Else the bars would lie on their sides.
            x=altair.X("least:Q", bin="binned", scale=scale, axis=axis),
            x2="most:Q",
            y=altair.Y(
                "count:Q", stack="zero", axis=altair.Axis(title=None, tickCount=4, tickMinStep=1)
            ),
            color=altair.Color(
                "series:N",
                scale=altair.Scale(domain=list(colours), range=list(colours.values())),
                legend=None,
            ),
            tooltip=[
                altair.Tooltip("series:N", title=" "),
                *(
                    altair.Tooltip(f"{field}:Q", title=words(f"score_distributions.{field}"))
                    for field in ("least", "most", "count")
                ),
            ],
        )
    )
    cuts = [{"cut": cut, "label": f"{cut:.4g}"} for cut in row["cuts"]]
    x = altair.X("cut:Q", scale=scale, axis=axis)
    base = altair.Chart(altair.Data(values=cuts))
    rule = base.mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color="var(--muted)").encode(x=x)
    label = base.mark_text(
        align="left", baseline="top", dx=4, color="var(--muted)", fontSize=11
    ).encode(x=x, y=altair.value(0), text="label:N")
    layers = [bars, rule, label] if cuts else [bars]
    return altair.layer(*layers).properties(width="container", height=_HEIGHT)
