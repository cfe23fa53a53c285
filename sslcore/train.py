"""The training loop: steps, the evaluations between them, and checkpoints."""

import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from sslcore import compiling, datasets, distributed, environment, memory, recording
from sslcore.datasets import Data, Images
from sslcore.endings import Stopped
from sslcore.evaluate.embed import keep_snapshots
from sslcore.evaluate.features import features
from sslcore.evaluate.online import COLLAPSED_RANK, COLLAPSED_STD, RANKED, OnlineEvaluation
from sslcore.experiment import Run
from sslcore.journal import Journal
from sslcore.notation import seconds_of
from sslcore.pulse import AnyPulse
from sslcore.training import Training, named

CHECKPOINT_SECONDS = seconds_of("TRIPTYCH_CHECKPOINT_SECONDS")
CHECKPOINT_SHARE = 0.05  # of the time at most goes into writing them
COLLAPSED = "the representation has collapsed"  # begins the warning


def pretrain(training: Training, data: Data, run: Run, pulse: AnyPulse) -> bool:
    """Train to the last epoch, from the checkpoint where there is one. Returns whether there was anything left to train.

    `pulse` is told how far the training has come, and knows whether it should stop. Raises Stopped or Failed; either way
    the last good checkpoint is kept, where there is one.
    """
    config = training.config
    knn_every, snapshots = config.evaluate.knn_every, config.evaluate.snapshots  # epochs; 0: never
    sample = datasets.sample(data, config.evaluate.sample)
    if distributed.agree(run.has_checkpoint()):
        resume(training, run, pulse)
    elif distributed.first() and run.metrics():
        pulse.say("there is no checkpoint, so it begins anew")
    evaluation = OnlineEvaluation(config, data, training.views, training.precision)
    if distributed.first():
        run.keep_metrics_until(training.step)
    if snapshots and training.step == 0:
        take_snapshot(training, data.images(sample), 0)

    left = training.step < training.total
    if left:
        begin(training, data, run, pulse)
    journal = Journal(training, run, pulse)
    warn_of_collapse = collapse_watch(run, pulse, len(evaluation.queries))
    saved, every_seconds = time.monotonic(), CHECKPOINT_SECONDS

    while training.step < training.total:
        loss, z = training.take_step()
        epoch, place = divmod(training.step, training.steps_per_epoch)
        ended_epoch = place == 0
        if training.step % config.evaluate.log_every == 0 or ended_epoch:
            journal.note(loss, z)
        rows = journal.read_out(wait=ended_epoch)
        if not all(np.isfinite(row["loss"]) for row in rows):
            training.check_finite(run)  # raises

        if ended_epoch:
            words = f"epoch {epoch} of {config.epochs}: loss {rows[-1]['loss']:.3f}, {rows[-1]['images_per_second']:.0f} images/s"
            with journal.paused():
                if knn_every and (epoch % knn_every == 0 or epoch == config.epochs):
                    seen = evaluation(training.method.encoder)
                    journal.write(journal.place() | {"seconds": training.seconds} | seen)
                    warn_of_collapse(epoch, seen)
                    words += "".join(f", {name} {number:.3g}" for name, number in seen.items())
                if snapshots and epoch % snapshots == 0 and epoch < config.epochs:
                    take_snapshot(training, data.images(sample), epoch)
            seconds = journal.seconds_left
            pulse.say(words + (f"; {timedelta(seconds=round(seconds))} left" if seconds else ""))

        stop = distributed.agree(pulse.stop_requested)
        if stop or training.step == training.total or time.monotonic() - saved > every_seconds:
            journal.read_out(wait=True)
            training.check_finite(run)
            with journal.paused():
                began = time.monotonic()
                if distributed.first():
                    training.save(run)
                saved = time.monotonic()
            every_seconds = max(CHECKPOINT_SECONDS, (saved - began) / CHECKPOINT_SHARE)
            if stop:
                raise Stopped
    training.graph = None  # and its memory
    if training.snapshots and distributed.first():
        keep_snapshots(run, {epoch: h.numpy() for epoch, h in training.snapshots.items()}, sample)
    return left


def resume(training: Training, run: Run, pulse: AnyPulse) -> None:
    """Go on from the checkpoint, which the first process reads before the others do."""
    usual = training.precision
    for own_turn in distributed.turns():
        if own_turn and (said := training.restore(run)):
            pulse.say(said)
    pulse.say(f"resumed after step {training.step} of {training.total}")
    if distributed.first() and (other := environment.other_programs(run)):
        pulse.warn(f"went on after step {training.step} with other programs than before: {other}")
    if distributed.first():
        logged = max((row.get("step", 0) for row in run.metrics()), default=0)
        if logged < training.step - training.config.evaluate.log_every:
            pulse.warn(f"metrics.jsonl has lost rows: what was logged from step {logged} to {training.step} is in no curve")
    if training.precision != usual:
        now, here = named(training.precision), named(usual)
        pulse.say(f"goes on in {now}, as it began; on this device it would have begun in {here}")


def begin(training: Training, data: Data, run: Run, pulse: AnyPulse) -> None:
    """Make the training ready for its first step here, and record what it runs on."""
    here = environment.device_name(training)
    if training.trained_on[-1:] != [here]:
        training.trained_on.append(here)
    if distributed.first():
        environment.keep(run, training, data)
    memory.forget_peak(training.device)
    training.meter.start()
    training.waiting.start()
    make_ready(training, pulse)
    if distributed.first() and (training.compiled or training.graph):
        environment.keep(run, training, data)  # which says so


def take_snapshot(training: Training, images: Images, epoch: int) -> None:
    """Keep h of some images after an epoch; checkpoints hold it, too."""
    h = features(training.method.encoder, images, training.views, training.precision)
    training.snapshots[epoch] = h.clamp(-65504, 65504).half().cpu()  # float16's range


def make_ready(training: Training, pulse: AnyPulse) -> None:
    """Keep freed memory, compile the networks, record a step as a CUDA graph: each where it pays. The time counts as training."""
    began = time.monotonic()
    if training.device.type == "cpu":
        memory.keep_freed()
    if compiling.wanted(training):
        compiling.compile_networks(training, pulse)
    if recording.wanted(training):
        recording.record_passes(training, pulse)
    training.seconds += time.monotonic() - began


def collapse_watch(run: Run, pulse: AnyPulse, images: int) -> Callable[[int, dict[str, float]], None]:
    """Returns what warns, once a run, when h has collapsed: all images then look the same to the encoder.

    The effective rank cannot exceed the number of images, so it counts from RANKED images on.
    """
    warned = any(words.startswith(COLLAPSED) for words in run.recorded_status().warnings)

    def check(epoch: int, seen: dict[str, float]) -> None:
        nonlocal warned
        rank, std = seen["effective_rank"], seen["std"]
        told = [f"effective rank {rank:.2f} (floor {COLLAPSED_RANK})"] * (images >= RANKED and rank < COLLAPSED_RANK)
        told += [f"std {std:.2g} (floor {COLLAPSED_STD})"] * (std < COLLAPSED_STD)
        if told and not warned:
            warned = True
            pulse.warn(
                f"{COLLAPSED} by the end of epoch {epoch}: {', '.join(told)}. Nearly all images got the same h; try a lower "
                "learning_rate, or for BYOL a momentum between 0.9 and 0.999"
            )

    return check
