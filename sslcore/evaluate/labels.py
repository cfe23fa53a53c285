"""With few labels: the linear probe of h, and fine-tuning of the encoder, at shares of the training labels."""

import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from sslcore.augment import Views
from sslcore.config import Head, RunConfig
from sslcore.datasets import Data, Rows
from sslcore.evaluate.features import features
from sslcore.evaluate.probe import WITHOUT_CHOICE, accuracy
from sslcore.training import Training

DRAWS = {0.01: 5, 0.1: 3, 1.0: 1}  # share of the labels: draws whose accuracies are averaged
EFFICIENCY_PROTOCOL = (
    "the linear probe of h, fitted on a share of the training labels: of each class that share, at least one image; the same "
    "images for every method and seed; mean of 5 draws at 1 % and 3 at 10 %, std over them; lambda chosen on a fifth of each "
    f"class's drawn images (one at least, of two or more; {WITHOUT_CHOICE} where every class has a single image); whole test set"
)
FINE_TUNING_PROTOCOL = (
    "the encoder, and one with the weights that pre-training started from, trained as a classifier with the run's optimizer, "
    "learning-rate rule and augmentations on the first draw of each share of the labels; every training sees as many images, to "
    "within half an epoch on its share; whole test set, after the last step"
)


def draw(labels: np.ndarray, share: float, number: int) -> np.ndarray:
    """Sorted indices of the images whose labels may be used: of each class `share`, at least one.

    It depends on `labels` (N,) alone, so every method and seed gets the same images. A draw's smaller shares are
    part of its larger ones.
    """
    generator = np.random.default_rng(number)
    members = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.sort(np.concatenate([of_class[: max(1, round(share * len(of_class)))] for of_class in members]))


def label_efficiency(
    trained: tuple[Tensor, Tensor, float], untrained: tuple[Tensor, Tensor, float], y: Tensor, y_test: np.ndarray, classes: int
) -> list[dict]:
    """results.json's `label_efficiency`: a row a share of the labels y (N,).

    Of each encoder: (h of train (N, D), h of test (M, D), test accuracy of the probe with all labels).
    """
    rows = []
    labels = y.cpu().numpy()
    for share, draws in DRAWS.items():
        chosen = [torch.from_numpy(draw(labels, share, number)).to(y.device) for number in range(draws)]
        accuracies, at_random = (
            [whole] if share == 1 else [accuracy(h[few], y[few], h_test, y_test, classes) for few in chosen]
            for h, h_test, whole in (trained, untrained)
        )
        spread = statistics.stdev(accuracies) if draws > 1 else None
        rows.append(
            {
                "fraction": share,
                "n": len(chosen[0]),
                "accuracy": statistics.fmean(accuracies),
                "std": spread,
                "draws": draws,
                "random_encoder": statistics.fmean(at_random),
            }
        )
    return rows


# -- Fine-tuning


def fine_tuning(config: RunConfig, data: Data, views: Views, encoder: nn.Module, check: Callable[[], None]) -> list[dict]:
    """results.json's `fine_tuning`: a row a share of the labels. `encoder` stays as it is; `check` is called at every step."""
    rows = []
    labels = np.asarray(data.y_train)
    for share in DRAWS:
        chosen = draw(labels, share, 0)
        if len(chosen) < 2:  # of a single class with images for training
            continue
        few = replace(data, x_train=Rows(data.x_train, chosen), y_train=labels[chosen])
        recipe = supervised(config, len(labels), len(chosen))
        tuned, scratch = (trained(recipe, few, views, start, check) for start in (encoder, None))
        rows.append({"fraction": share, "n": len(chosen), "epochs": recipe.epochs, "accuracy": tuned, "from_scratch": scratch})
    return rows


def supervised(config: RunConfig, of_all: int, images: int) -> RunConfig:
    """The run's own recipe with labels: on `images` images, as many epochs as see what finetune_epochs on all of them see.

    An epoch has whole batches alone, none larger than `images`; what is over is not seen.
    """
    batch_size = min(config.batch_size, images)
    more = (of_all - of_all % config.batch_size) / (images - images % batch_size)  # times as many epochs
    at_a_time = config.micro_batch_size or config.batch_size // config.devices  # of one device
    epochs = max(1, round(config.evaluate.finetune_epochs * more))
    changes = {
        "method": "supervised",
        "devices": 1,
        "head": Head(kind="none"),
        "epochs": epochs,
        "warmup_epochs": config.warmup_epochs / config.epochs * epochs,  # the same share of the training
        "batch_size": batch_size,
        "micro_batch_size": at_a_time if at_a_time < batch_size else None,
    }
    return config.model_copy(update=changes)


def trained(config: RunConfig, data: Data, views: Views, start: nn.Module | None, check: Callable[[], None]) -> float | None:
    """Test accuracy of a classifier trained on `data`, from the encoder `start` or from the weights of config.seed.

    None where its loss became NaN or infinite.
    """
    training = Training(config, data, views.device)
    training.views = views  # normalised by the channels of all training images
    method = training.method
    if start is not None:
        method.encoder.load_state_dict(start.state_dict())
    while training.step < training.total:
        check()
        training.take_step()
    if not training.finite:
        return None
    with torch.no_grad():
        predicted = method.classifier(features(method.encoder, data.x_test, views, training.precision)).argmax(1)
    return float((predicted.cpu().numpy() == np.asarray(data.y_test)).mean())
