"""MoCo: momentum contrast (He et al. 2020; v2's MLP head: Chen et al. 2020, "Improved baselines").

A query (one view) must find its key (the other view, through a slowly moving copy
of the encoder) in a dictionary of other images' keys. The dictionary is a queue of
the latest K keys, so that its size does not depend on the batch. The two other
mechanisms of the paper's Figure 2, a memory bank and the batch itself, differ in
where the keys come from and in nothing else.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from sslcore import distributed
from sslcore.beside import beside, join
from sslcore.config import RunConfig
from sslcore.encoders import Norm, SplitBatchNorm2d, build_head
from sslcore.losses import info_nce, info_nce_in_batch, normalised
from sslcore.methods.base import Batch, Method
from sslcore.optim import follow

BANK_MOMENTUM = 0.5  # of a memory bank's entry, as in the code of Wu et al. 2018


class MoCo(Method):
    def __init__(self, config: RunConfig, images: int, classes: int):
        super().__init__(config, images, classes)
        self.options = config.moco
        self.head, dim = build_head(config.head, self.encoder.dim, batch_norm=False)
        if self.options.negatives == "queue":
            self.key_encoder = deepcopy(self.encoder).requires_grad_(False)
            self.key_head = deepcopy(self.head).requires_grad_(False)
            self.register_buffer("queue", normalised(torch.randn(self.options.queue_size, dim)))  # (K, D)
            self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        elif self.options.negatives == "memory_bank":
            self.register_buffer("bank", normalised(torch.randn(images, dim)))  # (images, D)

    def norm_layer(self) -> Norm:
        # BatchNorm in groups of the batch, on one GPU or on several (section 3.3)
        if self.config.moco.bn_splits == 1:
            return nn.BatchNorm2d
        return partial(SplitBatchNorm2d, splits=self.config.bn_splits_at_a_time)

    def embed(self, view1: Tensor, view2: Tensor) -> tuple[Tensor, ...]:
        """(q1, k2), and (q2, k1) too when symmetric; with a memory bank the queries alone."""
        pairs = [(view1, view2), (view2, view1)] if self.options.symmetric else [(view1, view2)]
        keys = [self.keys(view) for _, view in pairs]
        queries = [self.query(view) for view, _ in pairs]
        join(view1)
        return tuple(row for q, of_q in zip(queries, keys) for row in (q, *of_q))

    def query(self, view: Tensor) -> Tensor:
        return self.head(self.encoder(view))  # (N, D)

    def keys(self, view: Tensor) -> tuple[Tensor, ...]:
        """One key (N, D) an image, unless the bank has it already."""
        if self.options.negatives == "memory_bank":
            return ()
        if self.options.negatives == "batch":
            return (self.shuffled(self.query, view),)  # with gradient: end to end
        with beside(view):
            return (self.shuffled(lambda x: self.key_head(self.key_encoder(x)), view),)

    def shuffled(self, network: Callable[[Tensor], Tensor], view: Tensor) -> Tensor:
        """Shuffling BN (section 3.3): keys (N, D), computed with other images in each BatchNorm group than the queries have.

        The images, whose own order is random, are dealt out to the groups of all GPUs in turns. That order is fixed, so a
        micro-batch that passes a second time, with gradient, is shuffled as it was the first time.
        """
        groups = self.config.bn_splits_at_a_time * distributed.world()
        order = (torch.arange(len(view) * distributed.world(), device=view.device) % groups).argsort(stable=True)
        return distributed.exchange(network(distributed.exchange(view, order)), order.argsort())

    def loss(self, rows: tuple[Tensor, ...], batch: Batch) -> Tensor:
        temperature = self.options.temperature
        if self.options.negatives == "queue":
            losses = [info_nce(q, k, self.queue, temperature) for q, k in zip(rows[::2], rows[1::2])]
        elif self.options.negatives == "batch":
            losses = [info_nce_in_batch(q, k, temperature) for q, k in zip(rows[::2], rows[1::2])]
        else:
            positives, negatives = self.bank[batch.indices], self.bank[self.others(batch)]
            losses = [info_nce(q, positives, negatives, temperature) for q in rows]
        return torch.stack(losses).mean()

    def others(self, batch: Batch) -> Tensor:
        """K random images that are not in the batch, so that no positive is among the negatives: (K,)."""
        draw = torch.rand(len(self.bank), device=self.bank.device).index_fill_(0, batch.indices, 2.0)  # never drawn
        return draw.topk(self.options.queue_size, largest=False).indices

    def chance_loss(self) -> float:
        return math.log(self.config.negatives + 1)

    def after_step(self, rows: tuple[Tensor, ...], batch: Batch, step: int, total: int) -> None:
        if self.options.negatives == "queue":
            follow(self.key_encoder, self.encoder, self.options.momentum)
            follow(self.key_head, self.head, self.options.momentum)
            self.enqueue(torch.cat(rows[1::2]))  # after both losses: never a negative of its own step
        elif self.options.negatives == "memory_bank":
            new = normalised(rows[0])
            self.bank[batch.indices] = normalised(BANK_MOMENTUM * self.bank[batch.indices] + (1 - BANK_MOMENTUM) * new)

    def enqueue(self, keys: Tensor) -> None:
        """The keys (any number) take the place of the oldest."""
        size = len(self.queue)
        keys = normalised(keys)[-size:]
        self.queue[(self.pointer + torch.arange(len(keys), device=keys.device)) % size] = keys
        self.pointer.copy_((self.pointer + len(keys)) % size)
