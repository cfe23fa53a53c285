"""Small answers do not wait for the reader's acknowledgement."""

import socket
from contextlib import suppress

import streamlit_app


def test_once_the_app_is_ready_whoever_is_accepted_is_answered_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with suppress(StopIteration):  # it waits for nothing, and so needs no event loop
            streamlit_app.ready(streamlit_app.app).__aenter__().send(None)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
