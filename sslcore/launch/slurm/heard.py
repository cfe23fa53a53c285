"""What Slurm said last, as all who look on read it, and what that means for a run, in words."""

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sslcore.experiment import Run, Store
from sslcore.files import Stamp, owner, read_json, stamp
from sslcore.launch.slots import folder
from sslcore.launch.slurm.client import ANSWER_SECONDS, Job
from sslcore.launch.slurm.script import owned
from sslcore.locks import HEARTBEAT_LIMIT, beats
from sslcore.status import Status

ASK_SECONDS = 5.0  # between two questions of the agent
AGAIN_SECONDS = 30.0  # within which Slurm has a run wait again that it ended itself: to make room, or as scontrol requeue asks


@dataclass(frozen=True)
class Heard:
    """slurm.json: what Slurm said last. Times are in seconds since 1970."""

    asked_at: float = 0.0
    answered_at: float = 0.0
    problem: str | None = None  # why there was no answer
    jobs: Mapping[str, Job] = field(default_factory=dict)  # by run id, as of `answered_at`


HEARD = TypeAdapter(Heard)


def last(store: Store) -> Heard:
    """What this machine last heard of Slurm."""
    path = folder(store) / "slurm.json"
    return _heard(path, stamp(path))


@functools.lru_cache(maxsize=4)
def _heard(path: Path, stamp: Stamp) -> Heard:
    try:
        return HEARD.validate_python(read_json(path))
    except ValidationError:  # there is none, or it is damaged
        return Heard()


def stale(now: Heard) -> bool:
    """Whether what was heard says nothing of the present."""
    # The clock may be set back.
    return now.problem is not None or abs(time.time() - now.answered_at) > 4 * ASK_SECONDS + ANSWER_SECONDS


def unknown(now: Heard) -> str:
    """Why nothing is known of Slurm's jobs at present."""
    since = f", last at {time.strftime('%H:%M', time.localtime(now.answered_at))}" if now.answered_at else ""
    return f"{now.problem or 'Slurm has not been asked'}{since}"


REASONS = {
    "Resources": "waits for free resources",
    "Priority": "waits behind jobs of higher priority",
    "BeginTime": "waits for its time to begin",
    "Dependency": "waits for another job",
    "None": "is about to be looked at",
    "JobHeldUser": "is held; scontrol release lets it go",
    "JobHeldAdmin": "is held by an administrator",
    "JobArrayTaskLimit": "waits for other runs of its array",
    "PartitionDown": "waits: its partition is down",
    "PartitionInactive": "waits: its partition is inactive",
    "PartitionTimeLimit": "cannot start: it asks for more time than the partition allows",
    "PartitionNodeLimit": "cannot start: it asks for more than the partition has",
    "ReqNodeNotAvail": "waits: a node that it needs is not available",
    "NodeDown": "waits: a node that it needs is down",
    "Nodes required for job are DOWN": "waits for nodes that are down, drained or kept for others",
    "Licenses": "waits for a licence",
    "Reservation": "waits for its reservation",
    "Cleaning": "is being cleaned up after its last start",
}


def asked_by_us(store: Store) -> bool:
    """Whether what was last heard of Slurm is about this user's jobs, as far as anything was heard."""
    return owner(folder(store) / "slurm.json") in (None, os.getuid())


def just_ended(status: Status) -> bool:
    """Whether Slurm may still have a job of a run that has ended, and queue it again."""
    by_slurm = status.engine == "slurm" and status.state in ("stopped", "interrupted")
    return by_slurm and abs(time.time() - (status.ended_at or 0.0)) < AGAIN_SECONDS  # another machine's clock may be wrong


def may_go_on(run: Run, status: Status) -> bool:
    """Whether Slurm may queue a run again that has just ended: nobody had asked it to stop."""
    return just_ended(status) and not run.asked_to_stop(status)


def in_words(run: Run, status: Status) -> str:
    """Where a run that Slurm trains stands, as far as it does not say so itself; "" where it does."""
    now = last(run.experiment.store)
    if may_go_on(run, status) and not status.error:
        return "by Slurm, which may queue it again"
    job = now.jobs.get(run.id)
    if status.state == "running" and not beats(run.status_file, status.heartbeat or 0):
        says = f"Slurm says {job.state}" if job and not stale(now) else "Slurm does not say more"
        return f"no sign of life for more than {HEARTBEAT_LIMIT:.0f} s; {says}"
    if status.state != "queued":
        return ""
    again = f"requeued{f' {status.requeues} times' if status.requeues > 1 else ''}, " if status.requeues else ""
    if not owned(run, status):
        return f"{again}queued in Slurm by another user, whose jobs are not asked for here"
    if not job and (now.asked_at < (status.queued_at or 0.0) or not asked_by_us(run.experiment.store)):
        return f"{again}queued in Slurm"
    if stale(now):
        return f"{again}state unknown: {unknown(now)}"
    if not job:
        return f"{again}Slurm lists no job of it"
    if not job.waits:
        return f"{again}starts on {job.nodes}"
    if job.reason == "BeginTime" and len(job.starts) == 19:
        return f"{again}starts at {job.starts[11:16]} at the earliest"
    return again + REASONS.get(job.reason.split(",")[0], f"waits ({job.reason})")
