"""The settings along which an ablation goes: what they are called, and where their values lie on a chart."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard import words
from dashboard.figures import style
from sslcore.analysis import ablation
from sslcore.analysis.ablation import NEGATIVES

LOG_FROM = 4  # numbers that span more than this factor are laid out by their logarithm
MANY = 6  # words along an axis, beyond which they are written at a slant, each on one line
CROWDED = 12  # numbers of which two are closer than their span over this are laid out evenly
TITLES = {
    NEGATIVES: "negatives per positive",
    "augment": "augmentation",
    ablation.MECHANISM: "where MoCo's negatives come from",
    "lr_scaling": "learning-rate scaling",
}


def title(axis: str) -> str:
    """An axis in words: batch size, head kind, augmentations, MoCo queue size."""
    if axis in TITLES:
        return TITLES[axis]
    group, _, last = axis.rpartition(".")
    return " ".join(filter(None, [style.title(group), last.replace("_", " ")]))


def heading(axis: str) -> str:
    """The same with a capital, as fields and links have it."""
    return words.capital(title(axis))


def said(axis: str, place: Any) -> str:
    """A place on an axis in words."""
    if isinstance(place, bool):
        return "yes" if place else "no"
    if isinstance(place, (int, float)):
        return f"{place:,}" if isinstance(place, int) else f"{place:g}"
    nothing = "all" if axis == "simclr.negatives" else "–"  # where none are asked for, all of the batch are
    return nothing if place is None else str(place)


@dataclass(frozen=True)
class Scale:
    """Where the places of an axis lie on the chart."""

    kind: str  # "log", "linear", "even" (numbers, in equal steps) or "words"
    axis: str
    places: list[Any]
    first: Collection[Any] = ()  # those that have a point, which are labelled before others

    @classmethod
    def of(cls, axis: str, places: Iterable[Any], first: Collection[Any] = ()) -> "Scale":
        places = ablation.in_order(axis, places)
        if not ablation.is_numeric(places):
            return cls("words", axis, places, first)
        if places and places[0] > 0 and places[-1] / places[0] > LOG_FROM:
            return cls("log", axis, places, first)
        gaps = np.diff(places)
        crowded = len(gaps) > 0 and gaps.min() < (places[-1] - places[0]) / CROWDED
        return cls("even" if crowded else "linear", axis, places, first)

    @property
    def how(self) -> str:
        return {"log": " (logarithmic)", "even": " (in equal steps)"}.get(self.kind, "")

    def x(self, place: Any, shift: float = 0.0) -> float:
        """Where a place lies, or what stands aside of it by `shift`."""
        at = float(self.places.index(place) if self.kind in ("words", "even") else place)
        return at * 10**shift if self.kind == "log" else at + shift

    def dodge(self, k: int, n: int) -> float:
        """How far the k-th of n lines stands aside, so that their bars do not cover each other; less than half to the next place.

        As `ends`, on a logarithmic axis in powers of ten.
        """
        low, high = self.ends()
        at = [math.log10(place) if self.kind == "log" else self.x(place) for place in self.places]
        gap = min(np.diff(at), default=high - low)
        step = 0.5 * gap / n if self.kind == "words" else min(0.5 * gap / n, 0.012 * (high - low))
        return step * (k - (n - 1) / 2)

    def ends(self) -> tuple[float, float]:
        """The left and right end of the axis; of a logarithmic one, as powers of ten."""
        if not self.places:
            return 0.0, 1.0
        if self.kind in ("words", "even"):
            return -0.5, len(self.places) - 0.5
        low, high = (math.log10(end) if self.kind == "log" else float(end) for end in (self.places[0], self.places[-1]))
        pad = 0.07 * (high - low) or 0.5
        return low - pad, high + pad

    def along(self) -> np.ndarray:
        """Points all along the axis, for level lines that tell their value wherever one looks."""
        even = np.linspace(*self.ends(), 41)
        return 10**even if self.kind == "log" else even

    def layout(self) -> dict:
        places = self.places
        if self.kind == "log":  # labels that would touch are left out
            low, high = self.ends()
            places = []
            for place in sorted(self.places, key=lambda place: place not in self.first):
                if all(abs(math.log10(place / other)) > 0.05 * (high - low) for other in places):
                    places.append(place)
            places.sort()
        many = self.kind == "words" and len(places) > MANY
        return {
            "type": "log" if self.kind == "log" else "linear",
            "range": list(self.ends()),
            "tickangle": -35 if many else None,
            "tickvals": [self.x(place) for place in places],
            "ticktext": [style.plain(said(self.axis, place)) if many else tick(self.axis, place) for place in places],
            "ticklabeloverflow": "allow",
        }


def ticks(axis: str, places: Sequence[Any]) -> dict:
    return {
        "tickvals": list(range(len(places))),
        "ticktext": [tick(axis, place) for place in places],
        "range": [-0.5, len(places) - 0.5],
        "constrain": "domain",
        "ticks": "",
    }


def tick(axis: str, place: Any) -> str:
    return style.plain(said(axis, place)).replace(", ", ",<br>")
