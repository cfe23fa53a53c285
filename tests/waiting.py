"""Waiting for what another process does."""

import time

import psutil


def until(condition, seconds: float = 300):
    """The condition's value, once it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return value


def works(process: psutil.Process) -> bool:
    """Whether a process lives, and is no zombie; it may end at any moment, this one included."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
