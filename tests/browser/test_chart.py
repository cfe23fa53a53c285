"""The chart in a browser: the right image on hover, picking, downloads, and zoom that stays."""

import codecs
import csv
import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import TimeoutError

from sslcore import datasets
from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.files import write_json
from sslcore.wording import tenths
from tests.browser.conftest import App, free_port, profile_of, start, stop

# The images of a data set on a grid, 12 a row: those of train drawn by SVG, those of test by WebGL. What is kept of
# them, and how often the page was told to change, stand in a file, at which the page looks anew all the time.
PAGE = """
import json, os
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import heap
from dashboard.figures import style
from dashboard.plot import plot


@st.fragment(run_every=1)
def draw():
    wish = json.loads((Path(os.environ["TRIPTYCH_EXPERIMENTS"]) / "wish.json").read_text())
    kept = np.array(wish["kept"])
    figure, plain = style.figure(uirevision="grid"), style.figure()
    for name, kind, of in (("train", go.Scatter, kept[kept < 96]), ("te,st", go.Scattergl, kept[kept >= 96])):
        images = {"customdata": of[:, None], "meta": {"dataset": wish["dataset"]}}
        images["hovertemplate"] = "number %{customdata[0]}<extra></extra>"
        figure.add_trace(kind(x=of % 12, y=of // 12, mode="markers", marker={"size": 12}, name=name, **images))
    if wish["none"]:  # the page knows better than its reader what is selected
        figure.update_traces(selectedpoints=[])
    figure.update_layout(title={"text": f"tick {wish['ticks']}"}, xaxis={"range": [-1, 12]}, yaxis={"range": [-1, 12]})
    picked = plot(figure, key="grid", alt="All images on a grid", height=500, select=True)
    st.text(f"indices {picked.indices} clicked {picked.clicked} ticks {wish['ticks']}")
    plain.add_trace(go.Scatter(x=np.arange(3), y=np.array([0.5, 0.25, wish["ticks"]]), name="a &lt; b"))
    x, y = np.array([0, 1, np.nan, 0]), np.array([4.0, 5, np.nan, 6])
    plain.add_trace(go.Scatter(x=x, y=y, meta={"series": ["s &lt; 0", "s<br>1"]}, showlegend=False))
    of_mean = {"customdata": np.array([[0.1, 2], [0.2, 2]]), "meta": {"columns": ["std", "N"]}}
    plain.add_trace(go.Scatter(x=[0, 1], y=[1, 2], name="mean", **of_mean))
    plain.add_trace(go.Scatter(x=[0, 1, 1, 0], y=[0, 1, 3, 2], name="mean", fill="toself"))
    plain.add_trace(style.key("what a symbol means", "circle"))
    plain.update_xaxes(title_text="epochs &amp; more")
    if wish["ticks"] > 99:  # another trace: the whole figure is fetched anew
        plain.add_trace(go.Scatter(x=np.arange(2), y=np.arange(2)))
    plot(plain, key="plain", alt="Three numbers", height=250)
    told = pd.DataFrame({"run": ["r, s", "=1+1"], "kNN": [0.5, -1]})
    plot(plain, key="given", alt="Three numbers, told otherwise", height=250, data=told)
    if not wish["all"]:
        return
    rows = style.figure(yaxis={"tickvals": [0, 1], "ticktext": ["MoCo", "b &lt; c"]})
    told = {"customdata": [["d &lt; e"], ["f"]], "meta": {"x": "accuracy", "columns": ["class"]}}
    rows.add_trace(go.Scatter(x=[0.5, -0.5], y=[0.84, -0.1], name="=1+1", **told))
    plot(rows, key="rows", alt="Two rows", height=250)
    texts = ["=1+1", "=\\n1", "+x", "-x", "@x", "-", "-2.5", "+3", "x-1"]
    named = style.figure().add_trace(go.Scatter(x=np.arange(len(texts)), y=np.arange(len(texts)), text=texts))
    plot(named, key="texts", alt="A text a point", height=250)
    plot(named, key="told", alt="A text a point, told", height=250, data=pd.DataFrame({"text": texts}))


draw()
heap.set_aside("grid")  # or each look at the file costs a fifth of a second
"""
APP = """
import streamlit as st

from dashboard.routes import ROUTES

app = st.App("page.py", routes=ROUTES)
"""
GRID = ".st-key-grid .js-plotly-plot"


class Charts(App):
    """The test's own app, with the data set that it shows."""

    def wish(self, dataset: str, kept=tuple(range(144)), ticks: int = 0, none: bool = False, all: bool = False) -> None:
        write_json(self.store / "wish.json", {"dataset": dataset, "kept": list(kept), "ticks": ticks, "none": none, "all": all})


@pytest.fixture(scope="module")
def charts(tmp_path_factory, data_cache, shapes):
    folder = tmp_path_factory.mktemp("charts")
    (folder / "page.py").write_text(PAGE)
    (folder / "app.py").write_text(APP)
    datasets.load(shapes, 16)
    Store(folder / "store").create("shapes", Spec(), {"run": resolve({"dataset": shapes, "image_size": 16})})
    port = free_port()
    charts = Charts(f"http://127.0.0.1:{port}", folder / "store")
    charts.wish(shapes)
    process = start(charts.store, port, folder / "app.py")
    yield charts
    stop(process)


@pytest.fixture
def grid(charts, shapes, page):
    """The page with all images drawn."""
    charts.wish(shapes)
    page.goto(charts.url)
    page.wait_for_selector(f"{GRID} .main-svg")
    wait_for_points(page, 144)
    return page


def wait_for_points(page, n: int) -> None:
    page.wait_for_function(f"document.querySelector('{GRID}').calcdata?.flatMap(cd => Array.from(cd[0].trace.x)).length === {n}")


def place(page, index: int) -> tuple[float, float]:
    """Where in the window the image of that index is drawn."""
    page.locator(GRID).scroll_into_view_if_needed()
    return page.evaluate(
        """([selector, x, y]) => {
            const node = document.querySelector(selector), { xaxis, yaxis } = node._fullLayout, box = node.getBoundingClientRect()
            return [box.left + xaxis._offset + xaxis.c2p(x), box.top + yaxis._offset + yaxis.c2p(y)]
        }""",
        [GRID, index % 12, index // 12],
    )


def pixels_on_hover(page, index: int) -> np.ndarray:
    """The thumbnail that is shown beside the image of that index, in its own size."""
    page.mouse.move(5, 5)
    page.mouse.move(*place(page, index), steps=2)
    page.get_by_text(f"image {index}", exact=True).wait_for()
    picture = "document.querySelector('.st-key-grid .chart-thumbnail img')"
    page.wait_for_function(f"{picture}?.complete && {picture}.naturalWidth > 0")
    content = page.evaluate(
        f"fetch({picture}.src).then(r => r.bytes ? r.bytes() : r.arrayBuffer().then(b => new Uint8Array(b))).then(bytes => "
        "Array.from(bytes))"
    )
    return np.array(Image.open(io.BytesIO(bytes(content))).convert("RGB"))


def lasso(page, *indices: int) -> None:
    """Draw a loop around the box that these images span."""
    places = np.array([place(page, index) for index in indices])
    (left, top), (right, bottom) = places.min(0) - 10, places.max(0) + 10
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def clear(page) -> None:
    """Double-click on a point. Again where that came so soon after another click that it was taken for its second half."""
    for patience in (5_000, 5_000, 120_000):
        page.mouse.dblclick(*place(page, 13))
        with suppress(TimeoutError):
            return page.get_by_text("indices [] clicked None").wait_for(timeout=patience)
    raise AssertionError("a double click leaves the selection")


def test_hover_shows_the_image_of_the_point_within_the_chart_and_after_any_filter(grid, charts, shapes):
    images = datasets.load(shapes, 16)
    for index in (0, 11, 17, 100, 132, 143):
        assert np.array_equal(pixels_on_hover(grid, index), images.images([index])[0])
        chart, box = (grid.locator(f".st-key-grid {part}").bounding_box() for part in (".chart", ".chart-thumbnail"))
        for side, size in (("x", "width"), ("y", "height")):
            assert chart[side] <= box[side] and box[side] + box[size] <= chart[side] + chart[size]
    charts.wish(shapes, kept=range(11, 144, 3))
    wait_for_points(grid, 45)
    for index in (17, 101):
        assert np.array_equal(pixels_on_hover(grid, index), images.images([index])[0])


def test_lasso_gives_exactly_the_images_inside(grid, charts, shapes):
    lasso(grid, 83, 107)  # 83, 95 in SVG; 107 in WebGL
    grid.get_by_text("indices [83, 95, 107] clicked None").wait_for()
    selected = f"document.querySelector('{GRID}').data.map(t => t.selectedpoints)"
    assert grid.evaluate(selected) == [[83, 95], [11]]

    charts.wish(shapes, kept=range(1, 144, 2))  # a new figure: the same images stay selected, at other places in it
    wait_for_points(grid, 72)
    grid.get_by_text("indices [83, 95, 107] clicked None").wait_for()
    assert grid.evaluate(selected) == [[41, 47], [5]]

    grid.mouse.move(*place(grid, 17))  # a click is on what plotly.js saw last, and it looks every 50 ms at most
    grid.get_by_text("image 17", exact=True).wait_for()
    grid.mouse.click(*place(grid, 17))
    grid.get_by_text("indices [83, 95, 107] clicked 17").wait_for()
    clear(grid)

    grid.evaluate(f"document.querySelector('{GRID}').on('plotly_selected', () => {{ window.looped = true }})")
    x, y = place(grid, 66)  # a loop around no point
    for step, (right, up) in enumerate(((10, 10), (25, 10), (25, 20), (10, 20))):
        grid.mouse.move(x + right, y - up)
        if step == 0:
            grid.mouse.down()
    grid.mouse.up()
    grid.wait_for_function(
        f"window.looped && document.querySelector('{GRID}')._fullData.every(trace => trace.selectedpoints === undefined)"
    )


def test_a_selection_that_the_page_does_not_take_up_is_not_left_lit(grid, charts, shapes):
    """As of a lasso that another panel's double click overtakes: the page answers both with the figure shown before."""
    charts.wish(shapes, ticks=1, none=True)
    grid.get_by_text("ticks 1").wait_for()
    grid.evaluate(f"document.querySelector('{GRID}').on('plotly_selected', event => {{ window.lit ??= event?.points.length }})")
    lasso(grid, 83, 107)
    grid.get_by_text("indices [83, 95, 107]").wait_for()
    assert grid.evaluate("window.lit") == 3
    grid.wait_for_function(f"!document.querySelector('{GRID}')._fullData.some(trace => trace.selectedpoints?.length)")


def test_zoom_survives_live_ticks_on_the_same_node(grid, charts, shapes):
    grid.locator(GRID).hover()
    grid.locator(f"{GRID} .modebar").get_by_label("Zoom", exact=True).click()
    (left, top), (right, bottom) = place(grid, 97), place(grid, 32)
    grid.mouse.move(left, top)
    grid.mouse.down()
    grid.mouse.move(right, bottom, steps=5)
    grid.mouse.up()
    zoom = f"document.querySelector('{GRID}').layout.xaxis.range.slice()"
    grid.wait_for_function(f"{zoom}[0] > 0")
    zoomed = grid.evaluate(zoom)
    grid.evaluate(f"window.kept = document.querySelector('{GRID}')")
    for ticks in (1, 2, 3):
        charts.wish(shapes, ticks=ticks)
        grid.get_by_text(f"ticks {ticks}").wait_for()
        grid.wait_for_function(f"document.querySelector('.st-key-plain .js-plotly-plot').calcdata[0][2].y === {ticks}")
        assert grid.evaluate(zoom) == zoomed
        assert grid.evaluate(f"window.kept === document.querySelector('{GRID}')")


def test_new_data_wait_until_the_reader_lets_go(grid, charts, shapes):
    title = f"document.querySelector('{GRID}').layout.title.text"
    (left, top), (right, bottom) = np.add(place(grid, 24), -10), np.add(place(grid, 2), 10)
    grid.mouse.move(left, top)
    grid.mouse.down()
    grid.mouse.move(right, top, steps=4)
    charts.wish(shapes, ticks=7)
    grid.wait_for_function("document.querySelector('.st-key-plain .js-plotly-plot').calcdata[0][2].y === 7")
    assert grid.evaluate(title) == "tick 0"
    grid.mouse.move(right, bottom, steps=4)
    grid.mouse.move(left, bottom, steps=4)
    grid.mouse.up()
    grid.wait_for_function(f"{title} === 'tick 7'")
    grid.get_by_text("indices [0, 1, 2, 12, 13, 14, 24, 25, 26]").wait_for()


def test_what_has_not_changed_is_not_drawn_again(grid):
    grid.wait_for_selector(".st-key-given .main-svg")
    grid.evaluate(
        "document.querySelectorAll('.js-plotly-plot').forEach(node => node.on('plotly_afterplot', () => { node.dataset.drawn = "
        "'again' }))"
    )
    for first, last in ((30, 31), (50, 52)):
        lasso(grid, first, last)
        grid.get_by_text(f"indices {list(range(first, last + 1))}").wait_for()
    grid.wait_for_selector(f"{GRID}[data-drawn=again]")
    assert grid.locator("[data-drawn=again]").count() == 1


def test_a_chart_that_could_not_be_fetched_comes_back_with_the_next_change(charts, shapes, fresh):
    charts.wish(shapes)
    fresh.goto(charts.url)
    fresh.wait_for_selector(".st-key-plain .main-svg")
    fresh.route("**/figure/*", lambda route: route.abort())
    charts.wish(shapes, ticks=100)
    fresh.locator(".st-key-plain").get_by_text("could not be fetched from the dashboard").wait_for()
    fresh.unroute("**/figure/*")
    charts.wish(shapes, ticks=101)
    fresh.wait_for_function("document.querySelector('.st-key-plain .js-plotly-plot')?.calcdata?.[0][2].y === 101")


def test_points_stay_when_the_browser_takes_webgl_away(grid):
    kinds = f"document.querySelector('{GRID}').data.map(t => t.type)"
    assert grid.evaluate(kinds) == ["scatter", "scattergl"]
    grid.evaluate(
        f"document.querySelector('{GRID} "
        ".gl-canvas-context').getContext('webgl').getExtension('WEBGL_lose_context').loseContext()"
    )
    grid.wait_for_function(f"String({kinds}) === 'scatter,scatter'")
    wait_for_points(grid, 144)
    lasso(grid, 98, 110)
    grid.get_by_text("indices [98, 110]").wait_for()


def test_charts_are_described_and_can_be_downloaded(grid, charts, shapes):
    charts.wish(shapes, all=True)
    for name in ("All images on a grid", "Three numbers"):
        grid.get_by_role("figure", name=name, exact=True).wait_for()

    def download(chart: str, button: str) -> tuple[str, bytes]:
        with grid.expect_download() as waiting:
            grid.locator(f".st-key-{chart}").get_by_role("button", name=button).press("Enter")
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def rows(content: bytes) -> list[list[str]]:
        assert content.startswith(codecs.BOM_UTF8)  # without which Excel takes it for another code
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))

    name, content = download("plain", "Download the data as CSV")
    assert name == "plain.csv"
    assert rows(content) == [
        ["series", "epochs & more", "y", "std", "N"],
        ["a < b", "0", "0.5", "", ""],
        ["a < b", "1", "0.25", "", ""],
        ["a < b", "2", "0", "", ""],
        ["s < 0", "0", "4", "", ""],
        ["s < 0", "1", "5", "", ""],
        ["s 1", "0", "6", "", ""],
        ["mean", "0", "1", "0.1", "2"],
        ["mean", "1", "2", "0.2", "2"],
    ]
    assert rows(download("given", "Download the data as CSV")[1]) == [["run", "kNN"], ["r, s", "0.5"], ["'=1+1", "-1.0"]]
    assert rows(download("rows", "Download the data as CSV")[1]) == [
        ["series", "accuracy", "y", "class"],
        ["'=1+1", "0.5", "b < c", "d < e"],
        ["'=1+1", "-0.5", "MoCo", "f"],
    ]
    for chart in ("texts", "told"):  # by the browser, by the page
        columns = zip(*rows(download(chart, "Download the data as CSV")[1]))
        told = next(column[1:] for column in columns if column[0] == "text")
        assert told == ("'=1+1", "'=\n1", "'+x", "'-x", "'@x", "-", "-2.5", "+3", "x-1"), f"{chart}: a spreadsheet runs no text"
    of_images = rows(download("grid", "Download the data as CSV")[1])
    assert of_images[0] == ["series", "x", "y", "index"] and of_images[98] == ["te,st", "1", "8", "97"] and len(of_images) == 145

    name, content = download("plain", "Download as PNG")
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    assert name == "plain.png" and picture.height == 500 and picture.getpixel((2, 2)) == (255, 255, 255, 255)
    name, content = download("grid", "Download as SVG")
    assert name == "grid.svg" and b"<svg" in content[:200]


def test_a_tap_shows_the_image(charts, shapes, browser):
    charts.wish(shapes)
    context = profile_of(browser, viewport={"width": 820, "height": 900}, has_touch=True)
    page = context.new_page()
    page.goto(charts.url)
    page.wait_for_selector(f"{GRID} .main-svg")
    wait_for_points(page, 144)
    page.touchscreen.tap(*place(page, 40))
    page.get_by_text("image 40", exact=True).wait_for()
    context.close()


def test_tables_round_as_a_browser_does_where_one_points_at_a_curve(page):
    shares = [100 * k / n for n in (320, 1437, 2000) for k in range(n)]
    assert page.evaluate("shares => shares.map(share => share.toFixed(1))", shares) == [tenths(share) for share in shares]
