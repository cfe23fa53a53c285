"""What a page says where no run was probed: there are no labels, training goes on, or it ended too early."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import head, link, words
from sslcore.experiment import Run
from sslcore.results import number
from sslcore.status import ACTIVE

NO_LABELS = "the data set has no labels: nothing can be probed"


def note(results: Iterable[Mapping[str, Any]]) -> str:
    """Why nothing was probed, as a run's results say it; nothing where none does, or some were. Not yet `words.plain`."""
    results = list(results)
    if any(number(result, "linear.accuracy") is not None for result in results):
        return ""
    return next((str(result["note"]) for result in results if result.get("note")), "")


def say(runs: Sequence[Run], without_labels: str) -> None:
    """Why, and where to go from here. `without_labels`: what of the page needs labels, and what can be done."""
    head.say_cautions(runs)
    results = [result for run in runs if (result := run.results())]
    if results:
        st.info(words.plain(words.capital(note(results) or NO_LABELS)), icon=":material/label_off:")
        st.text(without_labels)
        link.page_link("compare", "Compare")
        return
    states = [run.status().state for run in runs]
    if any(state in ACTIVE for state in states):
        st.info(
            "No run has finished yet. A run is probed when its training ends; Watch shows how far it is.",
            icon=":material/hourglass_empty:",
        )
    elif words.lacking(states):
        st.info(
            "No run of this experiment got as far as being probed. Watch says why, and can resume them.", icon=":material/info:"
        )
    link.page_link("watch", "Watch")
