"""What a claim rests on: each difference that it needs, with its interval, and on which side of zero it lies."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures import style
from sslcore.analysis.claims.step import Step

VERDICTS = {  # word: (icon, badge colour)
    "supported": (":material/check_circle:", "green"),
    "contradicted": (":material/cancel:", "red"),
    "undecided": (":material/help:", "gray"),
}
LINE, ROOM = 17, 110  # pixels of a line of a step's name, and of what is around them
WIDTH = 36  # characters of a step's name on a line


def height(steps: Sequence[Step]) -> int:
    return ROOM + len(steps) * (LINE * max(len(_lines(step)) for step in steps) + 12)


def forest(steps: Sequence[Step]) -> go.Figure:
    """Each step's mean and 95 % interval; to the right of the line at zero is as the claim has it. Filled: told apart.

    Ratios of costs are laid out by their logarithm, on an axis of their own kind; a claim's steps are all of one kind.
    """
    ratio = any(step.ratio for step in steps)
    per = 1.0 if ratio else 0.01
    y = list(range(len(steps)))[::-1]
    differences = [step.difference for step in steps]
    mean = [one.mean / per for one in differences]
    up = [None if one.high is None else (one.high - one.mean) / per for one in differences]
    down = [None if one.low is None else (one.mean - one.low) / per for one in differences]
    least = math.log(1.2) if ratio else 1.0
    low = min(-least, *(at - (below or 0.0) for at, below in zip(mean, down)))
    high = max(least, *(at + (above or 0.0) for at, above in zip(mean, up)))
    figure = style.figure(
        title=style.titled("What it needs", "mean and 95 % interval over seeds; filled: told apart"),
        xaxis={
            "title": {"text": "times (logarithmic)<br>claimed: above 1" if ratio else "points; claimed: above 0"},
            "showgrid": True,
            "range": [low - 0.05 * (high - low), high + 0.05 * (high - low)],
            "zeroline": True,
            "zerolinecolor": style.NEUTRAL,
            "zerolinewidth": 2,
        },
        yaxis={
            "tickvals": y,
            "ticktext": ["<br>".join(_lines(step)) for step in steps],
            "range": [-0.6, len(steps) - 0.4],
            "showgrid": False,
            "ticks": "",
        },
        showlegend=False,
    )
    if ratio:
        shown = [tick for tick in _ticks((high - low) / math.log(10)) if low <= math.log(tick) <= high]
        figure.update_xaxes(
            tickvals=[math.log(tick) for tick in shown], ticktext=[f"{tick:g}" for tick in shown], autotickangles=[0, -90]
        )
    figure.add_trace(
        go.Scatter(
            x=mean,
            y=y,
            mode="markers",
            text=[style.plain(step.sentence) for step in steps],
            hovertemplate="%{text}<extra></extra>",
            error_x={"type": "data", "array": up, "arrayminus": down, "color": style.NEUTRAL, "thickness": 2, "width": 5},
            marker={
                "size": 11,
                "color": style.NEUTRAL,
                "symbol": ["circle" if step.apart else "circle-open" for step in steps],
                "line": {"width": 2, "color": style.NEUTRAL},
            },
        )
    )
    return figure


def table(steps: Sequence[Step]) -> pd.DataFrame:
    """What `forest` shows, as numbers: ratios themselves, not their logarithms."""
    ratio = any(step.ratio for step in steps)

    def amount(value: float | None) -> float | None:
        return None if value is None else float(np.exp(value)) if ratio else 100 * value

    return pd.DataFrame(
        {
            "what it needs": step.says,
            "times" if ratio else "points": amount(step.difference.mean),
            "95 % from": amount(step.difference.low),
            "95 % to": amount(step.difference.high),
            "N": step.difference.seeds,
            "told apart": step.apart,
        }
        for step in steps
    )


def _ticks(decades: float) -> Sequence[float]:
    """Ratios to name on an axis of so many powers of ten: seven or so fall on it."""
    if decades < 0.3:
        return [tenth / 10 for tenth in range(5, 21)]
    if decades < 2.5:
        digits = (1, 1.5, 2, 3, 5, 7) if decades < 1.2 else (1, 2, 5)
        return [digit * 10.0**power for power in range(-3, 3) for digit in digits]
    every = math.ceil(decades / 6)
    return [10.0**power for power in range(-24 * every, 25 * every, every)]


def _lines(step: Step) -> list[str]:
    return [style.plain(line) for line in textwrap.wrap(step.says, WIDTH)]
