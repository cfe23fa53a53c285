"""Floating-point operations of a training step, counted once a run."""

from copy import copy, deepcopy

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sslcore import distributed
from sslcore.convolution import plain
from sslcore.training import Training

PROTOCOL = (
    "operations: those of one training step by PyTorch's counter, over the images of its batch; matrix products and "
    "convolutions, forward and backward, of all views and networks and of the loss; a multiply-add is 2; augmentation, "
    "normalisation and the optimizer left out"
)


def flops_per_image(training: Training) -> float:
    """Of one step with a copy of the networks, at the run's own batch and micro-batch: the training itself is not touched.

    Of several processes all must call it; each counts its own share, loss and all.
    """
    counted = copy(training)
    counted.method = plain(deepcopy(training.method))
    with counted.rehearsal() as (images, batch):
        view = training.views.plain(images)
        with Counter() as counter:
            counted.backward(view, view, batch)
    return counter.operations * distributed.world() / training.config.batch_size


class Counter(TorchDispatchMode):
    """Adds up what PyTorch's formulas say of each operation, as its FlopCounterMode does, whose import takes two seconds."""

    operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        if formula := flop_registry.get(operation._overloadpacket):
            self.operations += formula(*args, **(kwargs or {}), out_val=made)
        return made
