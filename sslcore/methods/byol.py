"""BYOL: bootstrap your own latent (Grill et al. 2020).

An online network predicts, from one view, what a slowly moving copy of itself (the
target) makes of the other view. There are no negatives; the predictor and the
moving average keep the representation from collapsing.
"""

from copy import deepcopy

from torch import Tensor

from sslcore.beside import beside, join
from sslcore.config import RunConfig
from sslcore.encoders import build_head, mlp
from sslcore.losses import byol_regression
from sslcore.methods.base import Batch, Method
from sslcore.optim import cosine_momentum, follow


class BYOL(Method):
    def __init__(self, config: RunConfig, images: int, classes: int):
        super().__init__(config, images, classes)
        self.head, dim = build_head(config.head, self.encoder.dim, batch_norm=True)
        self.predictor = mlp(dim, config.byol.predictor_hidden, dim, batch_norm=True)
        self.target_encoder = deepcopy(self.encoder).requires_grad_(False)
        self.target_head = deepcopy(self.head).requires_grad_(False)

    def embed(self, view1: Tensor, view2: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # Each view passes alone: BatchNorm sees one view at a time, as in the official code
        with beside(view1):
            t1 = self.target_head(self.target_encoder(view1))  # (N, D)
            t2 = self.target_head(self.target_encoder(view2))
        p1 = self.predictor(self.head(self.encoder(view1)))
        p2 = self.predictor(self.head(self.encoder(view2)))
        join(view1)
        return p1, t2, p2, t1

    def loss(self, rows: tuple[Tensor, Tensor, Tensor, Tensor], batch: Batch) -> Tensor:
        p1, t2, p2, t1 = rows
        return byol_regression(p1, t2) + byol_regression(p2, t1)

    def chance_loss(self) -> float:
        return 4.0  # both predictions at right angles to their targets

    def after_step(self, rows: tuple[Tensor, ...], batch: Batch, step: int, total: int) -> None:
        momentum = cosine_momentum(step, total, self.config.byol.momentum)
        follow(self.target_encoder, self.encoder, momentum)
        follow(self.target_head, self.head, momentum)
