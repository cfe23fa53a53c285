"""Compare: the methods' loss curves side by side, the shared metrics overlaid, and what differs between the runs."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard import head, link, tables, words
from dashboard.figures import curves, style
from dashboard.plot import plot, tame
from dashboard.printed import printed
from dashboard.unlike import unlike_times, watched
from sslcore import launch
from sslcore.analysis.order import in_order
from sslcore.experiment import Store
from sslcore.launch.slots import HOST
from sslcore.results import part
from sslcore.status import ACTIVE, Status

X_WORDS = {"step": "Step", "epoch": "Epoch", "images_seen": "Images seen", "seconds": "Time", "flops": "Operations"}
TICK = 1  # seconds between two looks at the folders, while something runs
PANEL, METRIC = 340, 320  # heights in pixels, and more for a long legend; fixed, so that nothing jumps as data come in

experiment, runs = head.of_results("Compare")

# -- What the reader chooses ---------------------------------------------------------------

named = tables.named(in_order(runs))


def why_not(name: str) -> str:
    """Why a run that the address names is not shown."""
    there = tables.named(run for each in [experiment, *link.others(experiment)] for run in each.runs())
    return "no such run" if name not in there else "hidden" if there[name].readable_config else "cannot be read"


if lacking := [name for name in st.query_params.get_all("compare_runs") if name not in named]:
    told = ", ".join(f"{name} ({why_not(name)})" for name in lacking)
    st.warning(words.plain(f"Of the runs that the address names, not shown: {told}."))
with st.container(border=True):
    everything = "the one run" if len(named) == 1 else f"all {len(named)} runs; choose some to narrow"
    chosen = st.multiselect("Runs", list(named), key="compare_runs", bind="query-params", placeholder=everything)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        x = link.one_of("Horizontal axis", X_WORDS, default="step", format_func=X_WORDS.get, key="compare_x")
        layout = link.one_of("Loss", ["own axes", "one axis"], default="own axes", key="compare_loss")
        seeds = link.one_of("Seeds", ["mean ± std", "each run"], default="mean ± std", key="compare_seeds")
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.99,
            0.0,
            0.01,
            key="compare_smoothing",
            bind="query-params",
            width=160,
            help=(
                "Exponential moving average: the weight of the past at each logged step. What was logged stays visible, faint."
            ),
        )
runs = [run for name, run in named.items() if not chosen or name in chosen]
spread = seeds == "mean ± std"
methods = list(dict.fromkeys(run.config.method for run in runs))
labels = list(tables.labels(runs).values())  # of each run, in their order
how = watched(runs)
of_method = {method: [label for run, label in zip(runs, labels) if run.config.method == method] for method in methods}


# -- Live: the curves ----------------------------------------------------------------------


def statuses() -> list[Status]:
    return [run.status() for run in runs]


active = any(status.state in ACTIVE for status in statuses())


@st.fragment(run_every=TICK if active else None)
def draw() -> None:
    now = statuses()
    moving = any(status.state in ACTIVE for status in now)
    if active and not moving:
        st.rerun()  # the last run has ended: stop looking
    logged = tables.curves(runs)
    means = spread and len({curve.label for curve in logged}) < len(logged)
    st.caption("\n\n".join(map(words.plain, _told(logged, now, means))))  # a single one: what comes to it draws no chart anew
    if not logged:
        st.info(curves.NOTHING if moving else curves.NEVER, icon=":material/hourglass_empty:")
        return
    st.header("Training loss")
    _draw_losses(logged)
    st.header("What can be compared")
    crowd = "The single runs behind the means are not drawn, as there are so many; “each run” draws them."
    st.caption(f"{how} {crowd}" if means and len(logged) > curves.CROWD else how)
    _draw_metrics(logged)


def _told(logged: Sequence[tables.Curve], now: Sequence[Status], means: bool) -> list[str]:
    """What is to be said of the curves, in paragraphs. `means`: some of them are drawn as the mean over seeds."""
    told = [_in_words(len(logged), now), curves.MEANS if means else ""]
    if means and smoothing:
        told.append("Smoothed curves lie closer together than what was measured, and the band with them.")
    if x == "flops" and (uncounted := sum(np.isnan(curve.flops_per_image) for curve in logged)):
        told.append(
            f"{words.count(uncounted, 'run')} without a count of operations: it is made when a run is probed, and python -m "
            "sslcore evaluate adds it."
        )
    if x == "seconds":
        told.append(
            unlike_times([{**part(run.results(), "cost"), "device": (run.environment() or {}).get("device")} for run in runs])
        )
    if spread:
        still = {label for label, status in zip(labels, now) if status.state in ACTIVE}
        if alone := curves.going_on_alone([curve for curve in logged if curve.label not in still]):
            told.append(f"{alone} “each run” draws it in full.")
    return [one for one in told if one]


def _draw_losses(logged: Sequence[tables.Curve]) -> None:
    if layout == "one axis":
        plot(
            curves.loss(logged, x, smoothing, spread),
            key="compare_loss_all",
            height=PANEL + 80 + style.legend_room(labels, 740),
            alt=f"Training loss of all methods by {curves.X_AXES[x]}, each with its chance level",
        )
        return
    st.caption(curves.LOSSES)
    panel = PANEL + max(style.legend_room(of_label, 340) for of_label in of_method.values())
    with st.grid(len(methods), min_column_width=250, gap="medium"):
        for method in methods:
            own = tuple(curve for curve in logged if curve.method == method)
            plot(
                curves.loss(own, x, smoothing, spread, title=style.title(method)),
                key=f"compare_loss_{method}",
                height=panel,
                alt=f"Training loss of {style.title(method)} by {curves.X_AXES[x]}, with its chance level",
            )


def _draw_metrics(logged: Sequence[tables.Curve]) -> None:
    with st.grid(2, min_column_width=340, gap="medium"):
        for name, (title, _, _) in curves.METRICS.items():
            if any(curve.has(name) for curve in logged):
                plot(
                    curves.metric(logged, name, x, smoothing, spread),
                    key=f"compare_{name}",
                    height=METRIC + style.legend_room(labels, 540),
                    alt=f"{title} by {curves.X_AXES[x]}, all runs overlaid",
                )


def _in_words(logged: int, statuses: Sequence[Status]) -> str:
    """How much is shown, how much of it still moves, and what ended early."""
    parts = [words.count(len(runs), "run")]
    parts += [f"{len(runs) - logged} without anything logged"] if logged < len(runs) else []
    if moving := [status for status in statuses if status.state in ACTIVE]:
        parts.append(f"{len(moving)} still to finish; this page follows")
    waiting = [status for status in moving if status.state == "queued" and status.engine != "slurm"]
    if any(status.queued_on in (None, HOST) for status in waiting) and not launch.agent_alive(Store()):
        parts.append("nothing starts those that are queued: Watch does")
    parts += words.lacking(status.state for status in statuses if status.state not in ACTIVE)
    return " · ".join(parts)


draw()
head.say_cautions(runs)

# -- What differs ----------------------------------------------------------------------------

st.header("Settings")
every = st.toggle("Show all settings", key="compare_all", bind="query-params")
settings = tables.settings(runs, every)
if settings.empty:
    st.text("One run: nothing to differ from." if len(runs) == 1 else "These runs have the same settings.")
elif every:
    st.caption("All settings. “–” is none, or another method's.")
    st.dataframe(settings.rename(columns=tame).rename_axis("setting").map(tame), height=700, alt="Settings of the runs")
else:
    st.caption("Only what is not the same in all runs; the rest they share.")
    printed(settings.T.reset_index(names="runs").to_dict("records"), "Settings of the runs")
