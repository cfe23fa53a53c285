"""Ablations over one axis: a measure against what was varied, with every seed, and with what is missing shown as missing.

`cells` are those of sslcore.analysis.ablation.cells over one axis.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go

from dashboard.figures import style
from dashboard.figures.axes import Scale, said, title
from dashboard.figures.measures import COSTS, MEASURES, Show, in_words, n_seeds, unmeasured, why_missing
from sslcore.analysis import ablation
from sslcore.analysis.ablation import Cell, Curve, Measured
from sslcore.methods import METHODS
from sslcore.wording import tenths

PUBLISHED = ("3px,4px", "8px,4px", "8px,3px,2px,3px", "14px,4px")  # dashes of a method's published curves


def label(cell: Cell) -> str:
    """What a legend calls a cell's line, such as "SimCLR · batch size 64"; not yet `style.plain`."""
    own = METHODS[cell.method].title
    return " · ".join([own, *(f"{title(name).removeprefix(f'{own} ')} {said(name, value)}" for name, value in cell.rest)])


def colours(cells: Iterable[Cell]) -> dict[tuple, str]:
    """Each line's colour: its method's, or a tone of it where the method has several lines."""
    return style.tones({cell.line: cell.method for cell in cells})


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
    a band of ± one standard deviation, or bars where there is none; a level line for methods without a place on the axis.

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
    show = Show.of(measure, values, drop)
    lines, tones, best = ablation.lines(cells), colours(cells), ablation.best(cells, measure)
    spreads = _spreads(lines.values(), measure, scale)
    figure = style.figure(
        title=style.titled(
            f"{shown.title} against {title(axis)}",
            "<br>".join(map(style.plain, [*notes, _seeds(cells, measure, spreads)])),
        ),
        margin={"t": 62 + 16 * len(notes)},
        xaxis={"title": {"text": title(axis) + scale.how}, **scale.layout()},
        yaxis={**show.layout(), "visible": bool(values)},
        yaxis2={"overlaying": "y", "range": [0, 1], "fixedrange": True, "visible": False},
        showlegend=measure in MEASURES,
        uirevision=f"{measure} {drop} over {axis} {scale.kind}",
    )
    drawn: Counter[str] = Counter()  # published curves, by method
    for curve in curves:
        _add_curve(figure, curve, scale, PUBLISHED[drawn[curve.method] % len(PUBLISHED)])
        drawn[curve.method] += 1
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


def _banded(cells: Sequence[Cell], measure: str, scale: Scale) -> list[slice]:
    """The neighbours of a line that all have a spread, which a band spans; a cell without such neighbours has a bar."""
    if scale.kind == "words":
        return []
    spread = np.ma.masked_invalid([np.nan if (std := cell.measured(measure).std) is None else std for cell in cells])
    return [part for part in np.ma.clump_unmasked(spread) if part.stop - part.start > 1]


def _spreads(lines: Iterable[Sequence[Cell]], measure: str, scale: Scale) -> list[str]:
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
    counts = n_seeds(cells, measure)
    if not counts:
        return unmeasured(cells)
    if counts == [1]:
        return "N = 1: one seed a point, so there is no band"
    dots = "" if measure in COSTS else ", each a dot"
    alone = " (none where N = 1)" if counts[0] == 1 else ""
    return f"{in_words(counts)} seeds{dots}; {' or '.join(spreads)}: ± one standard deviation{alone}"


def _add_line(
    figure: go.Figure, cells: list[Cell], measure: str, tone: str, scale: Scale, show: Show, best: float | None, shift: float
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
                cliponaxis=False,
                marker={"size": 5, "color": style.faint(tone, 0.6)},
                hovertemplate=f"%{{y:{show.digits}}}<br>%{{text}}<extra>{name}</extra>",
            )
        )
    text = [
        f"{title(scale.axis)} {style.plain(said(scale.axis, cell.at[0]))}<br>{show.said(one, best) if one.n else ''}"
        + (f"<br>missing: {why_missing(one)}" if one.missing else "")
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
            cliponaxis=False,
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
    figure: go.Figure, measured: Measured, name: str, method: str, tone: str, scale: Scale, show: Show, best: float | None
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
                f"{lacks}:<br>{why_missing(measured)}<extra>{name}</extra>"
            ),
        )
    )


def _hollow(symbol: str, tone: str, size: int) -> dict:
    return {"symbol": f"{symbol}-open", "size": size, "color": tone, "line": {"width": 1.5, "color": tone}}


def _add_curve(figure: go.Figure, curve: Curve, scale: Scale, dash: str) -> None:
    words = scale.kind == "words"  # where it has no lines, and stands beside the runs
    tone = style.faint(style.colour(curve.method), 0.8 if words else 0.55)
    name = style.plain(f"{METHODS[curve.method].title}, published: {curve.label}")
    figure.add_trace(
        go.Scatter(
            x=[scale.x(at, 0.33 if words else 0.0) for at in curve.points],
            y=[100 * drop for drop in curve.drops.values()],
            mode="markers" if words else "lines+markers",
            name=name,
            legendrank=2000,
            line={"color": tone, "dash": dash, "width": 1.5},
            marker={"size": 8 if words else 5, "color": tone, "symbol": f"{style.symbol(curve.method)}-open"},
            text=[f"{tenths(100 * accuracy)} %" for accuracy in curve.points.values()],
            hovertemplate=(
                f"%{{y:.1f}} points below its best (%{{text}})<br>{style.plain(curve.source)}<br>ImageNet, ResNet-50, "
                f"linear probe<extra>{name}</extra>"
            ),
        )
    )
