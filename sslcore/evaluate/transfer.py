"""Transfer: how well the encoder of a run sees images of another data set."""

from safetensors import safe_open
from safetensors.torch import load_file

from sslcore import datasets
from sslcore.augment import Views
from sslcore.datasets import Data
from sslcore.datasets.source import Report
from sslcore.evaluate.final import FinalEvaluation
from sslcore.experiment import Run
from sslcore.files import write_json
from sslcore.train import initial, pick_device, pick_precision

PROTOCOL = (
    "the linear probe and kNN of h, fitted on the other data set's training images and tested on its whole test set; images resized to the run's image_size "
    "and normalised by the channel statistics of the run's own training set; nothing is trained but the probe"
)


def labelled(dataset: str, image_size: int, report: Report | None = None) -> Data:
    """The data set to transfer to; `report` as in datasets.load. Raises ValueError, in one line, where it cannot be probed."""
    data = datasets.load(dataset, image_size, report)
    if data.y_train is None or data.y_test is None or not len(data.x_test):
        raise ValueError(f"{dataset}: it has no labels for training and test images, so nothing can be probed")
    return data


def transfer(run: Run, data: Data) -> dict:
    """An entry of results.json's `transfer`. Raises ValueError where the run has no encoder to load."""
    if not run.encoder_file.exists():
        raise ValueError(f"{run.id}: there is no {run.encoder_file.name}; an experiment has it where it was trained, or exported with --checkpoints")
    only = {"labels": False, "heads": False}
    config = run.config.model_copy(update={"evaluate": run.config.evaluate.model_copy(update=only)})
    device = pick_device(config)
    encoder = initial(config, len(data.x_train), len(data.classes)).encoder.to(device)
    encoder.load_state_dict(load_file(run.encoder_file))
    untrained = initial(config, len(data.x_train), len(data.classes)).encoder.to(device)
    with safe_open(run.encoder_file, "pt") as kept:
        mean, std = ([float(number) for number in kept.metadata()[name].split()] for name in ("mean", "std"))
    views = Views(config.augment, mean, std, device=device)
    results, _, _ = FinalEvaluation(config, data, views, device, pick_precision(config, device)).results(encoder, untrained)
    return {
        "linear": results["linear"],
        "knn": results["knn"],
        "random_encoder": results["baselines"]["random_encoder"],
        "pixels": results["baselines"]["pixels"],
        "protocol": PROTOCOL,
    }


def keep(run: Run, dataset: str, measured: dict) -> None:
    """Add to results.json, whatever else it says."""
    with run.hold(patience=5):
        results = run.results() or {}
        write_json(run.results_file, results | {"transfer": (results.get("transfer") or {}) | {datasets.canonical(dataset): measured}})


def again(run: Run, said: dict, pulse) -> dict:
    """The entries of `transfer` measured anew; those whose data set is gone stay as they were."""
    entries = {}
    for dataset, before in said.items():
        try:
            entries[dataset] = transfer(run, labelled(dataset, run.config.image_size))
        except ValueError as error:
            pulse.warn(f"transfer is kept as it was: {error}")
            entries[dataset] = before
    return entries
