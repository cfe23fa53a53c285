"""What Streamlit leaves undone in a tab.

Back leads to the page that was left, with all that was chosen on it; a dialog that closes gives the focus back; a
phone's menu closes once a page is chosen.
"""

from pathlib import Path

import streamlit as st

_back = st.components.v2.component("triptych_back", js=(Path(__file__).parent / "back.js").read_text(encoding="utf-8"))


def install() -> None:
    """Once a tab: before a page, for a reader may choose another while this one is still being drawn."""
    _back(key="triptych_back", height=0)
