"""Where the time of a training step goes, by PyTorch's profiler."""

import os
import sys
import time
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from sslcore import datasets, plan
from sslcore.config import ConfigError, RunConfig
from sslcore.files import check_place
from sslcore.train import make_ready
from sslcore.training import Training, named, pick_device

WARM_UP = 3  # steps
ROWS = 20
SILENT = "6"  # above every level at which the profiler's own library writes to standard error


class Aloud:
    """Hears what a training without a run has to say: warnings go to standard error."""

    def say(self, words: str) -> None:
        pass

    def warn(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)


def report(config: RunConfig, steps: int, trace: Path | None) -> str:
    """A table of the operators that take most of `steps` training steps of a config; how fast as many are without the profiler.

    The operators are those that Python launches; then come, as in a run, the compiler and the CUDA graph that the config
    asks for. With `trace`, a file that chrome://tracing and Perfetto open. Raises ValueError where the data cannot train it or
    the trace has no place, and OSError where it could not be written.
    """
    if config.devices > 1:
        raise ConfigError({"devices": "a profile is of a single process; give --set devices=1, and batch_size, a device's share"})
    if trace is not None:
        check_place(trace, "--trace")
    data = datasets.load(config.dataset, config.image_size)
    problems, _ = plan.suits(config, datasets.info_of(data, config.dataset))
    if problems:
        raise ConfigError(problems)
    training = Training(config, data, pick_device(config))

    def train(steps: int) -> None:
        for _ in range(steps):
            loss, _ = training.take_step()
        loss.item()  # waits for the device

    train(WARM_UP)
    on_gpu = training.device.type == "cuda"
    if not on_gpu:
        os.environ.setdefault("KINETO_LOG_LEVEL", SILENT)  # else it complains that there is no GPU that it could ask
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as seen:
        train(steps)
    if trace is not None:
        seen.export_chrome_trace(str(trace))
        if not trace.is_file():
            raise OSError(f"--trace {trace}: it could not be written")
    make_ready(training, Aloud())
    train(1)
    began = time.perf_counter()
    train(steps)
    seconds = time.perf_counter() - began
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    table = seen.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=45)
    what = (
        f"{config.method}, {config.encoder}, batch {config.batch_size}, {config.image_size} px, {training.device}, "
        f"{named(training.precision)}"
    )
    speed = (
        f"{seconds / steps:.3f} s a step, {steps * config.batch_size / seconds:,.0f} images/s"
        + ", compiled" * training.compiled
        + ", as a CUDA graph" * (training.graph is not None)
    )
    return f"{table}\n{what}: {speed}"
