"""The grid: entries that differ in their seed alone make a cell, and cells along an axis make a line."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sslcore.analysis.ablation.entry import Entry, by_method
from sslcore.analysis.ablation.places import in_order, lies_on, place, settled, usual
from sslcore.analysis.stats import Aggregate, aggregate, means_by_seed
from sslcore.config import OPTIONS, varying_in
from sslcore.grouping import grouped


@dataclass(frozen=True)
class Cell:
    """Entries that differ in their seed alone, as far as the grid tells."""

    method: str
    rest: tuple[tuple[str, Any], ...]  # settings, beside the axes, that tell it from its method's other cells
    at: tuple[Any, ...]  # its place on each axis; None where the axis means nothing to the method
    entries: tuple[Entry, ...]

    @property
    def line(self) -> tuple[str, tuple[tuple[str, Any], ...]]:
        return self.method, self.rest

    def measured(self, measure: str) -> "Measured":
        by_seed = means_by_seed((entry.config.seed, entry.numbers[measure]) for entry in self.entries)
        return Measured(by_seed, tuple(entry for entry in self.entries if entry.numbers[measure] is None))


@dataclass(frozen=True)
class Measured:
    """A measure over a cell's seeds."""

    by_seed: Mapping[int, float]
    missing: tuple[Entry, ...]  # the entries without it

    @property
    def n(self) -> int:
        return len(self.by_seed)

    @cached_property
    def _made(self) -> Aggregate | None:
        return aggregate(self.by_seed.values())

    @property
    def mean(self) -> float | None:
        return self._made and self._made.mean

    @property
    def std(self) -> float | None:
        """The sample standard deviation; None for fewer than two values."""
        return self._made and self._made.std

    @property
    def why(self) -> str:
        """The entries without it, in words: "not run (seed 1), failed: out of memory (seed 2)"."""
        return self._by_seed([entry.why for entry in self.missing])

    @property
    def states(self) -> str:
        """The same, shorter: "not run (seed 1), failed (seed 2)"."""
        return self._by_seed([entry.lacks for entry in self.missing])

    def _by_seed(self, reasons: Sequence[str]) -> str:
        seeds: dict[str, list[str]] = {}
        for entry, reason in zip(self.missing, reasons):
            seeds.setdefault(reason, []).append(str(entry.config.seed))
        return ", ".join(f"{reason} (seed {', '.join(of)})" for reason, of in seeds.items())


def cells(entries: Sequence[Entry], axes: Sequence[str]) -> list[Cell]:
    """The grid over one or two axes: every entry in exactly one cell, by method, line and place.

    Whatever tells runs of a method apart beside the axes makes lines of their own, but for what a run has from its
    place on an axis alone (`settled`); and where methods are on several data sets, each line has its own. Runs of one seed
    are never counted as two seeds.
    """
    common, found = usual(entries), []
    several = len({entry.settings["dataset"] for entry in entries}) > 1
    for method, own in by_method(entries).items():
        places = [tuple(place(entry, axis, common) for axis in axes) for entry in own]
        varied = {*varying_in(entry.settings for entry in own), *(["dataset"] if several else [])}
        told = [option for option in OPTIONS if option in varied and not lies_on(option, axes)]
        derived = [settled(entry.config, axes) for entry in own]
        rests = [
            tuple((option, entry.settings[option]) for option in told if option not in of) for entry, of in zip(own, derived)
        ]
        seats = Counter((rest, at, entry.config.seed) for rest, at, entry in zip(rests, places, own))
        if max(seats.values()) > 1 and len({entry.experiment for entry in own}) > 1:
            rests = [(*rest, ("experiment", entry.experiment)) for rest, entry in zip(rests, own)]
        groups: dict[tuple, list[Entry]] = {}
        for rest, at, entry in zip(rests, places, own):
            groups.setdefault((rest, at), []).append(entry)
        orders = [in_order(axis, of_axis) for axis, of_axis in zip(axes, zip(*places))]
        known = sorted(dict.fromkeys(rests), key=lambda rest: [(str(type(value)), value) for _, value in rest])
        rank = {
            (rest, at): (known.index(rest), [-1 if where is None else order.index(where) for order, where in zip(orders, at)])
            for rest, at in groups
        }
        for rest, at in sorted(groups, key=rank.get):
            found.append(Cell(method, rest, at, tuple(sorted(groups[rest, at], key=lambda entry: entry.config.seed))))
    return found


def lines(cells: Iterable[Cell]) -> dict[tuple, list[Cell]]:
    """The cells of each line (`Cell.line`), along the axis."""
    return grouped(cells, lambda cell: cell.line)


def best(cells: Iterable[Cell], measure: str) -> dict[tuple, float]:
    """The highest mean of each line that has one: what a drop is counted from."""
    found: dict[tuple, float] = {}
    for cell in cells:
        mean = cell.measured(measure).mean
        if mean is not None:
            found[cell.line] = max(mean, found.get(cell.line, mean))
    return found


def records(cells: Iterable[Cell], axes: Sequence[str]) -> list[dict[str, Any]]:
    """A flat row a run, for whoever wants to compute on: where it stands, and all that was measured of it."""
    return [
        {
            "experiment": entry.experiment,
            "run": entry.run,
            "method": cell.method,
            **dict(cell.rest),
            **dict(zip(axes, cell.at)),
            "seed": entry.config.seed,
            "peak_learning_rate": entry.config.peak_learning_rate,
            "state": entry.state,
            "error": entry.error,
            **entry.numbers,
        }
        for cell in cells
        for entry in cell.entries
    ]
