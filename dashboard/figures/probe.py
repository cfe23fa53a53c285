"""What the encoders know, measured with labels: accuracies with intervals and baselines, per class, confusion.

`rows` are those of `tables.summary`, one a run, in the order in which they are shown.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard import words
from dashboard.figures import style
from sslcore.analysis.stats import Aggregate, aggregate, of_each_seed
from sslcore.analysis.summary import mean
from sslcore.grouping import grouped

MEASURES = {"linear": ("linear probe", "circle"), "knn": ("kNN", "diamond-open")}
BASELINES = {
    "random_linear": "untrained encoder, linear probe",
    "random_knn": "untrained encoder, kNN",
    "pixels_knn": "pixels, kNN",
}
ALT = {  # of each chart, in words for who cannot see it
    "accuracy": (
        "Accuracy of the linear probe and of kNN for each method, with the accuracies of the untrained encoder and of the pixels"
    ),
    "per_class": "Accuracy of the linear probe on each class, for each method",
}
BARS = (
    "Bars: the 95 % interval of a single run, or ± one standard deviation over seeds, each of which is a small dot. Ticks: what "
    "needs no training."
)
OFFSETS = {"linear": -0.16, "random_linear": -0.16, "knn": 0.16, "random_knn": 0.16, "pixels_knn": 0.16}  # of a label's two lines
PIXELS = "#9a7d5f"  # which stand beside the untrained encoder
MAX_CLASSES = 30
BESIDE = 0.2  # of a row: how far above or below its middle the outermost marks lie, so that none hides another
SIDE = 360  # pixels of a confusion matrix with the names beside it
LONGEST = 16  # letters of a name there: a third of the side


def accuracy_height(labels: int) -> int:
    return 190 + 62 * labels


def per_class_height(classes: int) -> int:
    return 150 + 26 * min(classes, MAX_CLASSES)


def accuracy(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """A line a label: linear probe and kNN as dots, baselines as ticks.

    The bar is the 95 % interval of a single run, or ± one standard deviation over
    seeds, which then appear as small dots.
    """
    groups = by_label(rows)
    traces = []
    for column, name in BASELINES.items():
        levels = [(k + OFFSETS[column], mean(column, group)) for k, group in enumerate(groups.values())]
        levels = [(y, made) for y, made in levels if made is not None]
        colour, tick = (PIXELS, "line-ne") if column == "pixels_knn" else (style.NEUTRAL, "line-ns")
        traces.append(
            style.scatter(
                x=[made.mean for _, made in levels],
                y=[y for y, _ in levels],
                name=name,
                mode="markers",
                customdata=[[made.std, made.n or None] for _, made in levels],
                meta={"columns": ["std", "N"]},
                showlegend=False,
                marker={"symbol": tick, "size": 16, "line": {"width": 3, "color": colour}},
                hovertemplate=[f"%{{x:.1%}}{over_seeds(made)}<extra>{name}</extra>" for _, made in levels],
            )
        )
    for column, (name, symbol) in MEASURES.items():
        for k, (label, group) in enumerate(groups.items()):
            if made := mean(column, group):
                _add_dot(traces, group, column, made, k + OFFSETS[column], f"{style.plain(label)}, {name}", symbol)
        traces.append(style.key(name, symbol))
    traces.append(style.key("untrained encoder", "line-ns", width=3))
    traces.append(style.key("pixels", "line-ne", PIXELS, 3))
    return style.figure(
        traces,
        title=style.titled("Accuracy on the test images", "upper line: linear probe; lower line: kNN"),
        xaxis=style.SHARE | {"showgrid": True},
        margin=style.ROOM,
        yaxis=style.named_rows(groups, range=None, autorange="reversed"),
        uirevision="accuracy",
    )


def _add_dot(traces: list[dict], group: list, column: str, made: Aggregate, y: float, name: str, symbol: str) -> None:
    colour = style.colour(group[0]["method"])
    error, told, spread = None, "", {}
    if made.std is not None:
        error = style.interval(made.mean, made.mean - made.std, made.mean + made.std, colour)
        told, spread = over_seeds(made), {"std": made.std, "N": made.n}
        values = of_each_seed((row["seed"], row[column]) for row in group)
        traces.append(
            style.scatter(
                x=values,
                y=[y + 0.11] * len(values),
                name=f"{name}, single seeds",
                mode="markers",
                marker={"size": 5, "color": style.faint(colour, 0.45)},
                showlegend=False,
                hoverinfo="skip",
            )
        )
    elif made.low is not None:
        error = style.interval(made.mean, made.low, made.high, colour)
        told = f" (95 %: {words.percent(made.low)} to {words.percent(made.high)})"
        spread = {"95 % from": made.low, "95 % to": made.high}
    traces.append(
        style.scatter(
            x=[made.mean],
            y=[y],
            name=name,
            mode="markers",
            error_x=error,
            customdata=[list(spread.values())] if spread else None,
            meta={"columns": list(spread)},
            showlegend=False,
            marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
            hovertemplate=f"%{{x:.1%}}{told}<extra>{name}</extra>",
        )
    )


def of_seeds(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a subtitle adds where numbers are means over seeds."""
    several = any(len({row["seed"] for row in group}) > 1 for group in by_label(rows).values())
    return ", mean over seeds" if several else ""


def per_class(rows: Sequence[Mapping[str, Any]], accuracies: Mapping[str, Mapping[str, float | None]]) -> go.Figure:
    """Accuracy of the linear probe on each class, mean over seeds, a dot a label; easiest class on top.

    `accuracies` holds each run's results: {run: {class: accuracy}}, None for a class
    without test images, which is left out. Of very many classes, MAX_CLASSES are shown,
    see `which_classes`.
    """
    made = {}  # label -> {class: accuracy over seeds}
    for label, group in by_label(rows).items():
        of_group = [(row["seed"], accuracies[row["run"]]) for row in group if accuracies.get(row["run"])]
        if of_group:
            shared = [name for name in of_group[0][1] if all(one.get(name) is not None for _, one in of_group)]
            made[label] = {name: aggregate(of_each_seed((seed, one[name]) for seed, one in of_group)) for name in shared}
    classes = list(dict.fromkeys(name for of_label in made.values() for name in of_label))
    values = {name: [of_label[name].mean for of_label in made.values() if name in of_label] for name in classes}
    if len(classes) > MAX_CLASSES:  # a single label differs from none: its hardest
        alike = {name: min(of) - max(of) if len(made) > 1 else of[0] for name, of in values.items()}
        classes = sorted(classes, key=alike.get)[:MAX_CLASSES]
    classes.sort(key=lambda name: -float(np.mean(values[name])))
    traces, colours = [], tones(rows)
    apart = dict(zip(made, np.linspace(-BESIDE, BESIDE, len(made)) if len(made) > 1 else [0.0]))
    for label, group in by_label(rows).items():
        if label in made:
            method = group[0]["method"]
            shown = [(k, made[label][name]) for k, name in enumerate(classes) if name in made[label]]
            traces.append(
                style.scatter(
                    x=[one.mean for _, one in shown],
                    y=[k + apart[label] for k, _ in shown],
                    mode="markers",
                    name=style.plain(label),
                    text=[style.plain(classes[k]) for k, _ in shown],
                    customdata=[[one.std, one.n] for _, one in shown],
                    meta={"columns": ["std", "N"]},
                    marker={"size": 9, "color": colours[label], "symbol": style.symbol(method)},
                    hovertemplate=[
                        f"%{{text}}: %{{x:.1%}}{over_seeds(one)}<extra>{style.plain(label)}</extra>" for _, one in shown
                    ],
                )
            )
    return style.figure(
        traces,
        title=style.titled("Accuracy by class", f"linear probe{of_seeds(rows)}"),
        xaxis=style.SHARE | {"showgrid": True},
        margin=style.ROOM,
        yaxis={
            "autorange": "reversed",
            "tickvals": list(range(len(classes))),
            "ticktext": list(style.shorter(classes).values()),
            "ticks": "",
            "ticklabelstandoff": 6,  # of a mark at 0, which half lies beside the chart
        },
        uirevision="per class",
    )


def over_seeds(made: Aggregate) -> str:
    """The spread of an accuracy, for a tooltip; "" of a single seed."""
    return "" if made.std is None else f" ± {words.tenths(100 * made.std)} % over {made.n} seeds"


def commonest(linear: Mapping[str, Any]) -> str:
    """How accurate it is to name one class for all test images, in words; "" where they are not counted."""
    of_class = np.sum(linear.get("confusion") or [[0]], axis=1)
    if not of_class.sum():
        return ""
    right = words.percent(of_class.max() / of_class.sum())
    return f"To call every test image by the commonest class, without a look at it, would be right for {right} of them"


def classes_of(accuracies: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """The classes of which any of the runs was tested; of several data sets, those of each."""
    return list(dict.fromkeys(name for of_run in accuracies.values() for name, share in of_run.items() if share is not None))


def which_classes(rows: Sequence[Mapping[str, Any]], n: int) -> str:
    """Which of n classes `per_class` shows; "" where it shows all."""
    why = "on which the methods differ most" if len(by_label(rows)) > 1 else "that are hardest"
    return f"The {MAX_CLASSES} of {n} classes {why}." if n > MAX_CLASSES else ""


def tones(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each label's colour: its method's, or a tone of it where the method has several labels."""
    return style.tones({row["label"]: row["method"] for row in rows})


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> go.Figure:
    """Rows are true classes, columns predicted ones; colour is the share of a row, the tooltip has the count."""
    counts = np.asarray(counts, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    blue = style.PALETTE[0]
    shown = style.shorter(classes, LONGEST)
    size = _size_of_names(shown.values())
    named = {"tickvals": [], "ticktext": []}
    if size:
        named = {
            "tickvals": list(range(len(classes))),
            "ticktext": list(shown.values()),
            "tickfont": {"size": size},
        }
    told = "counts" if size else "names and counts"
    gap = 0 if len(classes) > MAX_CLASSES else 1  # of very many, gaps would be much of the picture
    names = [[(true, predicted) for predicted in map(style.plain, classes)] for true in map(style.plain, classes)]
    return style.figure(
        title=style.titled(style.plain(title), f"colour: share of the true class; {told} are in the tooltips"),
        xaxis={
            "title": {"text": "predicted"},
            **named,
            "autotickangles": [0, -40, -90],  # to the left: a name that leaves the chart on the right is not drawn
            "constrain": "domain",
        },
        yaxis={
            "title": {"text": "true"},
            **named,
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
            "showgrid": False,
        },
        uirevision="confusion",
    ).add_trace(
        go.Heatmap(
            z=shares,
            zmin=0,
            zmax=1,
            xgap=gap,
            ygap=gap,
            customdata=np.dstack([np.array(names, dtype=object), counts.astype(int).astype(object)]).tolist(),
            meta={"z": "share of the true class", "columns": ["true class", "predicted class", "images"]},
            colorscale=[[0, style.faint(blue, 0.04)], [0.15, style.faint(blue, 0.3)], [1, blue]],
            colorbar={  # below, for beside the matrix it takes a third of a phone's width
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "tickformat": ".0%",
                "thickness": 12,
                "outlinewidth": 0,
            },
            hovertemplate=(
                "%{customdata[0]} taken for %{customdata[1]}<br>images: %{customdata[2]}, %{z:.1%} of the class<extra></extra>"
            ),
        )
    )


def _size_of_names(names: Collection[str]) -> int | None:
    """Pixels of the letters in which the names fit beside a matrix on a phone, a line each; None where they would overlap."""
    longest = max(map(len, names), default=0)
    return next((size for size in (13, 10) if 1.15 * size * len(names) + 0.55 * size * longest <= SIDE), None)


def by_label(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each label."""
    return grouped(rows, lambda row: row["label"])
