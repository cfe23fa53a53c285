"""The linear probe: how well a linear classifier of h tells the classes apart."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sslcore.analysis.stats import of_accuracy
from sslcore.datasets.source import split
from sslcore.evaluate.lbfgs import minimum

REGULARISATION = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # lambda of mean cross-entropy + lambda / 2 |W|²
HELD_OUT = 0.2  # of each class, at least one image of two or more
WITHOUT_CHOICE = 1e-1  # lambda where no class has two images
ROUNDING = 1e-6  # times D, beside a feature's variance of 1: what is rounded in x'x is less


@dataclass
class Probe:
    """A fitted probe: standardise, then W and b."""

    mean: Tensor  # (D,)
    std: Tensor  # (D,)
    weight: Tensor  # (classes, D)
    bias: Tensor  # (classes,)
    regularisation: float

    def predict(self, h: Tensor) -> Tensor:
        """h (N, D) -> classes (N,)."""
        return (((h - self.mean) / self.std) @ self.weight.T + self.bias).argmax(1)


def fit_probe(h: Tensor, y: Tensor, classes: int) -> Probe:
    """Multinomial logistic regression on standardised h (N, D) with labels y (N,).

    A feature that is the same in all N images counts for nothing, whatever it is in others.

    Lambda is the one of REGULARISATION with the best accuracy on a held-out fifth
    of each class's (training) images; the probe is then fitted on all of them.
    Where every class has a single image none can be held out, and lambda is
    WITHOUT_CHOICE. Test images play no part.
    """
    mean = h.mean(0)
    std = h.std(0, correction=0)
    std[std <= 1e-6 * mean.abs().clamp(min=1)] = torch.inf  # what is smaller is rounding
    x = (h - mean) / std
    axes = None
    if len(x) < x.shape[1]:  # the weights sought are sums of the images' rows, of which the last is the others' negative sum
        axes = torch.linalg.qr(x[:-1].T).Q  # (D, N - 1)
        x = x @ axes
    labels = y.cpu().numpy()
    best, chosen, start, of_chosen = -1.0, WITHOUT_CHOICE, None, None
    if np.bincount(labels).max() > 1:
        rest, held_out = (torch.from_numpy(rows).to(x.device) for rows in split(labels, HELD_OUT))
        for regularisation in REGULARISATION:
            start = minimise(x[rest], y[rest], classes, regularisation, start)
            weight, bias = start
            accuracy = float(((x[held_out] @ weight.T + bias).argmax(1) == y[held_out]).float().mean())
            if accuracy > best:
                best, chosen, of_chosen = accuracy, regularisation, start
    weight, bias = minimise(x, y, classes, chosen, of_chosen)
    return Probe(mean, std, weight if axes is None else weight @ axes.T, bias, chosen)


def accuracy(h: Tensor, y: Tensor, h_test: Tensor, y_test: np.ndarray, classes: int) -> float:
    """Of the probe that is fitted to h (N, D) and y (N,), on h_test (M, D) and y_test (M,)."""
    return float((fit_probe(h, y, classes).predict(h_test).cpu().numpy() == y_test).mean())


def minimise(
    x: Tensor, y: Tensor, classes: int, regularisation: float, start: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """The minimum of mean cross-entropy + lambda / 2 |W|² by L-BFGS: weight (classes, D) and bias (classes,).

    Features are correlated, so that the loss is steep along some weights and flat along others. W is therefore sought as
    coordinates @ basis, along which it is about equally steep: at W = 0 its second derivatives are x'x / (N classes) + lambda
    for each class, but for what all classes have in common (Böhning 1992).

    The products with x are computed on x's device, L-BFGS itself on the CPU: on a GPU each of its decisions would wait.
    """
    device, dim = x.device, x.shape[1]
    identity = torch.eye(dim, device=device)
    root = torch.linalg.cholesky(x.T @ x / (len(x) * classes) + (regularisation + ROUNDING * dim) * identity)  # (D, D)
    basis = torch.linalg.solve_triangular(root, identity, upper=False)  # its inverse
    truth = F.one_hot(y, classes).to(x.dtype)  # (N, classes)

    def weights(point: Tensor) -> tuple[Tensor, Tensor]:
        coordinates, bias = point.to(device).view(classes, dim + 1).split([dim, 1], 1)
        return coordinates @ basis, bias.squeeze(1)

    def loss(point: Tensor) -> tuple[float, Tensor]:
        weight, bias = weights(point)
        log_p = (x @ weight.T + bias).log_softmax(1)
        of_logits = (log_p.exp() - truth) / len(x)  # the loss's gradient at the logits
        of_weight = of_logits.T @ x + regularisation * weight
        value = regularisation / 2 * weight.square().sum() - (log_p * truth).sum() / len(x)
        return float(value), torch.cat([of_weight @ basis.T, of_logits.sum(0)[:, None]], 1).view(-1).cpu()

    weight, bias = start or (x.new_zeros(classes, dim), x.new_zeros(classes))
    return weights(minimum(loss, torch.cat([weight @ root, bias[:, None]], 1).view(-1).cpu()))


def score(predicted: np.ndarray, truth: np.ndarray, classes: tuple[str, ...], groups: np.ndarray | None = None) -> dict:
    """Of classes (M,): accuracy with its 95 % interval, recall of each class, and the confusion matrix (rows: truth).

    groups: int (M,), as of `Data`.
    """
    right = predicted == truth
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (truth, predicted), 1)
    seen = confusion.sum(1)
    return {
        "accuracy": int(right.sum()) / len(truth),
        "ci95": list(of_accuracy(right, groups)),
        "per_class": {name: confusion[i, i] / int(seen[i]) if seen[i] else None for i, name in enumerate(classes)},
        "confusion": confusion.tolist(),
        "classes": list(classes),
    }
