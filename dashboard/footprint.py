"""The memory that the runs of a plan would take, counted by a process of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import streamlit as st

from dashboard import draft
from sslcore.experiment import Spec

LIMIT_SECONDS = 600


def of_runs(spec: Spec) -> dict[str, int]:
    """Bytes that a training step holds at most, by run: see sslcore.footprint. Raises ValueError, in one line, where it fails."""
    return _counted(draft.in_yaml(spec.model_copy(update={"title": "", "question": "", "notes": "", "tags": []})))


@st.cache_data(show_spinner=False, max_entries=64)
def _counted(plan: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(plan, encoding="utf-8")
        command = [sys.executable, "-m", "sslcore", "memory", str(file), "--json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=Path(__file__).parents[1])
        except subprocess.TimeoutExpired:
            raise ValueError(f"the memory was not counted within {LIMIT_SECONDS // 60} minutes") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ValueError(said[-1] if said else f"python -m sslcore memory ended with code {done.returncode}")
    return json.loads(done.stdout)
