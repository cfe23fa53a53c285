"""How many cores and how much memory there are for this process, and no more threads than cores."""

import math
import os
from contextlib import suppress
from pathlib import Path

import psutil

LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container: bytes, or "max"
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of computing, and in how many, or "max"; see cgroups(7)
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> int:
    """Those that it may use, and whose time its container may take, where the system tells; else all of the machine's."""
    return min(_allowed(), _quota())


def memory() -> int:
    """Bytes: the machine's, or what its container may take of them."""
    with suppress(OSError, ValueError):
        return min(int(LIMIT.read_text(encoding="utf-8")), psutil.virtual_memory().total)
    return psutil.virtual_memory().total


def limit_threads(chosen: int | None = None) -> None:
    """To be called before torch is imported. `chosen`: the run's `threads`.

    torch and numba count the machine's cores, not those of a container's quota. With a thread for each of them the quota is
    soon used up, and the system stops all of them until the next period.
    """
    if chosen:
        os.environ.update(dict.fromkeys(THREADS, str(chosen)))
    elif _quota() < _allowed():
        for name in THREADS:
            os.environ.setdefault(name, str(cores()))


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota() -> float:
    with suppress(OSError, ValueError):
        quota, period = QUOTA.read_text(encoding="utf-8").split()
        return max(1, math.ceil(int(quota) / int(period)))
    return math.inf
