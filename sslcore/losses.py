"""The losses of the three methods, in float32 whatever the networks' precision.

Each takes projections as the heads give them, not yet normalised: (N, D).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def normalised(x: Tensor) -> Tensor:
    """Rows of length one, in at least float32."""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=1)


def info_nce(q: Tensor, k: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """MoCo's loss (He et al. 2020, equation 1): the positive k_i against K negatives.

    q, k: (N, D). negatives: (K, D), rows of length one, shared by the batch.
    Returns the mean over the batch; ln(K + 1) where nothing is told apart.
    """
    q, k = normalised(q), normalised(k)
    positive = (q * k).sum(1, keepdim=True)  # (N, 1)
    negative = q @ negatives.to(q.dtype).T  # (N, K)
    logits = torch.cat([positive, negative], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


def info_nce_in_batch(q: Tensor, k: Tensor, temperature: float) -> Tensor:
    """The end-to-end mechanism of MoCo's Figure 2a: the other images' keys are the negatives.

    q, k: (N, D). Returns the mean over the batch; ln(N) where nothing is told apart.
    """
    logits = normalised(q) @ normalised(k).T / temperature  # (N, N), the positives on the diagonal
    return F.cross_entropy(logits, torch.arange(len(q), device=q.device))


def nt_xent(z1: Tensor, z2: Tensor, temperature: float, negatives: int | None = None) -> Tensor:
    """SimCLR's loss (Chen et al. 2020, equation 1): each of 2N views against its partner and the others.

    z1, z2: (N, D), the two views of the same images. With `negatives`, each view
    sees that many of its 2N - 2 negatives, drawn anew. Returns the mean over 2N
    views; ln(2N - 1), or ln(negatives + 1), where nothing is told apart.
    """
    n = len(z1)
    z = normalised(torch.cat([z1, z2]))  # (2N, D)
    logits = z @ z.T / temperature  # (2N, 2N)
    rows = torch.arange(2 * n, device=z.device)
    partner = rows.roll(n)  # i's other view
    logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), float("-inf"))
    if negatives is not None:
        draw = torch.rand(2 * n, 2 * n, device=z.device)
        draw.scatter_(1, rows[:, None], 2.0).scatter_(1, partner[:, None], -1.0)  # never itself, always the partner
        kept = draw.topk(negatives + 1, dim=1, largest=False).indices  # (2N, negatives + 1)
        hidden = torch.ones_like(logits, dtype=torch.bool).scatter_(1, kept, False)
        logits = logits.masked_fill(hidden, float("-inf"))
    return F.cross_entropy(logits, partner)


def byol_regression(p: Tensor, z: Tensor) -> Tensor:
    """BYOL's loss (Grill et al. 2020, equation 2): squared distance of the normalised prediction and target.

    p: (N, D), the predictions. z: (N, D), the targets, without gradient. Returns
    the mean of 2 - 2 cos(p_i, z_i), from 0 to 4; 2 where the two are unrelated.
    """
    return 2 - 2 * (normalised(p) * normalised(z)).sum(1).mean()
