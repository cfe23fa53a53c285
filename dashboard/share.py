"""Letting an experiment out and in: its report, its zip file, and the zip file of a teammate."""

import tempfile
from pathlib import Path

import streamlit as st

from dashboard import access, change, head, link, shell, words
from dashboard.figures import style
from sslcore import archive
from sslcore.experiment import Experiment, Store

ASKED = "_dialog_share"  # in the session: the experiment to share; "" to import one
LARGEST_MB = 4000  # of a file that goes through a browser


def ask(experiment: Experiment | None) -> None:
    """Have the dialog stand on the page, to share an experiment or (None) to import one; `answer` draws it."""
    st.session_state[ASKED] = experiment.name if experiment else ""
    st.rerun()


def answer(store: Store) -> None:
    """Draw the dialog, if it was asked for. Call it at the end of a page, outside of live parts."""
    name = st.session_state.get(ASKED)
    if name == "":
        _import(store)
    elif name and store.experiment(name).exists():
        _export(store.experiment(name))
    elif name:
        link.drop_dialog()


@st.dialog("Share", on_dismiss=link.drop_dialog)
def _export(experiment: Experiment) -> None:
    st.subheader("Report")
    st.text(
        "One page with the question, the numbers, how they were obtained, and the figures. It opens without this program and "
        "without a network."
    )
    with st.container(horizontal=True):
        st.link_button("Open", link.report(experiment), icon=":material/open_in_new:")
        st.download_button(
            "Download",
            lambda: reported(experiment),
            f"{experiment.name}.html",
            "text/html",
            on_click="ignore",
            icon=":material/download:",
            key="share_report",
        )
    st.subheader("Zip")
    st.text("The experiment itself: import it into another Triptych, and every page shows what it shows here.")
    head.say_cautions(experiment.runs())
    for weights, label, suffix in ((False, "Without weights", ""), (True, "With weights", "-with-weights")):
        n = n_bytes(experiment, weights)
        if weights and n == n_bytes(experiment, False):  # there are none
            continue
        size = words.size(n)
        if n > 1e6 * LARGEST_MB:  # a browser's way in has no room for it, nor the dashboard's memory for the way out
            words_of = ["export", experiment.name, f"{experiment.name}{suffix}.zip", *["--checkpoints"] * weights]
            st.text(f"{label} it is up to {size}, which takes a shell, here and where it is imported:")
            st.code(shell.line(experiment.store, *words_of), language="shell", wrap_lines=True)
            continue
        st.download_button(
            f"{label} (up to {size})",
            lambda weights=weights: zipped(experiment, weights),
            f"{experiment.name}{suffix}.zip",
            "application/zip",
            on_click="ignore",
            icon=":material/download:",
            key=f"share_zip_{weights}",
            help="Also the checkpoints and encoders, with which runs can be resumed and probed anew." if weights else None,
        )


def reported(experiment: Experiment) -> str:
    """The experiment's report."""
    from dashboard import report  # costs most of a second, which no page need wait for

    return report.kept_html(experiment)


def n_bytes(experiment: Experiment, weights: bool) -> int:
    """What the experiment's files take on disk, with or without the weights of its runs."""
    files = [*experiment.files(), *(path for run in experiment.runs() for path in run.files())]
    return sum(path.stat().st_size for path in files if path.is_file() and (weights or path.name not in archive.WEIGHTS))


def zipped(experiment: Experiment, weights: bool) -> bytes:
    """The experiment as a zip file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "experiment.zip"
        archive.export(experiment, file, checkpoints=weights)
        return file.read_bytes()


@st.dialog("Import", on_dismiss=link.drop_dialog)
def _import(store: Store) -> None:
    file = st.file_uploader(
        "An experiment's zip file",
        type="zip",
        key="share_file",
        max_upload_size=LARGEST_MB,
        help="As the Share dialog or python -m sslcore export makes it.",
    )
    if file is None:
        st.text("What is inside is shown before anything is written.")
        return
    try:
        inside = archive.look(file)
    except ValueError as error:
        st.error(words.plain(f"This cannot be imported: {error}"))
        return
    st.markdown(f"**{words.plain(inside.title or inside.name)}**")
    st.text(inside.question)
    methods = ", ".join(style.title(method) for method in dict.fromkeys(run.method for run in inside.runs))
    st.text(
        f"{words.count(len(inside.runs), 'run')} of {methods}; {words.size(inside.n_bytes)} unpacked, "
        f"{'with' if inside.checkpoints else 'without'} weights."
    )
    name = store.free_name(inside.name)
    if name != inside.name:
        why = f"There is an experiment {inside.name} here already: this one" if name.startswith(inside.name) else "Here it"
        st.text(f"{why} will be {name}.")
    if st.button("Add to this store", type="primary", icon=":material/add:", key="share_add", **access.lock()):
        try:
            with st.spinner("Every file is checked as it is unpacked."):
                experiment = change.bring_in(store, file)
        except (OSError, ValueError) as error:
            st.error(words.plain(f"This cannot be imported: {error}"))
            return
        link.drop_dialog()
        link.go("compare", experiment=experiment.name)
