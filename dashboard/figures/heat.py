"""Ablations over two axes: a heat map a line, in which what is missing says so.

`cells` are those of sslcore.analysis.ablation.cells over two axes.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from dashboard.figures import style
from dashboard.figures.ablation import label
from dashboard.figures.axes import said, ticks, title
from dashboard.figures.measures import Show, in_words, n_seeds, unmeasured, why_missing
from sslcore.analysis import ablation
from sslcore.analysis.ablation import Cell


def heat(cells: Sequence[Cell], axes: Sequence[str], measure: str, ends: tuple[float, float], *, drop: bool = False) -> go.Figure:
    """One line's cells over two axes, as colours from the low to the high one of `ends`; what is missing says so."""
    best_mean = next(iter(ablation.best(cells, measure).values()), None)
    best = best_mean if drop else None
    show = Show.of(measure, (), drop)
    columns, rows = (ablation.in_order(axis, [cell.at[k] for cell in cells]) for k, axis in enumerate(axes))
    z = np.full((len(rows), len(columns)), np.nan)
    hover = np.full(z.shape, "", dtype=object)
    counts = n_seeds(cells, measure)
    texts = []  # (column, row, text); a trace of their own, in the colour of the page's text
    figure = style.figure(
        title=style.titled(style.plain(label(cells[0])), f"seeds a cell: {in_words(counts)}" if counts else unmeasured(cells)),
        xaxis={"title": {"text": title(axes[0])}, **ticks(axes[0], columns)},
        yaxis={"title": {"text": title(axes[1])}, **ticks(axes[1], rows), "showgrid": False},
        uirevision=f"heat {measure} {drop} {' '.join(axes)}",
    )
    for cell in cells:
        column, row = columns.index(cell.at[0]), rows.index(cell.at[1])
        seen = cell.measured(measure)
        where = ", ".join(f"{title(axis)} {style.plain(said(axis, at))}" for axis, at in zip(axes, cell.at))
        why = f"missing: {why_missing(seen)}" if seen.missing else ""
        if seen.n:
            z[row, column] = show.y(seen.mean, best)
            hover[row, column] = "<br>".join(filter(None, [where, show.said(seen, best), why]))
            texts.append((column, row, show.number(z[row, column]), ""))
        else:
            texts.append((column, row, f"<i>{style.plain(seen.missing[0].lacks)}</i>", f"{where}<br>{why}"))
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
    show = Show.of(measure, (), drop)
    heights = [
        show.y(mean, best[cell.line] if drop else None) for cell in cells if (mean := cell.measured(measure).mean) is not None
    ]
    return (min(heights), max(heights)) if heights else (0.0, 1.0)
