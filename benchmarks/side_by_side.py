"""Several runs at a time on a CPU: how long a grid takes one run after another, a thread a core, and side by side, with fewer.

Each grid is launched in a temporary store, as the form's button does. Its time ends with its last run, evaluation
included. The two take turns.
"""

import argparse
import statistics
import sys
import tempfile
import time

from benchmarks.measure import machine, print_table
from sslcore import datasets, launch, plan
from sslcore.experiment import Spec, Store
from sslcore.launch import slots
from sslcore.status import ACTIVE


def grid_of(preset: str, seeds: int, threads: int | None) -> Spec:
    return plan.change(plan.read(preset), {"threads": threads, "device": "cpu"}, {"seed": list(range(seeds))})


def seconds(spec: Spec) -> tuple[float, float]:
    """(from the launch to the end of the last run, images a second of the runs that train at a time). Raises RuntimeError."""
    configs = plan.plan(spec).configs
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # its agent is about to go
        began = time.monotonic()
        runs = launch.launch(Store(folder), "bench", spec, configs).runs()
        while any(run.recorded_status().state in ACTIVE for run in runs):
            time.sleep(0.1)
        took = time.monotonic() - began
        if failed := [run.name for run in runs if run.recorded_status().state != "finished"]:
            raise RuntimeError(f"{', '.join(failed)} did not finish")
        speeds = [run.results()["cost"]["images_per_second"] for run in runs]
    return took, statistics.harmonic_mean(speeds) * slots.at_once(configs.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="photos")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each run, where several train at a time")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    grids = {threads: grid_of(args.preset, args.seeds, threads) for threads in (None, args.threads)}
    configs = {threads: plan.plan(spec).configs for threads, spec in grids.items()}
    datasets.load(*next((config.dataset, config.image_size) for config in configs[None].values()))  # decoded beforehand
    measured = {threads: [] for threads in grids}
    for _ in range(args.rounds):
        for threads, spec in grids.items():
            measured[threads].append(seconds(spec))
            print(f"{threads or 'all'} threads: {measured[threads][-1][0]:.0f} s", file=sys.stderr, flush=True)
    usual = statistics.median(took for took, _ in measured[None])
    rows = []
    for threads, seen in measured.items():
        took = statistics.median(took for took, _ in seen)
        speed = statistics.median(speed for _, speed in seen)
        together = slots.at_once(configs[threads].values())
        rows.append([threads or "one a core", together, f"{took:.0f}", f"{usual / took:.2f}", f"{speed:,.0f}"])
    print(machine())
    print_table(
        f"{len(configs[None])} runs of preset {args.preset}",
        ["threads a run", "runs at a time", "s", "ratio", "images/s in training"],
        rows,
        f"Medians of {args.rounds} turns.",
    )


if __name__ == "__main__":
    main()
