"""Metrics over training: the loss with its chance level, and what can be compared across methods.

Takes `tables.curves`: a Curve a run. Runs of one label differ in their seed, and in how often they
were looked at: those of one seed count as one. A figure is kept, and not to be changed: the same curves give the same figure.
"""

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce, wraps
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import words
from dashboard.figures import style
from dashboard.figures.measures import MEASURES
from dashboard.tables import Curve
from sslcore.methods import METHODS
from sslcore.wording import series

POINTS = 1000  # a curve, at most; fewer where there are many curves
ALL_POINTS = 30_000
CROWD = 100  # curves, above which those behind a mean are left out: a cloud that tells nothing, and a third of the drawing
KEPT = 64  # figures
LABELS = 512  # of which the traces are kept, over all figures

X_AXES = {
    "step": "optimizer step",
    "epoch": "epoch",
    "images_seen": "images seen",
    "seconds": "training time",
    "flops": "floating-point operations",
}

NOTHING = "Nothing is logged yet; curves appear here a few seconds after a run starts."  # instead of charts
NEVER = "These runs have logged nothing."  # once they have ended

LOSSES = (
    "Each method minimises a loss of its own, so each has its own axis. Dashed: the loss of outputs that tell no image from "
    "another. A new network may lie below it at once, as two views of an image look alike to any; and a loss over the keys of "
    "a queue may rise while kNN does."
)
MEANS = "Where a legend says N, the line is the mean over N seeds, and the band ± one standard deviation."

METRICS = {  # column: (title, how to read it, what its axis shows)
    "knn": (
        "kNN accuracy while training",
        "a fixed sample of test images by their nearest training images, by cosine of h",
        "accuracy",
    ),
    **{
        name: (MEASURES[name].title, MEASURES[name].how, MEASURES[name].unit)
        for name in ("effective_rank", "alignment", "uniformity")
    },
    "std": ("Spread", "of a coordinate of normalised h; 0 is collapse, 1 even", "std × √D"),
    "learning_rate": ("Learning rate", "as resolved, after scaling to the batch size", "learning rate"),
    "images_per_second": ("Speed", "images, not views; evaluation left out", "images / s"),
}


class Told:
    """Curves that are compared and hashed by what `Curve.told` says of each, so that no cache holds their arrays as a key."""

    def __init__(self, curves: Sequence[Curve]):
        self.words = tuple(curve.told for curve in curves)
        self.curves = curves

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)


def kept(most: int) -> Callable[[Callable], Callable]:
    """lru_cache for functions of curves, by their `told`. It keeps what they return, and not the curves themselves.

    Of a run that trains there is a new curve at each look; kept as keys, they would fill the memory.
    """

    def keeping(draw: Callable) -> Callable:
        drawn = lru_cache(maxsize=most)(lambda told, *choices, **more: draw(told.curves, *choices, **more))

        @wraps(draw)
        def latest(curves: Sequence[Curve], *choices, **more):
            told = Told(curves)
            try:
                return drawn(told, *choices, **more)
            finally:
                told.curves = ()

        latest.cache_clear = drawn.cache_clear
        return latest

    return keeping


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # (steps, x, y) of a curve, (m,) each


class Drawing(NamedTuple):
    """How curves are drawn."""

    y: str
    x: str
    smoothing: float
    spread: bool  # the mean over seeds and its spread, in place of each run
    unit: str  # of x, as its axis says
    per_unit: float
    points: int  # a curve, at most
    crowd: bool  # too many curves for those behind a mean


@kept(KEPT)
def loss(
    curves: tuple[Curve, ...], x: str = "step", smoothing: float = 0.0, spread: bool = True, title: str | None = None
) -> go.Figure:
    """The loss of one method's runs with its chance level; of several methods, on one axis and with a warning."""
    methods = list(dict.fromkeys(curve.method for curve in curves))
    traces, layout = _curves(curves, "loss", x, smoothing, spread)
    _, per_unit = _unit(curves, "loss", x)
    for method in methods:
        # a panel beside others may be narrower than name and number in one line; on one axis the next level is a line below
        then = "<br>" if len(methods) == 1 else " "
        traces += _chance([curve for curve in curves if curve.method == method], method, x, per_unit, then)
    layout["title"] = {"text": series(map(style.title, methods)) if title is None else title}
    if len(methods) > 1:
        layout["title"]["subtitle"] = {"text": "each method has a loss of its own: heights cannot be compared"}
    return _figure(traces, layout, {"title": {"text": "training loss"}, "rangemode": "nonnegative"})


@kept(KEPT)
def metric(curves: tuple[Curve, ...], name: str, x: str = "step", smoothing: float = 0.0, spread: bool = True) -> go.Figure:
    """One of METRICS for all runs, overlaid."""
    title, reading, unit = METRICS[name]
    traces, layout = _curves(curves, name, x, smoothing, spread)
    yaxis = {"title": {"text": unit}, "rangemode": "nonnegative", "exponentformat": "power"}  # a billion is no B of bytes
    if name == "knn":
        yaxis |= style.SHARE | {"hoverformat": ".1%"}
    if name == "uniformity":
        yaxis |= {"rangemode": "normal", "maxallowed": 0}
    if name == "learning_rate":
        yaxis |= {"rangemode": "tozero", "hoverformat": ".3g", "exponentformat": "none"}
    layout["title"] = style.titled(title, reading)
    return _figure(traces, layout, yaxis)


def _figure(traces: list[dict], layout: dict, yaxis: dict) -> go.Figure:
    """The traces; where there is none, words: axes without a curve would show numbers that nobody measured."""
    if traces:
        return style.figure(traces, **layout, yaxis=yaxis)
    x = layout["xaxis"]["title"]["text"]
    why = "operations are not counted yet" if x == X_AXES["flops"] else "nothing logged yet"
    said = {"text": why, "showarrow": False, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "font": {"size": 14}}
    hidden = {"visible": False, "fixedrange": True}
    return style.figure(**layout | {"xaxis": hidden}, yaxis=hidden, annotations=[said])


def going_on_alone(curves: Sequence[Curve]) -> str:
    """Where a mean ends before its seeds do, in words; nothing where none does."""
    found = []
    for label in dict.fromkeys(curve.label for curve in curves):
        last: dict[int, int] = {}  # seed -> the last step that all of its runs have
        for curve in curves:
            if curve.label == label and curve.has("loss"):
                last[curve.seed] = min(int(curve.pairs("loss", "step")[0][-1]), last.get(curve.seed, sys.maxsize))
        *_, second, longest = [0, 0, *sorted(last.values())]
        if 0 < second < longest:
            found.append(f"{label} after step {second:,}")
    return f"No mean is drawn where a single seed goes on: {'; '.join(found)}." if found else ""


def smoothed(values: np.ndarray, smoothing: float) -> np.ndarray:
    """Exponential moving average without a bias at the start: each older value counts `smoothing` times as much."""
    return pd.Series(values).ewm(alpha=1 - smoothing).mean().to_numpy() if smoothing else values


def thinned(values: np.ndarray, points: int) -> np.ndarray:
    """Places of at most so many values, which look like all of them: least and largest of each block, the first and the last.

    Blocks are of 2^k values, counted from the start: where values are appended, the places before them stay, until there
    are twice as many.
    """
    n = len(values)
    if n <= points:
        return np.arange(n)
    size = 2
    while 2 * (-(-n // size)) + 2 > points:
        size *= 2
    whole = n // size * size
    blocks = values[:whole].reshape(-1, size)
    starts = np.arange(0, whole, size)
    rest = [whole + values[whole:].argmin(), whole + values[whole:].argmax()] if whole < n else []
    return np.unique(np.concatenate([[0, n - 1], starts + blocks.argmin(1), starts + blocks.argmax(1), rest]).astype(int))


def _curves(curves: Sequence[Curve], y: str, x: str, smoothing: float, spread: bool) -> tuple[list[dict], dict]:
    """The traces of all curves, and the layout that goes with them."""
    groups = [(label, tone, [curve for curve in group if curve.has(y, x)]) for label, tone, group in _groups(curves)]
    curves = [curve for _, _, group in groups for curve in group]
    unit, per_unit = _unit(curves, y, x)
    points = max(100, min(POINTS, ALL_POINTS // max(len(curves) * (2 if smoothing else 1), 1)))
    how = Drawing(y, x, smoothing, spread, unit, per_unit, points, len(curves) > CROWD)
    traces = [trace for label, tone, group in groups if group for trace in _of_label(group, label, tone, how)]
    # From 0, so that a single place has a range; and whole steps where there are few.
    xaxis = {"title": {"text": unit}, "rangemode": "tozero"}
    if x == "step" and max((curve.logged.last("step") for curve in curves), default=0) < 8:
        xaxis["dtick"] = 1
    return traces, {"uirevision": f"{y} over {x}", "xaxis": xaxis}


@kept(LABELS)
def _of_label(curves: Sequence[Curve], label: str, tone: str, how: Drawing) -> list[dict]:
    """The traces of the curves of one label; those behind a mean are a single one, and left out of a crowd."""
    method, n = curves[0].method, len({curve.seed for curve in curves})
    line = {"color": tone, "dash": style.dash(method)}
    logged = [
        (steps, at / np.float32(how.per_unit), values) for steps, at, values in (curve.pairs(how.y, how.x) for curve in curves)
    ]
    smooth = [(steps, at, smoothed(values, how.smoothing)) for steps, at, values in logged]
    seeds = [f"{label}, seed {curve.seed}" for curve in curves]
    raw = {"line": {"color": style.faint(tone, 0.25), "width": 1}, "hoverinfo": "skip"}
    if len(curves) > 1 and how.spread:
        traces = [_line(logged, how.points, label, meta={"series": seeds}, **raw)] if how.smoothing else []
        behind = {"line": {**line, "width": 1}, "opacity": min(0.3, 1.5 / n), "hoverinfo": "skip", "meta": {"series": seeds}}
        traces += [] if how.crowd else [_line(smooth, how.points, label, **behind)]
        smooth = [_of_seed([one for name, one in zip(seeds, smooth) if name == seed]) for seed in dict.fromkeys(seeds)]
        if n > 1:
            return traces + _spread(smooth, label, n, line, how)
    else:
        traces = [_line([one], how.points, label, **raw) for one in logged] if how.smoothing else []
    for seed, one in zip(seeds, smooth):
        traces.append(
            _line(
                [one],
                how.points,
                label,
                name=seed,
                line={**line, "width": 2 if len(smooth) == 1 else 1},
                opacity=1.0,
                hovertemplate=f"%{{y}}<br>{how.unit} %{{x:,.6~g}}<extra>{seed}</extra>",
            )
        )
    named = seeds[0] if n == 1 else f"{label}, N = {n}"
    return [
        *traces,
        {
            "type": "scatter",
            "x": [None],
            "y": [None],
            "mode": "lines",
            "name": named,
            "legendgroup": label,
            "line": {**line, "width": 2.5},
        },
    ]


def _groups(curves: Sequence[Curve]) -> list[tuple[str, str, list[Curve]]]:
    """(label, colour, curves) of each label; labels of one method are tones of its colour."""
    tones = style.tones({curve.label: curve.method for curve in curves})
    return [(style.plain(label), tone, [curve for curve in curves if curve.label == label]) for label, tone in tones.items()]


def _line(curves: Sequence[Arrays], points: int, label: str, **more) -> dict:
    """One trace of (steps, x, y) curves, with gaps between them; its `meta` may name them, for whoever downloads the numbers."""
    kept = [(x[places], y[places]) for _, x, y in curves for places in [thinned(y, points)]]
    gap = np.full(1, np.nan, np.float32)
    x, y = (np.concatenate([part for own in kept for part in (own[k], gap)][:-1]).astype(np.float32) for k in (0, 1))
    alone = any(len(own[1]) == 1 for own in kept)
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "lines+markers" if alone else "lines",
        "legendgroup": label,
        "showlegend": False,
        **more,
    }


def _spread(curves: Sequence[Arrays], label: str, n: int, line: dict, how: Drawing) -> list[dict]:
    """Mean and standard deviation over seeds, wherever at least two of them have logged a step."""
    deviation = ".1%" if how.y == "knn" else ".3~g"
    x, mean, std, count = _over_seeds(curves)
    places = thinned(mean, how.points) if len(mean) else [-1]
    # A gap, where there is no mean: it keeps its place in the legend.
    x, mean, std, count = (np.append(column, np.nan)[places].astype(np.float32) for column in (x, mean, std, count))
    around, low_and_high = np.concatenate([x, x[::-1]]), np.concatenate([mean - std, (mean + std)[::-1]])
    of_label = {"type": "scatter", "mode": "lines", "legendgroup": label}
    return [
        {
            **of_label,
            "x": around,
            "y": low_and_high,
            "line": {"width": 0},
            "fill": "toself",
            "fillcolor": style.faint(line["color"], 0.18),
            "showlegend": False,
            "hoverinfo": "skip",
        },
        {
            **of_label,
            "x": x,
            "y": mean,
            "customdata": np.stack([std, count], axis=1),
            "meta": {"columns": ["std", "N"]},
            "line": {**line, "width": 2.5},
            "name": f"{label}, N = {n}",
            "hovertemplate": (
                f"%{{y}} ± %{{customdata[0]:{deviation}}} (%{{customdata[1]}} of {n} seeds)<br>{how.unit} %{{x:,.6~g}}"
                f"<extra>{label}</extra>"
            ),
        },
    ]


def _of_seed(curves: Sequence[Arrays]) -> Arrays:
    """(steps, x, y), each (m,): the mean of the runs of one seed, at the steps that all of them have logged."""
    if len(curves) == 1:
        return curves[0]
    common = reduce(np.intersect1d, (steps for steps, _, _ in curves))
    x, y = (np.mean([curve[k][np.searchsorted(curve[0], common)] for curve in curves], axis=0) for k in (1, 2))
    return common, x, y


def _over_seeds(curves: Sequence[Arrays]) -> tuple[np.ndarray, ...]:
    """(x, mean, std, count), each (m,), of the steps that at least two curves have."""
    first = curves[0][0]
    if all(np.array_equal(steps, first) for steps, _, _ in curves):
        x, y = (np.stack([curve[k] for curve in curves]).astype(float) for k in (1, 2))
        return x.mean(0), y.mean(0), y.std(0, ddof=1), np.full(len(first), len(curves))
    steps, at, values = (np.concatenate([curve[k] for curve in curves]) for k in range(3))
    _, place, count = np.unique(steps, return_inverse=True, return_counts=True)

    def mean(column: np.ndarray) -> np.ndarray:
        return np.bincount(place, column.astype(float)) / count

    x, y = mean(at), mean(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        std = np.sqrt(np.bincount(place, (values - y[place]) ** 2) / (count - 1))
    return tuple(column[count > 1] for column in (x, y, std, count))


def _chance(curves: Sequence[Curve], method: str, x: str, per_unit: float, then: str) -> list[dict]:
    """A dashed line at each loss by chance; the highest has the name, `then` its number, as the others."""
    last = [(at[-1] / per_unit, level[-1]) for _, at, level in (curve.pairs("chance_loss", x) for curve in curves) if len(at)]
    end = max((float(at) for at, _ in last), default=0.0)
    levels = sorted({round(float(level), 4) for _, level in last}, reverse=True)
    return [
        {
            "type": "scatter",
            "x": [0, end],
            "y": [level, level],
            "mode": "lines+text",
            "name": "chance",
            "text": ["", f"{METHODS[method].chance + then if level == levels[0] else ''}= {level:.2f}"],
            "textposition": "top left",
            "line": {"color": style.faint(style.colour(method), 0.8), "dash": "6px,4px", "width": 1},
            "showlegend": False,
            "cliponaxis": False,
            "hoverinfo": "skip",
        }
        for level in levels
    ]


def _unit(curves: Sequence[Curve], y: str, x: str) -> tuple[str, float]:
    """(axis title, what a unit of the axis is): of times, a unit that keeps the numbers of all curves short."""
    if x != "seconds":
        return X_AXES[x], 1.0
    longest = max((float(at[-1]) for _, at, _ in (curve.pairs(y, "seconds") for curve in curves) if len(at)), default=0.0)
    name, seconds = words.time_unit(longest)
    return f"{X_AXES['seconds']}, {name}", seconds
