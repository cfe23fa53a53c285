"""The runs of a grid, made or planned."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from sslcore import plan
from sslcore.analysis.images import at_path, data_sets
from sslcore.analysis.summary import NUMBERS
from sslcore.config import RunConfig
from sslcore.experiment import Experiment, Run
from sslcore.grouping import grouped
from sslcore.methods import METHODS
from sslcore.naming import told_apart
from sslcore.results import number

NOT_RUN = "not run"  # the state of a run that was planned and never made


@dataclass(frozen=True)
class Entry:
    """A run of the grid, whether it was made or is only planned."""

    experiment: str
    run: str
    config: RunConfig
    state: str  # as Status has it, or NOT_RUN
    progress: float
    error: str | None
    numbers: Mapping[str, float | None]  # by summary.NUMBERS
    measured: bool = False  # whether it has results that can be read
    imported: bool = False  # trained on somebody else's machine
    images: str = ""  # its data set, by as much of the path as tells it from the others; "" where only the path is known

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its options by dotted name; `dataset` is what names its images."""
        return self.config.flat() | {"dataset": self.images or self.config.dataset}

    @property
    def why(self) -> str:
        """What there is to say of a result that is missing."""
        if self.state == "finished":
            return "finished without this number" if self.measured else "finished, and its results.json cannot be read"
        return f"{self.state}: {self.error}" if self.error else self.state

    @property
    def lacks(self) -> str:
        """The same in a word or two."""
        return self.state if self.state != "finished" else "no number" if self.measured else "unreadable"


Of = TypeVar("Of", Entry, Run)


def entries(experiment: Experiment, runs: Iterable[Run]) -> list[Entry]:
    """`runs` (the experiment's, and others to be seen beside them) and what its axes plan beyond the runs it has."""
    found = {run: entry for run in runs if (entry := made(run))}
    sets = data_sets(found)
    try:
        planned = plan.lacking(experiment).items()
    except ValueError:  # what its axes are is not known
        planned = ()
    on = [(entry, sets[run]) for run, entry in found.items()] + [
        (to_make(experiment.name, name, config), at_path(config.dataset, sets)) for name, config in planned
    ]
    called = told_apart(dataset for _, dataset in on)
    return [replace(entry, images=called[dataset]) for entry, dataset in on]


def made(run: Run) -> Entry | None:
    """A run as an entry; None where its config cannot be read."""
    if (config := run.readable_config) is None:
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
    """A planned run, not made yet, as an entry."""
    return Entry(experiment, name, config, NOT_RUN, 0.0, None, dict.fromkeys(NUMBERS))


def by_method(entries: Iterable[Of]) -> dict[str, list[Of]]:
    """The entries, or runs, of each method, in the registry's order."""
    found = grouped(entries, lambda entry: entry.config.method)
    return {method: found[method] for method in METHODS if method in found}
