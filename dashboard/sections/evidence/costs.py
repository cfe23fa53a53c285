"""What each one's accuracy cost: as a table, and drawn against each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from dashboard import link, metrics, tables, words
from dashboard.figures import evidence, probe
from dashboard.plot import plot
from dashboard.printed import printed
from dashboard.sections.evidence.asked import Asked
from dashboard.unlike import unlike_times
from sslcore.analysis import budget, stats, summary
from sslcore.experiment import Run
from sslcore.results import part

COSTS = {"seconds": "training time", "images_seen": "images seen", "flops": "operations", "energy_joules": "energy, kJ"}
UNCOUNTED = "`python -m sslcore evaluate` counts operations."


def spent(run: Run, row: Mapping[str, Any], what: str) -> float:
    """What the run's training took, in seconds, joules, images or operations; NaN where that is not known."""
    if what in ("seconds", "energy_joules"):
        return np.nan if row[what] is None else row[what]
    seen = metrics.logged(run).last("images_seen")
    return np.nan if seen is None else seen * (1.0 if what == "images_seen" else tables.flops_per_image(run))


def show_table(asked: Asked) -> None:
    st.header("Each one's accuracy and cost")
    lines = [_line(asked, label, rows) for label, rows in asked.of_label.items()]
    printed(lines, "Accuracy and cost of each", strong="Mean ± std")
    st.caption(
        f"N: seeds; runs of one seed count as their mean; {words.WITHOUT_SPREAD}; one beside (N = …) is over those alone of "
        "which it is known."
    )
    costs = {name: part(run.results(), "cost") for name, run in asked.named.items()}
    told = [stats.AGGREGATE, f"95 % interval: {stats.INTERVAL}"]
    told += words.protocols((name, part(run.results(), asked.measure)) for name, run in asked.named.items())
    told += words.protocols(costs.items())
    told += words.once((name, str(cost.get("flops_protocol") or "")) for name, cost in costs.items()) or [
        "operations: not counted for these runs; python -m sslcore evaluate counts them"
    ]
    told += words.once((name, str(cost.get("device") or "")) for name, cost in costs.items())
    with st.expander("How these numbers are obtained", key="evidence_how", bind="query-params"):
        for what in told:
            st.text(what)


def _line(asked: Asked, label: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A label's line of the table, over its seeds."""
    shown = summary.mean(asked.measure, rows)
    costs = {what: [(row["seed"], spent(asked.named[row["run"]], row, what)) for row in rows] for what in COSTS}
    costs |= {what: [(row["seed"], row[what]) for row in rows] for what in ("images_per_second", "peak_memory_bytes")}

    def mean(what: str, said: Callable[[float | None, float | None], str]) -> str:
        """Over the seeds of which it is known, and how many these are where they are not all."""
        known = stats.of_each_seed((seed, value) for seed, value in costs[what] if value is not None and np.isfinite(value))
        made = stats.aggregate(known)
        return said(made and made.mean, made and made.std) + words.fewer(len(known), shown.n)

    return {
        "Method": label,
        "N": str(shown.n),
        "Mean ± std": words.share(shown.mean, shown.std),
        "95 % interval": "–" if shown.low is None else f"{words.tenths(100 * shown.low)} – {words.tenths(100 * shown.high)} %",
        "Training": mean("seconds", words.duration),
        "Images/s": mean("images_per_second", words.speed),
        "Peak memory": mean("peak_memory_bytes", words.size),
        "Images seen": mean("images_seen", _whole),
        "Operations": mean("flops", words.operations),
        "Energy": mean("energy_joules", words.energy),
    }


def _whole(number: float | None, std: float | None) -> str:
    return "–" if number is None else words.with_spread(f"{number:,.0f}", f"{std or 0:,.0f}")


def show_chart(asked: Asked) -> None:
    st.header("Accuracy against cost")
    with st.container(horizontal=True, gap="medium"):
        known = [name for name in COSTS if name != "energy_joules" or any(row[name] is not None for row in asked.rows)]
        what = link.one_of("Cost", known, default="seconds", format_func=COSTS.get, key="evidence_cost")
        marks = link.one_of("Marks", ["mean of seeds", "each run"], default="mean of seeds", key="evidence_marks")
    taken = {row["run"]: spent(asked.named[row["run"]], row, what) for row in asked.rows}
    if points := _points(asked, taken, single=marks == "each run"):
        title = f"Accuracy by {asked.measured_by}"
        called, unit = COSTS[what], 1000.0 if what == "energy_joules" else 1.0
        if what == "seconds":
            name, unit = words.time_unit(max(point.cost for point in points))
            called = f"{called}, {name}"
        plot(
            evidence.cost(points, title, called, unit),
            key="evidence_cost_chart",
            height=430,
            alt=f"{title} against {COSTS[what]}, with the Pareto line",
        )
        st.caption(
            (
                "Marks: single runs."
                if marks == "each run"
                else "Marks: means over the seeds whose cost is known; horizontal bars: ± one "
                f"standard deviation; vertical bars: the 95 % interval, {stats.INTERVAL}."
            )
            + (" Time depends on the machine and on what else it did; images and operations do not." if what == "seconds" else "")
            + (f" Operations: {budget.FLOPS}." if what == "flops" else "")
        )
    if what == "seconds" and (said := unlike_times(asked.rows)):
        st.caption(words.plain(said))
    if n := sum(not np.isfinite(cost) for cost in taken.values()):
        st.caption(f"{words.count(n, 'run')} without this cost left out" + (f"; {UNCOUNTED}" if what == "flops" else "."))


def _points(asked: Asked, taken: Mapping[str, float], single: bool) -> list[evidence.Point]:
    """A point a label or, `single`, a run, of those whose cost is known."""
    points, colours = [], probe.tones(asked.rows)
    for label, rows in asked.of_label.items():
        own = [row for row in rows if np.isfinite(taken[row["run"]])]
        look = {"label": label, "method": rows[0]["method"], "colour": colours[label]}
        if single:
            points += [
                evidence.Point(**look, cost=taken[row["run"]], worth=row[asked.measure], n=1, name=row["run"]) for row in own
            ]
        elif own:
            worth = summary.mean(asked.measure, own)
            cost = stats.aggregate(stats.of_each_seed((row["seed"], taken[row["run"]]) for row in own))
            spread = {"cost_std": cost.std, "low": worth.low, "high": worth.high}
            points.append(evidence.Point(**look, cost=cost.mean, worth=worth.mean, n=worth.n, **spread))
    return points
