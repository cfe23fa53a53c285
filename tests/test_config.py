"""One source for every option: what resolves is complete, what does not is told in words."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sslcore.config import OPTIONS, WATCHING, ConfigError, RunConfig, check_names, flatten, get, nest, resolve, varying
from sslcore.methods import METHODS

names = st.sampled_from(sorted(OPTIONS))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
sensible = st.sampled_from(
    [0, 1, 2, 8, 64, 0.1, 0.5, 0.99, True, None, "mlp", "none", "linear", "auto", "digits", "byol", "moco", "batch"]
)


@given(st.dictionaries(names | st.text(max_size=20), anything | sensible, max_size=6))
@example({"method": []})
@example({"dataset": {}})
def test_any_settings_resolve_or_are_refused_by_name(settings):
    try:
        config = resolve(settings)
    except ConfigError as error:
        assert error.problems
        for name, what in error.problems.items():
            assert what and "\n" not in what.split(", not ")[0], name
    else:
        assert RunConfig.model_validate_json(config.model_dump_json()) == config


@given(st.dictionaries(names, sensible, max_size=4))
def test_what_resolves_is_complete_survives_json_and_keeps_what_was_asked(settings):
    try:
        config = resolve(settings)
    except ConfigError as error:
        assert set(error.problems) <= set(OPTIONS)
        return
    kept = json.loads(config.model_dump_json())
    assert set(flatten(kept)) == set(OPTIONS), "nothing is implicit"
    assert RunConfig.model_validate(kept) == config
    for name, value in settings.items():
        assert get(config, name) == value


@pytest.mark.parametrize("nested", [{"moco": {"momentum": 0.5}}, {"moco.momentum": 0.5}])
def test_settings_may_be_nested_or_dotted(nested):
    assert resolve(nested).moco.momentum == 0.5


def test_a_setting_that_is_given_in_both_ways_is_refused():
    with pytest.raises(ConfigError, match=r"moco\.momentum: given twice"):
        resolve({"moco": {"momentum": 0.5}, "moco.momentum": 0.6})


@given(st.dictionaries(names, st.integers()))
def test_nest_and_flatten_are_opposites(flat):
    assert flatten(nest(flat)) == flat


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("batchsize", "batch_size"),
        ("queue_size", "moco.queue_size"),
        ("moco.queue", "moco.queue_size"),
        ("learning_rat", "learning_rate"),
    ],
)
def test_an_unknown_name_is_told_with_the_closest_one(wrong, meant):
    with pytest.raises(ConfigError) as error:
        check_names({wrong: 1, "epochs": 1})
    assert list(error.value.problems) == [wrong] and f"did you mean {meant}?" in error.value.problems[wrong]


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(ConfigError) as error:
        check_names({"zzzzqqqq": 1})
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("seed", -1),
        ("learning_rate", 0),
        ("learning_rate", math.nan),
        ("weight_decay", math.inf),
        ("augment.flip", 1.1),
        ("moco.momentum", -0.1),
        ("moco.temperature", 0),
        ("head.kind", "deep"),
        ("method", "simsiam"),
        ("micro_batch_size", 1000),
        ("dataset", ""),
        ("devices", 3),
        ("devices", 256),
        ("image_size", 7),
        ("epochs", True),
        ("learning_rate", True),
        ("seed", False),
        ("micro_batch_size", True),
        ("augment.flip", True),
    ],
)
def test_what_is_out_of_bounds_is_told_by_its_name(name, value):
    with pytest.raises(ConfigError) as error:
        resolve({name: value})
    assert list(error.value.problems) == [name]


def test_a_switch_takes_true_and_false():
    assert resolve({"moco.symmetric": True}).moco.symmetric and not resolve({"evaluate.heads": False}).evaluate.heads


def test_every_problem_is_told():
    with pytest.raises(ConfigError) as error:
        resolve({"epochs": 0, "head.dim": 1, "moco.momentum": 2})
    assert set(error.value.problems) == {"epochs", "head.dim", "moco.momentum"}


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_recipe_holds_unless_something_else_is_asked(method):
    config = resolve({"method": method})
    for name, value in METHODS[method].defaults.items():
        assert get(config, name) == value
    assert resolve({"method": method, "learning_rate": 0.123}).learning_rate == 0.123


@pytest.mark.parametrize(("rule", "peak"), [("none", 0.1), ("sqrt", 0.2), ("linear", 0.4)])
def test_the_learning_rate_follows_the_batch_as_it_says(rule, peak):
    config = resolve({"learning_rate": 0.1, "batch_size": 1024, "lr_scaling": rule})
    assert config.peak_learning_rate == pytest.approx(peak)


def test_every_option_has_help_and_a_default_that_is_valid():
    assert all(field.description and field.description.strip().endswith(".") for field in OPTIONS.values())
    RunConfig.model_validate(nest({name: field.default for name, field in OPTIONS.items()}))


def test_what_varies_is_told_within_a_method_by_values_and_without_what_only_watches():
    one, other = (resolve({"method": "moco", "dataset": "digits", "batch_size": size, "seed": size}) for size in (32, 64))
    read = RunConfig.model_validate_json(one.model_dump_json())  # where 2 has become 2.0
    watched = one.model_copy(
        update={
            "evaluate": one.evaluate.model_copy(update={"knn_every": 7, "finetune_epochs": 5, "heads": False, "labels": False})
        }
    )
    assert varying([one, read, watched, resolve({"method": "byol", "dataset": "digits"})]) == []
    assert varying([one, read, other]) == ["batch_size"]


def test_where_a_run_was_computed_varies_only_where_it_alone_tells_two_runs_apart():
    one, two, other = (resolve({"threads": threads, "seed": seed}) for threads, seed in ((1, 0), (None, 1), (1, 1)))
    assert varying([one, two]) == [] and varying([one, two, other]) == ["threads"]
    assert varying([one, resolve({"device": "cpu", "compile": "off", "epochs": 3})]) == ["epochs"]


def test_another_methods_option_does_not_tell_runs_apart():
    moco, simclr = ([resolve({"method": m, "simclr.temperature": t}) for t in (0.1, 0.5)] for m in ("moco", "simclr"))
    assert varying(moco) == [] and varying([*moco, *simclr]) == ["simclr.temperature"]


def test_a_micro_batch_may_be_the_whole_batch():
    assert resolve({"batch_size": 64, "micro_batch_size": 64}).micro_batches == 1


def test_infinity_is_refused_where_no_bound_keeps_it_out():
    with pytest.raises(ConfigError) as error:
        resolve({"warmup_epochs": math.inf})
    assert list(error.value.problems) == ["warmup_epochs"]


def test_what_is_only_watched_decides_no_result():
    others = {
        "evaluate.log_every": 3,
        "evaluate.knn_every": 3,
        "evaluate.knn_train": 300,
        "evaluate.sample": 300,
        "evaluate.snapshots": 3,
        "evaluate.labels": False,
        "evaluate.finetune_epochs": 3,
        "evaluate.heads": False,
    }
    assert set(others) == set(WATCHING) and varying([resolve({}), resolve(others)]) == []
