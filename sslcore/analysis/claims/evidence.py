"""The runs that claims are held against, laid out along an axis."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sslcore.analysis import ablation
from sslcore.config import RunConfig
from sslcore.experiment import Run
from sslcore.idle import idle

AUGMENTATIONS = "augmentations"  # an axis: the kinds of augmentation that a run has, such as "crop + flip"

Curve = dict[int, dict[Any, float]]  # seed -> place on the axis -> measure


@dataclass(frozen=True)
class Evidence:
    """The runs that claims are held against. Runs that cannot be read are left out."""

    entries: Sequence[ablation.Entry]
    runs: Sequence[Run]

    @cached_property
    def _cells(self) -> dict[str, list[ablation.Cell]]:
        return {}

    @cached_property
    def read(self) -> list[tuple[RunConfig, Run, dict[str, Any]]]:
        """The runs that have results, with their config and these."""
        read = ((run.readable_config, run, run.results()) for run in self.runs)
        return [(config, run, results) for config, run, results in read if config and results is not None]

    def cells(self, axis: str) -> list[ablation.Cell]:
        if axis not in self._cells:
            self._cells[axis] = ablation.cells(self.entries, ["augment" if axis == AUGMENTATIONS else axis])
        return self._cells[axis]

    def lines(self, axis: str) -> dict[str, list[list[ablation.Cell]]]:
        """By method, the lines that count: of those that differ beside the axis, the ones that span the most places."""
        found: dict[str, list[list[ablation.Cell]]] = {}
        for (method, _), own in ablation.lines(self.cells(axis)).items():
            found.setdefault(method, []).append([cell for cell in own if place(cell, axis) is not None])
        for method, lines in found.items():
            widest = max(({place(cell, axis) for cell in line} for line in lines), key=len)
            found[method] = [line for line in lines if {place(cell, axis) for cell in line} == widest]
        return found

    def curve(self, axis: str, method: str, measure: str) -> Curve:
        """The method's measure along the axis, of the seeds that have all of the places of its lines (those with a value).

        Where several lines count, or several cells stand on one place, a seed's values are the mean over them. All seeds
        are averaged over the same lines: the most that a seed has, and of as many those that most seeds have.
        """
        lines: list[Curve] = []
        for own in self.lines(axis).get(method, []):
            line: dict[int, dict[Any, list[float]]] = {}
            for cell in own:
                for seed, value in cell.measured(measure).by_seed.items():
                    line.setdefault(seed, {}).setdefault(place(cell, axis), []).append(value)
            lines.append({seed: {at: float(np.mean(of)) for at, of in values.items()} for seed, values in line.items()})
        measured = {at for line in lines for values in line.values() for at in values}
        whole = {
            seed: tuple(k for k, line in enumerate(lines) if set(line.get(seed, ())) == measured)
            for seed in sorted({seed for line in lines for seed in line})
        }
        had = Counter(filter(None, whole.values()))
        shared = max(had, key=lambda of: (len(of), had[of]), default=())
        order = ablation.in_order(axis, measured)
        return {
            seed: {at: float(np.mean([lines[k][seed][at] for k in of])) for at in order}
            for seed, of in whole.items()
            if of and of == shared
        }


def place(cell: ablation.Cell, axis: str) -> Any:
    """Where a cell stands on a claim's axis; None where the axis means nothing to its method, or to its runs (`idle`)."""
    config = cell.entries[0].config
    if axis == AUGMENTATIONS:
        return kinds(config)
    return None if {axis, f"{cell.method}.{axis}"} & idle(config).keys() else cell.at[0]


def kinds(config: RunConfig) -> str:
    """The augmentations that a run has: "crop + jitter", or "none"."""
    augment = config.augment
    on = {
        "crop": augment.crop_min < 1,
        "flip": augment.flip,
        "jitter": augment.jitter or augment.hue,
        "grayscale": augment.grayscale,
        "blur": augment.blur,
        "solarize": augment.solarize,
    }
    return " + ".join(kind for kind, there in on.items() if there) or "none"
