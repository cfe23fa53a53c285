"""The default set: crops of the photographs inside scikit-image and scikit-learn, labelled by photo; nothing to download."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sslcore.datasets.source import Info, Report, Source

PHOTOS = {
    "astronaut": "skimage/data/astronaut.png",
    "brick": "skimage/data/brick.png",
    "camera": "skimage/data/camera.png",
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "hubble": "skimage/data/hubble_deep_field.jpg",
    "moon": "skimage/data/moon.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "pagoda": "sklearn/datasets/images/china.jpg",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "tissue": "skimage/data/ihc.png",
}
TRAIN_CROPS = 160  # a photo
TEST_CROPS = 60
WINDOW = (40, 112)  # smallest and largest side of a crop, in the photo's pixels
BLOCK = 128  # a photo is cut into blocks of about this side; each crop lies within one
TEST_BLOCKS = 4  # every fourth block is for testing, so no pixel is in a train and in a test crop
CAUTION = (
    f"test crops overlap and come from {len(PHOTOS)} photographs, so that intervals and tests over them go by the blocks from "
    "which they are cut, Wilson's by as many independent crops as these are worth; they are about other windows of these same "
    "photographs, not about other photographs"
)
FLAT = 6.0  # a window whose grey values deviate less shows next to nothing, and is drawn again


def info(name: str) -> Info:
    n = len(PHOTOS)
    return Info(name, n * TRAIN_CROPS, n * TEST_CROPS, tuple(PHOTOS), None)


def defaults(name: str) -> dict[str, Any]:
    return {"image_size": 32}


def fingerprint(name: str) -> object:
    return PHOTOS, TRAIN_CROPS, TEST_CROPS, WINDOW, BLOCK, TEST_BLOCKS, FLAT, "groups"  # which older versions did not keep


def source(name: str, report: Report) -> Source:
    photos = [_read(path) for path in PHOTOS.values()]
    crops, blocks = [], []
    for test, number in ((False, TRAIN_CROPS), (True, TEST_CROPS)):
        for index, photo in enumerate(photos):
            for y, x, side, block in windows(photo, number, test, seed=index):
                crops.append(photo[y : y + side, x : x + side])
                blocks.append((index, test, block))
    labels = [np.repeat(np.arange(len(photos)), number) for number in (TRAIN_CROPS, TEST_CROPS)]
    groups = np.unique(blocks, axis=0, return_inverse=True)[1].tolist()
    return Source(crops, len(photos) * TRAIN_CROPS, np.concatenate(labels), tuple(PHOTOS), groups=groups)


def windows(photo: np.ndarray, number: int, test: bool, seed: int) -> list[tuple[int, int, int, int]]:
    """(y, x, side, block) of `number` square windows, each within one of the blocks that are for testing, or are not."""
    height, width = photo.shape[:2]
    rows, columns = np.linspace(0, height, height // BLOCK + 1, dtype=int), np.linspace(0, width, width // BLOCK + 1, dtype=int)
    blocks = [
        (rows[i], columns[j], rows[i + 1], columns[j + 1])
        for i in range(len(rows) - 1)
        for j in range(len(columns) - 1)
        if ((j + 2 * i) % TEST_BLOCKS == 1) == test  # the test blocks lie scattered
    ]
    grey = photo.mean(axis=2)
    generator = np.random.default_rng([seed, test])
    found: list[tuple[int, int, int, int]] = []
    while len(found) < number:
        block = int(generator.integers(len(blocks)))
        top, left, bottom, right = blocks[block]
        side = int(generator.integers(WINDOW[0], min(WINDOW[1], bottom - top, right - left) + 1))
        y, x = int(generator.integers(top, bottom - side + 1)), int(generator.integers(left, right - side + 1))
        if grey[y : y + side, x : x + side].std() >= FLAT:
            found.append((y, x, side, block))
    return found


def _read(path: str) -> np.ndarray:
    package, _, inside = path.partition("/")
    with Image.open(Path(str(files(package))) / inside) as photo:
        return np.asarray(photo.convert("RGB"))
