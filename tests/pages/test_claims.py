"""The Claims and Methods pages as a reader drives them, without a browser."""

import math
import re

import numpy as np
import pytest
import yaml

from dashboard.claims import form
from dashboard.figures import claims as figures
from dashboard.figures import style
from sslcore.analysis import claims
from sslcore.analysis.claims.step import Step
from sslcore.analysis.stats import over_seeds
from sslcore.experiment import Store
from sslcore.files import write_json
from sslcore.plan import grow
from tests import synthetic
from tests.pages.driving import clean, open_page, texts


@pytest.fixture
def experiment():
    return synthetic.store(Store().root, seeds=(0, 1), axes={"batch_size": [16, 64, 256]}, steps=40, name="sizes")


def rows(app) -> list[str]:
    """The claims' verdicts, in order."""
    return re.findall(r":(?:green|red|gray)-badge\[:material/\w+: (\w+)\]", texts(app))


def test_every_claim_has_a_verdict_a_reason_and_its_source(experiment):
    app = open_page("claims", experiment="sizes")
    shown = texts(app).replace("\\", "")
    assert len(rows(app)) == 9 and set(rows(app)) <= set(figures.VERDICTS)
    for claim in claims.read()[0]:
        assert claim.claim in shown and claim.source in shown
    assert (
        "Energy counts where it was measured" in shown
        and "SimCLR loses more than MoCo as the batch size falls" in shown
        and "Not decided: no run was fine-tuned" in shown
    )


def test_of_runs_without_labels_it_is_said_that_none_was_probed_and_why(experiment):
    for run in experiment.runs():
        synthetic.write_results(run, labelled=False)
    why = "photos has no labels, so nothing can be probed"
    shown = texts(open_page("claims", experiment="sizes"))
    assert f"P{why[1:]}" in shown and "no probed runs of SimCLR" in shown and "no finished runs" not in shown
    shown = texts(open_page("methods", experiment="sizes"))
    assert f"It takes probed runs at two batch sizes or more; {why}" in shown


def test_one_verdict_can_be_shown_alone(experiment):
    app = open_page("claims", experiment="sizes", claims_show=":material/help: undecided")
    every = open_page("claims", experiment="sizes")
    assert 0 < len(rows(every)) and set(rows(app)) <= {"undecided", *rows(every)}
    verdicts = app.segmented_control(key="claims_show")
    assert not re.search(r"\d", "".join(verdicts.options)), "the address holds what is written there: no count, which changes"
    verdicts.set_value("undecided").run()
    assert rows(clean(app)) == ["undecided"] * rows(every).count("undecided")


def test_a_button_queues_the_seeds_that_a_claim_lacks(experiment, launched):
    app = open_page("claims", experiment="sizes")
    buttons = [button for button in app.button if str(button.key).startswith("claims_queue_")]
    assert buttons and "1 more seed: 9 runs" in buttons[0].label
    buttons[0].click().run()
    clean(app)
    assert experiment.spec().axes["seed"] == [0, 1, 2] and sum(run.status().state == "queued" for run in experiment.runs()) == 9
    assert launched


def test_seeds_that_an_experiment_has_as_text_are_counted_on_all_the_same(experiment):
    with experiment.editing() as spec:
        spec.axes["seed"] = ["0", "1"]
    app = open_page("claims", experiment="sizes")
    assert any("1 more seed: 9 runs" in button.label for button in app.button)


def test_seeds_are_not_offered_where_the_claim_needs_other_values():
    synthetic.store(Store().root, seeds=(0, 1), axes={"batch_size": [16, 64]}, steps=40, name="two-sizes")
    app = open_page("claims", experiment="two-sizes")
    assert "2 distinct values of batch size" in texts(app) and "claims_queue_0" not in [button.key for button in app.button]


def test_claims_of_ones_own_stand_beside_and_bad_ones_are_told(experiment):
    mine = {"claim": "Mine *is* <b>odd</b>", "source": "me", "parts": [{"rule": "pair_ahead", "ahead": "byol", "of": "simclr"}]}
    (Store().root / "claims.yaml").write_text(yaml.safe_dump([mine, {**mine, "parts": [{"rule": "magic"}]}]))
    app = open_page("claims", experiment="sizes")
    assert len(rows(app)) == 10 and "Left out" in app.warning[0].value
    assert "Mine \\*is\\* \\<b\\>odd" in texts(app)


@pytest.mark.parametrize("claim", claims.read()[0], ids=lambda claim: claim.claim[:12])
def test_the_form_understands_what_a_claim_asks_for(claim):
    app = open_page("new", **form(claim, []))
    assert not any("The link asks" in warning.value for warning in app.warning)
    assert app.number_input(key="new_seeds").value == claim.seeds
    assert app.text_input(key="new_title").value == form(claim, [])["title"][0]
    if claim.make.vary:
        assert {name: app.text_input(key=f"new_values_{name}").value for name in claim.make.vary} == {
            name: ", ".join(map(str, values)) for name, values in claim.make.vary.items()
        }
    if claim.make.methods:
        assert app.pills(key="new_methods").value == claim.make.methods


def test_the_forest_fills_what_is_told_apart():
    steps = [
        Step("a", over_seeds([0.1, 0.11, 0.12]), p=0.01),
        Step("b<i>", over_seeds([0.1, -0.11, 0.12]), p=0.6),
        Step("c", over_seeds([0.1])),
    ]
    figure = figures.forest(steps)
    (trace,) = figure.data
    left, right = figure.layout.xaxis.range
    for step, mean, up, down in zip(steps[:2], trace.x, trace.error_x.array, trace.error_x.arrayminus):
        low, high = mean - down, mean + up
        assert (low, high) == pytest.approx((100 * step.difference.low, 100 * step.difference.high))
        assert left < low and high < right, "the interval is there to be seen"
    assert list(trace.marker.symbol) == ["circle", "circle-open", "circle-open"]
    assert list(trace.x) == pytest.approx([11, 3.667, 10], abs=1e-3) and trace.error_x.array[2] is None
    assert "<i>" not in str(figures.forest(steps).layout.yaxis.ticktext)


def test_the_forest_as_numbers_has_ratios_themselves_and_points():
    ratio = [
        Step("needs more time", over_seeds([math.log(2), math.log(8)]), ratio=True),
        Step("one", over_seeds([0]), ratio=True),
    ]
    times, one = figures.table(ratio).to_dict("records")
    assert times["times"] == pytest.approx(4) and times["95 % from"] < 4 < times["95 % to"] and times["N"] == 2
    assert one["times"] == 1 and math.isnan(one["95 % from"])
    points = figures.table([Step("is ahead", over_seeds([0.01, 0.03]))])
    assert points["points"].tolist() == [pytest.approx(2)] and list(points["told apart"]) == [False]


def test_the_forest_of_ratios_names_them_where_their_logarithms_lie():
    steps = [Step("a", over_seeds([0.5, 0.6, 0.7]), ratio=True, p=0.01), Step("b", over_seeds([-0.1, 0.0, 0.1]), ratio=True)]
    figure = figures.forest(steps)
    (trace,) = figure.data
    assert list(trace.x) == pytest.approx([0.6, 0], abs=1e-9)
    assert dict(zip(trace.y, trace.text)) == {1: style.plain(steps[0].sentence), 0: style.plain(steps[1].sentence)}
    assert list(figure.layout.yaxis.tickvals) == [1, 0], "the first stands on top"
    low, high = figure.layout.xaxis.range
    for at, told in zip(figure.layout.xaxis.tickvals, figure.layout.xaxis.ticktext):
        assert at == pytest.approx(math.log(float(told)), abs=0.01) and low <= at <= high
    assert "1" in figure.layout.xaxis.ticktext
    assert figure.layout.xaxis.autotickangles == (0, -90), "side by side, or on end where a phone has no room for that"


@pytest.mark.parametrize("ratio", [0.005, 0.3, 0.6, 1.1, 1.9, 3.2, 60, 200, 1e5])
def test_an_axis_of_ratios_has_numbers_up_to_the_ratio_itself(ratio):
    figure = figures.forest([Step("A costs more", over_seeds([math.log(ratio)] * 3), ratio=True)])
    ticks = figure.layout.xaxis.tickvals
    low, high = figure.layout.xaxis.range
    assert 2 <= len(ticks) <= 9
    assert min(abs(tick - math.log(ratio)) for tick in ticks) < 0.3 * (high - low)


def test_methods_say_what_papers_and_what_the_runs_say(experiment):
    shown = texts(open_page("methods", experiment="sizes")).replace("\\", "")
    for said in (
        "Negatives per positive: 30 to 510, in 6 runs",
        "Negatives per positive: none, in 6 runs",
        "× SimCLR's",
        "Linear probe with batches of 256 rather than 16: +",
        "Peak memory: 900 MB",
    ):
        assert said in shown, said


@pytest.mark.parametrize(("negatives", "named"), [("queue", True), ("memory_bank", False), ("batch", False)])
def test_methods_name_no_momentum_of_runs_without_a_momentum_encoder(negatives, named):
    settings = {"axes": {"moco.momentum": [0.9, 0.99]}, "moco.negatives": negatives, "moco.queue_size": 512}
    synthetic.store(Store().root, methods=("moco",), seeds=(0,), steps=20, **settings)
    shown = texts(open_page("methods", experiment="photos")).replace("\\", "")
    assert "Projection head: mlp" in shown and ("Momentum: 0.9, 0.99" in shown) == named


def test_that_nothing_can_be_probed_is_said_only_where_nothing_was(experiment):
    bare = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="bare", steps=20)
    synthetic.write_results(bare.runs()[0], labelled=False)
    for page in ("claims", "methods"):
        assert "nothing can be probed" in texts(open_page(page, experiment="bare"))
        assert "nothing can be probed" not in texts(open_page(page, experiment="sizes", also="bare"))


def test_methods_without_runs_say_so():
    synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20)
    shown = texts(open_page("methods", experiment="photos")).replace("\\", "")
    assert "no finished run of MoCo and SimCLR" in shown and "not measured here" in shown


def test_what_more_negatives_gain_is_never_minus_nothing():
    experiment = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1), steps=20, axes={"moco.queue_size": [512, 1024]})
    for run in experiment.runs():
        results = run.results()
        results["linear"]["accuracy"] = 0.8 - 0.0001 * (run.config.moco.queue_size == 1024)
        write_json(run.results_file, results)
    shown = texts(open_page("methods", experiment="photos")).replace("\\", "")
    assert "Linear probe with 1,024 rather than 512: +0.0 points" in shown


def test_what_a_claim_needs_is_set_up_on_the_images_that_are_looked_at(experiment, tmp_path):
    claim = claims.read()[0][0]
    on_photos, mine = experiment.runs(), tmp_path / "mine.npz"
    assert form(claim, on_photos)["new_dataset"] == "photos"
    np.savez(mine, x_train=np.zeros((80, 16, 16, 3), np.uint8))
    on_mine = synthetic.store(tmp_path / "store", methods=("byol",), dataset=str(mine), batch_size=32).runs()
    app = open_page("new", **form(claim, on_mine))
    assert app.text_input(key="new_path").value == str(mine)
    assert app.text_input(key="new_values_batch_size").value == "16, 32, 64", "more would not fill a batch"
    small = synthetic.store(tmp_path / "other", methods=("byol",), image_size=16, threads=1).runs()
    assert form(claim, small)["set"] == ["image_size=16", "encoder=small", "threads=1"]
    mine.unlink()
    assert "new_path" not in form(claim, on_mine), "which are not here"
    assert "new_dataset" not in form(claim, [*on_photos, *on_mine])


def test_a_claim_offers_only_the_missing_runs_of_its_own_methods_along_its_own_axis(experiment):
    grow(experiment, {"batch_size": [32]})
    app = open_page("claims", experiment="sizes")
    offered = {k: button.label for k in range(9) for button in app.button if button.key == f"claims_queue_{k}"}
    assert offered == {0: "Queue 6 missing runs", 2: "Queue 2 missing runs"}, (
        "of all three methods; of BYOL; none of MoCo's queue"
    )


def test_what_is_told_of_negatives_says_where_the_batch_goes_with_them(experiment):
    shown = texts(open_page("methods", experiment="sizes")).replace("\\", "")
    assert "Not of the negatives alone: the batch size is 256 there rather than 16" in shown


def test_of_a_reference_it_is_said_that_it_has_seen_the_labels():
    told = "Supervised is a reference"
    synthetic.store(Store().root, methods=("simclr",), seeds=(0,), name="without")
    synthetic.store(Store().root, methods=("simclr", "supervised"), seeds=(0,), name="with")
    for page in ("probe", "evidence"):
        assert [told in texts(open_page(page, experiment=name)) for name in ("without", "with")] == [False, True]


def test_the_forest_fills_what_is_told_apart_by_the_adjusted_p():
    made = over_seeds([0.02, 0.021, 0.025])
    (marks,) = figures.forest([Step("one", made, p=made.p), Step("one of many", made, p=0.06)]).data
    assert made.p < 0.05 and list(marks.marker.symbol) == ["circle", "circle-open"]


def test_claims_are_numbered_from_one_and_say_what_evidence_they_need(experiment):
    app = open_page("claims", experiment="sizes")
    known, _ = claims.read()
    numbers = [header.value.partition(".")[0] for header in app.header]
    assert numbers == [str(k) for k in range(1, len(known) + 1)]
    shown = texts(app).replace("\\", "")
    assert all(f"Evidence it needs: {' '.join(claim.needs.split())}" in shown for claim in known if claim.needs)


def test_a_claim_whose_runs_cannot_be_queued_says_why(experiment, monkeypatch):
    def refuse(*_):
        raise RuntimeError("no agent came up")

    monkeypatch.setattr("dashboard.change.complete", refuse)
    app = open_page("claims", experiment="sizes")
    next(button for button in app.button if str(button.key).startswith("claims_queue_")).click().run()
    assert [error.value for error in clean(app).error] == ["Not everything could be queued: no agent came up"]


def test_of_memory_on_a_cpu_methods_are_not_compared_and_costs_are_means_over_runs(experiment):
    first, *_ = (run for run in experiment.runs() if run.config.method == "byol")
    results = first.results()
    write_json(first.results_file, results | {"cost": results["cost"] | {"peak_memory_bytes": 1_500_000_000}})
    of_process = "; the process's, of which Python and PyTorch are some 0.65 GB"
    memory = "Peak memory: 1.0 GB, mean of 6 runs"
    shown = texts(open_page("methods", experiment="sizes")).replace("\\", "")
    assert f"{memory}; " in shown and of_process not in shown
    for run in experiment.runs():
        cost = run.results()["cost"] | {"device": "CPU, 2 cores"}
        write_json(run.results_file, run.results() | {"cost": cost})
    shown = texts(open_page("methods", experiment="sizes")).replace("\\", "")
    assert f"{memory}{of_process}\n" in shown


def test_the_forest_has_its_line_at_zero_and_room_for_the_longest_name():
    short, long = (Step(says, over_seeds([0.01, 0.02])) for says in ("A leads B", " ".join(["a name of many words"] * 6)))
    axis = figures.forest([short]).layout.xaxis
    assert axis.zeroline and axis.range[0] < 0 < axis.range[1]
    lines = figures.forest([long]).layout.yaxis.ticktext[0].count("<br>") + 1
    assert lines > 2 and figures.height([long]) - figures.height([short]) == (lines - 1) * figures.LINE
    assert figures.height([short, long]) == figures.ROOM + 2 * (figures.height([long]) - figures.ROOM)
