"""L-BFGS for a smooth convex loss of some thousand numbers (Nocedal & Wright 2006, algorithms 7.4 and 7.5).

torch's own asks for tensors where numbers do, and looks further along each direction: it takes twice the time.
"""

from collections import deque
from collections.abc import Callable

from torch import Tensor

ITERATIONS = 100  # at most
ENOUGH = 3e-5  # it stops when a whole step promises to lower the loss by less than this share
REMEMBERED = 10  # steps
SHORTEST = 1e-3  # part of a step that is tried; where even that does not lower the loss, only rounding is left


def minimum(loss: Callable[[Tensor], tuple[float, Tensor]], point: Tensor) -> Tensor:
    """Where the loss is lowest, sought from a point (P,). loss: point -> (its value, more than 0, and its gradient (P,))."""
    value, gradient = loss(point)
    steps: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=REMEMBERED)  # with the gradient's change and their product
    scale = 1.0  # of the inverse of the second derivatives, before the steps tell more of it
    for _ in range(ITERATIONS):
        direction, parts = -gradient, []
        for step, change, product in reversed(steps):
            parts.append(float(step @ direction) / product)
            direction.sub_(change, alpha=parts[-1])
        direction.mul_(scale)
        for (step, change, product), part in zip(steps, reversed(parts)):
            direction.add_(step, alpha=part - float(change @ direction) / product)
        slope = float(gradient @ direction)
        if -slope < ENOUGH * value:
            break
        length = 1.0
        while (found := loss(new := point + length * direction))[0] > value + 1e-4 * length * slope:
            length /= 2
            if length < SHORTEST:
                return point
        step, change = new - point, found[1] - gradient
        product = float(step @ change)
        if product > 0:  # but for rounding
            steps.append((step, change, product))
            scale = product / float(change @ change)
        point, (value, gradient) = new, found
    return point
