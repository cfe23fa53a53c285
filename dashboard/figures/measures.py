"""What an ablation measures: its names, its units, and how a value is said."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import words
from dashboard.figures import style
from sslcore.analysis.ablation import Cell, Measured


@dataclass(frozen=True)
class Measure:
    """How a column of summary.NUMBERS is said."""

    title: str
    unit: str
    how: str  # it is obtained
    share: bool = False  # an accuracy, shown as a percentage; it can also be read as a drop from the best


MEASURES = {
    "linear": Measure("Linear probe", "accuracy", "on h, frozen; all test images", share=True),
    "knn": Measure("kNN", "accuracy", "on h, by cosine; all test images", share=True),
    "effective_rank": Measure(
        "Effective rank", "dimensions", "how many dimensions of h, scaled to unit length, are in use; 1 is collapse"
    ),
    "alignment": Measure(
        "Alignment",
        "squared distance",
        "how far apart two views of an image are, in the run's own augmentation; 0 is perfect, unrelated ones lie at 0.6 to 1.3",
    ),
    "uniformity": Measure("Uniformity", "log mean exp(−2d²)", "how evenly h fills the sphere; 0 is collapse, lower is more even"),
}
COSTS = {
    "seconds": Measure("Training time", "", "evaluation left out"),
    "peak_memory_bytes": Measure("Peak memory", "GB", "while it trained; on a CPU with all that was imported"),
}


@dataclass(frozen=True)
class Show:
    """How a measure's values become heights, and how they are said."""

    axis_title: str
    per_unit: float  # what a value is divided by
    drop: bool
    share: bool
    digits: str  # d3's format

    @classmethod
    def of(cls, measure: str, values: Sequence[float], drop: bool) -> "Show":
        if drop:
            return cls("drop from the best, points", 0.01, True, True, ".1f")
        if measure == "seconds":
            return cls(*words.time_unit(max(values, default=0.0)), False, False, ",.3~r")
        if measure == "peak_memory_bytes":
            return cls("GB", 1e9, False, False, ",.3~r")
        own = MEASURES[measure]
        return cls(own.unit, 0.01 if own.share else 1.0, False, own.share, ".1f" if own.share else ",.3~r")

    def y(self, value: float, best: float | None) -> float:
        return (value if best is None else best - value) / self.per_unit

    def layout(self) -> dict:
        """Drops hang from 0, the best, at the top."""
        accuracies = {"ticksuffix": "%", "minallowed": 0, "maxallowed": 100}
        how = {"autorange": "reversed"} if self.drop else accuracies if self.share else {}
        return {"title": {"text": self.axis_title}, **how, "rangemode": "normal" if self.share else "tozero"}

    def number(self, height: float) -> str:
        """As `digits` say it, in Python."""
        return (words.tenths(height) if self.share else f"{float(f'{height:.3g}'):,g}").replace("-", "−")

    def said(self, measured: Measured, best: float | None) -> str:
        unit = " points below its best" if self.drop else " %" if self.share else f" {self.axis_title}"
        number = self.number(self.y(measured.mean, best))
        places = len(number.partition(".")[2])
        spread = f" ± {measured.std / self.per_unit:,.{places}f}" if measured.std is not None else ""
        if self.drop and spread:  # which is no spread of the drop: the best has one of its own
            return f"{number}{unit} (its accuracy{spread}), N = {measured.n}"
        return f"{number}{spread}{unit}, N = {measured.n}"


def n_seeds(cells: Sequence[Cell], measure: str) -> list[int]:
    """How many seeds the cells have that have any, each number once, in order."""
    return sorted({n for cell in cells if (n := cell.measured(measure).n)})


def in_words(counts: Sequence[int]) -> str:
    """N = 3, or N = 2 to 3."""
    return f"N = {counts[0]}" if len(counts) == 1 else f"N = {counts[0]} to {counts[-1]}"


def unmeasured(cells: Sequence[Cell]) -> str:
    """What is said where no cell has a number."""
    return "no run has this number" if any(entry.measured for cell in cells for entry in cell.entries) else "no result yet"


def why_missing(measured: Measured) -> str:
    """Why a cell lacks some of its seeds, not at any length."""
    return style.plain(measured.why if len(measured.why) < 160 else f"{measured.why[:160]} …")
