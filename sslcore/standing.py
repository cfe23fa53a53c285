"""Where a store's runs stand, on a terminal: what `python -m sslcore status` prints."""

import shlex

from rich.console import Console
from rich.table import Column, Table

from sslcore import launch, progress
from sslcore.analysis.summary import run_rows
from sslcore.commands import PROGRAM
from sslcore.experiment import Run, Store
from sslcore.launch import agent, slots
from sslcore.launch.slurm import heard
from sslcore.status import ACTIVE
from sslcore.wording import printable, tenths


def tell_experiments(store: Store, out: Console, root: str) -> None:
    """`root`: what a command that is told must end with, so that it finds the store."""
    table = Table(*(Column(name, overflow="fold") for name in ("experiment", "title", "runs")))
    for experiment in store.experiments():
        title = printable(experiment.spec().title) or experiment.name
        table.add_row(experiment.name, title, progress.states(experiment.runs()))
    if table.row_count:
        out.print(table)
    else:
        first = f"{PROGRAM} launch photos --wait{root}"
        out.print(f"no experiments in {store.root}; {first} makes the first", soft_wrap=True)


def tell_runs(runs: list[Run], out: Console, whole: bool) -> None:
    """How far runs of one experiment are, what they warned of and what is damaged. `whole`: these are all of its runs."""
    table = Table(*(Column(name, overflow="fold") for name in ("run", "where it stands", "linear", "kNN")))
    stands = {run.name: run.status() for run in runs}
    for run, row in zip(runs, run_rows(runs)):
        where, numbers = stands[run.name], [row["linear"], row["knn"]]
        said = progress.in_words(run, where, progress.Latest(run))
        share = f" ({100 * where.progress:.0f} %)" if where.state == "running" else ""
        table.add_row(run.name, said + share, *["–" if n is None else f"{tenths(100 * n)} %" for n in numbers])
    out.print(table)
    progress.say_warnings(stands, out)
    for sentence in damage(runs, whole):
        out.print(f"warning: {printable(sentence)}", soft_wrap=True)


def damage(runs: list[Run], whole: bool) -> list[str]:
    """What is damaged of runs of one experiment, and what to do; where these are the `whole` of it, also what is left out."""
    experiment, told = runs[0].experiment, []
    complete = f"{PROGRAM} complete {shlex.quote(experiment.name)} writes it anew"
    if whole:
        told += [f"{name} has no config.json, and is left out; {complete}" for name in experiment.strays()]
        told += [f"{name} is left out: this user may not look into the folder" for name in experiment.closed()]
    try:
        experiment.read_spec()
    except ValueError as error:
        told.append(str(error))
    for run in runs:
        if problem := run.config_problem():
            told.append(f"{problem}; pages leave {run.name} out")
        elif run.readable_config is None:
            told.append(f"{run.name}: config.json cannot be read, so pages leave it out; {complete}")
        elif run.status().state == "finished" and not run.results():
            why = "cannot be read" if run.results_file.exists() else "is missing"
            told.append(f"{run.name}: results.json {why}; {PROGRAM} evaluate {shlex.quote(run.id)} makes it again")
    return told


def tell_queue(store: Store, out: Console, root: str) -> None:
    """What keeps queued runs from being trained, or what Slurm does from being known; nothing where nothing does."""
    active = [(run, status) for run in store.runs() if (status := run.status()).state in ACTIVE]
    if any(status.engine == "slurm" for _, status in active) and heard.stale(said := heard.last(store)):
        out.print(f"What Slurm does is not known: {heard.unknown(said)}", soft_wrap=True)
    waiting = {run: status.queued_on for run, status in active if status.state == "queued" and status.engine != "slurm"}
    here = [run for run, host in waiting.items() if host in (None, slots.HOST)]
    if waiting and launch.agent_alive(store):
        if why := agent.held_up(store, here):
            out.print(f"Runs are queued, and {why}.", soft_wrap=True)
    elif here or any(not agent.works_on(store, host) for host in set(waiting.values())):
        out.print(f"Runs are queued and no agent is at work: {PROGRAM} agent{root}, or resume one of them.", soft_wrap=True)


def tell_devices(store: Store, out: Console) -> None:
    """Which run is trained on what."""
    for what, held_by in slots.in_use(store):
        if held_by:
            out.print(f"{what}: {held_by}", soft_wrap=True)
