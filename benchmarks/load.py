"""Load: 1,000 experiments of 10 runs, one experiment of 300, 20 sessions that watch one run, and a Watch page open for ten hours.

Pages are opened in headless Chromium. The 20 sessions speak Streamlit's own protocol over WebSockets, so that what is
measured is the server and not twenty browsers. The ten hours are as many looks as a page takes in that time, without a
pause: by that client, shared by five pages, for the server's memory, and in Chromium, for the page's (fewer of them, its
clock moved on by hand). A run that logs a row a tick is watched all the while.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import websockets
from playwright.sync_api import sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.measure import machine, print_table
from benchmarks.pages import free_port, memory, serving
from sslcore import compact
from sslcore.experiment import Experiment, Run, Store
from tests import synthetic

TICK = 1.0  # seconds between two looks of the Watch page, as there
PAGES = 5  # that share the looks of ten hours, so that the server is never idle
DRAWN = (
    "() => !document.querySelector('[data-testid=stSkeleton]') && [...document.querySelectorAll('.chart')].every(c => "
    "c.querySelector('.main-svg')) && document.querySelector('[data-test-script-state=notRunning]') && "
    "document.querySelector('h1')"
)
MB = 1e6


def build(root: Path, experiments: int, seeds: int = 5) -> Experiment:
    """`experiments` alike, of two methods and `seeds` seeds each, the newest first."""
    first = synthetic.store(root, methods=("moco", "byol"), seeds=range(seeds), name="experiment-0")
    for k in range(1, experiments):
        copy = Experiment(shutil.copytree(first.path, root / f"experiment-{k}"))
        with copy.editing() as spec:
            spec.title, spec.created, spec.tags = f"Study {k}", spec.created - 3600.0 * k, ["ours", "theirs"][: k % 3]
    return first


def cpu(server: psutil.Process) -> float:
    """Seconds of processor time that the server has used."""
    return sum(server.cpu_times()[:2])


# -- Large stores -------------------------------------------------------------------------------


def large_store(folder: Path, experiments: int) -> list[list[str]]:
    newest = build(folder / "large", experiments)
    pages = {
        "Experiments": "/",
        "Experiments, a search": "/?experiments_text=study+77",
        "Watch": f"/watch?experiment={newest.name}",
        "Compare": f"/compare?experiment={newest.name}",
        "Probe": f"/probe?experiment={newest.name}",
        "New experiment": "/new",
    }
    return visits(newest.store, pages)


def large_experiment(folder: Path, runs: int) -> list[list[str]]:
    """Runs of three methods that have all that a page may show: 10,000 logged steps, embeddings of 2,000 images, all probes."""
    experiment = synthetic.store(folder / "runs", seeds=range(runs // 3), steps=10_000, name="runs", **{"evaluate.sample": 2000})
    synthetic.embed(experiment)
    for run in experiment.runs():
        synthetic.questions(run)
        compact.write(run)
    pages = ("compare", "probe", "embeddings", "ablations", "evidence", "claims", "methods", "watch")
    return visits(experiment.store, {page.capitalize(): f"/{page}?experiment=runs" for page in pages})


def visits(store: Store, pages: Mapping[str, str]) -> list[list[str]]:
    """Each page, by its path, opened for the first time and again."""
    port, rows = free_port(), []
    url = f"http://127.0.0.1:{port}"
    with (
        sync_playwright() as playwright,
        serving(
            [sys.executable, "-m", "dashboard", "--port", str(port), "--root", str(store.root)], port, "/_stcore/health"
        ) as server,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        for name, path in pages.items():
            row = [name]
            for _ in ("first", "again"):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(300_000)
                began, used = time.perf_counter(), cpu(server)
                page.goto(url + path)
                page.wait_for_function(DRAWN, polling=20)
                row += [f"{time.perf_counter() - began:.1f}", f"{cpu(server) - used:.1f}"]
                page.close()
            rows.append([*row, f"{memory(server) / MB:.0f}"])
        browser.close()
    return rows


# -- Sessions -----------------------------------------------------------------------------------


class Session:
    """A browser tab as Streamlit's server sees it: it asks for a page, and again for each part of it that is to be refreshed."""

    def __init__(self, url: str, page: str, query: str):
        self.url, self.page, self.query = url, page, query
        self.parts: dict[str, float] = {}  # fragment -> seconds between two looks
        self.finished = asyncio.Event()
        self.script = ""
        self.bytes = 0
        self.seen: Callable[[bytes], None] = lambda message: None

    async def __aenter__(self) -> "Session":
        self.socket = await websockets.connect(
            self.url.replace("http", "ws") + "/_stcore/stream", subprotocols=["streamlit"], max_size=None, origin=self.url
        )
        self.reader = asyncio.create_task(self.read())
        await self.ask("")
        return self

    async def __aexit__(self, *error) -> None:
        self.reader.cancel()
        await self.socket.close()

    async def read(self) -> None:
        async for content in self.socket:
            self.bytes += len(content)
            self.seen(content)
            message = ForwardMsg.FromString(content)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.script = message.new_session.page_script_hash
            elif kind == "auto_rerun":
                self.parts[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            elif kind == "script_finished":
                self.finished.set()

    async def ask(self, fragment: str) -> None:
        """Have the page, or a part of it, drawn, and wait until it is."""
        self.finished.clear()
        state = ClientState(
            query_string=self.query,
            page_name=self.page,
            page_script_hash=self.script,
            fragment_id=fragment,
            is_auto_rerun=bool(fragment),
        )
        await self.socket.send(BackMsg(rerun_script=state).SerializeToString())
        await self.finished.wait()

    async def watch(self) -> None:
        """Refresh each part at its pace, for ever."""

        async def keep(part: str, seconds: float) -> None:
            while True:
                await asyncio.sleep(seconds)
                await self.ask(part)

        await asyncio.gather(*(keep(part, seconds) for part, seconds in self.parts.items()))


def grow(run: Run, step: int) -> None:
    """A row more of a running run, with its number in the log."""
    synthetic.write_metrics(run, step, first=step - 5)
    with run.log_file.open("a") as log:
        log.write(f"tick {step}\n")


async def watching(url: str, run: Run, n: int, seconds: float, server: psutil.Process) -> list[str]:
    """`n` sessions on the Watch page for `seconds`: what they cost, and how late they are told of a new line."""
    query, late, written = f"experiment={run.path.parent.name}", [], {}

    def seen(content: bytes, told: set[int]) -> None:
        for step in [step for step in written if step not in told and f"tick {step}\n".encode() in content]:
            told.add(step)
            late.append(time.perf_counter() - written[step])

    async with contextlib.AsyncExitStack() as stack:
        sessions = await asyncio.gather(*(stack.enter_async_context(Session(url, "watch", query)) for _ in range(n)))
        tasks = []
        for session in sessions:
            session.seen = lambda content, told=set(): seen(content, told)
            tasks.append(asyncio.create_task(session.watch()))
        await asyncio.sleep(2 * TICK)
        used, began, sent = cpu(server), time.perf_counter(), sum(session.bytes for session in sessions)
        step = 5000
        while time.perf_counter() - began < seconds:
            step += 5
            grow(run, step)
            written[step] = time.perf_counter()
            await asyncio.sleep(TICK)
        took = time.perf_counter() - began
        await asyncio.sleep(2 * TICK)
        for task in tasks:
            task.cancel()
        late.sort()
        sent = sum(session.bytes for session in sessions) - sent
        told = f"{len(late)} of {n * len(written)}"
        return [
            str(n),
            f"{100 * (cpu(server) - used) / took:.0f} %",
            f"{sent / took / 1e3:.0f}",
            f"{late[len(late) // 2]:.1f}",
            f"{late[-1]:.1f}",
            told,
            f"{memory(server) / MB:.0f}",
        ]


async def for_hours(url: str, run: Run, ticks: int, server: psutil.Process) -> list[list[str]]:
    """PAGES sessions that look `ticks` times together: the server's memory on the way."""
    rows, looks = [], itertools.count()

    async def look(session: Session) -> None:
        while (tick := next(looks)) <= ticks:
            if tick % max(1, ticks // 6) == 0:
                rows.append([f"server, after {tick:,} looks", f"{tick * TICK / 3600:.1f}", f"{memory(server) / MB:.1f}", ""])
            if tick % 10 == 0:
                grow(run, 6000 + tick // 2)
            for part in list(session.parts):
                await session.ask(part)

    async with contextlib.AsyncExitStack() as stack:
        sessions = await asyncio.gather(
            *(stack.enter_async_context(Session(url, "watch", f"experiment={run.path.parent.name}")) for _ in range(PAGES))
        )
        await asyncio.gather(*(look(session) for session in sessions))
    return rows


def in_a_browser(url: str, run: Run, ticks: int) -> list[list[str]]:
    """A page that looks `ticks` times: its heap and its nodes on the way."""
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.clock.install()
        page.goto(f"{url}/watch?experiment={run.path.parent.name}")
        page.wait_for_function(DRAWN, polling=100)
        devtools = page.context.new_cdp_session(page)
        answers = [0]
        devtools.on("Network.webSocketFrameReceived", lambda event: answers.__setitem__(0, answers[0] + 1))
        devtools.send("Network.enable")
        for tick in range(ticks + 1):
            if tick % max(1, ticks // 6) == 0:
                devtools.send("HeapProfiler.collectGarbage")
                heap = devtools.send("Runtime.getHeapUsage")["usedSize"]
                counted = devtools.send("Memory.getDOMCounters")
                rows.append(
                    [
                        f"page, after {tick:,} looks",
                        f"{tick * TICK / 3600:.1f}",
                        f"{heap / MB:.1f}",
                        f"{counted['nodes']:,} nodes, {counted['jsEventListeners']:,} listeners",
                    ]
                )
            grow(run, 40_000 + 5 * tick)
            before, tries = answers[0], 0
            page.clock.run_for(1000 * TICK)
            while answers[0] == before and tries < 100:
                time.sleep(0.02)
                page.evaluate("1")  # lets what has come in meanwhile be told
                tries += 1
        browser.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=300, help="of the one experiment")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--ticks", type=int, default=36_000, help="looks of the server's part; ten hours have 36,000")
    parser.add_argument("--page-ticks", type=int, default=1800, help="looks of the page's part")
    parser.add_argument(
        "--only",
        choices=["store", "runs", "sessions", "hours", "page"],
        nargs="+",
        default=["store", "runs", "sessions", "hours", "page"],
    )
    args = parser.parse_args()
    print(machine("streamlit", "plotly", "playwright"))
    with tempfile.TemporaryDirectory() as folder:
        columns = ["page", "first open, s", "server CPU, s", "again, s", "server CPU, s", "server MB"]
        told = "Until all is drawn, a new browser profile each time."
        if "store" in args.only:
            title = f"A store of {args.experiments:,} experiments of 10 runs"
            print_table(title, columns, large_store(Path(folder), args.experiments), told)
        if "runs" in args.only:
            print_table(f"An experiment of {args.runs} runs", columns, large_experiment(Path(folder), args.runs), told)
        if set(args.only) <= {"store", "runs"}:
            return
        watched = build(Path(folder) / "watched", 1, seeds=1)
        run = watched.runs()[0]
        synthetic.running(run)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with serving(
            [sys.executable, "-m", "dashboard", "--port", str(port), "--root", str(watched.path.parent)], port, "/_stcore/health"
        ) as server:
            if "sessions" in args.only:
                rows = [asyncio.run(watching(url, run, n, 40, server)) for n in args.sessions]
                print_table(
                    "Sessions that watch one run",
                    ["sessions", "server CPU", "kB/s sent", "median delay, s", "worst, s", "lines told", "server MB"],
                    rows,
                    f"A new line of the log every {TICK:.0f} s; delay: from its writing until a session has it, of which "
                    f"half of {TICK:.0f} s is the wait for the next look.",
                )
            rows = asyncio.run(for_hours(url, run, args.ticks, server)) if "hours" in args.only else []
            rows += in_a_browser(url, run, args.page_ticks) if "page" in args.only else []
            if rows:
                print_table(
                    "A Watch page that stays open",
                    ["", "hours", "MB", ""],
                    rows,
                    "Server: resident memory. Page: JavaScript heap after a collection.",
                )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
