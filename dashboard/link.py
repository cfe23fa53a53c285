"""Where the reader is: the experiment that the URL names, the runs to show, and the way to other pages.

Every choice on every page lives in the URL, so that a pasted link shows the same
thing. Widgets see to it themselves with `bind="query-params"` and a key that
starts with the page's name, such as `compare_x`; their defaults must not depend
on what is in the store, because Streamlit leaves defaults out of the URL (see
`choice`). What belongs to all pages is kept here and goes along from page to page:

    experiment   the experiment
    also         others whose runs stand beside its runs, with commas between
    hidden       "shown" where hidden runs are shown all the same
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import streamlit as st

from dashboard import plot, shell, words
from sslcore.analysis.images import data_sets
from sslcore.analysis.order import by_method, listed
from sslcore.analysis.summary import warned
from sslcore.experiment import Experiment, Run, Store
from sslcore.naming import told_apart
from sslcore.status import Status
from sslcore.wording import series

VIEWS = Path(__file__).parent / "views"
CARRIED = ("experiment", "also", "hidden")


def remember_experiment() -> None:
    """Keep the experiment, and what is shown of it, in the URL when the navigation changes the page."""
    if "experiment" in st.query_params:
        st.session_state["_carried"] = _carried()
    else:
        st.query_params.update(st.session_state.get("_carried", {}))


def close_dialogs(page: str) -> None:
    """A dialog belongs to the page, and the experiment, where it was asked for: it does not go along when the reader leaves."""
    here = page, st.query_params.get("experiment")
    if st.session_state.get("_here") != here:
        for key in [key for key in st.session_state if str(key).startswith("_dialog_")]:
            del st.session_state[key]
    st.session_state["_here"] = here


def _carried() -> dict[str, str]:
    return {name: st.query_params[name] for name in CARRIED if name in st.query_params}


def _put(**params: str) -> None:
    """Write into the URL what all pages share; an empty value leaves it."""
    keep({name: [value] if value else [] for name, value in params.items()})
    remember_experiment()


def name_tab(*what: str) -> None:
    """Let the browser's tab, and its history, say what is shown: Probe · photos · Triptych. Each page says it once a run."""
    st.set_page_config(page_title=" · ".join([*what, "Triptych"]))


# -- The head of a page about an experiment ------------------------------------------------


def header(title: str, points: bool = False) -> tuple[Experiment, list[Run]]:
    """The head of a page of results (by charts of `points`, see plot.expect): the experiment, and the runs to show, by method.

    Ends the page with a word on what to do where there are none.
    """
    experiment = heading(title, beside=True, points=points)
    found = runs(experiment)
    shown = by_method(found)
    if unreadable := [run for run in found if not run.readable_config]:
        names = ", ".join(run.name for run in unreadable)
        command = "complete", unreadable[0].path.parent.name
        say_damaged(f"Left out, as config.json cannot be read: {names}", "writes it anew", *command)
    if not shown:
        end_without_runs(experiment)
    on = told_apart(data_sets(shown).values())
    if len(on) > 1:
        told = ", ".join(sorted(on.values()))
        st.caption(words.plain(f"These runs are on different images ({told}): their accuracies answer different questions."))
    return experiment, shown


def end_without_runs(experiment: Experiment) -> NoReturn:
    """End a page that has no runs to show, with a word on what to do."""
    if experiment.runs() and not own_runs(experiment):
        st.info("All its runs are hidden; the switch above shows them.", icon=":material/visibility_off:")
    else:
        st.info("This experiment has no runs that can be read.", icon=":material/info:")
        page_link("new", "Start an experiment")
    st.stop()


def say_damaged(what: str, does: str, *command: str) -> None:
    """Say what cannot be read, and what a command does about it."""
    again = f"In a shell, {shell.line(Store(), *command)} {does}."
    st.warning(words.plain(f"{what}. {again}"), icon=":material/draft:")


def say_cautions(runs: Iterable[Run]) -> None:
    """Say which finished runs have results that cannot be read, and how to make them again; and what runs warned of."""
    statuses = {run: run.status() for run in runs}
    if damaged := [run for run, status in statuses.items() if status.state == "finished" and not run.results()]:
        names = ", ".join(run.name for run in damaged)
        say_damaged(f"results.json cannot be read: {names}", "makes it again", "evaluate", *(run.id for run in damaged))
    say_warnings({run.name: status for run, status in statuses.items()})


def say_warnings(statuses: Mapping[str, Status]) -> None:
    """What runs, by name, warned of; what several said, once."""
    if said := warned(statuses):
        with st.expander(words.count(len(said), "warning") + " of these runs", icon=":material/warning:"):
            for sentence in said:
                st.text(sentence)


def heading(title: str, beside: bool = False, points: bool = False) -> Experiment:
    """The page's title, the boxes to choose the experiment and (`beside`) others to stand beside it, and its question.

    Ends the page with a word on what to do where the store is empty.
    """
    named = [st.query_params.get("experiment", ""), *_also()]
    names = [e.name for e in Store().experiments() if e.name in named or not e.spec().archived]
    if not names:
        name_tab(title)
        st.title(title)
        st.info("There are no experiments yet.", icon=":material/science:")
        page_link("experiments", "Start one")
        st.stop()
    boxes = st.columns([4, 3, 3] if beside else [4, 3], vertical_alignment="bottom")
    with boxes[0], st.container(gap=None):
        plot.expect(points)
        st.title(title)
    with boxes[1]:
        experiment = _pick_experiment(names)
    name_tab(title, experiment.name)
    if beside:
        with boxes[2]:
            _pick_others([name for name in names if name != experiment.name and "," not in name])
    spec = experiment.spec()
    called = f"**{words.plain(spec.title)}**" if spec.title and spec.title != experiment.name else ""
    st.markdown(" · ".join(filter(None, [called, words.plain(spec.question)])))
    shown = [experiment, *(others(experiment) if beside else [])]
    if hidden := [name for e in shown for name in e.spec().hidden if e.run(name).exists()]:
        st.session_state["link_hidden"] = _hidden_are_shown()
        st.toggle(
            f"Show {words.count(len(hidden), 'hidden run')}",
            key="link_hidden",
            on_change=_choose_hidden,
            help="Which runs are hidden is chosen on the Watch page.",
        )
    return experiment


def _pick_experiment(names: list[str]) -> Experiment:
    current = st.query_params.get("experiment")
    if current not in names:
        if current is not None:
            gone = f"There is no experiment {current} in this store; deleted ones are in the trash, on the Experiments page."
            st.warning(words.plain(f"{gone} Here is the newest one instead."))
        current = names[0]
        _put(experiment=current)
    st.session_state["link_experiment"] = current
    st.selectbox("Experiment", names, key="link_experiment", on_change=_choose_experiment)
    return Store().experiment(current)


def _pick_others(names: list[str]) -> None:
    also = _also()
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
    _put(experiment=chosen, also=",".join(name for name in _also() if name != chosen))
    _forget_runs()


def _choose_others() -> None:
    _put(also=",".join(st.session_state["link_also"]))
    _forget_runs()


def _choose_hidden() -> None:
    _put(hidden="shown" if st.session_state["link_hidden"] else "")


def _forget_runs() -> None:
    """Forget what was chosen among the runs that were shown before."""
    for key in [key for key in st.session_state if str(key).endswith(("_run", "_runs"))]:
        del st.session_state[key]


def _also() -> list[str]:
    return list(dict.fromkeys(filter(None, st.query_params.get("also", "").split(","))))


def _hidden_are_shown() -> bool:
    return st.query_params.get("hidden") == "shown"


# -- The runs to show ----------------------------------------------------------------------


def others(experiment: Experiment) -> list[Experiment]:
    """The experiments whose runs stand beside those of `experiment`, in the URL's order."""
    wanted = [name for name in _also() if name != experiment.name]
    found = {e.name: e for e in Store().experiments()} if wanted else {}
    return [found[name] for name in wanted if name in found]


def runs(experiment: Experiment) -> list[Run]:
    """The runs to show: the experiment's, then those of the others that the URL names.

    Of each, pinned runs come first, and hidden ones are left out unless the URL says otherwise. Names can repeat
    across experiments; `tables.named` tells them apart.
    """
    return [run for each in [experiment, *others(experiment)] for run in own_runs(each)]


def own_runs(experiment: Experiment) -> list[Run]:
    """The experiment's runs as `runs` lists them, without those of others; what cannot be read comes last."""
    spec = experiment.spec()
    seen = (run for run in experiment.runs() if run.name not in spec.hidden or _hidden_are_shown())
    return sorted(listed(seen), key=lambda run: run.name not in spec.pinned)


# -- The way to other pages ------------------------------------------------------------------


def page(name: str) -> Path:
    """A page by its name, as st.switch_page and st.page_link take it."""
    return VIEWS / f"{name}.py"


def go(name: str, **params: str) -> None:
    """Leave for another page, e.g. go("watch", experiment="photos")."""
    st.switch_page(page(name), query_params=params)


def page_link(name: str, label: str, **params: str) -> None:
    """A link to another page, e.g. page_link("probe", "See the probe", experiment="photos").

    To the experiment that the URL names, it takes along what is shown of it.
    """
    if params.get("experiment", "") == st.query_params.get("experiment"):
        params = _carried() | params
    st.page_link(page(name), label=label, query_params=params or None)


def report(experiment: Experiment) -> str:
    """The address of the experiment's report."""
    base = st.get_option("server.baseUrlPath").strip("/")
    return "/" + "/".join(filter(None, [base, "report", quote(experiment.name)]))


def choice(title: str, options: Sequence[str], default: str, key: str, say: Callable[[str], str] = str, **common: Any) -> str:
    """What the reader chooses of the options; until then `default`, which is not the widget's and so may depend on the store."""
    chosen = st.selectbox(
        title, options, index=None, format_func=say, placeholder=say(default), key=key, bind="query-params", **common
    )
    return chosen or default


def params(*names: str) -> dict[str, list[str]]:
    """Those of the URL's parameters that are there, each with all its values."""
    return {name: st.query_params.get_all(name) for name in names if name in st.query_params}


def keep(params: Mapping[str, list[str]]) -> None:
    """Let the URL say just this of these parameters: no values, no parameter."""
    for name, values in params.items():
        if st.query_params.get_all(name) != values:
            if values:
                st.query_params[name] = values
            else:
                del st.query_params[name]
