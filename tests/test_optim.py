import math
import subprocess
import sys
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sslcore.analysis.ablation.rates import OPTIMIZERS
from sslcore.config import RunConfig, resolve
from sslcore.footprint import STATES
from sslcore.optim import LARS, build_optimizer, cosine_momentum, learning_rate, set_learning_rate


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 2))
    return net.to(memory_format=torch.channels_last)  # torch's kernels on a CPU go by memory, whatever the shapes say


@given(total=st.integers(1, 500), warmup=st.floats(0, 600), peak=st.floats(1e-4, 10))
def test_the_learning_rate_rises_once_to_its_peak_and_falls_towards_zero(total, warmup, peak):
    rates = [learning_rate(step, total, warmup, peak) for step in range(total)]
    top = rates.index(max(rates))
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) > 0.5 * peak  # even where the warm-up asked for is longer than the training
    assert learning_rate(total, total, warmup, peak) == pytest.approx(0, abs=1e-9)


def test_the_learning_rate_follows_the_batch_size():
    assert RunConfig(learning_rate=0.3, batch_size=1024, lr_scaling="linear").peak_learning_rate == pytest.approx(1.2)
    assert RunConfig(learning_rate=0.3, batch_size=1024, lr_scaling="sqrt").peak_learning_rate == pytest.approx(0.6)
    assert RunConfig(learning_rate=0.3, batch_size=1024, lr_scaling="none").peak_learning_rate == pytest.approx(0.3)


def test_byols_momentum_is_its_formula():
    assert cosine_momentum(0, 100, 0.99) == pytest.approx(0.99)
    assert cosine_momentum(50, 100, 0.99) == pytest.approx(1 - 0.01 * (math.cos(math.pi / 2) + 1) / 2)
    assert cosine_momentum(100, 100, 0.99) == 1
    assert {cosine_momentum(step, 100, 0) for step in range(101)} == {0}, "a copy stays one (Table 5)"


def test_every_optimizer_that_can_be_chosen_is_itself_and_known_wherever_one_is_told_of():
    choices = get_args(RunConfig.model_fields["optimizer"].annotation)
    built = {name: type(build_optimizer(torch.nn.Linear(2, 2), RunConfig(optimizer=name))).__name__ for name in choices}
    assert built == OPTIMIZERS and STATES.keys() == built.keys()
    with pytest.raises(NotImplementedError, match="adam"):
        build_optimizer(torch.nn.Linear(2, 2), RunConfig.model_construct(optimizer="adam"))


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
def test_biases_and_batch_norm_take_no_weight_decay(name):
    """With no gradient from the loss, only what decays moves."""
    net = network()
    before = [p.clone() for p in net.parameters()]
    optimizer = build_optimizer(net, RunConfig(optimizer=name, learning_rate=0.1, weight_decay=0.1, lr_scaling="none"))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for old, new in zip(before, net.parameters()):
        assert torch.equal(old, new) == (old.ndim == 1)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_optimizers_are_torchs_to_the_bit(name):
    ours, theirs = network(), network()
    optimizer = build_optimizer(ours, RunConfig(optimizer=name, learning_rate=0.1, weight_decay=0.1, lr_scaling="none"))
    base = type(optimizer).__mro__[2]
    assert base in (torch.optim.SGD, torch.optim.AdamW)
    plain = base(
        [
            {"params": [p for p in theirs.parameters() if (p.ndim > 1) == group["adapt"]], **settings(group)}
            for group in optimizer.param_groups
        ]
    )
    for step in range(4):
        for net, of in ((ours, optimizer), (theirs, plain)):
            of.zero_grad()
            torch.manual_seed(step)
            net(torch.randn(8, 3, 5, 5)).square().sum().backward()
            of.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters()))
    plain.load_state_dict(optimizer.state_dict())
    optimizer.load_state_dict(plain.state_dict())
    assert not any(p.requires_grad and optimizer.state[p] == {} for p in ours.parameters())


def settings(group: dict) -> dict:
    return {name: value for name, value in group.items() if name not in ("params", "adapt")}


def test_a_training_of_the_small_encoder_needs_neither_torchs_compiler_nor_torchvision_nor_scipys_statistics():
    """Each takes one or two seconds to import."""
    code = """if True:
        import sys, numpy, torch, sslcore.stages
        from sslcore.config import RunConfig
        from sslcore.encoders import build_encoder
        from sslcore.evaluate.probe import minimise, score
        from sslcore.flops import Counter
        from sslcore.optim import build_optimizer
        net = build_encoder("small", 16)
        for name in ("sgd", "lars", "adamw"):
            optimizer = build_optimizer(net, RunConfig(optimizer=name))
            optimizer.zero_grad()
            net(torch.randn(2, 3, 16, 16)).sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        minimise(torch.randn(8, 3), torch.arange(8) % 2, 2, 0.1)
        score(numpy.array([0, 1]), numpy.array([0, 1]), ("a", "b"))
        with Counter():
            net(torch.randn(2, 3, 16, 16)).sum().backward()
        print(*{"torch._dynamo", "torchvision", "scipy.stats", "sympy", "sklearn", "umap", "pandas"} & set(sys.modules))
    """
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_of_a_papers_learning_rate_for_lars_a_twentieth_makes_the_papers_step():
    """SimCLR's and BYOL's code: trust 0.001. At a constant rate it does not matter that SimCLR has it in the velocity."""
    w = nn.Parameter(torch.randn(5, 3, dtype=torch.float64))
    module = nn.ParameterList([w])
    optimizer = build_optimizer(module, RunConfig(optimizer="lars", learning_rate=4.8 / 20, weight_decay=0.1, lr_scaling="none"))
    expected, velocity = w.detach().clone(), torch.zeros(5, 3, dtype=torch.float64)
    for _ in range(4):
        w.grad = torch.randn(5, 3, dtype=torch.float64)
        g = w.grad + 0.1 * expected
        velocity = 0.9 * velocity + 4.8 * 0.001 * expected.norm() / g.norm() * g
        expected = expected - velocity
        optimizer.step()
    torch.testing.assert_close(w.detach(), expected)


def test_lars_is_algorithm_1_and_leaves_vectors_to_plain_momentum():
    w, b = nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(5))
    optimizer = LARS(
        [{"params": [w], "weight_decay": 0.1, "adapt": True}, {"params": [b], "adapt": False}], lr=0.5, momentum=0.9, trust=0.02
    )
    expected_w, expected_b = w.detach().double().clone(), b.detach().double().clone()
    v_w, v_b = torch.zeros_like(expected_w), torch.zeros_like(expected_b)
    for _ in range(4):
        w.grad, b.grad = torch.randn(5, 3), torch.randn(5)
        g = w.grad.double() + 0.1 * expected_w
        v_w = 0.9 * v_w + 0.02 * expected_w.norm() / g.norm() * g
        v_b = 0.9 * v_b + b.grad.double()
        expected_w, expected_b = expected_w - 0.5 * v_w, expected_b - 0.5 * v_b
        optimizer.step()
    torch.testing.assert_close(w.detach().double(), expected_w, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(b.detach().double(), expected_b, atol=1e-5, rtol=1e-5)


def test_lars_moves_a_layer_of_zeros_by_its_gradient_and_not_one_whose_gradient_is_zero():
    """Of neither is there a ratio of lengths: 0 would hold the first for ever, and 0 / 0 make NaN of the second."""
    zeros, ones = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    for layer, weight, gradient in ((zeros, 0.0, 0.5), (ones, 1.0, 0.0)):
        nn.init.constant_(layer.weight, weight)
        layer.weight.grad = torch.full((2, 2), gradient)
    build_optimizer(
        nn.Sequential(zeros, ones), RunConfig(optimizer="lars", lr_scaling="none", learning_rate=0.1, weight_decay=0)
    ).step()
    torch.testing.assert_close(zeros.weight.detach(), torch.full((2, 2), -0.05))
    assert torch.equal(ones.weight, torch.ones(2, 2))


@pytest.mark.parametrize("name", ["sgd", "lars"])
def test_a_rate_that_is_set_is_that_of_weights_and_of_biases(name):
    net = network()
    optimizer = build_optimizer(net, RunConfig(optimizer=name, learning_rate=0.1, weight_decay=0, lr_scaling="none"))
    before = [p.detach().clone() for p in net.parameters()]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    set_learning_rate(optimizer, 0.0)
    optimizer.step()
    assert all(map(torch.equal, before, net.parameters()))


def test_adamw_is_pytorchs_with_its_usual_betas():
    made = build_optimizer(torch.nn.Linear(3, 2), resolve({"optimizer": "adamw", "weight_decay": 0.1}))
    usual = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).defaults
    assert all((group["betas"], group["eps"]) == (usual["betas"], usual["eps"]) for group in made.param_groups)
