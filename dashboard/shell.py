"""What the screen leaves to a process of its own, `python -m sslcore …`, and waits for: whatever needs torch."""

import subprocess
import sys
from pathlib import Path

LIMIT_SECONDS = 600  # a data set may have to be downloaded first


def run(*words: str) -> str:
    """What a command of sslcore prints. Raises ValueError, in one line, where it fails."""
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
