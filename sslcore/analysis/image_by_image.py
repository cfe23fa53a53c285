"""Two sides image by image: what their runs take each test image for, and where they differ, class by class."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sslcore.analysis.pairs import groups, predictions, same_images
from sslcore.analysis.stats import Difference, over_images, over_seeds
from sslcore.experiment import Run


@dataclass(frozen=True)
class Predicted:
    """What M matched pairs of runs take the same N test images for."""

    index: np.ndarray  # (N,) in the data set
    label: np.ndarray  # (N,)
    a: np.ndarray  # (M, N) predicted classes
    b: np.ndarray  # (M, N)
    seed: np.ndarray  # (M,)
    group: np.ndarray | None = None  # (N,) as `pairs.groups` has it

    @property
    def right_a(self) -> np.ndarray:
        """(N,) in how many of the M runs of a the image is got right."""
        return (self.a == self.label).sum(0)

    @property
    def right_b(self) -> np.ndarray:
        return (self.b == self.label).sum(0)


def predicted_by(matches: Mapping[int, list[tuple[Run, Run]]], measure: str) -> Predicted:
    """Raises ValueError, in one line, where a run has no predictions or they are of other images."""
    seeds = [seed for seed, of_seed in matches.items() for _ in of_seed]
    runs = [run for of_seed in matches.values() for match in of_seed for run in match]  # of a and of b in turn
    files: list[Mapping[str, np.ndarray]] = []
    for run in runs:
        own = predictions(run)
        if own is None:
            raise ValueError(f"{run.id} has no predictions.npz; `python -m sslcore evaluate {shlex.quote(run.id)}` makes it")
        if files and not same_images(files[0], own):
            raise ValueError(f"{run.id} was tested on other images than the runs beside it")
        files.append(own)
    told = np.stack([own[measure] for own in files])  # (2 M, N)
    return Predicted(files[0]["index"], files[0]["label"], told[::2], told[1::2], np.array(seeds), groups(runs, files))


def by_class(predicted: Predicted) -> dict[int, Difference]:
    """The difference on each class's images: over seeds, or of a single pair of runs over images."""
    found = {}
    for label in np.unique(predicted.label):
        own = predicted.label == label
        a, b = predicted.a[:, own] == label, predicted.b[:, own] == label
        if len(predicted.seed) == 1:
            found[int(label)] = over_images(a[0], b[0], None if predicted.group is None else predicted.group[own])
        else:
            differences = a.mean(1) - b.mean(1)  # (M,)
            found[int(label)] = over_seeds([differences[predicted.seed == seed].mean() for seed in np.unique(predicted.seed)], 1)
    return found
