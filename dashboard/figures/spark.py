"""Curves at the size of a word, as SVG: how kNN accuracy rose in each run of an experiment.

Not a plotly figure, because a list shows dozens of them.
"""

from collections.abc import Sequence

import numpy as np

from dashboard.figures import style

WIDTH, HEIGHT = 200, 56
POINTS, ALL_POINTS = 40, 2400  # of a curve, and of all, at most
SEEN = 10  # curves, each of which can be followed; more of them are the fainter the more they are
# Of the key. The page tells its pictures which theme it has.
WORDS = "<style>text{fill:#5b6166}@media(prefers-color-scheme:dark){text{fill:#a7adaa}}</style>"
KEY, SEGMENT, LETTER = 14, 16, 6  # the key below, which names the methods: a row, a piece of line, a letter, in pixels


def lines(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], end: float) -> str:
    """A line a run, in its method's colour and dashes: (method, x, y), x from 0 to `end`, one scale of y; and a key below.

    One at least has points.
    """
    everything = np.concatenate([y for _, _, y in curves])
    low, high = everything.min(), everything.max()
    points = min(POINTS, max(ALL_POINTS // len(curves), 8))
    opacity = max(0.8 * min(SEEN / len(curves), 1), 0.2)
    drawn = []
    for method, x, y in curves:
        some = np.unique(np.linspace(0, len(x) - 1, points).astype(int)) if len(x) else []
        across = 2 + (WIDTH - 4) * x[some] / end
        up = HEIGHT - 3 - (HEIGHT - 6) * (y[some] - low) / max(high - low, 1e-9)
        places = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up))
        drawn.append(f'<polyline points="{places}" {_stroke(method)} stroke-opacity="{opacity:.2f}"/>')
        if len(some) == 1:  # of one point there is no line
            drawn.append(f'<circle cx="{across[0]:.1f}" cy="{up[0]:.1f}" r="2" fill="{style.colour(method)}"/>')
    floor = f'<path d="M2 {HEIGHT - 1}H{WIDTH - 2}" stroke="{style.NEUTRAL}" stroke-opacity="0.4"/>'
    key, height = _key(list(dict.fromkeys(method for method, x, _ in curves if len(x))))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
        f"{WORDS}{floor}{''.join(drawn)}{key}</svg>"
    )


def _key(methods: Sequence[str]) -> tuple[str, int]:
    """(a piece of each method's line with its name, in as many rows as it takes; the picture's height with it)."""
    drawn, x, row = [], 2, 1
    for method in methods:
        name = style.title(method)
        width = SEGMENT + 4 + LETTER * len(name) + 8
        if x > 2 and x + width > WIDTH:
            x, row = 2, row + 1
        y = HEIGHT + KEY * row - 4
        drawn.append(f'<path d="M{x} {y - 3}h{SEGMENT}" {_stroke(method)}/>')
        drawn.append(f'<text x="{x + SEGMENT + 4}" y="{y}" font-size="10" font-family="sans-serif">{name}</text>')
        x += width
    return "".join(drawn), HEIGHT + KEY * row


def _stroke(method: str) -> str:
    dashes = style.dash(method).replace("solid", "none")
    return f'fill="none" stroke="{style.colour(method)}" stroke-width="1.5" stroke-dasharray="{dashes}"'
