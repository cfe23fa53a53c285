"""Differences with their uncertainty, over seeds and over test images, and what may be said of them.

Two questions, two tests. Over seeds: would another training come out the same way? Each seed gives one difference of
two methods; the paired t interval is over these. Over test images: do these two trained networks differ beyond the
choice of test images? McNemar's exact test on the images that only one of them gets right, and Newcombe's (1998) score
interval for the difference of two paired proportions; where test images are much alike in groups, as crops of one place
are, the t test and interval over the groups. The second says nothing about another training. How often these intervals
hold, and these tests err, is measured in benchmarks/statistics.md.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

import numpy as np
import scipy  # whose special functions are loaded when first asked for; scipy.stats would take most of a second, and 50 MB

from sslcore.wording import count, tenths

LEVEL = 0.05
POWER = 0.8
MOST_SEEDS = 100  # beyond which nobody would train
SPREAD_FROM = 3  # seeds, for a guess of how many more are needed
NO_SPREAD = 1e-12  # differences that agree to this are the same

AGGREGATE = (
    "mean over the N seeds; ± is the sample standard deviation over them; the 95 % interval is the t interval of the mean, "
    "mean ± t(0.975, N − 1) · std / √N, for N of 2 or more that are not all the same, cut off at 0 and 100 %; it takes seeds for "
    "normally distributed: a method that fails in some of them needs more"
)
INTERVAL = (
    "over several seeds that of their mean (t), which speaks of training again with other seeds, and of the same test images "
    "alone; of a single run (Wilson) over the choice of test images, which says nothing about another seed"
)
OVER_SEEDS = (
    "paired t interval: each seed gives one difference, and the interval is over the N differences, on the same test images, cut "
    "off at −100 and 100 points; it speaks of training again with other seeds, not of other images, and holds for a number of "
    "seeds that was chosen beforehand: whoever adds seeds until two are told apart finds differences too often"
)
OVER_IMAGES = (
    "McNemar's exact test on the test images that only one of the two gets right, and Newcombe's (1998) score interval for "
    "two proportions of the same images (his method 10), or t test and interval over groups of test images that are much alike; "
    "it speaks of these two trained networks, not of training again"
)
HOLM = (
    "p-values are adjusted by Holm's method over all pairs that could be tested; two are told apart where the adjusted p is "
    "below 0.05. Intervals are each pair's own, not adjusted"
)


# -- One group of seeds --------------------------------------------------------------


@dataclass(frozen=True)
class Aggregate:
    """N values in one line; see AGGREGATE. std, low and high are None for N below 2, low and high where all are the same."""

    mean: float
    std: float | None
    low: float | None
    high: float | None
    n: int


def aggregate(values: Iterable[float], least: float = -math.inf, most: float = math.inf) -> Aggregate | None:
    """None where there are no values. The interval ends at `least` and `most`, which no value can pass."""
    values = np.array(list(values), float)
    n = len(values)
    if n < 2:
        return Aggregate(float(values[0]), None, None, None, 1) if n else None
    mean, std = float(values.mean()), float(values.std(ddof=1))
    if std < NO_SPREAD:  # as of two seeds and few test images that is no rare chance, it tells nothing of a third
        return Aggregate(mean, std, None, None, n)
    half = float(scipy.special.stdtrit(n - 1, 1 - LEVEL / 2)) * std / math.sqrt(n)
    return Aggregate(mean, std, max(mean - half, least), min(mean + half, most), n)


def means_by_seed(values: Iterable[tuple[Any, float | None]]) -> dict[Any, float]:
    """(seed, value or None) of each run -> seed: the mean over its runs that have one, for two runs of a seed are one draw."""
    own: dict[Any, list[float]] = {}
    for seed, value in values:
        if value is not None:
            own.setdefault(seed, []).append(value)
    return {seed: fmean(of) for seed, of in own.items()}


def of_each_seed(values: Iterable[tuple[Any, float | None]]) -> list[float]:
    """`means_by_seed` without the seeds."""
    return list(means_by_seed(values).values())


# -- The difference of two ------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """How far a lies above b, in the measure's own unit. low, high and p are None where nothing can be tested.

    seeds: differences that the mean is over. images: test images, where the test is over them, and groups, where over those.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    test: Literal["seeds", "images", "none"]
    seeds: int
    std: float | None = None  # over seeds
    images: int | None = None
    groups: int | None = None
    why: str = ""  # why nothing can be tested

    def turned(self) -> "Difference":
        """How far b lies above a."""
        ends = {} if self.low is None else {"low": -self.high, "high": -self.low}
        return replace(self, mean=-self.mean, **ends)


def over_seeds(differences: Sequence[float], most: float = math.inf) -> Difference:
    """The paired t test of one difference a seed (at least one). The interval ends at ±`most`, which no difference can pass.

    Of differences that are all the same the spread is not known (with two seeds and few test images that is no rare
    chance); then, as with a single one, nothing is tested.
    """
    made = aggregate(differences, -most, most)
    n = made.n
    if made.low is None:
        seeds = "both" if n == 2 else f"all {n}"
        why = "one seed" if n == 1 else f"the difference is the same in {seeds} seeds, so that its spread is not known"
        return Difference(made.mean, None, None, None, "none", n, made.std, why=why)
    p = 2 * float(scipy.special.stdtr(n - 1, -abs(made.mean) / (made.std / math.sqrt(n))))
    return Difference(made.mean, made.low, made.high, p, "seeds", n, made.std)


def over_images(right_a: np.ndarray, right_b: np.ndarray, group: np.ndarray | None = None) -> Difference:
    """Two trained networks on the same test images: bool (N,) each, whether the image is got right.

    group: int (N,), where images of one group are much alike; see `over_groups`.
    The interval is Newcombe's (1998, Statistics in Medicine 17, 2635) method 10: from the Wilson intervals of either
    accuracy, and the correlation phi of the two, corrected for continuity.
    """
    if group is not None:
        return over_groups(right_a, right_b, group)
    n = len(right_a)
    both, only_a, only_b = int((right_a & right_b).sum()), int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    neither = n - both - only_a - only_b
    p = min(2 * float(scipy.special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)), 1.0)
    a, b = (both + only_a) / n, (both + only_b) / n
    (low_a, high_a), (low_b, high_b) = wilson(both + only_a, n), wilson(both + only_b, n)
    together = both * neither - only_a * only_b
    together = max(together - n / 2, 0) if together > 0 else together
    phi = together / (math.sqrt(a * (1 - a) * b * (1 - b)) * n**2 or 1)
    below = math.sqrt((a - low_a) ** 2 - 2 * phi * (a - low_a) * (high_b - b) + (high_b - b) ** 2)
    above = math.sqrt((high_a - a) ** 2 - 2 * phi * (high_a - a) * (b - low_b) + (b - low_b) ** 2)
    return Difference(a - b, a - b - below, a - b + above, p, "images", 1, images=n)


def over_groups(right_a: np.ndarray, right_b: np.ndarray, group: np.ndarray) -> Difference:
    """`over_images` where images of one group, int (N,), are much alike: the groups are what is independent.

    The t test and interval, with one degree of freedom fewer than there are groups.
    """
    own = right_a.astype(float) - right_b
    n, mean = len(own), float(own.mean())
    error, groups = _error(own, group)
    if groups < 2 or error < NO_SPREAD:
        why = "no two test images are known to be independent" if groups < 2 else "it is the same in all groups of test images"
        return Difference(mean, None, None, None, "none", 1, why=f"one seed, and {why}")
    half = float(scipy.special.stdtrit(groups - 1, 1 - LEVEL / 2)) * error
    p = 2 * float(scipy.special.stdtr(groups - 1, -abs(mean) / error))
    return Difference(mean, max(mean - half, -1.0), min(mean + half, 1.0), p, "images", 1, images=n, groups=groups)


def of_accuracy(right: np.ndarray, group: np.ndarray | None = None) -> tuple[float, float]:
    """The 95 % interval of an accuracy, of bool (N,): Wilson's.

    Where images of one group, int (N,), are much alike it is that of so many independent ones as would tell as much (Korn &
    Graubard 1998, Survey Methodology 24, 193): the variance over groups is that of their number.
    """
    n, share = len(right), float(right.mean())
    if group is None:
        return wilson(int(right.sum()), n)
    error, groups = _error(right, group)
    worth = share * (1 - share) / error**2 if error > NO_SPREAD else groups  # whose spread is not known, as none is seen
    t_images, t_groups = (float(scipy.special.stdtrit(max(k - 1, 1), 1 - LEVEL / 2)) for k in (n, groups))
    fewer = (t_images / t_groups) ** 2
    independent = min(worth * fewer, n)
    return wilson(share * independent, independent)


def _error(values: np.ndarray, group: np.ndarray) -> tuple[float, int]:
    """(standard error of the mean of `values` (N,), how many groups there are). It is that of a ratio of two sums over groups, of
    values and of images (Cochran 1977, Sampling Techniques, 3rd edition, chapter 9A).
    """
    at = np.unique(group, return_inverse=True)[1]
    groups = int(at.max()) + 1
    left = np.bincount(at, values - values.mean())  # (groups,) what each has beyond its share of the mean
    return math.sqrt(groups / max(groups - 1, 1) * float((left**2).sum())) / len(values), groups


def wilson(right: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` of n were seen (Wilson 1927); right / n lies in it, whatever is rounded."""
    z = float(scipy.special.ndtri(1 - LEVEL / 2))
    centre = (right + z**2 / 2) / (n + z**2)
    reach = z * math.sqrt(right * (n - right) / n + z**2 / 4) / (n + z**2)
    return max(min(centre - reach, right / n), 0.0), min(max(centre + reach, right / n), 1.0)


# -- Several pairs -----------------------------------------------------------------------


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjusted p-values, in the order given: the chance of any false finding stays below the level.

    None, where nothing was tested, stays None and counts for nothing.
    """
    tested = sorted((value, k) for k, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    worst = 0.0
    for rank, (value, k) in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - rank) * value))
        found[k] = worst
    return found


def adjusted(differences: Sequence[Difference]) -> tuple[list[float | None], int]:
    """(their p-values by Holm's method, how many comparisons these allow for)."""
    p = holm([difference.p for difference in differences])
    return p, max(1, sum(value is not None for value in p))


def more_seeds(difference: Difference, comparisons: int = 1) -> int | None:
    """Seeds beyond those there are until the paired t test tells a from b with a chance of POWER, at this mean and spread.

    The test is at level 0.05 / comparisons, which Holm's method asks for at worst. None where the answer is
    beyond MOST_SEEDS, or nothing is known of the spread.
    """
    if not difference.std:
        return None
    n = np.arange(difference.seeds + 1, difference.seeds + MOST_SEEDS + 1)
    needed = scipy.special.stdtrit(n - 1, 1 - LEVEL / comparisons / 2)  # (n,) of t
    power = 1 - scipy.special.nctdtr(n - 1, abs(difference.mean) / difference.std * np.sqrt(n), needed)
    return int(n[np.argmax(power >= POWER)]) - difference.seeds if (power >= POWER).any() else None


# -- In words ------------------------------------------------------------------------------


def told_apart(p: float | None) -> bool:
    return p is not None and p < LEVEL


def sentence(a: str, b: str, difference: Difference, p: float | None, comparisons: int = 1) -> str:
    """What may be said of a and b. `p` is adjusted for the number of comparisons; the mean is of shares, told in points."""
    seeds = count(difference.seeds, "seed")
    tie = difference.mean < NO_SPREAD
    if difference.test == "none":
        apart = f"{a} and {b} came out the same" if tie else f"{a} came out {points(difference.mean)} ahead of {b}"
        return f"{apart}; nothing can be tested: {difference.why}."
    interval = f"95 % interval {tenths(100 * difference.low, 'z')} to {tenths(100 * difference.high, 'z')}".replace("-", "−")
    ahead = "equal in accuracy" if tie else f"{a} ahead by {points(difference.mean)}"
    corrected = f" once {comparisons} comparisons are allowed for" if told_apart(difference.p) else ""
    if difference.test == "images":
        network = "One seed: says nothing about another training."
        images = f"{difference.images:,} test images" + (f" in {difference.groups} groups" if difference.groups else "")
        if told_apart(p):
            return (
                f"This {a} network is ahead of this {b} network by {points(difference.mean)}, {interval}, on {images}. {network}"
            )
        strict = "" if told_apart(difference.p) or difference.low * difference.high <= 0 else "; the exact test asks for more"
        return f"These {a} and {b} networks are not told apart by {images}{corrected} ({ahead}, {interval}{strict}). {network}"
    if told_apart(p):
        return f"{a} is ahead of {b} by {points(difference.mean)}, {interval}, {seeds}."
    if difference.seeds < SPREAD_FROM:
        wish = "two seeds tell too little of their spread to say how many more it would take"
    else:
        needed = more_seeds(difference, comparisons)
        more = f"more than {MOST_SEEDS} more seeds" if needed is None else f"about {count(needed, 'more seed')}"
        wish = f"{more} would be needed for an {100 * POWER:.0f} % chance to tell them apart, at this difference and spread"
    return f"{a} and {b} are not told apart by these runs{corrected} ({ahead}, {interval}, {seeds}): {wish}."


def signed(share: float) -> str:
    """0.021 -> +2.1, in points."""
    return tenths(100 * share, "+z").replace("-", "−")


def points(share: float) -> str:
    """0.021 -> 2.1 points."""
    return f"{tenths(100 * share)} points" if share >= 0.0005 else "less than 0.1 points"
