"""Transfer: how well the encoder of a run sees images of another data set."""

import shlex

from sslcore import datasets, plan, weights
from sslcore.augment import Views
from sslcore.datasets import Data
from sslcore.datasets.source import Report
from sslcore.evaluate.final import FinalEvaluation
from sslcore.experiment import Run
from sslcore.files import read_object, write_json
from sslcore.pulse import AnyPulse
from sslcore.training import initial, pick_device, pick_precision

PROTOCOL = (
    "the linear probe and kNN of h, fitted on the other data set's training images and tested on its whole test set; images "
    "resized to the run's image_size and normalised by the channel statistics of the run's own training set; nothing is trained "
    "but the probe"
)


def labelled(dataset: str, image_size: int, report: Report | None = None) -> Data:
    """The data set to transfer to; `report` as in datasets.load. Raises ValueError, in one line, where it cannot be probed."""
    data = datasets.load(dataset, image_size, report)
    if why := plan.unprobed(datasets.info_of(data, dataset)):
        raise ValueError(f"{dataset}: {why}")
    return data


def transfer(run: Run, dataset: str, data: Data) -> dict:
    """An entry of results.json's `transfer`; `data` is what `labelled` read of the data set.

    Raises ValueError where the run has no encoder that can be read.
    """
    config = run.config.model_copy(update={"dataset": dataset})
    device = pick_device(config)
    encoder, untrained = (initial(config, len(data.x_train), len(data.classes)).encoder.to(device) for _ in range(2))
    views = Views(config.augment, *weights.read(run, encoder), device=device)
    evaluation = FinalEvaluation(config, data, views, pick_precision(config, device))
    results = evaluation.accuracies(evaluation.probed(encoder), evaluation.probed(untrained))
    return {
        "linear": results["linear"],
        "knn": results["knn"],
        "random_encoder": results["baselines"]["random_encoder"],
        "pixels": results["baselines"]["pixels"],
        "protocol": "; ".join(filter(None, [PROTOCOL, plan.out_of_reach(datasets.info_of(data, dataset), dataset)])),
    }


def keep(run: Run, dataset: str, measured: dict) -> None:
    """Add to results.json, whatever else it says. Raises ValueError where that cannot be read: nothing in it is lost."""
    with run.hold(patience=5):
        results = read_object(run.results_file)
        if results is None and run.results_file.exists():
            again = f"`python -m sslcore evaluate {shlex.quote(run.id)}` writes it anew"
            raise ValueError(f"{run.results_file} cannot be read; {again}")
        results = results or {}
        write_json(
            run.results_file, results | {"transfer": (results.get("transfer") or {}) | {datasets.canonical(dataset): measured}}
        )


def again(run: Run, said: dict, pulse: AnyPulse) -> dict:
    """The entries of `transfer` measured anew; those whose data set is gone stay as they were."""
    entries = {}
    for dataset, before in said.items():
        try:
            entries[dataset] = transfer(run, dataset, labelled(dataset, run.config.image_size))
        except ValueError as error:
            pulse.warn(f"transfer is kept as it was: {error}")
            entries[dataset] = before
    return entries
