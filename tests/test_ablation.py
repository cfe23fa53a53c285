"""Ablations: every run of the grid in one cell, present or missing, and figures that show what was measured and what was not."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dashboard.figures import ablation as figures
from dashboard.figures import axes, heat
from dashboard.figures.measures import Show
from sslcore import datasets, plan
from sslcore.analysis import ablation
from sslcore.analysis.ablation import NOT_RUN, Entry
from sslcore.analysis.ablation.places import in_words
from sslcore.analysis.summary import NUMBERS
from sslcore.config import get, resolve
from sslcore.experiment import Spec, Store
from sslcore.status import PRETRAIN_SHARE
from tests import synthetic


def entry(seed=0, linear=0.5, state="finished", experiment="e", progress=0.0, error=None, speed=1000.0, **settings) -> Entry:
    config = resolve({"dataset": "digits", "seed": seed, **{name.replace("__", "."): value for name, value in settings.items()}})
    numbers = dict.fromkeys(NUMBERS) | ({} if linear is None else {"linear": linear, "images_per_second": speed, "seconds": 10.0})
    return Entry(experiment, f"{config.method}-{seed}", config, state, progress, error, numbers)


VALUES = {
    "method": ["moco", "simclr", "byol", "supervised"],
    "batch_size": [16, 32, 64],
    "seed": [0, 1, 2],
    "moco.queue_size": [16, 64],
    "simclr.negatives": [None, 2, 10],
    "byol.momentum": [0.0, 0.9],
    "moco.momentum": [0.0, 0.9, 1.0],
    "moco.negatives": ["queue", "batch"],
    "head.kind": ["none", "linear", "mlp"],
    "augment": [{}, {"flip": 0}, {"jitter": 0, "hue": 0}, {"grayscale": 0}],
    "lr_scaling": ["none", "linear"],
}


@st.composite
def grids(draw) -> list[Entry]:
    """The entries of a grid over up to four axes, some of them without a result."""
    names = draw(st.lists(st.sampled_from(list(VALUES)), max_size=4, unique=True))
    assume(not {"moco.queue_size", "moco.negatives"} <= set(names))  # the batch has no K: such runs would be the same
    axes = {name: draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, unique_by=repr)) for name in names}
    planned = plan.plan(
        Spec(base={"dataset": "digits", "batch_size": 64, "augment": {"flip": 0.5, "hue": 0.1, "grayscale": 0.2}}, axes=axes)
    ).configs
    linear = draw(st.lists(st.none() | st.floats(0, 1), min_size=len(planned), max_size=len(planned)))
    return [
        Entry("e", name, config, NOT_RUN if value is None else "finished", 0.0, None, dict.fromkeys(NUMBERS) | {"linear": value})
        for (name, config), value in zip(planned.items(), linear)
    ]


# -- Cells -------------------------------------------------------------------------


@settings(deadline=None)
@given(grids(), st.data())
def test_every_run_of_the_grid_is_in_exactly_one_cell_measured_or_missing(entries, data):
    offered = ablation.axes(entries)
    assume(offered)
    axes = data.draw(st.lists(st.sampled_from(offered), min_size=1, max_size=2, unique=True))
    cells = ablation.cells(entries, axes)
    assert sorted(e.run for cell in cells for e in cell.entries) == sorted(e.run for e in entries)
    assert len({(*cell.line, cell.at) for cell in cells}) == len(cells)
    for cell in cells:
        seen = cell.measured("linear")
        assert seen.n + len(seen.missing) == len(cell.entries)
        assert len({e.config.seed for e in cell.entries}) == len(cell.entries), "a cell's runs differ in their seed"


@settings(deadline=None)
@given(grids(), st.data())
def test_a_cell_pools_nothing_but_seeds(entries, data):
    offered = ablation.axes(entries)
    assume(offered)
    for cell in ablation.cells(entries, [data.draw(st.sampled_from(offered))]):
        settings = [{n: v for n, v in e.settings.items() if n not in ("seed", "simclr.negatives")} for e in cell.entries]
        assert all(one == settings[0] for one in settings)


@settings(deadline=None)
@given(grids())
def test_mean_spread_and_drop_are_what_numpy_says(entries):
    for axis in ablation.axes(entries)[:1]:
        cells = ablation.cells(entries, [axis])
        best = ablation.best(cells, "linear")
        for cell in cells:
            seen = cell.measured("linear")
            values = [e.numbers["linear"] for e in cell.entries if e.numbers["linear"] is not None]
            assert seen.n == len(values)
            assert seen.mean == (pytest.approx(np.mean(values)) if values else None)
            assert seen.std == (pytest.approx(np.std(values, ddof=1), abs=1e-12) if len(values) > 1 else None)
        for line, own in ablation.lines(cells).items():
            drops = [best[line] - mean for cell in own if (mean := cell.measured("linear").mean) is not None]
            assert min(drops, default=0) == 0 and (line in best) == bool(drops)


def test_runs_of_one_seed_in_two_experiments_are_not_two_seeds():
    entries = [entry(experiment=name, batch_size=size, method="byol") for name in ("a", "b") for size in (16, 32)]
    cells = ablation.cells(entries, ["batch_size"])
    assert len(cells) == 4 and {cell.rest for cell in cells} == {(("experiment", "a"),), (("experiment", "b"),)}
    apart = [entry(experiment="a", batch_size=16), entry(experiment="b", batch_size=16, seed=1), entry(batch_size=32)]
    assert [len(cell.entries) for cell in ablation.cells(apart, ["batch_size"])] == [2, 1]


def test_a_seed_that_was_run_twice_counts_as_the_mean_of_its_runs():
    """As in every table: one of them was only watched more often."""
    runs = [entry(0, 0.4), entry(0, 0.6, evaluate__knn_every=5), entry(1, 0.7), entry(1, None, evaluate__knn_every=5)]
    (cell,) = ablation.cells(runs, ["batch_size"])
    assert cell.measured("linear").by_seed == pytest.approx({0: 0.5, 1: 0.7}) and len(cell.measured("linear").missing) == 1
    assert cell.rest == (), "where there is but one experiment its name tells nothing apart"


def test_lines_stand_by_the_size_of_what_tells_them_apart_and_a_cells_runs_by_their_seed():
    runs = [entry(seed, batch_size=size, epochs=epochs) for epochs in (100, 8) for size in (64, 16) for seed in (1, 0)]
    cells = ablation.cells(runs, ["batch_size"])
    assert [(dict(cell.rest)["epochs"], cell.at) for cell in cells] == [(8, (16,)), (8, (64,)), (100, (16,)), (100, (64,))]
    assert all([e.config.seed for e in cell.entries] == [0, 1] for cell in cells)


@pytest.mark.parametrize("option", ["epochs", "learning_rate", "image_size", "weight_decay", "evaluate.knn_k", "optimizer"])
def test_what_goes_along_with_the_axis_makes_lines_of_its_own(option):
    """What differs along the line is then the axis alone: a batch of 256 for 100 epochs follows none of 64 for 8."""
    values = {"optimizer": ["sgd", "sgd", "lars"], "weight_decay": [0, 0, 1]}.get(option, [8, 8, 100])
    runs = [entry(**{"batch_size": size, option: value}) for size, value in zip((32, 64, 256), values)]
    lines = ablation.lines(ablation.cells(runs, ["batch_size"])).values()
    assert sorted([cell.at[0] for cell in line] for line in lines) == [[32, 64], [256]]


def test_what_a_run_has_from_its_place_on_the_axis_makes_no_lines():
    scaled = [entry(batch_size=size, lr_scaling="linear") for size in (16, 32, 64)]
    for axis in ("batch_size", "negatives"):
        assert len(ablation.lines(ablation.cells(scaled, [axis]))) == 1
    sets = [
        Entry("e", name, resolve({"method": "moco", "dataset": name}), NOT_RUN, 0.0, None, {}) for name in ("photos", "digits")
    ]
    assert len({(e.config.image_size, e.config.moco.queue_size, e.config.augment.crop_min) for e in sets}) == 2
    assert len(ablation.lines(ablation.cells(sets, ["dataset"]))) == 1
    small = replace(sets[1], config=resolve({"method": "moco", "dataset": "digits", "image_size": 24}))
    assert len(ablation.lines(ablation.cells([sets[0], small], ["dataset"]))) == 2, "a size that was asked for is no default"
    others = [entry(method="moco", moco__negatives="batch", batch_size=size) for size in (16, 64)]
    assert len(ablation.lines(ablation.cells(others, ["negatives"]))) == 1


@pytest.mark.parametrize("preset", plan.presets())
def test_every_preset_gives_lines(preset):
    """No axis of a preset takes a setting along: a method's lines all have the same places, every one that it was run at."""
    runs = [Entry("e", name, config, NOT_RUN, 0.0, None, {}) for name, config in plan.plan(plan.read(preset)).configs.items()]
    for axis in ablation.axes(runs):
        cells = ablation.cells(runs, [axis])
        for (method, _), line in ablation.lines(cells).items():
            assert {cell.at for cell in line} == {cell.at for cell in cells if cell.method == method}, axis


# -- Axes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({"method": "moco", "moco.queue_size": 100}, 100),
        ({"method": "moco", "moco.queue_size": 100, "moco.negatives": "memory_bank"}, 100),
        ({"method": "moco", "moco.queue_size": 100, "moco.negatives": "batch"}, 63),
        ({"method": "simclr"}, 126),
        ({"method": "simclr", "simclr.negatives": 5}, 5),
        ({"method": "byol"}, None),
        ({"method": "supervised"}, None),
    ],
)
def test_negatives_per_positive(settings, number):
    assert resolve({"dataset": "digits", "batch_size": 64, **settings}).negatives == number


def test_methods_share_an_axis_that_each_has_for_itself():
    entries = [entry(method="moco", moco__momentum=m) for m in (0.5, 0.9)] + [
        entry(method="byol", byol__momentum=m) for m in (0.5, 0.9)
    ]
    entries += [entry(method="simclr")]
    assert ablation.axes(entries) == ["momentum"]
    cells = ablation.cells(entries, ["momentum"])
    assert [(cell.method, cell.at) for cell in cells] == [
        ("moco", (0.5,)),
        ("moco", (0.9,)),
        ("simclr", (None,)),
        ("byol", (0.5,)),
        ("byol", (0.9,)),
    ]


def test_settings_of_a_group_that_do_not_vary_freely_are_one_axis():
    changes = [{}, {"augment.flip": 0}, {"augment.jitter": 0, "augment.hue": 0}]
    entries = [entry(**{"augment.flip": 0.5, "augment.hue": 0.1, **change}) for change in changes]
    assert ablation.axes(entries) == ["augment"]
    assert [cell.at[0] for cell in ablation.cells(entries, ["augment"])] == ["as is", "no flip", "no jitter, no hue"]
    said = [{"crop_min": 1.0}, {"hue": 1.0}, {"blur": 0.0}, {"hidden": 64}]
    assert [ablation.in_words(changed) for changed in said] == ["no crop", "hue 1", "no blur", "hidden 64"]
    assert ablation.in_order("augment", ["no flip", "as is", "blur 0.5"]) == ["as is", "blur 0.5", "no flip"]
    product = [entry(augment__flip=flip, augment__blur=blur) for flip in (0, 0.5) for blur in (0, 0.5)]
    assert ablation.axes(product) == ["augment.flip", "augment.blur"]


def test_of_two_options_that_go_together_the_first_is_the_axis_but_a_methods_own_is_always_one():
    both = [entry(method="moco", epochs=epochs, warmup_epochs=epochs // 4) for epochs in (8, 16)]
    assert ablation.axes(both) == ["epochs"]
    own = [entry(method="moco", batch_size=size, moco__momentum=m) for size, m in ((32, 0.9), (64, 0.99))]
    assert ablation.axes(own) == ["batch_size", "momentum"]
    two = [entry(method="moco", moco__temperature=t, moco__momentum=m) for t, m in ((0.1, 0.9), (0.2, 0.99))]
    assert ablation.axes(two) == ["momentum", "temperature"], "a method's settings are no group"


def test_a_run_stands_at_the_batch_that_passes_at_once_and_at_no_value_of_another_methods_setting():
    runs = [entry(batch_size=64, micro_batch_size=size) for size in (None, 16)]
    assert [cell.at for cell in ablation.cells(runs, ["micro_batch_size"])] == [(16,), (64,)]
    runs = [entry(method="moco", moco__negatives=kind) for kind in ("queue", "batch")] + [entry(method="byol")]
    assert [cell.at for cell in ablation.cells(runs, [ablation.MECHANISM])] == [("queue",), ("batch",), (None,)]


def test_an_axis_of_threads_has_a_place_for_as_many_as_there_are_cores():
    entries = [entry(1, 0.5, threads=threads) for threads in (None, 2, 1)]
    assert [cell.at for cell in ablation.cells(entries, ["threads"])] == [(1,), (2,), ("one for each core",)]


def test_choices_stand_as_their_option_lists_them():
    assert ablation.in_order("head.kind", ["mlp", "none", "linear", "mlp"]) == ["none", "linear", "mlp"]
    assert ablation.in_order("batch_size", [64, 8, 512]) == [8, 64, 512]


# -- From a store --------------------------------------------------------------------


def test_what_was_planned_and_never_made_is_not_run_and_what_is_hidden_is_not_missing():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), axes={"batch_size": [16, 32]}, steps=20)
    shutil.rmtree(experiment.run("byol-bs16-s1").path)
    synthetic.failed(experiment.run("byol-bs32-s0"), "out of memory")
    visible = [run for run in experiment.runs() if run.name != "byol-bs32-s1"]
    entries = ablation.entries(experiment, visible)
    assert ablation.axes(entries) == ["batch_size"], "a config as planned and the same as read from its file do not differ"
    assert {e.run: e.state for e in entries} == {"byol-bs16-s0": "finished", "byol-bs16-s1": NOT_RUN, "byol-bs32-s0": "failed"}
    assert {e.run for e in ablation.to_run(entries)} == {"byol-bs16-s1", "byol-bs32-s0"}
    small, large = (cell.measured("linear") for cell in ablation.cells(entries, ["batch_size"]))
    assert small.why == "not run (seed 1)" and large.why == "failed: out of memory (seed 0)" and large.states == "failed (seed 0)"


def test_the_cost_is_that_of_the_images_left_by_the_speed_of_the_runs_most_alike():
    images = datasets.info("digits").train // 256 * 256  # whole batches of them
    assert images < datasets.info("digits").train
    measured = [
        entry(method="moco", speed=100.0),
        entry(method="byol", speed=300.0, batch_size=64),
        entry(method="byol", speed=200.0),
    ]
    assert ablation.seconds_to_run([entry(method="byol", epochs=4, linear=None)], measured) == pytest.approx(4 * images / 200)
    assert ablation.seconds_to_run(
        [entry(method="byol", epochs=4, linear=None, progress=0.75 * PRETRAIN_SHARE)], measured
    ) == pytest.approx(images / 200)
    assert ablation.seconds_to_run([entry(linear=None, progress=0.95)], measured) == 0
    assert ablation.seconds_to_run([entry(method="byol", epochs=1, batch_size=40, linear=None)], measured) == pytest.approx(
        datasets.info("digits").train // 40 * 40 / 300
    )
    odd = [*measured, entry(method="byol", speed=210.0), entry(method="byol", speed=1000.0)]
    assert ablation.seconds_to_run([entry(method="byol", epochs=1, linear=None)], odd) == pytest.approx(images / 210), (
        "the median"
    )
    both = [entry(method="moco", epochs=2, linear=None), entry(method="byol", epochs=2, linear=None)]
    assert ablation.seconds_to_run(both, measured) == pytest.approx(2 * images / 100 + 2 * images / 200)
    assert ablation.seconds_to_run(both, both) is None
    sizes = [entry(speed=100.0, batch_size=16), entry(speed=300.0, batch_size=128)]
    assert ablation.seconds_to_run([entry(epochs=1, batch_size=64, linear=None)], sizes) == pytest.approx(
        datasets.info("digits").train // 64 * 64 / 300
    ), "a batch of twice the size is more alike than one of a quarter"
    few = [entry(speed=100.0, threads=1), entry(speed=300.0), entry(method="byol", speed=200.0, threads=1)]
    assert ablation.seconds_to_run([entry(epochs=1, threads=1, linear=None)], few) == pytest.approx(images / 100)
    waited = replace(entry(speed=20.0), numbers=entry(speed=20.0).numbers | {"threads_waiting": 0.9})
    assert ablation.seconds_to_run([entry(epochs=1, linear=None)], [waited, entry(method="byol", speed=300.0)]) == pytest.approx(
        images / 300
    ), "another method's that had the cores to itself says more"
    for other in ({"encoder": "resnet18"}, {"image_size": 24}):
        assert ablation.seconds_to_run([entry(method="byol", linear=None, **other)], measured) is None, "another network"
    assert ablation.seconds_to_run(both, [replace(one, imported=True) for one in measured]) is None, "another machine's speed"
    gone = replace(both[0], config=both[0].config.model_copy(update={"dataset": "/no/such/folder"}))
    assert ablation.seconds_to_run([gone], measured) is None


def test_of_a_result_that_is_missing_the_reason_is_told_in_words_and_shorter():
    lost = [
        entry(0, None, "failed", error="out of memory"),
        entry(1, None, "stopped"),
        replace(entry(2, None), measured=True),
        entry(3, None),
    ]
    assert [(one.why, one.lacks) for one in lost] == [
        ("failed: out of memory", "failed"),
        ("stopped", "stopped"),
        ("finished without this number", "no number"),
        ("finished, and its results.json cannot be read", "unreadable"),
    ]


# -- The learning rate, and what others published ---------------------------------------


def test_negatives_that_are_the_batch_are_told_where_they_are_the_axis():
    entries = [entry(method=method, batch_size=size) for method in ("simclr", "moco", "byol") for size in (16, 48)]
    told = "SimCLR's are its batch's other images: with them go the batch size, 16 to 48, and the number of steps"
    assert ablation.batch_as_negatives(entries, "negatives") == [told]
    assert ablation.batch_as_negatives(entries, "batch_size") == []
    capped = [entry(method="simclr", **{"simclr.negatives": n}) for n in (8, 16)]
    assert ablation.batch_as_negatives(capped, "negatives") == []


def test_the_learning_rate_rule_says_what_it_came_to():
    sizes = (64, 512)
    linear = [entry(method="moco", batch_size=size) for size in sizes]
    assert ablation.learning_rate_rule(linear) == ["SGD, learning rate 0.06 × batch/256: 0.015 to 0.12"]
    fixed = [entry(method="moco", batch_size=size, optimizer="adamw", learning_rate=0.002, lr_scaling="none") for size in sizes]
    assert ablation.learning_rate_rule(fixed) == ["AdamW, learning rate 0.002 at every batch size"]
    root = [entry(method="byol", batch_size=size, lr_scaling="sqrt") for size in sizes]
    assert ablation.learning_rate_rule(linear + root) == [
        "MoCo: SGD, learning rate 0.06 × batch/256: 0.015 to 0.12",
        "BYOL: SGD, learning rate 0.06 × √(batch/256): 0.03 to 0.0849",
    ]
    two = [entry(batch_size=64, lr_scaling="none", learning_rate=rate) for rate in (0.1, 0.00123)]
    assert ablation.learning_rate_rule([*two, entry(batch_size=64, optimizer="adamw", lr_scaling="none", learning_rate=0.5)]) == [
        "SGD, learning rate 0.00123 to 0.1, whatever the batch size",
        "AdamW, learning rate 0.5 at every batch size",
    ]


def test_published_curves_have_a_source_and_read_as_drops():
    curves = ablation.published()
    assert {(curve.axis, curve.method) for curve in curves} == {
        ("batch_size", "simclr"),
        ("batch_size", "byol"),
        ("negatives", "simclr"),
        ("negatives", "moco"),
        ("momentum", "moco"),
        ("momentum", "byol"),
        ("augment", "byol"),
        ("augment", "simclr"),
    }
    for curve in curves:
        assert "et al." in curve.source and min(curve.drops.values()) == 0 and max(curve.points.values()) < 1
    simclr = [curve.points for curve in curves if curve.method == "simclr"]
    changed = plan.read("augmentations").axes["augment"]
    stands = {in_words(dict.fromkeys(one, 0)) for one in changed if "crop_min" not in one}
    assert all(stands <= set(curve.points) for curve in curves if curve.axis == "augment"), "as runs are called there"
    assert {256: 0.575}.items() <= simclr[0].items() and 510 in simclr[1] and simclr[1][510] == simclr[0][256]


# -- Figures -----------------------------------------------------------------------


def traces(figure, name=None) -> list:
    return [trace for trace in figure.data if name is None or trace.name == name]


def means(figure, name):
    """(x, y) of a line's means."""
    (trace,) = [t for t in traces(figure, name) if t.mode in ("lines+markers", "markers") and t.showlegend is None]
    return list(trace.x), [None if np.isnan(y) else round(float(y), 6) for y in trace.y]


GRID = [
    entry(seed, 0.5 + 0.01 * seed + k / 10, method="byol", batch_size=size)
    for k, size in enumerate((16, 32, 128))
    for seed in (0, 2)
]


def test_a_line_has_every_seed_its_mean_and_its_band():
    figure = figures.against(ablation.cells(GRID, ["batch_size"]), "batch_size", "linear", notes=["the rule"])
    assert means(figure, "BYOL") == ([16, 32, 128], [51, 61, 71])
    assert figure.layout.xaxis.type == "log" and list(figure.layout.xaxis.ticktext) == ["16", "32", "128"]
    (dots,) = [t for t in traces(figure) if t.mode == "markers" and t.text]
    assert sorted(np.round(dots.y, 6)) == [50, 52, 60, 62, 70, 72] and len(dots.x) == 6
    low, high = (t for t in traces(figure) if t.mode == "lines")
    std = 100 * np.std([0.5, 0.52], ddof=1)
    assert np.allclose(np.array(high.y) - low.y, 2 * std) and np.allclose(np.array(high.y) + low.y, [102, 122, 142])
    subtitle = figure.layout.title.subtitle.text
    assert "the rule" in subtitle and "N = 2" in subtitle and "standard deviation" in subtitle


def test_a_point_tells_its_mean_its_spread_and_its_seeds_in_the_units_of_its_axis():
    cells = ablation.cells(GRID, ["batch_size"])
    (line,) = (t for t in traces(figures.against(cells, "batch_size", "linear"), "BYOL") if t.error_y.array is not None)
    assert line.text[0] == "batch size 16<br>51.0 ± 1.4 %, N = 2"
    (line,) = (
        t for t in traces(figures.against(cells, "batch_size", "linear", drop=True), "BYOL") if t.error_y.array is not None
    )
    assert line.text[0] == "batch size 16<br>20.0 points below its best (its accuracy ± 1.4), N = 2", "no spread of the drop"
    heavy = [
        replace(e, numbers=e.numbers | {"peak_memory_bytes": (2 + e.config.seed) * 1e9, "seconds": 600.0 * (90 + e.config.seed)})
        for e in GRID
    ]
    for measure, unit, height in (("peak_memory_bytes", "GB", 3), ("seconds", "hours", 91 / 6)):
        figure = figures.against(ablation.cells(heavy, ["batch_size"]), "batch_size", measure)
        assert figure.layout.yaxis.title.text == unit and means(figure, "BYOL")[1] == pytest.approx([height] * 3, abs=1e-5)


def test_with_one_seed_there_is_no_band_and_the_chart_says_so():
    figure = figures.against(ablation.cells(GRID[::2], ["batch_size"]), "batch_size", "linear")
    assert not [t for t in traces(figure) if t.fill or t.mode == "lines"]
    assert "N = 1" in figure.layout.title.subtitle.text and "no band" in figure.layout.title.subtitle.text


def bars(figure) -> dict[str, dict[float, float]]:
    """name -> {where it is drawn: how long it is above the mean}."""
    return {
        trace.name: {float(x): float(bar) for x, bar in zip(trace.x, trace.error_y.array) if np.isfinite(bar)}
        for trace in figure.data
        if trace.error_y.array is not None
    }


def test_a_spread_whose_neighbours_have_none_is_a_bar_that_stands_aside_of_others_and_is_named_so():
    def grid(sizes):
        return [
            entry(seed, 0.5 + seed / 10, method=method, batch_size=size)
            for method in ("moco", "byol")
            for size in sizes
            for seed in ((0,) if size == 32 else (0, 1))
        ]

    for sizes, drawn in (
        ((16, 32, 128), "bar"),
        ((16, 32, 48), "bar"),
        ((16, 64, 128), "band"),
        ((16, 32, 64, 128), "band or bar"),
    ):
        figure = figures.against(ablation.cells(grid(sizes), ["batch_size"]), "batch_size", "linear")
        assert f"; {drawn}: ±" in figure.layout.title.subtitle.text
        moco, byol = bars(figure).values()
        assert bool(moco) == bool(byol) == ("bar" in drawn)
        assert all(bar == pytest.approx(100 * np.std([0.5, 0.6], ddof=1)) for bar in moco.values())
        for left, right in zip(moco, byol):
            assert 0 < right - left < 0.25 * left, "aside, and still at its place"


def test_lines_without_bars_stand_exactly_at_their_places():
    cells = ablation.cells(
        [entry(s, 0.5, method=m, batch_size=b) for m in ("moco", "byol") for b in (16, 64) for s in (0, 1)], ["batch_size"]
    )
    figure = figures.against(cells, "batch_size", "linear")
    assert means(figure, "MoCo")[0] == means(figure, "BYOL")[0] == [16, 64]


def test_a_methods_own_setting_is_called_as_on_other_pages():
    entries = [entry(method="moco", batch_size=size, moco__queue_size=k) for size in (16, 64) for k in (32, 128)]
    assert {figures.label(cell) for cell in ablation.cells(entries, ["batch_size"])} == {
        "MoCo · queue size 32",
        "MoCo · queue size 128",
    }
    assert axes.title("moco.queue_size") == "MoCo queue size"


def test_lines_of_methods_on_several_data_sets_say_on_which_each_is():
    entries = [entry(method=m, dataset=on, batch_size=b) for m, on in (("moco", "digits"), ("byol", "photos")) for b in (16, 64)]
    lines = ablation.lines(ablation.cells(entries, ["batch_size"])).values()
    assert [figures.label(line[0]) for line in lines] == ["MoCo · dataset digits", "BYOL · dataset photos"]
    assert not any(cell.rest for cell in ablation.cells(entries, ["dataset", "batch_size"]))


def test_where_labels_would_touch_those_of_places_with_a_point_stay():
    """SimCLR's batches have 30, 126 and 510 negatives, MoCo's queues 32, 128 and 512."""
    moco = [entry(method="moco", moco__queue_size=k) for k in (32, 128, 512)]
    simclr = [entry(linear=None, state=NOT_RUN, method="simclr", batch_size=k) for k in (16, 64, 256)]
    figure = figures.against(ablation.cells([*moco, *simclr], ["negatives"]), "negatives", "linear")
    assert list(figure.layout.xaxis.tickvals) == [32, 128, 512]
    assert figure.layout.title.text == "Linear probe against negatives per positive"
    assert list(axes.Scale.of("negatives", [30, 32, 126, 128, 512]).layout()["tickvals"]) == [30, 126, 512]


def test_accuracies_stay_within_0_and_100_percent_and_without_any_there_is_no_axis_of_them():
    axis = figures.against(ablation.cells(GRID, ["batch_size"]), "batch_size", "linear").layout.yaxis
    assert (axis.minallowed, axis.maxallowed, axis.visible) == (0, 100, True)
    none = [replace(e, numbers=dict.fromkeys(NUMBERS), state=NOT_RUN) for e in GRID]
    empty = figures.against(ablation.cells(none, ["batch_size"]), "batch_size", "linear").layout
    assert not empty.yaxis.visible and "no result yet" in empty.title.subtitle.text
    without = [replace(e, state="finished", measured=True) for e in none]
    told = figures.against(ablation.cells(without, ["batch_size"]), "batch_size", "linear").layout.title.subtitle.text
    assert "no run has this number" in told


def test_what_is_missing_breaks_the_line_and_leaves_a_hollow_mark_with_its_reason():
    lost = [replace(e, numbers=dict.fromkeys(NUMBERS), state="failed", error="<b>out</b> of memory") for e in GRID[2:4]]
    lost += [replace(GRID[4], numbers=dict.fromkeys(NUMBERS), state=NOT_RUN)]
    figure = figures.against(ablation.cells([*GRID[:2], *lost, GRID[5]], ["batch_size"]), "batch_size", "linear")
    assert means(figure, "BYOL") == ([16, 32, 128], [51, None, 72])
    marks = {float(t.x[0]): t for t in traces(figure) if t.yaxis == "y2"}
    assert set(marks) == {32.0, 128.0} and all(t.marker.symbol.endswith("-open") for t in marks.values())
    assert "&lt;b&gt;out" in marks[32.0].hovertemplate and "<b>" not in marks[32.0].hovertemplate
    assert "1 of 2 seeds missing" in marks[128.0].hovertemplate and "not run (seed 0)" in marks[128.0].hovertemplate
    assert traces(figure, "missing")


def test_a_drop_is_counted_from_the_lines_own_best_and_published_curves_lie_under_drops_alone():
    cells = ablation.cells(GRID, ["batch_size"])
    curves = [curve for curve in ablation.published() if curve.axis == "batch_size"]
    drop = figures.against(cells, "batch_size", "linear", drop=True, published=curves)
    assert means(drop, "BYOL")[1] == [20, 10, 0] and drop.layout.yaxis.autorange == "reversed"
    lower = [entry(linear=0.3 + k / 100, method="simclr", batch_size=size) for k, size in enumerate((16, 32, 128))]
    both = figures.against(ablation.cells([*GRID, *lower], ["batch_size"]), "batch_size", "linear", drop=True)
    assert means(both, "BYOL")[1] == [20, 10, 0] and means(both, "SimCLR")[1] == [2, 1, 0]
    laid = [t for t in traces(drop) if t.name and "published" in t.name]
    assert len(laid) == len(curves) and all("et al." in t.hovertemplate and t.line.dash for t in laid)
    for curve, trace in zip(curves, laid):
        points = 100 * np.array(list(curve.points.values()))
        np.testing.assert_allclose(trace.y, points.max() - points)
        assert list(trace.text) == [f"{accuracy:.1f} %" for accuracy in points]
    assert not [
        t for t in traces(figures.against(cells, "batch_size", "linear", published=curves)) if t.name and "published" in t.name
    ]


def test_a_method_to_which_the_axis_does_not_apply_is_a_level_line_over_the_whole_range():
    entries = [entry(method="moco", moco__queue_size=k) for k in (16, 1024)] + [
        entry(s, 0.6 + s / 10, method="byol") for s in (0, 1)
    ]
    figure = figures.against(ablation.cells(entries, ["negatives"]), "negatives", "linear")
    (level,) = traces(figure, "BYOL (level)")
    assert min(level.x) < 16 and max(level.x) > 1024 and np.allclose(level.y, 65)
    assert "N = 2" in level.hovertemplate
    low, high = (t for t in traces(figure) if t.legendgroup == "BYOL" and t.showlegend is False)
    std = 100 * np.std([0.6, 0.7], ddof=1)
    assert np.allclose(low.y, 65 - std) and np.allclose(high.y, 65 + std)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([16, 32, 64], "linear"),
        ([16, 32, 128], "log"),
        ([0, 0.9, 0.99, 1], "even"),
        (["sgd", "lars"], "words"),
        ([True, False], "words"),
    ],
)
def test_how_places_are_laid_out(values, kind):
    scale = axes.Scale.of("optimizer", values)
    assert scale.kind == kind
    low, high = scale.ends()
    at = [np.log10(scale.x(v)) if kind == "log" else scale.x(v) for v in values]
    assert all(low < x < high for x in at) and len(set(at)) == len(at)


def test_a_heat_map_shows_each_cell_and_says_what_is_missing():
    entries = [
        entry(s, 0.1 * k + 0.2 * j, method="moco", batch_size=b, head__kind=h)
        for j, b in enumerate((16, 32))
        for k, h in enumerate(("none", "mlp"))
        for s in (0, 1)
    ]
    entries[-2:] = [replace(e, numbers=dict.fromkeys(NUMBERS), state=NOT_RUN) for e in entries[-2:]]
    cells = ablation.cells(entries, ["batch_size", "head.kind"])
    figure = heat.heat(cells, ["batch_size", "head.kind"], "linear", heat.ends(cells, "linear", False))
    shades, values, missing = figure.data
    assert np.allclose(shades.z, [[0, 20], [10, np.nan]], equal_nan=True) and (shades.zmin, shades.zmax) == (0, pytest.approx(20))
    assert list(missing.text) == ["<i>not run</i>"] and (missing.x[0], missing.y[0]) == (1, 1)
    assert sorted(values.text) == ["0.0", "10.0", "20.0"]
    entries[-2:] = [replace(e, state="finished", measured=True) for e in entries[-2:]]
    without = ablation.cells(entries, ["batch_size", "head.kind"])
    (*_, missing) = heat.heat(without, ["batch_size", "head.kind"], "linear", (0.0, 0.2)).data
    assert list(missing.text) == ["<i>no number</i>"]
    drop = heat.heat(cells, ["batch_size", "head.kind"], "linear", heat.ends(cells, "linear", True), drop=True)
    assert np.nanmin(drop.data[0].z) == 0 and np.nanmax(drop.data[0].z) == pytest.approx(20)
    assert drop.data[0].reversescale and not shades.reversescale, "the best is the strongest colour in both"


@settings(deadline=None, max_examples=40)
@given(grids(), st.sampled_from(["linear", "seconds"]), st.booleans())
def test_any_grid_can_be_drawn(entries, measure, drop):
    for axis in ablation.axes(entries):
        cells = ablation.cells(entries, [axis])
        figure = figures.against(
            cells,
            axis,
            measure,
            drop=drop and measure == "linear",
            published=ablation.published()[:2],
            notes=ablation.learning_rate_rule(entries),
        )
        hollow = {(t.x[0], t.marker.symbol) for t in figure.data if t.yaxis == "y2"}
        assert len(hollow) <= len(cells) and bool(hollow) == any(
            cell.measured(measure).missing and cell.at[0] is not None for cell in cells
        )
        figure.to_json()


def test_records_tell_the_learning_rate_as_it_was_scaled():
    cells = ablation.cells([entry(batch_size=512, learning_rate=0.1, lr_scaling="linear")], ["batch_size"])
    assert [record["peak_learning_rate"] for record in ablation.records(cells, ["batch_size"])] == [pytest.approx(0.2)]


def test_records_hold_every_run_once_with_what_tells_it_apart():
    cells = ablation.cells(GRID, ["batch_size"])
    records = ablation.records(cells, ["batch_size"])
    assert [(r["batch_size"], r["seed"], r["linear"]) for r in records] == [
        (get(e.config, "batch_size"), e.config.seed, e.numbers["linear"]) for e in GRID
    ]
    lost = [entry(state="failed", error="out of memory", linear=None, epochs=epochs, batch_size=16) for epochs in (8, 9)]
    told = ablation.records(ablation.cells(lost, ["batch_size"]), ["batch_size"])
    assert [(r["epochs"], r["error"]) for r in told] == [(8, "out of memory"), (9, "out of memory")]


def test_what_is_less_than_nothing_is_said_with_a_minus():
    uniformity = Show.of("uniformity", (), drop=False)
    assert [uniformity.number(value) for value in (-2.8449, 0.5, -1234)] == ["−2.84", "0.5", "−1,230"]


def test_all_heat_maps_of_drops_share_the_range_of_drops_from_each_lines_own_best():
    entries = [
        entry(linear=linear, method=method, batch_size=size, head__kind="mlp")
        for method, of in (("moco", (0.2, 0.3)), ("byol", (0.8, 0.85)))
        for size, linear in zip((16, 32), of)
    ]
    cells = ablation.cells(entries, ["batch_size", "head.kind"])
    assert heat.ends(cells, "linear", True) == pytest.approx((0, 10))


def test_no_line_is_drawn_through_a_place_without_a_mean():
    lost = [replace(e, numbers=dict.fromkeys(NUMBERS), state="failed") for e in GRID[2:4]]
    figure = figures.against(ablation.cells([*GRID[:2], *lost, *GRID[4:]], ["batch_size"]), "batch_size", "linear")
    (line,) = (trace for trace in figure.data if trace.name == "BYOL")
    assert line.mode == "lines+markers" and np.isnan(line.y[1]) and not line.connectgaps


def test_a_run_that_was_interrupted_after_it_was_probed_is_not_missing():
    one, other = (replace(GRID[0], state="interrupted", measured=measured) for measured in (True, False))
    assert ablation.to_run([one, other]) == [other]


def test_hollow_marks_of_one_place_stand_above_each_other_and_those_of_a_whole_cell_are_larger():
    lost = [entry(seed, None, NOT_RUN, method=m, batch_size=16) for m in ("moco", "byol") for seed in (0, 1)]
    there = [entry(seed, method=m, batch_size=b) for m in ("moco", "byol") for b in (32, 64) for seed in (0, 1)]
    one = [entry(0, method="moco", batch_size=128), entry(1, None, NOT_RUN, method="moco", batch_size=128)]
    figure = figures.against(ablation.cells([*lost, *there, *one], ["batch_size"]), "batch_size", "linear")
    marks = [(float(t.x[0]), t.y[0], t.marker.size) for t in figure.data if t.yaxis == "y2"]
    low, high = sorted(mark for mark in marks if mark[0] == 16)
    assert low[1] + 0.05 < high[1] and low[2] == high[2]
    ((_, at, size),) = (mark for mark in marks if mark[0] == 128)
    assert at == low[1] and size < low[2]


def test_a_cost_has_its_names_in_the_chart_above_and_no_dots_that_it_would_explain():
    cells = ablation.cells(GRID, ["batch_size"])
    of_cost, of_accuracy = (figures.against(cells, "batch_size", measure).layout for measure in ("seconds", "linear"))
    assert (of_cost.showlegend, of_accuracy.showlegend) == (False, True)
    assert "each a dot" not in of_cost.title.subtitle.text and "N = 2 seeds, each a dot;" in of_accuracy.title.subtitle.text


def test_published_curves_of_one_method_have_dashes_of_their_own():
    (curve, *_) = (curve for curve in ablation.published() if curve.axis == "batch_size")
    cells = ablation.cells(GRID, ["batch_size"])
    twice = figures.against(cells, "batch_size", "linear", drop=True, published=[curve, replace(curve, label="another")])
    one, other = (t for t in twice.data if t.name and "published" in t.name)
    assert one.line.dash != other.line.dash and one.line.color == other.line.color


def test_each_dot_of_a_line_says_whose_seed_it_is():
    figure = figures.against(ablation.cells(GRID, ["batch_size"]), "batch_size", "linear")
    (dots,) = [t for t in traces(figure) if t.mode == "markers" and t.text]
    told = {(float(x), text): round(float(y), 6) for x, y, text in zip(dots.x, dots.y, dots.text)}
    assert told == {(e.config.batch_size, f"seed {e.config.seed}"): round(100 * e.numbers["linear"], 6) for e in GRID}


def test_words_along_an_axis_have_no_line_between_them():
    entries = [entry(seed, method="byol", optimizer=o) for o in ("sgd", "lars") for seed in (0, 1)]
    figure = figures.against(ablation.cells(entries, ["optimizer"]), "optimizer", "linear")
    (line,) = (t for t in traces(figure, "BYOL") if t.error_y.array is not None)
    assert line.mode == "markers" and list(figure.layout.xaxis.ticktext) == ["sgd", "lars"]
    assert (axes.said("augment.x", True), axes.said("moco.symmetric", False)) == ("yes", "no")
    assert (axes.said("simclr.negatives", None), axes.said("moco.queue_size", None)) == ("all", "–")


def test_many_words_along_an_axis_are_written_at_a_slant_each_on_one_line():
    few, many = (axes.Scale.of("augment", [f"word {k}, and more" for k in range(n)]).layout() for n in (6, 7))
    assert few["tickangle"] is None and few["ticktext"][0] == "word 0,<br>and more"
    assert many["tickangle"] == -35 and many["ticktext"][0] == "word 0, and more"


def test_another_reading_of_an_axis_keeps_no_zoom_of_the_one_before():
    cells = ablation.cells(GRID, ["batch_size"])
    kept = {
        figures.against(cells, "batch_size", *of, drop=drop).layout.uirevision
        for *of, drop in (("linear", False), ("linear", True), ("knn", False))
    }
    assert len(kept) == 3
