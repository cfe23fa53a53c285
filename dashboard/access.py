"""Who may see, who may change, and what may be opened, from a browser.

On this machine's own address the reader may do everything. With Streamlit's login set up ([auth] in secrets.toml), a
short list says who may view and who may change. Without it, and where other machines can reach the dashboard, everyone
may view and nobody may change. Pages show it; change.py and guard.py enforce it.
"""

import ipaddress
import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.auth_util import get_cookie_with_chunks, get_origin_from_redirect_uri, get_secrets_auth_section
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from sslcore import datasets
from sslcore.datasets import rule
from sslcore.files import Stamp, stamp

ANYBODY = "*"  # on the list: whoever can log in
MANUAL = "README, \N{LEFT DOUBLE QUOTATION MARK}Who may see and change what\N{RIGHT DOUBLE QUOTATION MARK}"


# -- Where the dashboard listens ---------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_local() -> bool:
    """Whether the dashboard is there for this machine alone: its address, and every name that it answers to, say so."""
    address = st.get_option("server.address") or ""
    return all(map(is_loopback, [address, *st.get_option("server.allowedHosts")]))


def trusts_network() -> bool:
    """Whether whoever started the dashboard lets everyone who can reach it change things."""
    return os.environ.get("TRIPTYCH_TRUST_NETWORK") == "1"


# -- Who ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rights:
    """What somebody may do, and why not more."""

    who: str  # e-mail address; "" where nobody is asked to log in
    view: bool = False
    change: bool = False
    why: str = ""  # in a sentence or two


def login_is_set_up() -> bool:
    """Whether people have to log in; also where the secrets cannot be read, since nobody knows what they would say."""
    if secrets_singleton.load_if_toml_exists():
        return "auth" in secrets_singleton
    return any(map(_is_there, st.get_option("secrets.files")))


def _is_there(file: str) -> bool:
    """Also where that may not be seen."""
    try:
        os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


_load = secrets_singleton.load_if_toml_exists


def _load_what_can_be_read() -> bool:
    """Streamlit's own is False for secrets that are no TOML, and raises for those that may not be read: at every request."""
    try:
        return _load()
    except (OSError, UnicodeError):
        return False


secrets_singleton.load_if_toml_exists = _load_what_can_be_read


def providers() -> list[str | None]:
    """Whom one can log in with, as st.login takes them; None is the one without a name."""
    auth = get_secrets_auth_section()
    named = [name for name, section in auth.items() if isinstance(section, Mapping) and "client_id" in section]
    return [*([None] if "client_id" in auth else []), *named]


def file() -> Path:
    """The list of who may view and who may change."""
    return Path(os.environ.get("TRIPTYCH_ACCESS") or Path(__file__).parents[1] / ".streamlit" / "access.toml")


def listed() -> dict[str, list[str]]:
    """{"view": entries, "change": entries}, each an e-mail address, @domain or *; as the file stands now.

    Raises ValueError, in one line, where it cannot be understood; it lists nobody where it is not there.
    """
    return _listed(file(), stamp(file()))


@lru_cache(maxsize=4)
def _listed(path: Path, stamp: Stamp) -> dict[str, list[str]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8")) if stamp[0] else {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from None
    for name, entries in content.items():
        if (
            name not in ("view", "change")
            or not isinstance(entries, list)
            or not all(isinstance(entry, str) for entry in entries)
        ):
            raise ValueError(f"{path.name}: {name!r} is not one of view and change with a list of e-mail addresses")
    return {name: [entry.strip().lower() for entry in content.get(name, [])] for name in ("view", "change")}


def rights() -> Rights:
    """What the reader of this session may do."""
    return rights_of(dict(st.user))


def rights_with(cookies: Mapping[str, str]) -> Rights:
    """What whoever sends these cookies with a request may do: Streamlit's login cookie, which it signs, tells who it is."""

    def signed(name: str) -> bytes | None:
        return decode_signed_value(get_cookie_secret(), name, cookies[name]) if name in cookies else None

    if not login_is_set_up():
        return rights_of({})
    content = get_cookie_with_chunks(signed, USER_COOKIE_NAME)
    user = json.loads(content) if content else {}
    return rights_of(user if user.get("origin") == get_origin_from_redirect_uri() else {})


def rights_of(user: Mapping[str, Any]) -> Rights:
    """What somebody may do who is logged in as `user`, the claims of an OpenID Connect provider."""
    if not login_is_set_up():
        if is_local() or trusts_network():
            return Rights("", True, True)
        why = f"Read-only: other machines can reach this dashboard, and nobody has to log in. {MANUAL} says how to allow changes."
        return Rights("", view=True, why=why)
    if not user.get("is_logged_in"):
        return Rights("", why="Log in to see the experiments.")
    who = user.get("email")
    if not isinstance(who, str) or "@" not in who or user.get("email_verified", True) not in (True, "true"):
        why = "Your login comes without a verified e-mail address, by which this dashboard knows people."
        return Rights(str(user.get("sub") or ""), why=why)
    try:
        lists = listed()
    except ValueError as error:
        return Rights(who, why=f"Nobody may see anything: {error}.")
    if _is_on(lists["change"], who):
        return Rights(who, True, True)
    if _is_on(lists["view"], who):
        why = f"Read-only: you may look, and change nothing. Whoever runs this dashboard can allow it, in {file().name}."
        return Rights(who, view=True, why=why)
    why = f"{who} is not on the list of those who may see this dashboard. Whoever runs it can add you, in {file().name}."
    return Rights(who, why=why)


def _is_on(entries: list[str], who: str) -> bool:
    name = who.strip().lower()
    return any(entry in (ANYBODY, name, f"@{name.rpartition('@')[2]}") for entry in entries)


def lock(**otherwise: Any) -> dict[str, Any]:
    """Arguments of a widget that changes something: disabled, with the reason, for whoever may not; else `otherwise`."""
    own = rights()
    return otherwise if own.change else otherwise | {"disabled": True, "help": own.why}


# -- What may be opened --------------------------------------------------------------------------


def data_roots() -> list[str]:
    """The folders, links resolved, in which data sets may lie that are opened from a browser.

    $TRIPTYCH_DATA_ROOTS, with colons between; and, where the reader can be nobody but a user of this machine, the home
    folder of whoever runs the dashboard, the folder it was started in, and the one for temporary files.
    """
    named = list(filter(None, os.environ.get("TRIPTYCH_DATA_ROOTS", "").split(os.pathsep)))
    usual = [str(Path.home()), os.getcwd(), tempfile.gettempdir()] if is_local() and not login_is_set_up() else []
    return [os.path.realpath(os.path.expanduser(root)) for root in [*named, *usual]]


def check_data(dataset: str) -> None:
    """Raise ValueError where a data set is a path that may not be opened from a browser."""
    path = datasets.canonical(dataset)
    if path in datasets.NAMES:
        return
    real, roots = os.path.realpath(path), data_roots()
    if not any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in roots):
        places = (
            f"only files and folders within {', '.join(dict.fromkeys(roots))} can be opened here"
            if roots
            else "no folder may be opened from a browser"
        )
        raise ValueError(f"{places}. To open another, start the dashboard with TRIPTYCH_DATA_ROOTS=THAT_FOLDER")


rule.check_path = check_data  # for this process; what it starts, change.py checks before
