"""Name or path -> uint8 images and labels.

One file a kind of data set (photos, digits, hub for torchvision's, npz, folder), each with the same four functions:
info, defaults, fingerprint and source. What source finds is decoded once by cache.py, and memory-mapped from then on.

Index space: one a data set, train first. Index i is training image i, or test image i - N_train.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from sslcore.datasets import cache, digits, folder, groups, hub, npz, photos, rule
from sslcore.datasets.source import Info, Report, spelled, untrained
from sslcore.shape import shape

NAMES = {
    "photos": "Crops of 16 photographs, labelled by photo; nothing to download",
    "digits": "1,797 handwritten digits, 8 x 8; nothing to download",
    "cifar10": "60,000 photographs of 10 things, 32 x 32; downloads 170 MB",
    "cifar100": "60,000 photographs of 100 things, 32 x 32; downloads 170 MB",
    "stl10": "13,000 photographs of 10 things, 96 x 96; downloads 2.6 GB",
    "fashion_mnist": "70,000 pieces of clothing in grey, 28 x 28; downloads 31 MB",
    "svhn": "99,289 house numbers cut into digits, 32 x 32; downloads 246 MB",
}
CAUTIONS = {"photos": photos.CAUTION}  # what whoever reads an interval over the test images must know
AT_HAND: dict[str, ModuleType] = {"photos": photos, "digits": digits}  # they come with the installation
KINDS: dict[str, ModuleType] = AT_HAND | dict.fromkeys(hub.SETS, hub)
SHEET_COLUMNS = 100
SHEET_LIMIT = 16383  # pixels, WebP's largest side


class Rows:
    """Some rows of an array, read when they are asked for."""

    def __init__(self, array: np.ndarray, indices: np.ndarray):
        self.array, self.indices = array, indices
        self.shape, self.dtype = (len(indices), *array.shape[1:]), array.dtype
        self.nbytes = len(indices) * array[:1].nbytes

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, rows: slice) -> "Rows":
        return Rows(self.array, self.indices[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array[self.indices]

    def take(self, rows: np.ndarray, **how: Any) -> np.ndarray:
        return self.array.take(self.indices[rows], **how)


Images = np.ndarray | Rows  # uint8 (N, S, S, 3)


@dataclass(frozen=True)
class Data:
    """Images and labels; the arrays may be memory maps."""

    x_train: Images  # uint8 (N, S, S, 3)
    y_train: np.ndarray | None  # int64 (N,), indices into classes
    x_test: Images
    y_test: np.ndarray | None
    classes: tuple[str, ...]  # () where there are no labels
    skipped: tuple[str, ...] = ()  # files that could not be used, each with the reason
    remarks: tuple[str, ...] = ()  # what may be wrong with the images, in sentences
    caution: str = ""  # about intervals over the test images
    groups: np.ndarray | None = None  # int64 (N_test,), see groups.py; None: each test image is by itself
    checksum: str = ""  # of the pixels, the labels, and which are for training

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """uint8 (n, S, S, 3). Raises IndexError outside the index space."""
        return _pick(self.x_train, self.x_test, indices)

    def labels(self, indices: Sequence[int] | np.ndarray) -> np.ndarray | None:
        """int64 (n,), or None where there are no labels. Raises IndexError outside the index space."""
        return None if self.y_train is None else _pick(self.y_train, self.y_test, indices)


def info_of(data: Data, name: str) -> Info:
    """What `info` would say, had it seen which images can be read."""
    classes, unseen = data.classes, {}
    if data.y_train is not None and data.y_test is not None:
        labels = np.concatenate([data.y_train, data.y_test])
        unseen = untrained(labels, len(data.y_train), classes)
        classes = tuple(classes[label] for label in np.unique(labels))
    return Info(name, len(data.x_train), len(data.x_test), classes, data.x_train.shape[1:3], unseen)


def _pick(train: np.ndarray, test: np.ndarray, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    indices = np.asarray(indices, dtype=np.int64)
    total = len(train) + len(test)
    if indices.size and not 0 <= indices.min() <= indices.max() < total:
        raise IndexError(f"index {indices.min() if indices.min() < 0 else indices.max()} is not within the {total} images")
    picked = np.empty((len(indices), *train.shape[1:]), train.dtype)
    of_train = indices < len(train)
    picked[of_train] = train[indices[of_train]]
    picked[~of_train] = test[indices[~of_train] - len(train)]
    return picked


# -- Which data set ------------------------------------------------------------


def canonical(dataset: str) -> str:
    """The same data set, from whatever folder: a built-in name stays, a path becomes absolute, and loses quotes around it."""
    if len(dataset) > 2 and dataset[0] == dataset[-1] and dataset[0] in "\"'":  # as file managers copy a path
        dataset = dataset[1:-1]
    return dataset if dataset in NAMES or not dataset else os.path.abspath(os.path.expanduser(dataset))


def _kind(dataset: str) -> ModuleType:
    """The module that reads a canonical data set. Raises ValueError where there is no such thing."""
    if dataset in KINDS:
        return KINDS[dataset]
    if rule.check_path:
        rule.check_path(dataset)
    if os.path.isfile(dataset):
        return npz
    if os.path.isdir(dataset):
        return folder
    if ":/" in dataset or ":\\" in dataset:
        raise ValueError("this is an address, or another machine's path: copy the images to a folder here, and give that")
    raise ValueError(f"no such file or folder, nor one of {', '.join(NAMES)}")


@contextmanager
def _naming(dataset: str) -> Iterator[None]:
    """Every error is one line that begins with the data set."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(" ".join(f"{dataset}: {error}".split())) from None


def info(dataset: str) -> Info:
    """What can be told at once: decodes nothing and downloads nothing.

    A folder's files are counted by name; those that cannot be read turn up in `Data.skipped`.
    Raises ValueError, in one line, where the data set cannot be used.
    """
    with _naming(dataset):
        found = _info(canonical(dataset), _moment(5))
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return found


@lru_cache(maxsize=64)
def _info(dataset: str, moment: int) -> Info | Exception:
    """What is wrong is kept, too: of a path such as / it takes a second to find out."""
    try:
        return _kind(dataset).info(dataset)
    except (ValueError, OSError) as error:
        return error


def _moment(seconds: float) -> int:
    """An argument that makes a cache forget after some seconds: a plan asks once a run, a chart once a thumbnail."""
    return int(time.monotonic() / seconds)


def fingerprint(dataset: str) -> object:
    """What changes with the files of a data set, as far as names, sizes and times tell. Raises ValueError as `info` does."""
    with _naming(dataset):
        return _kind(canonical(dataset)).fingerprint(canonical(dataset))


def defaults(dataset: str) -> dict[str, Any]:
    """Dotted settings suited to a data set; {} for one that cannot be used. Never raises.

    MoCo's queue holds at most half of the training images, so that no key in it is older than an epoch.
    """
    try:
        train = info(dataset).train
        own = _own_defaults(canonical(dataset), _moment(5))
    except (ValueError, OSError):
        return {}
    return {"moco.queue_size": min(4096, 2 ** int(math.log2(max(2, train) / 2)))} | own


@lru_cache(maxsize=64)
def _own_defaults(dataset: str, moment: int) -> dict[str, Any]:
    return _kind(dataset).defaults(dataset)


# -- Reading -------------------------------------------------------------------


def load(dataset: str, image_size: int, report: Report | None = None) -> Data:
    """The whole data set at one image size, decoded at the first call and memory-mapped ever after.

    `report(what, share done)` is told about downloading and decoding.
    Raises ValueError, in one line, where the data set cannot be used.
    """
    report = report or (lambda what, share: None)
    with _naming(dataset):
        path = canonical(dataset)
        kind = _kind(path)
        decoded = cache.folder(path, kind.fingerprint(path), _checked(image_size))
        if not cache.sound(decoded):
            cache.build(decoded, lambda: kind.source(path, report), image_size, report)
        data = _open(decoded)
        return replace(data, caution=CAUTIONS.get(path) or groups.caution(data.groups))


def _checked(image_size: int) -> int:
    bounds = shape("image_size")
    if not bounds.low <= image_size <= bounds.high:
        raise ValueError(f"image_size must lie between {bounds.low} and {bounds.high}, not {image_size}")
    return image_size


def _open(decoded: Path) -> Data:
    about = json.loads((decoded / "about.json").read_text(encoding="utf-8"))
    images = np.load(decoded / "images.npy", mmap_mode="r", allow_pickle=False)
    has_labels = (decoded / "labels.npy").exists()
    labels = np.load(decoded / "labels.npy", allow_pickle=False) if has_labels else None
    n = about["train"]
    return Data(
        images[:n],
        labels[:n] if has_labels else None,
        images[n:],
        labels[n:] if has_labels else None,
        tuple(about["classes"]),
        tuple(about["skipped"]),
        tuple(about.get("remarks", ())),  # an older version made none
        groups=np.array(found[n:]) if (found := about.get("groups")) else None,
        checksum=cache.checksum(about),
    )


# -- The fixed evaluation sample, and small pictures ---------------------------


def sample(data: Data | Info, size: int) -> np.ndarray:
    """int64 (n,), sorted indices: half test, half train where there are enough of both; the same for every run and seed."""
    train, test = (data.train, data.test) if isinstance(data, Info) else (len(data.x_train), len(data.x_test))
    from_test = min(test, max(size // 2, size - train))
    from_train = min(train, size - from_test)
    generator = np.random.default_rng(0)
    chosen = [generator.permutation(train)[:from_train], train + generator.permutation(test)[:from_test]]
    return np.sort(np.concatenate(chosen))


def sheet(images: np.ndarray) -> Image.Image:
    """Thumbnails of uint8 (n, S, S, 3) side by side, SHEET_COLUMNS a row, small enough for one WebP file."""
    rows = -(-len(images) // SHEET_COLUMNS)
    side = min(images.shape[1], 64, SHEET_LIMIT // max(rows, SHEET_COLUMNS))
    whole = Image.new("RGB", (SHEET_COLUMNS * side, rows * side))
    for k, image in enumerate(images):
        small = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        whole.paste(small, (k % SHEET_COLUMNS * side, k // SHEET_COLUMNS * side))
    return whole


def tile(sheet: Image.Image, k: int) -> Image.Image:
    """The k-th thumbnail of a sheet. Raises IndexError outside it."""
    side = sheet.width // SHEET_COLUMNS
    if not 0 <= k < sheet.height // side * SHEET_COLUMNS:
        raise IndexError(f"the sheet has no tile {k}")
    x, y = k % SHEET_COLUMNS * side, k // SHEET_COLUMNS * side
    return sheet.crop((x, y, x + side, y + side))


def thumbnail(dataset: str, index: int, image_size: int, checksum: str = "") -> Image.Image:
    """One image of a data set that is already decoded at this size, or comes with the installation; reads that image alone.

    Raises ValueError where the set is unknown, not yet decoded or not the one of this checksum, IndexError where it has no
    such image.
    """
    with _naming(dataset):
        data = _opened(canonical(dataset), _checked(image_size), cache.home(), _moment(60))
        if checksum and data.checksum != checksum:
            raise ValueError("other images, or other labels, lie there by now")
    return Image.fromarray(data.images([index])[0])


def file_of(dataset: str, index: int, image_size: int, checksum: str) -> str:
    """The file that an image of a folder was, below that folder; "" for an image that was none, or is not known here."""
    try:
        if dataset in NAMES:
            return ""
        if rule.check_path:
            rule.check_path(dataset)
        files = _files(canonical(dataset), image_size, checksum, cache.home(), _moment(60))
    except ValueError:
        return ""
    return "" if files is None or not 0 <= index < len(files) else spelled(os.fsdecode(files[index]))


@lru_cache(maxsize=8)
def _files(dataset: str, image_size: int, checksum: str, home: Path, moment: int) -> np.ndarray | None:
    return cache.files(dataset, image_size, checksum)


@lru_cache(maxsize=8)
def _opened(dataset: str, image_size: int, home: Path, moment: int) -> Data:
    """The decoded arrays, kept open for a minute: listing a large folder anew for each thumbnail would be slow."""
    decoded = cache.folder(dataset, _kind(dataset).fingerprint(dataset), image_size)
    if not cache.sound(decoded):
        if dataset in AT_HAND:
            return load(dataset, image_size)
        raise ValueError(f"not decoded at {image_size} px yet; a run that uses it does so")
    return _open(decoded)
