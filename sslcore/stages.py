"""A run's three stages, in order: pretrain, probe, embed."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from sslcore import checkpoint, compact, datasets, distributed, energy, environment, flops, memory, plan, preview, weights
from sslcore.config import ConfigError
from sslcore.datasets import Data
from sslcore.datasets.source import each_tenth
from sslcore.endings import Failed, Stopped
from sslcore.evaluate import heads, labels, transfer
from sslcore.evaluate.embed import read_snapshots
from sslcore.evaluate.final import FinalEvaluation, Predictions, keep_predictions
from sslcore.experiment import Run
from sslcore.files import replacing, write_json
from sslcore.pulse import AnyPulse
from sslcore.status import PRETRAIN_SHARE
from sslcore.stream import Streamed
from sslcore.train import pretrain
from sslcore.training import Training, initial, pick_device
from sslcore.waiting import PROTOCOL as OF_WAITING


def work(run: Run, pulse: AnyPulse, evaluate_only: bool = False) -> None:
    """Take a run through its stages, from wherever it stands. Raises Stopped or Failed.

    Of several processes the first one writes all files; the others are done when nothing is left to share.
    """
    with memory_for(memory.WHILE_MEASURED if evaluate_only else memory.advice(run.config)):
        data = read_data(run, pulse, evaluate_only)
        if distributed.first():
            keep_sample_sheet(run, data)
            keep_views(run, data)
        training = Training(run.config, data, pick_device(run.config))
        if isinstance(training.images, Streamed):
            pulse.say(
                f"the images take {data.x_train.nbytes / 1e9:.1f} GB, more than half of the free memory of the device: they are "
                "read while it trains"
            )
        trained = False if evaluate_only else pretrain(training, data, run, pulse)
    with memory_for(memory.WHILE_MEASURED):
        known = load_for_measuring(training, run) if evaluate_only else True
        if distributed.first():
            if not evaluate_only:
                weights.write(run, training.method.encoder, training.views)
            compact.write(run)
        measure(training, data, run, pulse, trained, known)


@contextmanager
def memory_for(advice: str) -> Iterator[None]:
    """Raises Failed, with the advice, where memory runs out within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out(error):
            raise
        raise Failed(advice) from error


def measure(training: Training, data: Data, run: Run, pulse: AnyPulse, trained: bool, known: bool) -> None:
    """The stages probe and embed. What was measured before stays until all is measured again.

    `trained`: whether this attempt has trained. `known`: whether `training` has the run's head and cost, not its encoder alone.
    """
    config, encoder = run.config, training.method.encoder
    pulse.stage("probe", PRETRAIN_SHARE)
    pulse.at_once = distributed.world() == 1  # where others take part, they would wait for the one that stops
    if distributed.agree(pulse.stop_requested):  # since the last step
        raise Stopped
    evaluation = FinalEvaluation(config, data, training.views, training.precision)
    untrained = initial(config, len(data.x_train), len(data.classes)).encoder.to(training.device)
    results, probe, predictions = evaluation.results(encoder, untrained, training.method.head if known else None)
    counted = operations(training) if distributed.world() == config.devices else {}  # each counts its share of a training step
    if not distributed.leave():
        return
    check_stop(pulse)
    pulse.at_once = True
    if config.evaluate.finetune_epochs and evaluation.labelled:
        tuned = labels.fine_tuning(config, data, training.views, encoder, lambda: check_stop(pulse))
        results |= {"fine_tuning": tuned, "fine_tuning_protocol": labels.FINE_TUNING_PROTOCOL}
    before = run.results() or {}
    taken = {} if trained else before.get("cost") or {}
    results["cost"] = (taken or (cost(training) if known else {})) | counted
    if not known and "heads" in before:
        pulse.warn("without checkpoint.pt there is no head to measure z with: what was measured of h and z before is kept")
        results["heads"] = before["heads"]
    if before.get("transfer"):
        results["transfer"] = transfer.again(run, before["transfer"], pulse)
    if not before:
        keep_results(run, results, predictions)
    say_results(results, pulse)
    check_stop(pulse)

    pulse.stage("embed", (1 + PRETRAIN_SHARE) / 2)
    results |= evaluation.embed(encoder, probe, run, earlier(run, data, pulse))
    pulse.at_once = False  # results and predictions belong together
    keep_results(run, results, predictions)
    if not trained:
        environment.keep_measuring(run, training, data)
    run.previous_checkpoint_file.unlink(missing_ok=True)  # nothing is left to resume


def earlier(run: Run, data: Data, pulse: AnyPulse) -> dict[int, np.ndarray]:
    """Epoch -> h of the sample as it was kept while training; {} where that cannot be read, or was of other images."""
    if environment.other_images(run, data):
        return {}
    try:
        return read_snapshots(run)
    except ValueError as error:
        pulse.warn(f"{error}; the last epoch alone is laid out")
        return {}


def read_data(run: Run, pulse: AnyPulse, evaluate_only: bool) -> Data:
    """Raises Failed where the data set is gone, does not suit the config any more, or is not what the run began with."""
    config, tell = run.config, each_tenth(pulse.say)

    def report(what: str, share: float) -> None:
        check_stop(pulse)
        tell(what, share)

    for own_turn in distributed.turns():  # the first process decodes; the others find it done, or do it on their own machine
        if own_turn:
            try:
                data = datasets.load(config.dataset, config.image_size, report)
            except ValueError as error:
                raise Failed(f"dataset: {error}") from error
    for skipped in data.skipped:
        pulse.say(f"skipped {skipped}")
    if data.skipped:
        pulse.warn(
            f"{config.dataset}: left out {len(data.skipped)} of its files or folders, which cannot be read or have no place "
            "among the classes; the log names them"
        )
    for remark in data.remarks:
        pulse.warn(f"{config.dataset}: {remark}")
    info = datasets.info_of(data, config.dataset)  # some images may have turned out broken
    problems, _ = plan.suits(config, info)
    if problems:
        raise Failed(str(ConfigError(problems)))
    if lost := plan.out_of_reach(info, config.dataset):
        pulse.warn(lost)
    check_images(run, data, pulse, evaluate_only)
    return data


def check_images(run: Run, data: Data, pulse: AnyPulse, evaluate_only: bool) -> None:
    """Warns where results will not be comparable. Raises Failed where a training would go on with other images."""
    other = environment.other_images(run, data)
    if other and evaluate_only:
        pulse.warn(f"{other}; it was measured on them as they are now")
    elif other and run.has_checkpoint():
        raise Failed(
            f"{other}; put them back. Or delete environment.json to go on with these, or checkpoint.pt and "
            "checkpoint.previous.pt to begin anew with them"
        )
    elif stranger := environment.stranger(run, data):
        pulse.warn(
            f"{run.config.dataset} has changed since {stranger.name} was trained on it: the two cannot be compared. Train both "
            "on the same images"
        )


def load_for_measuring(training: Training, run: Run) -> bool:
    """Load the encoder from encoder.safetensors, and head and cost from the checkpoint. Returns whether these two could be read.

    Raises Failed where the encoder's weights cannot be read.
    """
    try:
        weights.read(run, training.method.encoder)
    except ValueError as error:
        raise Failed(str(error)) from error
    try:
        kept, _ = checkpoint.read(run)
        heads.restore_head(training.method.head, kept["method"])
        training.restore_cost(kept)
    except (ValueError, LookupError, TypeError, RuntimeError):  # none that is whole and of this network
        return False
    return True


def check_stop(pulse: AnyPulse) -> None:
    if pulse.stop_requested:
        raise Stopped


# -- What is kept --------------------------------------------------------------


def keep_sample_sheet(run: Run, data: Data) -> None:
    """The evaluation sample's thumbnails, once an experiment: whoever has no data set still sees the images."""
    path = run.experiment.sample_sheet(run.config.dataset)
    if not path.exists():
        images = data.images(datasets.sample(data, run.config.evaluate.sample))
        with replacing(path) as temporary:
            datasets.sheet(images).save(temporary, "WEBP", quality=85)


def keep_views(run: Run, data: Data) -> None:
    """views.webp: some images, and what the network sees of them."""
    if not run.views_file.exists():
        with replacing(run.views_file) as temporary:
            preview.strip(run.config, data).save(temporary, "WEBP")


def keep_results(run: Run, results: dict, predictions: Predictions | None) -> None:
    keep_predictions(predictions, run)
    write_json(run.results_file, results)


def cost(training: Training) -> dict:
    """What the training took. Seconds and speed leave evaluation out."""
    images = training.total * training.config.batch_size
    on_cpu = [name.startswith("CPU") for name in training.trained_on]
    memories = ["peak of allocated GPU memory"] * (not all(on_cpu)) + [
        "peak resident memory of the process, with all that it has imported,"
    ] * any(on_cpu)
    protocol = [
        "seconds of training steps and of preparing them (compiling), evaluation left out",
        f"images, not views, a second; {' or '.join(memories)} while it trained, evaluations between epochs included",
        "of all devices on which it was trained in turn" if len(training.trained_on) > 1 else "",
        "" if training.meter.joules is None else energy.PROTOCOL,
        "" if training.waiting.seconds is None else OF_WAITING,
    ]
    return {
        "seconds": training.seconds,
        "images_per_second": images / training.seconds if training.seconds else None,
        "peak_memory_bytes": training.peak_memory,
        "energy_joules": training.meter.joules,
        "threads_waiting": training.waiting.mean(training.seconds),
        "device": ", then ".join(training.trained_on),
        "protocol": "; ".join(filter(None, protocol)),
    }


def operations(training: Training) -> dict:
    return {"flops_per_image": flops.flops_per_image(training), "flops_protocol": flops.PROTOCOL}


def say_results(results: dict, pulse: AnyPulse) -> None:
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
