"""The supervised reference: the same encoder and views, with the labels."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from sslcore.config import RunConfig
from sslcore.methods.base import Batch, Method


class Supervised(Method):
    one_view = True

    def __init__(self, config: RunConfig, images: int, classes: int):
        super().__init__(config, images, classes)
        self.classes = classes
        self.classifier = nn.Linear(self.encoder.dim, classes)

    def embed(self, view1: Tensor, view2: Tensor) -> tuple[Tensor]:
        return (self.classifier(self.encoder(view1)),)  # (N, classes)

    def loss(self, rows: tuple[Tensor], batch: Batch) -> Tensor:
        return F.cross_entropy(rows[0].float(), batch.labels)

    def chance_loss(self) -> float:
        return math.log(self.classes)
