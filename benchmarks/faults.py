"""Kills a run at random moments, resumes it, and again, until it has finished; compares it with one that nobody disturbed.

Every round trains one run to its end through a few SIGKILLs. Its weights, optimizer, metrics and results must be the
undisturbed run's, bit for bit, but for what is measured in seconds; after every kill the folder must tell the truth.
On a CPU. Most starts are forks of this process, which has trained the undisturbed run and has all at hand, so that more
kills hit the run itself; the others are `python -m sslcore train`, as a launcher starts it.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from benchmarks.measure import machine, print_table
from sslcore import train, worker
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store

METHODS = ("moco", "byol")
SETTINGS = {"device": "cpu", "image_size": 8, "batch_size": 16, "warmup_epochs": 1, "head.hidden": 32, "head.dim": 16} | {
    "evaluate.log_every": 1,
    "evaluate.knn_every": 2,
    "evaluate.sample": 48,
    "evaluate.snapshots": 3,
    "evaluate.heads": False,
    "evaluate.labels": False,
}
# The one that survives a fork.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}
TIMED = ("seconds", "images_per_second", "cost")  # what may differ
STARTING = "start"  # before the status names the new process
FINISHED = "after its last word"


def begin(run: Run, command: bool) -> int:
    """Start the run's process; its pid."""
    if command:
        with run.log_file.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "sslcore", "train", str(run.path)], stdout=log, stderr=log).pid
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        log = os.open(run.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = worker.main(run)
    finally:
        os._exit(code)


def ended(pid: int, seconds: float) -> int | None:
    """The exit code of a process that ends within so many seconds, else None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def to_the_end(run: Run) -> None:
    """Train without disturbance, in this process: it then has at hand whatever is compiled, and so have its forks."""
    with contextlib.redirect_stdout(io.StringIO()):
        code = worker.main(run)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if code != worker.FINISHED:
        raise RuntimeError(f"{run.id} ended with {code}: {run.log_tail()}")


def few_digits(folder: str, n: int) -> str:
    """n training and n / 2 test images of scikit-learn's digits, as the path of an .npz."""
    digits = load_digits()
    x, path = (digits.images * 15.9).astype(np.uint8), f"{folder}/digits.npz"
    np.savez(path, x_train=x[:n], y_train=digits.target[:n], x_test=x[n : n + n // 2], y_test=digits.target[n : n + n // 2])
    return path


def kill(run: Run, pid: int) -> tuple[str, float]:
    """SIGKILL, and (the stage that it hit, seconds until the folder told the truth)."""
    os.kill(pid, signal.SIGKILL)
    at = time.monotonic()
    stands = run.recorded_status()
    stage = (stands.stage or STARTING) if stands.pid == pid else STARTING
    while run.status().state == "running":
        time.sleep(0.001)
    true_after = time.monotonic() - at
    os.waitpid(pid, 0)
    state = run.status().state
    if state == "finished":
        return FINISHED, true_after
    if state not in ("interrupted", "queued"):
        raise AssertionError(f"{run.id} is killed, and said to be {state}")
    steps = [row["step"] for row in run.metrics() if "loss" in row]
    if steps != list(range(1, len(steps) + 1)):
        raise AssertionError(f"{run.id}: steps are doubled or missing")
    return stage, true_after


# -- What is compared ------------------------------------------------------------


def everything(run: Run) -> dict[str, Any]:
    """All that a finished run leaves but what is measured in seconds, by the name of the file."""
    kept = torch.load(run.checkpoint_file, weights_only=True)
    return {
        "encoder.safetensors": load_file(run.encoder_file),
        "checkpoint.pt": {name: kept[name] for name in ("step", "method", "optimizer", "snapshots")},
        "metrics.jsonl": [untimed(row) for row in run.metrics()],
        "results.json": untimed(run.results()),
        "predictions.npz": arrays(run.predictions_file),
        "embeddings.npz": arrays(run.embeddings_file),
        "snapshots.npz": arrays(run.snapshots_file),
        "umap.parquet": {name: column.to_numpy() for name, column in pd.read_parquet(run.umap_file).items()},
    }


def untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in TIMED}


def arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept}


def same(a: Any, b: Any) -> bool:
    """To the last bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return a == b


# -- The rounds ------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--checkpoint-seconds", type=float, default=0.3)
    parser.add_argument("--by-command", type=float, default=0.05, help="share of the starts that are a launcher's command")
    parser.add_argument(
        "--within",
        type=float,
        nargs="+",
        default=(0.02, 0.05, 0.1, 0.1, 1.0),
        help="a kill comes within one of these shares of a run's time",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    args = parser.parse_args(arguments)
    train.CHECKPOINT_SECONDS, train.CHECKPOINT_SHARE = args.checkpoint_seconds, 0.5
    os.environ["TRIPTYCH_CHECKPOINT_SECONDS"] = str(args.checkpoint_seconds)
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRIPTYCH_DATA"] = f"{folder}/data"
        dataset = few_digits(folder, args.images)
        configs = {
            method: resolve({**SETTINGS, "dataset": dataset, "epochs": args.epochs, "method": method}) for method in args.methods
        }
        expected, took = {}, {}
        for run in Store(f"{folder}/store").create("undisturbed", Spec(), configs).runs():
            to_the_end(run)
            expected[run.name] = everything(run)
        for run in Store(f"{folder}/store").create("again", Spec(), configs).runs():
            began = time.monotonic()
            assert ended(begin(run, command=False), 3600) == worker.FINISHED, run.log_tail()
            took[run.name] = time.monotonic() - began
        print(f"undisturbed: {', '.join(f'{name} {seconds:.1f} s' for name, seconds in took.items())}", flush=True)

        stages_hit: Counter[str] = Counter()
        true_after: list[float] = []
        rounds = starts = 0
        while sum(stages_hit.values()) < args.kills:
            method = args.methods[rounds % len(args.methods)]
            rounds += 1
            run = Store(f"{folder}/store").create(f"round-{rounds}", Spec(), {method: configs[method]}).run(method)
            here = 0
            while True:
                starts += 1
                command = chance.random() < args.by_command
                pid = begin(run, command)
                wait = took[method] * chance.choice(args.within) * chance.random() + command * 5 * chance.random()
                left = args.kills - sum(stages_hit.values())
                code = ended(pid, wait if left > 0 else 3600)
                if code == worker.FINISHED:
                    break
                if code is not None:
                    raise AssertionError(f"{run.id} ended with {code}: {run.log_tail()}")
                stage, seconds = kill(run, pid)
                stages_hit[stage] += 1
                true_after.append(seconds)
                here += 1
                if stage == FINISHED:
                    break
            differing = [name for name, value in everything(run).items() if not same(value, expected[method][name])]
            if differing:
                raise AssertionError(f"{run.id}, after {here} kills, differs from the undisturbed run in {', '.join(differing)}")
            shutil.rmtree(run.experiment.path)
            print(
                f"round {rounds}: {method}, {here} kills, the same bits; so far {dict(stages_hit)}, the truth after at most "
                f"{max(true_after, default=0):.3f} s",
                flush=True,
            )
    print(machine())
    print_table(
        f"{sum(stages_hit.values())} SIGKILLs in {starts} starts of {rounds} runs",
        ["stage that was hit", "kills"],
        [*stages_hit.most_common(), ["all", sum(stages_hit.values())]],
        f"All {rounds} runs finished with the undisturbed runs' bits. Seconds until the folder told the truth: "
        f"median {statistics.median(true_after):.4f}, at most {max(true_after):.4f}.",
    )
    return {"kills": sum(stages_hit.values()), "rounds": rounds, "starts": starts, "stages": dict(stages_hit)}


if __name__ == "__main__":
    if not ONE_THREAD.items() <= os.environ.items():  # read when torch and numba are loaded
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.faults", *sys.argv[1:]], os.environ | ONE_THREAD)
    main()
