"""Small runs, trained in this process or in one of their own."""

import subprocess
import sys

import torch

from sslcore import datasets, weights
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.train import pretrain
from sslcore.training import Training
from sslcore.worker import Pulse
from tests.waiting import until

TIMING = ("seconds", "images_per_second")
SMALL = {"image_size": 16, "batch_size": 16, "epochs": 3, "head.hidden": 32, "head.dim": 16, "device": "cpu"} | {
    "evaluate.log_every": 1,
    "evaluate.sample": 48,
    "evaluate.labels": False,
    "evaluate.heads": False,
    "moco.queue_size": 50,
}


def make_run(name: str, dataset: str, **settings) -> Run:
    config = resolve({"dataset": dataset, **SMALL, **settings})
    return Store().create(name, Spec(title=name), {"run": config}).run("run")


def train(run: Run, pulse: Pulse | None = None) -> Training:
    data = datasets.load(run.config.dataset, run.config.image_size)
    training = Training(run.config, data, torch.device("cpu"))
    pretrain(training, data, run, pulse or Pulse(run))
    return training


class StopsAt(Pulse):
    """Is asked to stop when a share of the training is done."""

    def __init__(self, run: Run, share: float):
        super().__init__(run)
        self.share = share

    def training(self, share: float, seconds_left: float) -> None:
        self.stop_requested = share >= self.share


def untimed(run: Run) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in TIMING} for row in run.metrics()]


def small_training(shapes: str, **settings) -> Training:
    return Training(resolve({"dataset": shapes, **SMALL, **settings}), datasets.load(shapes, 16), torch.device("cpu"))


def start(run: Run) -> subprocess.Popen:
    command = [sys.executable, "-m", "sslcore", "train", str(run.path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen) -> None:
    def happened() -> bool:
        assert process.poll() is None, f"ended with {process.returncode}: {process.stderr.read()}"
        return condition()

    until(happened)


def keep_untrained_encoder(run: Run) -> None:
    training = Training(run.config, datasets.load(run.config.dataset, run.config.image_size), torch.device("cpu"))
    weights.write(run, training.method.encoder, training.views)
