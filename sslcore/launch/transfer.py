"""Probing encoders on another data set, in a process of its own, for whoever must not load torch.

    <experiment>/.transfer.log    what is asked, as JSON on the first line, then what `python -m sslcore transfer` says.
                                  Held by that process: the kernel tells whether it lives.

What it measures is in the runs' results.json, whoever started it.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from sslcore import datasets, plan
from sslcore.experiment import Experiment, Run
from sslcore.launch.process import detached, python_path
from sslcore.launch.slots import CPU, Device, gpus
from sslcore.locks import take, taken

LOG = ".transfer.log"
NO_WEIGHTS = (
    "there is no encoder.safetensors here; an experiment has them where it was trained, or where it came with its weights "
    "(Share: with weights; or export --checkpoints)"
)


class Transfer(NamedTuple):
    """The last one that was started for an experiment."""

    dataset: str
    alive: bool
    done: int  # runs that are probed
    of: int
    last: str  # words


def start(experiment: Experiment, dataset: str, runs: Sequence[Run]) -> None:
    """Probe the encoders of `runs`, of one store, on `dataset`. Raises ValueError, in words, where that cannot begin."""
    dataset = datasets.canonical(dataset)
    if why := plan.unprobed(datasets.info(dataset)):
        raise ValueError(f"{dataset}: {why}")
    runs = [run for run in runs if run.encoder_file.exists()]
    if not runs:
        raise ValueError(NO_WEIGHTS)
    log = take(experiment.path / LOG)
    if log is None:
        raise ValueError("encoders of this experiment are being probed already; one at a time")
    held = [log]
    try:
        device, slot = free_gpu(experiment)
        held += [slot] if slot is not None else []
        os.ftruncate(log, 0)
        os.write(log, json.dumps({"dataset": dataset, "runs": [run.id for run in runs]}).encode() + b"\n")
        command = [sys.executable, "-m", "sslcore", "transfer", *(run.id for run in runs), "--to", dataset]
        environment = {**os.environ, "PYTHONPATH": python_path(), "CUDA_VISIBLE_DEVICES": device.visible}
        detached([*command, "--root", str(experiment.store.root)], log, pass_fds=held, env=environment)
    finally:
        for descriptor in held:
            os.close(descriptor)


def free_gpu(experiment: Experiment) -> tuple[Device, int | None]:
    """A GPU that trains nothing, and what holds its slot; the CPU where there is none, beside whatever trains there."""
    for device in gpus():
        device.lock_file(experiment.store).parent.mkdir(parents=True, exist_ok=True)
        if (slot := take(device.lock_file(experiment.store))) is not None:
            os.ftruncate(slot, 0)
            os.pwrite(slot, f"{experiment.name}, which is being probed".encode(), 0)
            return device, slot
    return CPU, None


def look(experiment: Experiment) -> Transfer | None:
    """How far it is; None where none was ever started."""
    try:
        alive = taken(experiment.path / LOG) is not None
        asked, *said = (experiment.path / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        asked = json.loads(asked)
        done = sum(any(line.startswith(f"{run}: linear") for run in asked["runs"]) for line in said)
        return Transfer(
            asked["dataset"], alive, done, len(asked["runs"]), said[-1].removeprefix("python -m sslcore: ") if said else ""
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
