"""Any folder of class folders, with or without train/ and test/ (or val/) above them, or of bare images without labels.

    photos/cat/1.jpg                          a fifth of each class is split off for testing
    photos/train/cat/1.jpg  photos/test/cat/2.jpg
    photos/1.jpg                              no labels

A class folder's own subfolders count as part of it. Hidden files and folders are passed over. groups.csv, beside the folders,
says which images belong together: see groups.py.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sslcore.datasets import groups, rule
from sslcore.datasets.source import IMAGES, OTHER_IMAGES, Info, Report, Source, composed, spelled, untrained
from sslcore.files import stamp
from sslcore.wording import count, series

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")  # the first that fits
# Files and folders that are no images, at most, and ten more for each image: a path such as / is given up in seconds.
MAX_OTHERS = 200_000


@dataclass
class Part:
    """The images of a folder by class, or without classes."""

    classes: dict[str, list[Path]] = field(default_factory=dict)  # by the class folder's name; those without images are left out
    loose: list[Path] = field(default_factory=list)  # images in no class folder
    others: Counter[str] = field(default_factory=Counter)  # images of kinds that are not read, by how their names end

    @property
    def files(self) -> list[Path]:
        return [file for files in self.classes.values() for file in files] or self.loose


def info(path: str) -> Info:
    found = source(path)
    unseen = untrained(found.labels, found.train, found.classes)
    remarks = tuple(map(spelled, (*(f"left out {one}" for one in found.left_out), *found.remarks)))
    together = None if found.groups is None else len(set(found.groups))
    return Info(path, found.train, len(found.images) - found.train, found.classes, None, unseen, remarks, together)


def defaults(path: str) -> dict[str, Any]:
    return {"image_size": 64}


def fingerprint(path: str) -> object:
    """Names, sizes and times of all files, and which belong together."""
    found = source(path)
    stamps = {file: stamp(file) for file in found.images}
    files = [(str(file), size, changed) for file, (changed, size, _) in stamps.items()]
    return (files, found.train) if found.groups is None else (files, found.train, found.groups, found.remarks)


def source(path: str, report: Report | None = None) -> Source:
    """Lists the files; opens none. Raises ValueError where there are too few images."""
    whole = _scan(Path(path))
    train, test, left_out = _halves(whole, Path(path))
    if test is None:
        files, classes = train.files, tuple(train.classes)
        labels = _labels(train, classes)
        if len(files) < 2:
            held = f"a single image, {files[0].name}" if files else "no images"
            raise ValueError(f"holds {held}; looked for {', '.join(IMAGES)}")
        found, said = groups.of_files(Path(path), files)
        first, second = groups.split(labels, found)
        order, n = np.concatenate([first, second]), len(first)
        said += _untested(train, labels[second])
        files, labels = [files[i] for i in order], labels[order]
        found = None if found is None else [found[i] for i in order]
    else:
        _call_alike(test, train)
        files, n = train.files + test.files, len(train.files)
        classes = tuple(sorted({*train.classes, *test.classes}, key=spelled))
        labels = np.concatenate([_labels(train, classes), _labels(test, classes)])
        found, said = groups.of_files(Path(path), files)
        said += groups.across(found, n)
    remarks = (*_of_other_kinds(whole.others), *said)
    return Source(files, n, labels if classes else None, _named(classes), tuple(left_out), remarks, path, found)


def _call_alike(test: Part, train: Part) -> None:
    """Call a class of test as train calls it, where macOS has written one of the two names."""
    names = {composed(name): name for name in train.classes}
    for name in list(test.classes):
        if (own := names.get(composed(name), name)) not in test.classes:
            test.classes[own] = test.classes.pop(name)


def _of_other_kinds(others: Counter[str]) -> list[str]:
    if not others:
        return []
    kinds = series([f"{n:,} {kind}" for kind, n in others.most_common()])
    return [f"left out images of kinds that are not read: {kinds}; convert them to JPEG or PNG"]


def _untested(whole: Part, tested: np.ndarray) -> list[str]:
    """Of which classes no image is held out. `tested`: the labels of those that are."""
    found = set(tested.tolist())
    single = [name for label, name in enumerate(whole.classes) if label not in found]
    if not single:
        return []
    few = series([*single[:5], *(["others"] if len(single) > 5 else [])])
    if all(len(whole.classes[name]) == 1 for name in single):
        return [f"{few} {'has' if len(single) == 1 else 'have'} a single image, which trains; none is tested"]
    return [f"of {few} all images train and none is tested: no group of them could be spared"]


def _named(classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes after their folders. Raises ValueError where two would have one name."""
    names = tuple(map(spelled, classes))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(
            f"two class folders would both be called {twice[0]}, one for bytes that are no UTF-8; rename one of them"
        )
    return names


def _halves(whole: Part, root: Path) -> tuple[Part, Part | None, list[str]]:
    """(train, test, what is left out); test is None where it must be split off.

    A folder called train is a class like any other, unless it is alone or has a test folder beside it.
    """
    by_name = {name.lower(): name for name in whole.classes}
    train = next((by_name[name] for name in TRAIN if name in by_name), None)
    tests = [by_name[name] for name in TEST if name in by_name]
    if train is None or (not tests and len(whole.classes) > 1):
        return whole, None, _loose(whole, root)
    left_out = [f"{root / name}: neither train nor test" for name in whole.classes if name != train and name not in tests]
    first, second = _scan(root / train), None
    for name in tests:
        candidate = _scan(root / name)
        if second is None and bool(candidate.classes) == bool(first.classes):
            second = candidate
        else:
            unlike = f"has {'' if candidate.classes else 'no '}class folders, unlike {train}"
            left_out.append(f"{root / name}: {'another folder is used for testing' if second else unlike}")
    left_out += _loose(whole, root) + _loose(first, root / train)
    return first, second, left_out


def _loose(part: Part, folder: Path) -> list[str]:
    return [f"{folder}: {count(len(part.loose), 'image')} in no class folder"] if part.classes and part.loose else []


def _labels(part: Part, classes: tuple[str, ...]) -> np.ndarray:
    """int64, one a file of the part; zeros where there are no classes."""
    counts = [len(files) for files in part.classes.values()] or [len(part.loose)]
    numbers = [classes.index(name) for name in part.classes] or [0]
    return np.repeat(np.array(numbers, dtype=np.int64), counts)


def _scan(root: Path) -> Part:
    """The images below a folder. Each real folder is entered once a class, so links that form a loop end."""
    part, budget = Part(), [MAX_OTHERS]
    for entry in _entries(root, budget, part.others):
        if _is_folder(entry):
            if files := _images_below(entry.path, root, budget, part.others):
                part.classes[entry.name] = files
        elif _is_image(entry):
            part.loose.append(Path(entry.path))
    return part


def _images_below(folder: str, root: Path, budget: list[int], others: Counter[str]) -> list[Path]:
    """All images below a class folder, sorted by path."""
    found, waiting, entered = [], [folder], {_identity(root)}
    while waiting:
        current = waiting.pop()
        identity = _identity(current)
        if identity in entered:
            continue
        entered.add(identity)
        for entry in _entries(current, budget, others):
            if _is_folder(entry):
                waiting.append(entry.path)
            elif _is_image(entry):
                found.append(Path(entry.path))
    return sorted(found)


def _entries(folder: str | Path, budget: list[int], others: Counter[str]) -> list[os.DirEntry]:
    """What a folder holds, by name, without what is hidden; nothing where it may not be read. `others` are counted."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError:
        return []
    others.update(end for entry in entries if (end := os.path.splitext(entry.name)[1].lower()) in OTHER_IMAGES)
    budget[0] -= sum(-10 if entry.name.lower().endswith(IMAGES) else 1 for entry in entries)
    if budget[0] < 0:
        raise ValueError(f"has more than {MAX_OTHERS:,} files and folders below it that are no images; give a folder of images")
    _check_links(entries)
    return entries


def _check_links(entries: list[os.DirEntry]) -> None:
    """Raises ValueError where an image, a folder or groups.csv is linked that this process may not open."""
    allowed: set[str] = set()
    for entry in entries if rule.check_path else ():
        if entry.is_symlink() and ((is_folder := _is_folder(entry)) or _is_image(entry) or entry.name == groups.FILE):
            real = os.path.realpath(entry.path)
            holder = real if is_folder else os.path.dirname(real)
            if holder not in allowed:
                try:
                    rule.check_path(holder)
                except ValueError as error:
                    raise ValueError(f"{spelled(entry.path)} is a link that leads elsewhere, and {error}") from None
                allowed.add(holder)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into what may not be read
        return False


def _is_image(entry: os.DirEntry) -> bool:
    try:
        return entry.name.lower().endswith(IMAGES) and entry.is_file()
    except OSError:
        return False


def _identity(folder: str | Path) -> tuple[int, int]:
    stat = os.stat(folder)
    return stat.st_dev, stat.st_ino
