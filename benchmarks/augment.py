"""Two random views of a batch: ours against torchvision's and kornia's, an image at a time and a batch at a time.

All draw the same transformations with the same settings: crop, flip, colour jitter,
grayscale; float32 views, normalised. torchvision's transforms draw one set of
parameters a call: for a whole batch they would give every image the same view,
so only its per-image form does the work that training needs.
"""

import argparse
from collections.abc import Callable

import kornia.augmentation as K
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks.measure import DEVICE, PROCESSOR_TIME, clock_of, machine, print_table, take_turns
from benchmarks.per_image import torchvision_views
from sslcore import datasets
from sslcore.augment import JITTER_PROBABILITY, Views
from sslcore.config import Augment
from sslcore.training import channel_statistics


def kornia_views(size: int, settings: Augment, mean: list[float], std: list[float]) -> torch.nn.Module:
    return K.AugmentationSequential(
        K.RandomResizedCrop((size, size), (settings.crop_min, 1.0)),
        K.RandomHorizontalFlip(settings.flip),
        K.ColorJitter(settings.jitter, settings.jitter, settings.jitter, settings.hue, p=JITTER_PROBABILITY),
        K.RandomGrayscale(p=settings.grayscale),
        K.Normalize(torch.tensor(mean), torch.tensor(std)),
    ).to(DEVICE)


def contestants(images: np.ndarray, settings: Augment) -> dict[str, Callable[[], object]]:
    """Each makes two views of all images, uint8 (N, S, S, 3)."""
    size = images.shape[1]
    mean, std = channel_statistics(images)
    pictures = [Image.fromarray(image) for image in images]
    tensors = [v2.functional.to_image(picture) for picture in pictures]
    batch = torch.from_numpy(images).to(DEVICE)
    floats = batch.permute(0, 3, 1, 2).float() / 255
    per_image, kornia, ours = (make(size, settings, mean, std) for make in (torchvision_views, kornia_views, _ours))
    return {
        "torchvision v2, PIL images": lambda: [torch.stack([per_image(p) for p in pictures]) for _ in range(2)],
        "torchvision v2, tensors": lambda: [torch.stack([per_image(t) for t in tensors]) for _ in range(2)],
        "kornia, the batch": lambda: [kornia(floats) for _ in range(2)],
        "triptych, the batch": lambda: [ours(batch) for _ in range(2)],
    }


def _ours(size: int, settings: Augment, mean: list[float], std: list[float]) -> Views:
    return Views(settings, mean, std, device=DEVICE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processor-time", **PROCESSOR_TIME)
    args = parser.parse_args()
    clock = clock_of(args.processor_time)
    print(machine("torchvision", "kornia"))
    for size in args.sizes:
        images = np.array(datasets.load("photos", size).x_train[: args.batch])
        times = take_turns(contestants(images, Augment()), args.rounds, clock)
        slowest = max(times.values())
        rows = [[name, f"{1000 * s:.1f}", f"{args.batch / s:,.0f}", f"{slowest / s:.1f}"] for name, s in times.items()]
        print_table(
            f"Two views of {args.batch} images at {size} px",
            ["", "ms", "images/s", "ratio"],
            rows,
            f"Medians of {args.rounds} turns; the ratio is to the slowest.",
        )


if __name__ == "__main__":
    main()
