"""Experiment folders -> curves and tables."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from dashboard import words
from dashboard.metrics import PLACES, Logged, logged
from sslcore.analysis import ablation
from sslcore.analysis.images import data_sets
from sslcore.analysis.order import by_method
from sslcore.analysis.summary import NUMBERS, SETTINGS, run_rows
from sslcore.config import OPTIONS, RunConfig, get, is_anothers, varying
from sslcore.experiment import Run, Store
from sslcore.methods import METHODS
from sslcore.naming import told_apart
from sslcore.results import number


def identity(run: Run) -> dict[str, Any]:
    """By which a run's images are known: its data set, their size, and their checksum where that is on record."""
    return {"dataset": run.config.dataset, "size": run.config.image_size, "of": str(run.images().get("checksum", ""))}


def image_sizes(store: Store) -> dict[str, list[int]]:
    """Data set -> the image sizes, largest first, at which runs of the store use it."""
    sizes: dict[str, set[int]] = {}
    for run in store.runs():
        if own := run.readable_config:
            sizes.setdefault(own.dataset, set()).add(own.image_size)
    return {dataset: sorted(of_dataset, reverse=True) for dataset, of_dataset in sizes.items()}


def named(runs: Iterable[Run]) -> dict[str, Run]:
    """The runs by the name that pages, tables and links use: the run's, or experiment/run where there are several experiments."""
    runs = list(runs)
    several = len({run.path.parent for run in runs}) > 1
    return {run.id if several else run.name: run for run in runs}


def labels(runs: Iterable[Run]) -> dict[str, str]:
    """Name, as in `named`, -> what a legend calls the run: its method, the settings other than the seed in which the
    runs differ, and the experiment where there are several. What suits each data set is no news beside its name."""
    runs = named(run for run in runs if run.readable_config)
    configs, sets = [run.config for run in runs.values()], data_sets(runs.values())
    several = len({run.path.parent for run in runs.values()}) > 1
    settings = {"batch_size": "batch", "dataset": "on", "encoder": "encoder", "epochs": "epochs"}
    on = told_apart(sets.values())

    def value(run: Run, name: str) -> Any:
        own = on[sets[run]] if name == "dataset" else get(run.config, name)
        return "all" if own is None else own  # of the batch: its negatives, or at a time

    varied = [name for name in SETTINGS if name in settings and len({value(run, name) for run in runs.values()}) > 1]
    varied += [name for name in varying(configs) if name not in SETTINGS]  # a method's own recipe is no news in its name
    if "dataset" in varied:
        followed = set.intersection(*map(ablation.suited, configs))
        varied = [name for name in varied if name not in followed]

    def said(run: Run, name: str) -> str:
        return f"{settings.get(name, name.rpartition('.')[2].replace('_', ' '))} {value(run, name)}"

    return {
        name: " · ".join(
            [
                METHODS[run.config.method].title,
                *(said(run, name) for name in varied if not is_anothers(name, run.config.method)),
                *([run.path.parent.name] if several else []),
            ]
        )
        for name, run in runs.items()
    }


def one_of_each(kinds: Mapping[str, Sequence[Hashable]], at_most: int) -> list[str]:
    """At most so many of some runs, in their order.

    `kinds`: what each is, such as (method, experiment): one of each method comes before one of each experiment, and that
    before others.
    """
    first = {(place, kind): name for name in reversed(kinds) for place, kind in enumerate(kinds[name])}

    def rank(name: str) -> int:
        return next((place for place, kind in enumerate(kinds[name]) if first[place, kind] == name), len(kinds[name]))

    chosen = sorted(kinds, key=rank)[:at_most]
    return [name for name in kinds if name in chosen]


@dataclass(frozen=True, eq=False)
class Curve:
    """What one run has logged, and what it is called."""

    run: str  # as in `named`
    method: str
    label: str
    seed: int
    flops_per_image: float  # NaN where it is not counted (yet)
    logged: Logged = field(repr=False)

    @cached_property
    def told(self) -> tuple:
        """What it is told by: equal for the same words and rows."""
        return self.run, self.method, self.label, self.seed, repr(self.flops_per_image), self.logged.number

    def __getitem__(self, name: str) -> np.ndarray:
        """(n,) float32: a metric, or flops, the operations so far; NaN where a row lacks it."""
        if name == "flops":
            return self.logged.places["images_seen"] * np.float32(self.flops_per_image)
        if name in PLACES:
            return self.logged.places[name]
        column = np.full(len(self.logged), np.nan, np.float32)
        rows, values = self.logged.values[name]
        column[rows] = values
        return column

    def has(self, y: str, x: str = "step") -> bool:
        """Whether any row has both."""
        rows, _ = self.logged.values[y]
        if x == "flops" and math.isnan(self.flops_per_image):
            return False
        at = self.logged.places["images_seen" if x == "flops" else x]
        return len(rows) > 0 and (bool(np.isfinite(at[rows[-1]])) or bool(np.isfinite(at[rows]).any()))

    def pairs(self, y: str, x: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(steps, x, y), each (m,), of the rows that have both, by step."""
        rows, values = self.logged.values[y]
        at, steps = self[x][rows], self.logged.places["step"][rows]
        both = np.isfinite(at)
        if not both.all():
            steps, at, values = steps[both], at[both], values[both]
        if len(steps) > 1 and (np.diff(steps) < 0).any():
            order = np.argsort(steps, kind="stable")
            steps, at, values = steps[order], at[order], values[order]
        return steps, at, values


def curves(runs: Iterable[Run]) -> tuple[Curve, ...]:
    """What the runs that can be read have logged, by method; runs without anything logged yet are left out."""
    runs = named(by_method(runs))
    called = labels(runs.values())
    all_curves = (
        Curve(name, run.config.method, called[name], run.config.seed, flops_per_image(run), logged(run))
        for name, run in runs.items()
    )
    return tuple(curve for curve in all_curves if len(curve.logged))


def flops_per_image(run: Run) -> float:
    """Operations of a training step, over its images; NaN where they are not counted (yet)."""
    return number(run.results(), NUMBERS["flops_per_image"]) or math.nan


def summary(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """sslcore.analysis.summary.run_rows of the readable runs, by method, each with its label and its name as in `named`."""
    runs = named(by_method(runs))
    called = labels(runs.values())
    return [{**row, "run": name, "label": called[name]} for name, row in zip(runs, run_rows(runs.values()))]


def settings(runs: Iterable[Run], every: bool = False) -> pd.DataFrame:
    """The runs' settings: a row an option, by dotted name, in which any two runs differ, or every one; a column a label.

    Runs of one label differ in their seed, and at most in what decides no result: of such an option all values stand there.
    "–" is what is another method's; an option that is so in all runs has no row.
    """
    runs = by_method(runs)
    configs: dict[str, list[RunConfig]] = {}
    for run, label in zip(runs, labels(runs).values()):
        configs.setdefault(label, []).append(run.config)

    def said(option: str, of: list[RunConfig]) -> str:
        own = [None if is_anothers(option, config.method) else get(config, option) for config in of]
        return ", ".join(dict.fromkeys(map(words.setting, own)))

    def values(option: str) -> int:
        own = (config for of in configs.values() for config in of if not is_anothers(option, config.method))
        return len({words.setting(get(config, option)) for config in own})

    least = 1 if every else 2
    shown = {option: [said(option, of) for of in configs.values()] for option in OPTIONS if values(option) >= least}
    return pd.DataFrame.from_dict(shown, orient="index", columns=list(configs), dtype=object)
