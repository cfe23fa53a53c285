"""Who may see and who may change: by where the dashboard listens, or by a login and a list."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from streamlit.runtime.secrets import secrets_singleton

from dashboard import access
from tests.access.people import cookie, someone
from tests.pages.driving import open_page

# -- Where it listens, without a login ---------------------------------------------------


@pytest.mark.parametrize(
    ("address", "names", "local"),
    [
        ("127.0.0.1", [], True),
        ("localhost", [], True),
        ("::1", [], True),
        ("127.8.8.8", [], True),
        ("0.0.0.0", [], False),
        ("::", [], False),
        ("", [], False),
        ("192.0.2.1", [], False),
        ("unix:///tmp/x", [], False),
        ("127.0.0.1", ["localhost", "::1"], True),
        ("127.0.0.1", ["lab.example"], False),
    ],
)
def test_everything_may_be_done_on_this_machines_own_address_alone(setting, address, names, local):
    setting("server.address", address)
    setting("server.allowedHosts", names)
    rights = access.rights_of({})
    assert (rights.view, rights.change) == (True, local) and bool(rights.why) is not local


def test_a_network_can_be_trusted_knowingly(exposed, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_TRUST_NETWORK", "1")
    assert access.rights_of({}).change
    monkeypatch.setenv("TRIPTYCH_TRUST_NETWORK", "")
    assert not access.rights_of({}).change


# -- Who, with a login -------------------------------------------------------------------


def test_a_login_without_a_list_lets_nobody_in(login):
    assert not access.rights_of({}).view
    rights = access.rights_of(someone("ana@lab.example"))
    assert not rights.view and "not on the list" in rights.why


@pytest.mark.parametrize(
    ("user", "view", "change"),
    [
        (someone("ana@lab.example"), True, True),
        (someone("ANA@Lab.Example"), True, True),
        (someone("bo@lab.example"), True, False),
        (someone("ana@lab.example.evil.org"), False, False),
        (someone("ana@evil-lab.example"), False, False),
        (someone("lab.example"), False, False),
        (someone("eve@x.org"), False, False),
        *[(someone("ana@lab.example", email_verified=no), False, False) for no in (False, "false", 0, None)],
        *[(someone("ana@lab.example", email_verified=yes), True, True) for yes in (True, "true")],
        (someone("", sub="7"), False, False),
        ({"is_logged_in": False, "email": "ana@lab.example"}, False, False),
        ({"email": "ana@lab.example"}, False, False),
        ({}, False, False),
    ],
)
def test_the_list_says_who_may_what(login, user, view, change):
    login('view = ["@lab.example"]\nchange = ["ana@lab.example"]')
    rights = access.rights_of(user)
    assert (rights.view, rights.change) == (view, change)


@settings(max_examples=40)
@given(
    hst.dictionaries(
        hst.sampled_from(["is_logged_in", "email", "email_verified", "sub", "origin"]),
        hst.none() | hst.booleans() | hst.text(max_size=20) | hst.integers(),
    )
)
def test_claims_of_any_kind_let_nobody_in_who_is_not_listed(user):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access, "login_is_set_up", lambda: True)
        patch.setattr(access, "listed", lambda: {"view": ["@lab.example"], "change": ["ana@lab.example"]})
        rights = access.rights_of(user)
        assert not rights.change or user["email"].strip().lower() == "ana@lab.example"
        assert not rights.view or user["email"].strip().lower().endswith("@lab.example")


@pytest.mark.parametrize(
    "broken", ["view = [", "view = 'all'", "view = [1]", "admin = ['ana@lab.example']", "change = ['ana@lab.example']\nview = {}"]
)
def test_a_list_that_cannot_be_read_lets_nobody_in(login, broken):
    login(broken)
    rights = access.rights_of(someone("ana@lab.example"))
    assert not rights.view and "access.toml" in rights.why


@pytest.mark.parametrize("content", [b"[auth\n", b"\xff", None])
def test_secrets_that_cannot_be_read_let_nobody_in_and_the_page_says_so(login, tmp_path, content):
    login('change = ["*"]')
    secrets = tmp_path / "secrets.toml"
    secrets.unlink()
    if content is None:
        secrets.mkdir()  # which cannot be opened, as a file that may not be
    else:
        secrets.write_bytes(content)
    secrets_singleton._reset()
    assert not access.rights_of({}).view and access.providers() == []
    assert not access.rights_with(cookie(someone("ana@lab.example"))).view
    app = open_page()
    assert "Nobody can log in: secrets.toml cannot be read" in app.error[0].value.replace("\\", "") and not app.button


def test_secrets_that_may_not_even_be_looked_for_let_nobody_in(login, tmp_path, monkeypatch):
    (tmp_path / "secrets.toml").unlink()
    secrets_singleton._reset()
    assert not access.login_is_set_up()

    def refused(path, *_, **__):
        raise PermissionError(path)

    monkeypatch.setattr(os, "stat", refused)
    assert access.login_is_set_up()


def test_the_list_counts_from_the_moment_at_which_it_is_written(login):
    login('change = ["*"]')
    assert access.rights_of(someone("eve@x.org")).change
    login('change = ["ana@lab.example"]')
    assert not access.rights_of(someone("eve@x.org")).view


def test_routes_know_people_by_the_cookie_that_streamlit_signs(login):
    login('view = ["ana@lab.example"]')
    ana = someone("ana@lab.example")
    assert access.rights_with(cookie(ana)).view and not access.rights_with(cookie(ana)).change
    forged = cookie(ana)["_streamlit_user"]
    for cookies in (
        {},
        cookie(ana, secret="guess"),
        cookie(ana, origin="http://elsewhere.example"),
        cookie(someone("eve@x.org")),
        {"_streamlit_user": forged[:-2]},
        {"_streamlit_user": json.dumps(ana)},
        {"_streamlit_user_tokens": forged},
    ):
        assert not access.rights_with(cookies).view
