"""Where the form starts from: a preset, or an experiment or run to copy; and the changes that the link asks for."""

import streamlit as st

from dashboard import defaults, draft, link, words
from dashboard.sections.new.form import Form
from sslcore import plan
from sslcore.config import ConfigError
from sslcore.experiment import Store

FIRST = "photos"


def choose(store: Store) -> Form:
    """Ends the page where there is no such start."""
    clone = st.query_params.get("clone")
    start, origin = _copy(store, clone) if clone else _preset()
    try:
        asked = draft.Asked.from_params(link.params("title", "question", "seeds", "set", "own", "vary"))
    except ConfigError as error:
        st.warning(f"The link asks for what cannot be, so its changes are left out: {words.plain(str(error))}")
        asked = draft.Asked()
    return Form(start, origin, asked)


def _copy(store: Store, name: str) -> tuple[draft.Start, str]:
    try:
        start = draft.from_clone(store, name)
    except ValueError as error:
        st.error(f"There is nothing to copy. {words.plain(str(error))}")
        link.page_link("new", "Start from a preset")
        st.stop()
    st.text(f"This is a copy of {name}. Nothing of the original changes.")
    link.page_link("new", "Start from a preset instead")
    return start, f"copy of {name}"


def _preset() -> tuple[draft.Start, str]:
    defaults.follow("new_preset", FIRST, "")
    preset = (
        st.selectbox(
            "Start from the preset",
            list(plan.presets()),
            index=None,
            key="new_preset",
            bind="query-params",
            help="A preset fills in the form with settings that were tried on its own data set. Change below what you like.",
        )
        or FIRST
    )
    try:
        return draft.from_preset(preset), f"preset {preset}"
    except ValueError as error:
        st.error(words.plain(str(error)))
        st.stop()
