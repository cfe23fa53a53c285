"""Everything that the screen changes. No other file of the dashboard changes a store, or starts or stops anything.

Each of these asks first whether this session's reader may, whatever the page has shown: buttons can be pressed that
were shown disabled. Where not it raises Refused, which pages show as they show a full disk.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from dashboard import access, footprint, strip
from sslcore import archive, datasets, plan, trash
from sslcore import launch as launcher
from sslcore.config import RunConfig
from sslcore.experiment import Experiment, Run, Spec, Store
from sslcore.files import rights_told
from sslcore.launch import transfer
from sslcore.launch.slurm import settings as slurm_yaml
from sslcore.status import RESUMABLE

Action = TypeVar("Action", bound=Callable)
ACTIONS: dict[str, Callable] = {}


class Refused(PermissionError):
    """Whoever asks for a change may not make it; in words."""


def action(do: Action) -> Action:
    @wraps(do)
    def asking(*given: Any, **named: Any) -> Any:
        rights = access.rights()
        if not rights.change:
            raise Refused(rights.why)
        with rights_told():
            return do(*given, **named)

    ACTIONS[do.__name__] = asking
    return asking


def _check_data(dataset: str) -> None:
    """Raises ValueError where data may not be opened from a browser, or where a link within them leads to what may not."""
    access.check_data(dataset)
    if os.path.exists(datasets.canonical(dataset)):
        datasets.info(dataset)


# -- Runs ----------------------------------------------------------------------------------------


@action
def launch(store: Store, name: str, spec: Spec, configs: Mapping[str, RunConfig], engine: str = "local") -> Experiment:
    """A new experiment, its runs queued. Raises as the launcher does, and ValueError for data that may not be opened."""
    for config in configs.values():
        _check_data(config.dataset)
    return launcher.launch(store, name, spec, configs, engine)


@action
def set_cluster(store: Store, settings: Mapping[str, Any]) -> None:
    """How jobs are asked for on this store's cluster. Raises ConfigError."""
    slurm_yaml.keep(store, settings)


@action
def start_queue(store: Store) -> None:
    launcher.start(store)


@action
def stop(run: Run) -> None:
    launcher.stop(run)


@action
def resume(run: Run) -> None:
    _check_data(run.config.dataset)
    launcher.resume(run)


@action
def complete(experiment: Experiment, names: Collection[str]) -> None:
    """Queue the named ones of an experiment's runs, made or only planned."""
    there = {run.name: run for run in experiment.runs()}
    planned = plan.plan(experiment.read_spec()).configs
    for name in names:
        config = there[name].config if name in there else planned.get(name)
        if config and (name not in there or there[name].status().state in RESUMABLE):
            _check_data(config.dataset)
    launcher.complete(experiment, names)


@action
def probe_elsewhere(experiment: Experiment, dataset: str, runs: Sequence[Run]) -> None:
    """Probe the runs' encoders on another data set, in a process of its own."""
    _check_data(dataset)
    transfer.start(experiment, dataset, runs)


@action
def draw_views(config: RunConfig) -> Path:
    """A picture of what the network sees: it takes a process, and perhaps a download."""
    _check_data(config.dataset)
    return strip.draw(config)


@action
def count_memory(spec: Spec, configs: Mapping[str, RunConfig]) -> dict[str, int]:
    """Bytes that a training step of each run of a plan takes, about: it takes a process."""
    for config in configs.values():
        _check_data(config.dataset)
    return footprint.of_runs(spec)


# -- Experiments -----------------------------------------------------------------------------------


@action
def grow(experiment: Experiment, axes: Mapping[str, list[Any]]) -> plan.Growth:
    return plan.grow(experiment, axes)


@action
def take_back(experiment: Experiment, growth: plan.Growth) -> None:
    plan.take_back(experiment, growth)


@action
@contextmanager
def editing(experiment: Experiment) -> Iterator[Spec]:
    """The experiment's title, notes, tags, marks of its runs, ..., to be changed in the block and written after it."""
    with rights_told(), experiment.editing() as spec:
        yield spec


@action
def bring_in(store: Store, file: Path | BinaryIO) -> Experiment:
    """The experiment in a zip file, added to the store."""
    return archive.bring_in(store, file)


# -- The trash ---------------------------------------------------------------------------------------


@action
def discard(store: Store, thing: Experiment | Run) -> launcher.Dropped:
    """Move to the trash; what waits in Slurm for it is cancelled. Raises BlockingIOError where something runs."""
    return launcher.discard(store, thing)


@action
def restore(store: Store, discarded: trash.Discarded) -> Experiment | Run:
    return trash.restore(store, discarded)


@action
def empty_trash(store: Store, kept_seconds: float = trash.TRASH_SECONDS) -> None:
    """Delete for good what has lain in the trash for longer."""
    trash.empty(store, kept_seconds)
