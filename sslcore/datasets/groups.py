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
from sslcore.datasets.source import TEST_SHARE, spelled
from sslcore.wording import count, some

FILE = "groups.csv"
CAUTION = "test images of one group are much alike, so that intervals and tests over them go by their {} groups"


def of_files(root: Path, files: Sequence[Path]) -> tuple[list[int] | None, list[str]]:
    """(the group of each image by number, or None without groups.csv; remarks).

    Raises ValueError where groups.csv cannot be used.
    """
    if not (root / FILE).is_file():
        return None, []
    known = _read(root)
    strangers = [os.path.relpath(file, root) for file in known.keys() - set(files)]
    if len(strangers) == len(known):
        example = spelled(os.path.relpath(files[0], root))
        raise ValueError(f"{FILE} names none of the images; its column file has their paths, such as {example}")
    remarks = [f"{FILE} has {count(len(strangers), 'file')} that the set has not: {some(sorted(strangers))}"] if strangers else []
    return numbered([known.get(file, number) for number, file in enumerate(files)]), remarks


def _read(root: Path) -> dict[Path, str]:
    """The groups of files. Raises ValueError where groups.csv cannot be read."""
    found: dict[Path, str] = {}
    try:
        with (root / FILE).open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not {"file", "group"} <= set(rows.fieldnames or ()):
                raise ValueError(f"{FILE} has the columns {', '.join(rows.fieldnames or ['none'])}; expected file and group")
            for row in rows:
                file, group = (Path(os.path.normpath(root / (row["file"] or "").strip())), (row["group"] or "").strip())
                if group and found.setdefault(file, group) != group:
                    raise ValueError(f"{FILE} has {row['file']} twice, in {found[file]} and in {group}; an image has one group")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{FILE} cannot be read ({error})") from None
    return found


def numbered(groups: Sequence[Hashable]) -> list[int]:
    """Whatever groups are called, as whole numbers from 0."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(group, len(numbers)) for group in groups]


def across(groups: Sequence[int] | None, train: int) -> tuple[str, ...]:
    """A remark where groups have images for training, the first `train`, and for testing."""
    both = len(set(groups[:train]) & set(groups[train:])) if groups else 0
    if not both:
        return ()
    have = "group has" if both == 1 else "groups have"
    return (f"{both:,} {have} training and test images: accuracies count test images that are much like what was trained on",)


def split(labels: np.ndarray, groups: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """`source.split` where images have groups: none has images on both sides.

    Of each class about as many images go to test, at least one group where that leaves every class something to train on.
    Raises ValueError where no group can be held out.
    """
    if groups is None:
        return source.split(labels)
    labels, groups = np.unique(labels, return_inverse=True)[1], np.asarray(groups)
    ends = np.cumsum(np.bincount(groups))[:-1]
    members = np.split(labels[np.argsort(groups, kind="stable")], ends)  # the labels of each group's images
    total = np.bincount(labels)
    left, held_out = total, np.zeros(len(members), dtype=bool)  # images of each class; groups
    generator = np.random.default_rng(0)
    for label in range(len(total)):
        own = generator.permutation(np.unique(groups[labels == label]))
        aim = (1 - TEST_SHARE) * total[label]
        for group in own[~held_out[own]]:
            after = left - np.bincount(members[group], minlength=len(total))
            if after.min() > 0 and abs(after[label] - aim) < abs(left[label] - aim):
                left, held_out[group] = after, True
        if left[label] == total[label]:  # each of its groups is more than twice the share: the smallest
            for group in sorted(own, key=lambda group: len(members[group])):
                after = left - np.bincount(members[group], minlength=len(total))
                if after.min() > 0:
                    left, held_out[group] = after, True
                    break
    if not held_out.any():
        raise ValueError(f"no class has two groups of images ({FILE}), so that none can be held out for testing")
    test = held_out[groups]
    return np.flatnonzero(~test), np.flatnonzero(test)
