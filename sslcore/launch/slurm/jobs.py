"""Orders to Slurm: queueing runs, and taking them out again. Whoever gives one hears at once what Slurm makes of it."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sslcore.experiment import Run, Store
from sslcore.files import replacing
from sslcore.grouping import grouped
from sslcore.launch.slurm import script, settings
from sslcore.launch.slurm.client import Unanswered, ask, missing, queue

SUBMIT_SECONDS = 20.0
ENDING_SECONDS = 5.0  # a job whose run has said its last word may take a moment to go
MAX_ARRAY = 1000  # tasks an array, as clusters allow unless they say otherwise


def submit(runs: Sequence[Run]) -> None:
    """Have Slurm queue runs of one experiment that are recorded as queued for it: one array for all that need the same.

    All of them or none. Raises ValueError, in Slurm's words, where it refuses; ConfigError for slurm.yaml; Unanswered.
    """
    chosen = settings.read(runs[0].experiment.store)
    home = runs[0].experiment.path / ".slurm"
    home.mkdir(exist_ok=True)
    kinds = grouped(runs, lambda run: script.need(run.config, chosen))
    parts = [some[k : k + MAX_ARRAY] for some in kinds.values() for k in range(0, len(some), MAX_ARRAY)]
    submitted: list[tuple[str, Path, Sequence[Run]]] = []
    try:
        for part in parts:
            path = home / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}.sh"
            with replacing(path) as temporary:
                temporary.write_text(script.text(path, part, chosen), encoding="utf-8")
            try:
                number = ask("sbatch", "--parsable", str(path), seconds=SUBMIT_SECONDS).strip().partition(";")[0]
            except Unanswered as error:
                path.unlink()
                raise Unanswered(f"{error}; should the job wait there all the same, it ends as it starts") from None
            except ValueError as error:
                path.unlink()
                raise ValueError(f"{error}; python -m sslcore slurm shows how jobs are asked for, and changes it") from None
            submitted.append((number, path, part))
    except BaseException:
        for number, _, _ in submitted:
            with suppress(Unanswered, ValueError):
                ask("scancel", number)
        raise
    for number, path, part in submitted:
        for task, run in enumerate(part):
            with suppress(BlockingIOError), run.hold():  # else it has started already, and says so itself
                if run.recorded_status().state == "queued":
                    run.update_status(job_id=f"{number}_{task}", script=path.name)


def cancel(run: Run) -> None:
    """Take a run's job, whatever it does, out of Slurm. Raises ValueError or Unanswered where that is not possible."""
    if not script.owned(run, run.recorded_status()):
        raise ValueError(f"{run.id} was queued in Slurm by another user, who alone can stop it")
    if job := queue(run.experiment.store).get(run.path):
        ask("scancel", job.id)


def check(store: Store) -> None:
    """Raise ValueError where runs of this store cannot be submitted from here."""
    if why := missing():
        raise ValueError(why)
    settings.read(store)


def check_gone(runs: Sequence[Run]) -> None:
    """Raise ValueError where Slurm has a job of one of these runs that waits or trains: it will go on by itself."""
    deadline = time.monotonic() + ENDING_SECONDS
    while runs:
        jobs = queue(runs[0].experiment.store)
        left = [(run, jobs[run.path]) for run in runs if run.path in jobs and jobs[run.path].state != "COMPLETING"]
        if not left:
            return
        if any(job.waits for _, job in left) or time.monotonic() > deadline:
            run, job = left[0]
            raise ValueError(f"{run.id} is still in Slurm, as job {job.id} ({job.state}): it goes on by itself")
        time.sleep(0.3)
