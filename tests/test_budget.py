"""Operations against a count by hand; reading runs at one budget; the Pareto line."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from sslcore import datasets
from sslcore.analysis.budget import common, pareto, read
from sslcore.config import resolve
from sslcore.convolution import plain
from sslcore.flops import flops_per_image
from sslcore.methods import METHODS
from sslcore.training import Training

BATCH, DIM, HIDDEN, Z, KEYS = 8, 64, 32, 16, 40


class OneLayer(torch.nn.Module):
    """An encoder whose operations can be counted by hand: 3 S S numbers -> DIM."""

    dim = DIM

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3 * 16 * 16, DIM)

    def forward(self, x):
        return self.layer(x.flatten(1))


def training(method: str, monkeypatch, shapes, **settings) -> Training:
    monkeypatch.setattr("sslcore.methods.base.build_encoder", lambda *_: OneLayer())
    head = {"head.hidden": HIDDEN, "head.dim": Z, "moco.queue_size": KEYS}
    config = resolve({"method": method, "dataset": shapes, "image_size": 16, "batch_size": BATCH, **head, **settings})
    return Training(config, datasets.load(shapes, 16), torch.device("cpu"))


def product(n: int, inner: int, m: int) -> int:
    return 2 * n * inner * m  # a multiply-add is 2


ENCODER, HEAD = product(1, 3 * 16 * 16, DIM), product(1, DIM, HIDDEN) + product(1, HIDDEN, Z)  # forward, a view


def trained(layers: int) -> int:
    """Forward, and as much again for the gradient by the weights and by the input; the images need none."""
    return 3 * layers


def test_operations_are_those_counted_by_hand(monkeypatch, shapes):
    a_view = trained(ENCODER) - ENCODER + trained(HEAD)
    simclr = 2 * a_view + 3 * product(2 * BATCH, Z, 2 * BATCH) / BATCH  # z zᵀ, and its gradient by both
    assert flops_per_image(training("simclr", monkeypatch, shapes)) == simclr
    moco = a_view + ENCODER + HEAD + 2 * product(1, Z, KEYS)  # the keys get no gradient
    assert flops_per_image(training("moco", monkeypatch, shapes)) == moco
    supervised = trained(ENCODER) - ENCODER + trained(product(1, DIM, 3))
    assert flops_per_image(training("supervised", monkeypatch, shapes, **{"head.kind": "none"})) == supervised


@pytest.mark.parametrize("method", METHODS)
def test_operations_are_those_of_pytorchs_counter(method, shapes):
    config = resolve(
        {"method": method, "dataset": shapes, "image_size": 16, "batch_size": BATCH, "encoder": "resnet18", "head.hidden": 8}
    )
    run = Training(config, datasets.load(shapes, 16), torch.device("cpu"))
    counted = flops_per_image(run)
    run.method = plain(run.method)
    with run.rehearsal() as (images, batch):
        view = run.views.plain(images)
        with FlopCounterMode(display=False) as counter:
            run.backward(view, view, batch)
    assert counted == counter.get_total_flops() / BATCH


def test_micro_batches_cost_another_forward_pass(monkeypatch, shapes):
    whole = flops_per_image(training("simclr", monkeypatch, shapes))
    assert flops_per_image(training("simclr", monkeypatch, shapes, micro_batch_size=2)) == whole + 2 * (ENCODER + HEAD)


@pytest.mark.parametrize("settings", [{"method": "byol"}, {"method": "moco", "moco.negatives": "memory_bank"}])
def test_counting_leaves_the_training_as_it_was(shapes, settings):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": BATCH, **settings})
    run = Training(config, datasets.load(shapes, 16), torch.device("cpu"))
    before = {name: value.clone() for name, value in run.method.state_dict().items()}
    assert flops_per_image(run) > 0
    assert all(torch.equal(value, before[name]) for name, value in run.method.state_dict().items())
    assert all(parameter.grad is None for parameter in run.method.parameters())


# -- At one budget


def test_a_curve_is_read_at_its_last_value_within_the_budget():
    x, y = np.array([1.0, 2, 3, 4]), np.array([0.1, np.nan, 0.3, 0.4])
    assert read(x, y, 3.9) == 0.3
    assert read(x, y, 3.0) == 0.3  # at the budget itself: there the run ends that spent least
    assert read(x, y, 2.0) == 0.1  # nothing was measured at 2
    assert read(x, y, 99) == 0.4  # the end, not a guess beyond it
    assert read(x, y, 0.5) is None


def test_the_common_budget_is_the_cheapest_runs():
    assert common([np.array([1.0, 5.0]), np.array([1.0, 3.0, np.nan])]) == 3.0
    assert common([np.array([1.0]), np.array([np.nan])]) is None
    assert common([]) is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_pareto_line_is_what_nothing_beats(points):
    cost, worth = np.array(points, float).T
    front = pareto(cost, worth)
    beaten = [
        any((c <= cost[k] and w >= worth[k]) and (c < cost[k] or w > worth[k]) for c, w in points) for k in range(len(points))
    ]
    assert {points[k] for k in front} == {point for point, lost in zip(points, beaten) if not lost}
    assert np.all(np.diff(cost[front]) > 0) and np.all(np.diff(worth[front]) > 0)
