"""What the reader of Embeddings wants to see: of which runs, in which layout, coloured by what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import streamlit as st

from dashboard import embeddings, link, tables
from dashboard.embeddings import Embedding
from sslcore.analysis.images import data_sets
from sslcore.experiment import Run

SHOWN_AT_FIRST, AT_MOST = 4, 5  # panels; each takes three of the 16 WebGL contexts that browsers allow
BY = {"class": "class", "split": "train or test", "probe": "right or wrong", "predicted": "class predicted by"}


@dataclass(frozen=True)
class Asked:
    """The runs that are shown, by name and in the order of their panels, and how."""

    runs: Mapping[str, Run]
    shown: Mapping[str, Embedding]
    titles: Mapping[str, str]
    classes: Sequence[str]  # their names
    layout: str  # "UMAP" or "PCA"
    by: str  # of BY
    oracle: tuple[str, Embedding] | None  # the run whose predictions are the colours
    highlight: Sequence[str]  # the classes that alone have a colour; none: all
    epoch: int | None  # None: the last

    @cached_property
    def seen(self) -> dict[str, Any]:
        """By which their images are known, see `tables.identity`: the first run's of those whose checksum is on record."""
        known = [tables.identity(self.runs[name]) for name in self.shown]
        return next((one for one in known if one["of"]), known[0])

    @cached_property
    def labels(self) -> dict[int, str]:
        """Image -> its class, "" for none; of the images in the sample of any run that is shown."""
        return {
            index: label
            for own in self.shown.values()
            for index, label in zip(own.index.tolist(), embeddings.called(own.label, self.classes))
        }

    @cached_property
    def predictions(self) -> dict[str, dict[int, str]]:
        """Run -> image -> the class that its linear probe takes it for."""
        return {
            name: dict(zip(own.index.tolist(), embeddings.called(own.prediction, self.classes)))
            for name, own in self.shown.items()
        }

    @cached_property
    def trained_on(self) -> set[int]:
        """Training images, on which the probes were fitted."""
        return {image for own in self.shown.values() for image in own.index[own.train].tolist()}


def ask(runs: Mapping[str, Run], called: Mapping[str, str]) -> Asked:
    """The controls at the head of the page, for runs whose embedding can be read, by name; `called`: what legends call them."""
    with st.container(border=True):
        sets = data_sets(runs.values())
        dataset = _dataset(list(dict.fromkeys(sets.values())))
        alike = {name: run for name, run in runs.items() if sets[run] == dataset}
        titles = _titles(alike, called)
        shown = {name: embeddings.read(runs[name]) for name in titles}
        classes = next(filter(None, (embeddings.classes(runs[name]) for name in titles)), [])
        epochs = sorted({epoch for own in shown.values() for epoch in list(own.umap)[:-1]})
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            layout = link.one_of("Layout", ["UMAP", "PCA"], default="UMAP", key="embeddings_layout")
            by = _colour() if (labelled := any((own.label >= 0).any() for own in shown.values())) else "split"
            oracle = _oracle(alike) if by == "predicted" else None
            highlight = _highlight(classes) if by in ("class", "predicted") and classes else []
            epoch = _epoch(epochs) if epochs and layout == "UMAP" else None
    if not labelled:
        st.caption("These images have no labels, so they are coloured by train or test.")
    return Asked(runs, shown, titles, classes, layout, by, oracle, highlight, epoch)


def _dataset(datasets: list[str]) -> str:
    if len(datasets) == 1:
        return datasets[0]
    return st.selectbox(
        "Data set",
        datasets,
        key="embeddings_dataset",
        bind="query-params",
        help="Panels of different data sets show different images, so one data set at a time.",
    )


def _titles(runs: Mapping[str, Run], called: Mapping[str, str]) -> dict[str, str]:
    """What each run that the reader chooses is called; at first one of each method, then one of each experiment, then others."""
    chosen = st.multiselect(
        "Runs",
        list(runs),
        max_selections=AT_MOST,
        key="embeddings_runs",
        bind="query-params",
        placeholder=f"one of each method, then others, four at most; choose up to {AT_MOST}",
    )
    first_seeds = list({called[name]: name for name in reversed(runs)}.values())[::-1]
    kinds = {name: (runs[name].config.method, runs[name].path.parent) for name in first_seeds}  # method, experiment
    at_first = tables.one_of_each(kinds, SHOWN_AT_FIRST)
    shown = [name for name in runs if name in (chosen or at_first)]
    return {name: f"{called[name]} · seed {runs[name].config.seed}" for name in shown}


def _colour() -> str:
    return st.selectbox("Colour", BY, format_func=BY.get, key="embeddings_colour", bind="query-params", width=200)


def _oracle(runs: Mapping[str, Run]) -> tuple[str, Embedding]:
    name = st.selectbox(
        "Run",
        list(runs),
        key="embeddings_oracle_run",
        bind="query-params",
        width=260,
        help="Each image has the class that this run's linear probe takes it for, in all panels.",
    )
    return name, embeddings.read(runs[name])


def _highlight(classes: Sequence[str]) -> list[str]:
    return st.multiselect(
        "Only these classes in colour",
        classes,
        key="embeddings_highlight",
        bind="query-params",
        placeholder="all classes",
        width=320,
    )


def _epoch(epochs: list[int]) -> int | None:
    at = st.select_slider(
        "Epoch", [*map(str, epochs), "last"], value="last", key="embeddings_epoch", bind="query-params", width=260
    )
    return None if at == "last" else int(at)
