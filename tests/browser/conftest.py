"""The app as a reader has it: `python -m dashboard` on a store of its own, and a browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARGUMENTS = ["--no-sandbox", "--process-per-site"]
CHROMIUM = (
    os.environ.get("TRIPTYCH_CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)


def profile_of(browser, **how):
    """A profile that has seen nothing yet. A busy machine is slow: a test waits for what it wants to see."""
    context = browser.new_context(**how)
    context.set_default_timeout(120_000)
    return context


@dataclass
class App:
    """A running dashboard: where it is, and the store that it shows."""

    url: str
    store: Path


def start(store: Path, port: int, app: Path | None = None, below: str = "") -> subprocess.Popen:
    """Start the dashboard, `below` a path as behind a proxy, or a Streamlit app of the test's own; and wait until it answers."""
    log = store.parent / f"dashboard-{port}.log"
    arguments = (
        ["dashboard", "--port", str(port), "--root", str(store)]
        if app is None
        else ["streamlit", "run", str(app), "--server.port", str(port)]
    )
    environment = os.environ | {"TRIPTYCH_EXPERIMENTS": str(store), "STREAMLIT_SERVER_BASE_URL_PATH": below}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if urllib.request.urlopen(f"http://127.0.0.1:{port}{below}/_stcore/health", timeout=2).status == 200:
                return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    stop(process)
    raise RuntimeError(f"the dashboard did not start:\n{log.read_text()}")


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def drag_a_rectangle(page, selector: str) -> list[float]:
    """Zoom into a chart's middle as a reader does, again where the page moved under the pointer; the range of x then shown."""
    from playwright.sync_api import TimeoutError

    chart = f"document.querySelector('{selector}')"
    pad = page.locator(f"{selector} .nsewdrag").first
    for _ in range(10):
        pad.evaluate("pad => pad.scrollIntoView({block: 'center'})")  # not below the menu, which stays
        box = pad.bounding_box()
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
        page.mouse.up()
        with suppress(TimeoutError):
            page.wait_for_function(f"{chart}.layout.xaxis.autorange === false", timeout=5000)
            return page.evaluate(f"{chart}.layout.xaxis.range.slice()")
    raise AssertionError("no rectangle zooms the chart")


@pytest.fixture(scope="session")
def app(tmp_path_factory, data_cache) -> Iterator[App]:
    store = tmp_path_factory.mktemp("browser") / "store"
    store.mkdir()
    port = free_port()
    process = start(store, port)
    yield App(f"http://127.0.0.1:{port}", store)
    stop(process)


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no Chromium found; TRIPTYCH_CHROMIUM names one")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=180_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items):
    """A browser, a server and trainings share the cores: a page's test may fail once, and is then told among the results."""
    for item in items:
        if item.path.parent == Path(__file__).parent and not item.get_closest_marker("flaky"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails on a page tells what stood there."""
    outcome = yield
    page = getattr(item, "funcargs", {}).get("page")
    if call.when == "call" and call.excinfo and page:
        with suppress(Exception):  # of a page that has crashed there is nothing to tell
            outcome.get_result().sections.append(("the page", f"{page.url}\n{page.inner_text('body')[-3000:]}"))


@pytest.fixture(scope="session")
def profile(browser):
    """The browser's profile that `page` uses: it has read the app's code once, which is half the time of opening a page.

    A page that stays open keeps the process, in which that code is compiled, for the next ones: another third.
    """
    context = profile_of(browser, viewport={"width": 1280, "height": 900})
    stays = context.new_page()
    stays.route("http://127.0.0.1/", lambda route: route.fulfill(body=""))
    stays.goto("http://127.0.0.1/")
    yield context
    context.close()


@pytest.fixture
def page(profile):
    """A page of a browser that remembers nothing. Fails the test for errors on the console and requests to other machines."""
    page = profile.new_page()
    problems = []
    page.on("request", lambda request: None if _is_local(request.url) else problems.append(f"asked for {request.url}"))
    page.on("pageerror", lambda error: problems.append(f"threw {error}"))
    page.on(
        "console",
        lambda message: problems.append(f"logged {message.text} ({message.location.get('url')})") if _is_error(message) else None,
    )
    yield page
    with suppress(Exception):  # a page that has crashed, or is no page of the app
        page.evaluate("localStorage.clear()")
    profile.clear_cookies()
    page.close()
    assert not problems


@pytest.fixture
def fresh(browser):
    """A page of another browser, which has never seen the app: what a link shows to somebody else."""
    context = profile_of(browser)
    yield context.new_page()
    context.close()


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def _is_error(message) -> bool:
    """Streamlit itself looks for its server below the page's own path first, and finds nothing there."""
    return message.type == "error" and "/_stcore/" not in message.location.get("url", "")
