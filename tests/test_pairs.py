"""Which runs are held against each other, over seeds and image by image, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest

from sslcore.analysis import pairs
from sslcore.analysis.gains import gains
from sslcore.analysis.image_by_image import Predicted, by_class, predicted_by
from sslcore.analysis.stats import sentence
from sslcore.config import varying
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.plan import plan
from tests import synthetic


def grid(root, axes, accuracy) -> list[Run]:
    """The runs of a grid, each with the accuracy that `accuracy(config)` gives it."""
    spec = Spec(base={"dataset": "photos"}, axes=axes)
    runs = Store(root).create("grid", spec, plan(spec).configs).runs()
    for run in runs:
        write_json(run.results_file, {"linear": {"accuracy": accuracy(run.config)}})
    return runs


def compared(runs, by="method"):
    groups = pairs.contestants(runs, by)
    equal = [name for name in ("method", *varying(run.config for run in runs)) if name != by]
    return pairs.compare(groups, {one: str(one) for one in groups}, equal, "linear")[0]


@pytest.mark.parametrize(
    "more, said",
    [
        ({}, ""),
        ({"batch_size": [64, 128]}, "2 settings"),
        ({"moco.queue_size": [256, 512]}, "1 to 2 settings, by what both have"),
        ({"batch_size": [64, 128], "moco.queue_size": [256, 512]}, "2 to 4 settings, by what both have"),
    ],
)
def test_over_how_many_settings_differences_are_means(more, said, tmp_path):
    axes = {"method": ["moco", "simclr", "byol"], "seed": [0, 1], **more}
    assert pairs.averaged_over(compared(grid(tmp_path, axes, lambda config: 0.6 + 0.01 * config.seed))) == said


def test_methods_meet_at_equal_settings_and_a_seed_counts_once(tmp_path):
    """Batch sizes differ by 20 points, methods by 4, seeds by 1, and by a little in how methods differ."""

    def accuracy(config):
        byol = config.method == "byol"
        return 0.6 + 0.2 * (config.batch_size == 256) + 0.04 * byol + 0.01 * config.seed * (1 + 0.1 * byol)

    runs = grid(tmp_path, {"method": ["simclr", "byol"], "batch_size": [64, 256], "seed": [0, 1, 2]}, accuracy)
    (pair,) = compared(runs)
    assert {pair.a, pair.b} == {"simclr", "byol"} and pair.settings == 2
    assert pair.difference.seeds == 3 and abs(pair.difference.mean) == pytest.approx(0.041)
    assert all(a.config.batch_size == b.config.batch_size for of in pair.matches.values() for a, b in of)
    assert "byol is ahead of simclr by 4.1 points" in pair.sentence
    (pair,) = compared(runs, by="batch_size")
    assert abs(pair.difference.mean) == pytest.approx(0.2) and pair.difference.seeds == 3
    assert all(a.config.method == b.config.method for of in pair.matches.values() for a, b in of)


def test_a_setting_that_not_every_seed_has_is_left_out_and_the_seeds_stay(tmp_path):
    runs = grid(
        tmp_path,
        {"method": ["simclr", "byol"], "batch_size": [32, 64, 256], "seed": [0, 1, 2, 3]},
        lambda config: 0.5 + 0.1 * (config.batch_size == 32),
    )
    assert compared(runs)[0].left_out == ""
    lost = {"byol-bs32-s1", "byol-bs32-s2", "byol-bs32-s3"}
    (pair,) = compared([run for run in runs if run.name not in lost])
    assert list(pair.matches) == [0, 1, 2, 3] and pair.settings == 2
    assert not {run.config.batch_size for of in pair.matches.values() for match in of for run in match} & {32}
    assert (
        pair.left_out
        == "5 of 21 runs (2 at settings that not every seed has, 3 without a counterpart of the same seed and settings)"
    )


def test_seeds_that_share_no_setting_are_not_averaged_together(tmp_path):
    runs = grid(tmp_path, {"method": ["simclr", "byol"], "batch_size": [32, 64, 256], "seed": [0, 1]}, lambda config: 0.5)
    (pair,) = compared([run for run in runs if (run.config.batch_size == 32) == (run.config.seed == 1)])
    assert list(pair.matches) == [0] and pair.settings == 2
    assert pair.left_out == "2 of 6 runs (2 at settings that not every seed has)"


def test_a_seed_with_some_of_the_settings_that_are_averaged_over_is_left_out():
    assert pairs.at_shared({0: {"a": 1, "b": 2}, 1: {"b": 3}, 2: {"c": 4}}) == {0: [1, 2]}
    assert list(pairs.at_shared({1: {"b": 3}, 0: {"a": 1, "b": 2}}).items()) == [(0, [2]), (1, [3])]


def test_runs_laid_beside_are_no_further_settings(tmp_path):
    """The colleague's seed 0 has a pair of its own; paired across, it would make four of them, and leave the other seeds out."""
    level, ahead = {"mine": 0.0, "theirs": 0.1}, {"mine": 0.0, "theirs": 0.03}

    def runs(name, seeds):
        spec = Spec(base={"dataset": "photos"}, axes={"method": ["moco", "byol"], "seed": seeds})
        made = Store(tmp_path).create(name, spec, plan(spec).configs).runs()
        for run in made:
            of_byol = (ahead[name] + 0.01 * run.config.seed) * (run.config.method == "byol")
            write_json(run.results_file, {"linear": {"accuracy": 0.5 + level[name] + of_byol}})
        return made

    mine = runs("mine", [0, 1, 2])
    (alone,) = compared(mine)
    (beside,) = compared([*mine, *runs("theirs", [0])])
    assert beside.difference == alone.difference and beside.settings == 1
    assert beside.left_out == "2 of 8 runs (2 the same seed and settings again)"
    across = [run for run in mine if run.config.method == "moco"] + [
        run for run in Store(tmp_path).experiment("theirs").runs() if run.config.method == "byol"
    ]
    (pair,) = compared(across)
    assert list(pair.matches) == [0] and abs(pair.difference.mean) == pytest.approx(0.13)


def test_runs_of_one_experiment_meet_each_other_before_those_laid_beside(tmp_path):
    """In whatever order they are given: theirs, at 10 points more, would turn a difference of 2 points into one of 8."""

    def runs(name, level):
        spec = Spec(base={"dataset": "photos"}, axes={"method": ["moco", "byol"], "seed": [0, 1]})
        made = Store(tmp_path).create(name, spec, plan(spec).configs).runs()
        for run in made:
            accuracy = level + (0.02 + 0.001 * run.config.seed) * (run.config.method == "byol")
            write_json(run.results_file, {"linear": {"accuracy": accuracy}})
        return made

    mine, theirs = runs("mine", 0.5), runs("theirs", 0.6)
    moco = [run for run in (*theirs, *mine) if run.config.method == "moco"]
    byol = [run for run in (*mine, *theirs) if run.config.method == "byol"]
    have = pairs.settings([*moco, *byol], [])
    matches = pairs.matched(byol, moco, have)
    assert pairs.differences(matches, "linear") == pytest.approx({0: 0.02, 1: 0.021})
    assert pairs.differences(pairs.matched(moco, byol, have), "linear") == pytest.approx({0: -0.02, 1: -0.021})


def test_a_pair_that_could_not_be_tested_is_none_of_the_comparisons_that_are_allowed_for(tmp_path):
    """Two seeds of three methods; BYOL's differences from SimCLR are the same in both."""
    worth = {"moco": (0.50, 0.53), "simclr": (0.52, 0.535), "byol": (0.54, 0.555)}
    runs = grid(tmp_path, {"method": list(worth), "seed": [0, 1]}, lambda config: worth[config.method][config.seed])
    found = compared(runs)
    assert [pair.p is None for pair in found].count(True) == 1
    for pair in found:
        if pair.p is not None:
            assert pair.sentence == sentence(str(pair.a), str(pair.b), pair.difference, pair.p, 2)
            assert pair.p >= pair.difference.p and pair.p <= 2 * pair.difference.p


def test_contestants_that_cannot_be_paired_are_named_with_the_reason(tmp_path):
    spec = Spec(
        base={"dataset": "photos"}, by_method={"byol": {"dataset": "digits"}}, axes={"method": ["moco", "simclr", "byol"]}
    )
    runs = Store(tmp_path).create("recipes", spec, plan(spec).configs).runs()
    for run in runs:
        write_json(run.results_file, {"linear": {"accuracy": 0.5}})
    groups, names = pairs.contestants(runs, "method"), {"moco": "MoCo", "simclr": "SimCLR", "byol": "BYOL"}
    assert len(pairs.compare(groups, names, [], "linear")[0]) == 1
    assert pairs.compare(groups, names, [], "linear")[1] == [
        f"BYOL and {other} could not be paired: different dataset." for other in ("MoCo", "SimCLR")
    ]
    assert not pairs.compare({name: groups[name] for name in ("moco", "simclr")}, names, [], "linear")[1]


def test_of_two_that_could_not_be_paired_it_is_told_what_kept_them_apart(tmp_path):
    axes = {"method": ["moco", "byol"], "batch_size": [64, 128], "epochs": [5, 9], "seed": [0, 1]}
    runs = grid(tmp_path, axes, lambda config: 0.5)

    def why(kept) -> str:
        groups = pairs.contestants(filter(lambda run: kept(run.config), runs), "method")
        found, (told,) = pairs.compare(groups, {"moco": "MoCo", "byol": "BYOL"}, ["batch_size", "epochs"], "linear")
        assert not found
        return told.removeprefix("MoCo and BYOL could not be paired: ").removeprefix("BYOL and MoCo could not be paired: ")

    def is_moco(config):
        return config.method == "moco"

    assert why(lambda config: config.seed == is_moco(config)) == "no seed in common."
    assert why(lambda config: (config.batch_size == 64) == is_moco(config)) == "different batch_size."
    crossed = why(lambda config: ((config.batch_size == 64) == (config.epochs == 5)) == is_moco(config))
    assert crossed == "no run at the same dataset, batch_size, epochs."


def test_runs_stand_along_a_setting_by_size_then_by_word_then_those_to_which_it_means_nothing(tmp_path):
    runs = grid(tmp_path, {"method": ["byol", "moco"], "moco.queue_size": [64, 256, 16]}, lambda config: 0.5)
    along = sorted(runs, key=lambda run: pairs.place(run, "moco.queue_size"))
    assert [run.config.method == "byol" or run.config.moco.queue_size for run in along] == [16, 64, 256, True]
    assert min(runs, key=lambda run: pairs.place(run, "method")).config.method == "byol"


def test_it_is_said_whether_settings_were_equal_and_over_how_many_seeds_are_means(tmp_path):
    axes = {"method": ["simclr", "byol"], "batch_size": [64, 128], "seed": [0, 1]}
    runs = grid(tmp_path, axes, lambda config: 0.5)
    mean = " (each seed's difference is the mean over 2 settings)"
    assert pairs.said_by(compared(runs)) == f"What may be said by the linear probe on these test images, at equal settings{mean}"
    (pair,) = compared([run for run in runs if run.config.seed == 0])
    assert pair.difference.why.startswith("one seed, and the mean over 2 settings; with one of them chosen")


def test_accuracies_on_two_data_sets_are_not_held_against_each_other(tmp_path):
    axes = {"dataset": ["photos", "digits"], "image_size": [16], "seed": [0, 1]}
    runs = grid(tmp_path, axes, lambda config: 0.5 + config.seed / 10)
    groups = pairs.contestants(runs, "dataset")
    assert set(groups) == {"photos", "digits"} and not pairs.compare(groups, {one: one for one in groups}, [], "linear")[0]


def test_a_run_without_the_number_that_is_compared_is_in_no_pair(tmp_path):
    runs = grid(tmp_path, {"method": ["moco", "byol"], "seed": [0, 1, 2]}, lambda config: 0.5 + 0.1 * config.seed)
    for run in runs:
        if run.name != "byol-bs256-s1":
            write_json(run.results_file, {"linear": {"accuracy": 0.5}, "knn": {"accuracy": 0.4 + 0.1 * run.config.seed}})
    groups = pairs.contestants(runs, "method")
    for measure, seeds in (("linear", [0, 1, 2]), ("knn", [0, 2])):
        (pair,) = pairs.compare(groups, {name: name for name in groups}, [], measure)[0]
        assert list(pair.matches) == seeds


def test_what_any_pair_has_unlike_is_not_equal(tmp_path):
    """Seeds differ within no pair; the second one's learning rates do, and how often its runs are looked at."""
    axes = {"method": ["moco", "byol"], "learning_rate": [0.1, 0.2], "evaluate.knn_every": [1, 2], "seed": [0, 1]}
    of = {
        (run.config.method, run.config.learning_rate, run.config.evaluate.knn_every, run.config.seed): run
        for run in grid(tmp_path, axes, lambda config: 0.5)
    }
    alike = (of["moco", 0.1, 1, 0], of["byol", 0.1, 1, 0])
    unlike = (of["moco", 0.1, 1, 1], of["byol", 0.2, 2, 1])
    assert pairs.unequal([{0: [alike]}], "method") == []
    assert pairs.unequal([{0: [alike], 1: [unlike]}], "method") == ["learning_rate"]
    assert pairs.unequal([{0: [alike], 1: [unlike]}], "learning_rate") == ["method"]


def test_another_methods_setting_keeps_nobody_apart(tmp_path):
    runs = grid(
        tmp_path,
        {"method": ["moco", "byol"], "moco.queue_size": [64, 128], "seed": [0, 1]},
        lambda config: 0.5 + config.seed / 10,
    )
    (pair,) = compared(runs)
    assert pair.settings == 2  # each K of MoCo against the one BYOL of that seed
    (pair,) = compared(runs, by="moco.queue_size")
    assert set(pairs.contestants(runs, "moco.queue_size")) == {64, 128}
    assert {run.config.method for of in pair.matches.values() for match in of for run in match} == {"moco"}


def test_image_by_image_the_one_ahead_stands_first_and_a_seed_counts_once(tmp_path):
    """SimCLR is wrong everywhere; which of four images BYOL's kNN gets right, two of either class, is below."""
    right = {(0, 64): [1, 1, 1, 1], (0, 256): [1, 1, 0, 0], (1, 64): [1, 0, 1, 0], (1, 256): [1, 0, 0, 0]}
    axes = {"method": ["simclr", "byol"], "batch_size": [64, 256], "seed": [0, 1]}
    runs = grid(tmp_path, axes, lambda config: 0.5 + 0.1 * (config.method == "byol") + 0.01 * config.seed)
    label = np.array([0, 0, 1, 1])
    for run in runs:
        knn = np.where(right[run.config.seed, run.config.batch_size], label, 2) if run.config.method == "byol" else label + 1
        alone = np.arange(4)
        np.savez(run.predictions_file, index=alone, label=label, linear=np.full(4, 3), knn=knn, group=alone)
    (pair,) = compared(sorted(runs, key=lambda run: run.config.method == "byol"))
    assert all((a.config.method, b.config.method) == (pair.a, pair.b) for of in pair.matches.values() for a, b in of)
    told = predicted_by(pair.matches, "knn")
    assert pair.a == "byol" and told.right_a.tolist() == [4, 2, 2, 1] and not told.right_b.any()
    of_class = by_class(told)
    assert [(one.mean, one.seeds) for one in of_class.values()] == [(pytest.approx(0.75), 2), (pytest.approx(0.375), 2)]
    all_right = [match for match in pair.matches[0] if match[0].config.batch_size == 64]
    told = predicted_by({0: all_right}, "knn")
    assert [one.test for one in by_class(told).values()] == ["none", "none"], "the difference is the same in both groups"
    for match in all_right:  # of an older version, on photos
        for run in match:
            kept = dict(np.load(run.predictions_file))
            np.savez(run.predictions_file, **{name: of for name, of in kept.items() if name != "group"})
    assert {one.why for one in by_class(predicted_by({0: all_right}, "knn")).values()} == {
        "one seed, and no two test images are known to be independent"
    }
    alone = by_class(replace(told, group=None))
    assert [(one.mean, one.test, one.images) for one in alone.values()] == [(1.0, "images", 2)] * 2


def test_no_interval_of_two_accuracies_passes_100_points(tmp_path):
    """As told, drawn, listed and copied: of two seeds of a small test set t's went to −228.7."""
    ahead = {0: 0.2, 1: -0.16}
    axes = {"method": ["simclr", "byol"], "seed": [0, 1]}
    (pair,) = compared(grid(tmp_path, axes, lambda config: 0.5 + (config.method == "byol") * ahead[config.seed]))
    told = Predicted(np.arange(2), np.zeros(2), np.array([[0, 0], [0, 1]]), np.ones((2, 2)), np.array([0, 1]))
    for difference in (pair.difference, by_class(told)[0]):
        assert difference.test == "seeds" and (difference.low, difference.high) == (-1, 1)


def test_image_by_image_all_were_tested_on_the_same_images(tmp_path):
    runs = grid(tmp_path, {"method": ["simclr", "byol"], "seed": [0, 1]}, lambda config: 0.5)
    said = {name: np.arange(4) for name in ("index", "label", "linear", "knn")}
    for run in runs:
        np.savez(run.predictions_file, **said)
    (pair,) = compared(runs)
    assert predicted_by(pair.matches, "knn").a.shape == (2, 4)
    last = pair.matches[1][0][1]
    for other in ("index", "label"):
        np.savez(last.predictions_file, **said | {other: np.arange(4)[::-1]})
        with pytest.raises(ValueError, match=f"{last.id} was tested on other images"):
            predicted_by(pair.matches, "knn")
    last.predictions_file.unlink()
    with pytest.raises(ValueError, match=f"python -m sslcore evaluate {last.id}"):
        predicted_by(pair.matches, "knn")


def test_a_seed_counts_where_all_of_its_pairs_have_the_number():
    matches = {0: [(1, 2), (3, 4)], 1: [(5, 6), (7, 8)], 2: [(9, 10)]}
    assert pairs.by_seed(matches, lambda a, b: None if a == 7 else a * b) == {0: 7.0, 2: 90.0}


def test_runs_that_have_nothing_in_common_are_not_compared(tmp_path):
    runs = grid(tmp_path, {"method": ["simclr", "byol"], "seed": [0, 1]}, lambda config: 0.5)
    assert not compared([run for run in runs if (run.config.method == "byol") == (run.config.seed == 1)])


@pytest.mark.parametrize("measure", pairs.MEASURES)
def test_one_seed_is_tested_on_the_images(tmp_path, measure):
    runs = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20).runs()
    groups = pairs.contestants(runs, "method")
    (pair,) = pairs.compare(groups, {"moco": "MoCo", "byol": "BYOL"}, [], measure)[0]
    expected = pairs.accuracy(groups[pair.a][0], measure) - pairs.accuracy(groups[pair.b][0], measure)
    assert pair.difference.test == "images" and (pair.difference.images, pair.difference.groups) == (500, 50)
    assert "500 test images in 50 groups" in pair.sentence
    assert pair.difference.mean == pytest.approx(expected)


def test_the_test_on_images_takes_the_predictions_of_its_own_measure(tmp_path):
    """The two linear probes are always right; of the kNN, BYOL's is right on three images of four, and MoCo's on one."""
    runs = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20).runs()
    label, right = np.zeros(4, int), {"moco": [0, 1, 1, 1], "byol": [0, 0, 0, 1]}
    for run in runs:
        np.savez(run.predictions_file, index=np.arange(4), label=label, linear=label, knn=right[run.config.method])
    byol, moco = (next(run for run in runs if run.config.method == method) for method in ("byol", "moco"))
    assert pairs.over_images_of(byol, moco, "knn").mean == pytest.approx(0.5)
    assert pairs.over_images_of(byol, moco, "linear").mean == 0


@pytest.mark.parametrize(
    "damaged",
    [
        {"knn": np.zeros(3, int)},
        {"label": np.zeros(5, int)},
        {name: np.zeros((2, 2), int) for name in ("index", "label", "linear", "knn")},
        {name: np.zeros(0, int) for name in ("index", "label", "linear", "knn")},
        {"linear": np.full(4, -1)},
        {"label": np.array([0, 1, 2, 0.5])},
    ],
)
def test_predictions_that_are_no_class_of_each_image_are_none(damaged, tmp_path):
    (run,) = grid(tmp_path, {"method": ["byol"]}, lambda config: 0.5)
    sound = {name: np.arange(4) for name in ("index", "label", "linear", "knn", "group")}
    for left_out in ((), ("group",)):
        whole = {name: of for name, of in sound.items() if name not in left_out}
        np.savez(run.predictions_file, **whole)
        assert set(pairs.predictions(run)) == set(whole)
    np.savez(run.predictions_file, **sound | damaged)
    assert pairs.predictions(run) is None


def test_one_seed_that_cannot_be_tested_says_why(tmp_path):
    runs = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20).runs()
    said = dict(np.load(runs[0].predictions_file))

    def why():
        (pair,) = pairs.compare(pairs.contestants(runs, "method"), {"moco": "MoCo", "byol": "BYOL"}, [], "linear")[0]
        assert pair.p is None and pair.difference.test == "none"
        return pair.sentence

    np.savez(runs[0].predictions_file, **said | {"index": said["index"] + 1})
    assert "different images" in why()
    tested = runs[1].predictions_file.read_bytes()
    for run in runs:  # of an older version
        kept = said if run is runs[0] else np.load(run.predictions_file)
        np.savez(run.predictions_file, **{name: of for name, of in kept.items() if name != "group"})
    told = why()
    assert "no two test images are known to be independent; `python -m sslcore evaluate " in told and told.endswith(
        "tells which are."
    )
    runs[1].predictions_file.write_bytes(tested)  # of the same images
    for order in (runs, runs[::-1]):
        both = [pairs.predictions(run) for run in order]
        assert pairs.groups(order, both).max() == 49 and pairs.over_images_of(*order, "linear").groups == 50
    runs[0].predictions_file.write_bytes(b"PK no zip")
    assert f"python -m sslcore evaluate {runs[0].id}" in why()
    runs[0].predictions_file.unlink()
    assert f"python -m sslcore evaluate {runs[0].id}" in why()


def on_two_sets(tmp_path, of_byol: dict[str, tuple[float, float]]) -> list[Run]:
    """MoCo and BYOL on photos and digits, two seeds: what BYOL is above MoCo's 0.5, by data set and seed."""
    spec = Spec(axes={"method": ["moco", "byol"], "dataset": list(of_byol), "seed": [0, 1]})
    runs = Store(tmp_path).create("two-sets", spec, plan(spec).configs).runs()
    for run in runs:
        above = of_byol[run.config.dataset][run.config.seed] if run.config.method == "byol" else 0.0
        write_json(run.results_file, {"linear": {"accuracy": 0.5 + above}})
    return runs


def test_each_data_set_has_a_comparison_of_its_own(tmp_path):
    """Averaged over both, BYOL would be told ahead by 1.3 points: 1.33 and 1.35 in the two seeds."""
    runs = on_two_sets(tmp_path, {"photos": (0.0792, 0.0272), "digits": (-0.0526, 0.0)})
    found, apart = pairs.of_methods(runs)
    assert [(pair.on, pair.a, round(pair.difference.mean, 4)) for pair in found] == [
        ("digits", "moco", 0.0263),
        ("photos", "byol", 0.0532),
    ]
    assert not apart and all(pair.sentence.startswith(f"On {pair.on}: ") and pair.settings == 1 for pair in found)


def twice(tmp_path, others=()) -> tuple[list[Run], list[Run]]:
    """MoCo and SimCLR, three seeds, in two experiments, with `others` set otherwise in the second; either is ahead in one."""
    above = {"moco": (0.8, 0.804, 0.798), "simclr": (0.82, 0.826, 0.816)}
    made = []
    for name, turned in (("a", False), ("b", True)):
        base = {"dataset": "digits", "batch_size": 64, **(dict(others) if turned else {})}
        spec = Spec(base=base, axes={"method": ["moco", "simclr"], "seed": [0, 1, 2]})
        runs = Store(tmp_path).create(name, spec, plan(spec).configs).runs()
        for run in runs:
            method = run.config.method if not turned else {"moco": "simclr", "simclr": "moco"}[run.config.method]
            write_json(run.results_file, {"linear": {"accuracy": above[method][run.config.seed]}})
        made.append(runs)
    return tuple(made)


def test_what_may_be_said_does_not_depend_on_the_order_in_which_experiments_are_shown(tmp_path):
    a, b = twice(tmp_path)
    (told,), (turned,) = pairs.of_methods(a + b)[0], pairs.of_methods(b + a)[0]
    assert told.sentence == turned.sentence == pairs.of_methods(a)[0][0].sentence
    assert told.sentence.startswith("SimCLR is ahead of MoCo by 2.0 points") and told.left_out == turned.left_out
    for run in a + b:
        untrained = {"random_encoder": {"linear": 0.5}}
        write_json(run.results_file, run.results() | {"baselines": untrained})
    assert gains(a + b) == gains(b + a)


@pytest.mark.parametrize("other", [("epochs", 80), ("image_size", 32), ("encoder", "resnet18")])
def test_runs_of_two_experiments_are_no_pair_where_one_is_longer_larger_or_deeper(tmp_path, other):
    a, b = twice(tmp_path, [other])
    moco, simclr = ([run for run in of if run.config.method == method] for of, method in ((a, "moco"), (b, "simclr")))
    found, (told,) = pairs.of_methods(moco + simclr)
    assert not found and told == f"MoCo and SimCLR could not be paired: different {other[0]} in two experiments."
    (pair,), _ = pairs.of_methods(a + simclr)
    assert {run.path.parent.name for of in pair.matches.values() for match in of for run in match} == {"a"}
    assert pair.left_out == "3 of 9 runs (3 without a counterpart of the same seed and settings)"


def test_two_experiments_are_compared_by_what_they_differ_in(tmp_path):
    a, b = twice(tmp_path, [("epochs", 80)])
    for by in ("epochs", "experiment"):
        sides = pairs.contestants(a + b, by)
        assert len(sides) == 2
        found, apart = pairs.compare(sides, {side: f"{by} {side}" for side in sides}, ["method"], "linear", by)
        assert len(found) == 1 and not apart and found[0].settings == 2


def test_which_setting_is_averaged_over_does_not_depend_on_the_order_either(tmp_path):
    """Each seed has a setting of its own: one of them is left out."""
    made = []
    for name, size, seed, above in (("a", 64, 0, 0.05), ("b", 128, 1, -0.05)):
        spec = Spec(base={"dataset": "digits", "batch_size": size, "seed": seed}, axes={"method": ["moco", "simclr"]})
        runs = Store(tmp_path).create(name, spec, plan(spec).configs).runs()
        for run in runs:
            write_json(run.results_file, {"linear": {"accuracy": 0.5 + above * (run.config.method == "moco")}})
        made.append(runs)
    told, turned = (pairs.of_methods(first + then)[0][0].sentence for first, then in (made, made[::-1]))
    assert told == turned and told.startswith("MoCo came out 5.0 points ahead")


def test_one_experiment_may_give_its_methods_what_it_likes(tmp_path):
    """As the preset cifar10-small, which enlarges BYOL's images; what is not equal is said."""
    spec = Spec(base={"dataset": "digits"}, by_method={"byol": {"epochs": 40}}, axes={"method": ["moco", "byol"], "seed": [0, 1]})
    runs = Store(tmp_path).create("one", spec, plan(spec).configs).runs()
    for run in runs:
        write_json(run.results_file, {"linear": {"accuracy": 0.5 + 0.1 * (run.config.method == "byol") + run.config.seed / 100}})
    found, apart = pairs.of_methods(runs)
    assert len(found) == 1 and not apart and "epochs" in pairs.said_unequal(found)


def test_a_data_set_that_one_side_alone_has_is_named(tmp_path):
    runs = on_two_sets(tmp_path, {"photos": (0.08, 0.03), "digits": (0.0, 0.0)})
    kept = [run for run in runs if (run.config.method, run.config.dataset) != ("byol", "digits")]
    (pair,), (told,) = pairs.of_methods(kept)
    assert pair.on == "photos" and told == "BYOL and MoCo could not be paired on digits: only one of them was trained on it."


def test_a_mean_over_settings_tells_how_far_they_go_apart_and_which_remain(tmp_path):
    worth = {16: 0.031, 64: -0.017, 256: 0.038}
    axes = {"method": ["simclr", "byol"], "batch_size": list(worth), "seed": [0, 1]}
    runs = grid(
        tmp_path,
        axes,
        lambda config: 0.5 + (worth[config.batch_size] + config.seed / 1000) * (config.method == "simclr"),
    )
    (pair,) = pairs.of_methods(runs)[0]
    assert pair.sentence.endswith(" Setting by setting: −1.7 to +3.9 points.")
    lacks = [run for run in runs if (run.config.method, run.config.batch_size, run.config.seed) != ("byol", 64, 1)]
    (pair,) = pairs.of_methods(lacks)[0]
    assert pair.sentence.endswith(" Compared at batch_size 16 and 256 alone: not every seed has the others.")


def test_runs_that_were_tested_on_different_numbers_of_images_are_no_pair(tmp_path):
    runs = grid(tmp_path, {"method": ["simclr", "byol"], "seed": [0, 1]}, lambda config: 0.5)
    for run in runs:
        write_json(run.results_file, {"linear": {"accuracy": 0.5, "n_test": 22 if run.config.method == "byol" else 19}})
    found, (told,) = pairs.of_methods(runs)
    assert not found and told.endswith("could not be paired: tested on different numbers of images.")


def test_of_damaged_predictions_nothing_is_raised(tmp_path):
    (run,) = grid(tmp_path, {"method": ["byol"]}, lambda config: 0.5)
    np.savez_compressed(run.predictions_file, **{name: np.arange(40) for name in ("index", "label", "linear", "knn")})
    whole = run.predictions_file.read_bytes()
    for bit in range(0, 8 * len(whole), 29):
        torn = bytearray(whole)
        torn[bit // 8] ^= 1 << bit % 8
        run.predictions_file.write_bytes(torn)
        found = pairs.predictions(run)
        assert found is None or set(found) == {"index", "label", "linear", "knn"}


def test_the_run_without_predictions_is_the_one_to_evaluate(tmp_path):
    one, other = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=10).runs()
    one.predictions_file.unlink()
    for a, b in ((one, other), (other, one)):
        assert f"evaluate {one.id}`" in pairs.over_images_of(a, b, "linear").why
