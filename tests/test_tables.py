"""Experiment folders -> DataFrames."""

import os
from dataclasses import replace

import numpy as np
import pytest

from dashboard import tables
from dashboard.figures.axes import said
from sslcore.analysis.order import by_method
from sslcore.analysis.summary import by_seed
from sslcore.config import OPTIONS, MoCo
from sslcore.experiment import Run, Store
from sslcore.files import write_json
from tests import synthetic


@pytest.fixture
def experiment(tmp_path):
    return synthetic.store(tmp_path / "store", seeds=(0, 1), steps=100)


def column(run, name: str) -> np.ndarray:
    """A metric in all rows of a run's folder, read by json alone."""
    return np.array([row.get(name, np.nan) for row in run.metrics()], np.float32)


def test_curves_are_the_metrics_of_the_folder(experiment):
    for run, curve in zip(by_method(experiment.runs()), tables.curves(experiment.runs())):
        for name in ("step", "epoch", "loss", "knn", "effective_rank"):
            np.testing.assert_array_equal(curve[name], column(run, name))
        steps, epochs, knn = curve.pairs("knn", "epoch")
        measured = ~np.isnan(column(run, "knn"))
        for found, name in ((steps, "step"), (epochs, "epoch"), (knn, "knn")):
            np.testing.assert_array_equal(found, column(run, name)[measured])


def test_a_curve_goes_by_step_in_whatever_order_its_rows_stand(experiment):
    run = experiment.runs()[0]
    lines = run.metrics_file.read_text().splitlines(keepends=True)
    (whole,) = tables.curves([run])
    expected = whole.pairs("knn", "epoch")
    run.metrics_file.write_text("".join(lines[::-1]))
    (turned,) = tables.curves([run])
    for one, other in zip(turned.pairs("knn", "epoch"), expected):
        np.testing.assert_array_equal(one, other)


def test_a_row_without_a_place_on_the_axis_is_left_out_of_a_curve_there(experiment):
    run = experiment.runs()[0]
    run.append_metrics({"step": 105, "loss": 1.0})
    run.append_metrics({"step": 110, "epoch": 11.0, "loss": 2.0})
    (curve,) = tables.curves([run])
    assert [column[-2:].tolist() for column in curve.pairs("loss", "step")] == [[105, 110], [105, 110], [1, 2]]
    steps, epochs, losses = (column[-2:].tolist() for column in curve.pairs("loss", "epoch"))
    assert (steps, epochs[-1], losses[-1]) == ([100, 110], 11, 2)


def test_a_curve_is_another_once_its_operations_are_counted(experiment):
    (curve,) = tables.curves(experiment.runs()[:1])
    told = [replace(curve, flops_per_image=flops).told for flops in (np.nan, np.nan, 2.0)]
    assert told[0] == told[1] != told[2], "figures go by it"


def test_a_summary_has_each_runs_own_name(experiment):
    rows = {row["run"]: (row["method"], row["seed"]) for row in tables.summary(reversed(experiment.runs()))}
    assert rows == {run.name: (run.config.method, run.config.seed) for run in experiment.runs()}


def test_label_is_the_method_and_what_tells_its_runs_apart(tmp_path):
    experiment = synthetic.store(tmp_path / "store", methods=("simclr", "byol"), seeds=(0, 1), steps=20)
    assert set(tables.labels(experiment.runs()).values()) == {"SimCLR", "BYOL"}
    run = experiment.runs()[0]
    config = run.config.model_copy(update={"batch_size": 64, "byol": run.config.byol.model_copy(update={"momentum": 0.5})})
    run.config_file.write_text(config.model_dump_json())
    labels = tables.labels(experiment.runs())
    assert labels["byol-bs256-s0"] == "BYOL · batch 64 · momentum 0.5"
    assert labels["byol-bs256-s1"] == "BYOL · batch 256 · momentum 0.99"


def test_label_has_no_other_methods_settings(tmp_path):
    axes = {"simclr.temperature": [0.1, 0.5], "moco.queue_size": [16, 64]}
    experiment = synthetic.store(tmp_path / "store", methods=("moco", "simclr", "byol"), seeds=(0,), steps=20, axes=axes)
    labels = set(tables.labels(experiment.runs()).values())
    assert labels == {f"MoCo · queue size {n}" for n in (16, 64)} | {f"SimCLR · temperature {t}" for t in (0.1, 0.5)} | {"BYOL"}


def test_a_setting_that_is_left_empty_is_called_all_of_the_batch(tmp_path):
    axes = {"simclr.negatives": [64, None], "micro_batch_size": [32, None]}
    experiment = synthetic.store(tmp_path / "store", methods=("simclr",), seeds=(0,), steps=20, axes=axes)
    told = {f"SimCLR · micro batch size {m} · negatives {n}" for m in (32, "all") for n in (64, "all")}
    assert set(tables.labels(experiment.runs()).values()) == told
    assert said("simclr.negatives", None) == "all"


def test_label_leaves_out_what_merely_suits_the_data_set(tmp_path):
    def runs(name: str, dataset: str, **axes):
        return synthetic.store(tmp_path, ("moco",), (0,), steps=20, name=name, dataset=dataset, axes=axes).runs()

    photos, digits = runs("a", "photos"), runs("b", "digits")
    assert list(tables.labels(photos + digits).values()) == ["MoCo · on photos · a", "MoCo · on digits · b"]
    chosen = runs("c", "photos", **{"augment.flip": [0.1]})
    told = ["MoCo · on photos · flip 0.1 · c", "MoCo · on digits · flip 0.0 · b"]
    assert list(tables.labels(chosen + digits).values()) == told


def test_runs_of_one_name_in_several_experiments_stay_apart(tmp_path):
    runs = [
        run for name in ("a", "b") for run in synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=20, name=name).runs()
    ]
    assert list(tables.named(runs)) == ["a/byol-bs256-s0", "b/byol-bs256-s0"]
    assert list(tables.labels(runs).values()) == ["BYOL · a", "BYOL · b"] == list(tables.settings(runs, every=True))
    assert {curve.run: curve.label for curve in tables.curves(runs)} == {run.id: f"BYOL · {run.id[0]}" for run in runs}
    assert [row["run"] for row in tables.summary(runs)] == [run.id for run in runs]
    assert len(by_seed(tables.summary(runs))) == 2
    assert list(tables.named(runs[:1])) == ["byol-bs256-s0"]


def test_unreadable_run_is_left_out(experiment):
    experiment.runs()[0].config_file.write_text('{"method": "sorcery"}')
    assert len(by_method(experiment.runs())) == len(experiment.runs()) - 1
    assert len(tables.summary(experiment.runs())) == len(experiment.runs()) - 1


def test_settings_show_what_differs(experiment):
    assert list(tables.settings(experiment.runs()).index) == ["method", "seed"]
    every = tables.settings(experiment.runs(), every=True)
    assert list(every.index) == list(OPTIONS), "it has runs of all three methods"
    moco = [run for run in experiment.runs() if run.config.method == "moco"]
    assert {*OPTIONS} - {*tables.settings(moco, every=True).index} == {n for n in OPTIONS if n.startswith(("simclr.", "byol."))}
    assert tables.settings(experiment.runs()[:1]).empty


def test_of_a_methods_own_setting_nothing_is_said_of_the_others(tmp_path):
    runs = synthetic.store(tmp_path, ("moco", "byol"), (0, 1), steps=20, axes={"moco.queue_size": [64, 128]}).runs()
    told = tables.settings(runs)
    assert dict(told.loc["moco.queue_size"]) == {"MoCo · queue size 64": "64", "MoCo · queue size 128": "128", "BYOL": "–"}
    assert set(told.loc["seed"]) == {"0, 1"}
    byol = [run for run in runs if run.config.method == "byol"]
    byol[0].config_file.write_text(byol[0].config.model_copy(update={"moco": MoCo(queue_size=32)}).model_dump_json())
    assert list(tables.settings(map(Run, [run.path for run in byol])).index) == ["seed"]


def test_image_sizes_of_the_store(experiment):
    run = experiment.runs()[0]
    run.config_file.write_text(run.config.model_copy(update={"image_size": 64}).model_dump_json())
    os.utime(run.config_file, ns=(1, 1))
    assert tables.image_sizes(Store(experiment.path.parent)) == {"photos": [64, 32]}


def test_thumbnails_are_those_of_the_images_that_a_run_was_trained_on(experiment):
    run = experiment.runs()[0]
    write_json(run.environment_file, {"data": {"checksum": "abc"}})
    assert tables.identity(run) == {"dataset": run.config.dataset, "size": run.config.image_size, "of": "abc"}


def test_of_many_runs_the_first_of_each_method_comes_before_others():
    methods = {"a0": ["moco"], "a1": ["moco"], "b0": ["byol"], "b1": ["byol"]}
    assert [tables.one_of_each(methods, n) for n in (1, 2, 3)] == [["a0"], ["a0", "b0"], ["a0", "a1", "b0"]]
    with_experiments = {"a0": ("moco", 1), "a1": ("moco", 1), "b0": ("byol", 1), "b1": ("byol", 2)}
    assert tables.one_of_each(with_experiments, 3) == ["a0", "b0", "b1"]
