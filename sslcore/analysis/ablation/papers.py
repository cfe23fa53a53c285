"""The papers' own ablations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from sslcore.analysis.ablation.places import NEGATIVES

PUBLISHED = Path(__file__).parent / "papers.yaml"


@dataclass(frozen=True)
class Curve:
    """A paper's ablation."""

    axis: str
    method: str
    label: str
    source: str
    points: Mapping[float | str, float]  # place on the axis, as runs stand there -> accuracy, 0 to 1

    @property
    def drops(self) -> dict[float | str, float]:
        """Place -> how far below the curve's best it is."""
        return {at: max(self.points.values()) - accuracy for at, accuracy in self.points.items()}


@cache
def published() -> tuple[Curve, ...]:
    """The curves in papers.yaml; a batch size is also 2N-2 negatives for SimCLR."""
    curves = []
    for one in yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")):
        points = {at: accuracy / 100 for at, accuracy in one["points"].items()}
        curves.append(Curve(one["axis"], one["method"], one["label"], one["source"], points))
        if (one["axis"], one["method"]) == ("batch_size", "simclr"):
            as_negatives = {2 * batch - 2: accuracy for batch, accuracy in points.items()}
            curves.append(Curve(NEGATIVES, "simclr", one["label"], one["source"], as_negatives))
    return tuple(curves)
