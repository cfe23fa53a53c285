"""Ablations: what a setting does to each method, over seeds; what the grid lacks and would cost, and a button that runs it."""

import pandas as pd
import streamlit as st

from dashboard import access, change, forms, head, link, unprobed, words
from dashboard.figures import heat, style
from dashboard.figures.ablation import against, label
from dashboard.figures.axes import heading, said, title
from dashboard.figures.measures import COSTS, MEASURES
from dashboard.plot import plot
from dashboard.printed import printed
from dashboard.sections.new import what
from dashboard.unlike import IN_OWN_VIEWS, unlike_samples, unlike_times, unlike_views, unlike_votes
from sslcore import plan
from sslcore.analysis import ablation
from sslcore.config import OPTIONS
from sslcore.launch import engine_of, slots
from sslcore.results import part
from sslcore.status import ACTIVE, RESUMABLE
from sslcore.wording import series

TICK = 5  # seconds between two looks at the folders, while something runs
CHART, COST, HEAT = 460, 330, 380  # heights in pixels
VALUES, DROP = "as measured", "drop from the best"

experiment, runs = head.of_results("Ablations")
head.say_cautions(runs)
entries = ablation.entries(experiment, runs)
axes = ablation.axes(entries)


# -- Nothing varies: what an ablation is, and some to start from ------------------------------


@st.cache_data(show_spinner=False)
def ready_made() -> dict[str, tuple[str, str, str]]:
    """(title, question, how many runs) of each ablation that comes with the installation, by its preset's name."""
    ready = {name: plan.read(name) for name in plan.presets()}
    return {
        name: (spec.title, spec.question, words.count(len(plan.plan(spec).configs), "run"))
        for name, spec in ready.items()
        if set(spec.axes) - {"method", "seed"}
    }


def offer_presets() -> None:
    """The ready-made ablations, each with a link to the form that launches it."""
    on_these = what.params(runs)
    with st.grid(3, min_column_width=300, gap="medium"):
        for name, (title, question, n) in ready_made().items():
            with st.container(border=True):
                st.markdown(f"**{words.plain(title)}**")
                st.text(question)
                link.page_link("new", f"{n}: look and launch", new_preset=name, **on_these)


if not axes:
    st.info("Nothing that decides a result varies in this experiment but the method and the seed.", icon=":material/info:")
    st.text(
        "An ablation changes one thing, such as the batch size, and leaves the rest as it is, to see what that thing does. "
        "These are ready-made; each takes a laptop ten minutes to an hour, and every value in them can be changed before it "
        "starts."
    )
    offer_presets()
    st.stop()


# -- What the reader chooses ------------------------------------------------------------------


with st.container(border=True), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
    own_axes = ablation.axes([entry for entry in entries if entry.experiment == experiment.name])
    axis = link.choice("Against", axes, (own_axes or axes)[0], key="ablations_axis", say=heading, width=240)
    known = [name for name in MEASURES if any(entry.numbers[name] is not None for entry in entries)]
    at_first = known[0] if known else "linear"
    measure = link.choice(
        "Measure", list(MEASURES), at_first, key="ablations_measure", say=lambda name: MEASURES[name].title, width=170
    )
    reading = link.one_of(
        "Reading",
        [VALUES, DROP],
        default=VALUES,
        key="ablations_reading",
        help=(
            "A drop is counted from the line's own best mean, in percentage points: how much a method "
            "minds, whatever its level. Accuracies alone have it."
        ),
    )
    others = [other for other in axes if other != axis]
    second = (
        st.selectbox(
            "Heat map with",
            others,
            index=None,
            format_func=heading,
            placeholder="none",
            key="ablations_second",
            bind="query-params",
            width=240,
        )
        if others
        else None
    )
    drop = reading == DROP and MEASURES[measure].share
    curves = [curve for curve in ablation.published() if curve.axis == axis]
    laid_under = st.toggle(
        "Published curves",
        key="ablations_published",
        bind="query-params",
        disabled=not (drop and curves),
        help=(
            "Drops of a linear probe that papers report on ImageNet, dashed or as hollow marks. There are some for the batch "
            "size, the negatives, the momentum and the augmentations, to be read as drops from the best only."
        ),
    )


# -- Live: the charts, the table, what is missing ------------------------------------------------


def is_active() -> bool:
    return any(run.status().state in ACTIVE for run in runs)


def names_there() -> set[str]:
    return {run.name for run in experiment.runs()}


active, there_at_first = is_active(), names_there()


@st.fragment(run_every=TICK if active else None)
def draw() -> None:
    if (active and not is_active()) or names_there() != there_at_first:
        st.rerun()  # the last run has ended: stop looking; or elsewhere runs were made or deleted
    entries = ablation.entries(experiment, runs)
    cells = ablation.cells(entries, [axis])
    missing = [entry for entry in entries if entry.numbers[measure] is None]
    of_grid = "shown" if any(entry.experiment != experiment.name for entry in entries) else "of the grid"
    parts = [f"{len(entries) - len(missing)} of {words.count(len(entries), 'run')} {of_grid} have this number"]
    if len(missing) == len(entries):
        parts += filter(None, [unprobed.note(filter(None, (run.results() for run in runs)))])
    level = [entry for cell in cells if cell.at[0] is None for entry in cell.measured(measure).missing]
    if hollow := len(missing) - len(level):
        parts.append(f"hollow marks at the bottom edge: {words.count(hollow, 'run')}")
    if level:
        whose = series(dict.fromkeys(style.title(entry.config.method) for entry in level))
        parts.append(f"without a mark: {words.count(len(level), 'run')} of {whose}, to which the axis does not apply")
    st.caption(words.plain(" · ".join(parts)))
    data = pd.DataFrame(ablation.records(cells, [axis]))
    rule = [*ablation.learning_rate_rule(entries), *ablation.batch_as_negatives(entries, axis)]
    under = curves if laid_under else []
    figure = against(cells, axis, measure, drop=drop, published=under, notes=rule)
    plot(
        figure,
        key="ablations_main",
        height=CHART + 16 * len(rule) + 20 * len(under),
        data=data,
        alt=f"{MEASURES[measure].title} against {title(axis)}, a line a method with its spread over seeds",
    )
    st.caption(_reading(cells))
    if second:
        draw_heat(entries, rule)
    if told := unlike_times([part(run.results(), "cost") for run in runs]):
        st.caption(words.plain(told))
    with st.grid(2, min_column_width=340, gap="medium"):
        for name, cost in COSTS.items():
            plot(
                against(cells, axis, name),
                key=f"ablations_{name}",
                height=COST,
                data=data,
                alt=f"{cost.title} against {title(axis)}, a line a method",
            )
    draw_missing(entries)
    draw_table([axis, second] if second else [axis], entries)


def _reading(cells: list[ablation.Cell]) -> str:
    """How to read the chart, in words."""
    shown = MEASURES[measure]
    told = [f"{shown.title}: {shown.how}."]
    if drop:
        told.append(
            "0 is the highest mean of a line itself; a single seed may lie above it. The highest of several is partly luck: all "
            "drops are somewhat too large, and more so where seeds differ more."
        )
    level = list(dict.fromkeys(style.title(cell.method) for cell in cells if cell.at[0] is None and cell.measured(measure).n))
    if level:
        told.append(f"The axis does not apply to {series(level)}: a level line is the mean over the seeds of one setting.")
    if drop and laid_under and curves:
        told.append(
            "Dashed lines, or hollow marks beside the others: published drops of a linear probe, ImageNet with ResNet-50; only "
            "their shape can be compared."
        )
    configs = [entry.config for cell in cells for entry in cell.entries]
    if measure in IN_OWN_VIEWS:
        told += [unlike_samples(configs), unlike_views(configs)]
    if measure == "knn":
        told.append(unlike_votes(configs))
    return words.plain(" ".join(filter(None, told)))


def draw_heat(entries: list[ablation.Entry], rule: list[str]) -> None:
    cells = [cell for cell in ablation.cells(entries, [axis, second]) if None not in cell.at]
    st.header(f"{MEASURES[measure].title}: {title(axis)} and {title(second)}")
    absent = [style.title(method) for method in ablation.by_method(entries) if method not in {cell.method for cell in cells}]
    st.caption(words.plain(". ".join([*rule, *([f"One of the two does not apply to {series(absent)}"] if absent else [])])))
    ends = heat.ends(cells, measure, drop)
    data = pd.DataFrame(ablation.records(cells, [axis, second]))
    with st.grid(3, min_column_width=340, gap="medium"):
        for k, own in enumerate(ablation.lines(cells).values()):
            plot(
                heat.heat(own, [axis, second], measure, ends, drop=drop),
                key=f"ablations_heat_{k}",
                height=HEAT,
                data=data,
                alt=(f"Heat map of {MEASURES[measure].title} over {title(axis)} and {title(second)} for {label(own[0])}"),
            )


def draw_table(along: list[str], entries: list[ablation.Entry]) -> None:
    st.header("The grid")
    rows = []
    for cell in ablation.cells(entries, along):
        row = {"method": label(cell), **{title(name): said(name, at) for name, at in zip(along, cell.at)}}
        lacks = cell.measured(measure)
        for name in ("linear", "knn"):
            accuracy = cell.measured(name)
            row[MEASURES[name].title] = words.share(accuracy.mean, accuracy.std) + words.fewer(accuracy.n, lacks.n)
        time, memory = cell.measured("seconds"), cell.measured("peak_memory_bytes")
        rows.append(
            row
            | {
                "N": str(lacks.n),
                "training": words.duration(time.mean) + words.fewer(time.n, lacks.n),
                "peak memory": words.size(memory.mean) + words.fewer(memory.n, lacks.n),
                "missing": lacks.states or "–",
            }
        )
    printed(rows, "Mean and spread of each cell of the grid, and what is missing")
    st.caption(
        f"Mean ± standard deviation over the seeds; training time and peak memory: means. N: seeds that have a number for "
        f"{MEASURES[measure].title}; what fewer have is marked."
    )
    link.page_link("probe", "How these numbers are obtained", experiment=experiment.name)


def draw_missing(entries: list[ablation.Entry]) -> None:
    """What the grid lacks: what is on the way, and what would have to be run."""
    st.header(
        f"What is missing of {words.plain(experiment.name)}"
        if len({entry.experiment for entry in entries}) > 1
        else "What is missing"
    )
    if refused:
        st.error(words.plain(refused))
    try:
        experiment.read_spec()
    except ValueError as error:
        st.warning(words.plain(f"What its grid lacks is not known: {error}."), icon=":material/draft:")
        return
    own = [entry for entry in entries if entry.experiment == experiment.name]
    waiting = [entry for entry in own if entry.state in ACTIVE]
    if waiting:
        states = [
            f"{count} {state}" for state in ("running", "queued") if (count := sum(entry.state == state for entry in waiting))
        ]
        st.caption(f"On the way: {', '.join(states)}; this page follows.")
    missing = ablation.to_run(own)
    if not missing:
        others = len(experiment.runs()) - len(own)
        left_out = f"shown has a result; {words.count(others, 'other')} of the grid: hidden, or their config cannot be read."
        every = f"Every run {left_out if others else 'of the grid has a result.'}"
        st.text(every if all(entry.measured for entry in own) else "Nothing else.")
        return
    offer_missing(missing, entries)


def offer_missing(missing: list[ablation.Entry], entries: list[ablation.Entry]) -> None:
    """The missing runs, of which the reader may choose some; what these would cost, and the button that runs them."""
    names = [entry.run for entry in missing]
    kept = [name for name in st.session_state.get("ablations_only", []) if name in names]
    if kept != st.session_state.get("ablations_only", kept):
        st.session_state["ablations_only"] = kept
    everything = "the one run" if len(names) == 1 else f"all {len(names)}; choose some to narrow"
    chosen = st.multiselect("Run only", names, key="ablations_only", placeholder=everything)
    asked = [entry for entry in missing if not chosen or entry.run in chosen]
    seconds = ablation.seconds_to_run(asked, entries)
    printed([{"run": entry.run, "state": entry.why} for entry in asked], "The runs that are missing")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Run {words.count(len(asked), 'missing run')}",
            type="primary",
            icon=":material/play_arrow:",
            key="ablations_run",
            **access.lock(),
        ):
            try:
                change.complete(experiment, [entry.run for entry in asked])
            except (OSError, ValueError, RuntimeError) as error:
                st.session_state["ablations_refused"] = str(error)
            st.rerun()
        together = 1 if engine_of(experiment) == "slurm" else slots.at_once([entry.config for entry in asked])
        st.caption(_cost(seconds, together, any(entry.state in RESUMABLE for entry in asked)))


def _cost(seconds: float | None, together: int, resumed: bool) -> str:
    if seconds is None:
        return (
            "What they would cost is not known: no run with their encoder and image size has finished on this machine yet, or "
            "this dashboard cannot read the data set."
        )
    going_on = " Those that have a checkpoint go on from it." if resumed else ""
    return (
        f"{words.training(seconds, together)}: the images they have yet to see, by the images a second of the finished runs most "
        f"like them. Evaluation comes on top.{going_on}"
    )


refused = st.session_state.pop("ablations_refused", None)
draw()


# -- More values ------------------------------------------------------------------------------

spec = experiment.spec()
growing = [name for name in dict.fromkeys([*spec.axes, *plan.IN_EVERY_NAME]) if name in OPTIONS]
stands = {name: ", ".join(map(forms.say, spec.axes.get(name, []))) or "one value" for name in growing}
added = st.session_state.pop("ablations_added", "")
if added:
    st.session_state["ablations_grow_values"] = ""
more = st.expander("Add values to an axis", key="ablations_add", icon=":material/add:")
with more, st.form("ablations_grow", border=False):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        grown = st.selectbox(
            "Axis",
            growing,
            growing.index(axis) if axis in growing else 0,
            format_func=forms.label,  # not its values: once they changed, the box would stand on another axis
            key="ablations_grow_axis",
        )
        typed = st.text_input("More values, with commas", key="ablations_grow_values", placeholder="one, another")
        submitted = st.form_submit_button("Add", key="ablations_grow_add", **access.lock())
    st.caption(words.plain(f"{added}The grid has {'; '.join(f'{forms.label(name)}: {of}' for name, of in stands.items())}."))
    st.caption("The grid grows, and its new cells appear above as missing. Nothing starts yet.")
    if submitted:
        try:
            growth = change.grow(experiment, {grown: forms.values(typed or "", grown)})
        except (OSError, ValueError) as error:
            st.error(words.plain(f"They could not be added: {error}"))
        else:
            st.session_state["ablations_added"] = f"Added to {forms.label(grown)}: {typed}. "
            st.session_state["ablations_growth"] = experiment.name, growth
            st.rerun()

of, growth = st.session_state.get("ablations_growth", ("", None))
if of == experiment.name and growth.stands(experiment):
    with more:
        if st.button("Take them out again", icon=":material/undo:", key="ablations_take_back", **access.lock()):
            try:
                change.take_back(experiment, growth)
            except (OSError, ValueError) as error:
                st.error(words.plain(f"They could not be taken out: {error}"))
            else:
                st.rerun()

with st.expander("Other ready-made ablations", key="ablations_ready", icon=":material/science:"):
    offer_presets()
