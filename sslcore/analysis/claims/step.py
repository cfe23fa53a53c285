"""One difference that a claim needs, and what may be said of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sslcore.analysis.stats import POWER, SPREAD_FROM, Difference, more_seeds, over_seeds, signed, told_apart
from sslcore.wording import count

LEAST_RATIO = 1.005  # of counted costs: nearer to 1 they are said to be the same


class Lacking(Exception):
    """Why a rule cannot decide, in a sentence; `steps` are those that could be taken even so."""

    def __init__(self, why: str, steps: Sequence["Step"] = ()):
        super().__init__(why)
        self.steps = list(steps)


def times(log_ratio: float) -> str:
    """The ratio: 1.25, under 0.01, over 100."""
    ratio = math.exp(min(log_ratio, 10))  # which is over 100, too; a larger one may be no float
    return "under 0.01" if ratio < 0.01 else f"{ratio:.2f}" if ratio <= 100 else "over 100"


@dataclass(frozen=True)
class Step:
    """One thing that a claim needs: `difference` is positive where it is as claimed, in shares or in log ratios."""

    says: str
    difference: Difference
    ratio: bool = False  # a natural logarithm of a ratio
    counted: bool = False  # a cost that does not depend on chance, and needs no test where all seeds agree
    unequal: Sequence[str] = ()  # the options of which each side has its own
    p: float | None = None  # adjusted for so many comparisons, where it lies the other way
    comparisons: int = 1

    @property
    def exact(self) -> bool:
        of = self.difference
        return self.counted and of.seeds > 1 and of.test == "none" and abs(of.mean) > math.log(LEAST_RATIO)

    @property
    def apart(self) -> bool:
        return self.exact or told_apart(self.p)

    def amount(self, value: float) -> str:
        return f"{times(value)} times" if self.ratio else f"{signed(value)} points"

    @property
    def sentence(self) -> str:
        return f"{self.says}: {self._verdict} ({self._evidence})."

    @property
    def _verdict(self) -> str:
        if self.apart:
            return "yes" if self.difference.mean > 0 else "no, the other way round"
        alone = f" once {self.comparisons} comparisons are allowed for" if told_apart(self.difference.p) else ""
        return f"not told apart{alone}"

    @property
    def _evidence(self) -> str:
        of, mean = self.difference, self.amount(self.difference.mean)
        seeds = count(of.seeds, "seed")
        if self.exact:
            return f"{mean}, the same in all {seeds}"
        if of.test == "none":
            return f"{mean}, untested: {of.why}"
        low, high = (self.amount(end).rpartition(" ")[0] for end in (of.low, of.high))
        wish = ""
        if not self.apart and of.seeds >= SPREAD_FROM and (needed := more_seeds(of, self.comparisons)):
            wish = (
                f"; about {count(needed, 'more seed')} would have an {100 * POWER:.0f} % chance to tell, "
                "at this difference and spread"
            )
        return f"{mean}, 95 % interval {low} to {high}, {seeds}{wish}"


def step_of(says: str, by_seed: Mapping[int, float], **kind: Any) -> Step:
    if not by_seed:
        raise Lacking(f"{says}: no seed has every run that this needs")
    return Step(says, over_seeds(list(by_seed.values())), **kind)
