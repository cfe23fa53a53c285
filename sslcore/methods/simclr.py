"""SimCLR: a simple framework for contrastive learning (Chen et al. 2020).

Two random views of each image pass through one encoder f and one projection head
g. A view must find its partner among the 2N - 1 other views of the batch.
"""

import math

import torch
from torch import Tensor

from sslcore.config import RunConfig
from sslcore.encoders import build_head
from sslcore.losses import nt_xent
from sslcore.methods.base import Batch, Method


class SimCLR(Method):
    def __init__(self, config: RunConfig, images: int, classes: int):
        super().__init__(config, images, classes)
        self.head, _ = build_head(config.head, self.encoder.dim, batch_norm=True)

    def embed(self, view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor]:
        # As in the official code: both views go through f and g together, and share BatchNorm's statistics
        h = self.encoder(torch.cat([view1, view2]))  # (2N, encoder.dim)
        z1, z2 = self.head(h).chunk(2)  # (N, D) each
        return z1, z2

    def loss(self, rows: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
        z1, z2 = rows
        return nt_xent(z1, z2, self.config.simclr.temperature, self.config.simclr.negatives)

    def chance_loss(self) -> float:
        return math.log(self.config.negatives + 1)
