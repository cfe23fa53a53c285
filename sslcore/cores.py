"""How many cores there are for this process."""

import os


def cores() -> int:
    """Those that it may use, where the system tells (Linux does); else all of the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
