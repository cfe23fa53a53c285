"""What a training says while it goes on: rows of metrics.jsonl, its speed, and the time that is left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sslcore import distributed
from sslcore.experiment import Run
from sslcore.losses import normalised
from sslcore.pulse import AnyPulse
from sslcore.readout import Readout
from sslcore.training import Training
from sslcore.waiting import MANY, SETTLED, warning


class Journal:
    """An attempt's rows, and its clock: seconds and joules of training steps, without what is done between them."""

    def __init__(self, training: Training, run: Run, pulse: AnyPulse):
        self.training, self.run, self.pulse = training, run, pulse
        self.began, self.began_at = time.monotonic(), training.step
        self.clock = self.began  # time since then has gone into training steps alone, and is not counted yet
        self.told_at, self.told_seconds = training.step, training.seconds  # of the last row that was written
        self.seconds_left = 0.0
        self.readout = Readout()

    def place(self) -> dict[str, Any]:
        """How far the training has come: what each row begins with."""
        training = self.training
        return {
            "step": training.step,
            "epoch": training.step / training.steps_per_epoch,
            "images_seen": training.step * training.config.batch_size,
        }

    def note(self, loss: Tensor, z: Tensor) -> None:
        """Ask the device for a row of this step: its loss, and how z (N, D) spreads."""
        spread = normalised(z).std(0).mean()
        rate = self.training.optimizer.param_groups[0]["lr"]
        self.readout.send(
            self.place() | {"chance_loss": self.training.method.chance_loss(), "learning_rate": rate}, (loss, spread)
        )

    def read_out(self, wait: bool) -> list[dict[str, Any]]:
        """Write, and return, the rows that the device has got to; with `wait`, all that it was asked for.

        Rows that arrive together share the seconds and the speed since the row before them.
        """
        training = self.training
        if not (arrived := list(self.readout.arrived(wait))):
            return []
        self.lap()
        step = arrived[-1][0]["step"]
        speed = (step - self.told_at) * training.config.batch_size / (training.seconds - self.told_seconds)
        self.told_at, self.told_seconds = step, training.seconds
        joules = {} if training.meter.joules is None else {"joules": training.meter.joules}
        rows = [
            about | {"seconds": training.seconds, "loss": loss, "images_per_second": speed, "std_z": spread} | joules
            for about, (loss, spread) in arrived
        ]
        for row in rows:
            self.write(row)
        self.seconds_left = (self.clock - self.began) / (step - self.began_at) * (training.total - step)
        self.pulse.training(step / training.total, self.seconds_left)
        return rows

    def write(self, row: dict[str, Any]) -> None:
        if distributed.first():
            self.run.append_metrics(row)

    def lap(self) -> None:
        now = time.monotonic()
        self.training.seconds, self.clock = self.training.seconds + now - self.clock, now
        self.training.meter.lap()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done within is no training time."""
        training = self.training
        self.lap()
        training.waiting.lap()
        if training.seconds >= SETTLED and (training.waiting.mean(training.seconds) or 0.0) >= MANY:
            self.pulse.warn(warning(torch.get_num_threads(), training.device.type == "cpu"))
        yield
        self.clock = time.monotonic()
        training.meter.start()
        training.waiting.start()
