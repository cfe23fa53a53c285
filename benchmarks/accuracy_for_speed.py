"""Is accuracy paid for speed? kNN after equal epochs, our path beside the plain one, over seeds.

Ours is what a run does: views of the whole batch at once (`sslcore.augment`), the convolutions of
`sslcore.convolution`, the precision that `auto` picks. The plain path is torchvision's transforms, an image at a
time, torch's own convolutions and float32; once on images of floats, which ours compute in, and once on images of
8 bits, on which each change of colour cuts off what is behind the point. All train the same method with the same
settings from the same weights, on the same images in the same order; only the random views differ, and rounding.
They take turns.

    python -m benchmarks.accuracy_for_speed                            about twenty minutes on two idle cores
    python -m benchmarks.accuracy_for_speed --epochs 1 --seeds 2 --images 128 --batch 32    to see that it runs
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import DEVICE, machine, print_table, seconds
from benchmarks.per_image import torchvision_views
from sslcore import datasets
from sslcore.augment import Views, to_float
from sslcore.config import RunConfig, resolve
from sslcore.convolution import plain
from sslcore.datasets import Data
from sslcore.evaluate.features import features
from sslcore.evaluate.knn import knn_predict
from sslcore.profiling import Aloud
from sslcore.train import make_ready
from sslcore.training import Training, initial

METHODS = ("moco", "simclr", "byol")


class PerImage(Views):
    """Torchvision's view of each image, in 8 bits."""

    def __call__(self, images: Tensor, second: bool = False) -> Tensor:
        return self.each(images.permute(0, 3, 1, 2))

    def each(self, images: Tensor) -> Tensor:
        mean, std = self.mean.flatten().tolist(), self.std.flatten().tolist()
        transform = torchvision_views(images.shape[2], self.settings, mean, std)
        return torch.stack([transform(image) for image in images]).contiguous(memory_format=torch.channels_last)


class PerImageOfFloats(PerImage):
    def __call__(self, images: Tensor, second: bool = False) -> Tensor:
        return self.each(to_float(images))


def ours(config: RunConfig, data: Data) -> Training:
    training = Training(config, data, DEVICE)
    make_ready(training, Aloud())
    return training


def plainly(views: type[PerImage]) -> Callable[[RunConfig, Data], Training]:
    def prepared(config: RunConfig, data: Data) -> Training:
        training = Training(config.model_copy(update={"precision": "float32"}), data, DEVICE)
        plain(training.method)
        training.views.__class__ = views
        return training

    return prepared


PATHS = {"plain, 8 bits": plainly(PerImage), "plain": plainly(PerImageOfFloats), "triptych": ours}


def accuracy(encoder: nn.Module, training: Training, data: Data) -> float:
    """kNN on h of all test images, with the images of the training as neighbours, computed alike for both paths."""
    h, h_test = (features(encoder, x, training.views, torch.float32) for x in (data.x_train, data.x_test))
    settings = training.config.evaluate
    predicted = knn_predict(h, training.labels, h_test, settings.knn_k, settings.knn_temperature, len(data.classes))
    return float((predicted.cpu().numpy() == np.asarray(data.y_test)).mean())


def train(training: Training) -> None:
    while training.step < training.total:
        training.take_step()


def compare(method: str, data: Data, args: argparse.Namespace) -> list[str]:
    """A row of the table."""
    right: dict[str, list[float]] = {name: [] for name in (*PATHS, "untrained")}
    took: dict[str, list[float]] = {name: [] for name in PATHS}
    for seed in range(args.seeds):
        config = resolve(
            {
                "method": method,
                "dataset": args.dataset,
                "encoder": args.encoder,
                "epochs": args.epochs,
                "batch_size": args.batch,
                "seed": seed,
            }
        )
        for name, path in PATHS.items():
            training = path(config, data)
            took[name].append(seconds(lambda training=training: train(training)))
            right[name].append(100 * accuracy(training.method.encoder, training, data))
        untrained = initial(config, len(data.x_train), len(data.classes)).encoder.to(DEVICE)
        right["untrained"].append(100 * accuracy(untrained, training, data))
        said = ", ".join(f"{name} {of_name[-1]:.1f} %" for name, of_name in right.items())
        print(f"{method}, seed {seed}: {said}", file=sys.stderr, flush=True)
    mean = {name: statistics.fmean(of_name) for name, of_name in right.items()}
    spread = {name: statistics.stdev(right[name]) for name in PATHS}
    difference = mean["triptych"] - mean["plain"]
    figures = [f"{mean['untrained']:.1f}", *(f"{mean[name]:.1f} ± {spread[name]:.1f}" for name in PATHS), f"{difference:+.1f}"]
    within = "yes" if abs(difference) <= spread["plain"] else "no"
    return [method, *figures, within, *(f"{statistics.median(took[name]):.1f}" for name in PATHS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="photos", help="any labelled data set that Triptych reads")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--encoder", default="small")
    parser.add_argument("--images", type=int, default=1280, help="to train on, spread over the whole set")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5, help="two or more")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("--seeds: a standard deviation needs two or more")
    data = datasets.load(args.dataset, RunConfig().image_size)
    some = np.unique(np.linspace(0, len(data.x_train) - 1, args.images).astype(int))
    data = replace(data, x_train=np.array(data.x_train[some]), y_train=np.array(data.y_train)[some])
    rows = [compare(method, data, args) for method in args.methods]
    print(machine("torchvision"))
    print_table(
        f"kNN after {args.epochs} epochs of {len(some):,} images of {args.dataset}, %",
        ["method", "untrained", *PATHS, "difference", "within 1 sd", *(f"{name}, s" for name in PATHS)],
        rows,
        f"Mean ± standard deviation over {args.seeds} seeds; {args.encoder} encoder, batch {args.batch}; difference: triptych "
        "less plain; the seconds are a training's median, by the clock.",
    )


if __name__ == "__main__":
    main()
