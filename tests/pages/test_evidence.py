"""The page Evidence, and its figures."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from dashboard import report
from dashboard.figures import evidence, style
from dashboard.sections.evidence import costs, every_pair, images
from dashboard.sections.evidence.asked import Asked
from sslcore.analysis import pairs, stats
from sslcore.experiment import Spec, Store
from sslcore.files import write_json
from tests import synthetic
from tests.pages import driving
from tests.pages.driving import clean, printed


def open_page(experiment: str = "photos", **params: str) -> AppTest:
    return driving.open_page("evidence", experiment=experiment, **params)


def texts(app: AppTest) -> str:
    """Without the backslashes that keep text from being Markdown."""
    return re.sub(r"\\(.)", r"\1", driving.texts(app))


def tables(app: AppTest) -> dict[str, pd.DataFrame]:
    return {table.index.name: table for table in printed(app)}


def said(app: AppTest) -> list[str]:
    return list(tables(app)["Pair"]["What may be said"])


def test_over_seeds_every_number_has_its_spread_and_every_pair_a_sentence():
    runs = synthetic.store(Store().root, seeds=(0, 1, 2), methods=("moco", "byol")).runs()
    app = open_page()
    of = {
        method: [run.results()["linear"]["accuracy"] for run in runs if run.config.method == method]
        for method in ("moco", "byol")
    }
    made = stats.aggregate(of["byol"])
    row = tables(app)["Method"].loc["BYOL"]
    assert row["N"] == "3" and f"{100 * made.mean:.1f}" in row["Mean ± std"] and f"{100 * made.std:.1f}" in row["Mean ± std"]
    assert row["95 % interval"] == f"{100 * made.low:.1f} – {100 * made.high:.1f} %"
    difference = stats.over_seeds(np.subtract(of["byol"], of["moco"]))
    assert said(app) == [stats.sentence("BYOL", "MoCo", difference, difference.p)]
    assert stats.HOLM not in texts(app), "of one pair"
    assert "paired t interval" in texts(app) and "sample standard deviation" in texts(app)
    assert "N = 3; p-values adjusted by Holm's method over " in texts(app)


def test_two_runs_of_one_seed_are_one_seed():
    """The same training, looked at more or less often, is no second draw."""
    experiment = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), axes={"evaluate.knn_every": [1, 2]})
    app = open_page()
    assert list(tables(app)["Method"]["N"]) == ["1", "1"] and "95 % interval" not in tables(app)["Method"]
    assert list(tables(app)["At equal"]["N"]) == ["1", "1"]
    asked = Asked(experiment.runs(), "linear", "method", [])
    points = costs._points(asked, dict.fromkeys(asked.named, 1.0), single=False)
    assert [(point.n, point.cost_std, point.low) for point in points] == [(1, None, None)] * 2


def test_with_one_seed_the_page_speaks_of_two_networks_alone():
    runs = synthetic.store(Store().root, seeds=(0,)).runs()
    app = open_page()
    assert len(said(app)) == 3 and all("says nothing about another training" in sentence for sentence in said(app))
    assert set(tables(app)["Pair"]["Test"]) == {"t over groups of images"}, "of photos"
    assert "Holm" in texts(app)
    low, high = next(run.results()["linear"]["ci95"] for run in runs if run.config.method == "byol")
    assert tables(app)["Method"].loc["BYOL", "95 % interval"] == f"{100 * low:.1f} – {100 * high:.1f} %", "as Probe has it"
    assert stats.INTERVAL in texts(app)


@pytest.fixture
def grid():
    spec = Spec(base={"dataset": "photos"}, axes={"method": ["moco", "byol"], "batch_size": [64, 256], "seed": [0, 1]})
    return synthetic.finished(Store().root, spec, steps=100)


def test_a_grid_is_compared_at_equal_settings_and_says_which(grid):
    app = open_page()
    assert "each seed's difference is the mean over 2 settings (of batch size)" in texts(app)
    assert list(tables(app)["Pair"]["Seeds"]) == ["2"] and "With the batch size go" not in texts(app)
    app.selectbox(key="evidence_at_batch_size").set_value("64").run()
    assert "the mean over" not in texts(clean(app)) and list(tables(app)["Method"]["N"]) == ["2", "2"]
    app = open_page()
    app.selectbox(key="evidence_by").set_value("batch_size").run()
    assert len(said(clean(app))) == 1 and "Batch size" in said(app)[0]
    assert "With the batch size go the number of steps" in texts(app) and "learning rate 0.06 × batch/256" in texts(app)


def test_seeds_that_were_trained_with_other_threads_are_seeds_of_the_same_setting():
    for name, seeds, threads in (("one", (0,), 1), ("all", (1, 2), None)):
        synthetic.store(Store().root, methods=("moco", "byol"), seeds=seeds, name=name, steps=20, threads=threads)
    app = open_page(experiment="all", also="one")
    assert list(tables(app)["Pair"]["Seeds"]) == ["3"] and "threads" not in texts(app)


def test_data_sets_of_one_name_are_two_choices_and_one_under_two_paths_is_none(grid):
    """By their images, as every page tells them; a link keeps the choice. Two of them are never held against each other."""
    for run in grid.runs():
        path = f"/{'ab'[run.config.batch_size == 64]}/photos"
        write_json(run.config_file, run.config.model_copy(update={"dataset": path}).model_dump())
    assert "4 probed runs compared" in texts(open_page(evidence_at_dataset="b/photos"))
    assert open_page().selectbox(key="evidence_by").options == ["method", "batch size"]
    for run in grid.runs():
        write_json(run.environment_file, {"data": {"checksum": "c1", "train": 10, "test": 5}})
    assert "evidence_at_dataset" not in {box.key for box in open_page().selectbox}
    for run in grid.runs():
        write_json(run.config_file, run.config.model_copy(update={"dataset": "photos"}).model_dump())
        write_json(run.environment_file, {"data": {"checksum": f"c{run.config.batch_size}", "train": 10, "test": 5}})
    (box,) = [box for box in open_page().selectbox if box.key == "evidence_at_dataset"]
    assert set(box.options) == {"photos (c64)", "photos (c256)"}


def test_a_pair_says_which_runs_it_leaves_out(grid):
    grid.run("byol-bs64-s1").results_file.unlink()
    assert "left out 3 of 7 runs (2 at settings that not every seed has, 1 without a counterpart" in texts(open_page())


def test_who_could_not_be_paired_is_named_on_the_page_and_in_the_report():
    spec = Spec(
        base={"dataset": "photos"}, by_method={"byol": {"dataset": "digits"}}, axes={"method": ["moco", "simclr", "byol"]}
    )
    experiment = synthetic.finished(Store().root, spec, steps=100)
    app = open_page()
    assert len(said(app)) == 1
    for told in (texts(app), report.html(experiment)):
        assert "MoCo and BYOL could not be paired: different dataset" in told


def test_what_decides_the_knn_alone_or_what_is_watched_keeps_no_runs_from_being_paired_by_the_probe():
    own = {"moco": {"evaluate.knn_k": 5}, "byol": {"evaluate.sample": 100, "evaluate.knn_train": 100}}
    spec = Spec(
        base={"dataset": "photos"},
        by_method=own,
        axes={"method": ["moco", "simclr", "byol"], "batch_size": [64, 256], "evaluate.knn_temperature": [0.1, 0.2]},
    )
    synthetic.finished(Store().root, spec, steps=20)
    assert len(said(open_page())) == 3
    by_knn = open_page(evidence_measure="kNN")
    assert "evidence_at_evaluate.knn_temperature" in {box.key for box in by_knn.selectbox}


def test_wherever_recipes_are_compared_it_is_said_what_was_not_equal():
    spec = Spec(
        base={"dataset": "photos"},
        by_method={"byol": {"image_size": 64, "learning_rate": 0.03}},
        axes={"method": ["simclr", "byol"], "seed": [0, 1]},
    )
    experiment = synthetic.finished(Store().root, spec, steps=100)
    own = "Not equal, since each method has its own: image_size, "
    shown = [texts(driving.open_page(page, experiment="photos")) for page in ("evidence", "probe", "methods")]
    for told in (*shown, report.html(experiment), report.markdown(experiment)):
        _, _, others = told.replace("\\", "").partition(own)
        assert "learning_rate" in others.partition(".")[0]
    assert not any("at equal settings:" in told for told in shown)


def test_at_equal_images_the_larger_batch_has_taken_fewer_steps(grid):
    table = tables(open_page())["At equal"]
    steps = {
        name: max(run.metrics()[-1]["images_seen"] for run in grid.runs() if run.config.batch_size == int(name))
        for name in ("64", "256")
    }
    (images,) = [column for column in table if column.startswith("Images seen")]
    assert images.endswith(f"{steps['64']:,}")  # the cheapest run's
    small, large = (float(table.loc[f"BYOL · batch {n}", images].split()[0]) for n in ("64", "256"))
    assert large < small
    assert any(column.startswith("Operations") for column in table)


def test_at_equal_budgets_n_counts_readings_and_unequal_intervals_are_named():
    """The second seed's first evaluation is its last, so that nothing is read of it at a quarter of the budget."""
    late = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), steps=100).runs()[1]
    synthetic.store(Store().root, methods=("moco",), seeds=(0,), steps=100, name="seldom", **{"evaluate.knn_every": 5})
    last = [row for row in late.metrics() if "knn" in row][-1]
    rows = [
        row if row["step"] == last["step"] else {name: value for name, value in row.items() if name != "knn"}
        for row in late.metrics()
    ]
    late.metrics_file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    app = open_page(also="seldom")
    assert "evaluate.knn_every 1 and 5" in texts(app) and "not yet annealed" in texts(app)
    assert sorted(tables(app)["At equal"]["N"]) == ["1", "2"]
    app.segmented_control(key="evidence_share").set_value("25 %").run()
    assert list(tables(clean(app))["At equal"]["N"]) == ["1", "1"]


def test_operations_that_were_not_counted_are_missing_and_not_nought_and_energy_is_there_where_it_was_measured(grid):
    for run in grid.runs():
        results = run.results()
        del results["cost"]["flops_per_image"]
        results["cost"]["energy_joules"] = 12345.0
        write_json(run.results_file, results)
    app = open_page()
    assert "Operations" not in tables(app)["Method"] and set(tables(app)["Method"]["Energy"]) == {"12.3 kJ"}
    assert "python -m sslcore evaluate" in texts(app)
    app.segmented_control(key="evidence_cost").set_value("flops").run()
    assert "left out" in texts(clean(app))
    app.segmented_control(key="evidence_cost").set_value("energy_joules").run()
    assert "left out" not in texts(clean(app))


def test_a_cost_that_is_known_of_some_seeds_says_of_how_many():
    measured = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1)).runs()[0]
    results = measured.results()
    write_json(measured.results_file, results | {"cost": results["cost"] | {"energy_joules": 12345.0}})
    row = tables(open_page())["Method"].loc["BYOL"]
    assert row["N"] == "2" and row["Energy"] == "12.3 kJ (N = 1)" and "N =" not in row["Training"]


def test_images_seen_are_missing_and_not_nought_where_nothing_was_logged(grid):
    for run in grid.runs():
        run.metrics_file.unlink()
    assert "Images seen" not in tables(open_page())["Method"]


def test_seed_by_seed_every_matched_pair_is_tested_on_its_images():
    runs = {run.name: run for run in synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0, 1)).runs()}
    app = open_page()
    app.toggle(key="evidence_seeds").set_value(True).run()
    (frame,) = clean(app).dataframe
    assert list(frame.value["seed"]) == [0, 1] and frame.value["runs"][0] == "byol-bs256-s0 / moco-bs256-s0"
    accuracy = [runs[name].results()["linear"]["accuracy"] for name in ("byol-bs256-s0", "moco-bs256-s0")]
    assert frame.value["points"][0] == pytest.approx(100 * (accuracy[0] - accuracy[1]), abs=0.05)
    shown = convert_arrow_bytes_to_pandas_df(frame.proto.arrow_data.styler.display_values)
    assert list(shown["points"]) == [stats.signed(points / 100) for points in frame.value["points"]]


def test_without_predictions_the_accuracies_are_still_compared():
    for run in synthetic.store(Store().root, seeds=(0, 1)).runs():
        run.predictions_file.unlink()
    app = open_page()
    assert len(said(app)) == 3 and "predictions.npz" in texts(app)


def test_without_labels_nothing_can_be_probed():
    for run in synthetic.store(Store().root, seeds=(0,)).runs():
        synthetic.write_results(run, labelled=False)
    assert "nothing can be probed" in texts(open_page())


def test_before_anything_has_finished_there_is_a_word_on_what_to_do():
    for run in synthetic.store(Store().root, seeds=(0,)).runs():
        synthetic.running(run)
    assert "No run has finished yet" in texts(open_page())


def test_one_method_alone_is_compared_with_nothing():
    synthetic.store(Store().root, methods=("byol",), seeds=(0, 1))
    assert "nothing to compare it with" in texts(open_page())


@pytest.mark.parametrize(
    "results",
    [
        {"linear": {"accuracy": "much"}},
        {"linear": [1]},
        [],
        {"linear": {"accuracy": 0.5}},
        {"linear": {"accuracy": 0.5}, "knn": 3, "cost": []},
    ],
)
def test_results_from_elsewhere_do_not_take_the_page_down(results):
    runs = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0, 1)).runs()
    write_json(runs[-1].results_file, results)  # MoCo's, which comes first on the page
    app = open_page()
    if app.segmented_control:
        clean(app.segmented_control(key="evidence_measure").set_value("knn").run())


@pytest.mark.parametrize(
    "change",
    [
        {"linear": lambda said: -said - 1},
        {"knn": lambda said: said.astype(str)},
        dict.fromkeys(("index", "label", "linear", "knn"), lambda said: said[:0]),
    ],
)
def test_predictions_that_are_no_classes_are_as_none(change):
    run = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0, 1)).runs()[0]
    with np.load(run.predictions_file) as kept:
        said = dict(kept)
    np.savez(run.predictions_file, **said | {name: of(said[name]) for name, of in change.items()})
    assert pairs.predictions(run) is None
    open_page()


def test_classes_of_any_number_are_counted_and_not_allotted():
    for run in synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,)).runs():
        with np.load(run.predictions_file) as kept:
            said = dict(kept)
        np.savez(run.predictions_file, **said | {name: said[name] + 2**40 for name in ("label", "linear", "knn")})
    assert "right, MoCo wrong" in texts(open_page())


# -- Sections


@pytest.fixture
def forests(monkeypatch):
    """The rows of each forest plot that a page draws: of all pairs, then of the classes."""
    drawn, draw = [], evidence.differences
    monkeypatch.setattr(evidence, "differences", lambda rows, *texts: drawn.append(rows) or draw(rows, *texts))
    return drawn


def test_a_p_is_told_to_three_digits():
    assert [every_pair.p_value(p) for p in (None, 0.0004, 0.0012, 0.25)] == ["–", "< 0.001", "0.001", "0.250"]


def test_of_several_pairs_the_adjusted_p_decides(forests):
    worth = {"moco": (0.5, 0.5, 0.5), "simclr": (0.53, 0.52, 0.535), "byol": (0.6, 0.5, 0.56)}
    for run in synthetic.store(Store().root, seeds=(0, 1, 2), steps=20).runs():
        results = run.results()
        accuracy = worth[run.config.method][run.config.seed]
        write_json(run.results_file, results | {"linear": results["linear"] | {"accuracy": accuracy}})
    app = open_page()
    asked = Asked(Store().experiment("photos").runs(), "linear", "method", [])
    shown = {row.name: row for row in forests[0]}
    table = tables(app)["Pair"]
    assert len(asked.pairs) == 3 and any(pair.p > 0.05 > pair.difference.p for pair in asked.pairs if pair.p)
    for pair in asked.pairs:
        name = every_pair._name(asked, pair)
        assert shown[name].told_apart == stats.told_apart(pair.p) and shown[name].colour == style.colour(pair.a)
        assert table.loc[name, "p, adjusted"] == every_pair.p_value(pair.p)
    assert stats.HOLM in texts(app)


def test_two_sides_are_compared_class_by_class_and_image_by_image(forests):
    """Three seeds; of six images, three of either class, BYOL gets two and sometimes a third, MoCo one of the other class."""
    label = np.array([0, 0, 0, 1, 1, 1])
    linear = {
        "byol": ([0, 0, 2, 1, 2, 2], [0, 0, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2]),
        "moco": ([3, 2, 2, 2, 1, 2], [2, 2, 2, 2, 1, 2], [2, 2, 2, 2, 1, 2]),
    }
    for run in synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0, 1, 2), steps=20).runs():
        said = np.array(linear[run.config.method][run.config.seed])
        np.savez(run.predictions_file, index=np.arange(6) + 7, label=label, linear=said, knn=said)
    app = open_page()
    shown = [(row.name, round(row.difference.mean, 3), row.colour) for row in forests[1]]
    assert shown == [("astronaut", 0.667, style.colour("byol")), ("camera", -0.222, style.colour("moco"))]
    wins = "right, {} wrong** in all 3 matched trainings: {} of 6"
    assert "**BYOL " + wins.format("MoCo", "2 images") + "; after them, those on which they differ in most trainings" in texts(
        app
    )
    assert "**MoCo " + wins.format("BYOL", "1 image") + "\n" in texts(app) + "\n"
    ahead, behind = [element.proto.body for element in app.get("html") if 'role="list"' in element.proto.body]
    assert sorted(re.findall(r"test image (\d+)", ahead)) == ["10", "7", "8"] and re.findall(r"test image (\d+)", behind) == [
        "11"
    ]
    assert "✓ BYOL: 3 of 3</div>" in ahead and "✗ BYOL: 1 of 3, else coffee" in ahead and "✗ MoCo: 0 of 3, else coffee" in ahead
    assert "rocket" not in ahead, "what one seed alone took it for"


def test_an_image_that_half_of_the_trainings_get_right_is_not_ticked():
    for run in synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0, 1), steps=20).runs():
        said = np.array([0, 1, int(run.config.method == "byol" and run.config.seed == 0)])
        np.savez(run.predictions_file, index=np.arange(3), label=np.array([0, 0, 1]), linear=said, knn=said)
    shown = "".join(element.proto.body for element in open_page().get("html"))
    assert "✗ BYOL: 1 of 2" in shown and "✓ BYOL: 1 of 2" not in shown


def test_a_run_that_stands_in_several_pairs_is_not_counted_as_several():
    """Of SimCLR two trainings, each beside one of MoCo with either queue."""
    synthetic.store(Store().root, methods=("moco", "simclr"), seeds=(0, 1), steps=20, axes={"moco.queue_size": [512, 1024]})
    shown = "".join(element.proto.body for element in open_page().get("html"))
    assert "of 4 pairs" in shown and "of 4</div>" not in shown
    assert "in all 4 matched pairs" in texts(open_page())


def test_of_many_classes_those_are_shown_that_differ_most(monkeypatch, forests):
    synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0, 1), steps=20)
    monkeypatch.setattr(images, "MAX_CLASSES", 5)
    assert "Shown: the" not in texts(open_page())
    every = sorted(forests[1], key=lambda row: abs(row.difference.mean))
    monkeypatch.setattr(images, "MAX_CLASSES", 1)
    app = open_page()
    assert "Shown: the 1 classes that differ most" in texts(app) and "N = 2; p-values adjusted" in texts(app)
    assert [row.name for row in forests[3]] == [every[-1].name]


def test_a_cost_is_drawn_in_the_unit_of_its_axis_and_runs_without_it_are_not(monkeypatch):
    known, unknown = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), steps=20).runs()
    results = known.results()
    write_json(known.results_file, results | {"cost": results["cost"] | {"energy_joules": 12345.0, "seconds": 600.0}})
    drawn = []
    monkeypatch.setattr(costs, "plot", lambda figure, **_: drawn.append(figure))
    shown = texts(open_page(evidence_cost="energy, kJ"))
    assert "the seeds whose cost is known" in shown, "here one of two, and so not the mean and interval of the table"
    open_page(evidence_cost="training time", evidence_marks="each run")
    energy, seconds = drawn
    assert energy.layout.xaxis.title.text == "energy, kJ" and list(energy.data[-1].x) == [12.345]
    assert seconds.layout.xaxis.title.text == "training time, minutes" and seconds.data[-2].x[0] == 10
    asked = Asked([known, unknown], "linear", "method", [])
    (both,) = costs._points(asked, dict.fromkeys(asked.named, 1.0), single=False)
    assert both.n == 2 and both.low < both.worth < both.high


def test_runs_that_have_not_finished_set_no_budget_and_half_of_it_is_half():
    moco, byol = (synthetic.store(Store().root, methods=(m,), seeds=(0, 1), steps=100, name=m).runs() for m in ("moco", "byol"))
    moco[1].metrics_file.unlink()
    synthetic.write_metrics(moco[1], 10)
    moco[1].write_status(synthetic.status(moco[1], "interrupted", progress=0.1))  # of an attempt that began anew
    for run in (moco[0], byol[0]):
        results = run.results()
        del results["cost"]["flops_per_image"]
        write_json(run.results_file, results)
    app = open_page("byol", also="moco")
    assert "Epochs: 5" in tables(app)["At equal"] and "Equal operations need every run's count" in texts(app)
    app.segmented_control(key="evidence_share").set_value("50 %")
    app.segmented_control(key="evidence_read").set_value("loss").run()
    table = tables(clean(app))["At equal"]
    assert "Epochs: 2.5" in table and re.fullmatch(r"[\d.]+ ± [\d.]+", table.loc["BYOL · byol", "Epochs: 2.5"])


def test_what_is_compared_has_the_number_that_is_asked_for_and_what_another_method_has_stays():
    runs = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0, 1), axes={"moco.queue_size": [64, 128]}, name="k")
    app = open_page("k")
    app.selectbox(key="evidence_at_moco.queue_size").set_value("64").run()
    assert sorted(tables(clean(app))["Method"].index) == ["BYOL", "MoCo"], "BYOL has no queue"
    for run in runs.runs():
        if run.config.seed == 0:
            results = run.results()
            write_json(run.results_file, {name: part for name, part in results.items() if name != "knn"})
    app = open_page("k", evidence_measure="kNN")
    assert set(tables(app)["Method"]["N"]) == {"1"} and "3 probed runs compared" in texts(app)


# -- Figures


def difference(mean: float, half: float | None = 0.02) -> stats.Difference:
    ends = (None, None) if half is None else (mean - half, mean + half)
    return stats.Difference(mean, *ends, 0.01, "seeds", 3)


def test_a_forest_plot_shows_what_was_computed_and_fills_what_is_told_apart():
    rows = [
        evidence.Row("A − B", difference(0.05), True, "#0072b2", "", [0.04, 0.06]),
        evidence.Row("C <b>", difference(0.01, None), False, "#009e73", ""),
    ]
    figure = evidence.differences(rows, "t", "s")
    marks = [trace for trace in figure.data if not trace.name.endswith("single seeds")]
    assert [trace.x[0] for trace in marks] == pytest.approx([5, 1])
    assert marks[0].error_x.array[0] == pytest.approx(2) == pytest.approx(marks[0].error_x.arrayminus[0])
    assert marks[1].error_x.array is None
    assert marks[0].marker.color == "#0072b2" and marks[1].marker.color == "rgba(0,0,0,0)"
    assert "<b>" not in figure.to_json() and list(figure.data[0].x) == pytest.approx([4, 6])


def test_an_interval_reaches_as_far_to_either_side_as_it_was_computed():
    """Those of two networks on their test images are not symmetric."""
    uneven = stats.Difference(0.05, 0.04, 0.08, 0.01, "images", 1)
    (mark,) = evidence.differences([evidence.Row("A − B", uneven, True, "#0072b2", "")], "t", "s").data
    assert (mark.error_x.arrayminus[0], mark.error_x.array[0]) == pytest.approx((1, 3))
    point = evidence.Point("a", "byol", "#009e73", 90.0, 0.5, 1, low=0.4, high=0.7)
    mark = evidence.cost([point], "Accuracy", "s").data[-1]
    assert (mark.error_y.arrayminus[0], mark.error_y.array[0]) == pytest.approx((0.1, 0.2))


def test_costs_and_their_spread_are_laid_out_in_the_axiss_unit():
    points = [
        evidence.Point(str(cost), "byol", "#009e73", cost, worth, 2, cost_std=30.0) for cost, worth in ((90.0, 0.5), (180.0, 0.7))
    ]
    line, *marks = evidence.cost(points, "Accuracy", "minutes", 60.0).data
    assert list(line.x) == [1.5, 3] and [mark.x[0] for mark in marks] == [1.5, 3]
    assert line.line.shape == "hv", "what costs less than the next point is worth no more than the one before"
    assert [mark.error_x.array[0] for mark in marks] == [0.5, 0.5]


def test_the_pareto_line_joins_what_none_beats():
    points = [
        evidence.Point(name, "byol", style.colour("byol"), cost, worth, 1)
        for name, cost, worth in (("a", 1, 0.5), ("b", 2, 0.4), ("c", 3, 0.7))
    ]
    line = evidence.cost(points, "Accuracy", "s").data[0]
    assert list(line.x) == [1, 3] and list(line.y) == [0.5, 0.7]
    assert evidence.cost(points, "Accuracy", "s").layout.xaxis.type is None
    far = [evidence.Point("a", "byol", "#009e73", 1, 0.5, 1), evidence.Point("b", "byol", "#009e73", 100, 0.6, 1)]
    assert evidence.cost(far, "Accuracy", "s").layout.xaxis.type == "log"


@pytest.mark.parametrize(("cost", "unit", "digits"), [(30.5, 60.0, ",.3~r"), (2.6e15, 1.0, ".3~s")])
def test_only_counts_are_told_in_thousands_and_millions(cost, unit, digits):
    """Half a minute is no 508m minutes."""
    figure = evidence.cost([evidence.Point("a", "byol", "#009e73", cost, 0.5, 2, cost_std=cost / 9)], "Accuracy", "s", unit)
    assert f"%{{x:{digits}}} ± %{{customdata[0]:{digits}}} s" in figure.data[-1].hovertemplate
    assert figure.data[-1].customdata[0][0] == pytest.approx(cost / 9 / unit)


def test_losses_at_equal_budgets_are_said_not_to_be_comparable_between_methods_and_an_accuracy_is(grid):
    own, early = "Each method's loss is its own", "–: nothing was logged that early"
    shown = texts(open_page())
    assert own not in shown and early in shown
    shown = texts(open_page(evidence_read="training loss"))
    assert own in shown and early in shown
    table = tables(open_page(evidence_read="training loss"))["At equal"].drop(columns="N")
    assert not table.empty and not table.map(lambda cell: "%" in cell).any(axis=None), "a loss is no share"


def test_of_time_as_a_cost_it_is_said_on_what_it_depends_and_runs_without_the_cost_are_counted(grid):
    first, *_ = grid.runs()
    results = first.results()
    write_json(first.results_file, results | {"cost": results["cost"] | {"seconds": None, "flops_per_image": None}})
    depends, lost = "Time depends on the machine", "1 run without this cost left out"
    for cost, time, without in (("training time", True, True), ("images seen", False, False), ("operations", False, True)):
        shown = texts(open_page(evidence_cost=cost))
        assert (depends in shown, lost in shown) == (time, without), cost


def test_two_that_agree_on_every_image_have_no_pictures_and_a_seeds_own_p_is_said_not_to_be_adjusted():
    one, other = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), steps=20).runs()
    other.predictions_file.write_bytes(one.predictions_file.read_bytes())
    write_json(other.results_file, other.results() | {"linear": one.results()["linear"]})
    shown = texts(open_page())
    assert shown.count("There is no such image.") == 2 and ": 0 images of 500" in shown
    assert "not adjusted" not in shown and "These p-values are not adjusted." in texts(open_page(evidence_seeds="true"))


def test_a_mark_is_of_the_seeds_whose_cost_is_known(monkeypatch):
    one, other = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), steps=20).runs()
    write_json(other.results_file, other.results() | {"cost": other.results()["cost"] | {"seconds": None}})
    drawn = []
    monkeypatch.setattr(costs, "plot", lambda figure, **_: drawn.append(figure))
    open_page()
    (mark,) = (trace for trace in drawn[0].data if trace.mode == "markers")
    assert list(mark.y) == [one.results()["linear"]["accuracy"]] and mark.customdata[0][-1] == 1


def test_a_cost_of_nothing_has_a_place_on_its_axis_and_the_pareto_line_is_in_its_unit():
    def drawn(least: float):
        points = [evidence.Point("A", "byol", "#0072b2", cost, worth, 1) for cost, worth in ((least, 0.5), (6000.0, 0.6))]
        return evidence.cost(points, "Accuracy", "cost", unit=60.0)

    assert (drawn(0.0).layout.xaxis.type, drawn(60.0).layout.xaxis.type) == (None, "log")
    line, *_ = drawn(60.0).data
    assert line.name == "Pareto line" and list(line.x) == [1, 100] and line.line.shape == "hv"
