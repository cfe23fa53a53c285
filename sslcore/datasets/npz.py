"""Any .npz file with x_train and, where it has them, y_train, x_test, y_test; group_train and group_test as groups.py has it.

Images: uint8, or floats from 0 to 1 (converted); (N, H, W, 3), (N, H, W, 1) or (N, H, W). Labels: whole numbers, (N,) or (N, 1).
Where x_test is missing a fifth of the images is split off.
"""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sslcore.datasets import groups
from sslcore.datasets.source import Info, Report, Source, untrained

BEGINNING = 2**16  # so many numbers of an array are looked at before a run is made
# What zipfile and numpy raise on a file that is damaged, encrypted or something else.
BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def info(path: str) -> Info:
    """From the headers of the images and from the labels. Raises ValueError, in one line, where the file cannot be used."""
    headers = _headers(path)
    labels, classes = _labels(path, headers)
    train, test = headers["x_train"][0][0], headers["x_test"][0][0] if "x_test" in headers else 0
    shape, found = headers["x_train"][0][1:3], _groups(path, headers)
    together = None if found is None else len(set(found))
    if "x_test" not in headers:
        train, test = map(len, groups.split(labels if labels is not None else np.zeros(train), found))
        return Info(path, train, test, classes, shape, groups=together)
    return Info(path, train, test, classes, shape, untrained(labels, train, classes), groups.across(found, train), together)


def defaults(path: str) -> dict[str, Any]:
    """Image size and augmentation after the images' own shape."""
    shape, _ = _headers(path)["x_train"]
    grey = len(shape) == 3 or shape[3] == 1
    return {"image_size": min(max(16, *shape[1:3]), 64)} | ({"augment.hue": 0.0, "augment.grayscale": 0.0} if grey else {})


def fingerprint(path: str) -> object:
    stat = Path(path).stat()
    grouped = any(name.startswith("group_") for name in _headers(path))  # older versions did not keep groups
    return (stat.st_size, stat.st_mtime_ns, "groups") if grouped else (stat.st_size, stat.st_mtime_ns)


def source(path: str, report: Report) -> Source:
    """Raises ValueError, in one line, where the file cannot be used."""
    headers = _headers(path)
    labels, classes = _labels(path, headers)
    report("reading images", 0.0)
    images = [image for part in ("x_train", "x_test") if part in headers for image in _images(path, part)]
    train, found = headers["x_train"][0][0], _groups(path, headers)
    if "x_test" not in headers:
        chosen = groups.split(labels if labels is not None else np.zeros(train), found)
        train, order = len(chosen[0]), np.concatenate(chosen)
        images, labels = [images[i] for i in order], labels[order] if labels is not None else None
        found = None if found is None else [found[i] for i in order]
    return Source(images, train, labels, classes, remarks=groups.across(found, train), groups=found)


def _headers(path: str) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """(shape, dtype) of each array, checked. Of floats the beginning is checked, too: it tells most that are not from 0 to 1."""
    headers, floats = {}, {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    version = np.lib.format.read_magic(file)
                    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                    shape, _, dtype = read(file)
                    promised = math.prod(shape) * dtype.itemsize
                    if not dtype.hasobject and promised != member.file_size - file.tell():
                        raise ValueError("the array is cut short")
                    name = member.filename.removesuffix(".npy")
                    headers[name] = shape, dtype
                    if dtype.kind == "f":
                        floats[name] = np.frombuffer(file.read(BEGINNING * dtype.itemsize), dtype)
    except BROKEN:
        packed = zipfile.is_zipfile(path) and not path.lower().endswith(".npz")
        raise ValueError(f"not a readable .npz file{'; unpack it, and give the folder' * packed}") from None
    if "x_train" not in headers:
        raise ValueError(f"has no x_train (it has {', '.join(sorted(headers)) or 'nothing'})")
    for part in {"x_train", "x_test"} & set(headers):
        shape, dtype = headers[part]
        if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))):
            raise ValueError(f"{part} has shape {shape}; expected (N, H, W, 3), (N, H, W, 1) or (N, H, W)")
        if dtype != np.uint8 and dtype.kind != "f":
            raise ValueError(f"{part} is {dtype}; expected uint8, or floats from 0 to 1")
        if 0 in shape:
            raise ValueError(f"{part} is empty, its shape is {shape}")
        if part in floats:
            _check_range(part, floats[part])
    if "x_test" not in headers and headers["x_train"][0][0] < 2:
        raise ValueError("has one image; at least two are needed")
    return headers


def _labels(path: str, headers: dict) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """All labels, train first, as indices into the classes; (None, ()) where there are none."""
    names = _one_an_image(headers, "y", "label")
    if not names:
        return None, ()
    found = []
    for name in names:
        if (dtype := headers[name][1]).kind not in "iuf":
            raise ValueError(f"{name} is {dtype}; labels must be whole numbers")
        labels = _read(path, name).ravel()
        whole = np.isfinite(labels) & (labels == np.floor(labels))
        if not whole.all():
            raise ValueError(f"{name} holds {labels[~whole][0]}; labels must be whole numbers")
        found.append(labels)
    own = [np.unique(labels, return_inverse=True) for labels in found]
    classes = sorted({int(value) for values, _ in own for value in values})  # Python's integers: numpy's common type may round
    number = {value: index for index, value in enumerate(classes)}
    indices = [np.array([number[int(value)] for value in values], dtype=np.int64)[inverse] for values, inverse in own]
    return np.concatenate(indices), tuple(map(str, classes))


def _groups(path: str, headers: dict) -> list[int] | None:
    """The group of each image, train first, by number; None where there are no groups."""
    names = _one_an_image(headers, "group", "group")
    for name in names:
        if (dtype := headers[name][1]).kind not in "iuU":
            raise ValueError(f"{name} is {dtype}; groups must be whole numbers or text, as of .astype(str)")
    found = [str(group) for name in names for group in _read(path, name).ravel()]
    return groups.numbered([group or number for number, group in enumerate(found)]) if names else None


def _one_an_image(headers: dict, kind: str, thing: str) -> list[str]:
    """The arrays of labels, y, or of groups: one for each of images, or none. Raises ValueError where they do not fit these."""
    parts = [part for part in ("train", "test") if f"x_{part}" in headers]
    having = [part for part in ("train", "test") if f"{kind}_{part}" in headers]
    if having and having != parts:
        wanted = " and ".join(f"{kind}_{part}" for part in parts)
        raise ValueError(f"has {' and '.join(f'{kind}_{part}' for part in having)}; expected {wanted}, or no {thing}s at all")
    for part in having:
        shape, count = headers[f"{kind}_{part}"][0], headers[f"x_{part}"][0][0]
        if shape not in ((count,), (count, 1)):
            raise ValueError(f"{kind}_{part} has shape {shape}; expected ({count},), one {thing} an image of x_{part}")
    return [f"{kind}_{part}" for part in having]


def _images(path: str, part: str) -> np.ndarray:
    """uint8 (N, H, W[, C])."""
    images = _read(path, part)
    if images.dtype == np.uint8:
        return images
    _check_range(part, images)
    return np.round(images * 255).astype(np.uint8)


def _check_range(part: str, floats: np.ndarray) -> None:
    low, high = float(floats.min()), float(floats.max())
    if math.isnan(low) or low < 0 or high > 1:
        raise ValueError(f"{part} holds floats from {low:g} to {high:g}; expected 0 to 1, or uint8 from 0 to 255")


def _read(path: str, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except MemoryError:
        raise ValueError(f"{name} does not fit into memory; a folder of images is read piece by piece") from None
    except BROKEN:
        raise ValueError(f"{name} cannot be read; is the file complete?") from None
