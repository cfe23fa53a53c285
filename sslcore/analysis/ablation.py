"""Ablations: runs -> a grid of cells, with mean and spread over seeds, and with what the grid lacks.

An axis is an option by its dotted name, the name of a group whose options vary together (`augment`), or a setting
that methods have each for themselves, by its last name: `momentum` is `moco.momentum` for MoCo and `byol.momentum`
for BYOL. `negatives` is what a positive is told apart from, whichever options decide it.
"""

import math
import statistics
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from sslcore import datasets, plan
from sslcore.analysis.stats import Aggregate, aggregate
from sslcore.analysis.summary import NUMBERS, number
from sslcore.config import OPTIONS, RunConfig, get, resolve, varying
from sslcore.experiment import Experiment, Run
from sslcore.methods import METHODS
from sslcore.status import PRETRAIN_SHARE, RESUMABLE

NOT_RUN = "not run"  # the state of a run that was planned and never made
NEGATIVES = "negatives"
MECHANISM = "moco.negatives"
AS_IS = "as is"  # the place, on a group's axis, of the runs with nothing changed
PUBLISHED = Path(__file__).parent / "published.yaml"
OPTIMIZERS = {"sgd": "SGD", "lars": "LARS", "adamw": "AdamW"}


# -- Runs, made or planned -------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A run of the grid, whether there is one yet or not."""

    experiment: str
    run: str
    config: RunConfig
    state: str  # as Status has it, or NOT_RUN
    progress: float
    error: str | None
    numbers: Mapping[str, float | None]  # by summary.NUMBERS
    measured: bool = False  # whether it has results that can be read
    imported: bool = False  # trained on a machine of others

    @cached_property
    def settings(self) -> dict[str, Any]:
        return self.config.flat()

    @property
    def why(self) -> str:
        """What there is to say of a result that is missing."""
        if self.state == "finished":
            return "finished without this number" if self.measured else "finished, and its results.json cannot be read"
        return f"{self.state}: {self.error}" if self.error and self.state in RESUMABLE else self.state


def entries(experiment: Experiment, runs: Iterable[Run]) -> list[Entry]:
    """`runs` (the experiment's, and others to be seen beside them) and what its axes plan beyond the runs it has."""
    found = [entry for run in runs if (entry := made(run))]
    there = {run.name for run in experiment.runs()}
    planned = plan.plan(experiment.spec()).configs.items()
    return found + [to_make(experiment.name, name, config) for name, config in planned if name not in there]


def made(run: Run) -> Entry | None:
    """A run as an entry; None where its config cannot be read."""
    try:
        config = run.config
    except ValueError:
        return None
    status, results = run.status(), run.results()
    numbers = {name: number(results, where) for name, where in NUMBERS.items()}
    return Entry(
        run.path.parent.name,
        run.name,
        config,
        status.state,
        status.progress,
        status.error,
        numbers,
        measured=bool(results),
        imported=status.host is None,
    )


def to_make(experiment: str, name: str, config: RunConfig) -> Entry:
    """A run that there is none of yet as an entry."""
    return Entry(experiment, name, config, NOT_RUN, 0.0, None, dict.fromkeys(NUMBERS))


# -- Axes ------------------------------------------------------------------------


def axes(entries: Sequence[Entry]) -> list[str]:
    """The axes along which runs of one method differ, in the order of the options; method and seed are none of them.

    Nor are options that merely follow another one, as a warm-up may follow the batch size.
    """
    options = varying(entry.config for entry in entries)
    groups = [
        group for group in dict.fromkeys(option.partition(".")[0] for option in options if "." in option) if group not in METHODS
    ]
    grouped = {
        group for group in groups if _move_together(entries, [option for option in options if option.startswith(f"{group}.")])
    }
    found: dict[str, None] = {}
    for option in options:
        group = option.partition(".")[0]
        if group in grouped:
            found[group] = None
        elif not any(_follows(entries, option, other) for other in options if other != option):
            found[_axis(option)] = None
    if any(len(set(of)) > 1 for of in _by_method(entries, lambda config: config.negatives).values()):
        found[NEGATIVES] = None
    return list(found)


def _follows(entries: Sequence[Entry], option: str, other: str) -> bool:
    """Whether `other` decides `option`; where each decides the other, the one that is declared later follows."""
    if option.partition(".")[0] in METHODS or other.partition(".")[0] in METHODS:
        return False
    pairs = {(entry.config.method, entry.settings[other], entry.settings[option]) for entry in entries}
    decided = len({pair[:2] for pair in pairs}) == len(pairs)
    decides = len({pair[::2] for pair in pairs}) == len(pairs)
    declared = list(OPTIONS)
    return decided and (not decides or declared.index(other) < declared.index(option))


def _by_method(entries: Sequence[Entry], of: Callable[[RunConfig], Any]) -> dict[str, list[Any]]:
    return {method: [of(entry.config) for entry in own] for method, own in by_method(entries).items()}


def by_method(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries of each method, in the registry's order."""
    found: dict[str, list[Entry]] = {method: [] for method in METHODS}
    for entry in entries:
        found[entry.config.method].append(entry)
    return {method: own for method, own in found.items() if own}


def _axis(option: str) -> str:
    """The axis that an option's values are laid along."""
    group, _, last = option.rpartition(".")
    if option == "moco.queue_size":
        return NEGATIVES
    return last if group in METHODS and option != MECHANISM else option


def _move_together(entries: Sequence[Entry], options: Sequence[str]) -> bool:
    """Whether several options vary, and not in all combinations."""
    seen = {option: {entry.settings[option] for entry in entries} for option in options}
    combinations = {tuple(entry.settings[option] for option in options) for entry in entries}
    return len(options) > 1 and len(combinations) < math.prod(map(len, seen.values()))


def place(entry: Entry, axis: str, usual: Mapping[str, Any]) -> Any:
    """Where an entry stands on an axis; None where the axis means nothing to its method.

    On a group's axis: the options, with values, that are not as `usual`.
    """
    config, method = entry.config, entry.config.method
    if axis == NEGATIVES:
        return config.negatives
    if axis == "micro_batch_size":
        return config.micro_batch_size or config.batch_size
    if axis in OPTIONS:
        owner = axis.partition(".")[0]
        return get(config, axis) if owner not in METHODS or owner == method else None
    if f"{method}.{axis}" in OPTIONS:
        return get(config, f"{method}.{axis}")
    settings = entry.settings
    within = [option for option in OPTIONS if option.startswith(f"{axis}.")]
    if not within:
        return None
    changed = {option.rpartition(".")[2]: settings[option] for option in within if settings[option] != usual[option]}
    return ", ".join(_changed(name, value) for name, value in changed.items()) or AS_IS


def _changed(name: str, value: Any) -> str:
    if name == "crop_min" and value == 1:
        return "no crop"
    return f"no {name}" if not value else f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def usual(entries: Sequence[Entry]) -> dict[str, Any]:
    """Each option's most frequent value."""
    settings = [entry.settings for entry in entries]
    return {option: Counter(one[option] for one in settings).most_common(1)[0][0] for option in OPTIONS} if settings else {}


def in_order(axis: str, places: Iterable[Any]) -> list[Any]:
    """The distinct places on an axis: numbers by size, choices as the option lists them, words by the alphabet."""
    places = list(dict.fromkeys(place for place in places if place is not None))
    if is_numeric(places):
        return sorted(places)
    listed = list(typing.get_args(OPTIONS[axis].annotation)) if axis in OPTIONS else []
    return sorted(places, key=lambda place: (listed.index(place) if place in listed else -1, place != AS_IS, str(place)))


def is_numeric(places: Iterable[Any]) -> bool:
    return all(isinstance(place, (int, float)) and not isinstance(place, bool) for place in places)


# -- Cells -------------------------------------------------------------------------


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
        by_seed = {entry.config.seed: entry.numbers[measure] for entry in self.entries if entry.numbers[measure] is not None}
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
        return self._by_seed(
            ["unreadable" if entry.state == "finished" and not entry.measured else entry.state for entry in self.missing]
        )

    def _by_seed(self, reasons: Sequence[str]) -> str:
        seeds: dict[str, list[str]] = {}
        for entry, reason in zip(self.missing, reasons):
            seeds.setdefault(reason, []).append(str(entry.config.seed))
        return ", ".join(f"{reason} (seed {', '.join(of)})" for reason, of in seeds.items())


def cells(entries: Sequence[Entry], axes: Sequence[str]) -> list[Cell]:
    """The grid over one or two axes: every entry in exactly one cell, by method, line and place.

    Whatever tells runs of a method apart beside the axes makes lines of their own, but for what a run has from its
    place on an axis alone (`_derived`). Runs of one seed are never counted as two seeds.
    """
    common, found = usual(entries), []
    for method, own in by_method(entries).items():
        places = [tuple(place(entry, axis, common) for axis in axes) for entry in own]
        told = [option for option in varying(entry.config for entry in own) if not _on(option, axes)]
        derived = [_derived(entry.config, axes) for entry in own]
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
        known = sorted(set(rests), key=lambda rest: [(str(type(value)), value) for _, value in rest])

        def rank(key: tuple, orders=orders, known=known) -> tuple:
            rest, at = key
            return known.index(rest), [-1 if where is None else order.index(where) for order, where in zip(orders, at)]

        for rest, at in sorted(groups, key=rank):
            found.append(Cell(method, rest, at, tuple(sorted(groups[rest, at], key=lambda entry: entry.config.seed))))
    return found


def _on(option: str, axes: Sequence[str]) -> bool:
    """Whether the option is what one of the axes lays out."""
    return _axis(option) in axes or option.rpartition(".")[0] in axes


def _derived(config: RunConfig, axes: Sequence[str]) -> set[str]:
    """The options that a run has from its place on an axis: what suits a data set, the batch that its negatives are all of.

    The learning rate that follows the batch size is none of them: as an option, it stands before its scaling.
    """
    found = suited(config) if "dataset" in axes else set()
    in_batch = {"moco": config.moco.negatives == "batch", "simclr": config.simclr.negatives is None}
    if NEGATIVES in axes and in_batch.get(config.method):
        found.add("batch_size")
    return found


def suited(config: RunConfig) -> set[str]:
    """The options that a run has as they suit its data set."""
    suits = resolve({"method": config.method, "dataset": config.dataset})
    return {option for option in _suited() if get(config, option) == get(suits, option)}


@cache
def _suited() -> set[str]:
    """The options that some data set has a default of its own for."""
    return {option for name in datasets.NAMES for option in datasets.defaults(name)}


def lines(cells: Iterable[Cell]) -> dict[tuple, list[Cell]]:
    """The cells of each line (`Cell.line`), along the axis."""
    found: dict[tuple, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.line, []).append(cell)
    return found


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


# -- The learning rate that went with it -------------------------------------------


def learning_rate_rule(entries: Sequence[Entry]) -> list[str]:
    """The rule and what it came to, such as "SGD, learning rate 0.06 × batch/256: 0.015 to 0.12", a line a rule.

    Methods that share a rule share a line, which begins with them where they are not all.
    """
    rules: dict[str, list[str]] = {}
    for method, own in by_method(entries).items():
        configs = [entry.config for entry in own]
        for optimizer, scaling in dict.fromkeys((config.optimizer, config.lr_scaling) for config in configs):
            alike = [config for config in configs if (config.optimizer, config.lr_scaling) == (optimizer, scaling)]
            rules.setdefault(f"{OPTIMIZERS[optimizer]}, {_rule(alike, scaling)}", []).append(METHODS[method].title)
    everybody = [METHODS[method].title for method in by_method(entries)]
    return [rule if methods == everybody else f"{' and '.join(methods)}: {rule}" for rule, methods in rules.items()]


def _rule(configs: Sequence[RunConfig], scaling: str) -> str:
    given = _span(config.learning_rate for config in configs)
    if scaling == "none":
        return (
            f"learning rate {given} at every batch size"
            if " " not in given
            else f"learning rate {given}, whatever the batch size"
        )
    factor = {"linear": "batch/256", "sqrt": "√(batch/256)"}[scaling]
    return f"learning rate {given} × {factor}: {_span(config.peak_learning_rate for config in configs)}"


def _span(values: Iterable[float]) -> str:
    values = list(values)
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


# -- What is missing, and what it would cost ---------------------------------------


def to_run(entries: Iterable[Entry], experiment: str) -> list[Entry]:
    """The experiment's entries that have no result and that nobody is at work on."""
    own = (entry for entry in entries if entry.experiment == experiment)
    return [entry for entry in own if entry.state in (NOT_RUN, *RESUMABLE) and not entry.measured]


def seconds_to_run(missing: Iterable[Entry], entries: Iterable[Entry]) -> float | None:
    """Estimated seconds of training, one run after the other; None where none of `entries` has the image size and encoder of
    one that is missing and a speed that was measured here, or a data set is not here.

    The images that are left to see, by the images a second of the finished runs that are most alike: in method, then batch
    size.
    """
    measured = [entry for entry in entries if entry.numbers["images_per_second"] and not entry.imported]
    total = 0.0
    for entry in missing:
        speeds: dict[tuple, list[float]] = {}
        for other in measured:
            if _network(other.config) == _network(entry.config):
                speeds.setdefault(_unlike(entry.config, other.config), []).append(other.numbers["images_per_second"])
        try:
            images = datasets.info(entry.config.dataset).train * entry.config.epochs
        except ValueError:
            return None
        if not speeds:
            return None
        total += images * (1 - min(1.0, entry.progress / PRETRAIN_SHARE)) / statistics.median(speeds[min(speeds)])
    return total


def _network(config: RunConfig) -> tuple[str, int]:
    """What a speed tells nothing beyond: an image may cost a hundred times as much in another encoder."""
    return config.encoder, config.image_size


def _unlike(one: RunConfig, other: RunConfig) -> tuple[bool, float]:
    return one.method != other.method, abs(math.log(one.batch_size / other.batch_size))


# -- Published curves -----------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A paper's ablation."""

    axis: str
    method: str
    label: str
    source: str
    points: Mapping[float, float]  # place on the axis -> accuracy, 0 to 1

    @property
    def drops(self) -> dict[float, float]:
        """Place -> how far below the curve's best it is."""
        return {at: max(self.points.values()) - accuracy for at, accuracy in self.points.items()}


@cache
def published() -> tuple[Curve, ...]:
    """The curves in published.yaml; a batch size is also 2N-2 negatives for SimCLR."""
    curves = []
    for one in yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")):
        points = {at: accuracy / 100 for at, accuracy in one["points"].items()}
        curves.append(Curve(one["axis"], one["method"], one["label"], one["source"], points))
        if (one["axis"], one["method"]) == ("batch_size", "simclr"):
            as_negatives = {2 * batch - 2: accuracy for batch, accuracy in points.items()}
            curves.append(Curve(NEGATIVES, "simclr", one["label"], one["source"], as_negatives))
    return tuple(curves)
