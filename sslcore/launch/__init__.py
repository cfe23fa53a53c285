"""Launchers: what sees to it that queued runs are trained.

A run's folder says all there is to say: a launcher starts `python -m sslcore train
RUN_FOLDER` for what is queued, which writes the rest. There are two engines, this
machine's agent (`agent.py`) and Slurm (`slurm/`), and the functions below serve
both: status.json says which of them a run belongs to.
"""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from sslcore import plan, trash
from sslcore.config import ConfigError, RunConfig
from sslcore.experiment import Experiment, Run, Spec, Store
from sslcore.files import no_link, write_json
from sslcore.launch import agent
from sslcore.launch.agent import alive as agent_alive
from sslcore.launch.process import detached, python_path
from sslcore.launch.slots import HOST, devices_for, folder
from sslcore.launch.slurm import client, jobs, script
from sslcore.locks import take
from sslcore.status import OF_A_PROCESS, RESUMABLE, Status

START_SECONDS = 20.0
ENGINES = {"local": "this machine", "slurm": "Slurm"}


class NoAgent(RuntimeError):
    """No agent is at work for a store, for a reason that the message tells."""


def start(store: Store) -> None:
    """Make sure that an agent works for the store: a detached process, one however many ask for it.

    Raises NoAgent, in words, where it does not come up.
    """
    home = folder(store)
    with suppress(PermissionError):
        home.mkdir(parents=True, exist_ok=True)
    ours = os.access(home, os.W_OK)
    theirs = agent.of_another_user(store)
    if not theirs and (ready(store) if ours else agent_alive(store)):  # root's works on what is anybody's
        if why := agent.held_up(store):
            raise NoAgent(why)
        return
    if theirs or not ours:
        whose, wait = (f"the agent in {home}", "wait until it has gone, or ") if theirs else (home.parent, "")
        raise NoAgent(
            f"{whose} is another user's, and so is what trains here, which cannot work on what is yours: {wait}use a store of "
            "your own (--root, or TRIPTYCH_EXPERIMENTS). What is queued stays queued"
        )
    _start_one(store)


def _start_one(store: Store) -> None:
    """Start an agent, unless another process does so at this moment; what works here and is unsuited makes room for it."""
    home = folder(store)
    deadline = time.monotonic() + 2 * START_SECONDS
    while (lock := take(home / "start.lock")) is None:  # another process is starting one
        if ready(store):
            return
        if time.monotonic() > deadline:
            raise NoAgent(
                f"another process has been starting an agent for {2 * START_SECONDS:.0f} s; {home / 'agent.log'} may say why"
            )
        time.sleep(0.02)
    with open(lock, encoding="utf-8"):
        if ready(store):
            return
        if agent_alive(store) and not agent.dismiss(store):  # root's, perhaps, which may refuse what is new
            return
        command = [sys.executable, "-m", "sslcore", "agent", "--root", str(store.root)]
        with open(home / "agent.log", "ab", opener=no_link) as log:
            process = detached(command, log, env={**os.environ, "PYTHONPATH": python_path()})
        deadline = time.monotonic() + START_SECONDS
        while not ready(store):
            if process.returncode is not None or time.monotonic() > deadline:
                raise NoAgent(f"the agent that trains the runs did not start; {home / 'agent.log'} says why")
            time.sleep(0.02)


def start_asking(store: Store) -> None:
    """`start`, for the sake of what Slurm trains, which goes on beside another user's agent, too."""
    if not agent.of_another_user(store):
        start(store)


def ready(store: Store) -> bool:
    """Whether an agent takes orders that trains what is launched here as is asked here."""
    return agent_alive(store) and not agent.unsuited(store)


class NotStarted(RuntimeError):
    """A new experiment is there with its runs queued, and no agent is at work; the message says why, and what to do."""

    def __init__(self, experiment: Experiment, engine: str, why: Exception):
        what = "Slurm trains them, and what happens to its jobs is recorded" if engine == "slurm" else "they are trained"
        super().__init__(
            f"{experiment.name} is there and its runs are queued, but no agent is at work: {why}. Do not launch it again: "
            f"{what} once one is (python -m sslcore agent --root {shlex.quote(str(experiment.path.parent))})"
        )


def launch(store: Store, name: str, spec: Spec, configs: Mapping[str, RunConfig], engine: str = "local") -> Experiment:
    """A new experiment, whose runs are trained by an engine; with Slurm as one job array.

    Raises FileExistsError where the name is taken, ValueError where this machine has no such devices and, from Slurm,
    ValueError or RuntimeError, in words: then nothing is made. Raises NotStarted where it is made and no agent comes up.
    """
    if engine != "slurm":
        for config in configs.values():
            devices_for(config)
        experiment = store.create(name, spec, configs)
    else:
        jobs.check(store)
        experiment = store.create(name, spec, configs, engine)
        try:
            jobs.submit([experiment.run(run) for run in configs])
        except BaseException:
            shutil.rmtree(experiment.path)
            raise
    try:
        start_asking(store) if engine == "slurm" else start(store)
    except (OSError, RuntimeError) as error:
        raise NotStarted(experiment, engine, error) from error
    return experiment


def stop(run: Run) -> None:
    """Take a queued run off the queue; have a running one write a checkpoint and end.

    The agent does the latter, within seconds, or by force after a grace time. Raises ValueError, in words,
    where there is nothing to stop, Unanswered where Slurm has a queued run and does not answer, and NoAgent where the run was
    asked, and none is there that would use force.
    """
    status = run.status()
    if status.state == "queued":
        if status.engine == "slurm":
            jobs.cancel(run)
        with suppress(BlockingIOError), run.hold(patience=1):  # the agent may be starting it at this moment
            if run.recorded_status().state == "queued":
                if status.engine == "slurm":
                    run.request_stop()  # should Slurm have another job of it, of which nobody knew
                run.update_status(state="stopped", ended_at=time.time())
                return
    status = run.status()
    if status.state != "running":
        raise ValueError(f"{run.id} is {status.state}: there is nothing to stop")
    run.request_stop()
    if status.engine == "slurm":
        start_asking(run.experiment.store)
    elif status.host == HOST:
        start(run.experiment.store)


class Dropped(NamedTuple):
    """What became of the Slurm jobs of what was moved to the trash."""

    cancelled: int
    problem: str | None  # which may still wait there, why, and what to do


def discard(store: Store, thing: Experiment | Run) -> Dropped:
    """Move to the trash, and take out of Slurm what waits there for it, as far as Slurm does that.

    Raises BlockingIOError where a process is training one of its runs; then nothing has changed.
    """
    runs = [thing] if isinstance(thing, Run) else thing.runs()
    waiting = [(run, status) for run in runs if (status := run.recorded_status()).engine == "slurm" and status.state == "queued"]
    ids, problem = {}, None
    try:
        if waiting:
            # Asked while the scripts are in their place.
            in_slurm = client.queue(store)
            ids = {run: in_slurm[run.path].id for run, _ in waiting if run.path in in_slurm}
    except (ValueError, RuntimeError) as error:
        problem = str(error)
    left = [status.job_id or run.id for run, status in waiting if problem or not script.owned(run, status)]
    kept = trash.discard(store, thing)
    try:
        if ids:
            client.ask("scancel", *ids.values())
        for run in ids:
            Run(kept if isinstance(thing, Run) else kept / run.name).update_status(state="stopped", ended_at=time.time())
    except (ValueError, RuntimeError) as error:
        ids, problem, left = {}, str(error), [*left, *ids.values()]
    if left:
        problem = (
            f"{problem or 'Another user queued them'}. Jobs may still wait in Slurm, and end at once if they start: "
            f"{', '.join(left)}; scancel takes them out"
        )
    return Dropped(len(ids), problem)


def check_resumable(run: Run, engine: str | None) -> None:
    """Raises ValueError, in words, where a run that has ended, or is queued, cannot be resumed by an engine."""
    run.check_goes_on()
    status = run.status()
    if status.state == "queued" and engine not in (None, trained_by(status)):
        raise ValueError(f"{run.id} is queued for {ENGINES[trained_by(status)]}: stop it, then resume it for {ENGINES[engine]}")


def resume(run: Run, engine: str | None = None) -> None:
    """Queue a run again; it goes on from its checkpoint where it has one, else from the start.

    The engine is the one that it had, unless another is given. Raises ValueError, in words, where it cannot, and
    Unanswered where Slurm does not answer; then it is as it was. Raises NoAgent where it is queued and none is at work.
    """
    status = run.status()
    if status.state != "queued":
        engine = engine or trained_by(status)
        if engine == "slurm":
            return resume_as_array([run])
        if status.engine == "slurm" and not client.missing():
            jobs.check_gone([run])
        _queue(run, engine)
    start(run.experiment.store)


def resume_as_array(runs: Sequence[Run]) -> None:
    """`resume` of runs of one experiment by Slurm: all of them or none."""
    store = runs[0].experiment.store
    jobs.check(store)
    jobs.check_gone([run for run in runs if run.recorded_status().engine == "slurm"])
    _to_slurm(runs)
    start_asking(store)


def trained_by(status: Status) -> str:
    """The engine that trains a run. Of one of Slurm's that is measured again by hand, or was, only the job's number says so."""
    return status.engine or ("slurm" if status.job_id else "local")


def _queue(run: Run, engine: str) -> Status:
    """Record an ended run as queued for an engine; returns the status that it had."""
    check_ended(run, run.status())
    run.check_goes_on()  # told now, not by the agent
    try:
        with run.hold(patience=5):  # a process that has said its last word may take a moment to go
            check_ended(run, status := run.status())  # which may be another one by now
            run.update_status(
                state="queued",
                progress=status.progress if run.has_checkpoint() else 0.0,
                queued_at=time.time(),
                queued_on=HOST,
                ended_at=None,
                error=None,
                eta_seconds=None,
                engine="slurm" if engine == "slurm" else None,
                requeues=0,
                **dict.fromkeys(OF_A_PROCESS),
            )
    except BlockingIOError:
        raise ValueError(f"{run.id} is still held by a process; try again when that has ended") from None
    return status


def check_ended(run: Run, status: Status) -> None:
    """Raises ValueError, in words, where a run cannot be resumed from where it stands."""
    if status.state not in RESUMABLE:
        raise ValueError(f"{run.id} is {status.state}: only {', '.join(RESUMABLE)} runs can be resumed")


def _to_slurm(again: Sequence[Run], added: Sequence[Run] = ()) -> None:
    """Have Slurm train ended runs again, and new ones that are queued for it, as one array: all of them or none."""
    before: list[tuple[Run, Status]] = []
    try:
        for run in again:
            before.append((run, _queue(run, "slurm")))  # noqa: PERF401  what has been changed must be known
        jobs.submit([*added, *again])
        for run in again:
            run.stop_file.unlink(missing_ok=True)  # of its earlier process
    except BaseException:
        for run, status in before:
            run.write_status(status)
        for run in added:
            shutil.rmtree(run.path)
        raise


def complete(experiment: Experiment, names: Collection[str] | None = None, engine: str | None = None) -> list[Run]:
    """Queue what an experiment's grid lacks, or of that the runs named; returns what was queued.

    Runs that were planned and never made are made; those that were stopped, interrupted or failed are resumed. A
    config.json that is gone or torn is written anew. Slurm trains them, as one more array, if it has trained any run of
    the experiment, unless an engine is given. Raises ValueError, in words, where that cannot be done, and RuntimeError
    where Slurm does not answer.
    """
    planned, lacking = plan.plan(experiment.read_spec()), plan.lacking(experiment)
    wanted = {name: config for name, config in planned.configs.items() if names is None or name in names}
    there = {name: experiment.run(name) for name in wanted if (experiment.path / name).is_dir()}
    lost = {name: run for name, run in there.items() if run.config_is_lost()}
    new = {name: config for name, config in wanted.items() if name in lacking and name not in lost}
    if (new or lost) and planned.problems:
        raise ConfigError(planned.problems)
    for name, run in lost.items():
        with run.hold():
            write_json(run.config_file, wanted[name].model_dump())
    made = [run for run in experiment.runs() if names is None or run.name in names]
    again = [run for run in made if run.status().state in RESUMABLE and run.goes_on()]
    for run in again:
        check_resumable(run, engine)
    queued: list[Run] = []
    try:
        if (engine or engine_of(experiment)) == "slurm" and (new or again):
            jobs.check(experiment.store)
            jobs.check_gone(again)
            added = experiment.add(new, "slurm") if new else []
            _to_slurm(again, added)
            queued = added + again
        else:
            queued = experiment.add(new) if new else []
            for run in again:
                resume(run, engine)
                queued.append(run)
    finally:  # what is queued is trained, whatever came of the others
        waiting = [status for run in {*queued, *made} if (status := run.recorded_status()).state == "queued"]
        if any(status.engine != "slurm" for status in waiting):
            start(experiment.store)
        elif waiting or queued:  # which may have begun by now
            start_asking(experiment.store)
    return queued


def engine_of(experiment: Experiment) -> str:
    """The engine that trains what an experiment lacks: Slurm, if it has trained any of its runs."""
    return "slurm" if any(trained_by(run.recorded_status()) == "slurm" for run in experiment.runs()) else "local"
