"""A run's three stages, in order: pretrain, probe, embed."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sslcore import compact, compiling, datasets, distributed, energy, flops, memory, preview, recording, weights
from sslcore.config import RunConfig
from sslcore.datasets import Data
from sslcore.evaluate import heads, labels, transfer
from sslcore.evaluate.final import FinalEvaluation
from sslcore.experiment import PRETRAIN_SHARE, Run
from sslcore.files import replacing, write_json
from sslcore.stream import Streamed
from sslcore.train import Failed, Stopped, Training, initial, pick_device, pretrain

__all__ = ["Failed", "Stopped", "work"]

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "umap-learn", "pydantic", "pandas")


def work(run: Run, pulse, evaluate_only: bool = False) -> None:
    """Take a run through its stages, from wherever it stands. Raises Stopped or Failed.

    Of several processes the first one writes all files; the others are done when nothing is left to share.
    """
    with memory_for(memory.WHILE_MEASURED if evaluate_only else memory.advice(run.config)):
        data = read_data(run.config, pulse)
        if distributed.first():
            keep_sample_sheet(run, run.config, data)
            keep_views(run, run.config, data)
        training = Training(run.config, data, pick_device(run.config))
        if isinstance(training.images, Streamed):
            pulse.say(
                f"the images take {data.x_train.nbytes / 1e9:.1f} GB, more than half of the free memory of the device: they are "
                "read while it trains"
            )
        if distributed.first():
            keep_environment(run, training, evaluate_only)
        if evaluate_only:
            load_encoder(training, run)
        else:
            pretrain(training, data, run, pulse)
    with memory_for(memory.WHILE_MEASURED):
        if distributed.first():
            if not evaluate_only:
                weights.write(run, run.config, training.method.encoder, training.views)
            compact.write(run)
        measure(training, data, run, pulse, again=evaluate_only)


@contextmanager
def memory_for(advice: str) -> Iterator[None]:
    """Raises Failed with the advice where there is too little memory for what is done within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out(error):
            raise
        raise Failed(advice) from error


def measure(training: Training, data: Data, run: Run, pulse, again: bool) -> None:
    """The stages probe and embed. What was measured before stays until all is measured again."""
    config, encoder = run.config, training.method.encoder
    pulse.stage("probe", PRETRAIN_SHARE)
    evaluation = FinalEvaluation(config, data, training.views, training.precision)
    untrained = initial(config, len(data.x_train), len(data.classes)).encoder.to(training.device)
    head = training.method.head
    known = not again or heads.restore_head(head, run)
    results, probe, predictions = evaluation.results(encoder, untrained, head if known else None)
    counted = {} if again and config.devices > 1 else operations(training)  # by as many processes as train, or not at all
    if not distributed.leave():
        return
    evaluation.keep_predictions(predictions, run)
    check_stop(pulse)
    if config.evaluate.finetune_epochs and evaluation.labelled:
        tuned = labels.fine_tuning(config, data, training.views, encoder, lambda: check_stop(pulse))
        results |= {"fine_tuning": tuned, "fine_tuning_protocol": labels.FINE_TUNING_PROTOCOL}
    if again:
        before = run.results() or {}
        results["cost"] = (before.get("cost") or {}) | counted
        if before.get("transfer"):
            results["transfer"] = transfer.again(run, before["transfer"], pulse)
    else:
        results["cost"] = cost(training) | counted
        write_json(run.results_file, results)
    say_results(results, pulse)
    check_stop(pulse)

    pulse.stage("embed", (1 + PRETRAIN_SHARE) / 2)
    results |= evaluation.embed(encoder, probe, run)
    write_json(run.results_file, results)
    run.previous_checkpoint_file.unlink(missing_ok=True)  # nothing is left to resume


def read_data(config: RunConfig, pulse) -> Data:
    """Raises Failed where the data set is gone or does not suit the config any more."""
    said = ""

    def report(what: str, share: float) -> None:
        nonlocal said
        check_stop(pulse)
        words = f"{what} {int(share * 10) * 10} %"
        if words != said:
            pulse.say(said := words)

    for own_turn in distributed.turns():  # the first process decodes; the others find it done, or do it on their own machine
        if own_turn:
            try:
                data = datasets.load(config.dataset, config.image_size, report)
            except ValueError as error:
                raise Failed(f"dataset: {error}") from error
    for skipped in data.skipped:
        pulse.say(f"skipped {skipped}")
    if config.batch_size > len(data.x_train):
        raise Failed(f"batch_size {config.batch_size} is larger than the data set ({len(data.x_train)} training images)")
    return data


def load_encoder(training: Training, run: Run) -> None:
    """Raises Failed where the run's weights cannot be read."""
    try:
        weights.read(run, training.method.encoder)
    except ValueError as error:
        raise Failed(str(error)) from error


def check_stop(pulse) -> None:
    if pulse.stop_requested:
        raise Stopped


# -- What is kept --------------------------------------------------------------


def keep_sample_sheet(run: Run, config: RunConfig, data: Data) -> None:
    """The evaluation sample's thumbnails, once an experiment: whoever has no data set still sees the images."""
    path = run.experiment.sample_sheet(config.dataset)
    if not path.exists():
        images = data.images(datasets.sample(data, config.evaluate.sample))
        with replacing(path) as temporary:
            datasets.sheet(images).save(temporary, "WEBP", quality=85)


def keep_views(run: Run, config: RunConfig, data: Data) -> None:
    """views.webp: some images, and what the network sees of them."""
    if not run.views_file.exists():
        with replacing(run.views_file) as temporary:
            preview.strip(config, data).save(temporary, "WEBP")


def cost(training: Training) -> dict:
    """What the training took. Seconds and speed leave evaluation out."""
    on_gpu = training.device.type == "cuda"
    images = training.total * training.config.batch_size
    return {
        "seconds": training.seconds,
        "images_per_second": images / training.seconds if training.seconds else None,
        "peak_memory_bytes": training.peak_memory,
        "energy_joules": training.meter.joules,
        "device": device_name(training),
        "protocol": "seconds of training steps, evaluation left out; images, not views, a second; "
        + ("peak of allocated GPU memory" if on_gpu else "peak resident memory of the process")
        + " until the training ended"
        + ("" if training.meter.joules is None else f"; {energy.PROTOCOL}"),
    }


def operations(training: Training) -> dict:
    return {"flops_per_image": flops.flops_per_image(training), "flops_protocol": flops.PROTOCOL}


def keep_environment(run: Run, training: Training, evaluate_only: bool) -> None:
    """environment.json: what the numbers depend on besides the config; that of the training stays when it is measured again."""
    now, before = environment(run, training), run.environment() if evaluate_only else None
    if before:
        now = before | {
            "measured_again": {name: now[name] for name in ("packages", "python", "device", "precision", "git_commit")}
        }
    write_json(run.environment_file, now)


def environment(run: Run, training: Training) -> dict:
    return {
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": device_name(training),
        "precision": str(training.precision).removeprefix("torch."),
        "compiled": compiling.wanted(training),
        "cuda_graph": recording.wanted(training),
        "threads": torch.get_num_threads(),
        "images": "streamed" if isinstance(training.images, Streamed) else "resident",
        "git_commit": git_commit(),
        "command": f"{Path(sys.executable).name} -m sslcore train {run.id}",
        "parameters": sum(p.numel() for p in training.method.encoder.parameters()),
        "peak_learning_rate": training.config.peak_learning_rate,
    }


def device_name(training: Training) -> str:
    count = training.config.devices
    if training.device.type == "cuda":
        return f"{count} × " * (count > 1) + torch.cuda.get_device_name(training.device)
    return f"CPU, {platform.machine()}, {len(os.sched_getaffinity(0))} cores" + f", {count} processes" * (count > 1)


def git_commit() -> str | None:
    """The commit of this code, where it lies in a repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def say_results(results: dict, pulse) -> None:
    if results["linear"]:
        low, high = results["linear"]["ci95"]
        untrained = results["baselines"]["random_encoder"]
        pulse.say(
            f"linear probe {results['linear']['accuracy']:.1%} ({low:.1%} to {high:.1%}), kNN {results['knn']['accuracy']:.1%}; "
            f"untrained encoder {untrained['linear']:.1%} and {untrained['knn']:.1%}; pixels kNN "
            f"{results['baselines']['pixels']['knn']:.1%}"
        )
    else:
        pulse.say(results["note"])
