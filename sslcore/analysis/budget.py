"""Fair comparison: what each run had reached when all had spent the same.

A method may look better because it trained longer, saw more images or did more arithmetic. So each run's curve is read
at one common budget: that of the cheapest run, beyond which its curve would have to be guessed.
"""

from collections.abc import Iterable

import numpy as np

BUDGETS = {  # column of the metrics: how a budget in it is called
    "epoch": "epochs",
    "images_seen": "images seen",
    "step": "optimizer steps",
    "seconds": "training time",
    "flops": "operations",
}
PROTOCOL = (
    "each run is read at its last logged value at or before the budget, nothing is interpolated between values or continued "
    "beyond a run's end; the budget is what the run that spent least had spent at its end"
)
FLOPS = "floating-point operations of the forward and backward passes, counted once a run"


def common(spent: Iterable[np.ndarray]) -> float | None:
    """The largest budget that every run reached: the least of the runs' last values. None where a run logged nothing."""
    ends = [float(np.nanmax(x)) if np.isfinite(x).any() else None for x in spent]
    return min(ends) if ends and None not in ends else None


def read(x: np.ndarray, y: np.ndarray, budget: float) -> float | None:
    """The last y that was logged at or before x = budget; None where there is none. x (n,) never falls; NaN is no value."""
    logged = np.isfinite(x) & np.isfinite(y) & (x <= budget)
    return float(y[logged][-1]) if logged.any() else None


def pareto(cost: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Indices of the points that none beats, by cost: no other has as much worth for less, or more for as much.

    Of equal points it is the first.
    """
    front: list[int] = []
    for k in np.lexsort((-worth, cost)):
        if not front or worth[k] > worth[front[-1]]:
            front.append(int(k))
    return np.array(front, int)
