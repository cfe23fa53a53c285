"""Probe, kNN and UMAP on the same features: ours against scikit-learn and plain umap-learn.

The features are h of the untrained small encoder on `photos`: 2,560 training and
960 test images, 256 numbers each. UMAP's are of random views of the training
images: 2,000, a run's default, and 10,000.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from umap import UMAP

from benchmarks.measure import DEVICE, PROCESSOR_TIME, clock_of, machine, print_table, seconds, take_turns
from sslcore import datasets
from sslcore.augment import Views
from sslcore.config import resolve
from sslcore.evaluate.embed import METRIC, MIN_DIST, NEIGHBOURS, faithfulness, umap_layout
from sslcore.evaluate.features import features
from sslcore.evaluate.knn import knn_predict
from sslcore.evaluate.probe import HELD_OUT, REGULARISATION, fit_probe
from sslcore.training import channel_statistics, initial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, nargs="*", default=[2000, 10_000], help="of UMAP")
    parser.add_argument("--processor-time", **PROCESSOR_TIME)
    args = parser.parse_args()
    clock = clock_of(args.processor_time)
    config = resolve({"method": "simclr", "dataset": "photos"})
    data = datasets.load(config.dataset, config.image_size)
    classes = len(data.classes)
    views = Views(config.augment, *channel_statistics(data.x_train), device=DEVICE)
    encoder = initial(config, len(data.x_train), classes).to(DEVICE).encoder.eval()
    train, test = (features(encoder, x, views, torch.float32) for x in (data.x_train, data.x_test))
    y_train, y_test = torch.from_numpy(np.array(data.y_train)).to(DEVICE), np.array(data.y_test)
    x, y, x_test = train.cpu().numpy(), y_train.cpu().numpy(), test.cpu().numpy()

    right: dict[str, float] = {}

    def judged(name: str, predicted: np.ndarray) -> None:
        right[name] = float((predicted == y_test).mean())

    def sklearn_probe() -> None:
        strengths = [1 / (len(x) * strength) for strength in REGULARISATION]  # the same penalties, as its C
        folds = round(1 / HELD_OUT)
        probe = LogisticRegressionCV(Cs=strengths, cv=folds, max_iter=200, use_legacy_attributes=False, l1_ratios=(0.0,))
        judged("scikit-learn, probe", make_pipeline(StandardScaler(), probe).fit(x, y).predict(x_test))

    def sklearn_knn() -> None:
        def weights(distance: np.ndarray) -> np.ndarray:
            return np.exp(-distance / config.evaluate.knn_temperature)

        neighbours = KNeighborsClassifier(config.evaluate.knn_k, weights=weights, metric="cosine")
        judged("scikit-learn, kNN", neighbours.fit(x, y).predict(x_test))

    def our_knn() -> None:
        settings = config.evaluate
        predicted = knn_predict(train, y_train, test, settings.knn_k, settings.knn_temperature, classes)
        judged("triptych, kNN", predicted.cpu().numpy())

    turns = {
        "scikit-learn, probe": sklearn_probe,
        "triptych, probe": lambda: judged("triptych, probe", fit_probe(train, y_train, classes).predict(test).cpu().numpy()),
        "scikit-learn, kNN": sklearn_knn,
        "triptych, kNN": our_knn,
    }
    times = take_turns(turns, args.rounds, clock)
    print(machine("scikit-learn", "umap-learn", "numba"))
    print_table(
        "Evaluation of 2,560 + 960 images",
        ["", "s", "accuracy"],
        [[name, f"{s:.2f}", f"{100 * right[name]:.1f} %"] for name, s in times.items()],
        f"Medians of {args.rounds} turns. scikit-learn's probe chooses its penalty by {round(1 / HELD_OUT)}-fold "
        "cross-validation, ours on one fifth.",
    )
    for points in args.points:
        layouts(points, torch.from_numpy(np.array(data.x_train)).to(DEVICE), encoder, views, args.rounds, clock)


def layouts(
    points: int, images: torch.Tensor, encoder: torch.nn.Module, views: Views, rounds: int, clock: Callable[[], float]
) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        some = [encoder(views(part)) for _ in range(-(-points // len(images))) for part in images.split(512)]
    h = torch.cat(some)[:points].cpu().numpy()
    made: dict[str, np.ndarray] = {}

    def plain() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made["umap-learn"] = UMAP(n_neighbors=NEIGHBOURS, min_dist=MIN_DIST, metric=METRIC, random_state=0).fit_transform(h)

    def ours() -> None:
        made["triptych"] = umap_layout(h)

    turns = {"umap-learn": plain, "triptych": ours}
    first = {name: seconds(work, clock) for name, work in turns.items()}  # compiling included, where it was not done before
    times = take_turns(turns, rounds, clock)
    rows = [[name, f"{s:.2f}", f"{first[name]:.1f}", f"{faithfulness(h, made[name]):.4f}"] for name, s in times.items()]
    print_table(f"UMAP of {points:,} views", ["", "s", "first call, s", "trustworthiness"], rows, f"Medians of {rounds} turns.")
    together = [[str(n), f"{s:.2f}", f"{s / n:.2f}"] for n in (1, 2, 4) for s in [at_once(h, n)]]
    print_table(
        f"Layouts of {points:,} views by runs that end together",
        ["runs", "s", "s a run"],
        together,
        "By the clock; a process a run, as trainers have it, libraries loaded and compiled.",
    )


def at_once(h: np.ndarray, runs: int) -> float:
    """Seconds in which so many processes each lay out h."""
    with ProcessPoolExecutor(runs, mp_context=get_context("spawn")) as pool:
        list(pool.map(umap_layout, [h[:500]] * runs))
        began = time.perf_counter()
        list(pool.map(umap_layout, [h] * runs))
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
