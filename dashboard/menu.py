"""A menu behind three dots. What it is of stands beside them for screen readers alone."""

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard import words

# Put this into a page once; st.html in a fragment would add it anew at each tick.
STYLE = """<style>
[data-testid="stMenuButtonButton"] { position: relative; }
[data-testid="stMenuButtonButton"] [data-testid="stMarkdownContainer"] {
    position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
</style>"""


def menu(of: str, actions: Sequence[str], *, key: str, format_func: Callable[[str], str] = str) -> str | None:
    """The action that the reader has just chosen for a thing."""
    return st.menu_button(
        f"Actions for {words.plain(of)}", actions, format_func=format_func, icon=":material/more_horiz:", type="tertiary", key=key
    )
