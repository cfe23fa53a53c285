"""The report in a browser: with the network off, as a file, and as the app serves it."""

import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from dashboard import report
from dashboard.figures import style
from sslcore.experiment import Store
from tests import synthetic
from tests.browser.conftest import profile_of

HOSTILE = "<img src=x onerror='window.ran = true'><script>window.ran = true</script>"
DRAWN = "() => [...document.querySelectorAll('.chart')].every(node => node.querySelector('.main-svg .xaxislayer-above'))"
WIDE = {"width": 1280, "height": 900}

TITLES = "[...document.querySelectorAll('.chart .gtitle, .chart .gtitle-subtitle')]"
SUBTITLES = "[...document.querySelectorAll('.chart .gtitle-subtitle')]"
# With one pair of axes.
SINGLE = "[...document.querySelectorAll('.chart')].filter(chart => chart.querySelectorAll('.nsewdrag').length === 1)"


def until(page, condition: str, argument=None):
    """What a function of the page's says, once that is true. (Playwright's own waiting needs eval, which the report forbids.)"""
    return page.evaluate(
        f"""argument => new Promise((resolve, reject) => {{
            const end = Date.now() + 60000
            const look = () => {{
                const said = ({condition})(argument)
                if (said) resolve(said)
                else if (Date.now() > end) reject(new Error("it did not happen"))
                else setTimeout(look, 50)
            }}
            look()
        }})""",
        argument,
    )


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, data_cache):
    experiment = synthetic.store(tmp_path_factory.mktemp("store"), seeds=(0,), steps=200)
    synthetic.embed(experiment)
    with experiment.editing() as spec:
        spec.title, spec.notes = HOSTILE, f"**Bold**\n\n{HOSTILE}\n\n[link](javascript:window.ran=true)"
    return experiment


@pytest.fixture(scope="module")
def file(experiment, tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "report.html"
    path.write_text(report.html(experiment))
    return path


@pytest.fixture(scope="module")
def window(browser, file):
    """The report, open in a browser without a network: (the page, what went wrong on it)."""
    context = profile_of(browser, viewport=WIDE, color_scheme="light")
    context.set_offline(True)
    page = context.new_page()
    problems = []
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("data:", "blob:", file.as_uri())) else problems.append(f"asked for {request.url}")
        ),
    )
    page.on("pageerror", lambda error: problems.append(f"threw {error}"))
    page.on("console", lambda message: problems.append(f"logged {message.text}") if message.type == "error" else None)
    page.goto(file.as_uri())
    until(page, DRAWN)
    yield page, problems
    context.close()


@pytest.fixture
def opened(window):
    """The report in that browser, in light and wide, whatever the test before made of it."""
    page, problems = window
    page.emulate_media(color_scheme="light", media="screen")
    page.set_viewport_size(WIDE)
    yield page
    assert not problems


def test_it_opens_without_a_network_and_shows_the_folders_curves(opened, experiment):
    for run in experiment.runs():
        method = run.config.method
        logged = [row for row in run.metrics() if "loss" in row]
        name = f"{style.title(method)}, seed 0"
        curves = opened.evaluate(
            "name => document.querySelector(`.chart[data-name='${name}'] .js-plotly-plot`)._fullData.map(t => ({ name: t.name, "
            "x: [...(t.x ?? [])], y: [...(t.y ?? [])], colour: t.line.color }))",
            f"loss-{method}",
        )
        (curve,) = (one for one in curves if one["name"] == name and len(one["x"]) > 1)
        assert np.array_equal(np.float32(curve["x"]), np.float32([row["step"] for row in logged]))
        assert np.array_equal(np.float32(curve["y"]), np.float32([row["loss"] for row in logged]))
        assert curve["colour"] == style.colour(method)


def test_texts_of_the_folder_run_nothing(opened):
    assert opened.locator("h1").inner_text() == HOSTILE
    assert opened.locator(".notes strong").inner_text() == "Bold"
    assert opened.locator(".notes :is(script, img, a)").count() == 0
    opened.evaluate("document.body.insertAdjacentHTML('beforeend', '<p id=last>')")  # whatever was queued before this has run
    assert opened.evaluate("window.ran") is None


def test_a_point_shows_its_own_image(opened, experiment):
    run = experiment.runs()[0]
    sheet = np.asarray(Image.open(experiment.sample_sheet(run.config.dataset)).convert("RGB"), dtype=float)
    side = sheet.shape[1] // 100
    with np.load(run.embeddings_file) as kept:
        places = kept["index"].tolist()
    plot = f"document.querySelector(`.chart[data-name='umap-{run.name}'] .js-plotly-plot`)"
    x, y = opened.evaluate(
        f"""() => {{
            const plot = {plot}, {{ xaxis, yaxis }} = plot._fullLayout, trace = plot._fullData.find(trace => trace.meta?.dataset)
            plot.scrollIntoView({{ block: "center", behavior: "instant" }})
            const frame = plot.querySelector(".nsewdrag").getBoundingClientRect()
            return [frame.left + xaxis.d2p(trace.x[7]), frame.top + yaxis.d2p(trace.y[7])]
        }}"""
    )
    opened.mouse.move(x - 3, y)
    opened.mouse.move(x, y)
    shown = opened.locator(f".chart[data-name='umap-{run.name}'] .chart-thumbnail img")
    shown.wait_for()
    chart = opened.locator(f".chart[data-name='umap-{run.name}']").element_handle()
    # On its way the pointer may have met a neighbour, whose image stays until the tooltip's own comes.
    until(
        opened,
        "chart => chart.querySelector('.hovertext')?.textContent.endsWith(chart.querySelector('.chart-thumbnail img').alt)",
        chart,
    )
    read = """chart => {
        const node = chart.querySelector(".chart-thumbnail img"), canvas = document.createElement("canvas")
        if (!(node.complete && node.naturalWidth)) return null
        canvas.width = node.naturalWidth
        canvas.height = node.naturalHeight
        const drawn = canvas.getContext("2d")
        drawn.drawImage(node, 0, 0)
        return [node.alt, canvas.width, ...drawn.getImageData(0, 0, canvas.width, canvas.height).data]
    }"""
    name, width, *pixels = until(opened, read, chart)  # of one image: the next may take its place at any time
    index = int(name.removeprefix("image "))
    assert width == side
    seen = np.array(pixels, dtype=float).reshape(side, side, 4)[..., :3]
    tiles = [sheet[k // 100 * side :, k % 100 * side :][:side, :side] for k in range(len(places))]
    errors = [abs(tile - seen).mean() for tile in tiles]
    assert int(np.argmin(errors)) == places.index(index) and min(errors) < 6  # two decoders of one WebP differ a little


def test_the_theme_follows_the_reader_and_paper_is_light(opened):
    text = "getComputedStyle(document.querySelector('.chart .xtick text')).fill"
    light = opened.evaluate(text)
    opened.emulate_media(color_scheme="dark")
    until(opened, f"() => {text} !== '{light}'")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    opened.emulate_media(color_scheme="dark", media="print")
    until(opened, f"() => {text} === '{light}'")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_on_a_tablet_no_tool_lies_on_a_title(browser, tmp_path):
    """Whose readers have no pointer to make the tool bar go away; two charts beside each other are narrow for a long title."""
    experiment = synthetic.store(tmp_path / "store", seeds=(0,), steps=20, axes={"batch_size": [64, 256]})
    file = tmp_path / "report.html"
    file.write_text(report.html(experiment))
    context = profile_of(browser, viewport=WIDE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(file.as_uri())
    until(page, DRAWN)
    over = page.evaluate(
        """() => [...document.querySelectorAll(".chart")].filter(chart => {
            const [bar, title] = [".modebar", ".gtitle"].map(part => chart.querySelector(part).getBoundingClientRect())
            return bar.left < title.right && bar.bottom > title.top + 2
        }).map(chart => chart.querySelector(".gtitle").textContent)"""
    )
    context.close()
    assert over == []


@pytest.mark.parametrize("width", [800, 1280])
def test_on_paper_charts_lie_in_as_many_columns_as_in_the_window_for_which_they_were_drawn(opened, width):
    columns = "[...document.querySelectorAll('.grid')].map(grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length)"
    opened.set_viewport_size({"width": width, "height": 900})
    on_screen = opened.evaluate(columns)
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.emulate_media(media="print")
    assert opened.evaluate(columns) == on_screen and set(on_screen) == ({1, 2} if width == 800 else {2, 3})


def test_a_phone_shows_it_without_scrolling_sideways(opened):
    opened.set_viewport_size({"width": 390, "height": 800})
    until(
        opened, "() => [...document.querySelectorAll('.chart .main-svg')].every(svg => svg.getBoundingClientRect().right <= 390)"
    )
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    until(opened, f"() => Math.max(...{TITLES}.map(text => text.getBoundingClientRect().right)) <= 390")
    until(
        opened,
        f"() => {SINGLE}.every(chart => chart.querySelector('.nsewdrag').getBoundingClientRect().height >= "
        "Number(chart.dataset.height) / 2 - 1)",
    )
    broken = opened.evaluate(f"{SUBTITLES}.filter(text => text.querySelectorAll('tspan').length > 1).length")
    assert broken > 0
    opened.set_viewport_size(WIDE)
    until(opened, f"() => {SUBTITLES}.filter(text => text.querySelectorAll('tspan').length > 1).length < {broken}")


def test_the_app_serves_it(app, page, experiment):
    name = Store(app.store).free_name("reported")
    shutil.copytree(experiment.path, app.store / name)
    with urllib.request.urlopen(f"{app.url}/report/{name}", timeout=300) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert report.look.policy() in answer.headers["Content-Security-Policy"]
    page.goto(f"{app.url}/report/{name}")
    until(page, DRAWN)
    assert page.locator("h1").inner_text() == HOSTILE
    for unknown in ("nothing", "..", "%2e%2e", ".trash", f"{name}%2f..", f"..%2f{app.store.name}%2f{name}"):
        with pytest.raises(urllib.error.HTTPError, match=r"40[04]"):
            urllib.request.urlopen(f"{app.url}/report/{unknown}", timeout=300)
