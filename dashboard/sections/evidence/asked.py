"""What the reader of Evidence wants compared: by which accuracy, and what with what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import streamlit as st

from dashboard import link, tables, words
from dashboard.figures import probe, style
from dashboard.figures.axes import said as say_value
from dashboard.figures.axes import title as say_setting
from sslcore.analysis import pairs
from sslcore.analysis.pairs import Pair
from sslcore.experiment import Run
from sslcore.methods import METHODS
from sslcore.naming import told_apart

ALL = "all, paired"


@dataclass(frozen=True)
class Asked:
    """The runs that have the accuracy that was asked for, and how they are to be compared."""

    runs: Sequence[Run]
    measure: str  # of pairs.MEASURES
    by: str  # what is compared: "method", "experiment", or an option
    equal: Sequence[str]  # what else varies, and must be equal

    @property
    def measured_by(self) -> str:
        return pairs.MEASURES[self.measure]

    @cached_property
    def named(self) -> dict[str, Run]:
        return tables.named(self.runs)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The runs' rows of `tables.summary`."""
        return tables.summary(self.runs)

    @cached_property
    def of_label(self) -> dict[str, list[dict[str, Any]]]:
        """Those that differ in their seed alone, by what they are called."""
        return probe.by_label(self.rows)

    @cached_property
    def names(self) -> dict[Any, str]:
        """What each side is called, by its value."""
        told = "" if self.by in ("method", "experiment") else f"{in_words(self.by)} "
        called = values_in_words(self.by, pairs.contestants(self.runs, self.by))
        return {value: told + name for value, name in called.items()}

    @cached_property
    def _compared(self) -> tuple[list[Pair], list[str]]:
        return pairs.compare(pairs.contestants(self.runs, self.by), self.names, self.equal, self.measure, self.by)

    @property
    def pairs(self) -> list[Pair]:
        return self._compared[0]

    @property
    def unpaired(self) -> list[str]:
        """Which sides could not be compared, and why."""
        return self._compared[1]

    def colour(self, side: Any) -> str:
        """A method's own, where methods are compared."""
        return style.colour(side) if self.by == "method" else style.PALETTE[4]


def ask(probed: Sequence[Run]) -> Asked:
    """The controls at the head of the page, for runs that were probed."""
    with st.container(border=True), st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        measure = link.one_of(
            "Accuracy by", list(pairs.MEASURES), default="linear", format_func=pairs.MEASURES.get, key="evidence_measure"
        )
        options = [name for name in pairs.decisive(probed, measure) if name != "dataset"]
        on = ["dataset"] if _differs(probed, "dataset") else []  # by its images; two of them are never on the same
        can_differ = [name for name in ("method", *options, "experiment") if _differs(probed, name)]
        by = "method"
        if can_differ:
            by = link.choice("Compare by", can_differ, can_differ[0], key="evidence_by", say=in_words, width=200)
        equal = [name for name in ("method", *on, *options) if name != by]
        for name in [name for name in equal if _differs(probed, name)]:
            probed = _at(probed, name)
    return Asked([run for run in probed if pairs.accuracy(run, measure) is not None], measure, by, equal)


def _differs(runs: Sequence[Run], name: str) -> bool:
    return len(pairs.contestants(runs, name)) > 1


def _at(runs: Sequence[Run], name: str) -> Sequence[Run]:
    """The runs that have the value of a setting that the reader chooses, or for which it means nothing; all of them at first."""
    having = pairs.contestants(runs, name)
    values = {said: having[value] for value, said in values_in_words(name, having).items()}
    called = in_words(name)
    at = st.selectbox(
        words.capital(called),
        list(values),
        index=None,
        placeholder=ALL,
        key=f"evidence_at_{name}",
        bind="query-params",
        width=170,
        help="One value, or all: each is then compared with its like, and a seed's differences are averaged.",
    )
    return runs if at is None else [run for run in runs if run in values[at] or pairs.value(run, name) is pairs.ANY]


def in_words(name: str) -> str:
    return name if name in ("method", "experiment") else say_setting(name)


def values_in_words(name: str, values: Iterable[Any]) -> dict[Any, str]:
    """What each value of a setting is called."""
    if name == "dataset":
        return told_apart(values)
    return {
        value: METHODS[value].title if name == "method" else str(value) if name == "experiment" else say_value(name, value)
        for value in values
    }
