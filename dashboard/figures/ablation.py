"""Ablations: a measure against what was varied, with every seed, and with what is missing shown as missing.

`cells` are those of sslcore.analysis.ablation.cells: over one axis for `against`, over two for `heat`.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard import words
from dashboard.figures import style
from sslcore.analysis import ablation
from sslcore.analysis.ablation import NEGATIVES, Cell, Curve, Measured
from sslcore.methods import METHODS

LOG_FROM = 4  # numbers that span more than this factor are laid out by their logarithm
MANY = 6  # words along an axis, beyond which they are written at a slant, each on one line
CROWDED = 12  # numbers of which two are closer than their span over this are laid out evenly


@dataclass(frozen=True)
class Measure:
    """How a column of summary.NUMBERS is said."""

    title: str
    unit: str
    how: str  # it is obtained
    share: bool = False  # an accuracy, shown as a percentage; it can also be read as a drop from the best


MEASURES = {
    "linear": Measure("Linear probe", "accuracy", "on h, frozen; all test images", share=True),
    "knn": Measure("kNN", "accuracy", "on h, by cosine; all test images", share=True),
    "effective_rank": Measure("Effective rank", "dimensions", "of h scaled to unit length; 1 is collapse"),
    "alignment": Measure(
        "Alignment",
        "squared distance",
        "of two views' h, in the run's own augmentation; 0 is perfect, unrelated images lie at about 1",
    ),
    "uniformity": Measure("Uniformity", "log mean exp(−2d²)", "of h; 0 is collapse, lower is more even"),
}
COSTS = {
    "seconds": Measure("Training time", "", "evaluation left out"),
    "peak_memory_bytes": Measure("Peak memory", "GB", "of the training"),
}
TITLES = {
    NEGATIVES: "negatives per positive",
    "augment": "augmentation",
    ablation.MECHANISM: "where MoCo's negatives come from",
    "lr_scaling": "learning-rate scaling",
}


def title(axis: str) -> str:
    """An axis in words: batch size, head kind, augmentations, MoCo queue size."""
    if axis in TITLES:
        return TITLES[axis]
    group, _, last = axis.rpartition(".")
    return " ".join(filter(None, [style.title(group), last.replace("_", " ")]))


def said(axis: str, place: Any) -> str:
    """A place on an axis in words."""
    if isinstance(place, bool):
        return "yes" if place else "no"
    if isinstance(place, (int, float)):
        return f"{place:,}" if isinstance(place, int) else f"{place:g}"
    return "–" if place is None else Path(place).name if axis == "dataset" else str(place)


def label(cell: Cell) -> str:
    """What a legend calls a cell's line, such as "SimCLR · batch size 64"; not yet `style.plain`."""
    own = METHODS[cell.method].title
    return " · ".join([own, *(f"{title(name).removeprefix(f'{own} ')} {said(name, value)}" for name, value in cell.rest)])


def colours(cells: Iterable[Cell]) -> dict[tuple, str]:
    """Each line's colour: its method's, or a tone of it where the method has several lines."""
    lines = list(dict.fromkeys(cell.line for cell in cells))
    of_method = {method: [line for line in lines if line[0] == method] for method, _ in lines}
    return {line: style.shade(style.colour(line[0]), of_method[line[0]].index(line), len(of_method[line[0]])) for line in lines}


# -- A measure against one axis ------------------------------------------------------


def against(
    cells: Sequence[Cell],
    axis: str,
    measure: str,
    *,
    drop: bool = False,
    published: Sequence[Curve] = (),
    notes: Sequence[str] = (),
) -> go.Figure:
    """One of MEASURES (or of COSTS, without a legend) along an axis, a line for each line of `cells`, with mean, every seed, and
    a band of ± one sample standard deviation, or bars where there is none; a level line for methods without a place on the axis.

    `drop` counts from each line's best mean, in percentage points. `published` curves are drawn beneath, only as
    drops. `notes` are printed under the title. Cells without any value are hollow marks at the bottom edge.
    """
    shown = (MEASURES | COSTS)[measure]
    curves = list(published) if drop else []
    scale = Scale.of(
        axis,
        [*(cell.at[0] for cell in cells), *(at for curve in curves for at in curve.points)],
        [cell.at[0] for cell in cells if cell.measured(measure).n],
    )
    values = [value for cell in cells for value in cell.measured(measure).by_seed.values()]
    show = _Show.of(measure, values, drop)
    lines, tones, best = ablation.lines(cells), colours(cells), ablation.best(cells, measure)
    spreads = _spreads(lines.values(), measure, scale)
    figure = style.figure(
        title={
            "text": f"{shown.title} against {title(axis)}",
            "subtitle": {"text": "<br>".join(map(style.plain, [*notes, _seeds(cells, measure, spreads)]))},
        },
        margin={"t": 62 + 16 * len(notes)},
        xaxis={"title": {"text": title(axis) + scale.how}, **scale.layout()},
        yaxis={**show.layout(), "visible": bool(values)},
        yaxis2={"overlaying": "y", "range": [0, 1], "fixedrange": True, "visible": False},
        showlegend=measure in MEASURES,
        uirevision=f"{measure} {drop} over {axis} {scale.kind}",
    )
    for curve in curves:
        _add_curve(figure, curve, scale)
    marks: dict[float, int] = {}  # how many hollow marks stand at a place already
    for k, (line, own) in enumerate(lines.items()):
        shift = scale.dodge(k, len(lines)) if scale.kind == "words" or "bar" in spreads else 0.0
        from_best = best.get(line, 0.0) if drop else None
        if own[0].at[0] is None:
            _add_level(figure, own[0].measured(measure), label(own[0]), line[0], tones[line], scale, show, from_best)
        else:
            _add_line(figure, own, measure, tones[line], scale, show, from_best, shift)
        for cell in own:
            _add_missing(figure, cell, measure, tones[line], scale, shift, marks)
    if marks:
        figure.add_trace(
            go.Scatter(x=[None], y=[None], mode="markers", name="missing", marker=_hollow("circle", style.NEUTRAL, 9))
        )
    return figure


def _banded(cells: Sequence[Cell], measure: str, scale: "Scale") -> list[slice]:
    """The neighbours of a line that all have a spread, which a band spans; a cell without such neighbours has a bar."""
    if scale.kind == "words":
        return []
    spread = np.ma.masked_invalid([np.nan if (std := cell.measured(measure).std) is None else std for cell in cells])
    return [part for part in np.ma.clump_unmasked(spread) if part.stop - part.start > 1]


def _spreads(lines: Iterable[Sequence[Cell]], measure: str, scale: "Scale") -> list[str]:
    """What shows the spreads: band, bar, or both."""
    found = set()
    for own in lines:
        n = sum(cell.measured(measure).std is not None for cell in own)
        in_band = n if own[0].at[0] is None else sum(part.stop - part.start for part in _banded(own, measure, scale))
        found |= {"band"} if in_band else set()
        found |= {"bar"} if n > in_band else set()
    return sorted(found)


def _seeds(cells: Sequence[Cell], measure: str, spreads: Sequence[str]) -> str:
    """How many seeds there are, and what the band, or the bar, is."""
    n = _n(cells, measure)
    if n == "N = 0":
        return "no result yet"
    if n == "N = 1":
        return "N = 1: one seed a point, so there is no band"
    if measure in COSTS:
        return f"{n} seeds; {' or '.join(spreads)}: ± one standard deviation"
    return f"{n} seeds, each a dot; {' or '.join(spreads)}: ± one sample standard deviation" + (
        " (none where N = 1)" if n.startswith("N = 1 ") else ""
    )


def _n(cells: Sequence[Cell], measure: str) -> str:
    counts = sorted({n for cell in cells if (n := cell.measured(measure).n)} or {0})
    return f"N = {counts[0]}" if len(counts) == 1 else f"N = {counts[0]} to {counts[-1]}"


@dataclass(frozen=True)
class Scale:
    """Where the places of an axis lie on the chart."""

    kind: str  # "log", "linear", "even" (numbers, in equal steps) or "words"
    axis: str
    places: list[Any]
    first: Collection[Any] = ()  # those that have a point, which are labelled before others

    @classmethod
    def of(cls, axis: str, places: Iterable[Any], first: Collection[Any] = ()) -> "Scale":
        places = ablation.in_order(axis, places)
        if not ablation.is_numeric(places):
            return cls("words", axis, places, first)
        if places and places[0] > 0 and places[-1] / places[0] > LOG_FROM:
            return cls("log", axis, places, first)
        gaps = np.diff(places)
        crowded = len(gaps) > 0 and gaps.min() < (places[-1] - places[0]) / CROWDED
        return cls("even" if crowded else "linear", axis, places, first)

    @property
    def how(self) -> str:
        return {"log": " (logarithmic)", "even": " (in equal steps)"}.get(self.kind, "")

    def x(self, place: Any, shift: float = 0.0) -> float:
        """Where a place lies, or what stands aside of it by `shift`."""
        at = float(self.places.index(place) if self.kind in ("words", "even") else place)
        return at * 10**shift if self.kind == "log" else at + shift

    def dodge(self, k: int, n: int) -> float:
        """How far the k-th of n lines stands aside, so that their bars do not cover each other; less than half to the next place.

        As `ends`, on a logarithmic axis in powers of ten.
        """
        low, high = self.ends()
        at = [math.log10(place) if self.kind == "log" else self.x(place) for place in self.places]
        gap = min(np.diff(at), default=high - low)
        step = 0.5 * gap / n if self.kind == "words" else min(0.5 * gap / n, 0.012 * (high - low))
        return step * (k - (n - 1) / 2)

    def ends(self) -> tuple[float, float]:
        """The left and right end of the axis; of a logarithmic one, as powers of ten."""
        if not self.places:
            return 0.0, 1.0
        if self.kind in ("words", "even"):
            return -0.5, len(self.places) - 0.5
        low, high = (math.log10(end) if self.kind == "log" else float(end) for end in (self.places[0], self.places[-1]))
        pad = 0.07 * (high - low) or 0.5
        return low - pad, high + pad

    def along(self) -> np.ndarray:
        """Points all along the axis, for level lines that tell their value wherever one looks."""
        even = np.linspace(*self.ends(), 41)
        return 10**even if self.kind == "log" else even

    def layout(self) -> dict:
        places = self.places
        if self.kind == "log":  # labels that would touch are left out
            low, high = self.ends()
            places = []
            for place in sorted(self.places, key=lambda place: place not in self.first):
                if all(abs(math.log10(place / other)) > 0.05 * (high - low) for other in places):
                    places.append(place)
            places.sort()
        many = self.kind == "words" and len(places) > MANY
        return {
            "type": "log" if self.kind == "log" else "linear",
            "range": list(self.ends()),
            "tickangle": -35 if many else None,
            "tickvals": [self.x(place) for place in places],
            "ticktext": [style.plain(said(self.axis, place)) if many else _tick(self.axis, place) for place in places],
            "ticklabeloverflow": "allow",
        }


@dataclass(frozen=True)
class _Show:
    """How a measure's values become heights, and how they are said."""

    axis_title: str
    per_unit: float  # what a value is divided by
    drop: bool
    share: bool
    digits: str  # d3's format

    @classmethod
    def of(cls, measure: str, values: Sequence[float], drop: bool) -> "_Show":
        if drop:
            return cls("drop from the best, percentage points", 0.01, True, True, ".1f")
        if measure == "seconds":
            return cls(*words.time_unit(max(values, default=0.0)), False, False, ",.3~r")
        if measure == "peak_memory_bytes":
            return cls("GB", 1e9, False, False, ",.3~r")
        own = MEASURES[measure]
        return cls(own.unit, 0.01 if own.share else 1.0, False, own.share, ".1f" if own.share else ",.3~r")

    def y(self, value: float, best: float | None) -> float:
        return (value if best is None else best - value) / self.per_unit

    def layout(self) -> dict:
        """Drops hang from 0, the best, at the top."""
        accuracies = {"ticksuffix": "%", "minallowed": 0, "maxallowed": 100}
        how = {"autorange": "reversed"} if self.drop else accuracies if self.share else {}
        return {"title": {"text": self.axis_title}, **how, "rangemode": "normal" if self.share else "tozero"}

    def number(self, height: float) -> str:
        """As `digits` say it, in Python."""
        return f"{height:.1f}" if self.share else f"{float(f'{height:.3g}'):,g}"

    def said(self, measured: Measured, best: float | None) -> str:
        unit = " points below its best" if self.drop else " %" if self.share else f" {self.axis_title}"
        spread = f" ± {self.number(measured.std / self.per_unit)}" if measured.std is not None else ""
        return f"{self.number(self.y(measured.mean, best))}{spread}{unit}, N = {measured.n}"


def _add_line(
    figure: go.Figure, cells: list[Cell], measure: str, tone: str, scale: Scale, show: _Show, best: float | None, shift: float
) -> None:
    """One line: a band wherever neighbouring cells have a spread, each seed as a dot, the means, broken where one is missing."""
    name, method = style.plain(label(cells[0])), cells[0].method
    measured = [cell.measured(measure) for cell in cells]
    x = np.array([scale.x(cell.at[0], shift) for cell in cells])
    mean = np.array([np.nan if one.mean is None else show.y(one.mean, best) for one in measured])
    std = np.array([np.nan if one.std is None else one.std / show.per_unit for one in measured])
    group = {"legendgroup": name, "showlegend": False}
    bars = std.copy()
    for part in _banded(cells, measure, scale):
        _add_band(figure, x[part], mean[part], std[part], tone, group)
        bars[part] = np.nan
    seeds = [(at, show.y(value, best), seed) for at, one in zip(x, measured) for seed, value in one.by_seed.items()]
    if any(one.n > 1 for one in measured):
        figure.add_trace(
            go.Scatter(
                x=[at for at, _, _ in seeds],
                y=[y for _, y, _ in seeds],
                text=[f"seed {seed}" for _, _, seed in seeds],
                mode="markers",
                **group,
                marker={"size": 5, "color": style.faint(tone, 0.6)},
                hovertemplate=f"%{{y:{show.digits}}}<br>%{{text}}<extra>{name}</extra>",
            )
        )
    text = [
        f"{title(scale.axis)} {style.plain(said(scale.axis, cell.at[0]))}<br>{show.said(one, best) if one.n else ''}"
        + (f"<br>missing: {_why(one)}" if one.missing else "")
        for cell, one in zip(cells, measured)
    ]
    figure.add_trace(
        go.Scatter(
            x=x,
            y=mean,
            text=text,
            mode="markers" if scale.kind == "words" else "lines+markers",
            name=name,
            legendgroup=name,
            connectgaps=False,
            line={"color": tone, "dash": style.dash(method), "width": 2.5},
            marker={"size": 9, "color": tone, "symbol": style.symbol(method)},
            error_y={"type": "data", "array": bars, "color": tone, "thickness": 1.5, "width": 4},
            hovertemplate=f"%{{text}}<extra>{name}</extra>",
        )
    )


def _add_band(figure: go.Figure, x: np.ndarray, mean: np.ndarray, std: np.ndarray, tone: str, group: dict) -> None:
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", **group}
    figure.add_trace(go.Scatter(x=x, y=mean - std, **band))
    figure.add_trace(go.Scatter(x=x, y=mean + std, fill="tonexty", fillcolor=style.faint(tone, 0.15), **band))


def _add_level(
    figure: go.Figure, measured: Measured, name: str, method: str, tone: str, scale: Scale, show: _Show, best: float | None
) -> None:
    """A method that has no place on the axis: its mean and spread, all along."""
    if measured.mean is None:
        return
    x, name = scale.along(), style.plain(name)
    y = np.full(len(x), show.y(measured.mean, best))
    if measured.std is not None:
        _add_band(figure, x, y, np.full(len(x), measured.std / show.per_unit), tone, {"legendgroup": name, "showlegend": False})
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            name=f"{name} (level)",
            legendgroup=name,
            line={"color": tone, "dash": style.dash(method), "width": 2.5},
            hovertemplate=f"{show.said(measured, best)}<br>{style.plain(title(scale.axis))} does not apply<extra>{name}</extra>",
        )
    )


def _add_missing(
    figure: go.Figure, cell: Cell, measure: str, tone: str, scale: Scale, shift: float, marks: dict[float, int]
) -> None:
    """A hollow mark at the bottom edge for a cell with missing seeds, a small one where other seeds are there."""
    measured = cell.measured(measure)
    if not measured.missing or cell.at[0] is None:
        return
    x = scale.x(cell.at[0], shift)
    stacked = marks.setdefault(x, 0)
    marks[x] += 1
    name = style.plain(label(cell))
    lacks = f"{len(measured.missing)} of {len(cell.entries)} seeds missing" if measured.n else "missing"
    figure.add_trace(
        go.Scatter(
            x=[x],
            y=[0.03 + 0.06 * stacked],
            yaxis="y2",
            mode="markers",
            showlegend=False,
            legendgroup=name,
            cliponaxis=False,
            marker=_hollow(style.symbol(cell.method), tone, 6 if measured.n else 10),
            hovertemplate=(
                f"{title(scale.axis)} {style.plain(said(scale.axis, cell.at[0]))}, "
                f"{lacks}:<br>{_why(measured)}<extra>{name}</extra>"
            ),
        )
    )


def _why(measured: Measured) -> str:
    return style.plain(measured.why if len(measured.why) < 160 else f"{measured.why[:160]} …")


def _hollow(symbol: str, tone: str, size: int) -> dict:
    return {"symbol": f"{symbol}-open", "size": size, "color": tone, "line": {"width": 1.5, "color": tone}}


def _add_curve(figure: go.Figure, curve: Curve, scale: Scale) -> None:
    tone = style.faint(style.colour(curve.method), 0.55)
    name = style.plain(f"{METHODS[curve.method].title}, published: {curve.label}")
    figure.add_trace(
        go.Scatter(
            x=[scale.x(at) for at in curve.points],
            y=[100 * drop for drop in curve.drops.values()],
            mode="lines+markers",
            name=name,
            legendrank=2000,
            line={"color": tone, "dash": "3px,4px", "width": 1.5},
            marker={"size": 5, "color": tone, "symbol": f"{style.symbol(curve.method)}-open"},
            text=[f"{100 * accuracy:.1f} %" for accuracy in curve.points.values()],
            hovertemplate=(
                f"%{{y:.1f}} points below its best (%{{text}})<br>{style.plain(curve.source)}<br>ImageNet, ResNet-50, "
                f"linear probe<extra>{name}</extra>"
            ),
        )
    )


# -- Over two axes -------------------------------------------------------------------


def heat(cells: Sequence[Cell], axes: Sequence[str], measure: str, ends: tuple[float, float], *, drop: bool = False) -> go.Figure:
    """One line's cells over two axes, as colours from the low to the high one of `ends`; what is missing says so."""
    best_mean = next(iter(ablation.best(cells, measure).values()), None)
    best = best_mean if drop else None
    show = _Show.of(measure, (), drop)
    columns, rows = (ablation.in_order(axis, [cell.at[k] for cell in cells]) for k, axis in enumerate(axes))
    z = np.full((len(rows), len(columns)), np.nan)
    hover = np.full(z.shape, "", dtype=object)
    texts = []  # (column, row, text); a trace of their own, in the colour of the page's text
    figure = style.figure(
        title={
            "text": style.plain(label(cells[0])),
            "subtitle": {"text": f"seeds a cell: {_n(cells, measure)}" if best_mean is not None else "no result yet"},
        },
        xaxis={"title": {"text": title(axes[0])}, **_ticks(axes[0], columns)},
        yaxis={"title": {"text": title(axes[1])}, **_ticks(axes[1], rows), "showgrid": False},
        uirevision=f"heat {measure} {drop} {' '.join(axes)}",
    )
    for cell in cells:
        column, row = columns.index(cell.at[0]), rows.index(cell.at[1])
        seen = cell.measured(measure)
        where = ", ".join(f"{title(axis)} {style.plain(said(axis, at))}" for axis, at in zip(axes, cell.at))
        why = f"missing: {_why(seen)}" if seen.missing else ""
        if seen.n:
            z[row, column] = show.y(seen.mean, best)
            hover[row, column] = "<br>".join(filter(None, [where, show.said(seen, best), why]))
            texts.append((column, row, show.number(z[row, column]), ""))
        else:
            texts.append((column, row, f"<i>{style.plain(seen.missing[0].state)}</i>", f"{where}<br>{why}"))
    blue = style.PALETTE[0]
    figure.add_trace(
        go.Heatmap(
            z=z,
            zmin=ends[0],
            zmax=ends[1],
            xgap=2,
            ygap=2,
            customdata=hover,
            hoverongaps=False,
            reversescale=drop,
            colorscale=[[0, style.faint(blue, 0.06)], [1, style.faint(blue, 0.65)]],
            hovertemplate="%{customdata}<extra></extra>",
            colorbar={
                "title": {"text": show.axis_title, "side": "right", "font": {"size": 12}},
                "ticksuffix": "%" if show.share and not drop else "",
                "thickness": 12,
                "outlinewidth": 0,
            },
        )
    )
    for there in (True, False):
        of_kind = [word for word in texts if (word[3] == "") == there]
        figure.add_trace(
            go.Scatter(
                x=[word[0] for word in of_kind],
                y=[word[1] for word in of_kind],
                text=[word[2] for word in of_kind],
                mode="text",
                showlegend=False,
                customdata=[word[3] for word in of_kind],
                hoverinfo="skip" if there else None,
                hovertemplate=None if there else "%{customdata}<extra></extra>",
            )
        )
    return figure


def ends(cells: Sequence[Cell], measure: str, drop: bool) -> tuple[float, float]:
    """The range of colours that all of an ablation's heat maps share."""
    best = ablation.best(cells, measure)
    show = _Show.of(measure, (), drop)
    heights = [
        show.y(mean, best[cell.line] if drop else None) for cell in cells if (mean := cell.measured(measure).mean) is not None
    ]
    return (min(heights), max(heights)) if heights else (0.0, 1.0)


def _ticks(axis: str, places: Sequence[Any]) -> dict:
    return {
        "tickvals": list(range(len(places))),
        "ticktext": [_tick(axis, place) for place in places],
        "range": [-0.5, len(places) - 0.5],
        "constrain": "domain",
        "ticks": "",
    }


def _tick(axis: str, place: Any) -> str:
    return style.plain(said(axis, place)).replace(", ", ",<br>")
