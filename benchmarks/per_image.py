"""Torchvision's way to a random view: one image at a time."""

import torch
from torchvision.transforms import v2

from sslcore.augment import JITTER_PROBABILITY
from sslcore.config import Augment


def torchvision_views(size: int, settings: Augment, mean: list[float], std: list[float]) -> v2.Compose:
    """Crop, flip, colour jitter, grayscale, float32, normalised, with the distributions of `sslcore.augment`.

    Whether the changes are made in 8 bits or in floats is the image's matter.
    """
    jitter = v2.ColorJitter(settings.jitter, settings.jitter, settings.jitter, settings.hue)
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, (settings.crop_min, 1.0)),
            v2.RandomHorizontalFlip(settings.flip),
            v2.RandomApply([jitter], JITTER_PROBABILITY),
            v2.RandomGrayscale(settings.grayscale),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )
