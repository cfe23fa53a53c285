"""Images a second in training: ours against lightly's own recipe, side by side.

Both train the same encoder with heads of the same widths, the same augmentation
settings and the same batch on the same images. Lightly's side is its
documentation's: its transform an image in a DataLoader with a worker a core, its
losses and heads, SGD, and its loop. Ours is `sslcore.training.Training.take_step`, on a GPU (elsewhere with --compiled) as
a short run takes it and compiled, as one of `sslcore.compiling.LONG` steps does there. Each has a process of its own.
"""

import argparse
import copy
import os
from collections.abc import Callable

import numpy as np
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import MoCoV2Transform
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import DEVICE, PROCESSOR_TIME, Apart, clock_of, machine, print_table, take_turns
from sslcore import datasets
from sslcore.config import RunConfig, resolve
from sslcore.convolution import plain
from sslcore.encoders import build_encoder
from sslcore.profiling import Aloud
from sslcore.train import make_ready
from sslcore.training import Training, named, pick_precision

METHODS = ("moco", "simclr", "byol")


def config_of(method: str, encoder: str, batch: int) -> RunConfig:
    return resolve({"method": method, "encoder": encoder, "batch_size": batch, "dataset": "photos", "moco.temperature": 0.2})


# -- Lightly's way -------------------------------------------------------------------


class Pictures(Dataset):
    """The images as PIL pictures, each with lightly's two views of it."""

    def __init__(self, images: np.ndarray, size: int):
        self.images = [Image.fromarray(image) for image in images]
        augment = RunConfig().augment
        self.views = MoCoV2Transform(
            input_size=size,
            cj_bright=augment.jitter,
            cj_contrast=augment.jitter,
            cj_sat=augment.jitter,
            cj_hue=augment.hue,
            min_scale=augment.crop_min,
            random_gray_scale=augment.grayscale,
            gaussian_blur=0.0,
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> list[torch.Tensor]:
        return self.views(self.images[i])


class SimCLR(nn.Module):
    def __init__(self, config: RunConfig):
        super().__init__()
        self.encoder = plain(build_encoder(config.encoder, config.image_size))
        self.head = SimCLRProjectionHead(self.encoder.dim, config.head.hidden, config.head.dim)
        self.criterion = NTXentLoss(config.simclr.temperature)

    def loss(self, view1: torch.Tensor, view2: torch.Tensor) -> torch.Tensor:
        return self.criterion(self.head(self.encoder(view1)), self.head(self.encoder(view2)))


class MoCo(nn.Module):
    def __init__(self, config: RunConfig):
        super().__init__()
        self.encoder = plain(build_encoder(config.encoder, config.image_size))
        self.head = MoCoProjectionHead(self.encoder.dim, config.head.hidden, config.head.dim)
        self.key_encoder, self.key_head = copy.deepcopy(self.encoder), copy.deepcopy(self.head)
        deactivate_requires_grad(self.key_encoder)
        deactivate_requires_grad(self.key_head)
        self.criterion = NTXentLoss(config.moco.temperature, memory_bank_size=(config.moco.queue_size, config.head.dim))
        self.momentum = config.moco.momentum

    def loss(self, view1: torch.Tensor, view2: torch.Tensor) -> torch.Tensor:
        update_momentum(self.encoder, self.key_encoder, m=self.momentum)
        update_momentum(self.head, self.key_head, m=self.momentum)
        query = self.head(self.encoder(view1))
        key = self.key_head(self.key_encoder(view2)).detach()
        return self.criterion(query, key)


class BYOL(nn.Module):
    def __init__(self, config: RunConfig):
        super().__init__()
        self.encoder = plain(build_encoder(config.encoder, config.image_size))
        self.head = BYOLProjectionHead(self.encoder.dim, config.head.hidden, config.head.dim)
        self.predictor = BYOLPredictionHead(config.head.dim, config.byol.predictor_hidden, config.head.dim)
        self.target_encoder, self.target_head = copy.deepcopy(self.encoder), copy.deepcopy(self.head)
        deactivate_requires_grad(self.target_encoder)
        deactivate_requires_grad(self.target_head)
        self.criterion = NegativeCosineSimilarity()
        self.momentum = config.byol.momentum

    def loss(self, view1: torch.Tensor, view2: torch.Tensor) -> torch.Tensor:
        update_momentum(self.encoder, self.target_encoder, m=self.momentum)
        update_momentum(self.head, self.target_head, m=self.momentum)
        p1, p2 = (self.predictor(self.head(self.encoder(view))) for view in (view1, view2))
        t1, t2 = (self.target_head(self.target_encoder(view)).detach() for view in (view1, view2))
        return 0.5 * (self.criterion(p1, t2) + self.criterion(p2, t1))


def lightly_steps(config: RunConfig, steps: int) -> Callable[[], None]:
    """Trains `steps` steps at each call: an epoch of that many batches, so that no worker reads ahead into the other's turn."""
    model = {"moco": MoCo, "simclr": SimCLR, "byol": BYOL}[config.method](config).to(DEVICE).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.06, momentum=0.9, weight_decay=5e-4)
    images = datasets.load(config.dataset, config.image_size).x_train
    pictures = Pictures(np.resize(images, (steps * config.batch_size, *images.shape[1:])), config.image_size)
    loader = DataLoader(
        pictures,
        config.batch_size,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        pin_memory=DEVICE.type == "cuda",
    )

    def work() -> None:
        for views in loader:
            view1, view2 = (view.to(DEVICE, non_blocking=True) for view in views)
            loss = model.loss(view1, view2)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return work


# -- Ours ------------------------------------------------------------------------------


def our_steps(config: RunConfig, steps: int) -> Callable[[], None]:
    training = Training(config, datasets.load(config.dataset, config.image_size), DEVICE)
    make_ready(training, Aloud())

    def work() -> None:
        for _ in range(steps):
            training.take_step()

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=["small", "resnet18"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--batch", type=int, default=512 if DEVICE.type == "cuda" else 128)
    parser.add_argument("--steps", type=int, default=100 if DEVICE.type == "cuda" else 10, help="a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", default=DEVICE.type == "cuda", help="compile=on takes turns, too")
    parser.add_argument("--processor-time", **PROCESSOR_TIME)
    args = parser.parse_args()
    clock = clock_of(args.processor_time)
    rows = []
    for encoder in args.encoders:
        for method in args.methods:
            config = config_of(method, encoder, args.batch)
            turns = {"lightly": Apart(lightly_steps, config, args.steps), "triptych": Apart(our_steps, config, args.steps)}
            if args.compiled:
                turns["compiled"] = Apart(our_steps, config.model_copy(update={"compile": "on"}), args.steps)
            speed = {name: args.batch * args.steps / s for name, s in take_turns(turns, args.rounds, clock).items()}
            for side in turns.values():
                side.end()
            precision = named(pick_precision(config, DEVICE))
            ratios = [f"{speed[name] / speed['lightly']:.1f}" for name in turns if name != "lightly"]
            rows.append([encoder, method, precision, *(f"{speed[name]:,.0f}" for name in turns), *ratios])
            columns = [
                "encoder",
                "method",
                "ours in",
                *turns,
                *(f"ratio, {name}" if len(ratios) > 1 else "ratio" for name in turns if name != "lightly"),
            ]
    print(machine("torchvision", "lightly"))
    print_table(
        f"Training: images a {'processor second' if args.processor_time else 'second'} at 32 px, batch {args.batch}",
        columns,
        rows,
        f"Medians of {args.rounds} turns of {args.steps} steps each, all taking turns. Lightly's loop computes in float32, ours "
        "in what `precision` picks.",
    )


if __name__ == "__main__":
    main()
