"""Which places, seeds and lines of a method count together, where not every seed has every run."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

Line = dict[Any, list[dict[int, float]]]  # place on the axis -> of each cell there, seed -> measure
MANY = 100  # sets; with more of them a page would be waited for
Choice = tuple[frozenset[Any], list[int], list[int]]  # places, seeds, numbers of lines


def choose(lines: Sequence[Line], needed: Collection[Any], enough: int) -> Choice:
    """The part of a grid without holes that tells most: places, seeds and lines of which every seed has a run in every cell.

    What counts first is how many `needed` places it has, then that it has `enough` places, then that it has two seeds; then
    its size, without the first place and the first seed: one place makes no difference, and one seed no interval.
    """

    def worth(choice: Choice) -> tuple[int, ...]:
        has = len(choice[0].intersection(needed))
        places, seeds, lines = map(len, choice)
        return has, min(places, enough), min(seeds, 2), (places - 1) * (seeds - 1) * lines, seeds, places, lines

    every = seeds_of(lines)
    has = {
        (number, seed): frozenset(at for at, cells in line.items() if all(seed in cell for cell in cells))
        for number, line in enumerate(lines)
        for seed in every
    }
    best: Choice = frozenset(), [], []
    for places in shared(has.values()):
        lines_of = {seed: frozenset(k for k in range(len(lines)) if places <= has[k, seed]) for seed in every}
        for numbers in shared(lines_of.values()):
            found = places, [seed for seed in lines_of if numbers <= lines_of[seed]], sorted(numbers)
            best = max(best, found, key=worth)
    return best


def shared(sets: Iterable[frozenset[Any]]) -> list[frozenset[Any]]:
    """The sets and all intersections of several of them, but the empty one, in an order that is always the same.

    Once there are MANY of them no further ones are made: their number may double with each set.
    """

    def place(one: frozenset[Any]) -> tuple[int, list[str]]:
        return -len(one), sorted(map(str, one))

    found: set[frozenset[Any]] = set()
    for one in sorted(set(sets), key=place):
        found |= {one} | ({one & other for other in found} if len(found) < MANY else set())
    return sorted(found - {frozenset()}, key=place)


def seeds_of(lines: Iterable[Line]) -> list[int]:
    return sorted({seed for line in lines for cells in line.values() for cell in cells for seed in cell})
