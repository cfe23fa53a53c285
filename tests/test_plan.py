"""The grid: as many runs as its axes make, each with a name of its own, and no file made."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslcore import datasets, launch, plan
from sslcore.archive import FOLDER
from sslcore.config import OPTIONS, ConfigError, get, resolve
from sslcore.experiment import Spec, Store
from sslcore.files import read_json, write_json
from sslcore.methods import METHODS
from sslcore.naming import LONGEST_NAME

axes = st.fixed_dictionaries(
    {},
    optional={
        "method": st.lists(st.sampled_from(["moco", "simclr", "byol", "supervised"]), min_size=1, unique=True),
        "batch_size": st.lists(st.sampled_from([32, 64, 100]), min_size=1, unique=True),
        "seed": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
        "moco.momentum": st.lists(st.sampled_from([0.0, 0.9, 0.99, 1.0]), min_size=1, unique=True),
        "augment.blur": st.lists(st.sampled_from([0, 0.5]), min_size=1, unique=True),
        "simclr.negatives": st.lists(st.sampled_from([None, 5, 50]), min_size=1, unique=True),
    },
)


def expected_cells(axes: dict) -> int:
    """Combinations, where moco.* and simclr.* count for their own method alone."""
    of_method = {
        m: [v for n, v in axes.items() if n != "method" and n.partition(".")[0] in (m, "batch_size", "seed", "augment")]
        for m in METHODS
    }
    return sum(math.prod(map(len, of_method[method])) for method in axes.get("method", ["simclr"]))


@given(axes)
def test_the_grid_is_the_product_of_its_axes_and_a_methods_own_axis_multiplies_it_alone(axes):
    planned = plan.plan(Spec(base={"dataset": "digits"}, axes=axes))
    assert not planned.problems
    assert len(planned.configs) == expected_cells(axes), "as many names as cells"
    shared = [name for name in axes if name.partition(".")[0] not in METHODS]
    cells = {
        (*(get(config, name) for name in shared), *(get(config, name) for name in axes if name.startswith(f"{config.method}.")))
        for config in planned.configs.values()
    }
    assert {tuple(get(config, name) for name in shared) for config in planned.configs.values()} == set(
        itertools.product(*(axes[name] for name in shared))
    )
    assert len(cells) == len(planned.configs) or "method" not in axes
    assert all(Path(name).name == name and not name.startswith(".") for name in planned.configs)


def test_runs_are_trained_in_the_order_of_the_axes():
    axes = {"moco.queue_size": [64, 16], "method": ["byol", "moco"], "seed": [1, 0]}
    names = list(plan.plan(Spec(base={"dataset": "digits", "batch_size": 32}, axes=axes)).configs)
    first = ["moco-bs32-queue_size64-s1", "moco-bs32-queue_size64-s0"]
    second = ["moco-bs32-queue_size16-s1", "moco-bs32-queue_size16-s0"]
    assert names == ["byol-bs32-s1", "byol-bs32-s0", *first, *second]
    by_seed = plan.plan(Spec(base={"dataset": "digits", "batch_size": 32}, axes={"seed": [1, 0], "method": ["byol", "moco"]}))
    assert list(by_seed.configs) == ["byol-bs32-s1", "moco-bs32-s1", "byol-bs32-s0", "moco-bs32-s0"]


def test_an_axis_of_a_method_that_is_not_there_makes_no_runs_and_is_told():
    planned = plan.plan(Spec(base={"dataset": "digits", "method": "byol"}, axes={"moco.momentum": [0.9, 0.99]}))
    assert list(planned.configs) == ["byol-bs256-s0"] and not planned.problems
    assert any("moco.momentum" in warning for warning in planned.warnings)
    assert "moco.momentum" in plan.plan(Spec(base={"dataset": "digits", "method": "byol"}, axes={"moco.momentum": [7]})).problems
    assert "moco.speed" in plan.plan(Spec(base={"dataset": "digits", "method": "byol"}, axes={"moco.speed": [7]})).problems


def test_an_axis_of_a_group_varies_several_settings_together():
    spec = Spec(
        base={"dataset": "digits", "augment.flip": 0.3, "augment.hue": 0.1},
        axes={"augment": [{}, {"flip": 0}, {"jitter": 0, "hue": 0}]},
    )
    planned = plan.plan(spec)
    assert {name: (c.augment.flip, c.augment.jitter, c.augment.hue) for name, c in planned.configs.items()} == {
        "simclr-bs256-augment-as-is-s0": (0.3, 0.4, 0.1),
        "simclr-bs256-flip0-s0": (0.0, 0.4, 0.1),
        "simclr-bs256-jitter0-hue0-s0": (0.3, 0.0, 0.0),
    }
    assert "augment.flop" in plan.plan(Spec(base={"dataset": "digits"}, axes={"augment": [{"flop": 0}]})).problems
    assert "augment" in plan.plan(Spec(base={"dataset": "digits"}, axes={"augment": [0]})).problems
    assert "batch_size.a" in plan.plan(Spec(base={"dataset": "digits"}, axes={"batch_size": [{"a": 0}]})).problems


# -- A grid that grows -------------------------------------------------------------


@given(axes, axes)
def test_a_grid_that_grows_keeps_every_run_and_gains_the_new_values(before, more):
    spec = Spec(base={"dataset": "digits", "seed": 5}, axes=before)
    had = plan.plan(spec).configs
    try:
        extended = plan.extend(spec, more)
    except ConfigError as error:
        nothing_new = [
            n for n, v in more.items() if set(v) <= {get(c, n) for c in had.values()} or set(v) <= set(before.get(n, []))
        ]
        cannot_begin = [n for n in more if n not in before and n not in plan.IN_EVERY_NAME]
        assert {*error.problems} & {*nothing_new, *cannot_begin}
        return
    has = plan.plan(extended).configs
    assert has.items() >= had.items()
    for name, values in more.items():
        if name.partition(".")[0] not in METHODS:
            assert set(values) <= {get(config, name) for config in has.values()}


@pytest.mark.parametrize(
    ("more", "about"),
    [
        ({"epochs": [3]}, "epochs"),
        ({"epoch": [3]}, "epoch"),
        ({"augment": [{"flip": 0}]}, "augment"),
        ({"batch_size": [10_000]}, "batch_size"),
        ({"seed": [0]}, "seed"),
        ({"seed": []}, "seed"),
    ],
)
def test_what_cannot_grow_is_told(more, about):
    with pytest.raises(ConfigError) as error:
        plan.extend(Spec(base={"dataset": "digits"}, axes={"method": ["byol"]}), more)
    assert list(error.value.problems) == [about]


def test_a_grid_covers_the_values_that_its_runs_have_of_what_can_grow():
    spec = Spec(base={"dataset": "digits", "batch_size": 32, "learning_rate": 0.1}, axes={"moco.queue_size": [16, 64]})
    for axes in ({"moco.queue_size": [64]}, {"batch_size": [32], "seed": [0]}, {}):
        assert plan.covers(spec, axes)
    for axes in ({"moco.queue_size": [64, 32]}, {"batch_size": [32], "seed": [0, 1]}, {"seed": []}, {"learning_rate": [0.1]}):
        assert not plan.covers(spec, axes), "so that it grows, or is told why it cannot"


def test_what_cannot_grow_leaves_no_file(tmp_path):
    spec = Spec(base={"dataset": "digits"}, axes={"method": ["byol"]})
    experiment = Store(tmp_path).create("e", spec, plan.plan(spec).configs)
    before = sorted(experiment.path.iterdir())
    with pytest.raises(ConfigError):
        plan.grow(experiment, {"nosuch": [1]})
    assert sorted(experiment.path.iterdir()) == before


def test_what_others_write_into_an_experiment_stays_when_it_grows(tmp_path):
    spec = Spec(base={"dataset": "digits", "batch_size": 32}, axes={"method": ["moco"]})
    experiment = Store(tmp_path).create("e", spec, plan.plan(spec).configs)
    write_json(experiment.spec_file, read_json(experiment.spec_file) | {"of_a_later_version": 1})
    with experiment.editing() as edited:
        edited.notes = "at night"
    plan.grow(experiment, {"batch_size": [64]})
    said = read_json(experiment.spec_file)
    assert (said["axes"]["batch_size"], said["notes"], said["of_a_later_version"]) == ([32, 64], "at night", 1)
    assert said["command"] is None, "what no command has made, none alone would make again"


def test_an_experiment_that_grows_is_completed_with_the_runs_it_lacks(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("sslcore.launch.start", started.append)
    spec = Spec(
        base={"dataset": "digits", "batch_size": 32},
        axes={"method": ["moco", "byol"]},
        command="python -m sslcore launch my.yaml",
    )
    experiment = Store(tmp_path).create("e", spec, plan.plan(spec).configs)
    moco, byol = experiment.run("moco-bs32-s0"), experiment.run("byol-bs32-s0")
    byol.update_status(state="failed", error="out of memory")
    moco.update_status(state="finished")
    plan.grow(experiment, {"batch_size": [64]})
    assert experiment.spec().command.splitlines() == [
        "python -m sslcore launch my.yaml",
        "python -m sslcore complete e --add batch_size=64",
    ]
    assert len(experiment.runs()) == 2, "growing makes no run"
    assert {run.name for run in launch.complete(experiment, ["moco-bs64-s0"])} == {"moco-bs64-s0"}
    assert {run.name for run in launch.complete(experiment)} == {"byol-bs64-s0", "byol-bs32-s0"}
    assert byol.status().state == "queued" and byol.status().error is None and moco.status().state == "finished"
    assert {run.name: run.config for run in experiment.runs()} == plan.plan(experiment.spec()).configs
    assert not launch.complete(experiment) and started


def test_what_was_added_to_a_grid_is_taken_out_while_nothing_came_of_it(tmp_path):
    spec = Spec(
        base={"dataset": "digits", "batch_size": 32}, axes={"method": ["moco"]}, command="python -m sslcore launch my.yaml"
    )
    experiment = Store(tmp_path).create("e", spec, plan.plan(spec).configs)
    before = experiment.spec()
    growth = plan.grow(experiment, {"batch_size": [640]})
    assert growth.stands(experiment) and set(plan.lacking(experiment)) == {"moco-bs640-s0"}
    with experiment.editing() as edited:
        edited.notes = "a slip of the finger"
    plan.take_back(experiment, growth)
    assert experiment.spec() == before.model_copy(update={"notes": "a slip of the finger"}) and not plan.lacking(experiment)
    with pytest.raises(ValueError, match="changed since"):
        plan.take_back(experiment, growth)

    growth = plan.grow(experiment, {"batch_size": [64]})
    later = plan.grow(experiment, {"seed": [1]})
    assert later.stands(experiment) and not growth.stands(experiment), "it would take the seed out, too"
    experiment.add({"moco-bs64-s1": plan.lacking(experiment)["moco-bs64-s1"]})
    with pytest.raises(ValueError, match="runs of what was added were made"):
        plan.take_back(experiment, later)
    assert experiment.spec().axes == {"method": ["moco"], "batch_size": [32, 64], "seed": [0, 1]}


def test_a_grid_that_cannot_be_completed_is_left_as_it_was(tmp_path):
    spec = Spec(base={"dataset": "digits", "method": "byol"}, axes={"batch_size": [32, 5000]})  # of 1,438 images
    configs = plan.plan(spec).configs
    experiment = Store(tmp_path).create("e", spec, {"byol-bs32-s0": configs["byol-bs32-s0"]})
    (run,) = experiment.runs()
    run.config_file.unlink()
    with pytest.raises(ConfigError, match="5000 is larger"):
        launch.complete(experiment)
    assert not run.config_file.exists()


@given(st.dictionaries(st.text(max_size=12), st.lists(st.integers() | st.text(max_size=5), max_size=3), max_size=3))
def test_any_axes_end_in_runs_or_in_problems(axes):
    planned = plan.plan(Spec(base={"dataset": "digits"}, axes=axes))
    assert planned.problems or len(planned.configs) == math.prod(map(len, axes.values()))


def test_planning_makes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "data"))
    assert plan.plan(plan.read("photos")).configs
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        ({"seed": [1, 1]}, "seed=1,1"),
        ({"batch_size": [64, "64"]}, "batch_size=[64, '64']"),
        ({"seed": [0, 1], "epochs": [1, 1.0]}, "epochs=1,1.0"),
        ({"augment": [{"flip": 0.0}, {"flip": 0.0}]}, "augment={flip: 0.0},{flip: 0.0}"),
        ({"method": ["byol", "moco", "byol"]}, "method=byol,byol"),
    ],
)
def test_a_value_that_is_listed_twice_is_refused_however_it_is_spelled(axes, named):
    problems = plan.plan(Spec(base={"dataset": "digits"}, axes=axes)).problems
    assert list(problems) == [named.partition("=")[0]] and f"listed twice: {named} would" in str(problems)


def test_what_a_data_set_makes_equal_is_trained_once_and_told(tmp_path):
    """Digits are grey and have a right way up, so that of the kinds of augmentation crop and jitter alone are left."""
    for name, whole, left in (("augmentations", 6, 3), ("augmentation-pairs", 12, 4)):
        spec = plan.read(name)
        planned = plan.plan(plan.change(spec, {"dataset": "digits", "image_size": 8}, {"seed": [0, 1]}))
        n_methods = len(spec.axes["method"])
        assert not planned.problems and len(planned.configs) == 2 * n_methods * left < 2 * n_methods * whole
        assert len(set(planned.configs.values())) == len(planned.configs)
        told = [one for one in planned.warnings if "are the same on digits, and trained once" in one]
        assert len(told) == whole - left and "augment={},{flip: 0} are" in told[0]


def test_values_that_are_called_alike_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        npz(tmp_path / folder / "set.npz")
    axes = {"dataset": [str(tmp_path / folder / "set.npz") for folder in ("a", "b")]}
    assert "both be called" in plan.plan(Spec(base=SMALL, axes=axes)).problems["axes"]


def test_values_whose_names_look_alike_make_two_runs_or_a_problem():
    planned = plan.plan(Spec(base={"dataset": "digits"}, axes={"learning_rate": [0.1, 0.10000001]}))
    assert len(planned.configs) == 2 or "axes" in planned.problems


def test_a_run_whose_folder_would_have_too_long_a_name_is_refused_with_what_is_in_it():
    axes = {name: [field.default] for name, field in OPTIONS.items() if name.partition(".")[0] in ("augment", "evaluate")}
    told = plan.plan(Spec(base={"dataset": "digits"}, axes=axes)).problems["axes"]
    assert "vary fewer settings at once" in told and all(axis in told for axis in axes)
    few = dict(itertools.islice(axes.items(), 10))
    (name,) = plan.plan(Spec(base={"dataset": "digits"}, axes=few)).configs
    assert 121 < len(name) <= LONGEST_NAME and re.fullmatch(FOLDER, name), "what can be trained can be exported"


def test_a_grid_too_large_is_refused_at_once():
    planned = plan.plan(Spec(axes={"seed": list(range(100)), "epochs": list(range(1, 100))}))
    assert "9900 runs" in planned.problems["axes"] and not planned.configs


@pytest.mark.parametrize(("axes", "size"), [({"seed": [0, 1, 2]}, 3), ({"method": ["moco", "byol"], "seed": [0, 1]}, 4)])
def test_a_grid_may_have_just_as_many_runs_as_are_possible(axes, size, monkeypatch):
    for most in (size, size - 1):
        monkeypatch.setattr(plan, "MAX_RUNS", most)
        planned = plan.plan(Spec(base={"dataset": "digits"}, axes=axes))
        assert (len(planned.configs), list(planned.problems)) == ((size, []) if most == size else (0, ["axes"]))


def test_a_runs_name_may_be_just_as_long_as_is_possible(monkeypatch):
    for longest in (len("byol-bs256-s0"), len("byol-bs256-s0") - 1):
        monkeypatch.setattr(plan, "LONGEST_NAME", longest)
        planned = plan.plan(Spec(base={"dataset": "digits", "method": "byol"}))
        assert ("axes" in planned.problems) == (longest < 13)


def test_what_several_runs_deserve_to_be_told_is_told_once():
    spec = Spec(base={"dataset": "digits", "batch_size": 1000}, axes={"method": ["byol", "simclr"], "seed": [0, 1]})
    assert len(plan.plan(spec).configs) == 4 and len(plan.plan(spec).warnings) == 1


def test_an_axis_holds_whatever_the_settings_of_a_method_say():
    spec = Spec(base={"dataset": "digits"}, by_method={"byol": {"epochs": 7}}, axes={"method": ["byol"], "epochs": [1, 2]})
    assert sorted(config.epochs for config in plan.plan(spec).configs.values()) == [1, 2]


def test_a_grid_without_methods_has_no_runs_whatever_else_varies():
    planned = plan.plan(Spec(base={"dataset": "digits"}, axes={"method": [], "seed": [0]}))
    assert not planned.configs and not planned.warnings


def test_settings_of_one_method_hold_for_it_alone():
    spec = Spec(base={"dataset": "digits", "epochs": 5}, by_method={"byol": {"epochs": 7}}, axes={"method": ["moco", "byol"]})
    assert {config.method: config.epochs for config in plan.plan(spec).configs.values()} == {"moco": 5, "byol": 7}


@pytest.mark.parametrize(
    ("own", "name", "hint"),
    [
        ({"SimCLR": {"epochs": 7}}, "by_method.SimCLR", "did you mean simclr?"),
        ({"zzz": {}}, "by_method.zzz", ""),
        ({"moco": {"epoch": 3}}, "by_method.moco.epoch", "did you mean epochs?"),
        ({"moco": {"augment": 3}}, "by_method.moco.augment", "give a value to one of them"),
        ({"simclr": {"temperature": 3}}, "by_method.simclr.temperature", "did you mean simclr.temperature?"),
        ({"moco": {"method": "byol"}}, "by_method.moco.method", "cannot say which method it is"),
    ],
)
def test_settings_of_one_method_are_checked_whether_it_has_runs_or_not(own, name, hint):
    for method in ("byol", "moco"):
        problems = plan.plan(Spec(base={"dataset": "digits"}, by_method=own, axes={"method": [method]})).problems
        assert list(problems) == [name] and problems[name].endswith(hint)


@pytest.mark.parametrize(
    ("shared", "own", "names"),
    [
        ({"batch_size": 1024}, {"micro_batch_size": 512}, []),
        ({"batch_size": 256}, {"micro_batch_size": 512}, ["by_method.byol.micro_batch_size"]),
        ({"batch_size": 100, "devices": 3}, {"batch_size": 96}, ["devices"]),  # which moco shares
        ({}, {"batch_size": 2000}, ["by_method.byol.batch_size"]),  # more than there are images
        ({"epochs": 0}, {"warmup_epochs": -1}, ["by_method.byol.warmup_epochs", "epochs"]),
    ],
)
def test_a_methods_own_value_is_held_against_all_that_it_goes_with_and_named_as_its_own(shared, own, names):
    spec = Spec(base={"dataset": "digits"} | shared, by_method={"byol": own}, axes={"method": ["moco", "byol"]})
    assert sorted(plan.plan(spec).problems) == names


# -- Replacing what a preset says --------------------------------------------------

SPEC = Spec(
    base={"dataset": "digits", "epochs": 5, "head": {"dim": 32}},
    by_method={"byol": {"epochs": 7, "byol.momentum": 0.9}},
    axes={"method": ["moco", "byol"], "seed": [0, 1]},
)


def configs(settings, axes):
    return list(plan.plan(plan.change(SPEC, settings, axes)).configs.values())


def test_a_fixed_setting_holds_for_every_run_whatever_the_preset_said_of_it():
    assert {config.epochs for config in configs({"epochs": 2}, {})} == {2}
    assert {(config.method, config.seed) for config in configs({"seed": 3}, {})} == {("moco", 3), ("byol", 3)}
    assert {config.method for config in configs({"method": "simclr"}, {})} == {"simclr"}
    assert {config.head.dim for config in configs({"head": {"dim": 16}}, {})} == {16}


def test_a_varied_setting_replaces_axis_base_and_the_methods_own():
    assert sorted(config.epochs for config in configs({}, {"epochs": [1, 2]})) == [1, 1, 1, 1, 2, 2, 2, 2]
    assert {config.method for config in configs({}, {"method": ["simclr"]})} == {"simclr"}
    assert {config.byol.momentum for config in configs({}, {"epochs": [1]}) if config.method == "byol"} == {0.9}, "the rest stays"


def test_a_group_that_is_fixed_varies_no_more_and_one_setting_of_it_ends_no_axis():
    spec = Spec(axes={"method": ["byol", "moco"], "augment": [{}, {"flip": 0}]})

    def made(settings):
        augments = [config.augment for config in plan.plan(plan.change(spec, settings, {})).configs.values()]
        return len(augments), {(augment.flip, augment.hue) for augment in augments}

    assert made({}) == (4, {(0.5, 0.1), (0, 0.1)})
    assert made({"augment": {}}) == (2, {(0.5, 0.1)})
    assert made({"augment": {"flip": 0.2}}) == (2, {(0.2, 0.1)})
    assert made({"augment.hue": 0.2}) == (4, {(0.5, 0.2), (0, 0.2)})


def test_a_group_can_be_varied():
    assert [config.augment.blur for config in configs({"seed": 0, "method": "moco"}, {"augment": [{}, {"blur": 0.5}]})] == [
        0,
        0.5,
    ]


@pytest.mark.parametrize(
    ("settings", "axes", "name"),
    [
        ({"epoch": 1}, {}, "epoch"),
        ({}, {"seeds": [1]}, "seeds"),
        ({}, {"seed": []}, "seed"),
        ({}, {"augment": []}, "augment"),
        ({}, {"augment": [{"flop": 0}]}, "augment.flop"),
        ({}, {"augments": [{}]}, "augments"),
        ({}, {"seed": [{"a": 0}]}, "seed.a"),
    ],
)
def test_what_cannot_be_changed_is_told(settings, axes, name):
    with pytest.raises(ConfigError) as error:
        plan.change(SPEC, settings, axes)
    assert list(error.value.problems) == [name]


# -- Against the data set ----------------------------------------------------------


def npz(path, labels=True, train=40, **labelled):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 255, (train, 16, 16, 3), np.uint8),
        "x_test": rng.integers(0, 255, (10, 16, 16, 3), np.uint8),
    }
    if labels:
        arrays |= {"y_train": np.arange(train) % 2, "y_test": np.arange(10) % 2} | labelled
    np.savez(path, **arrays)
    return str(path)


SMALL = {"batch_size": 8, "evaluate.knn_k": 5, "moco.queue_size": 16}


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"batch_size": 41}, "batch_size"),
        ({"evaluate.knn_k": 41}, "evaluate.knn_k"),
        ({"method": "moco", "moco.negatives": "memory_bank", "moco.queue_size": 33}, "moco.queue_size"),
        ({"method": "simclr", "simclr.negatives": 15}, "simclr.negatives"),
    ],
)
def test_what_the_data_set_cannot_give_is_a_problem_and_one_less_is_none(tmp_path, settings, name):
    dataset = npz(tmp_path / "a.npz")
    problems, _ = plan.check(resolve({"dataset": dataset} | SMALL | settings))
    assert list(problems) == [name]
    problems, _ = plan.check(resolve({"dataset": dataset} | SMALL | settings | {name: settings[name] - 1}))
    assert not problems


def test_without_labels_a_run_trains_with_a_word_and_supervision_is_refused(tmp_path):
    dataset = npz(tmp_path / "a.npz", labels=False)
    problems, warnings = plan.check(resolve({"dataset": dataset} | SMALL))
    assert not problems and "no labels" in warnings[0]
    assert "method" in plan.check(resolve({"dataset": dataset, "method": "supervised"} | SMALL))[0]
    assert not plan.check(resolve({"dataset": dataset} | SMALL | {"evaluate.knn_k": 41}))[0], "nobody votes"


@pytest.mark.parametrize(
    ("batch", "advice"), [(20, "20 other images as negatives; choose at most that"), (40, "0 other"), (41, "0 other")]
)
def test_a_memory_bank_without_other_images_wants_a_smaller_batch(batch, advice):
    bank = {"method": "moco", "moco.negatives": "memory_bank", "moco.queue_size": 21}
    info = datasets.Info("d", train=40, test=10, classes=(), shape=(16, 16))
    problems, _ = plan.suits(resolve(SMALL | bank | {"batch_size": batch}), info)
    assert advice in problems["moco.queue_size"]
    assert ("choose a smaller batch_size" in problems["moco.queue_size"]) == (batch >= 40)


def test_a_single_class_is_refused():
    problems, _ = plan.suits(resolve(SMALL), datasets.Info("d", train=40, test=10, classes=("cat",), shape=(16, 16)))
    assert list(problems) == ["dataset"] and "a single class, 'cat'" in problems["dataset"]


@pytest.mark.parametrize(("test", "refused"), [(0, False), (1, True), (2, False)])
def test_a_single_test_image_is_refused_and_none_at_all_is_not(test, refused):
    problems, _ = plan.suits(resolve(SMALL), datasets.Info("d", train=40, test=test, classes=(), shape=(16, 16)))
    assert list(problems) == ["dataset"] * refused


def test_classes_that_are_tested_and_never_trained_on_deserve_a_word(tmp_path):
    dataset = npz(tmp_path / "a.npz", y_test=np.arange(10) % 4)
    problems, (warning,) = plan.check(resolve({"dataset": dataset} | SMALL))
    assert not problems and "no training image of 2, 3: 4 of 10 test images" in warning and "60.0%" in warning
    assert plan.check(resolve({"dataset": npz(tmp_path / "b.npz", y_test=np.zeros(10, int))} | SMALL)) == ({}, [])


@pytest.mark.parametrize("n", [5, 6])
def test_of_many_classes_that_are_never_trained_on_five_are_named(n):
    info = datasets.Info("d", 40, 10, tuple("abcdefgh"), (16, 16), untrained=dict.fromkeys("abcdefgh"[:n], 1))
    said = plan.out_of_reach(info, "d")
    assert f"no training image of a, b, c, d, e{', ...' if n > 5 else ''}: {n} of 10" in said


@pytest.mark.parametrize(
    ("classes", "test", "why"),
    [(3, 10, ""), (3, 0, "no labels"), (0, 10, "no labels"), (1, 10, "two classes"), (3, 1, "two test images")],
)
def test_why_nothing_can_be_probed_is_said_and_only_then(classes, test, why):
    said = plan.unprobed(datasets.Info("d", train=40, test=test, classes=tuple("abc"[:classes]), shape=(16, 16)))
    assert why in said and bool(said) == bool(why)


@pytest.mark.parametrize(
    ("train", "batch", "said"),
    [(40, 20, []), (40, 13, []), (40, 19, []), (40, 37, ["3 of the 40"]), (40, 21, ["19 of the 40", "(48%)"])],
)
def test_images_that_no_whole_batch_takes_deserve_a_word_where_they_are_many(tmp_path, train, batch, said):
    config = resolve({"dataset": npz(tmp_path / "a.npz", train=train)} | SMALL | {"batch_size": batch})
    problems, warnings = plan.check(config)
    assert not problems and len(warnings) == bool(said) and all(part in warnings[0] for part in said)


def test_a_queue_longer_than_the_data_set_deserves_a_word(tmp_path):
    settings = {"method": "moco", "moco.bn_splits": 2, "moco.queue_size": 41}
    config = resolve({"dataset": npz(tmp_path / "a.npz")} | SMALL | settings)
    problems, warnings = plan.check(config)
    assert not problems and any("moco.queue_size" in warning for warning in warnings)
    for settings in ({"moco.queue_size": 40}, {"moco.negatives": "batch"}, {"moco.symmetric": True}):
        assert plan.check(resolve(config.flat() | settings)) == ({}, [])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, []),
        ({"devices": 2}, []),
        ({"micro_batch_size": 6}, []),
        ({"micro_batch_size": 6, "moco.bn_splits": 1}, []),
        ({"method": "byol", "devices": 3}, []),
        ({"devices": 3}, ["6 groups"]),
        ({"devices": 12}, ["12 groups"]),
        ({"devices": 3, "moco.bn_splits": 2}, ["3 groups"]),
        ({"moco.bn_splits": 13}, ["a batch of 24 has 12 groups"]),
        ({"batch_size": 2, "moco.bn_splits": 2}, ["has 1 group of", "the batch is one group"]),
        ({"micro_batch_size": 8}, ["6 groups"]),
        ({"micro_batch_size": 3}, ["each of 8 micro-batches is one group"]),
        ({"micro_batch_size": 3, "moco.negatives": "memory_bank"}, []),
        ({"micro_batch_size": 2}, ["12 groups", "each of 12 micro-batches is one group"]),
    ],
)
def test_batch_norm_groups_that_are_not_those_of_the_whole_batch_deserve_a_word(tmp_path, settings, said):
    config = resolve(
        {"dataset": npz(tmp_path / "a.npz", train=48), "method": "moco", "moco.bn_splits": 8}
        | SMALL
        | {"batch_size": 24}
        | settings
    )
    problems, warnings = plan.check(config)
    assert (
        not problems
        and len(warnings) == len(said)
        and all(part in warning and "choose" in warning for part, warning in zip(said, warnings))
    )


# -- Presets -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("base: [", "not valid YAML"),
        ("- a", "list"),
        ("bases: {}", "'bases'"),
        ("axes: {seed: 3}", "axes.seed"),
        ("", "NoneType"),
        ("schema_version: new", "schema_version"),
        ("schema_version: 99", "schema_version: 99 is a newer Triptych's"),
        ("base: &a {x: *a}", "contains itself"),
        ("base: &a {<<: *a}", "contains itself"),
        ("axes: &a [[*a]]", "contains itself"),
        (
            "axes:\n  a0: &a0 [x, x]\n" + "".join(f"  a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 30)),
            "more than 100,000 values",
        ),
        ("base: " + "[" * 3000, "nested too deeply"),
        ("base: {created: 2020-99-99}", "month"),
        ('title: "\\ud800"', "title: it is not UTF-8"),
        ("base: {[1]: 2}", "unhashable"),
        ("base: {epochs: 1}\naxes: {}\nbase: {epochs: 2}", "line 3: the key 'base' is given twice"),
        ("base:\n  epochs: 1\n  'epochs': 2", "line 3: the key 'epochs' is given twice"),
    ],
)
def test_a_preset_that_cannot_be_understood_is_told_in_one_line(tmp_path, content, says):
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"p\.yaml") as error:
        plan.read(str(tmp_path / "p.yaml"))
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["/dev/zero", "nowhere", "."])
def test_a_preset_is_a_name_or_a_file_and_nothing_that_never_ends(name):
    with pytest.raises(ValueError, match="neither a preset"):
        plan.read(name)


@pytest.mark.parametrize(("content", "title"), [("title: Which copes?\n", "Which copes?"), ("axes: {seed: [0]}\n", "mine")])
def test_a_file_without_a_title_has_its_name(tmp_path, content, title):
    (tmp_path / "mine.yaml").write_text(content)
    assert plan.read(str(tmp_path / "mine.yaml")).title == title


def test_a_preset_may_say_anew_what_it_merges_from_elsewhere(tmp_path):
    (tmp_path / "p.yaml").write_text("by_method: {moco: &own {epochs: 1, seed: 3}, byol: {<<: *own, epochs: 2}}")
    assert plan.read(str(tmp_path / "p.yaml")).by_method["byol"] == {"epochs": 2, "seed": 3}


@pytest.mark.parametrize("axis", ["method", "batch_size", "seed", "augment"])
def test_an_axis_without_values_is_a_problem(axis):
    assert plan.plan(Spec(axes={"method": ["byol"], "seed": [0]} | {axis: []})).problems == {axis: "no values to vary over"}


def test_a_run_is_of_the_grid_whatever_its_folder_is_called(tmp_path):
    spec = Spec(base={"dataset": "digits"}, axes={"method": ["moco", "byol"], "seed": [0, 1]})
    planned = plan.plan(spec).configs
    experiment = Store(tmp_path).create("e", spec, dict(zip(["first", "second", "third"], planned.values())))
    write_json(experiment.run("second").config_file, experiment.run("second").config.model_dump() | {"threads": 3})
    assert list(plan.lacking(experiment)) == [list(planned)[3]]
    experiment.run("third").config_file.write_text("{ torn")
    assert list(plan.lacking(experiment)) == list(planned)[2:]


def test_an_experiment_that_varies_nothing_lacks_no_run_but_its_first(tmp_path):
    experiment = Store(tmp_path).create("e", Spec(), {"own": resolve({"dataset": "digits", "epochs": 3})})
    assert not plan.lacking(experiment)
    experiment.run("own").config_file.unlink()
    assert len(plan.lacking(experiment)) == 1
