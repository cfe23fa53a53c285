"""h against z: probes that find what is there, and say chance where nothing is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sslcore import checkpoint, datasets
from sslcore.augment import Views
from sslcore.config import resolve
from sslcore.encoders import build_encoder
from sslcore.evaluate.final import FinalEvaluation
from sslcore.evaluate.heads import OF_COLOUR, OF_ORIENTATION, changed, forgets, project, restore_head
from sslcore.training import initial
from tests.training.small import make_run, train

CPU = torch.device("cpu")


class Pixels(nn.Module):
    """h is the image in the small: mean colours of the four quarters, and how far the channels differ."""

    def forward(self, x):
        return torch.cat([nn.functional.adaptive_avg_pool2d(x, 2).flatten(1), (x[:, :1] - x).abs().mean((2, 3))], 1)


def views() -> Views:
    return Views(resolve({}).augment, [0.5] * 3, [0.25] * 3)


def test_a_head_that_drops_colour_has_forgotten_it():
    data = datasets.load("photos", 16)
    told = forgets(Pixels(), nn.Identity(), data, 1000, views(), torch.float32)
    assert told["grayscale"]["h"] > 0.7 and told["grayscale"]["z"] == told["grayscale"]["h"]
    blind = nn.Linear(15, 4)
    nn.init.zeros_(blind.weight)
    told = forgets(Pixels(), blind, data, 1000, views(), torch.float32)
    assert set(told) == {*OF_COLOUR, *OF_ORIENTATION}
    for task in told.values():
        assert task["z"] == pytest.approx(task["chance"], abs=0.02)


def test_images_without_colour_are_asked_for_no_colour():
    data = datasets.load("digits", 8)
    told = forgets(nn.Flatten(), nn.Identity(), data, 600, views(), torch.float32)
    assert set(told) == set(OF_ORIENTATION) and told["rotation"]["h"] > 0.5


@pytest.mark.parametrize("changes", [*OF_COLOUR.values(), *OF_ORIENTATION.values()])
def test_changes_stay_images_and_differ(changes):
    x = torch.rand(3, 3, 8, 8)
    changed = [change(x) for change in changes]
    assert all(c.shape == x.shape and 0 <= c.min() and c.max() <= 1 for c in changed)
    assert all(not torch.allclose(a, b) for i, a in enumerate(changed) for b in changed[:i])
    assert torch.equal(changed[0], x)


def test_each_change_is_what_the_protocol_calls_it():
    red = torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    half, saturated, turned = (change(red)[0, :, 0, 0] for change in OF_COLOUR["colour"][1:])
    gray = 0.2989 * 0.8 + (0.587 + 0.114) * 0.2
    torch.testing.assert_close(half, torch.tensor([0.4, 0.1, 0.1]))
    torch.testing.assert_close(saturated, (2 * torch.tensor([0.8, 0.2, 0.2]) - gray).clamp(0, 1), atol=1e-4, rtol=0)
    torch.testing.assert_close(turned, torch.tensor([0.2, 0.8, 0.8]))  # cyan
    torch.testing.assert_close(OF_COLOUR["grayscale"][1](red), torch.full((1, 3, 2, 2), gray), atol=1e-4, rtol=0)
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(1, 3, 2, 2)
    assert OF_ORIENTATION["flip"][1](x)[0, 0].flatten().tolist() == pytest.approx([0.2, 0.1, 0.4, 0.3])  # left and right
    rotated = [change(x)[0, 0].flatten().tolist() for change in OF_ORIENTATION["rotation"]]
    quarters = [[0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.1, 0.3], [0.4, 0.3, 0.2, 0.1], [0.3, 0.1, 0.4, 0.2]]
    assert rotated == [pytest.approx(quarter) for quarter in quarters]


def test_every_image_is_changed_as_is_told_of_it_however_they_are_batched(monkeypatch):
    monkeypatch.setattr("sslcore.evaluate.features.BATCH", 7)
    changes, images = (lambda x: x, lambda x: x * 0), np.full((20, 4, 4, 3), 200, np.uint8)
    (h, way), (_, again) = (changed(nn.Flatten(), images, changes, views(), torch.float32) for _ in range(2))
    black = -2.0  # once it is normalised
    assert torch.equal((h == black).all(1), way == 1) and torch.equal((h > black).all(1), way == 0)
    assert torch.equal(way, again) and way.bincount().tolist() == [10, 10]
    assert way.tolist() not in ([0, 1] * 10, [1, 0] * 10), "classes may take turns, and are no change"


def test_what_is_forgotten_is_learnt_on_training_images_and_asked_of_test_images():
    data = datasets.load("digits", 8)
    told = forgets(nn.Flatten(), nn.Identity(), data, 1500, views(), torch.float32)
    test = len(data.x_test)
    assert test < 750 and all((task["n_train"], task["n_test"]) == (1500 - test, test) for task in told.values())


class Noise(nn.Module):
    """h has nothing to do with the image, and so many coordinates that a probe learns any of them by heart."""

    def forward(self, x):
        return torch.randn(len(x), 1000)


def test_what_is_learnt_by_heart_is_no_knowledge():
    told = forgets(Noise(), nn.Identity(), datasets.load("digits", 8), 600, views(), torch.float32)
    assert all(task["h"] == pytest.approx(task["chance"], abs=0.12) for task in told.values())


def test_colour_is_asked_of_images_that_have_some():
    data = datasets.load("digits", 8)
    few = replace(data, x_train=data.x_train[:40].copy(), x_test=data.x_test[:20], y_train=None, y_test=None, classes=())
    few.x_train[[3, 5, 8, 9], 0, 0, 2] ^= 255  # their blue alone
    assert set(forgets(nn.Flatten(), nn.Identity(), few, 60, views(), torch.float32)) == {*OF_ORIENTATION}
    few = replace(few, x_test=few.x_test.copy())
    few.x_test[[0, 1, 2], 7, 7, 0] ^= 255
    told = forgets(nn.Flatten(), nn.Identity(), few, 60, views(), torch.float32)
    assert {task: (of["n_train"], of["n_test"]) for task, of in told.items()} == (
        dict.fromkeys(OF_COLOUR, (4, 3)) | dict.fromkeys(OF_ORIENTATION, (40, 20))
    )


def test_chance_is_what_one_gets_who_always_says_the_commonest_change():
    data = datasets.load("digits", 8)
    few = replace(data, x_train=data.x_train[:40], y_train=data.y_train[:40], x_test=data.x_test[:5], y_test=data.y_test[:5])
    told = forgets(nn.Flatten(), nn.Identity(), few, 45, views(), torch.float32)
    assert {task: told[task]["chance"] for task in told} == {"rotation": 2 / 5, "flip": 3 / 5}


def test_the_classes_are_read_from_what_the_head_says(shapes):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "evaluate.labels": False, "evaluate.sample": 32})
    evaluation = FinalEvaluation(config, datasets.load(shapes, 16), views(), torch.float32)
    torch.manual_seed(0)
    encoder, silent = build_encoder("small", 16), nn.Linear(256, 8)
    nn.init.zeros_(silent.weight)
    heads = evaluation.results(encoder, encoder, silent)[0]["heads"]["linear"]
    assert heads["h"] > 0.6 and heads["z"] == pytest.approx(1 / 3, abs=0.01), "a silent head leaves chance"


@pytest.mark.parametrize("kind", ["mlp", "linear", "none"])
def test_encoder_and_head_stay_bit_identical_and_z_is_measured(shapes, kind):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "head.kind": kind, "evaluate.sample": 64})
    data = datasets.load(shapes, 16)
    method = initial(config, len(data.x_train), len(data.classes)).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    evaluation = FinalEvaluation(config, data, views(), torch.float32)
    results, _, _ = evaluation.results(method.encoder, build_encoder("small", 16), method.head)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert method.encoder.training and method.head.training
    heads = results["heads"]
    assert all(task["n_train"] + task["n_test"] == 64 for task in heads["forgets"].values()), "the fixed evaluation sample"
    assert heads["linear"]["h"] == results["linear"]["accuracy"]
    assert (heads["linear"]["z"] == heads["linear"]["h"]) or kind != "none"
    assert results["label_efficiency"][-1]["accuracy"] == results["linear"]["accuracy"]


def test_the_trained_head_comes_back_from_the_checkpoint(shapes):
    run = make_run("r", shapes, method="simclr")
    fresh = initial(run.config, 96, 3).head
    trained = train(run).method.head
    h = torch.randn(4, 256)
    assert not torch.equal(project(fresh, h), project(trained, h))
    restore_head(fresh, checkpoint.read(run)[0]["method"])
    assert torch.equal(project(fresh, h), project(trained, h))
    assert not project(trained, h).requires_grad
    for training in (True, False):
        project(fresh.train(training), h)
        assert fresh.training == training, "its mode is untouched"
