"""Optimizers and the learning rate's course."""

import math
from inspect import unwrap

import torch
from torch import nn

from sslcore.config import RunConfig

MOMENTUM = 0.9


def build_optimizer(network: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """The configured optimizer; biases and BatchNorm take no weight decay (nor LARS's adaptation)."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay, "adapt": True},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "adapt": False},
    ]
    rate = config.peak_learning_rate
    match config.optimizer:
        case "sgd":
            return SGD(groups, lr=rate, momentum=MOMENTUM, fused=True)
        case "lars":
            return LARS(groups, lr=rate)
        case "adamw":
            return AdamW(groups, lr=rate, fused=True)
    raise NotImplementedError(config.optimizer)


class Uncompiled:
    """Methods of torch's optimizers without what hides them from torch's compiler, for that imports it, in two seconds."""

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class SGD(Uncompiled, torch.optim.SGD):
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


class AdamW(Uncompiled, torch.optim.AdamW):
    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


class LARS(Uncompiled, torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017, algorithm 1), with the learning rate outside of the velocity.

    A layer's step is scaled by `trust` |w| / |g|, where g includes the weight
    decay, as in SimCLR's code (algorithm 1 adds the lengths of the two);
    groups with adapt=False (biases, BatchNorm) take a plain momentum step.

    `trust` is 0.02, as in recipes for CIFAR-10 (solo-learn's); the code of SimCLR and BYOL has 0.001, so of their
    learning rates a twentieth makes the same step of a layer (biases and BatchNorm then move a twentieth of theirs).
    BYOL's code has the learning rate outside of the velocity, too; in algorithm 1 and in SimCLR's code it is inside,
    which differs while the rate changes: there each gradient keeps the rate of its own step.
    """

    def __init__(self, groups, lr: float, momentum: float = MOMENTUM, trust: float = 0.02):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0.0, "adapt": True})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if not weights:
                continue
            g = torch._foreach_add([w.grad for w in weights], weights, alpha=group["weight_decay"])
            if group["adapt"]:
                w_norm, g_norm = (torch.stack(torch._foreach_norm(x)) for x in (weights, g))  # (layers,)
                scale = torch.where((w_norm > 0) & (g_norm > 0), group["trust"] * w_norm / g_norm, 1.0)
                torch._foreach_mul_(g, list(scale.unbind()))
            for w in weights:
                if not self.state[w]:
                    self.state[w]["velocity"] = torch.zeros_like(w)
            velocities = [self.state[w]["velocity"] for w in weights]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, g)
            torch._foreach_add_(weights, velocities, alpha=-group["lr"])


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Linear warm-up over `warmup` steps (at most half of `total`), then a cosine to 0 (Loshchilov & Hutter 2017).

    `step` counts from 0 to total - 1.
    """
    warmup = min(warmup, total / 2)
    if step < warmup:
        return peak * (step + 1) / math.ceil(warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, momentum: float) -> None:
    """One step of the exponential moving average of every parameter, biases included. Each network keeps its own buffers."""
    weights = list(average.parameters())
    if weights:  # a head may have none
        torch._foreach_lerp_(weights, list(network.parameters()), 1 - momentum)


def cosine_momentum(step: int, total: int, start: float) -> float:
    """BYOL's target momentum (Grill et al. 2020, section 3.3): from `start` to 1 over `total` steps; 0 stays 0 (Table 5)."""
    return 0.0 if start == 0 else 1 - (1 - start) * (math.cos(math.pi * step / total) + 1) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
