"""Ablations in a browser: the chart shows the folder's numbers and what is missing, and a link restores every choice."""

import json
import shutil

import numpy as np
import pytest

from tests import synthetic
from tests.browser.conftest import free_port, start, stop

NODE = "[class*=st-key-ablations_main] .js-plotly-plot"


@pytest.fixture(scope="module")
def experiment(app):
    sizes = {"moco.queue_size": [16, 256, 4096], "simclr.negatives": [8, 126]}
    experiment = synthetic.store(app.store, name="ablation", seeds=(0, 1), steps=20, axes=sizes, batch_size=64)
    for seed in (0, 1):
        shutil.rmtree(experiment.run(f"moco-bs64-queue_size256-s{seed}").path)
    return experiment


def drawn(page):
    """The chart as plotly.js has it: its x axis, and each trace (named if in the legend), its axis and heights (None: none)."""
    page.wait_for_selector(f"{NODE} .main-svg")
    script = f"""() => {{ const node = document.querySelector("{NODE}")
        const traces = node._fullData.map(t => [t.showlegend ? t.name : "", t.yaxis, [...t.y].map(Number)])
        return JSON.stringify([node.layout.xaxis.type, traces]) }}"""
    return json.loads(page.evaluate(script))


def test_the_chart_shows_the_folders_numbers_and_what_is_missing_and_a_link_restores_every_choice(app, page, fresh, experiment):
    page.goto(f"{app.url}/ablations?experiment=ablation")
    kind, traces = drawn(page)
    assert kind == "log"
    accuracy = {run.name: 100 * run.results()["linear"]["accuracy"] for run in experiment.runs()}

    def mean(name):
        return np.mean([value for run, value in accuracy.items() if run.startswith(name)])

    lines = {name: y for name, axis, y in traces if axis == "y" and name}
    assert lines["MoCo"][1] is None and np.allclose(
        [lines["MoCo"][0], lines["MoCo"][2]], [mean("moco-bs64-queue_size16-"), mean("moco-bs64-queue_size4096-")]
    )
    assert np.allclose(lines["SimCLR"], [mean("simclr-bs64-negatives8-"), mean("simclr-bs64-negatives126-")])
    assert np.allclose(lines["BYOL (level)"], mean("byol-"))
    assert len([name for name, axis, _ in traces if axis == "y2"]) == 1, "one cell is missing"
    page.get_by_role("button", name="Run 2 missing runs").wait_for()

    page.get_by_text("drop from the best", exact=True).click()
    page.wait_for_url("**ablations_reading=**")
    page.get_by_text("Published curves").click()
    page.wait_for_url("**ablations_published=**")
    page.wait_for_function(f"document.querySelector('{NODE}').data.some(t => (t.name ?? '').includes('published'))")
    seen = drawn(page)
    fresh.goto(page.url)
    fresh.wait_for_selector(f"{NODE} .main-svg")
    assert drawn(fresh) == seen


def test_why_nothing_could_be_started_is_said_for_longer_than_until_the_next_look(tmp_path, page):
    experiment = synthetic.store(tmp_path / "store", name="e", seeds=(0,), steps=20, axes={"batch_size": [64, 256]})
    stopped, ended, queued, *_ = experiment.runs()
    for run, state in ((stopped, "stopped"), (ended, "queued"), (queued, "queued")):
        run.results_file.unlink()
        run.write_status(synthetic.status(run, state))
    (experiment.store.root / ".agent").touch()  # where a folder should be
    dashboard = start(experiment.store.root, port := free_port())
    try:
        for page_name, button in (("ablations", "Run 1 missing run"), ("watch", "Start the queue")):
            ended.write_status(synthetic.status(ended, "queued"))
            page.goto(f"http://127.0.0.1:{port}/{page_name}?experiment=e")
            page.get_by_role("button", name=button).click()
            refused = page.get_by_text("Not a directory")
            refused.wait_for()
            ended.update_status(state="failed", error=f"it was the test of {page_name}")
            page.get_by_text(f"it was the test of {page_name}").first.wait_for()  # it has looked again
            assert refused.is_visible()
    finally:
        page.goto("about:blank")
        stop(dashboard)
