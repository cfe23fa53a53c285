"""What a reader changes while the page is drawn anew."""

import pytest
import streamlit as st

from dashboard import defaults


def followed(key: str, default, start: str):
    defaults.follow(key, default, start)
    return st.session_state[key]


@pytest.fixture(autouse=True)
def session(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})


def test_a_field_follows_its_default_until_it_is_changed():
    assert followed("k", 8, "photos") == 8
    assert followed("k", 9, "photos") == 9
    st.session_state["k"] = 5
    assert followed("k", 10, "photos") == 5
    assert followed("k", 3, "quick") == 3  # another start begins anew


def test_a_change_made_while_another_start_is_drawn_is_kept():
    followed("k", 8, "photos")
    st.session_state["k"] = 4  # typed before the page got to this field
    assert followed("k", 3, "quick") == 4
    assert followed("k", 3, "quick") == 4


def test_what_the_browser_still_shows_of_the_old_start_is_no_change():
    followed("k", 8, "photos")
    followed("k", 3, "quick")  # interrupted: the browser never learned of the 3
    st.session_state["k"] = 8
    assert followed("k", 3, "quick") == 3


def test_what_the_field_showed_before_can_be_chosen_again():
    for default, start in ((8, "photos"), (3, "quick")):
        assert followed("k", default, start) == default
        defaults.drawn()
    st.session_state["k"] = 8
    assert followed("k", 3, "quick") == 8


def test_a_value_is_set_only_where_it_differs():
    class Watched(dict):
        written = []

        def __setitem__(self, key, value):
            self.written.append(key)
            super().__setitem__(key, value)

    st.session_state = Watched()
    for _ in range(3):
        followed("k", 8, "photos")
        defaults.drawn()
    assert st.session_state.written.count("k") == 1  # setting it again would overwrite what is being typed


def test_a_value_that_an_interrupted_run_set_is_set_again():
    written = []

    class Watched(dict):
        def __setitem__(self, key, value):
            written.append(key)
            super().__setitem__(key, value)

    st.session_state = Watched()
    followed("k", 8, "photos")  # interrupted: Streamlit dropped the message that would have shown the 8
    followed("k", 8, "photos")
    assert written.count("k") == 2
    st.session_state["k"] = 5  # the reader's own
    assert followed("k", 8, "photos") == 5
