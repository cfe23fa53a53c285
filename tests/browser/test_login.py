"""Logging in for real: an OpenID Connect provider, the dashboard, and a browser between them."""

import pytest
from playwright.sync_api import expect

from sslcore.experiment import Store
from tests import synthetic
from tests.browser import oidc
from tests.browser.conftest import free_port, profile_of, start, stop

ANA, BO, EVE = "ana@lab.example", "bo@lab.example", "eve@elsewhere.example"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, data_cache, browser):
    """A dashboard with a login: (its address, its store, the file that lists people)."""
    pytest.importorskip("authlib", reason="streamlit[auth] is not installed")
    home = tmp_path_factory.mktemp("lab")
    store = Store(home / "store")
    synthetic.store(store.root, methods=("byol",), seeds=(0,), steps=20, name="one")
    port, access = free_port(), home / "access.toml"
    access.write_text(f'view = ["@lab.example"]\nchange = ["{ANA}"]\n')
    with oidc.serving(free_port(), [ANA, BO, EVE]) as issuer, pytest.MonkeyPatch.context() as patch:
        (home / "secrets.toml").write_text(
            f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "a secret of this test"\n'
            f'client_id = "{oidc.CLIENT}"\nclient_secret = "{oidc.SECRET}"\nserver_metadata_url = '
            f'"{issuer}/.well-known/openid-configuration"\n'
        )
        patch.setenv("STREAMLIT_SECRETS_FILES", str(home / "secrets.toml"))
        patch.setenv("TRIPTYCH_ACCESS", str(access))
        process = start(store.root, port)
        yield f"http://127.0.0.1:{port}", store, access
        stop(process)


def log_in(page, url: str, who: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name=who).click()
    page.get_by_text(who).first.wait_for()
    drawn(page)


def drawn(page) -> None:
    """Until the page's run has ended: one that is drawn meanwhile can close a menu."""
    page.locator('[data-test-script-state="notRunning"]').wait_for()


def log_out(page) -> None:
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="Log in").wait_for()


def test_login_decides_who_sees_and_who_changes(lab, page):
    url, store, access = lab
    experiment = store.experiment("one")
    upload = f"{url}/_stcore/upload_file/a/b"

    page.goto(f"{url}/watch?experiment=one")  # nobody
    page.get_by_role("button", name="Log in").wait_for()
    assert page.get_by_text(experiment.spec().question).count() == 0 and page.get_by_role("link", name="Compare").count() == 0
    assert page.request.get(f"{url}/report/one").status == 403 and page.request.get(f"{url}/thumb/photos/0.png").status == 403

    log_in(page, url, EVE)  # somebody, not on the list
    page.get_by_text("not on the list").wait_for()
    assert page.get_by_text(experiment.spec().question).count() == 0 and page.request.get(f"{url}/report/one").status == 403
    log_out(page)

    log_in(page, url, BO)  # a viewer
    page.get_by_text(experiment.spec().question).wait_for()
    page.get_by_text("you may look, and change nothing").wait_for()
    expect(page.get_by_role("button", name="Import")).to_be_disabled()
    assert page.request.get(f"{url}/thumb/none/0.png").status == 404 and page.request.put(upload).status == 403
    page.get_by_role("button", name="Actions for").click()
    page.get_by_text("Details and notes").wait_for()
    assert page.get_by_text("Archive", exact=True).count() == 0 and page.get_by_text("Delete", exact=True).count() == 0
    page.keyboard.press("Escape")
    log_out(page)
    assert page.request.get(f"{url}/report/one").status == 403

    log_in(page, url, ANA)  # somebody who may change
    page.get_by_role("button", name="Actions for").click()
    page.get_by_text("Details and notes").click()
    page.get_by_role("textbox", name="Title").fill("Renamed by Ana")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Renamed by Ana").first.wait_for()
    page.get_by_role("dialog").wait_for(state="detached")
    drawn(page)
    assert experiment.spec().title == "Renamed by Ana" and "XSRF" in page.request.put(upload).text(), (
        "Streamlit's own word: it asks for a token that the page has"
    )

    page.get_by_role("button", name="Actions for").click()  # and no longer may, while her page is open
    page.get_by_text("Details and notes").click()
    page.get_by_role("textbox", name="Title").fill("Renamed again")
    access.write_text(f'view = ["{ANA}"]\n')
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    assert experiment.spec().title == "Renamed by Ana"


def test_another_name_and_another_site_cannot_use_the_app(lab, browser):
    """DNS rebinding: a name of somebody else's that points to 127.0.0.1; and a page of another site that opens the socket."""
    url, _, _ = lab
    port = url.rpartition(":")[2]
    answers = {}
    context = profile_of(browser)
    page = context.new_page()
    page.goto(f"{url}/_stcore/health")
    open_socket = (
        "url => new Promise(done => { const socket = new WebSocket(url); socket.onopen = () => done('open'); socket.onerror = () "
        "=> done('refused') })"
    )
    answers["own page"] = page.evaluate(open_socket, f"ws://127.0.0.1:{port}/_stcore/stream")
    with oidc.serving(free_port(), []) as other:
        page.goto(f"{other}/.well-known/openid-configuration")
        answers["other page"] = page.evaluate(open_socket, f"ws://127.0.0.1:{port}/_stcore/stream")
        framed = (
            "url => new Promise(done => { const frame = document.createElement('iframe'); frame.src = url; frame.onload = () => "
            "done(frame.contentWindow.length); document.documentElement.append(frame) })"
        )
        page.evaluate(framed, url)
        answers["frame"] = page.frames[-1].locator(".stApp").count()
    context.close()
    for name in ("evil.example", "127.0.0.1.evil.example"):
        answers[name] = _status_as(port, name)
    assert answers == {
        "own page": "open",
        "other page": "refused",
        "frame": 0,
        "evil.example": 403,
        "127.0.0.1.evil.example": 403,
    }


def _status_as(port: str, name: str) -> int:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", int(port))
    connection.request("GET", "/", headers={"Host": f"{name}:{port}"})
    return connection.getresponse().status
