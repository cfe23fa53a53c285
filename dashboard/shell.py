"""`python -m sslcore …`: what the screen leaves to a process of its own, and what a reader may do in a shell."""

import shlex
import subprocess
import sys
from pathlib import Path

from sslcore.experiment import Store

LIMIT_SECONDS = 600  # a data set may have to be downloaded first


def line(store: Store | None, *words: str) -> str:
    """A command for the reader's shell that finds this store; without one, for whoever has a store of their own."""
    root = [] if store is None or store.root == Path("experiments").resolve() else ["--root", str(store.root)]
    return shlex.join(["python", "-m", "sslcore", *words, *root])


def run(*words: str) -> str:
    """What a command prints, run in a process of its own. Raises ValueError, in one line, where it fails."""
    command = [sys.executable, "-m", "sslcore", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=Path(__file__).parents[1])
    except subprocess.TimeoutExpired:
        minutes = LIMIT_SECONDS // 60
        raise ValueError(f"sslcore {words[0]} has not ended after {minutes} minutes; is the data set being downloaded?") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ValueError(said[-1] if said else f"python -m sslcore {words[0]} ended with code {done.returncode}")
    return done.stdout
