"""Curves at the size of a word, as SVG: how kNN accuracy rose in each run of an experiment.

Not a plotly figure, because a list shows dozens of them.
"""

from collections.abc import Sequence

import numpy as np

from dashboard.figures import style

WIDTH, HEIGHT, POINTS = 200, 56, 40


def lines(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], end: float) -> str:
    """A line a run, in its method's colour: (method, x, y), x from 0 to `end`, one scale of y. One at least has points."""
    everything = np.concatenate([y for _, _, y in curves])
    low, high = everything.min(), everything.max()
    drawn = []
    for method, x, y in curves:
        some = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int)) if len(x) else []
        across = 2 + (WIDTH - 4) * x[some] / end
        up = HEIGHT - 3 - (HEIGHT - 6) * (y[some] - low) / max(high - low, 1e-9)
        places = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up))
        drawn.append(
            f'<polyline points="{places}" fill="none" stroke="{style.colour(method)}" stroke-width="1.5" stroke-opacity="0.8" '
            'stroke-linecap="round"/>'
        )
    floor = f'<path d="M2 {HEIGHT - 1}H{WIDTH - 2}" stroke="{style.NEUTRAL}" stroke-opacity="0.4"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} '
        f'{HEIGHT}">{floor}{"".join(drawn)}</svg>'
    )
