"""Embeddings in a browser: a lasso in one panel selects in all, the right pictures, and links that say which."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from sslcore import datasets
from tests import synthetic

METHODS = ("moco", "simclr", "byol")
LIT = """node => {
    const lit = node._fullData.filter(t => t.meta).flatMap(t => (t.selectedpoints ?? []).map(i => t.customdata[i]))
    return lit.sort((a, b) => a - b)
}"""


def panel(method: str) -> str:
    return f".st-key-embeddings_panel_{method}-bs256-s0 .js-plotly-plot"


@pytest.fixture(scope="module")
def experiment(app):
    experiment = synthetic.store(app.store, name="embedded", seeds=(0,), **{"evaluate.sample": 120})
    synthetic.embed(experiment)
    return experiment


@pytest.fixture
def panels(app, page, experiment):
    """The page with all panels drawn."""
    page.goto(f"{app.url}/embeddings?experiment=embedded")
    wait_for_panels(page)
    return page


def wait_for_panels(page) -> None:
    for method in METHODS:
        page.wait_for_function(f"document.querySelector('{panel(method)}')?._fullData?.length > 1")


def places(page, method: str) -> dict[int, tuple[float, float]]:
    """Where in the window each image is drawn, by its index."""
    page.locator(panel(method)).scroll_into_view_if_needed()
    found = page.evaluate(
        """selector => {
            const node = document.querySelector(selector), { xaxis, yaxis } = node._fullLayout, box = node.getBoundingClientRect()
            const left = x => box.left + xaxis._offset + xaxis.c2p(x), top = y => box.top + yaxis._offset + yaxis.c2p(y)
            const at = (t, i) => [Number(t.customdata[i]), left(t.x[i]), top(t.y[i])]
            return node._fullData.filter(t => t.meta).flatMap(t => Array.from(t.customdata, (_, i) => at(t, i)))
        }""",
        panel(method),
    )
    return {int(index): (x, y) for index, x, y in found}


def lasso(page, method: str, inside: set[int]) -> list[int]:
    """Draw a loop around the box that these images span. Returns all images inside the box."""
    at = places(page, method)
    box = np.array([at[index] for index in inside])
    (left, top), (right, bottom) = box.min(0) - 4, box.max(0) + 4
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    return sorted(index for index, (x, y) in at.items() if left < x < right and top < y < bottom)


def wait_for_lit(page, method: str, indices: list[int]) -> None:
    page.wait_for_function(f"String(({LIT})(document.querySelector('{panel(method)}'))) === '{','.join(map(str, indices))}'")


def wait_for_listed(page, indices: list[int]) -> None:
    """Wait until the strip holds pictures of exactly these images."""
    sources = (
        "[...document.querySelectorAll('[aria-label=\"Selected images\"] img')].map(i => Number(i.src.match(/(\\d+)\\.png/)[1]))"
    )
    page.wait_for_function(f"String({sources}.sort((a, b) => a - b)) === '{','.join(map(str, indices))}'")


def of_class(experiment, k: int) -> set[int]:
    with np.load(experiment.runs()[0].embeddings_file, allow_pickle=False) as kept:
        return set(kept["index"][kept["label"] == k].tolist())


def test_a_lasso_selects_exactly_these_images_in_all_panels_and_the_link_says_so(panels, experiment, fresh):
    inside = lasso(panels, "simclr", of_class(experiment, 2))
    assert 10 < len(inside) < 48
    for method in METHODS:
        wait_for_lit(panels, method, inside)
    wait_for_listed(panels, inside)
    panels.wait_for_url(re.compile("embeddings_pick=" + "(%2C|,)".join(map(str, inside))))

    fresh.goto(panels.url)
    wait_for_panels(fresh)
    for method in METHODS:
        wait_for_lit(fresh, method, inside)
    wait_for_listed(fresh, inside)

    panels.get_by_role("button", name="Clear").click()
    for method in METHODS:
        wait_for_lit(panels, method, [])
    again = lasso(panels, "simclr", of_class(experiment, 2))  # the same loop counts again
    wait_for_lit(panels, "moco", again)
    at = places(panels, "byol")
    panels.mouse.dblclick(*np.mean(list(at.values()), axis=0))  # amid the ring of classes, in another panel
    for method in METHODS:
        wait_for_lit(panels, method, [])
    panels.wait_for_url(lambda url: "embeddings_pick" not in url)


def test_hover_shows_the_right_image_after_a_filter(app, page, experiment):
    images = datasets.load("photos", 32)
    page.goto(f"{app.url}/embeddings?experiment=embedded&embeddings_highlight=rocket&embeddings_highlight=coffee")
    wait_for_panels(page)
    names = f"document.querySelector('{panel('byol')}')._fullData.filter(t => t.meta).map(t => t.name)"
    page.wait_for_function(f"String({names}) === 'others,coffee,rocket'")
    at = places(page, "byol")
    crowd = np.array(list(at.values()))
    loneliest = max(of_class(experiment, 3), key=lambda index: np.sort(np.linalg.norm(crowd - at[index], axis=1))[1])
    page.mouse.move(5, 5)
    page.mouse.move(*at[loneliest], steps=3)
    thumbnail = page.locator(".st-key-embeddings_panel_byol-bs256-s0 .chart-thumbnail img")
    thumbnail.wait_for()
    assert thumbnail.get_attribute("alt") == f"image {loneliest}"
    content = page.request.get(thumbnail.evaluate("image => image.src")).body()
    assert np.array_equal(np.array(Image.open(io.BytesIO(content)).convert("RGB")), images.images([loneliest])[0])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_names_on_the_points_stand_on_the_pages_colour(app, page, experiment, theme):
    page.emulate_media(color_scheme=theme)
    page.goto(f"{app.url}/embeddings?experiment=embedded")
    chip = f"document.querySelector('{panel('moco')} .annotation rect.bg')"
    page.wait_for_function(chip)
    behind, paper = page.evaluate(
        f"[getComputedStyle({chip}).fill, getComputedStyle(document.querySelector('.stApp')).backgroundColor]"
    )
    letters = page.evaluate(f"getComputedStyle({chip}.parentNode.querySelector('text')).fill")
    told = [sum(map(int, re.findall(r"\d+", colour))) for colour in (paper, letters)]
    assert behind == paper and abs(told[0] - told[1]) > 500, "of 765, from black to white"


def test_a_click_shows_the_nearest_images_of_each_method(panels, experiment):
    at = places(panels, "moco")
    crowd = np.array(list(at.values()))
    loneliest = max(at, key=lambda index: np.sort(np.linalg.norm(crowd - at[index], axis=1))[1])
    panels.mouse.click(*at[loneliest])
    panels.wait_for_url(re.compile(f"embeddings_image={loneliest}"))
    rows = panels.get_by_role("list", name=f"The images nearest to image {loneliest} in h of")
    rows.nth(2).wait_for()
    for k, method in enumerate(METHODS):
        with np.load(experiment.run(f"{method}-bs256-s0").embeddings_file, allow_pickle=False) as kept:
            unit = kept["h"].astype(float) / np.linalg.norm(kept["h"], axis=1, keepdims=True)
            place = int(np.flatnonzero(kept["index"] == loneliest)[0])
            order = [i for i in np.argsort(-unit @ unit[place], kind="stable") if i != place][:8]
            expected = kept["index"][order].tolist()
        shown = rows.nth(k).locator("img")
        shown.nth(7).wait_for()
        assert [
            int(re.search(r"/(\d+)\.png", source)[1]) for source in shown.evaluate_all("images => images.map(i => i.src)")
        ] == expected


def test_the_whole_of_plotly_is_fetched_only_where_points_are_drawn(app, page, experiment):
    asked = []
    page.on("request", lambda request: asked.append(re.sub(r".*/|\?.*", "", request.url)))
    page.goto(f"{app.url}/compare?experiment=embedded")
    page.wait_for_selector("[class*=st-key-compare_loss_byol] .main-svg")
    assert asked.count("plotly-cartesian.js") == 1 and "plotly.js" not in asked
    page.get_by_role("link", name="Embeddings", exact=True).first.click()
    wait_for_panels(page)
    assert asked.count("plotly-cartesian.js") == asked.count("plotly.js") == 1
