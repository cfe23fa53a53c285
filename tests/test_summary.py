"""Rows of runs, and what is folded over seeds."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslcore.analysis.stats import aggregate
from sslcore.analysis.summary import NUMBERS, SETTINGS, by_seed, run_rows, untrained, vote, warned
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.results import number
from sslcore.status import Status


def results(linear: float, knn: float) -> dict:
    return {
        "linear": {"accuracy": linear, "ci95": [linear - 0.01, linear + 0.01]},
        "knn": {"accuracy": knn},
        "baselines": {"random_encoder": {"knn": 0.3, "linear": 0.4}, "pixels": {"knn": 0.35}},
        "geometry": {"alignment": 0.5, "uniformity": -2.0, "effective_rank": 20.5, "std": 0.08},
        "cost": {"seconds": 60.5, "images_per_second": 800.0, "peak_memory_bytes": 10**9, "device": "cpu"},
    }


def make(tmp_path, **runs: dict) -> list[Run]:
    configs = {name: resolve({"dataset": "digits", "device": "cpu"} | settings) for name, settings in runs.items()}
    experiment = Store(tmp_path).create("e", Spec(), configs)
    return [experiment.run(name) for name in runs]


def test_a_row_has_every_column_and_the_numbers_of_the_folder(tmp_path):
    done, queued = make(tmp_path, done={"method": "byol"}, queued={"method": "moco"})
    write_json(done.results_file, results(0.7, 0.6))
    done.update_status(state="finished")
    row, waiting = run_rows([done, queued])
    assert {"experiment", "run", "state", "linear_low", "linear_high", "device", *SETTINGS, *NUMBERS} <= set(row)
    assert (row["experiment"], row["run"], row["method"], row["state"]) == ("e", "done", "byol", "finished")
    assert (row["linear"], row["linear_low"], row["linear_high"], row["knn"]) == pytest.approx((0.7, 0.69, 0.71, 0.6))
    assert (row["random_knn"], row["random_linear"], row["pixels_knn"]) == (0.3, 0.4, 0.35)
    assert (row["effective_rank"], row["seconds"], row["device"]) == (20.5, 60.5, "cpu")
    assert set(waiting) == set(row) and waiting["state"] == "queued"
    assert all(waiting[name] is None for name in (*NUMBERS, "linear_low", "device"))


def test_every_number_stands_under_its_own_name(tmp_path):
    """But for the probes', a column is named as results.json names the number."""
    kept = results(0.7, 0.6)
    kept["cost"] |= {"flops_per_image": 3e9, "energy_joules": 900.0, "threads_waiting": 0.5}
    (run,) = make(tmp_path, a={})
    write_json(run.results_file, kept)
    (row,) = run_rows([run])
    told = kept["geometry"] | kept["cost"]
    assert set(told) >= set(NUMBERS) - {"linear", "knn", "random_knn", "random_linear", "pixels_knn"}
    assert {name: row[name] for name in told} == told


def test_of_a_list_the_number_is_that_of_the_row_that_is_wholly_as_asked():
    results = {"shares": [{"of": 0.1, "draw": 0, "n": 5}, {"of": 0.1, "draw": 1, "n": 6}, "torn"]}
    assert [number(results, "shares.n", {"of": 0.1, "draw": draw}) for draw in (0, 1, 2)] == [5, 6, None]
    assert number(results, "shares.n") is None


def test_settings_that_differ_become_columns_and_no_others(tmp_path):
    of_moco = ({"method": "moco", "moco.momentum": momentum} for momentum in (0.9, 0.99))
    runs = make(tmp_path, **dict(zip("ab", of_moco)), c={"method": "simclr"})
    rows = run_rows(runs)
    assert [row["moco.momentum"] for row in rows] == [0.9, 0.99, None], "it is not SimCLR's"
    assert not [name for name in rows[0] if "." in name and name != "moco.momentum"]
    assert "moco.momentum" not in run_rows(runs[:1])[0]


@pytest.mark.parametrize(
    "kept",
    [
        [],
        {"linear": None, "knn": None, "baselines": None, "note": "no labels"},
        {"linear": "good", "cost": {"seconds": "long", "device": 3}, "knn": {"accuracy": True}},
        {"linear": {"accuracy": None, "ci95": [1]}},
        {"geometry": {"effective_rank": 10**400}, "cost": {"flops_per_image": 10**400, "energy_joules": math.inf}},
        {"geometry": {"alignment": -math.inf, "uniformity": -1e300}},
    ],
)
def test_results_that_lack_something_give_none(tmp_path, kept):
    (run,) = make(tmp_path, a={})
    write_json(run.results_file, kept)
    (row,) = run_rows([run])
    assert all(row[name] is None for name in (*NUMBERS, "linear_low", "linear_high", "device"))


def test_a_run_with_a_broken_config_keeps_its_row(tmp_path):
    broken, fine = make(tmp_path, a={}, b={})
    broken.config_file.write_text("{")
    rows = run_rows([Run(broken.path), fine])
    assert rows[0]["run"] == "a" and rows[0]["method"] is None and rows[1]["method"] == "simclr"


def test_seeds_are_folded_and_nothing_else(tmp_path):
    runs = make(
        tmp_path,
        a={"method": "byol", "seed": 0},
        b={"method": "byol", "seed": 1},
        c={"method": "byol", "seed": 2},
        d={"method": "moco", "seed": 0},
        e={"method": "moco", "seed": 0, "moco.temperature": 0.5},
    )
    for run, knn in zip(runs, (0.5, 0.6, None, 0.4, 0.3)):
        if knn is not None:
            write_json(run.results_file, results(knn + 0.1, knn))
    byol, moco, warm = by_seed(run_rows(runs))
    assert (byol["runs"], byol["seeds"]) == (["a", "b", "c"], [0, 1, 2])
    assert byol["knn"] == pytest.approx(0.55) and byol["knn_n"] == 2
    assert byol["knn_std"] == pytest.approx(0.1 / math.sqrt(2)), "the sample's standard deviation"
    mean = aggregate([0.6, 0.7], 0, 1)
    assert (byol["linear_low"], byol["linear_high"]) == (mean.low, mean.high), "of the mean, and no single run's"
    assert (moco["knn"], moco["knn_std"], moco["knn_n"]) == (0.4, None, 1)
    assert moco["linear_low"] == pytest.approx(0.49)
    assert (moco["moco.temperature"], warm["moco.temperature"]) == (0.2, 0.5)


def test_runs_on_different_images_are_no_seeds_of_one_setting(tmp_path):
    runs = make(tmp_path, a={"seed": 0}, b={"seed": 1}, c={"seed": 2})
    for run, checksum in zip(runs, ("aaa", "aaa", "bbb")):
        write_json(run.environment_file, {"data": {"checksum": checksum}})
    assert [row["runs"] for row in by_seed(run_rows(runs))] == [["a", "b"], ["c"]]


def test_runs_of_two_experiments_are_no_seeds_of_one_setting(tmp_path):
    one = make(tmp_path, a={"seed": 0}, b={"seed": 1})
    other = Store(tmp_path).create("theirs", Spec(), {"a": one[0].config}).runs()
    assert [(row["experiment"], row["runs"]) for row in by_seed(run_rows([*one, *other]))] == [
        ("e", ["a", "b"]),
        ("theirs", ["a"]),
    ]


def test_the_interval_of_a_single_run_stays_where_others_are_still_to_come(tmp_path):
    """As the report's table says it: "1 of 2" seeds, and below the accuracy its interval."""
    runs = make(tmp_path, **{name: {"method": "byol", "seed": seed} for seed, name in enumerate("ab")})
    write_json(runs[1].results_file, results(0.6, 0.5))
    (byol,) = by_seed(run_rows(runs))
    assert byol["linear_n"] == 1 and byol["states"] == ["queued", "queued"]
    assert byol["linear_low"] == run_rows(runs)[1]["linear_low"] is not None


def test_of_the_untrained_encoder_each_seed_counts_once(tmp_path):
    runs = make(
        tmp_path,
        a={"method": "byol", "seed": 0},
        b={"method": "moco", "seed": 0},
        c={"method": "moco", "seed": 1},
        d={"method": "moco", "seed": 2},
    )
    for run, knn in zip(runs, (0.3, 0.3, 0.5)):
        write_json(run.results_file, {"baselines": {"random_encoder": {"knn": knn, "linear": knn + 0.1}}})
    (found,) = untrained(run_rows(runs))
    assert found["random_knn"] == pytest.approx(0.4) and found["random_linear"] == pytest.approx(0.5)
    assert found["random_knn_n"] == 2 and found["random_knn_std"] == pytest.approx(0.2 / math.sqrt(2))


@pytest.mark.parametrize("name, one, other", [("image_size", 32, 64), ("encoder", "small", "resnet18")])
def test_another_encoder_or_one_of_other_images_is_another_untrained(tmp_path, name, one, other):
    runs = make(tmp_path, a={name: one}, b={name: other})
    for run, knn in zip(runs, (0.3, 0.5)):
        write_json(run.results_file, {"baselines": {"random_encoder": {"knn": knn}}})
    assert [(row[name], row["random_knn"]) for row in untrained(run_rows(runs))] == [(one, 0.3), (other, 0.5)]


def test_an_image_size_that_all_share_is_not_named(tmp_path):
    runs = make(tmp_path, a={"image_size": 32})
    assert [one["image_size"] for one in untrained(run_rows(runs))] == [None]


def test_of_another_vote_the_untrained_encoder_has_a_knn_of_its_own(tmp_path):
    one, other = {"evaluate.knn_k": 5}, {"evaluate.knn_k": 5, "evaluate.knn_temperature": 0.2}
    runs = make(tmp_path, a=one, b=other, c=one | {"seed": 1}, d=one | {"evaluate.knn_train": 50, "seed": 2})
    for run, knn in zip(runs, (0.3, 0.5, 0.4, 0.5)):
        write_json(run.results_file, {"baselines": {"random_encoder": {"knn": knn}, "pixels": {"knn": knn}}})
    found = untrained(run_rows(runs))
    assert [(*vote(one), one["random_knn_n"]) for one in found] == [(None, 0.1, 3), (None, 0.2, 1)]
    assert [one["random_knn"] for one in found] == [one["pixels_knn"] for one in found] == [pytest.approx(0.4), 0.5]


def test_what_pixels_give_is_of_no_seed_and_has_no_spread(tmp_path):
    """Where runs differ in it all the same, one of them shrank the images to fit its memory."""
    runs = make(tmp_path, a={"seed": 0}, b={"seed": 1}, c={"seed": 2})
    for run, knn in zip(runs, (0.3, 0.4)):
        write_json(run.results_file, {"baselines": {"pixels": {"knn": knn}}})
    for (found,) in (by_seed(run_rows(runs)), untrained(run_rows(runs))):
        assert found["pixels_knn"] == pytest.approx(0.35)
        assert (found["pixels_knn_std"], found["pixels_knn_low"], found["pixels_knn_n"]) == (None, None, 0)


def test_two_runs_of_a_seed_are_one_draw(tmp_path):
    """What is only watched more often is the same training."""
    runs = make(tmp_path, a={"seed": 0}, b={"seed": 0, "evaluate.knn_every": 2}, c={"seed": 1})
    for run, knn in zip(runs, (0.3, 0.5, 0.6)):
        write_json(run.results_file, results(knn, knn))
    (found,) = by_seed(run_rows(runs))
    assert (found["runs"], found["seeds"], found["knn_n"]) == (["a", "b", "c"], [0, 1], 2)
    assert found["knn"] == pytest.approx(0.5) and found["knn_std"] == pytest.approx(0.2 / math.sqrt(2))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.none() | st.floats(0, 1)), max_size=12))
def test_folding_loses_no_run_and_keeps_the_mean(drawn):
    rows = [
        {"experiment": "e", "run": str(k), "method": method, "seed": seed, "state": "finished", "device": "cpu"}
        | {"linear_low": None, "linear_high": None}
        | dict.fromkeys(NUMBERS)
        | {"knn": knn}
        for k, (method, seed, knn) in enumerate(drawn)
    ]
    folded = by_seed(rows)
    assert sorted(run for fold in folded for run in fold["runs"]) == sorted(row["run"] for row in rows)
    assert len({fold["method"] for fold in folded}) == len(folded)
    for fold in folded:
        own = [row for row in rows if row["method"] == fold["method"] and row["knn"] is not None]
        seeds = {row["seed"] for row in own}
        means = [statistics.fmean(row["knn"] for row in own if row["seed"] == seed) for seed in seeds]
        assert fold["knn_n"] == len(seeds)
        assert fold["knn"] == (pytest.approx(statistics.fmean(means)) if means else None)


def test_what_many_runs_warn_of_is_said_once():
    statuses = {f"r{k}": Status(warnings=["it was warm"] * (k > 0)) for k in range(6)}
    assert warned(statuses) == ["r1, r2, r3 and 2 others: it was warm"]
    told = {name: Status(warnings=["warm", "late"] if name == "b" else ["warm"]) for name in ("d", "c", "b", "a")}
    assert warned(told) == ["a, b, c and 1 other: warm", "b: late"]
