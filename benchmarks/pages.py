"""Pages on many runs: seconds until the last curve is seen, bytes sent, server memory, and what a live tick costs.

A store of RUNS runs with 10,000 logged steps of six metrics each is made in a temporary folder. A fresh dashboard serves it,
and a headless Chromium opens Compare, for the first time and again in a new profile, goes to another page and back, and watches
one run grow. Seen means: every curve of the page is painted, below the fold too, by its sketch or by plotly.js. Then plotly.js
draws: the charts that the window shows, and after them all. Processor seconds stand beside the seconds: of the page's main
thread and of the server. They say what an idle machine would need where this one is busy. With --tensorboard the same curves
are written as event files and TensorBoard's time series page is opened beside it (slow to write: minutes for 300 runs).
"""

import argparse
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.measure import machine, print_table
from sslcore import compact, plan
from sslcore.experiment import Experiment, Run, Spec, Store

STEPS, EVERY = 10_000, 200  # logged steps a run; steps between two evaluations
CHARTS = 10  # on Compare: three losses, seven metrics
OF_CHARTS = """n => {{ const charts = [...document.querySelectorAll('[class*=st-key-compare_] .chart')].filter(chart => {of})
  return charts.length >= n && charts.every(chart => {there}) }}"""
LIVE = "chart.querySelector('.js-plotly-plot')?.calcdata"  # it answers the pointer
SEEN = OF_CHARTS.format(of="true", there=f"chart.querySelector('.chart-sketch') || {LIVE}")
IN_SIGHT = OF_CHARTS.format(of="chart.getBoundingClientRect().top < innerHeight", there=LIVE)
ALL = OF_CHARTS.format(of="true", there=LIVE)
MOMENTS = [(SEEN, CHARTS), (IN_SIGHT, 3), (ALL, CHARTS)]
TB_PAINTED = (
    "n => { const p = document.querySelectorAll('scalar-card line-chart'); return p.length >= n && "
    "document.querySelectorAll('scalar-card mat-spinner').length === 0 }"
)
# The page itself looks whether the next of some moments has come: asked from outside, a busy page answers up to a second late.
# (Looking at each frame, requestAnimationFrame, would make it draw more frames.)
LOOKS = """const moments = [%s]; window.came = []; (function look() {
  if (moments[0]()) { came.push(performance.now() / 1000); moments.shift() }
  if (moments.length) setTimeout(look, 20) })()"""


def row(step: int, run: int) -> dict[str, float]:
    grown = 1 - math.exp(-step / 3000)
    place = {"step": step, "epoch": step / 100, "images_seen": 256 * step, "seconds": step / 4}
    noise = math.sin(step * 12.9898 + run) * 0.02
    logged = {
        "loss": 6 - 2 * grown + noise,
        "chance_loss": 6.2,
        "learning_rate": 0.06 * math.cos(step / 7000),
        "images_per_second": 1000 + 50 * noise,
        "std_z": 0.08,
    }
    return place | logged


def evaluated(step: int, run: int) -> dict[str, float]:
    grown = 1 - math.exp(-step / 3000) + 0.001 * run
    place = {key: value for key, value in row(step, run).items() if key in ("step", "epoch", "images_seen", "seconds")}
    return place | {
        "knn": 0.3 + 0.4 * grown,
        "std": 0.5 + 0.2 * grown,
        "alignment": 1 - 0.5 * grown,
        "uniformity": -1 - grown,
        "effective_rank": 10 + 50 * grown,
    }


def build(store: Store, runs: int) -> Experiment:
    batches, seeds = {30: ([64, 256], 5), 300: ([16, 32, 64, 128, 256, 512, 1024, 2048, 2304, 2560], 10)}[runs]
    spec = Spec(
        title=f"{runs} runs",
        base={"dataset": "photos"},
        axes={"method": ["moco", "simclr", "byol"], "batch_size": batches, "seed": list(range(seeds))},
    )
    experiment = store.create(f"runs-{runs}", spec, plan.plan(spec).configs)
    for k, run in enumerate(experiment.runs()):
        lines = []
        for step in range(1, STEPS + 1):
            lines.append(json.dumps(row(step, k)))
            if step % EVERY == 0:
                lines.append(json.dumps(evaluated(step, k)))
        run.metrics_file.write_text("\n".join(lines) + "\n")
        compact.write(run)
        run.update_status(state="finished", progress=1.0)
    return experiment


def write_events(experiment: Experiment, folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for run in experiment.runs():
        with SummaryWriter(str(folder / run.name)) as writer:
            for line in run.metrics():
                for name in ("loss", "learning_rate", "images_per_second", "std_z", "knn", "effective_rank"):
                    if name in line:
                        writer.add_scalar(name, line[name], line["step"])


@contextmanager
def serving(command: list[str], port: int, health: str) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{health}", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def memory(process: psutil.Process) -> int:
    """Bytes that a server and its children hold."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Traffic:
    """Bytes that a page has received, by HTTP and by its socket."""

    def __init__(self, page: Page):
        self.bytes = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self.frame))
        page.on("requestfinished", lambda request: self.add(request.sizes()["responseBodySize"]))

    def frame(self, payload: str | bytes) -> None:
        self.add(len(payload))

    def add(self, n: int) -> None:
        self.bytes += n


class Opened(NamedTuple):
    page: Page
    traffic: Traffic
    seconds: list[float]  # until all curves are seen, the charts in sight are live, and all charts are
    n_bytes: int
    browser_cpu: float  # seconds of the page's main thread until then
    server_cpu: float


def cpu(process: psutil.Process) -> float:
    return sum(one.cpu_times().user + one.cpu_times().system for one in [process, *process.children(recursive=True)])


def settle(process: psutil.Process) -> None:
    """Wait until it has done next to nothing for ten seconds."""
    before = -math.inf
    while (now := cpu(process)) - before > 0.5:
        before = now
        time.sleep(10)


def opened(browser: Browser, url: str, server: psutil.Process, moments: list[tuple[str, int]]) -> Opened:
    """A page in a profile of its own, when the last of the `moments` (an expression and its argument) has come."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(180_000)
    traffic = Traffic(page)
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.add_init_script(LOOKS % ", ".join(f"() => ({moment})({n})" for moment, n in moments))
    before = cpu(server)
    page.goto(url)
    page.wait_for_function(f"came.length === {len(moments)}")
    seconds = page.evaluate("came")
    busy = next(metric["value"] for metric in tools.send("Performance.getMetrics")["metrics"] if metric["name"] == "TaskDuration")
    return Opened(page, traffic, seconds, traffic.bytes, busy, cpu(server) - before)


def switched(page: Page) -> float:
    """Seconds from the click on Compare, on another page of the app, until all curves are seen."""
    page.get_by_role("link", name="Methods", exact=True).click()
    page.get_by_role("heading", name="Methods").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length === 0")
    page.wait_for_timeout(1000)
    began = time.perf_counter()
    page.get_by_role("link", name="Compare", exact=True).click()
    page.wait_for_function(SEEN, arg=CHARTS, polling=20)
    return time.perf_counter() - began


def ticks(browser: Browser, url: str, run: Run, server: psutil.Process, n: int = 5) -> tuple[float, float]:
    """Medians of n ticks of (seconds, bytes) from a new logged row of a running run until the open page shows it."""
    me = psutil.Process()
    run.keep_metrics_until(STEPS)  # in a store that was measured before
    run.update_status(
        state="running", progress=0.5, pid=me.pid, pid_started=me.create_time(), host=os.uname().nodename, heartbeat=time.time()
    )
    page, traffic, *_ = opened(browser, url, server, MOMENTS)
    chart = f"document.querySelector(\"[class*='st-key-compare_loss_{run.config.method}'] .js-plotly-plot\")"
    last = f"Math.max(...{chart}.data.flatMap(t => [...(t.x ?? [])].filter(Number.isFinite)))"
    seen = []
    for k in range(n + 1):
        page.wait_for_timeout(4000)
        before, at_first, began = page.evaluate(last), traffic.bytes, time.perf_counter()
        for step in range(STEPS + 10 * k + 1, STEPS + 10 * k + 11):
            run.append_metrics(row(step, 0))
        page.wait_for_function(f"{last} > {before}", polling=20)
        seconds = time.perf_counter() - began
        page.wait_for_timeout(max(0, 1500 - 1000 * seconds))  # the other charts of the same tick
        seen.append((seconds, traffic.bytes - at_first))
    page.context.close()
    run.keep_metrics_until(STEPS)
    compact.write(run)
    run.update_status(state="finished", progress=1.0)
    return tuple(statistics.median(column) for column in zip(*seen[1:]))


def seconds(of: Opened) -> str:
    return " / ".join(f"{one:.1f}" for one in of.seconds)


def told(
    name: str,
    server: psutil.Process,
    first: Opened,
    again: Opened,
    back: float | None = None,
    tick: tuple[float, float] | None = None,
) -> list[str]:
    return [
        name,
        seconds(first),
        seconds(again),
        f"{again.browser_cpu:.1f}",
        f"{first.server_cpu:.1f} / {again.server_cpu:.1f}",
        f"{first.n_bytes / 1e6:.1f}",
        "" if back is None else f"{back:.1f}",
        "" if tick is None else f"{tick[0]:.1f}",
        "" if tick is None else f"{tick[1] / 1e3:.0f}",
        f"{memory(server) / 1e6:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[30, 300], choices=[30, 300])
    parser.add_argument("--tensorboard", action="store_true")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="where the runs are made and stay, for the next time (default: a temporary folder)",
    )
    args = parser.parse_args()
    rows = []
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for runs in args.runs:
            store = Store((args.store or Path(folder)) / str(runs))
            experiment = store.experiment(f"runs-{runs}")
            if not experiment.exists():
                experiment = build(store, runs)
            port = free_port()
            url = f"http://127.0.0.1:{port}/compare?experiment={experiment.name}"
            command = [sys.executable, "-m", "dashboard", "--port", str(port), "--root", str(store.root)]
            with serving(command, port, "/_stcore/health") as server:
                first = opened(browser, url, server, MOMENTS)
                first.page.context.close()
                again = opened(browser, url, server, MOMENTS)
                back = switched(again.page)
                again.page.context.close()
                grown = ticks(browser, url, experiment.runs()[0], server)
                rows.append(told(f"triptych, {runs} runs", server, first, again, back, grown))
            if args.tensorboard:
                events = (args.store or Path(folder)) / f"events-{runs}"
                if not events.exists():
                    write_events(experiment, events)
                port = free_port()
                command = [
                    sys.executable,
                    "-m",
                    "tensorboard.main",
                    "--logdir",
                    str(events),
                    "--port",
                    str(port),
                    "--host",
                    "127.0.0.1",
                ]
                with serving(command, port, "/") as server:
                    settle(server)  # it loads in the background; peers are measured warm
                    first = opened(browser, f"http://127.0.0.1:{port}/#timeseries", server, [(TB_PAINTED, 1)])
                    first.page.context.close()
                    again = opened(browser, f"http://127.0.0.1:{port}/#timeseries", server, [(TB_PAINTED, 1)])
                    again.page.context.close()
                    rows.append(told(f"TensorBoard, {runs} runs", server, first, again))
        browser.close()
    print(machine("streamlit", "plotly", "playwright") + f"; load {os.getloadavg()[0]:.1f}")
    print_table(
        f"Compare, {STEPS:,} logged steps a run",
        [
            "",
            "first open, seen / in sight live / all live, s",
            "again, s",
            "page CPU, s",
            "server CPU, s",
            "MB sent",
            "back to it, s",
            "tick seen after, s",
            "kB a tick",
            "server MB",
        ],
        rows,
        "Opened in headless Chromium, a new browser profile each time, so plotly.js is sent each time: until all curves are seen "
        "/ the charts that the window shows answer the pointer / all do (TensorBoard paints those in sight alone). Server CPU: "
        "at the first open / again.",
    )


if __name__ == "__main__":
    main()
