"""What every kind of data set is read into first: images not yet of one size, and their labels."""

import os
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jfif")  # names end so
# Files that are images, too, and are not read.
OTHER_IMAGES = (".heic", ".heif", ".jp2", ".j2k", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".psd", ".svg", ".tga")
MAX_PIXELS = 100_000_000  # a file that claims more is skipped, not decoded
MAX_STRIP = 4_000_000  # pixels that are laid on white at a time; each of the copies that this takes has four bytes a pixel
TEST_SHARE = 0.2

Report = Callable[[str, float], None]  # what is being done, and which share of it is done


def each_tenth(say: Callable[[str], None]) -> Report:
    """A report that says, once each, what is being done and how many tenths of it are: "decoding images 30 %"."""
    said = ""

    def report(what: str, share: float) -> None:
        nonlocal said
        words = f"{what} {int(share * 10) * 10} %"
        if words != said:
            say(said := words)

    return report


@dataclass(frozen=True)
class Info:
    """What is known of a data set before anything is decoded or downloaded."""

    name: str
    train: int
    test: int
    classes: tuple[str, ...]  # () where there are no labels
    shape: tuple[int, int] | None  # (H, W) of the images; None where they differ
    untrained: Mapping[str, int] = field(default_factory=dict)  # of a class without training images: how many for testing
    remarks: tuple[str, ...] = ()  # what is left out, and what else whoever trains on it should know
    groups: int | None = None  # into which the images fall, where it says which belong together


@dataclass(frozen=True)
class Source:
    """Images as they lie in their files, train first, then test."""

    images: Sequence[np.ndarray | Path]  # uint8 (H, W), (H, W, 1) or (H, W, 3), or the path of a file
    train: int  # how many of them are for training
    labels: np.ndarray | None  # int64 (len(images),), indices into classes
    classes: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # files that are no part of the set, each with the reason
    remarks: tuple[str, ...] = ()  # what else whoever trains on it should know
    root: str | None = None  # the folder that all of the files lie below, where the images are files
    groups: Sequence[int] | None = None  # (len(images),), from 0: images of one group are much alike; see groups.py


def split(labels: np.ndarray, share: float = TEST_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """(train, test) indices, int64 and sorted, the same at every call.

    Stratified: of each class `share` goes to test, at least one image where the class has two,
    and never the class's last image. For images without labels give zeros.
    Raises ValueError where no class has two images.
    """
    generator = np.random.default_rng(0)
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            test[members[: max(1, round(share * len(members)))]] = True
    if not test.any():
        raise ValueError("no class has two images, so that none can be held out for testing")
    return np.flatnonzero(~test), np.flatnonzero(test)


def untrained(labels: np.ndarray | None, train: int, classes: Sequence[str]) -> dict[str, int]:
    """The classes that have test images alone, with how many. Labels (N,) are indices, train first."""
    if labels is None:
        return {}
    trained, tested = (np.bincount(part, minlength=len(classes)).tolist() for part in (labels[:train], labels[train:]))
    return {name: n for name, there, n in zip(classes, trained, tested) if n and not there}


def composed(name: str) -> str:
    """A name with each letter and its accent as one character: macOS has two, and whoever writes the same name elsewhere one."""
    return unicodedata.normalize("NFC", name)


def spelled(path: str) -> str:
    r"""A file's path as text that can be written; bytes that are no UTF-8 as \xNN."""
    return os.fsencode(path).decode(errors="backslashreplace")


@cache
def formats() -> tuple[str, ...]:
    """What IMAGES stand for, as Pillow calls it: a file of another kind is not opened, whatever its name (EPS is a program)."""
    known = Image.registered_extensions()
    return tuple({known[end]: None for end in IMAGES if end in known})  # JPEG has phones' MPO with it


def decode(image: np.ndarray | Path, size: int, largest: list[int] | None = None) -> np.ndarray:
    """One image as uint8 (size, size, 3): the shorter side is resized, the centre is kept.

    The largest value of a grey file with 16 bits a pixel, which is taken to use their full range, is added to `largest`.
    Raises whatever Pillow raises on a file that it cannot read, and ValueError on one that it should not.
    """
    if isinstance(image, np.ndarray):
        if image.shape == (size, size, 3):
            return image
        return _fit(Image.fromarray(image.squeeze(2) if image.shape[2:] == (1,) else image), size)
    with Image.open(image, formats=formats()) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f"{opened.width} x {opened.height} pixels are more than the {MAX_PIXELS:,} that are decoded")
        if opened.mode == "I" and opened.format not in ("PNG", "PPM"):  # in these two it has 16 bits
            raise ValueError("pixels of 32 bits, or signed ones, have no known range")
        opened.draft(None, (2 * size, 2 * size))  # JPEG: decode no larger than needed
        ImageOps.exif_transpose(opened, in_place=True)
        if largest is not None and opened.mode.startswith("I"):
            largest.append(int(np.asarray(opened).max()))
        return _fit(opened, size)


def _fit(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(_rgb(image), (size, size), Image.Resampling.BICUBIC))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    whole, rows = Image.new("RGB", image.size), max(1, MAX_STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        whole.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), (0, top))
    return whole


def decode_all(images: Sequence[np.ndarray | Path], size: int, pool: Executor) -> tuple[list[np.ndarray | Exception], int | None]:
    """Each image decoded, in order, the exception where one could not be; and the largest value of the 16-bit ones, if any."""
    largest: list[int] = []

    def attempt(image: np.ndarray | Path) -> np.ndarray | Exception:
        try:
            return decode(image, size, largest)
        except Exception as error:  # a broken file raises nearly anything: OSError, SyntaxError, struct.error, ...
            return error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; what matters is raised
        return list(pool.map(attempt, images)), max(largest, default=None)
