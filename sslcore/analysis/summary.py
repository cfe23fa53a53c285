"""Run folders -> flat rows: one a run, or one a setting with mean and spread over its seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from sslcore.analysis.images import data_sets
from sslcore.analysis.stats import Aggregate, aggregate, of_each_seed, wilson
from sslcore.config import COMPUTING, WATCHING, get, is_anothers, varying
from sslcore.experiment import Run
from sslcore.grouping import grouped
from sslcore.results import dig, number
from sslcore.status import Status
from sslcore.wording import some

SETTINGS = ("method", "dataset", "encoder", "batch_size", "epochs", "seed")
NUMBERS = {  # column: where results.json has it
    "linear": "linear.accuracy",
    "knn": "knn.accuracy",
    "random_knn": "baselines.random_encoder.knn",
    "random_linear": "baselines.random_encoder.linear",
    "pixels_knn": "baselines.pixels.knn",
    "alignment": "geometry.alignment",
    "uniformity": "geometry.uniformity",
    "effective_rank": "geometry.effective_rank",
    "std": "geometry.std",
    "seconds": "cost.seconds",
    "images_per_second": "cost.images_per_second",
    "peak_memory_bytes": "cost.peak_memory_bytes",
    "flops_per_image": "cost.flops_per_image",
    "energy_joules": "cost.energy_joules",
    "threads_waiting": "cost.threads_waiting",
}
SHARES = ("linear", "knn", "random_knn", "random_linear", "pixels_knn")  # no more than 1
SEEDLESS = "pixels_knn"  # the same in every run
OF_ONE_RUN = ("run", "seed", "state", "linear_low", "linear_high", "knn_low", "knn_high", "device")


def run_rows(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """One flat row a run; None where a run does not say (yet).

    Columns: experiment, run, SETTINGS, state, NUMBERS, <probe>_low and _high (the 95 % interval of linear and knn), device,
    and by its dotted name every other setting that differs between the runs, None where it is another method's.
    `dataset` is the one name of the run's images that `data_sets` gives them.
    """
    runs = list(runs)
    axes, sets = differing(runs), data_sets(run for run in runs if run.readable_config)
    return [_row(run, axes, sets.get(run)) for run in runs]


def differing(runs: Sequence[Run]) -> list[str]:
    """Dotted names of the settings that decide a result, other than SETTINGS, that are not the same in all runs."""
    configs = [config for run in runs if (config := run.readable_config)]
    flat, apart = [config.flat() for config in configs], varying(configs)
    return [
        name
        for name in (flat[0] if flat else ())
        if name not in (*SETTINGS, *WATCHING)
        and (name in apart or name not in COMPUTING)
        and len({repr(f[name]) for f in flat}) > 1
    ]


def _row(run: Run, axes: Sequence[str], dataset: str | None) -> dict[str, Any]:
    config, results = run.readable_config, run.results()
    low, high = dig(results, "linear", "ci95") or (None, None)
    knn_low, knn_high = dig(results, "knn", "ci95") or _interval(number(results, "knn.accuracy"), number(results, "knn.n_test"))
    return {
        "experiment": run.path.parent.name,
        "run": run.name,
        **{
            name: None if config is None or is_anothers(name, config.method) else get(config, name) for name in (*SETTINGS, *axes)
        },
        "dataset": dataset,
        "state": run.status().state,
        **{column: number(results, where) for column, where in NUMBERS.items()},
        "linear_low": low,
        "linear_high": high,
        "knn_low": knn_low,
        "knn_high": knn_high,
        "device": dig(results, "cost", "device"),
    }


def _interval(share: float | None, n: float | None) -> tuple[float | None, float | None]:
    """The 95 % interval of an accuracy on n test images, which older versions did not keep; (None, None) where none is known."""
    return wilson(round(share * n), int(n)) if share is not None and 0 <= share <= 1 <= (n or 0) else (None, None)


def by_seed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that differ in seed alone, folded into one, in order of first appearance.

    Each number keeps its column for the mean over the seeds that have it, and gains <number>_std, _low, _high and _n as
    `mean` gives them. `runs`, `seeds` and `states` list what was folded.
    """
    return [_fold(group) for group in grouped(rows, lambda row: repr(sorted(_alike(row).items()))).values()]


def _alike(row: Mapping[str, Any]) -> dict[str, Any]:
    """What rows that differ in seed alone have in common."""
    return {name: value for name, value in row.items() if name not in NUMBERS and name not in OF_ONE_RUN}


def _fold(group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    folded = _alike(group[0]) | {
        "runs": [row["run"] for row in group],
        "seeds": list(dict.fromkeys(row["seed"] for row in group)),
        "states": [row["state"] for row in group],
    }
    for name in NUMBERS:
        folded |= _columns(name, group)
    return folded


def mean(name: str, rows: Sequence[Mapping[str, Any]]) -> Aggregate | None:
    """A number's mean over the rows' seeds, with its spread and 95 % interval; None where no row has it.

    Of a single run the interval is its own, over the choice of test images (None where it has none). What pixels give
    is of no seed: n is 0, and there is no spread.
    """
    values = of_each_seed((row["seed"], row[name]) for row in rows)
    if name == SEEDLESS and values:
        return Aggregate(fmean(values), None, None, None, 0)
    made = aggregate(values, 0, 1) if name in SHARES else aggregate(values)
    known = [row for row in rows if row[name] is not None]
    if len(known) == 1:
        made = replace(made, low=known[0].get(f"{name}_low"), high=known[0].get(f"{name}_high"))
    return made


def _columns(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    made = mean(name, rows) or Aggregate(None, None, None, None, 0)
    return {name: made.mean} | {f"{name}_{of}": getattr(made, of) for of in ("std", "low", "high", "n")}


def kind(row: Mapping[str, Any]) -> tuple:
    """What decides how good an untrained encoder is, beside its seed: (data set, encoder, image size where that varies)."""
    return row["dataset"], row["encoder"], row.get("image_size")


def vote(row: Mapping[str, Any]) -> tuple:
    """What decides a kNN accuracy beside h: (k, temperature), each None where that is the same in all rows."""
    return row.get("evaluate.knn_k"), row.get("evaluate.knn_temperature")


def untrained(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What needs no training: random_linear, random_knn, pixels_knn, with their further columns as in `by_seed`.

    A row for each `kind` and `vote`, with their columns (None where that is the same in all). All runs of a seed start from the
    same weights, whatever else differs between them, so the mean is over seeds: one over runs would weigh a seed by how many
    of its runs have finished.
    """
    columns = ("dataset", "encoder", "image_size", "evaluate.knn_k", "evaluate.knn_temperature")
    found = []
    for values, own in grouped(rows, lambda row: (*kind(row), *vote(row))).items():
        folded = dict(zip(columns, values))
        for name in ("random_linear", "random_knn", "pixels_knn"):
            folded |= _columns(name, own)
        found.append(folded)
    return found


def warned(statuses: Mapping[str, Status]) -> list[str]:
    """What runs, by name, warned of while they trained or were measured, in sentences; what several said, once."""
    names: dict[str, list[str]] = {}
    for name, status in statuses.items():
        for warning in status.warnings:
            names.setdefault(warning, []).append(name)
    return [f"{some(sorted(of))}: {warning}" for warning, of in names.items()]
