"""h against z: what the projection head keeps of h, and what it throws away (SimCLR, section 4.2 and Table 3)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sslcore import datasets
from sslcore.augment import Views, gray, to_float, turn_hue
from sslcore.datasets import Data
from sslcore.evaluate.features import batches, encode_shared, evaluating
from sslcore.evaluate.probe import accuracy

HEADS_PROTOCOL = (
    "the encoder's output h and the head's z, both in eval mode. linear: the linear probe of each, all of train against the "
    "whole test set. forgets: a linear probe tells which of equally many changes was made to an image (grayscale: none, grey; "
    "colour: none, half as bright, twice as saturated, hue turned half round; rotation: 0, 90, 180, 270 degrees; flip: none, "
    "mirrored; the first two of images that have colour), fitted on the training images of the fixed evaluation sample, accuracy "
    "on its test images. SimCLR's Table 3 trains MLPs instead"
)

Change = Callable[[Tensor], Tensor]  # (N, 3, S, S) in [0, 1] -> the same


def unchanged(x: Tensor) -> Tensor:
    return x


def half_turn(x: Tensor) -> Tensor:
    return turn_hue(x, x.new_full((len(x), 1, 1, 1), 0.5))


OF_COLOUR: dict[str, tuple[Change, ...]] = {
    "grayscale": (unchanged, lambda x: gray(x).expand_as(x)),
    "colour": (unchanged, lambda x: x / 2, lambda x: (2 * x - gray(x)).clamp(0, 1), half_turn),
}
OF_ORIENTATION: dict[str, tuple[Change, ...]] = {
    "rotation": tuple(lambda x, quarters=quarters: x.rot90(quarters, (2, 3)) for quarters in range(4)),
    "flip": (unchanged, lambda x: x.flip(3)),
}


def project(head: nn.Module, h: Tensor) -> Tensor:
    """z (N, d) of h (N, D), in eval mode; the head's weights, buffers and mode are untouched."""
    with evaluating(head):
        return head(h)


def restore_head(head: nn.Module, method: dict[str, Tensor]) -> None:
    """Load the trained head's weights from those of the whole method, as a checkpoint has them. Raises what torch raises."""
    head.load_state_dict({name.removeprefix("head."): value for name, value in method.items() if name.startswith("head.")})


def forgets(encoder: nn.Module, head: nn.Module, data: Data, sample: int, views: Views, precision: torch.dtype) -> dict:
    """{task: {h, z, chance, n_train, n_test}}: accuracies with which h and z tell the changes of a task apart.

    Tasks of colour are of the images that have some, and left out where one side has none.
    """
    indices = datasets.sample(data, sample)
    sides = [data.images(some) for some in (indices[indices < len(data.x_train)], indices[indices >= len(data.x_train)])]
    coloured = [images[has_colour(images, views.device)] for images in sides]
    results = {}
    for task, changes in ((OF_COLOUR if all(map(len, coloured)) else {}) | OF_ORIENTATION).items():
        asked = coloured if task in OF_COLOUR else sides
        (h, y), (h_test, y_test) = (changed(encoder, images, changes, views, precision) for images in asked)
        truth = y_test.cpu().numpy()
        of_h = of_z = accuracy(h, y, h_test, truth, len(changes))
        if not isinstance(head, nn.Identity):
            of_z = accuracy(project(head, h), y, project(head, h_test), truth, len(changes))
        chance = float(np.bincount(truth).max() / len(truth))
        results[task] = {"h": of_h, "z": of_z, "chance": chance, "n_train": len(y), "n_test": len(truth)}
    return results


def has_colour(images: np.ndarray, device: torch.device) -> np.ndarray:
    """Which of uint8 images (N, S, S, 3) are not grey throughout: (N,)."""
    return np.concatenate([(x[..., :1] != x[..., 1:]).flatten(1).any(1).cpu().numpy() for x in batches(images, device)])


def changed(
    encoder: nn.Module, images: np.ndarray, changes: tuple[Change, ...], views: Views, precision: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(h (N, D) of uint8 images (N, S, S, 3), each changed in one way, which way (N,)): the same ways at every call."""
    y = torch.arange(len(images)) % len(changes)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))].to(views.device)
    h, start = [], 0
    for batch in batches(images, views.device):
        x, ways = to_float(batch), y[start : start + len(batch)]
        for way, change in enumerate(changes):
            x[ways == way] = change(x[ways == way])
        h.append(encode_shared(encoder, views.normalise(x), precision))
        start += len(batch)
    return torch.cat(h), y
