"""Options that make no difference: real trainings say which they are."""

import pytest
import torch

from sslcore import plan
from sslcore.analysis import ablation
from sslcore.analysis.claims import Evidence
from sslcore.config import resolve
from sslcore.experiment import Spec
from sslcore.idle import idle
from sslcore.methods import METHODS
from tests import synthetic
from tests.training.small import SMALL, small_training

OTHERWISE = {  # than in SMALL
    "augment.solarize": 0.5,
    "head.kind": "linear",
    "head.hidden": 24,
    "head.dim": 8,
    "moco.momentum": 0.5,
    "moco.queue_size": 20,
    "lr_scaling": "none",
    "warmup_epochs": 2.5,
}


def trained(dataset: str, settings: dict) -> torch.Tensor:
    """The encoder's weights after three steps, in a row."""
    training = small_training(dataset, **settings)
    for _ in range(3):
        training.take_step()
    return torch.cat([p.detach().flatten() for p in training.method.encoder.parameters()])


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "byol", "head.kind": "none"},
        {"method": "simclr", "head.kind": "linear"},
        {"method": "simclr", "warmup_epochs": 1},
        {"method": "supervised"},
        {"method": "supervised", "head.kind": "mlp"},
        {"method": "moco"},
        {"method": "moco", "moco.negatives": "memory_bank"},
        {"method": "moco", "moco.negatives": "batch", "moco.symmetric": True},
        {"method": "supervised", "dataset": "digits", "batch_size": 256, "epochs": 6},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_an_option_is_idle_where_another_value_trains_the_same_bits_and_nowhere_else(settings, shapes):
    dataset = settings.get("dataset", shapes)
    config = resolve({"dataset": dataset, **SMALL, **settings})
    weights = trained(dataset, settings)
    for option, value in OTHERWISE.items():
        owner = option.partition(".")[0]
        if owner in {*METHODS} - {config.method} or config.flat()[option] == value:
            continue
        same = torch.equal(weights, trained(dataset, {**settings, option: value}))
        assert same == (option in idle(config)), option


def warnings(axes: dict, **base) -> list[str]:
    spec = Spec(base={"dataset": "digits", "batch_size": 64, **base}, axes=axes)
    return plan.plan(spec).warnings


def test_runs_that_would_train_the_same_weights_are_told_with_what_makes_no_difference_there():
    momenta = {"method": ["moco", "byol"], "moco.momentum": [0, 0.9, 0.99], "seed": [0, 1]}
    assert warnings(momenta, **{"moco.queue_size": 512}) == []
    (said,) = warnings(momenta, **{"moco.negatives": "batch"})
    assert said.startswith("moco.momentum makes no difference with moco.negatives=batch: 4 runs ")
    assert said.endswith("moco-bs64-momentum0.9-s0 as moco-bs64-momentum0-s0")


def test_what_makes_no_difference_to_some_runs_is_told_of_those_alone():
    grid = {"head.kind": ["none", "mlp"], "head.dim": [64, 128]}
    (said,) = warnings(grid, method="byol")
    assert said.startswith("head.dim makes no difference with head.kind=none: 1 run ")
    assert warnings({**grid, "head.kind": ["linear", "mlp"]}, method="byol") == []
    (said,) = warnings({"method": ["byol", "supervised"], "augment": [{}, {"flip": 0.5}, {"solarize": 0.2}]})
    assert "augment.solarize makes no difference with method=supervised: 1 run " in said


@pytest.mark.parametrize(
    ("option", "values", "settings"),
    [
        ("micro_batch_size", (None, 16), {"method": "simclr"}),
        ("micro_batch_size", (8, 12), {"method": "byol"}),
        ("simclr.negatives", (30, None), {"method": "simclr"}),
        ("moco.bn_splits", (8, 64), {"method": "moco"}),
    ],
)
def test_values_that_say_the_same_train_the_same_bits_and_are_told(option, values, settings, shapes):
    settings = settings | {"batch_size": 16}
    one, other = (trained(shapes, settings | {option: value}) for value in values)
    assert torch.equal(one, other)
    (said,) = [word for word in warnings({option: list(values)}, **settings) if "makes no difference" in word]
    assert said.startswith(f"{option} makes no difference between {values[0]} and {values[1]}, with batch_size=16: 1 run ")


def test_ordinary_batch_norm_over_two_devices_is_not_one_group_on_each():
    assert warnings({"moco.bn_splits": [1, 2]}, method="moco", devices=2, device="cpu", **{"moco.queue_size": 512}) == []


def test_a_claim_about_a_momentum_is_not_held_against_runs_without_a_momentum_encoder(tmp_path):
    for negatives in ("queue", "batch"):
        axes = {"moco.momentum": [0.5, 0.9, 0.99]}
        experiment = synthetic.store(
            tmp_path, ("moco",), steps=20, name=negatives, axes=axes, **{"moco.negatives": negatives, "batch_size": 64}
        )
        runs = experiment.runs()
        curve = Evidence(ablation.entries(experiment, runs), runs).curve("momentum", "moco", "linear")
        assert {len(places) for places in curve.values()} == ({3} if negatives == "queue" else set())
