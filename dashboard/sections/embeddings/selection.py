"""Which images are selected, the same in all panels: picked in one of them, cleared by a button, or named by the URL."""

from collections.abc import Iterable, Mapping

import streamlit as st

from dashboard import link
from dashboard.plot import picked

LINKED = 300  # images of a selection that still fit into a link


def now(panels: Iterable[str]) -> list[int]:
    """The selection, once the URL and the panels that are drawn, by their keys, have been heard."""
    if _linked() != st.session_state.setdefault("embeddings_selected", ([], []))[0]:  # the link was opened, or changed by hand
        select(_linked())
    seen = st.session_state.setdefault("embeddings_seen", {})  # key of each drawn panel -> what was picked in it at the last run
    for key in panels:
        last, before = picked(key), seen.pop(key, None) if key in st.session_state else None
        if before is not None and last.moment != before.moment:
            if last.clicked is not None and last.indices == _selected():  # a click, which tells what is selected as well
                st.session_state["embeddings_image"] = last.clicked
            select(last.indices)
        seen[key] = last
    return _selected()


def forget_others(seen: Mapping[str, str]) -> None:
    """Forget what was picked among the images of another data set; `seen`: those shown, as `tables.identity` has them."""
    before = st.session_state.get("embeddings_of", seen)
    if before["dataset"] != seen["dataset"] and not (seen["of"] and before["of"] == seen["of"]):
        select([])
        st.session_state["embeddings_image"] = None
    st.session_state["embeddings_of"] = seen


def select(indices: list[int]) -> None:
    """Let these images be selected, here and in the URL."""
    fits = len(indices) <= LINKED
    link.keep({"embeddings_pick": [",".join(map(str, indices))] if indices and fits else []})
    st.session_state["embeddings_selected"] = (_linked(), indices)


def _selected() -> list[int]:
    return st.session_state["embeddings_selected"][1]


def _linked() -> list[int]:
    """The selection that the URL names."""
    return numbers(st.query_params.get("embeddings_pick", ""))


def numbers(text: str) -> list[int]:
    """The images that a text names, with commas between; what is no image's number is passed over."""
    return sorted({int(part) for part in text.replace(" ", "").split(",") if part.isdecimal() and len(part) < 10})
