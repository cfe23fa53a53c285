"""Runs on a terminal: bars while they train, a table of results at the end."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table

from sslcore import launch
from sslcore.analysis.order import listed
from sslcore.analysis.summary import by_seed, run_rows, warned
from sslcore.config import OPTIONS, is_anothers
from sslcore.experiment import Experiment, Run
from sslcore.files import appended, logged_rows, stamp
from sslcore.launch.slurm import heard
from sslcore.status import ACTIVE, Status
from sslcore.wording import printable, tenths

REFRESH_SECONDS = 0.5
LINE_SECONDS = 60.0  # between two lines of a run that trains
AGENT_CHECK_SECONDS = 5.0
BAR_WIDTH = 120  # of a terminal that has room for a bar


class Output(Console):
    def on_broken_pipe(self) -> None:
        """The command line says how it ends where nobody reads on; rich would end with 1, as if a run had failed."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; as wide as it takes where it is no terminal."""
    return Output(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160)


def wait(experiment: Experiment, out: Console) -> bool:
    """Show the runs until all have ended. True if all of them finished."""
    runs = experiment.runs()
    show = Bars(out) if out.is_terminal else Lines(out)
    checked = time.monotonic()
    with show.live:
        while True:
            statuses = [run.status() for run in runs]
            for run, status in zip(runs, statuses):
                show(run, status)
            if not any(status.state in ACTIVE or heard.may_go_on(run, status) for run, status in zip(runs, statuses)):
                return all(status.state == "finished" for status in statuses)
            if time.monotonic() - checked > AGENT_CHECK_SECONDS:
                here = any(status.state == "queued" and status.engine != "slurm" for status in statuses)
                (launch.start if here else launch.start_asking)(experiment.store)  # in case it was killed
                checked = time.monotonic()
            time.sleep(REFRESH_SECONDS)


class Bars:
    """One bar a run, where it is not in the way of the words."""

    def __init__(self, out: Console):
        self.live = Progress(
            TextColumn("{task.description}", markup=False),
            *[BarColumn(bar_width=24)] * (out.width >= BAR_WIDTH),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[what]}", markup=False, table_column=Column(ratio=1)),  # what the others leave, in lines
            console=out,
            expand=True,
        )
        self.tasks: dict[str, Any] = {}
        self.latest: dict[str, Latest] = {}

    def __call__(self, run: Run, status: Status) -> None:
        if run.name not in self.tasks:
            self.tasks[run.name] = self.live.add_task(run.name, total=1.0, what="")
            self.latest[run.name] = Latest(run)
        done = 1.0 if status.state == "finished" else status.progress
        self.live.update(self.tasks[run.name], completed=done, what=in_words(run, status, self.latest[run.name]))


class Lines:
    """One line a change of state or stage, and a minute, for logs and pipes."""

    live = nullcontext()  # nothing on the screen is to be kept up to date

    def __init__(self, out: Console):
        self.out = out
        self.said: dict[str, tuple] = {}
        self.at: dict[str, float] = {}

    def __call__(self, run: Run, status: Status) -> None:
        now = (status.state, status.stage if status.state == "running" else None)
        late = status.state == "running" and time.monotonic() - self.at.get(run.name, 0.0) > LINE_SECONDS
        if self.said.get(run.name) != now or late:
            self.said[run.name], self.at[run.name] = now, time.monotonic()
            self.out.print(f"{run.name}: {in_words(run, status, Latest(run))}", soft_wrap=True)


class Latest:
    """The latest of each number that a run has logged: of its file only what was appended is read again."""

    def __init__(self, run: Run):
        self.file = run.metrics_file
        self.inode = self.read = 0
        self.numbers: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        _, _, inode = stamp(self.file)
        if inode != self.inode:  # the run began anew, or went on from a checkpoint
            self.inode, self.read, self.numbers = inode, 0, {}
        lines = appended(self.file, self.read)
        self.read += len(lines)
        for row in logged_rows(lines):
            self.numbers |= {name: value for name, value in row.items() if value is not None}
        return self.numbers


def in_words(run: Run, status: Status, latest: Latest) -> str:
    """Where a run stands, in one line."""
    says = heard.in_words(run, status) if status.engine == "slurm" else ""
    if says:
        return f"{status.state}: {says}"
    if status.state != "running":
        return f"{status.state}: {printable(status.error)}" if status.error else status.state
    words = [status.stage or "starting"]
    if status.stage:
        logged = latest()
        if "images_per_second" in logged and status.stage == "pretrain":
            with suppress(ValueError):  # a config that cannot be read any more
                words.append(f"epoch {logged.get('epoch', 0):.1f}/{run.config.epochs}")
            words.append(f"{logged['images_per_second']:,.0f} images/s")
        if "knn" in logged:
            words.append(f"kNN {tenths(100 * logged['knn'])} %")
    if status.eta_seconds is not None:
        words.append(f"{duration(status.eta_seconds)} left")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """1:23 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def states(runs: Sequence[Run]) -> str:
    """Such as "2 finished, 1 running"."""
    return ", ".join(f"{count} {state}" for state, count in Counter(run.status().state for run in runs).items())


def results(runs: Sequence[Run]) -> Table:
    """Method and whatever else differs, against accuracies and time; mean ± std over seeds where there are several."""
    rows = by_seed(run_rows(listed(runs)))
    axes = [name for name in rows[0] if name in OPTIONS and (name == "method" or len({repr(row[name]) for row in rows}) > 1)]
    seeds = any(len(row["seeds"]) > 1 for row in rows)
    ended = all(row["states"] == ["finished"] * len(row["runs"]) for row in rows)
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        caption="Accuracies in %; ±: the standard deviation over seeds; [ ]: the 95 % interval of their mean, or of one run.",
    )
    for name in axes:
        table.add_column(name, no_wrap=True)
    numbers = {
        "linear": "linear",
        "knn": "kNN",
        "random_linear": "untrained\nlinear",
        "random_knn": "untrained\nkNN",
        "pixels_knn": "pixels\nkNN",
    }
    for heading in ["seeds"] * seeds + [*numbers.values(), "time"]:
        table.add_column(heading, justify="right", overflow="fold")  # on a narrow terminal in lines; no number is cut
    if not ended:
        table.add_column("state")
    for row in rows:
        spread = f" ± {duration(row['seconds_std'])}" if (row["seconds_std"] or 0) >= 0.5 else ""  # to whole seconds
        low, high = row["linear_low"], row["linear_high"]
        interval = "" if low is None else f" [{tenths(100 * low)}, {tenths(100 * high)}]"
        cells = ["–" if is_anothers(name, row["method"]) else printable(str(row[name])) for name in axes]
        cells += [str(len(row["seeds"]))] * seeds
        cells += [percent(row, name) + (interval if name == "linear" else "") for name in numbers]
        cells += ["–" if row["seconds"] is None else duration(row["seconds"]) + spread + fewer(row, "seconds")]
        table.add_row(*cells, *([] if ended else [", ".join(sorted(set(row["states"])))]))
    return table


def say_warnings(statuses: Mapping[str, Status], out: Console) -> None:
    for warning in warned(statuses):
        out.print(f"warning: {printable(warning)}", soft_wrap=True)


def percent(row: dict[str, Any], name: str) -> str:
    """The mean in percent, ± the standard deviation where several seeds were folded."""
    if row[name] is None:
        return "–"
    spread = "" if row[f"{name}_std"] is None else f" ± {tenths(100 * row[f'{name}_std'])}"
    return f"{tenths(100 * row[name])}{spread}{fewer(row, name)}"


def fewer(row: dict[str, Any], name: str) -> str:
    """Over how many seeds a number is, where some of the row's lack it."""
    n = row[f"{name}_n"]
    return f" (n={n})" if 0 < n < len(row["seeds"]) else ""
