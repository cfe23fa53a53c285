"""Memory: how much a process has taken, and what to do where there is none left."""

import ctypes
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from sslcore.config import RunConfig

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h
NONE_LEFT = (
    "CUDA error: out of memory",  # pinned memory, or a GPU's first use
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
    "could not create a memory object",  # oneDNN, which computes on CPUs, says no more than that
    "could not create a primitive",
)
WHILE_MEASURED = (
    "out of memory while the trained encoder was measured; its weights are kept. Resume when nothing else takes the device's "
    "memory, or where there is more of it"
)


def peak(device: torch.device) -> int:
    """The most bytes that this process has held: of allocated GPU memory, or on a CPU of resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    with suppress(OSError):  # of Linux; getrusage counts what the process that started this one held, too
        if held := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8")):
            return 1024 * int(held[1])
    unit = 1 if sys.platform == "darwin" else 1024  # see getrusage(2) of either
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak(device: torch.device) -> None:
    """Let `peak` count from now on, where the system can: what was held to decode images is no part of a training."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # see proc(5)


def keep_freed() -> None:
    """Let this process keep what it frees, where the C library can: each step asks for the same memory again.

    glibc gives blocks above 32 MB back to the system at once, and when it gets them anew the system fills every page with zeros.
    """
    with suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(MMAP_MAX, 0)  # take every block from the heap
        set_option(TRIM_THRESHOLD, -1)  # and give no end of the heap back


def is_out(error: BaseException) -> bool:
    """Whether a GPU's, numpy's or torch's allocation failed."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(said in str(error) for said in NONE_LEFT)


def advice(config: RunConfig) -> str:
    """What to change where a step does not fit."""
    share = config.batch_size // config.devices
    tried = min(config.micro_batch_size or share, share)
    fewer = max(2, tried // 4)
    parts = (
        f"Set micro_batch_size={fewer}, which keeps the loss that of the whole batch, or choose" if fewer < tried else "Choose"
    )
    return (
        f"out of memory with {tried} images of {config.image_size} px at a time (batch_size {config.batch_size}, "
        f"{config.encoder}). {parts} a smaller batch_size or image_size"
    )
