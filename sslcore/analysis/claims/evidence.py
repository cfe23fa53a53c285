"""The runs that claims are held against, laid out along an axis."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from sslcore.analysis import ablation
from sslcore.analysis.ablation.places import lies_on
from sslcore.analysis.claims.choice import Line, choose, seeds_of
from sslcore.analysis.stats import means_by_seed
from sslcore.config import COMPUTING, OPTIONS, WATCHING, RunConfig, get, is_anothers
from sslcore.experiment import Run
from sslcore.idle import idle

AUGMENTATIONS = "augmentations"  # an axis: the kinds of augmentation that a run has, such as "crop + flip"

Curve = dict[int, dict[Any, float]]  # seed -> place on the axis -> measure
DataSets = frozenset[str]


class Along(NamedTuple):
    """A method along an axis."""

    curve: Curve
    lines: list[list[ablation.Cell]]  # that it is the mean over, on the curve's places
    on: DataSets  # of these
    runs: tuple[int, int]  # of a seed on a place: the fewest and the most
    left_out: tuple[list[Any], list[int], int]  # places, seeds, and how many lines, of which others lack some

    @property
    def over(self) -> str:
        """What a seed's numbers are means over, in words; empty where that is one run."""
        fewest, most = self.runs
        alike = f" on {len(self.on)} data sets, each of which counts alike" if len(self.on) > 1 else ""
        return f"{'up to ' * (fewest < most)}{most} settings{alike}" if most > 1 else ""


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
            self._cells[axis] = ablation.cells(self.entries, [on_grid(axis)])
        return self._cells[axis]

    def lines(self, axis: str) -> dict[str, list[list[ablation.Cell]]]:
        """By method, its lines along the axis: their cells that stand somewhere on it."""
        found: dict[str, list[list[ablation.Cell]]] = {}
        for (method, _), own in ablation.lines(self.cells(axis)).items():
            if placed := [cell for cell in own if place(cell, axis) is not None]:
                found.setdefault(method, []).append(placed)
        return found

    def curve(self, axis: str, method: str, measure: str) -> Curve:
        """`curve_on` all data sets that the method's runs are on."""
        return self.curve_on(None, axis, method, measure).curve

    def curves(
        self, axis: str, methods: Collection[str], measure: str, needed: Collection[Any] = (), enough: int = 2
    ) -> dict[str, Along]:
        """Each method's `curve_on` the data sets and the places that all of them have; on its own ones where they share none."""
        on = among = None
        every = found = {method: self.curve_on(on, axis, method, measure, needed=needed, enough=enough) for method in methods}
        while all(along.curve for along in found.values()):
            sets = {along.on for along in found.values()}
            places = {frozenset(next(iter(along.curve.values()))) for along in found.values()}
            if len(sets) == len(places) == 1:
                break
            on, among = frozenset.intersection(*sets), frozenset.intersection(*places)
            if not on or not among:
                return every
            found = {
                method: self.curve_on(on, axis, method, measure, among=among, needed=needed, enough=enough) for method in methods
            }
        return found

    def curve_on(
        self,
        on: DataSets | None,
        axis: str,
        method: str,
        measure: str,
        floor: str = "",
        among: Collection[Any] | None = None,
        needed: Collection[Any] = (),
        enough: int = 2,
    ) -> Along:
        """The method's measure along the axis, of seeds that have every place, in the same lines.

        Of all such choices it is the one that tells most (`choose`), so that no place, line or seed that lacks some takes the
        others with it. `on`, `among`: the data sets and the places that are looked at; None for all. `floor`: a measure that
        is subtracted, run by run; runs without it are left out. `needed`: places that go before others. `enough`: so many
        places do.

        Where several lines count, or several cells stand on one place, a seed's values are means over them, in which each data
        set counts alike, however many lines are on it.
        """
        lines = [own for own in self.lines(axis).get(method, []) if on is None or data_set(own, axis) in on]
        stacked: list[Line] = []
        measured: set[Any] = set()  # places
        for own in lines:
            stacked.append({})
            for cell in own:
                at, values = place(cell, axis), means_by_seed(_values(cell, measure, floor))
                measured |= {at} if values else set()
                if values and (among is None or at in among):
                    stacked[-1].setdefault(at, []).append(values)
        places, seeds, of = choose(stacked, needed, enough)
        sets = [data_set(lines[k], axis) for k in of]
        weights = [1 / sets.count(one) for one in sets]

        def value(seed: int, at: Any) -> float:
            return float(np.average([np.mean([values[seed] for values in stacked[k][at]]) for k in of], weights=weights))

        order = ablation.in_order(axis, places)
        runs = [sum(len(stacked[k][at]) for k in of) for at in order] or [0]
        left_out = (
            ablation.in_order(axis, measured - places),
            [seed for seed in seeds_of(stacked) if seed not in seeds],
            sum(any(line.values()) for line in stacked) - len(of),
        )
        curve = {seed: {at: value(seed, at) for at in order} for seed in seeds}
        chosen = [[cell for cell in lines[k] if place(cell, axis) in places] for k in of]
        return Along(curve, chosen, frozenset(sets), (min(runs), max(runs)), left_out)


def _values(cell: ablation.Cell, measure: str, floor: str) -> Iterator[tuple[int, float | None]]:
    """(seed, measure) of each of the cell's runs; above `floor`, where there is one. None where the run lacks either."""
    for entry in cell.entries:
        value, below = entry.numbers[measure], entry.numbers[floor] if floor else 0.0
        yield entry.config.seed, None if value is None or below is None else value - below


def unequal(axis: str, sides: Iterable[Along]) -> list[str]:
    """The options, beside the axis, of which each of some methods has its own along it."""
    configs = [[entry.config for line in along.lines for cell in line for entry in cell.entries] for along in sides]
    methods = {config.method for own in configs for config in own}
    return [
        name
        for name in OPTIONS
        if name not in ("method", "dataset", "seed", *WATCHING, *COMPUTING)
        and not lies_on(name, [on_grid(axis)])
        and not any(is_anothers(name, method) for method in methods)
        and len({frozenset(get(config, name) for config in own) for own in configs}) > 1
    ]


def on_grid(axis: str) -> str:
    """The axis of a grid on which the places of a claim's axis lie."""
    return "augment" if axis == AUGMENTATIONS else axis


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
    on = (name for name, value in config.augment if (value < 1 if name == "crop_min" else value))
    return " + ".join(dict.fromkeys({"crop_min": "crop", "hue": "jitter"}.get(name, name) for name in on)) or "none"
