"""How Triptych's figures look: one colour and one dash a method, the same everywhere, in light and dark."""

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from sslcore.grouping import grouped
from sslcore.methods import METHODS, compared

# Okabe & Ito's colours, which colour-blind readers tell apart, in the order in which methods get them.
# Their yellow is left out (invisible on white), and their black (on black).
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
DASHES = ("solid", "9px,3px", "3px,2px", "9px,3px,3px,3px", "15px,3px", "15px,3px,3px,3px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
LIGHT = 100  # of 255: brighter colours than that have darker tones
NEUTRAL = "#808890"  # references: the supervised encoder, the untrained one
GREY_TEXT = "#767d83"  # legible on white and on black alike; the page replaces it by the theme's own


def _place(method: str) -> int | None:
    """A method's place in the lists above: the registry's order; None for references, which look neutral."""
    return compared().index(method) if method in compared() else None


def colour(method: str) -> str:
    place = _place(method)
    return NEUTRAL if place is None else PALETTE[place % len(PALETTE)]


def dash(method: str) -> str:
    return DASHES[(_place(method) or 0) % len(DASHES)]


def symbol(method: str) -> str:
    place = _place(method)
    return "x" if place is None else SYMBOLS[place % len(SYMBOLS)]


def title(method: str) -> str:
    return METHODS[method].title if method in METHODS else method


def plain(text: str) -> str:
    """Text from a folder, so that plotly shows it as it is written: no tags, links or placeholders."""
    return html.escape(text, quote=False).replace("%{", "% {")


def short(text: str, longest: int = 32) -> str:
    """The same, cut to so many characters: a tick's name leaves room for the plot."""
    return plain(text if len(text) <= longest else f"{text[: longest - 1]}…")


def shorter(names: Collection[str], longest: int = 32) -> dict[str, str]:
    """Name -> as `short` has it; of long names that all begin alike, without most of that beginning, so that they can be told."""
    alike = next((k for k, letters in enumerate(zip(*names)) if len(set(letters)) > 1), 0)
    begin, before = longest // 4, longest // 5

    def told(name: str) -> str:
        return f"{name[:begin]}…{name[alike - before :]}" if len(name) > longest and alike > longest / 2 - 1 else name

    return {name: short(told(name), longest) for name in names}


def shade(colour: str, k: int, n: int) -> str:
    """The k-th of n tones of a colour, from the colour itself to a darker one or, where it is dark, a paler one."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    light = sum(part * share for part, share in zip(parts, (0.3, 0.59, 0.11))) > LIGHT
    end, far = (0, 0.4) if light else (200, 0.6)  # on white as on black all of them are seen, and told from each other
    return "#" + "".join(f"{round(part + (end - part) * far * k / max(n - 1, 1)):02x}" for part in parts)


def tones(methods: Mapping[Any, str]) -> dict[Any, str]:
    """Name -> its method's colour, or a tone of it where the method has several names; a method after the other."""
    alike = grouped(methods, methods.get)
    return {name: shade(colour(method), k, len(names)) for method, names in alike.items() for k, name in enumerate(names)}


def faint(colour: str, opacity: float) -> str:
    """A colour as rgba, for bands and for raw values behind smooth ones."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


_AXIS = {
    "gridcolor": faint(NEUTRAL, 0.25),
    "linecolor": faint(NEUTRAL, 0.6),
    "zeroline": False,
    "showline": True,
    "ticks": "outside",
    "ticklen": 4,
    "tickcolor": faint(NEUTRAL, 0.6),
    "title": {"standoff": 8, "font": {"size": 13}},
    "automargin": True,
}

# An axis of accuracies, 70% or where it must be 70.5%: there are none beyond these ends, whatever room plotly would leave around
# a single value.
SHARE = {"title": {"text": "accuracy"}, "tickformat": ".4~p", "minallowed": 0, "maxallowed": 1}
ROOM = {"r": 22}  # pixels right of such an x axis: half of its 100%, which plotly leaves out where it does not fit


def titled(title: str, subtitle: str) -> dict[str, Any]:
    """A figure's title, with a smaller line below it."""
    return {"text": title, "subtitle": {"text": subtitle}}


def named_rows(names: Iterable[str], **more: Any) -> dict[str, Any]:
    """A y axis with a name a row, the first at 0 and on top. `more` None leaves a key out."""
    names = [plain(name) for name in names]
    places = {"range": [len(names) - 0.5, -0.5], "tickvals": list(range(len(names))), "ticktext": names}
    axis = {**places, "showgrid": False, "ticks": "", **more}
    return {key: value for key, value in axis.items() if value is not None}


# Explicit, because importing Streamlit changes plotly's default template.
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": GREY_TEXT},
        "title": {
            "font": {"size": 15},
            "subtitle": {"font": {"size": 12, "color": GREY_TEXT}},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 6},
        },
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {**_AXIS, "showgrid": False},
        "yaxis": _AXIS,
        "margin": {"l": 8, "r": 16, "t": 60, "b": 8},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "itemwidth": 30,
            "maxheight": 0.6,
            "font": {"size": 12},
        },
        "hoverlabel": {"namelength": -1},
        "hovermode": "closest",
        "colorway": PALETTE,
    }
)


def interval(at: float, low: float, high: float, colour: str, thickness: float = 2, width: int = 5) -> dict:
    """Error bars from `low` to `high` around a value."""
    ends = {"array": [high - at], "arrayminus": [at - low]}
    return {"type": "data", "symmetric": False, **ends, "color": colour, "thickness": thickness, "width": width}


def scatter(**trace: Any) -> dict:
    """A trace for `figure`, whose marks are whole on an axis, too."""
    return {"type": "scatter", "cliponaxis": False, **trace}


def key(name: str, symbol: str, colour: str = NEUTRAL, width: int = 2) -> dict:
    """A line of the legend alone, which tells what a symbol means."""
    marker = {"symbol": symbol, "size": 10, "color": colour, "line": {"width": width, "color": colour}}
    return scatter(x=[None], y=[None], mode="markers", name=name, marker=marker)


def legend_room(labels: Sequence[str], width: int) -> int:
    """Pixels that a chart's legend takes beyond one line, at most, where the chart is `width` wide."""
    symbol, letters = 45, 7 * max(map(len, labels)) + 65  # a label may be followed by its N
    lines = -(-letters // (width - symbol))
    in_a_row = max(1, width // (symbol + letters))
    rows = -(-len(set(labels)) // in_a_row)
    return (29 + 16 * (lines - 1)) * rows - 29


def figure(traces: Sequence[Mapping] = (), **layout) -> go.Figure:
    """A figure in this style, empty but for `traces`, taken as they are: plotly needs half a millisecond to check one."""
    return go.Figure(list(traces), layout={"template": TEMPLATE, **layout}, _validate=not traces)
