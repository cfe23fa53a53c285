"""h of many images, from an encoder that stays as it is."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sslcore import distributed
from sslcore.augment import Views
from sslcore.datasets import Images
from sslcore.endings import Failed
from sslcore.stream import in_order

BATCH = 512
PIXELS = 512 * 64 * 64  # a batch, at most


def features(encoder: nn.Module, images: Images, views: Views, precision: torch.dtype) -> Tensor:
    """h (N, D) in float32, on the views' device, of uint8 images (N, S, S, 3), without augmentation.

    The encoder runs in eval mode; its weights, buffers and mode are untouched. Of several processes each encodes
    its share of the images. Raises Failed where h is not finite.
    """
    mine = images[distributed.share(len(images), distributed.rank())]
    h = [encode(encoder, views.plain(x), precision) for x in batches(mine, views.device)]
    return distributed.gather_shares(torch.cat(h) if h else torch.zeros(0, encoder.dim, device=views.device), len(images))


def encode_shared(encoder: nn.Module, x: Tensor, precision: torch.dtype) -> Tensor:
    """`encode` of images that all processes have, each its share."""
    return distributed.gather_shares(encode(encoder, distributed.own(x), precision), len(x))


def encode(encoder: nn.Module, x: Tensor, precision: torch.dtype) -> Tensor:
    """h (n, D) in float32 of normalised images (n, 3, S, S), in eval mode. Raises Failed where it is not finite."""
    with evaluating(encoder), torch.autocast(x.device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
        h = encoder(x).float()
    if not torch.isfinite(h).all():
        raise Failed(
            "the encoder's output h is NaN or infinite for some images, so that nothing can be measured of it. Try a lower "
            "learning_rate, a longer warmup_epochs, or precision=float32"
        )
    return h


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within: eval mode and no gradients. The network's weights, buffers and mode are afterwards as they were."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)


def batches(images: Images, device: torch.device) -> Iterator[Tensor]:
    """The images as tensors on the device, some hundred at a time, each valid until the next; large ones fewer at a time."""
    return in_order(images, device, max(1, min(BATCH, PIXELS // (images.shape[1] * images.shape[2]))))
