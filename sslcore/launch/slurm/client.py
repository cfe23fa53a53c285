"""Questions to Slurm by its own commands, and its answers."""

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sslcore.experiment import Store
from sslcore.launch.slurm.script import tasks

ANSWER_SECONDS = 10.0  # a client gives up after 9 s by itself when the controller is down
OWN_TASTE = ("SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_TIME_FORMAT")  # variables by which users have answers filtered or reworded


class Unanswered(RuntimeError):
    """Slurm does not answer; nothing is known."""


def missing() -> str | None:
    """Why there is no Slurm here, or None where there is."""
    absent = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    return f"Slurm cannot be used from this machine: it has no {absent[0]}" if absent else None


def ask(*words: str, seconds: float | None = None) -> str:
    """What a command of Slurm prints. Raises Unanswered, or ValueError with Slurm's own words of refusal."""
    seconds = ANSWER_SECONDS if seconds is None else seconds
    plain = {name: value for name, value in os.environ.items() if not name.startswith(OWN_TASTE)}
    how = {"capture_output": True, "text": True, "errors": "replace", "stdin": subprocess.DEVNULL, "env": plain}
    try:
        done = subprocess.run(words, timeout=seconds, **how)
    except OSError:
        raise ValueError(missing() or f"{words[0]} cannot be started") from None
    except subprocess.TimeoutExpired:
        raise Unanswered(f"Slurm does not answer: {words[0]} took longer than {seconds:.0f} s") from None
    if done.returncode == 0:
        return done.stdout
    said = [line.partition("error: ")[2] or line for line in done.stderr.splitlines() if line.strip()]
    refusal = said[-1].strip() if said else f"{words[0]} ended with exit code {done.returncode}"
    silence = r"unable to contact|connection (refused|timed out)|communication|socket|not respond|zero bytes"
    if re.search(silence, " ".join(said), re.IGNORECASE):
        raise Unanswered(f"Slurm does not answer: {refusal}")
    raise ValueError(f"Slurm refuses: {refusal}")


@dataclass(frozen=True)
class Job:
    """A line of squeue: a task of an array."""

    id: str  # 123_4
    state: str  # PENDING, RUNNING, ...
    reason: str  # why it waits: Resources, Priority, ...
    partition: str
    nodes: str
    requeues: int
    starts: str  # when Slurm means to start it, or did

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")

    @property
    def trains(self) -> bool:
        return not self.waits and self.state != "COMPLETING"


COLUMNS = {
    "JobArrayID": 40,
    "ArrayTaskID": 12,
    "State": 20,
    "Reason": 120,
    "Partition": 60,
    "NodeList": 120,
    "RestartCnt": 12,
    "StartTime": 24,
    "Comment": 1000,
}


def queue(store: Store) -> dict[Path, Job]:
    """The user's jobs of the store's runs that Slurm lists now, by run folder. Raises Unanswered or ValueError."""
    columns = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
    answer = ask("squeue", "--me", "--all", "--array", "--noheader", "--Format", columns)  # all: in hidden partitions, too
    found: dict[Path, Job] = {}
    trained: dict[Path, dict[int, str]] = {}
    for line in answer.splitlines():
        starts = itertools.accumulate(COLUMNS.values(), initial=0)
        id, task, state, reason, partition, nodes, requeues, begins, comment = (
            line[start : start + width].strip() for start, width in zip(starts, COLUMNS.values())
        )
        script = _in(store, Path(comment))
        if script and task.isdecimal():
            if script not in trained:
                trained[script] = tasks(script)
            job = Job(id, state, reason, partition, nodes, int(requeues or 0), begins)
            if int(task) in trained[script]:
                run = script.parents[1] / trained[script][int(task)]
                if run not in found or job.state != "COMPLETING":  # two at once only where one is on its way out
                    found[run] = job
    return found


def _in(store: Store, script: Path) -> Path | None:
    """A job's script, as it is reached in the store; None where it is none of the store's. Another machine may know the store by
    another path; but a script of a store that this one is a copy of is not its own."""
    if script.parent.name != ".slurm" or len(script.parts) < 4:
        return None
    if script.is_relative_to(store.root):
        return script
    here = store.root.joinpath(*script.parts[-3:])
    with suppress(OSError):
        if here.is_file() and (not script.exists() or script.samefile(here)):
            return here
    return None


def fates(ids: Iterable[str]) -> dict[str, str]:
    """How jobs ended (TIMEOUT, OUT_OF_MEMORY, CANCELLED by 1000, ...) as far as the accounting knows; many sites have none.

    Its database hears of things some seconds after Slurm: what goes on there may have ended.
    """
    with suppress(Unanswered, ValueError):
        answer = ask("sacct", "-X", "--noheader", "--parsable2", "--format=JobID,State", "--jobs", ",".join(ids))
        told = dict(line.split("|", 1) for line in answer.splitlines() if "|" in line)
        return {
            job: state for job, state in told.items() if state not in ("PENDING", "RUNNING", "REQUEUED", "RESIZING", "SUSPENDED")
        }
    return {}
