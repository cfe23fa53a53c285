"""environment.json: what a run's numbers depend on besides its config."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from sslcore.cores import cores
from sslcore.datasets import Data
from sslcore.experiment import Run
from sslcore.files import write_json
from sslcore.stream import Streamed
from sslcore.training import Training, named

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "umap-learn", "pydantic", "pandas")
MEASURING = ("packages", "python", "device", "precision", "git_commit", "data")  # what a measurement depends on


def keep(run: Run, training: Training, data: Data) -> None:
    """Write environment.json as a training begins, or goes on."""
    write_json(run.environment_file, environment(run, training, data))


def keep_measuring(run: Run, training: Training, data: Data) -> None:
    """Add `measured_again` to environment.json; what the training wrote stays."""
    now, before = environment(run, training, data), run.environment()
    again = {"measured_again": {name: now[name] for name in MEASURING}}
    write_json(run.environment_file, before | again if before else now)


def environment(run: Run, training: Training, data: Data) -> dict[str, Any]:
    return {
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": device_name(training),
        "precision": named(training.precision),
        "compiled": training.compiled,
        "cuda_graph": training.graph is not None,
        "threads": torch.get_num_threads(),
        "images": "streamed" if isinstance(training.images, Streamed) else "resident",
        "data": identity(run, data),
        "git_commit": git_commit(),
        "command": f"{Path(sys.executable).name} -m sslcore train {run.id}",
        "parameters": sum(p.numel() for p in training.method.encoder.parameters()),
        "peak_learning_rate": training.config.peak_learning_rate,
    }


def device_name(training: Training) -> str:
    count = training.config.devices
    if training.device.type == "cuda":
        return f"{count} × " * (count > 1) + torch.cuda.get_device_name(training.device)
    every = cores()
    threads = torch.get_num_threads() * count
    taken = f"{threads} of {every}" if threads < every else f"{every}"
    return f"CPU, {platform.machine()}, {taken} cores" + f", {count} processes" * (count > 1)


def git_commit() -> str | None:
    """The commit of this code, where it lies in a repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def other_programs(run: Run) -> str:
    """In what the programs differ from those that environment.json names; empty where they do not, as far as is known."""
    before = run.environment() or {}
    packages = before.get("packages")
    was = {"Triptych's commit": before.get("git_commit"), "torch": packages.get("torch") if isinstance(packages, dict) else None}
    now = {"Triptych's commit": git_commit(), "torch": importlib.metadata.version("torch")}
    return "; ".join(
        f"{name} {was[name]:.40}, now {now[name]}"
        for name in now
        if now[name] and isinstance(was[name], str) and was[name] != now[name]
    )


# -- Which images --------------------------------------------------------------


def identity(run: Run, data: Data) -> dict[str, Any]:
    """Which images a run has seen: its path does not say so, for the content of a path may change."""
    return {
        "dataset": run.config.dataset,
        "image_size": run.config.image_size,
        "train": len(data.x_train),
        "test": len(data.x_test),
        "checksum": data.checksum,
    }


def other_images(run: Run, data: Data) -> str:
    """What is to be said where the run was trained on other images than `data`; empty where it was not, as far as is known."""
    before, now = run.images(), identity(run, data)
    if before.get("checksum", data.checksum) == data.checksum:
        return ""
    counts = [f"{of.get('train')} images for training and {of.get('test')} for testing" for of in (before, now)]
    how = "other images, or other labels" if counts[0] == counts[1] else f"{counts[0]} then, {counts[1]} now"
    return f"{run.config.dataset} has changed since this run was trained on it ({how})"


def stranger(run: Run, data: Data) -> Run | None:
    """A run of the same experiment that was trained on other images of the same name."""
    own = identity(run, data)
    same = [own[name] for name in ("dataset", "image_size")]
    for other in run.experiment.runs():
        its = other.images()
        if [its.get(name) for name in ("dataset", "image_size")] == same and its.get("checksum") not in (None, data.checksum):
            return other
    return None
