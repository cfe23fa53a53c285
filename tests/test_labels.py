"""With few labels: draws that every run shares, the probe on them, and fine-tuning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from dashboard.figures import labels as figures
from sslcore import datasets
from sslcore.augment import Views
from sslcore.config import resolve
from sslcore.encoders import build_encoder
from sslcore.evaluate import labels as labels_module
from sslcore.evaluate.labels import DRAWS, draw, fine_tuning, label_efficiency, supervised
from sslcore.training import Training


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.sampled_from(list(DRAWS)), st.integers(0, 4))
@example([0] * 19, 0.1, 0)
def test_a_draw_is_stratified_without_repeats_and_the_smaller_is_within_the_larger(labels, share, number):
    labels = np.array(labels)
    chosen = draw(labels, share, number)
    assert len(set(chosen.tolist())) == len(chosen)
    for label in np.unique(labels):
        of_class = int((labels == label).sum())
        assert (labels[chosen] == label).sum() == max(1, round(share * of_class))
    assert set(chosen) <= set(draw(labels, 1.0, number).tolist())
    assert set(draw(labels, 0.01, number).tolist()) <= set(chosen) or share < 0.01
    assert np.array_equal(chosen, draw(labels, share, number))


def test_draws_differ():
    labels = np.arange(200) % 2
    assert not np.array_equal(draw(labels, 0.1, 0), draw(labels, 0.1, 1))


def test_more_labels_tell_more_and_noise_stays_at_chance():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(1000) % 4
    centres = torch.randn(4, 20, generator=generator)
    h = centres[y] + 1.5 * torch.randn(1000, 20, generator=generator)
    noise = torch.randn(1000, 20, generator=generator)
    rows = label_efficiency((h[:800], h[800:], 0.9), (noise[:800], noise[800:], 0.25), y[:800], y[800:].numpy(), 4)
    assert [row["fraction"] for row in rows] == [0.01, 0.1, 1.0] and [row["n"] for row in rows] == [8, 80, 800]
    assert rows[0]["accuracy"] < rows[1]["accuracy"] and rows[0]["std"] > 0
    assert rows[2] == {"fraction": 1.0, "n": 800, "accuracy": 0.9, "std": None, "draws": 1, "random_encoder": 0.25}
    assert all(abs(row["random_encoder"] - 0.25) < 0.12 for row in rows)


def test_with_few_labels_mean_and_sample_deviation_are_over_draws_of_different_images(monkeypatch):
    seen, told = [], iter([0.1, 0.2, 0.3, 0.4, 0.6, 0.01, 0.03, 0.05, 0.07, 0.09, 0.5, 0.6, 0.8, 0.2, 0.25, 0.3])
    monkeypatch.setattr(labels_module, "accuracy", lambda h, *rest: seen.append(tuple(h[:, 0].tolist())) or next(told))
    h, y = torch.arange(300.0).unsqueeze(1), torch.arange(300) % 2
    few, more, _ = label_efficiency((h, h, 0.9), (h, h, 0.3), y, np.zeros(300), 2)
    assert (few["accuracy"], more["accuracy"]) == pytest.approx((0.32, 1.9 / 3))
    assert (few["std"], more["std"]) == pytest.approx(
        (np.std([0.1, 0.2, 0.3, 0.4, 0.6], ddof=1), np.std([0.5, 0.6, 0.8], ddof=1))
    )
    assert (few["random_encoder"], more["random_encoder"]) == pytest.approx((0.05, 0.25))
    assert len(set(seen)) == 8 and seen[:5] == seen[5:10], "both encoders are asked on the same draws"


def test_fine_tuning_normalises_by_the_channels_of_all_training_images(shapes, monkeypatch):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 16, "evaluate.finetune_epochs": 1, "device": "cpu"})
    views, seen, step = Views(config.augment, [0.5] * 3, [0.25] * 3), [], Training.take_step
    monkeypatch.setattr(Training, "take_step", lambda training: seen.append(training.views) or step(training))
    fine_tuning(config, datasets.load(shapes, 16), views, build_encoder("small", 16), lambda: None)
    assert seen and all(used is views for used in seen)


def test_fine_tuning_leaves_the_encoder_as_it_is_and_sees_as_many_images_at_every_share(shapes):
    config = resolve(
        {
            "dataset": shapes,
            "image_size": 16,
            "batch_size": 16,
            "epochs": 1,
            "evaluate.finetune_epochs": 2,
            "precision": "float32",
        }
    )
    data = datasets.load(shapes, 16)
    encoder = build_encoder("small", 16)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    steps = []
    rows = fine_tuning(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), encoder, lambda: steps.append(1))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert [row["n"] for row in rows] == [3, 9, 96] and steps
    assert all(row["n"] * row["epochs"] == pytest.approx(2 * 96, rel=0.1) for row in rows)
    assert all(0 <= row[name] <= 1 for row in rows for name in ("accuracy", "from_scratch"))


def test_fine_tuning_has_the_labels_that_the_probe_has_in_its_first_draw(monkeypatch, shapes):
    data, config = datasets.load(shapes, 16), resolve({"dataset": shapes, "image_size": 16, "batch_size": 16})
    seen = []
    monkeypatch.setattr(labels_module, "trained", lambda recipe, few, views, start, check: seen.append((few, start)) or 0.5)
    encoder = build_encoder("small", 16)
    fine_tuning(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), encoder, lambda: None)
    for share, (tuned, scratch) in zip(DRAWS, zip(seen[::2], seen[1::2]), strict=True):
        chosen = draw(data.y_train, share, 0)
        for few, _ in (tuned, scratch):
            assert np.array_equal(few.y_train, data.y_train[chosen])
            assert np.array_equal(np.asarray(few.x_train), data.x_train[chosen])
        assert tuned[1] is encoder and scratch[1] is None


def test_a_share_of_a_single_image_is_not_fine_tuned(shapes):
    """Of one class with training images, 1 % may be an image, of which BatchNorm has no statistics."""
    data = datasets.load(shapes, 16)
    data = replace(data, x_train=data.x_train[:40], y_train=np.zeros(40, np.int64))
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 16, "evaluate.finetune_epochs": 1})
    rows = fine_tuning(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), build_encoder("small", 16), lambda: None)
    assert [row["n"] for row in rows] == [4, 40]


def test_a_fine_tuning_that_diverges_has_no_accuracy(shapes):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 16, "evaluate.finetune_epochs": 1})
    encoder = build_encoder("small", 16)
    with torch.no_grad():
        encoder.conv1.weight[0] = torch.nan
    views = Views(config.augment, [0.5] * 3, [0.25] * 3)
    rows = fine_tuning(config, datasets.load(shapes, 16), views, encoder, lambda: None)
    assert all(row["accuracy"] is None and 0 <= row["from_scratch"] <= 1 for row in rows)


@given(of_all=st.integers(2, 3000), batch=st.integers(2, 400), epochs=st.integers(1, 20), share=st.sampled_from(list(DRAWS)))
def test_every_fine_tuning_sees_as_many_images_though_an_epoch_leaves_some_over(of_all, batch, epochs, share):
    """Of 500 images a batch of 256 takes half an epoch's: with as many epochs as labels are fewer, half as many would be seen."""
    config = resolve({"batch_size": min(batch, of_all), "evaluate.finetune_epochs": epochs, "warmup_epochs": 0.5})
    images = max(2, round(share * of_all))
    recipe = supervised(config, of_all, images)
    of_an_epoch = images // recipe.batch_size * recipe.batch_size
    all_of_an_epoch = of_all // config.batch_size * config.batch_size
    assert abs(recipe.epochs * of_an_epoch - epochs * all_of_an_epoch) <= of_an_epoch / 2
    assert recipe.warmup_epochs / recipe.epochs == pytest.approx(0.5 / config.epochs), "its warm-up is the same share of it"


def test_fine_tuning_keeps_the_runs_recipe_but_for_the_labels():
    config = resolve({"method": "moco", "batch_size": 64, "micro_batch_size": 8, "evaluate.finetune_epochs": 3})
    recipe = supervised(config, 640, 20)
    assert (recipe.method, recipe.batch_size, recipe.epochs, recipe.micro_batch_size) == ("supervised", 20, 96, 8)
    alone = supervised(resolve({"batch_size": 64, "devices": 4}), 64, 64)
    assert (alone.devices, alone.micro_batch_size) == (1, 16), "one device sees no more at a time than it did"
    assert supervised(resolve({"batch_size": 64}), 64, 20).micro_batch_size is None
    assert (recipe.learning_rate, recipe.optimizer, recipe.augment) == (config.learning_rate, config.optimizer, config.augment)


def test_two_seeds_that_agree_have_no_spread_over_draws():
    rows = [
        {"run": str(seed), "label": "BYOL", "method": "byol", "seed": seed, "dataset": "photos", "encoder": "small"}
        for seed in (0, 1)
    ]
    entry = {"fraction": 0.01, "accuracy": 0.5, "std": 0.1, "n": 5, "random_encoder": 0.4}
    figure = figures.few_labels(rows, {row["run"]: {"label_efficiency": [entry]} for row in rows}, "label_efficiency")
    (line,) = (trace for trace in figure.data if trace.name == "BYOL")
    assert list(line.error_y.array) == [0.0]


def test_every_seed_is_fine_tuned_on_the_same_labels(monkeypatch, shapes):
    data = datasets.load(shapes, 16)
    monkeypatch.setattr(labels_module, "trained", lambda config, few, *rest: np.asarray(few.x_train).sum())
    of_seed = [
        fine_tuning(
            resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "seed": seed, "evaluate.finetune_epochs": 1}),
            data,
            None,
            None,
            lambda: None,
        )
        for seed in (0, 1)
    ]
    assert of_seed[0] == of_seed[1]
