"""Names beside an axis and in a legend, where a chart is narrow: in lines that leave the plot its room, each to its end."""

import csv

import pytest

from tests import synthetic

NAMES = """selector => {
    const node = document.querySelector(selector + ' .js-plotly-plot'), frame = node.getBoundingClientRect()
    const area = node.querySelector('.nsewdrag').getBoundingClientRect()
    const names = [...node.querySelectorAll('.ytick text')], texts = names.map(name => name.getBoundingClientRect())
    return {
        plot: area.width / frame.width,
        height: frame.height,
        names: names.map(name => name.textContent),
        left: Math.min(...texts.map(text => text.left - frame.left)),
        apart: Math.min(...texts.slice(1).map((text, k) => Math.abs(text.top - texts[k].top) - text.height)),
    }
}"""
LEGEND = """selector => {
    const node = document.querySelector(selector + ' .js-plotly-plot'), end = node.getBoundingClientRect().right
    const texts = [...node.querySelectorAll('.legendtext')]
    return {
        names: texts.map(text => [...text.querySelectorAll('tspan')].map(line => line.textContent).join(' ') || text.textContent),
        lines: texts.map(text => text.querySelectorAll('tspan').length || 1),
        within: Math.max(...texts.map(text => text.getBoundingClientRect().right)) <= end,
    }
}"""
LABEL = "SimCLR · batch 64 · learning rate 0.1 · weight decay 0.0 · temperature 0.1"


@pytest.fixture(scope="module")
def experiment(app):
    axes = {"batch_size": [64, 256], "simclr.temperature": [0.1, 0.5], "learning_rate": [0.1, 0.3], "weight_decay": [0.0, 1e-4]}
    experiment = synthetic.store(app.store, name="names", methods=("simclr",), seeds=(0,), steps=20, axes=axes)
    for run in experiment.runs():
        synthetic.questions(run)
    return experiment


def test_long_names_leave_the_plot_its_room_and_a_chart_that_grew_for_them_is_as_planned_where_there_is_room(
    app, page, experiment
):
    accuracy, heads, forgets = ".st-key-probe_accuracy", ".st-key-probe_heads", ".st-key-probe_forgets"
    least = {accuracy: 0.45, heads: 0.45, forgets: 0.2}

    def has_room(chart: str) -> str:
        return f"() => {{ const seen = ({NAMES})('{chart}'); return seen.plot > {least[chart]} && seen.apart > 0 }}"

    page.set_viewport_size({"width": 390, "height": 5000})
    page.goto(f"{app.url}/probe?experiment=names")
    narrow = {}
    for chart in least:
        page.wait_for_selector(f"{chart} .ytick")
        page.wait_for_function(has_room(chart))
        narrow[chart] = page.evaluate(NAMES, chart)
        assert narrow[chart]["left"] >= -1 and len(set(narrow[chart]["names"])) == 16, "each is there to its end"
    planned = 190 + 62 * 16
    assert narrow[accuracy]["height"] > planned
    page.set_viewport_size({"width": 1280, "height": 5000})
    for chart in least:
        page.wait_for_function(f"before => ({NAMES})('{chart}').height < before", arg=narrow[chart]["height"])
        page.wait_for_function(has_room(chart))
    page.wait_for_function(f"({NAMES})('{accuracy}').height === {planned}")
    assert LABEL in page.evaluate(NAMES, accuracy)["names"]


def test_a_legend_is_never_cut_off_and_what_is_downloaded_has_its_names_in_a_line_each(app, page, experiment):
    loss = ".st-key-compare_loss_simclr"
    page.set_viewport_size({"width": 390, "height": 2000})
    page.goto(f"{app.url}/compare?experiment=names")
    page.wait_for_selector(f"{loss} .legendtext")
    narrow = page.evaluate(LEGEND, loss)
    assert narrow["within"] and set(narrow["lines"]) == {2}
    assert f"{LABEL}, seed 0" in narrow["names"] and len(set(narrow["names"])) == 16
    with page.expect_download() as download:
        page.locator(loss).get_by_role("button", name="Download the data as CSV").press("Enter")
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        assert f"{LABEL}, seed 0" in {row["series"] for row in csv.DictReader(file)}

    page.set_viewport_size({"width": 1280, "height": 2000})
    page.wait_for_function(f"({LEGEND})('{loss}').lines.every(lines => lines === 1)")
    assert page.evaluate(LEGEND, loss) == narrow | {"lines": [1] * 16}
