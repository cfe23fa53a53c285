"""Floating-point operations of a training step, counted once a config."""

from copy import copy, deepcopy

from torch.utils.flop_counter import FlopCounterMode

from sslcore import distributed
from sslcore.convolution import plain
from sslcore.train import Training

PROTOCOL = (
    "operations: those of one training step by PyTorch's counter, over the images of its batch; matrix products and convolutions, "
    "forward and backward, of all views and networks and of the loss; a multiply-add is 2; augmentation, normalisation and the optimizer left out"
)


def flops_per_image(training: Training) -> float:
    """Of one step with a copy of the networks, at the run's own batch and micro-batch: the training itself is not touched.

    Of several processes all must call it; each counts its own share, loss and all.
    """
    counted = copy(training)
    counted.method = plain(deepcopy(training.method))
    with FlopCounterMode(display=False) as counter:
        counted.rehearse()
    return counter.get_total_flops() * distributed.world() / training.config.batch_size
