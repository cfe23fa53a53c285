"""Who may see, who may change and what may be opened: asked at every action, whatever the page shows."""

import ast
import importlib
import inspect
import json
import pkgutil
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from streamlit import config as options
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

import dashboard
import sslcore.experiment
from dashboard import access, change, guard, link, share
from sslcore import archive, compact, datasets, files, launch, plan, trash
from sslcore.config import resolve
from sslcore.experiment import Experiment, Run, Store
from tests import synthetic

DASHBOARD = Path(dashboard.__file__).parent
MAIN = str(DASHBOARD / "main.py")
AUTH = """[auth]
redirect_uri = "http://127.0.0.1:8501/oauth2callback"
cookie_secret = "a secret that only this server knows"
client_id = "triptych"
client_secret = "s"
server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"
"""


@pytest.fixture(autouse=True)
def no_agent(monkeypatch):
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)


@pytest.fixture
def setting():
    """Change Streamlit's settings for a test."""
    before = {}

    def change_to(name: str, value) -> None:
        before.setdefault(name, options.get_option(name))
        options.set_option(name, value)

    yield change_to
    for name, value in before.items():
        options.set_option(name, value)


@pytest.fixture
def exposed(setting):
    """Other machines can reach the dashboard, and nobody has to log in."""
    setting("server.address", "0.0.0.0")


@pytest.fixture
def login(setting, tmp_path, monkeypatch):
    """Set up a login, and list who may view and who may change."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(AUTH)
    setting("secrets.files", [str(secrets)])
    monkeypatch.setenv("TRIPTYCH_ACCESS", str(tmp_path / "access.toml"))
    secrets_singleton._reset()

    def allow(text: str) -> None:
        (tmp_path / "access.toml").write_text(text)

    yield allow
    secrets_singleton._reset()


def someone(email: str, **claims) -> dict:
    return {"is_logged_in": True, "email": email, "provider": "default", **claims}


def open_page(name: str, user: dict | None = None, **params: str) -> AppTest:
    app = AppTest.from_file(MAIN, default_timeout=180)
    if user is not None:
        app.user = user
    app.run()
    if name != "experiments":
        app.query_params.update(params)
        app.switch_page(f"views/{name}.py")
        app.query_params.update(params)
        app.run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def said(app: AppTest) -> str:
    return "\n".join(
        str(e.value) for kind in ("title", "text", "caption", "error", "warning", "info", "markdown") for e in getattr(app, kind)
    )


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


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
        (someone("ana@lab.example", email_verified=False), False, False),
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


def test_secrets_that_cannot_be_read_let_nobody_in(login, tmp_path):
    login('change = ["*"]')
    (tmp_path / "secrets.toml").write_text("[auth\n")
    secrets_singleton._reset()
    assert not access.rights_of({}).view and access.providers() == []


def test_the_list_counts_from_the_moment_at_which_it_is_written(login):
    login('change = ["*"]')
    assert access.rights_of(someone("eve@x.org")).change
    login('change = ["ana@lab.example"]')
    assert not access.rights_of(someone("eve@x.org")).view


def cookie(
    user: dict, secret: str = "a secret that only this server knows", origin: str = "http://127.0.0.1:8501"
) -> dict[str, str]:
    value = json.dumps(user | {"origin": origin})
    return {"_streamlit_user": create_signed_value(secret, "_streamlit_user", value).decode()}


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


# -- Every action refuses ------------------------------------------------------------------


@pytest.fixture
def experiment() -> Experiment:
    experiment = synthetic.store(
        Store().root, methods=("byol", "moco"), seeds=(0,), steps=20, name="one", axes={"batch_size": [64, 256]}
    )
    synthetic.failed(experiment.runs()[0])
    return experiment


def attempts(experiment: Experiment) -> dict[str, tuple]:
    """Arguments with which each action would change the store."""
    store, (run, other, *_) = experiment.store, experiment.runs()
    trash.discard(store, other)
    return {
        "launch": (store, "two", experiment.spec(), {"a": run.config}),
        "set_cluster": (store, {"partition": "gpu"}),
        "start_queue": (store,),
        "stop": (run,),
        "resume": (run,),
        "complete": (experiment, [run.name]),
        "probe_elsewhere": (experiment, "digits", [run]),
        "draw_views": (run.config,),
        "grow": (experiment, {"seed": [5]}),
        "editing": (experiment,),
        "bring_in": (store, DASHBOARD.parent / "studies" / "batch-size-on-photos.zip"),
        "discard": (store, experiment),
        "restore": (store, trash.contents(store)[0]),
        "empty_trash": (store,),
    }


def test_every_action_is_refused_to_whoever_may_not_change(experiment, exposed):
    given = attempts(experiment)
    assert set(given) == set(change.ACTIONS), "each action is tried here"
    public = {
        name
        for name, of in vars(change).items()
        if inspect.isfunction(of) and of.__module__ == change.__name__ and not name.startswith("_")
    }
    assert public - {"action"} == set(change.ACTIONS), "each function of change.py asks"
    before = content(experiment.path.parent)
    for name, arguments in given.items():
        with pytest.raises(change.Refused, match="Read-only"):
            done = getattr(change, name)(*arguments)
            if hasattr(done, "__enter__"):
                done.__enter__()
    assert content(experiment.path.parent) == before


READING = {
    # methods of a store, an experiment, a run
    "experiment",
    "experiments",
    "runs",
    "find",
    "free_name",
    "spec",
    "run",
    "files",
    "exists",
    "sample_sheet",
    "whole",
    "status",
    "recorded_status",
    "alive",
    "stopping",
    "metrics",
    "results",
    "environment",
    "log_tail",
    # functions of launch, archive, plan, trash, compact, files, experiment
    "agent_alive",
    "slots",
    "look",
    "export",
    "as_imported",
    "plan",
    "presets",
    "read",
    "check",
    "cells",
    "axes_by_method",
    "run_name",
    "extend",
    "change",
    "read_json",
    "slug",
    "process_is",
    "logged_rows",
    "read_spec",
    "read_object",
    "readable",
    "missing",
    "last",
    "unknown",
    "in_words",
    "submitted",
    "contents",
    "check_place",
}
LAUNCHERS = [importlib.import_module(module.name) for module in pkgutil.walk_packages(launch.__path__, "sslcore.launch.")]
MODULES = (launch, *LAUNCHERS, archive, plan, trash, compact, files, sslcore.experiment)
METHODS = {
    name for of in (Store, Experiment, Run) for name, value in vars(of).items() if callable(value) and not name.startswith("_")
}
METHODS -= {*READING, "add"}  # sets have an `add`, too
FUNCTIONS = {
    name
    for of in MODULES
    for name, value in vars(of).items()
    if inspect.isfunction(value) and value.__module__ == of.__name__ and not name.startswith("_")
} - READING


def test_no_file_of_the_dashboard_changes_a_store_but_change_py():
    """Whatever the science's stores, launchers, archives and plans have that is not known to read alone."""
    assert {"create", "editing", "write_spec", "update_status", "write_status", "request_stop", "hold"} <= METHODS
    assert {
        "bring_in",
        "grow",
        "resume",
        "stop",
        "start",
        "complete",
        "replacing",
        "write_json",
        "discard",
        "restore",
        "empty",
        "keep",
    } <= FUNCTIONS
    for file in sorted(DASHBOARD.rglob("*.py")):
        if file.name in ("change.py", "__main__.py"):  # the latter is the shell's
            continue
        tree = ast.parse(file.read_text())
        imported = [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sslcore")
        ]
        science = {alias.asname or alias.name for node in imported for alias in node.names}
        for node in ast.walk(tree):
            of, names = "", set()
            if isinstance(node, ast.Attribute):
                of = ast.unparse(node.value)
                names = {node.attr} & METHODS - (set(change.ACTIONS) if of == "change" else set())
                names |= {node.attr} & (FUNCTIONS if of in science else set())
            elif node in imported and node.module != "sslcore":
                names = {alias.name for alias in node.names} & FUNCTIONS
            assert not names, f"{file.name}:{node.lineno}: {of}.{names} is for change.py alone"


# -- What a viewer's pages do ------------------------------------------------------------------


PAGES = ("experiments", "new", "watch", "compare", "probe", "embeddings", "ablations", "evidence", "claims", "methods")


def test_a_viewer_sees_every_page_and_changes_nothing(login, experiment, monkeypatch):
    """Every button of every page is pressed, also those that should be disabled, as if the pages had forgotten to."""
    login('view = ["bo@lab.example"]')
    queued = experiment.runs()[1]
    queued.update_status(state="queued", progress=0.0)
    trash.discard(Store(), synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20, name="gone"))
    before, locked = content(Store().root), {}
    for name in PAGES:
        app = open_page(name, someone("bo@lab.example"), experiment="one")
        assert "you may look, and change nothing" in said(app) and "bo@lab.example" in said(app)
        locked |= {button.key or button.label: name for button in app.button if button.disabled}
        assert all("change nothing" in button.help for button in app.button if button.disabled)
    expected = {"new_launch", "experiments_import", "ablations_grow_add", "Start the queue"}
    assert expected <= set(locked) and any(key.startswith("trash_restore") for key in locked)
    monkeypatch.setattr(access, "lock", lambda **otherwise: otherwise)
    refused = set()
    for key, name in locked.items():
        app = open_page(name, someone("bo@lab.example"), experiment="one")
        (button,) = [button for button in app.button if key in (button.key, button.label)]
        button.click().run()
        assert not app.exception
        refused |= {key} if any("change nothing" in error.value for error in app.error) else set()
    assert set(locked) - refused <= {"experiments_import"}, "each says why, but the one that opens a dialog"
    assert content(Store().root) == before


def test_dialogs_and_menus_change_nothing_for_a_viewer(login, experiment, monkeypatch):
    login('view = ["bo@lab.example"]')
    before = content(Store().root)
    app = open_page("experiments", someone("bo@lab.example"))
    menu = app.menu_button(key="experiments_menu_one")
    assert [option.split()[-1] for option in menu.options] == ["notes", "Share", "Copy"]
    app = menu.click("Details and notes").run()
    app.text_area(key="details_notes").set_value("mine now").run()
    assert app.button(key="details_save").disabled
    monkeypatch.setattr(access, "lock", lambda **otherwise: otherwise)
    app.run()
    app.button(key="details_save").click().run()
    assert any("change nothing" in error.value for error in app.error)
    app = open_page("watch", someone("bo@lab.example"), experiment="one")
    assert {tuple(menu.options) for menu in app.get("menu_button")} == {("Copy",)}
    assert content(Store().root) == before


def test_who_may_not_view_sees_no_page(login, experiment):
    login('view = ["bo@lab.example"]')
    for user in ({"is_logged_in": False}, someone("eve@x.org")):
        for name in ("experiments", "watch"):
            app = open_page(name, user, experiment="one")
            assert "one" not in said(app).split() and experiment.spec().title not in said(app)
            assert {button.key for button in app.button} <= {"login_out" if user["is_logged_in"] else "login_None"}


def test_who_may_change_is_not_hindered(login, experiment):
    login('change = ["ana@lab.example"]')
    app = open_page("experiments", someone("ana@lab.example"))
    assert not app.button(key="experiments_new").disabled and "Delete" in str(app.menu_button(key="experiments_menu_one").options)
    app = open_page("watch", someone("ana@lab.example"), experiment="one")
    app.menu_button(key="watch_menu_byol-bs256-s0").click("Resume").run()
    assert experiment.run("byol-bs256-s0").recorded_status().state == "queued"


# -- What may be opened -------------------------------------------------------------------------


@pytest.fixture
def roots(monkeypatch, tmp_path, shapes):
    """Data sets may be opened in one folder alone; the data set of the tests lies outside."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.setattr(access, "is_local", lambda: False)
    monkeypatch.setenv("TRIPTYCH_TRUST_NETWORK", "1")
    monkeypatch.setenv("TRIPTYCH_DATA_ROOTS", str(inside))
    datasets._info.cache_clear()
    yield inside
    datasets._info.cache_clear()


def test_paths_outside_of_the_roots_are_not_opened(roots, shapes):
    link_out, link_in = roots / "out.npz", roots.parent / "in.npz"
    link_out.symlink_to(shapes)
    (roots / "own.npz").write_bytes(Path(shapes).read_bytes())
    link_in.symlink_to(roots / "own.npz")
    for outside in (
        shapes,
        str(link_out),
        f"{roots}/../inside-too/x.npz",
        f"{roots}/../../",
        "/",
        "/etc/passwd",
        f"{roots}x",
        "\0",
        "~root",
    ):
        with pytest.raises(ValueError):
            access.check_data(outside)
        with pytest.raises(ValueError):
            datasets.info(outside)
    for inside in (str(roots / "own.npz"), str(link_in), str(roots), f"{roots}/./own.npz", "photos", "cifar10"):
        access.check_data(inside)
    assert datasets.info(str(roots / "own.npz")).train == 96


def test_the_form_says_so_beside_the_field_and_the_action_refuses(roots, shapes, experiment):
    app = open_page("new", new_dataset="own images", new_path=shapes)
    app.text_input(key="new_path").set_value(shapes).run()
    assert (
        any("TRIPTYCH_DATA_ROOTS" in error.value.replace("\\", "") for error in app.error)
        and app.button(key="new_launch").disabled
    )
    app = open_page("new")
    app.multiselect(key="new_vary").set_value(["dataset"]).run()
    app.text_input(key="new_values_dataset").set_value(f"photos, {shapes}").run()
    assert app.button(key="new_launch").disabled
    assert [e.name for e in Store().experiments()] == ["one"]
    config = resolve({"dataset": shapes, "epochs": 1})
    foreign = Store().create("foreign", experiment.spec().model_copy(update={"base": {"dataset": shapes}}), {"a": config})
    foreign.run("a").update_status(state="interrupted")
    for do in (
        lambda: change.launch(Store(), "x", experiment.spec(), {"a": config}),
        lambda: change.resume(foreign.run("a")),
        lambda: change.complete(foreign, ["a"]),
        lambda: change.draw_views(config),
    ):
        with pytest.raises(ValueError, match="TRIPTYCH_DATA_ROOTS"):
            do()
    app = open_page("new", clone="foreign")
    assert app.button(key="new_launch").disabled
    assert [e.name for e in Store().experiments()] == ["foreign", "one"] and foreign.run("a").status().state == "interrupted"


@pytest.mark.parametrize("name", ["../one", "/etc", "one/../one", "one/../../x", ".trash/x", "..", "one/byol-bs256-s0/x", "\0"])
def test_a_link_to_copy_opens_nothing_but_experiments_and_runs(experiment, name):
    assert any("nothing to copy" in error.value for error in open_page("new", clone=name).error)


@pytest.mark.parametrize(
    "odd",
    [
        {"base": {"dataset": ["x"]}},
        {"base": {"dataset": 5}},
        {"base": {"method": ["moco"]}},
        {"axes": {"method": [["a"]]}},
        {"axes": {"method": [{}]}},
        {"axes": {"seed": ["a", 1]}},
    ],
)
def test_what_no_form_can_show_is_not_copied_and_the_page_says_why(experiment, odd):
    with experiment.editing() as spec:
        spec.base, spec.axes = odd.get("base", {}), odd.get("axes", {})
    (error,) = open_page("new", clone=experiment.name).error
    assert "nothing to copy" in error.value and "experiment.json" in error.value.replace("\\", "") and "cannot be" in error.value


def test_usual_roots_are_for_this_machine_alone(setting, monkeypatch, login):
    monkeypatch.delenv("TRIPTYCH_DATA_ROOTS", raising=False)
    assert access.data_roots() == []
    monkeypatch.setattr(access, "login_is_set_up", lambda: False)
    assert str(Path.cwd().resolve()) in access.data_roots()
    setting("server.address", "0.0.0.0")
    assert access.data_roots() == []


def test_the_shell_may_open_any_path(shapes):
    """In a process of its own, as the shell is: the rule is the dashboard's."""
    done = subprocess.run(
        [sys.executable, "-c", f"from sslcore import datasets; print(datasets.info({shapes!r}).train, datasets.check_path)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["96", "None"]


# -- What is refused before a page is asked ------------------------------------------------------


def asked(path: str = "/", method: str = "GET", client: str = "127.0.0.1", **headers: str) -> str:
    scope = {
        "type": "websocket" if method == "WEBSOCKET" else "http",
        "method": method,
        "path": path,
        "client": (client, 1),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in ({"host": "127.0.0.1:8501"} | headers).items()],
    }
    return guard.refusal(scope)


def test_other_names_other_sites_and_other_machines_are_refused(setting):
    for host in ("127.0.0.1:8501", "localhost:8501", "[::1]:8501", "x.localhost", "192.0.2.7:8501"):
        assert asked(host=host) == ""
    for host in (
        "evil.example",
        "127.0.0.1.evil.example:8501",
        "localhost.evil.example",
        "",
        "[",
        "evil.example@127.0.0.1:8501x",
    ):
        assert asked(host=host)
    for method in ("WEBSOCKET", "PUT", "DELETE", "POST"):
        assert asked("/_stcore/stream", method, origin="http://127.0.0.1:8501") == ""
        for origin in ("http://evil.example", "http://127.0.0.1:3000", "null", "http://evil.example:8501", "file://"):
            assert asked("/_stcore/stream", method, origin=origin)
        assert asked("/_stcore/stream", method, origin="http://evil.example:8501", host="evil.example:8501")
    assert asked(client="192.0.2.7") and not asked(client="::1")
    setting("server.allowedHosts", ["lab.example", "localhost"])
    assert asked(host="lab.example", client="192.0.2.7") == "" and asked("/", "WEBSOCKET", origin="https://lab.example") == ""
    assert asked(host="evil.example") and asked("/", "WEBSOCKET", origin="http://localhost:3000")


def test_pictures_downloads_reports_and_uploads_are_for_those_who_may(login):
    login('view = ["bo@lab.example"]\nchange = ["ana@lab.example"]')
    sent = {
        name: "; ".join(f"{key}={value}" for key, value in cookie(someone(f"{name}@lab.example")).items())
        for name in ("ana", "bo", "eve")
    }
    for path in ("/thumb/photos/1.png", "/report/one", "/media/abc.webp"):
        assert asked(path) and asked(path, cookie=sent["eve"])
        assert asked(path, cookie=sent["bo"]) == "" == asked(path, cookie=sent["ana"])
    assert asked("/_stcore/stream", "WEBSOCKET", origin="http://127.0.0.1:3000"), (
        "not even from another port of the login's own host"
    )
    upload = "/_stcore/upload_file/session/file"
    assert asked(upload, "PUT") and asked(upload, "PUT", cookie=sent["bo"]) and asked(upload, "PUT", cookie=sent["ana"]) == ""
    assert asked("/") == "" and asked("/static/media/font.woff2") == "" and asked("/_stcore/health") == ""


def test_uploads_are_refused_where_nobody_may_change(exposed):
    assert asked("/_stcore/upload_file/a/b", "PUT", client="192.0.2.7") and asked("/report/one", client="192.0.2.7") == ""


def test_the_shared_zip_is_not_a_change(login, experiment):
    login('view = ["bo@lab.example"]')
    app = open_page("experiments", someone("bo@lab.example"))
    app = app.menu_button(key="experiments_menu_one").click("Share").run()
    assert len(app.get("download_button")) == 3 and share.zipped(experiment, weights=False)
    assert link.report(experiment) == "/report/one"


# -- As it is started ----------------------------------------------------------------------------


def test_a_dashboard_that_others_can_reach_says_that_it_is_read_only_and_answers_to_its_name(tmp_path):
    from tests.browser.conftest import free_port

    port, log = free_port(), tmp_path / "log"
    with log.open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "dashboard", "--port", str(port), "--host", "lab.example", "--root", str(tmp_path)],
            stdout=said,
            stderr=said,
            cwd=DASHBOARD.parent,
        )
    try:
        deadline = time.monotonic() + 120
        while "Read-only" not in log.read_text() and time.monotonic() < deadline and server.poll() is None:
            time.sleep(0.1)
        assert "Read-only" in log.read_text()
        answers = {}
        for name in ("lab.example", "127.0.0.1", "evil.example"):
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/_stcore/health", headers={"Host": f"{name}:{port}"})
            answers[name] = connection.getresponse().status
        assert answers == {"lab.example": 200, "127.0.0.1": 200, "evil.example": 403}
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0 and "Traceback" not in log.read_text(), "interrupted is how it ends"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--address 203.0.113.1", "cannot listen there"),
        (f"--address {'a' * 300}", "cannot be the name of a machine"),
        ("--port 0", "--port 0: choose"),
        ("nosuch", "nosuch"),
        ("report", "EXPERIMENT"),
        ("report tiny --format pdf", "pdf"),
    ],
)
def test_words_that_it_cannot_follow_are_told_in_one_line(words, says, capsys):
    from dashboard.__main__ import main

    try:
        code = main(words.split())
    except SystemExit as ended:  # argparse ends by itself
        code = ended.code
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2 and says in line


def test_a_report_that_is_interrupted_ends_with_a_word(monkeypatch, capsys):
    from dashboard import __main__ as shell

    monkeypatch.setattr("sslcore.experiment.Store.find", lambda *_: signal.raise_signal(signal.SIGINT))
    assert shell.main(["report", "photos"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
