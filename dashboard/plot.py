"""The one chart component: a plotly figure that keeps the reader's zoom while its data grow.

st.plotly_chart makes a new DOM node whenever the figure changes, and zoom is lost
with it. Here `Plotly.react` changes the node that is there. Colours that depend on
the theme (text, grid, tooltip) are laid over the figure's template in the browser,
from Streamlit's CSS variables, so that figures know nothing of light and dark.

The socket carries words and what has changed (`dashboard.difference`). Whole figures lie at
addresses of their own, under a hash of their content, from where the browser takes them
when their chart comes into view; so does the code that draws them (chart.js), which Streamlit
would send along with every chart and every change of one. Until plotly.js has been read and has drawn a chart of
lines, it is seen as a sketch (sketch.js).

A trace whose points are images says so by `meta={"dataset": name}` and has the
images' data set indices as its customdata, or as customdata's first column. The
image is shown on hover, and is found by the point's own index.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import difference
from dashboard.routes import CARTESIAN_URL, CHART_URL, FIGURES_URL, PLOTLY_URL, THUMBNAILS_URL

HERE = Path(__file__).parent
FORMULA = re.compile(r"([=@\t\r]|[+-](?![\d.]+\Z))(?!\Z)", re.ASCII)
CARTESIAN = {"scatter", "heatmap", "bar", "box", "histogram", "violin"}  # what the smaller plotly.js draws

_chart = st.components.v2.component(
    "triptych_chart",
    html='<div class="chart"></div>',
    css=(HERE / "chart.css").read_text(encoding="utf-8"),
    js=(HERE / "mount.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)
_loader = st.components.v2.component(
    "triptych_plotly",
    js=(HERE / "load.js").read_text(encoding="utf-8")
    + """
export default ({ data }) => {
    for (const coming of [load(data.plotly), import(new URL(data.code, location.href).href)]) coming.catch(() => {})
}""",
)


def expect(points: bool = False) -> None:
    """There will be charts (of `points` by WebGL): the browser fetches and reads their code while the page is still being made.

    Takes no room.
    """
    _loader(key="triptych_plotly", data={"plotly": PLOTLY_URL if points else CARTESIAN_URL, "code": CHART_URL}, height=0)


@dataclass(frozen=True)
class Picked:
    """What the reader has picked in a chart, as data set indices."""

    # Selected in the chart, by lasso or by the page: sorted, each once; [] for none.
    indices: list[int] = field(default_factory=list)
    clicked: int | None = None  # of the point that was clicked last
    moment: int = 0  # of the last pick, in milliseconds of the browser's clock; 0 for none


def picked(key: str) -> Picked:
    """What is picked in the chart of that key, before it is drawn: for pages that draw several of one selection."""
    return Picked(**((st.session_state.get(key) or {}).get("picked") or {}))


def plot(
    figure: go.Figure, *, key: str, alt: str, height: int = 360, data: pd.DataFrame | None = None, select: bool = False
) -> Picked:
    """Draw `figure`, as wide as its container and `height` pixels high, more where a narrow page breaks its legend into lines.

    A later call with the same key changes the same chart: zoom, pan and what was
    hidden in the legend stay, as long as `figure.layout.uirevision` stays (a figure
    sets it to what its axes mean; a change of that meaning shows everything again).
    `alt` says in words what the chart shows. `data`, without its row names, is what
    "data as CSV" downloads; without it, that is what the traces hold. Files are called after the page's experiment and the key.

    With `select` (fixed for a key) the reader picks images by lasso, box and click;
    each pick runs the script, or the fragment, again. Traces show as selected what
    their `selectedpoints` say; where no trace has any, what was picked in this chart.
    """
    if figure.layout.uirevision is None:
        figure.update_layout(uirevision="kept")
    _mark_selected(figure, picked(key).indices if select else [])
    whole, change = difference.since_last(figure, st.session_state.setdefault("_drawn", {}), key)
    chart = {
        "whole": whole,
        "change": change,
        "alt": alt,
        "height": height,
        "name": "-".join([*st.query_params.get_all("experiment")[:1], key]),
        "csv": None if data is None else data.map(tame).to_csv(index=False),
        "select": select,
        # What the reader drew stays until the page has answered this, though the figure be the same.
        "picked": picked(key).moment,
        "code": CHART_URL,
        "plotly": CARTESIAN_URL if {trace.type for trace in figure.data} <= CARTESIAN else PLOTLY_URL,
        "figures": FIGURES_URL,
        "thumbnails": THUMBNAILS_URL,
    }
    _chart(key=key, data=chart, height=height, on_picked_change=lambda: None)  # without a callback the state has no key
    return picked(key)


def tame(cell: object) -> object:
    """A text that a spreadsheet would take for a formula, but is no number, begins with an apostrophe; as in chart.js."""
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell


def _mark_selected(figure: go.Figure, indices: Sequence[int]) -> None:
    """Give the traces of images `selectedpoints` where none has any, and as lists: plotly.js ignores arrays there."""
    can = [trace for trace in figure.data if "selectedpoints" in trace]
    given = [trace for trace in can if trace.selectedpoints is not None]
    for trace in given:
        trace.selectedpoints = np.asarray(trace.selectedpoints, dtype=int).tolist()
    if indices and not given:
        for trace in can:
            if trace.meta and "dataset" in trace.meta and trace.customdata is not None:
                own = np.asarray(trace.customdata)
                trace.selectedpoints = np.flatnonzero(
                    np.isin((own if own.ndim == 1 else own[:, 0]).astype(int), indices)
                ).tolist()
