"""Numbers of the log that the device computes, read without any step waiting for them."""

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class Readout:
    """Numbers on their way to the host, in the order in which they were sent.

    A GPU copies them into pinned memory behind the kernels that compute them, and an event says when they are there.
    On a CPU they are there at once.
    """

    def __init__(self):
        self.coming: deque[tuple[dict, Tensor, torch.cuda.Event | None]] = deque()

    def send(self, about: dict, numbers: Sequence[Tensor]) -> None:
        """`numbers`: scalars on the device; `about` comes back with them."""
        numbers, event = torch.stack([number.float() for number in numbers]), None
        if numbers.is_cuda:
            numbers = torch.empty(len(numbers), pin_memory=True).copy_(numbers, non_blocking=True)
            event = torch.cuda.current_stream().record_event()
        self.coming.append((about, numbers, event))

    def arrived(self, wait: bool = False) -> Iterator[tuple[dict, list[float]]]:
        """What has arrived since the last call; with `wait`, all that was sent."""
        while self.coming and (wait or self.coming[0][2] is None or self.coming[0][2].query()):
            about, numbers, event = self.coming.popleft()
            if event is not None:
                event.synchronize()
            yield about, numbers.tolist()
