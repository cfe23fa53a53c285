"""The memory that the runs of a plan would take, counted by a process of its own."""

import json
import tempfile
from pathlib import Path

import streamlit as st

from dashboard import shell
from sslcore import plan
from sslcore.experiment import Spec


def of_runs(spec: Spec) -> dict[str, int]:
    """Bytes that a training step holds at most, by run: see sslcore.footprint. Raises ValueError, in one line, where it fails."""
    return _counted(plan.in_yaml(spec.model_copy(update={"title": "", "question": "", "notes": "", "tags": []})))


@st.cache_data(show_spinner=False, max_entries=64)
def _counted(spec: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(spec, encoding="utf-8")
        return json.loads(shell.run("memory", str(file), "--json"))
