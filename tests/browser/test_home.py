"""The list of experiments in a browser: sharing, deleting, importing, links to several experiments, notes that fetch nothing."""

import re
import shutil

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import save_file

from sslcore.experiment import Store
from tests import synthetic

NODE = "[class*=st-key-compare_knn] .js-plotly-plot"


def choose(page, name: str, action: str) -> None:
    """Choose in the menu of an experiment's card."""
    button = page.locator(f".st-key-experiments_menu_{name} button")
    page.locator('[data-test-script-state="notRunning"]').wait_for()  # while a list with one more is drawn,
    expect(button).to_have_count(1)  # a card stands in two places
    button.click()
    page.get_by_role("menuitem", name=re.compile(action)).click()


def test_what_is_exported_deleted_and_imported_shows_the_same(app, page, tmp_path):
    for name in ("travels", "from-a-shell"):  # of a first try
        shutil.rmtree(app.store / name, ignore_errors=True)
    run, *_ = synthetic.store(app.store, name="travels", seeds=(0, 1)).runs()
    save_file({"conv1.weight": np.zeros((2, 3, 3, 3), np.float32)}, run.encoder_file)
    page.goto(f"{app.url}/probe?experiment=travels")
    table = page.get_by_role("region", name="Accuracy and cost")
    expect(table).to_be_visible()
    expect(page).to_have_title("Probe · travels · Triptych")
    before = table.inner_text()

    page.goto(app.url)
    expect(page.locator(".st-key-experiments_menu_travels")).to_be_visible()
    expect(page).to_have_title("Experiments · Triptych")
    synthetic.store(app.store, name="from-a-shell", methods=("moco",), seeds=(0,), steps=20)
    page.get_by_role("button", name="Show 1 new experiment").click()
    expect(page.locator(".st-key-experiments_menu_from-a-shell")).to_be_visible()
    choose(page, "travels", "Share")
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("Without weights")).click()
    file = tmp_path / "travels.zip"
    download.value.save_as(file)
    with page.expect_download() as whole:
        page.get_by_role("button", name=re.compile("With weights")).click()
    assert (download.value.suggested_filename, whole.value.suggested_filename) == ("travels.zip", "travels-with-weights.zip")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator(".st-key-experiments_menu_travels button")).to_be_focused()  # from where the dialog was asked for
    choose(page, "travels", "Delete")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".st-key-experiments_menu_travels")).to_have_count(0)
    assert not Store(app.store).experiment("travels").exists()

    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(file)
    page.get_by_role("button", name="Add to this store").click()
    page.wait_for_url(re.compile("compare.*experiment=travels"))
    page.get_by_role("link", name="Probe", exact=True).click()
    expect(page.get_by_role("heading", name="Probe", exact=True)).to_be_visible()
    expect(table).to_have_text(before, use_inner_text=True)


@pytest.fixture(scope="module")
def side_by_side(app):
    for name in ("ours", "theirs"):
        synthetic.store(app.store, name=name, methods=("moco", "byol"), seeds=(0,), steps=100)


def test_a_link_with_several_experiments_and_chosen_runs_shows_the_same_in_a_fresh_browser(app, page, fresh, side_by_side):
    page.goto(f"{app.url}/compare?experiment=ours")
    page.get_by_role("combobox", name=re.compile("^Beside it")).click()
    page.get_by_role("option", name="theirs", exact=True).click()
    page.wait_for_url(re.compile("also=theirs"))
    page.keyboard.press("Escape")
    page.get_by_text("4 runs", exact=True).wait_for()
    for run in ("ours/byol-bs256-s0", "theirs/moco-bs256-s0"):
        page.get_by_role("combobox", name=re.compile("^Runs")).click()
        page.get_by_role("option", name=run, exact=True).click()
        page.wait_for_url(re.compile(re.escape(run).replace("/", "(/|%2F)")))
    page.get_by_text("2 runs", exact=True).wait_for()
    names = f"document.querySelector('{NODE}').data.filter(t => t.showlegend !== false).map(t => t.name)"
    page.wait_for_function(f"document.querySelector('{NODE}')?.data && {names}.length === 2")

    fresh.goto(page.url)
    fresh.wait_for_function(f"document.querySelector('{NODE}')?.data && {names}.length === 2")
    assert fresh.evaluate(names) == page.evaluate(names) == ["MoCo · theirs, seed 0", "BYOL · ours, seed 0"]


def test_reading_notes_fetches_nothing(app, page, side_by_side):
    with Store(app.store).experiment("ours").editing() as spec:
        spec.title = "Noted"
        spec.notes = (
            "Read **this**.\n\n![inline](http://example.org/1.png) ![by name][p] "
            "[![nested](http://example.org/2.png)](http://example.org)\n\n"
            '<img src="http://example.org/3.png"> \\![escaped](http://example.org/4.png)\n\n[p]: http://example.org/5.png'
        )
    page.goto(app.url)
    choose(page, "ours", "Details")
    notes = page.get_by_role("tabpanel").filter(has_text="Read this.")
    expect(notes.get_by_role("link", name="inline")).to_be_visible()
    expect(notes.locator("img")).to_have_count(0)  # and the fixture fails for any request to another machine
