"""The runs that claims are held against, laid out along an axis."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from sslcore.analysis import ablation
from sslcore.analysis.ablation.places import lies_on
from sslcore.analysis.stats import means_by_seed
from sslcore.config import OPTIONS, WATCHING, RunConfig, get, is_anothers
from sslcore.experiment import Run
from sslcore.idle import idle

AUGMENTATIONS = "augmentations"  # an axis: the kinds of augmentation that a run has, such as "crop + flip"

Curve = dict[int, dict[Any, float]]  # seed -> place on the axis -> measure
DataSets = frozenset[str]


class Along(NamedTuple):
    """A method along an axis."""

    curve: Curve
    on: DataSets  # of the lines that it is the mean over
    lines: int  # how many there are

    @property
    def over(self) -> str:
        """What a seed's numbers are means over, in words; empty where that is one line."""
        alike = f" on {len(self.on)} data sets, each of which counts alike" if len(self.on) > 1 else ""
        return f"{self.lines} settings{alike}" if self.lines > 1 else ""


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

    def lines(self, axis: str, on: DataSets | None = None) -> dict[str, list[list[ablation.Cell]]]:
        """By method, the lines that count: those on the most places of the axis, all of them on the same ones.

        `on`: the data sets whose lines are looked at; None for all.
        """
        found: dict[str, list[list[ablation.Cell]]] = {}
        for (method, _), own in ablation.lines(self.cells(axis)).items():
            if on is None or data_set(own, axis) in on:
                found.setdefault(method, []).append([cell for cell in own if place(cell, axis) is not None])
        for method, lines in found.items():
            widest = max(({place(cell, axis) for cell in line} for line in lines), key=len)
            found[method] = [line for line in lines if {place(cell, axis) for cell in line} == widest]
        return found

    def curve(self, axis: str, method: str, measure: str) -> Curve:
        """`curve_on` all data sets that the method's runs are on."""
        return self.curve_on(None, axis, method, measure).curve

    def curves(self, axis: str, methods: Iterable[str], measure: str) -> dict[str, Along]:
        """Each method's `curve_on` the data sets that all of them have; on its own ones where they share none."""
        every = {method: self.curve_on(None, axis, method, measure) for method in methods}
        found = every
        while len(sets := {along.on for along in found.values()}) > 1:
            shared = frozenset.intersection(*sets)
            if not shared:
                return every
            found = {method: self.curve_on(shared, axis, method, measure) for method in found}
        return found

    def unequal(self, axis: str, methods: Sequence[str], measure: str) -> list[str]:
        """The options, beside the axis, of which each of the methods has its own in the lines of `curves`."""
        on = frozenset.union(*(along.on for along in self.curves(axis, methods, measure).values()))
        lines = self.lines(axis, on)
        configs = {
            method: [entry.config for line in lines[method] for cell in line for entry in cell.entries] for method in methods
        }
        along = ["augment" if axis == AUGMENTATIONS else axis]
        return [
            name
            for name in OPTIONS
            if name not in ("method", "dataset", "seed", *WATCHING)
            and not lies_on(name, along)
            and not any(is_anothers(name, method) for method in methods)
            and len({frozenset(get(config, name) for config in own) for own in configs.values()}) > 1
        ]

    def curve_on(self, on: DataSets | None, axis: str, method: str, measure: str, floor: str = "") -> Along:
        """The method's measure along the axis, of the seeds that have a value at every place where any run has one.

        `floor`: a measure that is subtracted, run by run; runs without it are left out.

        Where several lines count, or several cells stand on one place, a seed's values are means over them, in which each data
        set counts alike, however many lines are on it. All seeds are averaged over the same lines: as many as any seed has
        and, of equally many, those that most seeds have.
        """
        lines: list[Curve] = []
        counted = self.lines(axis, on).get(method, [])
        for own in counted:
            line: dict[int, dict[Any, list[float]]] = {}
            for cell in own:
                for seed, value in means_by_seed(_values(cell, measure, floor)).items():
                    line.setdefault(seed, {}).setdefault(place(cell, axis), []).append(value)
            lines.append({seed: {at: float(np.mean(of)) for at, of in values.items()} for seed, values in line.items()})
        measured = {at for line in lines for values in line.values() for at in values}
        whole = {
            seed: tuple(k for k, line in enumerate(lines) if set(line.get(seed, ())) == measured)
            for seed in sorted({seed for line in lines for seed in line})
        }
        had = Counter(filter(None, whole.values()))
        shared = max(had, key=lambda of: (len(of), had[of]), default=())
        sets = [data_set(counted[k], axis) for k in shared]
        weights = [1 / sets.count(one) for one in sets]
        order = ablation.in_order(axis, measured)
        curve = {
            seed: {at: float(np.average([lines[k][seed][at] for k in of], weights=weights)) for at in order}
            for seed, of in whole.items()
            if of and of == shared
        }
        return Along(curve, frozenset(sets), len(shared))


def _values(cell: ablation.Cell, measure: str, floor: str) -> Iterator[tuple[int, float | None]]:
    """(seed, measure) of each of the cell's runs; above `floor`, where there is one. None where the run lacks either."""
    for entry in cell.entries:
        value, below = entry.numbers[measure], entry.numbers[floor] if floor else 0.0
        yield entry.config.seed, None if value is None or below is None else value - below


def data_set(line: Sequence[ablation.Cell], axis: str) -> str:
    """What all cells of a line were trained and measured on; "" where the axis is the data set."""
    return "" if axis == "dataset" else line[0].entries[0].settings["dataset"]


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
