"""What this machine trains on: a slot a GPU and one a core of the CPU, each one run at a time.

A run takes a slot for each of its GPUs, or the cores that its `threads` keep busy: all of them, unless it says how many.

A slot is a locked file, <root>/.agent/<host>/gpu0.lock, that names its run. The
lock is inherited by every process of the run, so the kernel frees it when the
last of them is gone, and no agent's death books a device twice.
"""

import math
import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sslcore.config import RunConfig
from sslcore.cores import cores, memory
from sslcore.experiment import Store
from sslcore.locks import taken
from sslcore.wording import count

BYTES_A_RUN = 2 * 2**30  # of memory that a run on the CPU is taken to need
HOST = socket.gethostname()
ASK_AGAIN_SECONDS = 60.0
TRIES = 3


def folder(store: Store) -> Path:
    """Where this host's agent of a store keeps its files."""
    return store.root / ".agent" / HOST


@dataclass(frozen=True)
class Device:
    """Something that trains one run at a time."""

    name: str  # "cpu", "gpu0", ...
    label: str
    visible: str  # CUDA_VISIBLE_DEVICES of its run
    core: int = 0  # which, of the CPU's

    def lock_file(self, store: Store) -> Path:
        """Locked by the run that the device trains, and naming it."""
        return folder(store) / f"{self.name}{self.core or ''}.lock"


CPU = Device("cpu", "CPU", "")


def cpus() -> tuple[Device, ...]:
    """The CPU's cores."""
    return tuple(replace(CPU, core=core) for core in range(cores()))


_listed: list[str] = []  # what nvidia-smi has answered, once it has
_refused_at = -math.inf  # when it last did not, monotonic


def gpus() -> tuple[Device, ...]:
    """The GPUs that `nvidia-smi` lists, as far as CUDA_VISIBLE_DEVICES lets us see them.

    If nvidia-smi fails, as its driver may be waking up, it is tried up to three times in a row and then once a minute; one that
    hangs is not tried again at once. Until it answers there are no GPUs.
    """
    global _refused_at
    if not _listed and time.monotonic() - _refused_at > ASK_AGAIN_SECONDS:
        for _ in range(TRIES):
            try:
                query = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
                _listed.append(subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout)
                break
            except FileNotFoundError:
                _listed.append("")
                break
            except (OSError, subprocess.SubprocessError) as error:
                _refused_at = time.monotonic()
                if isinstance(error, subprocess.TimeoutExpired):
                    break
    return visible_gpus(_listed[0], os.environ.get("CUDA_VISIBLE_DEVICES")) if _listed else ()


def visible_gpus(listing: str, visible: str | None) -> tuple[Device, ...]:
    """The devices in lines of "index, uuid, name"; `visible` is CUDA_VISIBLE_DEVICES, None where it is not set."""
    rows = [[part.strip() for part in line.split(",", 2)] for line in listing.splitlines() if line.count(",") >= 2]
    found = [(index, uuid, Device(f"gpu{index}", name, uuid)) for index, uuid, name in rows]
    if visible is None:
        return tuple(device for _, _, device in found)
    wanted = [word.strip() for word in visible.split(",") if word.strip()]
    named = {word: next((d for i, u, d in found if word == i or u.startswith(word)), None) for word in wanted}
    parts = [Device(word.lower()[:12], "part of a GPU (MIG)", word) for word in wanted if word.startswith("MIG-")]
    return (*(Device(d.name, d.label, word) for word, d in named.items() if d), *parts)


def devices_for(config: RunConfig) -> Sequence[Device]:
    """Where a run may be trained. Raises ValueError, in words, where there is no such place."""
    wanted, count = config.device, config.devices
    if wanted == "cuda" and not gpus():
        raise ValueError("device: cuda was asked for, and this machine has no GPU that can be seen; choose auto or cpu")
    if wanted != "cpu" and count > max(1, len(gpus())):
        raise ValueError(
            f"devices: {count} GPUs were asked for, and this machine has {len(gpus()) or 'none'}; choose fewer, or device=cpu "
            "for as many processes"
        )
    return cpus() if wanted == "cpu" or not gpus() else gpus()


def slots_for(config: RunConfig) -> int:
    """How many of them it takes: one a GPU; or a core a thread, and as many cores at least as come with BYTES_A_RUN of memory."""
    if CPU not in devices_for(config):
        return config.devices
    if config.threads is None:
        return cores()
    part = math.ceil(cores() * BYTES_A_RUN / memory())
    return min(cores(), max(config.threads * config.devices, part))


def at_once(configs: Collection[RunConfig]) -> int:
    """How many of these runs are trained at a time here, at least, where nothing else is."""
    with suppress(ValueError):  # there are no such devices
        return min(len(configs), *(len(devices_for(config)) // slots_for(config) for config in configs))
    return 1


def in_use(store: Store) -> list[tuple[str, str | None]]:
    """What there is to train on, in words, and the run that holds it, or the experiment whose encoders are probed on it."""
    by_core = Counter(taken(core.lock_file(store)) for core in cpus())
    of = count(by_core.total(), "core")
    shares = [(f"{CPU.label}, {of}" if len(by_core) == 1 else f"{CPU.label}, {n} of {of}", run) for run, n in by_core.items()]
    return [*((gpu.label, taken(gpu.lock_file(store))) for gpu in gpus()), *shares]
