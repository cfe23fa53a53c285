"""Compare and Probe in a browser: live curves keep the reader's zoom, and links say everything."""

import re

import pytest

from tests import synthetic
from tests.browser.conftest import drag_a_rectangle, profile_of

NODE = "[class*=st-key-compare_loss_moco] .js-plotly-plot"
LENGTH = f"Math.max(...document.querySelector('{NODE}').calcdata.flat().map(p => p.x).filter(Number.isFinite))"  # of its curves


@pytest.fixture(scope="module")
def phone(browser):
    context = profile_of(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    yield context
    context.close()


@pytest.fixture(scope="module")
def finished(app):
    return synthetic.store(app.store, name="finished", seeds=(0, 1))


def range_of(page, selector=NODE):
    return page.evaluate("s => document.querySelector(s).layout.xaxis.range.slice()", selector)


def test_zoom_survives_growing_data(app, page):
    experiment = synthetic.store(app.store, name="growing", methods=("moco", "byol"), seeds=(0,))
    run = experiment.run("moco-bs256-s0")
    synthetic.running(run, steps=100)
    page.goto(f"{app.url}/compare?experiment=growing")
    page.wait_for_selector(f"{NODE} .main-svg")
    assert page.evaluate(LENGTH) == 100
    page.evaluate(f"window.kept = document.querySelector('{NODE}')")

    zoomed = drag_a_rectangle(page, NODE)

    for steps in (200, 300, 390):
        synthetic.write_metrics(run, steps, first=steps - 100 if steps < 390 else 300)
        page.wait_for_function(f"{LENGTH} === {steps}")
        assert range_of(page) == zoomed
        assert page.evaluate(f"window.kept === document.querySelector('{NODE}')")

    synthetic.write_results(run)
    run.write_status(synthetic.status(run, "finished", progress=1.0))
    page.get_by_text("1 still to finish").wait_for(state="detached")
    assert range_of(page) == zoomed


def test_zoom_survives_a_run_that_begins_to_log_after_another_has_gone_on(app, page):
    """What is appended changes a part of the figure, and then a new line all of it."""
    experiment = synthetic.store(app.store, name="beginning", methods=("moco",), seeds=(0, 1))
    first, second = experiment.runs()
    for run in (first, second):
        synthetic.running(run, steps=100)
    second.metrics_file.unlink()
    page.goto(f"{app.url}/compare?experiment=beginning&compare_seeds=each+run")
    page.wait_for_selector(f"{NODE} .main-svg")
    zoomed = drag_a_rectangle(page, NODE)
    n_traces = f"document.querySelector('{NODE}').data.length"
    before = page.evaluate(n_traces)
    synthetic.write_metrics(first, 200, first=100)
    page.wait_for_function(f"{LENGTH} === 200")
    assert range_of(page) == zoomed
    synthetic.write_metrics(second, 100)
    page.wait_for_function(f"{n_traces} > {before}")
    assert range_of(page) == zoomed


def test_link_shows_the_same_in_a_fresh_browser(app, page, fresh, finished):
    page.goto(f"{app.url}/compare?experiment=finished")
    page.wait_for_selector(f"{NODE} .main-svg")
    page.get_by_role("radio", name="Images seen").click()
    page.get_by_role("radio", name="each run").click()
    page.get_by_role("slider", name="Smoothing").press("End")
    page.wait_for_url(re.compile("compare_smoothing=0.99"))
    page.wait_for_url(re.compile("compare_x=Images"))
    page.wait_for_function(f"document.querySelector('{NODE}').layout.xaxis.title.text === 'images seen'")
    described = (
        "s => { const n = document.querySelector(s); return [n.layout.xaxis.title.text, n.data.length, n.data.map(t => t.name)] }"
    )
    page.wait_for_function(f"({described})('{NODE}')[1] === 6")  # two runs, raw and smooth; the legend's line; chance

    fresh.goto(page.url)
    fresh.wait_for_selector(f"{NODE} .main-svg")
    assert fresh.evaluate(described, NODE) == page.evaluate(described, NODE)


def test_experiment_follows_through_the_pages_and_back_leads_to_the_one_that_was_left_with_what_was_chosen_on_it(
    app, page, finished
):
    synthetic.store(app.store, name="newest", methods=("byol",), seeds=(0,))
    page.goto(f"{app.url}/compare?experiment=finished")
    page.wait_for_selector(f"{NODE} .main-svg")
    page.get_by_role("radio", name="Epoch").click()
    page.wait_for_url(re.compile("compare_x=Epoch"))
    for title in ("Probe", "Watch", "Experiments", "Compare"):
        page.get_by_role("link", name=title, exact=True).first.click()
        page.wait_for_url(re.compile("experiment=finished"))
        page.get_by_role("heading", name=title, exact=True).wait_for()
        if title == "Probe":
            page.go_back()
            page.wait_for_function(f"document.querySelector('{NODE}')?.layout?.xaxis?.title?.text === 'epoch'")
            assert "compare_x=Epoch" in page.url


def test_what_a_page_writes_into_its_address_before_its_reader_does_anything_is_no_step_of_the_history(app, page, finished):
    """As Streamlit does, one by one, with what was chosen on a page when it was last seen; at times after the page is there."""
    page.goto(f"{app.url}/compare?experiment=finished")
    page.wait_for_function("window.triptychBack")
    push = "x => { history.pushState(null, '', `/compare?experiment=finished&compare_x=${x}`); return history.length }"
    before = page.evaluate("history.length")
    assert page.evaluate(push, "Epoch") == before
    page.keyboard.press("Tab")
    assert page.evaluate(push, "Time") == before + 1


def test_probe_table_and_confusion(app, page, finished):
    page.goto(f"{app.url}/probe?experiment=finished&probe_run=byol-bs256-s1")
    page.wait_for_selector("[class*=st-key-probe_confusion] .main-svg")
    table = page.get_by_role("region", name="Accuracy and cost")
    for title in ("MoCo", "SimCLR", "BYOL"):
        row = table.get_by_role("row", name=re.compile(title))
        assert re.search(r"\d\d\.\d\s±\s\d\.\d\s%", row.inner_text())
    assert (
        page.evaluate("document.querySelector('[class*=st-key-probe_confusion] .js-plotly-plot').layout.title.text")
        == "What byol-bs256-s1 confuses"
    )


def test_on_a_phone_a_confusion_matrix_has_the_width_of_its_chart_and_every_name(app, phone, finished):
    page = phone.new_page()
    page.goto(f"{app.url}/probe?experiment=finished")
    chart = page.locator("[class*=st-key-probe_confusion] .js-plotly-plot")
    page.wait_for_selector("[class*=st-key-probe_confusion] .hm image")
    matrix = page.locator("[class*=st-key-probe_confusion] .hm image").bounding_box()
    assert matrix["width"] > 0.6 * chart.bounding_box()["width"]
    assert chart.locator(".xtick text").all_text_contents() == list(synthetic.CLASSES)
    page.close()


def test_theme_changes_the_text_of_charts(app, page, finished):
    page.emulate_media(color_scheme="dark")
    page.goto(f"{app.url}/probe?experiment=finished")
    tick = "[class*=st-key-probe_accuracy] .xtick text"
    page.wait_for_selector(tick)
    colour = page.evaluate(f"getComputedStyle(document.querySelector('{tick}')).fill")
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"getComputedStyle(document.querySelector('{tick}')).fill !== '{colour}'")


def test_unlabelled_runs_say_what_can_be_seen_instead(app, page):
    experiment = synthetic.store(app.store, name="unlabelled", methods=("byol",), seeds=(0,))
    synthetic.write_results(experiment.runs()[0], labelled=False)
    page.goto(f"{app.url}/probe?experiment=unlabelled")
    page.get_by_text("nothing can be probed").wait_for()


def test_on_a_phone_a_long_legend_makes_a_chart_higher_and_on_a_wide_page_it_is_as_before(app, page, finished):
    knn = "[class*=st-key-compare_knn]"
    drawn = f"document.querySelector('{knn} .nsewdrag')?.getBoundingClientRect().height"
    room = f"document.querySelector('{knn}').getBoundingClientRect().height"
    inside = (
        f"document.querySelector('{knn} .legend').getBoundingClientRect().bottom <= "
        f"document.querySelector('{knn}').getBoundingClientRect().bottom"
    )
    page.goto(f"{app.url}/compare?experiment=finished&compare_seeds=each+run")
    page.wait_for_function(f"{drawn} > 0")
    planned = page.evaluate(room)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(f"{room} > {planned} && {drawn} >= {planned} / 2 - 2 && {inside}")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function(f"{room} === {planned}")


def test_on_a_phone_no_tool_lies_on_a_title(app, phone, finished):
    page = phone.new_page()
    knn = "[class*=st-key-compare_knn]"
    edge = "document.querySelector('{} {}')?.getBoundingClientRect().{}"
    bar, title = edge.format(knn, ".modebar", "bottom"), edge.format(knn, ".gtitle", "top")
    page.goto(f"{app.url}/compare?experiment=finished")
    page.wait_for_function(f"{bar} <= {title}")
    assert page.evaluate(f"getComputedStyle(document.querySelector('{knn} .modebar')).opacity") == "1"
    page.set_viewport_size({"width": 667, "height": 390})  # turned, and its charts below each other: beside a title there is room
    page.wait_for_function(f"{bar} > {title}")
    page.close()


def test_on_a_phone_the_menu_closes_once_a_page_is_chosen(app, phone, finished):
    page = phone.new_page()
    page.goto(f"{app.url}/compare?experiment=finished")
    page.wait_for_function("window.triptychBack")
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Methods").click()
    page.get_by_role("heading", name="Methods", exact=True).wait_for()
    page.get_by_test_id("stExpandSidebarButton").wait_for(state="visible")
    page.close()
