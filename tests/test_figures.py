"""Figures: what is drawn is what was measured."""

import dataclasses
import gc
import itertools
import json
import weakref

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import metrics, tables
from dashboard.figures import curves, evidence, labels, probe, style
from sslcore.analysis import stats
from sslcore.analysis.stats import over_seeds
from sslcore.methods import METHODS, Entry
from tests import synthetic


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return synthetic.store(
        tmp_path_factory.mktemp("figures"), methods=("moco", "simclr", "byol", "supervised"), seeds=(0, 1, 2), steps=200
    )


@pytest.fixture(scope="module")
def rows(experiment):
    return tables.curves(experiment.runs())


def of(rows, **words) -> tuple[tables.Curve, ...]:
    return tuple(curve for curve in rows if all(getattr(curve, name) == word for name, word in words.items()))


def cut(curve, step: int) -> tables.Curve:
    """The curve as it was at that step."""
    n = int((curve["step"] <= step).sum())
    values = {name: (rows[rows < n], values[: int((rows < n).sum())]) for name, (rows, values) in curve.logged.values.items()}
    return dataclasses.replace(
        curve, logged=metrics.Logged({name: column[:n] for name, column in curve.logged.places.items()}, values)
    )


def logged(experiment, method: str) -> pd.DataFrame:
    return pd.concat(
        [pd.DataFrame(run.metrics()).dropna(subset=["loss"]) for run in experiment.runs() if run.config.method == method]
    )


def named(figure) -> list[str]:
    return [trace.name for trace in figure.data if trace.showlegend is not False]


def test_a_method_has_its_own_colour_and_dash_everywhere(rows):
    for draw in (lambda r: curves.loss(r), lambda r: curves.metric(r, "knn")):
        for method in ("moco", "byol"):
            figure = draw(of(rows, method=method))
            assert {trace.line.color for trace in figure.data if trace.legendgroup and trace.line.color} == {style.colour(method)}
    methods = [name for name in METHODS if name != "supervised"]
    assert len({style.colour(name) for name in methods}) == len({style.dash(name) for name in methods}) == len(methods)
    assert style.colour("supervised") == style.NEUTRAL


@pytest.mark.parametrize("method", METHODS)
def test_the_tones_of_a_method_are_seen_on_white_and_on_black_and_told_from_each_other(method):
    tones = [style.shade(style.colour(method), k, 3) for k in range(3)]
    assert tones[0] == style.colour(method)
    for tone in tones:
        assert min(contrast(tone, paper) for paper in ("#ffffff", "#0e1117")) > 2.2
    assert all(contrast(*pair) > 1.35 for pair in itertools.pairwise(tones))


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio of two colours."""
    shares = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in (one, other)]
    linear = [[x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in of] for of in shares]
    low, high = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in linear)
    return (high + 0.05) / (low + 0.05)


def test_a_fourth_method_gets_a_look_of_its_own(monkeypatch):
    monkeypatch.setitem(METHODS, "vicreg", Entry("VICReg", "somewhere:VICReg"))
    looks = {name: (style.colour(name), style.dash(name), style.symbol(name)) for name in METHODS}
    assert len(set(looks.values())) == len(METHODS)
    assert style.title("vicreg") == "VICReg"


def test_mean_and_band_over_seeds(experiment, rows):
    figure = curves.loss(of(rows, method="byol"))
    mean = next(trace for trace in figure.data if trace.name == "BYOL, N = 3" and trace.customdata is not None)
    at = logged(experiment, "byol").groupby("step")["loss"]
    np.testing.assert_allclose(mean.y, at.mean(), rtol=1e-6)
    np.testing.assert_allclose(mean.customdata[:, 0], at.std(), rtol=1e-5)
    (band,) = (trace.y for trace in figure.data if trace.line.width == 0)
    np.testing.assert_allclose(band[::-1][: len(band) // 2] - band[: len(band) // 2], 2 * at.std(), rtol=1e-4, atol=1e-6)
    assert named(figure) == ["BYOL, N = 3"]


def test_a_seed_that_is_ahead_makes_no_mean(experiment, rows):
    ahead, *others = of(rows, method="byol")
    mean = next(
        trace for trace in curves.loss((ahead, *(cut(curve, 100) for curve in others))).data if trace.customdata is not None
    )
    at = logged(experiment, "byol").groupby("step")["loss"]
    assert max(mean.x) == 100 and set(mean.customdata[:, 1]) == {3}
    np.testing.assert_allclose(mean.y, at.mean().loc[:100], rtol=1e-6)
    np.testing.assert_allclose(mean.customdata[:, 0], at.std().loc[:100], rtol=1e-4)


def test_where_a_mean_ends_before_its_seeds_do_is_said(rows):
    whole = of(rows, method="byol")
    assert not curves.going_on_alone(rows) and not curves.going_on_alone((cut(whole[0], 10), *whole[1:])), "two seeds go on"
    told = curves.going_on_alone((cut(whole[0], 10), whole[1]))
    assert told == "No mean is drawn where a single seed goes on: BYOL after step 10."


def test_two_runs_of_one_seed_count_as_one_seed_where_both_were_looked_at(rows):
    """They differ in how often they were looked at; no spread can be told from them."""
    first, second, _ = of(rows, method="byol")
    again = dataclasses.replace(second, seed=first.seed)
    one_seed = curves.metric((first, cut(again, 100)), "knn")
    with_another = curves.metric((first, cut(again, 100), second), "knn")
    assert named(one_seed) == ["BYOL, seed 0"] and named(with_another) == ["BYOL, N = 2"]
    (line,) = (trace for trace in one_seed.data if trace.hovertemplate)
    steps, _, own = first.pairs("knn", "step")
    mean = ((own + again.pairs("knn", "step")[2]) / 2)[steps <= 100]
    assert list(line.x) == list(steps[steps <= 100]) and list(line.y) == pytest.approx(list(mean))
    (line,) = (trace for trace in with_another.data if trace.hovertemplate)
    assert set(line.customdata[:, 1]) == {2} and max(line.x) == 100


def test_each_panel_names_its_chance_level(rows):
    for method in {curve.method for curve in rows}:
        texts = [text for trace in curves.loss(of(rows, method=method)).data for text in trace.text or () if text]
        assert texts == [f"{METHODS[method].chance}<br>= {synthetic.LOSS[method][0]:.2f}"]


def test_on_one_axis_a_chance_level_is_named_in_a_line_since_another_may_be_close_below(rows):
    texts = {text for trace in curves.loss(rows).data for text in trace.text or () if text}
    methods = {curve.method for curve in rows}
    assert texts == {f"{METHODS[method].chance} = {synthetic.LOSS[method][0]:.2f}" for method in methods}


def test_of_several_chance_levels_one_has_the_long_name(rows):
    """Another batch size has another level; a second name would lie on the curves between them."""
    first = of(rows, method="simclr")[0]
    at, levels = first.logged.values["chance_loss"]
    logged = metrics.Logged(first.logged.places, first.logged.values | {"chance_loss": (at, levels - 1)})
    texts = [
        text
        for trace in curves.loss((first, dataclasses.replace(first, label="SimCLR, batch 64", logged=logged))).data
        for text in trace.text or ()
        if text
    ]
    assert [text.split("= ")[0] for text in texts] == [METHODS["simclr"].chance + "<br>", ""]
    assert float(texts[0].split("= ")[1]) - float(texts[1].split("= ")[1]) == pytest.approx(1)


def test_losses_on_one_axis_come_with_a_warning(rows):
    assert "cannot be compared" in curves.loss(rows).layout.title.subtitle.text
    assert curves.loss(of(rows, method="moco")).layout.title.subtitle.text is None


@pytest.mark.parametrize("x", curves.X_AXES)
def test_every_horizontal_axis(experiment, rows, x):
    run = experiment.run("byol-bs256-s0")
    figure = curves.loss(of(rows, run=run.name), x)
    one = pd.DataFrame(run.metrics()).dropna(subset=["loss"])
    expected = one["images_seen"] * synthetic.FLOPS["byol"] if x == "flops" else one[x]
    np.testing.assert_allclose(figure.data[0].x, expected.astype(float), rtol=1e-6)
    assert figure.layout.xaxis.title.text.startswith(curves.X_AXES[x])
    assert figure.layout.uirevision != curves.loss(rows, "epoch" if x != "epoch" else "step").layout.uirevision


def test_on_one_axis_of_time_every_chance_level_ends_where_its_curves_do(rows):
    """In the unit of the axis, which the slowest method decides."""
    slow = []
    for curve in rows:
        times = {"simclr": 100, "byol": 1000}.get(curve.method, 1)
        places = curve.logged.places | {"seconds": curve.logged.places["seconds"] * times}
        slow.append(dataclasses.replace(curve, logged=metrics.Logged(places, curve.logged.values)))
    figure = curves.loss(tuple(slow), "seconds")
    ends = {trace.line.color: trace.x[1] for trace in figure.data if trace.text}
    for method in ("moco", "simclr", "byol"):
        last = max(float(np.nanmax(trace.x)) for trace in figure.data if (trace.legendgroup or "") == METHODS[method].title)
        assert ends[style.faint(style.colour(method), 0.8)] == pytest.approx(last, rel=0.1)


def test_long_trainings_are_laid_out_in_a_longer_unit_at_their_own_times(rows):
    (curve,) = of(rows, run="byol-bs256-s0")
    places = curve.logged.places | {"seconds": 60 * curve.logged.places["seconds"]}
    slow = dataclasses.replace(curve, logged=metrics.Logged(places, curve.logged.values))
    figure = curves.loss((slow,), "seconds")
    assert figure.layout.xaxis.title.text == "training time, minutes"
    _, seconds, _ = curve.pairs("loss", "seconds")  # as many minutes now
    np.testing.assert_allclose(figure.data[0].x, seconds, rtol=1e-5)
    (chance,) = (trace for trace in figure.data if trace.text)
    assert list(chance.x) == pytest.approx([0, seconds[-1]]) and list(chance.y) == [synthetic.LOSS["byol"][0]] * 2


def test_an_accuracys_deviation_is_told_in_percent_and_a_losses_as_a_number(rows):
    for figure, told in ((curves.metric(rows, "knn"), ".1%"), (curves.loss(of(rows, method="byol")), ".3~g")):
        (mean, *_) = (trace for trace in figure.data if trace.customdata is not None)
        assert f"± %{{customdata[0]:{told}}}" in mean.hovertemplate


def test_smoothing_is_unbiased_and_keeps_what_was_logged(experiment, rows):
    assert np.allclose(curves.smoothed(np.full(50, 3.0), 0.9), 3.0)
    one = of(rows, run="byol-bs256-s0")
    raw, smooth = curves.loss(one, smoothing=0.9).data[:2]
    np.testing.assert_allclose(
        raw.y, [row["loss"] for row in experiment.run("byol-bs256-s0").metrics() if "loss" in row], rtol=1e-6
    )
    assert np.abs(np.diff(smooth.y)).mean() < 0.5 * np.abs(np.diff(raw.y)).mean()
    plain = curves.loss(one).data
    assert np.array_equal(plain[0].y, raw.y)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=400), st.integers(10, 60))
def test_long_curves_are_thinned_and_keep_their_extremes_and_both_ends(values, points):
    values = np.array(values, np.float32)
    places = curves.thinned(values, points)
    assert len(places) <= max(points, 1) and (np.diff(places) > 0).all() and {0, len(values) - 1} <= set(places.tolist())
    kept = values[places]
    assert kept.max() == values.max() and kept.min() == values.min()


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_curves_behind_a_mean_are_one_trace_with_gaps_and_names_and_a_crowd_is_none(rows, monkeypatch, smoothing):
    own = of(rows, method="byol")
    apart, joined = (curves.loss(own, smoothing=smoothing, spread=spread) for spread in (False, True))
    seeds = [trace for trace in apart.data if trace.name and ", seed " in trace.name]
    assert len(seeds) == 3
    (behind,) = (trace for trace in joined.data if trace.opacity)
    gap = [np.nan]
    np.testing.assert_array_equal(behind.y, np.concatenate([seeds[0].y, gap, seeds[1].y, gap, seeds[2].y]))
    assert list(behind.meta["series"]) == [trace.name for trace in seeds]
    monkeypatch.setattr(curves, "CROWD", 2)
    curves.loss.cache_clear()
    crowd = curves.loss(own, smoothing=smoothing)
    assert not [trace for trace in crowd.data if trace.opacity] and named(crowd) == named(joined)
    curves.loss.cache_clear()


def test_figures_are_kept_and_the_rows_of_a_run_that_has_grown_since_are_not(tmp_path):
    (run,) = synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=50).runs()
    shown = tables.curves([run])
    figure, rows = curves.loss(shown), weakref.ref(shown[0].logged)
    assert curves.loss(tables.curves([run])) is figure and curves.loss(shown, "epoch") is not figure
    run.append_metrics({"step": 55, "epoch": 3.0, "loss": 1.0})
    del shown
    assert curves.loss(tables.curves([run])) is not figure
    gc.collect()
    assert rows() is None


def test_a_curve_that_grows_keeps_most_of_its_places():
    values = np.random.default_rng(0).normal(size=10_200).astype(np.float32)
    before, after = (set(curves.thinned(values[:n], 200).tolist()) for n in (10_000, 10_200))
    assert len(before - after) <= 3


def test_numbers_travel_as_typed_arrays(rows):
    traces = json.loads(curves.loss(rows).to_json())["data"]
    of_seeds = [trace for trace in traces if trace.get("opacity")]
    assert of_seeds and all("bdata" in trace[axis] for trace in of_seeds for axis in "xy")


@pytest.mark.parametrize("x", ["step", "flops"])
def test_where_nothing_is_logged_words_stand_in_place_of_axes(rows, x):
    for figure in (curves.loss((), x, title="BYOL"), curves.metric((), "knn", x)):
        assert not figure.data and not figure.layout.xaxis.visible and not figure.layout.yaxis.visible
        (said,) = figure.layout.annotations
        assert said.text == {"step": "nothing logged yet", "flops": "operations are not counted yet"}[x]
    assert curves.loss((), x, title="BYOL").layout.title.text == "BYOL"
    assert not curves.loss(rows).layout.annotations


def test_a_single_reading_lies_on_axes_that_it_could_have(rows):
    first = cut(of(rows, run="byol-bs256-s0")[0], 20)
    knn, rank, even = (curves.metric((first,), name).layout for name in ("knn", "effective_rank", "uniformity"))
    assert (knn.yaxis.minallowed, knn.yaxis.maxallowed, even.yaxis.maxallowed) == (0, 1, 0)
    assert rank.yaxis.rangemode == "nonnegative" and knn.xaxis.rangemode == "tozero"
    assert knn.xaxis.dtick is None and curves.loss((cut(first, 5),)).layout.xaxis.dtick == 1, "there is no step 2.5"


def test_no_axis_of_accuracies_goes_beyond_0_and_100_percent(experiment):
    summary = tables.summary(experiment.runs())
    for figure in (probe.accuracy(summary), probe.per_class(summary, {summary[0]["run"]: {"coffee": 1.0}})):
        assert (figure.layout.xaxis.minallowed, figure.layout.xaxis.maxallowed) == (0, 1)
        assert not any(trace.cliponaxis for trace in figure.data), "a dot at the end is a whole one"
        assert figure.layout.margin.r >= 38 / 2, "half of 100%, which plotly leaves out where the figure's edge would cut it off"


def test_data_as_csv_say_of_what_each_number_is_and_how_sure(experiment):
    """They have the traces' names, and of the columns of customdata those that have one."""
    summary = tables.summary(experiment.runs())
    figure = probe.accuracy(summary)
    named = {trace.name: trace for trace in figure.data}
    assert "BYOL, linear probe, single seeds" in named and None not in named
    assert set(figure.layout.yaxis.ticktext) >= {"MoCo", "SimCLR", "BYOL"}, "a point's row is told by its axis"
    several, single = named["BYOL, linear probe"], probe.accuracy([row for row in summary if row["run"] == "byol-bs256-s0"])
    assert several.meta["columns"] == ["std", "N"] and several.customdata[0][1] == 3
    single = next(trace for trace in single.data if trace.name == "BYOL, linear probe")
    low, high = single.customdata[0]
    assert single.meta["columns"] == ["95 % from", "95 % to"] and low < single.x[0] < high
    difference = stats.over_seeds([0.03, -0.01, 0.02])
    row = evidence.Row("A − B", difference, False, "#0072b2", "untold", [0.03, -0.01, 0.02])
    seeds, mean = evidence.differences([row], "title", "subtitle").data
    assert (seeds.name, mean.name) == ("A − B, single seeds", "A − B")
    *ends, seeds, apart = mean.customdata[0]
    assert ends == pytest.approx([100 * difference.low, 100 * difference.high]) and (seeds, apart) == (3, "no")
    points = [evidence.Point("A", "moco", "#0072b2", 90.0, 0.7, 3, cost_std=6.0, low=0.6, high=0.8)]
    _, mark = evidence.cost(points, "Accuracy", "training time, minutes", 60).data
    assert dict(zip(mark.meta["columns"], mark.customdata[0])) == {
        "std of training time, minutes": 0.1,
        "95 % from": 0.6,
        "95 % to": 0.8,
        "N": 3,
    }
    cells = probe.confusion([[8, 2], [0, 0]], ["a", "b"], "run").data[0]
    assert dict(zip(cells.meta["columns"], cells.customdata[0][1])) == {"true class": "a", "predicted class": "b", "images": 2}


def test_runs_of_one_method_have_tones_of_its_colour(rows):
    two = tuple(
        dataclasses.replace(curve, label="BYOL · batch 64" if curve.seed == 0 else "BYOL · batch 256")
        for curve in of(rows, method="byol")
    )
    figure = curves.loss(two)
    assert len({trace.line.color for trace in figure.data if trace.showlegend is not False}) == 2
    assert named(figure) == ["BYOL · batch 64, seed 0", "BYOL · batch 256, N = 2"]
    both = [{"label": curve.label, "method": "byol"} for curve in two]
    assert len(set(probe.tones(both).values())) == 2


def test_names_from_a_folder_are_no_markup():
    counts, names = [[1, 0], [0, 1]], ["<a href='https://example.org'>cat</a>", "%{x}"]
    figure = probe.confusion(counts, names, "<b>run</b>")
    assert "<a" not in "".join(figure.layout.xaxis.ticktext) and "<b>" not in figure.layout.title.text
    assert "%{" not in figure.layout.xaxis.ticktext[1]


def test_accuracy_shows_intervals_seeds_and_baselines(experiment):
    summary = tables.summary(experiment.runs())
    byol = [row for row in summary if row["method"] == "byol"]
    several = probe.accuracy(byol)
    means = [trace for trace in several.data if trace.error_x.array is not None]
    assert means[0].x[0] == pytest.approx(np.mean([row["linear"] for row in byol]))
    assert means[0].error_x.array[0] == pytest.approx(np.std([row["linear"] for row in byol], ddof=1))
    baselines = {trace.x[0] for trace in several.data if trace.marker.symbol in ("line-ns", "line-ne") and trace.x[0] is not None}
    assert len(baselines) == 3 and byol[0]["pixels_knn"] in baselines

    run = byol[0] | {"linear": 0.7, "linear_low": 0.4, "linear_high": 0.8}
    alone = next(trace for trace in probe.accuracy([run]).data if trace.error_x.array is not None)
    assert alone.x[0] + alone.error_x.array[0] == pytest.approx(0.8)
    assert alone.x[0] - alone.error_x.arrayminus[0] == pytest.approx(0.4)
    again = run | {"run": "again", "linear": 0.5}
    assert not any(trace.error_x.array for trace in probe.accuracy([run, again]).data), "it is no interval of their mean"


def test_the_linear_probe_stands_above_knn_each_with_its_own_baseline_and_interval(experiment):
    byol = [row for row in tables.summary(experiment.runs()) if row["method"] == "byol"]
    figure = probe.accuracy(byol)
    called = {trace.name: trace for trace in figure.data if trace.hovertemplate}
    dots = {name: called[f"BYOL, {name}"] for name in ("linear probe", "kNN")}
    for name, column, own in (("linear probe", "linear", "random_linear"), ("kNN", "knn", "random_knn")):
        tick = called[f"untrained encoder, {name}"]
        assert tick.x[0] == pytest.approx(np.mean([row[own] for row in byol])) and tick.y[0] == dots[name].y[0]
        std = np.std([row[column] for row in byol], ddof=1)
        assert f"± {100 * std:.1f} % over 3 seeds" in dots[name].hovertemplate
    keys = {trace.name: trace.marker.line.color for trace in figure.data if trace.showlegend is None}
    assert keys["untrained encoder"] == called["untrained encoder, kNN"].marker.line.color
    assert keys["pixels"] == called["pixels, kNN"].marker.line.color
    assert dots["linear probe"].y[0] < dots["kNN"].y[0] and figure.layout.yaxis.autorange == "reversed", "the upper line"
    alone = [trace.hovertemplate for trace in probe.accuracy(byol[:1]).data if trace.error_x.array is not None]
    assert len(alone) == 2 and "(95 %: " in alone[0] and "(95 %: " in alone[1]


def test_per_class_means_over_seeds_and_limits_the_classes(experiment):
    summary = tables.summary(experiment.runs())
    many = {row["run"]: {f"class {k}": k / 100 if row["method"] == "byol" else 0.0 for k in range(100)} for row in summary}
    figure = probe.per_class(summary, many)
    shown = figure.layout.yaxis.ticktext
    assert len(shown) == probe.MAX_CLASSES and shown[0] == "class 99" and "class 3" not in shown

    assert "differ most" in probe.which_classes(summary, 100) and probe.which_classes(summary, 30) == ""
    byol = [row for row in summary if row["method"] == "byol"]
    hardest = probe.per_class(byol, many).layout.yaxis.ticktext
    assert hardest[-1] == "class 0" and "class 99" not in hardest and "hardest" in probe.which_classes(byol, 100)

    one = probe.per_class(summary, {run.name: run.results()["linear"]["per_class"] for run in experiment.runs()})
    byol = next(trace for trace in one.data if trace.name == "BYOL")
    values = [run.results()["linear"]["per_class"]["coffee"] for run in experiment.runs() if run.config.method == "byol"]
    assert dict(zip(byol.text, byol.x))["coffee"] == pytest.approx(np.mean(values))
    for rows, said in ((summary, "linear probe, mean over seeds"), (summary[:1], "linear probe")):
        assert probe.per_class(rows, many).layout.title.subtitle.text == said


def test_of_methods_that_agree_on_a_class_no_mark_hides_another(experiment):
    summary = tables.summary(experiment.runs())
    figure = probe.per_class(summary, {row["run"]: {"coffee": 0.5, "rocket": 0.5} for row in summary})
    places = sorted(y for trace in figure.data for y in trace.y)
    assert len(places) == 2 * len(figure.data) and min(np.diff(places)) > 0.1 and np.ptp(places) < 1.5


def test_a_class_without_test_images_is_left_out(experiment):
    summary = tables.summary(experiment.runs())
    figure = probe.per_class(summary, {row["run"]: {"coffee": 0.5, "rocket": None} for row in summary})
    assert figure.layout.yaxis.ticktext == ("coffee",) and all(np.round(trace.y) == 0 for trace in figure.data)
    assert probe.classes_of({"a": {"coffee": 0.5, "rocket": None}, "b": {"coffee": 0.5, "rocket": None}}) == ["coffee"]


def test_by_class_a_seed_that_was_run_twice_counts_once_and_a_class_that_a_run_lacks_is_left_out(experiment):
    rows = [dict(row) for row in tables.summary(experiment.runs()) if row["method"] == "byol"]
    rows[1]["seed"] = rows[0]["seed"]
    said = zip(rows, ({"a": 0.2, "b": 0.5}, {"a": 0.4, "b": None}, {"a": 0.9, "b": 0.5}))
    (points,) = probe.per_class(rows, {row["run"]: of for row, of in said}).data
    assert dict(zip(points.text, points.x)) == {"a": pytest.approx(0.6)}


def test_by_class_and_of_the_untrained_encoder_a_mean_tells_its_spread_and_its_seeds(experiment):
    rows = [row for row in tables.summary(experiment.runs()) if row["method"] == "byol"]
    n = len(rows)
    for k, row in enumerate(rows):
        row["random_linear"] = 0.5 + k / 10
    std = np.std([row["random_linear"] for row in rows], ddof=1)
    (points,) = probe.per_class(rows, {row["run"]: {"a": 0.5 + k / 10} for k, row in enumerate(rows)}).data
    untrained = next(trace for trace in probe.accuracy(rows).data if trace.name == probe.BASELINES["random_linear"])
    results = {
        row["run"]: {"label_efficiency": [{"fraction": 0.1, "accuracy": 0.7, "random_encoder": row["random_linear"]}]}
        for row in rows
    }
    few = next(trace for trace in labels.few_labels(rows, results, "label_efficiency").data if trace.name == "untrained encoder")
    for trace in (points, untrained, few):
        assert trace.meta["columns"] == ["std", "N"] and list(trace.customdata[0]) == [pytest.approx(std), n]
        assert f" ± {100 * std:.1f} % over {n} seeds" in trace.hovertemplate[0]
    (one,) = probe.per_class(rows[:1], {rows[0]["run"]: {"a": 0.5}}).data
    assert "±" not in one.hovertemplate[0]


def test_the_names_of_a_few_classes_leave_a_confusion_matrix_its_room():
    names = ["Spaziergang über die Felder", "Straßenschilder", "Blätter"]
    shown = probe.confusion(np.eye(3), names, "run")
    assert shown.layout.yaxis.ticktext == ("Spaziergang übe…", "Straßenschilder", "Blätter")
    assert 0.55 * shown.layout.yaxis.tickfont.size * max(map(len, shown.layout.yaxis.ticktext)) <= probe.SIDE / 3
    assert shown.data[0].customdata[0][0][:2] == ["Spaziergang über die Felder"] * 2, "the tooltip has them in full"


def test_confusion_shares_sum_to_one_and_counts_are_told():
    figure = probe.confusion([[8, 2], [0, 0]], ["a", "b"], "run")
    assert figure.layout.xaxis.ticktext == ("a", "b"), "of a hundred, names would overlap"
    assert probe.confusion(np.eye(100), [f"class {k}" for k in range(100)], "run").layout.xaxis.ticktext == ()
    assert probe.confusion(np.eye(30), list(map(str, range(30))), "run").layout.yaxis.ticktext[29] == "29", "short ones fit"
    long = probe.confusion(np.eye(30), [f"a long name of a class {k}" for k in range(30)], "run").layout
    assert long.yaxis.ticktext == () and "names and counts are in the tooltips" in long.title.subtitle.text
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("predicted", "true"), "rows are the truth"
    assert figure.layout.yaxis.autorange == "reversed", "the first class is on top, as it is on the left"
    heat = figure.data[0]
    assert np.allclose(heat.z, [[0.8, 0.2], [0, 0]]) and heat.zmax == 1, "a colour is the same share in every run's"
    assert heat.customdata[0][1] == ("a", "b", 2) or list(heat.customdata[0][1]) == ["a", "b", 2]


def test_a_chart_has_room_for_each_line_of_its_legend():
    labels = [f"SimCLR · batch {size}" for size in (16, 64, 256, 1024)]
    rooms = [style.legend_room(labels[:n], 540) for n in (1, 2, 3, 4)]
    assert rooms[0] == rooms[1] == 0 < rooms[2] == rooms[3], "two stand in a line"
    assert style.legend_room(labels * 3, 540) == rooms[3], "runs of one label have one name"
    assert style.legend_room(labels, 300) == 3 * rooms[3], "in a narrow chart each has a line of its own"


def test_long_names_of_classes_that_begin_alike_can_be_told_apart():
    alike = [f"A_rather_long_class_name_number_{k:02}_of_the_collection" for k in range(12)]
    for longest in (32, 16):
        told = style.shorter(alike, longest).values()
        assert len(set(told)) == 12 and all(len(name) <= longest for name in told)
    assert style.shorter(["cat", "x" * 40]) == {"cat": "cat", "x" * 40: "x" * 31 + "…"}
    for names in ([], ["y" * 40], ["same" * 10] * 2):
        assert set(style.shorter(names)) == set(names)


def test_smoothing_weighs_each_older_value_as_much_less_from_the_first_on():
    np.testing.assert_allclose(curves.smoothed(np.array([1.0, 0.0, 0.0]), 0.5), [1, 1 / 3, 1 / 7])


def test_a_mean_is_of_smoothed_curves(tmp_path):
    own = tables.curves(synthetic.store(tmp_path, methods=("byol",), seeds=(0, 1), steps=200).runs())
    (mean,) = (trace for trace in curves.loss(own, smoothing=0.9).data if trace.customdata is not None)
    expected = np.mean([curves.smoothed(curve.pairs("loss", "step")[2], 0.9) for curve in own], axis=0)
    np.testing.assert_allclose(mean.y, expected, rtol=1e-5)


def test_a_difference_is_filled_where_it_is_told_apart_and_hollow_where_it_has_an_interval_alone():
    made = over_seeds([0.02, 0.021, 0.022])
    rows = [evidence.Row("one", made, told, "#112233", "") for told in (True, False)]
    figure = evidence.differences(rows, "", "")
    assert [trace.marker.color for trace in figure.data] == ["#112233", "rgba(0,0,0,0)"]


def test_a_mean_tells_of_how_many_seeds_it_is_and_whole_steps_are_no_whole_epochs(rows):
    (mean,) = (trace for trace in curves.loss(of(rows, method="byol")).data if trace.customdata is not None)
    assert list(mean.meta["columns"]) == ["std", "N"] and "(%{customdata[1]} of 3 seeds)" in mean.hovertemplate
    first = cut(of(rows, run="byol-bs256-s0")[0], 5)
    assert curves.loss((first,), "epoch").layout.xaxis.dtick is None and curves.loss((first,)).layout.xaxis.dtick == 1


def test_of_very_many_classes_those_of_a_single_method_that_are_shown_are_its_hardest(experiment):
    own = [row for row in tables.summary(experiment.runs()) if row["run"] == "byol-bs256-s0"]
    figure = probe.per_class(own, {"byol-bs256-s0": {f"class {k}": 1 - k / 100 for k in range(40)}})
    assert list(figure.layout.yaxis.ticktext) == [f"class {k}" for k in range(10, 40)], "the easiest of them on top"
    assert probe.which_classes(own, 40) == "The 30 of 40 classes that are hardest." and not probe.which_classes(own, 30)
