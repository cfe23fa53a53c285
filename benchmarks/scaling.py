"""How the work grows: a training step with batch and pixels, kNN and UMAP with images, a page's data with runs and steps.

One small table each, minutes in all. A row is the median of several turns after one to warm up: of the wall's clock, and of
the processor time of this process, by which a busy machine can be told from slow code.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.measure import DEVICE, machine, print_table, settle
from benchmarks.pages import evaluated, row
from dashboard import difference, metrics, tables
from dashboard.figures import curves
from sslcore import compact, datasets
from sslcore.config import resolve
from sslcore.evaluate.embed import umap_layout
from sslcore.evaluate.knn import knn_predict
from sslcore.experiment import Run, Spec, Store
from sslcore.plan import plan
from sslcore.profiling import Aloud
from sslcore.train import make_ready
from sslcore.training import Training

COLUMNS = ["ms", "CPU ms"]


def medians(work: Callable[[], object], rounds: int, first: bool = False) -> list[str]:
    """Milliseconds by the wall's clock and of the processor; with `first`, of the first turn alone."""
    turns = []
    for _ in range(1 if first else rounds + 1):
        settle()
        began, used = time.perf_counter(), time.process_time()
        work()
        settle()
        turns.append((time.perf_counter() - began, time.process_time() - used))
    return [f"{1000 * statistics.median(column):.0f}" for column in zip(*(turns if first else turns[1:]))]


def steps(rounds: int) -> None:
    """A training step of SimCLR, small encoder."""
    rows = []
    for batch, pixels in ((64, 32), (128, 32), (256, 32), (512, 32), (128, 16), (128, 64), (128, 96)):
        config = resolve({"method": "simclr", "dataset": "photos", "batch_size": batch, "image_size": pixels, "encoder": "small"})
        training = Training(config, datasets.load("photos", pixels), DEVICE)
        make_ready(training, Aloud())
        rows.append([f"batch {batch}, {pixels} px", *medians(training.take_step, rounds)])
    print_table("A step of SimCLR, small encoder", ["", *COLUMNS], rows)


def evaluation(rounds: int) -> None:
    """kNN of n images against n, and UMAP of n, 256 numbers each, in ten clusters."""
    rows = []
    for n in (500, 1000, 2000, 4000, 8000):
        random = np.random.default_rng(0)
        label = np.arange(n) % 10
        h = (random.normal(size=(10, 256))[label] + random.normal(size=(n, 256))).astype(np.float32)
        x, y = torch.from_numpy(h).to(DEVICE), torch.from_numpy(label).to(DEVICE)
        knn = medians(lambda x=x, y=y: knn_predict(x, y, x, 20, 0.1, 10), rounds)
        umap = medians(lambda h=h: umap_layout(h), 1) if n <= 4000 else ["", ""]
        rows.append([f"{n:,} images", *knn, *umap])
    print_table("kNN of n images against n, UMAP of n", ["", "kNN ms", "CPU ms", "UMAP ms", "CPU ms"], rows)


def pages(rounds: int) -> None:
    """What Compare asks of the server, without Streamlit: rows read, ten figures made and packed; and a tick of one run."""
    rows = []
    for n_runs, n_steps in ((3, 10_000), (30, 10_000), (100, 10_000), (30, 1000), (30, 50_000)):
        with tempfile.TemporaryDirectory() as folder:
            spec = Spec(base={"dataset": "photos"}, axes={"method": ["simclr"], "seed": list(range(n_runs))})
            runs = Store(folder).create("runs", spec, plan(spec).configs).runs()
            for run in runs:
                run.metrics_file.write_text("".join(json.dumps(logged(step, run)) + "\n" for step in range(1, n_steps + 1)))
            plain = medians(lambda runs=runs: [metrics.logged(run) for run in runs], rounds, first=True)
            for run in runs:
                run.keep_metrics_until(n_steps)  # the same in another file, so that it is read again
                compact.write(run)
            compacted = medians(lambda runs=runs: [metrics.logged(run) for run in runs], rounds, first=True)
            drawn: dict = {}
            made = medians(lambda runs=runs, drawn=drawn: draw(runs, drawn), rounds, first=True)
            runs[0].append_metrics(logged(n_steps + 1, runs[0]))
            tick = medians(lambda runs=runs, drawn=drawn: draw(runs, drawn), rounds, first=True)
            rows.append([f"{n_runs} runs of {n_steps:,} steps", plain[1], compacted[1], made[1], tick[1]])
    print_table("A page's data: CPU milliseconds", ["", "read JSONL", "read Parquet", "draw", "tick of one run"], rows)


def logged(step: int, run: Run) -> dict[str, float]:
    return row(step, run.config.seed) | (evaluated(step, run.config.seed) if step % 200 == 0 else {})


def draw(runs: list[Run], drawn: dict) -> None:
    all_curves = tables.curves(runs)
    for name in ("loss", *curves.METRICS):
        figure = curves.loss(all_curves) if name == "loss" else curves.metric(all_curves, name)
        difference.since_last(figure, drawn, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=["steps", "evaluation", "pages"], default=["steps", "evaluation", "pages"])
    args = parser.parse_args()
    print(machine("numpy", "umap-learn", "pyarrow", "plotly"))
    for part in args.only:
        {"steps": steps, "evaluation": evaluation, "pages": pages}[part](args.rounds)


if __name__ == "__main__":
    main()
