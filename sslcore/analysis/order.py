"""The order in which runs are listed, on every page and in the shell."""

from collections.abc import Iterable

from sslcore.analysis import pairs
from sslcore.config import varying
from sslcore.experiment import Run
from sslcore.methods import METHODS


def by_method(runs: Iterable[Run]) -> list[Run]:
    """The runs that can be read, in the registry's order of their methods; those of one method stay in their order."""
    order = list(METHODS)
    return sorted((run for run in runs if run.readable_config), key=lambda run: order.index(run.config.method))


def in_order(runs: Iterable[Run]) -> list[Run]:
    """The runs that can be read, by method, and by size within the settings that vary."""
    runs = by_method(runs)
    varied = varying(run.config for run in runs)
    return by_method(sorted(runs, key=lambda run: [pairs.place(run, name) for name in varied]))


def listed(runs: Iterable[Run]) -> list[Run]:
    """The runs `in_order`, and after them those that cannot be read."""
    runs = list(runs)
    return in_order(runs) + [run for run in runs if not run.readable_config]
