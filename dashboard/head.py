"""The head of a page about an experiment: the boxes to choose it, its question, and what is to be said of its runs."""

from collections.abc import Iterable, Mapping
from typing import NoReturn

import streamlit as st

from dashboard import link, plot, shell, words
from dashboard.unlike import symmetric
from sslcore.analysis.images import data_sets
from sslcore.analysis.order import by_method
from sslcore.analysis.summary import warned
from sslcore.experiment import Experiment, Run, Store
from sslcore.naming import told_apart
from sslcore.status import Status
from sslcore.wording import series


def of_results(title: str, points: bool = False) -> tuple[Experiment, list[Run]]:
    """The head of a page of results (by charts of `points`, see plot.expect): the experiment, and the runs to show, by method.

    Ends the page with a word on what to do where there are none.
    """
    experiment = of_experiment(title, beside=True, points=points)
    found = link.runs(experiment)
    shown = by_method(found)
    if lost := [run for run in found if not run.readable_config and run.config_is_lost()]:
        names = ", ".join(run.name for run in lost)
        say_damaged(f"Left out, as config.json cannot be read: {names}", "writes it anew", "complete", lost[0].path.parent.name)
    if problems := [problem for run in found if (problem := run.config_problem())]:
        others = f" {words.count(len(problems) - 1, 'other')} likewise." if problems[1:] else ""
        st.warning(words.plain(f"Left out: {problems[0]}.{others}"), icon=":material/draft:")
    if not shown:
        end_without_runs(experiment)
    on = told_apart(data_sets(shown).values())
    if len(on) > 1:
        told = ", ".join(sorted(on.values()))
        st.caption(words.plain(f"These runs are on different images ({told}): their accuracies answer different questions."))
    if said := symmetric(run.config for run in shown):
        st.caption(said)
    return experiment, shown


def of_experiment(title: str, beside: bool = False, points: bool = False) -> Experiment:
    """The page's title, the boxes to choose the experiment and (`beside`) others to stand beside it, and its question.

    Ends the page with a word on what to do where the store is empty.
    """
    named = [st.query_params.get("experiment", ""), *link.also()]
    names = [e.name for e in Store().experiments() if e.name in named or not e.spec().archived]
    if not names:
        link.name_tab(title)
        st.title(title)
        st.info("There are no experiments yet.", icon=":material/science:")
        link.page_link("experiments", "Start one")
        st.stop()
    boxes = st.columns([4, 3, 3] if beside else [4, 3], vertical_alignment="bottom")
    with boxes[0], st.container(gap=None):
        plot.expect(points)
        st.title(title)
    with boxes[1]:
        experiment = _pick_experiment(names)
    link.name_tab(title, experiment.name)
    if beside:
        with boxes[2]:
            _pick_others([name for name in names if name != experiment.name and "," not in name])
    spec = experiment.spec()
    called = f"**{words.plain(spec.title)}**" if spec.title and spec.title != experiment.name else ""
    st.markdown(" · ".join(filter(None, [called, words.plain(spec.question)])))
    shown = [experiment, *(link.others(experiment) if beside else [])]
    if hidden := [name for e in shown for name in e.spec().hidden if e.run(name).exists()]:
        st.session_state["link_hidden"] = link.hidden_are_shown()
        st.toggle(
            f"Show {words.count(len(hidden), 'hidden run')}",
            key="link_hidden",
            on_change=_choose_hidden,
            help="Which runs are hidden is chosen on the Watch page.",
        )
    return experiment


# -- What is to be said of its runs ------------------------------------------------------


def end_without_runs(experiment: Experiment) -> NoReturn:
    """End a page that has no runs to show, with a word on what to do."""
    if experiment.runs() and not link.own_runs(experiment):
        st.info("All its runs are hidden; the switch above shows them.", icon=":material/visibility_off:")
    else:
        st.info("This experiment has no runs that can be read.", icon=":material/info:")
        link.page_link("new", "Start an experiment")
    st.stop()


def say_damaged(what: str, does: str, *command: str) -> None:
    """Say what cannot be read, and what a command does about it."""
    again = f"In a shell, {shell.line(Store(), *command)} {does}."
    st.warning(words.plain(f"{what}. {again}"), icon=":material/draft:")


def say_unreadable(runs: Iterable[Run]) -> None:
    """Say which runs have results that cannot be read, and how to make them again."""
    runs = list(runs)
    if measured := [run for run in runs if run.encoder_file.exists()]:
        names = ", ".join(run.name for run in measured)
        say_damaged(
            f"results.json is missing or cannot be read: {names}", "makes it again", "evaluate", *(run.id for run in measured)
        )
    if others := [run.name for run in runs if not run.encoder_file.exists()]:
        what = f"results.json is missing or cannot be read: {', '.join(others)}"
        away = "There is no encoder.safetensors to measure again. Import the experiment anew from where it came"
        st.warning(words.plain(f"{what}. {away}."), icon=":material/draft:")


def say_cautions(runs: Iterable[Run]) -> None:
    """Say which finished runs have results that cannot be read, and how to make them again; and what runs warned of."""
    statuses = {run: run.status() for run in runs}
    say_unreadable([run for run, status in statuses.items() if status.state == "finished" and not run.results()])
    say_warnings({run.name: status for run, status in statuses.items()})


def say_warnings(statuses: Mapping[str, Status]) -> None:
    """What runs, by name, warned of; what several said, once."""
    if said := warned(statuses):
        with st.expander(words.count(len(said), "warning") + " of these runs", icon=":material/warning:"):
            for sentence in said:
                st.text(sentence)


# -- The boxes ------------------------------------------------------------------------------


def _pick_experiment(names: list[str]) -> Experiment:
    current = st.query_params.get("experiment")
    if current not in names:
        if current is not None:
            gone = f"There is no experiment {current} in this store; deleted ones are in the trash, on the Experiments page."
            st.warning(words.plain(f"{gone} Here is the newest one instead."))
        current = names[0]
        link.put(experiment=current)
    st.session_state["link_experiment"] = current
    st.selectbox("Experiment", names, key="link_experiment", on_change=_choose_experiment)
    return Store().experiment(current)


def _pick_others(names: list[str]) -> None:
    also = link.also()
    if gone := also and sorted({*also} - {experiment.name for experiment in Store().experiments()}):
        st.warning(words.plain(f"Not shown beside it: {series(gone)}. There is no such experiment in this store."))
    st.session_state["link_also"] = [name for name in also if name in names]
    st.multiselect(
        "Beside it, the runs of",
        names,
        key="link_also",
        on_change=_choose_others,
        disabled=not names,
        select_all=False,
        placeholder="no other experiment",
        help="Runs of other experiments of this store, also of imported ones, in the same tables and figures.",
    )


def _choose_experiment() -> None:
    chosen = st.session_state["link_experiment"]
    link.put(experiment=chosen, also=",".join(name for name in link.also() if name != chosen))
    _forget_runs()


def _choose_others() -> None:
    link.put(also=",".join(st.session_state["link_also"]))
    _forget_runs()


def _choose_hidden() -> None:
    link.put(hidden="shown" if st.session_state["link_hidden"] else "")


def _forget_runs() -> None:
    """Forget what was chosen among the runs that were shown before."""
    for key in [key for key in st.session_state if str(key).endswith(("_run", "_runs"))]:
        del st.session_state[key]
