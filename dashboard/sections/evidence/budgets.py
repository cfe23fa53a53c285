"""What each had reached when all had spent the same: a column a budget."""

from collections.abc import Mapping

import streamlit as st

from dashboard import link, tables, words
from dashboard.printed import printed
from dashboard.sections.evidence.asked import Asked
from dashboard.unlike import VOTE_WATCHED, unlike_samples, unlike_votes
from sslcore.analysis import budget, stats
from sslcore.config import get
from sslcore.experiment import Run
from sslcore.wording import series

SHARES = {"25 %": 0.25, "50 %": 0.5, "100 %": 1.0}
READINGS = {"knn": "kNN while training", "loss": "training loss"}
EVERY = {"knn": "evaluate.knn_every", "loss": "evaluate.log_every"}  # how often each is logged

Column = dict[str, stats.Aggregate | None]  # label -> what its runs had reached


def show(asked: Asked) -> None:
    st.header("At equal budgets")
    with st.container(horizontal=True, gap="medium"):
        reading = link.one_of("Read", list(READINGS), default="knn", format_func=READINGS.get, key="evidence_read")
        share = SHARES[link.one_of("Of the cheapest's budget", list(SHARES), default="100 %", key="evidence_share")]
    finished = {name: run for name, run in asked.named.items() if run.status().state == "finished"}
    columns = _columns(asked, finished, reading, share)
    if not columns:
        st.text("No finished run has logged anything that could be read at a budget.")
        return
    n = {label: max(made[label].n if made[label] else 0 for made in columns.values()) for label in asked.of_label}
    printed(
        [
            {"At equal": label, "N": str(n[label])}
            | {heading: _said(made[label], n[label], reading) for heading, made in columns.items()}
            for label in n
        ],
        "Accuracy at equal cost",
    )
    counted = any(heading.startswith("Operations") for heading in columns)
    st.caption(_cautions(finished, reading, counted))
    with st.expander("How these numbers are obtained", key="evidence_budgets_how", bind="query-params"):
        st.text(f"{words.capital(budget.PROTOCOL)}.")
        st.text("Means ± standard deviations over seeds; finished runs alone.")
        if reading == "knn":
            st.text(
                "kNN: of h while training, as Compare shows it: of at most evaluate.sample test images and evaluate.knn_train "
                "training images. Where there are more, the kNN of all, at the end, is another number."
            )
        if counted:
            st.text("Equal operations are equal compute; equal time depends on the machine.")


def _columns(asked: Asked, finished: Mapping[str, Run], reading: str, share: float) -> dict[str, Column]:
    """Heading -> column, of the budgets that every finished run logged."""
    logged = {curve.run: curve for curve in tables.curves(finished.values())}
    columns = {}
    for column, called in budget.BUDGETS.items():
        least = budget.common(curve[column].astype(float) for curve in logged.values())
        if least is None:
            continue
        reached = {
            run: value
            for run, curve in logged.items()
            if (value := budget.read(curve[column].astype(float), curve[reading].astype(float), share * least)) is not None
        }
        columns[f"{called.capitalize()}: {_amount(column, share * least)}"] = {
            label: stats.aggregate(stats.of_each_seed((row["seed"], reached.get(row["run"])) for row in rows))
            for label, rows in asked.of_label.items()
        }
    return columns


def _amount(column: str, amount: float) -> str:
    told = {"seconds": words.duration, "flops": words.operations}.get(column, lambda n: f"{n:,.0f}" if n >= 10 else f"{n:.3g}")
    return told(amount)


def _said(made: stats.Aggregate | None, n: int, reading: str) -> str:
    if made is None:
        return "–"
    if reading == "knn":
        told = words.share(made.mean, made.std)
    else:
        told = f"{made.mean:.3f}" + (f" ± {made.std:.3f}" if made.std else "")
    return told + words.fewer(made.n, n)


def _cautions(finished: Mapping[str, Run], reading: str, counted: bool) -> str:
    """How the table is to be read. `counted`: all runs' operations are known."""
    told = [
        "N: seeds read; –: nothing was logged that early. A run that is read before its end is read at a learning rate that is "
        "not yet annealed: a run that ends there may have come further, or less far."
    ]
    intervals = sorted({get(run.config, EVERY[reading]) for run in finished.values()})
    if len(intervals) > 1:
        told.append(
            f"Not read equally often ({EVERY[reading]} {series(map(str, intervals))}): a run that is read more seldom is "
            "read further before the budget."
        )
    if reading == "knn":
        configs = [run.config for run in finished.values()]
        told += filter(None, [unlike_samples(configs), unlike_votes(configs, VOTE_WATCHED)])
    else:
        told.append(
            "Each method's loss is its own, and those of MoCo and SimCLR also rise with the number of negatives and change with "
            "the temperature, whatever was learnt: compare runs of one method that have these in common."
        )
    if not counted:
        told.append("Equal operations need every run's count of operations; `python -m sslcore evaluate` makes it.")
    return " ".join(told)
