"""Images on their way to the device: they live there when they fit, else each batch is read ahead.

A set lives on a GPU when it takes at most half of the GPU's memory that is free before the networks are built. On a
CPU the decoded file is its memory map, which the processes of a machine share; where it takes more than half of the
free memory it is read ahead, so that no step waits for the disk.
"""

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sslcore import cores
from sslcore.datasets import Images

ROOM = 0.5  # of the free memory, for images


def fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of images may live on the device."""
    return size <= ROOM * free_memory(device)


def free_memory(device: torch.device) -> int:
    """Bytes; on a CPU within the limits of control groups, as a container has."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's, to be used again
        return torch.cuda.mem_get_info(device)[0] + cached
    return cores.free_memory()


class Resident:
    """All images on the device (a CPU: where they are mapped)."""

    def __init__(self, images: Images, device: torch.device):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a read-only memory map, and nothing writes to this one
            self.images = torch.from_numpy(np.asarray(images)).to(device)  # uint8 (N, S, S, 3)

    def take(self, step: int, indices: Tensor) -> Tensor:
        """The images of a step, uint8 (n, S, S, 3)."""
        return self.images[indices]


class Streamed:
    """Images in a memory-mapped file: while a step trains, the next one's are read."""

    def __init__(self, images: Images, device: torch.device, rows: Callable[[int], Tensor | None]):
        """`rows` says which images a step will take, (n,) on the CPU; None after the last step."""
        self.reader, self.rows = Reader(images, device), rows
        self.coming: dict[int, Future] = {}

    def take(self, step: int, indices: Tensor) -> Tensor:
        """The images of a step, uint8 (n, S, S, 3); valid until the next step's are taken."""
        now = self.coming.pop(step, None) or self.reader.read(self.rows(step).numpy())
        ahead = self.rows(step + 1)
        self.coming = {} if ahead is None else {step + 1: self.reader.read(ahead.numpy())}
        return self.reader.arrived(now)


def in_order(images: Images, device: torch.device, size: int) -> Iterator[Tensor]:
    """All images, uint8 (n, S, S, 3), `size` at a time, each piece valid until the next."""
    reader = Reader(images, device)
    starts = range(0, len(images), size)
    reads = (reader.read(np.arange(start, min(start + size, len(images)))) for start in starts)
    coming = next(reads, None)
    while coming:
        now, coming = coming, next(reads, None)
        yield reader.arrived(now)


class Reader:
    """A thread that reads images into two buffers in turn; for a GPU pinned, and copied while it computes."""

    def __init__(self, images: Images, device: torch.device):
        self.images, self.device = images, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        # Unless told otherwise, a thread's GPU is the first.
        on_device = (torch.cuda.set_device, (self.stream.device,)) if self.stream else (None, ())
        self.thread = ThreadPoolExecutor(1, "images", *on_device)
        self.buffers: list[Tensor] = [torch.empty(0), torch.empty(0)]
        self.copied: list[torch.cuda.Event | None] = [None, None]
        self.turn = 0

    def read(self, rows: np.ndarray) -> Future:
        """Begin to read some images. There are two buffers: this overwrites what the read before the last one gave."""
        return self.thread.submit(self._read, rows)

    def _read(self, rows: np.ndarray) -> tuple[Tensor, "torch.cuda.Event | None"]:
        self.turn = turn = 1 - self.turn
        if len(self.buffers[turn]) < len(rows):
            self.buffers[turn] = torch.empty(
                len(rows), *self.images.shape[1:], dtype=torch.uint8, pin_memory=self.stream is not None
            )
        elif self.copied[turn]:
            self.copied[turn].synchronize()  # the buffer's last images have left it
        part = self.buffers[turn][: len(rows)]
        self.images.take(rows, axis=0, out=part.numpy(), mode="clip")  # outside of Python's lock
        if self.stream is None:
            return part, None
        with torch.cuda.stream(self.stream):
            on_device = part.to(self.device, non_blocking=True)
            self.copied[turn] = self.stream.record_event()
        return on_device, self.copied[turn]

    def arrived(self, images: Future) -> Tensor:
        """The images, once they are there; on a GPU, what is computed from now on waits for them."""
        part, event = images.result()
        if event:
            torch.cuda.current_stream(self.device).wait_event(event)
            part.record_stream(torch.cuda.current_stream(self.device))
        return part
