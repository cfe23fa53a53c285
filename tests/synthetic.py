"""A store as training would leave it, made of curves that were never trained: for tests of the screen."""

import math
import os
import time
from pathlib import Path

import numpy as np
import psutil

from sslcore import datasets
from sslcore.config import RunConfig, get
from sslcore.datasets import CAUTIONS
from sslcore.evaluate.embed import layout_frame
from sslcore.experiment import Experiment, Run, Spec, Store
from sslcore.files import replacing, write_json
from sslcore.plan import plan
from sslcore.status import ACTIVE

CLASSES = ("astronaut", "camera", "coffee", "rocket", "sunflower")
QUALITY = {"moco": 0.78, "simclr": 0.82, "byol": 0.86, "supervised": 0.93}
SMALL_BATCH = {"moco": 0.015, "simclr": 0.035, "byol": 0.008, "supervised": 0.002}  # lost by each halving
FLOPS = {"moco": 4e7, "simclr": 5e7, "byol": 7e7, "supervised": 2.5e7}  # an image
LOSS = {"moco": (8.3, 5.2), "simclr": (6.2, 4.9), "byol": (4.0, 1.0), "supervised": (1.6, 0.2)}


def store(
    root: Path, methods=("moco", "simclr", "byol"), seeds=(0, 1), steps: int = 400, name: str = "photos", axes=None, **base
) -> Experiment:
    """An experiment, all of whose runs have finished; `axes` vary beside method and seed."""
    spec = Spec(
        title="Three methods on photos",
        question="Which method learns most about small photographs in two minutes?",
        base={"dataset": "photos", "epochs": 20, **base},
        axes={"method": list(methods), **(axes or {}), "seed": list(seeds)},
    )
    return finished(root, spec, steps, name)


def finished(root: Path, spec: Spec, steps: int, name: str = "photos") -> Experiment:
    """An experiment of this spec, all of whose runs have finished."""
    experiment = Store(root).create(name, spec, plan(spec).configs)
    for run in experiment.runs():
        write_metrics(run, steps)
        write_results(run)
        run.write_status(status(run, "finished", progress=1.0))
    return experiment


def quality(config: RunConfig) -> float:
    """A run's accuracy, but for chance: less in batches below 256, which SimCLR minds most, and with few negatives."""
    lost = SMALL_BATCH[config.method] * max(0.0, math.log2(256 / config.batch_size))
    if config.method == "moco":
        lost += 0.008 * math.log2(4096 / config.moco.queue_size)
    if config.method == "simclr" and config.simclr.negatives:
        lost += 0.02 * math.log2((2 * config.batch_size - 2) / config.simclr.negatives)
    return max(QUALITY[config.method] - lost, 0.1)


def status(run: Run, state: str, **changes):
    now = time.time()
    here = {"host": os.uname().nodename, "slot": "cpu"}
    times = {"started_at": now - 100, "ended_at": None if state in ACTIVE else now}
    return run.recorded_status().model_copy(update={"state": state, "attempt": 1, **here, **times, **changes})


def running(run: Run, steps: int = 100) -> None:
    """Let a run look as if the calling process trained it, `steps` of 400 done."""
    run.results_file.unlink(missing_ok=True)
    run.metrics_file.unlink(missing_ok=True)
    write_metrics(run, steps)
    me = psutil.Process()
    alive = {"pid": me.pid, "pid_started": me.create_time(), "host": os.uname().nodename, "heartbeat": time.time()}
    run.write_status(status(run, "running", stage="pretrain", progress=steps / 400 * 0.8, eta_seconds=60.0, **alive))


def failed(run: Run, error: str = "the loss became NaN at step 120; try a smaller learning_rate") -> None:
    run.results_file.unlink(missing_ok=True)
    run.write_status(status(run, "failed", progress=0.3, error=error))


def write_metrics(run: Run, steps: int, first: int = 0, every: int = 5, evaluate_every: int = 20) -> None:
    """Append the rows of the steps after `first`, up to `steps`."""
    method, seed = run.config.method, run.config.seed
    rng = np.random.default_rng([seed, len(method), first])
    start, end = LOSS[method]
    for step in range(first + every, steps + 1, every):
        place = {
            "step": step,
            "epoch": step / 20,
            "images_seen": step * run.config.batch_size,
            "seconds": 0.25 * step * (1 + 0.05 * seed),
        }
        grown = 1 - math.exp(-step / 120)
        loss = start + (end - start) * grown + rng.normal(0, 0.03 * (start - end))
        rate = run.config.peak_learning_rate * min(1, step / 40) * (1 + math.cos(math.pi * step / 400)) / 2
        speed = 1000 + rng.normal(0, 20)
        run.append_metrics(
            place | {"loss": loss, "chance_loss": start, "learning_rate": rate, "images_per_second": speed, "std_z": 0.08}
        )
        if step % evaluate_every == 0:
            run.append_metrics(
                place
                | {
                    "knn": 0.35 + (QUALITY[method] - 0.38) * grown + rng.normal(0, 0.008),
                    "std": 0.4 + 0.4 * grown,
                    "alignment": 1.2 - 0.8 * grown + rng.normal(0, 0.01),
                    "uniformity": -1.5 - 1.4 * grown + rng.normal(0, 0.02),
                    "effective_rank": 12 + 60 * grown * QUALITY[method] + rng.normal(0, 0.5),
                }
            )


def write_results(run: Run, labelled: bool = True) -> None:
    """results.json of a finished run, on 100 test images a class."""
    method, seed = run.config.method, run.config.seed
    rng = np.random.default_rng([seed, len(method)])
    right = np.clip(rng.normal(100 * quality(run.config), 6, len(CLASSES)).round().astype(int), 0, 100)
    confusion = np.stack(
        [rng.multinomial(100 - n, np.delete(np.ones(len(CLASSES)), k) / (len(CLASSES) - 1)) for k, n in enumerate(right)]
    )
    confusion = np.stack([np.insert(row, k, right[k]) for k, row in enumerate(confusion)])
    accuracy = float(right.sum() / confusion.sum())
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / confusion.sum())
    sizes = {"n_train": 4000, "n_test": int(confusion.sum())}
    linear = {
        "accuracy": accuracy,
        "ci95": [accuracy - half, accuracy + half],
        "per_class": {name: n / 100 for name, n in zip(CLASSES, right.tolist())},
        "confusion": confusion.tolist(),
        "classes": list(CLASSES),
        "regularisation": 1e-3,
        **sizes,
        "protocol": (
            "logistic regression on frozen, standardised h of the last epoch; L-BFGS; regularisation chosen on a held-out fifth "
            "of train"
        ),
    }
    knn = {
        "accuracy": accuracy - 0.03,
        "k": get(run.config, "evaluate.knn_k"),
        "temperature": 0.1,
        **sizes,
        "protocol": "weighted vote of the k nearest by cosine, on h",
    }
    untrained = {"knn": 0.47 + rng.normal(0, 0.01), "linear": 0.56 + rng.normal(0, 0.01)}
    results = {
        "linear": linear if labelled else None,
        "knn": knn if labelled else None,
        "baselines": {"random_encoder": untrained, "pixels": {"knn": 0.42}} if labelled else None,
        "geometry": {"alignment": 0.4, "uniformity": -2.9, "effective_rank": 70.0, "std": 0.8},
        "umap": {"trustworthiness": 0.95, "n_neighbors": 15, "min_dist": 0.1, "metric": "cosine"},
        "cost": {
            "seconds": 100.0 + 5 * seed,
            "images_per_second": 1000.0,
            "peak_memory_bytes": 900_000_000,
            "device": "cpu",
            "flops_per_image": FLOPS[method],
        },
    }
    if labelled:
        told = predictions(confusion, rng)
        groups = {"group": np.arange(len(told["index"])) // 10} if run.config.dataset in CAUTIONS else {}
        np.savez(run.predictions_file, **told, **groups)
    write_json(run.results_file, results if labelled else results | {"note": "photos has no labels, so nothing can be probed"})


def questions(run: Run) -> None:
    """What the further probes said, added to results.json: few labels, fine-tuning, h against z, transfer to digits."""
    results = run.results()
    best = results["linear"]["accuracy"]
    few = [
        {"fraction": share, "n": n, "accuracy": best - lost, "std": std, "draws": draws, "random_encoder": 0.55 - lost}
        for share, n, lost, std, draws in ((0.01, 40, 0.2, 0.03, 5), (0.1, 400, 0.08, 0.01, 3), (1.0, 4000, 0.0, None, 1))
    ]
    tuned = [
        {
            "fraction": row["fraction"],
            "n": row["n"],
            "epochs": 5,
            "accuracy": row["accuracy"] + 0.02,
            "from_scratch": row["accuracy"] - 0.1,
        }
        for row in few
    ]
    told = {
        task: {"h": chance + 0.3, "z": chance + 0.1, "chance": chance, "n_train": 1000, "n_test": 1000}
        for task, chance in (("grayscale", 0.5), ("colour", 0.25), ("rotation", 0.25), ("flip", 0.5))
    }
    moved = {
        "linear": {"accuracy": 0.9, "n_test": 1360},
        "knn": {"accuracy": 0.88},
        "random_encoder": {"linear": 0.8, "knn": 0.7},
        "pixels": {"knn": 0.85},
        "protocol": "resized",
    }
    write_json(
        run.results_file,
        results
        | {
            "label_efficiency": few,
            "label_efficiency_protocol": "of each class that share",
            "fine_tuning": tuned,
            "fine_tuning_protocol": "the run's recipe",
            "heads": {"linear": {"h": best, "z": best - 0.05}, "forgets": told, "protocol": "both in eval mode"},
            "transfer": {"digits": moved},
        },
    )


def predictions(confusion: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """predictions.npz that gives this confusion matrix, and kNN 3 points less. Some images are hard for every run."""
    label = np.repeat(np.arange(len(confusion)), confusion.sum(1))
    hardness = np.random.default_rng(0).normal(size=len(label)) + rng.normal(size=len(label))
    linear = np.empty_like(label)
    for k, row in enumerate(confusion):
        wrong = rng.permutation(np.repeat(np.arange(len(row)), np.where(np.arange(len(row)) == k, 0, row)))
        easiest_first = np.flatnonzero(label == k)[np.argsort(hardness[label == k])]
        linear[easiest_first] = np.concatenate([np.full(row[k], k), wrong])
    knn, right = linear.copy(), np.flatnonzero(linear == label)
    lost = right[np.argsort(hardness[right])][len(right) - round(0.03 * len(label)) :]
    knn[lost] = (label[lost] + 1) % len(confusion)
    return {"index": 2560 + np.arange(len(label)), "label": label, "linear": linear, "knn": knn}


def embed(experiment: Experiment, labelled: bool = True) -> None:
    """embeddings.npz and umap.parquet of every run, and the sample sheet: the set's images, with made-up labels (index mod 5).

    h (n, 16) lies around one corner a class, the tighter the better the method; the layout is its plane of the first two.
    """
    for run in experiment.runs():
        config = run.config
        data = datasets.load(config.dataset, config.image_size)
        index = datasets.sample(data, config.evaluate.sample)
        label = index % len(CLASSES)
        rng = np.random.default_rng([config.seed, len(config.method)])
        h = 3 * np.eye(len(CLASSES), 16)[label] + rng.normal(0, 1.5 - QUALITY[config.method], (len(index), 16))
        turn = 2 * np.pi * label / len(CLASSES)
        layout = 5 * np.stack([np.cos(turn), np.sin(turn)], axis=1) + h[:, -2:]
        wrong = rng.random(len(index)) > QUALITY[config.method]
        predicted = np.where(wrong, (label + 1) % len(CLASSES), label)
        nothing = np.full(len(index), -1)
        with replacing(run.embeddings_file) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                h=h.astype(np.float32),
                index=index,
                prediction=predicted if labelled else nothing,
                label=label if labelled else nothing,
                train=index < len(data.x_train),
            )
        with replacing(run.umap_file) as temporary:
            layout_frame(layout.astype(np.float32), index, label if labelled else None, config.epochs).to_parquet(
                temporary, index=False
            )
        sheet = experiment.sample_sheet(config.dataset)
        if not sheet.exists():
            with replacing(sheet) as temporary:
                datasets.sheet(data.images(index)).save(temporary, "WEBP", quality=85)
