"""What the pages are to people who may only look, or not even that."""

from dashboard import access, link, share
from sslcore import trash
from sslcore.experiment import Store
from tests import synthetic
from tests.access.people import content, someone
from tests.pages.driving import open_page, texts

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
        assert "you may look, and change nothing" in texts(app) and "bo@lab.example" in texts(app)
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
    fields = [field for field in (*app.text_input, *app.text_area, *app.multiselect) if field.key.startswith("details_")]
    assert len(fields) == 4 and all(field.disabled for field in fields), "what is typed would be lost"
    assert app.button(key="details_save").disabled
    monkeypatch.setattr(access, "lock", lambda **otherwise: otherwise)
    app.run()
    app.text_area(key="details_notes").set_value("mine now").run()
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
            assert "one" not in texts(app).split() and experiment.spec().title not in texts(app)
            assert {button.key for button in app.button} <= {"login_out" if user["is_logged_in"] else "login_None"}


def test_who_may_change_is_not_hindered(login, experiment):
    login('change = ["ana@lab.example"]')
    app = open_page("experiments", someone("ana@lab.example"))
    assert not app.button(key="experiments_new").disabled and "Delete" in str(app.menu_button(key="experiments_menu_one").options)
    app = open_page("watch", someone("ana@lab.example"), experiment="one")
    app.menu_button(key="watch_menu_byol-bs256-s0").click("Resume").run()
    assert experiment.run("byol-bs256-s0").recorded_status().state == "queued"


def test_the_shared_zip_is_not_a_change(login, experiment):
    experiment.runs()[0].encoder_file.write_bytes(b"weights")
    login('view = ["bo@lab.example"]')
    app = open_page("experiments", someone("bo@lab.example"))
    app = app.menu_button(key="experiments_menu_one").click("Share").run()
    assert len(app.get("download_button")) == 3 and share.zipped(experiment, weights=False)
    assert link.report(experiment) == "/report/one"
