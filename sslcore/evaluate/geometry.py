"""How h lies on the unit sphere: measures that need no labels and compare across methods."""

import torch
from torch import Tensor

from sslcore.losses import normalised


def geometry(h1: Tensor, h2: Tensor) -> dict[str, float]:
    """All four measures of two views' h, (N, D) each; those of one set use the first view."""
    return {
        "alignment": alignment(h1, h2),
        "uniformity": uniformity(h1),
        "effective_rank": effective_rank(h1),
        "std": spread(h1),
    }


def alignment(h1: Tensor, h2: Tensor) -> float:
    """Mean squared distance of two views of an image (Wang & Isola 2020, section 4.1.1, alpha 2): 0 is perfect, 2 unrelated."""
    return float((normalised(h1) - normalised(h2)).square().sum(1).mean())


def uniformity(h: Tensor) -> float:
    """log of the mean of exp(-2 d²) over all pairs (Wang & Isola 2020, section 4.1.2, t 2): 0 is collapsed, about -4 spread evenly."""
    squared = torch.pdist(normalised(h)).square()
    return float(torch.logsumexp(-2 * squared, 0) - torch.log(torch.tensor(float(len(squared)))))


def effective_rank(h: Tensor) -> float:
    """exp of the entropy of h's normalised singular values (RankMe, Garrido et al. 2023, equation 1): from 1, collapsed, to D."""
    values = torch.linalg.svdvals(normalised(h).cpu())
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


def spread(h: Tensor) -> float:
    """Standard deviation of a coordinate of h, mean over coordinates, times sqrt(D) (SimSiam, section 4.1): 0 collapsed, at most 1."""
    return float(normalised(h).std(0, correction=0).mean()) * h.shape[1] ** 0.5
