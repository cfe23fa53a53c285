"""What the agent does: it asks Slurm, keeps the answer, and corrects the record of runs that cannot tell it themselves."""

import logging
import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from sslcore.experiment import Run, Store
from sslcore.files import read_object, write_json
from sslcore.launch.process import last_words
from sslcore.launch.slots import folder
from sslcore.launch.slurm.client import Job, Unanswered, ask, fates, missing, queue
from sslcore.launch.slurm.heard import Heard, just_ended, last
from sslcore.launch.slurm.script import owned, submitted
from sslcore.status import ACTIVE, Status
from sslcore.worker import MADE_ROOM, STOPPED

GONE_SECONDS = 5.0  # what Slurm does not list for longer is gone; network file systems may lag behind it
SUBMITTING_SECONDS = 60.0  # a run queued for so long without a job was never submitted

log = logging.getLogger("slurm")


class Lasting(NamedTuple):
    """Something about a run that Slurm trains, and since when it has been so."""

    what: Any
    since: float  # time.monotonic()


def look(store: Store, runs: Sequence[tuple[Run, Status]], lasting: dict[Path, Lasting], grace_seconds: float) -> None:
    """Ask Slurm once, keep its answer for all to read, and correct what `runs`, those that it trains, have on record.

    `lasting` is this function's memory, by run folder, of what is to be acted on if it lasts: clocks of several machines
    stand in the records, so how long it has lasted is judged by this machine's monotonic one. A run that was asked to
    stop is cancelled after `grace_seconds`.
    """
    asked = time.time()
    home = folder(store)
    home.mkdir(parents=True, exist_ok=True)
    try:
        jobs = queue(store)
    except (Unanswered, ValueError) as error:
        write_json(home / "slurm.json", asdict(last(store)) | {"asked_at": asked, "problem": str(error)})
        return
    ids = {str(path.relative_to(store.root)): job for path, job in jobs.items()}
    write_json(home / "slurm.json", asdict(Heard(asked, time.time(), None, ids)))
    gone = []
    for run, status in runs:
        try:
            if run.path in jobs:
                correct(run, jobs[run.path], lasting, grace_seconds)
            elif status.state not in ACTIVE or not owned(run, status):
                lasting.pop(run.path, None)
            elif lasted(lasting, run, status) >= (GONE_SECONDS if status.job_id else SUBMITTING_SECONDS):
                gone.append((run, status))  # and not a heartbeat meanwhile
        except Exception:
            log.exception("%s cannot be worked with", run)
    said = fates(status.job_id for _, status in gone if status.job_id) if gone else {}
    for run, status in gone:
        try:
            record_end(run, status, said.get(status.job_id or "", ""))
        except Exception:
            log.exception("%s cannot be worked with", run)
        lasting.pop(run.path, None)


def lasted(lasting: dict[Path, Lasting], run: Run, what: Any) -> float:
    """Seconds for which the same has been so of a run, as far as was seen; 0 at first sight."""
    now = time.monotonic()
    if run.path not in lasting or lasting[run.path].what != what:
        lasting[run.path] = Lasting(what, now)
    return now - lasting[run.path].since


def concerns_slurm(status: Status) -> bool:
    """Whether Slurm is to be asked because of a run, which is one of its."""
    return status.state in ACTIVE or just_ended(status)


def look_once(store: Store) -> None:
    """What the agent would see at first sight, for a shell where none is at work. Nothing where its folder is another user's."""
    runs = [(run, status) for run in store.runs() if (status := run.recorded_status()).engine == "slurm"]
    if not missing() and any(concerns_slurm(status) for _, status in runs):
        with suppress(PermissionError):
            folder(store).mkdir(parents=True, exist_ok=True)
        if os.access(folder(store), os.W_OK):
            look(store, runs, {}, math.inf)


def correct(run: Run, job: Job, lasting: dict[Path, Lasting], grace_seconds: float) -> None:
    """What `job`, which Slurm lists, says of the run beyond its record."""
    status = run.recorded_status()
    if job.waits and status.state in ("finished", "failed") and status.job_id == job.id:
        ask("scancel", job.id)  # it ended at the very moment at which Slurm made it give way
    elif job.waits and status.state in ("stopped", "interrupted"):
        if run.asked_to_stop(status):  # and Slurm has queued it again, as when its node was lost
            log.info("%s: its job %s waits again and is cancelled, as it was asked to stop", run.id, job.id)
            ask("scancel", job.id)
        elif lasted(lasting, run, status) >= GONE_SECONDS:  # else it was just cancelled
            record_waiting(run, status, job)
    elif job.waits and (
        status.state == "running" or (status.state == "queued" and (status.job_id, status.requeues) != (job.id, job.requeues))
    ):
        lasting.pop(run.path, None)
        record_waiting(run, status, job)
    elif job.trains and run.stopping(status):
        if lasted(lasting, run, ("asked to stop", status.pid, status.pid_started)) >= grace_seconds:
            log.info("%s: cancelled, it did not stop within %g s", run.id, grace_seconds)
            ask("scancel", job.id)
    else:
        lasting.pop(run.path, None)


def record_waiting(run: Run, status: Status, job: Job) -> None:
    """Record as queued a run whose job waits, unless a process holds the run: then Slurm has started it since it answered."""
    with suppress(BlockingIOError), run.hold():
        if run.recorded_status() == status:
            log.info("%s: job %s waits in Slurm, requeued %d times", run.id, job.id, job.requeues)
            run.update_status(
                state="queued",
                engine="slurm",
                job_id=job.id,
                partition=job.partition,
                requeues=job.requeues,
                pid=None,
                pid_started=None,
                eta_seconds=None,
                ended_at=None,
                error=None,
            )


def record_end(run: Run, status: Status, fate: str) -> None:
    """Record how a run ended whose job is gone without its having written an end. `fate` is what sacct says."""
    with suppress(BlockingIOError), run.hold():
        if run.recorded_status() != status:
            return
        state, why = how_it_ended(run, status, fate)
        log.info("%s ended: %s", run.id, state)
        run.write_status(status.ended(state, why, time.time()))
        run.stop_file.unlink(missing_ok=True)


def how_it_ended(run: Run, status: Status, fate: str) -> tuple[str, str]:
    """(state, reason) of a run that is on record as queued or running and has no job in Slurm any more."""
    told = read_object(run.exit_file) or {}
    code = told.get("code") if told.get("job_id") == status.job_id else None
    says = f" Slurm's accounting says {fate}." if fate else slurm_words(run, status)
    if status.job_id is None:
        return "interrupted", "It was never handed over to Slurm."
    if status.state == "running" and run.stopping(status):
        return "interrupted", f"Stopped as asked, but before it could write a checkpoint.{says}"
    if isinstance(code, int) and 0 <= code < 128 and code not in (STOPPED, MADE_ROOM):
        return "failed", f"The run's process ended with exit code {code} before it could say why.{last_words(run)}"
    if status.state == "queued":
        return "interrupted", f"Slurm has no job {status.job_id} any more: it was cancelled there, or lost.{says}"
    return "interrupted", f"Its job {status.job_id} is gone and the run recorded no end.{says}{last_words(run)}"


def slurm_words(run: Run, status: Status) -> str:
    """The last line that Slurm wrote to the job itself, such as CANCELLED AT ... DUE TO TIME LIMIT; "" where there is none."""
    path = submitted(run, status)
    if path is None:
        return ""
    with suppress(OSError):
        output = path.with_name(f"{path.stem}-{(status.job_id or '').rpartition('_')[2]}.out")
        lines = [line for line in output.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return f" Slurm's last words: {lines[-1][:300]}" if lines else ""
    return ""
