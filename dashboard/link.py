"""Where the reader is: what the URL says, the runs to show by it, and the way to other pages.

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
from typing import Any
from urllib.parse import quote

import streamlit as st

from sslcore.analysis.order import listed
from sslcore.experiment import Experiment, Run, Store

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
        drop_dialog()
    st.session_state["_here"] = here


def drop_dialog() -> None:
    """Forget which dialog was asked for: it was answered or dismissed, or what it was about is gone."""
    for key in [key for key in st.session_state if str(key).startswith("_dialog_")]:
        del st.session_state[key]


def _carried() -> dict[str, str]:
    return {name: st.query_params[name] for name in CARRIED if name in st.query_params}


def put(**params: str) -> None:
    """Write into the URL what all pages share; an empty value leaves it."""
    keep({name: [value] if value else [] for name, value in params.items()})
    remember_experiment()


def name_tab(*what: str) -> None:
    """Let the browser's tab, and its history, say what is shown: Probe · photos · Triptych. Each page says it once a run."""
    st.set_page_config(page_title=" · ".join([*what, "Triptych"]))


# -- The runs to show ----------------------------------------------------------------------


def also() -> list[str]:
    """The names of the others, as the URL has them."""
    return list(dict.fromkeys(filter(None, st.query_params.get("also", "").split(","))))


def hidden_are_shown() -> bool:
    return st.query_params.get("hidden") == "shown"


def others(experiment: Experiment) -> list[Experiment]:
    """The experiments whose runs stand beside those of `experiment`, in the URL's order."""
    wanted = [name for name in also() if name != experiment.name]
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
    seen = (run for run in experiment.runs() if run.name not in spec.hidden or hidden_are_shown())
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
    st.page_link(page(name), label=label, icon=":material/arrow_forward:", query_params=params or None)


def base() -> str:
    """The path below which a proxy has the app, such as /lab; "" where it has none."""
    prefix = st.get_option("server.baseUrlPath").strip("/")
    return f"/{prefix}" if prefix else ""


def report(experiment: Experiment) -> str:
    """The address of the experiment's report."""
    return f"{base()}/report/{quote(experiment.name)}"


def choice(title: str, options: Sequence[str], default: str, key: str, say: Callable[[str], str] = str, **common: Any) -> str:
    """A select box that the URL knows. Until the reader chooses, it stands empty, with `default` as its placeholder.

    So `default`, which is not the widget's own, may depend on the store.
    """
    chosen = st.selectbox(
        title, options, index=None, format_func=say, placeholder=say(default), key=key, bind="query-params", **common
    )
    return chosen or default


def one_of(title: str, options: Iterable[str], default: str, key: str, **how: Any) -> str:
    """A choice of which one is always made; where a link leaves it empty, the default."""
    chosen = st.segmented_control(title, options, default=default, required=True, key=key, bind="query-params", **how)
    return default if chosen is None else chosen


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
