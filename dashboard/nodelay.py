"""Streamlit's connections with TCP_NODELAY: answers that leave at once."""

import os
import socket

import psutil


def set_nodelay() -> None:
    """Have every connection that is accepted from now on send small packets at once (TCP_NODELAY).

    asyncio does so for sockets that were made with the protocol's number, and Streamlit's is made without it. An answer
    in two parts, its head and its body, then waits up to 40 ms in between, for the reader's delayed acknowledgement.
    """
    for connection in psutil.Process().net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            with socket.socket(fileno=os.dup(connection.fd)) as listening:  # who is accepted inherits it
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
