"""torch.compile for the networks of a training.

Each network of a method (encoder, head, predictor, their moving averages) is compiled as one piece, for the passes of
training alone: a GPU then does BatchNorm, ReLU and the sum of a block in one kernel where it did three. What surrounds
them stays as it is written: the views, whose random numbers a compiler would draw in an order of its own; queues and
moving averages, whose numbers change at each step; rows that processes exchange; the losses, a few kernels. The weights
and their names stay the same, and so, but for rounding, does what is computed.
"""

import importlib.util

from sslcore.pulse import AnyPulse
from sslcore.training import Training

# Steps. Compiling is earned after 1,000 where torch's cache has the networks, as from a grid's second run on, else after 6,000
# or 7,000 (benchmarks/gpu.md).
LONG = 5_000


def wanted(training: Training) -> bool:
    """What `compile` says. auto: a ResNet on one GPU with Triton, where the whole run has LONG steps.

    Of the small encoder's step a third are views, which are not compiled.
    """
    config = training.config
    if config.compile != "auto":
        return config.compile == "on"
    possible = training.device.type == "cuda" and config.devices == 1 and importlib.util.find_spec("triton") is not None
    return possible and config.encoder != "small" and training.total >= LONG


def compile_networks(training: Training, pulse: AnyPulse) -> None:
    """Compile them and see that they run; where they do not, warn and leave them as they were."""
    import torch._dynamo  # takes two seconds

    pulse.say("compiling the networks, which takes up to a minute")
    torch._dynamo.config.recompile_limit = 64  # of all networks together, each with and without gradient
    torch.compiler.set_stance("force_eager")  # for evaluations; Training.passes, where compiled, says otherwise
    training.compiled = True
    try:
        for network in training.method.children():
            network.compile(dynamic=False)
        with training.rehearsal() as (images, batch):
            training.passes(images, batch)
    except Exception as error:  # a compiler raises many kinds
        training.compiled = False
        said = str(error).strip().partition("\n")[0][:300]
        pulse.warn(
            f"torch.compile failed ({type(error).__name__}: {said}); the run goes on without it, slower and with the same result"
        )
