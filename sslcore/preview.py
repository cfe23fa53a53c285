"""A picture of what the network sees: some images and random views of each."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sslcore import datasets
from sslcore.augment import draw
from sslcore.config import RunConfig
from sslcore.datasets import Data
from sslcore.files import check_place, replacing

IMAGES, VIEWS = 8, 6
TILE, GAP = 64, 4  # pixels


def strip(config: RunConfig, data: Data) -> Image.Image:
    """A column an image: the image itself on top, then random views, first and second kind in turn."""
    chosen = np.random.default_rng(1).permutation(len(data.x_train))[:IMAGES]
    images = torch.from_numpy(data.images(np.sort(chosen)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        views = [draw(images, config.augment, second=bool(i % 2)) for i in range(VIEWS)]
    rows = [images.numpy()] + [(v.permute(0, 2, 3, 1) * 255).round().byte().numpy() for v in views]

    size = (len(images) * (TILE + GAP) - GAP, len(rows) * (TILE + GAP))  # the originals stand a little apart
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            place = (c * (TILE + GAP), r * (TILE + GAP) + (GAP if r else 0))
            picture.paste(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.NEAREST), place)
    return picture


def write_strip(config: RunConfig, path: Path) -> None:
    """Draw the strip of a config's data set and augmentation to an image file, whole or not at all.

    Raises ValueError where the file has no place or another ending, or the data set cannot be read.
    """
    check_place(path, "--out")
    if path.suffix.lower() not in (".webp", ".png"):
        raise ValueError(f"--out {path}: name a file that ends in .webp or .png")
    picture = strip(config, datasets.load(config.dataset, config.image_size))
    with replacing(path) as temporary:
        picture.save(temporary, path.suffix[1:])
