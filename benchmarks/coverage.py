"""How often the intervals hold and the tests err: simulated runs whose truth is known, through the code that pages call.

Nothing here is measured of a network. An interval of 95 % should hold the truth in 95 of 100 draws, methods that are
alike should be told apart in 5 of 100 at most, and a difference that is there should be found as often as one can hope.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from benchmarks.measure import machine, print_table
from sslcore import plan
from sslcore.analysis import ablation, claims, stats
from sslcore.analysis.claims.along import AlongAxis
from sslcore.analysis.stats import Difference
from sslcore.analysis.summary import NUMBERS

RNG = np.random.default_rng(0)
IMAGES, GROUPS = 960, 67  # of photos
ALIKE_WITHIN = 1.5  # standard deviation, in logits, of what the images of a group have in common
MEAN_CHANCE = float(np.mean(1 / (1 + np.exp(-np.random.default_rng(1).normal(1, ALIKE_WITHIN, 1_000_000)))))  # of a group


def percent(found: Iterator[bool] | list[bool]) -> str:
    return f"{100 * np.mean(list(found)):.1f} %"


def answers(n: int, networks: int, group: np.ndarray | None = None) -> np.ndarray:
    """bool (networks, n): which images are got right, each network's chance for an image being as good as another's.

    Hard images are hard for all. What one network is good at is drawn image by image, or group by group.
    """
    hard = RNG.normal(1.2, 1, n)
    units = n if group is None else GROUPS
    own = RNG.normal(0, ALIKE_WITHIN, (networks, units))
    own = own if group is None else own[:, group]
    return RNG.random((networks, n)) < 1 / (1 + np.exp(-hard - own))


def groups() -> np.ndarray:
    return np.sort(RNG.integers(0, GROUPS, IMAGES))


# -- What is asked ---------------------------------------------------------------------


def of_an_accuracy(n: int) -> bool:
    share = RNG.uniform(0.4, 0.95)
    low, high = stats.of_accuracy(np.arange(n) < RNG.binomial(n, share))
    return low <= share <= high


def of_an_accuracy_over_groups(over: bool) -> bool:
    """Truth: the mean over all groups that there may be, of which these are a draw."""
    group = groups()
    chance = 1 / (1 + np.exp(-RNG.normal(1, ALIKE_WITHIN, GROUPS)))
    right = RNG.random(IMAGES) < chance[group]
    low, high = stats.of_accuracy(right, group if over else None)
    return low <= MEAN_CHANCE <= high


def of_a_mean(seeds: int, fails: float) -> bool:
    """Of accuracies over seeds, of which the share `fails` has 30 points less, as where training collapses."""
    values = 0.8 + RNG.normal(0, 0.01, seeds) - 0.3 * (RNG.random(seeds) < fails)
    made = stats.aggregate(values, 0, 1)
    return made.low is not None and made.low <= 0.8 - 0.3 * fails <= made.high


def seeds_of_three(seeds: int, spread: float, ahead: float = 0.0) -> np.ndarray:
    """(3, seeds) accuracies on the same test images; the first method is ahead of the others."""
    accuracy = 0.8 + RNG.normal(0, spread, (3, seeds))
    accuracy[0] += ahead
    return np.round(accuracy * IMAGES) / IMAGES


def told_apart(differences: list[Difference]) -> list[bool]:
    return [stats.told_apart(p) for p in stats.adjusted(differences)[0]]


def over_seeds(seeds: int, spread: float, ahead: float = 0.0, methods: int = 3) -> list[bool]:
    """Of each pair of methods whether it is told apart; the method ahead is in the first, or of three in the first two."""
    accuracy = seeds_of_three(seeds, spread, ahead)[:methods]
    return told_apart([stats.over_seeds(a - b, 1) for a, b in combinations(accuracy, 2)])


def over_images(n: int, in_groups: bool, by_group: bool) -> bool:
    """Whether any two of three networks that are alike are told apart."""
    group = groups() if in_groups else None
    right = answers(n, 3, group)
    return any(told_apart([stats.over_images(a, b, group if by_group else None) for a, b in combinations(right, 2)]))


def page_of_claims(seeds: int) -> tuple[Callable[[], list[str]], str]:
    """(what draws the verdicts of claims that go along axes alone, on runs of their presets that are all alike; how many)."""
    along = [claim for claim in claims.read()[0] if claim.make and all(isinstance(part, AlongAxis) for part in claim.parts)]
    grids = []
    for claim in along:
        spec = plan.read(claim.make.preset)
        axes = (claim.make.vary or {}) | ({"method": claim.make.methods} if claim.make.methods else {})
        spec = plan.change(spec, claim.make.settings, axes | {"seed": list(range(seeds))})
        grids.append(plan.plan(spec).configs)

    def entry(name, config) -> ablation.Entry:
        trained, untrained = 0.7 + RNG.normal(0, 0.01, 2)
        numbers = dict.fromkeys(NUMBERS) | {"linear": trained, "random_linear": untrained}
        return ablation.Entry("made", name, config, "finished", 1.0, None, numbers)

    def draw() -> list[str]:
        return [
            claims.judge(claim, claims.Evidence([entry(*run) for run in grid.items()], [])).word
            for claim, grid in zip(along, grids)
        ]

    return draw, f"{len(along)} claims, {sum(map(len, grids))} runs"


# -- The tables -------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="of each row; the claims' are a tenth")
    n = parser.parse_args().draws
    print(machine("numpy", "scipy"), f"{n} draws a row.", sep="\n")

    def rate(what: Callable[..., bool], *how) -> str:
        return percent(what(*how) for _ in range(n))

    grouped = f"{IMAGES} images in {GROUPS} groups"
    rows = [["of an accuracy (Wilson)", f"{k:,} test images", rate(of_an_accuracy, k)] for k in (50, 200, 1000, 10_000)]
    for how, over in (("image by image", False), ("over groups", True)):
        rows.append([f"the same, taken {how}", grouped, rate(of_an_accuracy_over_groups, over)])
    rows += [["of a mean over seeds (t)", f"{k} seeds", rate(of_a_mean, k, 0.0)] for k in (2, 3, 5, 10)]
    rows += [["the same, where 1 of 10 collapses", f"{k} seeds", rate(of_a_mean, k, 0.1)] for k in (3, 5, 10)]
    print_table("How often an interval of 95 % holds the truth", ["interval", "of", "holds"], rows)

    rows = [["paired t", f"{k} seeds", percent(any(over_seeds(k, 0.01)) for _ in range(n))] for k in (2, 3, 5, 10)]
    rows += [["McNemar", f"{k:,} test images, one seed", rate(over_images, k, False, False)] for k in (200, 1000, 10_000)]
    for test, by_group in (("McNemar", False), ("t over groups", True)):
        rows.append([test, f"{grouped}, one seed", rate(over_images, IMAGES, True, by_group)])
    title = "How often any two of three methods that are alike are told apart (0.05, by Holm's method)"
    print_table(title, ["test", "on", "told apart"], rows)

    spreads, rows = (0.002, 0.005, 0.01, 0.02), []
    for k in (2, 3, 5, 10):
        found = [[percent(all(over_seeds(k, sd, 0.01, m)[: m - 1]) for _ in range(n)) for m in (2, 3)] for sd in spreads]
        rows.append([f"{k} seeds", *(f"{alone} / {of_both}" for alone, of_both in found)])
    title = "How often a method that is 1 point ahead is told from one other / from both of two others"
    print_table(title, ["seeds differ by", *(f"{100 * spread:g} points" for spread in spreads)], rows)

    for seeds in (3, 5):
        draw, of = page_of_claims(seeds)
        pages = [draw() for _ in range(n // 10)]
        rows = [[f"a claim that is {word}", percent(word in page for page in pages)] for word in ("supported", "contradicted")]
        print_table(f"Claims about which nothing is true: {of}, {seeds} seeds", ["a page has", "share of pages"], rows)


if __name__ == "__main__":
    main()
