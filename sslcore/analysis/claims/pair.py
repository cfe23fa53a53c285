"""Rules about two methods, or two numbers of a run, at equal settings; and what one method costs beside another."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from sslcore import compact
from sslcore.analysis import pairs
from sslcore.analysis.claims.evidence import Evidence
from sslcore.analysis.claims.rule import Found, Method, Rule, title
from sslcore.analysis.claims.step import Lacking, step_of
from sslcore.analysis.stats import Difference, over_seeds
from sslcore.config import COMPUTING, check_names, get, varying
from sslcore.experiment import Run
from sslcore.files import Stamp, stamp
from sslcore.methods import compared
from sslcore.results import LARGEST, number, on_cpu
from sslcore.wording import series


class PairAhead(Rule):
    """One method is ahead of another at equal settings."""

    rule: Literal["pair_ahead"]
    ahead: Method
    of: Method

    def find(self, evidence: Evidence) -> Found:
        matches = matches_of(evidence, self.ahead, self.of, lambda run: pairs.accuracy(run, self.measure) is not None)
        says, own = f"{title(self.ahead)} is ahead of {title(self.of)}", pairs.unequal([matches], "method")
        step = step_of(says, pairs.differences(matches, self.measure), unequal=own)
        return Found([step], over(matches, self.ahead, self.of))


def over(matches: pairs.Matches, a: str, b: str) -> list[str]:
    """As Found.averaged: a seed's pairs."""
    n = len(next(iter(matches.values())))
    return [f"those of {title(a)} and {title(b)} over {n} settings"] if n > 1 else []


def matches_of(evidence: Evidence, a: str, b: str, usable: Callable[[Run], bool], equal: Sequence[str] = ()) -> pairs.Matches:
    """The pairs of a run of each method that are `usable`, at equal settings and seed; `equal` names what else must be."""
    runs = [run for _, run, _ in evidence.read if usable(run)]
    matches = pairs.matched(
        [run for run in runs if run.config.method == a],
        [run for run in runs if run.config.method == b],
        pairs.settings((run for _, run, _ in evidence.read), [*varying(run.config for run in runs), *equal]),
    )
    if not matches:
        raise Lacking(f"no finished runs of {title(a)} and {title(b)} at the same {series(['settings', *equal, 'seed'])}")
    return matches


COSTS = {"seconds": "training time", "operations": "operations", "memory": "peak memory", "energy": "energy"}


class CostOrder(Rule):
    """`dear` costs more than each of `cheap`: time, operations and energy to the accuracy that both reach, and peak memory.

    The accuracy is the kNN one while training, and the cost that of the first evaluation that has it: for each pair of
    runs, the lower of the two runs' highest. Both must be evaluated at the same epochs: who is looked at more seldom is
    seen to reach it later. Energy counts where it was measured, which takes an NVIDIA GPU; memory where it is that of a GPU,
    for that of a process is Python's and PyTorch's own, too.
    """

    rule: Literal["cost_order"]
    dear: Method
    cheap: list[Method] = Field(min_length=1)
    costs: list[Literal["seconds", "operations", "memory", "energy"]] = list(COSTS)

    @property
    def unit(self) -> str:
        return (
            "The accuracy that both reach is the lower of the two runs' highest kNN accuracies while training; what it took is "
            "read at the first evaluation that has it."
        )

    def find(self, evidence: Evidence) -> Found:
        steps, averaged = [], []
        for other in self.cheap:
            matches = matches_of(evidence, self.dear, other, lambda run: True, ["evaluate.knn_every", *COMPUTING])
            averaged += over(matches, self.dear, other)
            own = pairs.unequal([matches], "method")
            for cost in self.costs:
                ratios = pairs.by_seed(matches, partial(_log_ratio, cost=cost))
                if cost in ("energy", "memory") and not ratios:
                    continue
                reach = "" if cost == "memory" else " to the accuracy that both reach"
                steps.append(
                    step_of(
                        f"{title(self.dear)} needs more {COSTS[cost]} than {title(other)}{reach}",
                        ratios,
                        ratio=True,
                        counted=cost == "memory",
                        unequal=own,
                    )
                )
        if not steps:
            raise Lacking("energy and memory are not those of a GPU in any of these runs")
        return Found(steps, averaged)


def _log_ratio(a: Run, b: Run, cost: str) -> float | None:
    if cost == "memory":
        spent = [None if on_cpu(run.results()) else number(run.results(), "cost.peak_memory_bytes") for run in (a, b)]
    else:
        looks = [_looks(run.path, stamp(run.metrics_file)) for run in (a, b)]
        if not all(len(of.knn) for of in looks):
            return None
        target = min(of.knn.max() for of in looks)
        first = [(of, (of.knn >= target).argmax()) for of in looks]
        flops = [number(run.results(), "cost.flops_per_image") for run in (a, b)]
        spent = {
            "seconds": [of.seconds[at] for of, at in first],
            "operations": [of.images_seen[at] * per if per else None for (of, at), per in zip(first, flops)],
            "energy": [of.joules[at] for of, at in first],
        }[cost]
    return math.log(spent[0]) - math.log(spent[1]) if all(value and 0 < value < LARGEST for value in spent) else None


class CostRatio(NamedTuple):
    difference: Difference  # of the natural logarithms, over seeds
    unequal: list[str]  # the settings that each method has of its own


def cost_ratio(evidence: Evidence, a: str, b: str, cost: str) -> CostRatio | None:
    """a's cost (by its dotted name in results.json) over b's at the same seed and settings; None without such runs."""
    try:
        matches = matches_of(evidence, a, b, lambda run: (number(run.results(), cost) or 0) > 0, COMPUTING)
    except Lacking:
        return None
    ratios = pairs.by_seed(
        matches, lambda one, other: math.log(number(one.results(), cost)) - math.log(number(other.results(), cost))
    )
    return CostRatio(over_seeds(list(ratios.values())), pairs.unequal([matches], "method"))


class Looks(NamedTuple):
    """The evaluations while training, float (n,) each: their kNN accuracies, and what the training had taken by then."""

    knn: np.ndarray
    seconds: np.ndarray
    images_seen: np.ndarray
    joules: np.ndarray  # NaN where energy was not measured


@lru_cache(maxsize=4096)
def _looks(folder: Path, stamp: Stamp) -> Looks:
    knn, seconds, images_seen, joules = compact.columns(Run(folder), ("knn", "seconds", "images_seen", "joules")).values()
    measured = np.flatnonzero(np.isfinite(joules) & np.isfinite(seconds))
    looks = np.flatnonzero(np.isfinite(knn) & np.isfinite(seconds) & np.isfinite(images_seen))
    before = [measured[seconds[measured] <= seconds[look]] for look in looks]
    taken = np.array([joules[last[-1]] if len(last) else math.nan for last in before])
    return Looks(knn[looks], seconds[looks], images_seen[looks], taken)


class ResultAhead(Rule):
    """One number of results.json is above another of the same run, as the mean over the runs at settings that all seeds have."""

    rule: Literal["result_ahead"]
    ahead: str
    of: str
    says: str
    where: dict[str, Any] = {}  # where results.json has a list of rows: which row
    settings: dict[str, Any] = {}  # of the runs that count
    absent: str = "no run has these numbers"
    methods: list[Method] = Field(default_factory=compared)

    @property
    def unit(self) -> str:
        return ""

    @field_validator("settings")
    @classmethod
    def _known_settings(cls, settings: dict[str, Any]) -> dict[str, Any]:
        check_names(settings)
        return settings

    def find(self, evidence: Evidence) -> Found:
        by_seed = self._by_seed(evidence)
        step = step_of(self.says, {seed: float(np.mean(of)) for seed, of in by_seed.items()})
        n = len(next(iter(by_seed.values())))
        return Found([step], [f"“{self.says}” over {n} runs"] if n > 1 else [])

    def _by_seed(self, evidence: Evidence) -> dict[int, list[float]]:
        """Seed -> its differences, one a method and setting. Raises Lacking."""
        counted: list[tuple[Run, float, float | None]] = []
        epochs = f"{self.ahead.partition('.')[0]}.epochs"  # of fine-tuning, on which no other number depends
        for config, run, results in evidence.read:
            if config.method not in self.methods or any(get(config, name) != value for name, value in self.settings.items()):
                continue
            a, b = number(results, self.ahead, self.where), number(results, self.of, self.where)
            if a is not None and b is not None:
                counted.append((run, a - b, number(results, epochs, self.where)))
        if not counted:
            raise Lacking(self.absent)
        settings = pairs.settings((run for run, *_ in counted), ["method", *varying(run.config for run, *_ in counted)])
        found: dict[int, dict[tuple, float]] = {}  # by seed and setting
        for run, difference, tuned in sorted(counted, key=lambda one: one[0].id):  # whatever is shown first
            found.setdefault(run.config.seed, {}).setdefault((settings[run], tuned), difference)
        return pairs.at_shared(found)
