"""Logging in, and what every page says of who is reading and what they may not do."""

import streamlit as st
from streamlit.auth_util import is_authlib_installed

from dashboard import access, words


def problem() -> str:
    """Why nobody can log in, in words; "" where they can, or need not."""
    if not access.login_is_set_up():
        return ""
    if not access.providers():
        return "Nobody can log in: secrets.toml cannot be read, or its [auth] names no provider."
    return (
        "" if is_authlib_installed() else "Nobody can log in: that takes Authlib, which pip install 'streamlit[auth]' installs."
    )


def ask(rights: access.Rights) -> None:
    """In place of a page, for whoever may not view: why, and a button for each provider."""
    st.title("Triptych")
    st.text(rights.why)
    if rights.who:
        st.button("Log out", on_click=st.logout, key="login_out")
    elif why := problem():
        st.error(words.plain(why))
    else:
        for provider in access.providers():
            label = "Log in" if provider is None else f"Log in with {words.plain(provider.capitalize())}"
            st.button(
                label,
                type="primary",
                icon=":material/login:",
                on_click=st.login,
                args=[provider] if provider else [],
                key=f"login_{provider}",
            )


def say(rights: access.Rights) -> None:
    """Above a page: why nothing can be changed, and who is logged in."""
    if rights.why or rights.who:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            if rights.why:
                st.caption(f":material/lock: {words.plain(rights.why)}", width="content")
            if rights.who:
                with st.container(horizontal=True, vertical_alignment="center", width="content"):
                    st.text(rights.who, width="content")
                    st.button("Log out", on_click=st.logout, type="tertiary", key="login_out")
