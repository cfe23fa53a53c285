"""torchvision's sets, downloaded on first use into $TRIPTYCH_DATA/downloads.

Left out: STL-10's 100,000 images without labels, SVHN's 531,131 extra ones, CIFAR-100's coarse labels.
"""

import hashlib
import http.client
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sslcore.datasets.cache import home, locked
from sslcore.datasets.source import Info, Report, Source
from sslcore.files import DiskFull, room_for

TIMEOUT = 30  # seconds without a byte
# As torchvision says that files are missing or damaged; of FashionMNIST's, of which it knows no checksums, the reading itself.
DAMAGED = (RuntimeError, ValueError, TypeError, LookupError, AssertionError)


@dataclass(frozen=True)
class Published:
    """What is known of a set without its files."""

    torchvision: str  # name of its class in torchvision.datasets
    train: int
    test: int
    side: int
    classes: tuple[str, ...]
    defaults: dict[str, Any]


DIGITS = tuple("0123456789")
CIFAR100 = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox
girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road
rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""
SETS = {
    "cifar10": Published(
        "CIFAR10",
        50_000,
        10_000,
        32,
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        {"image_size": 32},
    ),
    "cifar100": Published("CIFAR100", 50_000, 10_000, 32, tuple(CIFAR100.split()), {"image_size": 32}),
    "stl10": Published(
        "STL10",
        5_000,
        8_000,
        96,
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        {"image_size": 64},
    ),
    "fashion_mnist": Published(
        "FashionMNIST",
        60_000,
        10_000,
        28,
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        {"image_size": 28, "augment.hue": 0.0, "augment.grayscale": 0.0},
    ),
    "svhn": Published("SVHN", 73_257, 26_032, 32, DIGITS, {"image_size": 32, "augment.flip": 0.0}),
}


def info(name: str) -> Info:
    known = SETS[name]
    return Info(name, known.train, known.test, known.classes, (known.side, known.side))


def defaults(name: str) -> dict[str, Any]:
    return SETS[name].defaults


def fingerprint(name: str) -> object:
    return name  # the files' checksums are fixed


def source(name: str, report: Report) -> Source:
    """Raises ValueError, in one line, where the files are not there and cannot be downloaded."""
    from torchvision import datasets

    kind = getattr(datasets, SETS[name].torchvision)
    root = home() / "downloads"
    with locked(root / f".{name}.held", lambda: report("waiting for another process that downloads these images", 0.0)):
        try:
            parts = _read(kind, root)
        except DAMAGED:
            for url, path, md5 in _files(kind, root):
                _download(url, path, md5, report)
                if hasattr(kind, "resources"):  # FashionMNIST: torchvision keeps what is unpacked, cut or not
                    path.with_suffix("").unlink(missing_ok=True)
            report("unpacking", 0.0)
            try:
                parts = _read(kind, root, download=True)  # it finds the archives, and unpacks them
            except DAMAGED as error:
                raise ValueError(f"its files in {root} came whole and cannot be read when unpacked: {error}") from None
    (x_train, y_train), (x_test, y_test) = parts
    return Source([*x_train, *x_test], len(x_train), np.concatenate([y_train, y_test]).astype(np.int64), SETS[name].classes)


def _read(kind: type, root: Path, download: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    """(images, labels) of train and of test, as torchvision reads them."""
    by_name = hasattr(kind, "splits") or hasattr(kind, "split_list")  # of STL10 and SVHN
    parts = []
    for part in ("train", "test"):
        read = kind(root, **({"split": part} if by_name else {"train": part == "train"}), download=download)
        images = np.asarray(read.data)
        if by_name:
            images = images.transpose(0, 2, 3, 1)  # these two keep channels first
        parts.append((images, np.asarray(read.labels if by_name else read.targets)))
    return parts


def _files(kind: Any, root: Path) -> list[tuple[str, Path, str]]:
    """(address, where it is kept, MD5) of each file that torchvision would download."""
    if hasattr(kind, "split_list"):
        return [(url, root / name, md5) for url, name, md5 in (kind.split_list["train"], kind.split_list["test"])]
    if hasattr(kind, "resources"):
        return [(kind.mirrors[0] + name, root / kind.__name__ / "raw" / name, md5) for name, md5 in kind.resources]
    return [(kind.url, root / kind.filename, kind.tgz_md5)]


def _download(url: str, path: Path, md5: str, report: Report) -> None:
    if path.is_file() and _md5(path) == md5:
        return
    what = f"downloading {path.name}"
    report(what, 0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, room_for(unfinished), unfinished.open("wb") as file:
            total, done = int(response.headers.get("Content-Length") or 0), 0
            while chunk := response.read(1 << 20):
                file.write(chunk)
                done += len(chunk)
                report(what, min(1.0, done / total) if total else 0.0)
        if _md5(unfinished) != md5:
            raise OSError("the file that came is incomplete or another one, its checksum differs")
        unfinished.replace(path)
    except DiskFull:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ValueError(
            f"could not download {url} ({reason}); connect to the network and try again, or put the file into {path.parent}"
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
