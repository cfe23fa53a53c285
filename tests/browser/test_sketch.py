"""Sketches: what a reader sees of a chart until plotly.js has been read lies where plotly.js then draws it."""

import io
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests import synthetic

PLOTLY = "**/plotly-cartesian.js*"
SKETCHED = "n => document.querySelectorAll('.chart-sketch').length === n"
STILL = """() => {
    const charts = [...document.querySelectorAll(".chart")], places = JSON.stringify(charts.map(it => it.getBoundingClientRect()))
    return places === window.placesBefore || !(window.placesBefore = places)
}"""
DRAWN = "n => [...document.querySelectorAll('.js-plotly-plot')].filter(plot => plot.calcdata).length === n"


@pytest.fixture(scope="module")
def grid(app):
    return synthetic.store(app.store, name="sketched", axes={"batch_size": [64, 256]}).name


@pytest.fixture(scope="module")
def young(app):
    """An experiment whose one run has logged three steps, the last of them with a first evaluation."""
    experiment = synthetic.store(app.store, name="young", methods=("simclr",), seeds=(0,))
    (run,) = experiment.runs()
    run.metrics_file.unlink()
    synthetic.write_metrics(run, 3, every=1, evaluate_every=3)
    return experiment.name


@pytest.fixture(scope="module")
def long(app):
    """An experiment whose labels are longer than a panel is wide."""
    axes = {"batch_size": [64, 256], "moco.bn_splits": [1, 8], "weight_decay": [0.0, 1e-4]}
    return synthetic.store(app.store, name="an-experiment-of-many-settings", methods=("moco",), axes=axes).name


def pictures(page, n):
    """Each chart in grey, blurred so that the edge of a letter does not count: (height, width) of floats."""
    found = [Image.open(io.BytesIO(page.locator(".chart").nth(k).screenshot())).convert("L") for k in range(n)]
    return [np.asarray(picture.filter(ImageFilter.BoxBlur(4)), float) for picture in found]


def apart(one, other):
    """The share of the pixels that differ."""
    return np.mean(np.abs(one - other) > 30)


@pytest.mark.parametrize(
    "experiment, choices, width, n",
    [
        ("grid", {"compare_x": "Time", "compare_seeds": "each run", "compare_loss": "one axis"}, 1280, 8),
        ("grid", {"compare_smoothing": 0.5}, 390, 10),
        ("young", {}, 1280, 8),
        ("long", {"compare_seeds": "each run"}, 390, 8),
    ],
)
def test_a_chart_lies_where_its_sketch_lay(app, page, request, experiment, choices, width, n):
    held = []
    page.set_viewport_size({"width": width, "height": 6000 if width < 640 else 2800})
    page.route(PLOTLY, lambda route: held.append(route))
    page.goto(f"{app.url}/compare?{urlencode({'experiment': request.getfixturevalue(experiment), **choices})}")
    page.wait_for_function(SKETCHED, arg=n)
    page.wait_for_selector('[data-test-script-state="notRunning"]')  # the page's own parts come to rest
    page.wait_for_function(STILL, polling=300)
    sketches = pictures(page, n)
    for route in held:
        route.continue_()
    page.wait_for_function(DRAWN, arg=n)
    page.wait_for_function(SKETCHED, arg=0)
    charts = pictures(page, n)
    assert [sketch.shape for sketch in sketches] == [chart.shape for chart in charts]
    assert [round(apart(sketch, chart), 3) for sketch, chart in zip(sketches, charts)] == [0] * n
    assert all(apart(sketch, np.roll(chart, 8, axis=0)) > 0.01 for sketch, chart in zip(sketches, charts)), "it would be seen"


def test_a_chart_of_anything_but_lines_has_no_sketch(app, page, grid):
    held = []
    page.route(PLOTLY, lambda route: held.append(route))
    page.goto(f"{app.url}/probe?experiment={grid}")
    page.wait_for_function("document.querySelectorAll('.chart').length === 3")
    page.wait_for_function("performance.getEntriesByType('resource').filter(one => one.name.includes('/figure/')).length === 3")
    page.wait_for_timeout(200)
    assert page.evaluate(SKETCHED, 0)
    for route in held:
        route.continue_()
    page.wait_for_function(DRAWN, arg=3)


def test_where_plotly_cannot_be_read_the_page_says_so_instead_of_showing_a_sketch(app, fresh, grid):
    fresh.route(PLOTLY, lambda route: route.abort())
    fresh.goto(f"{app.url}/compare?experiment={grid}")
    fresh.get_by_text("plotly.js could not be loaded").first.wait_for()
    assert fresh.evaluate(SKETCHED, 0)
