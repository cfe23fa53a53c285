"""The newcomer's path: an empty store, three methods launched from the form, watched, probed, and shown to somebody else."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from sslcore import launch
from sslcore.experiment import Store
from sslcore.status import ACTIVE
from tests.browser.conftest import drag_a_rectangle, free_port, start, stop
from tests.waiting import until

LIMIT = 600  # seconds for three small runs on a busy machine; they take one minute on two idle cores
KNN = "[class*=st-key-watch_knn] .js-plotly-plot"
POINTS = f"document.querySelector('{KNN}').calcdata.flat().filter(p => Number.isFinite(p.x)).length"


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    store.root.mkdir()
    yield store
    for run in store.runs():  # nothing of a test that went wrong goes on
        if run.status().state in ACTIVE:
            launch.stop(run)


class Dashboard:
    """A dashboard of a test's own, which the test may kill and start again."""

    def __init__(self, store: Store):
        self.root, self.port = store.root, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = start(self.root, self.port)

    def restart(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = start(self.root, self.port)


@pytest.fixture
def dashboard(store, data_cache) -> Iterator[Dashboard]:
    dashboard = Dashboard(store)
    yield dashboard
    stop(dashboard.process)


def badge(page: Page, text: str) -> Locator:
    """How many runs are in a state, as Watch's badges have it; "09:33:33 finished" in a log is something else."""
    return page.locator(".stMarkdownBadge", has_text=re.compile(rf"(^|\D){text}$"))


def test_from_an_empty_store_to_a_link_for_the_team(dashboard, store, page, fresh):
    # Home, empty: one button to begin with, and the way to one's own settings.
    page.goto(dashboard.url)
    expect(page.get_by_role("button", name="Run the two-minute comparison")).to_be_visible()
    own_way = page.get_by_role("link", name="Choose your own images and settings")
    own_way.focus()
    expect(own_way).to_have_css("outline-style", "solid")  # a reader with a keyboard sees which link it is on
    own_way.click()

    # The form: a preset, fewer epochs, launch.
    expect(page.get_by_role("heading", name="New experiment")).to_be_visible()
    page.get_by_role("combobox", name="Start from the preset").click()
    page.get_by_role("option", name="quick", exact=True).click()
    page.wait_for_url(re.compile("new_preset=quick"))
    title = page.get_by_role("textbox", name="Title", exact=True)
    expect(title).to_have_value("A quick check on digits")
    title.fill("First look")
    title.press("Enter")
    epochs = page.get_by_role("spinbutton", name="Epochs", exact=True)
    epochs.fill("2")
    epochs.press("Enter")
    size = page.get_by_role("spinbutton", name="Image size", exact=True)
    size.fill("4")
    size.press("Enter")
    expect(page.get_by_text("must be greater than or equal to 8, not 4").first).to_be_visible()
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    size.fill("1" + 20 * "0")
    size.press("Enter")
    expect(page.get_by_text("must be less than or equal to").first).to_be_visible()
    size.fill("8")
    size.press("Enter")
    page.get_by_text("Evaluation", exact=True).click()
    sample = page.get_by_role("spinbutton", name="Sample", exact=True)
    sample.fill("200")
    sample.press("Enter")
    page.wait_for_url(re.compile("evaluate.sample"))  # an expander that is clicked while the page is drawn anew may close again
    page.get_by_text("The same from the shell").click()
    command = "launch quick --name first-look .*epochs=2 image_size=8 evaluate.sample=200"
    expect(page.get_by_text(re.compile(command))).to_be_visible()
    page.get_by_role("button", name="Launch 3 runs").click()

    # Watch: it runs, curves grow, and the chart stays as the reader zoomed it.
    expect(page.get_by_role("heading", name="Watch")).to_be_visible()
    page.wait_for_url(re.compile("experiment=first-look"))
    expect(badge(page, "1 running")).to_be_visible()
    page.wait_for_function(f"document.querySelector('{KNN}')?.calcdata && {POINTS} >= 1", timeout=1000 * LIMIT)
    page.evaluate(f"window.kept = document.querySelector('{KNN}')")
    zoomed = drag_a_rectangle(page, KNN)
    points = page.evaluate(POINTS)
    page.wait_for_function(f"{POINTS} > {points}", timeout=1000 * LIMIT)
    assert page.evaluate(f"document.querySelector('{KNN}').layout.xaxis.range.slice()") == zoomed
    assert page.evaluate(f"window.kept === document.querySelector('{KNN}')")

    # The dashboard dies; the runs do not, and the next dashboard shows them.
    unfinished = [run for run in store.runs() if run.status().state in ACTIVE]
    assert unfinished, "all runs ended before the dashboard could be killed"
    page.goto("about:blank")
    dashboard.restart()
    # Without a page, which takes its share of a core.
    until(lambda: all(run.status().state == "finished" for run in store.runs()), LIMIT)
    page.goto(f"{dashboard.url}/watch?experiment=first-look")
    expect(badge(page, "3 finished")).to_be_visible()
    assert {run.status().attempt for run in store.runs()} == {1}

    # Probe: a line a method, with the numbers of the folders.
    page.get_by_role("link", name="Probe", exact=True).click()
    expect(page.get_by_role("heading", name="Probe")).to_be_visible()
    table = page.get_by_role("region", name="Accuracy and cost")
    expect(table).to_be_visible()
    for run in store.runs():
        expect(table).to_contain_text(f"{100 * run.results()['linear']['accuracy']:.1f}")
    assert "experiment=first-look" in page.url

    # Somebody else opens the link.
    fresh.goto(page.url)
    expect(fresh.get_by_role("region", name="Accuracy and cost")).to_have_text(table.inner_text(), use_inner_text=True)


def test_stop_resume_and_delete_from_the_screen(dashboard, store, page):
    page.goto(f"{dashboard.url}/new?new_preset=quick")
    others = page.get_by_role("button", name="BYOL", exact=True), page.get_by_role("button", name="SimCLR", exact=True)
    epochs = page.get_by_role("spinbutton", name="Epochs", exact=True)
    epochs.fill("5000")
    epochs.press("Enter")
    for method in others:
        method.click()
    page.get_by_role("button", name="Launch 1 run").click()
    expect(badge(page, "1 running")).to_be_visible()
    (run,) = store.runs()

    # Back is one step, to the form as it was.
    page.go_back()
    expect(page.get_by_role("button", name="Launch 1 run")).to_be_visible()
    expect(epochs).to_have_value("5000")
    page.go_forward()
    expect(badge(page, "1 running")).to_be_visible()

    until(lambda: run.status().attempt == 1)  # its process has begun, which is later than its state says
    menu = page.locator("[class*=st-key-watch_menu] button")
    menu.click()
    page.get_by_text("Stop", exact=True).click()
    expect(badge(page, "1 stopped")).to_be_visible()
    assert run.status().state == "stopped"

    menu.click()
    page.get_by_text("Resume", exact=True).click()
    expect(badge(page, "1 running")).to_be_visible()
    until(lambda: run.status().attempt == 2)
    menu.click()
    page.get_by_text("Stop", exact=True).click()
    expect(badge(page, "1 stopped")).to_be_visible()

    menu.click()
    page.get_by_text("Delete", exact=True).click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("This experiment has no runs")).to_be_visible()
    assert not run.exists()
    assert list((store.root / ".trash").iterdir())
