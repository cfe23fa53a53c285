"""Seconds of training until a given kNN accuracy, for each method: `python -m benchmarks.time_to_accuracy DATA.npz`.

DATA is any data set that Triptych reads, CIFAR-10 as .npz for the figures beside this file. Every run is an
ordinary run: its folder is kept in a temporary store, and the seconds are those that it logs (training
alone; evaluation is stated apart).
"""

import argparse
import subprocess
import sys
import tempfile

from benchmarks.measure import machine, print_table
from sslcore.experiment import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--preset", default="cifar10-small")
    parser.add_argument("--targets", type=float, nargs="+", default=[0.35, 0.40])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", default="0")
    parser.add_argument(
        "--every", type=int, default=1, help="epochs between two looks at the kNN; it is not training time, but it takes some"
    )
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        command = ["launch", args.preset, "--root", folder, "--name", "bench", "--wait", "--vary", f"seed={args.seeds}"]
        command += ["--set", f"dataset={args.dataset}", f"evaluate.knn_every={args.every}", *args.set]
        if code := subprocess.run([sys.executable, "-m", "sslcore", *command]).returncode:
            sys.exit(code)  # it has said why
        for run in Store(folder).experiment("bench").runs():
            seen = [row for row in run.metrics() if row.get("knn") is not None]
            reached = [next((f"{row['seconds']:.0f}" for row in seen if row["knn"] >= target), "–") for target in args.targets]
            final = run.results()
            rows.append(
                [
                    run.name,
                    *reached,
                    f"{seen[-1]['seconds']:.0f}",
                    f"{100 * final['knn']['accuracy']:.1f} %",
                    f"{100 * final['linear']['accuracy']:.1f} %",
                ]
            )
    print(machine())
    print_table(
        f"Seconds to kNN accuracy, preset {args.preset}",
        ["run", *(f"{100 * t:.0f} %" for t in args.targets), "to the end", "final kNN", "final linear"],
        rows,
        "Targets by the online kNN (a sample of the images); the final figures are on all of them.",
    )


if __name__ == "__main__":
    main()
