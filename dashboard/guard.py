"""What is refused before Streamlit, or any route of ours, sees it.

A page on another web site can make a reader's browser call 127.0.0.1: by a WebSocket, by a form, or under a name of its
own that it lets point there (DNS rebinding). So the Host must be an address or a name of this machine, and what changes
something must come from the app's own pages. And what Streamlit and our routes would hand to anybody who knows an
address (pictures, downloads, reports) is for those who may view, and uploads for those who may change.
"""

import ipaddress
import socket
from functools import cache
from urllib.parse import urlsplit

import streamlit as st
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.auth_util import get_origin_from_redirect_uri
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from dashboard import access
from dashboard.routes import BASE

SAFE = ("GET", "HEAD", "OPTIONS")
TO_VIEW = ("/figure/", "/thumb/", "/report/", "/media/")
TO_CHANGE = ("/_stcore/upload_file/",)
HEADERS = {b"x-frame-options": b"SAMEORIGIN", b"cross-origin-resource-policy": b"same-origin"}


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not (why := refusal(scope)):
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await PlainTextResponse(why, status_code=403)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": why})  # before it is accepted: the browser sees 403


def _with_headers(send: Send) -> Send:
    """No other site may frame the app, so that nobody is made to press its buttons, nor take its pictures into its own page."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = message | {"headers": [*message.get("headers", ()), *HEADERS.items()]}
        await send(message)

    return sending


def refusal(scope: Scope) -> str:
    """Why a request is refused; "" where it is not."""
    request = HTTPConnection(scope)
    if access.is_local() and request.client and not access.is_loopback(request.client.host):
        return "this dashboard is for the machine alone on which it runs"
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not _is_ours(host):
        return "this dashboard does not answer to that name; python -m dashboard --host NAME makes it"
    safe = scope["type"] == "http" and scope["method"] in SAFE
    if origin and not safe and not _is_from(origin, host):
        return "this came from a page of another site"
    path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(BASE)
    if path.startswith(TO_VIEW + TO_CHANGE):
        rights = access.rights_with(request.cookies)
        if not (rights.change if path.startswith(TO_CHANGE) else rights.view):
            return rights.why
    return ""


def _is_from(origin: str, host: str) -> bool:
    """Whether an Origin header is that of this dashboard's pages, called as `host` or by a name that it is given."""
    try:
        whole = urlsplit(origin)
    except ValueError:
        return False
    return whole.netloc == host or _is_named(whole.hostname or "")


def _is_ours(host: str) -> bool:
    """Whether a Host header is an address, or a name of this machine: nobody else's name can stand there, wherever it points."""
    try:
        whole = urlsplit(f"//{host}")
        name = whole.hostname or ""
    except ValueError:
        return False
    if whole.netloc != host or "@" in host:
        return False
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return access.is_loopback(name) or name.rstrip(".") in _own_names() or _is_named(name)


@cache
def _own_names() -> set[str]:
    return {socket.gethostname().lower(), socket.getfqdn().lower()}


def _is_named(name: str) -> bool:
    """Whether whoever runs the dashboard says that browsers reach it by this name."""
    login = urlsplit(get_origin_from_redirect_uri() or "").hostname
    listed = bool(st.get_option("server.allowedHosts")) and is_host_allowed(name)
    return bool(name) and not access.is_loopback(name) and (name == login or listed)
