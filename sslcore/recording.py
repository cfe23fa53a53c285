"""The passes of a step as a CUDA graph, which a GPU works through by itself.

Python takes longer to launch most kernels of a step than a GPU to compute them, and launched one by one they leave it idle
for much of the time (benchmarks/gpu.md). Recorded once, views, networks, loss and gradients are launched as one. What
changes from step to step stays outside: the learning rate with the weights' update, moving averages, queues. Random numbers
follow the generator's seed as they do without a graph, so that a recorded step draws what a plain one draws.
"""

import torch
from torch import Tensor

from sslcore import distributed
from sslcore.methods.base import Batch
from sslcore.pulse import AnyPulse
from sslcore.training import Training

WARM_UP = 3  # passes before the one that is recorded: cuDNN looks for its fastest ways meanwhile


def wanted(training: Training) -> bool:
    """On one GPU, unless compile=off, with which Python launches every operation."""
    return training.device.type == "cuda" and distributed.world() == 1 and training.config.compile != "off"


def record_passes(training: Training, pulse: AnyPulse) -> None:
    """Record them; where that fails, warn, and let Python launch them as before."""
    try:
        training.graph = Graph(training)
    except Exception as error:  # CUDA's, PyTorch's, or no memory for it
        said = str(error).strip().partition("\n")[0][:300]
        pulse.warn(
            f"no CUDA graph of a step could be made ({type(error).__name__}: {said}); the run goes on without it, slower and "
            "with the same result"
        )
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        # The generator still believes that it is being recorded.
        generator.graphsafe_set_state(torch.Generator(training.device).graphsafe_get_state())
        torch.cuda.empty_cache()


class Graph:
    """`training.passes` as a recorded graph: called like it, with the same result."""

    def __init__(self, training: Training):
        stream = torch.cuda.Stream()
        with training.rehearsal() as (images, batch):
            self.inputs = (images, *batch)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    training.passes(images, batch)
                    training.optimizer.zero_grad()  # the recorded pass sets gradients, it does not add to them
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
                self.loss, self.rows = training.passes(images, batch)
            self.gradients = [(weight, weight.grad) for weight in training.method.parameters() if weight.grad is not None]

    def __call__(self, images: Tensor, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        for recorded, given in zip(self.inputs, (images, *batch)):
            if recorded is not None:
                recorded.copy_(given)
        self.graph.replay()
        for weight, gradient in self.gradients:
            weight.grad = gradient
        return self.loss.clone(), tuple(row.clone() for row in self.rows)
