"""What the training loop asks of a method."""

from typing import NamedTuple

from torch import Tensor, nn

from sslcore.config import RunConfig
from sslcore.encoders import Norm, build_encoder


class Batch(NamedTuple):
    """Which images a step trains on."""

    indices: Tensor  # (N,), in the training set
    labels: Tensor | None  # (N,)


class Method(nn.Module):
    """A method is an encoder, what surrounds it, and three acts: embed, loss, after_step.

    Everything that is to survive a restart is a parameter or a buffer. The loop
    trains every parameter that requires a gradient.
    """

    encoder: nn.Module  # images -> h; what is kept and evaluated
    head: nn.Module  # h -> z, the identity unless the method has one
    one_view = False  # whether it looks at an image's first view alone, which then stands for both

    def __init__(self, config: RunConfig, images: int, classes: int):
        """`images`: size of the training set. `classes`: 0 without labels."""
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder, config.image_size, self.norm_layer())
        self.head = nn.Identity()

    def norm_layer(self) -> Norm:
        """The normalisation inside the encoder; asked for while there is only `config`."""
        return nn.BatchNorm2d

    def embed(self, view1: Tensor, view2: Tensor) -> tuple[Tensor, ...]:
        """All passes through networks, perhaps in bfloat16: two views (n, 3, S, S) -> rows (n, ...) for the loss.

        n is this device's share of the batch, or a micro-batch of it, which passes twice: without gradient, then with. The
        first of the rows is logged as z.
        """
        raise NotImplementedError

    def loss(self, rows: tuple[Tensor, ...], batch: Batch) -> Tensor:
        """The paper's formula on the rows (N, ...) of the whole batch, as embed made them: turned into float32 here."""
        raise NotImplementedError

    def chance_loss(self) -> float:
        """The loss of an encoder that tells nothing apart."""
        raise NotImplementedError

    def after_step(self, rows: tuple[Tensor, ...], batch: Batch, step: int, total: int) -> None:
        """What follows the optimizer's step number `step` (from 1 to total), without gradient: moving averages, queues."""
