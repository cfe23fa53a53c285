"""Probe: how much of the labels can be read from h, beside what an untrained encoder and the pixels allow."""

from collections.abc import Iterable

import streamlit as st

from dashboard import access, change, forms, head, link, questions, shell, tables, unprobed, words
from dashboard.figures import labels, probe, style
from dashboard.plot import plot
from dashboard.printed import printed
from dashboard.unlike import references, unlike_samples, unlike_times, unlike_votes
from sslcore import datasets
from sslcore.analysis import gains, pairs, stats, summary
from sslcore.analysis.order import in_order
from sslcore.launch import transfer
from sslcore.naming import told_apart
from sslcore.results import part, wording

experiment, runs = head.of_results("Probe")
runs = tables.named(in_order(runs))
results = {name: result for name, run in runs.items() if (result := run.results())}
states = [run.status().state for name, run in runs.items() if name not in results]
probed = {name: result for name, result in results.items() if result.get("linear")}
if not probed:
    unprobed.say(
        list(runs.values()),
        "What needs no labels (alignment, uniformity, effective rank) is on Compare. To probe, give images in one folder a "
        "class.",
    )
    st.stop()
head.say_cautions(runs.values())
if lacking := words.lacking(states):
    st.caption(" · ".join([f"{len(probed)} of {words.count(len(runs), 'run')} probed so far", *lacking]))

rows = [row for row in tables.summary(runs.values()) if row["run"] in probed]

# -- The table -------------------------------------------------------------------------------


def accuracy(folded: dict, name: str) -> str:
    """With its spread, and of how many seeds it is where the linear probe is of more."""
    return words.share(folded[name], folded[f"{name}_std"]) + words.fewer(folded[f"{name}_n"], folded["linear_n"])


def line(folded: dict) -> dict[str, str]:
    """One line of the table: a label, over its seeds."""
    low, high = folded["linear_low"], folded["linear_high"]
    return {
        "Method": folded["label"],
        "N": str(folded["linear_n"]),
        "Linear probe": accuracy(folded, "linear"),
        "95 % interval": "–" if low is None else f"{words.tenths(100 * low)} – {words.tenths(100 * high)} %",
        "kNN": accuracy(folded, "knn"),
        "Untrained: linear": accuracy(folded, "random_linear"),
        "Untrained: kNN": accuracy(folded, "random_knn"),
        "Pixels: kNN": accuracy(folded, "pixels_knn"),
        "Training": words.cost(folded, "seconds", folded["linear_n"]),
        "Images/s": words.cost(folded, "images_per_second", folded["linear_n"]),
        "Memory": words.cost(folded, "peak_memory_bytes", folded["linear_n"]),
    }


printed([line(folded) for folded in summary.by_seed(rows)], "Accuracy and cost of each method", strong="Linear probe")
configs = [runs[name].config for name in probed]
unlike = [references(configs), unlike_votes(configs), unlike_times(rows)]
if any(unlike):
    st.caption(words.plain(" ".join(unlike)))
compared, apart = pairs.of_methods(runs.values())
if compared or apart:
    st.text(f"{pairs.said_by(compared)}:")
    st.markdown("\n".join(f"- {words.plain(said)}" for said in (*(pair.sentence for pair in compared), *apart)))
    if own := pairs.said_unequal(compared):
        st.caption(words.plain(own))
    link.page_link("evidence", "How that was tested, and at what cost", experiment=experiment.name)
if learnt := gains.gains(runs.values()):
    st.text("What training has added, by the linear probe:")
    st.markdown("\n".join(f"- {words.plain(said)}" for said in learnt))

with st.expander("How these numbers are obtained", key="probe_how", bind="query-params"):
    st.text(f"N: seeds; above 1, numbers are the mean ± the standard deviation over them; {words.WITHOUT_SPREAD}.")
    st.text(f"95 % interval: {stats.INTERVAL}. –: all seeds came out the same, which tells nothing of another.")
    for title, name in (
        ("Linear probe", "linear"),
        ("kNN", "knn"),
        ("Untrained", "baselines"),
        ("Training, speed, memory", "cost"),
    ):
        for told in words.protocols((run, result.get(name)) for run, result in probed.items()):
            st.text(f"{title}: {told}.")
    for told in questions.pixels(probed):
        st.text(f"Pixels: {told}.")
    st.text(f"What training has added: {gains.PROTOCOL}; {stats.OVER_SEEDS}. {gains.LEARNT}.")

# -- The figures -----------------------------------------------------------------------------


def say_each(protocols: Iterable[tuple[str, str]]) -> None:
    """`words.once`, as sentences."""
    for told in words.once(protocols):
        st.caption(words.plain(f"{words.capital(told)}."))


names = list(probe.by_label(rows))
n_labels, legend = len(names), style.legend_room(names, 540)
plot(
    probe.accuracy(rows),
    key="probe_accuracy",
    height=probe.accuracy_height(n_labels),
    alt=probe.ALT["accuracy"],
)
st.caption(probe.BARS)
say_each((run, probe.commonest(result["linear"])) for run, result in probed.items())


@st.fragment
def show_confusion(confused: list[str]) -> None:
    """The confusion matrix of one run, which the reader chooses: nothing else on the page depends on it."""
    name = st.selectbox("Confusion matrix of", confused, key="probe_run", bind="query-params")
    linear = probed[name]["linear"]
    plot(
        probe.confusion(linear["confusion"], linear["classes"], f"What {name} confuses"),
        key="probe_confusion",
        height=500,
        alt=f"Confusion matrix of the linear probe of {name}: share of each true class that was predicted as each class",
    )


grid = st.grid(2, min_column_width=400, gap="large")
with grid.cell():
    per_class = {name: result["linear"]["per_class"] for name, result in probed.items() if result["linear"].get("per_class")}
    n_classes = len(probe.classes_of(per_class))
    if per_class:
        plot(
            probe.per_class(rows, per_class),
            key="probe_classes",
            height=max(460, probe.per_class_height(n_classes)) + legend,
            alt=probe.ALT["per_class"],
        )
        if said := probe.which_classes(rows, n_classes):
            st.caption(said)
with grid.cell():
    confused = [name for name, result in probed.items() if result["linear"].get("confusion")]
    if confused:
        show_confusion(confused)

# -- Few labels ------------------------------------------------------------------------------

st.header("With few labels", anchor="few-labels")
few = [name for name in labels.FEW if labels.has(probed, name)]
if few:
    grid = st.grid(2, min_column_width=400, gap="large")
    for name in few:
        with grid.cell():
            plot(
                labels.few_labels(rows, probed, name),
                key=f"probe_{name}",
                height=400 + legend,
                alt=labels.ALT[name],
            )
    for name in few:
        say_each((run, wording(result, f"{name}_protocol")) for run, result in probed.items())
if "label_efficiency" not in few:
    st.text(
        "These runs were not probed with a share of the labels. python -m sslcore evaluate measures it, unless Labels, among a "
        "run's settings for evaluation, is off."
    )
if "fine_tuning" not in few:
    st.caption(
        "Fine-tuning with few labels, against training from scratch, is measured where New experiment is asked for it: "
        "Evaluation, Finetune epochs above 0."
    )

# -- h and z -----------------------------------------------------------------------------------

st.header("h against z", anchor="heads")
if labels.has(probed, "heads", "linear") or labels.forgotten(probed):
    grid = st.grid(2, min_column_width=400, gap="large")
    with grid.cell():
        if labels.has(probed, "heads", "linear"):
            plot(
                labels.heads(rows, probed),
                key="probe_heads",
                height=labels.heads_height(n_labels),
                alt=labels.ALT["heads"],
            )
    with grid.cell():
        if labels.forgotten(probed):
            plot(
                labels.forgets(rows, probed),
                key="probe_forgets",
                height=labels.forgets_height(n_labels),
                alt=labels.ALT["forgets"],
            )
    say_each((run, wording(result, "heads", "protocol")) for run, result in probed.items())
    if said := unlike_samples((runs[name].config for name in probed), "what z forgets is"):
        st.caption(words.plain(said))
else:
    st.text(
        "These runs have no probe of z. python -m sslcore evaluate measures it where the run's checkpoint.pt is at hand, unless "
        "evaluate.heads is off."
    )

# -- Transfer ------------------------------------------------------------------------------------

st.header("On other images", anchor="transfer")

moved = [
    {column: cell if isinstance(cell, str) else words.share(*cell) for column, cell in row.items()}
    for row in questions.transfers(rows, probed)
]
if moved:
    printed(moved, "Accuracy of each encoder on other data sets")
    entries = [(run, entry) for run, result in probed.items() for entry in part(result, "transfer").values()]
    say_each((run, wording(entry, "protocol")) for run, entry in entries)
else:
    st.text("How well do these encoders see images of another data set?")

# A process of its own measures it; this page follows what that says

TICK = 2  # seconds


def called(dataset: str) -> str:
    """A data set on which encoders are probed, by what tells it from those on which they were."""
    there = (name for result in probed.values() for name in part(result, "transfer"))
    return words.plain(told_apart([*there, dataset])[dataset])


@st.fragment(run_every=TICK)
def follow() -> None:
    going = transfer.look(experiment)
    if going is None or not going.alive:
        st.rerun()
    st.progress(
        going.done / going.of,
        f"{going.done} of {words.count(going.of, 'encoder')} probed on {called(going.dataset)}",
    )
    st.caption(words.plain(going.last or "starting"))


def begin(dataset: str) -> None:
    try:
        change.probe_elsewhere(experiment, dataset, [runs[name] for name in probed])
    except (OSError, ValueError) as error:
        st.session_state["probe_refused"] = str(error)


weights = any(runs[name].encoder_file.exists() for name in probed)
last = transfer.look(experiment)
if refused := st.session_state.pop("probe_refused", None):
    st.error(words.plain(refused))
if last and last.alive:
    dataset = last.dataset
    follow()
elif weights:
    if last and last.done < last.of:
        st.error(
            f"Not every encoder could be probed on {called(last.dataset)}: "
            f"{words.plain(last.last or 'the process ended without a word')}"
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dataset = st.selectbox(
            "Data set",
            [*datasets.NAMES, forms.OWN],
            key="probe_dataset",
            persist_state="session",  # while a probing goes on the field is away
            format_func=lambda name: name if name == forms.OWN else f"{name}: {datasets.NAMES[name]}",
            width=640,
        )
        if dataset == forms.OWN:
            kinds = "a folder with a folder of images for each class"
            dataset = forms.path(kinds, key="probe_path", persist_state="session", width=300)
        st.button(
            "Probe on it",
            icon=":material/play_arrow:",
            key="probe_transfer",
            on_click=begin,
            args=(dataset,),
            **access.lock(disabled=not dataset),
        )
    st.caption(
        "Every encoder shown here gets a linear probe and kNN on the labels of these images; nothing else is trained. It goes on "
        "when the page is closed."
    )
if weights and (lacking := [name for name in probed if not runs[name].encoder_file.exists()]):
    st.caption(words.plain(f"Left out, without encoder.safetensors: {', '.join(lacking)}."))
if weights:
    again = shell.line(experiment.store, "transfer", experiment.name, "--to", dataset or "PATH")
    st.caption(words.plain(f"In a shell: {again}"))
else:
    st.caption(words.plain(f"Not to be probed here: {transfer.NO_WEIGHTS}."))
