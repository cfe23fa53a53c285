"""What a field shows until the reader changes it.

A field's default may change while it stands on the page, with what is chosen above it. Streamlit keeps the value of a
widget in the session, and does not say whether it is the reader's: that is found out here.
"""

from typing import Any, NamedTuple

import streamlit as st

UNSURE = "defaults.unsure"  # in the session: keys of widgets that `follow` set in a run that has not come to its end


class Followed(NamedTuple):
    """What `follow` saw and did at the last run of the page."""

    default: Any
    start: str
    value: Any
    replaced: Any  # what the browser had shown instead of `value`


def follow(key: str, default: Any, start: str, asked: Any = None) -> None:
    """Let a widget show `default` until the reader changes it, and again when the form starts from something else.

    Call it right before a widget that has this `key` and no default of its own. When the page opens, what a link asks for
    wins: `asked`, or a query parameter that the widget is bound to.

    What the reader changes while the page is still being drawn is kept: only a value that was not touched since the last
    run is replaced, and only by another one, because setting it overwrites what is being typed. What a run set that was
    interrupted is set again by the next, because the browser may never have learned of it; see `drawn`.
    """
    state = st.session_state
    unsure: set[str] = state.setdefault(UNSURE, set())
    was: Followed | None = state.get(f"{key}.followed")
    value = replaced = state.get(key)
    untouched = was is None or key not in state or value == was.value or (value == was.replaced and key in unsure)
    if untouched and (was is None or key not in state or start != was.start or was.value == was.default):
        wanted = default if was is not None or asked is None else asked
        if key not in state or value != wanted or key in unsure:
            state[key] = wanted
            unsure.add(key)
        value = wanted
    state[f"{key}.followed"] = Followed(default, start, value, replaced)


def drawn() -> None:
    """The page has been drawn to its end, so that the browser knows every value that `follow` has set."""
    st.session_state[UNSURE] = set()
