"""Compiled networks compute what they computed before, under the same names; a compiler that fails does not fail a run."""

import shutil
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sslcore import compiling, datasets, recording
from sslcore.config import ConfigError, resolve
from sslcore.methods import base
from sslcore.train import pretrain
from sslcore.training import Training
from sslcore.worker import Pulse
from tests.training.small import make_run, train

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")


class Said:
    """A pulse that keeps what is said."""

    def __init__(self):
        self.warnings: list[str] = []

    def say(self, words: str) -> None:
        pass

    def warn(self, words: str) -> None:
        self.warnings.append(words)


def tiny_encoder(name, image_size, norm) -> nn.Module:
    layers = {
        "conv1": nn.Conv2d(3, 8, 3, stride=4, bias=False),
        "bn1": norm(8),
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
    }
    encoder = nn.Sequential(OrderedDict(layers))
    encoder.dim = 8
    return encoder


@pytest.fixture
def tiny(monkeypatch, shapes):
    """Two trainings of one config, to compile one of."""
    monkeypatch.setattr(base, "build_encoder", tiny_encoder)

    def pair(**settings) -> tuple[Training, Training]:
        size = {"image_size": 16, "batch_size": 16, "head.hidden": 16, "head.dim": 8}
        config = resolve({"dataset": shapes, **size, "compile": "on", "precision": "float32", **settings})
        return tuple(Training(config, datasets.load(shapes, 16), CPU) for _ in range(2))

    yield pair
    torch.compiler.reset()
    torch.compiler.set_stance("default")


@needs_compiler
@pytest.mark.parametrize("settings", [{"method": "simclr", "micro_batch_size": 8}, {"method": "byol"}], ids=lambda s: s["method"])
def test_a_compiled_step_has_the_loss_the_gradient_and_the_names_of_a_plain_one(tiny, settings):
    plain, compiled = tiny(**settings)
    said = Said()
    compiling.compile_networks(compiled, said)
    assert said.warnings == [] and compiled.compiled
    weights = compiled.method.state_dict()
    assert list(weights) == list(plain.method.state_dict())
    # Trying it out changed nothing.
    assert all(torch.equal(value, weights[name]) for name, value in plain.method.state_dict().items())
    for _ in range(2):
        (loss, z), (expected, expected_z) = compiled.take_step(), plain.take_step()
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(z, expected_z, atol=1e-4, rtol=1e-4)
        for ours, theirs in zip(compiled.method.parameters(), plain.method.parameters()):
            assert (ours.grad is None) == (theirs.grad is None)
            if ours.grad is not None:
                torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)
        plain.method.load_state_dict(compiled.method.state_dict())  # rounding is not to add up
    with torch.no_grad():  # whoever evaluates sees the plain network
        h = compiled.method.encoder.eval()(torch.ones(3, 3, 16, 16))
        assert torch.equal(h, plain.method.encoder.eval()(torch.ones(3, 3, 16, 16)))


def test_a_compiler_that_fails_is_told_in_words_and_the_run_is_the_same_without_it(shapes, monkeypatch):
    def broken(network, **_):
        raise RuntimeError("no compiler here\nand much more")

    plain, unlucky = make_run("plain", shapes, compile="off", epochs=1), make_run("unlucky", shapes, compile="on", epochs=1)
    expected = train(plain).method.state_dict()
    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    data = datasets.load(shapes, 16)
    training = Training(unlucky.config, data, CPU)
    pretrain(training, data, unlucky, Pulse(unlucky))
    (warning,) = unlucky.recorded_status().warnings
    assert "torch.compile failed (RuntimeError: no compiler here)" in warning and "goes on without it" in warning
    assert unlucky.environment()["compiled"] is False
    assert all(torch.equal(value, training.method.state_dict()[name]) for name, value in expected.items())


@pytest.mark.parametrize(
    ("settings", "device", "steps", "expected"),
    [
        ({}, "cuda", 5_000, True),
        ({}, "cuda", 4_999, False),
        ({}, "cpu", 100_000, False),
        ({"compile": "off"}, "cuda", 100_000, False),
        ({"compile": "on"}, "cpu", 5, True),
        ({"devices": 2}, "cuda", 100_000, False),
        ({"method": "moco"}, "cuda", 100_000, True),
        ({"encoder": "small"}, "cuda", 100_000, False),
    ],
)
def test_auto_compiles_long_runs_on_one_gpu(tiny, monkeypatch, settings, device, steps, expected):
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: object())
    training, _ = tiny(**{"compile": "auto", "encoder": "resnet18"} | settings)
    asked = SimpleNamespace(config=training.config, device=torch.device(device), total=steps)
    assert compiling.wanted(asked) is expected


@pytest.mark.parametrize(
    ("settings", "device", "expected"),
    [
        ({}, "cuda", True),
        ({"compile": "on"}, "cuda", True),
        ({"compile": "off"}, "cuda", False),
        ({"compile": "on"}, "cpu", False),
    ],
)
def test_a_step_is_recorded_on_a_gpu_unless_all_is_left_to_python(settings, device, expected):
    asked = SimpleNamespace(config=resolve(settings), device=torch.device(device))
    assert recording.wanted(asked) is expected


def test_compiling_on_several_devices_is_refused_by_name():
    with pytest.raises(ConfigError, match="devices: must be 1 with compile=on"):
        resolve({"compile": "on", "devices": 2})
