"""Which images are selected, the same in all panels: picked in one of them, cleared by a button, or named by the URL.

The URL says of which data set they are, as in `embeddings_pick=5,9@89c11925`: where other images are shown, the same numbers
are none of them, and Back finds the selection as it was. It stays while the reader is on another page.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import streamlit as st

from dashboard import link
from dashboard.plot import picked

LINKED = 300  # images of a selection that still fit into a link


class Selection(NamedTuple):
    of: str  # the data set, as the URL has it
    linked: list[int]  # what the URL named when it was last looked at
    images: list[int]


def now(panels: Iterable[str], images: Mapping[str, str]) -> list[int]:
    """The selection, once the URL and the panels that are drawn, by their keys, have been heard.

    `images`: those shown, as `tables.identity` has them.
    """
    of = images["of"][:8] or images["dataset"]
    panels = list(panels)
    known = st.session_state.get("embeddings_selected")
    returned = not any(key in st.session_state for key in panels)  # from another page, whose URL has no selection
    if known and known.of == of and returned and "embeddings_pick" not in st.query_params:
        select(known.images)
    elif known is None or (of, _linked(of)) != (known.of, known.linked):  # others are shown, or the link is a new one
        st.session_state["embeddings_selected"] = Selection(of, _linked(of), _linked(of))
    seen = st.session_state.setdefault("embeddings_seen", {})  # key of each drawn panel -> what was picked in it at the last run
    for key in panels:
        last, before = picked(key), seen.pop(key, None) if key in st.session_state else None
        if before is not None and last.moment != before.moment:
            if last.clicked is not None and last.indices == _selected():  # a click, which tells what is selected as well
                st.session_state["embeddings_image"] = last.clicked
            select(last.indices)
        seen[key] = last
    return _selected()


def select(indices: list[int]) -> None:
    """Let these images be selected, here and in the URL."""
    of = st.session_state["embeddings_selected"].of
    fits = len(indices) <= LINKED
    link.keep({"embeddings_pick": [f"{','.join(map(str, indices))}@{of}"] if indices and fits else []})
    st.session_state["embeddings_selected"] = Selection(of, _linked(of), indices)


def _selected() -> list[int]:
    return st.session_state["embeddings_selected"].images


def _linked(of: str) -> list[int]:
    """The selection that the URL names, if it is of this data set, or does not say of which."""
    images, _, whose = st.query_params.get("embeddings_pick", "").partition("@")
    return numbers(images)[0] if whose in ("", of) else []


def numbers(text: str) -> tuple[list[int], list[str]]:
    """The images that a text names, with commas between; and what in it is no image's number."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    are = {part: part.isdecimal() and len(part) < 10 for part in parts}
    return sorted({int(part) for part in parts if are[part]}), [part for part in parts if not are[part]]
