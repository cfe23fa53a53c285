"""How many cores and how much memory there are for this process, and no more threads than cores."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # see cgroups(7)
MEMORY_LIMIT = ("memory.max", "memory.limit_in_bytes")  # bytes: version 2's file, or "max" in it, and version 1's
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> int:
    """Those that it may use, and whose time its control group may take, where the system tells; else all of the machine's."""
    return min(_allowed(), _quota())


def memory() -> int:
    """Bytes: the machine's, or what its control group may take of them."""
    limits = (limit for group in control_groups("memory") if (limit := number(group, *MEMORY_LIMIT)) is not None)
    return min([psutil.virtual_memory().total, *limits])


def free_memory() -> int:
    """Bytes that this process may still take: the machine's, or what is left of its control group's."""
    free = psutil.virtual_memory().available
    for group in control_groups("memory"):
        limit, taken = number(group, *MEMORY_LIMIT), number(group, "memory.current", "memory.usage_in_bytes")
        with suppress(OSError, ValueError, TypeError):  # no such file, or no limit
            counts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
            kept = sum(int(counts.get(name, 0)) for name in ("active_file", "inactive_file"))  # of files that were read
            free = min(free, limit - taken + kept)
    return free


def limit_threads(chosen: int | None = None) -> None:
    """To be called before torch is imported. `chosen`: the run's `threads`.

    torch and numba count the machine's cores, not those of a quota. With a thread for each of them the quota is
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
    """Cores, whole ones, whose time the control group may take."""
    quotas = [math.inf]
    for group in control_groups("cpu"):  # microseconds of computing, and in how many
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()  # "max" where there is none
            quotas.append(math.ceil(int(quota) / int(period)))
        quota, period = (number(group, f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota and period and quota > 0:  # -1: none
            quotas.append(math.ceil(quota / period))
    return max(1, min(quotas))


def control_groups(controller: str) -> Iterator[Path]:
    """The folders of the control groups that this process is in, its own and those around it: what each may take counts.

    Of version 2, whose groups have all controllers, and of version 1, with groups for each.
    """
    with suppress(OSError, ValueError):
        for line in OWN.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = GROUPS / controller if controllers else GROUPS
            here = top / path.strip("/")
            yield here
            yield from (around for around in here.parents if around.is_relative_to(top))


def number(group: Path, *files: str) -> int | None:
    """The whole number in the first of the files that has one."""
    for file in files:
        with suppress(OSError, ValueError):
            return int((group / file).read_text(encoding="utf-8"))
    return None
