"""Seconds for which this process's threads could have computed and had no core: Linux counts them for each thread.

Where other programs keep the cores busy, a step's threads wait for their turns and, after every operation, for each
other. The seconds and images a second of such a run tell of the machine, not of the method.
"""

from pathlib import Path

MANY = 0.5  # threads that wait, on average: from here on a run's times tell of that
SETTLED = 10.0  # seconds of training from which on it is said
PROTOCOL = (
    "threads waiting: how many of the process's threads, on average, could have computed and had no core, as Linux counts it"
)


def warning(threads: int, on_cpu: bool) -> str:
    """What is said of a process of that many threads, which many waited."""
    if threads == 1:
        return "the one thread waited for a core, busy with other programs: seconds and images/s say little"
    return (
        "threads waited for cores, busy with other programs or fewer than the threads, and so for each other: seconds and "
        f"images/s say little{'; fewer threads are faster then, as with threads=1' if on_cpu else ''}"
    )


class Waiting:
    """Adds up what all threads waited between `start` and `lap`; `seconds` is None where nobody counts (not Linux)."""

    def __init__(self, threads: Path = Path("/proc/self/task")):
        self.threads = threads
        self.at = self.read()
        self.seconds = 0.0 if self.at else None

    def read(self) -> dict[str, float]:
        """Thread -> seconds that it has waited in its life; {} where that is not counted."""
        waited = {}
        for thread in self.threads.glob("*/schedstat"):
            try:
                ran, ready, _ = map(int, thread.read_text(encoding="utf-8").split())  # nanoseconds; and turns
            except (OSError, ValueError):  # it has ended since
                continue
            if ran:  # 0 where the system does not count
                waited[thread.parent.name] = ready / 1e9
        return waited

    def start(self) -> None:
        """Count from here; what was waited since the last `lap` is left out."""
        if self.seconds is not None:
            self.at = self.read()

    def mean(self, during: float) -> float | None:
        """How many threads waited at a time, on average over that many seconds."""
        return None if self.seconds is None or not during else self.seconds / during

    def lap(self) -> None:
        """Count until here. A thread that has ended since `start` counts no more."""
        if self.seconds is not None:
            now = self.read()
            self.seconds += sum(waited - self.at.get(thread, 0.0) for thread, waited in now.items())
            self.at = now
