"""Where the seconds go between the click and the first metric: the launcher, imports, data, the first step.

Launches a short run in a temporary store, as the form's button does, and reads the times off the files
that appear: status.json (the agent picked the run up), the first line of metrics.jsonl.
"""

import argparse
import statistics
import tempfile
import time

from benchmarks.measure import machine, print_table
from sslcore import launch, plan
from sslcore.experiment import Store


def one(preset: str) -> dict[str, float]:
    """Seconds from the click to each event."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        spec = plan.change(plan.read(preset), {"evaluate.log_every": 1}, {"method": ["simclr"]})
        clicked = time.time()
        (run,) = store.create("bench", spec, plan.plan(spec).configs).runs()
        launch.start(store)
        events: dict[str, float] = {}
        while "first metric" not in events:
            status = run.status()
            if status.state == "running":
                events.setdefault("picked up", time.time() - clicked)
            if run.environment_file.exists():
                events.setdefault("imports done", time.time() - clicked)
            if run.metrics():
                events["first metric"] = time.time() - clicked
            if status.state in ("failed", "interrupted"):
                raise RuntimeError(f"the run ended as {status.state}: {status.error}")
            time.sleep(0.01)
        launch.stop(run)
        while run.status().state == "running":
            time.sleep(0.05)
    return events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="photos")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    seen = [one(args.preset) for _ in range(args.rounds)]
    rows = [[event, f"{statistics.median(events[event] for events in seen):.2f}"] for event in seen[0]]
    print(machine())
    print_table(f"Launch: seconds after the click, preset {args.preset}", ["", "s"], rows, f"Medians of {args.rounds} launches.")


if __name__ == "__main__":
    main()
