"""What this machine is doing: processors, memory, GPUs, and which run has which slot."""

import shutil
import subprocess
from dataclasses import dataclass

import psutil
import streamlit as st

from dashboard import words
from sslcore.experiment import Store
from sslcore.launch import slots


@dataclass(frozen=True)
class GPU:
    name: str
    load: float | None  # share, 0 to 1
    memory_used: float  # bytes
    memory_total: float


@dataclass(frozen=True)
class Load:
    cpu: float  # share of all cores, 0 to 1
    cores: int
    memory_used: float  # bytes
    memory_total: float
    gpus: tuple[GPU, ...]


@st.cache_data(ttl=2, show_spinner=False)
def load() -> Load:
    """The machine's load now; one reading serves every open page for two seconds."""
    memory = psutil.virtual_memory()
    return Load(
        cpu=psutil.cpu_percent(interval=0.1) / 100,
        cores=psutil.cpu_count() or 1,
        memory_used=memory.total - memory.available,
        memory_total=memory.total,
        gpus=gpus(),
    )


def gpus() -> tuple[GPU, ...]:
    """What nvidia-smi says; nothing where there is none."""
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(gpu for gpu in map(parse_gpu, lines) if gpu is not None)


def parse_gpu(line: str) -> GPU | None:
    """One line of nvidia-smi's CSV; memory is in MiB, and what a GPU does not tell is [N/A]."""
    try:
        name, load, used, total = (part.strip() for part in line.rsplit(",", 3))
        return GPU(name, float(load) / 100 if load.isdigit() else None, float(used) * 2**20, float(total) * 2**20)
    except ValueError:
        return None


def draw(store: Store) -> None:
    """One row of meters, for a live fragment."""
    now = load()
    with st.grid(2 + len(now.gpus), min_column_width=180, gap="medium"):
        st.progress(min(now.cpu, 1.0), f"CPU {now.cpu:.0%} of {words.count(now.cores, 'core')}")
        st.progress(
            min(now.memory_used / now.memory_total, 1.0),
            f"Memory {words.size(now.memory_used)} of {words.size(now.memory_total)}",
        )
        for number, gpu in enumerate(now.gpus):
            share = gpu.memory_used / gpu.memory_total if gpu.memory_total else 0.0
            busy = "" if gpu.load is None else f"{gpu.load:.0%}, "
            st.progress(
                min(share, 1.0),
                f"GPU {number}: {busy}{words.size(gpu.memory_used)} of {words.size(gpu.memory_total)} ({words.plain(gpu.name)})",
            )
    for what, held_by in slots.in_use(store):
        st.caption(words.plain(f"{what}: {held_by or 'no run of this store'}"))
