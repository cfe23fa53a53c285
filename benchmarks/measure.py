"""What the benchmarks share: contestants that take turns, medians, and a table that says where it was made."""

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection

import psutil
import torch

PROCESSOR_TIME = {
    "action": "store_true",
    "help": (
        "count processor seconds, the workers' included, with one thread, in place of the clock's: for a machine that others use "
        "too"
    ),
}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine(*packages: str) -> str:
    """Where and with what: one line above every table."""
    chip = torch.cuda.get_device_name() if DEVICE.type == "cuda" else platform.processor() or platform.machine()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *packages))
    return (
        f"{chip}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads; Python {platform.python_version()}, {versions}"
    )


def settle() -> None:
    """Wait for what the device still has to do."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def processor_seconds() -> float:
    """What this process and its workers have had of the processors: it counts the same on a machine that others use too."""
    workers = (process.cpu_times() for process in psutil.Process().children(recursive=True))
    return time.process_time() + sum(times.user + times.system for times in workers)


def clock_of(processor_time: bool) -> Callable[[], float]:
    """The clock on the wall, or with --processor-time that of the processors, and one thread, so that none waits for another."""
    if processor_time:
        torch.set_num_threads(1)
    return processor_seconds if processor_time else time.perf_counter


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    settle()
    began = clock()
    work()
    settle()
    return clock() - began


class Apart:
    """A contestant in a process of its own, so that how one sets up its process is nothing that another gains from."""

    def __init__(self, make: Callable[..., Callable[[], object]], *args: object):
        """`make(*args)`, there, gives the work that a call here has done."""
        spawn = multiprocessing.get_context("spawn")  # a fork would have this process's threads and its GPU
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(theirs, torch.get_num_threads(), make, *args))
        self.process.start()
        theirs.close()

    def __call__(self) -> None:
        self.pipe.send(None)
        self.pipe.recv()

    def end(self) -> None:
        self.pipe.close()
        self.process.join()


def _work(pipe: Connection, threads: int, make: Callable[..., Callable[[], object]], *args: object) -> None:
    torch.set_num_threads(threads)
    work = make(*args)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        work()
        settle()
        pipe.send(None)


def take_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each, after one call to warm up; in every round all have a turn, so that noise meets all alike."""
    for work in contestants.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            times[name].append(seconds(work, clock))
    return {name: statistics.median(of_one) for name, of_one in times.items()}


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
    """A Markdown table: it can be read in a terminal and pasted into a document."""
    cells = [list(map(str, row)) for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]) + " |" for row in cells
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
    print(f"\n### {title}\n", *([note, ""] if note else []), lines[0], rule, *lines[1:], sep="\n", flush=True)
