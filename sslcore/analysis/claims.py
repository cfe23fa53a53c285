"""Statements of the literature, held against the reader's own runs.

A claim (claims.yaml, or the store's own) says what must come out ahead of what, by rules with parameters. A rule turns
runs into steps: differences, one a seed, positive as the claim has it, each with the paired t interval of
sslcore.analysis.stats. The claim is *supported* where every step is told apart from zero the claimed way,
*contradicted* where one is told apart the other way, and *undecided* otherwise; p-values are adjusted by Holm's method
over the steps of a claim. Where a rule needs the best of several values, it is chosen for each seed by the other seeds,
so that the choice does not make the difference. No verdict stands in any file.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from sslcore.analysis import ablation, pairs
from sslcore.analysis.stats import Difference, holm, more_seeds, over_seeds, told_apart
from sslcore.config import OPTIONS, RunConfig, check_names, get
from sslcore.experiment import Run
from sslcore.methods import METHODS

CLAIMS = Path(__file__).parent / "claims.yaml"
AUGMENTATIONS = "augmentations"  # an axis: the kinds of augmentation that a run has, such as "crop + flip"
RULE = (
    "A claim is supported where every difference that it needs is told apart from zero, the claimed way; contradicted where one is told "
    "apart the other way; undecided otherwise. Paired t intervals over seeds; p-values adjusted by Holm's method over a claim's differences"
)

Place = float | int | str
Curve = dict[int, dict[Any, float]]  # seed -> place on the axis -> measure


class Lacking(Exception):
    """Why a rule cannot decide, in a sentence; `steps` are those that could be taken all the same."""

    def __init__(self, why: str, steps: Sequence["Step"] = ()):
        super().__init__(why)
        self.steps = list(steps)


# -- Evidence ----------------------------------------------------------------------


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
        """The finished runs, with their config and results."""
        found = []
        for run in self.runs:
            results = run.results()
            try:
                found += [(run.config, run, results)] if isinstance(results, dict) else []
            except ValueError:
                continue
        return found

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

        Where several lines count, a seed's values are the mean over them.
        """
        lines: list[Curve] = []
        for own in self.lines(axis).get(method, []):
            line: Curve = {}
            for cell in own:
                for seed, value in cell.measured(measure).by_seed.items():
                    line.setdefault(seed, {})[place(cell, axis)] = value
            lines.append(line)
        measured = {at for line in lines for values in line.values() for at in values}
        by_seed: dict[int, list[dict[Any, float]]] = {}
        for line in lines:
            for seed, values in line.items():
                if set(values) == measured:
                    by_seed.setdefault(seed, []).append(values)
        most = max(map(len, by_seed.values()), default=0)
        order = ablation.in_order(axis, measured)
        return {seed: {at: float(np.mean([one[at] for one in of])) for at in order} for seed, of in sorted(by_seed.items()) if len(of) == most}


def place(cell: ablation.Cell, axis: str) -> Any:
    """Where a cell stands on a claim's axis; None where the axis means nothing to its method."""
    return kinds(cell.entries[0].config) if axis == AUGMENTATIONS else cell.at[0]


def kinds(config: RunConfig) -> str:
    """The augmentations that a run has: "crop + jitter", or "none"."""
    augment = config.augment
    on = {"crop": augment.crop_min < 1, "flip": augment.flip, "jitter": augment.jitter or augment.hue, "grayscale": augment.grayscale, "blur": augment.blur, "solarize": augment.solarize}
    return " + ".join(kind for kind, there in on.items() if there) or "none"


def best_by_others(curve: Curve, places: Iterable[Any]) -> dict[int, float]:
    """Each seed's value at the place that is best by the mean of the other seeds (by its own where it is alone)."""
    places = list(places)
    found = {}
    for seed, values in curve.items():
        others = [of for other, of in curve.items() if other != seed] or [values]
        found[seed] = values[max(places, key=lambda at: np.mean([of[at] for of in others]))]
    return found


# -- Steps -------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One thing that a claim needs: `difference` is positive where it is as claimed, in shares or in log ratios."""

    says: str
    difference: Difference
    ratio: bool = False  # a natural logarithm of a ratio
    counted: bool = False  # a cost that does not depend on chance: it needs no test where all seeds agree
    p: float | None = None  # adjusted
    comparisons: int = 1

    @property
    def exact(self) -> bool:
        return self.counted and self.difference.seeds > 1 and self.difference.test == "none" and self.difference.mean != 0

    @property
    def apart(self) -> bool:
        return self.exact or told_apart(self.p)

    def amount(self, value: float) -> str:
        return f"{math.exp(value):.2f} times" if self.ratio else f"{100 * value:+.1f} points".replace("-", "−")

    @property
    def sentence(self) -> str:
        of, seeds = self.difference, f"{self.difference.seeds} {'seed' if self.difference.seeds == 1 else 'seeds'}"
        verdict = ("yes" if of.mean > 0 else "no, the other way round") if self.apart else "not told apart"
        if of.test == "none":
            return f"{self.says}: {verdict} ({self.amount(of.mean)}, {'the same in all' if self.exact else 'untested:'} {seeds if self.exact else of.why})."
        wish = ""
        if not self.apart:
            needed = more_seeds(of, self.comparisons)
            wish = f"; about {needed} more {'seed' if needed == 1 else 'seeds'} would tell, at this difference and spread" if needed else ""
        return f"{self.says}: {verdict} ({self.amount(of.mean)}, 95 % interval {self.amount(of.low).split()[0]} to {self.amount(of.high).split()[0]}, {seeds}{wish})."


def _step(says: str, by_seed: Mapping[int, float], **kind: bool) -> Step:
    if not by_seed:
        raise Lacking(f"{says}: no seed has every run that this needs")
    return Step(says, over_seeds(list(by_seed.values())), **kind)


def _title(method: str) -> str:
    return METHODS[method].title


def _known(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; known are {', '.join(METHODS)}")
    return method


Method = Annotated[str, AfterValidator(_known)]


def _axis(axis: str) -> str:
    groups = {name.partition(".")[0] for name in OPTIONS if "." in name}
    last = {name.partition(".")[2] for name in OPTIONS if name.partition(".")[0] in METHODS}
    if axis not in OPTIONS and axis not in {*(groups - set(METHODS)), *last, ablation.NEGATIVES, AUGMENTATIONS}:
        raise ValueError(f"no axis {axis!r}")
    return axis


Axis = Annotated[str, AfterValidator(_axis)]


# -- Rules ---------------------------------------------------------------------------


class Rule(BaseModel):
    """What all rules have. `steps` raises Lacking."""

    model_config = ConfigDict(extra="forbid")

    measure: Literal["linear", "knn"] = "linear"

    def steps(self, evidence: Evidence) -> list[Step]:
        raise NotImplementedError

    @property
    def about(self) -> set[str]:
        """The methods that it speaks of."""
        named = [getattr(self, name, None) for name in ("methods", "method", "than", "dear", "cheap")]
        return {method for name in named if name for method in ([name] if isinstance(name, str) else name)}


class AlongAxis(Rule):
    axis: Axis
    values: int = Field(2, ge=2)  # distinct places that it needs

    def curves(self, evidence: Evidence, methods: Iterable[str], needs: Iterable[Any] = ()) -> dict[str, Curve]:
        """Of each method, over the places that all have. Raises Lacking."""
        curves = {method: evidence.curve(self.axis, method, self.measure) for method in methods}
        if absent := [_title(method) for method, curve in curves.items() if not curve]:
            raise Lacking(f"no finished runs of {' and '.join(absent)} along {self.words}")
        common = set.intersection(*(set(next(iter(curve.values()))) for curve in curves.values()))
        if gone := [str(place) for place in needs if place not in common]:
            raise Lacking(f"no finished runs at {self.words} {', '.join(gone)} for {' and '.join(map(_title, methods))}")
        if len(common) < self.values:
            raise Lacking(f"{len(common)} distinct {'value' if len(common) == 1 else 'values'} of {self.words} for {' and '.join(map(_title, methods))}, of the {self.values} that this needs")
        return {method: {seed: {at: value for at, value in of.items() if at in common} for seed, of in curve.items()} for method, curve in curves.items()}

    def numbers(self, curve: Curve) -> list[float]:
        """The curve's places. Raises Lacking where they are no numbers."""
        places = list(next(iter(curve.values())))
        if not ablation.is_numeric(places):
            raise Lacking(f"the values of {self.words} are words, which have no order")
        return places

    @property
    def words(self) -> str:
        return {ablation.NEGATIVES: "negatives", "head.kind": "projection head"}.get(self.axis, self.axis.rpartition(".")[2].replace("_", " "))


def _less(a: Mapping[int, float], b: Mapping[int, float]) -> dict[int, float]:
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


class SensitivityOrder(AlongAxis):
    """Each method loses more than the next: from `start` (the best place) to `at` (the smallest; the mean over several)."""

    rule: Literal["sensitivity_order"]
    methods: list[Method] = Field(min_length=2)
    start: Place | None = None
    at: list[Place] = []

    def steps(self, evidence: Evidence) -> list[Step]:
        curves = self.curves(evidence, self.methods, [*([] if self.start is None else [self.start]), *self.at])
        drops = {method: drop(curve, self.start, self.at) for method, curve in curves.items()}
        return [
            _step(f"{_title(a)} loses more than {_title(b)} {'without some augmentations' if self.axis == AUGMENTATIONS else f'as the {self.words} falls'}", _less(drops[a], drops[b]))
            for a, b in zip(self.methods, self.methods[1:])
        ]


def drop(curve: Curve, start: Any = None, at: Sequence[Any] = ()) -> dict[int, float]:
    """By seed: how far the smallest place (the mean over `at`) lies below the best one (`start`)."""
    places = list(next(iter(curve.values()), ()))
    above = best_by_others(curve, places) if start is None else {seed: of[start] for seed, of in curve.items()}
    return {seed: above[seed] - float(np.mean([of[place] for place in at or places[:1]])) for seed, of in curve.items()}


class GainMore(AlongAxis):
    """Each of `methods` gains more than `than` from the axis's smallest value to its largest."""

    rule: Literal["gain_more"]
    methods: list[Method] = Field(min_length=1)
    than: Method

    def steps(self, evidence: Evidence) -> list[Step]:
        found = []
        for method in self.methods:
            curves = self.curves(evidence, [method, self.than])
            gains = {name: {seed: list(of.values())[-1] - next(iter(of.values())) for seed, of in curve.items()} for name, curve in curves.items()}
            found.append(_step(f"{_title(method)} gains more than {_title(self.than)} from more {self.words}", _less(gains[method], gains[self.than])))
        return found


class GainThenSaturates(AlongAxis):
    """A gain over the first half of the axis's places, by doublings larger than that of the last step, which is no longer told apart."""

    rule: Literal["gain_then_saturates"]
    method: Method
    values: int = Field(3, ge=3)

    def steps(self, evidence: Evidence) -> list[Step]:
        curve = self.curves(evidence, [self.method])[self.method]
        places = self.numbers(curve)
        if min(places) <= 0:
            raise Lacking(f"the values of {self.words} are not all positive, so they have no doublings")
        low, middle, late, high = places[0], places[len(places) // 2], places[-2], places[-1]
        gain = {seed: of[middle] - of[low] for seed, of in curve.items()}
        last = {seed: of[high] - of[late] for seed, of in curve.items()}
        bends = {seed: gain[seed] / math.log2(middle / low) - last[seed] / math.log2(high / late) for seed in gain}
        name, end = _title(self.method), over_seeds(list(last.values()))
        steps = [
            _step(f"{name} gains from {low:g} to {middle:g} {self.words}", gain),
            _step(f"{name} gains more a doubling there than from {late:g} to {high:g}", bends),
        ]
        if told_apart(end.p) and end.mean > 0:
            raise Lacking(f"{name} still gains {100 * end.mean:.1f} points from {late:g} to {high:g} {self.words}, so where it saturates lies beyond", steps)
        return steps


class InteriorBest(AlongAxis):
    """A place between the ends is better than either end."""

    rule: Literal["interior_best"]
    method: Method
    values: int = Field(3, ge=3)

    def steps(self, evidence: Evidence) -> list[Step]:
        curve = self.curves(evidence, [self.method])[self.method]
        places = self.numbers(curve)
        inside = best_by_others(curve, places[1:-1])
        return [_step(f"{_title(self.method)} is better with an intermediate {self.words} than with {end:g}", {seed: inside[seed] - of[end] for seed, of in curve.items()}) for end in (places[0], places[-1])]


class Share(AlongAxis):
    """What part of its best gain over the untrained encoder a method keeps at a place of the axis."""

    method: Method
    at: list[Place] = []  # the smallest value
    at_most: float | None = None  # what the smallest value may be
    share: float = Field(0.5, gt=0, lt=1)

    def kept(self, evidence: Evidence) -> dict[Any, tuple[dict[int, float], dict[int, float]]]:
        """Place -> by seed: the gain over the untrained encoder there, and what lies above `share` of the best one."""
        curve = self.curves(evidence, [self.method], self.at)[self.method]
        untrained = evidence.curve(self.axis, self.method, f"random_{self.measure}")
        if not untrained:
            raise Lacking("the untrained encoder was not probed")
        places = list(next(iter(curve.values())))
        if self.at_most is not None and self.numbers(curve)[0] > self.at_most:
            raise Lacking(f"the smallest {self.words} of {_title(self.method)} is {places[0]:g}; this needs one of {self.at_most:g} or less")
        best = best_by_others(curve, places)
        found = {}
        for at in self.at or places[:1]:
            floor = {seed: of[at] for seed, of in untrained.items() if at in of}
            gain = _less({seed: of[at] for seed, of in curve.items()}, floor)
            found[at] = gain, {seed: gain[seed] - self.share * (best[seed] - floor[seed]) for seed in gain}
        return found


class WorksWithout(Share):
    """It learns at the small end too: ahead of the untrained encoder, and with more than `share` of its best gain over it."""

    rule: Literal["works_without"]

    def steps(self, evidence: Evidence) -> list[Step]:
        name = _title(self.method)
        return [
            step
            for at, (gain, above) in self.kept(evidence).items()
            for step in (
                _step(f"{name} at {self.words} {at} is ahead of the untrained encoder", gain),
                _step(f"{name}'s gain there lies above {100 * self.share:.0f} % of its best gain", above),
            )
        ]


class Fails(Share):
    """It keeps less than `share` of its best gain over the untrained encoder."""

    rule: Literal["fails"]

    def steps(self, evidence: Evidence) -> list[Step]:
        name = _title(self.method)
        return [
            _step(f"{name}'s gain over the untrained encoder at {self.words} {at} lies below {100 * self.share:.0f} % of its best one", {seed: -value for seed, value in above.items()})
            for at, (_, above) in self.kept(evidence).items()
        ]


class Ahead(AlongAxis):
    """One value of the axis is ahead of each of the others, as the mean over the methods that have them all."""

    rule: Literal["ahead"]
    ahead: Place
    of: list[Place] = Field(min_length=1)
    methods: list[Method] = ["moco", "simclr", "byol"]

    def steps(self, evidence: Evidence) -> list[Step]:
        needed = {self.ahead, *self.of}
        curves = [curve for method in self.methods if (curve := evidence.curve(self.axis, method, self.measure)) and needed <= set(next(iter(curve.values())))]
        if not curves:
            raise Lacking(f"no method has finished runs with all that this needs of {self.words}: {', '.join(map(str, (self.ahead, *self.of)))}")
        seeds = set.intersection(*map(set, curves))
        return [_step(f"{self.ahead} is ahead of {other}", {seed: float(np.mean([curve[seed][self.ahead] - curve[seed][other] for curve in curves])) for seed in sorted(seeds)}) for other in self.of]


class PairAhead(Rule):
    """One method is ahead of another at equal settings."""

    rule: Literal["pair_ahead"]
    ahead: Method
    of: Method

    def steps(self, evidence: Evidence) -> list[Step]:
        matches = matches_of(evidence, self.ahead, self.of, lambda run: pairs.accuracy(run, self.measure) is not None)
        return [_step(f"{_title(self.ahead)} is ahead of {_title(self.of)}", {seed: float(np.mean([pairs.accuracy(a, self.measure) - pairs.accuracy(b, self.measure) for a, b in of])) for seed, of in matches.items()})]


def matches_of(evidence: Evidence, a: str, b: str, usable) -> dict[int, list[tuple[Run, Run]]]:
    runs = [run for _, run, _ in evidence.read if usable(run)]
    matches = pairs.matched([run for run in runs if run.config.method == a], [run for run in runs if run.config.method == b], pairs.varied(runs))
    if not matches:
        raise Lacking(f"no runs of {_title(a)} and {_title(b)} at the same settings and seed")
    return matches


COSTS = {"seconds": "training time", "operations": "operations", "memory": "peak memory", "energy": "energy"}


class CostOrder(Rule):
    """`dear` costs more than each of `cheap`: time, operations and energy to the accuracy that both reach, and peak memory.

    The accuracy is the kNN one while training, and the cost that of the first evaluation that has it: for each pair of
    runs, the lower of the two runs' highest. Energy counts where it was measured, which takes an NVIDIA GPU.
    """

    rule: Literal["cost_order"]
    dear: Method
    cheap: list[Method] = Field(min_length=1)
    costs: list[Literal["seconds", "operations", "memory", "energy"]] = list(COSTS)

    def steps(self, evidence: Evidence) -> list[Step]:
        found = []
        for other in self.cheap:
            matches = matches_of(evidence, self.dear, other, lambda run: True)
            for cost in self.costs:
                ratios: dict[int, float] = {}
                for seed, of in matches.items():
                    logs = [ratio for a, b in of if (ratio := _log_ratio(a, b, cost)) is not None]
                    if len(logs) == len(of):
                        ratios[seed] = float(np.mean(logs))
                if cost == "energy" and not ratios:
                    continue
                reach = "" if cost == "memory" else " to the accuracy that both reach"
                found.append(_step(f"{_title(self.dear)} needs more {COSTS[cost]} than {_title(other)}{reach}", ratios, ratio=True, counted=cost == "memory"))
        return found


def _log_ratio(a: Run, b: Run, cost: str) -> float | None:
    if cost == "memory":
        spent = [_dig(run.results(), "cost.peak_memory_bytes") for run in (a, b)]
    else:
        rows = [_reached(run.path, _mtime(run)) for run in (a, b)]
        if not all(rows):
            return None
        target = min(max(knn for knn, *_ in of) for of in rows)
        first = [next(row for row in of if row[0] >= target) for of in rows]
        flops = [_dig(run.results(), "cost.flops_per_image") for run in (a, b)]
        spent = {
            "seconds": [row[1] for row in first],
            "operations": [row[2] * per if per else None for row, per in zip(first, flops)],
            "energy": [_joules(run.path, _mtime(run), row[1]) for run, row in zip((a, b), first)],
        }[cost]
    return math.log(spent[0] / spent[1]) if all(isinstance(value, (int, float)) and value > 0 for value in spent) else None


def cost_ratio(evidence: Evidence, a: str, b: str, number: str) -> Difference | None:
    """The natural logarithm of a's cost over b's at equal settings, over seeds; `number` by its dotted name in results.json."""
    try:
        matches = matches_of(evidence, a, b, lambda run: (_dig(run.results(), number) or 0) > 0)
    except Lacking:
        return None
    return over_seeds([float(np.mean([math.log(_dig(one.results(), number) / _dig(other.results(), number)) for one, other in of])) for of in matches.values()])


def _mtime(run: Run) -> int:
    try:
        return run.metrics_file.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4096)
def _reached(folder: Path, stamp: int) -> list[tuple[float, float, float]]:
    """(kNN accuracy, seconds, images seen) of each evaluation while training."""
    rows = [[row.get(name) for name in ("knn", "seconds", "images_seen")] for row in Run(folder).metrics()]
    return [tuple(row) for row in rows if all(isinstance(value, (int, float)) for value in row)]


@lru_cache(maxsize=4096)
def _joules(folder: Path, stamp: int, seconds: float) -> float | None:
    """What the training had taken after so many seconds, where its energy was measured."""
    return next((row["joules"] for row in reversed(Run(folder).metrics()) if row.get("joules") is not None and row.get("seconds", math.inf) <= seconds), None)


def _dig(value: Any, dotted: str, where: Mapping[str, Any] | None = None) -> float | None:
    """A number of results.json by its dotted name; of a list of rows, that of the row which is as `where` says."""
    for key in dotted.split("."):
        if isinstance(value, list):
            value = next((row for row in value if where and isinstance(row, Mapping) and where.items() <= row.items()), None)
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


class ResultAhead(Rule):
    """One number of results.json is above another of the same run, as the mean over a seed's runs."""

    @field_validator("settings")
    @classmethod
    def _known_settings(cls, settings: dict[str, Any]) -> dict[str, Any]:
        check_names(settings)
        return settings

    rule: Literal["result_ahead"]
    ahead: str
    of: str
    says: str
    where: dict[str, Any] = {}  # where results.json has a list of rows: which row
    settings: dict[str, Any] = {}  # of the runs that count
    absent: str = "no run has these numbers"
    methods: list[Method] = ["moco", "simclr", "byol"]

    def steps(self, evidence: Evidence) -> list[Step]:
        by_seed: dict[int, list[float]] = {}
        for config, _, results in evidence.read:
            if config.method not in self.methods or any(get(config, name) != value for name, value in self.settings.items()):
                continue
            a, b = _dig(results, self.ahead, self.where), _dig(results, self.of, self.where)
            if a is not None and b is not None:
                by_seed.setdefault(config.seed, []).append(a - b)
        if not by_seed:
            raise Lacking(self.absent)
        return [_step(self.says, {seed: float(np.mean(of)) for seed, of in sorted(by_seed.items())})]


AnyRule = Annotated[
    Union[SensitivityOrder, GainMore, GainThenSaturates, InteriorBest, WorksWithout, Fails, Ahead, PairAhead, CostOrder, ResultAhead],  # noqa: UP007
    Field(discriminator="rule"),
]


def rules() -> dict[str, str]:
    """Each rule's name, and what it asks, in a sentence."""
    return {get_args(rule.model_fields["rule"].annotation)[0]: rule.__doc__.split("\n")[0] for rule in get_args(get_args(AnyRule)[0])}


# -- Claims ----------------------------------------------------------------------------


class Make(BaseModel):
    """The experiment that would bring the evidence: a preset and what to change of it."""

    model_config = ConfigDict(extra="forbid")

    preset: str
    methods: list[Method] = []  # those of the preset
    settings: dict[str, Any] = Field({}, alias="set")
    vary: dict[str, list[Any]] | None = None  # what the preset varies


class Claim(BaseModel):
    model_config = ConfigDict(extra="forbid")

    claim: str
    source: str
    needs: str = ""  # the evidence, in a sentence
    seeds: int = Field(3, ge=2, le=20)  # that it should have
    parts: list[AnyRule] = Field(min_length=1)
    make: Make | None = None
    note: str = ""  # what the rule leaves out

    @property
    def axis(self) -> str | None:
        """The first axis that it is about."""
        return next((part.axis for part in self.parts if isinstance(part, AlongAxis)), None)


@dataclass(frozen=True)
class Verdict:
    word: Literal["supported", "contradicted", "undecided"]
    steps: list[Step] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        return " ".join([*(step.sentence for step in self.steps), *(f"Not decided: {lack}." for lack in self.lacks)])

    @property
    def seeds(self) -> int:
        """The fewest that a step has."""
        return min((step.difference.seeds for step in self.steps), default=0)


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    steps, lacks = [], []
    for part in claim.parts:
        try:
            steps += part.steps(evidence)
        except Lacking as lack:
            steps += lack.steps
            lacks.append(str(lack))
    adjusted = holm([step.difference.p for step in steps])
    tested = max(1, sum(p is not None for p in adjusted))
    steps = [replace(step, p=p, comparisons=tested) for step, p in zip(steps, adjusted)]
    if any(step.apart and step.difference.mean < 0 for step in steps):
        return Verdict("contradicted", steps, lacks)
    supported = steps and not lacks and all(step.apart for step in steps)
    return Verdict("supported" if supported else "undecided", steps, lacks)


def read(file: Path = CLAIMS) -> tuple[list[Claim], list[str]]:
    """The claims of a YAML file (none where there is no file), and a line for each that cannot be understood."""
    try:
        content = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return [], [f"{file.name} cannot be read: {' '.join(str(error).split())}"]
    if not isinstance(content, list):
        return [], [f"{file.name}: expected a list of claims, each beginning with '- claim:'"]
    claims, problems = [], []
    for k, one in enumerate(content, 1):
        try:
            claims.append(TypeAdapter(Claim).validate_python(one))
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(f"{file.name}, claim {k}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    return claims, problems
