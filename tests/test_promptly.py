"""Small answers do not wait for the reader's acknowledgement."""

import asyncio
import socket

import streamlit_app


def test_once_the_app_is_ready_whoever_is_accepted_is_answered_at_once():
    async def start() -> None:
        async with streamlit_app.ready(streamlit_app.app):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        asyncio.run(start())
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
