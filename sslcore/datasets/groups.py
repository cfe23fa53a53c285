"""Images that belong together, as those of one patient, film or place do: so alike that they are no independent evidence.

    photos/groups.csv       in a folder of images; paths are below the folder
        file,group
        cat/1.jpg,film 7
    images.npz              group_train and group_test, (N,): a whole number or text an image

Of what is split off for testing a group is split off as a whole, and intervals and tests over test images go by groups.
An image without a group is by itself.
"""

import csv
import os
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np

from sslcore.datasets import source
from sslcore.datasets.source import TEST_SHARE, composed, spelled
from sslcore.files import regular_file
from sslcore.wording import count, some

FILE = "groups.csv"


def of_files(root: Path, files: Sequence[Path]) -> tuple[list[int] | None, list[str]]:
    """(the group of each image by number, or None without groups.csv; remarks).

    Raises ValueError where groups.csv cannot be used, or is in one of the folders, as train, where it would not be looked at.
    """
    example = spelled(os.path.relpath(files[0], root))
    for name in sorted({file.parts[len(root.parts)] for file in files}):
        if os.path.lexists(root / name / FILE):
            raise ValueError(f"has {spelled(name)}/{FILE}; move it up, beside {spelled(name)}, with paths such as {example}")
    if not os.path.lexists(root / FILE):
        return None, []
    known, names = _read(root), [composed(os.fspath(file)) for file in files]
    strangers = [os.path.relpath(file, composed(os.fspath(root))) for file in known.keys() - set(names)]
    if len(strangers) == len(known):
        raise ValueError(f"{FILE} names none of the images; its column file has their paths, such as {example}")
    remarks = [f"{FILE} has {count(len(strangers), 'file')} that the set has not: {some(sorted(strangers))}"] if strangers else []
    return numbered([known.get(name, number) for number, name in enumerate(names)]), remarks


def _read(root: Path) -> dict[str, str]:
    """The groups of files, by their paths as `composed`. Raises ValueError where groups.csv cannot be read."""
    found: dict[str, str] = {}
    try:
        with open(root / FILE, newline="", encoding="utf-8-sig", opener=regular_file) as lines:
            rows = csv.DictReader(lines)
            rows.fieldnames = columns = [name.strip() for name in rows.fieldnames or ()]
            if not columns.count("file") == columns.count("group") == 1:
                has = f"has the columns {', '.join(columns)}" if columns else "is empty"
                raise ValueError(f"{FILE} {has}; expected file and group, separated by a comma")
            for row in rows:
                file, group = os.path.normpath(root / (row["file"] or "").strip()), (row["group"] or "").strip()
                file = composed(file)
                if group and found.setdefault(file, group) != group:
                    raise ValueError(f"{FILE} has {row['file']} twice, in {found[file]} and in {group}; an image has one group")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{FILE} cannot be read ({error})") from None
    return found


def numbered(groups: Sequence[Hashable]) -> list[int]:
    """Whatever groups are called, as whole numbers from 0."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(group, len(numbers)) for group in groups]


def caution(groups: np.ndarray | None) -> str:
    """What whoever reads an interval over test images of these groups, int (N,), must know; "" where each is by itself."""
    n = 0 if groups is None else len(np.unique(groups))
    if groups is None or n == len(groups):
        return ""
    return f"test images of one group are much alike, so that intervals and tests over them go by {count(n, 'group')}"


def across(groups: Sequence[int] | None, train: int) -> tuple[str, ...]:
    """A remark where groups have images for training, the first `train`, and for testing."""
    both = len(set(groups[:train]) & set(groups[train:])) if groups else 0
    if not both:
        return ()
    have = "group has" if both == 1 else "groups have"
    return (f"{both:,} {have} training and test images: accuracies count test images that are much like what was trained on",)


def split(labels: np.ndarray, groups: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """`source.split` where images have groups: none has images on both sides.

    Of the classes about as many images go to test, at least one group of each where that leaves every class something to train
    on. Raises ValueError where no group can be held out.
    """
    if groups is None:
        return source.split(labels)
    labels, groups = np.unique(labels, return_inverse=True)[1], np.asarray(groups)
    ends = np.cumsum(np.bincount(groups))[:-1]
    members = np.split(labels[np.argsort(groups, kind="stable")], ends)  # the labels of each group's images
    total = np.bincount(labels)
    left, held_out = total, np.zeros(len(members), dtype=bool)  # images of each class; groups

    def without(group: int) -> np.ndarray:
        return left - np.bincount(members[group], minlength=len(total))

    def amiss(left: np.ndarray) -> float:
        return float((np.abs(left - (1 - TEST_SHARE) * total) / total).sum())

    for group in np.random.default_rng(0).permutation(len(members)):
        if (after := without(group)).min() > 0 and amiss(after) < amiss(left):
            left, held_out[group] = after, True
    for label in np.flatnonzero(left == total):  # its groups are large, or hold much of other classes: the smallest
        for group in sorted(np.unique(groups[labels == label]), key=lambda group: len(members[group])):
            if left[label] == total[label] and not held_out[group] and (after := without(group)).min() > 0:
                left, held_out[group] = after, True
    if not held_out.any():
        raise ValueError("every group has all images of some class, so that none can be held out for testing")
    test = held_out[groups]
    return np.flatnonzero(~test), np.flatnonzero(test)
