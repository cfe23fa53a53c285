"""Differences with their intervals, and what accuracy costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from dashboard import words
from dashboard.figures import style
from sslcore.analysis.budget import pareto
from sslcore.analysis.stats import Difference

LOG_FROM = 20  # costs that span more than this factor are laid out by their logarithm


@dataclass(frozen=True)
class Row:
    """A line of a forest plot. Text is not yet `style.plain`."""

    name: str
    difference: Difference
    told_apart: bool
    colour: str
    told: str  # on hover
    each: Sequence[float] = ()  # the seeds' own differences


def differences(rows: Sequence[Row], title: str, subtitle: str) -> go.Figure:
    """A forest plot: a line a row with its interval, in percentage points; filled where the two are told apart."""
    figure = style.figure(
        title=style.titled(title, subtitle),
        xaxis={
            "title": {"text": "difference in percentage points"},
            "showgrid": True,
            "minallowed": -100,  # no accuracies differ by more
            "maxallowed": 100,
        },
        yaxis=style.named_rows([row.name for row in rows], range=[len(rows) - 0.4, -0.6]),
        shapes=[
            {
                "type": "line",
                "x0": 0,
                "x1": 0,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": style.NEUTRAL, "width": 1.5, "dash": "4px,3px"},
            }
        ],
        showlegend=False,
        uirevision=title,
    )
    for k, row in enumerate(rows):
        difference = row.difference
        if len(row.each) > 1:
            figure.add_trace(
                go.Scatter(
                    x=100 * np.array(row.each),
                    y=np.full(len(row.each), k + 0.18),
                    name=style.plain(f"{row.name}, single seeds"),
                    mode="markers",
                    hoverinfo="skip",
                    marker={"size": 5, "color": style.faint(row.colour, 0.5)},
                )
            )
        error, ends = None, (None, None)
        if difference.low is not None:
            mean, *ends = (100 * at for at in (difference.mean, difference.low, difference.high))
            error = style.interval(mean, *ends, row.colour)
        fill = row.colour if row.told_apart else "rgba(0,0,0,0)"
        figure.add_trace(
            go.Scatter(
                x=[100 * difference.mean],
                y=[k],
                mode="markers",
                error_x=error,
                name=style.plain(row.name),
                marker={"size": 11, "color": fill, "line": {"width": 2, "color": row.colour}},
                customdata=[[*ends, difference.seeds, "yes" if row.told_apart else "no"]],
                meta={"columns": ["95 % from", "95 % to", "N", "told apart"]},
                hovertemplate=f"%{{x:+.1f}} points<br>{style.plain(row.told)}<extra>{style.plain(row.name)}</extra>",
            )
        )
    return figure


@dataclass(frozen=True)
class Point:
    """A run, or the mean over seeds, in a plot of worth against cost."""

    label: str
    method: str
    colour: str
    cost: float
    worth: float
    n: int
    cost_std: float | None = None
    low: float | None = None  # of the 95 % interval of worth
    high: float | None = None
    name: str = ""  # of a single run


def cost(points: Sequence[Point], worth: str, axis: str, unit: float = 1.0) -> go.Figure:
    """Accuracy against cost, with the line of those that none beats: as accurate for less, or more for as much.

    `unit`: what one of the axis's units is in the points' costs.
    """
    costs, worths = np.array([point.cost for point in points]), np.array([point.worth for point in points])
    log = costs.min() > 0 and costs.max() / costs.min() > LOG_FROM
    figure = style.figure(
        title=style.titled(f"{worth} against {axis}", "line: what none beats at its cost (Pareto); up and to the left is better"),
        xaxis={
            "title": {"text": f"{axis} (logarithmic)" if log else axis},
            "showgrid": True,
            **({"type": "log", "dtick": "D2"} if log else {"rangemode": "tozero"}),
        },
        yaxis=style.SHARE | {"hoverformat": ".1%"},
        uirevision=f"{worth} {axis} {log}",
    )
    front = pareto(costs, worths)
    figure.add_trace(
        go.Scatter(
            x=costs[front] / unit,
            y=worths[front],
            mode="lines",
            line={"color": style.NEUTRAL, "width": 1.5, "dash": "5px,3px", "shape": "hv"},
            name="Pareto line",
            hoverinfo="skip",
        )
    )
    named = set()
    digits = ".3~s" if costs.max() / unit >= 1e6 else ",.3~r"  # 2.6P operations, 0.508 minutes
    for point in points:
        label, run = style.plain(point.label), style.plain(point.name)
        spread = "" if point.cost_std is None else f" ± %{{customdata[0]:{digits}}}"
        interval = (
            "" if point.low is None else f"<br>95 %: {words.percent(point.low)} to {words.percent(point.high)}, N = {point.n}"
        )
        error = None if point.low is None else style.interval(point.worth, point.low, point.high, point.colour, 1.5, 4)
        figure.add_trace(
            go.Scatter(
                x=[point.cost / unit],
                y=[point.worth],
                customdata=[[None if point.cost_std is None else point.cost_std / unit, point.low, point.high, point.n]],
                meta={"columns": [f"std of {axis}", "95 % from", "95 % to", "N"]},
                text=[run] if run else None,
                mode="markers",
                name=label,
                legendgroup=label,
                showlegend=label not in named,
                error_y=error,
                error_x=None
                if point.cost_std is None
                else {"type": "data", "array": [point.cost_std / unit], "color": point.colour, "thickness": 1.5, "width": 4},
                marker={"size": 11, "color": point.colour, "symbol": style.symbol(point.method)},
                hovertemplate=f"%{{y}}{interval}<br>%{{x:{digits}}}{spread} {axis}<extra>{run or label}</extra>",
            )
        )
        named.add(label)
    return figure.update_traces(cliponaxis=False)
