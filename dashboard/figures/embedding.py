"""The images of the evaluation sample as points: one panel a run, the same images in all."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures import style

# Tol's bright colours without their grey; none is a method's, and colour-blind readers tell them apart.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
SYMBOLS = ("circle", "x", "triangle-up", "diamond-open")
AT_MOST = len(COLOURS) * len(SYMBOLS)  # classes that can be told apart; of more, some are shown against grey
FIXED = {  # category: (colour, symbol) of what is no class
    "train": (COLOURS[0], "circle"),
    "test": (COLOURS[1], "x"),
    "right": (COLOURS[0], "circle"),
    "wrong": (COLOURS[1], "x"),
}
OTHERS = style.faint(style.NEUTRAL, 0.35)
NOWHERE = {"dataset": "", "of": ""}  # of images without thumbnails

LETTERS = 44  # of a title's line: on a page of two panels side by side the chart's buttons have room beside it
SIDES = np.array([280, 350, 430, 580])  # pixels: about what sides a panel has, on a page of several or alone
LINE = 19  # pixels: the height of a name
SHIFTS = np.array(  # pixels right and up from a class's middle to its name, the nearest first
    sorted(
        ((right, up) for right in range(-120, 121, 24) for up in range(-114, 115, LINE) if right**2 + up**2 > 300),
        key=lambda shift: shift[0] ** 2 + (shift[1] - 12) ** 2,
    )
)


def looks(classes: Sequence[str], highlight: Sequence[str] = ()) -> dict[str, tuple[str, str]]:
    """Class -> (colour, symbol), for the classes that are told apart; the rest is grey.

    All of them, or those to highlight; of more than AT_MOST, a few from all over the list.
    """
    chosen = [name for name in classes if name in highlight] if highlight else list(classes)
    if len(chosen) > AT_MOST:
        chosen = chosen[:: -(-len(chosen) // len(COLOURS))]
    return {name: (COLOURS[k % len(COLOURS)], SYMBOLS[k // len(COLOURS)]) for k, name in enumerate(chosen)}


def panel(
    points: pd.DataFrame,
    by: str = "class",
    *,
    classes: Sequence[str] = (),
    highlight: Sequence[str] = (),
    seen: Mapping[str, Any] = NOWHERE,
    title: str = "",
    subtitle: str = "",
    axes: tuple[str, str] = ("", ""),
    selected: Collection[int] | None = None,
) -> go.Figure:
    """A point an image, coloured by one column of `points`.

    `points` has x, y, index (in the data set), class and predicted ("" where there is none), and the column `by`:
    class, predicted, split (train, test), probe (right, wrong) or any other that names a class of each point.
    `classes` are all classes in their order, so that a class looks the same in every panel. `selected` are
    data set indices, the other points fade; [] fades none, and None leaves what is selected to the chart.
    """
    told = FIXED if by in ("split", "probe") else looks(classes, highlight)
    span = _square(points)
    lines = textwrap.wrap(title, LETTERS) or [""]
    figure = style.figure(
        title=style.titled("<br>".join(map(style.plain, lines)), style.plain(subtitle)),
        xaxis={**_AXIS, "title": {"text": axes[0]}, "automargin": bool(axes[0]), "constrain": "domain", "range": span[0]},
        yaxis={
            **_AXIS,
            "title": {"text": axes[1]},
            "automargin": bool(axes[1]),
            "constrain": "domain",
            "range": span[1],
            "scaleanchor": "x",
        },
        dragmode="lasso",
        margin={"l": 2, "r": 2, "t": 38 + 18 * len(lines), "b": 8},
        legend={"itemsizing": "constant"},
        showlegend=told is FIXED,
        uirevision=f"{title} {axes}",
    )
    grey = points[~points[by].isin(told)]
    groups = [("others", OTHERS, "circle", grey)] if len(grey) else []
    groups += [(name, *told[name], points[points[by] == name]) for name in told]
    for name, colour, symbol, group in groups:
        if len(group):
            known = style.plain(name) if by == "class" and group is not grey else ""
            _add_points(figure, group, style.plain(name), known, colour, symbol, len(points), seen, selected)
    if selected is not None:  # by which the chart sees that the page knows what is selected, be it nothing
        figure.add_trace(go.Scatter(x=[None], y=[None], selectedpoints=[], showlegend=False, hoverinfo="skip"))
    named = {name: looked[0] for name, looked in looks(classes, highlight).items()}
    return figure.update_layout(
        annotations=_names(
            points,
            {name: style.NEUTRAL if told is FIXED else colour for name, colour in named.items()},
            style.shorter(classes),
            span,
        )
    )


_AXIS = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "showline": True, "mirror": True}


def _square(points: pd.DataFrame) -> list[list[float]]:
    """The ranges of x and y, equally long, so that panels are as large as each other and distances are the same both ways."""
    low, high = points[["x", "y"]].min().to_numpy(float), points[["x", "y"]].max().to_numpy(float)
    middle, half = (low + high) / 2, 0.54 * max((high - low).max(), 1e-6)
    return [[float(m - half), float(m + half)] for m in middle]


def _add_points(
    figure: go.Figure,
    group: pd.DataFrame,
    name: str,
    known: str,
    colour: str,
    symbol: str,
    n: int,
    seen: Mapping[str, Any],
    selected: Collection[int] | None,
) -> None:
    """`known`: the class of the whole group, "" for one of several classes; what is known once is not sent for every point."""
    index = group["index"].to_numpy(np.int32)
    size = 7 if n <= 500 else 5 if n <= 3000 else 4
    lit = np.flatnonzero(np.isin(index, list(selected))).tolist() if selected else None
    figure.add_trace(
        go.Scattergl(
            x=group["x"].to_numpy(np.float32),
            y=group["y"].to_numpy(np.float32),
            customdata=index,
            meta=seen,
            mode="markers",
            name=name,
            text=_told(group, bool(known)),
            marker={"color": colour, "symbol": symbol, "size": size, "opacity": 0.8},
            selectedpoints=lit,
            selected={"marker": {"opacity": 1, "size": size + 2}},
            unselected={"marker": {"opacity": 0.12}},
            hovertemplate=f"{known}%{{text}}<br>image %{{customdata}}<extra></extra>",
        )
    )


def _middle(places: np.ndarray) -> np.ndarray:
    """That one of some points (n, 2) to which half of them are nearest: among them, even where they lie in several heaps."""
    some = places[:: -(-len(places) // 200)]
    apart = np.linalg.norm(some[:, None] - some, axis=2)
    return some[np.median(apart, axis=1).argmin()]


def _told(group: pd.DataFrame, known: bool) -> np.ndarray:
    """What the tooltip says of each point: its class, unless `known`, and what the probe took it for where that is wrong."""
    seen = group[["class", "predicted"]].drop_duplicates().itertuples(index=False, name=None)
    told: Mapping[tuple[str, str], str] = {
        (label, guess): _said("" if known else label or "no label", label, guess) for label, guess in seen
    }
    return np.array([told[pair] for pair in zip(group["class"], group["predicted"])], dtype=object)


def _said(named: str, label: str, guess: str) -> str:
    return style.plain(named + (f", taken for {guess}" if guess and label and guess != label else ""))


def _names(
    points: pd.DataFrame, colours: Mapping[str, str], called: Mapping[str, str], span: Sequence[Sequence[float]]
) -> list[dict]:
    """The name of each class, by `called`, at its middle.

    Where a name would lie over another it is moved away, and a line leads back.
    """
    middles = {name: _middle(of_class[["x", "y"]].to_numpy()) for name, of_class in points.groupby("class")}
    low, high = np.transpose(span)
    taken: list[tuple[np.ndarray, np.ndarray, float]] = []  # middle, as shares of the side; shift; half the width, in pixels
    names = []
    for name, colour in colours.items():
        if name in middles:
            shown = called[name]
            middle, half = (middles[name] - low) / (high - low), 3.2 * len(shown) + 4
            shift = SHIFTS[_in_the_way(taken, middle, half).argmin()]
            taken.append((middle, shift, half))
            names.append(
                {
                    "x": float(middles[name][0]),
                    "y": float(middles[name][1]),
                    "ax": int(shift[0]),
                    "ay": -int(shift[1]),
                    "text": shown,
                    "showarrow": True,
                    "arrowhead": 0,
                    "arrowwidth": 1.5,
                    "arrowcolor": colour,
                    "font": {"size": 10},  # on a chip of the page's colour, see chart.js
                    "bordercolor": colour,
                    "borderwidth": 1.5,
                    "borderpad": 1.5,
                }
            )
    return names


def _in_the_way(taken: Sequence[tuple[np.ndarray, np.ndarray, float]], middle: np.ndarray, half: float) -> np.ndarray:
    """(shifts,): how often a name, moved so far, leaves the panel or lies over another one, in panels of all SIDES."""
    sides = SIDES[:, None]
    x, y = np.moveaxis(middle * sides[..., None] + SHIFTS, -1, 0)  # (sides, shifts)
    found = ((x < half) | (x > sides - half) | (y < LINE / 2) | (y > sides - LINE / 2)).sum(axis=0)
    for other, shift, other_half in taken:
        other_x, other_y = (other * sides + shift).T[..., None]  # (sides, 1)
        found += ((abs(x - other_x) <= half + other_half) & (abs(y - other_y) <= LINE)).sum(axis=0)
    return found
