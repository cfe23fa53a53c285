"""How h lies on the unit sphere: measures that need no labels and compare across methods, where the views are drawn alike."""

import math

import torch
from torch import Tensor

from sslcore.losses import normalised

CHUNK = 1024  # rows at a time, so that no matrix of all pairs is held


def geometry(h1: Tensor, h2: Tensor) -> dict[str, float]:
    """All four measures of two views' h, (N, D) each; those of one set use the first view."""
    return {
        "alignment": alignment(h1, h2),
        "uniformity": uniformity(h1),
        "effective_rank": effective_rank(h1),
        "std": spread(h1),
    }


def alignment(h1: Tensor, h2: Tensor) -> float:
    """Mean squared distance of two views of an image (Wang & Isola 2020, section 4.1.1, alpha 2): 0 is perfect.

    Unrelated images lie at about 2 where h has either sign, but nearer (0.6 to 1.3) after a ReLU, as the encoders' h is.
    """
    return float((normalised(h1) - normalised(h2)).square().sum(1).mean())


def uniformity(h: Tensor) -> float:
    """log of the mean of exp(-2 d²) over all pairs (Wang & Isola 2020, section 4.1.2, t 2): 0 collapsed, -4 spread evenly."""
    h = normalised(h)
    length = h.square().sum(1)  # (N,) 1, but 0 of a row that is all 0
    sums = []
    for start in range(0, len(h), CHUNK):
        some = slice(start, start + CHUNK)
        squared = length[some, None] + length - 2 * h[some] @ h.T  # (n, N) d²
        squared.diagonal(start).fill_(torch.inf)  # nothing is a pair with itself
        sums.append(torch.logsumexp(-2 * squared, (0, 1)))
    return float(torch.logsumexp(torch.stack(sums), 0)) - math.log(len(h) * (len(h) - 1))


def effective_rank(h: Tensor) -> float:
    """exp of the entropy of h's singular values over their sum: from 1, collapsed, to min(N, D).

    RankMe (Garrido et al. 2023, equation 1) of rows scaled to unit length, as all measures here: the paper's own, of h as
    it is, is another number, and lower where few rows are long.
    """
    h = normalised(h).double()
    values = torch.linalg.eigvalsh(h.T @ h if len(h) > h.shape[1] else h @ h.T).clamp(min=0).sqrt()
    if not values.any():
        return 1.0  # all rows are 0
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


def spread(h: Tensor) -> float:
    """Standard deviation of a coordinate of h, mean over them, times sqrt(D) (SimSiam, section 4.1): 0 collapsed, at most 1."""
    return float(normalised(h).std(0, correction=0).mean()) * h.shape[1] ** 0.5
