"""Rules about how a measure goes along an axis of the config."""

import difflib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from sslcore.analysis import ablation
from sslcore.analysis.claims.evidence import AUGMENTATIONS, Along, Curve, Evidence, place, unequal
from sslcore.analysis.claims.rule import Found, Method, Rule, title
from sslcore.analysis.claims.step import Lacking, Step, step_of
from sslcore.analysis.stats import over_seeds, signed
from sslcore.config import GROUPS, OPTIONS
from sslcore.methods import METHODS, compared
from sslcore.wording import count, series

Place = float | int | str
SATURATED = 0.01  # a last step that gains less is no gain
SEVERAL = 3  # seeds, as claims ask for


def _axis(axis: str) -> str:
    last = {name.partition(".")[2] for name in OPTIONS if name.partition(".")[0] in METHODS}
    if axis not in OPTIONS and axis not in {*(set(GROUPS) - set(METHODS)), *last, ablation.NEGATIVES, AUGMENTATIONS}:
        close = difflib.get_close_matches(axis, OPTIONS, n=1)
        raise ValueError(f"there is no axis {axis!r}{f'; did you mean {close[0]}?' if close else ''}")
    return axis


Axis = Annotated[str, AfterValidator(_axis)]


class AlongAxis(Rule):
    axis: Axis
    values: int = Field(2, ge=2)  # distinct places that it needs

    @property
    def needed(self) -> list[Any]:
        """Places of the axis that it cannot do without."""
        return []

    @property
    def about(self) -> set[str]:
        """The methods that it speaks of."""
        named = [getattr(self, name, None) for name in ("methods", "method", "than")]
        return {method for name in named if name for method in ([name] if isinstance(name, str) else name)}

    def curves(self, found: Mapping[str, Along]) -> dict[str, Curve]:
        """Of each method, over the places that all have, and on the images that all have. Raises Lacking."""
        whose = series([title(method) for method in found])
        curves = {method: along.curve for method, along in found.items()}
        if absent := [title(method) for method, curve in curves.items() if not curve]:
            raise Lacking(f"no probed runs of {series(absent)} along {self.words}")
        if len({along.on for along in found.values()}) > 1:
            own = "; ".join(f"{title(method)}: {', '.join(sorted(along.on))}" for method, along in found.items())
            raise Lacking(f"no runs of {whose} along {self.words} that are on the same images ({own})")
        common = set.intersection(*(set(_places(curve)) for curve in curves.values()))
        if gone := [str(place) for place in self.needed if place not in common]:
            raise Lacking(f"no probed runs at {self.words} {', '.join(gone)} for {whose}")
        if len(common) < self.values:
            raise Lacking(
                f"{count(len(common), 'distinct value')} of {self.words} for {whose}, of the {self.values} that this needs"
            )
        return {
            method: {seed: {at: value for at, value in of.items() if at in common} for seed, of in curve.items()}
            for method, curve in curves.items()
        }

    def along(self, evidence: Evidence, methods: Collection[str]) -> dict[str, Along]:
        """What of each method is looked at."""
        return evidence.curves(self.axis, methods, self.measure, self.needed, self.values)

    def told(self, steps: list[Step], *looked: Mapping[str, Along]) -> Found:
        """The steps, with what is to be told of all that was looked at. `looked`: methods held together, or each alone."""
        over: dict[tuple[str, str], list[str]] = {}  # (method, over what its numbers are means) -> beside whom
        left_out: dict[str, None] = {}
        for methods in looked:
            for method, one in sorted(methods.items()):
                over.setdefault((method, one.over), []).extend(title(other) for other in methods if other != method)
                places, seeds, lines = one.left_out
                said = [f"{self.words} {series([str(place) for place in places])}"] if places else []
                said += [f"{'seed' if len(seeds) == 1 else 'seeds'} {series([str(seed) for seed in seeds])}"] if seeds else []
                said += [f"{count(lines, 'combination')} of other settings"] if lines else []
                left_out |= {f"{title(method)}'s {series(said)}": None} if said else {}
        times = Counter(method for method, _ in over)
        whose: dict[str, list[str]] = {}
        for (method, mean), others in over.items():
            beside = f" (beside {series(others)})" if times[method] > 1 else ""
            whose.setdefault(mean, []).append(title(method) + beside)
        averaged = [f"those of {', '.join(names)} along {self.words} over {mean}" for mean, names in whose.items() if mean]
        return Found(steps, averaged, list(left_out))

    def numbers(self, curve: Curve) -> list[float]:
        """The curve's places. Raises Lacking where they are no numbers."""
        places = _places(curve)
        if not ablation.is_numeric(places):
            raise Lacking(f"the values of {self.words} are words, which have no order")
        return places

    @property
    def words(self) -> str:
        return {ablation.NEGATIVES: "negatives", "head.kind": "projection head"}.get(
            self.axis, self.axis.rpartition(".")[2].replace("_", " ")
        )


def _places(curve: Curve) -> list[Any]:
    return list(next(iter(curve.values()), ()))


def _less(a: Mapping[int, float], b: Mapping[int, float]) -> dict[int, float]:
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


def _mean(by_seed: Mapping[int, float]) -> float:
    return float(np.mean(list(by_seed.values())))


def mean_over(curve: Curve, places: Iterable[Any]) -> dict[int, float]:
    """Each seed's mean over some places."""
    places = list(places)
    return {seed: float(np.mean([of[at] for at in places])) for seed, of in curve.items()}


def best_by_others(curve: Curve, places: Iterable[Any]) -> dict[int, float]:
    """Each seed's value at the place that is best by the mean of the other seeds (by its own where it is alone).

    The choice does not bias the mean, but ties the seeds together: a t interval over them holds less often than it says.
    """
    places = list(places)
    found = {}
    for seed, values in curve.items():
        others = [of for other, of in curve.items() if other != seed] or [values]
        found[seed] = values[max(places, key=lambda at: np.mean([of[at] for of in others]))]
    return found


class SensitivityOrder(AlongAxis):
    """Each method loses more than the next: from `start` (the largest place) to `at` (the smallest; the mean over several)."""

    rule: Literal["sensitivity_order"]
    methods: list[Method] = Field(min_length=2)
    start: Place | None = None
    at: list[Place] = []

    @property
    def needed(self) -> list[Place]:
        return [*([] if self.start is None else [self.start]), *self.at]

    def find(self, evidence: Evidence) -> Found:
        found = self.along(evidence, self.methods)
        curves = self.curves(found)
        if self.start is None:
            self.numbers(next(iter(curves.values())))
        drops = {method: drop(curve, self.start, self.at) for method, curve in curves.items()}
        steps = [
            step_of(
                f"{title(a)} loses more than {title(b)} "
                f"{'without some augmentations' if self.axis == AUGMENTATIONS else f'as the {self.words} falls'}",
                _less(drops[a], drops[b]),
                unequal=unequal(self.axis, [found[a], found[b]]),
            )
            for a, b in zip(self.methods, self.methods[1:])
        ]
        return self.told(steps, found)


def drop(curve: Curve, start: Any = None, at: Sequence[Any] = ()) -> dict[int, float]:
    """By seed: how far the smallest place (the mean over `at`) lies below the largest one (`start`)."""
    places = _places(curve)
    start = places[-1] if start is None else start
    return _less(mean_over(curve, [start]), mean_over(curve, at or places[:1]))


class GainMore(AlongAxis):
    """Each of `methods` gains more than `than` from the axis's smallest value to its largest."""

    rule: Literal["gain_more"]
    methods: list[Method] = Field(min_length=1)
    than: Method

    def find(self, evidence: Evidence) -> Found:
        steps, looked = [], [self.along(evidence, [method, self.than]) for method in self.methods]
        larger = f"{'more' if self.axis == ablation.NEGATIVES else 'a larger'} {self.words}"
        for method, found in zip(self.methods, looked):
            gains = {
                name: {seed: list(of.values())[-1] - next(iter(of.values())) for seed, of in curve.items()}
                for name, curve in self.curves(found).items()
            }
            says = f"{title(method)} gains more than {title(self.than)} from {larger}"
            steps.append(step_of(says, _less(gains[method], gains[self.than]), unequal=unequal(self.axis, found.values())))
        return self.told(steps, *looked)


class GainThenSaturates(AlongAxis):
    """A gain over the first half of the axis, larger by doublings than the last step's, whose interval lies below 1 point."""

    rule: Literal["gain_then_saturates"]
    method: Method
    values: int = Field(3, ge=3)

    def find(self, evidence: Evidence) -> Found:
        found = self.along(evidence, [self.method])
        curve = self.curves(found)[self.method]
        places = self.numbers(curve)
        if min(places) <= 0:
            raise Lacking(f"the values of {self.words} are not all positive, so they have no doublings")
        low, middle, late, high = places[0], places[len(places) // 2], places[-2], places[-1]
        gain = {seed: of[middle] - of[low] for seed, of in curve.items()}
        last = {seed: of[high] - of[late] for seed, of in curve.items()}
        bends = {seed: gain[seed] / math.log2(middle / low) - last[seed] / math.log2(high / late) for seed in gain}
        name, end = title(self.method), over_seeds(list(last.values()))
        steps = [
            step_of(f"{name} gains from {low:g} to {middle:g} {self.words}", gain),
            step_of(f"{name} gains more a doubling there than from {late:g} to {high:g}", bends),
        ]
        if end.high is None or end.high >= SATURATED:
            interval = end.why if end.high is None else f"95 % interval {signed(end.low)} to {signed(end.high)}"
            raise Lacking(
                f"from {late:g} to {high:g} {self.words}, {name} gains {signed(end.mean)} points ({interval}); it has saturated "
                f"where that interval lies below {100 * SATURATED:g} point",
                steps,
            )
        return self.told(steps, found)


class InteriorBest(AlongAxis):
    """What lies between the ends is better, in the mean, than either end; an end that is ahead of the best of it contradicts."""

    rule: Literal["interior_best"]
    method: Method
    values: int = Field(3, ge=3)

    def find(self, evidence: Evidence) -> Found:
        found = self.along(evidence, [self.method])
        curve = self.curves(found)[self.method]
        places = self.numbers(curve)
        inside, steps, unclear = places[1:-1], [], []
        name, mean = title(self.method), f"{'the mean over ' * (len(inside) > 1)}{series([f'{at:g}' for at in inside])}"
        for end in (places[0], places[-1]):
            ahead, what = _less(mean_over(curve, inside), mean_over(curve, [end])), mean
            if _mean(ahead) < 0:  # which says nothing against a single place
                best = max(inside, key=lambda at: _mean(mean_over(curve, [at])))
                ahead, what = _less(mean_over(curve, [best]), mean_over(curve, [end])), f"{best:g}"
                if _mean(ahead) >= 0:  # for which it was chosen
                    unclear.append(f"{name} came out better with {self.words} {best:g} than with {end:g}, and {mean} worse")
                    continue
            steps.append(step_of(f"{name} is better with an intermediate {self.words} ({what}) than with {end:g}", ahead))
        if unclear:
            raise Lacking("; ".join(unclear), steps)
        return self.told(steps, found)


class SlowAhead(AlongAxis):
    """Of the momenta between 0, a copy, and 1, frozen, the slower half is ahead of the faster half, as the mean over each."""

    rule: Literal["slow_ahead"]
    axis: Literal["momentum"] = "momentum"
    method: Method
    values: int = Field(2, ge=2)

    def find(self, evidence: Evidence) -> Found:
        found = self.along(evidence, [self.method])
        curve = self.curves(found)[self.method]
        moving = [at for at in self.numbers(curve) if 0 < at < 1]
        if len(moving) < self.values:
            raise Lacking(f"{len(moving)} momenta between 0 and 1 for {title(self.method)}, of the {self.values} that this needs")
        half = len(moving) // 2
        fast, slow = moving[:-half], moving[-half:]
        slow_ones, fast_ones = (
            f"{'the mean over ' if len(half) > 1 else ''}{series(map('{:g}'.format, half))}" for half in (slow, fast)
        )
        says = f"{title(self.method)} is better with a slow momentum ({slow_ones}) than with a fast one ({fast_ones})"
        return self.told([step_of(says, _less(mean_over(curve, slow), mean_over(curve, fast)))], found)


class Share(AlongAxis):
    """What part of its best gain over the untrained encoder a method keeps at a place of the axis."""

    method: Method
    at: list[Place] = []  # the smallest value
    at_most: float | None = None  # what the smallest value may be
    share: float = Field(0.5, gt=0, lt=1)

    @property
    def needed(self) -> list[Place]:
        return self.at

    def kept(self, evidence: Evidence, found: Mapping[str, Along]) -> dict[Any, tuple[dict[int, float], dict[int, float]]]:
        """Place -> by seed: the gain over the untrained encoder there, and what lies above `share` of the best one."""
        reached = evidence.curve(self.axis, self.method, self.measure)
        known = found[self.method].curve
        if unknown := [str(at) for at in _places(reached) if at not in _places(known)]:
            raise Lacking(
                f"{title(self.method)} lacks runs at {self.words} {', '.join(unknown)} with the untrained encoder probed"
            )
        gains = self.curves(found)[self.method]
        places = _places(gains)
        if self.at_most is not None and self.numbers(gains)[0] > self.at_most:
            raise Lacking(
                f"the smallest {self.words} of {title(self.method)} is {places[0]:g}; this needs one of {self.at_most:g} or less"
            )
        best = best_by_others(gains, places)
        return {
            at: (
                {seed: of[at] for seed, of in gains.items()},
                {seed: of[at] - self.share * best[seed] for seed, of in gains.items()},
            )
            for at in self.at or places[:1]
        }

    def smallest(self, evidence: Evidence) -> list[Place]:
        """The smallest place that has SEVERAL seeds, which is not left out for having fewer of them than larger ones."""
        cells = [cell for line in evidence.lines(self.axis).get(self.method, []) for cell in line]
        places = {place(cell, self.axis) for cell in cells if cell.measured(self.measure).n >= SEVERAL}
        return [min(places)] if places and ablation.is_numeric(places) else []

    def along(self, evidence: Evidence, methods: Collection[str]) -> dict[str, Along]:
        how = {"floor": f"random_{self.measure}", "needed": self.at or self.smallest(evidence), "enough": self.values}
        return {method: evidence.curve_on(None, self.axis, method, self.measure, **how) for method in methods}


class WorksWithout(Share):
    """It learns at the small end too: ahead of the untrained encoder, and with more than `share` of its best gain over it."""

    rule: Literal["works_without"]

    def find(self, evidence: Evidence) -> Found:
        name, found = title(self.method), self.along(evidence, [self.method])
        steps = [
            step
            for at, (gain, above) in self.kept(evidence, found).items()
            for step in (
                step_of(f"{name} at {self.words} {at} is ahead of the untrained encoder", gain),
                step_of(f"{name}'s gain there lies above {100 * self.share:.0f} % of its best gain", above),
            )
        ]
        return self.told(steps, found)


class Fails(Share):
    """It keeps less than `share` of its best gain over the untrained encoder."""

    rule: Literal["fails"]

    def find(self, evidence: Evidence) -> Found:
        name, found = title(self.method), self.along(evidence, [self.method])
        steps = [
            step_of(
                f"{name}'s gain over the untrained encoder at {self.words} {at} lies below {100 * self.share:.0f} % of its best "
                "one",
                {seed: -value for seed, value in above.items()},
            )
            for at, (_, above) in self.kept(evidence, found).items()
        ]
        return self.told(steps, found)


class Ahead(AlongAxis):
    """One value of the axis is ahead of each of the others, as the mean over the methods that have them all."""

    rule: Literal["ahead"]
    ahead: Place
    of: list[Place] = Field(min_length=1)
    methods: list[Method] = Field(default_factory=compared)

    def find(self, evidence: Evidence) -> Found:
        """Of the methods that have all of the places."""
        needed = {self.ahead, *self.of}
        looked = {method: evidence.curve_on(None, self.axis, method, self.measure) for method in self.methods}
        having = {method: one for method, one in looked.items() if one.curve and needed <= set(_places(one.curve))}
        if not having:
            raise Lacking(
                f"no method has probed runs with all that this needs of {self.words}: "
                f"{', '.join(map(str, (self.ahead, *self.of)))}"
            )
        curves = [one.curve for one in having.values()]
        steps = [
            step_of(
                f"{self.ahead} is ahead of {other}",
                {
                    seed: float(np.mean([curve[seed][self.ahead] - curve[seed][other] for curve in curves]))
                    for seed in sorted(set.intersection(*map(set, curves)))
                },
            )
            for other in self.of
        ]
        found = self.told(steps, *({method: one} for method, one in having.items()))
        methods = [title(method) for method in having]
        over = [f"those of {self.words} {self.ahead} over {series(methods)}"] if len(methods) > 1 else []
        return found._replace(averaged=[*over, *found.averaged])
